// The two secrets of the PAN vault (sealing key and token key), kept wrapped by the vault key.
// Called by token-keys.ts and by provisioning.
//
// The wrapped form is a private data object of the token, not a row of the database: it is made
// once, has no life cycle of its own, and a copy of the token's objects is then a complete copy of
// what opens the vault; the database alone opens nothing. The secrets are made by the token's
// generator as key objects and leave it only wrapped; vaultSecretsOf() unwraps them into readable
// session objects because AES-GCM of PANs runs in the process (design.md section 6).

import pkcs11js from 'pkcs11js'

import { concat } from '../algorithms/bytes.ts'
import { Refused, require } from '../verbs/key-source.ts'
import type { VaultSecrets } from '../verbs/key-source.ts'
import type { KeyHandle, TokenSession } from './session.ts'

const SECRET_BYTES = 32
const WRAPPED_BYTES = SECRET_BYTES + 8 // RFC 3394 adds one block of 8 bytes
const LABEL_SUFFIX = '#secrets'

const P = pkcs11js

/** The secrets, made at first use. Throws Refused key_usage when the stored form is damaged. */
export function vaultSecretsOf(
  session: TokenSession,
  vaultKey: KeyHandle,
  vaultName: string,
): VaultSecrets {
  const stored = storedSecrets(session, vaultName) ?? makeSecrets(session, vaultKey, vaultName)
  require(stored.length === 2 * WRAPPED_BYTES, 'key_usage')
  return {
    seal: unwrapped(session, vaultKey, stored.subarray(0, WRAPPED_BYTES)),
    token: unwrapped(session, vaultKey, stored.subarray(WRAPPED_BYTES)),
  }
}

/** The wrapped secrets in the token, or null before first use. */
function storedSecrets(session: TokenSession, vaultName: string): Uint8Array | null {
  const found = session.find([
    { type: P.CKA_CLASS, value: P.CKO_DATA },
    { type: P.CKA_LABEL, value: vaultName + LABEL_SUFFIX },
  ])
  const values = found.map((object) => session.attributes(object, [P.CKA_VALUE])[0]!)
  // Two processes at their first use may both have made them; all then agree on the lowest.
  values.sort(Buffer.compare)
  return values[0] === undefined ? null : Uint8Array.from(values[0])
}

function makeSecrets(session: TokenSession, vaultKey: KeyHandle, vaultName: string): Uint8Array {
  const parts = [0, 1].map(() => {
    const secret = session.generate({
      type: 'aes',
      bytes: SECRET_BYTES,
      powers: [],
      extractable: true,
    })
    try {
      return session.wrap(P.CKM_AES_KEY_WRAP, vaultKey, secret)
    } finally {
      session.destroy(secret)
    }
  })
  session.createData(vaultName + LABEL_SUFFIX, concat(...parts))
  const stored = storedSecrets(session, vaultName)
  if (stored === null) throw new Refused('unavailable')
  return stored
}

function unwrapped(session: TokenSession, vaultKey: KeyHandle, wrapped: Uint8Array): Uint8Array {
  const key = session.unwrap(P.CKM_AES_KEY_WRAP, vaultKey, wrapped, {
    type: 'aes',
    powers: [],
    extractable: true,
    readable: true,
  })
  try {
    const [value] = session.attributes(key, [P.CKA_VALUE])
    require(value !== undefined && value.length === SECRET_BYTES, 'key_usage')
    return Uint8Array.from(value)
  } finally {
    session.destroy(key)
  }
}
