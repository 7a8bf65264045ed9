/**
 * The VisaNet BASE I header: 22 bytes, or a 26-byte reject header followed by the original 22-byte
 * header.
 *
 *   0  H1 length (16 or 1A)      5  H5 destination station (3)   14 H9  status flags (3)
 *   1  H2 flag and format        8  H6 source station (3)        17 H10 batch
 *   2  H3 text format            11 H7 round-trip control        18 H11 reserved (3)
 *   3  H4 total length (2)       12 H8 BASE I flags (2)          21 H12 user information
 *   reject only: 22 H13 bitmap (2), 24 H14 reject code (2)
 *
 * Source: VisaNet V.I.P. header layout as agreed by the public implementations (offsets confirmed
 * on public samples).
 */
import type { HeaderLayout } from './layout.ts'

const HEADER_BYTES = 22
const REJECT_BYTES = 26
/** H2: another header follows this one. */
const FOLLOWS = 0x80
/** H13: the reject code is present. */
const REJECT_CODE_PRESENT = 0x80

/**
 * name, offset, bytes; all shown as hexadecimal (stations and reject code are BCD, so that is their
 * digits).
 */
const PARTS: readonly (readonly [string, number, number])[] = [
  ['format', 1, 1], // H2
  ['text_format', 2, 1], // H3
  ['destination_station', 5, 3], // H5
  ['source_station', 8, 3], // H6
  ['round_trip', 11, 1], // H7
  ['base1_flags', 12, 2], // H8
  ['status_flags', 14, 3], // H9
  ['batch', 17, 1], // H10
  ['reserved', 18, 3], // H11
  ['user_information', 21, 1], // H12
]
const REJECT_PARTS: readonly (readonly [string, number, number])[] = [
  ['reject_bitmap', 22, 2], // H13
  ['reject_code', 24, 2], // H14
]

function measure(frame: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1
  const first = frame[start]!
  if (first !== HEADER_BYTES && first !== REJECT_BYTES) {
    // An MTI begins with the version digit: a message without header is read as it is, anything
    // else is no header.
    return first >> 4 === 0 || first >> 4 === 9 ? 0 : -2
  }
  if (end - start < first) return -1
  if (first === HEADER_BYTES && (frame[start + 1]! & FOLLOWS) === 0) return HEADER_BYTES
  if (end - start === first || frame[start + first] !== HEADER_BYTES) return first
  const total = first + HEADER_BYTES
  return end - start < total ? -1 : total
}

function stationBytes(station: string): Buffer {
  const digits = /^[0-9]{1,6}$/.test(station) ? station : ''
  return Buffer.from(digits.padStart(6, '0'), 'hex')
}

function request(ownStation: string): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header[0] = HEADER_BYTES
  header[1] = 0x01 // H2: header format 1
  header[2] = 0x02 // H3: field 62 in its bitmap form
  stationBytes(ownStation).copy(header, 8)
  return header
}

function reply(header: Uint8Array, ownStation: string): Buffer {
  const offset = header.length >= 2 * HEADER_BYTES ? header.length - HEADER_BYTES : 0
  const answer = Buffer.alloc(HEADER_BYTES)
  answer.set(header.subarray(offset, offset + HEADER_BYTES))
  answer[0] = HEADER_BYTES
  answer[1] = answer[1]! & ~FOLLOWS
  answer.set(header.subarray(offset + 8, offset + 11), 5) // H5 is the requester's station
  answer.set(header.subarray(offset + 5, offset + 8), 8) // H6
  // A requester that left H5 zero is answered by the station it reached.
  if (answer[8] === 0 && answer[9] === 0 && answer[10] === 0) {
    answer.set(stationBytes(ownStation), 8)
  }
  return answer
}

function stamp(frame: Uint8Array, headerStart: number, bodyStart: number, end: number): void {
  let at = headerStart
  while (at < bodyStart) {
    const total = end - at
    frame[at + 3] = total >> 8
    frame[at + 4] = total & 255
    at += frame[at] === REJECT_BYTES ? REJECT_BYTES : HEADER_BYTES
  }
}

function rejected(header: Uint8Array): boolean {
  return header.length > 0 && header[0] === REJECT_BYTES
}

function hex(bytes: Uint8Array, from: number, count: number): string {
  return Buffer.from(bytes.subarray(from, from + count)).toString('hex').toUpperCase()
}

function describeOne(
  header: Uint8Array, at: number, total: number, out: Record<string, string>, prefix: string,
): void {
  for (const [name, offset, count] of PARTS) out[prefix + name] = hex(header, at + offset, count)
  if (header[at] === REJECT_BYTES) {
    for (const [name, offset, count] of REJECT_PARTS) {
      out[prefix + name] = hex(header, at + offset, count)
    }
  }
  const stated = header[at + 3]! * 256 + header[at + 4]!
  if (stated !== total) out[`${prefix}length_as_sent`] = hex(header, at + 3, 2)
}

function describe(header: Uint8Array, messageBytes: number): Record<string, string> {
  const out: Record<string, string> = {}
  if (header.length < HEADER_BYTES) return out
  describeOne(header, 0, header.length + messageBytes, out, '')
  if (header.length > REJECT_BYTES) {
    const inner = header.length - HEADER_BYTES
    describeOne(header, inner, HEADER_BYTES + messageBytes, out, 'original_')
  }
  return out
}

function place(
  target: Buffer, record: Readonly<Record<string, unknown>>, name: string, at: number,
  count: number,
): boolean {
  const text = record[name]
  if (text === undefined) return true
  if (typeof text !== 'string' || text.length !== count * 2 || !/^[0-9A-Fa-f]*$/.test(text)) {
    return false
  }
  target.write(text, at, 'hex')
  return true
}

function parseOne(
  record: Readonly<Record<string, unknown>>, prefix: string, total: number,
): Buffer | null {
  const reject = record[`${prefix}reject_code`] !== undefined
  const header = Buffer.alloc(reject ? REJECT_BYTES : HEADER_BYTES)
  header[0] = header.length
  header[1] = 0x01
  header[2] = 0x02
  if (reject) header[22] = REJECT_CODE_PRESENT
  header.writeUInt16BE((total + header.length) & 0xffff, 3)
  for (const [name, offset, count] of reject ? [...PARTS, ...REJECT_PARTS] : PARTS) {
    if (!place(header, record, prefix + name, offset, count)) return null
  }
  return place(header, record, `${prefix}length_as_sent`, 3, 2) ? header : null
}

function parse(record: Readonly<Record<string, unknown>>, messageBytes: number): Buffer | null {
  const inner = Object.keys(record).some((name) => name.startsWith('original_'))
    ? parseOne(record, 'original_', messageBytes)
    : Buffer.alloc(0)
  if (inner === null) return null
  const outer = parseOne(record, '', messageBytes + inner.length)
  return outer === null ? null : Buffer.concat([outer, inner])
}

export const visaHeader: HeaderLayout = {
  name: 'visa', measure, request, reply, stamp, rejected, describe, parse,
}
