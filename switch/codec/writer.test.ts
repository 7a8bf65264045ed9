/**
 * What MessageWriter writes: setters in any order, filling, refusals by kind, positions of fields,
 * forwarding. Expected bytes are written by hand.
 */
import t from 'tap'
import { loadDialectSpec } from '../../config/dialects.ts'
import { compileDialect } from './dialect.ts'
import { Fault } from './fault.ts'
import { fieldVariant } from './variant.ts'
import { View } from './view.ts'
import { walk } from './walk.ts'
import { MessageWriter, splice } from './writer.ts'

const names = ['cups', 'cups-pos', 'visa', 'mastercard', 'iso87-ascii', 'iso87-binary'] as const
const dialects =
  Object.fromEntries(names.map((name) => [name, compileDialect(loadDialectSpec(name))]))
const dialectOf = (name: (typeof names)[number]) => dialects[name]!
const hexOf = (bytes: Uint8Array | undefined): string =>
  Buffer.from(bytes ?? []).toString('hex').toUpperCase()
const ascii = (text: string): string => hexOf(Buffer.from(text, 'latin1'))

const written = [
  { name: 'n is filled with zeros', dialect: 'cups', field: 4, text: '12345', hex: ascii('000000012345') },
  { name: 'text is filled with blanks', dialect: 'cups', field: 41, text: '3-7', hex: ascii('3-7     ') },
  { name: 'an odd BCD number has a zero before it', dialect: 'visa', field: 49, text: '840', hex: '0840' },
  { name: 'an odd LLVAR has a zero after it', dialect: 'cups-pos', field: 60, text: '00000727011', hex: '0011000007270110' },
  { name: 'entry mode 051 is 0510', dialect: 'cups-pos', field: 22, text: '051', hex: '0510' },
  { name: 'card sequence 1 is 0001', dialect: 'cups-pos', field: 23, text: '1', hex: '0001' },
  { name: 'a track separator = becomes nibble D', dialect: 'cups-pos', field: 35, text: '1234=56', hex: '071234D560' },
  { name: 'text in EBCDIC', dialect: 'mastercard', field: 63, text: 'MCS01106L', hex: 'F0F0F9D4C3E2F0F1F1F0F6D3' },
  { name: 'a binary length of two bytes', dialect: 'visa', field: 110, text: '01', hex: '000101' },
  { name: 'a length of digits for the PAN', dialect: 'visa', field: 2, text: '4123709999000029', hex: '104123709999000029' },
  { name: 'a signed amount in EBCDIC', dialect: 'visa', field: 28, text: 'D00000030', hex: 'C4F0F0F0F0F0F0F3F0' },
  { name: 'a signed amount in BCD', dialect: 'iso87-binary', field: 28, text: 'C00000030', hex: '4300000030' },
  { name: 'a PIN block as hexadecimal characters', dialect: 'iso87-ascii', field: 52, text: '0123456789abcdef', hex: ascii('0123456789ABCDEF') },
  { name: 'bytes that are no text', dialect: 'cups', field: 123, text: 'hex:D6D0', hex: `${ascii('002')}D6D0` },
] as const

for (const row of written) {
  t.test(`${row.dialect}: ${row.name}`, (t) => {
    const writer = new MessageWriter(dialectOf(row.dialect), 2048)
    writer.begin('0200')
    t.ok(writer.setText(row.field, row.text), writer.fault.kind)
    const produced = writer.finish()
    t.equal(hexOf(produced?.frame.subarray(writer.positionOf(row.field))), row.hex)
    t.end()
  })
}

const refused = [
  { name: 'thirteen digits of amount', dialect: 'cups', field: 4, text: '1234567890123', kind: 'length_over_max' },
  { name: 'a letter in an amount', dialect: 'cups', field: 4, text: '12x', kind: 'not_digits' },
  { name: 'a masked PAN', dialect: 'visa', field: 2, text: '412370******0029', kind: 'not_digits' },
  { name: 'Chinese characters as text', dialect: 'cups', field: 43, text: '中国', kind: 'not_in_character_set' },
  { name: 'an odd count of hexadecimal', dialect: 'visa', field: 55, text: '012', kind: 'not_hex' },
  { name: 'a PIN block of seven bytes', dialect: 'visa', field: 52, text: '01234567890123', kind: 'length_wrong' },
  { name: 'an amount without sign', dialect: 'cups', field: 28, text: '000000030', kind: 'sign_not_valid' },
  { name: 'a field the dialect does not have', dialect: 'mastercard', field: 65, text: '00', kind: 'field_not_in_dialect' },
  { name: 'a field above the bitmaps', dialect: 'cups-pos', field: 70, text: '301', kind: 'field_not_in_dialect' },
] as const

for (const row of refused) {
  t.test(`${row.dialect}: ${row.name} is ${row.kind}, and nothing is produced`, (t) => {
    const writer = new MessageWriter(dialectOf(row.dialect), 2048)
    writer.begin('0200')
    t.equal(writer.setText(row.field, row.text), false)
    t.match(writer.fault, { kind: row.kind, field: row.field, offset: -1 })
    writer.setText(3, '000000')
    t.equal(writer.finish(), null)
    writer.begin('0200')
    t.ok(writer.finish(), 'the next message is not disturbed')
    t.end()
  })
}

t.test('a signed amount with an odd count of BCD digits has a zero, or the F it came with, before them', (t) => {
  const spec = loadDialectSpec('iso87-binary')
  const dialect = compileDialect({ ...spec, fields: { 28: { ...spec.fields[28]!, max: 8 } } })
  for (const [pad, hex] of [['0', '4300012345'], ['F', '43F0012345']] as const) {
    const writer = new MessageWriter(dialect, 100)
    writer.begin('0200')
    t.ok(writer.setText(28, 'C0012345', { pad }))
    const produced = writer.finish()!
    t.equal(hexOf(produced.frame.subarray(10)), hex)
    const view = new View(dialect)
    t.ok(walk(dialect, produced.frame, 0, produced.end, view, new Fault()))
    t.equal(view.text(28), 'C0012345')
    t.equal(fieldVariant(view, 28)?.pad ?? '0', pad)
  }
  t.end()
})

t.test('setters in any order, the last value of a field, and fields taken out', (t) => {
  const writer = new MessageWriter(dialectOf('cups'), 2048)
  writer.begin('0820')
  writer.setText(70, '301')
  writer.setText(11, '000001')
  writer.setText(7, '0825112400')
  writer.setText(39, '00')
  writer.setText(11, '863743')
  t.equal(writer.has(39), true)
  writer.clear(39)
  t.equal(writer.has(39), false)
  const produced = writer.finish()
  t.equal(hexOf(produced?.frame), `${ascii('0820')}82200000000000000400000000000000${ascii('0825112400863743301')}`)
  t.equal(writer.positionOf(70), 36)
  t.equal(writer.positionOf(39), -1)
  t.end()
})

t.test('a MAC field is written as a placeholder and overwritten where positionOf says', (t) => {
  const writer = new MessageWriter(dialectOf('cups-pos'), 2048)
  writer.begin('0200')
  writer.setText(64, '00000000')
  writer.setText(11, '000001')
  const produced = writer.finish()!
  const start = writer.positionOf(64)
  t.equal(hexOf(produced.frame.subarray(produced.bodyStart, start)), '02000020000000000001000001', 'bit 64 is set')
  produced.frame.write('BF1A6FC5', start, 'latin1')
  const view = new View()
  t.ok(walk(dialectOf('cups-pos'), produced.frame, 0, produced.end, view, new Fault()))
  t.equal(view.text(64), 'BF1A6FC5')
  t.end()
})

t.test('a VisaNet message has its total length written into the header it is given', (t) => {
  const dialect = dialectOf('visa')
  const writer = new MessageWriter(dialect, 2048)
  writer.begin('0800')
  writer.header(dialect.header?.request('999999'))
  writer.setText(7, '1001215717')
  writer.setText(11, '002155')
  writer.setText(37, '227421002155')
  writer.setText(70, '001')
  t.equal(hexOf(writer.finish()?.frame),
    '160102003E00000099999900000000000000000000000800822000000800000004000000000000001001215717002155F2F2F7F4F2F1F0F0F2F1F5F50001',
    'sample V06 (starkbank/iso8583-python)')
  t.end()
})

t.test('a VisaNet answer has the stations turned round and the rest of the header as it came', (t) => {
  const header = dialectOf('visa').header!
  const request = Buffer.from('16010200460000001291280110004104001601067600', 'hex')
  t.equal(hexOf(header.reply(request, '000000')), '16010200461291280000000110004104001601067600')
  t.equal(hexOf(header.reply(Buffer.from('16010200461291280000000110004104001601067600', 'hex'), '')).slice(10, 22), '000000129128')
  t.equal(header.rejected(Buffer.from('1A01', 'hex')), true)
  t.end()
})

t.test('a message that does not fit the bound is refused', (t) => {
  const writer = new MessageWriter(dialectOf('cups'), 100)
  writer.begin('0200')
  t.equal(writer.setText(48, 'x'.repeat(200)), false)
  t.equal(writer.fault.kind, 'message_too_long')
  t.equal(writer.finish(), null)
  t.end()
})

t.test('fields are copied as bytes, pad nibble and lower-case letters included', (t) => {
  const dialect = dialectOf('cups-pos')
  const bytes =
    Buffer.from('0200 4000000000000000 19 6225188000051688123F'.replaceAll(' ', ''), 'hex')
  const view = new View()
  t.ok(walk(dialect, bytes, 0, bytes.length, view, new Fault()))
  const writer = new MessageWriter(dialect, 2048)
  writer.begin('0200')
  t.equal(writer.copy(view, 2), true)
  t.equal(writer.copy(view, 3), false, 'absent')
  t.same(writer.finish()?.frame, bytes)
  t.same(splice(writer, view, [])?.frame, bytes)
  const longer = splice(writer, view, [[3, '000000'], [2, null]])
  t.equal(hexOf(longer?.frame), '02002000000000000000000000')
  t.equal(splice(writer, view, [[4, 'x']]), null)
  t.equal(writer.fault.kind, 'not_digits')
  t.end()
})

t.test('bytes are set where the wire has bytes, or hexadecimal of bytes', (t) => {
  const block = Buffer.from('0123456789ABCDEF', 'hex')
  for (const [name, hex] of [['visa', hexOf(block)],
    ['iso87-ascii', ascii(hexOf(block))]] as const) {
    const writer = new MessageWriter(dialectOf(name), 2048)
    writer.begin('0200')
    t.ok(writer.setBytes(52, block))
    const produced = writer.finish()!
    t.equal(hexOf(produced.frame.subarray(writer.positionOf(52))), hex)
    const view = new View()
    t.ok(walk(dialectOf(name), produced.frame, 0, produced.end, view, new Fault()))
    t.same(Buffer.from(view.bytes(52)), block)
    t.equal(writer.setBytes(4, block), false, 'digits are set as text, so that they are checked')
  }
  t.end()
})
