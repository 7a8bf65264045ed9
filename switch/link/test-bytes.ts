/**
 * What the tests of this room share: two small dialects with their meaning, and a slow builder of
 * bytes by hand.
 *
 * The builder shares no code with codec and framing, so that a mistake there cannot hide in the
 * tests. Layouts: CUPS host link (cups-host.md sections 1, 2, 11), VisaNet BASE I (visa.md sections
 * 1, 2, 8). Only tests import it.
 */
import { parseMeaning, type Meaning } from '../../config/meaning.ts'
import { compileDialect, type Dialect } from '../codec/dialect.ts'
import type { DialectSpec, FieldSpec } from '../codec/spec.ts'

/** Fields of the CUPS tests: number, characters, digits of length prefix (0 = fixed), kind. */
const CUPS_FIELDS: ReadonlyArray<readonly [number, number, 0 | 2 | 3, 'n' | 'an']> = [
  [2, 19, 2, 'n'], [3, 6, 0, 'n'], [4, 12, 0, 'n'], [7, 10, 0, 'n'], [11, 6, 0, 'n'],
  [32, 11, 2, 'n'], [33, 11, 2, 'n'], [37, 12, 0, 'an'], [39, 2, 0, 'an'], [41, 8, 0, 'an'],
  [48, 512, 3, 'an'], [70, 3, 0, 'n'],
]

/** Fields of the Visa tests: number, digits or characters, variable, kind. */
const VISA_FIELDS: ReadonlyArray<readonly [number, number, boolean, 'n' | 'an']> = [
  [2, 19, true, 'n'], [3, 6, false, 'n'], [4, 12, false, 'n'], [7, 10, false, 'n'],
  [11, 6, false, 'n'],
  [32, 11, true, 'n'], [37, 12, false, 'an'], [39, 2, false, 'an'], [41, 8, false, 'an'],
  [70, 3, false, 'n'],
]

function cupsSpec(): DialectSpec {
  const fields: Record<number, FieldSpec> = {}
  for (const [field, max, prefix, kind] of CUPS_FIELDS) {
    const length = prefix === 0 ? 'fixed' : prefix === 2 ? 'll' : 'lll'
    fields[field] = { name: `f${field}`, kind, length, max }
  }
  return {
    name: 'cups-test',
    description: 'a part of CUPS',
    mti: { coding: 'ascii' },
    bitmap: { coding: 'binary', count: 2 },
    header: 'none',
    defaults: {
      n: 'ascii', text: 'ascii', z: 'ascii', b: 'binary', 'x+n': 'ascii', length: 'ascii',
    },
    fields,
  }
}

function visaSpec(): DialectSpec {
  const fields: Record<number, FieldSpec> = {}
  for (const [field, max, variable, kind] of VISA_FIELDS) {
    fields[field] = { name: `f${field}`, kind, length: variable ? 'll' : 'fixed', max }
  }
  return {
    name: 'visa-test',
    description: 'a part of VisaNet',
    mti: { coding: 'bcd' },
    bitmap: { coding: 'binary', count: 3 },
    header: 'visa',
    defaults: {
      n: 'bcd-right', text: 'ebcdic', z: 'bcd-right', b: 'binary', 'x+n': 'ebcdic',
      length: 'binary',
    },
    fields,
  }
}

export const cupsDialect: Dialect = compileDialect(cupsSpec())
export const visaDialect: Dialect = compileDialect(visaSpec())

export const cupsMeaning: Meaning = parseMeaning('cups-test', {
  matching: [7, 11, 33],
  transmission_time: 'local',
  network: {
    code_field: 70,
    request_mti: '0820',
    accepted_mtis: ['0800', '0820', '0821'],
    codes: {
      sign_on: '001', sign_off: '002', echo: '301', key_exchange: ['101'], cutover: ['201', '202'],
    },
    fields: { 7: 'transmission_time', 11: 'stan', 33: 'institution' },
    answer_echo: [7, 11, 33, 70],
  },
})

export const visaMeaning: Meaning = parseMeaning('visa-test', {
  matching: [7, 11, 32, 37, 41],
  transmission_time: 'utc',
  network: {
    code_field: 70,
    request_mti: '0800',
    accepted_mtis: ['0800'],
    codes: { sign_on: '071', sign_off: '072', echo: '301', key_exchange: ['162'] },
    fields: { 7: 'transmission_time', 11: 'stan', 37: 'rrn' },
    answer_echo: [7, 11, 37, 70],
  },
})

/** Field number to text; ascending order is made here. */
export type Fields = Readonly<Record<number, string>>

function bitmapOf(fields: Fields): Buffer {
  const numbers = Object.keys(fields).map(Number)
  const bitmap = Buffer.alloc(numbers.some((field) => field > 64) ? 16 : 8)
  if (bitmap.length === 16) bitmap[0] = 0x80
  for (const field of numbers) bitmap[(field - 1) >> 3]! |= 0x80 >> ((field - 1) & 7)
  return bitmap
}

function ascending(fields: Fields): ReadonlyArray<readonly [number, string]> {
  const numbers = Object.keys(fields).map(Number).sort((a, b) => a - b)
  return numbers.map((field) => [field, fields[field] ?? ''] as const)
}

/** MTI, bitmap and fields as CUPS writes them. */
export function cupsMessage(mti: string, fields: Fields): Buffer {
  const parts = [Buffer.from(mti, 'latin1'), bitmapOf(fields)]
  for (const [field, text] of ascending(fields)) {
    const row = CUPS_FIELDS.find(([number]) => number === field)
    const digits = row === undefined ? 0 : row[2]
    const prefix = digits === 0 ? '' : String(text.length).padStart(digits, '0')
    parts.push(Buffer.from(prefix + text, 'latin1'))
  }
  return Buffer.concat(parts)
}

/** A whole frame of framing cups4: four digits, 46-byte header, message. */
export function cupsFrame(from: string, to: string, message: Buffer, rejectCode = '00000'): Buffer {
  const total = String(46 + message.length).padStart(4, '0')
  const header = Buffer.concat([
    Buffer.from([0x2e, 0x02]),
    Buffer.from(total + to.padEnd(11) + from.padEnd(11), 'latin1'),
    Buffer.from([0, 0, 0, 0]),
    Buffer.from('00000000', 'latin1'),
    Buffer.from([0]),
    Buffer.from(rejectCode, 'latin1'),
  ])
  return Buffer.concat([Buffer.from(total, 'latin1'), header, message])
}

const EBCDIC_DIGIT = 0xf0

/** MTI, bitmap and fields as VisaNet writes them: BCD, EBCDIC digits and capitals A to I only. */
export function visaMessage(mti: string, fields: Fields): Buffer {
  const parts = [Buffer.from(mti, 'hex'), bitmapOf(fields)]
  for (const [field, text] of ascending(fields)) {
    const row = VISA_FIELDS.find(([number]) => number === field)
    if (row?.[2] === true) parts.push(Buffer.from([text.length]))
    if (row?.[3] === 'n') parts.push(Buffer.from(text.length % 2 === 0 ? text : `0${text}`, 'hex'))
    else parts.push(Buffer.from([...text].map(ebcdicOf)))
  }
  return Buffer.concat(parts)
}

function ebcdicOf(character: string): number {
  const code = character.charCodeAt(0)
  return code >= 0x41 ? 0xc1 + code - 0x41 : EBCDIC_DIGIT + code - 0x30
}

/** A whole frame of framing visa: four bytes of length, 22-byte header, message. */
export function visaFrame(destination: string, source: string, message: Buffer): Buffer {
  const total = 22 + message.length
  const h4 = total.toString(16).padStart(4, '0')
  const header = Buffer.from(`160102${h4}${destination}${source}`.padEnd(44, '0'), 'hex')
  const length = Buffer.from([total >> 8, total & 255, 0, 0])
  return Buffer.concat([length, header, message])
}

/**
 * What a test peer reads of a CUPS frame: header ids, MTI, and the fields, found one after the
 * other.
 */
export interface ReadCups {
  to: string
  from: string
  mti: string
  fields: Record<number, string>
}

/** Reads one cups4 frame slowly; throws at anything unexpected. */
export function readCups(frame: Buffer): ReadCups {
  const text = frame.toString('latin1')
  const length = text.slice(0, 4)
  if (Number(length) !== frame.length - 4) throw new Error(`length says ${length}`)
  if (frame[4] !== 46) throw new Error(`header length ${frame[4]}`)
  const mti = text.slice(50, 54)
  const two = (frame[54]! & 0x80) !== 0
  let at = two ? 70 : 62
  const fields: Record<number, string> = {}
  for (let field = 2; field <= (two ? 128 : 64); field++) {
    if ((frame[54 + ((field - 1) >> 3)]! & (0x80 >> ((field - 1) & 7))) === 0) continue
    const row = CUPS_FIELDS.find(([number]) => number === field)
    if (row === undefined) throw new Error(`field ${field} is not in the test dialect`)
    const digits = row[2]
    const length = digits === 0 ? row[1] : Number(text.slice(at, at + digits))
    fields[field] = text.slice(at + digits, at + digits + length)
    at += digits + length
  }
  if (at !== frame.length) throw new Error(`${frame.length - at} bytes are left over`)
  return { to: text.slice(10, 21).trim(), from: text.slice(21, 32).trim(), mti, fields }
}

/** Cuts a stream of cups4 frames and `0000` keep-alives. */
export class CupsReader {
  #rest = Buffer.alloc(0)
  readonly frames: ReadCups[] = []
  keepAlives = 0

  push(chunk: Uint8Array): ReadCups[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const fresh: ReadCups[] = []
    while (this.#rest.length >= 4) {
      const length = Number(this.#rest.toString('latin1', 0, 4))
      if (length === 0) this.keepAlives++
      else if (this.#rest.length < 4 + length) break
      else fresh.push(readCups(this.#rest.subarray(0, 4 + length)))
      this.#rest = this.#rest.subarray(4 + length)
    }
    this.frames.push(...fresh)
    return fresh
  }
}
