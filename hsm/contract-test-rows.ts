// Rows of the contract suite: master keys, PIN blocks, PINs, MACs, cryptograms, card verification
// values, each with its source: an id of tests/vectors/vectors.json, or the standard's clause with
// bytes from contract-test-reference.ts. Used by hsm/contract.ts. Public or made-up test data only.

import { bytes, des, hex, iso0, unionPay } from './contract-test-reference.ts'
import type { HsmOutcome, KeyUsage, MacAlgorithm, PinBlockFormat } from './port.ts'

/** Master keys of the suite: public test values, or made up. `single` = CVV needs both forms. */
export const CONTRACT_KEYS: ReadonlyArray<{
  readonly name: string
  readonly usage: KeyUsage
  readonly hex: string
}> = [
  { name: 'kek', usage: 'kek', hex: '0123456789ABCDEF1011121314151617' },
  { name: 'imk', usage: 'imk_ac', hex: '0123456789ABCDEFFEDCBA9876543210' },
  { name: 'imk.jpos', usage: 'imk_ac', hex: '12345678123456781234567812345678' },
  { name: 'pvk', usage: 'pvk', hex: '0123456789ABCDEFFEDCBA9876543210' },
  { name: 'pvk.cfpp', usage: 'pvk', hex: '233220CCDDCC322315C44C2A51A2DFFD' },
  { name: 'cvk', usage: 'cvk', hex: '0123456789ABCDEFFEDCBA9876543210' },
  { name: 'cvk.cfpp', usage: 'cvk', hex: '4C37C8319D76ADAB58D9431543C2165B' },
]

/** IBM 3624 profile of `pvk`: psec's table, the whole 16-digit PAN as validation data. */
export const CONTRACT_IBM3624 = {
  pvk: { decimalizationTable: '1234567890123456', panOffset: 0, panDigits: 16, pad: 'F' },
}

export const PIN_KEY_A = 'AB9292288227277226252525224665FE'
export const PIN_KEY_B = '12345678123456781234567812345678'
export const MAC_KEY = '0123456789ABCDEFFEDCBA9876543210'

export interface TranslationRow {
  readonly name: string
  readonly source: string
  readonly block: Uint8Array
  readonly from: PinBlockFormat
  readonly to: PinBlockFormat
  readonly pan: string
  readonly want: string // clear block expected under pin.b, or an outcome
  readonly keys?: readonly [string, string]
}

export const PAN_A = '4356876509876788'
export const PAN_19 = '6230606601007726888'
export const VECTOR_A = bytes('B4BF8522DFFB6FFB') // PIN 1234 of PAN_A under PIN_KEY_A

export const TRANSLATIONS: readonly TranslationRow[] = [
  {
    name: 'format 0 to format 0 keeps PIN and PAN',
    source: 'pinblock.tdes.decryptToPin#003',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: hex(iso0('1234', PAN_A)),
  },
  {
    name: 'UnionPay with PAN becomes format 0',
    source: 'pinblock.unionpay.pan.encode#003, enciphered by the reference',
    block: des(bytes(PIN_KEY_A), bytes('06125055FF88D977')),
    from: 'unionpay_pan',
    to: 'iso0',
    pan: PAN_19,
    want: hex(iso0('123654', PAN_19)),
  },
  {
    name: 'a 12-digit PIN changes its length nibble from UnionPay to format 0',
    source: 'UnionPay writes the length as two decimal digits, ISO 9564-1 as one nibble',
    block: des(bytes(PIN_KEY_A), unionPay('123456789012', PAN_A)),
    from: 'unionpay_pan',
    to: 'iso0',
    pan: PAN_A,
    want: hex(iso0('123456789012', PAN_A)),
  },
  {
    name: 'format 0 becomes UnionPay with PAN',
    source: 'pinblock.unionpay.pan.encode#003',
    block: des(bytes(PIN_KEY_A), iso0('123654', PAN_19)),
    from: 'iso0',
    to: 'unionpay_pan',
    pan: PAN_19,
    want: '06125055FF88D977',
  },
  {
    name: 'UnionPay without PAN may gain its PAN',
    source: 'PCI PIN 3-3: format 1 to format 0',
    block: des(bytes(PIN_KEY_A), unionPay('4321', null)),
    from: 'unionpay_no_pan',
    to: 'iso0',
    pan: PAN_A,
    want: hex(iso0('4321', PAN_A)),
  },
  ...(['iso1', 'unionpay_no_pan'] as const).map((to) => ({
    name: `format 0 to ${to} would lose the PAN and is refused`,
    source: 'PCI PIN 3-3',
    block: VECTOR_A,
    from: 'iso0' as const,
    to,
    pan: PAN_A,
    want: 'translation_forbidden',
  })),
  {
    name: 'another PAN than the one in the block is a bad block, not another PIN',
    source: 'ISO 9564-1: filler must be F',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: '4111111111111111',
    want: 'bad_pin_block',
  },
  {
    name: 'a block with a wrong filler is refused',
    source: 'ISO 9564-1, 9.3.2',
    block: des(bytes(PIN_KEY_A), iso0('1234', PAN_A, 'E')),
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: 'bad_pin_block',
  },
  {
    name: 'seven bytes are no PIN block',
    source: 'port.ts',
    block: VECTOR_A.slice(0, 7),
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: 'bad_input',
  },
  {
    name: 'a PAN with a letter is refused',
    source: 'port.ts',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: '43568765098767A8',
    want: 'bad_input',
  },
  {
    name: 'a MAC key is no PIN key',
    source: 'PCI PIN requirement 19',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: 'key_usage',
    keys: ['mac.a', 'pin.b'],
  },
  {
    name: 'a key for tracks, which deciphers as well, is no PIN key',
    source: 'PCI PIN requirement 19',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: 'key_usage',
    keys: ['track.a', 'pin.b'],
  },
  {
    name: 'the key to translate to must be a PIN key too',
    source: 'PCI PIN requirement 19',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: 'key_usage',
    keys: ['pin.a', 'kek'],
  },
  {
    name: 'a key that nobody knows is missing',
    source: 'port.ts',
    block: VECTOR_A,
    from: 'iso0',
    to: 'iso0',
    pan: PAN_A,
    want: 'key_missing',
    keys: ['pin.nobody', 'pin.b'],
  },
]

export interface PinRow {
  readonly name: string
  readonly source: string
  readonly pan: string
  readonly pin: string
  readonly pvv?: readonly [key: string, pvki: string, pvv: string]
  readonly offset?: string
  readonly want: HsmOutcome
}

export const PSEC_PAN = '1122334455667788'
export const PINS: readonly PinRow[] = [
  {
    name: 'the right PIN gives its PVV',
    source: 'pvv.visa#001',
    pan: PSEC_PAN,
    pin: '4524',
    pvv: ['pvk', '1', '8523'],
    want: 'ok',
  },
  {
    name: 'another key index gives another PVV',
    source: 'pvv.visa#005',
    pan: PSEC_PAN,
    pin: '4524',
    pvv: ['pvk', '3', '4021'],
    want: 'ok',
  },
  {
    name: 'a 19-digit PAN gives its PVV',
    source: 'pvv.visa#007',
    pan: '4444888811112222333',
    pin: '1234',
    pvv: ['pvk.cfpp', '1', '7640'],
    want: 'ok',
  },
  {
    name: 'a wrong PIN does not give the PVV',
    source: 'pvv.visa#001, last digit changed',
    pan: PSEC_PAN,
    pin: '4525',
    pvv: ['pvk', '1', '8523'],
    want: 'pin_mismatch',
  },
  {
    name: 'a PVV key that is a card verification key is refused',
    source: 'PCI PIN requirement 19',
    pan: PSEC_PAN,
    pin: '4524',
    pvv: ['cvk', '1', '8523'],
    want: 'key_usage',
  },
  {
    name: 'a PVV of three digits is bad input',
    source: 'port.ts',
    pan: PSEC_PAN,
    pin: '4524',
    pvv: ['pvk', '1', '852'],
    want: 'bad_input',
  },
  {
    name: 'the right PIN agrees with its IBM 3624 offset',
    source: 'ibm3624.pin#005',
    pan: PSEC_PAN,
    pin: '1234',
    offset: '7710',
    want: 'ok',
  },
  {
    name: 'a wrong PIN does not agree with the offset',
    source: 'ibm3624.pin#005, last digit changed',
    pan: PSEC_PAN,
    pin: '1235',
    offset: '7710',
    want: 'pin_mismatch',
  },
  {
    name: 'a four-digit offset does not stand for the last digits of a longer PIN',
    source: 'natural PIN 45242 (psec) plus 07710',
    pan: PSEC_PAN,
    pin: '42952',
    offset: '7710',
    want: 'pin_mismatch',
  },
]

export interface MacRow {
  readonly name: string
  readonly source: string
  readonly key: string
  readonly algorithm: MacAlgorithm
  readonly data: Uint8Array
  readonly want: string // leading bytes
}

export const NOW = Buffer.from('Now is the time for all ')
export const MACS: readonly MacRow[] = [
  {
    name: 'X9.19 is algorithm 3 with zero padding',
    source: 'mac.iso9797.alg3#001',
    key: MAC_KEY,
    algorithm: 'x919',
    data: NOW,
    want: 'A1C72E74',
  },
  {
    name: 'X9.19 keeps 8 bytes of a short text',
    source: 'mac.iso9797.alg3#007',
    key: '41414141414141414242424242424242',
    algorithm: 'x919',
    data: Buffer.from('hello world'),
    want: '3DDE5C5511661CBF',
  },
  {
    name: 'X9.9 is algorithm 1 with DES, single-length key',
    source: 'mac.iso9797.alg1#001',
    key: '0123456789ABCDEF',
    algorithm: 'x99',
    data: NOW,
    want: '70A30640',
  },
  {
    name: 'UnionPay POS folds, then enciphers hexadecimal text',
    source: 'mac.cups.pos.ecb#002',
    key: '55036372B17543ECB173730768B8D6C4',
    algorithm: 'unionpay_pos_ecb',
    data: bytes('1212B04E1227809C'),
    want: '3546453035384442',
  },
  {
    name: 'the CUPS host MAC is X9.19 over the MAB text',
    source: 'mac.iso9797.alg3#011',
    key: 'A24A64E9371F523DDA94E5E9CB894F13',
    algorithm: 'cups_host',
    data: Buffer.from('1234567887654321'),
    want: '934F05263310B6D3',
  },
]

export const CVN10 = {
  imk: 'imk',
  scheme: 'visa_cvn10' as const,
  pan: '1234567890123456',
  panSequence: '00',
  data: bytes('0000000040000000000000000124800004800001241911050152BF45851800001C03A06010'),
  atc: bytes('001C'),
  arqc: bytes('29CCA15AE665FA2E'),
  responseCode: '00',
}
export const CVN18 = {
  ...CVN10,
  scheme: 'visa_cvn18' as const,
  data: bytes('0000000040000000000000000124800004800001241911050152BF45851800001C06011203A0B800'),
  arqc: bytes('7A788EA6B8A3E733'),
  responseCode: '05',
}
export const JPOS = {
  ...CVN10,
  imk: 'imk.jpos',
  data: bytes('000000010000000000001000084000000010800840980704001111111158003456A08003242000'),
  atc: bytes('3456'),
  arqc: bytes('26C8A1042D1CAF3E'),
}

/** Card verification values; `id` is the number of the vector cvv#. */
export const CVVS = [
  { key: 'cvk', pan: '4123456789012345', expiry: '8701', serviceCode: '111', cvv: '856', id: '009' },
  { key: 'cvk', pan: '4123456789012', expiry: '8701', serviceCode: '101', cvv: '370', id: '001' },
  {
    key: 'cvk.cfpp',
    pan: '4433678298261175',
    expiry: '0916',
    serviceCode: '101',
    cvv: '478',
    id: '011',
  },
]
