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
import { Arrangement, PLACE, arrange } from './arrangement.ts'
import { BCD_VALUE, HEX_VALUE, HEX_VALUE_EBCDIC } from './codings/tables.ts'
import { scratchText, textsInOrder, writeText } from './text.ts'

const NO_BYTES = Buffer.alloc(0)
const MTI_TEXT: string[] = []
/** The dialect of a View before it was filled, so that the property always has one type. */
let nothing: Dialect | null = null

/** What a View shows that has read nothing. */
const NO_FIELDS = new Arrangement()
/** Bitmaps while fields are forgotten. */
const BITS = new Int32Array(FIELD_MAX / 32)
/** Powers of ten. */
const POWERS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
// Imported values under local names: the engine takes a local constant for a constant.
const CHECK_ASCII_DIGITS = CHECK.asciiDigits
const CHECK_BCD_DIGITS = CHECK.bcdDigits
const CHECK_BCD_NIBBLES = CHECK.bcdNibbles
const FORM_BCD_RIGHT = FORM.bcdRight
const VALUE_BCD = BCD_VALUE
const FIELDS_MAX = FIELD_MAX
const PREFIX_NONE = PREFIX.none
const COLUMNS = PLACE.columns
const START_OFFSET = PLACE.startOffset
const END_SEGMENT = PLACE.endSegment
const END_OFFSET = PLACE.endOffset

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
  /** Which fields are there and, but for the lengths, where. */
  arrangement: Arrangement
  /** Where each segment of the arrangement begins, and the count of its variable field. */
  readonly bases: Int32Array
  readonly counts: Int32Array
  #own: Arrangement | null

  constructor(dialect?: Dialect) {
    this.frame = NO_BYTES
    this.dialect = dialect ?? nothingDialect()
    this.headerStart = 0
    this.bodyStart = 0
    this.fieldsStart = 0
    this.end = 0
    this.mtiNumber = 0
    this.bitmapCount = 0
    this.arrangement = NO_FIELDS
    this.bases = new Int32Array(FIELDS_MAX + 1)
    this.counts = new Int32Array(FIELDS_MAX + 1)
    this.#own = null
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
    this.arrangement = NO_FIELDS
    this.bases[0] = 0
  }

  /** Offset after the last field that is there. */
  get fieldsEnd(): number {
    return this.bases[this.arrangement.segmentCount]! + this.arrangement.tailBytes
  }

  /** Offset at which `field` would stand if it were there: where the next one begins. */
  placeFor(field: number): number {
    for (let other = field; other <= FIELDS_MAX; other++) {
      if (this.has(other)) return this.fieldStart(other)
    }
    return this.fieldsEnd
  }

  /** An arrangement of this View's own, for bitmaps that the dialect does not keep. */
  get own(): Arrangement {
    return (this.#own ??= new Arrangement())
  }

  /** Forgets `field` and all after it; 0 forgets every field. For messages that end in a fault. */
  keepBefore(field: number): void {
    BITS.set(this.arrangement.bits)
    for (let other = Math.max(field, 1); other <= FIELDS_MAX; other++) {
      BITS[(other - 1) >> 5]! &= ~(0x80000000 >>> ((other - 1) & 31))
    }
    arrange(this.dialect, BITS, this.own)
    this.arrangement = this.own
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
    return bit >= 0 && bit < FIELDS_MAX &&
      ((this.arrangement.bits[bit >> 5]! >>> (31 - (bit & 31))) & 1) === 1
  }

  /** Offset of the field with its length prefix; -1 when it is not there. */
  fieldStart(field: number): number {
    const start = this.valueStart(field)
    return start < 0 ? -1 : start - this.dialect.prefixBytes[field]!
  }

  /** Offset of the value, after the length prefix; -1 when it is not there. */
  valueStart(field: number): number {
    const places = this.arrangement.places
    const segment = places[field * COLUMNS]
    if (segment === undefined || segment < 0) return -1
    return this.bases[segment]! + places[field * COLUMNS + START_OFFSET]!
  }

  /** Offset after the value; -1 when it is not there. */
  valueEnd(field: number): number {
    const places = this.arrangement.places
    const segment = places[field * COLUMNS + END_SEGMENT]
    if (segment === undefined || segment < 0) return -1
    return this.bases[segment]! + places[field * COLUMNS + END_OFFSET]!
  }

  /** Units of the value as the dialect counts the field; 0 when it is not there. */
  count(field: number): number {
    const segment = this.arrangement.places[field * COLUMNS]
    if (segment === undefined || segment < 0) return 0
    return this.dialect.prefix[field] === PREFIX_NONE ? this.dialect.countMax[field]!
      : this.counts[segment]!
  }

  /** The header that belongs to the dialect; no bytes when there is none. */
  header(): Uint8Array {
    return this.frame.subarray(this.headerStart, this.bodyStart)
  }

  /** The value's bytes as they are on the wire, not copied. */
  raw(field: number): Uint8Array {
    if (!this.has(field)) return NO_BYTES
    return this.frame.subarray(this.valueStart(field), this.valueEnd(field))
  }

  /**
   * The value as bytes: not copied, except where the wire carries hexadecimal characters, which are
   * decoded.
   */
  bytes(field: number): Uint8Array {
    if (!this.has(field)) return NO_BYTES
    const start = this.valueStart(field)
    const stop = this.valueEnd(field)
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

  /** The numbers of the fields that are there, ascending, not copied; what follows them is void. */
  get fieldNumbers(): Uint8Array {
    return this.arrangement.fields
  }

  /**
   * The texts of all fields that are there, in the order of fieldNumbers. They are cut from one
   * string, which is quicker than text() for each, and keep that string alive as long as one of
   * them.
   */
  textsInOrder(): string[] {
    return textsInOrder(this) ?? Array.from(this.fields(), (field) => this.text(field))
  }

  /** The same texts, each at its field's number in `out`; what else `out` holds stays. */
  texts(out: string[]): void {
    const texts = this.textsInOrder()
    for (let i = 0; i < texts.length; i++) out[this.fieldNumbers[i]!] = texts[i]!
  }

  #write(field: number, to: number): number {
    return writeText(
      this.dialect, field, this.frame, this.valueStart(field),
        this.valueEnd(field),
      this.count(field), to,
    )
  }

  /**
   * A number of up to 15 digits, such as an amount in minor units; -1 when it is absent, longer, or
   * not decimal.
   */
  digitsToNumber(field: number): number {
    const start = this.valueStart(field)
    if (start < 0) return -1
    const dialect = this.dialect
    const count = this.count(field)
    if (count > 15 || count === 0) return -1
    const check = dialect.check[field]!
    if (check === CHECK_BCD_DIGITS || check === CHECK_BCD_NIBBLES) {
      return packedNumber(this.frame, start, count, dialect.form[field] === FORM_BCD_RIGHT)
    }
    const zero = dialect.ebcdic && check !== CHECK_ASCII_DIGITS ? 0xf0 : 0x30
    return characterNumber(this.frame, start, this.valueEnd(field), zero)
  }

  /** The fields that are there, ascending. For tools and tests, not for the path of a message. */
  *fields(): Generator<number> {
    for (let field = 2; field <= FIELD_MAX; field++) if (this.has(field)) yield field
  }
}

/** Up to 15 digits in characters as a number; -1 when one of them is none. */
function characterNumber(frame: Uint8Array, start: number, stop: number, zero: number): number {
  // Nine digits fit the integers that the engine computes with quickest.
  const middle = Math.min(stop, start + 9)
  let high = 0
  let at = start
  let bad = 0
  for (; at < middle; at++) {
    const digit = frame[at]! - zero
    bad |= digit | (9 - digit)
    high = (Math.imul(high, 10) + digit) | 0
  }
  let low = 0
  for (; at < stop; at++) {
    const digit = frame[at]! - zero
    bad |= digit | (9 - digit)
    low = (Math.imul(low, 10) + digit) | 0
  }
  return bad < 0 ? -1 : stop === middle ? high : high * POWERS[stop - middle]! + low
}

/** Up to 15 packed digits as a number; -1 when a nibble is none. */
function packedNumber(frame: Uint8Array, start: number, count: number, right: boolean): number {
  let at = start
  let high = 0
  let rest = count
  if (right && (count & 1) === 1) {
    high = frame[at++]! & 15
    if (high > 9) return -1
    rest--
  }
  let digits = count - rest
  for (; rest > 1 && digits < 8; rest -= 2, digits += 2) {
    const pair = VALUE_BCD[frame[at++]!]!
    if (pair > 99) return -1
    high = (Math.imul(high, 100) + pair) | 0
  }
  if (rest === 0) return high
  let low = 0
  const lowDigits = rest
  for (; rest > 1; rest -= 2) {
    const pair = VALUE_BCD[frame[at++]!]!
    if (pair > 99) return -1
    low = (Math.imul(low, 100) + pair) | 0
  }
  if (rest === 1) {
    const digit = frame[at]! >> 4
    if (digit > 9) return -1
    low = low * 10 + digit
  }
  return high * POWERS[lowDigits]! + low
}

function nothingDialect(): Dialect {
  // A View without dialect has no field, so nothing of the dialect is ever read.
  nothing ??= Object.freeze({ name: '' }) as unknown as Dialect
  return nothing
}
