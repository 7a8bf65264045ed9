// What the payment verbs need of whatever holds the keys: the token (hsm/pkcs11/token-keys.ts) or
// clear keys in memory (hsm/software/software-keys.ts). The verbs are written once over this
// interface, so that both adapters decide alike. Keys show ciphers, never bytes.

import type { BlockCipher } from '../algorithms/cipher.ts'
import type { HsmOutcome, KeyUsage } from '../port.ts'

/** Every outcome but success. */
export type Refusal = Exclude<HsmOutcome, 'ok'>

/** Thrown inside an adapter to end a verb with an outcome; it never crosses the Hsm port. */
export class Refused extends Error {
  readonly outcome: Refusal

  constructor(outcome: Refusal) {
    super(outcome)
    this.name = 'Refused'
    this.outcome = outcome
  }
}

/** Throws Refused with `outcome` unless `holds`. */
export function refuseUnless(holds: boolean, outcome: Refusal): asserts holds {
  if (!holds) throw new Refused(outcome)
}

/** A key by name, with its key block when it is a working key; without, it is a master key. */
export interface KeyRef {
  readonly name: string
  readonly block: string | null
}

/** What one verb does with a key; compared with the mode of use in a key block's header. */
export type KeyAct = 'encrypt' | 'decrypt' | 'generate' | 'verify' | 'derive'

/** A key opened for one use. */
export interface PaymentKey {
  readonly algorithm: 'tdes' | 'aes'
  /** The key itself: K1|K2|K1 for 3DES, AES as it is. */
  readonly pair: BlockCipher
  /** K1|K1|K1, which gives single DES; for MAC algorithms 1 and 3 and CVV. 3DES keys only. */
  readonly single: BlockCipher
  /** 3DES key made by enciphering 16 bytes under this one; close() it when done. */
  derive(data: Uint8Array): DerivedKey
}

/** A key that lives for one verb only. */
export interface DerivedKey extends PaymentKey {
  close(): void
}

/**
 * How IBM 3624 validation data come from a PAN and how its result becomes decimal; belongs to the
 * PVK's profile, never to a message (decimalisation-table attacks, ANSI X9.8).
 */
export interface Ibm3624Profile {
  readonly decimalizationTable: string // 16 digits
  readonly panOffset: number // first PAN digit used, from 0; negative counts from the right
  readonly panDigits: number // PAN digits used, 1 to 16
  readonly pad: string // one hex digit that fills the right up to 16
}

/** The profile of a PVK that has none of its own: the rightmost 16 PAN digits, IBM's own table. */
export const DEFAULT_IBM3624_PROFILE: Ibm3624Profile = {
  decimalizationTable: '0123456789012345',
  panOffset: -16,
  panDigits: 16,
  pad: 'F',
}

export interface VaultSecrets {
  seal: Uint8Array
  token: Uint8Array
}

/** Access to keys for the verbs. Methods throw Refused: key_missing, key_usage, unavailable. */
export interface KeySource {
  /** Opens a key after checking that its declared usage and mode allow `act`. */
  open(ref: KeyRef, usage: KeyUsage, act: KeyAct): PaymentKey
  /** Takes a clear 16-byte 3DES key for one verb; the caller wipes the bytes. */
  load(clear: Uint8Array): DerivedKey
  /** The X9.143 block of a clear key under the block protection key, bound to `name`. */
  seal(name: string, usage: KeyUsage, clear: Uint8Array): string
  /** Random bytes from the token. */
  random(bytes: number): Uint8Array
  /** Whether a clear PIN may exist here (configuration `clear_pin_in_worker: accepted`). */
  readonly clearPinAllowed: boolean
  /** Translates without a clear PIN anywhere, or null when this source cannot. */
  translateInside(from: KeyRef, to: KeyRef, block: Uint8Array): Uint8Array | null
  ibm3624Profile(name: string): Ibm3624Profile
  vaultSecrets(): VaultSecrets
}
