// hot path
/**
 * Encodes one value as a dialect writes it. Used by MessageWriter only. The inverse of View.text
 * and View.bytes.
 */
import { CHECK, FORM, PREFIX, bytesOf } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import type { FaultKind } from './fault.ts'
import type { WireVariant } from './writer.ts'
import {
  ASCII_TO_EBCDIC, BCD_BYTE, HEX_VALUE, NIBBLE_ASCII, NIBBLE_ASCII_LOWER,
} from './codings/tables.ts'

// Imported values under local names: the engine takes a local constant for a constant, and an
// imported one for a variable that it loads again each time (measured: walk() takes a quarter
// less).
const CHECK_ASCII = CHECK.ascii
const CHECK_EBCDIC = CHECK.ebcdic
const CHECK_ASCII_DIGITS = CHECK.asciiDigits
const CHECK_EBCDIC_DIGITS = CHECK.ebcdicDigits
const CHECK_BCD_DIGITS = CHECK.bcdDigits
const CHECK_BCD_NIBBLES = CHECK.bcdNibbles
const CHECK_SIGN_ASCII = CHECK.signAscii
const CHECK_SIGN_EBCDIC = CHECK.signEbcdic
const CHECK_SIGN_BCD = CHECK.signBcd
const CHECK_HEX_EBCDIC = CHECK.hexEbcdic
const FORM_CHARACTERS = FORM.characters
const FORM_BCD_RIGHT = FORM.bcdRight
const FORM_HEX = FORM.hex
const PREFIX_NONE = PREFIX.none
const PREFIX_EBCDIC = PREFIX.ebcdic
const PREFIX_BCD = PREFIX.bcd
const PREFIX_BINARY = PREFIX.binary
const VALUE_HEX = HEX_VALUE
const DIGITS_LOWER = NIBBLE_ASCII_LOWER
const DIGITS_UPPER = NIBBLE_ASCII
const TO_EBCDIC = ASCII_TO_EBCDIC
const BYTE_BCD = BCD_BYTE

/**
 * Result of encoding a value: where it ends in the target and how many units it has, or why it
 * could not be.
 */
export interface Encoded {
  at: number
  count: number
  kind: FaultKind
}

const LETTER_H = 0x68
/** What Buffer.write() calls for 'hex'; every Buffer has it, its declarations leave it out. */
const { hexWrite } = Buffer.prototype as unknown as {
  hexWrite(this: Buffer, text: string, start: number, bytes: number): number
}
/** Above this many digits the call into native code is quicker than a loop. */
const LOOP_DIGITS_MAX = 32

/** Encodes text at `at`; false with out.kind filled when the field cannot carry it. */
export function encodeText(
  dialect: Dialect, field: number, text: string, target: Buffer, at: number, out: Encoded,
  variant: WireVariant | undefined,
): boolean {
  const check = dialect.check[field]!
  const fixed = dialect.prefix[field] === PREFIX_NONE
  switch (check) {
    case CHECK_ASCII:
    case CHECK_EBCDIC:
      // The call is dear, most texts do not begin with its first letter.
      if (text.charCodeAt(0) === LETTER_H && text.startsWith('hex:')) {
        return encodeHex(dialect, field, text, 4, target, at, out, false)
      }
      return encodeCharacters(dialect, field, text, fixed, target, at, out)
    case CHECK_ASCII_DIGITS:
    case CHECK_EBCDIC_DIGITS:
      return encodeDigits(dialect, field, text, fixed, check === CHECK_EBCDIC_DIGITS ? 0xf0 : 0x30,
        target, at, out)
    case CHECK_BCD_DIGITS:
    case CHECK_BCD_NIBBLES:
      return encodeNibbles(dialect, field, text, fixed, target, at, out, variant)
    case CHECK_SIGN_ASCII:
    case CHECK_SIGN_EBCDIC:
    case CHECK_SIGN_BCD:
      return encodeSigned(dialect, field, text, target, at, out, variant)
    default:
      return encodeHex(dialect, field, text, 0, target, at, out, variant?.hex === 'lower')
  }
}

/** Encodes the bytes of a value; false with out.kind filled when the field cannot carry them. */
export function encodeBytes(
  dialect: Dialect, field: number, bytes: Uint8Array, target: Buffer, at: number, out: Encoded,
  variant: WireVariant | undefined,
): boolean {
  const form = dialect.form[field]!
  const check = dialect.check[field]!
  if (check > CHECK_EBCDIC && form !== FORM_HEX) {
    return encodeTrackBytes(dialect, field, bytes, target, at, out)
  }
  if (!fits(dialect, field, bytes.length, bytesOf(form, bytes.length), target, at, out)) {
    return false
  }
  if (form === FORM_HEX) {
    const lower = variant?.hex === 'lower'
    for (let i = 0; i < bytes.length; i++) at = hexPair(target, at, bytes[i]!, check, lower)
  } else for (let i = 0; i < bytes.length; i++) target[at++] = bytes[i]!
  out.at = at
  return true
}

/** Writes a length prefix for `count`; the maximum was checked when the value was. */
export function writePrefix(
  dialect: Dialect, field: number, count: number, target: Buffer, start: number,
): void {
  const size = dialect.prefixBytes[field]!
  const coding = dialect.prefix[field]!
  if (coding === PREFIX_BINARY) {
    if (size === 2) target[start] = count >> 8
    target[start + size - 1] = count & 255
  } else if (coding === PREFIX_BCD) {
    if (size === 2) target[start] = BYTE_BCD[Math.trunc(count / 100)]!
    target[start + size - 1] = BYTE_BCD[count % 100]!
  } else {
    const zero = coding === PREFIX_EBCDIC ? 0xf0 : 0x30
    let rest = count
    for (let at = start + size - 1; at >= start; at--) {
      target[at] = zero + (rest % 10)
      rest = Math.trunc(rest / 10)
    }
  }
}

function fail(out: Encoded, kind: FaultKind): false {
  out.kind = kind
  return false
}

/** Checks count and room; fills out.count. */
function fits(
  dialect: Dialect, field: number, count: number, bytes: number, target: Buffer, at: number,
  out: Encoded,
): boolean {
  if (count > dialect.countMax[field]!) return fail(out, 'length_over_max')
  if (count < dialect.countMin[field]!) {
    return fail(out, dialect.prefix[field] === PREFIX_NONE ? 'length_wrong' : 'length_under_min')
  }
  if (at + bytes > target.length) return fail(out, 'message_too_long')
  out.count = count
  return true
}

function encodeCharacters(
  dialect: Dialect, field: number, text: string, fixed: boolean, target: Buffer, start: number,
  out: Encoded,
): boolean {
  const count = fixed ? Math.max(text.length, dialect.countMax[field]!) : text.length
  if (!fits(dialect, field, count, count, target, start, out)) return false
  const ebcdic = dialect.check[field] === CHECK_EBCDIC
  let at = start
  let wrong = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    wrong |= (code - 0x20) | (0x7e - code) // below zero for what is not printable ASCII
    target[at++] = ebcdic ? TO_EBCDIC[code & 127]! : code
  }
  if (wrong < 0) return fail(out, 'not_in_character_set')
  const blank = ebcdic ? 0x40 : 0x20
  while (at < start + count) target[at++] = blank
  out.at = at
  return true
}

function encodeDigits(
  dialect: Dialect, field: number, text: string, fixed: boolean, zero: number, target: Buffer,
  start: number, out: Encoded,
): boolean {
  const count = fixed ? Math.max(text.length, dialect.countMax[field]!) : text.length
  if (!fits(dialect, field, count, count, target, start, out)) return false
  let at = start
  while (at < start + count - text.length) target[at++] = zero
  let wrong = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    wrong |= digit | (9 - digit) // below zero for what is no digit
    target[at++] = zero + digit
  }
  if (wrong < 0) return fail(out, 'not_digits')
  out.at = at
  return true
}

function encodeNibbles(
  dialect: Dialect, field: number, text: string, fixed: boolean, target: Buffer, start: number,
  out: Encoded, variant: WireVariant | undefined,
): boolean {
  const digitsOnly = dialect.check[field] === CHECK_BCD_DIGITS
  const count = fixed && digitsOnly ? Math.max(text.length, dialect.countMax[field]!) : text.length
  if (!fits(dialect, field, count, (count + 1) >> 1, target, start, out)) return false
  const right = dialect.form[field] === FORM_BCD_RIGHT
  const pad = padOf(variant, dialect.pad[field]!)
  const odd = (count & 1) === 1
  let nibble = 0
  let byte = 0
  if (odd && right) {
    byte = pad
    nibble = 1
  }
  let at = start
  for (let i = text.length - count; i < text.length; i++) {
    const value = i < 0 ? 0 : trackNibble(text.charCodeAt(i))
    if (value > (digitsOnly ? 9 : 15)) return fail(out, 'not_digits')
    byte = (byte << 4) | value
    if ((++nibble & 1) === 0) {
      target[at++] = byte
      byte = 0
    }
  }
  if (odd && !right) target[at++] = (byte << 4) | pad
  out.at = at
  return true
}

/** The nibble a variant asks for, else the dialect's. */
function padOf(variant: WireVariant | undefined, own: number): number {
  const asked = variant?.pad
  if (asked === undefined || asked.length !== 1) return own
  const value = nibbleAt(asked, 0)
  return value > 15 ? own : value
}

/** Nibble of a digit, of a letter A to F, or of the separator `=` (D); 255 for anything else. */
function trackNibble(code: number): number {
  return code === 0x3d ? 13 : code > 255 ? 255 : VALUE_HEX[code]!
}

function encodeSigned(
  dialect: Dialect, field: number, text: string, target: Buffer, start: number, out: Encoded,
  variant: WireVariant | undefined,
): boolean {
  const count = dialect.countMax[field]!
  if (text.length !== count) return fail(out, 'length_wrong')
  const sign = text.charCodeAt(0)
  if (sign !== 0x43 && sign !== 0x44) return fail(out, 'sign_not_valid')
  const form = dialect.form[field]!
  if (!fits(dialect, field, count, bytesOf(form, count), target, start, out)) return false
  const check = dialect.check[field]!
  target[start] = check === CHECK_SIGN_EBCDIC || dialect.ebcdic ? TO_EBCDIC[sign]! : sign
  let at = start + 1
  const zero = check === CHECK_SIGN_EBCDIC ? 0xf0 : 0x30
  const odd = (count & 1) === 0
  let nibble = odd ? 1 : 0
  let byte = odd ? padOf(variant, dialect.pad[field]!) : 0
  for (let i = 1; i < count; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return fail(out, 'not_digits')
    if (form === FORM_CHARACTERS) target[at++] = zero + digit
    else {
      byte = (byte << 4) | digit
      if ((++nibble & 1) === 0) {
        target[at++] = byte
        byte = 0
      }
    }
  }
  out.at = at
  return true
}

/**
 * Encodes hexadecimal text (from `offset` on) as bytes, or as characters where the wire carries
 * hexadecimal.
 */
function encodeHex(
  dialect: Dialect, field: number, text: string, offset: number, target: Buffer, start: number,
  out: Encoded, lower: boolean,
): boolean {
  const digits = text.length - offset
  if ((digits & 1) === 1) return fail(out, 'not_hex')
  const form = dialect.form[field]!
  const count = digits >> 1
  if (!fits(dialect, field, count, bytesOf(form, count), target, start, out)) return false
  out.at = start + bytesOf(form, count)
  if (form === FORM_CHARACTERS && digits > LOOP_DIGITS_MAX) {
    // Stops at the first character that is no hexadecimal.
    const written = hexWrite.call(target, offset === 0 ? text : text.slice(offset), start, count)
    return written === count ||
      fail(out, 'not_hex')
  }
  const check = dialect.check[field]!
  let at = start
  for (let i = offset; i < text.length; i += 2) {
    const high = nibbleAt(text, i)
    const low = nibbleAt(text, i + 1)
    if (high > 15 || low > 15) return fail(out, 'not_hex')
    const byte = (high << 4) | low
    if (form === FORM_HEX) at = hexPair(target, at, byte, check, lower)
    else target[at++] = byte
  }
  return true
}

function nibbleAt(text: string, index: number): number {
  const code = text.charCodeAt(index)
  return code > 255 ? 255 : VALUE_HEX[code]!
}

function hexPair(
  target: Buffer, at: number, byte: number, check: number, lower: boolean,
): number {
  const digits = lower ? DIGITS_LOWER : DIGITS_UPPER
  const high = digits[byte >> 4]!
  const low = digits[byte & 15]!
  const ebcdic = check === CHECK_HEX_EBCDIC
  target[at] = ebcdic ? TO_EBCDIC[high]! : high
  target[at + 1] = ebcdic ? TO_EBCDIC[low]! : low
  return at + 2
}

/**
 * Bytes of a track as they are on the wire, two nibbles each. Digits are set as text, so that they
 * are checked.
 */
function encodeTrackBytes(
  dialect: Dialect, field: number, bytes: Uint8Array, target: Buffer, start: number,
    out: Encoded,
): boolean {
  if (dialect.check[field] !== CHECK_BCD_NIBBLES) return fail(out, 'not_digits')
  if (!fits(dialect, field, bytes.length * 2, bytes.length, target, start, out)) return false
  for (let i = 0; i < bytes.length; i++) target[start + i] = bytes[i]!
  out.at = start + bytes.length
  return true
}
