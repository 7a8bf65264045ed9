// What travels between the main thread and an HSM worker: one shape per verb, plain data, small
// buffers. Used by pkcs11-hsm.ts (sends) and worker.ts (answers). Every byte array is copied to its
// own memory first: a message that holds a view would otherwise copy the whole socket buffer.

import type { HsmResult } from '../port.ts'
import type { VerbCall, VerbName, VerbRequests, VerbValue } from '../verbs/perform.ts'
import type { Capability } from './capabilities.ts'
import type { TokenAddress } from './session.ts'
import type { TokenKeysOptions } from './token-keys.ts'

/** What every worker of a pool is started with. */
export interface WorkerSetup {
  readonly address: TokenAddress
  readonly keys: Omit<
    TokenKeysOptions,
    'deriveInToken' | 'deriveBlockKeysInToken' | 'translateInToken'
  >
  /** Shared by all workers; its places are the SHARED_ constants. */
  readonly shared: Int32Array
}

/** Place in `shared` that is 1 once the token has refused the PIN. */
export const SHARED_PIN_REFUSED = 0

/** Place in `shared` that is 1 while one worker initialises the module and logs in. */
export const SHARED_OPENING = 1

/** Place in `shared` that counts initialisations of the module; older handles are stale. */
export const SHARED_GENERATION = 2

export const SHARED_PLACES = 3

/** Holds back workers until all of them have a task of the same kind: see worker.ts. */
export interface Barrier {
  readonly arrived: Int32Array
  readonly workers: number
}

/**
 * - `open`: open the token, try its capabilities; answered by OpenReply
 * - `calls`: carry out calls in order; answered by CallsReply
 * - `close`: close the session; answered by null
 */
export type WorkerTask =
  | { readonly kind: 'open'; readonly barrier: Barrier }
  | { readonly kind: 'calls'; readonly calls: readonly VerbCall[] }
  | { readonly kind: 'close'; readonly barrier: Barrier }

export interface OpenReply {
  readonly opened: boolean
  readonly fault: string // name of the return value, or empty
  readonly capabilities: readonly Capability[]
}

export type CallsReply = ReadonlyArray<HsmResult<VerbValue>>

/** A request as it is sent: the fields of the port and nothing else, bytes copied. */
export function wireRequest(
  verb: VerbName,
  request: VerbRequests[VerbName],
): VerbRequests[VerbName] {
  const call = { verb, request, blocks: [] } as VerbCall // the two belong together at every caller
  switch (call.verb) {
    case 'translatePin': {
      const { fromKey, toKey, block, fromFormat, toFormat, pan } = call.request
      return { fromKey, toKey, block: copy(block), fromFormat, toFormat, pan }
    }
    case 'verifyPin': {
      const { pinKey, block, format, pan, method } = call.request
      return { pinKey, block: copy(block), format, pan, method: { ...method } }
    }
    case 'generateMac': {
      const { key, algorithm, data } = call.request
      return { key, algorithm, data: copy(data) }
    }
    case 'verifyMac': {
      const { key, algorithm, data, mac } = call.request
      return { key, algorithm, data: copy(data), mac: copy(mac) }
    }
    case 'verifyArqc': {
      const { imk, scheme, pan, panSequence, data, atc, arqc, responseCode } = call.request
      const bytes = { data: copy(data), atc: copy(atc), arqc: copy(arqc) }
      return { imk, scheme, pan, panSequence, responseCode, ...bytes }
    }
    case 'generateArpc': {
      const { imk, scheme, pan, panSequence, atc, arqc, responseCode } = call.request
      return { imk, scheme, pan, panSequence, responseCode, atc: copy(atc), arqc: copy(arqc) }
    }
    case 'verifyCvv': {
      const { key, pan, expiry, serviceCode, cvv } = call.request
      return { key, pan, expiry, serviceCode, cvv }
    }
    case 'makeWorkingKey': {
      const { name, kek, usage, bytes } = call.request
      return { name, kek, usage, bytes }
    }
    case 'importWorkingKey': {
      const { name, kek, usage, wrapped, kcv } = call.request
      return { name, kek, usage, wrapped: copy(wrapped), kcv: kcv === null ? null : copy(kcv) }
    }
    case 'vaultKeys':
      return null
  }
}

function copy(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes)
}
