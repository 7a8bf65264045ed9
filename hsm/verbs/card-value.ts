// Verification of CVV, CVC, CVN, iCVV and CVV2: one algorithm, see hsm/algorithms. Called by
// perform.ts. The value is compared in constant time and never returned.

import { cvv, digitsMatch } from '../algorithms/card-verification.ts'
import type { VerifyCvvRequest } from '../port.ts'
import { refuseUnless } from './key-source.ts'
import type { KeyRef, KeySource } from './key-source.ts'

const PAN = /^[0-9]{12,19}$/
const EXPIRY = /^[0-9]{4}$/
const SERVICE_CODE = /^[0-9]{3}$/
const CVV = /^[0-9]{3}$/

/** Returns when the three digits are right, else refuses cvv_mismatch. */
export function verifyCvv(source: KeySource, request: VerifyCvvRequest, ref: KeyRef): null {
  refuseUnless(PAN.test(request.pan) && EXPIRY.test(request.expiry), 'bad_input')
  refuseUnless(SERVICE_CODE.test(request.serviceCode) && CVV.test(request.cvv), 'bad_input')
  const key = source.open(ref, 'cvk', 'verify')
  refuseUnless(key.algorithm === 'tdes', 'key_usage')
  const right = cvv(key, request.pan, request.expiry, request.serviceCode)
  refuseUnless(digitsMatch(right, request.cvv), 'cvv_mismatch')
  return null
}
