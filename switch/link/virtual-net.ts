/**
 * A network in memory that moves with a clock: for tests, and for a simulation of many links
 * without sockets.
 *
 * Bytes arrive in order after a fixed delay, in the pieces in which they were written. Faults are
 * set per net or per connection. Called by tests beside this file; it must never touch a real
 * socket nor real time.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Connection, ConnectionEvents, Endpoint, Listener, Net } from './port.ts'

const FIRST_FREE_PORT = 40_000
/** Bytes that a peer which does not read lets pile up, unless told otherwise. */
const BUFFER_BYTES_MAX = 65_536

/** The two ends of one connection. */
export interface VirtualPipe {
  readonly dialled: VirtualConnection
  readonly accepted: VirtualConnection
}

export class VirtualNet implements Net {
  /** One way, ms. */
  delayMs = 1
  /** Every connection so far, in the order of dialling, for tests that break one. */
  readonly pipes: VirtualPipe[] = []
  readonly #clock: Clock
  readonly #listeners = new Map<string, (connection: Connection) => ConnectionEvents>()
  #nextPort = FIRST_FREE_PORT

  constructor(clock: Clock) {
    this.#clock = clock
  }

  listen(
    at: Endpoint, accept: (connection: Connection) => ConnectionEvents,
  ): Promise<Listener> {
    const port = at.port === 0 ? this.#nextPort++ : at.port
    const name = `${at.host}:${port}`
    if (this.#listeners.has(name)) {
      const why = 'the port is in use by another process'
      return Promise.reject(new Error(`cannot listen on ${name}: ${why}`))
    }
    this.#listeners.set(name, accept)
    const close = (): Promise<void> => {
      this.#listeners.delete(name)
      return Promise.resolve()
    }
    return Promise.resolve({ port, close })
  }

  connect(to: Endpoint, events: ConnectionEvents): Connection {
    const dialled = new VirtualConnection(this, this.#clock, `${to.host}:${to.port}`)
    dialled.events = events
    this.#clock.after(this.delayMs, () => {
      const accept = this.#listeners.get(`${to.host}:${to.port}`)
      if (accept === undefined) dialled.end('refused')
      else if (dialled.isOpen) this.#join(dialled, accept)
    })
    return dialled
  }

  #join(dialled: VirtualConnection, accept: (connection: Connection) => ConnectionEvents): void {
    const accepted = new VirtualConnection(this, this.#clock, `127.0.0.1:${this.#nextPort++}`)
    dialled.peer = accepted
    accepted.peer = dialled
    this.pipes.push({ dialled, accepted })
    accepted.events = accept(accepted)
    accepted.events.opened()
    dialled.events?.opened()
  }
}

export class VirtualConnection implements Connection {
  readonly remote: string
  events: ConnectionEvents | null = null
  peer: VirtualConnection | null = null
  isOpen = true
  /** Half-open: what is written vanishes, nothing arrives, nobody is told. */
  cut = false
  /** A peer that does not read: written bytes stay here. */
  stalled = false
  bytesMax = BUFFER_BYTES_MAX
  #buffered = 0
  readonly #net: VirtualNet
  readonly #clock: Clock

  constructor(net: VirtualNet, clock: Clock, remote: string) {
    this.#net = net
    this.#clock = clock
    this.remote = remote
  }

  write(bytes: Uint8Array): boolean {
    if (!this.isOpen || this.#buffered + bytes.length > this.bytesMax) return false
    if (this.stalled) {
      this.#buffered += bytes.length
      return true
    }
    const copy = Buffer.from(bytes)
    this.#clock.after(this.#net.delayMs, () => {
      const peer = this.peer
      if (!this.cut && peer !== null && !peer.cut && peer.isOpen) peer.events?.data(copy)
    })
    return true
  }

  bufferedBytes(): number {
    return this.#buffered
  }

  close(why: string): void {
    if (!this.isOpen) return
    this.end(`closed_by_us:${why}`)
    const peer = this.peer
    if (peer === null || this.cut) return
    this.#clock.after(this.#net.delayMs, () => {
      if (!peer.cut) peer.end('peer_closed')
    })
  }

  /** Ends this side as the network would. */
  end(cause: string): void {
    if (!this.isOpen) return
    this.isOpen = false
    const events = this.events
    this.#clock.after(1, () => events?.closed(cause))
  }
}
