/**
 * Chance of the simulation: fast, and the same from the same seed. Every part draws from a stream
 * of its own, so that leaving one part out does not change what the others do. Never for secrets.
 */
import type { Random } from '../../switch/runtime/random.ts'

/** A stream of draws; the Random port of the switch and a few words more. */
export class Chance implements Random {
  #a: number
  #b: number
  #c: number
  #d = 1

  /** @param seed any text; equal texts give equal streams */
  constructor(seed: string) {
    this.#a = textHash(seed, 0x811c9dc5)
    this.#b = textHash(seed, 0x9e3779b9)
    this.#c = textHash(seed, 0x85ebca6b)
    for (let i = 0; i < 12; i++) this.next()
  }

  /** 32 bits, unsigned: sfc32, Chris Doty-Humphrey's PractRand. */
  next(): number {
    const t = (this.#a + this.#b + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t | 0
    return t >>> 0
  }

  bytes(count: number): Buffer {
    const out = Buffer.allocUnsafe(count)
    for (let at = 0; at < count; at++) out[at] = this.next() & 0xff
    return out
  }

  /** 0 <= n < limit. The slight unevenness of the last stripe does not matter here. */
  below(limit: number): number {
    if (limit > 0x1_0000_0000) return (this.next() * 0x1_0000 + (this.next() & 0xffff)) % limit
    return Math.floor((this.next() / 0x1_0000_0000) * limit)
  }

  /** low <= n <= high. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True in `of10000` of ten thousand draws; draws nothing when that is never. */
  happens(of10000: number): boolean {
    return of10000 > 0 && this.below(10_000) < of10000
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.below(from.length)]
    if (found === undefined) throw new Error('nothing to pick from')
    return found
  }
}

/** FNV-1a over UTF-16 units. */
function textHash(text: string, start: number): number {
  let hash = start
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash | 0
}

/** What happened, as one number: equal runs have equal hashes. Two lanes of 32 bits. */
export class EventHash {
  #low = 0x811c9dc5 | 0
  #high = 0x9e3779b9 | 0
  events = 0

  number(value: number): void {
    this.#low = Math.imul(this.#low ^ (value | 0), 0x01000193)
    this.#high = Math.imul(this.#high ^ Math.trunc(value / 0x1_0000_0000) ^ value, 0x85ebca6b)
    this.#high = (this.#high << 13) | (this.#high >>> 19)
  }

  bytes(bytes: Uint8Array): void {
    this.events++
    this.number(bytes.length)
    for (let i = 0; i < bytes.length; i++) {
      this.#low = Math.imul(this.#low ^ bytes[i]!, 0x01000193)
      this.#high = (Math.imul(this.#high, 31) + bytes[i]!) | 0
    }
  }

  text(): string {
    const part = (lane: number): string => (lane >>> 0).toString(16).padStart(8, '0')
    return part(this.#high) + part(this.#low)
  }
}
