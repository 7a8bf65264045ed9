// PIN translation: decipher under one key and format, encipher under another, as one operation.
// The clear PIN exists only inside this call and is wiped before it returns. Run it only where a
// clear PIN may be: in the HSM worker with `clear_pin_in_worker: accepted`, in simulators, in the
// calculator. Tokens that can do better never come here (design.md section 7).

import { wipe } from './bytes.ts'
import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'
import {
  decodeIso0,
  decodeIso1,
  decodeIso2,
  decodeIso3,
  decodeUnionPay,
  decodeUnionPaySm4,
  decryptIso4,
  encodeIso0,
  encodeIso1,
  encodeIso2,
  encodeIso3,
  encodeUnionPay,
  encodeUnionPaySm4,
  encryptIso4,
  fillForSm4,
  stripSm4Fill,
} from './pin-block.ts'
import type { PinDigits } from './pin-block.ts'

/**
 * PIN block formats, a superset of those in hsm/port.ts. UnionPay is X9.8 with or without PAN; the
 * `_sm4` forms fill 16 bytes, the `_sm4_zero` forms are the 8-byte block and 8 zero bytes.
 */
export const PIN_BLOCK_FORMATS = [
  'iso0',
  'iso1',
  'iso2',
  'iso3',
  'iso4',
  'unionpay_no_pan',
  'unionpay_pan',
  'unionpay_no_pan_sm4',
  'unionpay_pan_sm4',
  'unionpay_no_pan_sm4_zero',
  'unionpay_pan_sm4_zero',
] as const
export type PinBlockFormat = (typeof PIN_BLOCK_FORMATS)[number]

/**
 * Enciphers a PIN in `format`. `pan` is the whole PAN, needed by formats that bind it.
 * @param fill free nibbles of formats 1 and 3, or 8 bytes of format 4; random when absent
 */
export function encryptPin(
  cipher: BlockCipher,
  format: PinBlockFormat,
  pin: PinDigits,
  pan: string,
  fill?: Uint8Array,
): Uint8Array {
  if (format === 'iso4') return encryptIso4(cipher, pin, pan, fill)
  const clear = encodeClear(format, pin, pan, fill)
  try {
    return cipher.encryptEcb(clear)
  } finally {
    wipe(clear)
  }
}

/** PIN of an enciphered block. Throws 'control', 'length', 'digit' or 'filler'. Wipe the result. */
export function decryptPin(
  cipher: BlockCipher,
  format: PinBlockFormat,
  block: Uint8Array,
  pan: string,
): PinDigits {
  if (format === 'iso4') return decryptIso4(cipher, block, pan)
  demand(block.length === blockBytesOf(format), 'length', 'enciphered PIN block')
  const clear = cipher.decryptEcb(block)
  try {
    return decodeClear(format, clear, pan)
  } finally {
    wipe(clear)
  }
}

/** Bytes of an enciphered block of this format. */
export function blockBytesOf(format: PinBlockFormat): 8 | 16 {
  return format === 'iso4' || format.includes('sm4') ? 16 : 8
}

function encodeClear(
  format: PinBlockFormat,
  pin: PinDigits,
  pan: string,
  fill: Uint8Array | undefined,
): Uint8Array {
  switch (format) {
    case 'iso0':
      return encodeIso0(pin, pan)
    case 'iso1':
      return encodeIso1(pin, fill)
    case 'iso2':
      return encodeIso2(pin)
    case 'iso3':
      return encodeIso3(pin, pan, fill)
    case 'unionpay_no_pan':
      return encodeUnionPay(pin)
    case 'unionpay_pan':
      return encodeUnionPay(pin, pan)
    case 'unionpay_no_pan_sm4':
      return encodeUnionPaySm4(pin)
    case 'unionpay_pan_sm4':
      return encodeUnionPaySm4(pin, pan)
    case 'unionpay_no_pan_sm4_zero':
      return fillForSm4(encodeUnionPay(pin))
    case 'unionpay_pan_sm4_zero':
      return fillForSm4(encodeUnionPay(pin, pan))
    case 'iso4':
      throw new TypeError('format 4 has no clear block')
  }
}

function decodeClear(format: PinBlockFormat, block: Uint8Array, pan: string): PinDigits {
  switch (format) {
    case 'iso0':
      return decodeIso0(block, pan)
    case 'iso1':
      return decodeIso1(block)
    case 'iso2':
      return decodeIso2(block)
    case 'iso3':
      return decodeIso3(block, pan)
    case 'unionpay_no_pan':
      return decodeUnionPay(block)
    case 'unionpay_pan':
      return decodeUnionPay(block, pan)
    case 'unionpay_no_pan_sm4':
      return decodeUnionPaySm4(block)
    case 'unionpay_pan_sm4':
      return decodeUnionPaySm4(block, pan)
    case 'unionpay_no_pan_sm4_zero':
      return decodeUnionPay(stripSm4Fill(block))
    case 'unionpay_pan_sm4_zero':
      return decodeUnionPay(stripSm4Fill(block), pan)
    case 'iso4':
      throw new TypeError('format 4 has no clear block')
  }
}

/** One side of a translation: the PIN key's cipher, the format, and the PAN bound into it. */
export interface PinBlockSide {
  readonly cipher: BlockCipher
  readonly format: PinBlockFormat
  readonly pan: string
}

/** Translates an enciphered PIN block. Throws as decryptPin does; the PIN is wiped. */
export function translatePinBlock(
  source: PinBlockSide,
  target: PinBlockSide,
  block: Uint8Array,
): Uint8Array {
  const pin = decryptPin(source.cipher, source.format, block, source.pan)
  try {
    return encryptPin(target.cipher, target.format, pin, target.pan)
  } finally {
    wipe(pin)
  }
}

/** How strongly a format binds the PIN, for the format change table of PCI PIN 3-3. */
function bindingOf(format: PinBlockFormat): 'pan' | 'none' | 'chip' {
  if (format === 'iso2') return 'chip'
  if (format === 'iso1') return 'none'
  // UnionPay without PAN has no PAN binding either; with PAN it is format 0 in all but the length.
  return format.startsWith('unionpay_no_pan') ? 'none' : 'pan'
}

/**
 * Throws 'policy' for a change of format or PAN that PCI PIN requirement 3-3 (ISO 9564-1, 8.3)
 * forbids in transaction processing: a PAN-bound block may not lose or change its PAN, and
 * format 2 neither enters nor leaves.
 */
export function demandTranslationAllowed(
  from: PinBlockFormat,
  to: PinBlockFormat,
  samePan: boolean,
): void {
  const source = bindingOf(from)
  const target = bindingOf(to)
  demand(source !== 'chip' && target !== 'chip', 'policy', 'format 2 is for chip cards only')
  demand(!(source === 'pan' && target === 'none'), 'policy', 'the block would lose its PAN')
  demand(source !== 'pan' || samePan, 'policy', 'the PAN may not change')
}
