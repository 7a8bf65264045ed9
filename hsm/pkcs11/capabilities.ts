// What a token can do, tried out with throw-away session keys at start (a mechanism list lies both
// ways: SoftHSM lists DES that it refuses, NSS does not list derivations that work). Called by the
// worker when it opens the token; printed by `switchyard hsm status`. Each trial compares with
// hsm/algorithms over the same throw-away key, so "available" means "gives the right result".

import pkcs11js from 'pkcs11js'

import { concat, equalConstantTime } from '../algorithms/bytes.ts'
import { aesCipher, tdesCipher } from '../algorithms/software-ciphers.ts'
import type { KeyHandle, KeyShape, TokenSession } from './session.ts'

/** One line of the table. */
export interface Capability {
  readonly name: CapabilityName
  readonly available: boolean
  readonly note: string
}

export type CapabilityName =
  | 'tdes'
  | 'single_des_form'
  | 'derive_tdes'
  | 'derive_aes'
  | 'pin_translation_in_token'
  | 'aes_key_wrap'
  | 'random'
  | 'sm4'

/** What is lost where a capability is missing; the note of its line. */
const NOTES: Readonly<Record<CapabilityName, readonly [have: string, lack: string]>> = {
  tdes: ['3DES with keys in the token', 'no payment verb works with this token'],
  single_des_form: ['MAC and CVV by the K1|K1|K1 form', 'no retail MAC, no CVV'],
  derive_tdes: ['card and session keys stay in the token', 'card keys pass through the worker'],
  derive_aes: ['key block keys stay in the token', 'key block keys pass through the worker'],
  pin_translation_in_token: [
    'translation of equal formats shows no PIN to the process',
    'needs clear_pin_in_worker: accepted',
  ],
  aes_key_wrap: ['vault secrets kept by the token', 'no vault keys'],
  random: ["keys from the token's generator", 'no keys can be made'],
  sm4: ['SM4 in the token', 'SM4 needs keys in the worker; not offered yet'],
}

type Trial = (session: TokenSession) => boolean

const TRIALS: Readonly<Record<CapabilityName, Trial>> = {
  tdes: (session) => cipherIsRight(session, 16),
  single_des_form: (session) => cipherIsRight(session, 24),
  derive_tdes: triesTdesDerivation,
  derive_aes: triesAesDerivation,
  pin_translation_in_token: triesPinTranslation,
  aes_key_wrap: triesKeyWrap,
  random: (session) => new Set(session.random(64)).size > 16,
  sm4: () => false, // no PKCS#11 mechanism number is assigned in v2.40
}

/**
 * Tries everything out.
 * @param openSession a fresh session for each trial, since a failed one spoils it
 */
export function tryCapabilities(openSession: () => TokenSession): Capability[] {
  const names = Object.keys(TRIALS) as CapabilityName[]
  return names.map((name) => {
    const session = openSession()
    let available = false
    try {
      available = TRIALS[name](session)
    } catch {
      available = false
    } finally {
      session.close()
    }
    return { name, available, note: NOTES[name][available ? 0 : 1] }
  })
}

/** Enciphers one block under a random key, 16 bytes or K1|K1|K1, and compares. */
function cipherIsRight(session: TokenSession, bytes: 16 | 24): boolean {
  const part = session.random(bytes === 24 ? 8 : 16)
  const value = bytes === 24 ? concat(part, part, part) : part
  const type = bytes === 24 ? 'des3' : 'des2'
  const key = session.create({ type, powers: ['encrypt', 'decrypt'] }, value)
  const data = session.random(16)
  const got = session.ecb('encrypt', key, false, data)
  const back = session.ecb('decrypt', key, false, got)
  return (
    equalConstantTime(got, tdesCipher(value).encryptEcb(data)) && equalConstantTime(back, data)
  )
}

function triesTdesDerivation(session: TokenSession): boolean {
  const value = session.random(16)
  const base = session.create({ type: 'des2', powers: ['derive'] }, value)
  const part = session.random(8)
  const data = concat(part, session.random(8))
  const thrice = concat(part, part, part)
  const pair = session.deriveEcb(base, false, data, { type: 'des2', powers: ['encrypt'] })
  const single = session.deriveEcb(base, false, thrice, { type: 'des3', powers: ['encrypt'] })
  const cipher = tdesCipher(value)
  const zeros = new Uint8Array(8)
  const wantPair = tdesCipher(cipher.encryptEcb(data)).encryptEcb(zeros)
  const wantSingle = tdesCipher(cipher.encryptEcb(part)).encryptEcb(zeros)
  return (
    equalConstantTime(session.ecb('encrypt', pair, false, zeros), wantPair) &&
    equalConstantTime(session.ecb('encrypt', single, false, zeros), wantSingle)
  )
}

function triesAesDerivation(session: TokenSession): boolean {
  const value = session.random(32)
  const base = session.create({ type: 'aes', powers: ['derive'] }, value)
  const data = session.random(32)
  const derived = session.deriveEcb(base, true, data, {
    type: 'aes',
    bytes: 32,
    powers: ['encrypt'],
  })
  const zeros = new Uint8Array(16)
  const want = aesCipher(aesCipher(value).encryptEcb(data)).encryptEcb(zeros)
  return equalConstantTime(session.ecb('encrypt', derived, true, zeros), want)
}

/** An 8-byte block unwrapped under one key and wrapped under another, nothing clear in between. */
function triesPinTranslation(session: TokenSession): boolean {
  const from = session.random(16)
  const to = session.random(16)
  const fromKey = session.create({ type: 'des2', powers: ['unwrap'] }, from)
  const toKey = session.create({ type: 'des2', powers: ['wrap'] }, to)
  const clear = session.random(8)
  const got = translateInToken(session, fromKey, toKey, tdesCipher(from).encryptEcb(clear))
  return equalConstantTime(got, tdesCipher(to).encryptEcb(clear))
}

/** The block as a secret that may leave wrapped but cannot be read. */
const BLOCK_SHAPE: KeyShape = { type: 'secret', bytes: 8, powers: [], extractable: true }

/** C_UnwrapKey under one key, C_WrapKey under the other: PIN translation inside the token. */
export function translateInToken(
  session: TokenSession,
  from: KeyHandle,
  to: KeyHandle,
  block: Uint8Array,
): Uint8Array {
  const secret = session.unwrap(pkcs11js.CKM_DES3_ECB, from, block, BLOCK_SHAPE)
  try {
    return session.wrap(pkcs11js.CKM_DES3_ECB, to, secret)
  } finally {
    session.destroy(secret)
  }
}

function triesKeyWrap(session: TokenSession): boolean {
  const value = session.random(32)
  const powers = ['wrap', 'unwrap'] as const
  const wrapping = session.create({ type: 'aes', powers: [...powers] }, value)
  const inner = session.random(32)
  const shape: KeyShape = { type: 'aes', powers: [], extractable: true, readable: true }
  const key = session.create(shape, inner)
  const wrapped = session.wrap(pkcs11js.CKM_AES_KEY_WRAP, wrapping, key)
  const back = session.unwrap(pkcs11js.CKM_AES_KEY_WRAP, wrapping, wrapped, shape)
  const [got] = session.attributes(back, [pkcs11js.CKA_VALUE])
  return got !== undefined && equalConstantTime(got, inner)
}
