// Offline data authentication with RSA (EMV Book 2, 5 and 6): recovery of issuer and card
// certificates, static data (SDA), dynamic data (DDA) and combined (CDA). Pure; keys are public.
// Called by the simulators, personalisation checks and the calculator. Every function throws
// EmvError: 'length', 'format' (header, trailer, format byte, codes) or 'hash'.
//
// A recovered block is 6A ‖ format ‖ ... ‖ hash (20) ‖ BC. The hash covers the bytes between 6A and
// the hash, then whatever the certificate leaves outside.

import { createHash, timingSafeEqual } from 'node:crypto'

import { demandEmv } from './faults.ts'
import { parseTlv } from './tlv.ts'

const HASH_BYTES = 20 // SHA-1, hash algorithm indicator 01
const HEADER = 0x6a
const TRAILER = 0xbc
const PAD = 0xbb
const RECORD_TEMPLATE = 0x70
const MODULUS_BYTES_MAX = 248 // EMV Book 2, 5.1

/** An RSA public key; the exponent is 3 or 65537 as big-endian bytes. */
export interface RsaPublicKey {
  readonly modulus: Uint8Array
  readonly exponent: Uint8Array
}

function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

/** RSA public operation: data^exponent mod modulus, as long as the modulus. */
export function rsaRecover(key: RsaPublicKey, data: Uint8Array): Uint8Array {
  const { modulus, exponent } = key
  const sane = modulus.length >= 1 && modulus.length <= MODULUS_BYTES_MAX * 4
  demandEmv(sane, 'length', 'modulus')
  demandEmv(exponent.length >= 1 && exponent.length <= 4, 'length', 'exponent')
  demandEmv(data.length === modulus.length, 'length', 'data are not as long as the modulus')
  const n = toBigInt(modulus)
  demandEmv(n > 1n, 'format', 'modulus')
  let base = toBigInt(data) % n
  let result = 1n
  for (let e = toBigInt(exponent); e > 0n; e >>= 1n) {
    if (e & 1n) result = (result * base) % n
    base = (base * base) % n
  }
  const hex = result.toString(16).padStart(modulus.length * 2, '0')
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

function sha1(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(part)
  return Uint8Array.from(hash.digest())
}

/** Recovers a block and checks header, format byte and trailer. */
function recoverBlock(key: RsaPublicKey, data: Uint8Array, format: number): Uint8Array {
  const block = rsaRecover(key, data)
  demandEmv(block.length >= HASH_BYTES + 4, 'length', 'recovered block')
  const framed = block[0] === HEADER && block[block.length - 1] === TRAILER
  demandEmv(framed, 'format', 'header or trailer of the recovered block')
  demandEmv(block[1] === format, 'format', 'format of the recovered block')
  return block
}

function hashOf(block: Uint8Array): Uint8Array {
  return block.slice(block.length - 1 - HASH_BYTES, block.length - 1)
}

/** Checks the hash of a recovered block over its own bytes and what follows outside. */
function demandHash(block: Uint8Array, ...outside: readonly Uint8Array[]): void {
  const wanted = sha1(block.subarray(1, block.length - 1 - HASH_BYTES), ...outside)
  demandEmv(timingSafeEqual(wanted, hashOf(block)), 'hash', 'hash of the recovered block')
}

function demandPadding(bytes: Uint8Array): void {
  demandEmv(bytes.every((byte) => byte === PAD), 'format', 'padding of the recovered block')
}

/** Key whose left part lies in a certificate: `room` bytes, the rest in the remainder. */
function assembleKey(
  part: Uint8Array,
  keyBytes: number,
  remainder: Uint8Array,
): Uint8Array {
  demandEmv(keyBytes >= 1 && keyBytes <= MODULUS_BYTES_MAX, 'length', 'certified key')
  if (keyBytes <= part.length) {
    demandEmv(remainder.length === 0, 'length', 'key remainder')
    demandPadding(part.subarray(keyBytes))
    return part.slice(0, keyBytes)
  }
  demandEmv(remainder.length === keyBytes - part.length, 'length', 'key remainder')
  const key = new Uint8Array(keyBytes)
  key.set(part)
  key.set(remainder, part.length)
  return key
}

/** Contents of an issuer public key certificate (tag 90). */
export interface IssuerCertificate {
  /** Leftmost PAN digits, padded F; 4 bytes. */
  readonly issuerId: Uint8Array
  /** MMYY, 2 bytes BCD. */
  readonly expiry: Uint8Array
  readonly serial: Uint8Array
  readonly modulus: Uint8Array
  readonly hash: Uint8Array
}

/**
 * Issuer certificate (format 02) under a certification authority key.
 * @param remainder tag 92, empty when the key fits
 * @param exponent tag 9F32
 */
export function recoverIssuerCertificate(
  authority: RsaPublicKey,
  certificate: Uint8Array,
  remainder: Uint8Array,
  exponent: Uint8Array,
): IssuerCertificate {
  const block = recoverBlock(authority, certificate, 0x02)
  demandHash(block, remainder, exponent)
  demandEmv(block[11] === 0x01 && block[12] === 0x01, 'format', 'algorithms of the certificate')
  demandEmv(block[14] === exponent.length, 'length', 'exponent')
  const part = block.subarray(15, block.length - 1 - HASH_BYTES)
  return {
    issuerId: block.slice(2, 6),
    expiry: block.slice(6, 8),
    serial: block.slice(8, 11),
    modulus: assembleKey(part, block[13]!, remainder),
    hash: hashOf(block),
  }
}

/** Contents of a card public key certificate (tag 9F46). */
export interface CardCertificate {
  /** PAN padded F; 10 bytes. */
  readonly pan: Uint8Array
  readonly expiry: Uint8Array
  readonly serial: Uint8Array
  readonly modulus: Uint8Array
  readonly hash: Uint8Array
}

function cardCertificateOf(block: Uint8Array, remainder: Uint8Array): CardCertificate {
  demandEmv(block.length >= 42, 'length', 'recovered block')
  demandEmv(block[17] === 0x01 && block[18] === 0x01, 'format', 'algorithms of the certificate')
  const part = block.subarray(21, block.length - 1 - HASH_BYTES)
  return {
    pan: block.slice(2, 12),
    expiry: block.slice(12, 14),
    serial: block.slice(14, 17),
    modulus: assembleKey(part, block[19]!, remainder),
    hash: hashOf(block),
  }
}

/**
 * Card certificate (format 04) under the issuer key.
 * @param remainder tag 9F48, empty when the key fits
 * @param exponent tag 9F47
 * @param staticData see staticDataOf
 */
export function recoverCardCertificate(
  issuer: RsaPublicKey,
  certificate: Uint8Array,
  remainder: Uint8Array,
  exponent: Uint8Array,
  staticData: Uint8Array,
): CardCertificate {
  const block = recoverBlock(issuer, certificate, 0x04)
  demandHash(block, remainder, exponent, staticData)
  demandEmv(block[20] === exponent.length, 'length', 'exponent')
  return cardCertificateOf(block, remainder)
}

/**
 * Card key out of a certificate without its hash check, for traces whose static data are not
 * known. Never decides whether a card is genuine.
 */
export function assembleCardKey(
  issuer: RsaPublicKey,
  certificate: Uint8Array,
  remainder: Uint8Array,
): CardCertificate {
  return cardCertificateOf(recoverBlock(issuer, certificate, 0x04), remainder)
}

/** Contents of signed static application data (tag 93). */
export interface SignedStaticData {
  readonly dataAuthenticationCode: Uint8Array
  readonly hash: Uint8Array
}

/** Signed static application data (format 03) under the issuer key. */
export function verifyStaticData(
  issuer: RsaPublicKey,
  signed: Uint8Array,
  staticData: Uint8Array,
): SignedStaticData {
  const block = recoverBlock(issuer, signed, 0x03)
  demandEmv(block[2] === 0x01, 'format', 'hash algorithm')
  demandPadding(block.subarray(5, block.length - 1 - HASH_BYTES))
  demandHash(block, staticData)
  return { dataAuthenticationCode: block.slice(3, 5), hash: hashOf(block) }
}

/** Contents of signed dynamic application data (tag 9F4B). */
export interface SignedDynamicData {
  /** ICC dynamic data, L_DD bytes: for DDA the length byte and the ICC dynamic number. */
  readonly iccDynamicData: Uint8Array
  readonly hash: Uint8Array
}

/**
 * Signed dynamic application data (format 05) under the card key.
 * @param terminalData values of the DDOL (DDA) or the unpredictable number (CDA)
 */
export function verifyDynamicData(
  card: RsaPublicKey,
  signed: Uint8Array,
  terminalData: Uint8Array,
): SignedDynamicData {
  const block = recoverBlock(card, signed, 0x05)
  demandEmv(block[2] === 0x01, 'format', 'hash algorithm')
  const length = block[3]!
  const padAt = 4 + length
  demandEmv(padAt <= block.length - 1 - HASH_BYTES, 'length', 'ICC dynamic data')
  demandPadding(block.subarray(padAt, block.length - 1 - HASH_BYTES))
  demandHash(block, terminalData)
  return { iccDynamicData: block.slice(4, padAt), hash: hashOf(block) }
}

/** What a CDA signature vouches for. */
export interface CombinedAuthentication {
  readonly iccDynamicNumber: Uint8Array
  /** Cryptogram information data, 9F27. */
  readonly cryptogramInformation: number
  /** Application cryptogram, 8 bytes. */
  readonly cryptogram: Uint8Array
  readonly transactionDataHash: Uint8Array
}

/**
 * Combined dynamic data authentication (EMV Book 2, 6.6).
 * @param transactionData PDOL values, CDOL1 values, CDOL2 values (second GENERATE AC only), and
 *   the response objects without 9F4B, in this order
 */
export function verifyCombinedData(
  card: RsaPublicKey,
  signed: Uint8Array,
  unpredictableNumber: Uint8Array,
  transactionData: readonly Uint8Array[],
): CombinedAuthentication {
  const { iccDynamicData } = verifyDynamicData(card, signed, unpredictableNumber)
  const numberBytes = iccDynamicData[0] ?? 0
  const at = 1 + numberBytes
  demandEmv(iccDynamicData.length >= at + 9 + HASH_BYTES, 'length', 'ICC dynamic data')
  const transactionDataHash = iccDynamicData.slice(at + 9, at + 9 + HASH_BYTES)
  const wanted = sha1(...transactionData)
  demandEmv(timingSafeEqual(wanted, transactionDataHash), 'hash', 'transaction data hash')
  return {
    iccDynamicNumber: iccDynamicData.slice(1, at),
    cryptogramInformation: iccDynamicData[at]!,
    cryptogram: iccDynamicData.slice(at + 1, at + 9),
    transactionDataHash,
  }
}

/** Check value of a certification authority key: SHA-1 of RID, index, modulus and exponent. */
export function authorityKeyCheckValue(
  rid: Uint8Array,
  index: number,
  key: RsaPublicKey,
): Uint8Array {
  demandEmv(rid.length === 5, 'length', 'RID')
  return sha1(rid, Uint8Array.of(index), key.modulus, key.exponent)
}

/** One record that takes part in offline data authentication (EMV Book 3, 10.3). */
export interface AuthenticatedRecord {
  /** Short file identifier, 1 to 30. */
  readonly sfi: number
  /** The record as read, with its template 70. */
  readonly record: Uint8Array
}

/**
 * Static data to be authenticated: record contents of template 70 for SFI 1 to 10, whole records
 * above, then the AIP when the SDA tag list (9F4A) says 82.
 */
export function staticDataOf(
  records: readonly AuthenticatedRecord[],
  aip: Uint8Array | undefined,
): Uint8Array {
  const parts = records.map(({ sfi, record }) => (sfi <= 10 ? templateContent(record) : record))
  if (aip !== undefined) parts.push(aip)
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Content of a record template 70. */
function templateContent(record: Uint8Array): Uint8Array {
  const items = parseTlv(record)
  const single = items !== null && items.length === 1 && items[0]!.tag === RECORD_TEMPLATE
  demandEmv(single, 'format', 'record template')
  return items[0]!.value
}
