// hot path
/**
 * Framings without a length: whatever one delivery holds is one frame (a record of a file, the body
 * of an HTTP request). On a TCP stream these cannot be cut, so a link is not configured with them.
 */
import type { Envelope } from './envelope.ts'
import type { FrameConsumer, Framer, FramingFault } from './framing.ts'

export class WholeChunkFramer implements Framer {
  readonly buffered: number
  readonly #envelope: Envelope
  readonly #frameBytesMax: number

  constructor(envelope: Envelope, frameBytesMax: number) {
    this.buffered = 0
    this.#envelope = envelope
    this.#frameBytesMax = frameBytesMax
  }

  push(chunk: Uint8Array, onFrame: FrameConsumer, onKeepAlive: () => void): 0 | FramingFault {
    if (chunk.length === 0) {
      onKeepAlive()
      return 0
    }
    if (chunk.length > this.#frameBytesMax) return 'length_out_of_range'
    const envelope = this.#envelope.measure(chunk, 0, chunk.length)
    if (envelope < 0) return 'envelope_invalid'
    onFrame(chunk, 0, envelope, chunk.length)
    return 0
  }
}
