/**
 * Collects requests while a group is being worked on, and hands over what has arrived when it is
 * done.
 *
 * Used by `postgres.ts`, once for writes and once for card look-ups. No fixed wait: an idle grouper
 * starts at the end of the current turn of the event loop, a busy one takes everything that came
 * meanwhile, up to the bound. It must never drop a request: each is resolved or rejected.
 *
 *   submit ─► queue (bounded) ─► group of up to groupMax ─► work() ─► resolve / reject
 *               ▲                                           │
 *               └────── deferred, back to the front ◄───────┘
 */

/** A request in hand. */
export interface Pending<Q, R> {
  request: Q
  sinceMs: number // monotonic
  resolve(result: R): void
  reject(error: Error): void
}

/** Settles every member of the group, except those it returns: they go first in the next group. */
export type Work<Q, R> = (group: Array<Pending<Q, R>>) => Promise<Array<Pending<Q, R>>>

export interface GrouperBounds {
  groupMax: number
  queueMax: number
  reserveMax: number // further places for submit(..., true)
}

export class Grouper<Q, R> {
  readonly #work: Work<Q, R>
  readonly #bounds: GrouperBounds
  readonly #nowMs: () => number
  readonly #full: () => Error
  #queue: Array<Pending<Q, R>> = []
  #running: Promise<void> | null = null

  /**
   * @param nowMs monotonic milliseconds
   * @param full makes the error for a request that finds no place
   */
  constructor(work: Work<Q, R>, bounds: GrouperBounds, nowMs: () => number, full: () => Error) {
    this.#work = work
    this.#bounds = bounds
    this.#nowMs = nowMs
    this.#full = full
  }

  /** Requests that wait, without those in hand. */
  get waiting(): number {
    return this.#queue.length
  }

  /**
   * Queues a request.
   *
   * @param reserved it may use the reserve when the queue is full
   */
  submit(request: Q, reserved = false): Promise<R> {
    const places = this.#bounds.queueMax + (reserved ? this.#bounds.reserveMax : 0)
    if (this.#queue.length >= places) return Promise.reject(this.#full())
    return new Promise<R>((resolve, reject) => {
      this.#queue.push({ request, sinceMs: this.#nowMs(), resolve, reject })
      if (this.#running === null) this.#running = this.#run()
    })
  }

  /** Rejects what has waited since before `sinceMs`. */
  expire(sinceMs: number, error: () => Error): void {
    const kept: Array<Pending<Q, R>> = []
    for (const pending of this.#queue) {
      if (pending.sinceMs < sinceMs) pending.reject(error())
      else kept.push(pending)
    }
    this.#queue = kept
  }

  /** Resolves when nothing waits and nothing is in hand. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  async #run(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)) // lets the rest of this turn arrive
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, this.#bounds.groupMax)
      try {
        const deferred = await this.#work(group)
        if (deferred.length > 0) this.#queue = [...deferred, ...this.#queue]
      } catch (error) {
        for (const pending of group) pending.reject(error as Error) // settled ones do not change
      }
    }
    this.#running = null
  }
}
