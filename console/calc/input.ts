// Typed reading of the `in` object of a calculator line. Called by every algorithm of
// console/calc. Errors name the input and say what is wrong with its form, never its value.

import { AlgorithmError, demand } from '../../hsm/algorithms/errors.ts'
import { fromHex } from '../../hsm/algorithms/bytes.ts'
import { pinFromText } from '../../hsm/algorithms/pin-block.ts'
import type { PinDigits } from '../../hsm/algorithms/pin-block.ts'

/** A line that asks for something the calculator cannot read: missing or wrong-typed input. */
export class CalcInputError extends Error {
  readonly kind: 'json' | 'unknown_alg' | 'missing' | 'input'

  constructor(kind: CalcInputError['kind'], subject: string) {
    super(`${kind}: ${subject}`)
    this.name = 'CalcInputError'
    this.kind = kind
  }
}

/** Result of an algorithm: texts, numbers, booleans, lists; hexadecimal in upper case. */
export type CalcOutput = Record<string, unknown>

/** One algorithm of the calculator. */
export type CalcAlgorithm = (input: CalcInput) => CalcOutput

/** The inputs of one line. */
export class CalcInput {
  readonly #values: Readonly<Record<string, unknown>>

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values
  }

  /** All inputs as they came, for lines that are answered by way of another algorithm. */
  values(): Readonly<Record<string, unknown>> {
    return this.#values
  }

  /** Whether the input is there; null counts as absent. */
  has(name: string): boolean {
    const value = Object.hasOwn(this.#values, name) ? this.#values[name] : undefined
    return value !== undefined && value !== null
  }

  /** Text of an input; numbers are accepted and written in decimal. */
  text(name: string): string {
    if (!this.has(name)) throw new CalcInputError('missing', name)
    const value = this.#values[name]
    if (typeof value === 'string') return value
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return String(value)
    throw new CalcInputError('input', `${name} must be a text`)
  }

  /** Text of an input that may be absent. */
  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined
  }

  /** A whole number, 0 or more; `fallback` when absent. */
  integer(name: string, fallback?: number): number {
    if (!this.has(name) && fallback !== undefined) return fallback
    const text = this.text(name)
    if (!/^[0-9]{1,9}$/.test(text)) throw new CalcInputError('input', `${name} must be a number`)
    return Number(text)
  }

  /** A whole number that may be absent. */
  optionalInteger(name: string): number | undefined {
    return this.has(name) ? this.integer(name) : undefined
  }

  /** Bytes of a hexadecimal input. */
  hex(name: string): Uint8Array {
    const text = this.text(name)
    if (!/^([0-9A-Fa-f]{2})*$/.test(text)) {
      throw new CalcInputError('input', `${name} must be pairs of hexadecimal digits`)
    }
    return fromHex(text)
  }

  /** Bytes of a hexadecimal input that may be absent. */
  optionalHex(name: string): Uint8Array | undefined {
    return this.has(name) ? this.hex(name) : undefined
  }

  /** Nibbles of a hexadecimal input of any length; undefined when absent. */
  optionalNibbles(name: string): Uint8Array | undefined {
    if (!this.has(name)) return undefined
    const text = this.text(name)
    if (!/^[0-9A-Fa-f]*$/.test(text)) {
      throw new CalcInputError('input', `${name} must be hexadecimal digits`)
    }
    return Uint8Array.from(text, (digit) => Number.parseInt(digit, 16))
  }

  /** A PIN, an offset or another digit text, as digit values. */
  digits(name: string): PinDigits {
    return pinFromText(this.text(name))
  }

  /** The data of a line: `data` as hex or `dataAscii` as text (UTF-8). */
  data(name = 'data'): Uint8Array {
    if (this.has(name)) return this.hex(name)
    if (this.has(`${name}Ascii`)) return Uint8Array.from(Buffer.from(this.text(`${name}Ascii`)))
    throw new CalcInputError('missing', `${name} or ${name}Ascii`)
  }

  /** A list of texts. */
  texts(name: string): readonly string[] {
    if (!this.has(name)) throw new CalcInputError('missing', name)
    const value = this.#values[name]
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
    throw new CalcInputError('input', `${name} must be a list of texts`)
  }

  /** One of several words, compared without case, hyphens and underscores. */
  choice<T>(name: string, words: Readonly<Record<string, T>>, fallback?: string): T {
    const given = this.optionalText(name) ?? fallback
    if (given === undefined) throw new CalcInputError('missing', name)
    const word = given.toLowerCase().replace(/[-_. ]/g, '')
    if (!Object.hasOwn(words, word)) {
      throw new AlgorithmError('unsupported', name)
    }
    return words[word]!
  }
}

/** Digit values as text. */
export function digitsText(digits: Uint8Array): string {
  return String.fromCharCode(...digits.map((digit) => digit + 0x30))
}

/** The first `digits` hexadecimal digits of a check value. */
export function leftDigits(hex: string, digits: number): string {
  demand(digits >= 1 && digits <= hex.length, 'length', 'digits of a check value')
  return hex.slice(0, digits)
}
