/**
 * The header of the CUPS host link, 46 bytes (hosted-issuer links: 41, without reject code), and
 * its framings: `cups` finds the end of a frame from the header's own total length, `cups4` from
 * four digits before it.
 *
 *   0 length 2E | 1 flag, version | 2 total length n4 | 6 destination 11 | 17 source 11
 *   28 reserved 3 | 31 batch 1 | 32 transaction information 8 | 40 user information 1
 *   41 reject code n5
 *
 * A rejected message is a new header with a reject code, then our whole message with its own
 * header: 92 bytes stand before its MTI. Layout: six independent public implementations agree. Used
 * through framings.ts.
 */
import { ENVELOPE_INVALID, LENGTH_NOT_DECIMAL, LENGTH_OUT_OF_RANGE } from './framer.ts'
import type { Cut } from './framer.ts'
import type { Envelope } from './envelope.ts'
import type { EnvelopeRecord } from './framing.ts'

export const CUPS_HEADER_BYTES = 46
/** Hosted issuer processing (CUPD): the same parts without reject code. */
export const CUPD_HEADER_BYTES = 41
const TOTAL_AT = 2
const TOTAL_DIGITS = 4
const REJECT_AT = 41
const NO_REJECT = '00000'
/** Four characters `0000` keep an idle line open; they are neither answered nor counted. */
const KEEP_ALIVE_BYTES = 4
const ZERO = 0x30
const BLANK = 0x20

/** Reject codes of the header checks. */
export type CupsHeaderFault = '00000' | '00015' | '00025' | '00035' | '00045' | '00055'

/** name, offset, bytes, coding, what a request carries when the record does not say. */
const PARTS: readonly (readonly [string, number, number, 'hex' | 'text', string])[] = [
  ['flag_version', 1, 1, 'hex', '02'],
  ['destination_id', 6, 11, 'text', ''],
  ['source_id', 17, 11, 'text', ''],
  ['reserved', 28, 3, 'hex', '000000'],
  ['batch_number', 31, 1, 'hex', '00'],
  ['transaction_info', 32, 8, 'text', '00000000'],
  ['user_info', 40, 1, 'hex', '00'],
  ['reject_code', REJECT_AT, 5, 'text', NO_REJECT],
]

/** Bytes of one header that begins at `at`: 46, 41, or 0 when its first byte says neither. */
function headerBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at]
  return first === CUPS_HEADER_BYTES || first === CUPD_HEADER_BYTES ? first : 0
}

/** Total length in a header; left justified with blanks is read too. -1 when it is not decimal. */
function totalLength(bytes: Uint8Array, at: number): number {
  let value = 0
  let digits = 0
  for (let i = 0; i < TOTAL_DIGITS; i++) {
    const byte = bytes[at + TOTAL_AT + i] ?? 0
    if (byte === BLANK && digits > 0 && digits === i) {
      for (let rest = i; rest < TOTAL_DIGITS; rest++) {
        if (bytes[at + TOTAL_AT + rest] !== BLANK) return -1
      }
      return value
    }
    if (byte < ZERO || byte > ZERO + 9) return -1
    value = value * 10 + byte - ZERO
    digits++
  }
  return value
}

function isRejected(bytes: Uint8Array, at: number): boolean {
  if (bytes[at] !== CUPS_HEADER_BYTES) return false
  for (let i = 0; i < NO_REJECT.length; i++) if (bytes[at + REJECT_AT + i] !== ZERO) return true
  return false
}

/** Bytes before the MTI: one header, or two when a message came back rejected. */
function measure(bytes: Uint8Array, start: number, end: number): number {
  const outer = headerBytes(bytes, start) || CUPS_HEADER_BYTES
  if (end - start < outer) return ENVELOPE_INVALID
  if (!isRejected(bytes, start)) return outer
  const inner = start + outer < end ? headerBytes(bytes, start + outer) : 0
  return inner > 0 && end - start >= outer + inner ? outer + inner : outer
}

function stampOne(frame: Uint8Array, at: number, total: number): void {
  let rest = total
  for (let i = TOTAL_DIGITS - 1; i >= 0; i--) {
    frame[at + TOTAL_AT + i] = ZERO + (rest % 10)
    rest = Math.trunc(rest / 10)
  }
}

function stamp(frame: Buffer, envelopeStart: number, messageStart: number): void {
  let at = envelopeStart
  while (at < messageStart) {
    stampOne(frame, at, frame.length - at)
    at += headerBytes(frame, at) || CUPS_HEADER_BYTES
  }
}

/** Destination and source exchanged, parts 6 to 9 as they came, no reject code. */
function reply(envelope: Uint8Array): Buffer {
  const size = headerBytes(envelope, 0) || CUPS_HEADER_BYTES
  const answer = Buffer.alloc(size, ZERO)
  answer.set(envelope.subarray(0, size))
  answer[0] = size
  answer.set(envelope.subarray(17, 28), 6)
  answer.set(envelope.subarray(6, 17), 17)
  if (size === CUPS_HEADER_BYTES) answer.write(NO_REJECT, REJECT_AT, 'latin1')
  return answer
}

/** Printable ASCII as it is, other bytes as `hex:` and hexadecimal. */
function textOf(bytes: Uint8Array): string {
  const plain = bytes.every((byte) => byte >= 0x20 && byte <= 0x7e)
  const text = Buffer.from(bytes).toString('latin1')
  return plain && !text.startsWith('hex:')
    ? text
    : `hex:${Buffer.from(bytes).toString('hex').toUpperCase()}`
}

/**
 * Inverse of textOf, blanks on the right; null when it is longer than `bytes` or no text of ours.
 */
function bytesOfText(text: string, bytes: number): Buffer | null {
  const hex = text.startsWith('hex:')
  if (hex ? !/^hex:([0-9A-Fa-f]{2})*$/.test(text) : !/^[ -~]*$/.test(text)) return null
  const value = hex
    ? Buffer.from(text.slice(4), 'hex')
    : Buffer.from(text.padEnd(bytes, ' '), 'latin1')
  return value.length === bytes ? value : null
}

function describeOne(
  header: Uint8Array, at: number, prefix: string, total: number | undefined, out: Record<string,
    string>,
): void {
  const size = headerBytes(header, at)
  out[`${prefix}header_length`] = String(header[at] ?? 0)
  for (const [name, offset, bytes, coding] of PARTS) {
    if (size === CUPD_HEADER_BYTES && offset >= CUPD_HEADER_BYTES) continue
    const value = header.subarray(at + offset, at + offset + bytes)
    out[prefix + name] = coding === 'hex'
      ? Buffer.from(value).toString('hex').toUpperCase()
      : textOf(value)
  }
  const sent = textOf(header.subarray(at + TOTAL_AT, at + TOTAL_AT + TOTAL_DIGITS))
  if (total !== undefined && sent !== String(total).padStart(TOTAL_DIGITS, '0')) {
    out[`${prefix}length_as_sent`] = sent
  }
}

function describe(envelope: Uint8Array, messageBytes: number | undefined): Record<string, string> {
  const out: Record<string, string> = {}
  const outer = headerBytes(envelope, 0) || CUPS_HEADER_BYTES
  if (envelope.length < outer) return out
  const rest = messageBytes === undefined ? undefined : messageBytes + envelope.length
  describeOne(envelope, 0, '', rest, out)
  if (envelope.length > outer) {
    describeOne(envelope, outer, 'original_', rest === undefined ? undefined : rest - outer, out)
  }
  return out
}

function parseOne(record: EnvelopeRecord, prefix: string): Buffer | null {
  const first = Number(record[`${prefix}header_length`] ?? CUPS_HEADER_BYTES)
  if (!Number.isInteger(first) || first < 0 || first > 255) return null
  const header = Buffer.alloc(first === CUPD_HEADER_BYTES ? first : CUPS_HEADER_BYTES)
  header[0] = first
  for (const [name, offset, bytes, coding, absent] of PARTS) {
    if (offset >= header.length) continue
    const text = record[prefix + name] ?? absent
    if (typeof text !== 'string') return null
    const value = bytesOfText(coding === 'hex' ? `hex:${text}` : text, bytes)
    if (value === null) return null
    header.set(value, offset)
  }
  return header
}

function parse(record: EnvelopeRecord): Buffer | null {
  const outer = parseOne(record, '')
  const rejectedOriginal = Object.keys(record).some((name) => name.startsWith('original_'))
  const inner = rejectedOriginal ? parseOne(record, 'original_') : Buffer.alloc(0)
  return outer === null || inner === null ? null : Buffer.concat([outer, inner])
}

/**
 * Header checks of the receiving side, in the order of the reject codes. `ownId` and `peerIds` are
 * blank padded to 11 characters by the caller's configuration or not at all; `totalMax` in bytes.
 */
export function cupsHeaderFault(
  envelope: Uint8Array, messageBytes: number, ownId: string, peerId: string, totalMax: number,
): CupsHeaderFault {
  if (headerBytes(envelope, 0) === 0) return '00015'
  const version = (envelope[1] ?? 0) & 0x7f
  if (version !== 1 && version !== 2) return '00025'
  const total = totalLength(envelope, 0)
  if (total < CUPD_HEADER_BYTES || total > totalMax || total !== envelope.length + messageBytes) {
    return '00035'
  }
  const id = (at: number): string =>
    Buffer.from(envelope.subarray(at, at + 11)).toString('latin1').trimEnd()
  if (ownId !== '' && id(6) !== ownId.trimEnd()) return '00045'
  return peerId !== '' && id(17) !== peerId.trimEnd() ? '00055' : '00000'
}

/**
 * The header that rejects a whole message (with its own header) which the caller sends after it.
 */
export function cupsRejectHeader(requestEnvelope: Uint8Array, code: CupsHeaderFault): Buffer {
  const answer =
    reply(requestEnvelope.subarray(0, headerBytes(requestEnvelope, 0) || CUPS_HEADER_BYTES))
  const header = Buffer.alloc(CUPS_HEADER_BYTES, ZERO)
  header.set(answer.subarray(0, Math.min(answer.length, REJECT_AT)))
  header[0] = CUPS_HEADER_BYTES
  header.write(code, REJECT_AT, 'latin1')
  return header
}

export const cupsEnvelope: Envelope = {
  bytes: CUPS_HEADER_BYTES,
  measure,
  reply,
  describe,
  parse,
  stamp,
  rejected: (envelope) => isRejected(envelope, 0),
}

function isZeros(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === ZERO && bytes[at + 1] === ZERO && bytes[at + 2] === ZERO &&
    bytes[at + 3] === ZERO
}

/** Frames that begin with the header: its length byte and its total length are the prefix. */
export const cupsCut: Cut = {
  prefixBytes: TOTAL_AT + TOTAL_DIGITS,
  skipBytes: 0,
  keepAliveBytes: (bytes, at) => (isZeros(bytes, at) ? KEEP_ALIVE_BYTES : 0),
  isIdle: () => false,
  frameBytes: (bytes, at) => {
    const header = headerBytes(bytes, at)
    if (header === 0) return ENVELOPE_INVALID
    const total = totalLength(bytes, at)
    return total < 0 ? LENGTH_NOT_DECIMAL : total < header ? LENGTH_OUT_OF_RANGE : total
  },
  envelopeBytes: measure,
}
