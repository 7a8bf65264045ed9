/**
 * Types whose text form is masked: whatever prints them prints no card data.
 *
 * Used by every room that holds a PAN, track or PIN block as a value. The clear value is read by
 * `reveal()` only, which the tidy test allows in few places. Masking is PCI DSS 3.4: first six and
 * last four digits at most, and it fails closed: a value that does not look like a PAN is masked
 * whole.
 */

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/**
 * Masks a PAN as first six, asterisks, last four; anything that is not 12 to 19 digits becomes
 * asterisks only.
 */
export function maskPan(pan: string): string {
  if (!/^[0-9]{12,19}$/.test(pan)) return '*'.repeat(Math.min(pan.length, 19))
  return pan.slice(0, 6) + '*'.repeat(pan.length - 10) + pan.slice(-4)
}

/** A primary account number; 8 to 19 digits as the message carried them. */
export class Pan {
  readonly #digits: string
  readonly masked: string

  constructor(digits: string) {
    this.#digits = digits
    this.masked = maskPan(digits)
  }

  /** The clear digits, for codec, vault and token calls only. */
  reveal(): string {
    return this.#digits
  }

  toString(): string {
    return this.masked
  }

  toJSON(): string {
    return this.masked
  }

  [INSPECT](): string {
    return this.masked
  }
}

/**
 * Track data, PIN blocks and whatever else must never be seen: its text form says only what it is.
 */
export class Secret<T extends string | Uint8Array> {
  readonly #value: T
  readonly what: string

  constructor(what: string, value: T) {
    this.what = what
    this.#value = value
  }

  /** The clear value, for codec and token calls only. */
  reveal(): T {
    return this.#value
  }

  toString(): string {
    return `[${this.what}]`
  }

  toJSON(): string {
    return `[${this.what}]`
  }

  [INSPECT](): string {
    return `[${this.what}]`
  }
}
