/**
 * Builds messages of a dialect at random, and changes them knowing where their parts lie: the other
 * half of slow-decoder.ts, as slow and as obvious. Used by fuzz targets only.
 */
import { Random } from './random.ts'
import { replaced } from './mutate.ts'
import { slowDecode, toEbcdic } from './slow-decoder.ts'
import type { Mark, SlowDialect, SlowRow } from './slow-decoder.ts'

const PLAIN = ' ABCabc019.,-/=$@[]{}\\^|~!:hex'
const TRACK = '0123456789D'

const written = (text: string, coding: string): Buffer =>
  coding.includes('ebcdic') ? toEbcdic(text) : Buffer.from(text, 'latin1')

/** Bytes of a length prefix. */
export function slowLength(row: SlowRow, length: number): Buffer {
  const digits = String(length).padStart(row.digits, '0').slice(-row.digits)
  if (row.lengthCoding === 'binary') {
    const bytes = Math.ceil(row.digits / 2)
    return Buffer.from((length % 256 ** bytes).toString(16).padStart(bytes * 2, '0'), 'hex')
  }
  if (row.lengthCoding === 'bcd') {
    return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
  }
  return written(digits, row.lengthCoding)
}

/** A field of `count` units with its length prefix; its content is legal, and now and then odd. */
export function slowField(
  dialect: SlowDialect, row: SlowRow, count: number, random: Random,
): Buffer {
  const value = valueOf(dialect, row, count, random)
  if (row.digits === 0) return value
  const packed = row.coding.startsWith('bcd')
  const either = row.unit === 'bytes-or-digits' && random.oneIn(2)
  const inBytes = packed && (row.unit === 'bytes' || either)
  return Buffer.concat([slowLength(row, inBytes ? Math.ceil(count / 2) : count), value])
}

/** A field of a count that it may have: mostly short, sometimes the most or the least. */
export function anyField(dialect: SlowDialect, row: SlowRow, random: Random): Buffer {
  const some = random.between(row.min, Math.min(row.max, 40))
  const count = row.digits === 0 ? row.max
    : random.pick([row.min, row.max, Math.max(row.min, 1), some])
  return slowField(dialect, row, Math.min(count, row.max), random)
}

function valueOf(dialect: SlowDialect, row: SlowRow, count: number, random: Random): Buffer {
  const { kind, coding } = row
  if (kind === 'b') {
    const shaped = shapedBytes(row, count, random)
    if (coding === 'binary') return shaped
    const hex = shaped.toString('hex')
    return written(random.oneIn(4) ? hex : hex.toUpperCase(), coding)
  }
  if (kind === 'x+n') {
    const sign = random.pick(['C', 'D'])
    const digits = random.text(count - 1, '0123456789')
    if (!coding.startsWith('bcd')) return written(sign + digits, coding)
    const first = written(sign, dialect.ebcdic ? 'ebcdic' : 'ascii')
    return Buffer.concat([first, packed(digits, true, random)])
  }
  if (coding.startsWith('bcd')) {
    const digits = random.text(count, kind === 'z' ? TRACK : '0123456789')
    return packed(digits, coding === 'bcd-right', random)
  }
  if (kind === 'n') return written(random.text(count, '0123456789'), coding)
  if (random.oneIn(12)) return random.bytes(count) // raw bytes in a text field are allowed
  return written(shapedText(row, count, random), coding)
}

function packed(digits: string, right: boolean, random: Random): Buffer {
  const pad = digits.length % 2 === 0 ? '' : random.pick(['0', '0', 'F'])
  return Buffer.from(right ? pad + digits : digits + pad, 'hex')
}

/** Bytes that have the shape of the field as far as they go. */
function shapedBytes(row: SlowRow, count: number, random: Random): Buffer {
  const out = random.bytes(count)
  if (row.shape === 'ber-tlv' && count >= 3) objects(out, 0, random)
  if (row.shape === 'visa-datasets' && count >= 6) {
    out[0] = random.pick([1, 1, 2, 0x56, 0x68])
    out.writeUInt16BE(count - 3, 1)
    objects(out, 3, random)
  }
  if (row.shape === 'visa-bitmap-8' && count >= 8) out.fill(0, 1, 8)
  return out
}

const TAGS = [
  '9F26', '9F27', '9F36', '82', '95', '9A', '9C', '5F2A', '5A', '57', '71', '86', 'DF31', '9F10',
]

/** Fills out[at..] with objects, the last one as long as what is left. */
function objects(out: Buffer, start: number, random: Random): void {
  let at = start
  while (at < out.length) {
    const tag = Buffer.from(random.pick(TAGS), 'hex')
    const left = out.length - at - tag.length - 1
    if (left < 0 || left > 127) {
      out.fill(0, at)
      return
    }
    const length = left < 6 || random.oneIn(4) ? left : random.below(left - 3)
    tag.copy(out, at)
    out[at + tag.length] = length
    at += tag.length + 1 + length
  }
}

/** Text that has the shape of the field as far as it goes. */
function shapedText(row: SlowRow, count: number, random: Random): string {
  const free = (size: number): string => random.text(Math.max(0, size), PLAIN)
  if (row.shape.startsWith('cups-usage') && count >= 7 && random.oneIn(2)) {
    const head = row.shape === 'cups-usage' ? 'AS' : ''
    const size = count - head.length - 5
    const name = random.pick(['PB', 'SM', 'A1', 'NK'])
    return `${head}${name}${String(size).padStart(3, '0')}${free(size)}`
  }
  if (row.shape === 'mastercard-elements' && count >= 5 && count < 100) {
    return `T${random.text(2, '0123456789')}${String(count - 5).padStart(2, '0')}${free(count - 5)}`
  }
  return random.oneIn(10) ? `hex:${free(count)}`.slice(0, count) : free(count)
}

/** Bitmaps for a set of fields, or more of them than needed. */
function bitmapBytes(dialect: SlowDialect, numbers: readonly number[], random: Random): Buffer {
  const needed = Math.max(1, ...numbers.map((number) => Math.ceil(number / 64)))
  const count = random.oneIn(8) ? random.between(needed, dialect.bitmaps) : needed
  let bits = ''
  for (let i = 1; i <= count * 64; i++) {
    const announces = i % 64 === 1 && i < (count - 1) * 64
    bits += announces || numbers.includes(i) ? '1' : '0'
  }
  const hex = bits.replace(/[01]{4}/g, (four) => parseInt(four, 2).toString(16))
  if (dialect.bitmap === 'binary') return Buffer.from(hex, 'hex')
  return written(random.oneIn(6) ? hex : hex.toUpperCase(), dialect.bitmap)
}

const MTIS = [
  '0100', '0110', '0200', '0210', '0400', '0420', '0800', '0810', '1200', '9999', '0000',
]

/** A message that the dialect reads, unless chance made a header of its MTI. */
export function slowMessage(dialect: SlowDialect, random: Random): Buffer {
  const known = [...dialect.rows.keys()]
  const share = random.pick([2, 4, 10, 30])
  const numbers = known.filter(() => random.oneIn(share)).slice(0, 60).sort((a, b) => a - b)
  const mti = random.pick(MTIS.filter((one) => !dialect.visaHeader || /^[09]/.test(one)))
  const parts = [dialect.mti === 'bcd' ? Buffer.from(mti, 'hex') : written(mti, dialect.mti)]
  const header = Buffer.from(`1601020000${'00'.repeat(17)}`, 'hex')
  if (dialect.visaHeader && random.oneIn(2)) parts.unshift(header)
  parts.push(bitmapBytes(dialect, numbers, random))
  for (const number of numbers) {
    const row = dialect.rows.get(number)
    // Bits 1, 65 and 129 announce bitmaps in some dialects; their fields would shift the rest.
    if (row !== undefined) parts.push(anyField(dialect, row, random))
  }
  return Buffer.concat(parts)
}

type Change = (
  dialect: SlowDialect, input: Uint8Array, marks: readonly Mark[], random: Random,
) => Buffer | null

const anyMark = (marks: readonly Mark[], what: Mark['what'], random: Random): Mark | null => {
  const found = marks.filter((mark) => mark.what === what)
  return found.length === 0 ? null : random.pick(found)
}

/** A length one more or less, or at an edge, its value as it was. */
const length: Change = (dialect, input, marks, random) => {
  const mark = anyMark(marks, 'length', random)
  const row = dialect.rows.get(mark?.field ?? 0)
  if (mark === null || row === undefined) return null
  const value = marks.find((one) => one.field === row.number && one.what === 'value')
  const bytes = value === undefined ? 0 : value.end - value.start
  const wanted =
    random.pick([bytes + 1, bytes - 1, bytes * 2, bytes * 2 - 1, 0, row.max, row.max + 1])
  return replaced(input, mark.start, mark.end, slowLength(row, Math.max(0, wanted)))
}

/** A field of another length, prefix and value together. */
const resized: Change = (dialect, input, marks, random) => {
  const mark = anyMark(marks, 'value', random)
  const row = dialect.rows.get(mark?.field ?? 0)
  if (mark === null || row === undefined) return null
  const start = marks.find((one) => one.field === row.number)?.start ?? mark.start
  return replaced(input, start, mark.end, anyField(dialect, row, random))
}

/** A bit of a bitmap turned, alone or with its field put in or taken out. */
const bit: Change = (dialect, input, marks, random) => {
  const bitmaps = marks.filter((mark) => mark.what === 'bitmap')
  if (bitmaps.length === 0) return null
  const numbers = [...dialect.rows.keys()].filter((number) => number <= bitmaps.length * 64)
  const field = random.oneIn(6) ? random.between(1, bitmaps.length * 64) : random.pick(numbers)
  const mark = bitmaps[Math.floor((field - 1) / 64)]
  if (mark === undefined) return null
  const out = turned(dialect, input, mark, (field - 1) % 64)
  const row = dialect.rows.get(field)
  if (random.oneIn(4) || row === undefined) return out
  const own = marks.filter((one) => one.field === field)
  const first = own[0]
  const last = own.at(-1)
  if (first !== undefined && last !== undefined) {
    return replaced(out, first.start, last.end, Buffer.alloc(0))
  }
  const before = marks.filter((one) => one.field < field).at(-1)
  const at = before?.end ?? out.length
  return replaced(out, at, at, anyField(dialect, row, random))
}

function turned(dialect: SlowDialect, input: Uint8Array, mark: Mark, index: number): Buffer {
  const out = Buffer.from(input)
  if (dialect.bitmap === 'binary') {
    out[mark.start + (index >> 3)]! ^= 0x80 >> (index & 7)
    return out
  }
  const at = mark.start + (index >> 2)
  const digit = parseInt(String.fromCharCode(out[at] ?? 0x30), 16) || 0
  out.write((digit ^ (8 >> (index & 3))).toString(16).toUpperCase(), at, 'latin1')
  return out
}

/** One byte of a value made wrong, or right, in its coding. */
const value: Change = (_dialect, input, marks, random) => {
  const mark = anyMark(marks, random.oneIn(5) ? 'length' : 'value', random)
  if (mark === null || mark.end === mark.start) return null
  const out = Buffer.from(input)
  const edge = random.pick([mark.start, mark.end - 1])
  const at = random.oneIn(3) ? edge : random.between(mark.start, mark.end - 1)
  const byte = out[at] ?? 0
  out[at] = random.pick([
    byte | 0xf0, byte | 0x0f, (byte & 0x0f) | 0xa0, (byte & 0xf0) | 0x0a, byte ^ 0x20, byte ^ 0xc0,
    0x30, 0xf0, 0x43, 0xc3, 0x44, 0xc4, 0x40, 0x20, random.below(256),
  ])
  return out
}

/** A field twice, or cut short, its bit as it was. */
const stretch: Change = (_dialect, input, marks, random) => {
  const mark = anyMark(marks, 'value', random)
  if (mark === null) return null
  const own = input.subarray(mark.start, mark.end)
  if (random.oneIn(2)) return replaced(input, mark.end, mark.end, own)
  return Buffer.from(input.subarray(0, random.between(mark.start, mark.end)))
}

/** Letters of hexadecimal text in the other case. */
const letters: Change = (dialect, input, marks, random) => {
  const mark = anyMark(marks, random.oneIn(2) ? 'bitmap' : 'value', random)
  if (mark === null) return null
  const out = Buffer.from(input)
  for (let at = mark.start; at < mark.end; at++) {
    const letter = dialect.ebcdic ? /[A-FÁ-Æ]/ : /[A-Fa-f]/
    if (letter.test(String.fromCharCode(out[at]!))) out[at]! ^= dialect.ebcdic ? 0x40 : 0x20
  }
  return out
}

const CHANGES: readonly Change[] = [length, resized, bit, bit, value, value, stretch, letters]

/**
 * One change that knows where the parts of a message lie; null when the message has no such part.
 */
export function changedMessage(
  dialect: SlowDialect, input: Uint8Array, random: Random,
): Buffer | null {
  const { marks } = slowDecode(dialect, input)
  return random.pick(CHANGES)(dialect, input, marks, random)
}
