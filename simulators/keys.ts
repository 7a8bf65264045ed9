// Keys as a peer of the switch holds them: master keys stay in the outside token and are reached
// by label, working keys are made here (schemes) or received (terminals) and live in memory only.
// Used by every simulator. Must never print, log or store a key; check values are the most shown.

import { concat, equalConstantTime, wipe } from '../hsm/algorithms/bytes.ts'
import type { BlockCipher } from '../hsm/algorithms/cipher.ts'
import { zeroCheckValue } from '../hsm/algorithms/kcv.ts'
import { withOddParity } from '../hsm/algorithms/key-combination.ts'
import { macAlgorithm3, unionPayPosMac } from '../hsm/algorithms/mac.ts'
import { desCipher, tdesCipher } from '../hsm/algorithms/software-ciphers.ts'
import type { Random } from '../switch/runtime/random.ts'

/** Labels of the keys in the outside token. */
export const KEY_LABEL = {
  cupsExchange: 'demo.zmk.cups',
  visaExchange: 'demo.zmk.visa',
  issuerCryptogram: 'demo.issuer.imk_ac',
  terminalMaster: (terminal: string): string => `demo.tmk.${terminal}`,
} as const

/** What simulators need of a token; hsm/pkcs11/token.ts fulfils it, tests use software ciphers. */
export interface OutsideToken {
  cipher(label: string): BlockCipher
  close(): void | Promise<void>
}

/** A DES or double-length 3DES working key in the memory of a peer. */
export class WorkingKey {
  readonly bytes: 8 | 16
  readonly #clear: Uint8Array
  /** Single DES under the left half: the K1|K1|K1 form. */
  readonly single: BlockCipher
  /** The whole key; for 8 bytes the same as `single`. */
  readonly pair: BlockCipher

  constructor(clear: Uint8Array) {
    this.bytes = clear.length === 8 ? 8 : 16
    this.#clear = Uint8Array.from(clear)
    this.single = desCipher(clear.slice(0, 8))
    this.pair = tdesCipher(this.#clear)
  }

  /** The first `count` bytes of the legacy check value (zero block enciphered). */
  checkValue(count = 4): Uint8Array {
    return zeroCheckValue(this.pair).slice(0, count)
  }

  /** The key under a key exchange key, ECB, as it travels. */
  wrappedUnder(exchange: BlockCipher): Uint8Array {
    return exchange.encryptEcb(this.#clear)
  }

  /** Retail MAC (ANSI X9.19), zero padding, 8 bytes. */
  retailMac(data: Uint8Array): Uint8Array {
    return macAlgorithm3(this.single, this.pair, data, { padding: 1 })
  }

  /** UnionPay POS MAC: DE64 as 8 ASCII hex characters. */
  posMac(data: Uint8Array): Uint8Array {
    return unionPayPosMac(this.pair, data).de64
  }
}

/** A fresh double-length working key of odd parity. */
export function freshKey(random: Random): WorkingKey {
  const clear = withOddParity(random.bytes(16))
  const key = new WorkingKey(clear)
  wipe(clear)
  return key
}

/**
 * A working key received under `exchange`, or null when its check value is another one.
 *
 * @param wrapped 8 or 16 bytes; for a key of 16 bytes whose right half is zero in clear
 *   (UnionPay POS MAK) give the left 8 bytes only
 */
export function receivedKey(
  exchange: BlockCipher,
  wrapped: Uint8Array,
  checkValue: Uint8Array,
): WorkingKey | null {
  const clear = exchange.decryptEcb(wrapped)
  const key = new WorkingKey(clear)
  wipe(clear)
  const fits = equalConstantTime(key.checkValue(checkValue.length), Uint8Array.from(checkValue))
  return fits ? key : null
}

/** A secret for the keyed hash of a peer's book, made by the token so that no file holds it. */
export function bookSecret(exchange: BlockCipher): Uint8Array {
  const label = Uint8Array.from(Buffer.from('switchyard book!', 'ascii'))
  return concat(exchange.encryptEcb(label), label)
}
