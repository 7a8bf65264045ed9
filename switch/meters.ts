// Every metric of the switch, by the name under which /metrics shows it.
// main.ts makes one Meters and hands it to the rooms, which call a method per event; gauges are
// read from their owners when somebody looks. Names: switchyard_<thing>_<unit>[_total], seconds and
// bytes. Labels come from closed sets; a PAN, STAN, terminal or merchant is never a label.
import { Counter, Gauge, Registry } from 'prom-client'
import { CounterGrid, DurationGrid, type Label } from './meter-grid.ts'
import { REASON_NAMES } from './reasons.ts'

/** Kinds of request that are counted apart. */
export const KINDS = [
  'purchase',
  'cash',
  'balance',
  'refund',
  'void',
  'preauth',
  'completion',
  'transfer',
  'deposit',
  'reversal',
  'terminal_sign_on',
  'terminal_control',
  'key_exchange',
  'network',
] as const

/** How a transaction ended. */
export const OUTCOMES = ['approved', 'declined', 'replayed', 'dropped'] as const

/** Why a reversal was queued: the causes of the journal's store-and-forward. */
export const REVERSAL_CAUSES = [
  'timeout',
  'late_answer',
  'bad_answer_mac',
  'terminal_request',
  'link_lost',
  'restart',
] as const

/** How an attempt of store-and-forward ended. */
/** What a person should look at, by kind. */
export const EXCEPTIONS = ['reversal_unseen', 'reversal_mismatched', 'answer_undelivered'] as const

export const SAF_OUTCOMES = ['acknowledged', 'refused', 'timed_out', 'not_sent', 'parked'] as const

/** Verbs of the security module. */
export const HSM_OPERATIONS = [
  'translate_pin',
  'verify_pin',
  'generate_mac',
  'verify_mac',
  'verify_arqc',
  'generate_arpc',
  'verify_cvv',
  'make_working_key',
  'import_working_key',
] as const

/** Outcomes of those verbs, as the Hsm port names them. */
export const HSM_OUTCOMES = [
  'ok',
  'bad_pin_block',
  'pin_mismatch',
  'mac_mismatch',
  'arqc_mismatch',
  'cvv_mismatch',
  'kcv_mismatch',
  'translation_forbidden',
  'key_missing',
  'key_usage',
  'bad_input',
  'overloaded',
  'unavailable',
] as const

/** Message types that a switch sees; anything else is counted as `other`. */
export const MTIS = ['01', '02', '03', '04', '05', '06', '08'].flatMap((kind) =>
  ['00', '01', '02', '10', '12', '20', '21', '30', '32'].map((rest) => kind + rest),
)

/** States of a link, as link/contract.ts names them. */
export const LINK_STATES = [
  'down',
  'connected',
  'signing_on',
  'exchanging_keys',
  'ready',
  'suspended',
  'signing_off',
] as const

/** What is read when somebody looks; each source is called once per reading and must be quick. */
export interface MeterSources {
  links?(): ReadonlyArray<{ link: string; state: string; pending: number }>
  token?(): { sessions: number; busy: number; queued: number }
  storeAndForward?(): Promise<
    ReadonlyArray<{ route: string; state: string; rows: number; oldestAgeSeconds: number }>
  >
  /** Debits less credits per currency in minor units; anything but 0 is an alarm. */
  ledgerImbalance?(): Promise<ReadonlyArray<{ currency: string; minor: number }>>
  transactionsInFlight?(): number
  loopLagSeconds?(): number
}

/** What is known when the meters are made. */
export interface MeterSettings {
  readonly version: string
  /** Names of all links; they are labels of source and route. */
  readonly links: readonly string[]
  /** Kinds of decoding fault (FAULT_KINDS of codec/fault.ts). */
  readonly faultKinds: readonly string[]
}

/** All metrics. */
export class Meters {
  readonly registry = new Registry()
  #sources: MeterSources = {}
  readonly #transactions: CounterGrid
  readonly #durations: DurationGrid
  readonly #declines: CounterGrid
  readonly #messages: CounterGrid
  readonly #decodeFaults: CounterGrid
  readonly #timeouts: CounterGrid
  readonly #lateReplies: CounterGrid
  readonly #unmatchedReplies: CounterGrid
  readonly #unmappedCodes: CounterGrid
  readonly #exceptions: CounterGrid
  readonly #reversals: CounterGrid
  readonly #safAttempts: CounterGrid
  readonly #linkChanges: CounterGrid
  readonly #hsmOperations: CounterGrid
  readonly #hsmDurations: DurationGrid
  readonly #journalCommits: CounterGrid
  readonly #journalRows: CounterGrid
  readonly #journalDurations: DurationGrid
  readonly #failures: CounterGrid

  constructor(settings: MeterSettings) {
    const counter = (name: string, help: string, ...labels: Label[]): CounterGrid =>
      new CounterGrid(this.registry, `switchyard_${name}`, help, labels)
    const duration = (name: string, help: string, ...labels: Label[]): DurationGrid =>
      new DurationGrid(this.registry, `switchyard_${name}`, help, labels)
    const link = { name: 'link', values: settings.links }
    const route = { name: 'route', values: ['on_us', ...settings.links] }
    const kind = { name: 'kind', values: KINDS }
    const op = { name: 'op', values: HSM_OPERATIONS }
    const direction = { name: 'direction', values: ['in', 'out'] }

    this.#transactions = counter(
      'transactions_total', 'Finished transactions.',
      link, kind, { name: 'outcome', values: OUTCOMES },
    )
    this.#durations = duration(
      'transaction_duration_seconds', 'From the last byte of the request to the answer.', link, kind,
    )
    this.#declines = counter(
      'declines_total', 'Declined transactions by reason.',
      link, { name: 'reason', values: REASON_NAMES },
    )
    this.#messages = counter(
      'messages_total', 'ISO 8583 messages.', link, direction, { name: 'mti', values: MTIS },
    )
    this.#decodeFaults = counter(
      'decode_faults_total', 'Frames whose content did not parse.',
      link, { name: 'kind', values: settings.faultKinds },
    )
    this.#timeouts = counter('timeouts_total', 'Requests without an answer in time.', route)
    this.#lateReplies = counter('late_replies_total', 'Answers after their time-out.', link)
    this.#unmatchedReplies = counter(
      'unmatched_replies_total', 'Answers that belong to no request.', link,
    )
    this.#unmappedCodes = counter(
      'unmapped_codes_total', 'Response codes that no table explains.', link,
    )
    this.#exceptions = counter(
      'exceptions_total', 'Reversals without or against their original, undelivered answers.',
      link, { name: 'kind', values: EXCEPTIONS },
    )
    this.#reversals = counter(
      'reversals_total', 'Reversals queued.', route, { name: 'cause', values: REVERSAL_CAUSES },
    )
    this.#safAttempts = counter(
      'saf_attempts_total', 'Attempts to deliver stored messages.',
      route, { name: 'outcome', values: SAF_OUTCOMES },
    )
    this.#linkChanges = counter(
      'link_changes_total', 'Changes of state.', link, { name: 'state', values: LINK_STATES },
    )
    this.#hsmOperations = counter(
      'hsm_operations_total', 'Calls of the security module.',
      op, { name: 'outcome', values: HSM_OUTCOMES },
    )
    this.#hsmDurations = duration(
      'hsm_operation_duration_seconds', 'From the call to its result, waiting included.', op,
    )
    this.#journalCommits = counter('journal_commits_total', 'Commits of grouped transactions.')
    this.#journalRows = counter('journal_acts_total', 'Acts that these commits carried.')
    this.#journalDurations = duration('journal_commit_duration_seconds', 'One grouped commit.')
    this.#failures = counter(
      'failures_total', 'Defects and operating faults, each with a log line.',
    )
    this.#gauges(settings)
  }

  /** Says where gauges are read; a source that is not given is not shown. */
  setSources(sources: MeterSources): void {
    this.#sources = sources
  }

  /** A transaction ended; `reason` matters for declines only. */
  transactionCompleted(
    link: string,
    kind: string,
    outcome: (typeof OUTCOMES)[number],
    reason: string,
    seconds: number,
  ): void {
    this.#transactions.count(link, kind, outcome)
    this.#durations.observe(seconds, link, kind)
    if (outcome === 'declined') this.#declines.count(link, reason)
  }

  messageSeen(link: string, direction: 'in' | 'out', mti: string): void {
    this.#messages.count(link, direction, mti)
  }

  decodeFaulted(link: string, kind: string): void {
    this.#decodeFaults.count(link, kind)
  }

  timedOut(route: string): void {
    this.#timeouts.count(route)
  }

  lateReply(link: string): void {
    this.#lateReplies.count(link)
  }

  unmatchedReply(link: string): void {
    this.#unmatchedReplies.count(link)
  }

  unmappedCode(link: string): void {
    this.#unmappedCodes.count(link)
  }

  exceptionSeen(link: string, kind: (typeof EXCEPTIONS)[number]): void {
    this.#exceptions.count(link, kind)
  }

  reversalQueued(route: string, cause: string): void {
    this.#reversals.count(route, cause)
  }

  safAttempted(route: string, outcome: (typeof SAF_OUTCOMES)[number]): void {
    this.#safAttempts.count(route, outcome)
  }

  linkChanged(link: string, state: string): void {
    this.#linkChanges.count(link, state)
  }

  hsmCalled(op: string, outcome: string, seconds: number): void {
    this.#hsmOperations.count(op, outcome)
    this.#hsmDurations.observe(seconds, op)
  }

  journalCommitted(acts: number, seconds: number): void {
    this.#journalCommits.count()
    this.#journalRows.add(acts)
    this.#journalDurations.observe(seconds)
  }

  failed(): void {
    this.#failures.count()
  }

  #gauges(settings: MeterSettings): void {
    this.#linkGauges(settings.links)
    this.#moneyGauges(settings.links)
    this.#tokenGauges()
    this.#processGauges(settings.version)
  }

  #linkGauges(known: readonly string[]): void {
    const each = (name: string, help: string, value: (one: LinkReading) => number): void =>
      this.#gauge(name, help, ['link'], (gauge) => {
        for (const one of this.#sources.links?.() ?? []) {
          if (known.includes(one.link)) gauge.set({ link: one.link }, value(one))
        }
      })
    each('link_up', '1 when connected, whatever else.', (one) => (one.state === 'down' ? 0 : 1))
    each('link_ready', '1 when financials may be sent.', (one) => (one.state === 'ready' ? 1 : 0))
    each('pending_requests', 'Requests that wait for an answer.', (one) => one.pending)
    this.#gauge('transactions_in_flight', 'Transactions being worked on.', [], (gauge) => {
      const count = this.#sources.transactionsInFlight?.()
      if (count !== undefined) gauge.set(count)
    })
  }

  #moneyGauges(known: readonly string[]): void {
    const stored = async (gauge: Gauge, value: 'rows' | 'oldestAgeSeconds'): Promise<void> => {
      for (const row of (await this.#sources.storeAndForward?.()) ?? []) {
        const { route, state } = row
        if (known.includes(route)) gauge.set({ route, state }, row[value])
      }
    }
    const labels = ['route', 'state']
    this.#gauge('saf_rows', 'Stored messages not acknowledged.', labels, (gauge) =>
      stored(gauge, 'rows'),
    )
    this.#gauge('saf_oldest_age_seconds', 'Age of the oldest of them.', labels, (gauge) =>
      stored(gauge, 'oldestAgeSeconds'),
    )
    const balanced = 'Debits less credits: 0.'
    this.#gauge('ledger_imbalance_minor', balanced, ['currency'], async (gauge) => {
      for (const { currency, minor } of (await this.#sources.ledgerImbalance?.()) ?? []) {
        gauge.set({ currency }, minor)
      }
    })
  }

  #tokenGauges(): void {
    this.#gauge('hsm_sessions', 'Sessions with the security module.', ['state'], (gauge) => {
      const token = this.#sources.token?.()
      if (token === undefined) return
      gauge.set({ state: 'busy' }, token.busy)
      gauge.set({ state: 'idle' }, token.sessions - token.busy)
    })
    this.#gauge('hsm_queued', 'Calls that wait for a session.', [], (gauge) => {
      const token = this.#sources.token?.()
      if (token !== undefined) gauge.set(token.queued)
    })
  }

  #processGauges(version: string): void {
    this.#gauge('build_info', 'Always 1; the version is the label.', ['version'], (gauge) =>
      gauge.set({ version }, 1),
    )
    this.#gauge('process_resident_bytes', 'Memory of this process.', [], (gauge) =>
      gauge.set(process.memoryUsage.rss()),
    )
    this.#gauge('event_loop_lag_seconds', 'How late timers fire.', [], (gauge) => {
      const lag = this.#sources.loopLagSeconds?.()
      if (lag !== undefined) gauge.set(lag)
    })
    const collect = function (this: Counter): void {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    }
    const name = 'switchyard_process_cpu_seconds_total'
    const help = 'Processor time of this process, user and system.'
    this.registry.registerMetric(new Counter({ name, help, registers: [], collect }))
  }

  #gauge(
    name: string,
    help: string,
    labelNames: string[],
    read: (gauge: Gauge) => void | Promise<void>,
  ): void {
    const collect = async function (this: Gauge): Promise<void> {
      this.reset()
      if (labelNames.length === 0) this.remove()
      await read(this)
    }
    const options = { name: `switchyard_${name}`, help, labelNames, registers: [], collect }
    this.registry.registerMetric(new Gauge(options))
  }
}

interface LinkReading {
  readonly link: string
  readonly state: string
  readonly pending: number
}
