// The life of one worker's session: opened when needed, dropped when it breaks, opened again with a
// pause between attempts. Called by worker.ts in a thread, and by tests in process. Synchronous.

import type { HsmResult } from '../port.ts'
import { Refused } from '../verbs/key-source.ts'
import { perform } from '../verbs/perform.ts'
import type { VerbCall, VerbValue } from '../verbs/perform.ts'
import { tryCapabilities } from './capabilities.ts'
import type { Capability, CapabilityName } from './capabilities.ts'
import { RECONNECT_PAUSE_MS } from './limits.ts'
import { TokenSession } from './session.ts'
import { TokenKeys } from './token-keys.ts'
import { TokenFault, tokenFault } from './vendor-errors.ts'
import type { OpenReply, WorkerSetup } from './wire.ts'

/** Attempts per call: the second on a fresh session. All verbs may be done twice. */
const ATTEMPTS = 2

interface Connection {
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
        this.#drop()
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
    connection?.session.close()
  }

  /** The open connection; opens one unless that failed a moment ago or the PIN was refused. */
  #connected(): Connection {
    if (this.#connection !== null) return this.#connection
    if (Atomics.load(this.#setup.pinRefused, 0) !== 0) throw new TokenFault('pin', 'pin_refused')
    const sinceMs = this.#monotonicMs() - this.#failedAtMs
    if (sinceMs < RECONNECT_PAUSE_MS) throw new Refused('unavailable')
    try {
      this.#connection = this.#open()
      return this.#connection
    } catch (error) {
      const fault = tokenFault(error)
      // Another try with this PIN could lock the token for everyone: no worker makes one.
      if (fault instanceof TokenFault && fault.kind === 'pin') {
        Atomics.store(this.#setup.pinRefused, 0, 1)
      }
      this.#failedAtMs = this.#monotonicMs()
      throw fault instanceof TokenFault ? new TokenFault('other', fault.code) : fault
    }
  }

  #open(): Connection {
    const { address, keys } = this.#setup
    const session = TokenSession.open(address)
    try {
      this.#capabilities ??= tryCapabilities(() => TokenSession.open(address))
      return { session, keys: new TokenKeys(session, { ...keys, ...this.#paths() }) }
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
