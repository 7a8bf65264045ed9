// The MAC verbs. Called by perform.ts. All four algorithms of the port give 8 bytes: raw, or for
// UnionPay POS eight ASCII hexadecimal characters. Sources: ISO/IEC 9797-1 algorithms 1 and 3,
// ANSI X9.9, ANSI X9.19, UnionPay POS specification (DE64), Q/CUP 006 (DE128).

import { equalConstantTime } from '../algorithms/bytes.ts'
import { macAlgorithm1, macAlgorithm3, unionPayPosMac } from '../algorithms/mac.ts'
import type { MacRequest, VerifyMacRequest } from '../port.ts'
import { Refused, refuseUnless } from './key-source.ts'
import type { KeyAct, KeyRef, KeySource } from './key-source.ts'

/** Bytes of a message that a MAC is taken over; longer than any ISO 8583 message here. */
export const MAC_DATA_BYTES_MAX = 16_384

/** The MAC of `request.data`, 8 bytes. */
export function generateMac(source: KeySource, request: MacRequest, ref: KeyRef): Uint8Array {
  return computed(source, request, ref, 'generate')
}

/** Returns when the MAC is right over its own length (4 or 8 bytes), else refuses mac_mismatch. */
export function verifyMac(source: KeySource, request: VerifyMacRequest, ref: KeyRef): null {
  const { mac } = request
  refuseUnless(mac.length === 4 || mac.length === 8, 'bad_input')
  const right = computed(source, request, ref, 'verify').subarray(0, mac.length)
  refuseUnless(equalConstantTime(right, mac), 'mac_mismatch')
  return null
}

function computed(source: KeySource, request: MacRequest, ref: KeyRef, act: KeyAct): Uint8Array {
  const { data } = request
  refuseUnless(data.length > 0 && data.length <= MAC_DATA_BYTES_MAX, 'bad_input')
  const key = source.open(ref, 'mac', act)
  refuseUnless(key.algorithm === 'tdes', 'key_usage')
  switch (request.algorithm) {
    case 'x919':
    case 'cups_host':
      return macAlgorithm3(key.single, key.pair, data, { padding: 1 })
    case 'x99':
      return macAlgorithm1(key.single, data, { padding: 1 })
    case 'unionpay_pos_ecb':
      return unionPayPosMac(key.pair, data).de64
    default:
      throw new Refused('bad_input')
  }
}
