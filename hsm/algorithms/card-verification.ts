// Card verification values: the CVV family (CVC, CVN, iCVV, CVV2), CAVV, dCVV, Mastercard CVC3 and
// American Express CSC version 1. Called by the HSM adapters, the calculator and the simulators.
// Values are digit texts; a caller compares them with `digitsMatch`, which takes constant time.

import {
  concat,
  demandDigits,
  equalConstantTime,
  fromAscii,
  unpackNibbles,
  xor,
} from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import { macAlgorithm3 } from './mac.ts'
import { scanDecimals } from './pin-verification.ts'

function digitsText(digits: Uint8Array): string {
  return String.fromCharCode(...digits.map((digit) => digit + 0x30))
}

/** Whether two digit texts are equal, in constant time for equal lengths. */
export function digitsMatch(computed: string, received: string): boolean {
  return equalConstantTime(fromAscii(computed), Uint8Array.from(Buffer.from(received, 'latin1')))
}

/** The two key forms of a CVK pair: `single` is K1|K1|K1, `pair` is K1|K2|K1. */
export interface KeyPairForms {
  readonly single: BlockCipher
  readonly pair: BlockCipher
}

/** CVV function over any digit text of at most 32 digits; `count` digits are kept. */
function cvvOver(keys: KeyPairForms, data: string, count: number): string {
  demand(data.length <= 32, 'length', 'card verification data')
  const blocks = Uint8Array.from(Buffer.from(data.padEnd(32, '0'), 'hex'))
  const first = keys.single.encryptEcb(blocks.slice(0, 8))
  const result = keys.pair.encryptEcb(xor(first, blocks.slice(8)))
  return digitsText(scanDecimals(unpackNibbles(result), count))
}

/**
 * CVV, CVC, CVN, iCVV or CVV2: one algorithm, different expiry order and service code.
 * @param pan 12 to 19 digits with check digit
 * @param expiry four digits in the order the issuer feeds (YYMM track, MMYY printed Visa, ...)
 * @param serviceCode three digits; 000 for the printed value, 999 for the chip's track 2 image
 * @returns three digits
 */
export function cvv(
  keys: KeyPairForms,
  pan: string,
  expiry: string,
  serviceCode: string,
  count = 3,
): string {
  demandDigits(pan, 'PAN')
  demandDigits(expiry, 'expiry date')
  demandDigits(serviceCode, 'service code')
  demand(pan.length >= 12 && pan.length <= 19, 'length', 'PAN must have 12 to 19 digits')
  demand(expiry.length === 4, 'length', 'expiry date must have 4 digits')
  demand(serviceCode.length === 3, 'length', 'service code must have 3 digits')
  demand(count >= 1 && count <= 16, 'length', 'digits of a card verification value')
  return cvvOver(keys, pan + expiry + serviceCode, count)
}

/**
 * CAVV by the CVV function (Visa 3-D Secure): the unpredictable number stands for the expiry date,
 * authentication result and second factor code for the service code.
 */
export function cavv(
  keys: KeyPairForms,
  pan: string,
  unpredictableNumber: string,
  authenticationResult: string,
  secondFactor: string,
): string {
  demand(authenticationResult.length === 1, 'length', 'authentication result is one digit')
  demand(secondFactor.length === 2, 'length', 'second factor code has two digits')
  return cvv(keys, pan, unpredictableNumber, authenticationResult + secondFactor)
}

/**
 * dCVV (Visa contactless magnetic stripe data): the CVV function under the card's dCVV key, the
 * first four PAN digits replaced by the ATC.
 * @param cardKey forms of the card key derived from the dCVV master key
 * @param atcDigits four digits; practice differs in decimal or BCD reading, so the caller chooses
 */
export function dcvv(
  cardKey: KeyPairForms,
  pan: string,
  atcDigits: string,
  expiry: string,
  serviceCode: string,
): string {
  demandDigits(atcDigits, 'ATC')
  demand(atcDigits.length === 4, 'length', 'ATC must have 4 digits')
  demand(pan.length >= 12, 'length', 'PAN must have 12 to 19 digits')
  return cvv(cardKey, atcDigits + pan.slice(4), expiry, serviceCode)
}

/** IVCVC3: the last two bytes of MAC algorithm 3, padding 2, over the static track data. */
export function ivcvc3(cardKey: KeyPairForms, track: Uint8Array): Uint8Array {
  return macAlgorithm3(cardKey.single, cardKey.pair, track, { padding: 2 }).slice(6)
}

/**
 * CVC3 (Mastercard PayPass mag stripe) from the card key.
 * @param iv the two bytes of ivcvc3
 * @param unpredictableNumber 4 bytes, BCD as the terminal sends it
 * @param atc 2 bytes
 * @param digits rightmost digits kept, 1 to 5
 */
export function cvc3(
  cardKey: KeyPairForms,
  iv: Uint8Array,
  unpredictableNumber: Uint8Array,
  atc: Uint8Array,
  digits = 5,
): string {
  demand(iv.length === 2, 'length', 'IVCVC3 must have 2 bytes')
  demand(unpredictableNumber.length === 4, 'length', 'unpredictable number must have 4 bytes')
  demand(atc.length === 2, 'length', 'ATC must have 2 bytes')
  demand(digits >= 1 && digits <= 5, 'length', 'CVC3 has 1 to 5 digits')
  const result = cardKey.pair.encryptEcb(concat(iv, unpredictableNumber, atc))
  const value = (result[6]! << 8) | result[7]!
  return String(value).padStart(5, '0').slice(-digits)
}

/** The three American Express card security codes of one calculation. */
export interface CardSecurityCodes {
  readonly csc5: string
  readonly csc4: string
  readonly csc3: string
}

/**
 * American Express decimalization: digits first; then the letters from the left, A to F as 1 to 6
 * where the letter stands in the first five places, otherwise 5 more modulo ten.
 */
function cscDecimals(nibbles: Uint8Array): string {
  let out = ''
  for (const nibble of nibbles) if (nibble <= 9) out += nibble
  for (let at = 0; at < nibbles.length; at++) {
    const nibble = nibbles[at]!
    if (nibble > 9) out += (nibble - 9 + (at < 5 ? 0 : 5)) % 10
  }
  return out.slice(0, 12)
}

/**
 * American Express CSC version 1.
 * @param csck cipher of the CSC key pair
 * @param pan 15 digits that start with 37 or 34 (the order for 34 has no public known answer)
 * @param expiry YYMM
 */
export function amexCsc(csck: BlockCipher, pan: string, expiry: string): CardSecurityCodes {
  demandDigits(pan, 'PAN')
  demandDigits(expiry, 'expiry date')
  demand(pan.length === 15, 'length', 'American Express PAN must have 15 digits')
  demand(expiry.length === 4, 'length', 'expiry date must have 4 digits')
  demand(pan.startsWith('37') || pan.startsWith('34'), 'format', 'not an American Express PAN')
  const middle = pan.slice(2, 14)
  const text = pan.startsWith('37') ? expiry + middle : middle + expiry
  const result = csck.encryptEcb(Uint8Array.from(Buffer.from(text, 'hex')))
  const digits = cscDecimals(unpackNibbles(result))
  return { csc5: digits.slice(0, 5), csc4: digits.slice(5, 9), csc3: digits.slice(9, 12) }
}
