// EMV key derivation: issuer master key to card master key (options A, B, C and SM4) and card
// master key to session key (EMV common, Mastercard, Visa, UnionPay/PBOC, EMV2000 tree, AES).
// EMV Book 2 annex A1; PBOC 3.0 part 7. Called by the HSM adapters, the calculator, simulators.
//
// Nearly all of them are "encipher these bytes under the parent in ECB". The bytes are offered on
// their own (`...Data` functions), so that a token can derive inside with
// CKM_DES3_ECB_ENCRYPT_DATA; tokens ignore DES parity, software results are set to odd parity.

import { createHash } from 'node:crypto'

import { concat, demandDigits, packNibbles, unpackNibbles, wipe, xor } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import { withOddParity } from './key-combination.ts'
import { tdesCipher } from './software-ciphers.ts'

/** `B-forced` hashes short PANs too, a quirk of one library; it is here for its vectors only. */
export type MasterKeyMethod = 'A' | 'B' | 'B-forced' | 'C' | 'SM4'

function panAndSequence(pan: string, sequence: string | undefined): string {
  demandDigits(pan, 'PAN')
  demand(pan.length >= 1 && pan.length <= 19, 'length', 'PAN must have 1 to 19 digits')
  const psn = sequence === undefined || sequence === '' ? '00' : sequence.padStart(2, '0')
  demandDigits(psn, 'PAN sequence number')
  demand(psn.length === 2, 'length', 'PAN sequence number must have 2 digits')
  return pan + psn
}

function inverted(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => byte ^ 0xff)
}

function withInverse(y: Uint8Array): Uint8Array {
  return concat(y, inverted(y))
}

/** Y of option A: the rightmost 16 digits of PAN and sequence number, zero-filled on the left. */
function optionAY(x: string): Uint8Array {
  return Uint8Array.from(Buffer.from(x.slice(-16).padStart(16, '0'), 'hex'))
}

/** Y of option B: 16 decimal digits out of SHA-1 of the BCD text (EMV Book 2, A1.4.2). */
function optionBY(x: string): Uint8Array {
  const even = x.length % 2 === 0 ? x : `0${x}`
  const hash = createHash('sha1').update(Buffer.from(even, 'hex')).digest()
  const nibbles = unpackNibbles(hash)
  const out: number[] = []
  for (const nibble of nibbles) if (nibble <= 9 && out.length < 16) out.push(nibble)
  for (const nibble of nibbles) if (nibble > 9 && out.length < 16) out.push(nibble - 10)
  return packNibbles(out)
}

/**
 * The bytes that the issuer master key enciphers to give the card master key.
 * 16 bytes: Y and its complement (A, B, SM4); option C: 16 bytes for a 128-bit key, 32 for longer.
 * @param sequence PAN sequence number, two digits; 00 when absent
 * @param keyBytes length of the card key, for option C only
 */
export function cardMasterKeyData(
  method: MasterKeyMethod,
  pan: string,
  sequence: string | undefined,
  keyBytes: 16 | 24 | 32 = 16,
): Uint8Array {
  const x = panAndSequence(pan, sequence)
  switch (method) {
    case 'A':
    case 'SM4':
      return withInverse(optionAY(x))
    case 'B':
      return withInverse(pan.length <= 16 ? optionAY(x) : optionBY(x))
    case 'B-forced':
      return withInverse(optionBY(x))
    case 'C': {
      const y = Uint8Array.from(Buffer.from(x.padStart(32, '0'), 'hex'))
      return keyBytes === 16 ? y : withInverse(y)
    }
  }
}

/**
 * Card master key. 3DES results have odd parity.
 * @param imk cipher of the issuer master key: 3DES for A and B, AES for C, SM4 for SM4
 * @param keyBytes 16; 24 or 32 for option C under a longer AES key
 */
export function deriveCardMasterKey(
  imk: BlockCipher,
  method: MasterKeyMethod,
  pan: string,
  sequence?: string,
  keyBytes: 16 | 24 | 32 = 16,
): Uint8Array {
  const wide = method === 'C' || method === 'SM4'
  demand(imk.blockBytes === (wide ? 16 : 8), 'unsupported', 'cipher of this derivation method')
  const key = imk.encryptEcb(cardMasterKeyData(method, pan, sequence, keyBytes))
  return wide ? key.slice(0, keyBytes) : withOddParity(key)
}

/**
 * Session key methods. `none`: the card key itself. `common`: EMV CSK with R from the ATC.
 * `common-ac`: CSK with R = application cryptogram (scripts). `mastercard`: R from ATC and UN.
 * `visa-sm`: ATC mixed into the card key. `pboc`: UnionPay. `pboc-sm4`, `aes`: 16-byte blocks.
 */
export type SessionKeyMethod =
  | 'none'
  | 'common'
  | 'common-ac'
  | 'mastercard'
  | 'visa-sm'
  | 'pboc'
  | 'pboc-sm4'
  | 'aes'

/** Transaction data that session keys depend on; each method demands what it uses. */
export interface SessionKeyInputs {
  /** Application transaction counter 9F36, 2 bytes. */
  readonly atc?: Uint8Array
  /** Unpredictable number 9F37, 4 bytes. */
  readonly unpredictableNumber?: Uint8Array
  /** Application cryptogram 9F26, 8 bytes. */
  readonly cryptogram?: Uint8Array
  /** Number of script commands before this one; raises R of `common-ac`. 0 when absent. */
  readonly scriptCommandIndex?: number
}

function demandBytes(
  value: Uint8Array | undefined,
  bytes: number,
  subject: string,
): asserts value is Uint8Array {
  demand(value !== undefined && value.length === bytes, 'length', subject)
}

/** R plus a number, as a 64-bit big-endian value. */
function raised(r: Uint8Array, by: number): Uint8Array {
  const out = Uint8Array.from(r)
  const view = new DataView(out.buffer)
  view.setBigUint64(0, BigInt.asUintN(64, view.getBigUint64(0) + BigInt(by)))
  return out
}

/** The 16 bytes that EMV common session key derivation enciphers (EMV Book 2, A1.3.1). */
export function commonSessionKeyData(r: Uint8Array): Uint8Array {
  demandBytes(r, 8, 'R of the session key must have 8 bytes')
  const left = Uint8Array.from(r)
  const right = Uint8Array.from(r)
  left[2] = 0xf0
  right[2] = 0x0f
  return concat(left, right)
}

/**
 * The 16 bytes that the card master key enciphers in ECB to give the session key; undefined for
 * the methods that do not encipher (`none`, `visa-sm`).
 */
export function sessionKeyData(
  method: SessionKeyMethod,
  inputs: SessionKeyInputs,
): Uint8Array | undefined {
  const { atc, unpredictableNumber, cryptogram } = inputs
  switch (method) {
    case 'none':
    case 'visa-sm':
      return undefined
    case 'common':
      demandBytes(atc, 2, 'ATC must have 2 bytes')
      return commonSessionKeyData(concat(atc, new Uint8Array(6)))
    case 'common-ac':
      demandBytes(cryptogram, 8, 'application cryptogram must have 8 bytes')
      return commonSessionKeyData(raised(cryptogram, inputs.scriptCommandIndex ?? 0))
    case 'mastercard':
      demandBytes(atc, 2, 'ATC must have 2 bytes')
      demandBytes(unpredictableNumber, 4, 'unpredictable number must have 4 bytes')
      return commonSessionKeyData(concat(atc, new Uint8Array(2), unpredictableNumber))
    case 'pboc':
    case 'pboc-sm4':
      demandBytes(atc, 2, 'ATC must have 2 bytes')
      return concat(new Uint8Array(6), atc, new Uint8Array(6), inverted(atc))
    case 'aes':
      demandBytes(atc, 2, 'ATC must have 2 bytes')
      return concat(atc, new Uint8Array(14))
  }
}

/** What Visa secure messaging adds to the card key: `000000000000 ATC 000000000000 ~ATC`. */
export function visaSecureMessagingMask(atc: Uint8Array): Uint8Array {
  demandBytes(atc, 2, 'ATC must have 2 bytes')
  return concat(new Uint8Array(6), atc, new Uint8Array(6), inverted(atc))
}

/**
 * Session key from a clear card master key.
 * @param cipherOf makes a cipher of the card key: 3DES, SM4 or AES, as the method needs
 */
export function deriveSessionKey(
  cardKey: Uint8Array,
  cipherOf: (key: Uint8Array) => BlockCipher,
  method: SessionKeyMethod,
  inputs: SessionKeyInputs,
): Uint8Array {
  if (method === 'none') return Uint8Array.from(cardKey)
  if (method === 'visa-sm') {
    demand(inputs.atc !== undefined, 'length', 'ATC must have 2 bytes')
    return xor(cardKey, visaSecureMessagingMask(inputs.atc))
  }
  const data = sessionKeyData(method, inputs)
  demand(data !== undefined, 'unsupported', 'session key method')
  const key = cipherOf(cardKey).encryptEcb(data)
  return method === 'pboc' || method === 'pboc-sm4' || method === 'aes' ? key : withOddParity(key)
}

/** One step of the EMV2000 tree: the child key of number `j` under `parent`. */
function treeChild(
  parent: Uint8Array,
  grandparent: Uint8Array,
  j: number,
  branch: number,
): Uint8Array {
  const left = grandparent.slice(0, 8)
  const right = grandparent.slice(8)
  left[7] = left[7]! ^ (j % branch)
  right[7] = right[7]! ^ (j % branch) ^ 0xf0
  return tdesCipher(parent).encryptEcb(concat(left, right))
}

/**
 * EMV2000 session key tree (withdrawn; old M/Chip and UKIS cards).
 * @param height 8 with branch factor 4, or 16 with branch factor 2
 * @param iv 16 bytes, zeros as a rule
 */
export function deriveTreeSessionKey(
  cardKey: Uint8Array,
  atc: Uint8Array,
  height: number,
  branch: number,
  iv: Uint8Array,
): Uint8Array {
  demandBytes(atc, 2, 'ATC must have 2 bytes')
  demandBytes(iv, 16, 'initial value of the key tree must have 16 bytes')
  demand(cardKey.length === 16, 'length', 'card master key')
  const sane = (height === 8 && branch === 4) || (height === 16 && branch === 2)
  demand(sane, 'unsupported', 'height and branch factor of the key tree')
  const counter = (atc[0]! << 8) | atc[1]!
  let grandparent = Uint8Array.from(iv)
  let parent = Uint8Array.from(cardKey)
  for (let level = height - 1; level >= 1; level--) {
    const j = Math.floor(counter / branch ** level)
    const child = Uint8Array.from(treeChild(parent, grandparent, j, branch))
    grandparent = parent
    parent = child
  }
  // The leaf is mixed with its grandparent (EMV 4.1 Book 2, A1.3.2).
  const leaf = treeChild(parent, grandparent, counter, branch)
  const key = withOddParity(xor(leaf, grandparent))
  wipe(leaf, parent)
  return key
}
