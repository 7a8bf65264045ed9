// Byte work that every payment algorithm needs: hexadecimal, decimal digits, XOR, comparison
// without a timing signal, and wiping. Called by the files of this folder, the calculator and the
// HSM adapters. It must never put data into an error.

import { timingSafeEqual } from 'node:crypto'

import { AlgorithmError, demand } from './errors.ts'

/** Bytes of a hexadecimal text of even length, either case. Throws 'format' otherwise. */
export function fromHex(text: string): Uint8Array {
  demand(text.length % 2 === 0, 'format', 'hexadecimal text has an odd length')
  demand(/^[0-9A-Fa-f]*$/.test(text), 'format', 'text is not hexadecimal')
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

/** Upper-case hexadecimal text of bytes. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex').toUpperCase()
}

/** ASCII bytes of a text; every character must be below 0x80, else 'format'. */
export function fromAscii(text: string): Uint8Array {
  const out = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    demand(code < 0x80, 'format', 'text is not ASCII')
    out[i] = code
  }
  return out
}

/** Nibbles (values 0 to 15) packed two to a byte; the count must be even. */
export function packNibbles(nibbles: ArrayLike<number>): Uint8Array {
  demand(nibbles.length % 2 === 0, 'length', 'odd number of nibbles')
  const out = new Uint8Array(nibbles.length / 2)
  for (let i = 0; i < out.length; i++) {
    out[i] = (nibbles[2 * i]! << 4) | nibbles[2 * i + 1]!
  }
  return out
}

/** Bytes as nibbles, high nibble first. */
export function unpackNibbles(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length * 2)
  for (let i = 0; i < bytes.length; i++) {
    out[2 * i] = bytes[i]! >> 4
    out[2 * i + 1] = bytes[i]! & 0x0f
  }
  return out
}

/** Throws 'digit' unless the text holds decimal digits only. `subject` names the input. */
export function demandDigits(text: string, subject: string): void {
  if (!/^[0-9]*$/.test(text)) throw new AlgorithmError('digit', subject)
}

/** XOR of two byte strings of the same length, as a new array. */
export function xor(left: Uint8Array, right: Uint8Array): Uint8Array {
  demand(left.length === right.length, 'length', 'operands of XOR differ in length')
  const out = new Uint8Array(left.length)
  for (let i = 0; i < out.length; i++) out[i] = left[i]! ^ right[i]!
  return out
}

/** The parts one after another, as a new array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let total = 0
  for (const part of parts) total += part.length
  const out = new Uint8Array(total)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Whether two byte strings are equal, in time that does not depend on where they differ. */
export function equalConstantTime(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right)
}

/** Overwrites bytes that held a key, a PIN or a clear block. */
export function wipe(...parts: readonly (Uint8Array | undefined)[]): void {
  for (const part of parts) part?.fill(0)
}
