// A BlockCipher over a key that stays in the token. Used by token.ts and token-keys.ts; every
// payment algorithm of hsm/algorithms runs over it unchanged.

import type { BlockCipher } from '../algorithms/cipher.ts'
import { demand } from '../algorithms/errors.ts'
import type { KeyHandle, TokenSession } from './session.ts'

export class TokenCipher implements BlockCipher {
  readonly blockBytes: 8 | 16
  readonly #session: TokenSession
  readonly #key: KeyHandle

  constructor(session: TokenSession, key: KeyHandle, algorithm: 'tdes' | 'aes') {
    this.#session = session
    this.#key = key
    this.blockBytes = algorithm === 'aes' ? 16 : 8
  }

  encryptEcb(input: Uint8Array): Uint8Array {
    this.#demandBlocks(input)
    return this.#session.ecb('encrypt', this.#key, this.blockBytes === 16, input)
  }

  decryptEcb(input: Uint8Array): Uint8Array {
    this.#demandBlocks(input)
    return this.#session.ecb('decrypt', this.#key, this.blockBytes === 16, input)
  }

  encryptCbc(iv: Uint8Array, input: Uint8Array): Uint8Array {
    this.#demandBlocks(input)
    demand(iv.length === this.blockBytes, 'length', 'initial value is not one cipher block')
    return this.#session.cbc(this.#key, this.blockBytes === 16, iv, input)
  }

  #demandBlocks(input: Uint8Array): void {
    demand(input.length % this.blockBytes === 0, 'length', 'data are not whole cipher blocks')
  }
}
