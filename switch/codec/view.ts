// hot path
/**
 * A message as positions: which fields are there and where each begins and ends in the frame.
 * walk() fills it.
 *
 * A View is reused for message after message (a link owns one, or takes one from a pool); it never
 * copies the frame, so whoever keeps a View keeps the frame's bytes unchanged. Text and bytes are
 * made when asked for. A field that is not there reads as an empty string, no bytes, or -1. It must
 * never appear in a log: it shows everything.
 */
import { CHECK, FIELD_MAX, FORM, PREFIX } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { HEX_VALUE, HEX_VALUE_EBCDIC } from './codings/tables.ts'
import { HEX_MARK, SCRATCH_CHARACTERS, scratchText, writeText } from './text.ts'

const NO_BYTES = Buffer.alloc(0)
const MTI_TEXT: string[] = []
/** Ends of the texts that texts() lays side by side. */
const ENDS = new Int32Array(FIELD_MAX + 1)
/** Characters a field may add to two for each of its bytes: the mark. */
const MARKS_MAX = FIELD_MAX * HEX_MARK.length

/** The dialect of a View before it was filled, so that the property always has one type. */
let nothing: Dialect | null = null

/** Columns of View.places; a count is in the dialect's units and kept for variable fields only. */
export const PLACE = 4
export const AT = { valueStart: 0, valueEnd: 1, count: 2 } as const

export class View {
  frame: Uint8Array
  dialect: Dialect
  headerStart: number
  /** Offset of the MTI. */
  bodyStart: number
  /** Offset after the MTI and the bitmaps: where the first field begins. */
  fieldsStart: number
  end: number
  /** The MTI's four digits as a number, 0 to 9999. */
  mtiNumber: number
  /** Bitmaps on the wire. */
  bitmapCount: number
  /** Thirty-two fields per entry; the top bit of entry 0 is field 1. */
  readonly bits: Int32Array
  /** From `field * PLACE` on: see AT. Valid only where the field's bit is set. */
  readonly places: Int32Array

  constructor(dialect?: Dialect) {
    this.frame = NO_BYTES
    this.dialect = dialect ?? nothingDialect()
    this.headerStart = 0
    this.bodyStart = 0
    this.fieldsStart = 0
    this.end = 0
    this.mtiNumber = 0
    this.bitmapCount = 0
    this.bits = new Int32Array(FIELD_MAX / 32)
    this.places = new Int32Array((FIELD_MAX + 1) * PLACE)
  }

  /** Forgets the message, so that a pooled View keeps no frame alive and shows no field. */
  reset(): void {
    this.frame = NO_BYTES
    this.headerStart = 0
    this.bodyStart = 0
    this.fieldsStart = 0
    this.end = 0
    this.mtiNumber = 0
    this.bitmapCount = 0
    this.bits.fill(0)
  }

  /** Forgets `field` and all after it; 0 forgets every field. For messages that end in a fault. */
  keepBefore(field: number): void {
    for (let other = 1; other <= FIELD_MAX; other++) {
      const bit = other - 1
      if (field === 0 || other >= field) this.bits[bit >> 5]! &= ~(0x80000000 >>> (bit & 31))
    }
  }

  /** The MTI as four digits. */
  get mti(): string {
    const known = MTI_TEXT[this.mtiNumber]
    if (known !== undefined) return known
    const text = String(this.mtiNumber).padStart(4, '0')
    MTI_TEXT[this.mtiNumber] = text
    return text
  }

  has(field: number): boolean {
    const bit = field - 1
    return bit >= 0 && bit < FIELD_MAX && ((this.bits[bit >> 5]! >>> (31 - (bit & 31))) & 1) === 1
  }

  /** Offset of the field with its length prefix; -1 when it is not there. */
  fieldStart(field: number): number {
    return this.has(field) ? this.places[field * PLACE]! - this.dialect.prefixBytes[field]! : -1
  }

  /** Offset of the value, after the length prefix; -1 when it is not there. */
  valueStart(field: number): number {
    return this.has(field) ? this.places[field * PLACE + AT.valueStart]! : -1
  }

  /** Offset after the value; -1 when it is not there. */
  valueEnd(field: number): number {
    return this.has(field) ? this.places[field * PLACE + AT.valueEnd]! : -1
  }

  /** Units of the value as the dialect counts the field; 0 when it is not there. */
  count(field: number): number {
    return this.has(field) ? this.#count(field) : 0
  }

  /** The header that belongs to the dialect; no bytes when there is none. */
  header(): Uint8Array {
    return this.frame.subarray(this.headerStart, this.bodyStart)
  }

  /** The value's bytes as they are on the wire, not copied. */
  raw(field: number): Uint8Array {
    if (!this.has(field)) return NO_BYTES
    return this.frame.subarray(this.places[field * PLACE + AT.valueStart]!,
      this.places[field * PLACE + AT.valueEnd]!)
  }

  /**
   * The value as bytes: not copied, except where the wire carries hexadecimal characters, which are
   * decoded.
   */
  bytes(field: number): Uint8Array {
    if (!this.has(field)) return NO_BYTES
    const start = this.places[field * PLACE + AT.valueStart]!
    const stop = this.places[field * PLACE + AT.valueEnd]!
    if (this.dialect.form[field] !== FORM.hex) return this.frame.subarray(start, stop)
    const table = this.dialect.check[field] === CHECK.hexEbcdic ? HEX_VALUE_EBCDIC : HEX_VALUE
    const out = Buffer.allocUnsafe((stop - start) >> 1)
    for (let i = 0, at = start; i < out.length; i++, at += 2) {
      out[i] = (table[this.frame[at]!]! << 4) | table[this.frame[at + 1]!]!
    }
    return out
  }

  /**
   * The value as text: digits of n without packing nibble, characters with their padding, C or D
   * before the digits of x+n, upper-case hexadecimal of b; `hex:` and hexadecimal where bytes are
   * no plain text of the dialect.
   */
  text(field: number): string {
    if (!this.has(field)) return ''
    return scratchText(0, this.#write(field, 0))
  }

  /**
   * The texts of all fields that are there, each at its number in `out`; what else `out` holds
   * stays. They are cut from one string, which is quicker than text() for each, and keeps that
   * string alive as long as one of them.
   */
  texts(out: string[]): void {
    if (2 * (this.end - this.fieldsStart) + MARKS_MAX > SCRATCH_CHARACTERS) {
      for (let field = 2; field <= FIELD_MAX; field++) {
        if (this.has(field)) out[field] = this.text(field)
      }
      return
    }
    let used = 0
    for (let index = 0; index < this.bits.length; index++) {
      for (let word = this.bits[index]!; word !== 0;) {
        const bit = Math.clz32(word)
        word &= ~(0x80000000 >>> bit)
        const field = index * 32 + bit + 1
        used = this.#write(field, used)
        ENDS[field] = used
      }
    }
    const all = scratchText(0, used)
    let start = 0
    for (let index = 0; index < this.bits.length; index++) {
      for (let word = this.bits[index]!; word !== 0;) {
        const bit = Math.clz32(word)
        word &= ~(0x80000000 >>> bit)
        const field = index * 32 + bit + 1
        out[field] = all.substring(start, ENDS[field]!)
        start = ENDS[field]!
      }
    }
  }

  #count(field: number): number {
    if (this.dialect.prefix[field] === PREFIX.none) return this.dialect.countMax[field]!
    return this.places[field * PLACE + AT.count]!
  }

  #write(field: number, to: number): number {
    return writeText(
      this.dialect, field, this.frame, this.places[field * PLACE + AT.valueStart]!,
        this.places[field * PLACE + AT.valueEnd]!,
      this.#count(field), to,
    )
  }

  /**
   * A number of up to 15 digits, such as an amount in minor units; -1 when it is absent, longer, or
   * not decimal.
   */
  digitsToNumber(field: number): number {
    if (!this.has(field)) return -1
    const check = this.dialect.check[field]!
    const start = this.places[field * PLACE + AT.valueStart]!
    const stop = this.places[field * PLACE + AT.valueEnd]!
    const count = this.#count(field)
    if (count > 15 || count === 0) return -1
    const frame = this.frame
    let value = 0
    if (check === CHECK.bcdDigits || check === CHECK.bcdNibbles) {
      let nibble = this.dialect.form[field] === FORM.bcdRight && (count & 1) === 1 ? 1 : 0
      for (let i = 0; i < count; i++, nibble++) {
        const byte = frame[start + (nibble >> 1)]!
        const digit = (nibble & 1) === 0 ? byte >> 4 : byte & 15
        if (digit > 9) return -1
        value = value * 10 + digit
      }
      return value
    }
    const zero = this.dialect.ebcdic && check !== CHECK.asciiDigits ? 0xf0 : 0x30
    for (let at = start; at < stop; at++) {
      const digit = frame[at]! - zero
      if (digit < 0 || digit > 9) return -1
      value = value * 10 + digit
    }
    return value
  }

  /** The fields that are there, ascending. For tools and tests, not for the path of a message. */
  *fields(): Generator<number> {
    for (let field = 2; field <= FIELD_MAX; field++) if (this.has(field)) yield field
  }
}

function nothingDialect(): Dialect {
  // A View without dialect has no field, so nothing of the dialect is ever read.
  nothing ??= Object.freeze({ name: '' }) as unknown as Dialect
  return nothing
}
