// hot path
/**
 * Reads a message into positions: header, MTI, bitmaps, then every field that a bit announces,
 * checked as the dialect says. Called by links for each frame and by tools. Allocates nothing,
 * throws nothing, copies nothing.
 *
 * ISO 8583:1987 clause 4.4 (MTI, bitmaps, fields in ascending order).
 */
import { CHECK, FLAG, FORM, PREFIX, RUN, SHAPE, UNIT, bytesOf } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import type { Fault } from './fault.ts'
import { AT, PLACE } from './view.ts'
import type { View } from './view.ts'
import {
  BCD_BAD, BCD_VALUE, EBCDIC_TO_ASCII, HEX_VALUE, HEX_VALUE_EBCDIC,
} from './codings/tables.ts'

// Imported values under local names: the engine takes a local constant for a constant, and an
// imported one for a variable that it loads again each time (measured: walk() takes a quarter
// less).
const CHECK_EBCDIC = CHECK.ebcdic
const CHECK_ASCII_DIGITS = CHECK.asciiDigits
const CHECK_EBCDIC_DIGITS = CHECK.ebcdicDigits
const CHECK_BCD_DIGITS = CHECK.bcdDigits
const CHECK_SIGN_ASCII = CHECK.signAscii
const CHECK_SIGN_EBCDIC = CHECK.signEbcdic
const CHECK_SIGN_BCD = CHECK.signBcd
const CHECK_HEX_ASCII = CHECK.hexAscii
const CHECK_HEX_EBCDIC = CHECK.hexEbcdic
const FORM_CHARACTERS = FORM.characters
const FORM_BCD_LEFT = FORM.bcdLeft
const FORM_BCD_RIGHT = FORM.bcdRight
const PREFIX_ASCII = PREFIX.ascii
const PREFIX_EBCDIC = PREFIX.ebcdic
const PREFIX_BINARY = PREFIX.binary
const UNIT_DIGITS = UNIT.digits
const UNIT_BYTES_OR_DIGITS = UNIT.bytesOrDigits
const FLAG_SHAPE = FLAG.shape
const FLAG_CHECK_AT = FLAG.checkAt
const FLAG_PREFIX_AT = FLAG.prefixAt
const FLAG_PREFIX_BYTES_AT = FLAG.prefixBytesAt
const FLAG_FORM_AT = FLAG.formAt
const FLAG_UNIT_AT = FLAG.unitAt
const FLAG_RUN_AT = FLAG.runAt
const FLAG_COUNT_MASK = FLAG.countMask
const FLAG_FIXED_BYTES_AT = FLAG.fixedBytesAt
const SHAPE_UNKNOWN = SHAPE.unknown
const SHAPE_FIXED = SHAPE.fixed
const RUN_NONE = RUN.none
const RUN_EBCDIC = RUN.ebcdic
const RUN_BCD = RUN.bcd
const AT_VALUE_END = AT.valueEnd
const AT_COUNT = AT.count
const STRIDE = PLACE
const BAD_BCD = BCD_BAD
const VALUE_BCD = BCD_VALUE
const TO_ASCII = EBCDIC_TO_ASCII
const VALUE_HEX_EBCDIC = HEX_VALUE_EBCDIC
const VALUE_HEX = HEX_VALUE

/**
 * Fills `view` with the positions of the message in frame[start, end) and returns true; or fills
 * `fault` (kind, field, offset in the frame) and returns false, and the view then shows nothing.
 */
export function walk(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  view.frame = frame
  view.dialect = dialect
  view.headerStart = start
  view.end = end
  if (walkMessage(dialect, frame, start, end, view, fault)) return true
  view.reset()
  return false
}

/**
 * What can be read of a message that walk() refused: the view shows the fields before the one that
 * is wrong, so that a format error can be answered with the sender's own trace number. True when at
 * least the MTI was read. Not for the way of a good message.
 */
export function walkBeforeFault(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  view.frame = frame
  view.dialect = dialect
  view.headerStart = start
  view.bodyStart = start
  view.end = end
  view.mtiNumber = 0
  view.bits.fill(0)
  walkMessage(dialect, frame, start, end, view, fault)
  if (fault.kind !== 'trailing_bytes') view.keepBefore(fault.field)
  return view.mtiNumber > 0
}

/**
 * As walk(), for tools that explain a bad message: on a fault the view keeps the fields before the
 * one that is wrong (none when MTI or bitmaps are wrong already).
 */
export function walkUntilFault(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  view.reset()
  view.frame = frame
  view.dialect = dialect
  view.headerStart = start
  view.end = end
  if (walkMessage(dialect, frame, start, end, view, fault)) return true
  if (fault.kind === 'trailing_bytes') return false
  for (let field = Math.max(fault.field, 1); field <= view.bits.length * 32; field++) {
    view.bits[(field - 1) >> 5]! &= ~(0x80000000 >>> ((field - 1) & 31))
  }
  return false
}

function walkMessage(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  let at = start
  if (dialect.header !== null) {
    const header = dialect.header.measure(frame, start, end)
    if (header === -1) return fault.refuse('header_truncated', 0, start)
    if (header < 0) return fault.refuse('header_length_invalid', 0, start)
    at += header
  }
  view.bodyStart = at
  if (at + dialect.mtiBytes > end) return fault.refuse('mti_truncated', 0, at)
  const mti = readMti(dialect, frame, at)
  if (mti < 0) return fault.refuse('mti_not_digits', 0, at)
  view.mtiNumber = mti
  at = readBitmaps(dialect, frame, at + dialect.mtiBytes, end, view, fault)
  if (at < 0) return false
  view.fieldsStart = at
  return walkFields(dialect, frame, at, end, view, fault)
}

/**
 * Records every announced field from `start` on, in ascending order. Numbers that stand side by
 * side are checked for digits in one run, at the latest before any other fault is reported, so that
 * the first wrong byte is the one that is named.
 */
function walkFields(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  const rows = dialect.rows
  const places = view.places
  const bits = view.bits
  let at = start
  let run: number = RUN_NONE
  let runStart = start
  for (let index = 0; index < bits.length; index++) {
    let word = bits[index]!
    while (word !== 0) {
      const bit = Math.clz32(word)
      word &= ~(0x80000000 >>> bit)
      const field = index * 32 + bit + 1
      const flags = rows[field * 2]!
      const sizes = rows[field * 2 + 1]!
      let count = sizes & FLAG_COUNT_MASK
      let value = at
      let stop = at + (sizes >> FLAG_FIXED_BYTES_AT)
      if ((flags & FLAG_SHAPE) !== SHAPE_FIXED) {
        count = readCount(flags, count, frame, at, end, field, fault)
        if (count < dialect.countMin[field]!) {
          if (!checkRun(run, frame, runStart, at, view, fault)) return false
          return count < 0 ? false : fault.refuse('length_under_min', field, at)
        }
        value += (flags >> FLAG_PREFIX_BYTES_AT) & 7
        const form = (flags >> FLAG_FORM_AT) & 7
        stop = value + (form === FORM_CHARACTERS ? count : bytesOf(form, count))
        places[field * STRIDE + AT_COUNT] = count
      }
      if (stop > end) {
        return checkRun(run, frame, runStart, at, view, fault) &&
          fault.refuse('field_truncated', field, end)
      }
      places[field * STRIDE] = value
      places[field * STRIDE + AT_VALUE_END] = stop
      let next = (flags >> FLAG_RUN_AT) & 7
      // An odd count in BCD has a pad, which is no digit of the number: it is checked by itself.
      if (next === RUN_BCD && (count & 1) === 1) next = RUN_NONE
      if (next !== run) {
        if (run !== RUN_NONE && !checkRun(run, frame, runStart, at, view, fault)) return false
        run = next
        runStart = value
      }
      const check = (flags >> FLAG_CHECK_AT) & 15
      if (next === RUN_NONE && check > CHECK_EBCDIC &&
        !checkValue(dialect, check, frame, value, stop, field, count, fault)) return false
      at = stop
    }
  }
  if (!checkRun(run, frame, runStart, at, view, fault)) return false
  return at === end || fault.refuse('trailing_bytes', 0, at)
}

/**
 * Whether frame[start, stop) holds nothing but digits of the run's coding; else the fault names the
 * field.
 */
function checkRun(
  run: number, frame: Uint8Array, start: number, stop: number, view: View, fault: Fault,
): boolean {
  if (run === RUN_NONE) return true
  const wrong = run === RUN_BCD ? notPacked(frame, start, stop)
    : notDigits(frame, start, stop, run === RUN_EBCDIC ? 0xf0 : 0x30)
  return wrong < 0 || fault.refuse('not_digits', fieldAt(view, wrong), wrong)
}

/**
 * The field whose value holds that offset: the first in ascending order, so none of an older
 * message.
 */
function fieldAt(view: View, offset: number): number {
  for (let field = 2; field <= view.bits.length * 32; field++) {
    if (view.has(field) && offset < view.places[field * STRIDE + AT_VALUE_END]!) return field
  }
  return 0
}

/** Offset of the first byte that is no digit, -1 when all are. (Offset 0 is the MTI's.) */
function notDigits(frame: Uint8Array, start: number, stop: number, zero: number): number {
  let bad = 0
  for (let at = start; at < stop; at++) {
    const digit = frame[at]! - zero
    bad |= digit | (9 - digit)
  }
  if (bad >= 0) return -1
  let at = start
  while (frame[at]! >= zero && frame[at]! <= zero + 9) at++
  return at
}

/** Offset of the first byte with a nibble above 9, -1 when there is none. */
function notPacked(frame: Uint8Array, start: number, stop: number): number {
  let bad = 0
  for (let at = start; at < stop; at++) bad |= BAD_BCD[frame[at]!]!
  if (bad === 0) return -1
  let at = start
  while (BAD_BCD[frame[at]!] === 0) at++
  return at
}

/** The MTI as a number, -1 when it is not four decimal digits. */
function readMti(dialect: Dialect, frame: Uint8Array, at: number): number {
  if (dialect.mtiBytes === 2) {
    const high = VALUE_BCD[frame[at]!]!
    const low = VALUE_BCD[frame[at + 1]!]!
    return high > 99 || low > 99 ? -1 : high * 100 + low
  }
  return readDigits(frame, at, 4, dialect.mtiCoding === 'ebcdic' ? 0xf0 : 0x30)
}

/** `count` character digits as a number, -1 when one is not decimal. */
function readDigits(frame: Uint8Array, at: number, count: number, zero: number): number {
  let value = 0
  for (let i = 0; i < count; i++) {
    const digit = frame[at + i]! - zero
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/**
 * Reads one to three bitmaps into view.bits, with the continuation bits (1, and 65 where three are
 * allowed) cleared. Returns the offset after them, -1 with the fault filled.
 */
function readBitmaps(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): number {
  const bits = view.bits
  bits[0] = bits[1] = bits[2] = bits[3] = bits[4] = bits[5] = 0
  let at = start
  let count = 0
  let more = true
  while (more) {
    if (count === dialect.bitmapCount) {
      fault.refuse('bitmap_not_allowed', count === 1 ? 1 : 65, start)
      return -1
    }
    if (at + dialect.bitmapBytes > end) {
      fault.refuse('bitmap_truncated', 0, at)
      return -1
    }
    if (!readBitmap(dialect, frame, at, view.bits, count * 2)) {
      fault.refuse('bitmap_not_hex', 0, at)
      return -1
    }
    const first = view.bits[count * 2]!
    // Bit 1 announces the second bitmap. Bit 65 announces a third only where the dialect has one,
    // else it is a field.
    more = first < 0 && (count === 0 || (count === 1 && dialect.bitmapCount === 3))
    if (more) view.bits[count * 2] = first & 0x7fffffff
    at += dialect.bitmapBytes
    count++
  }
  view.bitmapCount = count
  return at
}

function readBitmap(
  dialect: Dialect, frame: Uint8Array, at: number, bits: Int32Array, index: number,
): boolean {
  if (dialect.bitmapBytes === 8) {
    bits[index] = (frame[at]! << 24) | (frame[at + 1]! << 16) | (frame[at + 2]! << 8) |
      frame[at + 3]!
    bits[index + 1] =
      (frame[at + 4]! << 24) | (frame[at + 5]! << 16) | (frame[at + 6]! << 8) | frame[at + 7]!
    return true
  }
  const table = dialect.bitmapCoding === 'hex-ebcdic' ? VALUE_HEX_EBCDIC : VALUE_HEX
  if (!isHex(frame, at, at + 16, table)) return false
  for (let word = 0; word < 2; word++) {
    let value = 0
    for (let i = 0; i < 8; i++) value = (value << 4) | table[frame[at++]!]!
    bits[index + word] = value
  }
  return true
}

/** Reads a length prefix; returns the count in the field's own unit, -1 with the fault filled. */
function readCount(
  flags: number, max: number, frame: Uint8Array, start: number, end: number, field: number,
  fault: Fault,
): number {
  if ((flags & FLAG_SHAPE) === SHAPE_UNKNOWN) {
    fault.refuse('field_not_in_dialect', field, start)
    return -1
  }
  const size = (flags >> FLAG_PREFIX_BYTES_AT) & 7
  if (start + size > end) {
    fault.refuse('length_truncated', field, start)
    return -1
  }
  let count = readPrefix((flags >> FLAG_PREFIX_AT) & 7, frame, start, size)
  if (count < 0) {
    fault.refuse('length_not_decimal', field, start)
    return -1
  }
  const unit = (flags >> FLAG_UNIT_AT) & 3
  if (unit !== UNIT_DIGITS) count = inUnits((flags >> FLAG_FORM_AT) & 7, unit, count, max)
  if (count <= max) return count
  fault.refuse('length_over_max', field, start)
  return -1
}

function readPrefix(coding: number, frame: Uint8Array, at: number, size: number): number {
  if (coding === PREFIX_ASCII) return readDigits(frame, at, size, 0x30)
  if (coding === PREFIX_EBCDIC) return readDigits(frame, at, size, 0xf0)
  const first = frame[at]!
  if (coding === PREFIX_BINARY) return size === 1 ? first : first * 256 + frame[at + 1]!
  const high = VALUE_BCD[first]!
  if (size === 1) return high > 99 ? -1 : high
  const low = VALUE_BCD[frame[at + 1]!]!
  return high > 99 || low > 99 ? -1 : high * 100 + low
}

/** A prefix that counts bytes, turned into digits where the field is counted in digits. */
function inUnits(form: number, unit: number, length: number, max: number): number {
  if (form !== FORM_BCD_LEFT && form !== FORM_BCD_RIGHT) return length
  if (unit === UNIT_BYTES_OR_DIGITS && length > (max + 1) >> 1) return length
  return length * 2
}

function checkValue(
  dialect: Dialect, check: number, frame: Uint8Array, start: number, stop: number, field: number,
  count: number, fault: Fault,
): boolean {
  switch (check) {
    case CHECK_ASCII_DIGITS:
      return checkDigits(frame, start, stop, 0x30, field, fault)
    case CHECK_EBCDIC_DIGITS:
      return checkDigits(frame, start, stop, 0xf0, field, fault)
    case CHECK_BCD_DIGITS:
      return checkBcd(frame, start, stop, (count & 1) === 1, dialect.form[field]!, field, fault)
    case CHECK_HEX_ASCII:
      return checkHex(frame, start, stop, VALUE_HEX, field, fault)
    case CHECK_HEX_EBCDIC:
      return checkHex(frame, start, stop, VALUE_HEX_EBCDIC, field, fault)
    case CHECK_SIGN_ASCII:
    case CHECK_SIGN_EBCDIC:
    case CHECK_SIGN_BCD:
      return checkSigned(dialect, frame, start, stop, field, count, fault)
    default:
      return true
  }
}

function checkDigits(
  frame: Uint8Array, start: number, stop: number, zero: number, field: number, fault: Fault,
): boolean {
  const wrong = notDigits(frame, start, stop, zero)
  return wrong < 0 || fault.refuse('not_digits', field, wrong)
}

/** Digits of a BCD value; the nibble that fills an odd count may be 0 or F. */
function checkBcd(
  frame: Uint8Array, start: number, stop: number, odd: boolean, form: number, field: number,
  fault: Fault,
): boolean {
  let from = start
  let to = stop
  if (odd) {
    const padAt = form === FORM_BCD_LEFT ? stop - 1 : start
    const byte = frame[padAt]!
    const pad = form === FORM_BCD_LEFT ? byte & 15 : byte >> 4
    const digit = form === FORM_BCD_LEFT ? byte >> 4 : byte & 15
    if (digit > 9) return fault.refuse('not_digits', field, padAt)
    if (pad !== 0 && pad !== 15) return fault.refuse('pad_not_valid', field, padAt)
    if (form === FORM_BCD_LEFT) to--
    else from++
  }
  const wrong = notPacked(frame, from, to)
  return wrong < 0 || fault.refuse('not_digits', field, wrong)
}

function checkHex(
  frame: Uint8Array, start: number, stop: number, table: Uint8Array, field: number, fault: Fault,
): boolean {
  return isHex(frame, start, stop, table) || fault.refuse('not_hex', field, start)
}

/**
 * Both cases of letters are read, but one case per value, so that the same bytes can be written
 * again.
 */
function isHex(frame: Uint8Array, start: number, stop: number, table: Uint8Array): boolean {
  let upper = false
  let lower = false
  for (let at = start; at < stop; at++) {
    const byte = frame[at]!
    const value = table[byte]!
    if (value > 15) return false
    if (value < 10) continue
    if (table === VALUE_HEX ? byte >= 0x61 : byte < 0xc0) lower = true
    else upper = true
  }
  return !(lower && upper)
}

function checkSigned(
  dialect: Dialect, frame: Uint8Array, start: number, stop: number, field: number, count: number,
  fault: Fault,
): boolean {
  const check = dialect.check[field]!
  const byte = frame[start]!
  const sign = check === CHECK_SIGN_EBCDIC || dialect.ebcdic ? TO_ASCII[byte]! : byte
  if (sign !== 0x43 && sign !== 0x44) return fault.refuse('sign_not_valid', field, start)
  if (check === CHECK_SIGN_BCD) {
    return checkBcd(frame, start + 1, stop, ((count - 1) & 1) === 1, FORM_BCD_RIGHT, field, fault)
  }
  return checkDigits(frame, start + 1, stop, check === CHECK_SIGN_EBCDIC ? 0xf0 : 0x30, field,
    fault)
}
