// The ciphers that protect key blocks under a key of the token, for every block version that this
// token can serve. Used by block-exchange.ts. The protection key never leaves the token; a derived
// block key passes through this process where the token cannot derive it, and is wiped.
// Source: TR-31:2018 5.3 (versions A to D), ISO 20038 (E); crypto facts in docs/security/.

import { wipe } from '../algorithms/bytes.ts'
import { deriveKeyBlockKey } from '../algorithms/key-block.ts'
import type { KeyBlockKeys, KeyBlockVersion } from '../algorithms/key-block.ts'
import { OfficerRefusal } from '../officers/refusal.ts'
import type { KeyHandle, TokenSession } from '../pkcs11/session.ts'
import { TokenCipher } from '../pkcs11/token-cipher.ts'
import { hasUsage, keyTypeOf } from '../pkcs11/token-objects.ts'
import { TokenFault } from '../pkcs11/vendor-errors.ts'
import { KINDS } from './key-plan.ts'
import type { KeyKind } from './key-plan.ts'
import { keyBytes, xorInToken } from './token-calls.ts'

/** A key of the token that protects key blocks. */
export interface ProtectionKey {
  readonly name: string
  readonly handle: KeyHandle
  readonly wide: boolean // AES
  readonly bytes: number
}

/** What versions A and C add to the protection key (TR-31:2018, 5.3.1). */
const VARIANTS = { encryption: 0x45, authentication: 0x4d } as const

/** The protection key of a name: a KEK shared with a peer, or our own KBPK. */
export function protectionKey(
  session: TokenSession,
  name: string,
  usage: 'kek' | 'kbpk',
): ProtectionKey {
  const found = session.findKeys(name)
  const [handle] = found
  if (handle === undefined || found.length > 1) {
    throw new OfficerRefusal(`the token has no key '${name}'`, 'see: switchyard keys list')
  }
  if (!hasUsage(session, handle, usage)) {
    throw new OfficerRefusal(`'${name}' is no ${usage === 'kek' ? 'key-encrypting key' : usage}`)
  }
  const wide = keyTypeOf(session, handle) === 'aes'
  return { name, handle, wide, bytes: keyBytes(session, handle, wide) }
}

/** Ciphers of a protection key for a block version. Throws OfficerRefusal. */
export function blockKeysOf(
  session: TokenSession,
  key: ProtectionKey,
  version: KeyBlockVersion,
): KeyBlockKeys {
  if (key.wide !== (version === 'D' || version === 'E')) {
    const needs = key.wide ? 'AES, which makes versions D and E' : '3DES, which makes A, B and C'
    throw new OfficerRefusal(`the key block has version ${version}, '${key.name}' is ${needs}`)
  }
  if (version === 'A' || version === 'C') {
    return {
      encryption: variantKey(session, key, VARIANTS.encryption),
      authentication: variantKey(session, key, VARIANTS.authentication),
    }
  }
  return {
    encryption: derivedKey(session, key, version === 'E' ? 2 : 0),
    authentication: derivedKey(session, key, 1),
  }
}

function variantKey(session: TokenSession, key: ProtectionKey, pad: number): TokenCipher {
  const data = new Uint8Array(key.bytes).fill(pad)
  const kind: KeyKind = key.bytes === 24 ? 'tdes3' : 'tdes2'
  try {
    const variant = xorInToken(session, key.handle, data, kind, ['encrypt', 'decrypt'])
    return new TokenCipher(session, variant, 'tdes')
  } catch (error) {
    if (!(error instanceof TokenFault)) throw error
    throw new OfficerRefusal(
      'versions A and C need the sum of the protection key and a constant, which this token ' +
        'does not make',
      'ask the peer for version B, or D under an AES key',
    )
  }
}

function derivedKey(session: TokenSession, key: ProtectionKey, purpose: 0 | 1 | 2): TokenCipher {
  const algorithm = key.wide ? 'aes' : 'tdes'
  const protection = new TokenCipher(session, key.handle, algorithm)
  const clear = deriveKeyBlockKey(protection, key.bytes, purpose)
  const { type } = KINDS[key.wide ? 'aes256' : key.bytes === 24 ? 'tdes3' : 'tdes2']
  try {
    const handle = session.create({ type, powers: ['encrypt', 'decrypt'] }, clear)
    return new TokenCipher(session, handle, algorithm)
  } finally {
    wipe(clear)
  }
}
