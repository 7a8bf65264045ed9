// The contract of the Hsm port: one suite of facts that every adapter must satisfy. Run by
// contract.test.ts against SoftHSM through worker threads and against the software adapter.
// Expected values are public vectors (tests/vectors/vectors.json, cited by id), or come from the
// slow reference of contract-test-reference.ts, which is itself proven on public values here.

import type { Test } from 'tap'

import {
  bytes,
  cardKey,
  des,
  hex,
  iso0,
  padded80,
  pbocSessionKey,
  retailMac,
  xor,
} from './contract-test-reference.ts'
import {
  CONTRACT_KEYS,
  CVN10,
  CVN18,
  CVVS,
  JPOS,
  MAC_KEY,
  MACS,
  NOW,
  PIN_KEY_A,
  PIN_KEY_B,
  PINS,
  PSEC_PAN,
  TRANSLATIONS,
} from './contract-test-rows.ts'
import type { Hsm, HsmOutcome, KeyUsage } from './port.ts'

/** An adapter under test, holding the master keys CONTRACT_KEYS. */
export interface Subject {
  readonly hsm: Hsm
  /**
   * False for a token that translates equal formats inside: it shows no PIN and so checks none; a
   * bad block arrives at the next institution as bad as it came.
   */
  readonly checksBlocks: boolean
  /** Puts a working key's block where the adapter finds it. */
  put(name: string, block: string): void
}

/** Makes an adapter; `callsMax` is the bound of its queue when given. */
export type MakeSubject = (callsMax?: number) => Promise<Subject>

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
    await importKey(t, subject, 'track.a', 'track', PIN_KEY_A)
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
    const passedOn = row.want === 'bad_pin_block' && from === to && !subject.checksBlocks
    const want = passedOn ? hex(des(bytes(PIN_KEY_A), block, true)) : row.want
    t.equal(got, want, `${row.name} (${row.source})`)
  }
}

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

async function cvvFacts(t: Test, subject: Subject): Promise<void> {
  for (const { id, ...request } of CVVS) {
    t.equal((await subject.hsm.verifyCvv(request)).outcome, 'ok', `right CVV (cvv#${id})`)
    const wrong = { ...request, cvv: request.cvv === '000' ? '001' : '000' }
    t.equal((await subject.hsm.verifyCvv(wrong)).outcome, 'cvv_mismatch', `wrong CVV (cvv#${id})`)
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
    const refused = await subject.hsm.generateMac(bad)
    t.equal(refused.outcome, 'key_missing', 'a damaged block is no key')
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
  const calls = Array.from({ length: 20 }, () => subject.hsm.verifyCvv(request))
  const results = await Promise.all(calls)
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
