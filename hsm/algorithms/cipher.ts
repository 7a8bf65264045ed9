// The block cipher that every payment algorithm is written over. The same algorithm code runs over
// software keys (calculator, simulators, tests: software-ciphers.ts) and over keys that stay in a
// PKCS#11 token (hsm/pkcs11). A BlockCipher is bound to one key and never shows it.
//
// Tokens have no single DES. Where a standard asks for it, the caller passes two ciphers: the
// K1|K1|K1 form (the same as single DES under K1) and the K1|K2|K1 form; see design.md section 7.

/** One key of one block cipher. Inputs are whole blocks only; nothing is padded or stripped. */
export interface BlockCipher {
  /** Block size in bytes: 8 for DES and 3DES, 16 for AES and SM4. */
  readonly blockBytes: 8 | 16
  /** Enciphers each block on its own. Throws AlgorithmError 'length' for a part block. */
  encryptEcb(input: Uint8Array): Uint8Array
  /** Deciphers each block on its own. Throws AlgorithmError 'length' for a part block. */
  decryptEcb(input: Uint8Array): Uint8Array
  /** CBC encipherment with the initial value `iv` (one block). */
  encryptCbc(iv: Uint8Array, input: Uint8Array): Uint8Array
}

/** Names of the ciphers that software keys exist for; `des` is a single 8-byte key. */
export type CipherName = 'des' | 'tdes' | 'aes' | 'sm4'

/** Makes a cipher from a clear key. Only the calculator, simulators, tests and workers have one. */
export type CipherFactory = (name: CipherName, key: Uint8Array) => BlockCipher
