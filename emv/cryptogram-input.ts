// The bytes an application cryptogram (ARQC, TC, AAC) covers, per scheme and cryptogram version,
// and the rules that go with them (session key, padding). Pure: values come in by a lookup, the
// cryptogram is computed elsewhere. Called by the pipeline's ARQC step and the simulators.
// Sources: EMV Book 2 8.1.1; Visa VIS; M/Chip; PBOC 3.0 part 5 and 7; the public worked examples
// in tests/vectors. The values are those of DE55; never the terminal's display of them.

import { demandEmv } from './faults.ts'
import { parseIssuerApplicationData } from './issuer-application-data.ts'
import type { IadLayout } from './issuer-application-data.ts'

/** Value of a tag as the message carried it, or undefined. Tags as numbers: 0x9f02. */
export type EmvLookup = (tag: number) => Uint8Array | undefined

/** Schemes and cryptogram versions; the first three are those of hsm/port.ts. */
export type CryptogramScheme =
  | 'unionpay_cvn01'
  | 'visa_cvn10'
  | 'visa_cvn18'
  | 'unionpay_cvn17'
  | 'visa_cvn17'
  | 'visa_cvn22'
  | 'mchip_cvn10'
  | 'mchip_cvn11'
  | 'mchip_cvn14'
  | 'mchip_cvn15'
  | 'interac_cvn133'
  | 'amex_cvn01'
  | 'amex_cvn02'
  | 'ccd'

/** What follows the base data: CVR, CVR and counters, the whole 9F10, or the contactless form. */
type SchemePart = 'cvr' | 'cvr_and_counters' | 'whole_iad' | 'contactless'

/** Rule of one scheme. `sessionKey` names are those of hsm/algorithms/emv-keys.ts. */
export interface CryptogramRule {
  readonly part: SchemePart
  readonly layout: IadLayout
  readonly sessionKey: 'none' | 'common' | 'mastercard' | 'pboc'
  /** Padding method of ISO 9797-1. */
  readonly padding: 1 | 2
  /** Key of the ARPC: the card key or the session key. */
  readonly arpcKey: 'card' | 'session'
  /** ARPC method of EMV Book 2, 8.2. */
  readonly arpcMethod: 1 | 2
}

function rule(
  part: SchemePart,
  layout: IadLayout,
  sessionKey: CryptogramRule['sessionKey'],
  padding: 1 | 2,
  arpcKey: 'card' | 'session',
  arpcMethod: 1 | 2,
): CryptogramRule {
  return { part, layout, sessionKey, padding, arpcKey, arpcMethod }
}

export const CRYPTOGRAM_RULES: Readonly<Record<CryptogramScheme, CryptogramRule>> = {
  unionpay_cvn01: rule('cvr', 'unionpay', 'pboc', 2, 'session', 1), // PBOC 3.0 part 7, annex
  visa_cvn10: rule('cvr', 'visa', 'none', 1, 'card', 1), // VIS, CVN 10
  visa_cvn18: rule('whole_iad', 'visa', 'common', 2, 'session', 2), // VIS, CVN 18
  unionpay_cvn17: rule('contactless', 'unionpay', 'pboc', 2, 'session', 1), // not proved by a value
  visa_cvn17: rule('contactless', 'visa', 'none', 1, 'card', 1), // VCPS, not proved by a value
  visa_cvn22: rule('whole_iad', 'visa', 'common', 2, 'session', 2), // VIS, CVN 22
  mchip_cvn10: rule('cvr', 'mchip', 'mastercard', 2, 'card', 1), // M/Chip, CVN 10
  mchip_cvn11: rule('cvr_and_counters', 'mchip', 'mastercard', 2, 'card', 1), // M/Chip, CVN 11
  mchip_cvn14: rule('cvr', 'mchip', 'common', 2, 'session', 1), // M/Chip, CVN 14
  mchip_cvn15: rule('cvr_and_counters', 'mchip', 'common', 2, 'session', 1), // M/Chip, CVN 15
  interac_cvn133: rule('whole_iad', 'visa', 'mastercard', 2, 'card', 1), // CVN 0x85
  amex_cvn01: rule('cvr', 'visa', 'none', 1, 'card', 1), // not proved by a value
  amex_cvn02: rule('whole_iad', 'visa', 'common', 2, 'session', 1), // not proved by a value
  ccd: rule('whole_iad', 'visa', 'common', 2, 'session', 2), // EMV Book 3, annex C
}

/** Base data in order: tag and length in bytes (EMV Book 2, table 26). */
const BASE_DATA: readonly (readonly [tag: number, bytes: number])[] = [
  [0x9f02, 6], // amount, authorised
  [0x9f03, 6], // amount, other
  [0x9f1a, 2], // terminal country
  [0x95, 5], // terminal verification results
  [0x5f2a, 2], // transaction currency
  [0x9a, 3], // transaction date
  [0x9c, 1], // transaction type
  [0x9f37, 4], // unpredictable number
  [0x82, 2], // application interchange profile
  [0x9f36, 2], // application transaction counter
]

const CONTACTLESS_DATA: readonly (readonly [tag: number, bytes: number])[] = [
  [0x9f02, 6],
  [0x9f37, 4],
  [0x9f36, 2],
]

const AMOUNT_OTHER = 0x9f03
const ISSUER_APPLICATION_DATA = 0x9f10

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

function fixed(lookup: EmvLookup, tag: number, bytes: number): Uint8Array {
  const value = lookup(tag)
  // Amount other is zero when the terminal leaves it out (EMV Book 3, 5.4).
  if (value === undefined && tag === AMOUNT_OTHER) return new Uint8Array(bytes)
  demandEmv(value !== undefined, 'missing', tag.toString(16).toUpperCase())
  demandEmv(value.length === bytes, 'length', tag.toString(16).toUpperCase())
  return value
}

function schemePart(part: SchemePart, layout: IadLayout, iad: Uint8Array): Uint8Array {
  switch (part) {
    case 'whole_iad':
      return iad
    case 'contactless':
      demandEmv(iad.length >= 5, 'length', '9F10')
      return iad.subarray(4, 5)
    case 'cvr':
      return parseIssuerApplicationData(layout, iad).cardVerificationResults
    case 'cvr_and_counters': {
      const parts = parseIssuerApplicationData(layout, iad)
      demandEmv(parts.counters.length === 8, 'length', '9F10')
      return concatenated([parts.cardVerificationResults, parts.counters])
    }
  }
}

/**
 * Input of the application cryptogram, unpadded. Throws EmvError 'missing' for an absent object
 * (9F03 is zero then), 'length' or 'format' for a wrong one.
 */
export function cryptogramInput(scheme: CryptogramScheme, lookup: EmvLookup): Uint8Array {
  const { part, layout } = CRYPTOGRAM_RULES[scheme]
  const base = part === 'contactless' ? CONTACTLESS_DATA : BASE_DATA
  const iad = lookup(ISSUER_APPLICATION_DATA)
  demandEmv(iad !== undefined, 'missing', '9F10')
  const parts = base.map(([tag, bytes]) => fixed(lookup, tag, bytes))
  parts.push(schemePart(part, layout, iad))
  return concatenated(parts)
}

/** Registered application provider of an AID: its first 5 bytes as upper-case hex. */
function providerOf(aid: Uint8Array): string {
  return Buffer.from(aid.subarray(0, 5)).toString('hex').toUpperCase()
}

/**
 * Scheme of a card by its AID (84 or 4F) and 9F10; undefined when no rule is known, which means
 * "cannot verify", never "verified".
 */
export function cryptogramSchemeOf(
  aid: Uint8Array,
  iad: Uint8Array,
): CryptogramScheme | undefined {
  switch (providerOf(aid)) {
    case 'A000000333': {
      const byVersion: Readonly<Record<number, CryptogramScheme>> = {
        0x01: 'unionpay_cvn01',
        0x11: 'unionpay_cvn17',
      }
      return iad.length >= 3 ? byVersion[iad[2]!] : undefined
    }
    case 'A000000003': {
      const byVersion: Readonly<Record<number, CryptogramScheme>> = {
        0x0a: 'visa_cvn10',
        0x11: 'visa_cvn17',
        0x12: 'visa_cvn18',
        0x22: 'visa_cvn22',
      }
      return iad.length >= 3 ? byVersion[iad[2]!] : undefined
    }
    case 'A000000004': {
      const byVersion: Readonly<Record<number, CryptogramScheme>> = {
        0x10: 'mchip_cvn10',
        0x11: 'mchip_cvn11',
        0x14: 'mchip_cvn14',
        0x15: 'mchip_cvn15',
      }
      return iad.length >= 2 ? byVersion[iad[1]!] : undefined
    }
    case 'A000000025': {
      const byVersion: Readonly<Record<number, CryptogramScheme>> = {
        0x01: 'amex_cvn01',
        0x02: 'amex_cvn02',
      }
      return iad.length >= 3 ? byVersion[iad[2]!] : undefined
    }
    case 'A000000277':
      return iad.length >= 3 && iad[2] === 0x85 ? 'interac_cvn133' : undefined
    default:
      return undefined
  }
}

/** Value of tag 91 for ARPC method 1: ARPC (8 bytes) and response code (2 bytes). */
export function issuerAuthenticationDataMethod1(
  arpc: Uint8Array,
  responseCode: Uint8Array,
): Uint8Array {
  demandEmv(arpc.length === 8 && responseCode.length === 2, 'length', '91')
  return concatenated([arpc, responseCode])
}

/** Value of tag 91 for ARPC method 2: ARPC (4 bytes), CSU (4 bytes), proprietary data (0 to 8). */
export function issuerAuthenticationDataMethod2(
  arpc: Uint8Array,
  cardStatusUpdate: Uint8Array,
  proprietary: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const sane = arpc.length === 4 && cardStatusUpdate.length === 4 && proprietary.length <= 8
  demandEmv(sane, 'length', '91')
  return concatenated([arpc, cardStatusUpdate, proprietary])
}
