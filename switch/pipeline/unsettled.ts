/**
 * Transactions whose outcome the database did not take in time: settled when it is back
 * (reliability.md section 1, rule 5).
 *
 * Their originators were told nothing (they reverse by themselves), or `malfunction` where it is
 * known that nothing was posted. Whatever the database holds of them is undone: an intent becomes
 * timed out with its reversal; an approval that was committed after all is reversed; what was never
 * stored is remembered as reversed, so that a repeat is refused. Bounded; made by wiring.ts.
 */

import { UNSETTLED_MAX, UNSETTLED_RETRY_MS } from '../limits.ts'
import { JournalUnavailable } from '../journal/port.ts'
import type { Timer } from '../runtime/clock.ts'
import { ulid } from '../runtime/ulid.ts'
import type { Context } from './context.ts'
import { factsOf } from './facts.ts'
import type { Txn } from './txn.ts'

export class Unsettled {
  readonly #waiting: Txn[] = []
  #timer: Timer | null = null
  #busy = false

  /** True while a request with this key waits: a repeat must not hear of what will be undone. */
  has(businessKey: string): boolean {
    return this.#waiting.some((txn) => txn.businessKey === businessKey)
  }

  count(): number {
    return this.#waiting.length
  }

  /**
   * False when the list is full: the caller must stop taking new work; start-up recovery settles
   * the rest.
   */
  add(txn: Txn): boolean {
    if (this.#waiting.length >= UNSETTLED_MAX) return false
    this.#waiting.push(txn)
    return true
  }

  start(context: Context): void {
    this.#timer = context.clock.every(UNSETTLED_RETRY_MS, () => {
      if (this.#busy || this.#waiting.length === 0) return
      this.#busy = true
      this.#settleAll(context)
        .catch((error: unknown) => context.observer.failed('unsettled', error))
        .finally(() => {
          this.#busy = false
        })
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  async #settleAll(context: Context): Promise<void> {
    for (let left = this.#waiting.length; left > 0; left--) {
      const txn = this.#waiting[0]
      if (!txn) return
      try {
        await settle(txn, context)
        this.#waiting.shift()
      } catch (error) {
        if (!(error instanceof JournalUnavailable)) context.observer.failed('unsettled', error)
        // Tried again later, behind the others: one that is refused must not hold them up.
        this.#waiting.push(...this.#waiting.splice(0, 1))
      }
    }
  }
}

/**
 * The reversal goes first: it remembers a key that was never stored, and says whether there is an
 * intent to end. A conclusion of what is not there would be refused for ever.
 */
async function settle(txn: Txn, context: Context): Promise<void> {
  const { journal, clock, random } = context
  const facts = { ...factsOf(txn, context), id: ulid(clock, random) }
  const undone = await journal.reverse({
    facts: { ...facts, businessKey: `U|${txn.businessKey}` },
    originalKey: txn.businessKey,
    reversedAmountMinor: null,
    onlyTxnId: txn.id,
    events: [{ atMs: clock.wallMs(), what: 'outcome.undone', detail: 'database was away' }],
  })
  const { original } = undone
  if (original?.state === 'intent' && original.txnId === txn.id) {
    const moved = txn.kind !== 'balance' // an inquiry moved nothing
    await journal.conclude({
      txnId: txn.id,
      state: moved ? 'timed_out' : 'declined',
      answer: { ...txn.answer, reason: 'malfunction' },
      movements: [],
      reversal: moved ? 'link_lost' : null,
      events: [{ atMs: clock.wallMs(), what: 'outcome.settled_late', detail: txn.route }],
    })
  }
  if (txn.route !== '' && txn.route !== 'on_us') context.wakeSaf(txn.route)
}
