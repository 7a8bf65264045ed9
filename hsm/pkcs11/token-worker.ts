// The life of one worker's session: opened when needed, dropped when it breaks, opened again with a
// pause between attempts. Called by worker.ts in a thread, and by tests in process. Synchronous.

import type { HsmResult } from '../port.ts'
import { Refused } from '../verbs/key-source.ts'
import { perform } from '../verbs/perform.ts'
import type { VerbCall, VerbValue } from '../verbs/perform.ts'
import { tryCapabilities } from './capabilities.ts'
import type { Capability, CapabilityName } from './capabilities.ts'
import { OPEN_LOCK_WAIT_MS, RECONNECT_PAUSE_MS } from './limits.ts'
import { TokenSession } from './session.ts'
import { TokenKeys } from './token-keys.ts'
import { TokenFault, tokenFault } from './vendor-errors.ts'
import { SHARED_GENERATION, SHARED_OPENING, SHARED_PIN_REFUSED } from './wire.ts'
import type { OpenReply, WorkerSetup } from './wire.ts'

/** Attempts per call: the second on a fresh session. All verbs may be done twice. */
const ATTEMPTS = 2

interface Connection {
  readonly generation: number
  readonly session: TokenSession
  readonly keys: TokenKeys
}

export class TokenWorker {
  readonly #setup: WorkerSetup
  readonly #monotonicMs: () => number
  #connection: Connection | null = null
  #capabilities: readonly Capability[] | null = null
  #failedAtMs = Number.NEGATIVE_INFINITY

  /** @param monotonicMs the clock's reading, for the pause between attempts to open */
  constructor(setup: WorkerSetup, monotonicMs: () => number) {
    this.#setup = setup
    this.#monotonicMs = monotonicMs
  }

  /** Opens the token now and says what it can do. */
  open(): OpenReply {
    try {
      this.#connected()
      return { opened: true, fault: '', capabilities: this.#capabilities ?? [] }
    } catch (error) {
      const fault = error instanceof TokenFault ? error.code : 'unavailable'
      return { opened: false, fault, capabilities: [] }
    }
  }

  /** Carries out one call; never throws. */
  call(call: VerbCall): HsmResult<VerbValue> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        return perform(this.#connected().keys, call)
      } catch (error) {
        const fault = tokenFault(error)
        if (fault instanceof Refused) return { outcome: fault.outcome }
        if (fault.kind === 'key_usage') return { outcome: 'key_usage' }
        if (fault.code === 'CKR_CRYPTOKI_NOT_INITIALIZED') this.#connection = null
        else this.#drop()
        if (fault.kind !== 'session') break
      } finally {
        if (this.#connection?.session.broken === true) this.#drop()
      }
    }
    return { outcome: 'unavailable' }
  }

  /** Closes the session. */
  close(): void {
    this.#drop()
  }

  #drop(): void {
    const connection = this.#connection
    this.#connection = null
    if (connection !== null && this.#isCurrent(connection)) connection.session.close()
  }

  /**
   * False when the module was initialised again since: the numbers of old handles may by now be
   * those of another worker's session and keys, so they must be neither used nor closed.
   */
  #isCurrent(connection: Connection): boolean {
    return connection.generation === Atomics.load(this.#setup.shared, SHARED_GENERATION)
  }

  /** The open connection; opens one unless that failed a moment ago or the PIN was refused. */
  #connected(): Connection {
    const known = this.#connection
    if (known !== null && this.#isCurrent(known)) return known
    this.#connection = null
    const sinceMs = this.#monotonicMs() - this.#failedAtMs
    if (sinceMs < RECONNECT_PAUSE_MS) throw new Refused('unavailable')
    const { shared } = this.#setup
    this.#lockOpening()
    try {
      if (Atomics.load(shared, SHARED_PIN_REFUSED) !== 0) throw new TokenFault('pin', 'pin_refused')
      this.#connection = this.#open()
      return this.#connection
    } catch (error) {
      const fault = tokenFault(error)
      // Another try with this PIN could lock the token for everyone: no worker makes one.
      if (fault instanceof TokenFault && fault.kind === 'pin') {
        Atomics.store(shared, SHARED_PIN_REFUSED, 1)
      }
      this.#failedAtMs = this.#monotonicMs()
      throw fault instanceof TokenFault ? new TokenFault('other', fault.code) : fault
    } finally {
      Atomics.store(shared, SHARED_OPENING, 0)
      Atomics.notify(shared, SHARED_OPENING)
    }
  }

  /**
   * One worker at a time initialises the module: SoftHSM's C_Initialize is not safe against
   * another one, and a PIN must not be tried twice at once. A holder that died is not waited for.
   */
  #lockOpening(): void {
    const { shared } = this.#setup
    const until = this.#monotonicMs() + OPEN_LOCK_WAIT_MS
    while (Atomics.compareExchange(shared, SHARED_OPENING, 0, 1) !== 0) {
      const leftMs = until - this.#monotonicMs()
      if (leftMs <= 0) return
      Atomics.wait(shared, SHARED_OPENING, 1, leftMs)
    }
  }

  #open(): Connection {
    const { address, keys, shared } = this.#setup
    const session = TokenSession.open(address)
    if (session.initializedModule) Atomics.add(shared, SHARED_GENERATION, 1)
    const generation = Atomics.load(shared, SHARED_GENERATION)
    try {
      this.#capabilities ??= tryCapabilities(() => TokenSession.open(address))
      return { generation, session, keys: new TokenKeys(session, { ...keys, ...this.#paths() }) }
    } catch (error) {
      session.close()
      throw error
    }
  }

  #paths(): { deriveInToken: boolean; deriveBlockKeysInToken: boolean; translateInToken: boolean } {
    const can = (name: CapabilityName): boolean =>
      this.#capabilities?.some((found) => found.name === name && found.available) ?? false
    return {
      deriveInToken: can('derive_tdes'),
      deriveBlockKeysInToken: can('derive_aes'),
      translateInToken: can('pin_translation_in_token'),
    }
  }
}
