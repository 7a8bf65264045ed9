// Choice of cipher for a calculator line: by its `cipher` word or by the length of its key.

import { CalcInput } from './input.ts'
import type { BlockCipher, CipherName } from '../../hsm/algorithms/cipher.ts'
import { softwareCipher } from '../../hsm/algorithms/software-ciphers.ts'

const CIPHER_NAMES: Readonly<Record<string, CipherName>> = {
  des: 'des',
  tdes: 'tdes',
  tdea: 'tdes',
  '3des': 'tdes',
  des3: 'tdes',
  aes: 'aes',
  sm4: 'sm4',
}

/** The cipher word of a line; `fallback` when it says nothing. */
export function cipherNameOf(input: CalcInput, fallback: CipherName = 'tdes'): CipherName {
  return input.choice('cipher', CIPHER_NAMES, fallback)
}

/** Cipher of the key input `keyName`, by the line's cipher word. */
export function cipherOf(
  input: CalcInput,
  keyName: string,
  fallback: CipherName = 'tdes',
): BlockCipher {
  return softwareCipher(cipherNameOf(input, fallback), input.hex(keyName))
}
