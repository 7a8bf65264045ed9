// How our keys are named and marked as objects of a token. Used by token-keys.ts, token.ts and
// provisioning. CKA_LABEL is the key's name; CKA_ID says its one purpose and is different for every
// object, `switchyard:<usage>:<label>`: NSS keeps one key per CKA_ID and overwrites the other.
// A key that must also work as single DES has a second object, K1|K1|K1, under `<name>#single`.

import pkcs11js from 'pkcs11js'

import type { KeyUsage } from '../port.ts'
import type { KeyHandle, KeyType, TokenSession } from './session.ts'

/** Purposes of keys in the token: those of the port, those that protect keys, the vault's own. */
export type TokenUsage = KeyUsage | 'kbpk' | 'vault' | 'vault_secret'

const ID_PREFIX = 'switchyard:'
const SINGLE_SUFFIX = '#single'

/** CKA_ID of the object with this label and purpose. */
export function idOf(usage: TokenUsage, label: string): string {
  return `${ID_PREFIX}${usage}:${label}`
}

/** Label of the K1|K1|K1 object that belongs to a key. */
export function singleLabel(name: string): string {
  return name + SINGLE_SUFFIX
}

/** Whether a CKA_ID is that of `usage`. An object without our mark has no purpose here. */
export function hasUsage(session: TokenSession, key: KeyHandle, usage: TokenUsage): boolean {
  const [id] = session.attributes(key, [pkcs11js.CKA_ID])
  return id?.toString('latin1').startsWith(idOf(usage, '')) ?? false
}

const TYPES = new Map<number, KeyType>([
  [pkcs11js.CKK_DES2, 'des2'],
  [pkcs11js.CKK_DES3, 'des3'],
  [pkcs11js.CKK_AES, 'aes'],
])

/** Key type of an object; `secret` for anything that is no 3DES or AES key. */
export function keyTypeOf(session: TokenSession, key: KeyHandle): KeyType {
  const [value] = session.attributes(key, [pkcs11js.CKA_KEY_TYPE])
  // CK_ULONG in the machine's order: little-endian on every platform that is supported.
  const type = value !== undefined && value.length >= 4 ? value.readUInt32LE(0) : -1
  return TYPES.get(type) ?? 'secret'
}

/** A key of the token as `switchyard hsm status` lists it. */
export interface KeyListing {
  readonly name: string
  readonly usage: string // empty for an object without our mark
  readonly type: KeyType
  readonly extractable: boolean
}

/** The secret keys that are kept in the token, by name. */
export function keysIn(session: TokenSession): KeyListing[] {
  const kept = session.find([
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: pkcs11js.CKA_TOKEN, value: true },
  ])
  const wanted = [pkcs11js.CKA_LABEL, pkcs11js.CKA_ID, pkcs11js.CKA_EXTRACTABLE]
  const listed = kept.map((key): KeyListing => {
    const [label, id, extractable] = session.attributes(key, wanted)
    const [mark, usage] = (id?.toString('latin1') ?? '').split(':')
    return {
      name: label?.toString('utf8') ?? '',
      usage: `${mark}:` === ID_PREFIX ? (usage ?? '') : '',
      type: keyTypeOf(session, key),
      extractable: extractable?.[0] === 1,
    }
  })
  return listed.sort((a, b) => (a.name < b.name ? -1 : 1))
}
