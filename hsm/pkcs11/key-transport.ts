// Carrying keys from one token to another without a clear key outside either. Called by
// hsm/demonstration.ts. The receiving token makes an RSA pair; the sending token makes an AES-256
// transport key and wraps it for that pair; keys then travel under AES key wrap (RFC 3394). Both
// transport keys are session objects, destroyed at the end and gone with their sessions anyway.

import pkcs11js from 'pkcs11js'

import type { KeyHandle, KeyShape, TokenSession } from './session.ts'

const P = pkcs11js
const RSA_BITS = 2048 // RSA keys of one minute's life
const RSA_EXPONENT = Buffer.from([0x01, 0x00, 0x01])

const OAEP: pkcs11js.Mechanism = {
  mechanism: P.CKM_RSA_PKCS_OAEP,
  parameter: {
    type: P.CK_PARAMS_RSA_OAEP,
    hashAlg: P.CKM_SHA_1, // SoftHSM offers OAEP with SHA-1 only; its security does not rest on it
    mgf: P.CKG_MGF1_SHA1,
    source: 1, // CKZ_DATA_SPECIFIED, empty
  } as pkcs11js.RsaOAEP,
}

export interface KeyTransport {
  readonly bank: TokenSession
  readonly outside: TokenSession
  /** Makes a copy of an extractable key of the bank's token in the other one. */
  carry(key: KeyHandle, shape: KeyShape): KeyHandle
  /** Transport keys, for closeTransport. */
  readonly objects: ReadonlyArray<readonly [TokenSession, KeyHandle]>
}

/** Agrees on a transport key between two tokens. */
export function openTransport(bank: TokenSession, outside: TokenSession): KeyTransport {
  const pair = outside.generateRsaPair(RSA_BITS, RSA_EXPONENT)
  const [modulus = Buffer.alloc(0)] = outside.attributes(pair.publicKey, [P.CKA_MODULUS])
  const publicKey = bank.createRsaWrappingKey(modulus, RSA_EXPONENT)
  const aes: KeyShape = { type: 'aes', bytes: 32, powers: ['wrap'], extractable: true }
  const sending = bank.generate(aes)
  const wrapped = bank.wrap(OAEP, publicKey, sending)
  const receiving = outside.unwrap(OAEP, pair.privateKey, wrapped, {
    type: 'aes',
    powers: ['unwrap'],
  })
  return {
    bank,
    outside,
    objects: [
      [bank, publicKey],
      [bank, sending],
      [outside, pair.publicKey],
      [outside, pair.privateKey],
      [outside, receiving],
    ],
    carry(key: KeyHandle, shape: KeyShape): KeyHandle {
      const travelling = bank.wrap(P.CKM_AES_KEY_WRAP, sending, key)
      return outside.unwrap(P.CKM_AES_KEY_WRAP, receiving, travelling, shape)
    },
  }
}

/** Destroys the transport keys. */
export function closeTransport(transport: KeyTransport): void {
  for (const [session, object] of transport.objects) session.destroy(object)
}
