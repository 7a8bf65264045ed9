// One token used in process, synchronously: for the simulators, which play card, terminal and
// scheme, and for `switchyard hsm status`. Never for the running switch, whose event loop must not
// wait for a token: that is pkcs11-hsm.ts with its workers.

import type { BlockCipher } from '../algorithms/cipher.ts'
import type { TokenAddress } from './session.ts'
import { TokenSession } from './session.ts'
import { TokenCipher } from './token-cipher.ts'
import { keyTypeOf } from './token-objects.ts'

/** A token opened by openToken. */
export interface Token {
  /** Cipher of the key with this CKA_LABEL. Throws Error when there is not exactly one. */
  cipher(label: string): BlockCipher
  /** Random bytes of the token's generator. */
  random(bytes: number): Uint8Array
  /** Closes the session. */
  close(): void
}

/** Opens a token and logs in. Throws TokenFault; see vendor-errors.ts. */
export function openToken(address: TokenAddress): Token {
  const session = TokenSession.open(address)
  return {
    cipher(label: string): BlockCipher {
      const found = session.findKeys(label)
      if (found.length !== 1) throw new Error(`token has ${found.length} keys named ${label}`)
      const key = found[0]!
      return new TokenCipher(session, key, keyTypeOf(session, key) === 'aes' ? 'aes' : 'tdes')
    },
    random: (bytes: number): Uint8Array => session.random(bytes),
    close: (): void => session.close(),
  }
}
