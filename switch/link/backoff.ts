/**
 * Pauses between dials: doubling, bounded, and spread so that many links do not dial at the same
 * instant after an outage.
 *
 * Called by lifecycle.ts. It must never wait itself. Source: behaviours.md 46, 50.
 */
import type { Random } from '../runtime/random.ts'

export class Backoff {
  readonly #minMs: number
  readonly #maxMs: number
  readonly #random: Random
  #failures = 0

  /** The first pause lies between minMs and one and a half of it; no pause is longer than maxMs. */
  constructor(minMs: number, maxMs: number, random: Random) {
    this.#minMs = minMs
    this.#maxMs = Math.max(minMs, maxMs)
    this.#random = random
  }

  /** The next pause in ms, drawn evenly from the upper third of its bound. */
  nextMs(): number {
    const doubled = this.#minMs * 1.5 * 2 ** Math.min(this.#failures, 30)
    const high = Math.round(Math.min(this.#maxMs, doubled))
    const low = Math.min(high, Math.max(this.#minMs, Math.round((high * 2) / 3)))
    this.#failures++
    return low + this.#random.below(high - low + 1)
  }

  /** The connection has proved itself: the next pause is the first one again. */
  reset(): void {
    this.#failures = 0
  }
}
