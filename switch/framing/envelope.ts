/**
 * What stands between the length prefix and the message: nothing, a TPDU, a TPDU and an application
 * header.
 *
 *   TPDU (ISO 8583 POS links, five bytes):  60 | destination (2) | source (2)
 *   application header (UnionPay POS, six bytes): class, version, status and requirement nibbles,
 *     software version
 *
 * Each envelope is one stateless object. The CUPS header, which is the largest, has its own file.
 */
import type { EnvelopeRecord } from './framing.ts'

export interface Envelope {
  /** Bytes in a request. */
  readonly bytes: number
  /**
   * Bytes of the envelope in bytes[start, end), -3 when there is not enough or it contradicts
   * itself.
   */
  measure(bytes: Uint8Array, start: number, end: number): number
  reply(envelope: Uint8Array): Buffer
  describe(envelope: Uint8Array, messageBytes: number | undefined): Record<string, string>
  parse(record: EnvelopeRecord): Buffer | null
  /** Brings a total length inside the envelope up to date. */
  stamp(frame: Buffer, envelopeStart: number, messageStart: number): void
  rejected(envelope: Uint8Array): boolean
}

const TPDU_BYTES = 5
const APPLICATION_HEADER_BYTES = 6
/**
 * Sent when nothing else is known: destination and source zero; application class 60, version 31.
 */
const TPDU_DEFAULT = '6000000000'
const APPLICATION_HEADER_DEFAULT = '603100000000'

function nothing(): void {}

function upperHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase()
}

/**
 * Bytes of a hexadecimal part, or of its default when it is absent; null when it has another
 * length.
 */
export function hexPart(
  record: EnvelopeRecord, name: string, bytes: number, absent: string,
): Buffer | null {
  const text = record[name] ?? absent
  if (typeof text !== 'string' || text.length !== bytes * 2 || !/^[0-9A-Fa-f]*$/.test(text)) {
    return null
  }
  return Buffer.from(text, 'hex')
}

/** The five bytes of a TPDU with destination and source exchanged. */
export function swapTpdu(tpdu: Uint8Array): Buffer {
  return Buffer.from([tpdu[0] ?? 0x60, tpdu[3] ?? 0, tpdu[4] ?? 0, tpdu[1] ?? 0, tpdu[2] ?? 0])
}

export const noEnvelope: Envelope = {
  bytes: 0,
  measure: () => 0,
  reply: () => Buffer.alloc(0),
  describe: () => ({}),
  parse: () => Buffer.alloc(0),
  stamp: nothing,
  rejected: () => false,
}

export const tpduEnvelope: Envelope = {
  bytes: TPDU_BYTES,
  measure: (_bytes, start, end) => (end - start < TPDU_BYTES ? -3 : TPDU_BYTES),
  reply: (envelope) => swapTpdu(envelope),
  describe: (envelope) => ({ tpdu: upperHex(envelope.subarray(0, TPDU_BYTES)) }),
  parse: (record) => hexPart(record, 'tpdu', TPDU_BYTES, TPDU_DEFAULT),
  stamp: nothing,
  rejected: () => false,
}

export const tpduAndApplicationHeader: Envelope = {
  bytes: TPDU_BYTES + APPLICATION_HEADER_BYTES,
  measure: (_bytes, start, end) =>
    end - start < TPDU_BYTES + APPLICATION_HEADER_BYTES
      ? -3
      : TPDU_BYTES + APPLICATION_HEADER_BYTES,
  reply: (envelope) => Buffer.concat([swapTpdu(envelope), envelope.subarray(TPDU_BYTES)]),
  describe: (envelope) => ({
    tpdu: upperHex(envelope.subarray(0, TPDU_BYTES)),
    app_header: upperHex(envelope.subarray(TPDU_BYTES)),
  }),
  parse: (record) => {
    const tpdu = hexPart(record, 'tpdu', TPDU_BYTES, TPDU_DEFAULT)
    const header =
      hexPart(record, 'app_header', APPLICATION_HEADER_BYTES, APPLICATION_HEADER_DEFAULT)
    return tpdu === null || header === null ? null : Buffer.concat([tpdu, header])
  },
  stamp: nothing,
  rejected: () => false,
}
