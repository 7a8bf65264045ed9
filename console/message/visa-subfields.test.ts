/**
 * Sub-fields of VisaNet 62, 63 and 126 by their bitmaps. Bytes written by hand.
 */
import t from 'tap'
import { visaSubfields } from './visa-subfields.ts'

const rows = [
  { name: '62 with indicator, transaction identifier and validation code', field: 62, bitmap: 8,
    hex: 'E000000000000000 C1 0123456789012345 D9F1C1C2',
    want: { 1: 'A', 2: '123456789012345', 3: 'R1AB' }, source: 'VisaNet 62, 8-byte bitmap' },
  { name: '62 with a bitmap of zeros has no sub-fields', field: 62, bitmap: 8,
    hex: '0000000000000000', want: {}, source: 'public sample V04' },
  { name: '63 with network and reason', field: 63, bitmap: 3, hex: 'A00000 0002 2501',
    want: { 1: '0002', 3: '2501' }, source: 'VisaNet 63, 3-byte bitmap' },
  { name: '126.10 with presence, response type and value', field: 126, bitmap: 8,
    hex: '0040000000000000 F1F140F1F2F3', want: { 10: '11 123' }, source: 'public sample' },
  { name: '126.16 has a length of its own: the field stays one value', field: 126, bitmap: 8,
    hex: '0001000000000000 01F1', want: null, source: 'VisaNet 126.16' },
  { name: 'a byte too many', field: 63, bitmap: 3, hex: '800000 0002 00', want: null,
    source: 'by hand' },
  { name: 'a byte too few', field: 63, bitmap: 3, hex: '800000 00', want: null, source: 'by hand' },
  { name: 'half a bitmap', field: 62, bitmap: 8, hex: '80000000', want: null, source: 'by hand' },
  { name: 'letters in a number', field: 63, bitmap: 3, hex: '800000 00A2', want: null,
    source: 'by hand' },
  { name: 'a sub-field nobody knows', field: 62, bitmap: 8, hex: '0000000000000001 00', want: null,
    source: 'by hand' },
  { name: 'bytes that are no characters are hexadecimal', field: 62, bitmap: 8,
    hex: '8000000000000000 00', want: { 1: 'hex:00' }, source: 'by hand' },
]

for (const row of rows) {
  t.test(row.name, (t) => {
    const bytes = Buffer.from(row.hex.replaceAll(' ', ''), 'hex')
    t.same(visaSubfields(row.field, bytes, row.bitmap), row.want)
    t.end()
  })
}
