/**
 * Decoders written by hand for the one message of bench/codec.ts, in ASCII (cups) and BCD
 * (cups-pos) form: every offset is where this message has it, only lengths are read. Digits are
 * checked as walk() checks them, so that the same work is compared. Not a codec: it knows 22 fields
 * and nothing else.
 */

export interface ByHand {
  /**
   * Finds every field and reads ten; returns something that depends on them, 0 when the message is
   * another one.
   */
  positions(frame: Buffer): number
  /** The texts of all fields, at their numbers. */
  texts(frame: Buffer, out: string[]): number
}

interface Latin1 {
  latin1Slice(start: number, end: number): string
}

const START = new Int32Array(64)
const END = new Int32Array(64)

function digits(frame: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const digit = frame[at]! - 0x30
    if (digit < 0 || digit > 9) return false
  }
  return true
}

function two(frame: Buffer, at: number): number {
  return (frame[at]! - 0x30) * 10 + frame[at + 1]! - 0x30
}

function number(frame: Buffer, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) value = value * 10 + frame[at]! - 0x30
  return value
}

/** Offsets after DE2 are counted from its end, until DE32 is reached, and so on. */
function findAscii(frame: Buffer): boolean {
  if (frame[0] !== 0x30 || frame[4] !== 0x72) return false // MTI 0..., bitmap as expected
  let at = 12
  START[2] = at + 2
  at += 2 + two(frame, at)
  END[2] = at
  START[3] = at
  START[4] = at + 6
  START[7] = at + 18
  START[11] = at + 28
  START[12] = at + 34
  START[13] = at + 40
  START[18] = at + 44
  START[22] = at + 48
  START[23] = at + 51
  START[25] = at + 54
  at += 56
  if (!digits(frame, 14, at)) return false
  START[32] = at + 2
  at += 2 + two(frame, at)
  END[32] = at
  START[33] = at + 2
  at += 2 + two(frame, at)
  END[33] = at
  if (!digits(frame, START[32], at)) return false
  START[35] = at + 2
  at += 2 + two(frame, at)
  END[35] = at
  START[37] = at
  START[41] = at + 12
  START[42] = at + 20
  START[43] = at + 35
  START[49] = at + 75
  START[52] = at + 78
  START[53] = at + 86
  at += 102
  if (!digits(frame, START[53], at)) return false
  START[55] = at + 3
  END[55] = at + 3 + (frame[at]! - 0x30) * 100 + two(frame, at + 1)
  return END[55] === frame.length
}

const HEX = Buffer.from('0123456789ABCDEF', 'latin1')
const SCRATCH = Buffer.alloc(4096) as Buffer & Latin1

function hexInto(frame: Buffer, start: number, end: number, to: number): number {
  for (let at = start; at < end; at++) {
    const byte = frame[at]!
    SCRATCH[to++] = HEX[byte >> 4]!
    SCRATCH[to++] = HEX[byte & 15]!
  }
  return to
}

const ASCII_FIXED: readonly (readonly [number, number])[] = [
  [3, 6], [4, 12], [7, 10], [11, 6], [12, 6], [13, 4], [18, 4], [22, 3], [23, 3], [25, 2], [37, 12], [41, 8],
  [42, 15], [43, 40], [49, 3], [53, 16],
]

export const handAscii: ByHand = {
  positions(frame) {
    if (!findAscii(frame)) return 0
    return number(frame, START[4]!, START[4]! + 12) + number(frame, START[11]!, START[11]! + 6) +
      number(frame, START[3]!, START[3]! + 6) + START[2]! + END[2]! + START[37]! + START[41]! +
      START[42]! + START[55]! + START[32]!
  },
  texts(frame, out) {
    if (!findAscii(frame)) return 0
    const all = (frame as Buffer & Latin1).latin1Slice(0, frame.length)
    for (let i = 0; i < ASCII_FIXED.length; i++) {
      const row = ASCII_FIXED[i]!
      out[row[0]] = all.substring(START[row[0]]!, START[row[0]]! + row[1])
    }
    out[2] = all.substring(START[2]!, END[2])
    out[32] = all.substring(START[32]!, END[32])
    out[33] = all.substring(START[33]!, END[33])
    out[35] = all.substring(START[35]!, END[35])
    const middle = hexInto(frame, START[52]!, START[52]! + 8, 0)
    const end = hexInto(frame, START[55]!, END[55]!, middle)
    const hex = SCRATCH.latin1Slice(0, end)
    out[52] = hex.substring(0, middle)
    out[55] = hex.substring(middle)
    return out[42]!.length
  },
}

const BAD = new Uint8Array(256)
for (let i = 0; i < 256; i++) BAD[i] = i >> 4 > 9 || (i & 15) > 9 ? 1 : 0
const VALUE = new Uint8Array(256)
for (let i = 0; i < 256; i++) VALUE[i] = (i >> 4) * 10 + (i & 15)

function packed(frame: Buffer, start: number, end: number): boolean {
  let bad = 0
  for (let at = start; at < end; at++) bad |= BAD[frame[at]!]!
  return bad === 0
}

function packedNumber(frame: Buffer, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) value = value * 100 + VALUE[frame[at]!]!
  return value
}

function findBcd(frame: Buffer): boolean {
  let at = 10
  const pan = VALUE[frame[at]!]!
  START[2] = at + 1
  at += 1 + ((pan + 1) >> 1)
  END[2] = at
  START[3] = at
  START[4] = at + 3
  START[7] = at + 9
  START[11] = at + 14
  START[12] = at + 17
  START[13] = at + 20
  START[18] = at + 22
  START[22] = at + 24
  START[23] = at + 26
  START[25] = at + 28
  at += 29
  if (!packed(frame, START[2], at)) return false
  START[32] = at + 1
  at += 1 + ((VALUE[frame[at]!]! + 1) >> 1)
  START[33] = at + 1
  at += 1 + ((VALUE[frame[at]!]! + 1) >> 1)
  if (!packed(frame, START[32], at)) return false
  END[35] = VALUE[frame[at]!]!
  START[35] = at + 1
  at += 1 + ((END[35] + 1) >> 1)
  START[37] = at
  START[41] = at + 12
  START[42] = at + 20
  START[43] = at + 35
  START[49] = at + 75
  START[52] = at + 78
  START[53] = at + 86
  at += 94
  if (!packed(frame, START[53], at)) return false
  START[55] = at + 2
  END[55] = at + 2 + VALUE[frame[at]!]! * 100 + VALUE[frame[at + 1]!]!
  return END[55] === frame.length
}

/** Field, digits in the text, whether a zero nibble stands before them. */
const BCD_DIGITS: readonly (readonly [number, number, boolean])[] = [
  [2, 16, false], [3, 6, false], [4, 12, false], [7, 10, false], [11, 6, false], [12, 6, false], [13, 4, false],
  [18, 4, false], [22, 3, false], [23, 3, true], [25, 2, false], [32, 8, false], [33, 8, false], [35, 34, false],
  [52, 16, false], [53, 16, false], [55, 286, false],
]
const BCD_TEXT: readonly (readonly [number, number])[] =
  [[37, 12], [41, 8], [42, 15], [43, 40], [49, 3]]

export const handBcd: ByHand = {
  positions(frame) {
    if (!findBcd(frame)) return 0
    return packedNumber(frame, START[4]!, START[4]! + 6) +
      packedNumber(frame, START[11]!, START[11]! + 3) +
      packedNumber(frame, START[3]!, START[3]! + 3) + START[2]! + END[2]! + START[37]! +
      START[41]! + START[42]! + START[55]! + START[32]!
  },
  texts(frame, out) {
    if (!findBcd(frame)) return 0
    let at = 0
    for (let i = 0; i < BCD_DIGITS.length; i++) {
      const row = BCD_DIGITS[i]!
      at = hexInto(frame, START[row[0]]!, START[row[0]]! + ((row[1] + 1) >> 1), at)
    }
    const digitsText = SCRATCH.latin1Slice(0, at)
    at = 0
    for (let i = 0; i < BCD_DIGITS.length; i++) {
      const row = BCD_DIGITS[i]!
      const from = row[2] ? at + 1 : at
      out[row[0]] = digitsText.substring(from, from + row[1])
      at += (row[1] + 1) & ~1
    }
    const all = (frame as Buffer & Latin1).latin1Slice(START[37]!, START[52]!)
    for (let i = 0; i < BCD_TEXT.length; i++) {
      const row = BCD_TEXT[i]!
      const from = START[row[0]]! - START[37]!
      out[row[0]] = all.substring(from, from + row[1])
    }
    return out[42]!.length
  },
}
