// One payment verb over one key source. Called by the HSM worker for each call of a batch and by
// the software adapter. Turns every refusal into an outcome; only faults of the token itself pass
// through as exceptions, because their remedy (a new session) is the worker's business.

import { AlgorithmError } from '../algorithms/errors.ts'
import type {
  GenerateArpcRequest,
  HsmResult,
  ImportedKey,
  ImportWorkingKeyRequest,
  MacRequest,
  MakeWorkingKeyRequest,
  TranslatePinRequest,
  VerifyArqcRequest,
  VerifyCvvRequest,
  VerifyMacRequest,
  VerifyPinRequest,
  WorkingKey,
} from '../port.ts'
import { verifyCvv } from './card-value.ts'
import { generateArpc, verifyArqc } from './cryptogram.ts'
import { Refused } from './key-source.ts'
import type { KeySource, VaultSecrets } from './key-source.ts'
import { generateMac, verifyMac } from './mac.ts'
import { translatePin, verifyPin } from './pin.ts'
import { importWorkingKey, makeWorkingKey } from './working-key.ts'

/** Request of each verb. */
export interface VerbRequests {
  translatePin: TranslatePinRequest
  verifyPin: VerifyPinRequest
  generateMac: MacRequest
  verifyMac: VerifyMacRequest
  verifyArqc: VerifyArqcRequest
  generateArpc: GenerateArpcRequest
  verifyCvv: VerifyCvvRequest
  makeWorkingKey: MakeWorkingKeyRequest
  importWorkingKey: ImportWorkingKeyRequest
  vaultKeys: null
}

/** Value that each verb gives when its outcome is ok. */
export interface VerbValues {
  translatePin: Uint8Array
  verifyPin: null
  generateMac: Uint8Array
  verifyMac: null
  verifyArqc: Uint8Array
  generateArpc: Uint8Array
  verifyCvv: null
  makeWorkingKey: WorkingKey
  importWorkingKey: ImportedKey
  vaultKeys: VaultSecrets
}

export type VerbName = keyof VerbRequests
export type VerbValue = VerbValues[VerbName]

/** A call as it travels: the verb, its request, and the key blocks in the order of keyNames. */
export type VerbCall = {
  [V in VerbName]: { verb: V; request: VerbRequests[V]; blocks: readonly (string | null)[] }
}[VerbName]

/** Names of the keys that a call uses, in the order in which `blocks` holds their key blocks. */
export function keyNames(call: Pick<VerbCall, 'verb' | 'request'>): string[] {
  const { verb, request } = call as VerbCall
  switch (verb) {
    case 'translatePin':
      return [request.fromKey, request.toKey]
    case 'verifyPin':
      return [request.pinKey, request.method.key]
    case 'generateMac':
    case 'verifyMac':
    case 'verifyCvv':
      return [request.key]
    case 'verifyArqc':
    case 'generateArpc':
      return [request.imk]
    case 'makeWorkingKey':
    case 'importWorkingKey':
      return [request.kek]
    case 'vaultKeys':
      return []
  }
}

/** Carries out one call. Throws only what is neither a Refused nor an AlgorithmError. */
export function perform(source: KeySource, call: VerbCall): HsmResult<VerbValue> {
  try {
    return { outcome: 'ok', value: dispatch(source, call) }
  } catch (error) {
    if (error instanceof Refused) return { outcome: error.outcome }
    if (error instanceof AlgorithmError) return { outcome: 'bad_input' }
    throw error
  }
}

function dispatch(source: KeySource, call: VerbCall): VerbValue {
  const names = keyNames(call)
  const refs = names.map((name, at) => ({ name, block: call.blocks[at] ?? null }))
  const none = { name: '', block: null }
  const first = refs[0] ?? none
  switch (call.verb) {
    case 'translatePin':
      return translatePin(source, call.request, first, refs[1] ?? none)
    case 'verifyPin':
      return verifyPin(source, call.request, first, refs[1] ?? none)
    case 'generateMac':
      return generateMac(source, call.request, first)
    case 'verifyMac':
      return verifyMac(source, call.request, first)
    case 'verifyArqc':
      return verifyArqc(source, call.request, first)
    case 'generateArpc':
      return generateArpc(source, call.request, first)
    case 'verifyCvv':
      return verifyCvv(source, call.request, first)
    case 'makeWorkingKey':
      return makeWorkingKey(source, call.request, first)
    case 'importWorkingKey':
      return importWorkingKey(source, call.request, first)
    case 'vaultKeys':
      return source.vaultSecrets()
  }
}
