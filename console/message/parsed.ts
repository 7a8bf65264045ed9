/**
 * Takes a field apart by the shape its dialect gives it, for the `parsed` key of a record and for
 * `explain`.
 *
 * A field that does not fit its shape, or whose class hides it, has no parsed form: its text says
 * all that may be said.
 */
import { parseTlv } from '../../emv/tlv.ts'
import { maskByClass, maskCardNumbers } from '../../switch/codec/mask.ts'
import type { FieldSpec } from '../../switch/codec/spec.ts'
import type { View } from '../../switch/codec/view.ts'
import { tlvRecord } from './mask-chip.ts'
import { visaSubfields } from './visa-subfields.ts'

/** Named parts of a field, null when it has none or they may not be shown. */
export function parsedField(view: View, field: number, showSensitive: boolean): unknown {
  const spec = view.dialect.fieldSpec(field)
  if (spec?.shape === undefined || (!showSensitive && (spec.secret ?? 'no') !== 'no')) {
    return gbkText(view, field, spec, showSensitive)
  }
  switch (spec.shape) {
    case 'ber-tlv':
      return chipObjects(view, field, spec, showSensitive)
    case 'visa-datasets':
      return datasets(view.bytes(field), showSensitive)
    case 'positions':
      return positions(view.text(field), spec, showSensitive)
    case 'cups-usages':
      return usages(view.text(field), showSensitive)
    case 'cups-usage':
      return usage(view.text(field), showSensitive)
    case 'mastercard-elements':
      return elements(view.text(field))
    case 'visa-bitmap-8':
      return subfields(visaSubfields(field, view.bytes(field), 8), showSensitive)
    case 'visa-bitmap-3':
      return subfields(visaSubfields(field, view.bytes(field), 3), showSensitive)
    default:
      return null
  }
}

function subfields(
  record: Readonly<Record<string, string>> | null, showSensitive: boolean,
): unknown {
  if (record === null || showSensitive) return record
  return Object.fromEntries(Object.entries(record).map(([number, text]) => {
    return [number, maskCardNumbers(text)]
  }))
}

/** Readable text beside `hex:` where the bytes are Chinese characters (GBK, GB 18030). */
function gbkText(
  view: View, field: number, spec: FieldSpec | undefined, showSensitive: boolean,
): unknown {
  if (spec === undefined || spec.kind === 'b' || view.dialect.ebcdic) return null
  if (!showSensitive && (spec.secret ?? 'no') !== 'no') return null
  if (!view.text(field).startsWith('hex:')) return null
  try {
    const text = new TextDecoder('gb18030', { fatal: true }).decode(view.raw(field))
    return /[\p{Cc}\p{Co}]/u.test(text)
      ? null
      : { text: showSensitive ? text : maskCardNumbers(text) }
  } catch {
    return null // no Chinese text: the hexadecimal is all there is
  }
}

function chipObjects(view: View, field: number, spec: FieldSpec, showSensitive: boolean): unknown {
  const text = view.text(field)
  if (spec.kind !== 'b' && !/^([0-9A-Fa-f]{2})+$/.test(text)) return null
  const bytes = spec.kind === 'b' ? view.bytes(field) : Buffer.from(text, 'hex')
  const items = parseTlv(bytes)
  return items === null ? null : tlvRecord(items, showSensitive)
}

/** Chip objects of dataset 01 directly, other datasets under their id. */
function datasets(bytes: Uint8Array, showSensitive: boolean): unknown {
  const out: Record<string, unknown> = {}
  let at = 0
  while (at + 3 <= bytes.length) {
    const id = bytes[at]!
    const end = at + 3 + bytes[at + 1]! * 256 + bytes[at + 2]!
    if (end > bytes.length) return null
    const items = parseTlv(bytes, at + 3, end)
    if (items === null) return null
    const record = tlvRecord(items, showSensitive)
    const name = `dataset_${id.toString(16).toUpperCase().padStart(2, '0')}`
    if (id === 1 && at === 0) Object.assign(out, record)
    else out[name] = record
    at = end
  }
  return at === bytes.length && at > 0 ? out : null
}

function positions(text: string, spec: FieldSpec, showSensitive: boolean): unknown {
  if (text.startsWith('hex:')) return null
  const out: Record<string, string> = {}
  let at = 0
  for (const part of spec.parts ?? []) {
    if (at >= text.length) break
    const value = text.slice(at, at + part.length)
    out[part.name] = showSensitive ? value : maskByClass(part.secret ?? 'no', value)
    at += part.length
  }
  if (at < text.length) {
    out['rest'] = showSensitive ? text.slice(at) : maskCardNumbers(text.slice(at))
  }
  return out
}

/** Characters of a field whose text may be the `hex:` form. */
function characters(text: string): string {
  return text.startsWith('hex:') ? Buffer.from(text.slice(4), 'hex').toString('latin1') : text
}

function shown(value: string, showSensitive: boolean): string {
  const plain = /^[ -~]*$/.test(value)
  const text = plain ? value : `hex:${Buffer.from(value, 'latin1').toString('hex').toUpperCase()}`
  return showSensitive ? text : maskCardNumbers(text)
}

/** A chain of two letters, three digits of length, value; null when it does not come out even. */
function usages(text: string, showSensitive: boolean): Record<string, string> | null {
  const all = characters(text)
  const out: Record<string, string> = {}
  let at = 0
  while (at < all.length) {
    const head = /^([A-Z][A-Z0-9])([0-9]{3})/.exec(all.slice(at, at + 5))
    const name = head?.[1]
    if (head === null || name === undefined) return null
    const end = at + 5 + Number(head[2])
    if (end > all.length || out[name] !== undefined) return null
    out[name] = shown(all.slice(at + 5, end), showSensitive)
    at = end
  }
  return at === 0 ? null : out
}

/** Two letters and their value, or AS and a chain of usages. */
function usage(text: string, showSensitive: boolean): unknown {
  const all = characters(text)
  const name = /^[A-Z][A-Z0-9]/.exec(all)?.[0]
  if (name === undefined) return null
  if (name === 'AS') {
    const chain =
      usages(text.startsWith('hex:') ? `hex:${text.slice(8)}` : text.slice(2), showSensitive)
    return chain === null ? null : { AS: chain }
  }
  return { [name]: shown(all.slice(2), showSensitive) }
}

/** A category letter where there is one, then two digits id, two digits length, value. */
function elements(text: string): unknown {
  if (text.startsWith('hex:')) return null
  const out: Record<string, unknown> = {}
  let at = 0
  if (/^[A-Z]/.test(text)) {
    out['category'] = text[0]
    at = 1
  }
  while (at < text.length) {
    const head = /^([0-9]{2})([0-9]{2})/.exec(text.slice(at, at + 4))
    if (head === null) return null
    const id = head[1] ?? ''
    const end = at + 4 + Number(head[2])
    if (end > text.length) return null
    const value = text.slice(at + 4, end)
    out[id] = out[id] === undefined ? value : [out[id], value].flat()
    at = end
  }
  return out
}
