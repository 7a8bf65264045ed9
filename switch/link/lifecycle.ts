/**
 * The life of a link: listening, dialling with back-off, sign-on, echo, sign-off, and the state
 * that follows from the states of its connections.
 *
 *   down ──dial/accept──▶ connected ──▶ signing_on ──▶ exchanging_keys ──▶ ready ◀──▶ suspended
 *    ▲                        ▲   (accepted: the peer signs on)   (keysInForce)          │
 *    └── closed, refused,     └───────────── peer signs off (accepted) ──────────────────┤
 *        silent, dead                                                                    │
 *    └──────────────────────────── signing_off ◀──── stop(), after the drain ────────────┘
 *
 * The link's state is that of its best connection; an operator's suspend() and stop() come before
 * it. Made by link.ts, which gives it a host for everything that concerns messages. It must never
 * read a message. Every change is reported with its cause. Sources: behaviours.md 39, 45 to 50;
 * cups-host.md sections 1, 11; visa.md sections 1, 8.
 */
import type { Clock, Timer } from '../runtime/clock.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import type { Random } from '../runtime/random.ts'
import { Backoff } from './backoff.ts'
import { LinkConnection, type ConnectionOwner } from './connection.ts'
import type { AnswerHandler, LinkSettings, LinkState, Message } from './contract.ts'
import { SWEEP_MS_MAX, SWEEP_MS_MIN } from './limits.ts'
import type { NetworkAct } from './network-messages.ts'
import type { Connection, ConnectionEvents, Listener, Net } from './port.ts'

/** What link.ts does for its life-cycle. */
export interface LifecycleHost {
  frame(connection: LinkConnection, frame: Buffer, envelopeBytes: number): void
  /**
   * Sends a network request of ours on this connection; false when it could not be written or
   * registered.
   */
  ask(connection: LinkConnection, act: NetworkAct, handler: AnswerHandler): boolean
  /** '' when an answer to ask() says yes, otherwise its response code. */
  refusal(answer: Message): string
  /** Whether there are network messages at all: without them there is no sign-on and no echo. */
  readonly hasNetworkMessages: boolean
  /** Requests that left on this connection have lost it. */
  lost(connection: LinkConnection, cause: string): void
  loseAll(cause: string): void
  /** Ends requests whose deadline came; gives the next deadline, monotonic ms. */
  sweep(nowMono: number): number
  /** True while requests wait for answers or received messages are being worked on. */
  busy(): boolean
  stateChanged(from: LinkState, to: LinkState, cause: string): void
  connectionOpened(connection: LinkConnection): void
  connectionClosed(connection: LinkConnection, cause: string): void
}

/** How good a connection's state is; the link is as good as its best one. */
const RANK: Readonly<Record<LinkState, number>> = {
  down: 0,
  connected: 1,
  signing_on: 2,
  signing_off: 2,
  suspended: 3,
  exchanging_keys: 4,
  ready: 5,
}

/** How often a drain is looked at, ms. */
const DRAIN_LOOK_MS = 20
const NEVER = Number.POSITIVE_INFINITY

export class Lifecycle implements ConnectionOwner {
  readonly connections = new Map<number, LinkConnection>()
  /** Connections that may carry financials now. */
  ready: readonly LinkConnection[] = []
  /** Connections that are signed on: ready, or waiting for keys. */
  signedOn: readonly LinkConnection[] = []
  state: LinkState = 'down'

  readonly #settings: LinkSettings
  readonly #net: Net
  readonly #clock: Clock
  readonly #host: LifecycleHost
  readonly #backoff: Backoff
  readonly #onTimer = (): void => this.#tick()
  #listener: Listener | null = null
  #dialTimer: Timer | null = null
  #timer: Timer | null = null
  #timerDueMono = NEVER
  #nextId = 1
  #accepted = 0
  #keysInForce = false
  #anySignedOn = false
  #suspended = false
  #stopping = false
  #stopped: Promise<void> | null = null
  #finished = false

  constructor(settings: LinkSettings, net: Net, clock: Clock, random: Random, host: LifecycleHost) {
    this.#settings = settings
    this.#net = net
    this.#clock = clock
    this.#host = host
    this.#backoff = new Backoff(settings.reconnectMinMs, settings.reconnectMaxMs, random)
  }

  async start(): Promise<void> {
    const { listen, connect } = this.#settings
    if (listen !== null) {
      this.#listener = await this.#net.listen(listen, (connection) => this.#accept(connection))
      this.#refresh('listening')
    }
    if (connect !== null) this.#dial()
  }

  /** Whether a financial request may come in on this connection now. */
  takesFinancials(connection: LinkConnection): boolean {
    return connection.state === 'ready' && !this.#suspended && !this.#stopping
  }

  keysInForce(): void {
    this.#keysInForce = true
    crashPoint('link.after_keys_in_force')
    for (const connection of this.connections.values()) {
      if (connection.state === 'exchanging_keys') this.#becomeReady(connection)
    }
    this.#refresh('keys_in_force')
  }

  suspend(): void {
    this.#suspended = true
    this.#refresh('suspended_by_operator')
  }

  /** Also signs on again where the peer had signed us off. */
  resume(): void {
    this.#suspended = false
    this.#refresh('resumed_by_operator')
    for (const connection of [...this.connections.values()]) {
      if (connection.dialled && connection.state === 'suspended') this.#signOn(connection)
    }
  }

  /** Whether the peer may sign on now; the caller answers it before peerSignedOn(). */
  maySignOn(): boolean {
    return !this.#stopping
  }

  peerSignedOn(connection: LinkConnection): void {
    if (connection.open) this.#signedOn(connection, 'peer_signed_on')
  }

  /** The state stays, but an operator must see why. */
  peerSignOnRefused(): void {
    this.#host.stateChanged(this.state, this.state, 'peer_sign_on_refused')
  }

  peerSignedOff(connection: LinkConnection): void {
    if (!connection.open || RANK[connection.state] < RANK.suspended) return
    connection.state = connection.dialled ? 'suspended' : 'connected'
    this.#refresh('peer_signed_off')
  }

  stop(graceMs: number): Promise<void> {
    this.#stopping = true
    this.#stopped ??= this.#drainAndClose(graceMs)
    return this.#stopped
  }

  // What connections say.

  opened(connection: LinkConnection): void {
    this.#host.connectionOpened(connection)
    connection.state = 'connected'
    const signOn = this.#settings.signOn && this.#settings.role === 'scheme'
    this.#refresh(connection.dialled ? 'dialled' : 'accepted')
    this.wake(this.#keepUp(connection, connection.openedMono))
    if (!signOn) this.#signedOn(connection, 'no_sign_on_needed')
    else if (connection.dialled) this.#signOn(connection)
  }

  frame(connection: LinkConnection, frame: Buffer, envelopeBytes: number): void {
    this.#host.frame(connection, frame, envelopeBytes)
  }

  closed(connection: LinkConnection, cause: string): void {
    if (!this.connections.delete(connection.id)) return
    const wasOpen = connection.openedMono !== NEVER
    const stableMs = this.#clock.monotonicMs() - connection.readySinceMono
    connection.state = 'down'
    if (!connection.dialled) this.#accepted--
    this.#host.connectionClosed(connection, wasOpen ? cause : `dial_${cause}`)
    // A dial that failed changes no state, but an operator must see why the link stays down.
    if (!wasOpen && this.state === 'down') this.#host.stateChanged('down', 'down', `dial_${cause}`)
    else this.#refresh(cause)
    this.#host.lost(connection, cause)
    if (!connection.dialled || this.#stopping) return
    // A peer that takes the sign-on and hangs up at once must not be dialled at the shortest pause
    // for ever.
    if (stableMs >= this.#settings.reconnectMinMs) this.#backoff.reset()
    this.#dialTimer = this.#clock.after(this.#backoff.nextMs(), () => this.#dial())
  }

  /**
   * One timer serves all deadlines of the link; it is moved only when something is due before it.
   */
  wake(dueMono: number): void {
    if (dueMono >= this.#timerDueMono || this.#finished) return
    this.#timer?.cancel()
    const now = this.#clock.monotonicMs()
    const delayMs = Math.min(SWEEP_MS_MAX, Math.max(SWEEP_MS_MIN, Math.ceil(dueMono - now)))
    this.#timerDueMono = now + delayMs
    this.#timer = this.#clock.after(delayMs, this.#onTimer)
  }

  // Beginning

  #dial(): void {
    const to = this.#settings.connect
    this.#dialTimer = null
    if (to === null || this.#stopping) return
    const connection = new LinkConnection(this.#nextId++, true, this.#settings, this.#clock, this)
    this.connections.set(connection.id, connection)
    connection.attach(this.#net.connect(to, connection))
  }

  #accept(net: Connection): ConnectionEvents {
    if (this.#stopping || this.#accepted >= this.#settings.connectionsMax) {
      net.close('too_many_connections')
      return IGNORED
    }
    const connection = new LinkConnection(this.#nextId++, false, this.#settings, this.#clock, this)
    this.#accepted++
    this.connections.set(connection.id, connection)
    connection.attach(net)
    connection.opened()
    return connection
  }

  #signOn(connection: LinkConnection): void {
    connection.state = 'signing_on'
    this.#refresh('sign_on_sent')
    const asked = this.#host.ask(connection, 'sign_on', {
      answered: (message) => {
        crashPoint('sign_on.after_answered')
        const code = this.#host.refusal(message)
        message.release()
        if (code !== '') connection.close(`sign_on_refused_${code}`)
        else if (connection.open) this.#signedOn(connection, 'signed_on')
      },
      timedOut: () => connection.close('sign_on_timed_out'),
      lost() {},
    })
    if (!asked) connection.close('sign_on_not_sent')
  }

  #signedOn(connection: LinkConnection, cause: string): void {
    connection.signedOnOnce = true
    if (this.#settings.keysRequired && !this.#keysInForce && this.#settings.role === 'scheme') {
      connection.state = 'exchanging_keys'
    } else this.#becomeReady(connection)
    this.#refresh(cause)
  }

  #becomeReady(connection: LinkConnection): void {
    if (connection.state === 'ready') return
    connection.state = 'ready'
    connection.readySinceMono = this.#clock.monotonicMs()
  }

  // Watching

  #tick(): void {
    this.#timer = null
    this.#timerDueMono = NEVER
    const now = this.#clock.monotonicMs()
    this.#host.sweep(now)
    let next = NEVER
    for (const connection of [...this.connections.values()]) {
      const cause = connection.overdue(now)
      if (cause !== '') connection.close(cause)
      else next = Math.min(next, connection.nextDueMono(), this.#keepUp(connection, now))
    }
    next = Math.min(next, this.#host.sweep(now))
    if (next !== NEVER) this.wake(next)
  }

  /**
   * Sends what an idle connection is due: an echo, or the framing's keep-alive. Gives the next
   * instant to look again.
   */
  #keepUp(connection: LinkConnection, now: number): number {
    const idleMs = this.#settings.echoIdleMs
    if (this.#settings.role !== 'scheme' || idleMs <= 0) return NEVER
    if (connection.openedMono === NEVER) return NEVER
    if (this.#stopping || connection.state === 'signing_on') return now + idleMs
    if (this.#host.hasNetworkMessages && !connection.echoWaiting) {
      const due = Math.max(connection.lastReceivedMono + idleMs, connection.echoHoldMono)
      if (now >= due) this.#echo(connection, now)
    }
    if (!connection.open) return NEVER
    if (now - connection.lastSentMono >= idleMs) connection.sendKeepAlive()
    const echoDue = Math.max(connection.lastReceivedMono + idleMs, connection.echoHoldMono)
    const sendDue = connection.lastSentMono + idleMs
    if (!this.#host.hasNetworkMessages || connection.echoWaiting) return sendDue
    return Math.min(echoDue, sendDue)
  }

  #echo(connection: LinkConnection, now: number): void {
    connection.echoWaiting = true
    const sentMono = now
    const asked = this.#host.ask(connection, 'echo', {
      answered: (message) => {
        message.release()
        connection.echoWaiting = false
      },
      timedOut: () => {
        connection.echoWaiting = false
        // Anything that came in meanwhile shows that the peer lives.
        if (connection.lastReceivedMono <= sentMono) this.#echoMissed(connection)
      },
      lost: () => {
        connection.echoWaiting = false
      },
    })
    if (asked) return
    // A peer that does not even take the echo is as silent as one that does not answer it.
    connection.echoWaiting = false
    connection.echoHoldMono = now + this.#settings.networkTimeoutMs
    this.#echoMissed(connection)
  }

  #echoMissed(connection: LinkConnection): void {
    connection.echoMisses++
    if (connection.echoMisses >= this.#settings.echoMissesMax) connection.close('echo_missed')
    else this.wake(this.#clock.monotonicMs() + SWEEP_MS_MIN)
  }

  // Ending

  async #drainAndClose(graceMs: number): Promise<void> {
    this.#dialTimer?.cancel()
    const until = this.#clock.monotonicMs() + graceMs
    this.#refresh('stopping')
    await this.#listener?.close()
    while (this.#host.busy() && this.#clock.monotonicMs() < until) await this.#pause()
    await this.#signOff()
    for (const connection of [...this.connections.values()]) connection.close('stopped')
    this.#host.loseAll('stopped')
    this.#finished = true
    this.#timer?.cancel()
    this.#dialTimer?.cancel()
    this.#refresh('stopped')
  }

  /** Signs off where we had signed on, and waits for the answers or their time-out. */
  async #signOff(): Promise<void> {
    if (!this.#settings.signOn || !this.#host.hasNetworkMessages) return
    let waiting = 0
    const done = (): void => {
      waiting--
    }
    for (const connection of this.connections.values()) {
      if (!connection.dialled || !connection.signedOnOnce) continue
      const asked = this.#host.ask(connection, 'sign_off', {
        answered: (message) => {
          message.release()
          done()
        },
        timedOut: done,
        lost: done,
      })
      crashPoint('sign_off.after_sent')
      if (asked) waiting++
    }
    while (waiting > 0) await this.#pause()
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(DRAIN_LOOK_MS, resolve)
    })
  }

  // State

  #refresh(cause: string): void {
    this.#sortConnections()
    const to = this.#currentState()
    const from = this.state
    if (to === from) return
    this.state = to
    this.#host.stateChanged(from, to, cause)
  }

  /**
   * Nothing is sent to terminals unasked, and a port has thousands of them: they are not sorted.
   */
  #sortConnections(): void {
    if (this.#settings.role === 'terminals') return
    const all = [...this.connections.values()]
    const anySignedOn = all.some((one) => RANK[one.state] >= RANK.exchanging_keys)
    // A new exchange begins with the next sign-on; another connection beside it uses the same keys.
    if (this.#anySignedOn && !anySignedOn) this.#keysInForce = false
    this.#anySignedOn = anySignedOn
    const closed = this.#stopping
    const held = closed || this.#suspended
    this.ready = held ? [] : all.filter((one) => one.state === 'ready' && this.#isOurWay(one))
    this.signedOn = closed
      ? []
      : all.filter((one) => RANK[one.state] >= RANK.exchanging_keys && this.#isOurWay(one))
  }

  #currentState(): LinkState {
    if (this.#finished) return 'down'
    const best = this.#bestState()
    if (best !== 'down' && this.#stopping) return 'signing_off'
    return best === 'ready' && this.#suspended ? 'suspended' : best
  }

  #bestState(): LinkState {
    // A port for terminals is up as long as it listens.
    if (this.#settings.role === 'terminals' && this.#listener !== null) return 'ready'
    let best: LinkState = 'down'
    for (const connection of this.connections.values()) {
      const state = this.#isOurWay(connection) ? connection.state : 'connected'
      if (RANK[state] > RANK[best]) best = state
    }
    return best
  }

  /**
   * Whether our requests may leave on this connection. Where we dial, they leave on dialled
   * connections only: lines are simplex (cups-host section 1), and whoever dials us proves nothing.
   */
  #isOurWay(connection: LinkConnection): boolean {
    return this.#settings.connect === null || connection.dialled
  }
}

/** For a connection that is not wanted. */
const IGNORED: ConnectionEvents = {
  opened() {},
  data() {},
  closed() {},
}
