// hot path
/**
 * Reads a message into positions: header, MTI, bitmaps, then every field that a bit announces,
 * checked as the dialect says. Called by links for each frame and by tools. Throws nothing, copies
 * nothing, and allocates nothing but the arrangements that a dialect keeps (arrangement.ts).
 *
 * ISO 8583:1987 clause 4.4 (MTI, bitmaps, fields in ascending order).
 */
import { FIELD_MAX, FORM, PREFIX, PREFIX_VALUE, RUN, UNIT, bytesOf } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { checkValue, isHex } from './check.ts'
import { LENGTH, PADS, RUNS, SEGMENT, keptArrangement, newArrangement } from './arrangement.ts'
import type { Arrangement } from './arrangement.ts'
import type { Fault } from './fault.ts'
import type { View } from './view.ts'
import { BCD_VALUE, HEX_VALUE, HEX_VALUE_EBCDIC } from './codings/tables.ts'

// Imported values under local names: the engine takes a local constant for a constant, and an
// imported one for a variable that it loads again each time (measured: walk() takes a quarter
// less).
const FORM_BCD_LEFT = FORM.bcdLeft
const FORM_BCD_RIGHT = FORM.bcdRight
const PREFIX_NONE = PREFIX.none
const PREFIX_ASCII = PREFIX.ascii
const PREFIX_EBCDIC = PREFIX.ebcdic
const PREFIX_BINARY = PREFIX.binary
const UNIT_DIGITS = UNIT.digits
const UNIT_BYTES_OR_DIGITS = UNIT.bytesOrDigits
const FORM_CHARACTERS = FORM.characters
const FORM_HEX = FORM.hex
const LENGTH_COUNT_MASK = LENGTH.countMask
const LENGTH_PREFIX_BYTES_AT = LENGTH.prefixBytesAt
const LENGTH_TABLE_AT = LENGTH.tableAt
const LENGTH_FORM_AT = LENGTH.formAt
const LENGTH_PLAIN = LENGTH.plain
const SEGMENT_COLUMNS = SEGMENT.columns
const SEGMENT_LENGTH = SEGMENT.length
const SEGMENT_COUNT_MIN = SEGMENT.countMin
const LENGTH_PAD_LEFT = LENGTH.padLeft
const LENGTH_PADS = LENGTH.padLeft | LENGTH.padRight
const PAD_COLUMNS = PADS.columns
const PAD_OFFSET = PADS.offset
const PAD_MASK = PADS.mask
const RUN_EBCDIC = RUN.ebcdic
const RUN_BCD = RUN.bcd
const RUN_COLUMNS = RUNS.columns
const RUN_START_SEGMENT = RUNS.startSegment
const RUN_START_OFFSET = RUNS.startOffset
const RUN_END_SEGMENT = RUNS.endSegment
const RUN_END_OFFSET = RUNS.endOffset
const PREFIX_TABLE = PREFIX_VALUE
const VALUE_BCD = BCD_VALUE
const VALUE_HEX_EBCDIC = HEX_VALUE_EBCDIC
const VALUE_HEX = HEX_VALUE

/** The bitmaps of the message that is being read. */
const BITS = new Int32Array(FIELD_MAX / 32)

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
 * As walk(), but on a fault the view keeps the fields before the one that is wrong (none when MTI
 * or bitmaps are wrong already): for tools that explain a bad message, and so that a format error
 * can be answered with the sender's own trace number. Not for the way of a good message.
 */
export function walkUntilFault(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  view.reset()
  view.frame = frame
  view.dialect = dialect
  view.headerStart = start
  view.bodyStart = start
  view.end = end
  if (walkMessage(dialect, frame, start, end, view, fault)) return true
  if (fault.kind !== 'trailing_bytes') view.keepBefore(fault.field)
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
  view.arrangement = keptArrangement(dialect, BITS) ?? newArrangement(dialect, BITS, view.own)
  return placeFields(dialect, frame, at, end, view, fault) ||
    walkFields(dialect, frame, at, end, view, fault)
}

/**
 * Places the fields of a good message: reads the lengths, checks the digits in runs and the other
 * values one by one. False, with nothing said about why, when anything at all is out of the
 * ordinary: walkFields() then looks at every field, so that the first wrong byte is the one that is
 * named. (Ordinary is a pad nibble of 0; another one is found right by walkFields().)
 */
function placeFields(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  const arrangement = view.arrangement
  const segments = arrangement.segments
  const bases = view.bases
  const columns = arrangement.segmentCount * SEGMENT_COLUMNS
  let at = start
  let segment = 0
  bases[0] = start
  for (let row = 0; row < columns; row += SEGMENT_COLUMNS) {
    at += segments[row]!
    const length = segments[row + SEGMENT_LENGTH]!
    const prefixBytes = (length >> LENGTH_PREFIX_BYTES_AT) & 7
    if (at + prefixBytes > end || (length & LENGTH_PLAIN) === 0) return false
    const table = ((length >> LENGTH_TABLE_AT) & 3) << 8
    let count = PREFIX_TABLE[table + frame[at]!]!
    if (prefixBytes > 1) {
      const radix = table < 512 ? 10 : table === 512 ? 100 : 256
      count = count * radix + PREFIX_TABLE[table + frame[at + 1]!]!
      if (prefixBytes > 2) {
        count = count * radix + PREFIX_TABLE[table + frame[at + 2]!]!
        if (prefixBytes > 3) count = count * radix + PREFIX_TABLE[table + frame[at + 3]!]!
      }
    }
    if (count > (length & LENGTH_COUNT_MASK) || count < segments[row + SEGMENT_COUNT_MIN]!) {
      return false
    }
    const form = (length >> LENGTH_FORM_AT) & 3
    const value = at + prefixBytes
    at = value + (form === FORM_CHARACTERS ? count
      : form === FORM_HEX ? count * 2 : (count + 1) >> 1)
    if ((count & 1) === 1 && (length & LENGTH_PADS) !== 0 && at <= end) {
      if ((length & LENGTH_PAD_LEFT) !== 0 ? (frame[at - 1]! & 15) !== 0 : frame[value]! > 15) {
        return false
      }
    }
    view.counts[segment] = count
    bases[++segment] = at
  }
  if (at + arrangement.tailBytes !== end || !arrangement.complete) return false
  return runsAreDigits(arrangement, frame, bases) && padsAreZero(arrangement, frame, bases) &&
    (arrangement.checkedCount === 0 || valuesAreGood(dialect, arrangement, frame, view, fault))
}

function runsAreDigits(arrangement: Arrangement, frame: Uint8Array, bases: Int32Array): boolean {
  const runs = arrangement.runs
  const columns = arrangement.runCount * RUN_COLUMNS
  let bad = 0
  for (let row = 0; row < columns; row += RUN_COLUMNS) {
    const kind = runs[row]!
    const start = bases[runs[row + RUN_START_SEGMENT]!]! + runs[row + RUN_START_OFFSET]!
    const stop = bases[runs[row + RUN_END_SEGMENT]!]! + runs[row + RUN_END_OFFSET]!
    bad |= kind === RUN_BCD ? packedBad(frame, start, stop)
      : charactersBad(frame, start, stop, kind === RUN_EBCDIC ? 0xf0 : 0x30)
  }
  return bad === 0
}

function padsAreZero(arrangement: Arrangement, frame: Uint8Array, bases: Int32Array): boolean {
  const pads = arrangement.pads
  const columns = arrangement.padCount * PAD_COLUMNS
  let bad = 0
  for (let row = 0; row < columns; row += PAD_COLUMNS) {
    bad |= frame[bases[pads[row]!]! + pads[row + PAD_OFFSET]!]! & pads[row + PAD_MASK]!
  }
  return bad === 0
}

/** 0 when every byte is a digit: without its zone it is 0 to 9, and 6 more stay below 16. */
function charactersBad(frame: Uint8Array, start: number, stop: number, zone: number): number {
  let bad = 0
  let at = start
  for (; at + 3 < stop; at += 4) {
    bad |= ((frame[at]! ^ zone) + 6) | ((frame[at + 1]! ^ zone) + 6) |
      ((frame[at + 2]! ^ zone) + 6) | ((frame[at + 3]! ^ zone) + 6)
  }
  for (; at < stop; at++) bad |= (frame[at]! ^ zone) + 6
  return bad >> 4
}

/** 0 when no nibble is above 9: then adding 6 to each carries nothing into the next. */
function packedBad(frame: Uint8Array, start: number, stop: number): number {
  let bad = 0
  let at = start
  for (; at + 3 < stop; at += 4) {
    const a = frame[at]!
    const b = frame[at + 1]!
    const c = frame[at + 2]!
    const d = frame[at + 3]!
    bad |= ((a + 0x66) ^ a) | ((b + 0x66) ^ b) | ((c + 0x66) ^ c) | ((d + 0x66) ^ d)
  }
  for (; at < stop; at++) bad |= (frame[at]! + 0x66) ^ frame[at]!
  return bad & 0x110
}

function valuesAreGood(
  dialect: Dialect, arrangement: Arrangement, frame: Uint8Array, view: View, fault: Fault,
): boolean {
  for (let i = 0; i < arrangement.checkedCount; i++) {
    const field = arrangement.checked[i]!
    if (!checkValue(dialect, frame, view.valueStart(field), view.valueEnd(field), field,
      view.count(field), fault)) return false
  }
  return true
}

/** Reads the announced fields one by one, in ascending order, and names the first fault. */
function walkFields(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): boolean {
  const arrangement = view.arrangement
  let at = start
  let segment = 0
  for (let i = 0; i < arrangement.fieldCount; i++) {
    const field = arrangement.fields[i]!
    if (dialect.known[field] !== 1) return fault.refuse('field_not_in_dialect', field, at)
    let count = dialect.countMax[field]!
    let stop = at + dialect.fixedBytes[field]!
    let value = at
    if (dialect.prefix[field] !== PREFIX_NONE) {
      count = readCount(dialect, frame, at, end, field, fault)
      if (count < 0) return false
      if (count < dialect.countMin[field]!) return fault.refuse('length_under_min', field, at)
      value += dialect.prefixBytes[field]!
      stop = value + bytesOf(dialect.form[field]!, count)
      view.counts[segment] = count
      view.bases[++segment] = stop
    }
    if (stop > end) return fault.refuse('field_truncated', field, end)
    if (!checkValue(dialect, frame, value, stop, field, count, fault)) return false
    at = stop
  }
  return at === end || fault.refuse('trailing_bytes', 0, at)
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
 * Reads one to three bitmaps into BITS, with the continuation bits (1, and 65 where three are
 * allowed) cleared. Returns the offset after them, -1 with the fault filled.
 */
function readBitmaps(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, view: View, fault: Fault,
): number {
  BITS[0] = BITS[1] = BITS[2] = BITS[3] = BITS[4] = BITS[5] = 0
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
    if (!readBitmap(dialect, frame, at, start, count * 2)) {
      fault.refuse('bitmap_not_hex', 0, at)
      return -1
    }
    const first = BITS[count * 2]!
    // Bit 1 announces the second bitmap. Bit 65 announces a third only where the dialect has one,
    // else it is a field.
    more = first < 0 && (count === 0 || (count === 1 && dialect.bitmapCount === 3))
    if (more) BITS[count * 2] = first & 0x7fffffff
    at += dialect.bitmapBytes
    count++
  }
  view.bitmapCount = count
  return at
}

function readBitmap(
  dialect: Dialect, frame: Uint8Array, at: number, first: number, index: number,
): boolean {
  if (dialect.bitmapBytes === 8) {
    BITS[index] = (frame[at]! << 24) | (frame[at + 1]! << 16) | (frame[at + 2]! << 8) |
      frame[at + 3]!
    BITS[index + 1] =
      (frame[at + 4]! << 24) | (frame[at + 5]! << 16) | (frame[at + 6]! << 8) | frame[at + 7]!
    return true
  }
  const table = dialect.bitmapCoding === 'hex-ebcdic' ? VALUE_HEX_EBCDIC : VALUE_HEX
  // One case in all bitmaps, so that the same bytes can be written again.
  if (!isHex(frame, first, at + 16, table)) return false
  for (let word = 0; word < 2; word++) {
    let value = 0
    for (let i = 0; i < 8; i++) value = (value << 4) | table[frame[at++]!]!
    BITS[index + word] = value
  }
  return true
}

/** Reads a length prefix; returns the count in the field's own unit, -1 with the fault filled. */
function readCount(
  dialect: Dialect, frame: Uint8Array, start: number, end: number, field: number, fault: Fault,
): number {
  const size = dialect.prefixBytes[field]!
  const max = dialect.countMax[field]!
  if (start + size > end) {
    fault.refuse('length_truncated', field, start)
    return -1
  }
  let count = readPrefix(dialect.prefix[field]!, frame, start, size)
  if (count < 0) {
    fault.refuse('length_not_decimal', field, start)
    return -1
  }
  const unit = dialect.prefixUnit[field]!
  if (unit !== UNIT_DIGITS) count = inUnits(dialect.form[field]!, unit, count, max)
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
