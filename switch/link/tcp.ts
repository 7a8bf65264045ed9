// hot path
/**
 * The Net port over node:net: the only place that opens sockets for messages. `switch/main.ts` and
 * the simulators' commands make one; links call it.
 *
 * What one tick writes to a socket is gathered and leaves in one write; what the operating system
 * does not take at once waits in a bounded buffer. A dead peer ends a connection by keep-alive
 * probes or, with data under way, by TCP_USER_TIMEOUT (tcp(7), RFC 5482). Each connection ends in
 * exactly one closed(cause). It must never look into the bytes.
 */
import net from 'node:net'
import keepAlive from 'net-keepalive'
import type { Clock, Timer } from '../runtime/clock.ts'
import {
  DIAL_MS_MAX, GATHER_BYTES, GATHER_POOL_MAX, KEEP_ALIVE_IDLE_MS, KEEP_ALIVE_INTERVAL_MS,
  KEEP_ALIVE_PROBES, LINGER_MS_MAX, LISTEN_BACKLOG, USER_TIMEOUT_MS, WRITE_BUFFER_BYTES_MAX,
} from './limits.ts'
import type { Connection, ConnectionEvents, Endpoint, Listener, Net } from './port.ts'

export interface TcpOptions {
  /** Unsent bytes per socket beyond which write() refuses. */
  writeBufferBytesMax?: number
  /** Longest dial, ms. */
  dialMsMax?: number
}

/**
 * Real sockets. opened() is called for dialled connections when the dial succeeded and for accepted
 * ones right after accept() returned; closed() always later than the call that caused it.
 *
 * @param clock limits the dial and the time a closed socket may linger
 */
export function tcpNet(clock: Clock, options: TcpOptions = {}): Net {
  const shared = new Shared(
    clock,
    options.writeBufferBytesMax ?? WRITE_BUFFER_BYTES_MAX,
    options.dialMsMax ?? DIAL_MS_MAX,
  )
  return {
    listen: (at, accept) => listen(shared, at, accept),
    connect: (to, events) => connect(shared, to, events),
  }
}

/**
 * What all sockets of one net share: bounds, gather buffers, and who has something to write in this
 * tick.
 */
class Shared {
  readonly clock: Clock
  readonly writeBufferBytesMax: number
  readonly dialMsMax: number
  readonly #pool: Buffer[] = []
  #dirty: TcpConnection[] = []
  #spare: TcpConnection[] = []
  #scheduled = false
  readonly #flush = (): void => this.#flushAll()

  constructor(clock: Clock, writeBufferBytesMax: number, dialMsMax: number) {
    this.clock = clock
    this.writeBufferBytesMax = writeBufferBytesMax
    this.dialMsMax = dialMsMax
  }

  gatherBuffer(): Buffer {
    return this.#pool.pop() ?? Buffer.allocUnsafeSlow(GATHER_BYTES)
  }

  giveBack(buffer: Buffer): void {
    if (this.#pool.length < GATHER_POOL_MAX) this.#pool.push(buffer)
  }

  /**
   * The connection has gathered its first bytes of this tick: all are written together when the
   * tick's I/O is done.
   */
  schedule(connection: TcpConnection): void {
    this.#dirty.push(connection)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#flush)
  }

  #flushAll(): void {
    const dirty = this.#dirty
    this.#dirty = this.#spare
    this.#spare = dirty
    this.#scheduled = false
    for (let i = 0; i < dirty.length; i++) dirty[i]!.flush()
    dirty.length = 0
  }
}

class TcpConnection implements Connection {
  remote: string
  readonly #shared: Shared
  readonly #socket: net.Socket
  #events: ConnectionEvents | null
  #gather: Buffer | null = null
  #gathered = 0
  #open = true
  /** First error of the socket; names the cause when it closes. */
  #cause = ''
  #timer: Timer | null = null

  constructor(shared: Shared, socket: net.Socket, remote: string) {
    this.#shared = shared
    this.#socket = socket
    this.#events = null
    this.remote = remote
  }

  /** From here on the owner is told. */
  attach(events: ConnectionEvents): void {
    this.#events = events
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => {
      if (this.#open) events.data(chunk)
    })
    socket.on('end', () => this.#finish('peer_closed'))
    socket.on('error', (error: NodeJS.ErrnoException) => this.#finish(causeOf(error)))
    socket.on('close', () => {
      this.#stopTimer()
      this.#finish('peer_closed')
    })
  }

  /** Limits the dial; the operating system would try for minutes. */
  limitDial(): void {
    this.#timer = this.#shared.clock.after(this.#shared.dialMsMax, () => {
      this.#finish('timed_out')
      this.#socket.destroy()
    })
  }

  opened(): void {
    if (!this.#open) return
    this.#stopTimer()
    tune(this.#socket)
    this.#events?.opened()
  }

  write(bytes: Uint8Array): boolean {
    const length = bytes.length
    if (!this.#open) return false
    if (this.bufferedBytes() + length > this.#shared.writeBufferBytesMax) return false
    if (length > GATHER_BYTES - this.#gathered) this.flush()
    if (length > GATHER_BYTES) {
      this.#socket.write(Buffer.from(bytes))
      return true
    }
    if (this.#gather === null) {
      this.#gather = this.#shared.gatherBuffer()
      this.#shared.schedule(this)
    }
    this.#gather.set(bytes, this.#gathered)
    this.#gathered += length
    return true
  }

  bufferedBytes(): number {
    return this.#gathered + this.#socket.writableLength
  }

  /** Hands what was gathered to the operating system. */
  flush(): void {
    const gather = this.#gather
    if (gather === null) return
    const socket = this.#socket
    this.#gather = null
    if (socket.destroyed || !socket.writable) this.#shared.giveBack(gather)
    else {
      socket.write(gather.subarray(0, this.#gathered))
      // A buffer that was not taken whole stays with the socket; the collector has it afterwards.
      if (socket.writableLength === 0) this.#shared.giveBack(gather)
    }
    this.#gathered = 0
  }

  close(why: string): void {
    this.#finish(`closed_by_us:${why}`)
  }

  /** Ends it once: what was gathered still leaves, then the socket lingers for a bounded time. */
  #finish(cause: string): void {
    if (!this.#open) return
    this.#open = false
    this.#stopTimer()
    this.#cause = cause
    this.flush()
    if (!this.#socket.destroyed) this.#linger()
    // Later, so that no one is told in the middle of his own call.
    queueMicrotask(() => {
      const events = this.#events
      this.#events = null
      events?.closed(this.#cause)
    })
  }

  #linger(): void {
    const socket = this.#socket
    if (socket.connecting) {
      socket.destroy()
      return
    }
    // Data that still comes in is thrown away: unread, it would turn our FIN into a reset.
    socket.resume()
    socket.end()
    this.#timer = this.#shared.clock.after(LINGER_MS_MAX, () => socket.destroy())
  }

  #stopTimer(): void {
    this.#timer?.cancel()
    this.#timer = null
  }
}

function connect(shared: Shared, to: Endpoint, events: ConnectionEvents): Connection {
  const socket = net.connect({ host: to.host, port: to.port, noDelay: true })
  const connection = new TcpConnection(shared, socket, `${to.host}:${to.port}`)
  connection.attach(events)
  connection.limitDial()
  socket.once('connect', () => connection.opened())
  return connection
}

function listen(
  shared: Shared, at: Endpoint, accept: (connection: Connection) => ConnectionEvents,
): Promise<Listener> {
  const server = net.createServer({ noDelay: true }, (socket) => {
    const remote = `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`
    const connection = new TcpConnection(shared, socket, remote)
    connection.attach(accept(connection))
    connection.opened()
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`cannot listen on ${at.host}:${at.port}: ${listenCause(error)}`))
    })
    server.listen({ host: at.host, port: at.port, backlog: LISTEN_BACKLOG }, () => {
      server.removeAllListeners('error')
      // An accept that fails (no file descriptor left) loses that one connection; the listener
      // stays.
      server.on('error', () => {})
      const address = server.address()
      resolve({
        port: address !== null && typeof address === 'object' ? address.port : at.port,
        // The port is free at once; waiting for server.close() would wait for every accepted
        // connection.
        close: () => {
          server.close()
          return Promise.resolve()
        },
      })
    })
  })
}

/**
 * Keep-alive and user timeout; a socket on which they cannot be set still works, and the echo finds
 * a dead peer.
 */
function tune(socket: net.Socket): void {
  socket.setKeepAlive(true, KEEP_ALIVE_IDLE_MS)
  try {
    keepAlive.setKeepAliveInterval(socket, KEEP_ALIVE_INTERVAL_MS)
    keepAlive.setKeepAliveProbes(socket, KEEP_ALIVE_PROBES)
    keepAlive.setUserTimeout(socket, USER_TIMEOUT_MS)
  } catch {
    // The peer may be gone already, or the platform has no such option.
  }
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timed_out',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENOTFOUND: 'name_unknown',
  EAI_AGAIN: 'name_unknown',
}

function causeOf(error: NodeJS.ErrnoException): string {
  const code = error.code ?? 'unknown'
  return CAUSES[code] ?? `failed:${code.toLowerCase()}`
}

function listenCause(error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') return 'the port is in use by another process'
  if (error.code === 'EACCES') return 'this user may not use the port'
  if (error.code === 'EADDRNOTAVAIL') return 'this machine does not have that address'
  return error.code ?? 'unknown cause'
}
