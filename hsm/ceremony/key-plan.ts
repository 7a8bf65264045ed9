// What keys officers handle: purposes, kinds, what each may do in the token, how long its check
// value is. PURE tables. Used by this folder and console/keys/.
// Source: PCI PIN requirement 19 (one purpose per key); X9.143 tables 6 and 7 for header codes.

import type { KeyPower, KeyType } from '../pkcs11/session.ts'

/** Purposes of keys that officers make, bring in or hand out. */
export type OfficerUsage =
  | 'kbpk'
  | 'vault'
  | 'kek'
  | 'pvk'
  | 'cvk'
  | 'imk_ac'
  | 'imk_smi'
  | 'imk_smc'
  | 'pin'
  | 'mac'
  | 'track'

export type KeyKind = 'tdes2' | 'tdes3' | 'aes128' | 'aes192' | 'aes256'

export interface KindRow {
  readonly type: KeyType
  readonly bytes: number
  readonly wide: boolean // AES
  readonly kcvBytes: number // PCI PIN: at most 3 of TDES, 5 of AES
  readonly words: string
}

export const KINDS: Readonly<Record<KeyKind, KindRow>> = {
  tdes2: { type: 'des2', bytes: 16, wide: false, kcvBytes: 3, words: '3DES, double length' },
  tdes3: { type: 'des3', bytes: 24, wide: false, kcvBytes: 3, words: '3DES, triple length' },
  aes128: { type: 'aes', bytes: 16, wide: true, kcvBytes: 5, words: 'AES-128' },
  aes192: { type: 'aes', bytes: 24, wide: true, kcvBytes: 5, words: 'AES-192' },
  aes256: { type: 'aes', bytes: 32, wide: true, kcvBytes: 5, words: 'AES-256' },
}

export interface UsageRow {
  readonly place: 'token' | 'block'
  /** Kinds in order; the first is what a command takes without --kind. */
  readonly kinds: readonly KeyKind[]
  /** Powers of the token object; AES keys that protect others derive as well. */
  readonly powers: readonly KeyPower[]
  readonly header: readonly string[] // X9.143 usage codes that are read; the first is written
  readonly modes: string // X9.143 modes of use accepted; the first is written
  readonly words: string
}

export const USAGES: Readonly<Record<OfficerUsage, UsageRow>> = {
  kbpk: {
    place: 'token',
    kinds: ['aes256'],
    powers: ['encrypt', 'derive'],
    header: ['K1'],
    modes: 'B',
    words: 'protects our own key blocks',
  },
  vault: {
    place: 'token',
    kinds: ['aes256'],
    powers: ['wrap', 'unwrap'],
    header: [],
    modes: '',
    words: 'wraps the secrets of the PAN vault',
  },
  kek: {
    place: 'token',
    kinds: ['tdes2', 'tdes3', 'aes128', 'aes192', 'aes256'],
    powers: ['encrypt', 'decrypt'],
    header: ['K0', 'K1'],
    modes: 'BDEN',
    words: 'key-encrypting key shared with a peer (ZMK, TMK)',
  },
  pvk: {
    place: 'token',
    kinds: ['tdes2'],
    powers: ['encrypt'],
    header: ['V2', 'V1', 'V0'],
    modes: 'CVGN',
    words: 'PIN verification',
  },
  cvk: {
    place: 'token',
    kinds: ['tdes2'],
    powers: ['encrypt'],
    header: ['C0'],
    modes: 'CVGN',
    words: 'card verification values',
  },
  imk_ac: {
    place: 'token',
    kinds: ['tdes2'],
    powers: ['derive'],
    header: ['E0'],
    modes: 'XN',
    words: 'issuer master key: application cryptograms',
  },
  imk_smi: {
    place: 'token',
    kinds: ['tdes2'],
    powers: ['derive'],
    header: ['E2'],
    modes: 'XN',
    words: 'issuer master key: script integrity',
  },
  imk_smc: {
    place: 'token',
    kinds: ['tdes2'],
    powers: ['derive'],
    header: ['E1'],
    modes: 'XN',
    words: 'issuer master key: script confidentiality',
  },
  pin: {
    place: 'block',
    kinds: ['tdes2'],
    powers: [],
    header: ['P0'],
    modes: 'BEDN',
    words: 'PIN encryption',
  },
  mac: {
    place: 'block',
    kinds: ['tdes2'],
    powers: [],
    header: ['M3', 'M1', 'M0'],
    modes: 'CGVN',
    words: 'message authentication',
  },
  track: {
    place: 'block',
    kinds: ['tdes2'],
    powers: [],
    header: ['D0'],
    modes: 'BEDN',
    words: 'track data encryption',
  },
}

/** The purpose of a word, or null. */
export function usageOf(word: string): OfficerUsage | null {
  return Object.hasOwn(USAGES, word) ? (word as OfficerUsage) : null
}

/** The kind of a word that a usage allows, its first kind without a word, or null. */
export function kindFor(usage: OfficerUsage, word: string | undefined): KeyKind | null {
  const { kinds } = USAGES[usage]
  if (word === undefined) return kinds[0] ?? null
  return kinds.find((kind) => kind === word) ?? null
}

/** What a key of this usage and kind may do in the token. */
export function powersFor(usage: OfficerUsage, kind: KeyKind): readonly KeyPower[] {
  // An AES KEK protects key blocks: its block keys are derived inside the token.
  if (usage === 'kek' && KINDS[kind].wide) return ['encrypt', 'derive']
  return USAGES[usage].powers
}
