// hot path
/**
 * Cuts a byte stream into frames, whichever way TCP cut it before: the same bytes give the same
 * frames.
 *
 * A frame that lies whole in a chunk is handed over in place. Only a frame that is cut keeps a
 * buffer, of exactly its size once its length is known, so an idle connection holds none. A length
 * beyond the bound is a fault when its prefix is complete, before anything is buffered for it. Made
 * by each framing; fed by the link from its socket.
 */
import type { FrameConsumer, Framer, FramingFault } from './framing.ts'

/** Codes of Cut.length: negative, so that a length can be told from them by its sign. */
export const LENGTH_NOT_DECIMAL = -1
export const LENGTH_OUT_OF_RANGE = -2
export const ENVELOPE_INVALID = -3

/** What differs between framings. */
export interface Cut {
  /** Bytes needed to know how long a frame is. */
  readonly prefixBytes: number
  /** Bytes of the prefix that are not part of the frame's envelope or message. */
  readonly skipBytes: number
  /**
   * Bytes of a keep-alive with nothing after it, recognised in the prefix; 0 when `at` begins none.
   */
  keepAliveBytes(bytes: Uint8Array, at: number): number
  /** Whether a complete frame is one that only keeps the connection open. */
  isIdle(bytes: Uint8Array, start: number, end: number): boolean
  /** Bytes of the whole frame whose first prefixBytes lie at `at`, or one of the codes above. */
  frameBytes(bytes: Uint8Array, at: number): number
  /** Bytes of the envelope in bytes[start, end), or ENVELOPE_INVALID. */
  envelopeBytes(bytes: Uint8Array, start: number, end: number): number
}

const NO_BYTES = new Uint8Array(0)
/** Enough for every prefix; cups needs six bytes. */
const PREFIX_BYTES_MAX = 8

export class StreamFramer implements Framer {
  readonly #cut: Cut
  readonly #frameBytesMax: number
  /**
   * The start of a frame whose rest has not come: first its prefix, then a buffer of the frame's
   * size.
   */
  #pending: Uint8Array
  #held: number
  #frameBytes: number
  #fault: 0 | FramingFault

  constructor(cut: Cut, frameBytesMax: number) {
    this.#cut = cut
    this.#frameBytesMax = frameBytesMax
    this.#pending = NO_BYTES
    this.#held = 0
    this.#frameBytes = 0
    this.#fault = 0
  }

  get buffered(): number {
    return this.#held
  }

  push(chunk: Uint8Array, onFrame: FrameConsumer, onKeepAlive: () => void): 0 | FramingFault {
    let at = 0
    const end = chunk.length
    while (this.#fault === 0 && at < end) {
      at = this.#held > 0 ? this.#resume(chunk, at, end, onFrame, onKeepAlive)
        : this.#whole(chunk, at, end, onFrame, onKeepAlive)
    }
    return this.#fault
  }

  /** A frame begins at `at`; returns the offset after what was taken. */
  #whole(
    chunk: Uint8Array, at: number, end: number, onFrame: FrameConsumer, onKeepAlive: () => void,
  ): number {
    const cut = this.#cut
    if (end - at < cut.prefixBytes) {
      const idle = this.#keepAlive(chunk, at, end)
      if (idle > 0) {
        onKeepAlive()
        return at + idle
      }
      return this.#hold(chunk, at, end, PREFIX_BYTES_MAX, 0)
    }
    const idle = cut.keepAliveBytes(chunk, at)
    if (idle > 0) {
      onKeepAlive()
      return at + idle
    }
    const size = this.#size(chunk, at)
    if (size < 0) return end
    if (end - at < size) return this.#hold(chunk, at, end, size, size)
    this.#deliver(chunk, at, at + size, onFrame, onKeepAlive)
    return at + size
  }

  /** A keep-alive may be shorter than the prefix of a frame. */
  #keepAlive(bytes: Uint8Array, at: number, end: number): number {
    const idle = this.#cut.keepAliveBytes(bytes, at)
    return idle > 0 && end - at >= idle ? idle : 0
  }

  /** Size of the frame whose prefix is complete; -1 with the fault set. */
  #size(bytes: Uint8Array, at: number): number {
    const size = this.#cut.frameBytes(bytes, at)
    if (size >= this.#cut.prefixBytes && size <= this.#frameBytesMax) return size
    this.#fault = size === LENGTH_NOT_DECIMAL ? 'length_not_decimal'
      : size === ENVELOPE_INVALID ? 'envelope_invalid' : 'length_out_of_range'
    this.#release()
    return -1
  }

  #hold(chunk: Uint8Array, at: number, end: number, room: number, frameBytes: number): number {
    this.#pending = new Uint8Array(room)
    for (let i = at; i < end; i++) this.#pending[i - at] = chunk[i]!
    this.#held = end - at
    this.#frameBytes = frameBytes
    return end
  }

  #release(): void {
    this.#pending = NO_BYTES
    this.#held = 0
    this.#frameBytes = 0
  }

  /** Adds to a frame that was cut; returns the offset after what was taken. */
  #resume(
    chunk: Uint8Array, start: number, end: number, onFrame: FrameConsumer, onKeepAlive: () => void,
  ): number {
    const cut = this.#cut
    let at = start
    if (this.#frameBytes === 0) {
      while (this.#held < cut.prefixBytes && at < end) {
        this.#pending[this.#held++] = chunk[at++]!
        const idle = this.#keepAlive(this.#pending, 0, this.#held)
        if (idle > 0) {
          this.#release()
          onKeepAlive()
          return at
        }
      }
      if (this.#held < cut.prefixBytes) return at
      const size = this.#size(this.#pending, 0)
      if (size < 0) return end
      const whole = new Uint8Array(size)
      whole.set(this.#pending.subarray(0, this.#held))
      this.#pending = whole
      this.#frameBytes = size
    }
    const take = Math.min(this.#frameBytes - this.#held, end - at)
    this.#pending.set(chunk.subarray(at, at + take), this.#held)
    this.#held += take
    at += take
    if (this.#held === this.#frameBytes) {
      const frame = this.#pending
      this.#release()
      this.#deliver(frame, 0, frame.length, onFrame, onKeepAlive)
    }
    return at
  }

  #deliver(
    bytes: Uint8Array, start: number, end: number, onFrame: FrameConsumer, onKeepAlive: () => void,
  ): void {
    if (this.#cut.isIdle(bytes, start, end)) {
      onKeepAlive()
      return
    }
    const envelopeStart = start + this.#cut.skipBytes
    const envelope = this.#cut.envelopeBytes(bytes, envelopeStart, end)
    if (envelope < 0 || envelopeStart + envelope > end) {
      this.#fault = 'envelope_invalid'
      return
    }
    onFrame(bytes, envelopeStart, envelopeStart + envelope, end)
  }
}
