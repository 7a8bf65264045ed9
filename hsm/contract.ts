// The contract of the Hsm port: one suite of facts that every adapter must satisfy. Run by
// contract.test.ts against SoftHSM through worker threads and against the software adapter.
// Expected values are public vectors (tests/vectors/vectors.json, cited by id), or come from the
// slow reference below, which uses node:crypto alone and is itself proven on public values.

import { createCipheriv, createDecipheriv } from 'node:crypto'

import type { Test } from 'tap'

import type { Hsm, HsmOutcome, KeyUsage, MacAlgorithm, PinBlockFormat } from './port.ts'

/** An adapter under test, holding the master keys CONTRACT_KEYS. */
export interface Subject {
  readonly hsm: Hsm
  /** Puts a working key's block where the adapter finds it. */
  put(name: string, block: string): void
}

/** Makes an adapter; `callsMax` is the bound of its queue when given. */
export type MakeSubject = (callsMax?: number) => Promise<Subject>

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

const PIN_KEY_A = 'AB9292288227277226252525224665FE'
const PIN_KEY_B = '12345678123456781234567812345678'
const MAC_KEY = '0123456789ABCDEFFEDCBA9876543210'

export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex').toUpperCase()
}

/** 3DES ECB of a 16-byte key, or single DES of an 8-byte key, by node:crypto. */
function des(key: Uint8Array, data: Uint8Array, decipher = false): Uint8Array {
  const k1 = key.subarray(0, 8)
  const k2 = key.length === 8 ? k1 : key.subarray(8, 16)
  const triple = Buffer.concat([k1, k2, k1])
  const make = decipher ? createDecipheriv : createCipheriv
  return make('des-ede3', triple, null).setAutoPadding(false).update(data)
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, at) => byte ^ b[at]!)
}

/** Retail MAC, block by block as ISO 9797-1 writes it: E, ..., then D with K2 and E with K1. */
function retailMac(key: Uint8Array, data: Uint8Array): Uint8Array {
  const [k1, k2] = [key.slice(0, 8), key.slice(8)]
  let state: Uint8Array = new Uint8Array(8)
  for (let at = 0; at < data.length; at += 8) {
    state = des(k1, xor(state, data.subarray(at, at + 8)))
  }
  return des(k1, des(k2, state, true))
}

function padded80(data: Uint8Array): Uint8Array {
  const out = new Uint8Array((Math.floor(data.length / 8) + 1) * 8)
  out.set(data)
  out[data.length] = 0x80
  return out
}

/** Card key by option A, without parity, which DES ignores. */
function cardKey(imk: Uint8Array, pan: string, sequence: string): Uint8Array {
  const y = bytes((pan + sequence).slice(-16).padStart(16, '0'))
  return Buffer.concat([des(imk, y), des(imk, xor(y, new Uint8Array(8).fill(0xff)))])
}

/** PBOC session key: ATC right-aligned in the left block, its complement in the right. */
function pbocSessionKey(mk: Uint8Array, atc: Uint8Array): Uint8Array {
  const left = Uint8Array.from([0, 0, 0, 0, 0, 0, ...atc])
  const right = Uint8Array.from([0, 0, 0, 0, 0, 0, ...atc.map((byte) => byte ^ 0xff)])
  return Buffer.concat([des(mk, left), des(mk, right)])
}

/** Clear format 0 block, written out digit by digit. */
function iso0(pin: string, pan: string, filler = 'F'): Uint8Array {
  const field = `0${pin.length.toString(16)}${pin}`.padEnd(16, filler)
  return xor(bytes(field), bytes(`0000${pan.slice(-13, -1)}`))
}

/** Clear UnionPay X9.8 block: length in two decimal digits. */
function unionPay(pin: string, pan: string | null): Uint8Array {
  const field = bytes(`${String(pin.length).padStart(2, '0')}${pin}`.padEnd(16, 'F'))
  return pan === null ? field : xor(field, bytes(`0000${pan.slice(-13, -1)}`))
}

/** Imports a clear test key as a working key, as a peer would send it. */
async function importKey(
  t: Test,
  subject: Subject,
  name: string,
  usage: KeyUsage,
  key: string,
): Promise<void> {
  const kek = bytes(CONTRACT_KEYS[0]!.hex)
  const wrapped = des(kek, bytes(key))
  const kcv = des(bytes(key), new Uint8Array(8)).slice(0, 4)
  const result = await subject.hsm.importWorkingKey({ name, kek: 'kek', usage, wrapped, kcv })
  if (result.outcome !== 'ok') {
    t.fail(`import of ${name}: ${result.outcome}`)
    return
  }
  subject.put(name, result.value.block)
}

/** Runs all facts against one adapter. */
export function contractOf(t: Test, adapter: string, make: MakeSubject): void {
  t.test(`${adapter}: PIN facts`, async (t) => {
    const subject = await make()
    t.teardown(() => subject.hsm.close())
    await importKey(t, subject, 'pin.a', 'pin', PIN_KEY_A)
    await importKey(t, subject, 'pin.b', 'pin', PIN_KEY_B)
    await importKey(t, subject, 'mac.a', 'mac', MAC_KEY)
    await translationFacts(t, subject)
    await verificationFacts(t, subject)
  })
  t.test(`${adapter}: MAC and card facts`, async (t) => {
    const subject = await make()
    t.teardown(() => subject.hsm.close())
    await macFacts(t, subject)
    await cryptogramFacts(t, subject)
    await cvvFacts(t, subject)
  })
  t.test(`${adapter}: key facts`, async (t) => {
    const subject = await make()
    t.teardown(() => subject.hsm.close())
    await keyFacts(t, subject)
    await vaultFacts(t, subject)
  })
  t.test(`${adapter}: bound and end`, async (t) => boundFacts(t, make))
}

interface TranslationRow {
  readonly name: string
  readonly source: string
  readonly block: Uint8Array
  readonly from: PinBlockFormat
  readonly to: PinBlockFormat
  readonly pan: string
  readonly want: string // clear block expected under pin.b, or an outcome
  readonly keys?: readonly [string, string]
}

const PAN_A = '4356876509876788'
const PAN_19 = '6230606601007726888'
const VECTOR_A = bytes('B4BF8522DFFB6FFB') // PIN 1234 of PAN_A under PIN_KEY_A

const TRANSLATIONS: readonly TranslationRow[] = [
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
    source: 'crypto.md section 1: 12 stands for 0C',
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

async function translationFacts(t: Test, subject: Subject): Promise<void> {
  for (const row of TRANSLATIONS) {
    const [fromKey, toKey] = row.keys ?? ['pin.a', 'pin.b']
    const { block, from, to, pan } = row
    const request = { fromKey, toKey, block, fromFormat: from, toFormat: to, pan }
    const result = await subject.hsm.translatePin(request)
    const got =
      result.outcome === 'ok'
        ? hex(des(bytes(PIN_KEY_B), result.value, true))
        : result.outcome
    t.equal(got, row.want, `${row.name} (${row.source})`)
  }
}

interface PinRow {
  readonly name: string
  readonly source: string
  readonly pan: string
  readonly pin: string
  readonly pvv?: readonly [key: string, pvki: string, pvv: string]
  readonly offset?: string
  readonly want: HsmOutcome
}

const PSEC_PAN = '1122334455667788'
const PINS: readonly PinRow[] = [
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
    name: 'a longer PIN that begins right is not the PIN of a four-digit offset',
    source: 'ibm3624.pin#005',
    pan: PSEC_PAN,
    pin: '12345',
    offset: '7710',
    want: 'pin_mismatch',
  },
]

async function verificationFacts(t: Test, subject: Subject): Promise<void> {
  for (const row of PINS) {
    const block = des(bytes(PIN_KEY_A), iso0(row.pin, row.pan))
    const method =
      row.pvv !== undefined
        ? { kind: 'pvv' as const, key: row.pvv[0], pvki: row.pvv[1], pvv: row.pvv[2] }
        : { kind: 'ibm3624' as const, key: 'pvk', offset: row.offset ?? '' }
    const request = { pinKey: 'pin.a', block, format: 'iso0' as const, pan: row.pan, method }
    const result = await subject.hsm.verifyPin(request)
    t.equal(result.outcome, row.want, `${row.name} (${row.source})`)
  }
}

interface MacRow {
  readonly name: string
  readonly source: string
  readonly key: string
  readonly algorithm: MacAlgorithm
  readonly data: Uint8Array
  readonly want: string // leading bytes
}

const NOW = Buffer.from('Now is the time for all ')
const MACS: readonly MacRow[] = [
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

async function macFacts(t: Test, subject: Subject): Promise<void> {
  for (const [at, row] of MACS.entries()) {
    const key = `mac.${at}`
    await importKey(t, subject, key, 'mac', row.key)
    const { algorithm, data } = row
    const made = await subject.hsm.generateMac({ key, algorithm, data })
    const mac = made.outcome === 'ok' ? made.value : new Uint8Array(0)
    t.equal(hex(mac).slice(0, row.want.length), row.want, `${row.name} (${row.source})`)
    t.equal(mac.length, 8, `${algorithm} gives 8 bytes`)
    for (const length of [4, 8]) {
      const right = await subject.hsm.verifyMac({ key, algorithm, data, mac: mac.slice(0, length) })
      t.equal(right.outcome, 'ok', `${algorithm}: ${length} right bytes verify`)
      const wrong = mac.slice(0, length)
      wrong[length - 1] = wrong[length - 1]! ^ 1
      const bad = await subject.hsm.verifyMac({ key, algorithm, data, mac: wrong })
      t.equal(bad.outcome, 'mac_mismatch', `${algorithm}: one wrong bit in ${length} bytes`)
    }
  }
  const empty = { key: 'mac.0', algorithm: 'x919' as const, data: NOW, mac: new Uint8Array(0) }
  t.equal((await subject.hsm.verifyMac(empty)).outcome, 'bad_input', 'no MAC at all never verifies')
  const pinAsMac = { key: 'kek', algorithm: 'x919' as const, data: NOW }
  t.equal((await subject.hsm.generateMac(pinAsMac)).outcome, 'key_usage', 'a KEK makes no MAC')
}

const CVN10 = {
  imk: 'imk',
  scheme: 'visa_cvn10' as const,
  pan: '1234567890123456',
  panSequence: '00',
  data: bytes('0000000040000000000000000124800004800001241911050152BF45851800001C03A06010'),
  atc: bytes('001C'),
  arqc: bytes('29CCA15AE665FA2E'),
  responseCode: '00',
}
const CVN18 = {
  ...CVN10,
  scheme: 'visa_cvn18' as const,
  data: bytes('0000000040000000000000000124800004800001241911050152BF45851800001C06011203A0B800'),
  arqc: bytes('7A788EA6B8A3E733'),
  responseCode: '05',
}
const JPOS = {
  ...CVN10,
  imk: 'imk.jpos',
  data: bytes('000000010000000000001000084000000010800840980704001111111158003456A08003242000'),
  atc: bytes('3456'),
  arqc: bytes('26C8A1042D1CAF3E'),
}

/** The reference's own proof, and a UnionPay request made by it. */
function unionPayRequest(t: Test): { request: typeof CVN10; answer: string } {
  const publicMk = bytes('0D2E3CB0BC1F9E03AED58F663A2F9679')
  const publicSk = pbocSessionKey(publicMk, bytes('000E'))
  t.equal(hex(publicSk), 'C3D3F062E9992B4E923D338D66193526', 'reference: pboc.sk#001')
  const data = bytes('0000000012340000000000340156D86004A800015612051601010101017C00000E03A4B904')
  t.equal(hex(retailMac(publicSk, padded80(data))), 'F294D7022FA9B058', 'reference: emv.ac#011')

  const pan = '6230606601007726888'
  const mk = cardKey(bytes(CONTRACT_KEYS[1]!.hex), pan, '01')
  const sk = pbocSessionKey(mk, bytes('017C'))
  const arqc = retailMac(sk, padded80(data))
  const block = xor(arqc, Uint8Array.from([0x30, 0x30, 0, 0, 0, 0, 0, 0]))
  const request = {
    imk: 'imk',
    scheme: 'unionpay_cvn01' as 'visa_cvn10', // same shape; the table only wants one type
    pan,
    panSequence: '01',
    data,
    atc: bytes('017C'),
    arqc,
    responseCode: '00',
  }
  return { request, answer: `${hex(des(sk, block))}3030` }
}

async function cryptogramFacts(t: Test, subject: Subject): Promise<void> {
  const unionPayCard = unionPayRequest(t)
  const rows = [
    { name: 'Visa CVN 10', request: CVN10, want: '28993816AFAE4AEB3030', source: 'emv.arpc1#001' },
    { name: 'jPOS VSDC', request: JPOS, want: '98DE7C7B3D80A8313030', source: 'emv.arpc1#010' },
    { name: 'Visa CVN 18', request: CVN18, want: '9AF514C100000000', source: 'emv.arpc2#001' },
    {
      name: 'UnionPay CVN 01',
      request: unionPayCard.request,
      want: unionPayCard.answer,
      source: 'reference',
    },
  ]
  for (const { name, request, want, source } of rows) {
    const good = await subject.hsm.verifyArqc(request)
    const got = good.outcome === 'ok' ? hex(good.value) : good.outcome
    t.equal(got, want, `${name}: right ARQC gives its ARPC (${source})`)
    const { data: _, ...answerOnly } = request
    const arpc = await subject.hsm.generateArpc(answerOnly)
    t.same(arpc, good, `${name}: ARPC alone is the same`)
    const data = request.data.map((byte, at) => (at === 5 ? byte ^ 1 : byte))
    const bad = await subject.hsm.verifyArqc({ ...request, data })
    t.equal(bad.outcome, 'arqc_mismatch', `${name}: another amount does not verify`)
    const otherCard = await subject.hsm.verifyArqc({ ...request, panSequence: '07' })
    t.equal(otherCard.outcome, 'arqc_mismatch', `${name}: another card's cryptogram`)
  }
  const wrongKey = await subject.hsm.verifyArqc({ ...CVN10, imk: 'pvk' })
  t.equal(wrongKey.outcome, 'key_usage', 'a PVK derives no card key')
  const short = await subject.hsm.verifyArqc({ ...CVN10, arqc: bytes('29CCA1') })
  t.equal(short.outcome, 'bad_input', 'three bytes are no cryptogram')
}

const CVVS = [
  { key: 'cvk', pan: '4123456789012345', expiry: '8701', serviceCode: '111', cvv: '856', id: 'cvv#009' },
  { key: 'cvk', pan: '4123456789012', expiry: '8701', serviceCode: '101', cvv: '370', id: 'cvv#001' },
  { key: 'cvk.cfpp', pan: '4433678298261175', expiry: '0916', serviceCode: '101', cvv: '478', id: 'cvv#011' },
]

async function cvvFacts(t: Test, subject: Subject): Promise<void> {
  for (const { id, ...request } of CVVS) {
    t.equal((await subject.hsm.verifyCvv(request)).outcome, 'ok', `right CVV (${id})`)
    const wrong = { ...request, cvv: request.cvv === '000' ? '001' : '000' }
    t.equal((await subject.hsm.verifyCvv(wrong)).outcome, 'cvv_mismatch', `wrong CVV (${id})`)
  }
  const { id: _, ...request } = CVVS[0]!
  const pvk = await subject.hsm.verifyCvv({ ...request, key: 'pvk' })
  t.equal(pvk.outcome, 'key_usage', 'a PVK verifies no CVV')
}

async function keyFacts(t: Test, subject: Subject): Promise<void> {
  const kek = bytes(CONTRACT_KEYS[0]!.hex)
  for (const size of [8, 16] as const) {
    const name = `made.${size}`
    const made = await subject.hsm.makeWorkingKey({ name, kek: 'kek', usage: 'mac', bytes: size })
    if (made.outcome !== 'ok') {
      t.fail(`makeWorkingKey: ${made.outcome}`)
      continue
    }
    const { wrapped, kcv, block } = made.value
    const clear = des(kek, wrapped, true)
    t.equal(clear.length, size, `a key of ${size} bytes was made`)
    t.same(hex(kcv), hex(des(clear, new Uint8Array(8)).slice(0, 4)), 'its check value is right')
    t.ok(clear.every((byte) => oddBits(byte)), 'every byte has odd parity')
    t.match(block, /^D[0-9]{4}M3TC00N/, 'its block is version D, M3, TDES, MAC, not exportable')
    subject.put(name, block)
    const mac = await subject.hsm.generateMac({ key: name, algorithm: 'x919', data: NOW })
    const double = size === 8 ? Buffer.concat([clear, clear]) : clear
    t.same(mac, { outcome: 'ok', value: Uint8Array.from(retailMac(double, NOW)) }, 'it makes MACs')
    const damaged = `${block.slice(0, -1)}${block.endsWith('0') ? '1' : '0'}`
    subject.put(`${name}.damaged`, damaged)
    const bad = { key: `${name}.damaged`, algorithm: 'x919' as const, data: NOW }
    t.equal((await subject.hsm.generateMac(bad)).outcome, 'key_missing', 'a damaged block is no key')
    subject.put(`${name}.other`, block)
    const moved = { key: `${name}.other`, algorithm: 'x919' as const, data: NOW }
    t.equal(
      (await subject.hsm.generateMac(moved)).outcome,
      'key_usage',
      'a block put under another name is refused',
    )
  }
  await importFacts(t, subject, kek)
}

async function importFacts(t: Test, subject: Subject, kek: Uint8Array): Promise<void> {
  const key = bytes('E6F1081FEA4C402CC192B65DE367EC3E') // kcv.tdes.zero#003: 212CF9158251CDD3
  const request = {
    name: 'imported',
    kek: 'kek',
    usage: 'pin' as const,
    wrapped: des(kek, key),
    kcv: null as Uint8Array | null,
  }
  for (const kcv of [null, bytes('212CF9'), bytes('212CF915'), bytes('212CF9158251CDD3')]) {
    const result = await subject.hsm.importWorkingKey({ ...request, kcv })
    const got = result.outcome === 'ok' ? hex(result.value.kcv) : result.outcome
    t.equal(got, '212CF915', `a check value of ${kcv?.length ?? 0} bytes is accepted`)
  }
  const outcomes: ReadonlyArray<readonly [object, HsmOutcome, string]> = [
    [{ kcv: bytes('212CF8') }, 'kcv_mismatch', 'a wrong check value'],
    [{ kcv: bytes('21') }, 'bad_input', 'a check value of one byte'],
    [{ wrapped: des(kek, key).slice(0, 15) }, 'bad_input', 'a key of 15 bytes'],
    [{ usage: 'kek' }, 'bad_input', 'a KEK from a peer'],
    [{ kek: 'pvk' }, 'key_usage', 'a PVK as KEK'],
    [{ kek: 'nobody' }, 'key_missing', 'an unknown KEK'],
  ]
  for (const [change, want, name] of outcomes) {
    const result = await subject.hsm.importWorkingKey({ ...request, ...change })
    t.equal(result.outcome, want, `import is refused: ${name}`)
  }
}

function oddBits(byte: number): boolean {
  let count = 0
  for (let bit = 0; bit < 8; bit++) count += (byte >> bit) & 1
  return count % 2 === 1
}

async function vaultFacts(t: Test, subject: Subject): Promise<void> {
  const first = await subject.hsm.vaultKeys()
  const second = await subject.hsm.vaultKeys()
  t.same(first, second, 'vault keys are made once')
  if (first.outcome !== 'ok') {
    t.fail(`vaultKeys: ${first.outcome}`)
    return
  }
  t.equal(first.value.seal.length, 32)
  t.equal(first.value.token.length, 32)
  t.not(hex(first.value.seal), hex(first.value.token), 'the two secrets differ')
}

async function boundFacts(t: Test, make: MakeSubject): Promise<void> {
  const subject = await make(4)
  const request = { key: 'cvk', pan: PSEC_PAN, expiry: '8701', serviceCode: '101', cvv: '000' }
  const results = await Promise.all(Array.from({ length: 20 }, () => subject.hsm.verifyCvv(request)))
  const outcomes = results.map((result) => result.outcome)
  t.equal(outcomes.filter((outcome) => outcome === 'overloaded').length, 16, 'beyond the bound: 16')
  t.equal(outcomes.filter((outcome) => outcome === 'cvv_mismatch').length, 4, 'within the bound: 4')
  const after = await subject.hsm.verifyCvv(request)
  t.equal(after.outcome, 'cvv_mismatch', 'the bound is free again afterwards')
  t.equal(subject.hsm.status().queued, 0, 'nothing is left in hand')
  t.equal(subject.hsm.status().ready, true)

  const inFlight = [1, 2, 3].map(() => subject.hsm.verifyCvv(request))
  await subject.hsm.close()
  for (const result of await Promise.all(inFlight)) {
    t.match(result.outcome, /^(cvv_mismatch|unavailable)$/, 'a call in flight settles at close')
  }
  t.equal((await subject.hsm.verifyCvv(request)).outcome, 'unavailable', 'closed is unavailable')
  t.equal(subject.hsm.status().ready, false)
}
