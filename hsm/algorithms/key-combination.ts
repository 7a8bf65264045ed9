// Keys from components, DES parity, and key transport under plain ECB (ANSI X9.17). Called by the
// ceremony, the calculator and the adapters' accepted software path. Results are clear keys: wipe.

import { wipe, xor } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'

/**
 * XOR of two or more full-length components. Parity is left as it comes out.
 * Throws 'length' for fewer than two components or unequal lengths.
 */
export function combineComponents(components: readonly Uint8Array[]): Uint8Array {
  demand(components.length >= 2, 'length', 'a key needs at least two components')
  let key = Uint8Array.from(components[0]!)
  for (const component of components.slice(1)) {
    const next = Uint8Array.from(xor(key, component))
    wipe(key)
    key = next
  }
  return key
}

/** A copy of a DES key with the lowest bit of each byte set for odd parity. */
export function withOddParity(key: Uint8Array): Uint8Array {
  const out = Uint8Array.from(key)
  for (let i = 0; i < out.length; i++) {
    let bits = out[i]! >> 1
    bits ^= bits >> 4
    bits ^= bits >> 2
    bits ^= bits >> 1
    out[i] = (out[i]! & 0xfe) | ((bits & 1) ^ 1)
  }
  return out
}

/** Whether every byte of a DES key has odd parity. */
export function hasOddParity(key: Uint8Array): boolean {
  const adjusted = withOddParity(key)
  return adjusted.every((byte, at) => byte === key[at])
}

/** A key enciphered block by block under a key-encrypting key. */
export function encryptKeyEcb(kek: BlockCipher, key: Uint8Array): Uint8Array {
  return kek.encryptEcb(key)
}

/** A key deciphered block by block under a key-encrypting key; parity is not changed. */
export function decryptKeyEcb(kek: BlockCipher, encrypted: Uint8Array): Uint8Array {
  return kek.decryptEcb(encrypted)
}
