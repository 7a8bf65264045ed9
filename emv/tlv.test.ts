/** Facts about BER-TLV reading and writing; bytes are written by hand from EMV Book 3 annex B. */
import t from 'tap'
import fc from 'fast-check'
import { encodeTlv, encodeTlvs, findTlv, isConstructed, parseTlv, tagText } from './tlv.ts'

const rows = [
  { name: 'one- and two-byte tags', hex: '8202 7D00 9F3602 0013', want: ['82=7D00', '9F36=0013'], source: 'Book 3 B1' },
  { name: 'a three-byte tag', hex: 'DF8101 01 AA', want: ['DF8101=AA'], source: 'Book 3 B1' },
  { name: 'an object without value', hex: '9F0900 8A02 3030', want: ['9F09=', '8A=3030'], source: 'UPI frames' },
  { name: 'repeated tags stay in order', hex: '9F1001 01 9F1001 02', want: ['9F10=01', '9F10=02'], source: 'Book 3' },
  { name: 'padding zeros between objects', hex: '0000 8A01 31 00 9501 00 00', want: ['8A=31', '95=00'], source: 'Book 3 B' },
  { name: 'a long form of a small length', hex: '8A8101 31', want: ['8A=31'], source: 'Book 3 B2' },
  { name: 'a two-byte length', hex: `71820080${'AB'.repeat(128)}`, want: [`71=${'AB'.repeat(128)}`], source: 'B2' },
  { name: 'nothing', hex: '', want: [], source: 'edge' },
  { name: 'a tag without length is refused', hex: '9F36', want: null, source: 'cut' },
  { name: 'a tag cut in its second byte is refused', hex: '9F', want: null, source: 'cut' },
  { name: 'a value beyond the end is refused', hex: '8A0231', want: null, source: 'cut' },
  { name: 'a length cut off is refused', hex: '8A82 00', want: null, source: 'cut' },
  { name: 'the indefinite length is refused', hex: '7180 8A0131 0000', want: null, source: 'Book 3 B2' },
  { name: 'a tag of five bytes is refused', hex: 'DF8181818101 00', want: null, source: 'bound' },
]

for (const row of rows) {
  t.test(`${row.name} (${row.source})`, (t) => {
    const items = parseTlv(Buffer.from(row.hex.replaceAll(' ', ''), 'hex'))
    const got =
      items?.map((one) =>
        `${tagText(one.tag)}=${Buffer.from(one.value).toString('hex').toUpperCase()}`)
    t.same(got ?? null, row.want)
    t.end()
  })
}

t.test('the first of two equal tags is found', (t) => {
  const bytes = Buffer.from('9F100101 9F100102'.replaceAll(' ', ''), 'hex')
  t.same(findTlv(bytes, 0x9f10), Buffer.from([1]))
  t.equal(findTlv(bytes, 0x9f26), null)
  t.equal(findTlv(Buffer.from('9F', 'hex'), 0x9f26), null)
  t.end()
})

t.test('bit 6 of the first byte marks a template', (t) => {
  t.equal(isConstructed(0x71), true)
  t.equal(isConstructed(0x9f26), false)
  t.equal(isConstructed(0xbf0c), true)
  t.end()
})

t.test('values from 0 to 65535 bytes are written with the shortest length', (t) => {
  for (const [size, head] of [[0, '8A00'], [127, '8A7F'], [128, '8A8180'], [255, '8A81FF'],
    [256, '8A820100']] as const) {
    t.equal(encodeTlv(0x8a, new Uint8Array(size)).subarray(0, head.length / 2).toString('hex').toUpperCase(), head)
  }
  t.throws(() => encodeTlv(0x8a, new Uint8Array(65536)), RangeError)
  t.end()
})

t.test('what was written is read back, and any bytes are read or refused without throwing', (t) => {
  const tag = fc.constantFrom(0x82, 0x95, 0x9f26, 0x9f10, 0x5f2a, 0xdf31, 0xdf8101)
  const items =
    fc.array(fc.record({ tag, value: fc.uint8Array({ maxLength: 300 }) }), { maxLength: 8 })
  fc.assert(fc.property(items, (list) => {
    const parsed = parseTlv(encodeTlvs(list))
    return parsed !== null && parsed.length === list.length &&
      parsed.every((one, i) => one.tag === list[i]!.tag &&
        Buffer.compare(one.value, list[i]!.value) === 0)
  }), { interruptAfterTimeLimit: 2000 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    const parsed = parseTlv(bytes)
    return parsed === null || parsed.every((one) => one.end <= bytes.length && one.start < one.end)
  }), { interruptAfterTimeLimit: 2000 })
  t.end()
})
