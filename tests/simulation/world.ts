/**
 * The simulated world: one virtual clock, one network, one durable store, one token, the switch's
 * successive lives, networks and terminals with books of their own. `run` takes it through a phase
 * with faults and a phase without, in which everything must come to rest; checkers look all the
 * time and at the end. The same options give the same run, event by event.
 */
import { demonstrationPath, loadConfig } from '../../config/load.ts'
import type { SwitchConfig } from '../../config/schema.ts'
import { SoftwareHsm } from '../../hsm/software/software-hsm.ts'
import { OWN_PVKI } from '../../simulators/cards.ts'
import type { Fate } from '../../switch/journal/memory.ts'
import { MemoryStore } from '../../switch/journal/memory-store.ts'
import { PanVault } from '../../switch/pan-vault.ts'
import { wait } from '../../switch/runtime/clock.ts'
import { VirtualClock } from '../../switch/runtime/virtual-clock.ts'
import { Pan } from '../../switch/secrets.ts'
import { loadDialects } from '../../switch/wiring.ts'
import { CupsNetwork } from './acquirer.ts'
import { Chance, EventHash } from './chance.ts'
import { checkAtEnd, checkNow } from './checks.ts'
import { arrange } from './faults.ts'
import { MASTER_KEYS, OWN_CARDS, terminalId, terminalKeyName } from './keys.ts'
import { SimNet } from './net.ts'
import type { Options } from './options.ts'
import { Scheme } from './scheme.ts'
import { SwitchProcess } from './switch-process.ts'
import { Terminal } from './terminal.ts'

export interface Violation {
  what: string
  detail: string
  atMs: number
}

export interface Result {
  hash: string
  events: number
  virtualMs: number
  txns: number
  violations: Violation[]
  counts: Counts
}

export interface Counts {
  approved: number
  reversed: number
  lateAnswers: number
  unmatched: number
  afterRefusal: number // decided anew after a refusal that nothing remembers
  crashes: number
  commits: number
  schemeRequests: number
  schemeReversals: number
}

/** Everything must be at rest this long after the last fault, ms of virtual time. */
const SETTLE_MS_MAX = 15 * 60_000
const LOOK_MS = 1_000
const RESTART_MS = 800
const VIOLATIONS_MAX = 20
const OPENING_DATE = '2026-01-01'

const BASE = loadConfig(demonstrationPath()).config
const DIALECTS = loadDialects(BASE)

/** The demonstration's configuration with the terminals and times of these options. */
function configOf(options: Options): SwitchConfig {
  const { secured, replyMs } = options
  const mac = secured ? 'required' : 'none'
  const links = BASE.links
    .filter((link) => ['pos', 'cups', 'visa'].includes(link.name))
    .map((link) => {
      if (link.role === 'terminals') return { ...link, mac } as const
      const listen = link.name === 'cups' ? link.listen : null
      return { ...link, mac, listen, reply_timeout_ms: replyMs } as const
    })
  const [model] = BASE.terminals
  if (model === undefined) throw new Error('the demonstration has no terminal')
  const terminals = Array.from({ length: options.terminals }, (_, n) => {
    return { ...model, id: terminalId(n), key: terminalKeyName(terminalId(n)), link: 'pos' }
  })
  const reversals = { ...BASE.reversals, attempts_max: 1_000 }
  return { ...BASE, links, terminals, reversals }
}

export class World {
  readonly options: Options
  readonly config: SwitchConfig
  readonly dialects = DIALECTS
  readonly clock: VirtualClock
  readonly hash = new EventHash()
  readonly net: SimNet
  readonly store = new MemoryStore()
  readonly token: SoftwareHsm
  readonly visa: Scheme
  readonly cups: CupsNetwork
  readonly terminals: Terminal[] = []
  readonly violations: Violation[] = []
  readonly counts: Counts = {
    approved: 0, reversed: 0, lateAnswers: 0, unmatched: 0, afterRefusal: 0, crashes: 0, commits: 0,
    schemeRequests: 0, schemeReversals: 0,
  }
  readonly addresses
  process: SwitchProcess | null = null
  /** Faults may happen; false from the liveness phase on. */
  faulty = true
  // Set by faults.ts
  skewMs = 0
  tokenAway = false
  databaseGone = false
  stallUntilMs = 0
  unknownCommits = 0 // commits whose answer will be lost
  crashAtCommit: 'yes' | 'no' | null = null
  crashAtWrite: 'sent' | 'unsent' | null = null
  crashAtWriteAfter = 0
  readonly lateOwners = new Map<string, string>() // transaction to its state at the late answer
  readonly approvals = new Map<string, { amountMinor: number; own: boolean }>()
  #lives = 0
  #tickets: number
  readonly #commitChance: Chance

  constructor(options: Options) {
    this.options = options
    this.config = configOf(options)
    this.clock = new VirtualClock(options.startMs)
    this.#tickets = options.txns
    this.#commitChance = this.fork('database')
    const { delayMs, rates } = options
    const weather = { delayMs, split: rates.split, slow: rates.slow }
    this.net = new SimNet(this.clock, this.fork('net'), this.hash, weather)
    this.addresses = this.#addresses()
    this.token = new SoftwareHsm({
      development: true,
      keys: MASTER_KEYS,
      directory: { find: (name) => this.process?.keys.find(name) ?? Promise.resolve(null) },
      random: this.fork('token'),
    })
    this.visa = new Scheme(this, 'visa')
    this.cups = new CupsNetwork(this, 'cups')
    for (let n = 0; n < options.terminals; n++) {
      this.terminals.push(new Terminal(this, terminalId(n)))
    }
  }

  #addresses(): { visa: Address; cups: Address; cupsIn: Address; pos: Address } {
    const link = (name: string) => this.config.links.find((one) => one.name === name)
    const [visa, cups, pos] = [link('visa'), link('cups'), link('pos')]
    if (visa?.role !== 'scheme' || cups?.role !== 'scheme' || !pos?.listen) {
      throw new Error('the demonstration has other links than the simulation knows')
    }
    if (!visa.connect || !cups.connect || !cups.listen) throw new Error('a link has no address')
    return { visa: visa.connect, cups: cups.connect, cupsIn: cups.listen, pos: pos.listen }
  }

  /** A stream of chance of its own for one part. */
  fork(part: string): Chance {
    return new Chance(`${this.options.seed} ${part}`)
  }

  violate(what: string, detail: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return
    this.violations.push({ what, detail, atMs: this.clock.monotonicMs() })
  }

  /** One more transaction may begin. */
  takeTicket(): boolean {
    if (this.#tickets <= 0) return false
    this.#tickets--
    return true
  }

  // The run

  /** Takes the world to its end; never rejects for what the switch does. */
  async run(): Promise<Result> {
    const unhandled = (error: unknown): void => {
      const text = error instanceof Error ? error.stack : String(error)
      this.violate('unhandled_rejection', text ?? '')
    }
    process.on('unhandledRejection', unhandled)
    try {
      return await this.#run()
    } finally {
      process.off('unhandledRejection', unhandled)
    }
  }

  async #run(): Promise<Result> {
    await this.#seedCards()
    this.#startSwitch()
    this.cups.start()
    arrange(this)
    const lives = this.terminals.map((terminal) => terminal.life())
    const brought = this.#bringAll()
    const lastFault = this.options.faults.at(-1)
    const faultsEndMs = lastFault === undefined ? 0 : lastFault.atMs + lastFault.forMs
    await this.#until(() => this.#tickets <= 0 && this.clock.monotonicMs() >= faultsEndMs)
    this.#heal()
    const restBy = this.clock.monotonicMs() + SETTLE_MS_MAX
    await this.#until(() => this.#atRest() || this.clock.monotonicMs() >= restBy)
    if (!this.#atRest() && this.violations.length === 0) {
      this.violate('not_settled', this.#unrest())
    }
    if (this.#atRest()) await Promise.all([...lives, brought])
    await this.#stopSwitch()
    checkAtEnd(this)
    return this.#result()
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done() && this.violations.length === 0) {
      await this.clock.advanceAsync(LOOK_MS)
      checkNow(this)
    }
  }

  async #seedCards(): Promise<void> {
    const secrets = await this.token.vaultKeys()
    if (secrets.outcome !== 'ok') throw new Error('the token gives no vault keys')
    const vault = new PanVault(secrets.value, this.fork('vault'))
    for (const { card, pvv } of OWN_CARDS) {
      this.store.seedCard({
        panToken: vault.token(new Pan(card.pan)),
        accountCode: `customer:${card.name}`,
        currency: '156',
        openingBalanceMinor: Number(card.openingBalanceMinor),
        floorMinor: 0,
        status: 'active',
        expiry: card.expiry,
        pvki: OWN_PVKI,
        pvv,
        pinOffset: '',
        pinTriesLeft: 3,
        panSequence: card.sequence,
        keySet: 'demo.issuer',
        dailyLimitMinor: Number(card.dailyLimitMinor),
        dailyCountMax: null,
      }, OPENING_DATE)
    }
  }

  /** CUPS brings its share, paced like the terminals together. */
  async #bringAll(): Promise<void> {
    const { acquirerShare, perSecond } = this.options
    if (acquirerShare === 0) return
    const chance = this.fork('arrivals')
    const all: Array<Promise<void>> = []
    const pauseMs = (200_000 / acquirerShare) / perSecond
    while (this.takeTicket()) {
      this.cups.active++
      await wait(this.clock, 1 + chance.below(Math.ceil(pauseMs)))
      all.push(this.cups.bring())
    }
    await Promise.all(all)
  }

  #heal(): void {
    this.faulty = false
    this.tokenAway = false
    this.databaseGone = false
    this.stallUntilMs = 0
    this.unknownCommits = 0
    this.crashAtCommit = null
    this.crashAtWrite = null
    this.net.closedTo.clear()
    this.net.weather.slow = 0
    const ends = [this.process?.host, this.cups.host, this.visa.host].flatMap((host) => {
      return host === undefined ? [] : [...host.connections]
    })
    for (const end of ends) if (end.silent && end.open) this.net.reset(end, 'timed_out')
  }

  #atRest(): boolean {
    return this.#unrest() === ''
  }

  /** What is not at rest yet; '' when everything is. */
  #unrest(): string {
    const { store, process, cups } = this
    const wired = process?.wired
    if (process === null || !process.started || wired == null) return 'the switch is not up'
    for (const terminal of this.terminals) if (!terminal.idle) return `terminal ${terminal.id}`
    if (cups.active > 0) return `${cups.active} transactions of CUPS`
    if (store.openIntents.size > 0) return `${store.openIntents.size} intents without outcome`
    for (const [to, rows] of store.queued) {
      if (rows.size > 0) return `${rows.size} reversals to ${to}`
    }
    if (wired.unsettled.count() > 0) return 'unsettled outcomes'
    if (wired.pipeline.inFlight() > 0) return `${wired.pipeline.inFlight()} in flight`
    for (const link of wired.links.values()) {
      if (link.pendingCount() > 0) return `${link.pendingCount()} pending at ${link.settings.name}`
    }
    return ''
  }

  #result(): Result {
    const { counts, store } = this
    for (const { image } of store.txns.values()) {
      if (image.state === 'approved') counts.approved++
      if (image.state === 'reversed' || image.state === 'timed_out') counts.reversed++
    }
    counts.commits = store.commits
    counts.schemeRequests = this.visa.requests + this.cups.requests
    counts.schemeReversals = this.visa.reversals + this.cups.reversals
    return {
      hash: this.hash.text(),
      events: this.hash.events,
      virtualMs: this.clock.monotonicMs(),
      txns: this.options.txns,
      violations: this.violations,
      counts,
    }
  }

  // Lives of the switch

  #startSwitch(): void {
    const process = new SwitchProcess(this, ++this.#lives)
    this.process = process
    process.boot().catch((error: unknown) => {
      if (this.process !== process) return
      // It ends with one line and is started again by whoever watches it.
      if ((error as { code?: string }).code === undefined) this.violate('boot', String(error))
      this.killSwitch()
    })
  }

  /** SIGKILL, and a new life a little later. */
  killSwitch(afterMs = RESTART_MS): void {
    const { process } = this
    if (process === null) return
    this.counts.crashes++
    process.kill()
    this.process = null
    this.clock.after(afterMs, () => this.#startSwitch())
  }

  /** Orderly stop, and a new life a little later. */
  async restartSwitch(): Promise<void> {
    const { process } = this
    if (process?.wired == null || !process.started) return
    await process.wired.stop()
    if (this.process !== process) return // it was killed meanwhile
    this.killSwitch()
  }

  async #stopSwitch(): Promise<void> {
    const { process } = this
    if (process?.wired == null) return
    let stopped = false
    void process.wired.stop().then(() => {
      stopped = true
    })
    for (let waited = 0; !stopped && waited < 40; waited++) await this.clock.advanceAsync(LOOK_MS)
    if (!stopped) this.violate('not_stopped', 'the switch does not stop')
    else if (process.clock.live > 0) this.violate('timers_left', `${process.clock.live} timers`)
  }

  // Asked by the switch's ports

  get readMs(): number {
    return this.options.commitMs
  }

  commitMs(chance: Chance): number {
    const stallMs = this.stallUntilMs - this.clock.monotonicMs()
    return Math.max(0, stallMs) + 1 + chance.below(this.options.commitMs)
  }

  fateOfCommit(chance: Chance): Fate {
    if (this.crashAtCommit !== null) {
      const written = this.crashAtCommit
      this.crashAtCommit = null
      this.killSwitch()
      return { end: 'silence', written }
    }
    if (this.unknownCommits > 0) {
      this.unknownCommits--
      return { end: 'unknown', written: this.#commitChance.pick(['yes', 'no', 'later'] as const) }
    }
    if (!this.databaseGone) return { end: 'done' }
    if (chance.below(4) > 0) return { end: 'absent' }
    return { end: 'unknown', written: this.#commitChance.pick(['yes', 'no', 'later'] as const) }
  }

  fateOfWrite(): 'go' | 'die_sent' | 'die_unsent' {
    if (this.crashAtWrite === null || this.crashAtWriteAfter-- > 0) return 'go'
    const fate = this.crashAtWrite === 'sent' ? 'die_sent' : 'die_unsent'
    this.crashAtWrite = null
    return fate
  }

  // Told by peers

  /** A peer was told that its request is approved; `own` when it has begun to reverse it itself. */
  approvalSeen(key: string, own: boolean, amountMinor: number): void {
    const state = this.store.byKey.get(key)?.image.state
    if (state === 'approved' || (own && state === 'reversed')) {
      this.approvals.set(key, { amountMinor, own })
      return
    }
    this.violate('approval_without_record', `${key}: ${state ?? 'no row'}`)
  }

  lateAnswer(owner: string): void {
    this.counts.lateAnswers++
    const state = this.store.txns.get(owner)?.image.state
    if (state !== undefined) this.lateOwners.set(owner, state) // else it answers a reversal
  }
}

interface Address {
  host: string
  port: number
}
