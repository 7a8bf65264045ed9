/**
 * One line in, one line out: bytes of a frame to a record, and a record to the bytes of a frame.
 *
 * The heart of `message decode` and `message encode`, without streams. A line that fails gives a
 * fault record (kind, field, offset) and no content.
 */
import { compileDialect } from '../../switch/codec/dialect.ts'
import type { Dialect } from '../../switch/codec/dialect.ts'
import type { DialectSpec } from '../../switch/codec/spec.ts'
import { Fault } from '../../switch/codec/fault.ts'
import { View } from '../../switch/codec/view.ts'
import { walk } from '../../switch/codec/walk.ts'
import { MessageWriter } from '../../switch/codec/writer.ts'
import type { WireVariant } from '../../switch/codec/writer.ts'
import { framingFor } from '../../switch/framing/framings.ts'
import type { Framing } from '../../switch/framing/framing.ts'
import { recordOf } from './record.ts'
import type { FrameParts, MessageRecord } from './record.ts'

/** Largest frame that the tool takes; links have their own, smaller bound. */
export const FRAME_BYTES_MAX = 1024 * 1024

export interface FaultRecord {
  readonly error: { readonly kind: string; readonly field: number; readonly offset: number }
}

export interface KeepAliveRecord {
  readonly keep_alive: string
}

/** What is printed for a line that failed; field 0 and offset -1 mean none, offsets are bytes. */
export function faultRecord(kind: string, field: number, offset: number): FaultRecord {
  return { error: { kind, field, offset } }
}

export class MessageCodec {
  readonly dialect: Dialect
  readonly framing: Framing
  /** The same framing with a length that counts itself, for interfaces that write it so. */
  readonly #inclusive: Framing
  readonly #view: View
  readonly #fault: Fault
  readonly #writer: MessageWriter

  /** Throws an Error when the specification contradicts itself or the framing is unknown. */
  constructor(spec: DialectSpec, framingName: string) {
    this.dialect = compileDialect(spec)
    this.framing = framingFor(framingName)
    this.#inclusive = framingFor(framingName, { lengthIncludesItself: true })
    this.#view = new View(this.dialect)
    this.#fault = new Fault()
    this.#writer = new MessageWriter(this.dialect, FRAME_BYTES_MAX)
  }

  decode(bytes: Uint8Array, showSensitive: boolean): MessageRecord | FaultRecord | KeepAliveRecord {
    const cut = cutOne(this.framing, this.#inclusive, bytes)
    if (!('messageStart' in cut)) return cut
    if (!walk(this.dialect, bytes, cut.messageStart, cut.end, this.#view, this.#fault)) {
      return faultRecord(this.#fault.kind, this.#fault.field, this.#fault.offset)
    }
    const record = recordOf(this.#view, this.framing, cut, showSensitive)
    this.#view.reset()
    return record
  }

  /** The bytes of a record. */
  encode(record: unknown): Buffer | FaultRecord {
    if (!isObject(record)) return faultRecord('record_not_an_object', 0, -1)
    const keepAlive = record['keep_alive']
    if (typeof keepAlive === 'string') return hexBytes(keepAlive) ?? faultRecord('not_hex', 0, -1)
    const header = record['header'] ?? {}
    if (!isObject(header)) return faultRecord('header_invalid', 0, -1)
    const message = this.#encodeMessage(record, header)
    if (!Buffer.isBuffer(message)) return message
    return this.#wrap(header, message)
  }

  #encodeMessage(
    record: Readonly<Record<string, unknown>>, header: Readonly<Record<string, unknown>>,
  ): Buffer | FaultRecord {
    const writer = this.#writer
    const { mti, fields = {}, wire = {} } = record
    if (typeof mti !== 'string') return faultRecord('mti_not_digits', 0, -1)
    if (!isObject(fields)) return faultRecord('fields_not_an_object', 0, -1)
    const variants = isObject(wire) ? wire : {}
    writer.begin(mti)
    const bitmap = variants['bitmap']
    if (isObject(bitmap)) writer.bitmaps(wholeNumber(bitmap['count']), bitmap['hex'] === 'lower')
    for (const [key, value] of Object.entries(fields)) {
      const field = /^[0-9]{1,3}$/.test(key) ? Number(key) : 0
      if (field < 2 || field > 192) return faultRecord('field_number_invalid', field, -1)
      const text = textOf(value)
      if (text === null) return faultRecord('field_not_text', field, -1)
      writer.setText(field, text, variantOf(variants[key]))
    }
    const produced = writer.finish()
    if (produced === null) {
      return faultRecord(writer.fault.kind, writer.fault.field, writer.fault.offset)
    }
    const layout = this.dialect.header
    if (layout === null || header[layout.name] === 'none') return produced.frame
    const bytes = layout.parse(header, produced.frame.length)
    return bytes === null
      ? faultRecord('header_invalid', 0, -1)
      : Buffer.concat([bytes, produced.frame])
  }

  #wrap(header: Readonly<Record<string, unknown>>, message: Buffer): Buffer | FaultRecord {
    const envelope = this.framing.parseEnvelope(header)
    if (envelope === null) return faultRecord('header_invalid', 0, -1)
    let frame: Buffer
    try {
      frame = this.framing.wrap(envelope, message)
    } catch {
      return faultRecord('message_too_long', 0, -1) // the only thing wrap refuses
    }
    const start = this.framing.prefixBytes
    if (!stampAsSent(frame, start, header)) return faultRecord('header_invalid', 0, -1)
    const prefix = header['frame_prefix']
    if (prefix !== undefined) {
      const bytes = hexBytes(prefix)
      if (bytes?.length !== start) return faultRecord('header_invalid', 0, -1)
      frame.set(bytes, 0)
    }
    return frame
  }
}

/**
 * Cuts a line that must be exactly one frame. Both readings of a length prefix (with and without
 * itself) are tried, because a record of one frame shows which it is.
 */
export function cutOne(
  framing: Framing, inclusive: Framing, bytes: Uint8Array,
): FrameParts | FaultRecord | KeepAliveRecord {
  const first = cutWith(framing, bytes)
  if ('messageStart' in first || 'keep_alive' in first) return first
  const second = cutWith(inclusive, bytes)
  return 'messageStart' in second ? second : first
}

function cutWith(framing: Framing, bytes: Uint8Array): FrameParts | FaultRecord | KeepAliveRecord {
  if (bytes.length === 0) return faultRecord('frame_empty', 0, 0)
  let parts: FrameParts | null = null
  let frames = 0
  let idle = 0
  const framer = framing.createFramer(FRAME_BYTES_MAX)
  const fault = framer.push(bytes, (frame, envelopeStart, messageStart, end) => {
    parts ??= { bytes: frame, envelopeStart, messageStart, end }
    frames++
  }, () => { idle++ })
  const found = parts as FrameParts | null
  if (found !== null && (frames > 1 || found.end < bytes.length)) {
    return faultRecord('frame_trailing_bytes', 0, found.end)
  }
  if (fault !== 0) return faultRecord(fault === 'envelope_invalid' ? fault : `frame_${fault}`, 0, 0)
  if (framer.buffered > 0) return faultRecord('frame_truncated', 0, bytes.length)
  if (found !== null) return found
  return idle === 1 ? { keep_alive: Buffer.from(bytes).toString('hex').toUpperCase() }
    : faultRecord('frame_trailing_bytes', 0, 0)
}

/**
 * Writes total lengths that were sent otherwise than we would (`length_as_sent` of the CUPS
 * headers).
 */
function stampAsSent(
  frame: Buffer, start: number, header: Readonly<Record<string, unknown>>,
): boolean {
  // Only the CUPS header has a length of its own; VisaNet's belongs to the dialect and was written
  // with it.
  if (header['header_length'] === undefined) return true
  const outer = Number(header['header_length'])
  for (const [name, at] of [['length_as_sent', start],
    ['original_length_as_sent', start + outer]] as const) {
    const text = header[name]
    if (text === undefined) continue
    if (typeof text !== 'string') return false
    const bytes = text.startsWith('hex:') ? hexBytes(text.slice(4)) : Buffer.from(text, 'latin1')
    if (bytes?.length !== 4) return false
    frame.set(bytes, at + 2)
  }
  return true
}

/** What a record says of a field's bytes; what is no such word is passed over. */
function variantOf(value: unknown): WireVariant | undefined {
  if (!isObject(value)) return undefined
  const { pad, hex, unit } = value
  return {
    ...(typeof pad === 'string' ? { pad } : {}),
    ...(hex === 'lower' ? { hex } : {}),
    ...(unit === 'digits' ? { unit } : {}),
  }
}

function wholeNumber(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) ? value : 1
}

/** Text of a field; `{"hex": "..."}` is read as `hex:...`. */
function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (isObject(value) && typeof value['hex'] === 'string') return `hex:${value['hex']}`
  return null
}

function hexBytes(text: unknown): Buffer | null {
  return typeof text === 'string' && /^([0-9A-Fa-f]{2})*$/.test(text)
    ? Buffer.from(text, 'hex')
    : null
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
