// EMV application cryptograms (ARQC, TC, AAC) and issuer authentication (ARPC methods 1 and 2).
// EMV Book 2, 8.1 and 8.2. The input bytes are put together in emv/cryptogram-input.ts; keys come
// from emv-keys.ts or stay in a token. Called by the HSM adapters, simulators and the calculator.

import { concat, equalConstantTime, xor } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import { cmac, macAlgorithm3, padForMac } from './mac.ts'
import type { MacPadding } from './mac.ts'

/**
 * Application cryptogram, 8 bytes: MAC algorithm 3; with SM4 ciphers the left 8 bytes.
 * @param single K1|K1|K1 form of the session key (or of the card key where there is no session key)
 * @param pair K1|K2|K1 form of the same key
 * @param padding 1 for Visa CVN 10 and 17, 2 for all others
 */
export function applicationCryptogram(
  single: BlockCipher,
  pair: BlockCipher,
  data: Uint8Array,
  padding: MacPadding,
): Uint8Array {
  return macAlgorithm3(single, pair, data, { padding, length: 8 })
}

/** Application cryptogram of an SM4 card: CBC-MAC under the session key, left 8 bytes. */
export function sm4ApplicationCryptogram(
  sessionKey: BlockCipher,
  data: Uint8Array,
  padding: MacPadding,
): Uint8Array {
  const out = sessionKey.encryptCbc(new Uint8Array(16), padForMac(data, padding, 16))
  return out.slice(out.length - 16, out.length - 8)
}

/** Application cryptogram of an AES card: CMAC, left 8 bytes. */
export function aesApplicationCryptogram(sessionKey: BlockCipher, data: Uint8Array): Uint8Array {
  return cmac(sessionKey, data, 8)
}

/** Whether the received cryptogram is the computed one, in constant time. */
export function cryptogramMatches(computed: Uint8Array, received: Uint8Array): boolean {
  return equalConstantTime(computed, received)
}

/**
 * ARPC method 1: the cryptogram XOR response code, enciphered; 8 bytes.
 * @param key K1|K2|K1 form of the card key (CVN 10, M/Chip 10/11) or of the session key (others);
 *   an SM4 key enciphers the block with 8 zero bytes behind it and keeps 8
 * @param responseCode 2 bytes: ASCII for Visa and UnionPay, binary for M/Chip
 */
export function arpcMethod1(
  key: BlockCipher,
  arqc: Uint8Array,
  responseCode: Uint8Array,
): Uint8Array {
  demand(arqc.length === 8, 'length', 'cryptogram must have 8 bytes')
  demand(responseCode.length === 2, 'length', 'response code must have 2 bytes')
  const block = new Uint8Array(key.blockBytes)
  block.set(xor(arqc, concat(responseCode, new Uint8Array(6))))
  return key.encryptEcb(block).slice(0, 8)
}

/**
 * ARPC method 2: left 4 bytes of MAC algorithm 3, padding 2, over cryptogram, card status update
 * and proprietary data.
 * @param cardStatusUpdate CSU, 4 bytes
 * @param proprietary 0 to 8 bytes
 */
export function arpcMethod2(
  single: BlockCipher,
  pair: BlockCipher,
  arqc: Uint8Array,
  cardStatusUpdate: Uint8Array,
  proprietary: Uint8Array = new Uint8Array(0),
): Uint8Array {
  demand(arqc.length === 8, 'length', 'cryptogram must have 8 bytes')
  demand(cardStatusUpdate.length === 4, 'length', 'card status update must have 4 bytes')
  demand(proprietary.length <= 8, 'length', 'proprietary authentication data')
  const data = concat(arqc, cardStatusUpdate, proprietary)
  return macAlgorithm3(single, pair, data, { padding: 2, length: 4 })
}

/**
 * MAC in the issuer discretionary data of a PBOC 9F10, type 01 (electronic cash balance): left 4
 * bytes of MAC algorithm 3, padding 2, over ATC, balance and a zero byte.
 * @param single K1|K1|K1 form of the PBOC MAC session key; `pair` its K1|K2|K1 form
 * @param balance 5 bytes BCD
 * @param trailer last byte; 00 in the only published value, where it could also be the key index
 */
export function pbocBalanceMac(
  single: BlockCipher,
  pair: BlockCipher,
  atc: Uint8Array,
  balance: Uint8Array,
  trailer = 0,
): Uint8Array {
  demand(atc.length === 2, 'length', 'ATC must have 2 bytes')
  demand(balance.length === 5, 'length', 'electronic cash balance must have 5 bytes')
  const data = concat(atc, balance, Uint8Array.of(trailer))
  return macAlgorithm3(single, pair, data, { padding: 2, length: 4 })
}
