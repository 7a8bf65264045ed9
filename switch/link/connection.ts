// hot path
/**
 * One connection of a link: bytes in, owned frames out. It answers keep-alives, watches the first
 * byte and begun frames, and ends itself, and nothing else, when the stream can no longer be cut.
 *
 * Made and driven by lifecycle.ts; fed by the Net adapter. It must never look into a message, and
 * it holds no timer: its owner asks for its next due instant and calls overdue(). Sources:
 * behaviours.md 1, 2, 3; reliability.md S7.
 */
import type { Framer, Framing, FramingName } from '../framing/framing.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LinkSettings, LinkState } from './contract.ts'
import type { Connection, ConnectionEvents } from './port.ts'

/** What a connection tells the link's life-cycle. `closed` comes once. */
export interface ConnectionOwner {
  opened(connection: LinkConnection): void
  /**
   * A frame without its length prefix, in a buffer of its own: envelope first, then the message.
   */
  frame(connection: LinkConnection, frame: Buffer, envelopeBytes: number): void
  closed(connection: LinkConnection, cause: string): void
  /**
   * Something of this connection is due at that monotonic instant, maybe earlier than anything
   * known.
   */
  wake(dueMono: number): void
}

/**
 * Framings in which the receiver of a keep-alive sends one back (visa.md section 1); elsewhere
 * nobody answers.
 */
const KEEP_ALIVE_ECHOED: ReadonlySet<FramingName> = new Set(['visa'])

const NOT_BEGUN = -1
const NEVER = Number.POSITIVE_INFINITY

export class LinkConnection implements ConnectionEvents {
  readonly id: number
  /** We dialled it; otherwise the peer did. */
  readonly dialled: boolean
  /** Kept by lifecycle.ts. */
  state: LinkState = 'down'
  signedOnOnce = false
  readySinceMono = NEVER
  echoWaiting = false
  echoMisses = 0
  /** No echo before this instant. */
  echoHoldMono = 0

  openedMono = NEVER
  lastReceivedMono = 0
  lastSentMono = 0
  /** Clock readings of the chunk that is being read: one reading for all its frames. */
  chunkWallMs = 0
  chunkMono = 0

  readonly #owner: ConnectionOwner
  readonly #clock: Clock
  readonly #settings: LinkSettings
  readonly #framing: Framing
  readonly #framer: Framer
  #net: Connection | null = null
  #open = true
  #heard = false
  #keepAliveSent = false
  #frameDelivered = false
  /** When the frame that is not complete yet began, monotonic ms. */
  #frameBegunMono = NOT_BEGUN

  constructor(
    id: number, dialled: boolean, settings: LinkSettings, clock: Clock, owner: ConnectionOwner,
  ) {
    this.id = id
    this.dialled = dialled
    this.#settings = settings
    this.#framing = settings.framing
    this.#framer = settings.framing.createFramer(settings.frameBytesMax)
    this.#clock = clock
    this.#owner = owner
  }

  attach(net: Connection): void {
    this.#net = net
  }

  get remote(): string {
    return this.#net?.remote ?? ''
  }

  get open(): boolean {
    return this.#open
  }

  opened(): void {
    if (!this.#open || this.openedMono !== NEVER) return
    const now = this.#clock.monotonicMs()
    this.openedMono = now
    this.lastReceivedMono = now
    this.lastSentMono = now
    this.#owner.opened(this)
    if (this.#open) this.#owner.wake(this.nextDueMono())
  }

  data(chunk: Uint8Array): void {
    if (!this.#open) return
    const now = this.#clock.monotonicMs()
    this.chunkMono = now
    this.chunkWallMs = this.#clock.wallMs()
    this.lastReceivedMono = now
    this.#heard = true
    this.echoMisses = 0
    this.#frameDelivered = false
    const fault = this.#framer.push(chunk, this.#onFrame, this.#onKeepAlive)
    if (!this.#open) return
    if (fault !== 0) this.close(`frame_${fault}`)
    else if (this.#framer.buffered === 0) this.#frameBegunMono = NOT_BEGUN
    else if (this.#frameDelivered || this.#frameBegunMono === NOT_BEGUN) {
      this.#frameBegunMono = now
      this.#owner.wake(now + this.#settings.frameTimeoutMs)
    }
  }

  closed(cause: string): void {
    if (!this.#open) return
    this.#open = false
    this.#owner.closed(this, cause)
  }

  /** Ends the connection for a reason of ours; the owner is told before this returns. */
  close(why: string): void {
    if (!this.#open) return
    this.#open = false
    this.#net?.close(why)
    this.#owner.closed(this, why)
  }

  /** Queues a whole frame; false when the connection is closed or its write buffer is full. */
  write(frame: Uint8Array): boolean {
    const net = this.#net
    if (!this.#open || net === null) return false
    if (net.bufferedBytes() + frame.length > this.#settings.writeBufferBytesMax) return false
    if (!net.write(frame)) return false
    this.lastSentMono = this.#clock.monotonicMs()
    return true
  }

  /** Keeps an idle line open where the framing has such a frame. */
  sendKeepAlive(): void {
    const bytes = this.#framing.keepAlive
    if (bytes === null) return
    this.#keepAliveSent = this.write(bytes)
    this.lastSentMono = this.#clock.monotonicMs()
  }

  /** Why the connection must be closed now; an empty text when it need not. */
  overdue(nowMono: number): string {
    const settings = this.#settings
    if (!this.#heard && !this.dialled && nowMono - this.openedMono >= settings.firstByteTimeoutMs) {
      return 'first_byte_timeout'
    }
    const begun = this.#frameBegunMono
    return begun !== NOT_BEGUN && nowMono - begun >= settings.frameTimeoutMs ? 'frame_timeout' : ''
  }

  /** When overdue() could first say something, monotonic ms; Infinity when nothing runs. */
  nextDueMono(): number {
    const settings = this.#settings
    const spoken = this.#heard || this.dialled
    const first = spoken ? NEVER : this.openedMono + settings.firstByteTimeoutMs
    const begun = this.#frameBegunMono
    return begun === NOT_BEGUN ? first : Math.min(first, begun + settings.frameTimeoutMs)
  }

  readonly #onFrame = (
    bytes: Uint8Array, envelopeStart: number, messageStart: number, end: number,
  ): void => {
    // A frame before it in the same chunk may have ended the connection.
    if (!this.#open) return
    this.#frameDelivered = true
    const frame = Buffer.allocUnsafe(end - envelopeStart)
    frame.set(bytes.subarray(envelopeStart, end))
    this.#owner.frame(this, frame, messageStart - envelopeStart)
  }

  readonly #onKeepAlive = (): void => {
    if (!this.#open) return
    this.#frameDelivered = true
    const answersOurs = this.#keepAliveSent
    this.#keepAliveSent = false
    const bytes = this.#framing.keepAlive
    const echoed = KEEP_ALIVE_ECHOED.has(this.#framing.name)
    if (bytes !== null && !answersOurs && echoed) this.write(bytes)
  }
}
