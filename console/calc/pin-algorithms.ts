// Calculator: PIN blocks, PIN translation, PVV, IBM 3624 (crypto.md sections 1 to 3 of the facts).

import { cipherOf } from './ciphers.ts'
import { CalcInput, CalcInputError, digitsText } from './input.ts'
import type { CalcAlgorithm, CalcOutput } from './input.ts'
import { fromHex, toHex, xor } from '../../hsm/algorithms/bytes.ts'
import type { BlockCipher } from '../../hsm/algorithms/cipher.ts'
import { demand } from '../../hsm/algorithms/errors.ts'
import * as block from '../../hsm/algorithms/pin-block.ts'
import {
  decryptPin,
  encryptPin,
} from '../../hsm/algorithms/pin-translation.ts'
import type { PinBlockFormat } from '../../hsm/algorithms/pin-translation.ts'
import * as verification from '../../hsm/algorithms/pin-verification.ts'
import { aesCipher, sm4Cipher, tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'

const FORMATS: Readonly<Record<string, PinBlockFormat>> = {
  iso0: 'iso0',
  iso1: 'iso1',
  iso2: 'iso2',
  iso3: 'iso3',
  iso4: 'iso4',
  unionpay: 'unionpay_pan',
  unionpaypan: 'unionpay_pan',
  unionpaynopan: 'unionpay_no_pan',
  unionpaysm4: 'unionpay_pan_sm4',
  unionpaypansm4: 'unionpay_pan_sm4',
  unionpaynopansm4: 'unionpay_no_pan_sm4',
  unionpaypansm4zero: 'unionpay_pan_sm4_zero',
  unionpaynopansm4zero: 'unionpay_no_pan_sm4_zero',
}

function keyCipher(format: PinBlockFormat, key: Uint8Array): BlockCipher {
  if (format === 'iso4') return aesCipher(key)
  return format.includes('sm4') ? sm4Cipher(key) : tdesCipher(key)
}

/** PAN of a line; formats without PAN never look at it. */
function panOf(input: CalcInput, format: PinBlockFormat, name = 'pan'): string {
  const unbound = format === 'iso1' || format === 'iso2' || format.includes('no_pan')
  return unbound ? '' : input.text(name)
}

const pinOf = (pin: block.PinDigits): CalcOutput => ({ pin: digitsText(pin) })
const blockOf = (bytes: Uint8Array): CalcOutput => ({ block: toHex(bytes) })
const fieldOf = (bytes: Uint8Array): CalcOutput => ({ field: toHex(bytes) })

function encryptAs(format: PinBlockFormat): CalcAlgorithm {
  return (input) => {
    const cipher = keyCipher(format, input.hex('key'))
    const fill = format === 'iso4' ? input.optionalHex('fill') : input.optionalNibbles('fill')
    const pan = panOf(input, format)
    return blockOf(encryptPin(cipher, format, input.digits('pin'), pan, fill))
  }
}

function decryptAs(format: PinBlockFormat): CalcAlgorithm {
  return (input) => {
    const cipher = keyCipher(format, input.hex('key'))
    const bytes = input.hex(input.has('block') ? 'block' : 'encrypted')
    return pinOf(decryptPin(cipher, format, bytes, panOf(input, format)))
  }
}

const ISO_BLOCKS: Record<string, CalcAlgorithm> = {
  'pinblock.iso0.encode': (i) => blockOf(block.encodeIso0(i.digits('pin'), i.text('pan'))),
  'pinblock.iso0.decode': (i) => pinOf(block.decodeIso0(i.hex('block'), i.text('pan'))),
  // A PAN of one digit has an all-zero PAN field, which leaves the PIN field.
  'pinblock.iso0.pinfield': (i) => fieldOf(block.encodeIso0(i.digits('pin'), '0')),
  'pinblock.iso0.panfield': (i) => fieldOf(block.panField8(i.text('pan'))),
  'pinblock.iso1.encode': (i) =>
    blockOf(block.encodeIso1(i.digits('pin'), i.optionalNibbles('fill'))),
  'pinblock.iso1.decode': (i) => pinOf(block.decodeIso1(i.hex('block'))),
  'pinblock.iso1.pinfield': (i) =>
    fieldOf(block.encodeIso1(i.digits('pin'), i.optionalNibbles('fill'))),
  'pinblock.iso2.encode': (i) => blockOf(block.encodeIso2(i.digits('pin'))),
  'pinblock.iso2.decode': (i) => pinOf(block.decodeIso2(i.hex('block'))),
  'pinblock.iso2.pinfield': (i) => fieldOf(block.encodeIso2(i.digits('pin'))),
  'pinblock.iso3.encode': (i) =>
    blockOf(block.encodeIso3(i.digits('pin'), i.text('pan'), i.optionalNibbles('fill'))),
  'pinblock.iso3.decode': (i) => pinOf(block.decodeIso3(i.hex('block'), i.text('pan'))),
  'pinblock.iso3.pinfield': (i) =>
    fieldOf(block.pinFieldIso3(i.digits('pin'), i.optionalNibbles('fill'))),
  'pinblock.iso3.panfield': (i) => fieldOf(block.panField8(i.text('pan'))),
  'pinblock.iso4.pinfield': (i) =>
    fieldOf(block.pinFieldIso4(i.digits('pin'), i.optionalHex('fill'))),
  'pinblock.iso4.panfield': (i) => fieldOf(block.panFieldIso4(i.text('pan'))),
  'pinblock.iso4.encode': (i) =>
    blockOf(block.pinFieldIso4(i.digits('pin'), i.optionalHex('fill'))),
  'pinblock.iso4.decode': (i) => pinOf(block.decodeIso4Field(i.hex('block'))),
  'pinblock.iso0.encrypt': encryptAs('iso0'),
  'pinblock.iso0.decrypt': decryptAs('iso0'),
  'pinblock.iso1.encrypt': encryptAs('iso1'),
  'pinblock.iso1.decrypt': decryptAs('iso1'),
  'pinblock.iso2.encrypt': encryptAs('iso2'),
  'pinblock.iso2.decrypt': decryptAs('iso2'),
  'pinblock.iso3.encrypt': encryptAs('iso3'),
  'pinblock.iso3.decrypt': decryptAs('iso3'),
  'pinblock.iso4.encrypt': encryptAs('iso4'),
  'pinblock.iso4.decrypt': decryptAs('iso4'),
}

const UNIONPAY_BLOCKS: Record<string, CalcAlgorithm> = {
  'pinblock.unionpay.nopan.encode': (i) => blockOf(block.encodeUnionPay(i.digits('pin'))),
  'pinblock.unionpay.nopan.decode': (i) => pinOf(block.decodeUnionPay(i.hex('block'))),
  'pinblock.unionpay.pan.encode': (i) =>
    blockOf(block.encodeUnionPay(i.digits('pin'), i.text('pan'))),
  'pinblock.unionpay.pan.decode': (i) =>
    pinOf(block.decodeUnionPay(i.hex('block'), i.text('pan'))),
  'pinblock.unionpay.sm4.encode': (i) =>
    blockOf(block.encodeUnionPaySm4(i.digits('pin'), i.optionalText('pan'))),
  'pinblock.unionpay.sm4.decode': (i) =>
    pinOf(block.decodeUnionPaySm4(i.hex('block'), i.optionalText('pan'))),
}

/** Enciphers a clear block as it is; an 8-byte block under SM4 is filled with zero bytes. */
function encryptBlock(cipher: BlockCipher, clear: Uint8Array): CalcOutput {
  return { encrypted: toHex(cipher.encryptEcb(clear)) }
}

const BLOCK_CIPHERS: Record<string, CalcAlgorithm> = {
  'pinblock.tdes.encrypt': (i) => encryptBlock(tdesCipher(i.hex('key')), i.hex('block')),
  'pinblock.tdes.decrypt': (i) =>
    blockOf(tdesCipher(i.hex('key')).decryptEcb(i.hex('encrypted'))),
  'pinblock.tdes.decryptToPin': (i) => {
    const format = i.choice('format', FORMATS)
    return pinOf(
      decryptPin(tdesCipher(i.hex('key')), format, i.hex('encrypted'), panOf(i, format)),
    )
  },
  'pinblock.sm4.encrypt': (i) =>
    encryptBlock(sm4Cipher(i.hex('key')), block.fillForSm4(i.hex('block'))),
  'pinblock.sm4.decrypt': (i) => blockOf(sm4Cipher(i.hex('key')).decryptEcb(i.hex('encrypted'))),
  'pin.translate': (i) => {
    const inFormat = i.choice('inFormat', FORMATS)
    const outFormat = i.choice('outFormat', FORMATS)
    const inPan = panOf(i, inFormat)
    const outPan = panOf(i, outFormat, i.has('outPan') ? 'outPan' : 'pan')
    const pin = decryptPin(keyCipher(inFormat, i.hex('inKey')), inFormat, i.hex('block'), inPan)
    const fill = outFormat === 'iso4' ? i.optionalHex('fill') : i.optionalNibbles('fill')
    const outCipher = keyCipher(outFormat, i.hex('outKey'))
    return blockOf(encryptPin(outCipher, outFormat, pin, outPan, fill))
  },
}

/** The 11 account digits of a 12-digit host account number: its last 11. */
function pvvOfAccount12(i: CalcInput): CalcOutput {
  const account = i.text('acct')
  demand(account.length === 12, 'length', 'account number must have 12 digits')
  const pvk = tdesCipher(i.hex('pvk'))
  const pvv = verification.visaPvvOfAccount(pvk, account.slice(1), i.text('pvki'), i.digits('pin'))
  return { pvv: digitsText(pvv) }
}

/** Validation data: 16 hexadecimal digits, or fewer with a `pad` digit for the right side. */
function validationData(i: CalcInput): Uint8Array {
  const text = i.text('validationData')
  const pad = i.optionalText('pad')
  const full = pad === undefined ? text : text.padEnd(16, pad)
  if (!/^[0-9A-Fa-f]*$/.test(full)) {
    throw new CalcInputError('input', 'validationData must be hexadecimal digits')
  }
  demand(full.length === 16, 'length', 'validation data must have 16 hex digits')
  return fromHex(full)
}

function decTable(i: CalcInput): string {
  return i.optionalText('decTable') ?? verification.DEFAULT_DECIMALIZATION_TABLE
}

const VERIFICATION: Record<string, CalcAlgorithm> = {
  'pvv.visa': (i) => {
    const pvk = tdesCipher(i.hex('pvk'))
    const pvv = verification.visaPvv(pvk, i.text('pan'), i.text('pvki'), i.digits('pin'))
    return { pvv: digitsText(pvv) }
  },
  'pvv.visa.acct12': pvvOfAccount12,
  'ibm3624.natural': (i) => {
    const pvk = tdesCipher(i.hex('pvk'))
    const data = validationData(i)
    const natural = verification.ibm3624NaturalPin(pvk, data, decTable(i), i.integer('length', 4))
    return { encrypted: toHex(pvk.encryptEcb(data)), naturalPin: digitsText(natural) }
  },
  'ibm3624.decimalize': (i) => {
    const encrypted = i.hex('encrypted')
    demand(encrypted.length === 8, 'length', 'enciphered validation data')
    const decimalized = digitsText(verification.decimalize(encrypted, decTable(i)))
    const length = i.integer('length', 4)
    demand(length >= 4 && length <= 16, 'length', 'PIN must have 4 to 16 digits')
    return { decimalized, naturalPin: decimalized.slice(0, length) }
  },
  'ibm3624.offset': (i) => {
    const pin = i.digits('pin')
    const checked = i.optionalInteger(i.has('checkLength') ? 'checkLength' : 'length')
    const pvk = tdesCipher(i.hex('pvk'))
    const data = validationData(i)
    const offset = verification.ibm3624Offset(pvk, data, decTable(i), pin, checked ?? pin.length)
    return { offset: digitsText(offset) }
  },
  'ibm3624.pin': (i) => {
    const offset = i.digits('offset')
    const length = i.integer('length', offset.length)
    const pvk = tdesCipher(i.hex('pvk'))
    return pinOf(verification.ibm3624Pin(pvk, validationData(i), decTable(i), offset, length))
  },
  'ibm3624.verify': (i) => {
    const pin = i.digits('pin')
    const pvk = tdesCipher(i.hex('pvk'))
    const length = i.integer('checkLength', pin.length)
    const offset = i.digits('offset')
    const data = validationData(i)
    const valid = verification.verifyIbm3624(pvk, data, decTable(i), offset, pin, length)
    return { valid }
  },
}

/** XOR of two hexadecimal texts, a testers' convenience. */
const XOR: Record<string, CalcAlgorithm> = {
  xor: (i) => ({ result: toHex(xor(i.hex('a'), i.hex('b'))) }),
  'cipher.ecb.encrypt': (i) => encryptBlock(cipherOf(i, 'key'), i.hex('data')),
  'cipher.ecb.decrypt': (i) => ({
    decrypted: toHex(cipherOf(i, 'key').decryptEcb(i.hex('data'))),
  }),
}

export const PIN_ALGORITHMS: Readonly<Record<string, CalcAlgorithm>> = {
  ...ISO_BLOCKS,
  ...UNIONPAY_BLOCKS,
  ...BLOCK_CIPHERS,
  ...VERIFICATION,
  ...XOR,
}
