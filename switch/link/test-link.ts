/**
 * A link between recording handlers and scripted CUPS peers, for the tests of this room.
 *
 * Peers answer what their script says and nothing else; both sides' histories can be read
 * afterwards. Only tests import it.
 */
import type { Clock } from '../runtime/clock.ts'
import { seededRandom } from '../runtime/random.ts'
import { VirtualClock } from '../runtime/virtual-clock.ts'
import { framingFor } from '../framing/framings.ts'
import type { AnswerHandler, Link, LinkHandlers, LinkSettings, Message } from './contract.ts'
import { createLink } from './link.ts'
import type { Connection, ConnectionEvents, Net } from './port.ts'
import {
  cupsDialect, cupsFrame, cupsMeaning, cupsMessage, CupsReader, type Fields, type ReadCups,
} from './test-bytes.ts'
import { VirtualNet } from './virtual-net.ts'

export const US = '12345678'
export const PEER = '00010000'
export const AT = { host: '127.0.0.1', port: 7_101 }

export function cupsSettings(changes: Partial<LinkSettings> = {}): LinkSettings {
  return {
    name: 'cups',
    role: 'scheme',
    dialect: cupsDialect,
    meaning: cupsMeaning,
    framing: framingFor('cups4'),
    listen: null,
    connect: AT,
    signOn: true,
    keysRequired: false,
    institution: US,
    peerInstitution: PEER,
    frameBytesMax: 2_048,
    connectionsMax: 4,
    pendingMax: 8,
    echoIdleMs: 60_000,
    echoMissesMax: 2,
    networkTimeoutMs: 5_000,
    firstByteTimeoutMs: 10_000,
    frameTimeoutMs: 5_000,
    reconnectMinMs: 500,
    reconnectMaxMs: 8_000,
    writeBufferBytesMax: 8_192,
    ...changes,
  }
}

/** What the link told its owner, in order, as one line each. */
export class Recorder implements LinkHandlers {
  readonly lines: string[] = []
  readonly states: string[] = []
  /** What to do with a request; answers nothing by default. */
  onRequest: (message: Message) => void = () => {}
  onState: (from: string, to: string) => void = () => {}

  request(message: Message): void {
    this.lines.push(`request ${message.view.mti} ${message.view.text(11)}`)
    this.onRequest(message)
    message.release()
  }

  notSignedOn(message: Message): void {
    this.lines.push(`notSignedOn ${message.view.mti} ${message.view.text(11)}`)
    message.release()
  }

  malformed(message: Message, fault: { kind: string; field: number; offset: number }): void {
    this.lines.push(`malformed ${fault.kind} ${fault.field}`)
    message.release()
  }

  rejected(_link: Link, envelope: Uint8Array, original: Uint8Array): void {
    this.lines.push(`rejected ${envelope.length} ${original.length}`)
  }

  unmatched(
    message: Message, late: { key: string; owner: string } | null,
    near: { owner: string; field: number } | null,
  ): void {
    const nearest = near !== null ? `near ${near.owner} ${near.field}` : 'unknown'
    const what = late !== null ? `late ${late.owner}` : nearest
    this.lines.push(`unmatched ${message.view.text(11)} ${what}`)
    message.release()
  }

  failed(_link: Link, error: unknown): void {
    throw error
  }

  stateChanged(_link: Link, from: string, to: string, cause: string): void {
    this.states.push(`${from} ${to} ${cause}`)
    this.onState(from, to)
  }

  /** A handler whose ending becomes one line that begins with `name`. */
  waiter(name: string): AnswerHandler {
    return {
      answered: (message) => {
        this.lines.push(`${name} answered ${message.view.text(39)}`)
        message.release()
      },
      timedOut: () => void this.lines.push(`${name} timedOut`),
      lost: (cause) => void this.lines.push(`${name} lost ${cause}`),
    }
  }
}

/** A scripted CUPS: answers network requests with `networkCode`, records everything. */
export class Peer implements ConnectionEvents {
  readonly reader = new CupsReader()
  net: Connection | null = null
  isOpen = false
  closedCause = ''
  networkCode: string | null = '00'
  /** Called for every frame that is no network request. */
  onBusiness: (frame: ReadCups) => void = () => {}

  opened(): void {
    this.isOpen = true
  }

  data(chunk: Uint8Array): void {
    for (const frame of this.reader.push(chunk)) {
      if (frame.mti !== '0820') this.onBusiness(frame)
      else if (this.networkCode !== null) {
        this.say('0830', { ...frame.fields, 39: this.networkCode })
      }
    }
  }

  closed(cause: string): void {
    this.isOpen = false
    this.closedCause = cause
  }

  say(mti: string, fields: Fields, rejectCode?: string): void {
    this.raw(cupsFrame(PEER, US, cupsMessage(mti, fields), rejectCode))
  }

  raw(bytes: Uint8Array): void {
    this.net?.write(bytes)
  }

  /** `MTI DE70` of network messages, `MTI DE11` of others, in order of arrival. */
  get heard(): string[] {
    return this.reader.frames.map(({ mti, fields }) => `${mti} ${fields[70] ?? fields[11] ?? ''}`)
  }
}

/** A purchase of the tests. */
export function purchase(stan: string, changes: Fields = {}): Buffer {
  return cupsMessage('0200', { ...purchaseFields(stan), ...changes })
}

export function purchaseFields(stan: string): Record<number, string> {
  return {
    3: '000000', 4: '000000001000', 7: '0105160000', 11: stan, 32: '12345678', 33: US,
    37: `600508${stan}`, 41: '00000001',
  }
}

let stans = 900_000

export function testStan(): string {
  return String(++stans)
}

/** A dialling link, a listening peer, a virtual network and clock. */
export class Stage {
  readonly clock = new VirtualClock()
  readonly net = new VirtualNet(this.clock)
  readonly told = new Recorder()
  readonly peers: Peer[] = []
  readonly ended: string[] = []
  readonly link: Link
  /** What every new peer is set up with. */
  onPeer: (peer: Peer) => void = () => {}

  constructor(changes: Partial<LinkSettings> = {}, seed = 'stage') {
    this.link = makeLink(cupsSettings(changes), this.told, this.net, this.clock, seed, this.ended)
  }

  /** Lets peers be dialled. */
  async listen(): Promise<void> {
    await this.net.listen(AT, (connection) => {
      const peer = new Peer()
      peer.net = connection
      this.onPeer(peer)
      this.peers.push(peer)
      return peer
    })
  }

  /** A peer that dials our listening link. */
  dial(): Peer {
    const peer = new Peer()
    peer.net = this.net.connect(AT, peer)
    this.peers.push(peer)
    return peer
  }

  get peer(): Peer {
    const last = this.peers.at(-1)
    if (last === undefined) throw new Error('no peer yet')
    return last
  }

  send(stan: string, waitMs = 30_000, changes: Fields = {}): string {
    const deadline = this.clock.monotonicMs() + waitMs
    const message = purchase(stan, changes)
    return this.link.send(message, `txn-${stan}`, deadline, this.told.waiter(stan))
  }
}

export function makeLink(
  settings: LinkSettings, told: LinkHandlers, net: Net, clock: Clock, seed: string,
  ended: string[] = [],
): Link {
  return createLink(settings, told, {
    net,
    clock,
    random: seededRandom(seed),
    nextStan: testStan,
    observer: {
      connectionOpened() {},
      connectionClosed: (_link, _id, _remote, cause) => void ended.push(cause),
    },
  })
}
