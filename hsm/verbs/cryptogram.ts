// ARQC and ARPC. Called by perform.ts. Card and session keys are derived inside the key source
// (a token never shows them) and closed before the verb returns.
// Sources: EMV Book 2 annex A1 and clause 8; Visa VIS CVN 10 and 18; PBOC 3.0 part 5 (CVN 01).
//
//   scheme          card key   session key        cryptogram      issuer answer (tag 91)
//   unionpay_cvn01  option A   PBOC (ATC, ~ATC)   alg 3, pad 80   method 1 under the session key
//   visa_cvn10      option A   none               alg 3, pad 00   method 1 under the card key
//   visa_cvn18      option A*  EMV common (ATC)   alg 3, pad 80   method 2 under the session key
//   * option B for a PAN of more than 16 digits

import { concat } from '../algorithms/bytes.ts'
import {
  applicationCryptogram,
  arpcMethod1,
  arpcMethod2,
  cryptogramMatches,
} from '../algorithms/cryptogram.ts'
import { cardMasterKeyData, sessionKeyData } from '../algorithms/emv-keys.ts'
import type { CryptogramScheme, GenerateArpcRequest, VerifyArqcRequest } from '../port.ts'
import { refuseUnless } from './key-source.ts'
import type { DerivedKey, KeyRef, KeySource } from './key-source.ts'

interface SchemeRule {
  readonly cardKey: 'A' | 'B'
  readonly sessionKey: 'none' | 'common' | 'pboc'
  readonly padding: 1 | 2
  readonly arpcMethod: 1 | 2
}

const RULES: Readonly<Record<CryptogramScheme, SchemeRule>> = {
  unionpay_cvn01: { cardKey: 'A', sessionKey: 'pboc', padding: 2, arpcMethod: 1 },
  visa_cvn10: { cardKey: 'A', sessionKey: 'none', padding: 1, arpcMethod: 1 },
  visa_cvn18: { cardKey: 'B', sessionKey: 'common', padding: 2, arpcMethod: 2 },
}

/** Cryptogram input of the longest CDOL that a scheme here uses, with room. */
export const CRYPTOGRAM_DATA_BYTES_MAX = 512

const PAN = /^[0-9]{12,19}$/
const PAN_SEQUENCE = /^[0-9]{2}$/
const RESPONSE_CODE = /^[\x20-\x7e]{2}$/

/** CSU byte 2, bit 8: issuer approves the online transaction (EMV CCD, card status update). */
const CSU_APPROVED = Uint8Array.of(0x00, 0x80, 0x00, 0x00)
const CSU_DECLINED = Uint8Array.of(0x00, 0x00, 0x00, 0x00)

/** Response codes that approve: 00, 08 (with identification), 10 (partial), 11 (VIP). */
const APPROVALS: ReadonlySet<string> = new Set(['00', '08', '10', '11'])

/** Verifies the ARQC, then makes the value of tag 91. Refuses arqc_mismatch. */
export function verifyArqc(source: KeySource, request: VerifyArqcRequest, ref: KeyRef): Uint8Array {
  const { data } = request
  refuseUnless(data.length > 0 && data.length <= CRYPTOGRAM_DATA_BYTES_MAX, 'bad_input')
  return withSessionKey(source, request, ref, (key, rule) => {
    const right = applicationCryptogram(key.single, key.pair, data, rule.padding)
    refuseUnless(cryptogramMatches(right, request.arqc), 'arqc_mismatch')
    return issuerAnswer(key, rule, request)
  })
}

/** The value of tag 91 for an ARQC that was verified before. */
export function generateArpc(
  source: KeySource,
  request: GenerateArpcRequest,
  ref: KeyRef,
): Uint8Array {
  return withSessionKey(source, request, ref, (key, rule) => issuerAnswer(key, rule, request))
}

function withSessionKey<T>(
  source: KeySource,
  request: GenerateArpcRequest,
  ref: KeyRef,
  use: (key: DerivedKey, rule: SchemeRule) => T,
): T {
  refuseUnless(Object.hasOwn(RULES, request.scheme), 'bad_input')
  const rule = RULES[request.scheme]
  refuseUnless(PAN.test(request.pan) && PAN_SEQUENCE.test(request.panSequence), 'bad_input')
  refuseUnless(request.atc.length === 2 && request.arqc.length === 8, 'bad_input')
  refuseUnless(RESPONSE_CODE.test(request.responseCode), 'bad_input')
  const imk = source.open(ref, 'imk_ac', 'derive')
  refuseUnless(imk.algorithm === 'tdes', 'key_usage')
  const cardKey = imk.derive(cardMasterKeyData(rule.cardKey, request.pan, request.panSequence))
  try {
    const data = sessionKeyData(rule.sessionKey, { atc: request.atc })
    if (data === undefined) return use(cardKey, rule)
    const sessionKey = cardKey.derive(data)
    try {
      return use(sessionKey, rule)
    } finally {
      sessionKey.close()
    }
  } finally {
    cardKey.close()
  }
}

/** Tag 91: method 1 is ARPC and code (10 bytes), method 2 is 4 bytes of MAC and the CSU. */
function issuerAnswer(
  key: DerivedKey,
  rule: SchemeRule,
  request: GenerateArpcRequest,
): Uint8Array {
  if (rule.arpcMethod === 2) {
    const csu = APPROVALS.has(request.responseCode) ? CSU_APPROVED : CSU_DECLINED
    return concat(arpcMethod2(key.single, key.pair, request.arqc, csu), csu)
  }
  const code = Uint8Array.from(request.responseCode, (letter) => letter.charCodeAt(0))
  return concat(arpcMethod1(key.pair, request.arqc, code), code)
}
