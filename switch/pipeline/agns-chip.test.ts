/**
 * AmEx's chip data and the DE22 of 1993: every cut of the bytes is read or refused, never misread.
 */
import t from 'tap'
import { findTlv, parseTlv } from '../../emv/tlv.ts'
import { agnsAnswerOfTlvs, agnsOfTlvs, tlvsOfAgns } from './agns-chip.ts'
import { entryModeOf93 } from './entry-mode.ts'

// amex.md section 6: AGNS, 0001, cryptogram 8, length and issuer data, number 4, ATC 2, TVR 5,
// date 3, type 1, amount 6, currency 2, country 2, AIP 2, other amount 6, sequence 1, kind 1.
const PARTS = [
  'C1C7D5E20001', '1122334455667788', '0706010A03A00000', '0BADF00D', '0011', '0000008000',
  '260318', '00', '000000012345', '0156', '0156', '3900', '000000000000', '01', '80',
]
const WHOLE = Buffer.from(PARTS.join(''), 'hex')

t.test('the elements come out with their tags, byte for byte', async (t) => {
  const tlvs = tlvsOfAgns(WHOLE, false)
  t.ok(tlvs)
  if (tlvs === null) return
  t.equal(parseTlv(tlvs)?.length, 14)
  const value = (tag: number): string => Buffer.from(findTlv(tlvs, tag) ?? []).toString('hex')
  t.equal(value(0x9f26), '1122334455667788')
  t.equal(value(0x9f10), '06010a03a00000')
  t.equal(value(0x95), '0000008000')
  t.equal(value(0x9f02), '000000012345')
  t.same(Buffer.from(agnsOfTlvs(tlvs) ?? []), WHOLE)
})

t.test('it may end after any element and nowhere else', async (t) => {
  const ends = new Set<number>()
  let at = 0
  for (const part of PARTS) ends.add((at += part.length / 2))
  for (let length = 0; length <= WHOLE.length; length++) {
    const read = tlvsOfAgns(WHOLE.subarray(0, length), false)
    t.equal(read !== null, ends.has(length), `${length} bytes`)
  }
  t.equal(tlvsOfAgns(Buffer.concat([WHOLE, Buffer.from([0])]), false), null, 'one byte more')
})

t.test('issuer data above 32 bytes, another version and plain TLVs are not taken for it', async (t) => {
  const long = Buffer.concat([WHOLE.subarray(0, 14), Buffer.from([33]), Buffer.alloc(80)])
  t.equal(tlvsOfAgns(long, false), null)
  const version = Buffer.from(WHOLE)
  version[5] = 2
  t.equal(tlvsOfAgns(version, false), null)
  t.equal(tlvsOfAgns(Buffer.from('9F36020011', 'hex'), false), null)
})

t.test('an answer holds what is for the card, each with its length', async (t) => {
  const tlvs = Buffer.from('910A11223344556677880000' + '7103860100', 'hex')
  const bytes = Buffer.from(agnsAnswerOfTlvs(tlvs) ?? [])
  t.equal(bytes.toString('hex').toUpperCase(), 'C1C7D5E200010A112233445566778800000' + '3860100')
  t.same(Buffer.from(tlvsOfAgns(bytes, true) ?? []), tlvs)
  t.equal(agnsAnswerOfTlvs(Buffer.from('9F36020011', 'hex')), null, 'nothing for the card')
})

const MODES = [
  { name: 'chip with PIN', source: 'iso8583.md section 5', code: '510101511344', want: '051' },
  { name: 'stripe without PIN', source: 'iso8583.md section 5', code: '210101200140', want: '022' },
  { name: 'keyed', source: 'iso8583.md section 5', code: '100010100140', want: '012' },
  { name: 'electronic commerce of AmEx', source: 'amex.md section 4', code: '1009S0S00001', want: '812' },
  { name: 'a letter nobody listed', source: 'amex.md section 4', code: '1000000Q0001', want: '002' },
  { name: 'no field', source: 'nothing to read', code: '', want: '' },
]

for (const row of MODES) {
  t.test(`DE22 of 1993: ${row.name}`, async (t) => {
    t.equal(entryModeOf93(row.code), row.want, row.source)
  })
}
