// Issuer application data (tag 9F10): the layouts of the schemes. Pure. Called by cryptogram input,
// the risk rules of the authorizer and the simulators. Sources: EMV Book 3 annex C7, Visa VIS,
// M/Chip, PBOC 3.0 part 5; see the table of layouts below.
//
// Visa, JCB, AmEx  length ‖ DKI ‖ CVN ‖ CVR (03 + 3 bytes) ‖ [length ‖ discretionary]
// UnionPay, PBOC   07 ‖ DKI ‖ CVN ‖ CVR (03 + 3) ‖ algorithm ‖ [length ‖ discretionary]
// M/Chip           DKI ‖ CVN ‖ CVR (6) ‖ DAC or ICC dynamic number (2) ‖ counters (8)

import { demandEmv } from './faults.ts'

/** Families of 9F10 layouts. */
export type IadLayout = 'visa' | 'unionpay' | 'mchip'

/** Parts of 9F10; a part that the layout lacks is empty or undefined. */
export interface IssuerApplicationData {
  readonly layout: IadLayout
  /** Derivation key index: which issuer master key set. */
  readonly derivationKeyIndex: number
  /** Cryptogram version number: which data and session key rule. */
  readonly cryptogramVersion: number
  /** Card verification results as the cryptogram covers them (with the length byte 03 for Visa). */
  readonly cardVerificationResults: Uint8Array
  /** UnionPay only: 01 3DES, 04 SM4. */
  readonly algorithm: number | undefined
  /** Mastercard only: data authentication code or ICC dynamic number, 2 bytes. */
  readonly dynamicNumber: Uint8Array
  /** Mastercard only: counters, 8 bytes, plain or enciphered. */
  readonly counters: Uint8Array
  /** Issuer discretionary data without their length byte. */
  readonly discretionary: Uint8Array
}

const EMPTY = new Uint8Array(0)

/** Discretionary data behind the fixed part: nothing, or a length byte and that many bytes. */
function discretionaryAt(iad: Uint8Array, at: number): Uint8Array {
  if (iad.length <= at) return EMPTY
  const length = iad[at]!
  demandEmv(at + 1 + length <= iad.length, 'length', 'discretionary data of 9F10')
  return iad.subarray(at + 1, at + 1 + length)
}

/** Parts of a 9F10 value. Throws EmvError 'length' or 'format'. */
export function parseIssuerApplicationData(
  layout: IadLayout,
  iad: Uint8Array,
): IssuerApplicationData {
  demandEmv(iad.length <= 32, 'length', '9F10')
  if (layout === 'mchip') {
    demandEmv(iad.length >= 8, 'length', '9F10')
    return {
      layout,
      derivationKeyIndex: iad[0]!,
      cryptogramVersion: iad[1]!,
      cardVerificationResults: iad.subarray(2, 8),
      algorithm: undefined,
      dynamicNumber: iad.subarray(8, 10),
      counters: iad.length >= 18 ? iad.subarray(10, 18) : EMPTY,
      discretionary: iad.length > 18 ? iad.subarray(18) : EMPTY,
    }
  }
  demandEmv(iad.length >= 7, 'length', '9F10')
  demandEmv(iad[3] === 0x03, 'format', 'card verification results of 9F10')
  const unionPay = layout === 'unionpay'
  demandEmv(!unionPay || iad.length >= 8, 'length', '9F10')
  return {
    layout,
    derivationKeyIndex: iad[1]!,
    cryptogramVersion: iad[2]!,
    cardVerificationResults: iad.subarray(3, 7),
    algorithm: unionPay ? iad[7]! : undefined,
    dynamicNumber: EMPTY,
    counters: EMPTY,
    discretionary: discretionaryAt(iad, unionPay ? 8 : 7),
  }
}

/** Electronic cash part of PBOC discretionary data, type 01. */
export interface PbocBalance {
  /** Balance in minor units. */
  readonly balanceMinor: bigint
  /** Five bytes BCD, as the MAC covers them. */
  readonly balanceBcd: Uint8Array
  /** Left 4 bytes of the MAC under the MAC session key. */
  readonly mac: Uint8Array
}

/** Balance and MAC of PBOC discretionary data type 01; undefined for other types and lengths. */
export function pbocBalance(discretionary: Uint8Array): PbocBalance | undefined {
  if (discretionary.length !== 10 || discretionary[0] !== 0x01) return undefined
  let balanceMinor = 0n
  for (const byte of discretionary.subarray(1, 6)) {
    if (byte >> 4 > 9 || (byte & 0x0f) > 9) return undefined
    balanceMinor = balanceMinor * 100n + BigInt((byte >> 4) * 10 + (byte & 0x0f))
  }
  return {
    balanceMinor,
    balanceBcd: discretionary.subarray(1, 6),
    mac: discretionary.subarray(6, 10),
  }
}
