/**
 * The journal in memory, for the simulation and tests: the decisions of acts.ts over a MemoryStore.
 *
 * What is durable lives in the store; a MemoryJournal is a process's way to it and may be thrown
 * away at any instant. Requests that arrive while a commit is under way share the next one, as on
 * PostgreSQL. `Weather` decides how long things take and how they fail. It must never serve the
 * running switch: nothing here outlives the process.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import { ulid } from '../runtime/ulid.ts'
import { act, checkRequest } from './acts.ts'
import type { ActTools, GroupResult } from './acts.ts'
import { bareAnswer, byteaText, DEFER, Group, RefusedRequest } from './group.ts'
import type { GroupRequest, SafChange } from './group.ts'
import {
  GROUP_REQUESTS_MAX, LISTED_ROWS_MAX, QUEUE_REQUESTS_MAX, QUEUE_RESERVE_MAX, REQUEST_AGE_MS_MAX,
} from './limits.ts'
import { ConstraintBroken, MemoryStore, type StoredSaf, type StoredTxn } from './memory-store.ts'
import { JournalUnavailable } from './port.ts'
import type {
  AuthorizeRequest, AuthorizeResult, Card, IntentRequest, IntentResult, Journal, OutcomeRequest,
  OutcomeResult, ReverseRequest, ReverseResult, SafRow, SafSummary, TimelineEvent, TxnHistory,
} from './port.ts'

/**
 * How a write ends. `done`: durable and told. `absent`: not written, and known not to be.
 * `unknown`: the answer to COMMIT was lost; `written` says what became of it, `later` = it is
 * written just before this journal's next group.
 */
export type Fate =
  | { end: 'done' }
  | { end: 'absent' }
  | { end: 'unknown'; written: 'yes' | 'no' | 'later' }
  | { end: 'silence'; written: 'yes' | 'no' } // the process dies here and is told nothing

/** What the database is like now. Milliseconds; 0 = at once. */
export interface Weather {
  readMs(): number
  commitMs(): number
  /** False: a read fails. */
  readable(): boolean
  /** Asked at the instant of each commit. */
  fate(): Fate
}

const FINE: Weather = {
  readMs: () => 0,
  commitMs: () => 0,
  readable: () => true,
  fate: () => ({ end: 'done' }),
}

export interface MemoryJournalOptions {
  store: MemoryStore
  clock: Clock
  random: Random
  weather?: Weather
  /** Told what PostgreSQL would have refused: a defect of whoever decided. */
  broken?(why: string): void
}

interface Waiting {
  request: GroupRequest
  sinceMs: number
  resolve(result: GroupResult): void
  reject(error: Error): void
}

export class MemoryJournal implements Journal {
  readonly #store: MemoryStore
  readonly #clock: Clock
  readonly #tools: ActTools
  readonly #weather: Weather
  readonly #broken: (why: string) => void
  #queue: Waiting[] = []
  #busy = false
  #late: Group | null = null // reported unknown, not yet written
  #closed = false

  constructor(options: MemoryJournalOptions) {
    const { store, clock, random } = options
    this.#store = store
    this.#clock = clock
    this.#tools = { random, newId: () => ulid(clock, random) }
    this.#weather = options.weather ?? FINE
    this.#broken = options.broken ?? (() => undefined)
  }

  /** Requests that wait for a group. */
  get waiting(): number {
    return this.#queue.length
  }

  async findCard(panToken: Uint8Array): Promise<Card | null> {
    await this.#reading()
    const found = this.#store.cards.get(byteaText(panToken))
    return found === undefined ? null : { ...found.card }
  }

  authorize(request: AuthorizeRequest): Promise<AuthorizeResult> {
    return this.#submit<AuthorizeResult>({ act: 'authorize', request }, false)
  }

  intend(request: IntentRequest): Promise<IntentResult> {
    return this.#submit<IntentResult>({ act: 'intend', request }, false)
  }

  conclude(request: OutcomeRequest): Promise<OutcomeResult> {
    return this.#submit<OutcomeResult>({ act: 'conclude', request }, true)
  }

  reverse(request: ReverseRequest): Promise<ReverseResult> {
    return this.#submit<ReverseResult>({ act: 'reverse', request }, true)
  }

  note(txnId: string, events: TimelineEvent[]): Promise<void> {
    return this.#submit<undefined>({ act: 'note', txnId, events }, true)
  }

  safAttempt(
    id: string, stan: string, transmissionAt: string, nextAttemptAt: number,
  ): Promise<void> {
    const nextAttemptAtMs = Math.floor(nextAttemptAt)
    return this.#saf({ ...NO_CHANGE, id, op: 'attempt', stan, transmissionAt, nextAttemptAtMs })
  }

  safAcknowledge(id: string, responseCode: string): Promise<void> {
    return this.#saf({ ...NO_CHANGE, id, op: 'acknowledge', lastAnswer: responseCode })
  }

  safPark(id: string, responseCode: string, why: string): Promise<void> {
    return this.#saf({ ...NO_CHANGE, id, op: 'park', lastAnswer: responseCode, why })
  }

  async dueSaf(destination: string, nowMs: number, limit: number): Promise<SafRow[]> {
    await this.#reading()
    const due: StoredSaf[] = []
    const earlier = new Set<string>() // cards with an earlier queued row
    for (const row of this.#store.queued.get(destination) ?? []) {
      const first = row.token === EMPTY_TOKEN || !earlier.has(row.token)
      earlier.add(row.token)
      if (first && row.nextAttemptAtMs <= Math.floor(nowMs)) due.push(row)
    }
    due.sort((a, b) => a.nextAttemptAtMs - b.nextAttemptAtMs || a.id - b.id)
    return due.slice(0, limit).map((row) => this.#safRow(row))
  }

  async safList(): Promise<SafSummary[]> {
    await this.#reading()
    const all = this.#store.safs
    const open = all.filter((row) => row.state !== 'acknowledged').slice(0, LISTED_ROWS_MAX)
    const done = all.filter((row) => row.state === 'acknowledged').reverse().slice(0, 100)
    return [...open, ...done].map((row) => this.#safSummary(row))
  }

  async recover(nowMs: number): Promise<number> {
    const settled = await this.#writing(() => {
      const open = [...this.#store.openIntents]
      for (const row of open) settleAfterRestart(this.#store, row, Math.floor(nowMs))
      for (const rows of this.#store.queued.values()) {
        const now = Math.floor(nowMs)
        for (const row of rows) row.nextAttemptAtMs = Math.min(row.nextAttemptAtMs, now)
      }
      this.#store.commits++
      return open.length
    })
    return settled
  }

  async takeNumbers(counter: string, count: number, max: number): Promise<number> {
    if (!Number.isSafeInteger(max) || !Number.isInteger(count) || count < 1 || count > max) {
      throw new RangeError('a block has 1 to max numbers')
    }
    return this.#writing(() => {
      const { numbers } = this.#store
      const before = numbers.get(counter) ?? 0
      const last = before + count > max ? count : before + count
      numbers.set(counter, last)
      return last - count + 1
    })
  }

  async history(rrn: string): Promise<TxnHistory[]> {
    await this.#reading()
    const rows = [...this.#store.txns.values()].filter((row) => row.facts.rrn === rrn)
    rows.sort((a, b) => {
      return a.facts.receivedAt - b.facts.receivedAt || (a.facts.id < b.facts.id ? -1 : 1)
    })
    return rows.map((row) => this.#history(row))
  }

  async keyBlock(name: string): Promise<string | null> {
    await this.#reading()
    return this.#store.keyBlocks.get(name) ?? null
  }

  async putKeyBlock(name: string, block: string, _kcv: string, _usage: string): Promise<void> {
    await this.#writing(() => {
      this.#store.keyBlocks.set(name, block)
    })
  }

  async healthy(): Promise<boolean> {
    return !this.#closed && this.#weather.readable()
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  // Time and failure

  #pass(ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#clock.after(ms, resolve)
    })
  }

  async #reading(): Promise<void> {
    if (this.#closed) throw closed()
    await this.#pass(this.#weather.readMs())
    if (!this.#weather.readable()) throw new JournalUnavailable('the database is away', false)
  }

  /** A write outside groups: one statement that commits by itself. */
  async #writing<T>(write: () => T): Promise<T> {
    if (this.#closed) throw closed()
    await this.#pass(this.#weather.commitMs())
    const fate = this.#weather.fate()
    if (fate.end === 'done') return write()
    if (fate.end === 'absent') throw new JournalUnavailable('the database is away', true)
    if (fate.written === 'yes') write()
    if (fate.end === 'silence') return new Promise<T>(() => undefined)
    throw new JournalUnavailable('the connection was lost', true)
  }

  // Groups

  /** Every act yields its own result; `act` in acts.ts is the table that pairs them. */
  async #submit<R extends GroupResult>(request: GroupRequest, reserved: boolean): Promise<R> {
    if (this.#closed) throw closed()
    checkRequest(request)
    const places = QUEUE_REQUESTS_MAX + (reserved ? QUEUE_RESERVE_MAX : 0)
    if (this.#queue.length >= places) {
      throw new JournalUnavailable('too many requests are waiting for the database', false)
    }
    const result = await new Promise<GroupResult>((resolve, reject) => {
      this.#queue.push({ request, sinceMs: this.#clock.monotonicMs(), resolve, reject })
      if (this.#busy) return
      this.#busy = true
      void this.#run()
    })
    return result as R
  }

  #saf(change: SafChange): Promise<void> {
    if (!/^[0-9]{1,18}$/.test(change.id)) return Promise.reject(new RangeError('not a SAF id'))
    return this.#submit<undefined>({ act: 'saf', change }, true)
  }

  async #run(): Promise<void> {
    await Promise.resolve() // lets the rest of this turn arrive
    while (this.#queue.length > 0) {
      const batch = this.#dropOld(this.#queue.splice(0, GROUP_REQUESTS_MAX))
      if (batch.length === 0) continue
      await this.#pass(this.#weather.commitMs())
      const deferred = this.#commit(batch, this.#weather.fate())
      if (deferred === 'dead') return
      if (deferred.length > 0) this.#queue = [...deferred, ...this.#queue]
    }
    this.#busy = false
  }

  #dropOld(batch: Waiting[]): Waiting[] {
    const since = this.#clock.monotonicMs() - REQUEST_AGE_MS_MAX
    return batch.filter((waiting) => {
      if (waiting.sinceMs >= since) return true
      waiting.reject(new JournalUnavailable('the database was not available in time', false))
      return false
    })
  }

  /** Decides a batch and lets it meet its fate; gives what waits for the next group. */
  #commit(batch: Waiting[], fate: Fate): Waiting[] | 'dead' {
    const late = this.#late
    this.#late = null
    if (late !== null) this.#apply(late)
    if (fate.end === 'absent') {
      for (const { reject } of batch) reject(new JournalUnavailable('it was away too long', false))
      return []
    }
    const decided = this.#decide(batch)
    const { group, settled, deferred } = decided
    if (fate.end !== 'done') {
      if (fate.written === 'yes') this.#apply(group)
      if (fate.end === 'silence') return 'dead'
      if (fate.written === 'later') this.#late = group
      const lost = new JournalUnavailable('the answer to COMMIT was lost', true)
      for (const { waiting } of settled) waiting.reject(lost)
      return deferred
    }
    if (group.writes && !this.#apply(group)) return this.#oneByOne(batch)
    for (const { waiting, result } of settled) {
      if (result instanceof Error) waiting.reject(result)
      else waiting.resolve(result)
    }
    return deferred
  }

  #decide(batch: Waiting[]): {
    group: Group
    settled: Array<{ waiting: Waiting; result: GroupResult | Error }>
    deferred: Waiting[]
  } {
    const group = new Group(this.#clock.wallMs())
    this.#store.fill(group, batch.map((waiting) => waiting.request))
    const settled: Array<{ waiting: Waiting; result: GroupResult | Error }> = []
    const deferred: Waiting[] = []
    for (const waiting of batch) {
      try {
        const result = act(group, waiting.request, this.#tools)
        if (result === DEFER) deferred.push(waiting)
        else settled.push({ waiting, result })
      } catch (error) {
        if (!(error instanceof RefusedRequest)) this.#broken(String(error))
        settled.push({ waiting, result: error as Error })
      }
    }
    return { group, settled, deferred }
  }

  #apply(group: Group): boolean {
    try {
      this.#store.apply(group)
      return true
    } catch (error) {
      if (!(error instanceof ConstraintBroken)) throw error
      this.#broken(error.message)
      return false
    }
  }

  /** A bad row is among them: each in a group of its own, as writer.ts does. */
  #oneByOne(batch: Waiting[]): Waiting[] {
    const again: Waiting[] = []
    for (const waiting of batch) {
      const { group, settled, deferred } = this.#decide([waiting])
      again.push(...deferred)
      const [one] = settled
      if (one === undefined) continue
      if (one.result instanceof Error) waiting.reject(one.result)
      else if (group.writes && !this.#apply(group)) {
        waiting.reject(new JournalUnavailable('the database refused the row', false))
      } else waiting.resolve(one.result)
    }
    return again
  }

  // Rows as the port shows them

  #safRow(row: StoredSaf): SafRow {
    const txn = this.#store.txns.get(row.txnId)
    if (txn === undefined) throw new Error('a store-and-forward row without its transaction')
    return {
      id: String(row.id),
      destination: row.destination,
      kind: 'reversal',
      cause: row.cause,
      txnId: row.txnId,
      attempts: row.attempts,
      facts: { ...txn.facts },
      sentMti: txn.sent?.sentMti ?? '',
      sentStan: txn.sent?.sentStan ?? '',
      sentTransmissionAt: txn.sent?.sentTransmissionAt ?? '',
      answer: txn.image.answer,
      releasedMinor: row.releasedMinor,
      reversalStan: row.reversalStan,
      reversalTransmissionAt: row.reversalTransmissionAt,
    }
  }

  #safSummary(row: StoredSaf): SafSummary {
    const facts = this.#store.txns.get(row.txnId)?.facts
    return {
      id: String(row.id),
      destination: row.destination,
      kind: 'reversal',
      state: row.state,
      attempts: row.attempts,
      lastAnswer: row.lastAnswer,
      rrn: facts?.rrn ?? '',
      panMasked: facts?.panMasked ?? '',
      amountMinor: row.releasedMinor ?? facts?.amountMinor ?? 0,
      currency: facts?.currency ?? '',
      queuedAt: row.queuedAtMs,
      nextAttemptAt: row.nextAttemptAtMs,
    }
  }

  #history(row: StoredTxn): TxnHistory {
    const { panToken: _1, panSealed: _2, record: _3, bodyHash: _4, ...facts } = row.facts
    const { accounts, postingsByTxn, safs } = this.#store
    const postings = (postingsByTxn.get(facts.id) ?? []).map((posting) => ({
      debit: accounts.get(posting.debitAccount)?.code ?? '',
      credit: accounts.get(posting.creditAccount)?.code ?? '',
      amountMinor: posting.amountMinor,
      currency: posting.currency,
      businessDate: posting.businessDate,
      postedAt: posting.postedAtMs,
      reverses: posting.reverses !== null,
    }))
    return {
      facts,
      state: row.image.state,
      answer: row.image.answer,
      events: row.events,
      postings,
      saf: safs.filter((saf) => saf.txnId === facts.id).map((saf) => this.#safSummary(saf)),
    }
  }
}

/** What recover() does to one intent; queries.ts recoverQuery says the same in SQL. */
function settleAfterRestart(store: MemoryStore, row: StoredTxn, nowMs: number): void {
  const { image } = row
  const moved = row.facts.kind !== 'balance' // an inquiry moved nothing
  const state = moved ? 'timed_out' : 'declined'
  row.image = { ...image, state, answer: bareAnswer('timeout', row.facts.rrn) }
  row.events.push({ atMs: nowMs, what: 'intent.recovered', detail: 'restart' })
  store.openIntents.delete(row)
  if (!moved) return
  const { id: txnId, destination, token } = image
  store.queue({ destination, cause: 'restart', txnId, token, releasedMinor: null }, nowMs)
}

const EMPTY_TOKEN = '\\x'

const NO_CHANGE = {
  stan: '',
  transmissionAt: '',
  nextAttemptAtMs: 0,
  lastAnswer: '',
  why: '',
}

function closed(): JournalUnavailable {
  return new JournalUnavailable('the journal is closed', false)
}
