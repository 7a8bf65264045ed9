// Calls of the token that only officers' work needs: copying a session object into the token,
// naming it, XOR inside the token, and the audit's signing key. Used by this folder and by
// console/keys/. Failures come out as TokenFault. See session.ts for all other calls.

import pkcs11js from 'pkcs11js'

import type { CheckpointSigner } from '../../audit/checkpoint.ts'
import { concat } from '../algorithms/bytes.ts'
import { DerivationData } from '../pkcs11/pointer.ts'
import type { KeyHandle, KeyPower, TokenSession } from '../pkcs11/session.ts'
import { tokenFault, TokenFault } from '../pkcs11/vendor-errors.ts'
import { createHash } from 'node:crypto'
import { KINDS } from './key-plan.ts'
import type { KeyKind } from './key-plan.ts'

const P = pkcs11js

/** Label and CKA_ID mark of the audit's signing key (P-256, made in the token, never leaves it). */
export const AUDIT_KEY_LABEL = 'switchyard.audit'
const AUDIT_KEY_ID = 'switchyard:audit_signature:switchyard.audit'
const P256 = Buffer.from('06082a8648ce3d030107', 'hex') // OID 1.2.840.10045.3.1.7
const POINT_BYTES = 65
const SIGNATURE_BYTES_MAX = 144

const TYPES: Readonly<Record<string, number>> = {
  des2: P.CKK_DES2,
  des3: P.CKK_DES3,
  aes: P.CKK_AES,
}

const POWERS: ReadonlyArray<readonly [KeyPower, number]> = [
  ['encrypt', P.CKA_ENCRYPT],
  ['decrypt', P.CKA_DECRYPT],
  ['sign', P.CKA_SIGN],
  ['wrap', P.CKA_WRAP],
  ['unwrap', P.CKA_UNWRAP],
  ['derive', P.CKA_DERIVE],
]

function guarded<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw tokenFault(error)
  }
}

function powerAttributes(powers: readonly KeyPower[]): pkcs11js.Template {
  return POWERS.map(([power, type]) => ({ type, value: powers.includes(power) }))
}

/** Where a copy goes and what it may do. */
export interface CopyShape {
  readonly token: boolean
  readonly powers: readonly KeyPower[]
  readonly label?: string
  readonly id?: string
}

/** A copy of a key object with other powers and another place; it never leaves the token. */
export function copyKey(session: TokenSession, key: KeyHandle, shape: CopyShape): KeyHandle {
  const template: pkcs11js.Template = [
    { type: P.CKA_TOKEN, value: shape.token },
    ...powerAttributes(shape.powers),
  ]
  // A staged sum may have been extractable; no copy is. SoftHSM refuses to say it of one that is
  // not.
  const { extractable } = exposure(session, key)
  if (extractable) template.push({ type: P.CKA_EXTRACTABLE, value: false })
  if (shape.label !== undefined) template.push({ type: P.CKA_LABEL, value: shape.label })
  if (shape.id !== undefined) template.push({ type: P.CKA_ID, value: Buffer.from(shape.id) })
  return guarded(() => session.module.C_CopyObject(session.handle, key, template))
}

/** Gives a token object its name. */
export function setLabel(session: TokenSession, key: KeyHandle, label: string): void {
  const template = [{ type: P.CKA_LABEL, value: label }]
  guarded(() => session.module.C_SetAttributeValue(session.handle, key, template))
}

/** Secret keys kept in the token with this CKA_ID. */
export function keysOfId(session: TokenSession, id: string): KeyHandle[] {
  return session.find([
    { type: P.CKA_CLASS, value: P.CKO_SECRET_KEY },
    { type: P.CKA_TOKEN, value: true },
    { type: P.CKA_ID, value: Buffer.from(id) },
  ])
}

/** Secret keys kept in the token, with label and CKA_ID. */
export function keptKeys(
  session: TokenSession,
): Array<{ key: KeyHandle; label: string; id: string }> {
  const kept = session.find([
    { type: P.CKA_CLASS, value: P.CKO_SECRET_KEY },
    { type: P.CKA_TOKEN, value: true },
  ])
  return kept.map((key) => {
    const [label, id] = session.attributes(key, [P.CKA_LABEL, P.CKA_ID])
    return { key, label: label?.toString('utf8') ?? '', id: id?.toString('latin1') ?? '' }
  })
}

/** Whether the token shows a key's value or lets it leave; both must be false. */
export function exposure(
  session: TokenSession,
  key: KeyHandle,
): { readable: boolean; extractable: boolean } {
  const [sensitive, extractable] = session.attributes(key, [P.CKA_SENSITIVE, P.CKA_EXTRACTABLE])
  return { readable: sensitive?.[0] !== 1, extractable: extractable?.[0] !== 0 }
}

/** Length of a key object in bytes. */
export function keyBytes(session: TokenSession, key: KeyHandle, wide: boolean): number {
  if (!wide) {
    const [type] = session.attributes(key, [P.CKA_KEY_TYPE])
    return type?.readUInt32LE(0) === P.CKK_DES3 ? 24 : 16
  }
  const [length] = session.attributes(key, [P.CKA_VALUE_LEN])
  return length?.readUInt32LE(0) ?? 0
}

/** A session key that is `base` XOR `data`, made inside the token (CKM_XOR_BASE_AND_DATA). */
export function xorInToken(
  session: TokenSession,
  base: KeyHandle,
  data: Uint8Array,
  kind: KeyKind,
  powers: readonly KeyPower[],
): KeyHandle {
  const { type, bytes } = KINDS[kind]
  const template: pkcs11js.Template = [
    { type: P.CKA_CLASS, value: P.CKO_SECRET_KEY },
    { type: P.CKA_KEY_TYPE, value: TYPES[type] ?? P.CKK_AES },
    { type: P.CKA_TOKEN, value: false },
    { type: P.CKA_PRIVATE, value: true },
    { type: P.CKA_SENSITIVE, value: true },
    { type: P.CKA_EXTRACTABLE, value: false },
    ...powerAttributes(powers),
  ]
  if (type === 'aes') template.push({ type: P.CKA_VALUE_LEN, value: bytes })
  const memory = new DerivationData(data.length)
  try {
    return guarded(() => {
      const how = { mechanism: P.CKM_XOR_BASE_AND_DATA, parameter: memory.parameter(data) }
      return session.module.C_DeriveKey(session.handle, how, base, template)
    })
  } finally {
    memory.parameter(new Uint8Array(data.length)) // the copy of a component
  }
}

/** The audit's signing key, made in the token at its first use. */
export function auditSigner(session: TokenSession): CheckpointSigner {
  const marks = { label: AUDIT_KEY_LABEL, id: Buffer.from(AUDIT_KEY_ID) }
  let [key] = findAudit(session, P.CKO_PRIVATE_KEY)
  if (key === undefined) {
    makeAuditKey(session, marks)
    ;[key] = findAudit(session, P.CKO_PRIVATE_KEY)
  }
  const publicKey = auditPublicKey(session)
  if (key === undefined || publicKey === null) throw new TokenFault('other', 'no_audit_key')
  const signing = key
  return {
    publicKey,
    sign(text: string): string {
      const digest = createHash('sha256').update(text, 'utf8').digest()
      const signature = guarded(() => {
        session.module.C_SignInit(session.handle, { mechanism: P.CKM_ECDSA }, signing)
        return session.module.C_Sign(session.handle, digest, Buffer.alloc(SIGNATURE_BYTES_MAX))
      })
      return Buffer.from(signature).toString('hex')
    },
  }
}

/** Public key of the audit's signing key, 65 bytes in hex; null when it was never made. */
export function auditPublicKey(session: TokenSession): string | null {
  const [key] = findAudit(session, P.CKO_PUBLIC_KEY)
  if (key === undefined) return null
  const [value] = session.attributes(key, [P.CKA_EC_POINT])
  // A DER octet string around the point; some tokens give the point alone.
  return value === undefined ? null : value.subarray(-POINT_BYTES).toString('hex')
}

function findAudit(session: TokenSession, kind: number): KeyHandle[] {
  return session.find([
    { type: P.CKA_CLASS, value: kind },
    { type: P.CKA_LABEL, value: AUDIT_KEY_LABEL },
  ])
}

function makeAuditKey(session: TokenSession, marks: { label: string; id: Buffer }): void {
  const named = [
    { type: P.CKA_TOKEN, value: true },
    { type: P.CKA_LABEL, value: marks.label },
    { type: P.CKA_ID, value: marks.id },
  ]
  const publicTemplate = [
    ...named,
    { type: P.CKA_EC_PARAMS, value: P256 },
    { type: P.CKA_VERIFY, value: true },
  ]
  const privateTemplate = [
    ...named,
    { type: P.CKA_PRIVATE, value: true },
    { type: P.CKA_SENSITIVE, value: true },
    { type: P.CKA_EXTRACTABLE, value: false },
    { type: P.CKA_SIGN, value: true },
    { type: P.CKA_DECRYPT, value: false },
    { type: P.CKA_UNWRAP, value: false },
    { type: P.CKA_DERIVE, value: false },
  ]
  const mechanism = { mechanism: P.CKM_EC_KEY_PAIR_GEN }
  const { module, handle } = session
  guarded(() => module.C_GenerateKeyPair(handle, mechanism, publicTemplate, privateTemplate))
}

/** K1|K1|K1 of a double-length key's bytes; the caller wipes it. */
export function singleForm(clear: Uint8Array): Uint8Array {
  const left = clear.subarray(0, 8)
  return concat(left, left, left)
}
