// hot path
/**
 * The text of values, written as Latin-1 codes into a buffer: the half of View that makes strings.
 *
 * Called by View only. One buffer serves the whole process, because a text is made and taken out of
 * it before anything else can run.
 */
import { CHECK, FIELD_MAX, FORM, TEXT } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { STEP } from './arrangement.ts'
import type { View } from './view.ts'
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
const TEXT_DIGITS = TEXT.digits
const TEXT_PLAIN = TEXT.plain
const TEXT_HEX = TEXT.hex
const TEXT_PACKED = TEXT.packed
const STEP_FIELD_MASK = STEP.fieldMask
const STEP_BYTES_AT = STEP.bytesAt
const STEP_PREFIX_BYTES_AT = STEP.prefixBytesAt
const STEP_TEXT_KIND_AT = STEP.textKindAt
const FORM_BCD_RIGHT = FORM.bcdRight
const TO_ASCII = EBCDIC_TO_ASCII
const VALUE_HEX_EBCDIC = HEX_VALUE_EBCDIC
const VALUE_HEX = HEX_VALUE
const DIGITS_UPPER = NIBBLE_ASCII
const PLAIN_ASCII = ASCII_PLAIN

/** Node has this on every Buffer; its type declarations leave it out. */
interface Latin1 {
  latin1Slice(start: number, end: number): string
}

/**
 * Text of the longest field: four digits of length, two characters per byte, the mark before it.
 */
const FIELD_CHARACTERS_MAX = 2 * 9999 + 64
/** Room for the texts of all fields of an ordinary frame at once, and its bytes before them. */
export const SCRATCH_CHARACTERS = 4 * FIELD_CHARACTERS_MAX
/** Two characters at a time, and one. */
const PAIRS = new Uint16Array(SCRATCH_CHARACTERS / 2)
const SCRATCH = Buffer.from(PAIRS.buffer) as Buffer & Latin1
const copyBytes = Buffer.prototype.copy
/** The two hexadecimal digits of a byte, side by side in memory. */
const HEX_PAIRS = new Uint16Array(256)
const HEX_PAIR_BYTES = new Uint8Array(HEX_PAIRS.buffer)
for (let byte = 0; byte < 256; byte++) {
  HEX_PAIR_BYTES[byte * 2] = NIBBLE_ASCII[byte >> 4]!
  HEX_PAIR_BYTES[byte * 2 + 1] = NIBBLE_ASCII[byte & 15]!
}
/** Marks text that stands for bytes outside the dialect's plain character set. */
export const HEX_MARK = 'hex:'
const MARK = [...Buffer.from(HEX_MARK, 'latin1')] as const
/** Characters that the texts of a field may take beyond two for each byte: mark and filling. */
const FIELD_CHARACTERS_MORE = HEX_MARK.length + 1
/** Where the texts lie that are laid side by side, by order of the fields. */
const STARTS = new Int32Array(FIELD_MAX)
const ENDS = new Int32Array(FIELD_MAX)

/** The characters from `start` to `end` as a string. */
export function scratchText(start: number, end: number): string {
  return SCRATCH.latin1Slice(start, end)
}

/**
 * The texts of all fields of a View in ascending order of the fields: the bytes of the message as
 * they are are already the text of most fields in ASCII, behind them is written what has to be
 * made, and all is cut from one string. Null when the message is too long for this.
 */
export function textsInOrder(view: View): string[] | null {
  const used = layOut(view)
  if (used < 0) return null
  const count = view.arrangement.fieldCount
  const out = new Array<string>(count)
  const all = SCRATCH.latin1Slice(0, used)
  for (let i = 0; i < count; i++) {
    const start = STARTS[i]!
    out[i] = start < 0 ? shortNumber(-start, ENDS[i]!) : all.slice(start, ENDS[i])
  }
  return out
}

/** Writes what textsInOrder() cuts; returns the end of it, -1 when there is no room. */
function layOut(view: View): number {
  const { frame, dialect, bases, fieldsStart } = view
  const steps = view.arrangement.steps
  const fieldCount = view.arrangement.fieldCount
  const bytes = view.end - fieldsStart
  if (3 * bytes + fieldCount * FIELD_CHARACTERS_MORE > SCRATCH_CHARACTERS) return -1
  copyBytes.call(frame, SCRATCH, 0, fieldsStart, view.end)
  let used = bytes
  let segment = 0
  let stop = 0
  for (let i = 0; i < fieldCount; i++) {
    const step = steps[i]!
    const prefixBytes = (step >> STEP_PREFIX_BYTES_AT) & 7
    const start = stop + prefixBytes
    stop += (step >> STEP_BYTES_AT) & 0x7fff
    if (prefixBytes !== 0) stop = bases[++segment]! - fieldsStart
    const kind = step >> STEP_TEXT_KIND_AT
    STARTS[i] = start
    ENDS[i] = stop
    if (kind === TEXT_DIGITS) {
      if (stop - start <= SHORT_DIGITS_MAX && stop > start) layShort(i, start, stop)
      continue
    }
    if (kind === TEXT_PLAIN && isPlainAscii(start, stop)) continue
    used = (used + 1) & ~1
    STARTS[i] = used
    if (kind === TEXT_HEX) {
      used = hexPairs(start, stop, used)
      ENDS[i] = used
      continue
    }
    const field = step & STEP_FIELD_MASK
    const count = prefixBytes === 0 ? dialect.countMax[field]! : view.counts[segment - 1]!
    if (kind === TEXT_PACKED) {
      // An odd count leaves half of the first or of the last byte to the pad.
      if ((count & 1) === 1 && dialect.form[field] === FORM_BCD_RIGHT) STARTS[i] = used + 1
      ENDS[i] = STARTS[i]! + count
      used = hexPairs(start, stop, used)
    } else {
      used = writeText(dialect, field, frame, start + fieldsStart, stop + fieldsStart, count, used)
      ENDS[i] = used
    }
  }
  return used
}

/** Numbers of up to so many digits are few: their texts are made once and kept. */
const SHORT_DIGITS_MAX = 4
const SHORT: (string | undefined)[] = new Array<string | undefined>(11_111).fill(undefined)
/** Where the numbers of 1, 2, 3 and 4 digits begin in SHORT, which begins at 1. */
const SHORT_AT = Int32Array.from([0, 1, 11, 111, 1111])

function layShort(index: number, start: number, stop: number): void {
  let value = 0
  for (let at = start; at < stop; at++) value = value * 10 + SCRATCH[at]! - 0x30
  STARTS[index] = -SHORT_AT[stop - start]! - value
  ENDS[index] = stop - start
}

function shortNumber(index: number, digits: number): string {
  return (SHORT[index] ??= String(index - SHORT_AT[digits]!).padStart(digits, '0'))
}

/** Whether these bytes of the scratch are printable and do not begin as our mark does. */
function isPlainAscii(start: number, stop: number): boolean {
  let good = 1
  let at = start
  for (; at + 3 < stop; at += 4) {
    good &= PLAIN_ASCII[SCRATCH[at]!]! & PLAIN_ASCII[SCRATCH[at + 1]!]! &
      PLAIN_ASCII[SCRATCH[at + 2]!]! & PLAIN_ASCII[SCRATCH[at + 3]!]!
  }
  for (; at < stop; at++) good &= PLAIN_ASCII[SCRATCH[at]!]!
  return good === 1 && !isMarked(start, stop)
}

/**
 * Writes two hexadecimal digits for each of these bytes of the scratch at `to`, which is even;
 * returns the end of them.
 */
function hexPairs(start: number, stop: number, to: number): number {
  let pair = to >> 1
  let at = start
  for (; at + 3 < stop; at += 4, pair += 4) {
    PAIRS[pair] = HEX_PAIRS[SCRATCH[at]!]!
    PAIRS[pair + 1] = HEX_PAIRS[SCRATCH[at + 1]!]!
    PAIRS[pair + 2] = HEX_PAIRS[SCRATCH[at + 2]!]!
    PAIRS[pair + 3] = HEX_PAIRS[SCRATCH[at + 3]!]!
  }
  for (; at < stop; at++) PAIRS[pair++] = HEX_PAIRS[SCRATCH[at]!]!
  return pair * 2
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
