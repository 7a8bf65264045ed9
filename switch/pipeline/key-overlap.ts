/**
 * The time after a key change in which messages made with the key of before are still right
 * (behaviours.md G48).
 *
 * main.ts tells it of each change of a zone key; steps that verify or decrypt ask the token with
 * the new key first and, within the overlap, once more with the one of before. New messages are
 * made with the new key only.
 */

import type { Hsm, HsmResult, VerifyMacRequest } from '../../hsm/port.ts'
import type { Clock } from '../runtime/clock.ts'

/** Longer than any request waits for its answer, shorter than an attacker's patience. */
export const KEY_OVERLAP_MS = 120_000

export class KeyOverlap {
  readonly #clock: Clock
  readonly #endsMono = new Map<string, number>() // by key name; as many as zone keys

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The key was replaced now; its block of before is kept under `previousName`. */
  replaced(name: string): void {
    this.#endsMono.set(name, this.#clock.monotonicMs() + KEY_OVERLAP_MS)
  }

  /**
   * A terminal's key was replaced: the one of before stays right until the new one was seen in use,
   * because the answer that carried it may be lost, and anybody can ask for new keys.
   */
  replacedUntilProven(name: string): void {
    this.#endsMono.set(name, Infinity)
  }

  /** True when a replacement was not seen in use yet: its predecessor must not be overwritten. */
  isUnproven(name: string): boolean {
    return this.#endsMono.get(name) === Infinity
  }

  /** The new key was seen in use: the one of before is over. */
  proven(name: string): void {
    if (this.isUnproven(name)) this.#endsMono.delete(name)
  }

  /** Name of the key of before while the overlap lasts, else null. */
  previous(name: string): string | null {
    const ends = this.#endsMono.get(name)
    if (ends === undefined) return null
    if (this.#clock.monotonicMs() < ends) return previousName(name)
    this.#endsMono.delete(name)
    return null
  }
}

/** Under which name the block of before is kept. */
export function previousName(name: string): string {
  return `${name}@previous`
}

/**
 * Verifies with the key in force and, while the overlap lasts, with the one of before; gives the
 * name of the key that was right.
 */
export async function verifyMacInOverlap(
  hsm: Hsm,
  overlap: KeyOverlap,
  request: VerifyMacRequest,
): Promise<HsmResult<string>> {
  const result = await hsm.verifyMac(request)
  if (result.outcome === 'ok') {
    overlap.proven(request.key)
    return { outcome: 'ok', value: request.key }
  }
  const key = result.outcome === 'mac_mismatch' ? overlap.previous(request.key) : null
  if (key === null) return result
  const before = await hsm.verifyMac({ ...request, key })
  return before.outcome === 'ok' ? { outcome: 'ok', value: key } : before
}
