/**
 * The network of the simulation: the Net port between processes, with what a real one does to TCP.
 * Bytes of one connection keep their order; they come in other pieces than they were sent, late, at
 * once, or never; connections are reset, go silent, or cannot be opened. Messages are lost, doubled
 * and reordered by peers and across connections.
 */
import type {
  Connection, ConnectionEvents, Endpoint, Listener, Net,
} from '../../switch/link/port.ts'
import type { Clock, Timer } from '../../switch/runtime/clock.ts'
import type { Chance, EventHash } from './chance.ts'

const BUFFER_BYTES_MAX = 262_144
const DIAL_MS = 5_000 // until a dial into silence gives up
const SLOW_MS = 6_000
const FIRST_PORT = 40_000

export interface NetWeather {
  delayMs: number
  split: number // of 10,000 deliveries
  slow: number
}

/** A process on the network. */
export class Host implements Net {
  readonly name: string
  readonly connections = new Set<SimConnection>()
  dead = false
  /** Asked at each write of this process whether it dies there, before or after the bytes left. */
  onWrite: (() => 'go' | 'die_sent' | 'die_unsent') | null = null
  /** Kills the process that lives here. */
  onDeath: (() => void) | null = null
  readonly #net: SimNet
  readonly #listening = new Set<string>()

  constructor(net: SimNet, name: string) {
    this.#net = net
    this.name = name
  }

  listen(at: Endpoint, accept: (connection: Connection) => ConnectionEvents): Promise<Listener> {
    const address = `${at.host}:${at.port}`
    if (this.#net.listeners.has(address)) {
      return Promise.reject(new Error(`cannot listen on ${address}: in use`))
    }
    this.#net.listeners.set(address, { host: this, accept })
    this.#listening.add(address)
    const close = (): Promise<void> => {
      this.#net.listeners.delete(address)
      this.#listening.delete(address)
      return Promise.resolve()
    }
    return Promise.resolve({ port: at.port, close })
  }

  connect(to: Endpoint, events: ConnectionEvents): Connection {
    return this.#net.dial(this, to, events)
  }

  /** The process is gone. What it had written still arrives, then its peers see the end. */
  kill(): void {
    this.dead = true
    for (const address of this.#listening) this.#net.listeners.delete(address)
    for (const connection of [...this.connections]) connection.close('killed')
  }
}

export class SimNet {
  readonly listeners = new Map<
    string, { host: Host; accept(connection: Connection): ConnectionEvents }
  >()
  readonly clock: Clock
  readonly weather: NetWeather
  readonly #chance: Chance
  readonly #hash: EventHash
  #nextId = 1
  /** Addresses that take no connections now, and how. */
  readonly closedTo = new Map<string, 'refused' | 'silent'>()

  constructor(clock: Clock, chance: Chance, hash: EventHash, weather: NetWeather) {
    this.clock = clock
    this.#chance = chance
    this.#hash = hash
    this.weather = weather
  }

  delay(): number {
    return 1 + this.#chance.below(this.weather.delayMs)
  }

  dial(host: Host, to: Endpoint, events: ConnectionEvents): Connection {
    const address = `${to.host}:${to.port}`
    const dialled = new SimConnection(this, host, this.#nextId++, address)
    dialled.events = events
    host.connections.add(dialled)
    const manner = this.closedTo.get(address)
    const delay = manner === 'silent' ? DIAL_MS : this.delay()
    this.clock.after(delay, () => {
      if (!dialled.open) return
      const listener = this.listeners.get(address)
      if (manner !== undefined || listener === undefined || listener.host.dead) {
        dialled.end(manner === 'silent' ? 'timed_out' : 'refused')
        return
      }
      const accepted = new SimConnection(
        this, listener.host, this.#nextId++, `127.0.0.1:${FIRST_PORT + this.#nextId}`,
      )
      dialled.peer = accepted
      accepted.peer = dialled
      listener.host.connections.add(accepted)
      accepted.events = listener.accept(accepted)
      accepted.events.opened()
      if (dialled.open) events.opened()
    })
    return dialled
  }

  /** Both ends learn that the connection is gone; what was under way is lost. */
  reset(connection: SimConnection, cause: string): void {
    const { peer } = connection
    connection.forget()
    peer?.forget()
    connection.end(cause)
    peer?.end(cause)
  }

  /** How long until the pieces of a write arrive: one piece, or several. */
  pieces(bytes: Buffer): Array<{ afterMs: number; bytes: Buffer }> {
    const { split, slow } = this.weather
    let afterMs = this.delay()
    if (this.#chance.happens(slow)) afterMs += this.#chance.below(SLOW_MS)
    if (bytes.length < 2 || !this.#chance.happens(split)) return [{ afterMs, bytes }]
    const cut = 1 + this.#chance.below(bytes.length - 1)
    const second = afterMs + this.#chance.below(3) * this.#chance.below(400)
    return [
      { afterMs, bytes: bytes.subarray(0, cut) },
      { afterMs: second, bytes: bytes.subarray(cut) },
    ]
  }

  delivered(id: number, bytes: Uint8Array): void {
    this.#hash.number(this.clock.monotonicMs())
    this.#hash.number(id)
    this.#hash.bytes(bytes)
  }
}

export class SimConnection implements Connection {
  readonly remote: string
  readonly id: number
  readonly host: Host
  open = true
  peer: SimConnection | null = null
  events: ConnectionEvents | null = null
  /** What is written vanishes, nobody is told. */
  silent = false
  /** Nothing written before this arrives earlier, monotonic ms: a path that retransmits. */
  heldUntilMs = 0
  readonly #net: SimNet
  #underway: Array<{ dueMs: number; bytes: Buffer }> = []
  #timer: Timer | null = null
  #lastDueMs = 0
  #buffered = 0

  constructor(net: SimNet, host: Host, id: number, remote: string) {
    this.#net = net
    this.host = host
    this.id = id
    this.remote = remote
  }

  write(bytes: Uint8Array): boolean {
    if (this.host.dead || !this.open || this.peer === null) return false
    if (this.#buffered + bytes.length > BUFFER_BYTES_MAX) return false
    const fate = this.host.onWrite?.() ?? 'go'
    if (fate !== 'die_unsent') this.#send(bytes)
    if (fate !== 'go') this.host.onDeath?.()
    return true
  }

  #send(bytes: Uint8Array): void {
    if (this.silent) {
      this.#buffered += bytes.length
      return
    }
    const now = this.#net.clock.monotonicMs()
    const wasIdle = this.#underway.length === 0
    for (const piece of this.#net.pieces(Buffer.from(bytes))) {
      this.#lastDueMs = Math.max(this.#lastDueMs, now + piece.afterMs, this.heldUntilMs)
      this.#underway.push({ dueMs: this.#lastDueMs, bytes: piece.bytes })
    }
    if (wasIdle) this.#arm()
  }

  bufferedBytes(): number {
    return this.#buffered
  }

  close(why: string): void {
    if (!this.open) return
    const { peer } = this
    this.end(`closed_by_us:${why}`)
    if (peer === null || this.silent) return
    const now = this.#net.clock.monotonicMs()
    const afterMs = Math.max(this.#lastDueMs - now, 0) + 1
    this.#net.clock.after(afterMs, () => peer.end('peer_closed'))
  }

  end(cause: string): void {
    if (!this.open) return
    this.open = false
    this.host.connections.delete(this)
    const { events, host } = this
    this.#net.clock.after(1, () => {
      if (!host.dead) events?.closed(cause)
    })
  }

  /** What is under way will not arrive. */
  forget(): void {
    this.#underway = []
    this.#timer?.cancel()
    this.#timer = null
  }

  #arm(): void {
    const [first] = this.#underway
    if (first === undefined) return
    const afterMs = Math.max(1, first.dueMs - this.#net.clock.monotonicMs())
    this.#timer = this.#net.clock.after(afterMs, () => this.#arrive())
  }

  /** Everything that is due comes in one piece: what was sent apart arrives together. */
  #arrive(): void {
    const now = this.#net.clock.monotonicMs()
    const due: Buffer[] = []
    while (this.#underway.length > 0 && (this.#underway[0]?.dueMs ?? 0) <= now) {
      due.push(this.#underway.shift()!.bytes)
    }
    this.#arm()
    const { peer } = this
    if (peer === null || !peer.open || peer.host.dead || this.silent) return
    const bytes = due.length === 1 ? due[0]! : Buffer.concat(due)
    this.#net.delivered(this.id, bytes)
    peer.events?.data(bytes)
  }
}
