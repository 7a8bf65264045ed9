/**
 * A second decoder of ISO 8583 messages that reads the YAML of a dialect by itself and interprets
 * it field by field with strings. Fuzz targets compare walk() and View with it, for every dialect.
 *
 * It shares nothing with switch/codec or config/dialects.ts: not the tables, not the codings, not
 * the reading of `extends`. It is written from the comments of spec.ts and from the facts, and must
 * stay obvious rather than quick. Slow is twenty microseconds a message.
 */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export interface SlowRow {
  readonly number: number
  readonly kind: string
  /** Digits of the length prefix, 0 when fixed. */
  readonly digits: number
  readonly max: number
  readonly min: number
  readonly coding: string
  readonly lengthCoding: string
  readonly unit: string
  readonly shape: string
}

export interface SlowDialect {
  readonly name: string
  readonly mti: string
  readonly bitmap: string
  readonly bitmaps: number
  readonly visaHeader: boolean
  readonly ebcdic: boolean
  readonly rows: ReadonlyMap<number, SlowRow>
}

/** Where something lies in the bytes: for mutators that know the structure. */
export interface Mark {
  readonly what: 'header' | 'mti' | 'bitmap' | 'length' | 'value'
  readonly field: number
  readonly start: number
  readonly end: number
}

export interface SlowMessage {
  readonly mti: string
  readonly fields: ReadonlyMap<number, string>
  readonly marks: readonly Mark[]
}

/** Why it is no message: every reason that holds at the first place that is wrong. */
export interface SlowFault {
  readonly kinds: readonly string[]
  readonly field: number
  readonly marks: readonly Mark[]
}

type Yaml = Record<string, unknown>

const record = (value: unknown): Yaml =>
  typeof value === 'object' && value !== null ? (value as Yaml) : {}

function readYaml(name: string): Yaml {
  const path = new URL(`../../config/dialects/${name}.yaml`, import.meta.url)
  const own = record(parse(readFileSync(path, 'utf8')))
  const base = own['extends']
  if (typeof base !== 'string') return own
  const below = readYaml(base)
  const merged: Yaml = { ...below, ...own }
  for (const key of ['mti', 'bitmap', 'defaults']) {
    merged[key] = { ...record(below[key]), ...record(own[key]) }
  }
  const fields: Yaml = { ...record(below['fields']) }
  for (const [number, row] of Object.entries(record(own['fields']))) {
    if (row === null) delete fields[number]
    else fields[number] = { ...record(fields[number]), ...record(row) }
  }
  merged['fields'] = fields
  return merged
}

const DIGITS: Readonly<Record<string, number>> = { fixed: 0, l: 1, ll: 2, lll: 3, llll: 4 }

/** Reads a built-in dialect. */
export function slowDialect(name: string): SlowDialect {
  const yaml = readYaml(name)
  const defaults = record(yaml['defaults'])
  const rows = new Map<number, SlowRow>()
  const bitmaps = Number(record(yaml['bitmap'])['count'])
  for (const [key, value] of Object.entries(record(yaml['fields']))) {
    const row = record(value)
    const kind = String(row['kind'])
    const digits = DIGITS[String(row['length'])] ?? 0
    const max = Number(row['max'])
    const common = kind === 'n' || kind === 'b' || kind === 'z' || kind === 'x+n' ? kind : 'text'
    const variable = digits > 0 ? defaults[`${common}_variable`] : undefined
    if (Number(key) > bitmaps * 64) continue
    rows.set(Number(key), {
      number: Number(key), kind, digits, max,
      min: Number(row['min'] ?? 0),
      coding: String(row['coding'] ?? variable ?? defaults[common]),
      lengthCoding: String(row['length_coding'] ?? defaults['length']),
      unit: String(row['length_unit'] ?? 'own'),
      shape: String(row['shape'] ?? ''),
    })
  }
  return {
    name,
    mti: String(record(yaml['mti'])['coding']),
    bitmap: String(record(yaml['bitmap'])['coding']),
    bitmaps,
    visaHeader: yaml['header'] === 'visa',
    ebcdic: defaults['text'] === 'ebcdic',
    rows,
  }
}

/** Code page 037, a row of sixteen for each high digit; `\0` where ASCII has no such character. */
const PAGE_037 = [
  '', '', '', '',
  ' \0\0\0\0\0\0\0\0\0\0.<(+|', '&\0\0\0\0\0\0\0\0\0!$*);', '-/\0\0\0\0\0\0\0\0\0,%_>?', '\0\0\0\0\0\0\0\0\0`:#@\'="',
  '\0abcdefghi', '\0jklmnopqr', '\0~stuvwxyz', '^\0\0\0\0\0\0\0\0\0[]',
  '{ABCDEFGHI', '}JKLMNOPQR', '\\\0STUVWXYZ', '0123456789',
].map((row) => row.padEnd(16, '\0')).join('')

/** Characters of EBCDIC bytes, `\0` for those that ASCII does not have. */
export function fromEbcdic(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += PAGE_037.charAt(byte)
  return text
}

/** EBCDIC bytes of ASCII text. */
export function toEbcdic(text: string): Buffer {
  return Buffer.from([...text].map((character) => PAGE_037.indexOf(character)))
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase()

/** Characters as the dialect writes digits, letters and length prefixes. */
function characters(bytes: Uint8Array, coding: string): string {
  return coding.includes('ebcdic') ? fromEbcdic(bytes) : Buffer.from(bytes).toString('latin1')
}

class Refused {
  readonly kinds: readonly string[]
  readonly field: number

  constructor(field: number, ...kinds: readonly string[]) {
    this.kinds = kinds
    this.field = field
  }
}

/** Bytes left to read; take() gives null when there are not enough. */
class Rest {
  readonly bytes: Uint8Array
  readonly marks: Mark[]
  at: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.marks = []
    this.at = 0
  }

  take(count: number, what: Mark['what'], field: number): Uint8Array | null {
    if (this.at + count > this.bytes.length) return null
    const start = this.at
    this.at += count
    this.marks.push({ what, field, start, end: this.at })
    return this.bytes.subarray(start, this.at)
  }
}

/** Decodes one message that fills all of `bytes`. */
export function slowDecode(dialect: SlowDialect, bytes: Uint8Array): SlowMessage | SlowFault {
  const rest = new Rest(bytes)
  const fields = new Map<number, string>()
  const mti = decodeInto(dialect, rest, fields)
  return mti instanceof Refused
    ? { kinds: mti.kinds, field: mti.field, marks: rest.marks }
    : { mti, fields, marks: rest.marks }
}

function decodeInto(
  dialect: SlowDialect, rest: Rest, fields: Map<number, string>,
): string | Refused {
  const header = dialect.visaHeader ? skipVisaHeader(rest) : null
  if (header !== null) return header
  const raw = rest.take(dialect.mti === 'bcd' ? 2 : 4, 'mti', 0)
  if (raw === null) return new Refused(0, 'mti_truncated')
  const mti = dialect.mti === 'bcd' ? hexOf(raw) : characters(raw, dialect.mti)
  if (!/^[0-9]{4}$/.test(mti)) return new Refused(0, 'mti_not_digits')
  const announced = bitmapsOf(dialect, rest)
  if (announced instanceof Refused) return announced
  for (const number of announced) {
    const row = dialect.rows.get(number)
    if (row === undefined) return new Refused(number, 'field_not_in_dialect')
    const text = fieldOf(dialect, row, rest)
    if (text instanceof Refused) return text
    fields.set(number, text)
  }
  return rest.at < rest.bytes.length ? new Refused(0, 'trailing_bytes') : mti
}

/** Facts of the VisaNet header: 22 bytes, or 26 that may have the original 22 behind them. */
function skipVisaHeader(rest: Rest): Refused | null {
  const first = rest.bytes[0]
  if (first === undefined) return new Refused(0, 'header_truncated')
  if (first === 0x16 || first === 0x1a) {
    if (rest.take(first, 'header', 0) === null) return new Refused(0, 'header_truncated')
    const another = first === 0x1a || rest.bytes[1]! >= 0x80
    if (another && rest.bytes[rest.at] === 0x16 && rest.take(0x16, 'header', 0) === null) {
      return new Refused(0, 'header_truncated')
    }
    return null
  }
  // Without a header the message begins with its MTI, whose first digit is 0, or 9 for private use.
  const digit = hexOf(Uint8Array.of(first)).charAt(0)
  return digit === '0' || digit === '9' ? null : new Refused(0, 'header_length_invalid')
}

function bitmapsOf(dialect: SlowDialect, rest: Rest): number[] | Refused {
  const numbers: number[] = []
  let all = ''
  for (let count = 1; ; count++) {
    if (count > dialect.bitmaps) return new Refused(count === 2 ? 1 : 65, 'bitmap_not_allowed')
    const raw = rest.take(dialect.bitmap === 'binary' ? 8 : 16, 'bitmap', 0)
    if (raw === null) return new Refused(0, 'bitmap_truncated')
    const hex = dialect.bitmap === 'binary' ? hexOf(raw) : characters(raw, dialect.bitmap)
    all += hex
    // One case of letters in all bitmaps, so that the same bytes can be written again.
    if (!isOneCase(all)) return new Refused(0, 'bitmap_not_hex')
    const bits = [...hex].map((digit) => parseInt(digit, 16).toString(2).padStart(4, '0')).join('')
    // The first bit of the first bitmap announces the second; of the second the third, in dialects
    // that have three; elsewhere it is a field.
    const continues = bits.startsWith('1') &&
      (count === 1 || (count === 2 && dialect.bitmaps === 3))
    for (let i = continues ? 1 : 0; i < 64; i++) {
      if (bits.charAt(i) === '1') numbers.push((count - 1) * 64 + i + 1)
    }
    if (!continues) return numbers
  }
}

const isOneCase = (hex: string): boolean => /^([0-9A-F]*|[0-9a-f]*)$/.test(hex)

/** The text of one field. */
function fieldOf(dialect: SlowDialect, row: SlowRow, rest: Rest): string | Refused {
  const packed = row.coding.startsWith('bcd')
  let count = row.max
  if (row.digits > 0) {
    const length = lengthOf(row, rest)
    if (length instanceof Refused) return length
    count = length
    if (packed && row.unit === 'bytes') count = length * 2
    // 18 bytes or 36 digits: the number counts bytes unless so many bytes cannot be.
    if (packed && row.unit === 'bytes-or-digits' && length <= Math.ceil(row.max / 2)) {
      count = length * 2
    }
    if (count > row.max) return new Refused(row.number, 'length_over_max')
    if (count < row.min) return new Refused(row.number, 'length_under_min')
  }
  const raw = rest.take(sizeOf(row, count), 'value', row.number)
  if (raw === null) return new Refused(row.number, 'field_truncated')
  return textOf(dialect, row, raw, count)
}

function lengthOf(row: SlowRow, rest: Rest): number | Refused {
  const half = Math.ceil(row.digits / 2)
  const byBytes = row.lengthCoding === 'binary' || row.lengthCoding === 'bcd'
  const raw = rest.take(byBytes ? half : row.digits, 'length', row.number)
  if (raw === null) return new Refused(row.number, 'length_truncated')
  if (row.lengthCoding === 'binary') return parseInt(hexOf(raw), 16)
  const digits = row.lengthCoding === 'bcd' ? hexOf(raw) : characters(raw, row.lengthCoding)
  return /^[0-9]+$/.test(digits) ? Number(digits) : new Refused(row.number, 'length_not_decimal')
}

/** Bytes that a count of units takes. */
function sizeOf(row: SlowRow, count: number): number {
  if (row.kind === 'x+n' && row.coding.startsWith('bcd')) return 1 + Math.ceil((count - 1) / 2)
  if (row.coding.startsWith('bcd')) return Math.ceil(count / 2)
  return row.coding.startsWith('hex') ? count * 2 : count
}

function textOf(
  dialect: SlowDialect, row: SlowRow, raw: Uint8Array, count: number,
): string | Refused {
  const { kind, coding, number } = row
  if (kind === 'b') {
    if (coding === 'binary') return hexOf(raw)
    const hex = characters(raw, coding)
    return isOneCase(hex) ? hex.toUpperCase() : new Refused(number, 'not_hex')
  }
  if (kind === 'x+n') return signedText(dialect, row, raw, count)
  if (coding.startsWith('bcd')) return packedText(row, hexOf(raw), count)
  const text = characters(raw, coding)
  if (kind === 'n') return /^[0-9]*$/.test(text) ? text : new Refused(number, 'not_digits')
  return /^[ -~]*$/.test(text) && !text.startsWith('hex:') ? text : `hex:${hexOf(raw)}`
}

function packedText(row: SlowRow, nibbles: string, count: number): string | Refused {
  const right = row.coding === 'bcd-right' || row.kind === 'x+n'
  const digits = right ? nibbles.slice(nibbles.length - count) : nibbles.slice(0, count)
  const pad = right ? nibbles.slice(0, nibbles.length - count) : nibbles.slice(count)
  if (row.kind === 'z') return digits
  const kinds: string[] = []
  if (!/^[0-9]*$/.test(digits)) kinds.push('not_digits')
  if (!/^[0F]?$/.test(pad)) kinds.push('pad_not_valid')
  return kinds.length > 0 ? new Refused(row.number, ...kinds) : digits
}

function signedText(
  dialect: SlowDialect, row: SlowRow, raw: Uint8Array, count: number,
): string | Refused {
  const packed = row.coding.startsWith('bcd')
  const signCoding = packed ? (dialect.ebcdic ? 'ebcdic' : 'ascii') : row.coding
  const sign = characters(raw.subarray(0, 1), signCoding)
  if (sign !== 'C' && sign !== 'D') return new Refused(row.number, 'sign_not_valid')
  if (packed) {
    const digits = packedText(row, hexOf(raw.subarray(1)), count - 1)
    return digits instanceof Refused ? digits : sign + digits
  }
  const digits = characters(raw.subarray(1), row.coding)
  return /^[0-9]*$/.test(digits) ? sign + digits : new Refused(row.number, 'not_digits')
}
