/**
 * Frames of a capture file: its TCP streams put in order and cut as a link cuts them.
 *
 * Used by console/pcap/decode.ts. Every direction of every connection has its own framer, so that a
 * broken stream disturbs no other.
 */
import type { Framer, Framing } from '../../switch/framing/framing.ts'
import { packetsOf } from './capture-file.ts'
import { segmentOf } from './segment.ts'
import { Stream, type StreamReader } from './stream.ts'

/** Where a frame or a fault was found. */
export interface Place {
  readonly from: string
  readonly to: string
  /** Microseconds since 1970 of the segment that completed it. */
  readonly atUs: number
}

export type Captured =
  | { readonly kind: 'frame'; readonly place: Place; readonly bytes: Uint8Array }
  | { readonly kind: 'keep_alive'; readonly place: Place }
  /** The stream cannot be cut (fault of its framing), or bytes are missing from the file. */
  | { readonly kind: 'fault'; readonly place: Place; readonly fault: string }

export interface CaptureOptions {
  readonly framing: Framing
  /** Only connections with this TCP port on either side; undefined = all. */
  readonly port?: number
  readonly frameBytesMax: number
}

/** Everything a capture holds, in the order in which it was complete. */
export function* framesOfCapture(file: Uint8Array, options: CaptureOptions): Generator<Captured> {
  const found: Captured[] = []
  const streams = new Map<string, Stream>()
  for (const packet of packetsOf(file)) {
    const segment = segmentOf(packet.link, packet.bytes)
    if (segment === null || !hasPort(segment, options.port)) continue
    const key = `${segment.from} ${segment.to}`
    let stream = streams.get(key)
    if (stream === undefined) {
      stream = new Stream(new Cutter(segment.from, segment.to, options, found))
      streams.set(key, stream)
    }
    if (segment.syn) stream.begin(segment.sequence)
    stream.take(segment.sequence, segment.payload, packet.atUs)
    if (segment.ends) {
      stream.finish()
      streams.delete(key) // the next connection between the two begins anew
    }
    yield* found.splice(0)
  }
  for (const stream of streams.values()) stream.finish()
  yield* found
}

function hasPort(segment: { from: string; to: string }, port: number | undefined): boolean {
  if (port === undefined) return true
  return segment.from.endsWith(`:${port}`) || segment.to.endsWith(`:${port}`)
}

/** Cuts one direction; after a fault it waits for the next hole or connection. */
class Cutter implements StreamReader {
  readonly #from: string
  readonly #to: string
  readonly #options: CaptureOptions
  readonly #found: Captured[]
  #framer: Framer
  #broken = false
  #atUs = 0

  constructor(from: string, to: string, options: CaptureOptions, found: Captured[]) {
    this.#from = from
    this.#to = to
    this.#options = options
    this.#found = found
    this.#framer = options.framing.createFramer(options.frameBytesMax)
  }

  bytes(chunk: Uint8Array, atUs: number): void {
    this.#atUs = atUs
    if (this.#broken) return
    const { prefixBytes } = this.#options.framing
    const fault = this.#framer.push(
      chunk,
      (bytes, envelopeStart, _messageStart, end) => {
        const frame = Uint8Array.from(bytes.subarray(envelopeStart - prefixBytes, end))
        this.#found.push({ kind: 'frame', place: this.#place(), bytes: frame })
      },
      () => this.#found.push({ kind: 'keep_alive', place: this.#place() }),
    )
    if (fault === 0) return
    this.#broken = true
    this.#found.push({ kind: 'fault', place: this.#place(), fault })
  }

  hole(): void {
    this.#restart()
    this.#found.push({ kind: 'fault', place: this.#place(), fault: 'capture_has_a_hole' })
  }

  ended(): void {
    const half = !this.#broken && this.#framer.buffered > 0
    this.#restart()
    if (half) this.#found.push({ kind: 'fault', place: this.#place(), fault: 'frame_incomplete' })
  }

  #restart(): void {
    this.#framer = this.#options.framing.createFramer(this.#options.frameBytesMax)
    this.#broken = false
  }

  #place(): Place {
    return { from: this.#from, to: this.#to, atUs: this.#atUs }
  }
}
