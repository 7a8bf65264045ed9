// The PIN verbs: translation and verification. Called by perform.ts inside an HSM worker or the
// software adapter. A clear PIN exists only in these functions, as digits that are wiped before
// they return, and only when the key source says that it may.
// Rules: PCI PIN 3.1 requirement 3-3, ISO 9564-1 clause 8.3, ANSI X9.8 (no PIN from guesses).

import { wipe } from '../algorithms/bytes.ts'
import { AlgorithmError } from '../algorithms/errors.ts'
import type { PinDigits } from '../algorithms/pin-block.ts'
import {
  blockBytesOf,
  decryptPin,
  demandTranslationAllowed,
  encryptPin,
} from '../algorithms/pin-translation.ts'
import { verifyIbm3624, verifyVisaPvv } from '../algorithms/pin-verification.ts'
import type {
  PinBlockFormat,
  PinVerification,
  TranslatePinRequest,
  VerifyPinRequest,
} from '../port.ts'
import { Refused, refuseUnless } from './key-source.ts'
import type { Ibm3624Profile, KeyRef, KeySource, PaymentKey } from './key-source.ts'

const FORMATS: ReadonlySet<PinBlockFormat> = new Set([
  'iso0',
  'iso1',
  'iso3',
  'iso4',
  'unionpay_pan',
  'unionpay_no_pan',
])

const PAN = /^[0-9]{12,19}$/
const PVV = /^[0-9]{4}$/
const PVKI = /^[0-9]$/
const OFFSET = /^[0-9]{4,12}$/

/** Translates a PIN block; the result is a new block under the other key. */
export function translatePin(
  source: KeySource,
  request: TranslatePinRequest,
  from: KeyRef,
  to: KeyRef,
): Uint8Array {
  const { fromFormat, toFormat } = request
  refuseUnless(FORMATS.has(fromFormat) && FORMATS.has(toFormat), 'bad_input')
  refuseUnless(PAN.test(request.pan), 'bad_input')
  refuseUnless(request.block.length === blockBytesOf(fromFormat), 'bad_input')
  demandAllowed(fromFormat, toFormat)
  if (fromFormat === toFormat) {
    const inside = source.translateInside(from, to, request.block)
    if (inside !== null) return inside
  }
  refuseUnless(source.clearPinAllowed, 'unavailable')
  const fromKey = pinKey(source, from, fromFormat, 'decrypt')
  const toKey = pinKey(source, to, toFormat, 'encrypt')
  const pin = clearPin(fromKey, fromFormat, request.block, request.pan)
  try {
    return encryptPin(toKey.pair, toFormat, pin, request.pan)
  } finally {
    wipe(pin)
  }
}

/** Verifies a PIN; returns when it is right, refuses with pin_mismatch when it is not. */
export function verifyPin(
  source: KeySource,
  request: VerifyPinRequest,
  pinRef: KeyRef,
  pvkRef: KeyRef,
): null {
  const { format, method } = request
  refuseUnless(FORMATS.has(format), 'bad_input')
  refuseUnless(PAN.test(request.pan), 'bad_input')
  refuseUnless(request.block.length === blockBytesOf(format), 'bad_input')
  refuseUnless(isReference(method), 'bad_input')
  refuseUnless(source.clearPinAllowed, 'unavailable')
  const key = pinKey(source, pinRef, format, 'decrypt')
  const pvk = source.open(pvkRef, 'pvk', 'verify')
  refuseUnless(pvk.algorithm === 'tdes', 'key_usage')
  const pin = clearPin(key, format, request.block, request.pan)
  try {
    const right =
      method.kind === 'pvv'
        ? verifyVisaPvv(pvk.pair, request.pan, method.pvki, pin, digits(method.pvv))
        : offsetHolds(pvk, source.ibm3624Profile(pvkRef.name), request.pan, method.offset, pin)
    refuseUnless(right, 'pin_mismatch')
    return null
  } finally {
    wipe(pin)
  }
}

/** Whether the reference value has the form of its method. */
function isReference(method: PinVerification): boolean {
  if (method.kind === 'pvv') return PVV.test(method.pvv) && PVKI.test(method.pvki)
  return method.kind === 'ibm3624' && OFFSET.test(method.offset)
}

/** PCI PIN 3-3: the PAN is the same in and out by the shape of the request. */
function demandAllowed(from: PinBlockFormat, to: PinBlockFormat): void {
  try {
    demandTranslationAllowed(from, to, true)
  } catch (error) {
    if (error instanceof AlgorithmError) throw new Refused('translation_forbidden')
    throw error
  }
}

/** Format 4 is AES only; the others are 3DES here (ISO 9564-1:2017, 9.4). */
function pinKey(
  source: KeySource,
  ref: KeyRef,
  format: PinBlockFormat,
  act: 'encrypt' | 'decrypt',
): PaymentKey {
  const key = source.open(ref, 'pin', act)
  refuseUnless(key.algorithm === (format === 'iso4' ? 'aes' : 'tdes'), 'key_usage')
  return key
}

/** The digits of an enciphered PIN; any fault of the block is one answer, so none can be probed. */
function clearPin(
  key: PaymentKey,
  format: PinBlockFormat,
  block: Uint8Array,
  pan: string,
): PinDigits {
  try {
    return decryptPin(key.pair, format, block, pan)
  } catch (error) {
    if (error instanceof AlgorithmError) throw new Refused('bad_pin_block')
    throw error
  }
}

function digits(text: string): Uint8Array {
  return Uint8Array.from(text, (digit) => digit.charCodeAt(0) - 0x30)
}

/** 16 hex digits of validation data by the profile; Refused bad_input when the PAN is too short. */
function validationData(profile: Ibm3624Profile, pan: string): Uint8Array {
  const { panOffset } = profile
  const first = panOffset < 0 ? Math.max(pan.length + panOffset, 0) : panOffset
  const used = pan.slice(first, first + profile.panDigits)
  refuseUnless(used.length > 0, 'bad_input')
  return Uint8Array.from(Buffer.from(used.padEnd(16, profile.pad), 'hex'))
}

/** An offset belongs to a PIN of its own length; a PIN of another length is not that PIN. */
function offsetHolds(
  pvk: PaymentKey,
  profile: Ibm3624Profile,
  pan: string,
  offset: string,
  pin: PinDigits,
): boolean {
  if (pin.length !== offset.length) return false
  const data = validationData(profile, pan)
  return verifyIbm3624(pvk.pair, data, profile.decimalizationTable, digits(offset), pin)
}
