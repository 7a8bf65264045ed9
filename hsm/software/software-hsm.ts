// The Hsm port over clear keys in memory, for the virtual-clock simulator and tests. It must never
// serve the running switch: the constructor refuses without the word `development: true`.
// Each call takes one turn of the microtask queue, so that callers cannot rely on synchrony; no
// timer and no real time are used. `close`, `outage` and `queueLimit` let tests see faults.

import type {
  GenerateArpcRequest,
  Hsm,
  HsmOutcome,
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
import type { Ibm3624Profile } from '../verbs/key-source.ts'
import { keyNames, perform } from '../verbs/perform.ts'
import type { VerbCall, VerbName, VerbRequests, VerbValues } from '../verbs/perform.ts'
import { SoftwareKeys } from './software-keys.ts'
import type { RandomBytes, SoftwareKey } from './software-keys.ts'

export type { SoftwareKey } from './software-keys.ts'

export interface SoftwareHsmOptions {
  /** Must be true; there is no other way to use clear keys. */
  readonly development: true
  /** Master keys by name. */
  readonly keys: Readonly<Record<string, SoftwareKey>>
  /** Where key blocks of working keys are found. */
  readonly directory: KeyDirectory
  /** Chance: seeded in the simulator, the system's in tests. */
  readonly random: RandomBytes
  readonly ibm3624?: Readonly<Record<string, Ibm3624Profile>>
  /** Calls at once before `overloaded`; default SOFTWARE_CALLS_MAX. */
  readonly queueLimit?: number
}

/** Calls in hand at once; as in front of a token, so that the simulator can see `overloaded`. */
export const SOFTWARE_CALLS_MAX = 4096

export class SoftwareHsm implements Hsm {
  readonly #keys: SoftwareKeys
  readonly #directory: KeyDirectory
  readonly #limit: number
  #inHand = 0
  #closed = false
  #outage: Exclude<HsmOutcome, 'ok'> | null = null

  constructor(options: SoftwareHsmOptions) {
    if (options.development !== true) {
      throw new Error('software HSM refused: it holds clear keys and is for development only')
    }
    this.#keys = new SoftwareKeys(options.keys, options.ibm3624 ?? {}, options.random)
    this.#directory = options.directory
    this.#limit = options.queueLimit ?? SOFTWARE_CALLS_MAX
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

  vaultKeys(): Promise<HsmResult<{ seal: Uint8Array; token: Uint8Array }>> {
    return this.#call('vaultKeys', null)
  }

  status(): HsmStatus {
    return {
      ready: !this.#closed && this.#outage === null,
      module: 'software (development)',
      slot: 'memory',
      workers: 0,
      queued: this.#inHand,
      capabilities: [
        { name: 'keys_in_token', available: false, note: 'clear keys in memory; tests only' },
      ],
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  /** Makes every call answer `outcome` until it is given null: a token that is gone, or full. */
  outage(outcome: Exclude<HsmOutcome, 'ok'> | null): void {
    this.#outage = outcome
  }

  async #call<V extends VerbName>(
    verb: V,
    request: VerbRequests[V],
  ): Promise<HsmResult<VerbValues[V]>> {
    if (this.#closed) return { outcome: 'unavailable' }
    if (this.#outage !== null) return { outcome: this.#outage }
    if (this.#inHand >= this.#limit) return { outcome: 'overloaded' }
    this.#inHand += 1
    try {
      // The generic link between verb, request and value is lost in the union and restored here.
      const names = keyNames({ verb, request } as Pick<VerbCall, 'verb' | 'request'>)
      const blocks: (string | null)[] = []
      for (const name of names) blocks.push(await this.#directory.find(name))
      const call = { verb, request, blocks } as VerbCall
      return perform(this.#keys, call) as HsmResult<VerbValues[V]>
    } catch {
      return { outcome: 'unavailable' } // the directory failed
    } finally {
      this.#inHand -= 1
    }
  }
}
