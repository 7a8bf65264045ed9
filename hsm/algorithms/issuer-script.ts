// EMV issuer scripts: MAC and encipherment of script commands and the PIN block of Visa PIN
// changes. EMV Book 2, 9; Visa VIS; PBOC 3.0. Called by the HSM adapters, personalisation, the
// simulators and the calculator. Clear PIN blocks are the caller's to wipe.

import { concat, wipe, xor } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import { macAlgorithm3, oneZeroPad } from './mac.ts'
import { encodeIso2 } from './pin-block.ts'
import type { PinDigits } from './pin-block.ts'

/**
 * MAC of a script command: algorithm 3, padding 2, under the SMI session key.
 * @param data header with final Lc, ATC, cryptogram, enciphered data, in the order of the scheme
 * @param length bytes kept: 8 as a rule, 4 for PBOC
 */
export function scriptMac(
  single: BlockCipher,
  pair: BlockCipher,
  data: Uint8Array,
  length = 8,
): Uint8Array {
  return macAlgorithm3(single, pair, data, { padding: 2, length })
}

/**
 * The bytes a script MAC covers.
 * @param header CLA INS P1 P2; Lc is worked out from the data and the MAC length
 */
export function scriptMacInput(
  header: Uint8Array,
  macBytes: number,
  atc: Uint8Array,
  cryptogram: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  demand(header.length === 4, 'length', 'command header must have 4 bytes')
  demand(atc.length === 2, 'length', 'ATC must have 2 bytes')
  demand(cryptogram.length === 8, 'length', 'cryptogram must have 8 bytes')
  demand(data.length + macBytes <= 255, 'length', 'command data')
  const lc = Uint8Array.of(data.length + macBytes)
  return concat(header, lc, atc, cryptogram, data)
}

/**
 * How script data are enciphered.
 * - `visa` (also PBOC, and PBOC with SM4): length byte before the data, padded 80 00.. only where
 *   not whole blocks, ECB
 * - `mastercard`: padded only where not whole blocks, CBC with zero IV
 * - `ccd`: always padded, CBC with zero IV
 */
export type ScriptEncipherment = 'visa' | 'mastercard' | 'ccd'

function padIfNeeded(data: Uint8Array, blockBytes: 8 | 16): Uint8Array {
  const whole = data.length > 0 && data.length % blockBytes === 0
  return whole ? data : oneZeroPad(data, blockBytes)
}

/** Script data enciphered under the SMC session key (K1|K2|K1 form, or SM4). */
export function encryptScriptData(
  key: BlockCipher,
  method: ScriptEncipherment,
  data: Uint8Array,
): Uint8Array {
  const size = key.blockBytes
  switch (method) {
    case 'visa':
      demand(data.length <= 255, 'length', 'script data')
      return key.encryptEcb(padIfNeeded(concat(Uint8Array.of(data.length), data), size))
    case 'mastercard':
      return key.encryptCbc(new Uint8Array(size), padIfNeeded(data, size))
    case 'ccd':
      return key.encryptCbc(new Uint8Array(size), oneZeroPad(data, size))
  }
}

/** The PIN digits left-justified in 8 bytes, zero filled. */
function digitsZeroFilled(pin: PinDigits): Uint8Array {
  demand(pin.length >= 4 && pin.length <= 12, 'length', 'PIN must have 4 to 12 digits')
  const out = new Uint8Array(8)
  for (let i = 0; i < pin.length; i++) {
    demand(pin[i]! <= 9, 'digit', 'PIN')
    out[i >> 1] = out[i >> 1]! | (i % 2 === 0 ? pin[i]! << 4 : pin[i]!)
  }
  return out
}

/**
 * VIS PIN block of a PIN change (Visa CVN 10 and 18, PBOC): `0 N P..P F..F` XOR the right half of
 * the left part of the card's AC master key, and XOR the old PIN where the command carries it.
 * @param cardKeyAc card AC master key, 16 bytes
 */
export function visaPinChangeBlock(
  pin: PinDigits,
  cardKeyAc: Uint8Array,
  oldPin?: PinDigits,
): Uint8Array {
  demand(cardKeyAc.length === 16, 'length', 'card master key')
  const field = encodeIso2(pin)
  field[0] = field[0]! & 0x0f // The control nibble is 0 here, 2 in format 2; all else is the same.
  const mask = concat(new Uint8Array(4), cardKeyAc.subarray(4, 8))
  let block = xor(field, mask)
  if (oldPin !== undefined) {
    const old = digitsZeroFilled(oldPin)
    block = xor(block, old)
    wipe(old)
  }
  wipe(field, mask)
  return block
}
