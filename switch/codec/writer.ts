// hot path
/**
 * Builds a message of one dialect from text and bytes, or forwards one with a few fields changed
 * and every other byte as it came. Called by links, simulators and tools; one writer is reused for
 * many messages, one at a time.
 *
 * Values are encoded into a scratch buffer when they are set, in any order; finish() lays header,
 * MTI, bitmaps and the fields in ascending order into a fresh buffer. Nothing is thrown: a value
 * that the dialect cannot carry makes its setter return false with `fault` filled, and finish()
 * then returns null.
 */
import { FIELD_MAX, FORM, UNIT, bytesOf } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { Fault } from './fault.ts'
import { View } from './view.ts'
import { encodeBytes, encodeText, writePrefix } from './encode.ts'
import type { Encoded } from './encode.ts'
import {
  ASCII_TO_EBCDIC, BCD_BYTE, NIBBLE_ASCII, NIBBLE_ASCII_LOWER,
} from './codings/tables.ts'

// Imported values under local names: the engine takes a local constant for a constant, and an
// imported one for a variable that it loads again each time (measured: walk() takes a quarter
// less).
const FORM_BCD_LEFT = FORM.bcdLeft
const FORM_BCD_RIGHT = FORM.bcdRight
const UNIT_DIGITS = UNIT.digits
const DIGITS_LOWER = NIBBLE_ASCII_LOWER
const DIGITS_UPPER = NIBBLE_ASCII
const TO_EBCDIC = ASCII_TO_EBCDIC
const BYTE_BCD = BCD_BYTE
const FIELDS_MAX = FIELD_MAX
const WORDS = FIELD_MAX / 32

export interface Produced {
  /** Header, MTI, bitmaps and fields; belongs to the caller. */
  readonly frame: Buffer
  /** Offset of the MTI. */
  readonly bodyStart: number
  readonly end: number
}

/**
 * Variants of the wire that carry no meaning and must survive decode and encode. All default to
 * what we write.
 */
export interface WireVariant {
  /** Nibble that fills an odd BCD count, one hexadecimal digit. */
  pad?: string
  /** Case of hexadecimal characters. */
  hex?: 'lower'
  /** What the length prefix counts, where two readings are in use. */
  unit?: 'digits'
}

const NO_BYTES = Buffer.alloc(0)
/** Stands for the forwarded message where there is none. */
const NO_MESSAGE = new View()

export class MessageWriter {
  readonly fault: Fault
  readonly #dialect: Dialect
  readonly #scratch: Buffer
  /** Encoded field (prefix and value) in #scratch. */
  readonly #starts: Int32Array
  readonly #ends: Int32Array
  /** Offset of each field that was set in the message that finish() produced. */
  readonly #positions: Int32Array
  readonly #produced: Int32Array
  /** Fields set in #scratch, and fields taken from the forwarded message. */
  readonly #set: Int32Array
  readonly #kept: Int32Array
  readonly #encoded: Encoded
  #used: number
  /** Bytes of all fields of the message, prefixes included. */
  #size: number
  /** Where the fields begin in the message that finish() produced. */
  #fieldsStart: number
  #failed: boolean
  #mti: number
  /** The message that is forwarded. */
  #base: View
  #header: Uint8Array
  #bitmapCountMin: number
  #bitmapLower: boolean

  /** `bytesMax`: largest message, header included. */
  constructor(dialect: Dialect, bytesMax: number) {
    this.fault = new Fault()
    this.#dialect = dialect
    this.#scratch = Buffer.allocUnsafeSlow(bytesMax)
    this.#starts = new Int32Array(FIELDS_MAX + 1)
    this.#ends = new Int32Array(FIELDS_MAX + 1)
    this.#positions = new Int32Array(FIELDS_MAX + 1)
    this.#produced = new Int32Array(FIELDS_MAX / 32)
    this.#set = new Int32Array(FIELDS_MAX / 32)
    this.#kept = new Int32Array(FIELDS_MAX / 32)
    this.#encoded = { at: 0, count: 0, kind: 'none' }
    this.#used = 0
    this.#size = 0
    this.#fieldsStart = 0
    this.#failed = false
    this.#mti = 0
    this.#base = NO_MESSAGE
    this.#header = NO_BYTES
    this.#bitmapCountMin = 1
    this.#bitmapLower = false
  }

  /** Starts an empty message. `mti`: four digits. */
  begin(mti: string): void {
    this.#restart()
    this.setMti(mti)
  }

  /**
   * Starts from a received message of the same dialect; neither view nor frame may change before
   * finish().
   */
  beginFrom(view: View): void {
    this.#restart()
    if (view.dialect !== this.#dialect) {
      throw new Error('a message can only be forwarded in its own dialect')
    }
    this.#mti = view.mtiNumber
    this.#base = view
    const bits = view.arrangement.bits
    for (let i = 0; i < WORDS; i++) this.#kept[i] = bits[i]!
    if (view.bodyStart > view.headerStart) this.#header = view.header()
    this.#size = view.fieldsEnd - view.fieldsStart
    this.#bitmapCountMin = view.bitmapCount
    this.#bitmapLower = bitmapIsLower(view)
  }

  #restart(): void {
    this.fault.reset()
    for (let i = 0; i < WORDS; i++) {
      this.#set[i] = 0
      this.#kept[i] = 0
    }
    this.#used = 0
    this.#size = 0
    this.#failed = false
    this.#base = NO_MESSAGE
    this.#header = NO_BYTES
    this.#bitmapCountMin = 1
    this.#bitmapLower = false
  }

  setMti(mti: string): boolean {
    let number = 0
    for (let i = 0; i < mti.length; i++) {
      const digit = mti.charCodeAt(i) - 0x30
      if (digit < 0 || digit > 9) return this.#refuse('mti_not_digits', 0)
      number = (number * 10 + digit) | 0
    }
    if (mti.length !== 4) return this.#refuse('mti_not_digits', 0)
    this.#mti = number
    return true
  }

  /** The dialect's header, its total length is written by finish(); undefined for none. */
  header(bytes: Uint8Array | undefined): void {
    this.#header = bytes ?? NO_BYTES
  }

  /**
   * Keeps `count` bitmaps even when no field needs the last one, and their letters in lower case.
   */
  bitmaps(count: number, lower: boolean): void {
    this.#bitmapCountMin = Math.max(1, Math.min(count, this.#dialect.bitmapCount))
    this.#bitmapLower = lower
  }

  /**
   * Sets a field from its text (View.text and its inverse). Fixed n is filled with zeros on the
   * left, fixed text with blanks on the right; longer text is refused.
   */
  setText(field: number, text: string, variant?: WireVariant): boolean {
    const start = this.#open(field)
    if (start < 0) return false
    if (!encodeText(this.#dialect, field, text, this.#scratch, start, this.#encoded, variant)) {
      return this.#refuse(this.#encoded.kind, field)
    }
    return this.#close(field, start, variant)
  }

  /** Sets a field from the bytes of its value (View.bytes and its inverse). */
  setBytes(field: number, bytes: Uint8Array, variant?: WireVariant): boolean {
    const start = this.#open(field)
    if (start < 0) return false
    if (!encodeBytes(this.#dialect, field, bytes, this.#scratch, start, this.#encoded, variant)) {
      return this.#refuse(this.#encoded.kind, field)
    }
    return this.#close(field, start, variant)
  }

  /**
   * Takes a field, prefix and value, as it stands in another message of the same dialect. False
   * when it is absent.
   */
  copy(view: View, field: number): boolean {
    if (view.dialect !== this.#dialect) {
      throw new Error('a field can only be copied within one dialect')
    }
    const start = view.fieldStart(field)
    if (start < 0) return false
    const stop = view.valueEnd(field)
    if (this.#used + stop - start > this.#scratch.length) {
      return this.#refuse('message_too_long', field)
    }
    const at = this.#used
    this.#mark(field, at, copyRun(this.#scratch, at, view.frame, start, stop))
    return true
  }

  clear(field: number): void {
    this.#forget(field)
    const bit = ~(0x80000000 >>> ((field - 1) & 31))
    this.#set[(field - 1) >> 5]! &= bit
    this.#kept[(field - 1) >> 5]! &= bit
  }

  has(field: number): boolean {
    const index = (field - 1) >> 5
    return (((this.#set[index]! | this.#kept[index]!) >>> (31 - ((field - 1) & 31))) & 1) === 1
  }

  /**
   * Offset of a field, prefix included, in the message that finish() produced; -1 when it is not in
   * it. To be asked before the writer begins another message or the forwarded view reads one.
   */
  positionOf(field: number): number {
    const index = (field - 1) >> 5
    const bit = 0x80000000 >>> ((field - 1) & 31)
    if (((this.#produced[index] ?? 0) & bit) === 0) return -1
    return (this.#set[index]! & bit) === 0 ? this.#keptPosition(field) : this.#positions[field]!
  }

  /** Offset of a field's value in the message that finish() produced; -1 when it is not in it. */
  valuePositionOf(field: number): number {
    const start = this.positionOf(field)
    return start < 0 ? -1 : start + this.#dialect.prefixBytes[field]!
  }

  /** The finished message in a buffer that the caller owns, or null with `fault` filled. */
  finish(): Produced | null {
    if (this.#failed) return null
    const dialect = this.#dialect
    const bitmapCount = this.#bitmapCount()
    const fieldsStart = this.#header.length + dialect.mtiBytes + bitmapCount * dialect.bitmapBytes
    const size = fieldsStart + this.#size
    if (size > this.#scratch.length) {
      this.#refuse('message_too_long', 0)
      return null
    }
    const frame = Buffer.allocUnsafe(size)
    if (this.#header.length > 0) frame.set(this.#header, 0)
    this.#writeMti(frame, this.#header.length)
    this.#writeBitmaps(frame, this.#header.length + dialect.mtiBytes, bitmapCount)
    this.#writeFields(frame, fieldsStart)
    const bodyStart = this.#header.length
    if (dialect.header !== null && bodyStart > 0) dialect.header.stamp(frame, 0, bodyStart, size)
    return { frame, bodyStart, end: size }
  }

  #refuse(kind: Fault['kind'], field: number): false {
    if (!this.#failed) this.fault.refuse(kind, field, -1)
    this.#failed = true
    return false
  }

  /**
   * Where the value of a field may begin in #scratch (its prefix goes before it); -1 when it cannot
   * be set.
   */
  #open(field: number): number {
    if (this.#dialect.known[field] !== 1) {
      this.#refuse('field_not_in_dialect', field)
      return -1
    }
    return this.#used + this.#dialect.prefixBytes[field]!
  }

  #close(field: number, valueStart: number, variant: WireVariant | undefined): boolean {
    const start = this.#used
    if (valueStart > start) {
      const form = this.#dialect.form[field]!
      const unit = this.#dialect.prefixUnit[field]!
      const packed = form === FORM_BCD_LEFT || form === FORM_BCD_RIGHT
      const count = this.#encoded.count
      const inBytes = packed && unit !== UNIT_DIGITS && variant?.unit !== 'digits'
      writePrefix(this.#dialect, field, inBytes ? bytesOf(form, count) : count, this.#scratch,
        start)
    }
    this.#mark(field, start, this.#encoded.at)
    return true
  }

  /** Records that the field, prefix included, lies in #scratch from `start` to `end`. */
  #mark(field: number, start: number, end: number): void {
    this.#forget(field)
    const bit = 0x80000000 >>> ((field - 1) & 31)
    this.#set[(field - 1) >> 5]! |= bit
    this.#kept[(field - 1) >> 5]! &= ~bit
    this.#starts[field] = start
    this.#ends[field] = end
    this.#used = end
    this.#size += end - start
  }

  /** Takes the bytes of a field that is there, before it is left out or another takes its place. */
  #forget(field: number): void {
    const index = (field - 1) >> 5
    const shift = 31 - ((field - 1) & 31)
    if (((this.#set[index]! >>> shift) & 1) === 1) {
      this.#size -= this.#ends[field]! - this.#starts[field]!
    } else if (((this.#kept[index]! >>> shift) & 1) === 1) {
      this.#size -= this.#base.valueEnd(field) - this.#base.fieldStart(field)
    }
  }

  #bitmapCount(): number {
    let count = this.#bitmapCountMin
    for (let index = 2; index < 6; index++) {
      if ((this.#set[index]! | this.#kept[index]!) !== 0) count = Math.max(count, (index >> 1) + 1)
    }
    return count
  }

  /**
   * Copies the fields in order: those that were set, and between them what the forwarded message
   * has, in one go. Fields set in their order lie side by side and are copied in one go too.
   */
  #writeFields(frame: Buffer, fieldsStart: number): void {
    const base = this.#base
    const bits = base.arrangement.bits
    let baseFrom = base.fieldsStart
    let from = 0
    let to = 0
    let at = fieldsStart
    for (let index = 0; index < WORDS; index++) {
      const set = this.#set[index]!
      const kept = this.#kept[index]!
      const there = bits[index]!
      this.#produced[index] = set | kept
      for (let word = set | (there & ~kept); word !== 0;) {
        const bit = 0x80000000 >>> Math.clz32(word)
        const field = index * 32 + Math.clz32(word) + 1
        word &= ~bit
        const baseTo = base === NO_MESSAGE ? baseFrom : base.placeFor(field)
        if (baseTo > baseFrom) {
          at = copyRun(frame, at, this.#scratch, from, to)
          from = to
          at = copyRun(frame, at, base.frame, baseFrom, baseTo)
        }
        baseFrom = (there & bit) === 0 ? baseTo : base.valueEnd(field)
        if ((set & bit) === 0) continue
        const start = this.#starts[field]!
        if (start !== to) {
          at = copyRun(frame, at, this.#scratch, from, to)
          from = start
        }
        to = this.#ends[field]!
        this.#positions[field] = at + start - from
      }
    }
    at = copyRun(frame, at, this.#scratch, from, to)
    copyRun(frame, at, base.frame, baseFrom, base.fieldsEnd)
    this.#fieldsStart = fieldsStart
  }

  /** Offset of a kept field: as in the forwarded message, moved by what changed before it. */
  #keptPosition(field: number): number {
    const base = this.#base
    let at = base.fieldStart(field) - base.fieldsStart + this.#fieldsStart
    for (let other = 1; other < field; other++) {
      const bit = 0x80000000 >>> ((other - 1) & 31)
      if ((this.#set[(other - 1) >> 5]! & bit) !== 0) {
        at += this.#ends[other]! - this.#starts[other]!
      } else if ((this.#kept[(other - 1) >> 5]! & bit) !== 0) continue
      if (base.has(other)) at -= base.valueEnd(other) - base.fieldStart(other)
    }
    return at
  }

  #writeMti(frame: Buffer, at: number): void {
    const high = Math.trunc(this.#mti / 100)
    const low = this.#mti % 100
    if (this.#dialect.mtiBytes === 2) {
      frame[at] = BYTE_BCD[high]!
      frame[at + 1] = BYTE_BCD[low]!
      return
    }
    const zero = this.#dialect.mtiCoding === 'ebcdic' ? 0xf0 : 0x30
    frame[at] = zero + Math.trunc(high / 10)
    frame[at + 1] = zero + (high % 10)
    frame[at + 2] = zero + Math.trunc(low / 10)
    frame[at + 3] = zero + (low % 10)
  }

  #writeBitmaps(frame: Buffer, start: number, count: number): void {
    let at = start
    for (let index = 0; index < count * 2; index++) {
      let word = this.#set[index]! | this.#kept[index]!
      // Bit 1 of every bitmap but the last says that another follows.
      if ((index & 1) === 0 && index < (count - 1) * 2) word |= 0x80000000
      if (this.#dialect.bitmapBytes === 8) {
        frame[at++] = word >>> 24
        frame[at++] = (word >>> 16) & 255
        frame[at++] = (word >>> 8) & 255
        frame[at++] = word & 255
      } else at = this.#writeBitmapHex(frame, at, word)
    }
  }

  #writeBitmapHex(frame: Buffer, start: number, word: number): number {
    let at = start
    const digits = this.#bitmapLower ? DIGITS_LOWER : DIGITS_UPPER
    for (let shift = 28; shift >= 0; shift -= 4) {
      const code = digits[(word >>> shift) & 15]!
      frame[at++] = this.#dialect.bitmapCoding === 'hex-ebcdic' ? TO_EBCDIC[code]! : code
    }
    return at
  }
}

/** Up to this many bytes a loop is quicker than the call into native code. */
const LOOP_BYTES_MAX = 32
const copyBytes = Buffer.prototype.copy

/** Copies source[from, to) to `at` in target; returns the end of it there. */
function copyRun(target: Buffer, at: number, source: Uint8Array, from: number, to: number): number {
  if (to - from > LOOP_BYTES_MAX) {
    copyBytes.call(source, target, at, from, to)
    return at + to - from
  }
  for (let i = from; i < to; i++) target[at++] = source[i]!
  return at
}

/** Whether a hexadecimal bitmap was sent with lower-case letters. */
export function bitmapIsLower(view: View): boolean {
  if (view.dialect.bitmapBytes === 8) return false
  const ebcdic = view.dialect.bitmapCoding === 'hex-ebcdic'
  for (let at = view.bodyStart + view.dialect.mtiBytes; at < view.fieldsStart; at++) {
    const byte = view.frame[at]!
    if (ebcdic ? byte >= 0x81 && byte <= 0x86 : byte >= 0x61) return true
  }
  return false
}

/** One change of a forwarded message: field, and its new text or bytes, or null to leave it out. */
export type Change = readonly [field: number, value: string | Uint8Array | null]

/**
 * Forwards `view` with some fields changed and every other byte as it came; null with writer.fault
 * filled.
 */
export function splice(
  writer: MessageWriter, view: View, changes: readonly Change[],
): Produced | null {
  writer.beginFrom(view)
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i]!
    const value = change[1]
    if (value === null) writer.clear(change[0])
    else if (typeof value === 'string') writer.setText(change[0], value)
    else writer.setBytes(change[0], value)
  }
  return writer.finish()
}
