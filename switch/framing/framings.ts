/**
 * The framings by name: the table from which links, simulators and commands take theirs.
 *
 * Each row joins a length prefix and an envelope. Adding a framing is a row here and its name in
 * framing.ts.
 */
import { StreamFramer } from './framer.ts'
import type { Cut } from './framer.ts'
import { noEnvelope, tpduAndApplicationHeader, tpduEnvelope } from './envelope.ts'
import type { Envelope } from './envelope.ts'
import { CUPD_HEADER_BYTES, cupsCut, cupsEnvelope } from './cups.ts'
import {
  fourBytes, fourDigits, prefixedCut, twoBcdBytes, twoBytes, visaPrefix,
} from './prefixed.ts'
import type { LengthPrefix } from './prefixed.ts'
import { FRAMING_NAMES } from './framing.ts'
import type { Framer, Framing, FramingName, FramingOptions } from './framing.ts'
import { WholeChunkFramer } from './whole.ts'

interface Row {
  readonly prefix: LengthPrefix | null
  readonly envelope: Envelope
  readonly keepAlive: Buffer | null
}

const ROWS: Readonly<Record<FramingName, Row>> = {
  none: { prefix: null, envelope: noEnvelope, keepAlive: null },
  tpdu: { prefix: null, envelope: tpduEnvelope, keepAlive: null },
  'tpdu+app': { prefix: null, envelope: tpduAndApplicationHeader, keepAlive: null },
  visa: { prefix: visaPrefix, envelope: noEnvelope, keepAlive: Buffer.alloc(4) },
  cups: { prefix: null, envelope: cupsEnvelope, keepAlive: Buffer.from('0000', 'latin1') },
  cups4: { prefix: fourDigits, envelope: cupsEnvelope, keepAlive: Buffer.from('0000', 'latin1') },
  '2b': { prefix: twoBytes, envelope: noEnvelope, keepAlive: Buffer.alloc(2) },
  '2b+tpdu': { prefix: twoBytes, envelope: tpduEnvelope, keepAlive: Buffer.alloc(2) },
  '2b+tpdu+app': { prefix: twoBytes, envelope: tpduAndApplicationHeader, keepAlive: Buffer.alloc(2) },
  '4ascii': { prefix: fourDigits, envelope: noEnvelope, keepAlive: Buffer.from('0000', 'latin1') },
  '4b': { prefix: fourBytes, envelope: noEnvelope, keepAlive: Buffer.alloc(4) },
  '2bcd': { prefix: twoBcdBytes, envelope: noEnvelope, keepAlive: Buffer.alloc(2) },
}

/** Whether there is a framing of that name. */
export function isFramingName(name: string): name is FramingName {
  return (FRAMING_NAMES as readonly string[]).includes(name)
}

/** The framing of that name. Throws an Error naming the known ones when there is none. */
export function framingFor(name: string, options: FramingOptions = {}): Framing {
  if (!isFramingName(name)) {
    throw new Error(`unknown framing ${JSON.stringify(name)}; one of: ${FRAMING_NAMES.join(' ')}`)
  }
  const row = ROWS[name]
  const countsItself = options.lengthIncludesItself === true && row.prefix !== null
  const cut = cutOf(name, row, countsItself)
  const { prefix, envelope } = row
  return {
    name,
    prefixBytes: prefix?.bytes ?? 0,
    envelopeBytes: envelope.bytes,
    keepAlive: row.keepAlive,
    wrap: (bytes, message) => wrap(prefix, envelope, bytes, message, countsItself),
    replyEnvelope: (request) => envelope.reply(request),
    describeEnvelope: (bytes, messageBytes) => envelope.describe(bytes, messageBytes),
    parseEnvelope: (record) => envelope.parse(record),
    rejected: (bytes) => envelope.rejected(bytes),
    createFramer: (frameBytesMax): Framer =>
      cut === null
        ? new WholeChunkFramer(envelope, frameBytesMax)
        : new StreamFramer(cut, frameBytesMax),
  }
}

function cutOf(name: FramingName, row: Row, countsItself: boolean): Cut | null {
  if (name === 'cups') return cupsCut
  if (row.prefix === null) return null
  const least = row.envelope === cupsEnvelope ? CUPD_HEADER_BYTES : row.envelope.bytes
  return prefixedCut(row.prefix, row.envelope, least, countsItself)
}

/**
 * Throws a RangeError when the frame is longer than its length prefix can say: the caller bounds
 * messages.
 */
function wrap(
  prefix: LengthPrefix | null, envelope: Envelope, bytes: Uint8Array, message: Uint8Array,
  countsItself: boolean,
): Buffer {
  const start = prefix?.bytes ?? 0
  const messageStart = start + bytes.length
  const frame = Buffer.allocUnsafe(messageStart + message.length)
  frame.set(bytes, start)
  frame.set(message, messageStart)
  if (prefix !== null) {
    const length = frame.length - (countsItself ? 0 : start)
    if (length > prefix.max) throw new RangeError('frame_longer_than_its_length_prefix')
    prefix.write(frame, 0, length)
  }
  envelope.stamp(frame, start, messageStart)
  return frame
}
