// A clock that stands still until it is told to move: for tests and for the simulation.
// The same calls give the same order on every run: timers fire by due time, and those due at the
// same millisecond fire in the order in which they were made. It must never read real time.
import { checkedDelay, type Clock, type Timer } from './clock.ts'

/** Timers fired by one advance; more means one that re-arms itself without letting time pass. */
export const FIRINGS_PER_ADVANCE_MAX = 10_000_000

/** Wall time at which a virtual clock starts unless told otherwise: 2026-01-05 08:00:00 UTC. */
export const VIRTUAL_START_MS = Date.UTC(2026, 0, 5, 8)

/** One pending timer; a heap entry. `periodMs` 0 means once. */
interface Entry {
  dueMs: number
  readonly order: number
  readonly periodMs: number
  readonly fn: () => void
  cancelled: boolean
}

/** A Clock moved by hand. */
export class VirtualClock implements Clock {
  readonly #heap: Entry[] = []
  #wallOffsetMs: number
  #nowMs = 0
  #made = 0

  /** @param startWallMs what wallMs() says at first, milliseconds since 1970 UTC */
  constructor(startWallMs: number = VIRTUAL_START_MS) {
    this.#wallOffsetMs = startWallMs
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#add(checkedDelay(delayMs), 0, fn)
  }

  every(periodMs: number, fn: () => void): Timer {
    const period = checkedDelay(periodMs)
    return this.#add(period, period, fn)
  }

  /** Timers not yet fired nor cancelled: a test asserts 0 here to find leaks. */
  get pending(): number {
    let count = 0
    for (const entry of this.#heap) if (!entry.cancelled) count++
    return count
  }

  /** Milliseconds until the next timer, or undefined when none is pending. */
  nextInMs(): number | undefined {
    this.#dropCancelled()
    const first = this.#heap[0]
    return first === undefined ? undefined : first.dueMs - this.#nowMs
  }

  /** Steps the wall clock only, as an operator or NTP does; timers are not touched. */
  stepWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  /**
   * Moves time forward and fires what becomes due, each timer at its own instant.
   * Callbacks run one after another in this call; promises they resolve settle only afterwards
   * (use advanceAsync when the code under test awaits between timers).
   *
   * @param byMs milliseconds, >= 0
   */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs
    if (!(byMs >= 0)) throw new RangeError(`a clock does not go back: ${byMs} ms`)
    for (let fired = 0; this.#fireNext(endMs); fired++) {
      if (fired >= FIRINGS_PER_ADVANCE_MAX) throw new Error('a timer re-arms itself without end')
    }
    this.#nowMs = endMs
  }

  /**
   * As advance(), but lets everything that is ready in Node's own queues run before the first and
   * after each timer, so that code which awaits gets as far as it would between two instants.
   *
   * @param byMs milliseconds, >= 0
   */
  async advanceAsync(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs
    if (!(byMs >= 0)) throw new RangeError(`a clock does not go back: ${byMs} ms`)
    await settle()
    for (let fired = 0; this.#fireNext(endMs); fired++) {
      if (fired >= FIRINGS_PER_ADVANCE_MAX) throw new Error('a timer re-arms itself without end')
      await settle()
    }
    this.#nowMs = endMs
  }

  #add(delayMs: number, periodMs: number, fn: () => void): Timer {
    const entry: Entry = {
      dueMs: this.#nowMs + delayMs,
      order: this.#made++,
      periodMs,
      fn,
      cancelled: false,
    }
    push(this.#heap, entry)
    return {
      cancel: () => {
        entry.cancelled = true
      },
    }
  }

  /** Fires the earliest timer due by `endMs`; false when there is none. */
  #fireNext(endMs: number): boolean {
    this.#dropCancelled()
    const entry = this.#heap[0]
    if (entry === undefined || entry.dueMs > endMs) return false
    pop(this.#heap)
    this.#nowMs = entry.dueMs
    if (entry.periodMs > 0) {
      entry.dueMs += entry.periodMs
      push(this.#heap, entry)
    }
    entry.fn()
    return true
  }

  #dropCancelled(): void {
    while (this.#heap[0]?.cancelled === true) pop(this.#heap)
  }
}

/** Lets microtasks, I/O that is ready and setImmediate callbacks run once. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

function before(a: Entry, b: Entry): boolean {
  return a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs
}

/** Binary heap, smallest first: parent of i is (i - 1) >> 1. */
function push(heap: Entry[], entry: Entry): void {
  let at = heap.length
  heap.push(entry)
  while (at > 0) {
    const up = (at - 1) >> 1
    const parent = heap[up]
    if (parent === undefined || !before(entry, parent)) break
    heap[at] = parent
    at = up
  }
  heap[at] = entry
}

function pop(heap: Entry[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    let down = 2 * at + 1
    const left = heap[down]
    if (left === undefined) break
    const right = heap[down + 1]
    let child = left
    if (right !== undefined && before(right, left)) {
      down++
      child = right
    }
    if (!before(child, last)) break
    heap[at] = child
    at = down
  }
  heap[at] = last
}
