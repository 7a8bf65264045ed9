/**
 * What links and the pipeline say to each other. The lead's pipeline gives `LinkHandlers`;
 * `link.ts` offers `Link`.
 *
 * A link is everything between us and one peer (a scheme, a partner, or one listening port of
 * terminals): its connections, framing, dialect, life-cycle and the table of requests that wait for
 * an answer. Sources: behaviours.md B and G.
 */

import type { Dialect } from '../codec/dialect.ts'
import type { View } from '../codec/view.ts'
import type { Framing } from '../framing/framing.ts'
import type { Meaning } from '../../config/meaning.ts'

/** down, connected, signing_on, exchanging_keys, ready ⇄ suspended, signing_off, down. */
export type LinkState =
  | 'down'
  | 'connected'
  | 'signing_on'
  | 'exchanging_keys'
  | 'ready'
  | 'suspended'
  | 'signing_off'

export interface LinkSettings {
  name: string
  role: 'terminals' | 'scheme'
  dialect: Dialect
  meaning: Meaning
  framing: Framing
  listen: { host: string; port: number } | null
  connect: { host: string; port: number } | null
  signOn: boolean // financials only after sign-on: by us where we dialled, else by the peer
  keysRequired: boolean // stay in exchanging_keys until keysInForce() was called
  institution: string // our id towards this peer (DE33 or station id), digits
  peerInstitution: string
  frameBytesMax: number
  connectionsMax: number // accepted connections; one more is closed at once
  pendingMax: number // requests waiting for an answer
  echoIdleMs: number // idle time after which we send an echo
  echoMissesMax: number
  networkTimeoutMs: number // for our sign-on, sign-off and echo
  firstByteTimeoutMs: number // accepted connection that says nothing
  frameTimeoutMs: number // a frame once begun must be complete
  reconnectMinMs: number
  reconnectMaxMs: number
  writeBufferBytesMax: number
}

/** One received message. The frame is a copy that this message owns; the view points into it. */
export interface Message {
  readonly link: Link
  readonly connectionId: number
  readonly envelope: Uint8Array // TPDU, application header or CUPS header as received
  readonly view: View
  readonly receivedAtMs: number // wall clock
  readonly receivedMono: number // monotonic milliseconds
  /**
   * Returns the view to its pool; the message must not be used afterwards. Calling it twice is
   * harmless.
   */
  release(): void
}

/** How a request that was sent ended; exactly one of them is called, exactly once. */
export interface AnswerHandler {
  answered(message: Message): void // the receiver releases the message
  timedOut(): void
  lost(cause: string): void // connection ended while waiting: sent and unknown
}

/** `sent` is the only case in which the peer may have seen it. */
export type SendOutcome = 'sent' | 'not_ready' | 'pending_full' | 'key_in_use' | 'write_failed'

export interface LinkHandlers {
  /**
   * A request that the link does not answer itself, from a peer that may send it. The receiver
   * releases it.
   */
  request(message: Message): void
  /**
   * A financial request on a link or connection that is not signed on. The receiver answers or not,
   * and releases.
   */
  notSignedOn(message: Message): void
  /**
   * A well-framed body that does not parse; `view` holds what was read. The receiver answers 30 or
   * only counts.
   */
  malformed(message: Message, fault: { kind: string; field: number; offset: number }): void
  /** A rejected-message header from the network: our request was not processed. */
  rejected(link: Link, envelope: Uint8Array, original: Uint8Array): void
  /**
   * An answer that no waiting request matches; `late` carries the key's owner when its deadline
   * passed lately.
   */
  unmatched(message: Message, late: LateAnswer | null, near: NearMiss | null): void
  /** Something of ours failed on a frame; its connection was closed. */
  failed(link: Link, error: unknown): void
  stateChanged(link: Link, from: LinkState, to: LinkState, cause: string): void
}

/**
 * The waiting request that is closest to an unmatched answer, and which field of the key differs.
 */
export interface NearMiss {
  owner: string
  field: number
}

/** The request whose answer comes after its deadline. */
export interface LateAnswer {
  key: string
  owner: string
}

export interface Link {
  readonly settings: LinkSettings
  readonly state: LinkState
  /** Begins listening and dialling. Rejects when the listening port cannot be had. */
  start(): Promise<void>
  /** True when financials may be sent now. */
  ready(): boolean
  /**
   * Sends one request message (dialect header and body, no envelope) and registers its answer under
   * the dialect's matching key, read from the message itself. `owner` is a transaction id for
   * reports. Times in monotonic ms.
   */
  send(
    message: Uint8Array,
    owner: string,
    deadlineMono: number,
    handler: AnswerHandler,
  ): SendOutcome
  /**
   * Answers a received message on its own connection with the envelope turned round; false when it
   * has gone.
   */
  reply(to: Message, message: Uint8Array): boolean
  /** The matching key that `message` would be registered under. */
  keyOf(message: Uint8Array): string
  pendingCount(): number
  /** The pipeline has the working keys of this link: exchanging_keys → ready. */
  keysInForce(): void
  /** Stops accepting, lets waiting requests end (bounded by graceMs), signs off, closes. */
  stop(graceMs: number): Promise<void>
  /** For operators: no financials until resumed. */
  suspend(): void
  resume(): void
}
