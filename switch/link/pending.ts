// hot path
/**
 * Requests that wait for an answer, one table per link. Each ends in exactly one of answered,
 * timedOut, lost, once: its slot is given up before its handler is told, so that an answer, a
 * deadline and a lost connection cannot all win.
 *
 * Deadlines lie in a typed array and one sweep looks after all of them; there is no timer per
 * message. Called by link.ts only. It must never read a clock or a socket. Sources: behaviours.md
 * 9, 10, 15, 35 to 38; cups-host.md section 13.
 */
import type { AnswerHandler, NearMiss } from './contract.ts'
import {
  ANSWERED_KEYS_MAX, ENDED_KEY_AGE_MS_MAX, ENDED_KEYS_MAX, NEAR_MISS_SCAN_MAX, PENDING_SLOTS_START,
} from './limits.ts'

export type OpenOutcome = 'open' | 'pending_full' | 'key_in_use'

const NEVER = Number.POSITIVE_INFINITY
const FREE = -1

/** Told when a slot is found ended by the one who owns no request; its methods are never called. */
const NOBODY: AnswerHandler = {
  answered() {},
  timedOut() {},
  lost() {},
}

/**
 * Separates the parts of a key; a part that contains it makes the near-miss report poorer, never a
 * match wrong.
 */
export const KEY_SEPARATOR = '|'

export class PendingTable {
  readonly #max: number
  readonly #slotOf = new Map<string, number>()
  readonly #ended: EndedKeys
  readonly #answered: EndedKeys
  /** Monotonic ms; NEVER in a free slot, so that the sweep needs no second look. */
  #deadlines: Float64Array
  #connections: Int32Array
  /** Next free slot after this one, a list through the free slots. */
  #nextFree: Int32Array
  #keys: string[] = []
  #owners: string[] = []
  #handlers: AnswerHandler[] = []
  #firstFree = FREE
  /** Slots ever used; those beyond are fresh. */
  #used = 0
  /** No deadline is earlier than this; it may be too early, never too late. */
  #earliest = NEVER

  /** @param max requests waiting at once; one more is refused */
  constructor(max: number) {
    this.#max = max
    const slots = Math.min(max, PENDING_SLOTS_START)
    this.#deadlines = new Float64Array(slots)
    this.#connections = new Int32Array(slots)
    this.#nextFree = new Int32Array(slots)
    this.#ended = new EndedKeys(ENDED_KEYS_MAX, ENDED_KEY_AGE_MS_MAX)
    this.#answered = new EndedKeys(ANSWERED_KEYS_MAX, ENDED_KEY_AGE_MS_MAX)
  }

  get size(): number {
    return this.#slotOf.size
  }

  /** When sweep() should be called next, monotonic ms; Infinity when nothing waits. */
  get nextDeadline(): number {
    return this.#slotOf.size === 0 ? NEVER : this.#earliest
  }

  /**
   * Registers a request. An identical key while one waits is refused, never overwritten.
   *
   * @param deadlineMono monotonic ms
   * @param connectionId the connection it leaves on; 0 when that is not known yet (see assign)
   */
  open(
    key: string, owner: string, deadlineMono: number, connectionId: number, handler: AnswerHandler,
  ): OpenOutcome {
    if (this.#slotOf.has(key)) return 'key_in_use'
    if (this.#slotOf.size >= this.#max) return 'pending_full'
    const slot = this.#takeSlot()
    this.#slotOf.set(key, slot)
    this.#keys[slot] = key
    this.#owners[slot] = owner
    this.#handlers[slot] = handler
    this.#deadlines[slot] = deadlineMono
    this.#connections[slot] = connectionId
    if (deadlineMono < this.#earliest) this.#earliest = deadlineMono
    return 'open'
  }

  /** Notes on which connection the request went out. */
  assign(key: string, connectionId: number): void {
    const slot = this.#slotOf.get(key)
    if (slot !== undefined) this.#connections[slot] = connectionId
  }

  /** Forgets a request that was never sent: nobody is told, and its key is free again. */
  withdraw(key: string): void {
    const slot = this.#slotOf.get(key)
    if (slot !== undefined) this.#giveUp(slot)
  }

  /**
   * The answer is here: gives the handler to tell, or null when no request waits under this key.
   */
  take(key: string, nowMono: number): AnswerHandler | null {
    const slot = this.#slotOf.get(key)
    if (slot === undefined) return null
    const handler = this.#handlers[slot] ?? NOBODY
    this.#answered.add(key, this.#owners[slot] ?? '', nowMono)
    this.#giveUp(slot)
    return handler
  }

  /**
   * Ends one request as lost, e.g. because the network sent it back unprocessed; false when it does
   * not wait.
   */
  loseOne(key: string, cause: string, nowMono: number): boolean {
    const slot = this.#slotOf.get(key)
    if (slot === undefined) return false
    this.#end(slot, nowMono).lost(cause)
    return true
  }

  /**
   * The owner of a request that timed out or was lost a while ago; null when the key says nothing.
   */
  late(key: string, nowMono: number): { key: string; owner: string } | null {
    const owner = this.#ended.ownerOf(key, nowMono)
    return owner === null ? null : { key, owner }
  }

  /**
   * Whether a request under this key was answered lately: one more answer is a copy, not an
   * unknown.
   */
  answeredLately(key: string, nowMono: number): boolean {
    return this.#answered.ownerOf(key, nowMono) !== null
  }

  /** Ends every request whose deadline has come. */
  sweep(nowMono: number): void {
    if (nowMono < this.#earliest) return
    // Requests opened by a handler meanwhile lower it again.
    this.#earliest = NEVER
    let earliest = NEVER
    for (let slot = 0; slot < this.#used; slot++) {
      const deadline = this.#deadlines[slot]!
      if (deadline <= nowMono) this.#end(slot, nowMono).timedOut()
      else if (deadline < earliest) earliest = deadline
    }
    if (earliest < this.#earliest) this.#earliest = earliest
  }

  /** Ends every request that left on a connection which is gone. */
  lose(connectionId: number, cause: string, nowMono: number): void {
    for (let slot = 0; slot < this.#used; slot++) {
      if (this.#deadlines[slot] !== NEVER && this.#connections[slot] === connectionId) {
        this.#end(slot, nowMono).lost(cause)
      }
    }
  }

  /** Ends every request there is. */
  loseAll(cause: string, nowMono: number): void {
    for (let slot = 0; slot < this.#used; slot++) {
      if (this.#deadlines[slot] !== NEVER) this.#end(slot, nowMono).lost(cause)
    }
  }

  /**
   * The waiting request whose key differs in exactly one part, for the report of an answer that
   * matches nothing. A part other than the STAN counts as closer: neighbours often differ in the
   * STAN alone.
   *
   * @param fields the field of each part of the key, 0 for the MTI class
   */
  near(key: string, fields: readonly number[]): NearMiss | null {
    const parts = key.split(KEY_SEPARATOR)
    let best: NearMiss | null = null
    let looked = 0
    for (const [other, slot] of this.#slotOf) {
      if (++looked > NEAR_MISS_SCAN_MAX) break
      const at = onlyDifference(parts, other.split(KEY_SEPARATOR))
      if (at < 0) continue
      const field = fields[at] ?? 0
      if (best !== null && field === DE_STAN) continue
      best = { owner: this.#owners[slot] ?? '', field }
      if (field !== DE_STAN) break
    }
    return best
  }

  /**
   * Gives up the slot of a request that ended without answer, remembers its key, and says whom to
   * tell.
   */
  #end(slot: number, nowMono: number): AnswerHandler {
    const handler = this.#handlers[slot] ?? NOBODY
    this.#ended.add(this.#keys[slot] ?? '', this.#owners[slot] ?? '', nowMono)
    this.#giveUp(slot)
    return handler
  }

  #giveUp(slot: number): void {
    this.#slotOf.delete(this.#keys[slot] ?? '')
    this.#deadlines[slot] = NEVER
    this.#keys[slot] = ''
    this.#owners[slot] = ''
    this.#handlers[slot] = NOBODY
    this.#nextFree[slot] = this.#firstFree
    this.#firstFree = slot
  }

  #takeSlot(): number {
    const free = this.#firstFree
    if (free !== FREE) {
      this.#firstFree = this.#nextFree[free]!
      return free
    }
    if (this.#used === this.#deadlines.length) this.#grow()
    return this.#used++
  }

  #grow(): void {
    const slots = Math.min(this.#max, this.#deadlines.length * 2)
    const deadlines = new Float64Array(slots)
    const connections = new Int32Array(slots)
    const nextFree = new Int32Array(slots)
    deadlines.set(this.#deadlines)
    connections.set(this.#connections)
    nextFree.set(this.#nextFree)
    this.#deadlines = deadlines
    this.#connections = connections
    this.#nextFree = nextFree
  }
}

const DE_STAN = 11

/** Index of the one part in which two keys differ; -1 when it is not exactly one. */
function onlyDifference(a: readonly string[], b: readonly string[]): number {
  if (a.length !== b.length) return -1
  let at = -1
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue
    if (at >= 0) return -1
    at = i
  }
  return at
}

/** The newest keys of ended requests: a ring, bounded in number and in age. */
class EndedKeys {
  readonly #max: number
  readonly #ageMsMax: number
  readonly #at = new Map<string, number>()
  readonly #keys: string[] = []
  readonly #owners: string[] = []
  readonly #endedMono: number[] = []
  #next = 0

  constructor(max: number, ageMsMax: number) {
    this.#max = max
    this.#ageMsMax = ageMsMax
  }

  add(key: string, owner: string, nowMono: number): void {
    const at = this.#next
    this.#next = at + 1 === this.#max ? 0 : at + 1
    const old = this.#keys[at]
    // The same key may have ended again since: then it stands at a newer place, which stays.
    if (old !== undefined && this.#at.get(old) === at) this.#at.delete(old)
    this.#keys[at] = key
    this.#owners[at] = owner
    this.#endedMono[at] = nowMono
    this.#at.set(key, at)
  }

  ownerOf(key: string, nowMono: number): string | null {
    const at = this.#at.get(key)
    if (at === undefined) return null
    if (nowMono - this.#endedMono[at]! > this.#ageMsMax) return null
    return this.#owners[at] ?? null
  }
}
