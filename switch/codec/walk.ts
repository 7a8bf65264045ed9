// hot path
/**
 * Reads a message into positions: header, MTI, bitmaps, then every field that a bit announces,
 * checked as the dialect says. Called by links for each frame and by tools. Allocates nothing,
 * throws nothing, copies nothing.
 *
 * ISO 8583:1987 clause 4.4 (MTI, bitmaps, fields in ascending order).
 */
import { CHECK, COLUMN, FORM, PREFIX, ROW, SHAPE, UNIT, bytesOf } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import type { Fault } from './fault.ts'
import { AT, PLACE } from './view.ts'
import type { View } from './view.ts'
import {
  BCD_BAD, BCD_VALUE, EBCDIC_TO_ASCII, HEX_VALUE, HEX_VALUE_EBCDIC,
} from './codings/tables.ts'

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

/** Records every announced field from `start` on, in ascending order. */
function walkFields(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  const rows = dialect.rows
  const places = view.places
  const bits = view.bits
  let at = start
  for (let index = 0; index < bits.length; index++) {
    let word = bits[index]!
    while (word !== 0) {
      const bit = Math.clz32(word)
      word &= ~(0x80000000 >>> bit)
      const field = index * 32 + bit + 1
      const row = field * ROW
      let count = rows[row + COLUMN.countMax]!
      let bytes = rows[row + COLUMN.fixedBytes]!
      let value = at
      const shape = rows[row]!
      if (shape !== SHAPE.fixed) {
        if (shape === SHAPE.unknown) return fault.refuse('field_not_in_dialect', field, at)
        count = readCount(dialect, rows, row, frame, at, end, field, fault)
        if (count < 0) return false
        value += rows[row + COLUMN.prefixBytes]!
        const form = rows[row + COLUMN.form]!
        bytes = form === FORM.characters ? count : bytesOf(form, count)
      }
      const stop = value + bytes
      if (stop > end) return fault.refuse('field_truncated', field, end)
      const place = field * PLACE
      places[place] = at
      places[place + AT.valueStart] = value
      places[place + AT.valueEnd] = stop
      places[place + AT.count] = count
      const check = rows[row + COLUMN.check]!
      if (check > CHECK.ebcdic && check !== CHECK.bcdNibbles) {
        const wrong = check === CHECK.asciiDigits ? notDigits(frame, value, stop, 0x30)
          : check === CHECK.bcdDigits && (count & 1) === 0 ? notPacked(frame, value, stop)
          : 0
        if (wrong > 0) return fault.refuse('not_digits', field, wrong)
        if (wrong === 0 && !checkValue(dialect, frame, value, stop, field, count, fault)) return false
      }
      at = stop
    }
  }
  return at === end || fault.refuse('trailing_bytes', 0, at)
}

/** Offset of the first byte that is no digit, -1 when all are. (Offset 0 is the MTI's.) */
function notDigits(frame: Uint8Array, start: number, stop: number, zero: number): number {
  for (let at = start; at < stop; at++) {
    const digit = frame[at]! - zero
    if (digit < 0 || digit > 9) return at
  }
  return -1
}

/** Offset of the first byte with a nibble above 9, -1 when there is none. */
function notPacked(frame: Uint8Array, start: number, stop: number): number {
  for (let at = start; at < stop; at++) if (BCD_BAD[frame[at]!] === 1) return at
  return -1
}

/** The MTI as a number, -1 when it is not four decimal digits. */
function readMti(dialect: Dialect, frame: Uint8Array, at: number): number {
  if (dialect.mtiBytes === 2) {
    const high = BCD_VALUE[frame[at]!]!
    const low = BCD_VALUE[frame[at + 1]!]!
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
  const table = dialect.bitmapCoding === 'hex-ebcdic' ? HEX_VALUE_EBCDIC : HEX_VALUE
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
  dialect: Dialect, rows: Int32Array, row: number, frame: Uint8Array, start: number, end: number,
  field: number, fault: Fault,
): number {
  const size = rows[row + COLUMN.prefixBytes]!
  if (start + size > end) {
    fault.refuse('length_truncated', field, start)
    return -1
  }
  let count = readPrefix(rows[row + COLUMN.prefix]!, frame, start, size)
  const max = rows[row + COLUMN.countMax]!
  if (count < 0) fault.refuse('length_not_decimal', field, start)
  else {
    const unit = rows[row + COLUMN.prefixUnit]!
    if (unit !== UNIT.digits) count = inUnits(rows[row + COLUMN.form]!, unit, count, max)
    if (count > max) fault.refuse('length_over_max', field, start)
    else if (count < dialect.countMin[field]!) fault.refuse('length_under_min', field, start)
    else return count
  }
  return -1
}

function readPrefix(coding: number, frame: Uint8Array, at: number, size: number): number {
  if (coding === PREFIX.ascii) return readDigits(frame, at, size, 0x30)
  if (coding === PREFIX.ebcdic) return readDigits(frame, at, size, 0xf0)
  const first = frame[at]!
  if (coding === PREFIX.binary) return size === 1 ? first : first * 256 + frame[at + 1]!
  const high = BCD_VALUE[first]!
  if (size === 1) return high > 99 ? -1 : high
  const low = BCD_VALUE[frame[at + 1]!]!
  return high > 99 || low > 99 ? -1 : high * 100 + low
}

/** A prefix that counts bytes, turned into digits where the field is counted in digits. */
function inUnits(form: number, unit: number, length: number, max: number): number {
  if (form !== FORM.bcdLeft && form !== FORM.bcdRight) return length
  if (unit === UNIT.bytesOrDigits && length > (max + 1) >> 1) return length
  return length * 2
}

function checkValue(
  dialect: Dialect, frame: Uint8Array, start: number, stop: number, field: number, count: number,
  fault: Fault,
): boolean {
  switch (dialect.check[field]!) {
    case CHECK.ebcdicDigits:
      return checkDigits(frame, start, stop, 0xf0, field, fault)
    case CHECK.bcdDigits:
      return checkBcd(frame, start, stop, (count & 1) === 1, dialect.form[field]!, field, fault)
    case CHECK.hexAscii:
      return checkHex(frame, start, stop, HEX_VALUE, field, fault)
    case CHECK.hexEbcdic:
      return checkHex(frame, start, stop, HEX_VALUE_EBCDIC, field, fault)
    case CHECK.signAscii:
    case CHECK.signEbcdic:
    case CHECK.signBcd:
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
    const padAt = form === FORM.bcdLeft ? stop - 1 : start
    const byte = frame[padAt]!
    const pad = form === FORM.bcdLeft ? byte & 15 : byte >> 4
    const digit = form === FORM.bcdLeft ? byte >> 4 : byte & 15
    if (digit > 9) return fault.refuse('not_digits', field, padAt)
    if (pad !== 0 && pad !== 15) return fault.refuse('pad_not_valid', field, padAt)
    if (form === FORM.bcdLeft) to--
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
    if (table === HEX_VALUE ? byte >= 0x61 : byte < 0xc0) lower = true
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
  const sign = check === CHECK.signEbcdic || dialect.ebcdic ? EBCDIC_TO_ASCII[byte]! : byte
  if (sign !== 0x43 && sign !== 0x44) return fault.refuse('sign_not_valid', field, start)
  if (check === CHECK.signBcd) {
    return checkBcd(frame, start + 1, stop, ((count - 1) & 1) === 1, FORM.bcdRight, field, fault)
  }
  return checkDigits(frame, start + 1, stop, check === CHECK.signEbcdic ? 0xf0 : 0x30, field, fault)
}
