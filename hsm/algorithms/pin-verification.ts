// PIN verification values: Visa PVV and IBM 3624 natural PIN and offset (IBM CCA manual, PIN
// calculation methods). Called by the HSM adapters and the calculator. Results are digit arrays;
// comparison is constant-time; a failed comparison is a value, not an error.

import {
  concat,
  demandDigits,
  equalConstantTime,
  packNibbles,
  unpackNibbles,
  wipe,
} from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import type { PinDigits } from './pin-block.ts'

/** IBM's default decimalization table: A to F become 0 to 5. */
export const DEFAULT_DECIMALIZATION_TABLE = '0123456789012345'

/** First decimal digits of nibbles, then A to F minus ten, as many as `count` (Visa, CVV rule). */
export function scanDecimals(nibbles: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(count)
  let at = 0
  for (let i = 0; i < nibbles.length && at < count; i++) {
    if (nibbles[i]! <= 9) out[at++] = nibbles[i]!
  }
  for (let i = 0; i < nibbles.length && at < count; i++) {
    if (nibbles[i]! > 9) out[at++] = nibbles[i]! - 10
  }
  return out
}

/**
 * Visa PVV from the 11 account digits, the key index and the first four PIN digits.
 * @param pvk cipher of the PVK pair (K1, K2, K1)
 * @param account11 the 11 PAN digits immediately left of the check digit
 * @param pvki one digit, 0 to 9
 * @returns four digit values
 */
export function visaPvvOfAccount(
  pvk: BlockCipher,
  account11: string,
  pvki: string,
  pin: PinDigits,
): Uint8Array {
  demandDigits(account11, 'PAN')
  demandDigits(pvki, 'PVKI')
  demand(account11.length === 11, 'length', 'PVV needs 11 PAN digits')
  demand(pvki.length === 1, 'length', 'PVKI is one digit')
  demand(pin.length >= 4 && pin.length <= 12, 'length', 'PIN must have 4 to 12 digits')
  const nibbles = new Uint8Array(16)
  for (let i = 0; i < 11; i++) nibbles[i] = account11.charCodeAt(i) - 0x30
  nibbles[11] = pvki.charCodeAt(0) - 0x30
  nibbles.set(pin.subarray(0, 4), 12)
  const tsp = packNibbles(nibbles)
  const enciphered = pvk.encryptEcb(tsp)
  const pvv = scanDecimals(unpackNibbles(enciphered), 4)
  wipe(nibbles, tsp, enciphered)
  return pvv
}

/** Visa PVV of a whole PAN with check digit, at least 12 digits long. Four digit values. */
export function visaPvv(
  pvk: BlockCipher,
  pan: string,
  pvki: string,
  pin: PinDigits,
): Uint8Array {
  demandDigits(pan, 'PAN')
  demand(pan.length >= 12 && pan.length <= 19, 'length', 'PVV needs a PAN of 12 to 19 digits')
  return visaPvvOfAccount(pvk, pan.slice(-12, -1), pvki, pin)
}

/** Whether the PIN gives this PVV (four digit values). */
export function verifyVisaPvv(
  pvk: BlockCipher,
  pan: string,
  pvki: string,
  pin: PinDigits,
  pvv: Uint8Array,
): boolean {
  return equalConstantTime(visaPvv(pvk, pan, pvki, pin), pvv)
}

/** Replaces each nibble of an 8-byte block by its entry of a 16-digit decimalization table. */
export function decimalize(block: Uint8Array, table: string): Uint8Array {
  demandDigits(table, 'decimalization table')
  demand(table.length === 16, 'length', 'decimalization table must have 16 digits')
  const out = unpackNibbles(block)
  for (let i = 0; i < out.length; i++) out[i] = table.charCodeAt(out[i]!) - 0x30
  return out
}

/**
 * Throws 'policy' for a decimalization table that helps to find PINs: fewer than eight different
 * digits, or one digit more than four times. Tables come from configuration, not from messages.
 */
export function demandSafeDecimalizationTable(table: string): void {
  const counts = new Uint8Array(10)
  demandDigits(table, 'decimalization table')
  demand(table.length === 16, 'length', 'decimalization table must have 16 digits')
  for (const digit of table) counts[Number(digit)]!++
  const different = counts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0)
  demand(different >= 8 && Math.max(...counts) <= 4, 'policy', 'decimalization table is weak')
}

/**
 * IBM 3624 intermediate PIN: the enciphered validation data, decimalized; 16 digit values.
 * @param validationData 16 hexadecimal digits as 8 bytes (whole PAN, padded slice, template ...)
 */
export function ibm3624Intermediate(
  pvk: BlockCipher,
  validationData: Uint8Array,
  table: string,
): Uint8Array {
  demand(validationData.length === 8, 'length', 'validation data must have 16 hex digits')
  const enciphered = pvk.encryptEcb(validationData)
  const out = decimalize(enciphered, table)
  wipe(enciphered)
  return out
}

function demandLength(length: number): void {
  demand(length >= 4 && length <= 16, 'length', 'PIN or offset must have 4 to 16 digits')
}

/** IBM 3624 natural PIN: the first `length` digits of the intermediate PIN, 4 to 16. */
export function ibm3624NaturalPin(
  pvk: BlockCipher,
  validationData: Uint8Array,
  table: string,
  length: number,
): Uint8Array {
  demandLength(length)
  return ibm3624Intermediate(pvk, validationData, table).slice(0, length)
}

/**
 * Natural digits that meet an offset shorter than the PIN: the offset is aligned with the
 * rightmost digits of the checked part (IBM CCA, PIN check length).
 */
function alignOffset(offset: Uint8Array, length: number): Uint8Array {
  return concat(new Uint8Array(length - offset.length), offset)
}

/**
 * IBM 3624 offset of a PIN: PIN minus natural PIN, digit by digit modulo ten.
 * @param checkLength digits of the PIN that are checked; the whole PIN when absent. The offset
 *   then belongs to the first `checkLength` digits.
 */
export function ibm3624Offset(
  pvk: BlockCipher,
  validationData: Uint8Array,
  table: string,
  pin: PinDigits,
  checkLength: number = pin.length,
): Uint8Array {
  demandLength(pin.length)
  demand(checkLength >= 1 && checkLength <= pin.length, 'length', 'PIN check length')
  const natural = ibm3624Intermediate(pvk, validationData, table)
  const out = new Uint8Array(checkLength)
  for (let i = 0; i < checkLength; i++) out[i] = (pin[i]! + 10 - natural[i]!) % 10
  wipe(natural)
  return out
}

/**
 * IBM 3624 customer PIN: natural PIN plus offset, digit by digit modulo ten.
 * @param pinLength length of the PIN; that of the offset when absent
 */
export function ibm3624Pin(
  pvk: BlockCipher,
  validationData: Uint8Array,
  table: string,
  offset: Uint8Array,
  pinLength: number = offset.length,
): PinDigits {
  demandLength(pinLength)
  demand(offset.length <= pinLength, 'length', 'offset is longer than the PIN')
  for (const digit of offset) demand(digit <= 9, 'digit', 'offset')
  const natural = ibm3624Intermediate(pvk, validationData, table)
  const full = alignOffset(offset, pinLength)
  const out = new Uint8Array(pinLength)
  for (let i = 0; i < pinLength; i++) out[i] = (natural[i]! + full[i]!) % 10
  wipe(natural)
  return out
}

/**
 * Whether a PIN agrees with the offset, over the first `checkLength` digits (all when absent).
 * An offset shorter than that is aligned with the rightmost digits of the checked part.
 */
export function verifyIbm3624(
  pvk: BlockCipher,
  validationData: Uint8Array,
  table: string,
  offset: Uint8Array,
  pin: PinDigits,
  checkLength: number = pin.length,
): boolean {
  demandLength(pin.length)
  demand(checkLength >= 4 && checkLength <= pin.length, 'length', 'PIN check length')
  const wanted = ibm3624Pin(pvk, validationData, table, offset.slice(0, checkLength), checkLength)
  const equal = equalConstantTime(wanted, pin.slice(0, checkLength))
  wipe(wanted)
  return equal
}

/**
 * How an issuer forms the validation data of IBM 3624; a setting per BIN.
 * - `pan16`: the rightmost 16 PAN digits, zero-filled on the left
 * - `slice`: `length` PAN digits from `offset`, filled on the right with the hex digit `pad`
 * - `template`: 12 characters in which N stands for the last five account digits (Thales), filled
 *   on the right with F to 16
 */
export type ValidationDataRule =
  | { readonly kind: 'pan16' }
  | {
      readonly kind: 'slice'
      readonly offset: number
      readonly length: number
      readonly pad: string
    }
  | { readonly kind: 'template'; readonly template: string }

/** Validation data of a PAN with check digit, 8 bytes. Throws 'length' or 'format'. */
export function validationDataOf(rule: ValidationDataRule, pan: string): Uint8Array {
  demandDigits(pan, 'PAN')
  demand(pan.length >= 12 && pan.length <= 19, 'length', 'PAN must have 12 to 19 digits')
  let text: string
  switch (rule.kind) {
    case 'pan16':
      text = pan.slice(-16).padStart(16, '0')
      break
    case 'slice':
      demand(/^[0-9A-Fa-f]$/.test(rule.pad), 'format', 'pad digit of the validation data')
      text = pan.slice(rule.offset, rule.offset + rule.length).padEnd(16, rule.pad)
      break
    case 'template':
      text = rule.template.replace('N', pan.slice(-6, -1)).padEnd(16, 'F')
      break
  }
  demand(text.length === 16, 'length', 'validation data must have 16 hex digits')
  demand(/^[0-9A-Fa-f]{16}$/.test(text), 'format', 'validation data')
  return Uint8Array.from(Buffer.from(text, 'hex'))
}
