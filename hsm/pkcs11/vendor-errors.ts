// What a PKCS#11 return value means for us. Vendor codes stop here: the port knows outcomes only.
// Called by session.ts. Source: PKCS#11 v2.40 base specification, section 5.1.

import { Refused } from '../verbs/key-source.ts'

/**
 * - `session`: this session (or the whole token) is of no more use; open a new one, try once more
 * - `pin`: the token refused the PIN; never try that PIN again, the token would lock
 * - `key_usage`: the key's attributes do not allow what was asked
 * - `other`: the call failed; the session is thrown away because its state is unknown
 */
export type TokenFaultKind = 'session' | 'pin' | 'key_usage' | 'other'

/** A failed call of the token, by kind and return value; holds no data. */
export class TokenFault extends Error {
  readonly kind: TokenFaultKind
  readonly code: string

  constructor(kind: TokenFaultKind, code: string) {
    super(`token: ${code}`)
    this.name = 'TokenFault'
    this.kind = kind
    this.code = code
  }
}

const SESSION_CODES: ReadonlySet<number> = new Set([
  0x002, // CKR_HOST_MEMORY
  0x005, // CKR_GENERAL_ERROR
  0x006, // CKR_FUNCTION_FAILED
  0x030, // CKR_DEVICE_ERROR
  0x031, // CKR_DEVICE_MEMORY
  0x032, // CKR_DEVICE_REMOVED
  0x060, // CKR_KEY_HANDLE_INVALID: the object went with its session, or was replaced
  0x082, // CKR_OBJECT_HANDLE_INVALID
  0x090, // CKR_OPERATION_ACTIVE
  0x091, // CKR_OPERATION_NOT_INITIALIZED
  0x0b0, // CKR_SESSION_CLOSED
  0x0b3, // CKR_SESSION_HANDLE_INVALID
  0x0e0, // CKR_TOKEN_NOT_PRESENT
  0x0e1, // CKR_TOKEN_NOT_RECOGNIZED
  0x101, // CKR_USER_NOT_LOGGED_IN
  0x190, // CKR_CRYPTOKI_NOT_INITIALIZED
])

const PIN_CODES: ReadonlySet<number> = new Set([
  0x0a0, // CKR_PIN_INCORRECT
  0x0a1, // CKR_PIN_INVALID
  0x0a2, // CKR_PIN_LEN_RANGE
  0x0a3, // CKR_PIN_EXPIRED
  0x0a4, // CKR_PIN_LOCKED
])

const KEY_USAGE_CODES: ReadonlySet<number> = new Set([
  0x062, // CKR_KEY_SIZE_RANGE
  0x063, // CKR_KEY_TYPE_INCONSISTENT
  0x068, // CKR_KEY_FUNCTION_NOT_PERMITTED
  0x069, // CKR_KEY_NOT_WRAPPABLE
  0x06a, // CKR_KEY_UNEXTRACTABLE
])

export const CKR_USER_ALREADY_LOGGED_IN = 0x100
export const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191

/** The numeric return value of an error thrown by pkcs11js, or null for any other error. */
export function returnValueOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  return typeof error.code === 'number' ? error.code : null
}

/** An error of pkcs11js as a TokenFault; our own refusals and faults are returned as they are. */
export function tokenFault(error: unknown): TokenFault | Refused {
  if (error instanceof TokenFault || error instanceof Refused) return error
  const value = returnValueOf(error)
  if (value === null) return new TokenFault('other', 'not_a_token_error')
  // The message of pkcs11js is the name of the return value and nothing else.
  const name = /^CKR_[A-Z0-9_]+/.exec((error as Error).message)?.[0] ?? `0x${value.toString(16)}`
  if (SESSION_CODES.has(value)) return new TokenFault('session', name)
  if (PIN_CODES.has(value)) return new TokenFault('pin', name)
  if (KEY_USAGE_CODES.has(value)) return new TokenFault('key_usage', name)
  return new TokenFault('other', name)
}
