// AES DUKPT (ANSI X9.24-3:2017): keys per transaction from a base derivation key, an initial key id
// and a 32-bit counter. Called by the HSM worker's accepted software path, simulators and the
// calculator. Every key here is clear; callers wipe what they keep.
//
// KSN, 12 bytes: initial key id (BDK id 4 ‖ device 4) ‖ transaction counter (4)

import { wipe } from './bytes.ts'
import { demand } from './errors.ts'
import { aesCipher } from './software-ciphers.ts'

const KSN_BYTES = 12
const IKID_BYTES = 8
const COUNTER_ONES_MAX = 16 // X9.24-3, 6.3.1: counters have at most sixteen one bits
const UPDATE_COUNTER = 0xffffffff // X9.24-3, 6.5.4

/** Key usage indicators (X9.24-3, table 3). */
export const AES_DUKPT_USAGE = {
  keyEncryption: 0x0002,
  pin: 0x1000,
  macGenerate: 0x2000,
  macVerify: 0x2001,
  macBoth: 0x2002,
  dataEncrypt: 0x3000,
  dataDecrypt: 0x3001,
  dataBoth: 0x3002,
  keyDerivation: 0x8000,
  initialKey: 0x8001,
} as const
export type AesDukptUsage = keyof typeof AES_DUKPT_USAGE

/** Key types with algorithm indicator and length (X9.24-3, table 4). */
export const AES_DUKPT_KEY_TYPES = {
  tdes2: { algorithm: 0, bytes: 16 },
  tdes3: { algorithm: 1, bytes: 24 },
  aes128: { algorithm: 2, bytes: 16 },
  aes192: { algorithm: 3, bytes: 24 },
  aes256: { algorithm: 4, bytes: 32 },
  hmac128: { algorithm: 5, bytes: 16 },
  hmac192: { algorithm: 5, bytes: 24 },
  hmac256: { algorithm: 5, bytes: 32 },
} as const
export type AesDukptKeyType = keyof typeof AES_DUKPT_KEY_TYPES

/** Key type of an AES key of this length, for keys of the derivation tree. */
function ownType(key: Uint8Array): AesDukptKeyType {
  const byLength: Readonly<Record<number, AesDukptKeyType>> = {
    16: 'aes128',
    24: 'aes192',
    32: 'aes256',
  }
  const type = byLength[key.length]
  demand(type !== undefined, 'length', 'AES DUKPT key')
  return type
}

/** One derivation: 01 ‖ block counter ‖ usage ‖ algorithm ‖ bits ‖ tail, under the parent. */
function derive(
  parent: Uint8Array,
  usage: AesDukptUsage,
  type: AesDukptKeyType,
  tail: Uint8Array,
): Uint8Array {
  const { algorithm, bytes } = AES_DUKPT_KEY_TYPES[type]
  const cipher = aesCipher(parent)
  const data = new Uint8Array(16)
  const view = new DataView(data.buffer)
  data[0] = 0x01
  view.setUint16(2, AES_DUKPT_USAGE[usage])
  view.setUint16(4, algorithm)
  view.setUint16(6, bytes * 8)
  data.set(tail, 8)
  const key = new Uint8Array(bytes)
  for (let at = 0, block = 1; at < bytes; at += 16, block++) {
    data[1] = block
    const part = cipher.encryptEcb(data)
    key.set(part.subarray(0, Math.min(16, bytes - at)), at)
    wipe(part)
  }
  return key
}

/** Tail of transaction and working keys: the last 4 bytes of the key id and a counter. */
function counterTail(ikid: Uint8Array, counter: number): Uint8Array {
  const tail = new Uint8Array(8)
  tail.set(ikid.subarray(4, 8))
  new DataView(tail.buffer).setUint32(4, counter)
  return tail
}

function demandKsn(ksn: Uint8Array): void {
  demand(ksn.length === KSN_BYTES, 'length', 'AES key serial number must have 12 bytes')
}

/** Counter of a 12-byte KSN. */
export function aesCounterOf(ksn: Uint8Array): number {
  demandKsn(ksn)
  return new DataView(ksn.buffer, ksn.byteOffset, KSN_BYTES).getUint32(IKID_BYTES)
}

function onesIn(value: number): number {
  let count = 0
  for (let rest = value; rest !== 0; rest = Math.floor(rest / 2)) count += rest % 2
  return count
}

/** Lowest one bit of an unsigned 32-bit number. */
function lowestOne(value: number): number {
  let bit = 1
  while (Math.floor(value / bit) % 2 === 0) bit *= 2
  return bit
}

/** KSN of the next transaction; undefined when the device has used up its keys. */
export function nextAesKsn(ksn: Uint8Array): Uint8Array | undefined {
  let counter = aesCounterOf(ksn)
  do {
    counter += onesIn(counter) >= COUNTER_ONES_MAX ? lowestOne(counter) : 1
  } while (counter <= UPDATE_COUNTER && onesIn(counter) > COUNTER_ONES_MAX)
  if (counter > UPDATE_COUNTER) return undefined
  const next = Uint8Array.from(ksn)
  new DataView(next.buffer).setUint32(IKID_BYTES, counter)
  return next
}

/** Initial key of a device, as long as the base derivation key. `ikid` has 8 bytes. */
export function aesInitialKey(bdk: Uint8Array, ikid: Uint8Array): Uint8Array {
  demand(ikid.length === IKID_BYTES, 'length', 'initial key id must have 8 bytes')
  return derive(bdk, 'initialKey', ownType(bdk), ikid)
}

/** Intermediate key of a counter: one derivation for each one bit, from the highest down. */
function intermediateKey(
  initialKey: Uint8Array,
  ikid: Uint8Array,
  counter: number,
): Uint8Array {
  const type = ownType(initialKey)
  let key = Uint8Array.from(initialKey)
  let built = 0
  for (let bit = 2 ** 31; bit >= 1; bit /= 2) {
    if (Math.floor(counter / bit) % 2 === 0) continue
    built += bit
    const next = Uint8Array.from(derive(key, 'keyDerivation', type, counterTail(ikid, built)))
    wipe(key)
    key = next
  }
  return key
}

/**
 * Transaction (intermediate) key of a KSN.
 * Throws 'policy' for counter 0 and for counters with more than sixteen one bits.
 */
export function aesTransactionKey(initialKey: Uint8Array, ksn: Uint8Array): Uint8Array {
  const counter = aesCounterOf(ksn)
  demand(counter !== 0, 'policy', 'counter 0 is not a transaction')
  demand(onesIn(counter) <= COUNTER_ONES_MAX, 'policy', 'counter has more than sixteen one bits')
  return intermediateKey(initialKey, ksn.slice(0, IKID_BYTES), counter)
}

/** Throws 'policy' for a working key that would be stronger than the base derivation key. */
function demandNotStronger(parent: Uint8Array, type: AesDukptKeyType): void {
  // TDES keys are weaker than any AES key (112 and 168 bits of key, less in strength).
  if (type === 'tdes2' || type === 'tdes3') return
  const { bytes } = AES_DUKPT_KEY_TYPES[type]
  demand(bytes <= parent.length, 'policy', 'working key is stronger than its base key')
}

/** Working key of a KSN for a usage and type. Throws 'policy' for a stronger type than the base. */
export function aesWorkingKey(
  initialKey: Uint8Array,
  ksn: Uint8Array,
  usage: AesDukptUsage,
  type: AesDukptKeyType,
): Uint8Array {
  demandNotStronger(initialKey, type)
  const transactionKey = aesTransactionKey(initialKey, ksn)
  const tail = counterTail(ksn.slice(0, IKID_BYTES), aesCounterOf(ksn))
  const key = derive(transactionKey, usage, type, tail)
  wipe(transactionKey)
  return key
}

/** Key that protects a new initial key on its way to the device (X9.24-3, 6.5.4). */
export function aesUpdateKey(
  initialKey: Uint8Array,
  ikid: Uint8Array,
  type: AesDukptKeyType,
): Uint8Array {
  demand(ikid.length === IKID_BYTES, 'length', 'initial key id must have 8 bytes')
  demandNotStronger(initialKey, type)
  const last = intermediateKey(initialKey, ikid, UPDATE_COUNTER)
  const key = derive(last, 'keyEncryption', type, counterTail(ikid, UPDATE_COUNTER))
  wipe(last)
  return key
}
