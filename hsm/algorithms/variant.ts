// The Thales variant LMK scheme (Z, U, T), for interoperability tests with simulators and old
// hosts only: variants do not bind a key's use to its ciphertext, so nothing of ours stores keys
// this way. Called by the calculator.

import { concat } from './bytes.ts'
import { tdesCipher } from './software-ciphers.ts'
import { demand } from './errors.ts'
import { withOddParity } from './key-combination.ts'

/** First-byte variants 1 to 9 of an LMK pair; index 0 is no variant. */
export const LMK_VARIANTS = [
  0x00, 0xa6, 0x5a, 0x6a, 0xde, 0x2b, 0x50, 0x74, 0x9c, 0xfa,
] as const

/** Ninth-byte variants per key part: scheme U (double length), scheme T (triple length). */
const PART_VARIANTS: Readonly<Record<number, readonly number[]>> = {
  8: [0x00],
  16: [0xa6, 0x5a],
  24: [0x6a, 0xde, 0x2b],
}

function partCiphers(lmkPair: Uint8Array, lmkVariant: number, keyBytes: number) {
  demand(lmkPair.length === 16, 'length', 'LMK pair')
  const parts = PART_VARIANTS[keyBytes]
  demand(parts !== undefined, 'length', 'key under a variant LMK')
  return parts.map((part) => {
    const lmk = Uint8Array.from(lmkPair)
    lmk[0] = lmk[0]! ^ lmkVariant
    lmk[8] = lmk[8]! ^ part
    return tdesCipher(lmk)
  })
}

/**
 * A DES key of 8, 16 or 24 bytes under an LMK pair in scheme Z, U or T; the key is set to odd
 * parity first.
 * @param lmkVariant the byte that is added to the first byte of the pair (see LMK_VARIANTS)
 */
export function encryptUnderVariantLmk(
  lmkPair: Uint8Array,
  lmkVariant: number,
  key: Uint8Array,
): Uint8Array {
  const odd = withOddParity(key)
  const ciphers = partCiphers(lmkPair, lmkVariant, key.length)
  return concat(...ciphers.map((cipher, at) => cipher.encryptEcb(odd.slice(at * 8, at * 8 + 8))))
}

/** The key inside a value of scheme Z, U or T; parity as it comes out. */
export function decryptUnderVariantLmk(
  lmkPair: Uint8Array,
  lmkVariant: number,
  encrypted: Uint8Array,
): Uint8Array {
  const ciphers = partCiphers(lmkPair, lmkVariant, encrypted.length)
  return concat(
    ...ciphers.map((cipher, at) => cipher.decryptEcb(encrypted.slice(at * 8, at * 8 + 8))),
  )
}
