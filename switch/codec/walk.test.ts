/**
 * What walk() takes and refuses: one row per kind of fault, bytes written by hand. Also that no
 * bytes, whatever they are, make it throw or take longer than their length allows.
 */
import t from 'tap'
import fc from 'fast-check'
import { dialectNames, loadDialectSpec } from '../../config/dialects.ts'
import { compileDialect } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { FAULT_KINDS, Fault } from './fault.ts'
import { View } from './view.ts'
import { walk } from './walk.ts'

const dialects =
  new Map(dialectNames().map((name) => [name, compileDialect(loadDialectSpec(name))]))
const dialectOf = (name: string): Dialect => dialects.get(name)!

const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex')
/** DE3 and DE11 in CUPS form after MTI and bitmap. */
const CUPS_3_11 = `${ascii('0200')}2020000000000000${ascii('000000')}${ascii('123456')}`

interface Row {
  readonly name: string
  readonly dialect: string
  readonly hex: string
  readonly kind: string
  readonly field: number
  readonly offset: number
}

const rows: readonly Row[] = [
  { name: 'no bytes', dialect: 'cups', hex: '', kind: 'mti_truncated', field: 0, offset: 0 },
  { name: 'three digits of MTI', dialect: 'cups', hex: ascii('020'), kind: 'mti_truncated', field: 0, offset: 0 },
  { name: 'a letter in the MTI', dialect: 'cups', hex: `${ascii('02A0')}2020000000000000`, kind: 'mti_not_digits', field: 0, offset: 0 },
  { name: 'nibble A in a BCD MTI', dialect: 'cups-pos', hex: '02A0 0000000000000000', kind: 'mti_not_digits', field: 0, offset: 0 },
  { name: 'an ASCII digit in an EBCDIC MTI', dialect: 'mastercard', hex: 'F0F1F030 0000000000000000', kind: 'mti_not_digits', field: 0, offset: 0 },
  { name: 'seven bytes of bitmap', dialect: 'cups', hex: `${ascii('0200')}20200000000000`, kind: 'bitmap_truncated', field: 0, offset: 4 },
  { name: 'a second bitmap that is announced and missing', dialect: 'cups', hex: `${ascii('0200')}A020000000000000`, kind: 'bitmap_truncated', field: 0, offset: 12 },
  { name: 'a letter G in a hexadecimal bitmap', dialect: 'iso87-ascii', hex: ascii('08002G20000000000000'), kind: 'bitmap_not_hex', field: 0, offset: 4 },
  { name: 'both cases in a hexadecimal bitmap', dialect: 'iso87-ascii', hex: ascii('0800aB20000000000000'), kind: 'bitmap_not_hex', field: 0, offset: 4 },
  { name: 'a second bitmap where only one is allowed', dialect: 'cups-pos', hex: '0800 8000000000000000 0000000000000000', kind: 'bitmap_not_allowed', field: 1, offset: 2 },
  { name: 'a field the dialect does not have', dialect: 'mastercard', hex: 'F0F8F0F0 8000000000000000 8000000000000000', kind: 'field_not_in_dialect', field: 65, offset: 20 },
  { name: 'a length prefix cut off', dialect: 'cups', hex: `${ascii('0200')}4000000000000000${ascii('1')}`, kind: 'length_truncated', field: 2, offset: 12 },
  { name: 'a length that is not decimal', dialect: 'cups', hex: `${ascii('0200')}4000000000000000${ascii('1A')}${ascii('6251880000051688')}`, kind: 'length_not_decimal', field: 2, offset: 12 },
  { name: 'DE35 length 3A is not decimal in BCD', dialect: 'cups-pos', hex: '0200 0000000020000000 3A 00', kind: 'length_not_decimal', field: 35, offset: 10 },
  { name: 'twenty digits of PAN', dialect: 'cups', hex: `${ascii('0200')}4000000000000000${ascii('2062518800000516881234')}`, kind: 'length_over_max', field: 2, offset: 12 },
  { name: 'a value cut off', dialect: 'cups', hex: CUPS_3_11.slice(0, -2), kind: 'field_truncated', field: 11, offset: 23 },
  { name: 'a letter in a number', dialect: 'cups', hex: CUPS_3_11.replace(ascii('123456'), ascii('12E456')), kind: 'not_digits', field: 11, offset: 20 },
  { name: 'nibble B in a BCD number', dialect: 'cups-pos', hex: '0200 0020000000000000 12B456', kind: 'not_digits', field: 11, offset: 11 },
  { name: 'nibble B before the pad', dialect: 'cups-pos', hex: '0200 0000040000000000 05B0', kind: 'not_digits', field: 22, offset: 11 },
  { name: 'pad nibble 7 after an odd number', dialect: 'cups-pos', hex: '0200 0000040000000000 0517', kind: 'pad_not_valid', field: 22, offset: 11 },
  { name: 'pad nibble 1 before an odd number', dialect: 'visa', hex: '0100 0000200000000000 1840', kind: 'pad_not_valid', field: 19, offset: 10 },
  { name: 'an amount without sign', dialect: 'cups', hex: `${ascii('0200')}0000001000000000${ascii('X00000030')}`, kind: 'sign_not_valid', field: 28, offset: 12 },
  { name: 'a letter in a signed amount', dialect: 'cups', hex: `${ascii('0200')}0000001000000000${ascii('C0000003O')}`, kind: 'not_digits', field: 28, offset: 20 },
  { name: 'a PIN block that is no hexadecimal', dialect: 'iso87-ascii', hex: ascii('0200000000000000100012345678901234XX'), kind: 'not_hex', field: 52, offset: 20 },
  { name: 'a byte after the last field', dialect: 'cups', hex: `${CUPS_3_11}00`, kind: 'trailing_bytes', field: 0, offset: 24 },
  { name: 'half a VisaNet header', dialect: 'visa', hex: '1601020046', kind: 'header_truncated', field: 0, offset: 0 },
  { name: 'a VisaNet header of 23 bytes', dialect: 'visa', hex: `17${'00'.repeat(40)}`, kind: 'header_length_invalid', field: 0, offset: 0 },
  { name: 'a fourth bitmap', dialect: 'visa', hex: '0100 8000000000000000 8000000000000000 8000000000000000', kind: 'field_not_in_dialect', field: 129, offset: 26 },
]

for (const row of rows) {
  t.test(`${row.dialect}: ${row.name} is ${row.kind}`, (t) => {
    const dialect = dialectOf(row.dialect)
    const bytes = Buffer.from(row.hex.replaceAll(' ', ''), 'hex')
    const view = new View(dialect)
    const fault = new Fault()
    t.equal(walk(dialect, bytes, 0, bytes.length, view, fault), false)
    t.same({ kind: fault.kind, field: fault.field, offset: fault.offset }, { kind: row.kind, field: row.field, offset: row.offset })
    t.same([...view.fields()], [], 'the view shows nothing')
    t.end()
  })
}

t.test('every kind of fault that walk() reports has a row above', (t) => {
  const writing =
    ['none', 'length_under_min', 'length_wrong', 'not_in_character_set', 'message_too_long']
  const covered = new Set(rows.map((row) => row.kind))
  t.same(FAULT_KINDS.filter((kind) => !covered.has(kind) && !writing.includes(kind)), [])
  t.end()
})

const values = [
  { name: 'a PAN of no digits', dialect: 'cups', hex: `${ascii('0200')}4000000000000000${ascii('00')}`, field: 2, text: '' },
  { name: 'an odd LLVAR with zero after it', dialect: 'cups-pos', hex: '0200 4000000000000000 19 62251880000516881230', field: 2, text: '6225188000051688123' },
  { name: 'an odd LLVAR with F after it', dialect: 'cups-pos', hex: '0200 4000000000000000 19 6225188000051688123F', field: 2, text: '6225188000051688123' },
  { name: 'an odd LLVAR with zero before it', dialect: 'visa', hex: '0100 4000000000000000 13 06225188000051688123', field: 2, text: '6225188000051688123' },
  { name: 'Visa DE61 of 18 bytes', dialect: 'visa', hex: `0100 0000000000000008 12 ${'0'.repeat(34)}12`, field: 61, text: `${'0'.repeat(34)}12` },
  { name: 'Visa DE61 of 36 digits', dialect: 'visa', hex: `0100 0000000000000008 24 ${'0'.repeat(34)}12`, field: 61, text: `${'0'.repeat(34)}12` },
  { name: 'a track with separator D', dialect: 'cups-pos', hex: '0200 0000000020000000 07 1234D560', field: 35, text: '1234D56' },
  { name: 'a PIN block in lower-case hexadecimal', dialect: 'iso87-ascii', hex: ascii('02000000000000001000abcdef0123456789'), field: 52, text: 'ABCDEF0123456789' },
  { name: 'text that looks like our mark', dialect: 'cups', hex: `${ascii('0200')}0000000000800000${ascii('hex:4142')}`, field: 41, text: 'hex:6865783A34313432' },
  { name: 'a signed amount in BCD', dialect: 'iso87-binary', hex: '0200 0000001000000000 43 00000030', field: 28, text: 'C00000030' },
  { name: 'a raw MAC in a key reset', dialect: 'cups', hex: `${ascii('0800')}8000000000000000 0000000000000001 0D61FFA1B2C3D4E5`, field: 128, text: 'hex:0D61FFA1B2C3D4E5' },
]

for (const row of values) {
  t.test(`${row.dialect}: ${row.name} reads as its own digits`, (t) => {
    const dialect = dialectOf(row.dialect)
    const bytes = Buffer.from(row.hex.replaceAll(' ', ''), 'hex')
    const view = new View(dialect)
    const fault = new Fault()
    t.equal(walk(dialect, bytes, 0, bytes.length, view, fault), true, fault.kind)
    t.equal(view.text(row.field), row.text)
    t.end()
  })
}

t.test('amounts are read as numbers in ASCII, EBCDIC and BCD', (t) => {
  for (const [name, hex] of [
    ['cups', `${ascii('0200')}1000000000000000${ascii('000000012345')}`],
    ['mastercard', 'F0F2F0F0 1000000000000000 F0F0F0F0F0F0F0F1F2F3F4F5'],
    ['visa', '0100 1000000000000000 000000012345'],
  ] as const) {
    const dialect = dialectOf(name)
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    const view = new View(dialect)
    t.ok(walk(dialect, bytes, 0, bytes.length, view, new Fault()))
    t.equal(view.digitsToNumber(4), 12345)
    t.equal(view.digitsToNumber(5), -1, 'absent')
  }
  t.end()
})

t.test('any bytes are taken or refused without throwing, and a fault lies inside the frame', (t) => {
  for (const dialect of dialects.values()) {
    const view = new View(dialect)
    const fault = new Fault()
    const mti = { ascii: '30323030', ebcdic: 'F0F2F0F0', bcd: '0200' }[dialect.mtiCoding]
    fc.assert(fc.property(fc.boolean(), fc.uint8Array({ maxLength: 300 }), (headed, tail) => {
      const bytes = Buffer.concat([Buffer.from(headed ? mti : '', 'hex'), tail])
      if (!walk(dialect, bytes, 0, bytes.length, view, fault)) {
        return fault.offset >= 0 && fault.offset <= bytes.length
      }
      for (const field of view.fields()) view.text(field)
      return true
    }), { numRuns: 2000, interruptAfterTimeLimit: 600 })
  }
  t.end()
})
