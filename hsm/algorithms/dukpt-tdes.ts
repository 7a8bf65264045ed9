// TDES DUKPT (ANSI X9.24-1:2009, annex A; X9.24-3:2017, annex C): one key per transaction from a
// base derivation key and a counter. Called by the HSM worker's accepted software path, simulators
// and the calculator. Every key here is clear; callers wipe what they keep.
//
// KSN, 10 bytes: key set and device (59 bits) ‖ transaction counter (21 bits)

import { concat, wipe, xor } from './bytes.ts'
import { demand } from './errors.ts'
import { macAlgorithm3, cmac, zeroPad } from './mac.ts'
import { desCipher, tdesCipher } from './software-ciphers.ts'

const KSN_BYTES = 10
const COUNTER_BITS = 21
const COUNTER_MASK = 0x1fffff
const COUNTER_ONES_MAX = 10 // X9.24-1, A.3: a counter with more one bits is skipped
const VARIANT = Uint8Array.of(0xc0, 0xc0, 0xc0, 0xc0, 0, 0, 0, 0)

/** A KSN of 10 bytes; a shorter one is filled with FF on the left. */
export function fullKsn(ksn: Uint8Array): Uint8Array {
  demand(ksn.length >= 3 && ksn.length <= KSN_BYTES, 'length', 'key serial number')
  const out = new Uint8Array(KSN_BYTES).fill(0xff)
  out.set(ksn, KSN_BYTES - ksn.length)
  return out
}

/** Transaction counter of a KSN, 0 to 2^21 - 1. */
export function tdesCounterOf(ksn: Uint8Array): number {
  const full = fullKsn(ksn)
  return ((full[7]! & 0x1f) << 16) | (full[8]! << 8) | full[9]!
}

function withCounter(ksn: Uint8Array, counter: number): Uint8Array {
  const out = Uint8Array.from(ksn)
  out[7] = (out[7]! & 0xe0) | (counter >> 16)
  out[8] = (counter >> 8) & 0xff
  out[9] = counter & 0xff
  return out
}

function onesIn(value: number): number {
  let count = 0
  for (let rest = value; rest !== 0; rest = Math.floor(rest / 2)) count += rest % 2
  return count
}

/**
 * KSN of the next transaction, counters with more than ten one bits skipped; undefined when the
 * device has used up its keys.
 */
export function nextTdesKsn(ksn: Uint8Array): Uint8Array | undefined {
  const full = fullKsn(ksn)
  let counter = tdesCounterOf(full)
  // Adding the lowest one bit skips all counters that would have too many ones (A.3).
  do {
    counter += onesIn(counter) >= COUNTER_ONES_MAX ? counter & -counter : 1
  } while (counter <= COUNTER_MASK && onesIn(counter) > COUNTER_ONES_MAX)
  return counter > COUNTER_MASK ? undefined : withCounter(full, counter)
}

/** Initial key (IPEK) of a device: 16 bytes. */
export function tdesInitialKey(bdk: Uint8Array, ksn: Uint8Array): Uint8Array {
  demand(bdk.length === 16, 'length', 'base derivation key')
  const data = withCounter(fullKsn(ksn), 0).slice(0, 8)
  const variantKey = xor(bdk, concat(VARIANT, VARIANT))
  const left = tdesCipher(bdk).encryptEcb(data)
  const right = tdesCipher(variantKey).encryptEcb(data)
  const key = concat(left, right)
  wipe(variantKey, left, right)
  return key
}

/** Half of the non-reversible key generation: DES(k_left, data xor k_right) xor k_right. */
function generatedHalf(key: Uint8Array, data: Uint8Array): Uint8Array {
  const right = key.slice(8)
  return xor(desCipher(key.slice(0, 8)).encryptEcb(xor(data, right)), right)
}

/**
 * Transaction key of a KSN (before any usage variant): 16 bytes.
 * Throws 'policy' for counter 0 and for counters with more than ten one bits.
 */
export function tdesTransactionKey(initialKey: Uint8Array, ksn: Uint8Array): Uint8Array {
  demand(initialKey.length === 16, 'length', 'initial key')
  const full = fullKsn(ksn)
  const counter = tdesCounterOf(full)
  demand(counter !== 0, 'policy', 'counter 0 is not a transaction')
  demand(onesIn(counter) <= COUNTER_ONES_MAX, 'policy', 'counter has more than ten one bits')
  let key = Uint8Array.from(initialKey)
  let built = 0
  for (let bit = COUNTER_BITS - 1; bit >= 0; bit--) {
    const mask = 1 << bit
    if ((counter & mask) === 0) continue
    built |= mask
    const data = withCounter(full, built).slice(2)
    const variant = xor(key, concat(VARIANT, VARIANT))
    const next = Uint8Array.from(concat(generatedHalf(variant, data), generatedHalf(key, data)))
    wipe(key, variant)
    key = next
  }
  return key
}

/** What a working key of a transaction is for. `request` goes to the host. */
export type TdesWorkingKey =
  | 'pin'
  | 'mac-request'
  | 'mac-response'
  | 'data-request'
  | 'data-response'

/** Byte of each half that the usage adds FF to (X9.24-1, A.4.1). */
const USAGE_BYTE: Readonly<Record<TdesWorkingKey, number>> = {
  pin: 7,
  'mac-request': 6,
  'mac-response': 4,
  'data-request': 5,
  'data-response': 3,
}

/** Working key of a transaction key: 16 bytes. Data keys take one more one-way step. */
export function tdesWorkingKey(transactionKey: Uint8Array, usage: TdesWorkingKey): Uint8Array {
  demand(transactionKey.length === 16, 'length', 'transaction key')
  const key = Uint8Array.from(transactionKey)
  const at = USAGE_BYTE[usage]
  key[at] = key[at]! ^ 0xff
  key[at + 8] = key[at + 8]! ^ 0xff
  if (usage !== 'data-request' && usage !== 'data-response') return key
  const derived = tdesCipher(key).encryptEcb(key)
  wipe(key)
  return derived
}

/** Retail MAC of DUKPT messages: algorithm 3, zero padding; `length` bytes, 4 as a rule. */
export function tdesDukptMac(macKey: Uint8Array, data: Uint8Array, length: number): Uint8Array {
  const single = desCipher(macKey.slice(0, 8))
  return macAlgorithm3(single, tdesCipher(macKey), data, { padding: 1, length })
}

/** CMAC of DUKPT messages, used in place of the retail MAC by some devices. */
export function tdesDukptCmac(macKey: Uint8Array, data: Uint8Array, length?: number): Uint8Array {
  return cmac(tdesCipher(macKey), data, length)
}

/** Data encipherment of DUKPT messages: CBC with zero IV, zero padding. */
export function tdesDukptEncrypt(dataKey: Uint8Array, data: Uint8Array): Uint8Array {
  return tdesCipher(dataKey).encryptCbc(new Uint8Array(8), zeroPad(data, 8))
}
