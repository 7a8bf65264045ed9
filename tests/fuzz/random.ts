/**
 * Chance for fuzzing, made again from a number: the same seed gives the same draws on every
 * machine.
 *
 * Used by the engine, the mutators and the targets. It must never be used outside tests.
 */

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = (seed | 0) === 0 ? 0x9e3779b9 | 0 : seed | 0
    for (let i = 0; i < 4; i++) this.next()
  }

  /** 32 bits, unsigned. Marsaglia's xorshift32 with a multiplier. */
  next(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return Math.imul(x, 0x9e3779b1) >>> 0
  }

  /** A whole number from 0 to below `bound`; 0 when the bound is 0. */
  below(bound: number): number {
    return bound <= 0 ? 0 : Math.floor((this.next() / 0x1_0000_0000) * bound)
  }

  /** A whole number from `low` to `high`, both possible. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }

  pick<T>(from: readonly T[]): T {
    const one = from[this.below(from.length)]
    if (one === undefined) throw new Error('nothing to pick from')
    return one
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)))
  }

  /** `count` characters of an alphabet. */
  text(count: number, alphabet: string): string {
    let out = ''
    for (let i = 0; i < count; i++) out += alphabet.charAt(this.below(alphabet.length))
    return out
  }
}

/** A number from a word, so that each target has a seed of its own. FNV-1a. */
export function seedOf(word: string, base: number): number {
  let hash = 0x811c9dc5
  for (const character of word) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193)
  return (hash ^ Math.imul(base, 0x85ebca6b)) >>> 0
}
