/**
 * One direction of a TCP connection put in order again: repeats are dropped, overlaps cut, early
 * segments wait for the missing one.
 *
 * Used by console/pcap/frames.ts. Bounded: when more than WAITING_BYTES_MAX wait for a segment that
 * does not come, or the connection ends, the hole is told and the rest goes on behind it.
 */

/** Bytes that may wait behind a hole; a receive window is smaller. */
export const WAITING_BYTES_MAX = 4 * 1024 * 1024

export interface StreamReader {
  bytes(chunk: Uint8Array, atUs: number): void
  /** Bytes are missing from the capture before what comes next. */
  hole(): void
  /** The connection or the file ends; another connection between the two may begin. */
  ended(): void
}

interface Waiting {
  readonly sequence: number
  readonly payload: Uint8Array
  readonly atUs: number
}

/** Distance of two sequence numbers, which wrap at 32 bits. */
function distance(from: number, to: number): number {
  return (to - from) | 0
}

export class Stream {
  readonly #reader: StreamReader
  #next = 0
  #begun = false
  #waiting: Waiting[] = []
  #waitingBytes = 0

  constructor(reader: StreamReader) {
    this.#reader = reader
  }

  /** A SYN: whatever was before belongs to an older connection. */
  begin(sequence: number): void {
    // A repeated SYN of the same connection changes nothing.
    if (this.#begun && this.#next === ((sequence + 1) >>> 0)) return
    this.finish()
    this.#next = (sequence + 1) >>> 0
    this.#begun = true
  }

  /** A segment with data; a capture that begins in the middle begins with its first segment. */
  take(sequence: number, payload: Uint8Array, atUs: number): void {
    if (payload.length === 0) return
    if (!this.#begun) {
      this.#next = sequence
      this.#begun = true
    }
    if (distance(this.#next, sequence) > 0) {
      this.#waiting.push({ sequence, payload, atUs })
      this.#waitingBytes += payload.length
      if (this.#waitingBytes > WAITING_BYTES_MAX) this.#skip()
      return
    }
    this.#pass(sequence, payload, atUs)
    this.#drain()
  }

  /** The end of the connection or of the file: what still waits is behind holes. */
  finish(): void {
    while (this.#waiting.length > 0) this.#skip()
    if (this.#begun) this.#reader.ended()
    this.#begun = false
  }

  #pass(sequence: number, payload: Uint8Array, atUs: number): void {
    const fresh = payload.subarray(distance(sequence, this.#next))
    if (fresh.length === 0) return
    this.#next = (this.#next + fresh.length) >>> 0
    this.#reader.bytes(fresh, atUs)
  }

  #drain(): void {
    for (;;) {
      const at = this.#waiting.findIndex((one) => distance(this.#next, one.sequence) <= 0)
      const one = this.#waiting[at]
      if (one === undefined) return
      this.#waiting.splice(at, 1)
      this.#waitingBytes -= one.payload.length
      this.#pass(one.sequence, one.payload, one.atUs)
    }
  }

  /** Goes on behind the hole, at the earliest segment that waits. */
  #skip(): void {
    let first = this.#waiting[0]
    if (first === undefined) return
    for (const one of this.#waiting) if (distance(first.sequence, one.sequence) < 0) first = one
    this.#reader.hole()
    this.#next = first.sequence
    this.#drain()
  }
}
