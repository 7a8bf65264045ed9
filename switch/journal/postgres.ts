/**
 * The journal on PostgreSQL.
 *
 * Wired by switch/main.ts; called through `port.ts`. Everything that moves money goes through one
 * writer in groups (grouper.ts, writer.ts); reads run beside it on connections of their own
 * (queries.ts). It must never answer what is not durable. docs/adr/0004-journal.md says why it is
 * built this way.
 */
import { Pool } from 'pg'
import type { QueryConfig, QueryResultRow } from 'pg'
import type { Clock } from '../runtime/clock.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import type { Random } from '../runtime/random.ts'
import { checkRequest } from './acts.ts'
import type { GroupResult } from './acts.ts'
import { troubleText } from './connection.ts'
import type { GroupRequest, SafChange } from './group.ts'
import { byteaText } from './group.ts'
import { cardImage } from './group-read.ts'
import type { CardRow } from './group-read.ts'
import { Grouper } from './grouper.ts'
import type { Pending } from './grouper.ts'
import {
  CARD_BATCH_MAX,
  CARD_QUEUE_MAX,
  CONNECT_TIMEOUT_MS,
  GROUP_REQUESTS_MAX,
  QUERY_TIMEOUT_MS,
  QUEUE_REQUESTS_MAX,
  QUEUE_RESERVE_MAX,
  READ_CONNECTIONS,
  RECOVER_BATCH,
} from './limits.ts'
import { JournalUnavailable } from './port.ts'
import type {
  AuthorizeRequest,
  AuthorizeResult,
  Card,
  IntentRequest,
  IntentResult,
  Journal,
  OutcomeRequest,
  OutcomeResult,
  ReverseRequest,
  ReverseResult,
  SafRow,
  SafSummary,
  TimelineEvent,
  TxnHistory,
} from './port.ts'
import * as queries from './queries.ts'
import { tooOld, Writer } from './writer.ts'

export interface PostgresJournalOptions {
  url: string // postgres://... of a migrated database
  clock: Clock
  random: Random
}

export class PostgresJournal implements Journal {
  readonly #writes: Grouper<GroupRequest, GroupResult>
  readonly #cards: Grouper<string, Card | null>
  readonly #writer: Writer
  readonly #pool: Pool
  #closed = false

  /** Connects when first used; the database must be migrated (migrate.ts). */
  constructor(options: PostgresJournalOptions) {
    const { url, clock, random } = options
    const nowMs = (): number => clock.monotonicMs()
    this.#writer = new Writer(url, clock, random, (sinceMs) =>
      this.#writes.expire(sinceMs, tooOld),
    )
    this.#writes = new Grouper(
      (group) => this.#writer.work(group),
      {
        groupMax: GROUP_REQUESTS_MAX,
        queueMax: QUEUE_REQUESTS_MAX,
        reserveMax: QUEUE_RESERVE_MAX,
      },
      nowMs,
      queueFull,
    )
    this.#cards = new Grouper(
      (group) => this.#findCards(group),
      { groupMax: CARD_BATCH_MAX, queueMax: CARD_QUEUE_MAX, reserveMax: 0 },
      nowMs,
      queueFull,
    )
    this.#pool = new Pool({
      connectionString: url,
      max: READ_CONNECTIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      statement_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
      application_name: 'switchyard journal reads',
    })
    this.#pool.on('error', () => {}) // an idle connection was lost; the next read opens another
  }

  /** Requests that wait for a group; for metrics. */
  get waiting(): number {
    return this.#writes.waiting
  }

  findCard(panToken: Uint8Array): Promise<Card | null> {
    if (this.#closed) return Promise.reject(closed())
    return this.#cards.submit(byteaText(panToken))
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
    id: string,
    stan: string,
    transmissionAt: string,
    nextAttemptAt: number,
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
    const rows = await this.#read(queries.dueSafQuery(destination, Math.floor(nowMs), limit))
    return rows.map(queries.safRow)
  }

  async safList(): Promise<SafSummary[]> {
    const rows = await this.#read(queries.safListQuery())
    return rows.map(queries.safSummary)
  }

  /**
   * Puts parked messages of a reference number back into their queue, with their count begun anew;
   * an operator's act, so not part of the port. Gives how many there were.
   */
  async requeueSaf(rrn: string, nowMs: number): Promise<number> {
    const rows = await this.#write<{ id: string }>(queries.requeueSafQuery(rrn, nowMs))
    return rows.length
  }

  async recover(nowMs: number): Promise<number> {
    let settled = 0
    for (;;) {
      const [row] = await this.#write<{ settled: number }>(queries.recoverQuery(Math.floor(nowMs)))
      const count = row === undefined ? 0 : row.settled
      settled += count
      crashPoint('recovery.after_batch')
      if (count < RECOVER_BATCH) return settled
    }
  }

  async takeNumbers(counter: string, count: number, max: number): Promise<number> {
    if (!Number.isSafeInteger(max) || !Number.isInteger(count) || count < 1 || count > max) {
      throw new RangeError('a block has 1 to max numbers')
    }
    crashPoint('numbers.before_taken')
    const [row] = await this.#write<{ first: string }>(queries.numbersQuery(counter, count, max))
    crashPoint('numbers.after_taken')
    if (row === undefined) throw new JournalUnavailable('no number came back', true)
    return Number(row.first)
  }

  async history(rrn: string): Promise<TxnHistory[]> {
    const txns = await this.#read(queries.historyQuery(rrn))
    if (txns.length === 0) return []
    const ids = txns.map((txn) => txn.id)
    const [postings, safs] = await Promise.all([
      this.#read(queries.historyPostingsQuery(ids)),
      this.#read(queries.historySafQuery(ids)),
    ])
    return queries.histories(txns, postings, safs)
  }

  async keyBlock(name: string): Promise<string | null> {
    const [row] = await this.#read(queries.keyBlockQuery(name))
    return row === undefined ? null : row.block
  }

  async putKeyBlock(name: string, block: string, kcv: string, usage: string): Promise<void> {
    await this.#write(queries.putKeyBlockQuery(name, block, kcv, usage))
  }

  async healthy(): Promise<boolean> {
    try {
      await this.#pool.query('SELECT 1')
      return true
    } catch {
      return false
    }
  }

  /** Takes no more requests, finishes those it has, and ends all connections. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all([this.#writes.idle(), this.#cards.idle()])
    const { writer } = this.#writer.connection
    await this.#writer.connection.close()
    if (writer !== null) {
      // Only tidiness: nobody reads the mark of a writer that is gone.
      await this.#pool.query(queries.forgetWriterQuery(writer)).catch(() => {})
    }
    await this.#pool.end()
  }

  /** Every act yields its own result; `act` in acts.ts is the table that pairs them. */
  async #submit<R extends GroupResult>(request: GroupRequest, reserved: boolean): Promise<R> {
    if (this.#closed) throw closed()
    checkRequest(request)
    return (await this.#writes.submit(request, reserved)) as R
  }

  #saf(change: SafChange): Promise<void> {
    if (!/^[0-9]{1,18}$/.test(change.id)) return Promise.reject(new RangeError('not a SAF id'))
    return this.#submit<undefined>({ act: 'saf', change }, true)
  }

  async #findCards(group: Array<Pending<string, Card | null>>): Promise<[]> {
    const tokens = [...new Set(group.map((pending) => pending.request))]
    const rows = await this.#read(queries.cardsQuery(tokens))
    const found = new Map<string, CardRow>()
    for (const { row } of rows) found.set(row.pan_token, row)
    for (const pending of group) {
      const row = found.get(pending.request)
      pending.resolve(row === undefined ? null : cardImage(row).card)
    }
    return []
  }

  async #read<R extends QueryResultRow>(query: queries.Typed<R>): Promise<R[]> {
    return this.#ask(query, false)
  }

  async #write<R extends QueryResultRow>(query: QueryConfig): Promise<R[]> {
    return this.#ask(query, true)
  }

  async #ask<R extends QueryResultRow>(query: QueryConfig, unknown: boolean): Promise<R[]> {
    if (this.#closed) throw closed()
    try {
      return (await this.#pool.query<R>(query)).rows
    } catch (error) {
      throw new JournalUnavailable(troubleText(error), unknown)
    }
  }
}

const NO_CHANGE = {
  stan: '',
  transmissionAt: '',
  nextAttemptAtMs: 0,
  lastAnswer: '',
  why: '',
}

function queueFull(): JournalUnavailable {
  return new JournalUnavailable('too many requests are waiting for the database', false)
}

function closed(): JournalUnavailable {
  return new JournalUnavailable('the journal is closed', false)
}
