// Secure channel SCP02 (GlobalPlatform card specification, appendix E): session keys and
// cryptograms of card personalisation. Called by personalisation and the calculator.

import { concat } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import { withOddParity } from './key-combination.ts'
import { macAlgorithm1, macAlgorithm3 } from './mac.ts'

/** Derivation constants (GlobalPlatform 2.1.1, E.4.1). */
export const SCP02_CONSTANTS = { enc: 0x0182, cmac: 0x0101, rmac: 0x0102, dek: 0x0181 } as const

/**
 * Session key, 16 bytes: constant ‖ sequence ‖ zeros in CBC under the static card key.
 * @param staticKey K1|K2|K1 form of the card's static key
 * @param constant 2 bytes
 * @param sequence sequence counter, 2 bytes
 */
export function scp02SessionKey(
  staticKey: BlockCipher,
  constant: Uint8Array,
  sequence: Uint8Array,
): Uint8Array {
  demand(constant.length === 2, 'length', 'SCP02 constant')
  demand(sequence.length === 2, 'length', 'SCP02 sequence counter')
  const data = concat(constant, sequence, new Uint8Array(12))
  return staticKey.encryptCbc(new Uint8Array(8), data)
}

/**
 * Card cryptogram: 3DES CBC-MAC, padding 2, of host challenge (8), sequence (2), card challenge (6)
 * under the ENC session key. Not proved by a public value.
 */
export function scp02CardCryptogram(
  encSession: BlockCipher,
  hostChallenge: Uint8Array,
  sequence: Uint8Array,
  cardChallenge: Uint8Array,
): Uint8Array {
  return macAlgorithm1(encSession, concat(hostChallenge, sequence, cardChallenge), { padding: 2 })
}

/** Host cryptogram: as the card cryptogram with the host challenge last. */
export function scp02HostCryptogram(
  encSession: BlockCipher,
  hostChallenge: Uint8Array,
  sequence: Uint8Array,
  cardChallenge: Uint8Array,
): Uint8Array {
  return macAlgorithm1(encSession, concat(sequence, cardChallenge, hostChallenge), { padding: 2 })
}

/** Static card keys of a personaliser's KMC: which of the three. */
export const SCP02_CARD_KEYS = { enc: 0x01, mac: 0x02, dek: 0x03 } as const

/**
 * Static card key from the personaliser's master key (EMV CPS, 5.3): d ‖ F0 ‖ n and d ‖ 0F ‖ n
 * enciphered in ECB, odd parity. Not proved by a public value.
 * @param kmc K1|K2|K1 form of the personaliser's master key
 * @param keyData diversification bytes d: the rightmost 6 bytes of KEYDATA
 */
export function scp02CardKey(
  kmc: BlockCipher,
  keyData: Uint8Array,
  which: keyof typeof SCP02_CARD_KEYS,
): Uint8Array {
  demand(keyData.length === 6, 'length', 'key diversification data must have 6 bytes')
  const number = SCP02_CARD_KEYS[which]
  const left = concat(keyData, Uint8Array.of(0xf0, number))
  const right = concat(keyData, Uint8Array.of(0x0f, number))
  return withOddParity(kmc.encryptEcb(concat(left, right)))
}

/**
 * C-MAC of a command: retail MAC, padding 2, over the command with its final CLA and Lc. The
 * initial value is the previous C-MAC enciphered by single DES; zeros for the first command.
 * @param single K1|K1|K1 form of the C-MAC session key; `pair` its K1|K2|K1 form
 */
export function scp02CommandMac(
  single: BlockCipher,
  pair: BlockCipher,
  command: Uint8Array,
  previous?: Uint8Array,
): Uint8Array {
  const iv = previous === undefined ? new Uint8Array(8) : single.encryptEcb(previous)
  return macAlgorithm3(single, pair, command, { padding: 2, iv })
}
