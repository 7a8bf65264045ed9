// The two secrets of the PAN vault (sealing key and token key), kept by the token. Called by
// token-keys.ts and by the demonstration's provisioning.
//
// They are key objects of the token, not rows of the database: they are made once by the token's
// generator, have no life cycle of their own, and a backup of the token is then a complete copy of
// what opens the vault, while the database alone opens nothing. (A wrapped blob in a data object
// would do as well, but NSS softokn keeps no data objects.) They are sensitive, may do nothing, and
// leave only wrapped; vaultSecretsOf() wraps them under the vault key and unwraps them into
// readable session objects, because AES-GCM of PANs runs in the process.

import pkcs11js from 'pkcs11js'

import { Refused, refuseUnless } from '../verbs/key-source.ts'
import type { VaultSecrets } from '../verbs/key-source.ts'
import type { KeyHandle, TokenSession } from './session.ts'
import { idOf } from './token-objects.ts'

const SECRET_BYTES = 32
const P = pkcs11js

/** The secrets, made at first use. Throws Refused key_usage when one is damaged. */
export function vaultSecretsOf(
  session: TokenSession,
  vaultKey: KeyHandle,
  vaultName: string,
): VaultSecrets {
  return {
    seal: secretOf(session, vaultKey, `${vaultName}#seal`),
    token: secretOf(session, vaultKey, `${vaultName}#token`),
  }
}

function secretOf(session: TokenSession, vaultKey: KeyHandle, label: string): Uint8Array {
  if (session.findKeys(label).length === 0) {
    session.generate({
      type: 'aes',
      bytes: SECRET_BYTES,
      powers: [],
      token: true,
      label,
      id: idOf('vault_secret', label),
      extractable: true,
    })
  }
  // Two processes at their first use may both have made one; all then agree on the lowest value.
  const values = session.findKeys(label).map((key) => shown(session, vaultKey, key))
  values.sort(Buffer.compare)
  const value = values[0]
  if (value === undefined) throw new Refused('unavailable')
  return value
}

/** The value of a sensitive key, by way of its wrapped form. */
function shown(session: TokenSession, vaultKey: KeyHandle, key: KeyHandle): Uint8Array {
  const wrapped = session.wrap(P.CKM_AES_KEY_WRAP, vaultKey, key)
  const readable = session.unwrap(P.CKM_AES_KEY_WRAP, vaultKey, wrapped, {
    type: 'aes',
    powers: [],
    extractable: true,
    readable: true,
  })
  try {
    const [value] = session.attributes(readable, [P.CKA_VALUE])
    refuseUnless(value !== undefined && value.length === SECRET_BYTES, 'key_usage')
    return Uint8Array.from(value)
  } finally {
    session.destroy(readable)
  }
}
