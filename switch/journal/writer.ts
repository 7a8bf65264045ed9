/**
 * The writing side of the PostgreSQL journal: runs a batch of requests as one transaction and knows
 * what became of it.
 *
 * Called by the grouper of `postgres.ts`, one batch at a time. A batch is two round trips: BEGIN
 * with the read, then the write with COMMIT. What can go wrong, and what follows:
 *
 *   before the write was sent      nothing happened: again, until the requests are too old
 *   the database refuses rows      rolled back: each request by itself, a bad row fails alone
 *   another writer was in the way  rolled back: read and decide again
 *   lost after the write was sent  unknown: this writer's mark, set in the same commit, is read
 *                                  under lock. There: done. Not there: again. Cannot be read:
 *                                  reject with outcomeUnknown.
 *
 * It must never answer a request whose commit is not known, and never repeat a group whose absence
 * is not proven.
 */
import type { Clock } from '../runtime/clock.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import type { Random } from '../runtime/random.ts'
import { ulid } from '../runtime/ulid.ts'
import { act } from './acts.ts'
import type { ActTools, GroupResult } from './acts.ts'
import { troubleOf, troubleText, WriterConnection } from './connection.ts'
import { DEFER, Group, RefusedRequest, StaleRead } from './group.ts'
import type { GroupRequest } from './group.ts'
import { fillGroup, readQuery } from './group-read.ts'
import type { ReadRow } from './group-read.ts'
import { refillQueries, roleKey, rolesNeeded, ROLES_SQL, writeQuery } from './group-write.ts'
import type { Pending } from './grouper.ts'
import {
  COMMIT_TIMEOUT_MS,
  GROUP_ATTEMPTS_MAX,
  QUERY_TIMEOUT_MS,
  REQUEST_AGE_MS_MAX,
  RESOLVE_MS_MAX,
  ROLE_ACCOUNTS_CACHED_MAX,
} from './limits.ts'
import { JournalUnavailable } from './port.ts'

export type PendingRequest = Pending<GroupRequest, GroupResult>

/** How one attempt at a batch ended. */
type Attempt =
  | { end: 'done'; deferred: PendingRequest[] }
  | { end: 'absent' | 'again' | 'refused' | 'unwell' | 'unknown'; why: string }

/** One request's place in a decided group. */
type Settlement =
  | { pending: PendingRequest; result: GroupResult }
  | { pending: PendingRequest; error: Error }

/** A group as decided, before its write is known to be durable. */
interface Decided {
  group: Group
  settlements: Settlement[]
  deferred: PendingRequest[]
}

export class Writer {
  readonly connection: WriterConnection
  readonly #clock: Clock
  readonly #tools: ActTools
  readonly #roles = new Map<string, number>()
  readonly #expireQueue: (sinceMs: number) => void
  #mark = 0 // of the last group sent
  #fence = 0 // raised whenever a lost group is looked for

  /** @param expireQueue rejects what waits in the queue since before a monotonic instant */
  constructor(
    url: string,
    clock: Clock,
    random: Random,
    expireQueue: (sinceMs: number) => void,
  ) {
    this.connection = new WriterConnection(url, clock, random)
    this.#clock = clock
    this.#tools = { random, newId: () => ulid(clock, random) }
    this.#expireQueue = expireQueue
  }

  /** Settles every request of the batch but those it returns, which come again. */
  async work(batch: PendingRequest[]): Promise<PendingRequest[]> {
    let requests = batch
    for (let attempt = 1; ; ) {
      requests = this.#dropOld(requests)
      if (requests.length === 0) return []
      const outcome = await this.#attempt(requests)
      if (outcome.end === 'done') return outcome.deferred
      if (outcome.end === 'absent') continue // bounded by age
      if (outcome.end === 'unknown') return rejectAll(requests, outcome.why, true)
      if (outcome.end === 'unwell') return rejectAll(requests, outcome.why, false)
      if (outcome.end === 'again' && attempt++ < GROUP_ATTEMPTS_MAX) continue
      if (requests.length === 1) return rejectAll(requests, outcome.why, false)
      return this.#oneByOne(requests)
    }
  }

  /** A bad row is among them: each in a transaction of its own. */
  async #oneByOne(requests: PendingRequest[]): Promise<PendingRequest[]> {
    for (const request of requests) {
      const deferred = await this.work([request])
      if (deferred.length > 0) throw new Error('the only request of a group was deferred')
    }
    return []
  }

  async #attempt(requests: PendingRequest[]): Promise<Attempt> {
    let decided: Decided
    try {
      await this.connection.open()
      decided = await this.#readAndDecide(requests)
      crashPoint('group.after_read')
      if (!decided.group.writes) {
        await this.connection.send(['ROLLBACK'], QUERY_TIMEOUT_MS)
        return settle(decided)
      }
      await this.#prepare(decided.group)
      crashPoint('group.after_prepare')
    } catch (error) {
      return await this.#undone(error)
    }
    return await this.#write(decided)
  }

  /** BEGIN and the locking read in one round trip, then every act in the order of arrival. */
  async #readAndDecide(requests: PendingRequest[]): Promise<Decided> {
    const read = readQuery(requests.map((pending) => pending.request))
    const [, rows] = await this.connection.send<ReadRow>(['BEGIN', read], QUERY_TIMEOUT_MS)
    const group = new Group(this.#clock.wallMs())
    fillGroup(group, rows === undefined ? [] : rows.rows)
    const settlements: Settlement[] = []
    const deferred: PendingRequest[] = []
    for (const pending of requests) {
      try {
        const result = act(group, pending.request, this.#tools)
        if (result === DEFER) deferred.push(pending)
        else settlements.push({ pending, result })
      } catch (error) {
        if (!(error instanceof RefusedRequest)) throw error
        settlements.push({ pending, error })
      }
    }
    return { group, settlements, deferred }
  }

  /**
   * What must be there before the one write statement: role accounts that were never used, late
   * originals.
   */
  async #prepare(group: Group): Promise<void> {
    const { codes, currencies } = rolesNeeded(group, (key) => this.#roles.has(key))
    if (codes.length > 0) {
      const query = { name: 'group_roles', text: ROLES_SQL, values: [codes, currencies] }
      const [found] = await this.connection.send<{ id: string; code: string; currency: string }>(
        [query],
        QUERY_TIMEOUT_MS,
      )
      group.openedRoles = (found === undefined ? [] : found.rows).map((row) => ({
        key: roleKey(row.code, row.currency),
        id: Number(row.id),
      }))
    }
    const refills = refillQueries(group)
    if (refills.length > 0) await this.connection.send(refills, QUERY_TIMEOUT_MS)
  }

  /**
   * The write and its COMMIT; from the moment they are sent, a lost connection leaves a question.
   */
  async #write(decided: Decided): Promise<Attempt> {
    const { group } = decided
    this.#mark += 1
    try {
      const opened = new Map(group.openedRoles.map((role) => [role.key, role.id]))
      const roles = (key: string): number | undefined => this.#roles.get(key) ?? opened.get(key)
      const write = writeQuery(group, roles, {
        id: this.connection.writer ?? '0',
        mark: this.#mark,
        fence: this.#fence,
      })
      const sent = this.connection.send([write, 'COMMIT'], COMMIT_TIMEOUT_MS)
      crashPoint('group.after_write_sent')
      const [, commit] = await sent
      if (commit === undefined || commit.command !== 'COMMIT') {
        return { end: 'again', why: 'the transaction was rolled back' }
      }
    } catch (error) {
      const lost = !(error instanceof StaleRead) && troubleOf(error) === 'lost'
      if (!lost) return await this.#undone(error)
      this.connection.drop()
      const found = await this.#findMark()
      if (found !== 'there') return { end: found, why: troubleText(error) }
    }
    crashPoint('group.after_commit')
    this.#remember(group)
    return settle(decided)
  }

  /**
   * Looks for the mark of the group whose COMMIT got no answer. The lock waits for the end of the
   * old transaction, whose server process may not have noticed yet that we are gone; the raised
   * fence stops it when it has not begun to write.
   */
  async #findMark(): Promise<'there' | 'absent' | 'unknown'> {
    const until = this.#clock.monotonicMs() + RESOLVE_MS_MAX
    while (this.#clock.monotonicMs() < until) {
      try {
        await this.connection.open()
        this.#fence += 1
        const ask = {
          text: `UPDATE journal_writer SET fence = greatest(fence, $2::bigint), marked_at = now()
                 WHERE writer = $1 RETURNING group_mark`,
          values: [this.connection.writer, this.#fence],
        }
        const [found] = await this.connection.send<{ group_mark: string }>([ask], QUERY_TIMEOUT_MS)
        const row = found === undefined ? undefined : found.rows[0]
        if (row !== undefined) return Number(row.group_mark) === this.#mark ? 'there' : 'absent'
      } catch (error) {
        if (troubleOf(error) === 'lost') this.connection.drop()
      }
    }
    return 'unknown'
  }

  /** Nothing of the group is in the database; says what to do next. */
  async #undone(error: unknown): Promise<Attempt> {
    const why = troubleText(error)
    if (error instanceof StaleRead) {
      await this.#rollBack()
      return { end: 'again', why: error.message }
    }
    const trouble = troubleOf(error)
    if (trouble === 'lost') {
      this.connection.drop()
      return { end: 'absent', why }
    }
    await this.#rollBack()
    return { end: trouble, why }
  }

  async #rollBack(): Promise<void> {
    try {
      await this.connection.send(['ROLLBACK'], QUERY_TIMEOUT_MS)
    } catch {
      this.connection.drop() // the server rolls back by itself
    }
  }

  #remember(group: Group): void {
    if (this.#roles.size + group.openedRoles.length > ROLE_ACCOUNTS_CACHED_MAX) this.#roles.clear()
    for (const role of group.openedRoles) this.#roles.set(role.key, role.id)
  }

  /** Rejects what is too old to be started, here and in the queue. */
  #dropOld(requests: PendingRequest[]): PendingRequest[] {
    const sinceMs = this.#clock.monotonicMs() - REQUEST_AGE_MS_MAX
    this.#expireQueue(sinceMs)
    return requests.filter((pending) => {
      if (pending.sinceMs >= sinceMs) return true
      pending.reject(tooOld())
      return false
    })
  }
}

/** The error of a request that waited too long; nothing of it is in the database. */
export function tooOld(): JournalUnavailable {
  return new JournalUnavailable('the database was not available in time', false)
}

function settle(decided: Decided): Attempt {
  for (const settlement of decided.settlements) {
    if ('error' in settlement) settlement.pending.reject(settlement.error)
    else settlement.pending.resolve(settlement.result)
  }
  return { end: 'done', deferred: decided.deferred }
}

function rejectAll(requests: PendingRequest[], why: string, outcomeUnknown: boolean): [] {
  for (const pending of requests) pending.reject(new JournalUnavailable(why, outcomeUnknown))
  return []
}
