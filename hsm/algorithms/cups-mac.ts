// CUPS host MAC (DE128): the text of the message authentication block (MAB) and the MAC over it.
// Rules: facts of the CUPS technical specification, part "MAC" (UnionPay Q/CUP 006). Called by the
// HSM adapters and the CUPS simulator. The caller picks the fields and gives each as it stands on
// the wire, variable ones with their length digits; this file normalises, joins and computes.

import { fromAscii, toHex } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import { macAlgorithm1, macAlgorithm3 } from './mac.ts'

/** Fields of the MAB in order for authorisation, financial, reversal and advice messages. */
export const CUPS_MAB_FIELDS_FINANCIAL = [
  0, 2, 3, 4, 7, 11, 18, 25, 28, 32, 33, 38, 39, 41, 42, 90,
] as const

/** Fields of the MAB in order for network management (0800, 0810 and 0820 with MAC). */
export const CUPS_MAB_FIELDS_NETWORK = [0, 7, 11, 39, 53, 70, 100] as const

/** Only this many characters of DE90 take part in the MAB (MTI, DE11 and DE7 of the original). */
export const CUPS_MAB_DE90_CHARACTERS = 20

/**
 * One field as it enters the MAB: upper case; every character other than A-Z, 0-9, blank, comma
 * and full stop dropped; outer blanks trimmed; runs of blanks squeezed to one.
 */
export function cupsMabField(text: string): string {
  // Only ASCII letters are raised: toUpperCase would also touch other scripts.
  const raised = text.replace(/[a-z]/g, (letter) => letter.toUpperCase())
  return raised.replace(/[^A-Z0-9 ,.]/g, '').replace(/ +/g, ' ').replace(/^ | $/g, '')
}

/**
 * The MAB text: each present field normalised, joined by one blank, no blank at either end.
 * @param fields field texts in MAB order, MTI first; variable fields with their length digits;
 *   absent fields left out; of DE90 its first 20 characters
 */
export function cupsMab(fields: readonly string[]): string {
  const kept: string[] = []
  for (const field of fields) {
    const text = cupsMabField(field)
    if (text !== '') kept.push(text)
  }
  return kept.join(' ')
}

/**
 * How a link computes the MAC over the MAB.
 * - `cbc`: CBC-MAC under the MAK as it is (DES single length, SM4; plain 3DES-CBC as an option)
 * - `x9.19`: ISO 9797-1 algorithm 3 with a double-length MAK
 */
export type CupsMacMethod = 'cbc' | 'x9.19'

/** Keys of a CUPS MAC; `pair` (the K1|K2|K1 form) is needed for 'x9.19' only. */
export interface CupsMacKeys {
  /** The MAK itself for 'cbc'; the K1|K1|K1 form for 'x9.19'. */
  readonly single: BlockCipher
  readonly pair?: BlockCipher
}

/** MAC of a MAB text, zero padded: the left 8 bytes. */
export function cupsHostMac(method: CupsMacMethod, keys: CupsMacKeys, mab: string): Uint8Array {
  const data = fromAscii(mab)
  if (method === 'cbc') return macAlgorithm1(keys.single, data, { padding: 1, length: 8 })
  demand(keys.pair !== undefined, 'unsupported', 'X9.19 needs a double-length key')
  return macAlgorithm3(keys.single, keys.pair, data, { padding: 1, length: 8 })
}

/** DE128 as it stands on the wire: the first 4 MAC bytes as 8 upper-case ASCII hex digits. */
export function cupsMacField(mac: Uint8Array): Uint8Array {
  demand(mac.length >= 4, 'length', 'MAC')
  return fromAscii(toHex(mac.subarray(0, 4)))
}
