// One logged-in session of one token: the only file that calls pkcs11js. Synchronous; owned by one
// thread. Used by token.ts (in process), token-keys.ts (payment verbs in a worker),
// capabilities.ts, and hsm/demonstration.ts through provisioning.ts.
//
// It never logs out and never finalises the module: login state and module belong to the whole
// process, so another thread may be at work. Every template says all usage attributes, because
// SoftHSM takes an absent CKA_DECRYPT, CKA_SIGN ... as true.
// After any failed operation the session counts as broken: SoftHSM leaves the operation active.

import pkcs11js from 'pkcs11js'

import { AlgorithmError } from '../algorithms/errors.ts'
import { whileOpening } from './file-lock.ts'
import { DerivationData } from './pointer.ts'
import {
  CKR_CRYPTOKI_ALREADY_INITIALIZED,
  CKR_USER_ALREADY_LOGGED_IN,
  returnValueOf,
  TokenFault,
  tokenFault,
} from './vendor-errors.ts'

/** A key object of the token, valid while its session lives. */
export type KeyHandle = Buffer

/** Where a token is and how to log in to it. */
export interface TokenAddress {
  readonly module: string // path of the PKCS#11 module
  readonly tokenLabel: string
  readonly pin: string
  /** Parameters that NSS softokn wants at initialisation; absent for every other module. */
  readonly libraryParameters?: string
}

/** What a key object may do; everything that is not named is false. */
export type KeyPower = 'encrypt' | 'decrypt' | 'sign' | 'wrap' | 'unwrap' | 'derive'

export type KeyType = 'des2' | 'des3' | 'aes' | 'secret'

/** Attributes of a key object that is made, unwrapped or derived. */
export interface KeyShape {
  readonly type: KeyType
  readonly powers: readonly KeyPower[]
  readonly bytes?: number // for AES and generic secrets
  readonly token?: boolean // kept in the token; session object when absent
  readonly label?: string
  readonly id?: string
  readonly extractable?: boolean // may leave wrapped
  readonly readable?: boolean // not sensitive: its value may be read (vault secrets only)
}

/** Direction of one cipher call. */
type Direction = 'encrypt' | 'decrypt'

const P = pkcs11js
const KEY_TYPES: Readonly<Record<KeyType, number>> = {
  des2: P.CKK_DES2,
  des3: P.CKK_DES3,
  aes: P.CKK_AES,
  secret: P.CKK_GENERIC_SECRET,
}
const POWERS: ReadonlyArray<readonly [KeyPower, number]> = [
  ['encrypt', P.CKA_ENCRYPT],
  ['decrypt', P.CKA_DECRYPT],
  ['sign', P.CKA_SIGN],
  ['wrap', P.CKA_WRAP],
  ['unwrap', P.CKA_UNWRAP],
  ['derive', P.CKA_DERIVE],
]
const GENERATION: Readonly<Record<KeyType, number>> = {
  des2: P.CKM_DES2_KEY_GEN,
  des3: P.CKM_DES3_KEY_GEN,
  aes: P.CKM_AES_KEY_GEN,
  secret: P.CKM_GENERIC_SECRET_KEY_GEN,
}

const DERIVATION_BYTES_MAX = 64
const OBJECTS_MAX = 1_024 // objects of one search; a token here holds master keys only
const WRAPPED_BYTES_MAX = 512 // an RSA-4096 result, the longest that is wrapped here
const USER = P.CKU_USER
const LABEL_PADDING = /[\0 ]+$/

const modules = new Map<string, pkcs11js.PKCS11>()

interface Loaded {
  readonly module: pkcs11js.PKCS11
  readonly initializedNow: boolean
}

/** Loads a module once per thread and initialises it where no other thread has. */
export function loadedModule(path: string, libraryParameters?: string): pkcs11js.PKCS11 {
  return initialized(path, libraryParameters).module
}

function initialized(path: string, libraryParameters?: string): Loaded {
  let module = modules.get(path)
  if (module === undefined) {
    module = new P.PKCS11()
    try {
      module.load(path)
    } catch {
      throw new TokenFault('other', 'module_not_loadable')
    }
    modules.set(path, module)
  }
  try {
    // Without OS locking SoftHSM would switch its own mutexes off; two workers would then race.
    const flags = P.CKF_OS_LOCKING_OK
    module.C_Initialize(libraryParameters === undefined ? { flags } : { flags, libraryParameters })
    return { module, initializedNow: true }
  } catch (error) {
    if (returnValueOf(error) !== CKR_CRYPTOKI_ALREADY_INITIALIZED) throw tokenFault(error)
    return { module, initializedNow: false }
  }
}

/** The slot whose token has this label. Throws TokenFault `session` when there is none. */
export function slotOf(module: pkcs11js.PKCS11, label: string): Buffer {
  const found = module
    .C_GetSlotList(true)
    .filter((slot) => module.C_GetTokenInfo(slot).label.replace(LABEL_PADDING, '') === label)
  if (found.length > 1) throw new TokenFault('other', 'two_tokens_of_one_label')
  if (found.length === 0) throw new TokenFault('session', 'token_not_present')
  return found[0]!
}

export class TokenSession {
  readonly module: pkcs11js.PKCS11
  readonly handle: Buffer
  /** Set after a failure that leaves the session in an unknown state; its owner drops it. */
  broken = false
  /** Whether opening it initialised the module: every older handle of the process is then stale. */
  readonly initializedModule: boolean
  readonly #derivation: DerivationData

  private constructor({ module, initializedNow }: Loaded, handle: Buffer) {
    this.module = module
    this.initializedModule = initializedNow
    this.handle = handle
    this.#derivation = new DerivationData(DERIVATION_BYTES_MAX)
  }

  /** Opens a session and logs in. Throws TokenFault: `pin` when the token refuses the PIN. */
  static open(address: TokenAddress): TokenSession {
    return whileOpening(() => TokenSession.#openAlone(address))
  }

  static #openAlone(address: TokenAddress): TokenSession {
    try {
      const loaded = initialized(address.module, address.libraryParameters)
      const { module } = loaded
      const slot = slotOf(module, address.tokenLabel)
      const handle = module.C_OpenSession(slot, P.CKF_SERIAL_SESSION | P.CKF_RW_SESSION)
      const session = new TokenSession(loaded, handle)
      try {
        module.C_Login(handle, USER, address.pin)
      } catch (error) {
        if (returnValueOf(error) !== CKR_USER_ALREADY_LOGGED_IN) {
          session.close()
          throw error
        }
      }
      return session
    } catch (error) {
      throw tokenFault(error)
    }
  }

  /** Closes the session; its session objects go with it. Never throws. */
  close(): void {
    this.broken = true
    try {
      this.module.C_CloseSession(this.handle)
    } catch {
      // The token or the module is gone already, and the session with it.
    }
  }

  /** ECB over whole blocks. `wide` = AES. */
  ecb(direction: Direction, key: KeyHandle, wide: boolean, input: Uint8Array): Uint8Array {
    return this.#cipher(direction, { mechanism: wide ? P.CKM_AES_ECB : P.CKM_DES3_ECB }, key, input)
  }

  /** CBC encipherment over whole blocks. */
  cbc(key: KeyHandle, wide: boolean, iv: Uint8Array, input: Uint8Array): Uint8Array {
    const mechanism = wide ? P.CKM_AES_CBC : P.CKM_DES3_CBC
    return this.#cipher('encrypt', { mechanism, parameter: viewOf(iv) }, key, input)
  }

  #cipher(
    direction: Direction,
    mechanism: pkcs11js.Mechanism,
    key: KeyHandle,
    input: Uint8Array,
  ): Uint8Array {
    const out = new Uint8Array(input.length)
    if (input.length === 0) return out // pkcs11js refuses it and leaves the operation active
    const { module, handle } = this
    this.#guarded(() => {
      if (direction === 'encrypt') {
        module.C_EncryptInit(handle, mechanism, key)
        module.C_Encrypt(handle, viewOf(input), viewOf(out))
      } else {
        module.C_DecryptInit(handle, mechanism, key)
        module.C_Decrypt(handle, viewOf(input), viewOf(out))
      }
    })
    return out
  }

  random(bytes: number): Uint8Array {
    const out = new Uint8Array(bytes)
    this.#guarded(() => this.module.C_GenerateRandom(this.handle, viewOf(out)))
    return out
  }

  /** A key object from clear bytes. The caller wipes them. */
  create(shape: KeyShape, value: Uint8Array): KeyHandle {
    const attribute = { type: P.CKA_VALUE, value: viewOf(value) }
    return this.#guarded(() =>
      this.module.C_CreateObject(this.handle, [...templateOf(shape, false), attribute]),
    )
  }

  /** A random key made inside the token. */
  generate(shape: KeyShape): KeyHandle {
    const mechanism = { mechanism: GENERATION[shape.type] }
    return this.#guarded(() =>
      this.module.C_GenerateKey(this.handle, mechanism, templateOf(shape, true)),
    )
  }

  /** An RSA pair of session objects whose private key unwraps and is never shown. */
  generateRsaPair(bits: number, exponent: Buffer): { publicKey: KeyHandle; privateKey: KeyHandle } {
    const publicTemplate = [
      { type: P.CKA_TOKEN, value: false },
      { type: P.CKA_MODULUS_BITS, value: bits },
      { type: P.CKA_PUBLIC_EXPONENT, value: exponent },
      { type: P.CKA_WRAP, value: true },
    ]
    const privateTemplate = [
      { type: P.CKA_TOKEN, value: false },
      { type: P.CKA_PRIVATE, value: true },
      { type: P.CKA_SENSITIVE, value: true },
      { type: P.CKA_EXTRACTABLE, value: false },
      { type: P.CKA_UNWRAP, value: true },
      { type: P.CKA_DECRYPT, value: false },
      { type: P.CKA_SIGN, value: false },
    ]
    const mechanism = { mechanism: P.CKM_RSA_PKCS_KEY_PAIR_GEN }
    const { module, handle } = this
    return this.#guarded(() =>
      module.C_GenerateKeyPair(handle, mechanism, publicTemplate, privateTemplate),
    )
  }

  /** A public RSA key of another token as a session object that may wrap. */
  createRsaWrappingKey(modulus: Buffer, exponent: Buffer): KeyHandle {
    return this.#guarded(() =>
      this.module.C_CreateObject(this.handle, [
        { type: P.CKA_CLASS, value: P.CKO_PUBLIC_KEY },
        { type: P.CKA_KEY_TYPE, value: P.CKK_RSA },
        { type: P.CKA_TOKEN, value: false },
        { type: P.CKA_WRAP, value: true },
        { type: P.CKA_ENCRYPT, value: false },
        { type: P.CKA_VERIFY, value: false },
        { type: P.CKA_MODULUS, value: modulus },
        { type: P.CKA_PUBLIC_EXPONENT, value: exponent },
      ]),
    )
  }

  /** A key made by enciphering `data` in ECB under `base`, inside the token. */
  deriveEcb(base: KeyHandle, wide: boolean, data: Uint8Array, shape: KeyShape): KeyHandle {
    const mechanism = wide ? P.CKM_AES_ECB_ENCRYPT_DATA : P.CKM_DES3_ECB_ENCRYPT_DATA
    return this.#guarded(() => {
      const parameter = this.#derivation.parameter(data)
      const { module, handle } = this
      return module.C_DeriveKey(handle, { mechanism, parameter }, base, templateOf(shape, true))
    })
  }

  /** A key enciphered under another, made inside the token. */
  wrap(mechanism: number | pkcs11js.Mechanism, wrapping: KeyHandle, key: KeyHandle): Uint8Array {
    const out = Buffer.alloc(WRAPPED_BYTES_MAX)
    const how = typeof mechanism === 'number' ? { mechanism } : mechanism
    const { module, handle } = this
    return Uint8Array.from(this.#guarded(() => module.C_WrapKey(handle, how, wrapping, key, out)))
  }

  /** A key object from a wrapped key, made inside the token. */
  unwrap(
    mechanism: number | pkcs11js.Mechanism,
    unwrapping: KeyHandle,
    wrapped: Uint8Array,
    shape: KeyShape,
  ): KeyHandle {
    const how = typeof mechanism === 'number' ? { mechanism } : mechanism
    const { module, handle } = this
    const template = templateOf(shape, false)
    return this.#guarded(() =>
      module.C_UnwrapKey(handle, how, unwrapping, viewOf(wrapped), template),
    )
  }

  /** Handles of the secret keys with this label. */
  findKeys(label: string): KeyHandle[] {
    return this.find([
      { type: P.CKA_CLASS, value: P.CKO_SECRET_KEY },
      { type: P.CKA_LABEL, value: label },
    ])
  }

  /** Handles of the objects that match a template, at most OBJECTS_MAX. */
  find(template: pkcs11js.Template): KeyHandle[] {
    const { module, handle } = this
    return this.#guarded(() => {
      module.C_FindObjectsInit(handle, template)
      const found = module.C_FindObjects(handle, OBJECTS_MAX)
      module.C_FindObjectsFinal(handle)
      return found
    })
  }

  /** Values of attributes, in the order asked for. */
  attributes(object: KeyHandle, types: readonly number[]): Buffer[] {
    const asked = types.map((type) => ({ type }))
    const { module, handle } = this
    return this.#guarded(() => module.C_GetAttributeValue(handle, object, asked)).map((got) =>
      Buffer.isBuffer(got.value) ? got.value : Buffer.alloc(0),
    )
  }

  /** Makes a key non-extractable for ever (the attribute cannot be set back). */
  forbidExtraction(key: KeyHandle): void {
    const template = [{ type: P.CKA_EXTRACTABLE, value: false }]
    this.#guarded(() => this.module.C_SetAttributeValue(this.handle, key, template))
  }

  /** Destroys an object. Never throws: a session object goes with its session anyway. */
  destroy(object: KeyHandle): void {
    try {
      this.module.C_DestroyObject(this.handle, object)
    } catch {
      this.broken = true
    }
  }

  /** Runs a call of the module; turns its error into a TokenFault and marks the session broken. */
  #guarded<T>(call: () => T): T {
    try {
      return call()
    } catch (error) {
      // Refused attributes leave nothing active; after all else the state is unknown.
      const fault = error instanceof AlgorithmError ? error : tokenFault(error)
      if (!(fault instanceof TokenFault && fault.kind === 'key_usage')) this.broken = true
      throw fault
    }
  }
}

/** The same memory as a Buffer, which is what pkcs11js takes. */
function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Template of a secret key. Length is said only where the standard wants it. */
function templateOf(shape: KeyShape, withLength: boolean): pkcs11js.Template {
  const template: pkcs11js.Template = [
    { type: P.CKA_CLASS, value: P.CKO_SECRET_KEY },
    { type: P.CKA_KEY_TYPE, value: KEY_TYPES[shape.type] },
    { type: P.CKA_TOKEN, value: shape.token ?? false },
    { type: P.CKA_PRIVATE, value: true },
    { type: P.CKA_SENSITIVE, value: !(shape.readable ?? false) },
    { type: P.CKA_EXTRACTABLE, value: shape.extractable ?? false },
    { type: P.CKA_VERIFY, value: false },
  ]
  for (const [power, attribute] of POWERS) {
    template.push({ type: attribute, value: shape.powers.includes(power) })
  }
  if (shape.label !== undefined) template.push({ type: P.CKA_LABEL, value: shape.label })
  if (shape.id !== undefined) template.push({ type: P.CKA_ID, value: Buffer.from(shape.id) })
  const variable = shape.type === 'aes' || shape.type === 'secret'
  if (withLength && shape.bytes !== undefined && variable) {
    template.push({ type: P.CKA_VALUE_LEN, value: shape.bytes })
  }
  return template
}
