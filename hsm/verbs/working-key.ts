// Working keys of a peer: made here and sent under the peer's key-encrypting key, or received
// under it. Called by perform.ts. The clear key exists as bytes only inside these functions and is
// wiped; what leaves is the peer's cryptogram, a check value and our own key block.
// Sources: ANSI X9.17 (ECB under the KEK), UnionPay POS DE62, Q/CUP 006 DE48 NK and DE96.

import { equalConstantTime, wipe } from '../algorithms/bytes.ts'
import { zeroCheckValue } from '../algorithms/kcv.ts'
import { withOddParity } from '../algorithms/key-combination.ts'
import type {
  ImportedKey,
  ImportWorkingKeyRequest,
  KeyUsage,
  MakeWorkingKeyRequest,
  WorkingKey,
} from '../port.ts'
import { refuseUnless } from './key-source.ts'
import type { KeyRef, KeySource } from './key-source.ts'

/** Uses that a key made for or by a peer may have; a KEK or a master key comes by ceremony. */
const WORKING_USAGES: ReadonlySet<KeyUsage> = new Set(['pin', 'mac', 'track'])

/** Bytes of the legacy check value that POS and CUPS messages carry. */
const CHECK_VALUE_BYTES = 4

/** Check values that peers send: 3 (PCI), 4 (UnionPay), 8 (old hosts). */
const CHECK_VALUE_LENGTHS: ReadonlySet<number> = new Set([3, 4, 8])

/** A new key of 8 or 16 bytes, for the peer and for us. */
export function makeWorkingKey(
  source: KeySource,
  request: MakeWorkingKeyRequest,
  ref: KeyRef,
): WorkingKey {
  const { name, usage, bytes } = request
  refuseUnless(WORKING_USAGES.has(usage) && name.length > 0, 'bad_input')
  refuseUnless(bytes === 8 || bytes === 16, 'bad_input')
  const kek = source.open(ref, 'kek', 'encrypt')
  refuseUnless(kek.algorithm === 'tdes', 'key_usage')
  const random = source.random(bytes)
  const key = withOddParity(random)
  const held = doubleLength(key)
  try {
    const wrapped = kek.pair.encryptEcb(key)
    const kcv = checkValue(source, held).slice(0, CHECK_VALUE_BYTES)
    return { name, usage, wrapped, kcv, block: source.seal(name, usage, held) }
  } finally {
    wipe(random, key, held)
  }
}

/** A key from a peer; its check value is compared before the key is kept. */
export function importWorkingKey(
  source: KeySource,
  request: ImportWorkingKeyRequest,
  ref: KeyRef,
): ImportedKey {
  const { name, usage, wrapped, kcv } = request
  refuseUnless(WORKING_USAGES.has(usage) && name.length > 0, 'bad_input')
  refuseUnless(wrapped.length === 8 || wrapped.length === 16, 'bad_input')
  refuseUnless(kcv === null || CHECK_VALUE_LENGTHS.has(kcv.length), 'bad_input')
  const kek = source.open(ref, 'kek', 'decrypt')
  refuseUnless(kek.algorithm === 'tdes', 'key_usage')
  const key = kek.pair.decryptEcb(wrapped)
  const held = doubleLength(key)
  try {
    const computed = checkValue(source, held)
    if (kcv !== null) {
      refuseUnless(equalConstantTime(computed.subarray(0, kcv.length), kcv), 'kcv_mismatch')
    }
    return { block: source.seal(name, usage, held), kcv: computed.slice(0, CHECK_VALUE_BYTES) }
  } finally {
    wipe(key, held)
  }
}

/** A copy of 16 bytes; a single-length key is held as K|K, which gives the same results. */
function doubleLength(key: Uint8Array): Uint8Array {
  const out = new Uint8Array(16)
  out.set(key)
  if (key.length === 8) out.set(key, 8)
  return out
}

/** The legacy check value, all 8 bytes. Callers cut it: more than 3 or 4 bytes say too much. */
function checkValue(source: KeySource, key: Uint8Array): Uint8Array {
  const loaded = source.load(key)
  try {
    return zeroCheckValue(loaded.pair)
  } finally {
    loaded.close()
  }
}
