/**
 * Trace numbers and retrieval reference numbers: unique across restarts and nodes, handed out
 * without waiting.
 *
 * Blocks are reserved durably in the journal and used from memory; a crash loses the rest of a
 * block, never repeats one. Used by links (network messages) and steps. behaviours.md B11: STAN per
 * link wraps 999999 to 1, RRN per acquirer and day.
 */

import type { Journal } from '../journal/port.ts'
import { NUMBER_BLOCK, NUMBER_REFILL_AT } from '../limits.ts'

const STAN_MAX = 999_999

class Counter {
  readonly name: string
  next = 0
  left = 0
  spare = 0 // first of a reserved block that is not begun, 0 when there is none
  refilling: Promise<void> | null = null

  constructor(name: string) {
    this.name = name
  }
}

export class Numbers {
  readonly #journal: Journal
  readonly #counters = new Map<string, Counter>()
  readonly #failed: (error: unknown) => void

  constructor(journal: Journal, failed: (error: unknown) => void) {
    this.#journal = journal
    this.#failed = failed
  }

  /** Reserves the first block of each counter; must be awaited before numbers are taken. */
  async prepare(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const counter = new Counter(name)
      this.#counters.set(name, counter)
      await this.#refill(counter)
    }
  }

  /**
   * The next six-digit number of a counter, or null when the database has not given a new block in
   * time.
   */
  take(name: string): string | null {
    const counter = this.#counters.get(name)
    if (!counter) return null
    if (counter.left === 0 && counter.spare !== 0) this.#begin(counter)
    if (counter.left === 0) {
      this.#refillSoon(counter)
      return null
    }
    const number = counter.next
    counter.next = number === STAN_MAX ? 1 : number + 1
    counter.left--
    if (counter.left <= NUMBER_REFILL_AT && counter.spare === 0) this.#refillSoon(counter)
    return String(number).padStart(6, '0')
  }

  #begin(counter: Counter): void {
    counter.next = counter.spare
    counter.left = NUMBER_BLOCK
    counter.spare = 0
  }

  #refillSoon(counter: Counter): void {
    if (counter.refilling) return
    counter.refilling = this.#refill(counter)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        counter.refilling = null
      })
  }

  async #refill(counter: Counter): Promise<void> {
    counter.spare = await this.#journal.takeNumbers(counter.name, NUMBER_BLOCK, STAN_MAX)
    if (counter.left === 0) this.#begin(counter)
  }
}
