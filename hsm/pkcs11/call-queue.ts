// Calls waiting for a token: bounded, grouped into batches, each with a deadline. Called by
// pkcs11-hsm.ts on the main thread; knows neither piscina nor PKCS#11.
//
// Calls of one turn of the event loop leave together (setImmediate runs after all sockets of the
// turn were read), and what arrives while all workers are busy leaves with the next free worker.
// A call holds its place until it has left the worker, even when its caller was told
// `unavailable` before: a token that hangs must not gather work behind it.

import type { Clock, Timer } from '../../switch/runtime/clock.ts'
import type { HsmOutcome, HsmResult } from '../port.ts'
import type { VerbCall, VerbName, VerbValue } from '../verbs/perform.ts'
import { BATCH_CALLS_MAX, DEADLINE_SWEEP_MS } from './limits.ts'

/** Told once per call: verb, outcome, and milliseconds from call to answer. For metrics. */
export type CallObserver = (verb: VerbName, outcome: HsmOutcome, elapsedMs: number) => void

/** Sends one batch to a worker; resolves with one result per call, or rejects for all of them. */
export type SendBatch = (
  calls: readonly VerbCall[],
) => Promise<ReadonlyArray<HsmResult<VerbValue>>>

export interface CallQueueOptions {
  readonly clock: Clock
  readonly workers: number
  readonly callsMax: number
  readonly deadlineMs: number
  readonly send: SendBatch
  readonly observe: CallObserver
}

/** One call in hand. */
class Pending {
  readonly verb: VerbName
  readonly startedMs: number
  readonly resolve: (result: HsmResult<VerbValue>) => void
  call: VerbCall | null = null // set when its key blocks are known
  settled = false
  released = false

  constructor(
    verb: VerbName,
    startedMs: number,
    resolve: (result: HsmResult<VerbValue>) => void,
  ) {
    this.verb = verb
    this.startedMs = startedMs
    this.resolve = resolve
  }
}

const UNAVAILABLE: HsmResult<VerbValue> = { outcome: 'unavailable' }
const OVERLOADED: HsmResult<VerbValue> = { outcome: 'overloaded' }

export class CallQueue {
  readonly #options: CallQueueOptions
  #ready: Pending[] = []
  #byDeadline: Pending[] = [] // all calls have the same span, so this is in order of deadline
  #firstByDeadline = 0
  #inHand = 0
  #busy = 0
  #lastSentMs = 0
  #flushPlanned = false
  #sweep: Timer | null = null

  constructor(options: CallQueueOptions) {
    this.#options = options
  }

  /** Calls in hand: waiting, looked up, or in a worker. */
  get inHand(): number {
    return this.#inHand
  }

  /** Milliseconds since the last batch left, when every worker is busy; 0 otherwise. */
  get allBusyMs(): number {
    const { clock, workers } = this.#options
    return this.#busy < workers ? 0 : clock.monotonicMs() - this.#lastSentMs
  }

  /**
   * Takes a call. `prepare` finds its key blocks; when it rejects the call is `unavailable`.
   * Resolves within the deadline; never rejects.
   */
  submit(verb: VerbName, prepare: () => Promise<VerbCall>): Promise<HsmResult<VerbValue>> {
    const { callsMax, clock, observe } = this.#options
    if (this.#inHand >= callsMax) {
      observe(verb, 'overloaded', 0)
      return Promise.resolve(OVERLOADED)
    }
    return new Promise((resolve) => {
      const pending = new Pending(verb, clock.monotonicMs(), resolve)
      this.#inHand += 1
      this.#byDeadline.push(pending)
      this.#sweep ??= clock.every(DEADLINE_SWEEP_MS, () => this.#expire())
      prepare().then(
        (call) => this.#prepared(pending, call),
        () => {
          this.#settle(pending, UNAVAILABLE)
          this.#release(pending)
        },
      )
    })
  }

  /** Answers `unavailable` to every call that waits; those in a worker keep their own end. */
  drainUnavailable(): void {
    const waiting = this.#ready
    this.#ready = []
    for (const pending of waiting) {
      this.#settle(pending, UNAVAILABLE)
      this.#release(pending)
    }
  }

  /** Answers `unavailable` to every call, wherever it is; for closing. */
  abandonAll(): void {
    this.drainUnavailable()
    for (const pending of this.#byDeadline) this.#settle(pending, UNAVAILABLE)
    this.#expire()
  }

  #prepared(pending: Pending, call: VerbCall): void {
    if (pending.settled) {
      this.#release(pending)
      return
    }
    pending.call = call
    this.#ready.push(pending)
    this.#planFlush()
  }

  #planFlush(): void {
    if (this.#flushPlanned) return
    this.#flushPlanned = true
    setImmediate(() => {
      this.#flushPlanned = false
      this.#flush()
    })
  }

  /** Gives every idle worker its share of what waits. */
  #flush(): void {
    let idle = this.#options.workers - this.#busy
    while (idle > 0 && this.#ready.length > 0) {
      const share = Math.min(BATCH_CALLS_MAX, Math.ceil(this.#ready.length / idle))
      const batch: Pending[] = []
      const calls: VerbCall[] = []
      for (const pending of this.#ready.splice(0, share)) {
        if (pending.settled || pending.call === null) {
          this.#release(pending)
          continue
        }
        batch.push(pending)
        calls.push(pending.call)
      }
      if (batch.length === 0) continue
      idle -= 1
      this.#send(batch, calls)
    }
  }

  #send(batch: readonly Pending[], calls: readonly VerbCall[]): void {
    this.#busy += 1
    this.#lastSentMs = this.#options.clock.monotonicMs()
    const done = (results: ReadonlyArray<HsmResult<VerbValue>> | null): void => {
      this.#busy -= 1
      for (let at = 0; at < batch.length; at++) {
        this.#settle(batch[at]!, results?.[at] ?? UNAVAILABLE)
        this.#release(batch[at]!)
      }
      this.#flush()
    }
    this.#options.send(calls).then(done, () => done(null))
  }

  #settle(pending: Pending, result: HsmResult<VerbValue>): void {
    if (pending.settled) return
    pending.settled = true
    const elapsedMs = this.#options.clock.monotonicMs() - pending.startedMs
    this.#options.observe(pending.verb, result.outcome, elapsedMs)
    pending.resolve(result)
  }

  #release(pending: Pending): void {
    if (pending.released) return
    pending.released = true
    this.#inHand -= 1
  }

  /** Settles what is past its deadline; stops its own timer when nothing is left to watch. */
  #expire(): void {
    const { clock, deadlineMs } = this.#options
    const now = clock.monotonicMs()
    const list = this.#byDeadline
    let at = this.#firstByDeadline
    while (at < list.length) {
      const pending = list[at]!
      if (!pending.settled && now - pending.startedMs < deadlineMs) break
      this.#settle(pending, UNAVAILABLE)
      if (pending.call === null) this.#release(pending) // its key look-up hangs, not the token
      at += 1
    }
    this.#firstByDeadline = at
    if (at === list.length) {
      this.#byDeadline = []
      this.#firstByDeadline = 0
      this.#sweep?.cancel()
      this.#sweep = null
    } else if (at > BATCH_CALLS_MAX) {
      this.#byDeadline = list.slice(at)
      this.#firstByDeadline = 0
    }
  }
}
