// hot path
/**
 * Whether the bytes of a value are what its field may hold: digits, hexadecimal, a sign. Called by
 * walk() for values that are not checked in a run of digits, and for all values of a message in
 * which something is wrong.
 */
import { CHECK, FORM } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import type { Fault } from './fault.ts'
import { BCD_BAD, EBCDIC_TO_ASCII, HEX_VALUE, HEX_VALUE_EBCDIC } from './codings/tables.ts'

// Imported values under local names: the engine takes a local constant for a constant.
const CHECK_ASCII_DIGITS = CHECK.asciiDigits
const CHECK_EBCDIC_DIGITS = CHECK.ebcdicDigits
const CHECK_BCD_DIGITS = CHECK.bcdDigits
const CHECK_SIGN_ASCII = CHECK.signAscii
const CHECK_SIGN_EBCDIC = CHECK.signEbcdic
const CHECK_SIGN_BCD = CHECK.signBcd
const CHECK_HEX_ASCII = CHECK.hexAscii
const CHECK_HEX_EBCDIC = CHECK.hexEbcdic
const FORM_BCD_LEFT = FORM.bcdLeft
const FORM_BCD_RIGHT = FORM.bcdRight
const BAD_BCD = BCD_BAD
const TO_ASCII = EBCDIC_TO_ASCII
const VALUE_HEX_EBCDIC = HEX_VALUE_EBCDIC
const VALUE_HEX = HEX_VALUE

/** Checks the value in frame[start, stop) of `count` units; false with the fault filled. */
export function checkValue(
  dialect: Dialect, frame: Uint8Array, start: number, stop: number, field: number, count: number,
  fault: Fault,
): boolean {
  switch (dialect.check[field]!) {
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
export function isHex(frame: Uint8Array, start: number, stop: number, table: Uint8Array): boolean {
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
