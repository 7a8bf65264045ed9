/**
 * A network that says what a test tells it: listens where the switch dials, answers sign-on and
 * echo by itself, keeps every request, and answers financials by a script that may stay silent.
 *
 * It builds answers from the bytes of the request and fields by name of the test: none of our
 * pipeline is in it, so that it cannot repeat a mistake of ours.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { loadDialect } from '../config/dialects.ts'
import { checkMessage, type Finding } from '../config/message-rules.ts'
import type { Meaning } from '../config/meaning.ts'
import { compileDialect, type Dialect } from '../switch/codec/dialect.ts'
import { Fault } from '../switch/codec/fault.ts'
import { View } from '../switch/codec/view.ts'
import { walk } from '../switch/codec/walk.ts'
import { MessageWriter } from '../switch/codec/writer.ts'

/** A message as the script sees it. */
export interface Heard {
  readonly mti: string
  readonly fields: Readonly<Record<number, string>>
  /** What its dialect's rules say against it. */
  readonly findings: readonly Finding[]
}

/** Fields of the answer beside those that are echoed; null = no answer at all. */
export type Script = (request: Heard) => Readonly<Record<number, string>> | null

export interface NetworkWays {
  readonly dialect: string
  readonly networkSuccess: string
  readonly echo: readonly number[]
}

export class ScriptedNetwork {
  readonly heard: Heard[] = []
  script: Script = () => null
  readonly #ways: NetworkWays
  readonly #dialect: Dialect
  readonly #meaning: Meaning
  readonly #server: Server
  #socket: Socket | null = null
  #buffered = Buffer.alloc(0)
  readonly #answers: Heard[] = []

  private constructor(ways: NetworkWays) {
    const { spec, meaning } = loadDialect(ways.dialect)
    this.#ways = ways
    this.#dialect = compileDialect(spec)
    this.#meaning = meaning
    this.#server = createServer((socket) => this.#connected(socket))
  }

  /** Listens on a free port of this machine. */
  static async listen(ways: NetworkWays): Promise<ScriptedNetwork> {
    const network = new ScriptedNetwork(ways)
    await new Promise<void>((resolve) => {
      network.#server.listen(0, '127.0.0.1', () => resolve())
    })
    return network
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Requests of a class, by the second digit of the MTI. */
  of(kind: '1' | '2' | '4' | '8'): Heard[] {
    return this.heard.filter((one) => one.mti[1] === kind)
  }

  /** Sends a request of the network's own; the answer comes to `answerTo`. */
  ask(mti: string, fields: Readonly<Record<number, string>>): void {
    this.#send(this.#write(mti, fields))
  }

  /** Our answers to what it asked, oldest first. */
  get answers(): readonly Heard[] {
    return this.#answers
  }

  async close(): Promise<void> {
    this.#socket?.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #connected(socket: Socket): void {
    this.#socket = socket
    this.#buffered = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      this.#buffered = Buffer.concat([this.#buffered, chunk])
      while (this.#buffered.length >= 2) {
        const end = 2 + this.#buffered.readUInt16BE(0)
        if (this.#buffered.length < end) return
        const frame = this.#buffered.subarray(2, end)
        this.#buffered = this.#buffered.subarray(end)
        if (frame.length > 0) this.#take(Buffer.from(frame))
      }
    })
  }

  #take(frame: Buffer): void {
    const view = new View(this.#dialect)
    const fault = new Fault()
    if (!walk(this.#dialect, frame, 0, frame.length, view, fault)) {
      throw new Error(`the switch sent ${fault.kind} in field ${fault.field}`)
    }
    const fields: Record<number, string> = {}
    for (const field of view.fields()) fields[field] = view.text(field)
    const heard = { mti: view.mti, fields, findings: checkMessage(this.#meaning, view) }
    if (Number(view.mti[2]) % 2 === 1) {
      this.#answers.push(heard)
      return
    }
    this.heard.push(heard)
    const { networkSuccess, echo } = this.#ways
    const said = view.mti[1] === '8' ? { 39: networkSuccess } : this.script(heard)
    if (said === null) return
    const echoed = Object.fromEntries(
      echo.filter((field) => fields[field] !== undefined).map((field) => [field, fields[field]!]),
    )
    // A repeat is answered as the first was.
    const origin = view.mti[3] === '1' ? '0' : view.mti.slice(3)
    const answer = `${view.mti.slice(0, 2)}${Number(view.mti[2]) + 1}${origin}`
    this.#send(this.#write(answer, { ...echoed, ...said }))
  }

  #write(mti: string, fields: Readonly<Record<number, string>>): Buffer {
    const writer = new MessageWriter(this.#dialect, 4096)
    writer.begin(mti)
    for (const [field, text] of Object.entries(fields)) writer.setText(Number(field), text)
    const built = writer.finish()
    if (built === null) throw new Error(`${writer.fault.kind} in field ${writer.fault.field}`)
    return Buffer.from(built.frame)
  }

  #send(message: Buffer): void {
    const length = Buffer.from([message.length >> 8, message.length & 255])
    this.#socket?.write(Buffer.concat([length, message]))
  }
}
