/**
 * A message as the JSON record of `switchyard message`: MTI, header, fields as text, parts of
 * fields, and what the bytes say beyond their values (`wire`), so that encode gives the same bytes.
 *
 * Used by the verbs of the command. Masks unless told otherwise; what it cannot take apart it shows
 * as one value.
 */
import type { Dialect } from '../../switch/codec/dialect.ts'
import { maskCardNumbers, maskField } from '../../switch/codec/mask.ts'
import { bitmapVariant, fieldVariant } from '../../switch/codec/variant.ts'
import type { View } from '../../switch/codec/view.ts'
import type { Framing } from '../../switch/framing/framing.ts'
import { maskTlvHex } from './mask-chip.ts'
import { parsedField } from './parsed.ts'

export interface MessageRecord {
  readonly mti: string
  readonly header: Record<string, unknown>
  readonly fields: Record<string, string>
  readonly parsed?: Record<string, unknown>
  readonly wire?: Record<string, unknown>
}

/** Where the parts of a frame lie: framing prefix, envelope, message. */
export interface FrameParts {
  readonly bytes: Uint8Array
  readonly envelopeStart: number
  readonly messageStart: number
  readonly end: number
}

/** The record of a walked message. `framing` is the one that cut the frame. */
export function recordOf(
  view: View, framing: Framing, parts: FrameParts, showSensitive: boolean,
): MessageRecord {
  const fields: Record<string, string> = {}
  const parsed: Record<string, unknown> = {}
  const wire: Record<string, unknown> = {}
  const bitmap = bitmapVariant(view)
  if (bitmap !== null) wire['bitmap'] = bitmap
  for (const field of view.fields()) {
    fields[field] = showSensitive ? view.text(field) : shownText(view, field)
    const inside = parsedField(view, field, showSensitive)
    if (inside !== null) parsed[field] = inside
    const variant = fieldVariant(view, field)
    if (variant !== null) wire[field] = variant
  }
  return {
    mti: view.mti,
    header: headerRecord(view, framing, parts),
    fields,
    ...(Object.keys(parsed).length > 0 ? { parsed } : {}),
    ...(Object.keys(wire).length > 0 ? { wire } : {}),
  }
}

function headerRecord(view: View, framing: Framing, parts: FrameParts): Record<string, unknown> {
  const messageBytes = parts.end - parts.messageStart
  const envelope = parts.bytes.subarray(parts.envelopeStart, parts.messageStart)
  const header: Record<string, unknown> = { ...framing.describeEnvelope(envelope, messageBytes) }
  const prefix = Buffer.from(parts.bytes.subarray(0, parts.envelopeStart))
  const message = parts.bytes.subarray(parts.messageStart, parts.end)
  const usual = framing.wrap(envelope, message).subarray(0, prefix.length)
  if (!prefix.equals(usual)) header['frame_prefix'] = prefix.toString('hex').toUpperCase()
  const layout = view.dialect.header
  if (layout !== null) {
    if (view.bodyStart === view.headerStart) header[layout.name] = 'none'
    else Object.assign(header, layout.describe(view.header(), view.end - view.bodyStart))
  }
  return header
}

/** Text of a field without what must not be shown. */
export function shownText(view: View, field: number): string {
  const dialect: Dialect = view.dialect
  const shape = dialect.shapeOf(field)
  if (dialect.secrecyOf(field) === 'no' && shape === 'ber-tlv') return shownChipData(view, field)
  if (dialect.secrecyOf(field) === 'no' && shape === 'visa-datasets') {
    return shownDatasets(view, field)
  }
  return maskField(dialect, field, view.text(field))
}

function shownChipData(view: View, field: number): string {
  const text = view.text(field)
  if (view.dialect.fieldSpec(field)?.kind === 'b') return maskTlvHex(view.bytes(field))
  return /^([0-9A-F]{2})*$/.test(text)
    ? maskTlvHex(Buffer.from(text, 'hex'))
    : '*'.repeat(text.length)
}

/** Chip data in every dialect. */
const ICC_DATA = 55

/**
 * Datasets: one byte of id, two of length, then objects. What does not fit is masked from there on.
 */
function shownDatasets(view: View, field: number): string {
  const bytes = view.bytes(field)
  const whole = Buffer.from(bytes).toString('hex').toUpperCase()
  let out = ''
  let at = 0
  while (at + 3 <= bytes.length) {
    const end = at + 3 + bytes[at + 1]! * 256 + bytes[at + 2]!
    if (end > bytes.length) break
    out += whole.slice(at * 2, (at + 3) * 2) + maskTlvHex(bytes.subarray(at + 3, end))
    at = end
  }
  const masked = out + '*'.repeat((bytes.length - at) * 2)
  // Chip data name their card numbers by tag; in other datasets one may stand anywhere.
  return field === ICC_DATA ? masked : maskCardNumbers(masked)
}
