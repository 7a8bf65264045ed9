// Clear PIN blocks: ISO 9564-1 formats 0 to 4 and the UnionPay forms. A PIN is an array of digit
// values 0 to 9, so that it can be wiped; it is never a string here. Decoding makes every check
// that ISO 9564-1 asks for and throws on the first that fails; a caller answers all of them with
// the one error of its network, so that a block cannot be probed.
// Called by pin-translation.ts, the HSM adapters, the calculator and the simulators.
//
// format 0  0 N P..P F..F  xor  0000 + 12 PAN digits      (P = PIN digit, N = PIN length)
// format 1  1 N P..P R..R                                  (R = any nibble)
// format 2  2 N P..P F..F                                  (towards a chip card only)
// format 3  3 N P..P R..R  xor  0000 + 12 PAN digits      (R = A to F)
// format 4  4 N P..P A..A + 8 random bytes; see encryptIso4
// UnionPay  length as two decimal digits, PIN, F..F, with or without the PAN (X9.8)

import { randomBytes } from 'node:crypto'

import { demandDigits, packNibbles, unpackNibbles, wipe, xor } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { AlgorithmError, demand } from './errors.ts'

/** A PIN as digit values 0 to 9, most significant first; 4 to 12 of them. */
export type PinDigits = Uint8Array

export const PIN_DIGITS_MIN = 4 // ISO 9564-1, 6.2
export const PIN_DIGITS_MAX = 12

/** Digit values of a digit text, for callers that have the PIN as text (calculator, tests). */
export function pinFromText(text: string): PinDigits {
  demandDigits(text, 'PIN')
  return Uint8Array.from(text, (digit) => digit.charCodeAt(0) - 0x30)
}

/** The PIN as text, for the calculator and tests only. */
export function pinToText(pin: PinDigits): string {
  return String.fromCharCode(...pin.map((digit) => digit + 0x30))
}

function demandPin(pin: PinDigits): void {
  const inRange = pin.length >= PIN_DIGITS_MIN && pin.length <= PIN_DIGITS_MAX
  demand(inRange, 'length', 'PIN must have 4 to 12 digits')
  for (const digit of pin) demand(digit <= 9, 'digit', 'PIN')
}

/**
 * The twelve PAN digits left of the check digit, left-padded with zeros (ISO 9564-1, 9.3.1).
 * @param pan whole PAN with check digit, 1 to 19 digits
 */
export function panPart12(pan: string): string {
  demandDigits(pan, 'PAN')
  demand(pan.length >= 1 && pan.length <= 19, 'length', 'PAN must have 1 to 19 digits')
  return pan.slice(0, -1).slice(-12).padStart(12, '0')
}

/** The 8-byte PAN field of formats 0 and 3 and of UnionPay: `0000` and twelve PAN digits. */
export function panField8(pan: string): Uint8Array {
  return Uint8Array.from(Buffer.from(`0000${panPart12(pan)}`, 'hex'))
}

/** Nibbles `control`, length, PIN, then fill nibbles up to 16. */
function pinField(control: number, pin: PinDigits, fill: (at: number) => number): Uint8Array {
  demandPin(pin)
  const nibbles = new Uint8Array(16)
  nibbles[0] = control
  nibbles[1] = pin.length
  nibbles.set(pin, 2)
  for (let i = 2 + pin.length; i < 16; i++) nibbles[i] = fill(i - 2 - pin.length)
  const field = packNibbles(nibbles)
  wipe(nibbles)
  return field
}

/**
 * Reads a clear 8-byte PIN field. Checks the control nibble, the length 4 to 12, that PIN nibbles
 * are digits and that each fill nibble is legal, in this order.
 */
function readPinField(
  field: Uint8Array,
  control: number,
  fillIsLegal: (nibble: number) => boolean,
): PinDigits {
  demand(field.length === 8, 'length', 'PIN field must have 8 bytes')
  const nibbles = unpackNibbles(field)
  try {
    demand(nibbles[0] === control, 'control', 'PIN block format')
    const length = nibbles[1]!
    const inRange = length >= PIN_DIGITS_MIN && length <= PIN_DIGITS_MAX
    demand(inRange, 'length', 'PIN length in the block')
    for (let i = 2; i < 2 + length; i++) demand(nibbles[i]! <= 9, 'digit', 'PIN in the block')
    for (let i = 2 + length; i < 16; i++) {
      demand(fillIsLegal(nibbles[i]!), 'filler', 'PIN block filler')
    }
    return nibbles.slice(2, 2 + length)
  } finally {
    wipe(nibbles)
  }
}

const fillF = (): number => 0xf
const isF = (nibble: number): boolean => nibble === 0xf
const isA = (nibble: number): boolean => nibble === 0xa
const isAToF = (nibble: number): boolean => nibble >= 0xa
const isAny = (): boolean => true

/** Format 0 (ANSI X9.8, Thales 01) clear block; ISO 9564-1, 9.3.2. */
export function encodeIso0(pin: PinDigits, pan: string): Uint8Array {
  const field = pinField(0, pin, fillF)
  const block = xor(field, panField8(pan))
  wipe(field)
  return block
}

/** PIN of a clear format 0 block. Throws 'control', 'length', 'digit' or 'filler'. */
export function decodeIso0(block: Uint8Array, pan: string): PinDigits {
  return decodeWithPan(block, pan, 0, isF)
}

/**
 * Format 1 (Thales 05) clear block.
 * @param fill at least 14 minus PIN length nibbles (values 0 to 15), of which the first are used;
 *   random when absent
 */
export function encodeIso1(pin: PinDigits, fill?: Uint8Array): Uint8Array {
  const nibbles = fill ?? randomNibbles(14 - pin.length, 0)
  demand(nibbles.length >= 14 - pin.length, 'length', 'fill of a format 1 block')
  return pinField(1, pin, (at) => nibbles[at]!)
}

/** PIN of a clear format 1 block. Throws 'control', 'length' or 'digit'. */
export function decodeIso1(block: Uint8Array): PinDigits {
  return readPinField(block, 1, isAny)
}

/** Format 2 (chip card) clear block. */
export function encodeIso2(pin: PinDigits): Uint8Array {
  return pinField(2, pin, fillF)
}

/** PIN of a clear format 2 block. Throws 'control', 'length', 'digit' or 'filler'. */
export function decodeIso2(block: Uint8Array): PinDigits {
  return readPinField(block, 2, isF)
}

/**
 * The clear PIN field of format 3, before the PAN is added.
 * @param fill at least 14 minus PIN length nibbles (values 10 to 15), of which the first are used;
 *   random when absent
 */
export function pinFieldIso3(pin: PinDigits, fill?: Uint8Array): Uint8Array {
  const nibbles = fill ?? randomNibbles(14 - pin.length, 0xa)
  demand(nibbles.length >= 14 - pin.length, 'length', 'fill of a format 3 block')
  for (const nibble of nibbles) demand(isAToF(nibble), 'filler', 'fill of a format 3 block')
  return pinField(3, pin, (at) => nibbles[at]!)
}

/** Format 3 (Thales 47) clear block; the fill is random from A to F when absent. */
export function encodeIso3(pin: PinDigits, pan: string, fill?: Uint8Array): Uint8Array {
  const field = pinFieldIso3(pin, fill)
  const block = xor(field, panField8(pan))
  wipe(field)
  return block
}

/** PIN of a clear format 3 block. Throws 'control', 'length', 'digit' or 'filler'. */
export function decodeIso3(block: Uint8Array, pan: string): PinDigits {
  return decodeWithPan(block, pan, 3, isAToF)
}

function decodeWithPan(
  block: Uint8Array,
  pan: string,
  control: number,
  fillIsLegal: (nibble: number) => boolean,
): PinDigits {
  demand(block.length === 8, 'length', 'PIN block must have 8 bytes')
  const field = xor(block, panField8(pan))
  try {
    return readPinField(field, control, fillIsLegal)
  } finally {
    wipe(field)
  }
}

/** Random nibbles from `lowest` to 15. */
function randomNibbles(count: number, lowest: number): Uint8Array {
  const out = new Uint8Array(Math.max(count, 0))
  const span = 16 - lowest
  const limit = 256 - (256 % span)
  for (let i = 0; i < out.length; ) {
    const value = randomBytes(1)[0]!
    if (value < limit) out[i++] = lowest + (value % span)
  }
  return out
}

/**
 * The 16-byte PIN field of format 4: `4 N P..P A..A` and 8 bytes of `fill` (random when absent).
 */
export function pinFieldIso4(pin: PinDigits, fill?: Uint8Array): Uint8Array {
  const random = fill ?? randomBytes(8)
  demand(random.length === 8, 'length', 'fill of a format 4 block must have 8 bytes')
  const left = pinField(4, pin, () => 0xa)
  const field = new Uint8Array(16)
  field.set(left)
  field.set(random, 8)
  wipe(left)
  return field
}

/** PIN of a clear 16-byte format 4 PIN field. Throws 'control', 'length', 'digit' or 'filler'. */
export function decodeIso4Field(field: Uint8Array): PinDigits {
  demand(field.length === 16, 'length', 'format 4 PIN field must have 16 bytes')
  return readPinField(field.subarray(0, 8), 4, isA)
}

/**
 * The 16-byte PAN field of format 4: PAN length minus 12 (0 for 12 digits or fewer), the whole
 * PAN left-padded to 12 digits, zeros.
 */
export function panFieldIso4(pan: string): Uint8Array {
  demandDigits(pan, 'PAN')
  demand(pan.length >= 1 && pan.length <= 19, 'length', 'PAN must have 1 to 19 digits')
  const lead = Math.max(pan.length - 12, 0)
  return Uint8Array.from(Buffer.from(`${lead}${pan.padStart(12, '0')}`.padEnd(32, '0'), 'hex'))
}

/** Enciphers a format 4 PIN field: AES(K, AES(K, PIN field) xor PAN field). 16 bytes. */
export function encryptIso4Field(cipher: BlockCipher, field: Uint8Array, pan: string): Uint8Array {
  demand(cipher.blockBytes === 16, 'unsupported', 'format 4 needs a 16-byte block cipher')
  demand(field.length === 16, 'length', 'format 4 PIN field must have 16 bytes')
  return cipher.encryptEcb(xor(cipher.encryptEcb(field), panFieldIso4(pan)))
}

/** Format 4 block of a PIN under an AES key; `fill` is 8 random bytes when absent. */
export function encryptIso4(
  cipher: BlockCipher,
  pin: PinDigits,
  pan: string,
  fill?: Uint8Array,
): Uint8Array {
  const field = pinFieldIso4(pin, fill)
  try {
    return encryptIso4Field(cipher, field, pan)
  } finally {
    wipe(field)
  }
}

/** PIN of an enciphered format 4 block. Throws 'control', 'length', 'digit' or 'filler'. */
export function decryptIso4(cipher: BlockCipher, block: Uint8Array, pan: string): PinDigits {
  demand(cipher.blockBytes === 16, 'unsupported', 'format 4 needs a 16-byte block cipher')
  demand(block.length === 16, 'length', 'format 4 PIN block must have 16 bytes')
  const field = cipher.decryptEcb(xor(cipher.decryptEcb(block), panFieldIso4(pan)))
  try {
    return decodeIso4Field(field)
  } finally {
    wipe(field)
  }
}

/** UnionPay field: length as two decimal digits, PIN, F up to `bytes`. */
function unionPayField(pin: PinDigits, bytes: 8 | 16): Uint8Array {
  demandPin(pin)
  const nibbles = new Uint8Array(bytes * 2).fill(0xf)
  nibbles[0] = Math.trunc(pin.length / 10)
  nibbles[1] = pin.length % 10
  nibbles.set(pin, 2)
  const field = packNibbles(nibbles)
  wipe(nibbles)
  return field
}

function readUnionPayField(field: Uint8Array): PinDigits {
  const nibbles = unpackNibbles(field)
  try {
    demand(nibbles[0]! <= 1 && nibbles[1]! <= 9, 'length', 'PIN length in the block')
    const length = nibbles[0]! * 10 + nibbles[1]!
    const inRange = length >= PIN_DIGITS_MIN && length <= PIN_DIGITS_MAX
    demand(inRange, 'length', 'PIN length in the block')
    for (let i = 2; i < 2 + length; i++) demand(nibbles[i]! <= 9, 'digit', 'PIN in the block')
    for (let i = 2 + length; i < nibbles.length; i++) {
      demand(nibbles[i] === 0xf, 'filler', 'PIN block filler')
    }
    return nibbles.slice(2, 2 + length)
  } finally {
    wipe(nibbles)
  }
}

/** UnionPay X9.8 clear block of 8 bytes; with the PAN mixed in when it is given (DE53 format 2). */
export function encodeUnionPay(pin: PinDigits, pan?: string): Uint8Array {
  const field = unionPayField(pin, 8)
  return pan === undefined ? field : xor(field, panField8(pan))
}

/** PIN of a clear UnionPay block. Throws 'length', 'digit' or 'filler'. */
export function decodeUnionPay(block: Uint8Array, pan?: string): PinDigits {
  demand(block.length === 8, 'length', 'PIN block must have 8 bytes')
  const field = pan === undefined ? Uint8Array.from(block) : xor(block, panField8(pan))
  try {
    return readUnionPayField(field)
  } finally {
    wipe(field)
  }
}

function unionPayPanField16(pan: string): Uint8Array {
  return Uint8Array.from(Buffer.from(panPart12(pan).padStart(32, '0'), 'hex'))
}

/** UnionPay SM4 clear block of 16 bytes (DE63 usage SM), with the PAN when it is given. */
export function encodeUnionPaySm4(pin: PinDigits, pan?: string): Uint8Array {
  const field = unionPayField(pin, 16)
  return pan === undefined ? field : xor(field, unionPayPanField16(pan))
}

/** PIN of a clear UnionPay SM4 block. Throws 'length', 'digit' or 'filler'. */
export function decodeUnionPaySm4(block: Uint8Array, pan?: string): PinDigits {
  demand(block.length === 16, 'length', 'SM4 PIN block must have 16 bytes')
  const field = pan === undefined ? Uint8Array.from(block) : xor(block, unionPayPanField16(pan))
  try {
    return readUnionPayField(field)
  } finally {
    wipe(field)
  }
}

/**
 * An 8-byte clear block as some banks put it under SM4: followed by 8 zero bytes. A 16-byte block
 * is returned as it is.
 */
export function fillForSm4(block: Uint8Array): Uint8Array {
  demand(block.length === 8 || block.length === 16, 'length', 'PIN block must have 8 or 16 bytes')
  const out = new Uint8Array(16)
  out.set(block)
  return out
}

/** The 8-byte X9.8 block inside a deciphered SM4 block whose other 8 bytes must be zero. */
export function stripSm4Fill(block: Uint8Array): Uint8Array {
  demand(block.length === 16, 'length', 'SM4 PIN block must have 16 bytes')
  for (let i = 8; i < 16; i++) {
    if (block[i] !== 0) throw new AlgorithmError('filler', 'SM4 PIN block filler')
  }
  return block.slice(0, 8)
}
