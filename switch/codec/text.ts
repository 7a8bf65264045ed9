// hot path
/**
 * The text of values, written as Latin-1 codes into a buffer: the half of View that makes strings.
 *
 * Called by View only. One buffer serves the whole process, because a text is made and taken out of
 * it before anything else can run.
 */
import { CHECK, FORM } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import {
  ASCII_PLAIN, EBCDIC_TO_ASCII, HEX_VALUE, HEX_VALUE_EBCDIC, NIBBLE_ASCII,
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
const CHECK_HEX_ASCII = CHECK.hexAscii
const CHECK_HEX_EBCDIC = CHECK.hexEbcdic
const FORM_BCD_RIGHT = FORM.bcdRight
const TO_ASCII = EBCDIC_TO_ASCII
const VALUE_HEX_EBCDIC = HEX_VALUE_EBCDIC
const VALUE_HEX = HEX_VALUE
const DIGITS_UPPER = NIBBLE_ASCII
const PLAIN_ASCII = ASCII_PLAIN

/** Node has these on every Buffer; its type declarations leave them out. */
interface Latin1 {
  latin1Slice(start: number, end: number): string
}

/**
 * Text of the longest field: four digits of length, two characters per byte, the mark before it.
 */
const FIELD_CHARACTERS_MAX = 2 * 9999 + 64
/** Room for the texts of all fields of an ordinary frame at once. */
export const SCRATCH_CHARACTERS = 2 * FIELD_CHARACTERS_MAX
const SCRATCH = Buffer.alloc(SCRATCH_CHARACTERS) as Buffer & Latin1
/** Marks text that stands for bytes outside the dialect's plain character set. */
export const HEX_MARK = 'hex:'
const MARK = [...Buffer.from(HEX_MARK, 'latin1')] as const

/** The characters from `start` to `end` as a string. */
export function scratchText(start: number, end: number): string {
  return SCRATCH.latin1Slice(start, end)
}

/**
 * Writes the text of a value in frame[start, stop) of `count` units at `to`; returns the end of it.
 */
export function writeText(
  dialect: Dialect, field: number, frame: Uint8Array, start: number, stop: number, count: number,
  to: number,
): number {
  switch (dialect.check[field]!) {
    case CHECK_ASCII:
      return plainAscii(frame, start, stop, to)
    case CHECK_EBCDIC:
      return plainEbcdic(frame, start, stop, to)
    case CHECK_ASCII_DIGITS:
    case CHECK_SIGN_ASCII:
      for (let at = start; at < stop; at++) SCRATCH[to++] = frame[at]!
      return to
    case CHECK_EBCDIC_DIGITS:
    case CHECK_SIGN_EBCDIC:
      for (let at = start; at < stop; at++) SCRATCH[to++] = TO_ASCII[frame[at]!]!
      return to
    case CHECK_BCD_DIGITS:
    case CHECK_BCD_NIBBLES:
      return nibbles(frame, start, count, dialect.form[field] === FORM_BCD_RIGHT, to)
    case CHECK_SIGN_BCD:
      SCRATCH[to] = dialect.ebcdic ? TO_ASCII[frame[start]!]! : frame[start]!
      return nibbles(frame, start + 1, count - 1, true, to + 1)
    case CHECK_HEX_ASCII:
      return hexCharacters(frame, start, stop, VALUE_HEX, to)
    case CHECK_HEX_EBCDIC:
      return hexCharacters(frame, start, stop, VALUE_HEX_EBCDIC, to)
    default:
      return hexOf(frame, start, stop, to)
  }
}

/** Text when every byte is printable and it does not look like our mark; else the mark and hex. */
function plainAscii(frame: Uint8Array, start: number, stop: number, to: number): number {
  let good = 1
  let at = to
  for (let from = start; from < stop; from++) {
    const code = frame[from]!
    good &= PLAIN_ASCII[code]!
    SCRATCH[at++] = code
  }
  return good === 1 && !isMarked(to, at) ? at : marked(frame, start, stop, to)
}

function plainEbcdic(frame: Uint8Array, start: number, stop: number, to: number): number {
  let good = true
  let at = to
  for (let from = start; from < stop; from++) {
    const code = TO_ASCII[frame[from]!]!
    if (code === 0) good = false
    SCRATCH[at++] = code
  }
  return good && !isMarked(to, at) ? at : marked(frame, start, stop, to)
}

function isMarked(start: number, end: number): boolean {
  return SCRATCH[start] === MARK[0] && end - start >= MARK.length &&
    SCRATCH[start + 1] === MARK[1] &&
    SCRATCH[start + 2] === MARK[2] && SCRATCH[start + 3] === MARK[3]
}

function marked(frame: Uint8Array, start: number, stop: number, to: number): number {
  for (let i = 0; i < MARK.length; i++) SCRATCH[to + i] = MARK[i]!
  return hexOf(frame, start, stop, to + MARK.length)
}

function hexOf(frame: Uint8Array, start: number, stop: number, to: number): number {
  for (let at = start; at < stop; at++) {
    const byte = frame[at]!
    SCRATCH[to] = DIGITS_UPPER[byte >> 4]!
    SCRATCH[to + 1] = DIGITS_UPPER[byte & 15]!
    to += 2
  }
  return to
}

function nibbles(
  frame: Uint8Array, start: number, count: number, right: boolean, to: number,
): number {
  let at = start
  const end = to + count
  // An odd count leaves half of the first or of the last byte to the pad.
  if (right && (count & 1) === 1) SCRATCH[to++] = DIGITS_UPPER[frame[at++]! & 15]!
  for (; to + 1 < end; to += 2) {
    const byte = frame[at++]!
    SCRATCH[to] = DIGITS_UPPER[byte >> 4]!
    SCRATCH[to + 1] = DIGITS_UPPER[byte & 15]!
  }
  if (to < end) SCRATCH[to++] = DIGITS_UPPER[frame[at]! >> 4]!
  return to
}

function hexCharacters(
  frame: Uint8Array, start: number, stop: number, table: Uint8Array, to: number,
): number {
  for (let at = start; at < stop; at++) SCRATCH[to++] = DIGITS_UPPER[table[frame[at]!]!]!
  return to
}
