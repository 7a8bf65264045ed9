/**
 * Fuzz targets of `switchyard message`: text and bytes as people give them. Records are written
 * back byte for byte, text input ends in bytes or a fault, explain names rows that lie side by
 * side, fields come apart without loss, and what is masked stays masked.
 *
 * Run by tests/fuzz/. Inputs: two bytes of choice (dialect, framing) and a frame, or text in UTF-8.
 */
import { readFileSync } from 'node:fs'
import { Fault } from '../../switch/codec/fault.ts'
import { View } from '../../switch/codec/view.ts'
import { walkUntilFault } from '../../switch/codec/walk.ts'
import { FRAMING_NAMES } from '../../switch/framing/framing.ts'
import { ALL_DIALECTS } from '../../tests/fuzz/dialects.ts'
import type { Random } from '../../tests/fuzz/random.ts'
import { changedMessage, slowMessage } from '../../tests/fuzz/slow-builder.ts'
import { slowFrame } from '../../tests/fuzz/slow-framer.ts'
import { expect, expectSame } from '../../tests/fuzz/target.ts'
import type { Target } from '../../tests/fuzz/target.ts'
import { annotate, printable } from './annotate.ts'
import { candidatesFor } from './candidates.ts'
import { MessageCodec } from './codec.ts'
import { bytesOfHexLine } from './hex-input.ts'
import { bytesOfPasted } from './pasted.ts'
import { recordOf } from './record.ts'

const NAMES = ALL_DIALECTS.map(({ name }) => name)
const DIALECTS = ALL_DIALECTS.map(({ dialect }) => dialect)
const SLOW = ALL_DIALECTS.map(({ slow }) => slow)
const CHOICE_BYTES = 2

interface Sample {
  readonly dialect: string
  readonly framing: string
  readonly hex: string
}

const samples = readFileSync(new URL('../../tests/vectors/messages.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((line) => JSON.parse(line) as Sample)

const utf8 = (input: Uint8Array): string => Buffer.from(input).toString('utf8')
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase()

const codecs = new Map<number, MessageCodec>()

/** Codec, and position of the dialect, that the first two bytes choose. */
function chosen(input: Uint8Array): { codec: MessageCodec; dialect: number; framing: string } {
  const dialect = (input[0] ?? 0) % NAMES.length
  const framing = (input[1] ?? 0) % FRAMING_NAMES.length
  const key = dialect * FRAMING_NAMES.length + framing
  const name = FRAMING_NAMES[framing] ?? 'none'
  const codec = codecs.get(key) ?? new MessageCodec(ALL_DIALECTS[dialect]!.spec, name)
  codecs.set(key, codec)
  return { codec, dialect, framing: name }
}

const KIND = /^[a-z][a-z0-9_]+$/

/** The kind of a fault record, which has a number of a field and an offset and nothing else. */
function faultKind(record: { readonly error: unknown }): string {
  const { kind, field, offset, ...rest } = record.error as Record<string, unknown>
  expect(typeof kind === 'string' && KIND.test(kind), 'a fault has a kind')
  expect(typeof field === 'number' && typeof offset === 'number', 'a fault has field and offset')
  expectSame(Object.keys(rest).join(), '', 'a fault has nothing else')
  return `${kind} ${field}`
}

function runLine(input: Uint8Array): string {
  const { codec, framing } = chosen(input)
  // Both have a header of their own with parts of the same names; no link has both.
  if (codec.dialect.header !== null && framing.startsWith('cups')) return 'two headers'
  const bytes = input.subarray(CHOICE_BYTES)
  const record = codec.decode(bytes, true)
  const masked = codec.decode(bytes, false)
  if ('error' in record) return `${framing} ${faultKind(record)}`
  const again = codec.encode(JSON.parse(JSON.stringify(record)))
  const written = Buffer.isBuffer(again) ? hexOf(again) : JSON.stringify(again)
  expectSame(written, hexOf(bytes), 'decoded and encoded again')
  if (!('fields' in record) || !('fields' in masked)) return `${framing} keep-alive`
  expectSame(Object.keys(masked.fields).join(), Object.keys(record.fields).join(), 'masked fields')
  const pan = record.fields['2'] ?? ''
  expect(pan.length < 13 || masked.fields['2'] !== pan, 'a PAN is masked')
  for (const field of ['35', '36', '45', '52']) {
    const value = record.fields[field] ?? ''
    expect(value.length < 8 || masked.fields[field] !== value, `field ${field} is masked`)
  }
  return `${framing} ${Object.keys(record).join()} ${Object.keys(record.header).length}`
}

/** A message of the dialect in its framing, as an input. */
function lineOf(dialect: number, framing: number, random: Random, message: Uint8Array): Buffer {
  const name = FRAMING_NAMES[framing] ?? 'none'
  const envelope = name === 'tpdu' ? '6000030000'
    : name === 'tpdu+app' ? '6000030000603100310730' : ''
  const frame = ['none', 'tpdu', 'tpdu+app'].includes(name)
    ? Buffer.concat([Buffer.from(envelope, 'hex'), message])
    : slowFrame(name, name !== 'cups' && random.oneIn(4), message, random.oneIn(6))
  return Buffer.concat([Buffer.from([dialect, framing]), frame])
}

function lineSeeds(random: Random): Buffer[] {
  const real = samples.map(({ dialect, framing, hex }) => Buffer.concat([
    Buffer.from([NAMES.indexOf(dialect), (FRAMING_NAMES as readonly string[]).indexOf(framing)]),
    Buffer.from(hex, 'hex'),
  ]))
  const made = SLOW.flatMap((slow, dialect) => [0, 0, 0].map((none, i) =>
    lineOf(dialect, i === 0 ? none : random.below(FRAMING_NAMES.length), random,
      slowMessage(slow, random).subarray(0, 2000))))
  return [...real, ...made]
}

function mutateLine(input: Uint8Array, random: Random): Uint8Array | null {
  const { dialect, framing } = chosen(input)
  const slow = SLOW[dialect]
  if (slow === undefined) return null
  const place = FRAMING_NAMES.findIndex((name) => name === framing)
  if (framing !== 'none' || random.oneIn(4)) {
    return lineOf(dialect, place, random, slowMessage(slow, random).subarray(0, 2000))
  }
  const changed = changedMessage(slow, input.subarray(CHOICE_BYTES), random)
  return changed === null ? null : Buffer.concat([input.subarray(0, CHOICE_BYTES), changed])
}

function runRecord(input: Uint8Array): string {
  const { codec, framing } = chosen(input)
  if (codec.dialect.header !== null && framing.startsWith('cups')) return 'two headers'
  let record: unknown
  try {
    record = JSON.parse(utf8(input.subarray(CHOICE_BYTES)))
  } catch {
    return 'not json'
  }
  const bytes = codec.encode(record)
  if (!Buffer.isBuffer(bytes)) return faultKind(bytes)
  const read = codec.decode(bytes, true)
  if ('error' in read) return `written, not read: ${faultKind(read)}`
  const again = codec.encode(JSON.parse(JSON.stringify(read)))
  const written = Buffer.isBuffer(again) ? hexOf(again) : JSON.stringify(again)
  expectSame(written, hexOf(bytes), 'encoded, decoded and encoded again')
  return `${framing} ${Object.keys(read).join()}`
}

function recordSeeds(random: Random): Buffer[] {
  const texts: Buffer[] = []
  for (const line of lineSeeds(random)) {
    const record = chosen(line).codec.decode(line.subarray(CHOICE_BYTES), true)
    if ('error' in record) continue
    texts.push(Buffer.concat([line.subarray(0, CHOICE_BYTES), Buffer.from(JSON.stringify(record))]))
  }
  return texts
}

const ODD_VALUES: readonly unknown[] = [
  '', ' ', '0', '1', 'hex:', 'hex:0', 'hex:00', 'hex:ZZ', 'lower', 'none', 'Ā', '😀', '\u0000', -1, 0, 1, 3, 1e9,
  null, true, [], {}, { hex: '00' }, { hex: 7 }, { count: 2 }, { count: 'x', hex: 'lower' },
  { pad: 'F' }, { pad: null }, { pad: 15 },
  { unit: 'digits' }, '9'.repeat(30), 'A'.repeat(1100), 'C00000100', 'D12345678', '9F2608', '00:11', '46', '41', '255',
]
const ODD_KEYS = [
  'mti', 'fields', 'header', 'wire', 'keep_alive', '1', '2', '02', '28', '35', '48', '52', '55', '61', '65', '128',
  '192', '193', '999', '1e1', '__proto__', 'toString', 'length_as_sent', 'original_length_as_sent', 'frame_prefix',
  'tpdu', 'app_header', 'header_length', 'reject_code', 'original_reject_code', 'bitmap', 'visa', 'reserved',
]

/** Changes one value, or adds or takes away one key, somewhere in the record. */
function mutateRecord(input: Uint8Array, random: Random): Uint8Array | null {
  let record: unknown
  try {
    record = JSON.parse(utf8(input.subarray(CHOICE_BYTES)))
  } catch {
    return null
  }
  const places: Record<string, unknown>[] = []
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    places.push(value as Record<string, unknown>)
    for (const inside of Object.values(value)) visit(inside)
  }
  visit(record)
  if (places.length === 0) return null
  const place = random.pick(places)
  const keys = Object.keys(place)
  const key = keys.length === 0 || random.oneIn(3) ? random.pick(ODD_KEYS) : random.pick(keys)
  if (random.oneIn(5)) delete place[key]
  else if (random.oneIn(4)) place[key] = random.text(random.between(1, 40), '0123456789ABCDEF')
  else Object.defineProperty(place, key, { value: random.pick(ODD_VALUES), enumerable: true })
  return Buffer.concat([input.subarray(0, CHOICE_BYTES), Buffer.from(JSON.stringify(record))])
}

/** Bytes of a line by regular expressions, or the place of the first character that is none. */
function slowHexLine(line: string): string {
  const start = /^\s*(0x)?/i.exec(line)?.[0].length ?? 0
  const good = /^([0-9a-f]{2}|[ \t:\r-])*/i.exec(line.slice(start))?.[0] ?? ''
  const at = start + good.length
  if (at === line.length) return good.replace(/[^0-9a-f]/gi, '').toUpperCase()
  // A digit that stands alone is right itself; what follows it is not.
  return `at ${/[0-9a-f]/i.test(line.charAt(at)) ? at + 1 : at}`
}

function runHex(input: Uint8Array): string {
  const text = utf8(input).replaceAll('\n', ' ')
  const found = bytesOfHexLine(text)
  const got = typeof found === 'number' ? `at ${found}` : hexOf(found)
  expectSame(got, slowHexLine(text), 'bytes of a line')
  return typeof found === 'number' ? 'refused' : `${Math.min(3, found.length)} ${/\s/.test(text)}`
}

function runPasted(input: Uint8Array): string {
  const text = utf8(input)
  const found = bytesOfPasted(text)
  if (found === null) return 'nothing'
  expect(found.bytes.length > 0, 'bytes that were found are some')
  expect(found.bytes.length <= text.length, 'there are not more bytes than characters')
  return found.form
}

const rowsOf = (bytes: Buffer, row: (at: number, part: Buffer) => string): string =>
  Array.from({ length: Math.ceil(bytes.length / 16) }, (_, i) =>
    row(i * 16, bytes.subarray(i * 16, i * 16 + 16))).join('\n')

function pastedSeeds(): Buffer[] {
  const found: string[] = []
  for (const { hex } of samples.slice(0, 6)) {
    const bytes = Buffer.from(hex, 'hex')
    const pairs = (part: Buffer): string => part.toString('hex').replace(/..(?=.)/g, '$& ')
    const at = (offset: number, digits: number): string => offset.toString(16).padStart(digits, '0')
    found.push(hex, hex.replace(/..(?=.)/g, '$&:'), bytes.toString('base64'),
      `recv len=66 [${hex}] ok`,
      rowsOf(bytes, (offset, part) => `${at(offset, 4)}   ${pairs(part)}   ....`),
      rowsOf(bytes, (offset, part) => `${at(offset, 8)}  ${pairs(part).padEnd(47)}  |....|`),
      rowsOf(bytes, (offset, part) => `\t0x${at(offset, 4)}:  ${pairs(part)}  ...`))
  }
  found.push('aa '.repeat(1300), 'aa'.repeat(2000), '0000  ' + 'ab cd  '.repeat(300),
    ' '.repeat(12_000), 'a:'.repeat(900), `0000 ${' '.repeat(9000)}x`)
  return found.map((text) => Buffer.from(text))
}

function runExplain(input: Uint8Array): string {
  const all = candidatesFor(input, DIALECTS)
  const best = all.find((one) => one.fault === null) ?? all[0]
  if (best === undefined) return 'no framing'
  const view = new View()
  const { bytes, messageStart, end } = best.parts
  const fits = walkUntilFault(best.dialect, bytes, messageStart, end, view, new Fault())
  expect(fits === (best.fault === null), 'a candidate fits or does not')
  const rows = annotate(view, best, true)
  let at = -1
  for (const row of rows) {
    expect(row.offset > at && row.offset < end, 'rows follow each other inside the frame')
    at = row.offset
  }
  for (const row of annotate(view, best, false)) {
    expect(printable(row).length > 0, 'a row can be printed')
    const pan = row.name.startsWith('DE2 ') ? view.text(2) : ''
    expect(pan.length < 13 || !printable(row).includes(pan), 'a PAN is masked in its row')
  }
  if (fits) JSON.stringify(recordOf(view, best.framing, best.parts, false))
  else expect(best.fault !== null && best.fault.offset <= end, 'a fault lies in the frame')
  return `${best.framing.name} ${best.dialect.name} ${best.fault?.kind ?? 'fits'}`
}

export const targets: readonly Target[] = [
  {
    name: 'message-line', covers: ['console/message/', 'switch/codec/'], bytesMax: 2500,
    seeds: lineSeeds, mutate: mutateLine, run: runLine,
  },
  {
    name: 'message-record', covers: ['console/message/codec.ts', 'switch/codec/encode.ts', 'switch/codec/writer.ts'],
    bytesMax: 6000, seeds: recordSeeds, mutate: mutateRecord, run: runRecord,
  },
  {
    name: 'message-hex', covers: ['console/message/hex-input.ts'], bytesMax: 600,
    seeds: () => ['0x00 11:22-33', '  ABCD\tef', '0', '00 1', '0X', ' \r']
      .map((text) => Buffer.from(text)),
    run: runHex,
  },
  {
    name: 'message-pasted', covers: ['console/message/pasted.ts'], bytesMax: 12_000,
    seeds: pastedSeeds, run: runPasted,
  },
  {
    name: 'message-explain', covers: ['console/message/'], bytesMax: 1500,
    seeds: () => samples.map(({ hex }) => Buffer.from(hex, 'hex')), run: runExplain,
  },
]
