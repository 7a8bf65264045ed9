// Key blocks: TR-31:2018, ANSI X9.143, ISO 20038; versions A, B, C (TDES) and D, E (AES). Parsing,
// wrapping, unwrapping and the policy checks. Called by the HSM adapters (hsm/keyblock), key
// exchange and the calculator. The clear key of an unwrap is the caller's to wipe.
//
// version ‖ length 4 ‖ usage 2 ‖ algorithm ‖ mode ‖ key version 2 ‖ exportability ‖ number of
// optional blocks 2 ‖ reserved 2 ‖ optional blocks ‖ enciphered key (hex) ‖ authenticator (hex)
// Clear key field: key length in bits (2 bytes) ‖ key ‖ random padding.

import { randomBytes } from 'node:crypto'

import { concat, equalConstantTime, fromAscii, fromHex, toHex, wipe, xor } from './bytes.ts'
import { cbcDecrypt, counterMode } from './cipher-modes.ts'
import type { BlockCipher, CipherFactory } from './cipher.ts'
import { AlgorithmError, demand } from './errors.ts'
import { cmac, macAlgorithm1 } from './mac.ts'

export type KeyBlockVersion = 'A' | 'B' | 'C' | 'D' | 'E'

/** Optional block: identifier and data, as text of the block. */
export interface OptionalBlock {
  readonly id: string
  readonly data: string
}

/** Header of a key block; texts as they stand in it. */
export interface KeyBlockHeader {
  readonly version: KeyBlockVersion
  /** Length of the whole block in characters, as the header says. */
  readonly length: number
  readonly usage: string
  readonly algorithm: string
  readonly mode: string
  readonly keyVersion: string
  readonly exportability: string
  readonly reserved: string
  readonly optionalBlocks: readonly OptionalBlock[]
  /** Header and optional blocks as text: what the authenticator covers. */
  readonly text: string
}

/** The two keys that protect a block: encryption and authentication. */
export interface KeyBlockKeys {
  readonly encryption: BlockCipher
  readonly authentication: BlockCipher
}

const HEADER_CHARACTERS = 16 // TR-31:2018, A.2
const LENGTH_BASE = 10

interface VersionRules {
  readonly blockBytes: 8 | 16
  readonly macBytes: 4 | 8 | 16
  /** Characters the whole block is a multiple of; 2 where CTR needs no padding. */
  readonly multiple: 2 | 8 | 16
}

const VERSION_RULES: Readonly<Record<KeyBlockVersion, VersionRules>> = {
  A: { blockBytes: 8, macBytes: 4, multiple: 8 },
  B: { blockBytes: 8, macBytes: 8, multiple: 8 },
  C: { blockBytes: 8, macBytes: 4, multiple: 8 },
  D: { blockBytes: 16, macBytes: 16, multiple: 16 },
  E: { blockBytes: 16, macBytes: 16, multiple: 2 },
}

function isVersion(text: string): text is KeyBlockVersion {
  return Object.hasOwn(VERSION_RULES, text)
}

/** Reads one optional block at `at`; returns it and the place behind it. */
function readOptionalBlock(text: string, at: number): { block: OptionalBlock; next: number } {
  const id = text.slice(at, at + 2)
  const lengthText = text.slice(at + 2, at + 4)
  demand(/^[0-9A-Za-z]{2}$/.test(id), 'format', 'optional block identifier')
  demand(/^[0-9A-Fa-f]{2}$/.test(lengthText), 'format', 'optional block length')
  let length = Number.parseInt(lengthText, 16)
  let dataAt = at + 4
  if (length === 0) {
    // Long form: 00, two hex digits that count the length's characters, the length (A.2, table 5).
    const countText = text.slice(at + 4, at + 6)
    demand(/^[0-9A-Fa-f]{2}$/.test(countText), 'format', 'optional block length')
    const count = Number.parseInt(countText, 16)
    const longText = text.slice(at + 6, at + 6 + count)
    const sane = count >= 1 && count <= 8 && longText.length === count
    demand(sane && /^[0-9A-Fa-f]+$/.test(longText), 'format', 'optional block length')
    length = Number.parseInt(longText, 16)
    dataAt = at + 6 + count
  }
  demand(at + length >= dataAt && at + length <= text.length, 'length', 'optional block')
  return { block: { id, data: text.slice(dataAt, at + length) }, next: at + length }
}

/**
 * Header of a key block or of a text that begins with one. Checks the syntax of each header field
 * and of all optional blocks; not the length field. Throws 'length', 'control' or 'format'.
 */
export function parseKeyBlockHeader(text: string): KeyBlockHeader {
  demand(text.length >= HEADER_CHARACTERS, 'length', 'key block is shorter than its header')
  const version = text.slice(0, 1)
  demand(isVersion(version), 'control', 'key block version')
  demand(/^[\x20-\x7e]*$/.test(text), 'format', 'key block is not printable ASCII')
  demand(/^[0-9]{4}$/.test(text.slice(1, 5)), 'format', 'key block length field')
  demand(/^[0-9A-Z]{2}$/.test(text.slice(5, 7)), 'format', 'key usage')
  demand(/^[0-9A-Z]$/.test(text.slice(7, 8)), 'format', 'key algorithm')
  demand(/^[0-9A-Z]$/.test(text.slice(8, 9)), 'format', 'mode of use')
  demand(/^[0-9A-Za-z]{2}$/.test(text.slice(9, 11)), 'format', 'key version number')
  demand(/^[ENS]$/.test(text.slice(11, 12)), 'format', 'exportability')
  demand(/^[0-9]{2}$/.test(text.slice(12, 14)), 'format', 'number of optional blocks')
  demand(/^[0-9A-Za-z]{2}$/.test(text.slice(14, 16)), 'format', 'reserved header field')
  const optionalBlocks: OptionalBlock[] = []
  let at = HEADER_CHARACTERS
  for (let left = Number(text.slice(12, 14)); left > 0; left--) {
    const { block, next } = readOptionalBlock(text, at)
    optionalBlocks.push(block)
    at = next
  }
  return {
    version,
    length: Number.parseInt(text.slice(1, 5), LENGTH_BASE),
    usage: text.slice(5, 7),
    algorithm: text.slice(7, 8),
    mode: text.slice(8, 9),
    keyVersion: text.slice(9, 11),
    exportability: text.slice(11, 12),
    reserved: text.slice(14, 16),
    optionalBlocks,
    text: text.slice(0, at),
  }
}

/**
 * Text of a header with optional blocks and a zero length field, for wrapKeyBlock to fill in. A PB
 * block is added where the blocks do not end on the version's block size.
 */
export function buildKeyBlockHeader(fields: {
  readonly version: KeyBlockVersion
  readonly usage: string
  readonly algorithm: string
  readonly mode: string
  readonly keyVersion?: string
  readonly exportability: string
  readonly optionalBlocks?: readonly OptionalBlock[]
}): string {
  const blocks = [...(fields.optionalBlocks ?? [])]
  const multiple = VERSION_RULES[fields.version].blockBytes
  const textOf = (block: OptionalBlock): string => {
    const length = block.data.length + 4
    demand(length <= 255, 'length', 'optional block')
    return block.id + toHex(Uint8Array.of(length)) + block.data
  }
  const used = blocks.reduce((sum, block) => sum + textOf(block).length, 0)
  if (used % multiple !== 0) {
    const missing = (multiple - ((used + 4) % multiple)) % multiple
    blocks.push({ id: 'PB', data: '0'.repeat(missing) })
  }
  const count = String(blocks.length).padStart(2, '0')
  const head =
    `${fields.version}0000${fields.usage}${fields.algorithm}${fields.mode}` +
    `${fields.keyVersion ?? '00'}${fields.exportability}${count}00`
  return head + blocks.map(textOf).join('')
}

/** Algorithm code and bits of the derivation input, by protection key length in bytes. */
function derivationTail(blockBytes: 8 | 16, keyBytes: number): Uint8Array {
  const tdes: Readonly<Record<number, number>> = { 16: 0x0000, 24: 0x0001 }
  const aes: Readonly<Record<number, number>> = { 16: 0x0002, 24: 0x0003, 32: 0x0004 }
  const code = (blockBytes === 8 ? tdes : aes)[keyBytes]
  demand(code !== undefined, 'length', 'key block protection key')
  const bits = keyBytes * 8
  return Uint8Array.of(0, code >> 8, code & 0xff, bits >> 8, bits & 0xff)
}

/**
 * One key by CMAC derivation (TR-31:2018, 5.3.2.1 and 5.3.2.3): counter ‖ purpose ‖ 00 ‖ algorithm
 * ‖ length, repeated until long enough.
 * @param purpose 0 encryption, 1 authentication, 2 encryption in counter mode
 */
export function deriveKeyBlockKey(
  protection: BlockCipher,
  keyBytes: number,
  purpose: 0 | 1 | 2,
): Uint8Array {
  const tail = derivationTail(protection.blockBytes, keyBytes)
  const key = new Uint8Array(keyBytes)
  for (let at = 0, counter = 1; at < keyBytes; counter++) {
    const part = cmac(protection, concat(Uint8Array.of(counter, 0, purpose), tail))
    key.set(part.subarray(0, Math.min(part.length, keyBytes - at)), at)
    at += part.length
    wipe(part)
  }
  return key
}

/** Encryption and authentication key (clear) of a protection key, for `version`. */
export function keyBlockKeyBytes(
  version: KeyBlockVersion,
  kbpk: Uint8Array,
  cipherOf: CipherFactory,
): { encryption: Uint8Array; authentication: Uint8Array } {
  if (version === 'A' || version === 'C') {
    demand([8, 16, 24].includes(kbpk.length), 'length', 'key block protection key')
    return {
      encryption: xor(kbpk, new Uint8Array(kbpk.length).fill(0x45)),
      authentication: xor(kbpk, new Uint8Array(kbpk.length).fill(0x4d)),
    }
  }
  const protection = cipherOf(version === 'B' ? 'tdes' : 'aes', kbpk)
  return {
    encryption: deriveKeyBlockKey(protection, kbpk.length, version === 'E' ? 2 : 0),
    authentication: deriveKeyBlockKey(protection, kbpk.length, 1),
  }
}

/** Ciphers of a clear protection key, for `version`. */
export function keyBlockKeys(
  version: KeyBlockVersion,
  kbpk: Uint8Array,
  cipherOf: CipherFactory,
): KeyBlockKeys {
  const bytes = keyBlockKeyBytes(version, kbpk, cipherOf)
  const name = VERSION_RULES[version].blockBytes === 8 ? 'tdes' : 'aes'
  return {
    encryption: cipherOf(name, bytes.encryption),
    authentication: cipherOf(name, bytes.authentication),
  }
}

/** Padding of the clear field: given, or random up to a whole block (none in counter mode). */
function paddingFor(version: KeyBlockVersion, key: Uint8Array, pad?: Uint8Array): Uint8Array {
  if (pad !== undefined) return pad
  if (version === 'E') return new Uint8Array(0)
  const size = VERSION_RULES[version].blockBytes
  return Uint8Array.from(randomBytes((size - ((key.length + 2) % size)) % size))
}

/**
 * Wraps a key.
 * @param headerText header with optional blocks; a length field of 0000 is filled in, any other
 *   must be right (else 'length')
 * @param pad padding behind the key; random up to a whole block when absent
 * @returns the key block in upper case
 */
export function wrapKeyBlock(
  keys: KeyBlockKeys,
  headerText: string,
  key: Uint8Array,
  pad?: Uint8Array,
): string {
  const given = parseKeyBlockHeader(headerText)
  demand(given.text.length === headerText.length, 'format', 'text behind the key block header')
  const rules = VERSION_RULES[given.version]
  demand(key.length >= 1 && key.length <= 8191, 'length', 'key to be wrapped')
  const bits = key.length * 8
  const padding = paddingFor(given.version, key, pad)
  const clear = concat(Uint8Array.of(bits >> 8, bits & 0xff), key, padding)
  const wholeBlocks = given.version === 'E' || clear.length % rules.blockBytes === 0
  demand(wholeBlocks, 'length', 'padding does not complete a block')
  const total = headerText.length + (clear.length + rules.macBytes) * 2
  demand(given.length === 0 || given.length === total, 'length', 'key block length field')
  demand(total <= 9999 && total % rules.multiple === 0, 'length', 'key block')
  const text = headerText.slice(0, 1) + String(total).padStart(4, '0') + headerText.slice(5)
  const { cipherText, mac } = protect(keys, given.version, fromAscii(text), clear)
  wipe(clear)
  return text + toHex(cipherText) + toHex(mac)
}

function protect(
  keys: KeyBlockKeys,
  version: KeyBlockVersion,
  header: Uint8Array,
  clear: Uint8Array,
): { cipherText: Uint8Array; mac: Uint8Array } {
  if (version === 'A' || version === 'C') {
    const cipherText = keys.encryption.encryptCbc(header.slice(0, 8), clear)
    const data = concat(header, cipherText)
    return { cipherText, mac: macAlgorithm1(keys.authentication, data, { padding: 1, length: 4 }) }
  }
  const covered = concat(header, clear)
  const mac = cmac(keys.authentication, covered)
  wipe(covered)
  const cipherText =
    version === 'E'
      ? counterMode(keys.encryption, mac, clear)
      : keys.encryption.encryptCbc(mac, clear)
  return { cipherText, mac }
}

/** What is inside a key block. */
export interface UnwrappedKey {
  readonly header: KeyBlockHeader
  /** The clear key; wipe after use. */
  readonly key: Uint8Array
}

/**
 * Unwraps a key block. Order: length field, header syntax, decipherment, authenticator, and only
 * then the bit length and the key. Throws 'control', 'length', 'format' or 'mac'.
 * Whether the key suits its header and its slot is asked of demandKeySuitsHeader and the caller.
 */
export function unwrapKeyBlock(keys: KeyBlockKeys, block: string): UnwrappedKey {
  demand(block.length >= HEADER_CHARACTERS, 'length', 'key block is shorter than its header')
  const version = block.slice(0, 1)
  demand(isVersion(version), 'control', 'key block version')
  const rules = VERSION_RULES[version]
  demand(keys.encryption.blockBytes === rules.blockBytes, 'control', 'key block version')
  demand(/^[0-9]{4}$/.test(block.slice(1, 5)), 'format', 'key block length field')
  const stated = Number.parseInt(block.slice(1, 5), LENGTH_BASE)
  demand(stated === block.length, 'length', 'key block length field')
  demand(block.length % rules.multiple === 0, 'length', 'key block')
  const header = parseKeyBlockHeader(block)
  const body = fromHex(block.slice(header.text.length))
  demand(body.length >= rules.macBytes + 3, 'length', 'key block body')
  const cipherText = body.slice(0, body.length - rules.macBytes)
  const mac = body.slice(body.length - rules.macBytes)
  const wholeBlocks = version === 'E' || cipherText.length % rules.blockBytes === 0
  demand(wholeBlocks, 'length', 'enciphered key')
  const clear = unprotect(keys, version, fromAscii(header.text), cipherText, mac)
  try {
    const bits = (clear[0]! << 8) | clear[1]!
    const sane = bits > 0 && bits % 8 === 0 && bits / 8 + 2 <= clear.length
    demand(sane, 'length', 'key length in the key block')
    return { header, key: clear.slice(2, 2 + bits / 8) }
  } finally {
    wipe(clear)
  }
}

/** Deciphers and verifies; the clear field is returned only when the authenticator holds. */
function unprotect(
  keys: KeyBlockKeys,
  version: KeyBlockVersion,
  header: Uint8Array,
  cipherText: Uint8Array,
  mac: Uint8Array,
): Uint8Array {
  if (version === 'A' || version === 'C') {
    const data = concat(header, cipherText)
    const wanted = macAlgorithm1(keys.authentication, data, { padding: 1, length: 4 })
    demand(equalConstantTime(wanted, mac), 'mac', 'key block authenticator')
    return cbcDecrypt(keys.encryption, header.subarray(0, 8), cipherText)
  }
  const clear =
    version === 'E'
      ? counterMode(keys.encryption, mac, cipherText)
      : cbcDecrypt(keys.encryption, mac, cipherText)
  const covered = concat(header, clear)
  const wanted = cmac(keys.authentication, covered)
  wipe(covered)
  if (!equalConstantTime(wanted, mac)) {
    wipe(clear)
    throw new AlgorithmError('mac', 'key block authenticator')
  }
  return clear
}

const KEY_BYTES_BY_ALGORITHM: Readonly<Record<string, readonly number[]>> = {
  A: [16, 24, 32],
  D: [8],
  T: [8, 16, 24],
}

/**
 * Throws 'policy' when a key's length does not suit its header's algorithm (A AES, D DES, T TDES;
 * others are not judged) or when the protection key is weaker than the key it protects.
 */
export function demandKeySuitsHeader(
  unwrapped: UnwrappedKey,
  protectionKey: 'tdes' | 'aes',
  protectionBytes: number,
): void {
  const { header, key } = unwrapped
  const lengths = KEY_BYTES_BY_ALGORITHM[header.algorithm]
  if (lengths === undefined) return
  demand(lengths.includes(key.length), 'policy', 'key length and key algorithm differ')
  if (header.algorithm === 'A') {
    demand(protectionKey === 'aes', 'policy', 'an AES key under a TDES key')
    demand(protectionBytes >= key.length, 'policy', 'protection key is weaker than the key')
  } else if (protectionKey === 'tdes') {
    demand(protectionBytes >= key.length, 'policy', 'protection key is weaker than the key')
  }
}
