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
import { CHECK, FIELD_MAX, FORM } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import {
  ASCII_PLAIN, EBCDIC_TO_ASCII, HEX_VALUE, HEX_VALUE_EBCDIC, NIBBLE_ASCII,
} from './codings/tables.ts'

/** Node has these on every Buffer; its type declarations leave them out. */
interface Latin1 {
  latin1Slice(start: number, end: number): string
  latin1Write(text: string, at: number): number
}

const NO_BYTES = Buffer.alloc(0)
/** Text of the longest field: four digits of length, two characters per byte, `hex:` before it. */
const SCRATCH = Buffer.alloc(2 * 9999 + 64) as Buffer & Latin1
const MTI_TEXT: string[] = []
/** Marks text that stands for bytes outside the dialect's plain character set. */
export const HEX_MARK = 'hex:'

/** The dialect of a View before it was filled, so that the property always has one type. */
let nothing: Dialect | null = null

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
  readonly starts: Int32Array
  readonly valueStarts: Int32Array
  readonly valueEnds: Int32Array
  /** Units of each value: digits, characters or bytes, as the dialect counts the field. */
  readonly counts: Int32Array

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
    this.starts = new Int32Array(FIELD_MAX + 1)
    this.valueStarts = new Int32Array(FIELD_MAX + 1)
    this.valueEnds = new Int32Array(FIELD_MAX + 1)
    this.counts = new Int32Array(FIELD_MAX + 1)
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
    return this.has(field) ? this.starts[field]! : -1
  }

  /** Offset of the value, after the length prefix; -1 when it is not there. */
  valueStart(field: number): number {
    return this.has(field) ? this.valueStarts[field]! : -1
  }

  /** Offset after the value; -1 when it is not there. */
  valueEnd(field: number): number {
    return this.has(field) ? this.valueEnds[field]! : -1
  }

  /** Units of the value as the dialect counts the field; 0 when it is not there. */
  count(field: number): number {
    return this.has(field) ? this.counts[field]! : 0
  }

  /** The header that belongs to the dialect; no bytes when there is none. */
  header(): Uint8Array {
    return this.frame.subarray(this.headerStart, this.bodyStart)
  }

  /** The value's bytes as they are on the wire, not copied. */
  raw(field: number): Uint8Array {
    if (!this.has(field)) return NO_BYTES
    return this.frame.subarray(this.valueStarts[field]!, this.valueEnds[field]!)
  }

  /**
   * The value as bytes: not copied, except where the wire carries hexadecimal characters, which are
   * decoded.
   */
  bytes(field: number): Uint8Array {
    if (!this.has(field)) return NO_BYTES
    const start = this.valueStarts[field]!
    const stop = this.valueEnds[field]!
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
    const length = writeText(this, field)
    return length === 0 ? '' : SCRATCH.latin1Slice(0, length)
  }

  /**
   * A number of up to 15 digits, such as an amount in minor units; -1 when it is absent, longer, or
   * not decimal.
   */
  digitsToNumber(field: number): number {
    if (!this.has(field)) return -1
    const check = this.dialect.check[field]!
    const start = this.valueStarts[field]!
    const stop = this.valueEnds[field]!
    const count = this.counts[field]!
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

/** Writes the text of a field into SCRATCH; returns its length in characters. */
function writeText(view: View, field: number): number {
  const dialect = view.dialect
  const start = view.valueStarts[field]!
  const stop = view.valueEnds[field]!
  const count = view.counts[field]!
  switch (dialect.check[field]!) {
    case CHECK.ascii:
      return plain(view.frame, start, stop, false)
    case CHECK.ebcdic:
      return plain(view.frame, start, stop, true)
    case CHECK.asciiDigits:
    case CHECK.signAscii:
      for (let at = start; at < stop; at++) SCRATCH[at - start] = view.frame[at]!
      return stop - start
    case CHECK.ebcdicDigits:
    case CHECK.signEbcdic:
      for (let at = start; at < stop; at++) SCRATCH[at - start] = EBCDIC_TO_ASCII[view.frame[at]!]!
      return stop - start
    case CHECK.bcdDigits:
    case CHECK.bcdNibbles:
      return nibbles(view.frame, start, count, dialect.form[field] === FORM.bcdRight, 0)
    case CHECK.signBcd:
      SCRATCH[0] = dialect.ebcdic ? EBCDIC_TO_ASCII[view.frame[start]!]! : view.frame[start]!
      return nibbles(view.frame, start + 1, count - 1, true, 1)
    case CHECK.hexAscii:
    case CHECK.hexEbcdic:
      return hexCharacters(view.frame, start, stop, dialect.check[field] === CHECK.hexEbcdic)
    default:
      return hexOf(view.frame, start, stop, 0)
  }
}

/**
 * Text when every byte is printable in the character set and it does not look like our mark; else
 * the mark and hex.
 */
function plain(frame: Uint8Array, start: number, stop: number, ebcdic: boolean): number {
  let good = 1
  if (ebcdic) {
    for (let at = start; at < stop; at++) {
      const code = EBCDIC_TO_ASCII[frame[at]!]!
      if (code === 0) good = 0
      SCRATCH[at - start] = code
    }
  } else {
    for (let at = start; at < stop; at++) {
      const code = frame[at]!
      good &= ASCII_PLAIN[code]!
      SCRATCH[at - start] = code
    }
  }
  const marked = SCRATCH[0] === 0x68 && stop - start >= 4 && SCRATCH[1] === 0x65 &&
    SCRATCH[2] === 0x78 && SCRATCH[3] === 0x3a
  if (good === 1 && !marked) return stop - start
  SCRATCH.latin1Write(HEX_MARK, 0)
  return hexOf(frame, start, stop, 4)
}

function hexOf(frame: Uint8Array, start: number, stop: number, to: number): number {
  for (let at = start; at < stop; at++) {
    const byte = frame[at]!
    SCRATCH[to++] = NIBBLE_ASCII[byte >> 4]!
    SCRATCH[to++] = NIBBLE_ASCII[byte & 15]!
  }
  return to
}

function nibbles(
  frame: Uint8Array, start: number, count: number, right: boolean, to: number,
): number {
  let nibble = right ? count & 1 : 0
  for (let i = 0; i < count; i++, nibble++) {
    const byte = frame[start + (nibble >> 1)]!
    SCRATCH[to++] = NIBBLE_ASCII[(nibble & 1) === 0 ? byte >> 4 : byte & 15]!
  }
  return to
}

function hexCharacters(frame: Uint8Array, start: number, stop: number, ebcdic: boolean): number {
  const table = ebcdic ? HEX_VALUE_EBCDIC : HEX_VALUE
  for (let at = start; at < stop; at++) SCRATCH[at - start] = NIBBLE_ASCII[table[frame[at]!]!]!
  return stop - start
}
