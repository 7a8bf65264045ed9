/**
 * Changes to an input that know nothing of its meaning, and a few that fit every payment format:
 * packed digits, EBCDIC, length bytes, TLV objects. Used by the engine for every target.
 */
import type { Random } from './random.ts'

type Change = (input: Buffer, random: Random, other: Uint8Array) => Buffer

/** Bytes at which parsers change their mind: signs, digits, pads, lengths, EBCDIC, TLV tags. */
const TELLING = [
  0x00, 0x01, 0x0f, 0x10, 0x16, 0x1a, 0x1f, 0x20, 0x29, 0x2e, 0x2f, 0x30, 0x39, 0x3a, 0x3d, 0x40,
  0x41, 0x43, 0x44, 0x5f, 0x60, 0x61, 0x66, 0x7f, 0x80, 0x81, 0x82, 0x9a, 0x9f, 0xa0, 0xc1, 0xc3,
  0xc4, 0xc6, 0xdf, 0xf0, 0xf9, 0xfa, 0xff,
] as const

/** Well-known objects, whole, for splicing. */
const OBJECTS = [
  '9F2608 0102030405060708', '9F270180', '9F36020001', '82027C00', '9505 0080008000', '9A03261122',
  '9C0100', '5F2A020156', '9F02060000 00010000', '5A0862000000 00000017', '57116200000000000017D2512201',
  '5F3400', '9F1F00', '7100', '72049F180411', 'DF3105', '9F', '9F80', '1F8180', '5F810100', '0000', '8280', '8281',
].map((text) => Buffer.from(text.replaceAll(' ', ''), 'hex'))

function put(input: Buffer, at: number, value: number): Buffer {
  const out = Buffer.from(input)
  if (at < out.length) out[at] = value
  return out
}

/** The input with bytes[from, to) replaced. */
export function replaced(
  input: Uint8Array, from: number, to: number, by: Uint8Array,
): Buffer {
  return Buffer.concat([input.subarray(0, from), by, input.subarray(to)])
}

function stretch(input: Uint8Array, random: Random): readonly [number, number] {
  const from = random.below(input.length)
  const most = Math.min(input.length - from, random.oneIn(4) ? input.length : 16)
  return [from, from + random.between(1, Math.max(1, most))]
}

const CHANGES: readonly Change[] = [
  // one byte
  (input, random) => {
    const at = random.below(input.length)
    return put(input, at, input[at]! ^ (1 << random.below(8)))
  },
  (input, random) => put(input, random.below(input.length), random.below(256)),
  (input, random) => put(input, random.below(input.length), random.pick(TELLING)),
  (input, random) => {
    const at = random.below(input.length)
    return put(input, at, (input[at]! + random.pick([1, 255, 16, 240])) & 255)
  },
  // a packed digit that is none
  (input, random) => {
    const at = random.below(input.length)
    const nibble = random.between(10, 15)
    return put(input, at, random.oneIn(2)
      ? (input[at]! & 0x0f) | (nibble << 4)
      : (input[at]! & 0xf0) | nibble)
  },
  // a digit in the other character set
  (input, random) => {
    const at = random.below(input.length)
    const byte = input[at] ?? 0
    return put(input, at, byte >> 4 === 3 ? byte | 0xf0 : byte >> 4 === 15 ? byte & 0x3f : 0x40)
  },
  // a two-byte number
  (input, random) => {
    const out = Buffer.from(input)
    const at = random.below(input.length - 1)
    const number = random.pick([0, 1, 127, 128, 255, 256, 999, 9999, 65535])
    if (input.length >= 2) out.writeUInt16BE(number, at)
    return out
  },
  // stretches
  (input, random) => input.subarray(0, random.below(input.length + 1)),
  (input, random) => {
    const [from, to] = stretch(input, random)
    return replaced(input, from, to, Buffer.alloc(0))
  },
  (input, random) => {
    const [from, to] = stretch(input, random)
    return replaced(input, to, to, input.subarray(from, to))
  },
  (input, random) => {
    const at = random.below(input.length + 1)
    return replaced(input, at, at, random.bytes(random.between(1, 4)))
  },
  (input, random) => {
    const [from, to] = stretch(input, random)
    return replaced(input, from, to, Buffer.alloc(to - from, random.pick(TELLING)))
  },
  // another input
  (input, random, other) => {
    const at = random.below(input.length + 1)
    const [from, to] = stretch(other, random)
    return replaced(input, at, random.oneIn(2) ? at : Math.min(input.length, at + to - from),
      other.subarray(from, to))
  },
  (input, random) => {
    const at = random.below(input.length + 1)
    return replaced(input, at, at, random.pick(OBJECTS))
  },
]

/** One change; never the same object as `input`. */
export function mutated(input: Uint8Array, random: Random, other: Uint8Array): Buffer {
  return random.pick(CHANGES)(Buffer.from(input), random, other)
}
