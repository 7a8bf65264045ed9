// Message authentication codes: ISO/IEC 9797-1 algorithms 1, 2, 3 and CMAC (algorithm 5), HMAC
// (ISO/IEC 9797-2), and the UnionPay POS "ECB" MAC. Called by the HSM adapters, DUKPT, key blocks,
// EMV cryptograms, the simulators and the calculator. Verification compares in constant time.
//
// Algorithm 3 (ANSI X9.19, retail MAC) takes two ciphers, so that a token needs no single DES:
// `single` is K1|K1|K1, `pair` is K1|K2|K1. CBC under `single` over all blocks but the last, then
// the last block enciphered under `pair`: E1(D2(E1(x))) is exactly the standard's final step.

import { createHmac } from 'node:crypto'

import { concat, equalConstantTime, fromAscii, toHex, xor } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'

/** Padding method of ISO/IEC 9797-1, 6.3; 0 is none (data must be whole blocks). */
export type MacPadding = 0 | 1 | 2 | 3

/** Data padded for a block of `blockBytes` bytes. Method 0 throws 'length' for a part block. */
export function padForMac(data: Uint8Array, padding: MacPadding, blockBytes: 8 | 16): Uint8Array {
  switch (padding) {
    case 0:
      demand(data.length > 0 && data.length % blockBytes === 0, 'length', 'data without padding')
      return data
    case 1:
      return zeroPad(data, blockBytes)
    case 2:
      return oneZeroPad(data, blockBytes)
    case 3: {
      const bits = new Uint8Array(blockBytes)
      new DataView(bits.buffer).setBigUint64(blockBytes - 8, BigInt(data.length) * 8n)
      const body = data.length === 0 ? data : zeroPad(data, blockBytes)
      return concat(bits, body)
    }
  }
}

/** Method 1: zero bytes up to a whole block; one zero block for empty data. */
export function zeroPad(data: Uint8Array, blockBytes: 8 | 16): Uint8Array {
  const blocks = Math.max(Math.ceil(data.length / blockBytes), 1)
  const out = new Uint8Array(blocks * blockBytes)
  out.set(data)
  return out
}

/** Method 2: the byte 80, then zero bytes up to a whole block; always added. */
export function oneZeroPad(data: Uint8Array, blockBytes: 8 | 16): Uint8Array {
  const out = new Uint8Array((Math.floor(data.length / blockBytes) + 1) * blockBytes)
  out.set(data)
  out[data.length] = 0x80
  return out
}

/** Last CBC block over whole blocks with the initial value `iv` (zeros when absent). */
function cbcLast(cipher: BlockCipher, padded: Uint8Array, iv?: Uint8Array): Uint8Array {
  const start = iv ?? new Uint8Array(cipher.blockBytes)
  if (padded.length === 0) return start
  const out = cipher.encryptCbc(start, padded)
  return out.slice(out.length - cipher.blockBytes)
}

/** Options that all block cipher MACs share. */
export interface MacOptions {
  readonly padding: MacPadding
  /** Bytes kept from the left; the whole block when absent. */
  readonly length?: number
  /** Initial value, one block; zeros when absent. */
  readonly iv?: Uint8Array
}

function keep(mac: Uint8Array, length: number | undefined): Uint8Array {
  if (length === undefined) return mac
  const inRange = Number.isInteger(length) && length >= 1 && length <= mac.length
  demand(inRange, 'length', 'MAC length')
  return mac.slice(0, length)
}

/** ISO 9797-1 algorithm 1 (CBC-MAC; with DES it is ANSI X9.9 and FIPS 113). */
export function macAlgorithm1(
  cipher: BlockCipher,
  data: Uint8Array,
  options: MacOptions,
): Uint8Array {
  const padded = padForMac(data, options.padding, cipher.blockBytes)
  return keep(cbcLast(cipher, padded, options.iv), options.length)
}

/** ISO 9797-1 algorithm 2: algorithm 1 under `first`, the result enciphered under `second`. */
export function macAlgorithm2(
  first: BlockCipher,
  second: BlockCipher,
  data: Uint8Array,
  options: MacOptions,
): Uint8Array {
  const padded = padForMac(data, options.padding, first.blockBytes)
  return keep(second.encryptEcb(cbcLast(first, padded, options.iv)), options.length)
}

/**
 * ISO 9797-1 algorithm 3 (ANSI X9.19, retail MAC, EMV).
 * @param single the K1|K1|K1 form, used on all blocks but the last
 * @param pair the K1|K2|K1 form, used on the last block
 */
export function macAlgorithm3(
  single: BlockCipher,
  pair: BlockCipher,
  data: Uint8Array,
  options: MacOptions,
): Uint8Array {
  const padded = padForMac(data, options.padding, single.blockBytes)
  const lastAt = padded.length - single.blockBytes
  const chained = cbcLast(single, padded.subarray(0, lastAt), options.iv)
  return keep(pair.encryptEcb(xor(chained, padded.subarray(lastAt))), options.length)
}

/** Doubling in GF(2^n): shift left by one, XOR Rb when the top bit was set (SP 800-38B, 6.1). */
function doubled(block: Uint8Array): Uint8Array {
  const out = new Uint8Array(block.length)
  for (let i = 0; i < block.length; i++) {
    out[i] = (block[i]! << 1) | (i + 1 < block.length ? block[i + 1]! >> 7 : 0)
  }
  const last = block.length - 1
  if (block[0]! & 0x80) out[last] = out[last]! ^ (block.length === 16 ? 0x87 : 0x1b)
  return out
}

/** CMAC (NIST SP 800-38B; ISO 9797-1 algorithm 5). `length` bytes are kept, all when absent. */
export function cmac(cipher: BlockCipher, data: Uint8Array, length?: number): Uint8Array {
  const size = cipher.blockBytes
  const subkey1 = doubled(cipher.encryptEcb(new Uint8Array(size)))
  const whole = data.length > 0 && data.length % size === 0
  const padded = whole ? Uint8Array.from(data) : oneZeroPad(data, size)
  const subkey = whole ? subkey1 : doubled(subkey1)
  const lastAt = padded.length - size
  for (let i = 0; i < size; i++) padded[lastAt + i] = padded[lastAt + i]! ^ subkey[i]!
  return keep(cbcLast(cipher, padded), length)
}

/** Hash functions that HMAC is offered with. */
export type HmacHash = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | 'sm3'

/** HMAC (FIPS 198-1, ISO 9797-2), left-truncated to `length` bytes when given. */
export function hmac(
  hash: HmacHash,
  key: Uint8Array,
  data: Uint8Array,
  length?: number,
): Uint8Array {
  return keep(Uint8Array.from(createHmac(hash, key).update(data).digest()), length)
}

/** Whether a received MAC is the computed one, in constant time. Lengths must be equal. */
export function macMatches(computed: Uint8Array, received: Uint8Array): boolean {
  return equalConstantTime(computed, received)
}

/** Result and intermediate values of the UnionPay POS MAC; certification tools print them. */
export interface UnionPayPosMac {
  /** XOR of all blocks of the message. */
  readonly fold: Uint8Array
  /** The fold as ASCII hexadecimal: two blocks. */
  readonly foldAscii: Uint8Array
  /** First encipherment, of the left block. */
  readonly enc1: Uint8Array
  /** `enc1` XOR the right block. */
  readonly xor2: Uint8Array
  /** Second encipherment. */
  readonly enc2: Uint8Array
  /** DE64 on the wire: the first 8 ASCII characters of `enc2` in hexadecimal. */
  readonly de64: Uint8Array
}

/**
 * UnionPay POS "ECB" MAC of DE64: DES, 3DES (8-byte blocks) or SM4 (16-byte blocks) under the MAK.
 * @param data from the message type to the field before DE64, without TPDU and header
 */
export function unionPayPosMac(cipher: BlockCipher, data: Uint8Array): UnionPayPosMac {
  const size = cipher.blockBytes
  const padded = zeroPad(data, size)
  const fold = new Uint8Array(size)
  for (let i = 0; i < padded.length; i++) fold[i % size] = fold[i % size]! ^ padded[i]!
  const foldAscii = fromAscii(toHex(fold))
  const enc1 = cipher.encryptEcb(foldAscii.subarray(0, size))
  const xor2 = xor(enc1, foldAscii.subarray(size))
  const enc2 = cipher.encryptEcb(xor2)
  const de64 = fromAscii(toHex(enc2).slice(0, 8))
  return { fold, foldAscii, enc1, xor2, enc2, de64 }
}
