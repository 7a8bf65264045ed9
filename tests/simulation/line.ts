/**
 * How peers of the simulation speak: framed messages of a dialect over the simulation's network.
 * Built on the codec and framings like simulators/, whose message knowledge it uses; it must never
 * import link, pipeline or journal.
 */
import { type ReadMessage, Wire } from '../../simulators/messages.ts'
import type { Connection, Endpoint } from '../../switch/link/port.ts'
import type { Host } from './net.ts'

const FRAME_BYTES_MAX = 4_096

/** Dialects compiled once for all seeds; reading and writing keeps nothing between calls. */
export const WIRES = {
  visa: new Wire('visa', 'visa'),
  cups: new Wire('cups', 'cups4'),
  pos: new Wire('cups-pos', '2b+tpdu+app'),
} as const

export type WireName = keyof typeof WIRES

export interface LineEvents {
  opened(line: PeerLine): void
  message(line: PeerLine, envelope: Uint8Array, message: ReadMessage): void
  closed(line: PeerLine, cause: string): void
}

/** One connection of a peer. */
export class PeerLine {
  readonly #wire: Wire
  readonly #events: LineEvents
  readonly #framer
  #connection: Connection | null = null
  open = true
  signedOn = false
  readonly unreadable: (why: string) => void

  constructor(wire: Wire, events: LineEvents, unreadable: (why: string) => void) {
    this.#wire = wire
    this.#events = events
    this.#framer = wire.framing.createFramer(FRAME_BYTES_MAX)
    this.unreadable = unreadable
  }

  /** Dials from `host`. */
  dial(host: Host, to: Endpoint): void {
    this.#connection = host.connect(to, this)
  }

  attach(connection: Connection): void {
    this.#connection = connection
  }

  send(envelope: Uint8Array, message: Uint8Array): boolean {
    const connection = this.#connection
    if (!this.open || connection === null) return false
    return connection.write(this.#wire.framing.wrap(envelope, message))
  }

  answer(envelope: Uint8Array, message: Uint8Array): boolean {
    return this.send(this.#wire.framing.replyEnvelope(envelope), message)
  }

  close(why: string): void {
    if (!this.open) return
    this.open = false
    this.#connection?.close(why)
    this.#events.closed(this, why)
  }

  // What the network says

  opened(): void {
    if (this.open) this.#events.opened(this)
  }

  data(chunk: Uint8Array): void {
    if (!this.open) return
    const fault = this.#framer.push(
      chunk,
      (bytes, envelopeStart, messageStart, end) => {
        const message = this.#wire.read(bytes.subarray(messageStart, end))
        if (typeof message === 'string') this.unreadable(message)
        else this.#events.message(this, bytes.slice(envelopeStart, messageStart), message)
      },
      () => undefined,
    )
    if (fault !== 0) this.unreadable(fault)
  }

  closed(cause: string): void {
    if (!this.open) return
    this.open = false
    this.#events.closed(this, cause)
  }
}
