/**
 * What every framing offers: how frames are cut from a byte stream and what stands before the
 * message in each.
 *
 * A frame is `length prefix | envelope | message`; the envelope is what the interface puts between
 * the two (TPDU, application header, CUPS header). A header that belongs to the dialect (VisaNet
 * BASE I) is part of the message. Used by links, simulators and the `message` command. Pure: no
 * sockets, no clock, no state outside a Framer.
 */

/** Names of the framings, as links and commands write them. */
export const FRAMING_NAMES = [
  'none', 'visa', 'cups', 'cups4', '2b', '2b+tpdu', '2b+tpdu+app', 'tpdu', 'tpdu+app', '4ascii', '4b', '2bcd',
] as const

export type FramingName = (typeof FRAMING_NAMES)[number]

/**
 * Why a stream can no longer be cut: the link is closed, nothing else is disturbed. Never content.
 */
export type FramingFault =
  | 'length_not_decimal' // the length prefix is not written in its digits
  | 'length_out_of_range' // longer than the bound, or shorter than what it must hold
  | 'envelope_invalid' // the framing's own header contradicts itself

/**
 * `bytes` may be the chunk itself or the framer's buffer: whoever keeps it longer than the call
 * copies it.
 */
export type FrameConsumer = (
  bytes: Uint8Array, envelopeStart: number, messageStart: number, end: number,
) => void

export interface Framer {
  /** Takes bytes as TCP delivers them; 0, or the fault at which this stream ends for good. */
  push(chunk: Uint8Array, onFrame: FrameConsumer, onKeepAlive: () => void): 0 | FramingFault
  /** Bytes that wait for the rest of their frame. */
  readonly buffered: number
}

export interface FramingOptions {
  /** Whether the number in the length prefix counts the prefix too. */
  readonly lengthIncludesItself?: boolean
}

/**
 * What a record says of an envelope: names and text, as `message decode` shows them under `header`.
 */
export type EnvelopeRecord = Readonly<Record<string, unknown>>

export interface Framing {
  readonly name: FramingName
  /** Bytes of the length prefix. */
  readonly prefixBytes: number
  /** Bytes of a request's envelope. */
  readonly envelopeBytes: number
  /**
   * What is sent on an idle link, and answered or ignored by the peer; null where the framing has
   * none.
   */
  readonly keepAlive: Buffer | null
  /**
   * Length prefix, envelope (its own total length brought up to date) and message, in a fresh
   * buffer.
   */
  wrap(envelope: Uint8Array, message: Uint8Array): Buffer
  /** Envelope of the answer to a request that came with `requestEnvelope`. */
  replyEnvelope(requestEnvelope: Uint8Array): Buffer
  /** Named parts; a total length only where it is not that of a message of `messageBytes`. */
  describeEnvelope(envelope: Uint8Array, messageBytes?: number): Record<string, string>
  /** Bytes of described parts, absent parts as in a request; null when a part does not fit. */
  parseEnvelope(record: EnvelopeRecord): Buffer | null
  /** Whether the peer sent our own message back unprocessed. */
  rejected(envelope: Uint8Array): boolean
  /**
   * `frameBytesMax`: largest frame, length prefix included; more is a fault as soon as the prefix
   * is there.
   */
  createFramer(frameBytesMax: number): Framer
}
