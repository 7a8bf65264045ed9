// hot path
/**
 * A link: everything between us and one peer. It cuts and reads what comes in, answers network
 * management itself, matches answers with the requests that wait, and hands the rest to the
 * pipeline; it sends what the pipeline built.
 *
 * Made by switch/main.ts, one per configured link; implements contract.ts. Financials pass only on
 * a connection that is ready. It must never look at what a transaction means, nor keep a message
 * after it handed it over. Sources: behaviours.md A, B, 12 to 16, G; cups-host.md sections 1, 11,
 * 13; visa.md sections 1, 2, 8.
 */
import assert from 'node:assert/strict'
import { Fault } from '../codec/fault.ts'
import { View } from '../codec/view.ts'
import { walk, walkUntilFault } from '../codec/walk.ts'
import type { Clock } from '../runtime/clock.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import type { Random } from '../runtime/random.ts'
import type { LinkConnection } from './connection.ts'
import type {
  AnswerHandler, Link, LinkHandlers, LinkSettings, LinkState, Message, SendOutcome,
} from './contract.ts'
import { Lifecycle, type LifecycleHost } from './lifecycle.ts'
import { ReceivedMessage, ViewPool } from './message.ts'
import { NetworkMessages, type NetworkAct } from './network-messages.ts'
import { KEY_SEPARATOR, PendingTable } from './pending.ts'
import type { Net } from './port.ts'

/**
 * What happens to single connections of a link; the state of the link itself is in LinkHandlers.
 */
export interface ConnectionObserver {
  connectionOpened(link: Link, connectionId: number, remote: string): void
  /** `cause` is one word, e.g. peer_closed, frame_length_out_of_range, echo_missed. */
  connectionClosed(link: Link, connectionId: number, remote: string, cause: string): void
}

export interface LinkDependencies {
  net: Net
  clock: Clock
  random: Random
  /** Six digits, not used on this link today; for our own network messages. */
  nextStan(): string
  /** IANA zone of local times in network messages; Asia/Shanghai when absent. */
  timeZone?: string
  observer?: ConnectionObserver
}

/**
 * A link that does nothing until start().
 *
 * @throws Error naming the link when settings, dialect and framing contradict each other
 */
export function createLink(
  settings: LinkSettings, handlers: LinkHandlers, dependencies: LinkDependencies,
): Link {
  return new PeerLink(settings, handlers, dependencies)
}

const DEFAULT_TIME_ZONE = 'Asia/Shanghai'
const DE_TRANSMISSION = 7
const DE_STAN = 11
/** Network requests are matched by these alone: peers leave other fields out of their answers. */
const NETWORK_MATCHING: readonly number[] = [DE_TRANSMISSION, DE_STAN]
/** Class 8 of an MTI, network management (ISO 8583:1987 clause 4.1). */
const NETWORK_CLASS = 8
const OWN_REQUEST = 'network_management'

class PeerLink implements Link, LifecycleHost {
  readonly settings: LinkSettings
  readonly #handlers: LinkHandlers
  readonly #clock: Clock
  readonly #observer: ConnectionObserver | null
  readonly #life: Lifecycle
  readonly #network: NetworkMessages | null
  readonly #pending: PendingTable
  readonly #views: ViewPool
  readonly #fault = new Fault()
  /** Reads messages that we send or that came back rejected. */
  readonly #ownView: View
  readonly #requestEnvelope: Buffer
  readonly #matching: readonly number[]
  readonly #keyFields: readonly number[]
  readonly #networkMatching: readonly number[]
  readonly #networkKeyFields: readonly number[]
  #turn = 0

  constructor(settings: LinkSettings, handlers: LinkHandlers, dependencies: LinkDependencies) {
    const { net, clock, random } = dependencies
    this.settings = settings
    this.#handlers = handlers
    this.#clock = clock
    this.#observer = dependencies.observer ?? null
    this.#pending = new PendingTable(settings.pendingMax)
    this.#views = new ViewPool(settings.dialect)
    this.#ownView = new View(settings.dialect)
    this.#requestEnvelope = requestEnvelope(settings)
    this.#matching = settings.meaning.matching
    const both = NETWORK_MATCHING.filter((field) => this.#matching.includes(field))
    this.#networkMatching = both.includes(DE_STAN) ? both : [...both, DE_STAN]
    this.#keyFields = [0, ...this.#matching]
    this.#networkKeyFields = [0, ...this.#networkMatching]
    this.#network = settings.role === 'scheme' && settings.meaning.network !== undefined
      ? new NetworkMessages(
        settings, clock, () => dependencies.nextStan(), dependencies.timeZone ?? DEFAULT_TIME_ZONE,
      )
      : null
    if (settings.role === 'scheme' && settings.signOn && this.#network === null) {
      throw new Error(`link ${settings.name}: sign_on needs a dialect with network messages`)
    }
    this.#life = new Lifecycle(settings, net, clock, random, this)
  }

  get state(): LinkState {
    return this.#life.state
  }

  start(): Promise<void> {
    return this.#life.start()
  }

  ready(): boolean {
    return this.#life.state === 'ready'
  }

  send(
    message: Uint8Array, owner: string, deadlineMono: number, handler: AnswerHandler,
  ): SendOutcome {
    const key = this.keyOf(message)
    // Key exchange is what makes a link ready, so it passes before.
    const network = isNetworkClass(this.#ownView.mtiNumber)
    const open = network ? this.#life.signedOn : this.#life.ready
    if (open.length === 0) return 'not_ready'
    return this.#sendOn(open, message, key, owner, deadlineMono, handler)
  }

  reply(to: Message, message: Uint8Array): boolean {
    const connection = this.#life.connections.get(to.connectionId)
    if (connection === undefined) return false
    const { framing } = this.settings
    return connection.write(framing.wrap(framing.replyEnvelope(to.envelope), message))
  }

  keyOf(message: Uint8Array): string {
    const view = this.#ownView
    const whole = walk(this.settings.dialect, message, 0, message.length, view, this.#fault)
    assert(whole, 'a message of ours does not parse in its own dialect')
    return this.#key(view)
  }

  pendingCount(): number {
    return this.#pending.size
  }

  keysInForce(): void {
    this.#life.keysInForce()
  }

  stop(graceMs: number): Promise<void> {
    return this.#life.stop(graceMs)
  }

  suspend(): void {
    this.#life.suspend()
  }

  resume(): void {
    this.#life.resume()
  }

  // Sending

  #sendOn(
    open: readonly LinkConnection[], message: Uint8Array, key: string, owner: string,
    deadlineMono: number, handler: AnswerHandler,
  ): SendOutcome {
    const opened = this.#pending.open(key, owner, deadlineMono, 0, handler)
    if (opened !== 'open') return opened
    const frame = this.settings.framing.wrap(this.#requestEnvelope, message)
    for (let tried = 0; tried < open.length; tried++) {
      const connection = open[this.#turn++ % open.length]
      if (connection === undefined || !connection.write(frame)) continue
      crashPoint('request.after_written')
      this.#pending.assign(key, connection.id)
      this.#life.wake(deadlineMono)
      return 'sent'
    }
    this.#pending.withdraw(key)
    return 'write_failed'
  }

  /** MTI class and the dialect's matching fields; answer and repeat give the key of the request. */
  #key(view: View): string {
    const fields = isNetworkClass(view.mtiNumber) ? this.#networkMatching : this.#matching
    let key = REQUEST_MTI[view.mtiNumber] ?? ''
    for (let i = 0; i < fields.length; i++) key += KEY_SEPARATOR + view.text(fields[i]!)
    return key
  }

  // Receiving

  frame(connection: LinkConnection, frame: Buffer, envelopeBytes: number): void {
    try {
      this.#take(connection, frame, envelopeBytes)
    } catch (error) {
      // A defect of ours must not end the process, or the peer's next copy would end it again.
      this.#handlers.failed(this, error)
      connection.close('frame_failed')
    }
  }

  #take(connection: LinkConnection, frame: Buffer, envelopeBytes: number): void {
    const { framing, dialect } = this.settings
    const envelope = frame.subarray(0, envelopeBytes)
    if (framing.rejected(envelope)) {
      if (this.#mayAnswer(connection)) this.#rejected(envelope, frame.subarray(envelopeBytes))
      return
    }
    const message = new ReceivedMessage(
      this, connection.id, envelope, this.#views, connection.chunkWallMs, connection.chunkMono,
    )
    const view = message.view
    const fault = this.#fault
    if (!walk(dialect, frame, envelopeBytes, frame.length, view, fault)) {
      const { kind, field, offset } = fault
      walkUntilFault(dialect, frame, envelopeBytes, frame.length, view, fault)
      this.#handlers.malformed(message, { kind, field, offset })
    } else if (dialect.header !== null && dialect.header.rejected(view.header())) {
      if (this.#mayAnswer(connection)) this.#rejectedByHeader(message)
      else message.release()
    } else if (isAnswer(view.mtiNumber)) this.#answer(connection, message)
    else this.#request(connection, message)
  }

  /**
   * A stranger on our port must not be able to answer for the peer: answers and rejects come on
   * lines we dialled, and on signed-on lines of the peer where answers carry a MAC (simplex lines).
   */
  #mayAnswer(connection: LinkConnection): boolean {
    if (connection.dialled) return true
    const { connect, meaning } = this.settings
    return connection.signedOnOnce && (connect === null || meaning.mac !== undefined)
  }

  #answer(connection: LinkConnection, message: Message): void {
    if (!this.#mayAnswer(connection)) {
      this.#handlers.unmatched(message, null, null)
      return
    }
    const key = this.#key(message.view)
    const now = message.receivedMono
    const handler = this.#pending.take(key, now)
    if (handler !== null) {
      handler.answered(message)
      return
    }
    const late = this.#pending.late(key, now)
    if (late !== null || this.#pending.answeredLately(key, now)) {
      this.#handlers.unmatched(message, late, null)
      return
    }
    const network = isNetworkClass(message.view.mtiNumber)
    const near = this.#pending.near(key, network ? this.#networkKeyFields : this.#keyFields)
    this.#handlers.unmatched(message, null, near)
  }

  #request(connection: LinkConnection, message: Message): void {
    const network = this.#network
    if (network !== null && isNetworkClass(message.view.mtiNumber)) {
      this.#networkRequest(network, connection, message)
    } else if (this.#life.takesFinancials(connection)) this.#handlers.request(message)
    else this.#handlers.notSignedOn(message)
  }

  #networkRequest(network: NetworkMessages, connection: LinkConnection, message: Message): void {
    const kind = network.kindOf(message.view)
    if (kind === 'sign_on') {
      const accepted = this.#life.maySignOn() && network.namesOurPeer(message.view)
      this.#answerNetwork(network, message, accepted)
      if (accepted) this.#life.peerSignedOn(connection)
      else this.#life.peerSignOnRefused()
    } else if (kind === 'sign_off') {
      this.#answerNetwork(network, message, true)
      this.#life.peerSignedOff(connection)
    } else if (kind === 'echo') this.#answerNetwork(network, message, true)
    else if (kind === 'cutover' && (connection.dialled || connection.signedOnOnce)) {
      // Told for information: every message of the network carries its settlement date itself.
      this.#answerNetwork(network, message, true)
    }
    // Keys, cut-over and what else a peer may say concern the pipeline; a stranger may say none of
    // it.
    else if (connection.dialled || connection.signedOnOnce) this.#handlers.request(message)
    else this.#handlers.notSignedOn(message)
  }

  #answerNetwork(network: NetworkMessages, message: Message, accepted: boolean): void {
    this.reply(message, network.answer(message.view, accepted))
    crashPoint('network.after_answered')
    message.release()
  }

  /** VisaNet: the reject header stands before the original one; both belong to the dialect. */
  #rejectedByHeader(message: Message): void {
    const view = message.view
    const header = view.header()
    const rejectBytes = header[0] ?? 0
    const original = view.frame.subarray(view.headerStart + rejectBytes, view.end)
    this.#rejected(header.subarray(0, rejectBytes), original)
    message.release()
  }

  /** Our request came back unprocessed: it will have no answer, so it stops waiting now. */
  #rejected(envelope: Uint8Array, original: Uint8Array): void {
    this.#handlers.rejected(this, envelope, original)
    const view = this.#ownView
    if (!walk(this.settings.dialect, original, 0, original.length, view, this.#fault)) return
    this.#pending.loseOne(this.#key(view), 'rejected_by_network', this.#clock.monotonicMs())
  }

  // For the life-cycle

  get hasNetworkMessages(): boolean {
    return this.#network !== null
  }

  ask(connection: LinkConnection, act: NetworkAct, handler: AnswerHandler): boolean {
    if (this.#network === null) return false
    const message = this.#network.request(act)
    const deadline = this.#clock.monotonicMs() + this.settings.networkTimeoutMs
    const key = this.keyOf(message)
    return this.#sendOn([connection], message, key, OWN_REQUEST, deadline, handler) === 'sent'
  }

  refusal(answer: Message): string {
    return this.#network?.refusal(answer.view) ?? 'no_code'
  }

  lost(connection: LinkConnection, cause: string): void {
    this.#pending.lose(connection.id, cause, this.#clock.monotonicMs())
  }

  loseAll(cause: string): void {
    this.#pending.loseAll(cause, this.#clock.monotonicMs())
  }

  sweep(nowMono: number): number {
    this.#pending.sweep(nowMono)
    return this.#pending.nextDeadline
  }

  busy(): boolean {
    return this.#pending.size > 0 || this.#views.inUse > 0
  }

  stateChanged(from: LinkState, to: LinkState, cause: string): void {
    this.#handlers.stateChanged(this, from, to, cause)
  }

  connectionOpened(connection: LinkConnection): void {
    this.#observer?.connectionOpened(this, connection.id, connection.remote)
  }

  connectionClosed(connection: LinkConnection, cause: string): void {
    this.#observer?.connectionClosed(this, connection.id, connection.remote, cause)
  }
}

/** Digit 3 odd: a response to a request, advice, notification (ISO 8583:1987 clause 4.1). */
function isAnswer(mtiNumber: number): boolean {
  return (Math.trunc(mtiNumber / 10) & 1) === 1
}

function isNetworkClass(mtiNumber: number): boolean {
  return Math.trunc(mtiNumber / 100) % 10 === NETWORK_CLASS
}

/**
 * MTI to the MTI of the request it belongs to: 0110, 0101 and 0111 to 0100; 0430 and 0421 to 0420.
 */
const REQUEST_MTI: readonly string[] = Array.from({ length: 10_000 }, (_, mti) => {
  const origin = mti % 10
  const act = Math.trunc(mti / 10) % 10
  const request = mti - (origin & 1) - 10 * (act & 1)
  return String(request).padStart(4, '0')
})

/**
 * What stands before a request of ours; parts that a framing does not have are left out of the
 * record by it.
 */
function requestEnvelope(settings: LinkSettings): Buffer {
  const envelope = settings.framing.parseEnvelope({
    destination_id: settings.peerInstitution,
    source_id: settings.institution,
  })
  if (envelope === null) {
    const { name, framing } = settings
    throw new Error(`link ${name}: its institution ids do not fit framing ${framing.name}`)
  }
  return envelope
}
