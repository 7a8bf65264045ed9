// The Hsm port over a PKCS#11 token: the main thread's side. Made by main.ts; called by pipeline
// steps and link life-cycle. It never touches the token itself: calls are grouped into batches and
// carried out by worker threads (worker.ts) that own the sessions.
//
//   caller ─ submit ─> call-queue ─ batch ─> piscina ─> worker ─ token-worker ─ verbs ─ session
//
// Outcomes it adds to those of the verbs: `overloaded` (queue full), `unavailable` (deadline, token
// gone, worker crashed, pool resting, closed). No clear PIN and no clear key comes to this thread,
// except the two vault secrets.

import { Piscina } from 'piscina'

import type { Clock, Timer } from '../../switch/runtime/clock.ts'
import type {
  GenerateArpcRequest,
  Hsm,
  HsmResult,
  HsmStatus,
  ImportedKey,
  ImportWorkingKeyRequest,
  KeyDirectory,
  MacRequest,
  MakeWorkingKeyRequest,
  TranslatePinRequest,
  VerifyArqcRequest,
  VerifyCvvRequest,
  VerifyMacRequest,
  VerifyPinRequest,
  WorkingKey,
} from '../port.ts'
import type { Ibm3624Profile, VaultSecrets } from '../verbs/key-source.ts'
import { keyNames } from '../verbs/perform.ts'
import type { VerbCall, VerbName, VerbRequests, VerbValues } from '../verbs/perform.ts'
import { CallQueue } from './call-queue.ts'
import type { CallObserver } from './call-queue.ts'
import type { Capability } from './capabilities.ts'
import {
  CALL_DEADLINE_MS,
  CLOSE_DEADLINE_MS,
  OPEN_DEADLINE_MS,
  RESTART_PAUSE_MS,
  RESTART_WINDOW_MS,
  STALL_MS,
  TOKEN_CALLS_MAX,
  WORKER_RESTARTS_MAX,
  WORKERS_DEFAULT,
  WORKER_HEAP_MB_MAX,
  WORKER_YOUNG_MB_MAX,
  WORKERS_MAX,
} from './limits.ts'
import type { TokenAddress } from './session.ts'
import { SHARED_PIN_REFUSED, SHARED_PLACES, wireRequest } from './wire.ts'
import type { Barrier, CallsReply, OpenReply, WorkerSetup, WorkerTask } from './wire.ts'

export interface Pkcs11HsmOptions {
  readonly address: TokenAddress
  /** Where key blocks of working keys are found; a name it does not know is a token object. */
  readonly directory: KeyDirectory
  readonly clock: Clock
  /** Label of the AES-256 key block protection key. */
  readonly kbpk: string
  /** Label of the AES-256 key that wraps the vault's secrets. */
  readonly vault: string
  /** Must be true for key names that begin with `demo.`; they are refused otherwise. */
  readonly demonstration?: boolean
  /** The configuration's `clear_pin_in_worker: accepted`; see docs/adr/0005-token.md. */
  readonly clearPinInWorker?: boolean
  readonly workers?: number // 1 to WORKERS_MAX
  readonly ibm3624?: Readonly<Record<string, Ibm3624Profile>>
  readonly callsMax?: number
  readonly deadlineMs?: number
  readonly sessionKeysMax?: number
  readonly observe?: CallObserver
  /** Address of the worker's file; tests give one that can be made to crash or hang. */
  readonly workerFile?: string
}

/** Prefix of the demonstration's keys: made without a ceremony, so never for a real card. */
export const DEMONSTRATION_PREFIX = 'demo.'

/** Why the token could not be opened; `fault` is the name of a return value, never data. */
export class TokenNotOpened extends Error {
  readonly code = 'token_not_opened'
  readonly fault: string

  constructor(tokenLabel: string, fault: string) {
    super(`token '${tokenLabel}' could not be opened: ${fault}`)
    this.name = 'TokenNotOpened'
    this.fault = fault
  }
}

const WORKER_FILE = new URL('./worker.ts', import.meta.url).href

export class Pkcs11Hsm implements Hsm {
  readonly #options: Pkcs11HsmOptions
  readonly #workers: number
  readonly #setup: WorkerSetup
  readonly #queue: CallQueue
  #pool: Piscina | null = null
  #capabilities: readonly Capability[] = []
  #crashedAtMs: number[] = []
  #rest: Timer | null = null
  #closed = false

  private constructor(options: Pkcs11HsmOptions) {
    const { address, kbpk, vault, clearPinInWorker, ibm3624, sessionKeysMax } = options
    this.#options = options
    this.#workers = Math.min(Math.max(options.workers ?? WORKERS_DEFAULT, 1), WORKERS_MAX)
    this.#setup = {
      address,
      keys: {
        kbpk,
        vault,
        clearPinAllowed: clearPinInWorker === true,
        ibm3624: ibm3624 ?? {},
        ...(sessionKeysMax === undefined ? {} : { sessionKeysMax }),
      },
      shared: new Int32Array(new SharedArrayBuffer(4 * SHARED_PLACES)),
    }
    this.#queue = new CallQueue({
      clock: options.clock,
      workers: this.#workers,
      callsMax: options.callsMax ?? TOKEN_CALLS_MAX,
      deadlineMs: options.deadlineMs ?? CALL_DEADLINE_MS,
      send: (calls) => this.#sendCalls(calls),
      observe: options.observe ?? (() => undefined),
    })
  }

  /**
   * Starts the workers, logs in, and tries what the token can do.
   * Throws TokenNotOpened; its fault is `demonstration_keys_refused` when the key names are those
   * of the demonstration and the options do not say that this is one.
   */
  static async open(options: Pkcs11HsmOptions): Promise<Pkcs11Hsm> {
    const { kbpk, vault, address } = options
    const hsm = new Pkcs11Hsm(options)
    if (hsm.#isRefusedName(kbpk) || hsm.#isRefusedName(vault)) {
      throw new TokenNotOpened(address.tokenLabel, 'demonstration_keys_refused')
    }
    try {
      await hsm.#start()
    } catch (error) {
      await hsm.close()
      throw error
    }
    return hsm
  }

  translatePin(request: TranslatePinRequest): Promise<HsmResult<Uint8Array>> {
    return this.#call('translatePin', request)
  }

  verifyPin(request: VerifyPinRequest): Promise<HsmResult<null>> {
    return this.#call('verifyPin', request)
  }

  generateMac(request: MacRequest): Promise<HsmResult<Uint8Array>> {
    return this.#call('generateMac', request)
  }

  verifyMac(request: VerifyMacRequest): Promise<HsmResult<null>> {
    return this.#call('verifyMac', request)
  }

  verifyArqc(request: VerifyArqcRequest): Promise<HsmResult<Uint8Array>> {
    return this.#call('verifyArqc', request)
  }

  generateArpc(request: GenerateArpcRequest): Promise<HsmResult<Uint8Array>> {
    return this.#call('generateArpc', request)
  }

  verifyCvv(request: VerifyCvvRequest): Promise<HsmResult<null>> {
    return this.#call('verifyCvv', request)
  }

  makeWorkingKey(request: MakeWorkingKeyRequest): Promise<HsmResult<WorkingKey>> {
    return this.#call('makeWorkingKey', request)
  }

  importWorkingKey(request: ImportWorkingKeyRequest): Promise<HsmResult<ImportedKey>> {
    return this.#call('importWorkingKey', request)
  }

  vaultKeys(): Promise<HsmResult<VaultSecrets>> {
    return this.#call('vaultKeys', null)
  }

  status(): HsmStatus {
    const { address, clearPinInWorker } = this.#options
    const accepted = clearPinInWorker === true
    return {
      ready: this.#serving(),
      module: address.module,
      slot: address.tokenLabel,
      workers: this.#workers,
      queued: this.#queue.inHand,
      capabilities: [
        ...this.#capabilities,
        {
          name: 'clear_pin_in_worker',
          available: accepted,
          note: accepted
            ? 'accepted by configuration: PINs are clear inside a worker for one call'
            : 'not accepted: PIN verbs that the token cannot do inside are refused',
        },
      ],
    }
  }

  /** Closes the workers' sessions and ends the threads; later calls are `unavailable`. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#rest?.cancel()
    const pool = this.#pool
    this.#pool = null
    if (pool !== null) await this.#closePool(pool)
    this.#queue.abandonAll()
  }

  #serving(): boolean {
    const refused = Atomics.load(this.#setup.shared, SHARED_PIN_REFUSED) !== 0
    return this.#pool !== null && !refused && this.#queue.allBusyMs < STALL_MS
  }

  #isRefusedName(name: string): boolean {
    return name.startsWith(DEMONSTRATION_PREFIX) && this.#options.demonstration !== true
  }

  async #call<V extends VerbName>(
    verb: V,
    request: VerbRequests[V],
  ): Promise<HsmResult<VerbValues[V]>> {
    if (!this.#serving()) return { outcome: 'unavailable' }
    // Verb, request and value belong together by VerbCall; the union forgets it in between.
    let call: VerbCall
    let names: string[]
    try {
      call = { verb, request: wireRequest(verb, request), blocks: [] } as VerbCall
      names = keyNames(call)
    } catch {
      return { outcome: 'bad_input' } // a field is missing: the port promises that nothing throws
    }
    if (names.some((name) => this.#isRefusedName(name))) return { outcome: 'key_missing' }
    const result = await this.#queue.submit(verb, () => this.#withBlocks(call, names))
    return result as HsmResult<VerbValues[V]>
  }

  async #withBlocks(call: VerbCall, names: readonly string[]): Promise<VerbCall> {
    const { directory } = this.#options
    const blocks: (string | null)[] = []
    for (const name of names) blocks.push(await directory.find(name))
    return { ...call, blocks } as VerbCall
  }

  async #start(): Promise<void> {
    const pool = this.#newPool()
    this.#pool = pool
    const replies = await this.#openAll(pool)
    const failed = replies.find((reply) => !reply.opened)
    if (failed !== undefined || replies.length === 0) {
      throw new TokenNotOpened(this.#options.address.tokenLabel, failed?.fault ?? 'no_worker')
    }
    this.#capabilities = replies[0]!.capabilities
  }

  #newPool(): Piscina {
    const pool = new Piscina({
      filename: this.#options.workerFile ?? WORKER_FILE,
      minThreads: this.#workers,
      maxThreads: this.#workers,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      resourceLimits: {
        maxOldGenerationSizeMb: WORKER_HEAP_MB_MAX,
        maxYoungGenerationSizeMb: WORKER_YOUNG_MB_MAX,
      },
      workerData: this.#setup,
    })
    // A crash without a task in hand is told here; one with a task rejects the task.
    pool.on('error', () => this.#crashed(pool))
    return pool
  }

  /** Every worker opens the token; within OPEN_DEADLINE_MS. */
  async #openAll(pool: Piscina): Promise<OpenReply[]> {
    const barrier = this.#barrier()
    const tasks: Array<Promise<OpenReply>> = []
    for (let at = 0; at < this.#workers; at++) {
      tasks.push(runTask(pool, { kind: 'open', barrier }) as Promise<OpenReply>)
    }
    const late: OpenReply = { opened: false, fault: 'deadline', capabilities: [] }
    const crashed: OpenReply = { opened: false, fault: 'worker_crashed', capabilities: [] }
    const all = Promise.all(tasks).catch(() => [crashed])
    return this.#within(OPEN_DEADLINE_MS, all, [late])
  }

  async #closePool(pool: Piscina): Promise<void> {
    const barrier = this.#barrier()
    const tasks: Array<Promise<unknown>> = []
    for (let at = 0; at < this.#workers; at++) {
      tasks.push(runTask(pool, { kind: 'close', barrier }).catch(() => null))
    }
    await this.#within(CLOSE_DEADLINE_MS, Promise.all(tasks), [])
    await this.#within(CLOSE_DEADLINE_MS, pool.destroy(), undefined)
  }

  #barrier(): Barrier {
    return { arrived: new Int32Array(new SharedArrayBuffer(4)), workers: this.#workers }
  }

  /** The promise's value, or `otherwise` when it takes longer than `delayMs`. */
  #within<T>(delayMs: number, promise: Promise<T>, otherwise: T): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.after(delayMs, () => resolve(otherwise))
      promise.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  async #sendCalls(calls: readonly VerbCall[]): Promise<CallsReply> {
    const pool = this.#pool
    if (pool === null) throw new Error('pool is resting or closed')
    try {
      return (await runTask(pool, { kind: 'calls', calls })) as CallsReply
    } catch (error) {
      this.#crashed(pool)
      throw error
    }
  }

  /**
   * A worker died; piscina has started another. Too many within the window: the pool rests, so
   * that a module that crashes its thread is not started over and over.
   */
  #crashed(pool: Piscina): void {
    if (this.#closed || this.#pool !== pool) return
    const now = this.#options.clock.monotonicMs()
    this.#crashedAtMs = this.#crashedAtMs.filter((at) => now - at < RESTART_WINDOW_MS)
    this.#crashedAtMs.push(now)
    if (this.#crashedAtMs.length <= WORKER_RESTARTS_MAX) return
    this.#crashedAtMs = []
    this.#pool = null
    this.#queue.drainUnavailable()
    void pool.destroy()
    this.#rest = this.#options.clock.after(RESTART_PAUSE_MS, () => {
      this.#rest = null
      this.#pool = this.#newPool()
    })
  }
}

function runTask(pool: Piscina, task: WorkerTask): Promise<OpenReply | CallsReply | null> {
  return pool.run(task) as Promise<OpenReply | CallsReply | null>
}
