// Sockets of the simulators: lines that carry framed messages, listened for or dialled, and the
// local control socket of a scheme simulator. Plain node:net on purpose: a peer brings its own
// transport, so that a mistake in the switch's Net adapter cannot hide. Knows no message content.

import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'

import type { Framing } from '../switch/framing/framing.ts'
import type { Clock } from '../switch/runtime/clock.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** What the owner of a line is told. `closed` comes once, last, also when a dial fails. */
export interface LineEvents {
  opened(line: Line): void
  /** Copies: they stay valid. */
  message(line: Line, envelope: Uint8Array, message: Uint8Array): void
  idle(line: Line): void
  closed(line: Line, cause: string): void
}

const FRAME_BYTES_MAX = 4_096 // as the switch's default; a longer frame ends the line
const LINE_CHARACTERS_MAX = 65_536 // of one control command or answer
const CONTROL_CONNECTIONS_MAX = 8

/** One connection that carries framed messages. */
export class Line {
  readonly remote: string
  readonly #socket: Socket
  readonly #framing: Framing
  #cause = ''

  constructor(
    socket: Socket,
    framing: Framing,
    remote: string,
    events: LineEvents,
    dialled: boolean,
  ) {
    this.remote = remote
    this.#socket = socket
    this.#framing = framing
    socket.setNoDelay(true)
    const framer = framing.createFramer(FRAME_BYTES_MAX)
    socket.on('data', (chunk: Buffer) => {
      const fault = framer.push(
        chunk,
        (bytes, envelopeStart, messageStart, end) => {
          const envelope = bytes.slice(envelopeStart, messageStart)
          events.message(this, envelope, bytes.slice(messageStart, end))
        },
        () => events.idle(this),
      )
      if (fault !== 0) this.close(fault)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#cause ||= (error.code ?? 'error').toLowerCase()
    })
    socket.on('end', () => {
      this.#cause ||= 'peer_closed'
    })
    socket.on('close', () => events.closed(this, this.#cause || 'closed'))
    if (dialled) socket.on('connect', () => events.opened(this))
    else queueMicrotask(() => events.opened(this))
  }

  /** Sends one message; false when the line has gone. */
  send(envelope: Uint8Array, message: Uint8Array): boolean {
    if (!this.#socket.writable) return false
    this.#socket.write(this.#framing.wrap(envelope, message))
    return true
  }

  /** Sends bytes as they are: broken frames for tests, and keep-alives. */
  sendRaw(bytes: Uint8Array): boolean {
    if (!this.#socket.writable) return false
    this.#socket.write(bytes)
    return true
  }

  /** Ends the line at once. */
  close(why: string): void {
    this.#cause ||= `closed_by_us:${why}`
    this.#socket.destroy()
  }
}

export interface Listening {
  readonly port: number
  close(): Promise<void>
}

/** Listens for lines. @throws Error in one line that names the address when it cannot be had */
export function listenForLines(
  at: Address,
  framing: Framing,
  events: LineEvents,
): Promise<Listening> {
  const lines = new Set<Line>()
  const server = createServer({ noDelay: true }, (socket) => {
    const remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
    const line = new Line(
      socket,
      framing,
      remote,
      {
        ...delegate(events),
        closed: (gone, cause) => {
          lines.delete(gone)
          events.closed(gone, cause)
        },
      },
      false,
    )
    lines.add(line)
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`cannot listen on ${at.host}:${at.port}: ${error.code ?? error.message}`))
    })
    server.listen(at.port, at.host, () =>
      resolve({ port: portOf(server), close: () => end(server, lines) }),
    )
  })
}

function delegate(events: LineEvents): LineEvents {
  return {
    opened: (line) => events.opened(line),
    message: (line, envelope, message) => events.message(line, envelope, message),
    idle: (line) => events.idle(line),
    closed: (line, cause) => events.closed(line, cause),
  }
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function end(server: Server, lines: Iterable<{ close(why: string): void }>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const line of lines) line.close('stopping')
  })
}

/** Dials one line; success or failure is told through `events`. */
export function dialLine(to: Address, framing: Framing, events: LineEvents): Line {
  const socket = createConnection({ host: to.host, port: to.port, noDelay: true })
  return new Line(socket, framing, `${to.host}:${to.port}`, events, true)
}

/** Answers one control command, as text without line breaks. */
export type ControlHandler = (command: string) => Promise<string>

/** Offers a control socket (a file, readable by its owner only). An old file is replaced. */
export function listenForControl(path: string, handle: ControlHandler): Promise<Listening> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.setEncoding('utf8')
    socket.on('error', () => undefined) // the asker went away; nothing is lost
    socket.on('close', () => sockets.delete(socket))
    let text = ''
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > LINE_CHARACTERS_MAX) socket.destroy()
      const cut = text.indexOf('\n')
      if (cut < 0 || socket.destroyed) return
      const command = text.slice(0, cut)
      text = ''
      void handle(command).then((answer) => socket.end(`${answer}\n`))
    })
  })
  server.maxConnections = CONTROL_CONNECTIONS_MAX
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  rmSync(path, { force: true })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`cannot offer the control socket ${path}: ${error.code ?? error.message}`))
    })
    server.listen(path, () => {
      chmodSync(path, 0o600)
      const doors = { close: (): void => sockets.forEach((socket) => socket.destroy()) }
      resolve({ port: 0, close: () => end(server, [doors]) })
    })
  })
}

/** Sends one command to a control socket. Rejects when no answer comes in time. */
export function askControl(
  path: string,
  command: string,
  clock: Clock,
  timeoutMs: number,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    const timer = clock.after(timeoutMs, () => socket.destroy())
    let text = ''
    socket.setEncoding('utf8')
    socket.on('connect', () => socket.write(`${command}\n`))
    socket.on('data', (chunk: string) => {
      text += chunk
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`no simulator answers at ${path}: ${error.code ?? error.message}`))
    })
    socket.on('close', () => {
      timer.cancel()
      if (text.endsWith('\n')) resolve(text.trimEnd())
      else reject(new Error(`the simulator at ${path} gave no answer`))
    })
  })
}
