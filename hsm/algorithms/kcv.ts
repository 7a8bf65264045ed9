// Key check values. A check value shows at most 3 bytes of a TDES key's result and 5 of an AES
// key's (PCI PIN); the caller decides how much to keep. Called by key exchange, ceremonies, the
// adapters and the calculator.

import type { BlockCipher } from './cipher.ts'
import { cmac } from './mac.ts'

/** The zero block enciphered under the key: the usual check value of DES, 3DES and SM4 keys. */
export function zeroCheckValue(cipher: BlockCipher): Uint8Array {
  return cipher.encryptEcb(new Uint8Array(cipher.blockBytes))
}

/** CMAC of one zero block: the check value of AES keys (X9.24-1:2017 annex A, X9.143). */
export function cmacCheckValue(cipher: BlockCipher): Uint8Array {
  return cmac(cipher, new Uint8Array(cipher.blockBytes))
}
