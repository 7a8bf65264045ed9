// Chip data: cryptogram inputs against the published worked examples, layouts of 9F10, data object
// lists, issuer scripts, static data. The cryptograms themselves are proved in tests/calc.test.ts.

import t from 'tap'

import {
  CRYPTOGRAM_RULES,
  cryptogramInput,
  cryptogramSchemeOf,
  issuerAuthenticationDataMethod1,
} from './cryptogram-input.ts'
import type { CryptogramScheme } from './cryptogram-input.ts'
import { dataObjectListValues, fitDataObject, parseDataObjectList } from './data-object-list.ts'
import { EmvError } from './faults.ts'
import { parseIssuerApplicationData, pbocBalance } from './issuer-application-data.ts'
import {
  buildIssuerScript,
  parseIssuerScript,
  parseScriptResults,
  putDataCommand,
} from './issuer-scripts.ts'
import { staticDataOf } from './offline-authentication.ts'
import { TAGS, tagEntry, tagSecrecy, tagText } from './tags.ts'

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase()

function lookupOf(values: Readonly<Record<string, string>>) {
  return (tag: number) => {
    const value = values[tagText(tag)]
    return value === undefined ? undefined : hex(value)
  }
}

const PBOC_VALUES = {
  '9F02': '000000001234',
  '9F03': '000000000034',
  '9F1A': '0156',
  '95': 'D86004A800',
  '5F2A': '0156',
  '9A': '120516',
  '9C': '01',
  '9F37': '01010101',
  '82': '7C00',
  '9F36': '000E',
  '9F10': '07000103A4B90401',
}

const VISA_VALUES = {
  '9F02': '000000004000',
  '9F03': '000000000000',
  '9F1A': '0124',
  '95': '8000048000',
  '5F2A': '0124',
  '9A': '191105',
  '9C': '01',
  '9F37': '52BF4585',
  '82': '1800',
  '9F36': '001C',
  '9F10': '06011203A0B800',
}

const INPUTS: readonly {
  name: string
  scheme: CryptogramScheme
  values: Readonly<Record<string, string>>
  want: string
  source: string
}[] = [
  {
    name: 'PBOC CVN 01 ends with the CVR and its length byte',
    scheme: 'unionpay_cvn01',
    values: PBOC_VALUES,
    want: '0000000012340000000000340156D86004A800015612051601010101017C00000E03A4B904',
    source: 'shuzhiduo.com/A/l1dyep1Vde',
  },
  {
    name: 'Visa CVN 18 ends with the whole 9F10',
    scheme: 'visa_cvn18',
    values: VISA_VALUES,
    want: '0000000040000000000000000124800004800001241911050152BF45851800001C06011203A0B800',
    source: 'github:knovichikhin/pyemv tests/test_cvn_hsm.py',
  },
  {
    name: 'Visa CVN 10 ends with the CVR and its length byte',
    scheme: 'visa_cvn10',
    values: { ...VISA_VALUES, '9F10': '06010A03A02000' },
    want: '0000000040000000000000000124800004800001241911050152BF45851800001C03A02000',
    source: 'Visa VIS, CVN 10, by hand',
  },
  {
    name: 'M/Chip CVN 10 ends with six bytes of CVR',
    scheme: 'mchip_cvn10',
    values: { ...VISA_VALUES, '9F10': '0110A0000324000000000000000000000000FF' },
    want: '0000000040000000000000000124800004800001241911050152BF45851800001CA00003240000',
    source: 'M/Chip, CVN 10, by hand',
  },
  {
    name: 'M/Chip CVN 11 adds the counters',
    scheme: 'mchip_cvn11',
    values: { ...VISA_VALUES, '9F10': '0111A00003240000112200000000000000FF' },
    want:
      '0000000040000000000000000124800004800001241911050152BF45851800001C' +
      'A0000324000000000000000000FF',
    source: 'M/Chip, CVN 11, by hand',
  },
  {
    name: 'qPBOC CVN 17 is amount, number, counter and byte 5 of 9F10',
    scheme: 'unionpay_cvn17',
    values: { ...PBOC_VALUES, '9F10': '07001103A4B90401' },
    want: '00000000123401010101000EA4',
    source: 'facts of the contactless profile, not proved by a value',
  },
]

t.test('the cryptogram input has the order and the scheme part of its version', async (t) => {
  for (const { name, scheme, values, want, source } of INPUTS) {
    t.equal(text(cryptogramInput(scheme, lookupOf(values))), want, `${name} (${source})`)
  }
})

t.test('an absent object is refused by name, except amount other, which is zero', async (t) => {
  for (const tag of Object.keys(PBOC_VALUES)) {
    const values = Object.fromEntries(Object.entries(PBOC_VALUES).filter(([key]) => key !== tag))
    if (tag === '9F03') {
      const input = cryptogramInput('unionpay_cvn01', lookupOf(values))
      t.equal(text(input).slice(12, 24), '000000000000')
      continue
    }
    t.throws(() => cryptogramInput('unionpay_cvn01', lookupOf(values)), {
      name: 'EmvError',
      kind: 'missing',
      message: `missing: ${tag}`,
    })
    const wrong = lookupOf({ ...values, [tag]: 'AABBCCDDEEFF07' })
    t.throws(() => cryptogramInput('unionpay_cvn01', wrong), {
      name: 'EmvError',
      kind: /length|missing|format/,
    })
  }
})

t.test('the scheme of a card comes from its AID and cryptogram version', async (t) => {
  const rows = [
    { aid: 'A000000333010101', iad: '07000103A4B90401', want: 'unionpay_cvn01' },
    { aid: 'A0000000031010', iad: '06010A03A02000', want: 'visa_cvn10' },
    { aid: 'A0000000031010', iad: '06011203A0B800', want: 'visa_cvn18' },
    { aid: 'A0000000041010', iad: '0110A00003240000', want: 'mchip_cvn10' },
    { aid: 'A000000025010801', iad: '06010103A00000', want: 'amex_cvn01' },
    { aid: 'A0000000031010', iad: '06017703A02000', want: undefined },
    { aid: 'A0000009990101', iad: '06010A03A02000', want: undefined },
    { aid: 'A000000333', iad: '', want: undefined },
  ] as const
  for (const { aid, iad, want } of rows) {
    t.equal(cryptogramSchemeOf(hex(aid), hex(iad)), want, `${aid} ${iad}`)
  }
  t.ok(Object.values(CRYPTOGRAM_RULES).every(({ padding }) => padding === 1 || padding === 2))
  const data = issuerAuthenticationDataMethod1(hex('0102030405060708'), hex('3030'))
  t.equal(text(data), '01020304050607083030')
})

t.test('9F10 is taken apart by layout, and a cut one is refused', async (t) => {
  const pboc = hex('07000103A04002010A010000001000D1F61152')
  const parts = parseIssuerApplicationData('unionpay', pboc)
  t.equal(parts.derivationKeyIndex, 0)
  t.equal(parts.cryptogramVersion, 1)
  t.equal(text(parts.cardVerificationResults), '03A04002')
  t.equal(parts.algorithm, 1)
  const balance = pbocBalance(parts.discretionary)
  t.equal(balance?.balanceMinor, 1000n, '553668.com/manong/959163.html')
  t.equal(text(balance!.mac), 'D1F61152')
  t.equal(pbocBalance(hex('02000000100000000000')), undefined, 'another type has another meaning')
  for (let length = 0; length < 8; length++) {
    t.throws(() => parseIssuerApplicationData('unionpay', pboc.slice(0, length)), {
      name: 'EmvError',
    })
  }
  for (let length = 9; length < pboc.length; length++) {
    t.throws(() => parseIssuerApplicationData('unionpay', pboc.slice(0, length)), {
      name: 'EmvError',
      kind: 'length',
    })
  }
})

t.test('a data object list asks for lengths and gets exactly those', async (t) => {
  const requests = parseDataObjectList(hex('9F02069F1A029F370450035A0A'))
  t.same(requests[1], { tag: 0x9f1a, bytes: 2 })
  const values = { '9F02': '1234', '9F1A': '000156', '50': '41424344', '5A': '6225AA' }
  const joined = text(dataObjectListValues(requests, lookupOf(values)))
  const want = '000000001234' + '0156' + '00000000' + '414243' + '6225AAFFFFFFFFFFFFFF'
  t.equal(joined, want, 'EMV Book 3, 5.4')
  t.equal(text(fitDataObject(0xdf99, hex('0102'), 4)), '01020000', 'unknown tags are binary')
  for (const broken of ['9F', '9F02', '9F8181', '95']) {
    t.throws(() => parseDataObjectList(hex(broken)), { name: 'EmvError', kind: 'format' }, broken)
  }
})

t.test('an issuer script is built, read back and bounded', async (t) => {
  const command = hex('8418000008A1A2A3A4A5A6A7A8')
  const script = { template: 0x72, identifier: hex('00000001'), commands: [command] } as const
  const built = buildIssuerScript(script)
  t.equal(text(built), '72169F180400000001860D8418000008A1A2A3A4A5A6A7A8')
  const read = parseIssuerScript(0x72, built.slice(2))
  t.equal(text(read.identifier!), '00000001')
  t.same(read.commands.map(text), [text(command)])
  const long = { template: 0x71, identifier: undefined, commands: [new Uint8Array(130)] } as const
  const tooLong = { name: 'EmvError', kind: 'length' }
  t.throws(() => buildIssuerScript(long), tooLong, 'UnionPay limits it to 128 bytes')
  for (const broken of ['9F18040000000195010A', '8605840000']) {
    t.throws(() => parseIssuerScript(0x71, hex(broken)), { name: 'EmvError', kind: 'format' })
  }
  t.equal(text(putDataCommand(0x9f79, hex('000000010000'), 4)), '04DA9F790A000000010000')
  const [first, second] = parseScriptResults(hex('20000000011300000002'))
  t.same([first?.outcome, first?.sequence], ['successful', 0])
  t.same([second?.outcome, second?.sequence], ['failed', 3])
  t.throws(() => parseScriptResults(hex('200000')), { name: 'EmvError', kind: 'length' })
})

t.test('static data are record contents below SFI 11 and whole records above', async (t) => {
  const record = hex('700457021122')
  const both = [
    { sfi: 1, record },
    { sfi: 11, record },
  ]
  t.equal(text(staticDataOf(both, hex('7C00'))), '570211227004570211227C00', 'EMV Book 3, 10.3')
  t.throws(() => staticDataOf([{ sfi: 1, record: hex('7105') }], undefined), {
    name: 'EmvError',
    kind: 'format',
  })
})

t.test('the tag dictionary names each tag once and hides what it does not know', async (t) => {
  t.equal(new Set(TAGS.map(({ tag }) => tag)).size, TAGS.length)
  t.equal(new Set(TAGS.map(({ name }) => name)).size, TAGS.length)
  t.ok(TAGS.every(({ bytes: [min, max] }) => min <= max))
  t.equal(tagEntry(0x9f26)?.name, 'application_cryptogram')
  for (const tag of [0x57, 0x5a, 0x5f20, 0x9f26, 0x9f61, 0x9f24]) {
    t.not(tagSecrecy(tag), 'open', tagText(tag))
  }
  t.equal(tagSecrecy(0xdfee01), 'drop', 'masking fails closed')
})

t.test('an EMV error names the object and never its value', async (t) => {
  try {
    cryptogramInput('visa_cvn10', lookupOf({ ...VISA_VALUES, '9F02': 'DEADBEEF' }))
    t.fail('was not refused')
  } catch (fault) {
    t.ok(fault instanceof EmvError)
    t.notMatch(String(fault), /DEADBEEF/i)
  }
})
