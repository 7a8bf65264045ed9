/**
 * The rows of an annotated dump: offset, bytes, what they are, their value. Bytes of what is masked
 * are masked too.
 */
import type { FieldSpec } from '../../switch/codec/spec.ts'
import type { View } from '../../switch/codec/view.ts'
import type { Candidate } from './candidates.ts'
import { parsedField } from './parsed.ts'
import { shownText } from './record.ts'

export interface Row {
  readonly offset: number
  readonly hex: string
  readonly name: string
  readonly value: string
  /** Parts of the value, as `parsed` has them. */
  readonly parts?: unknown
}

const HEX_SHOWN = 24

/**
 * Rows from the first byte of the frame to the last that was understood, then the rest as it is.
 */
export function annotate(view: View, best: Candidate, showSensitive: boolean): Row[] {
  const { bytes, envelopeStart, messageStart, end } = best.parts
  const rows: Row[] = []
  const add = (from: number, to: number, name: string, value: string): void => {
    if (to > from) rows.push({ offset: from, hex: hexOf(bytes, from, to), name, value })
  }
  add(0, envelopeStart, 'length', String(end - envelopeStart))
  const envelope =
    best.framing.describeEnvelope(bytes.subarray(envelopeStart, messageStart), end - messageStart)
  add(envelopeStart, messageStart, 'envelope', wordsOf(envelope))
  if (view.fieldsStart === 0) {
    add(messageStart, end, 'not understood', '')
    return rows
  }
  const header = view.dialect.header
  const parts = header === null ? {} : header.describe(view.header(), view.end - view.bodyStart)
  add(messageStart, view.bodyStart, 'header', wordsOf(parts))
  const bitmapStart = view.bodyStart + view.dialect.mtiBytes
  add(view.bodyStart, bitmapStart, 'MTI', view.mti)
  add(bitmapStart, view.fieldsStart,
    view.bitmapCount > 1 ? `${view.bitmapCount} bitmaps` : 'bitmap', [...announced(view)].join(' '))
  let at = view.fieldsStart
  for (const field of view.fields()) {
    rows.push(fieldRow(view, field, showSensitive))
    at = view.valueEnd(field)
  }
  if (at < end) {
    rows.push({ offset: at, hex: `${end - at} bytes`, name: 'not understood', value: '' })
  }
  return rows
}

/** Fields that the bitmaps announce, those after a fault included. */
function* announced(view: View): Generator<number> {
  const { dialect, frame } = view
  const start = view.bodyStart + dialect.mtiBytes
  const raw = Buffer.from(frame.subarray(start, view.fieldsStart))
  const text = dialect.bitmapBytes === 8 ? raw.toString('hex') : raw.toString('latin1')
  const hex = dialect.bitmapCoding === 'hex-ebcdic' ? '' : text
  for (let i = 0; i < hex.length * 4; i++) {
    const bit = (parseInt(hex.charAt(i >> 2), 16) >> (3 - (i & 3))) & 1
    const continues = i % 64 === 0 && i / 64 < view.bitmapCount - 1
    if (bit === 1 && !continues) yield i + 1
  }
}

function fieldRow(view: View, field: number, showSensitive: boolean): Row {
  const start = view.fieldStart(field)
  const text = showSensitive ? view.text(field) : shownText(view, field)
  const spec = view.dialect.fieldSpec(field)
  const prefix = hexOf(view.frame, start, view.valueStart(field))
  const hidden = text !== view.text(field)
  const value = hidden
    ? maskedHex(view, field, text)
    : hexOf(view.frame, view.valueStart(field), view.valueEnd(field))
  const parts = parsedField(view, field, showSensitive)
  return {
    offset: start,
    hex: prefix === '' ? value : `${prefix} ${value}`,
    name: `DE${field} ${view.dialect.fieldName(field)}${spec === undefined ? '' : ` (${formatOf(spec)})`}`,
    value: text,
    ...(parts === null ? {} : { parts }),
  }
}

/**
 * Bytes of a masked value: stars wherever its text has stars, and everywhere when the two cannot be
 * laid side by side.
 */
function maskedHex(view: View, field: number, text: string): string {
  const size = view.valueEnd(field) - view.valueStart(field)
  const plain =
    hexOf(view.frame, view.valueStart(field), view.valueEnd(field)).split(' ').slice(0, size)
  if (text.length !== size || text.startsWith('hex:')) {
    return size > HEX_SHOWN ? `${'** '.repeat(HEX_SHOWN)}..` : '** '.repeat(size).trimEnd()
  }
  return plain.map((pair, i) => (text.charAt(i) === '*' ? '**' : pair)).join(' ')
}

/** The format as tables write it: `n..19 LL`, `b 8`. */
export function formatOf(spec: FieldSpec): string {
  return spec.length === 'fixed'
    ? `${spec.kind} ${spec.max}`
    : `${spec.kind}..${spec.max} ${spec.length.toUpperCase()}`
}

function hexOf(bytes: Uint8Array, from: number, to: number): string {
  const shown =
    Buffer.from(bytes.subarray(from, Math.min(to, from + HEX_SHOWN))).toString('hex').toUpperCase()
  return `${shown.replace(/..(?=.)/g, '$& ')}${to - from > HEX_SHOWN ? ' ..' : ''}`
}

function wordsOf(record: Readonly<Record<string, string>>): string {
  return Object.entries(record).map(([name, value]) => `${name}=${value.trim()}`).join(' ')
}

const NAME_COLUMNS = 46

/** One row as text: offset in decimal and hexadecimal, name, value, and the bytes below it. */
export function printable(row: Row): string {
  const offset =
    `${String(row.offset).padStart(5)} ${row.offset.toString(16).toUpperCase().padStart(4, '0')}`
  const lines =
    [`${offset}  ${row.name.padEnd(NAME_COLUMNS)} ${row.value}`.trimEnd(),
      `${' '.repeat(12)}${row.hex}`]
  if (typeof row.parts === 'object' && row.parts !== null) {
    for (const [name, value] of Object.entries(row.parts)) {
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      lines.push(`${' '.repeat(14)}${name} = ${text}`)
    }
  }
  return lines.join('\n')
}
