// The key source of the payment verbs over one token session. Owned by one worker thread; dropped
// with its session. Master keys are token objects found by label once; working keys come as X9.143
// key blocks and are kept as session objects, the least recently used destroyed first.
//
// Clear bytes of a working key exist here between the decipherment of its block and C_CreateObject
// (no PKCS#11 token unwraps X9.143) and are wiped. Card and session keys, and the keys that protect
// key blocks, are derived inside the token where it can; see docs/adr/0005-token.md.

import { concat, wipe } from '../algorithms/bytes.ts'
import type { BlockCipher } from '../algorithms/cipher.ts'
import { AlgorithmError } from '../algorithms/errors.ts'
import {
  demandKeySuitsHeader,
  deriveKeyBlockKey,
  unwrapKeyBlock,
  wrapKeyBlock,
} from '../algorithms/key-block.ts'
import type { KeyBlockHeader, KeyBlockKeys } from '../algorithms/key-block.ts'
import type { KeyUsage } from '../port.ts'
import { DEFAULT_IBM3624_PROFILE, Refused, refuseUnless } from '../verbs/key-source.ts'
import type {
  DerivedKey,
  Ibm3624Profile,
  KeyAct,
  KeyRef,
  KeySource,
  PaymentKey,
  VaultSecrets,
} from '../verbs/key-source.ts'
import { demandUsage, workingKeyHeader } from '../verbs/key-usage.ts'
import { translateInToken } from './capabilities.ts'
import { SESSION_KEYS_MAX } from './limits.ts'
import type { KeyHandle, KeyPower, TokenSession } from './session.ts'
import { TokenCipher } from './token-cipher.ts'
import { hasUsage, keyTypeOf, singleLabel } from './token-objects.ts'
import type { TokenUsage } from './token-objects.ts'
import { vaultSecretsOf } from './vault-secrets.ts'

/** What a worker must know besides the token; plain data, it travels to the thread. */
export interface TokenKeysOptions {
  readonly kbpk: string // label of the AES-256 key block protection key
  readonly vault: string // label of the AES-256 key that wraps the vault's secrets
  readonly clearPinAllowed: boolean
  readonly ibm3624: Readonly<Record<string, Ibm3624Profile>>
  readonly deriveInToken: boolean
  readonly deriveBlockKeysInToken: boolean
  readonly translateInToken: boolean
  readonly sessionKeysMax?: number
}

const KBPK_BYTES = 32 // AES-256; at least as strong as any key under it

/** A key object of the token opened for a verb. */
class TokenKey implements PaymentKey {
  readonly algorithm: 'tdes' | 'aes'
  readonly session: TokenSession
  readonly handle: KeyHandle
  readonly pair: BlockCipher
  readonly #single: KeyHandle | null
  readonly #deriveInToken: boolean

  constructor(
    session: TokenSession,
    algorithm: 'tdes' | 'aes',
    handle: KeyHandle,
    single: KeyHandle | null,
    deriveInToken: boolean,
  ) {
    this.session = session
    this.algorithm = algorithm
    this.handle = handle
    this.pair = new TokenCipher(session, handle, algorithm)
    this.#single = single
    this.#deriveInToken = deriveInToken
  }

  get single(): BlockCipher {
    refuseUnless(this.#single !== null, 'key_usage')
    return new TokenCipher(this.session, this.#single, 'tdes')
  }

  derive(data: Uint8Array): DerivedKey {
    if (this.#deriveInToken) return new InTokenDerived(this.session, this.handle, data)
    const clear = this.pair.encryptEcb(data)
    try {
      return loadedKey(this.session, clear)
    } finally {
      wipe(clear)
    }
  }
}

/** A 3DES key derived inside the token; its forms are made when first asked for. */
class InTokenDerived implements DerivedKey {
  readonly algorithm = 'tdes'
  readonly #session: TokenSession
  readonly #base: KeyHandle
  readonly #data: Uint8Array
  #pair: KeyHandle | null = null
  #single: KeyHandle | null = null

  constructor(session: TokenSession, base: KeyHandle, data: Uint8Array) {
    this.#session = session
    this.#base = base
    this.#data = data
  }

  get pair(): BlockCipher {
    return new TokenCipher(this.#session, this.#pairHandle(), 'tdes')
  }

  get single(): BlockCipher {
    const left = this.#data.subarray(0, 8)
    this.#single ??= this.#session.deriveEcb(this.#base, false, concat(left, left, left), {
      type: 'des3',
      powers: ['encrypt'],
    })
    return new TokenCipher(this.#session, this.#single, 'tdes')
  }

  derive(data: Uint8Array): DerivedKey {
    return new InTokenDerived(this.#session, this.#pairHandle(), data)
  }

  close(): void {
    if (this.#pair !== null) this.#session.destroy(this.#pair)
    if (this.#single !== null) this.#session.destroy(this.#single)
  }

  #pairHandle(): KeyHandle {
    this.#pair ??= this.#session.deriveEcb(this.#base, false, this.#data, {
      type: 'des2',
      powers: ['encrypt', 'derive'],
    })
    return this.#pair
  }
}

/** A key that was loaded from clear bytes for one verb; both forms are session objects. */
class LoadedKey extends TokenKey implements DerivedKey {
  readonly #both: readonly [KeyHandle, KeyHandle]

  constructor(session: TokenSession, pair: KeyHandle, single: KeyHandle) {
    super(session, 'tdes', pair, single, false)
    this.#both = [pair, single]
  }

  close(): void {
    for (const handle of this.#both) this.session.destroy(handle)
  }
}

function loadedKey(session: TokenSession, clear: Uint8Array): LoadedKey {
  const powers: KeyPower[] = ['encrypt', 'derive']
  const pair = session.create({ type: 'des2', powers }, clear)
  return new LoadedKey(session, pair, createSingle(session, clear))
}

/** The K1|K1|K1 object of a double-length key. */
function createSingle(session: TokenSession, clear: Uint8Array): KeyHandle {
  const left = clear.subarray(0, 8)
  const thrice = concat(left, left, left)
  try {
    return session.create({ type: 'des3', powers: ['encrypt'] }, thrice)
  } finally {
    wipe(thrice)
  }
}

/** Runs the CMAC derivation of key block keys to learn its input blocks, not its result. */
class DerivationRecorder implements BlockCipher {
  readonly blockBytes = 16
  readonly inputs: Uint8Array[] = []
  readonly #cipher: BlockCipher

  constructor(cipher: BlockCipher) {
    this.#cipher = cipher
  }

  encryptEcb(input: Uint8Array): Uint8Array {
    return this.#cipher.encryptEcb(input) // the zero block that CMAC subkeys come from
  }

  decryptEcb(): Uint8Array {
    throw new AlgorithmError('unsupported', 'decipherment while a key is derived')
  }

  encryptCbc(_iv: Uint8Array, input: Uint8Array): Uint8Array {
    this.inputs.push(Uint8Array.from(input)) // one block under a zero IV: plain ECB
    return new Uint8Array(input.length)
  }
}

interface WorkingKeyEntry {
  readonly header: KeyBlockHeader
  readonly key: TokenKey
  readonly handles: readonly KeyHandle[]
}

interface MasterKeyEntry {
  readonly key: TokenKey
  readonly usage: TokenUsage
}

export class TokenKeys implements KeySource {
  readonly clearPinAllowed: boolean
  readonly #session: TokenSession
  readonly #options: TokenKeysOptions
  readonly #sessionKeysMax: number
  readonly #master = new Map<string, MasterKeyEntry>()
  readonly #working = new Map<string, WorkingKeyEntry>() // oldest use first
  #blockKeys: KeyBlockKeys | null = null

  constructor(session: TokenSession, options: TokenKeysOptions) {
    this.#session = session
    this.#options = options
    this.#sessionKeysMax = options.sessionKeysMax ?? SESSION_KEYS_MAX
    this.clearPinAllowed = options.clearPinAllowed
  }

  /** Session objects of working keys held now. */
  get workingKeys(): number {
    return this.#working.size
  }

  open(ref: KeyRef, usage: KeyUsage, act: KeyAct): PaymentKey {
    if (ref.block === null) return this.#masterKey(ref.name, usage)
    const entry = this.#workingKey(ref.block)
    demandUsage(entry.header, ref.name, usage, act)
    return entry.key
  }

  load(clear: Uint8Array): DerivedKey {
    return loadedKey(this.#session, clear)
  }

  seal(name: string, usage: KeyUsage, clear: Uint8Array): string {
    return wrapKeyBlock(this.#protection(), workingKeyHeader(name, usage), clear)
  }

  random(bytes: number): Uint8Array {
    return this.#session.random(bytes)
  }

  translateInside(from: KeyRef, to: KeyRef, block: Uint8Array): Uint8Array | null {
    if (!this.#options.translateInToken || block.length !== 8) return null
    const fromKey = this.open(from, 'pin', 'decrypt')
    const toKey = this.open(to, 'pin', 'encrypt')
    refuseUnless(fromKey.algorithm === 'tdes' && toKey.algorithm === 'tdes', 'key_usage')
    if (!(fromKey instanceof TokenKey && toKey instanceof TokenKey)) return null
    return translateInToken(this.#session, fromKey.handle, toKey.handle, block)
  }

  ibm3624Profile(name: string): Ibm3624Profile {
    return this.#options.ibm3624[name] ?? DEFAULT_IBM3624_PROFILE
  }

  vaultSecrets(): VaultSecrets {
    const { key } = this.#masterEntry(this.#options.vault, 'vault')
    return vaultSecretsOf(this.#session, key.handle, this.#options.vault)
  }

  #masterKey(name: string, usage: TokenUsage): TokenKey {
    return this.#masterEntry(name, usage).key
  }

  #masterEntry(name: string, usage: TokenUsage): MasterKeyEntry {
    let entry = this.#master.get(name)
    if (entry === undefined) {
      entry = this.#findMaster(name, usage)
      this.#master.set(name, entry)
    }
    refuseUnless(entry.usage === usage, 'key_usage')
    return entry
  }

  #findMaster(name: string, usage: TokenUsage): MasterKeyEntry {
    const session = this.#session
    const handle = onlyOne(session.findKeys(name))
    refuseUnless(handle !== null, 'key_missing')
    refuseUnless(hasUsage(session, handle, usage), 'key_usage')
    const type = keyTypeOf(session, handle)
    refuseUnless(type !== 'secret', 'key_usage')
    const single = type === 'aes' ? null : onlyOne(session.findKeys(singleLabel(name)))
    const algorithm = type === 'aes' ? 'aes' : 'tdes'
    const key = new TokenKey(session, algorithm, handle, single, this.#options.deriveInToken)
    return { key, usage }
  }

  #workingKey(block: string): WorkingKeyEntry {
    const known = this.#working.get(block)
    if (known !== undefined) {
      this.#working.delete(block)
      this.#working.set(block, known)
      return known
    }
    const entry = this.#openBlock(block)
    this.#working.set(block, entry)
    if (this.#working.size > this.#sessionKeysMax) this.#forgetOldest()
    return entry
  }

  #forgetOldest(): void {
    for (const [block, entry] of this.#working) {
      this.#working.delete(block)
      for (const handle of entry.handles) this.#session.destroy(handle)
      return
    }
  }

  /** Unwraps a block (authenticator first) and makes session objects that do what it may do. */
  #openBlock(block: string): WorkingKeyEntry {
    const unwrapped = unwrappedBlock(this.#protection(), block)
    const { header, key: clear } = unwrapped
    try {
      const session = this.#session
      const powers = powersOf(header, this.#options.translateInToken)
      if (header.algorithm === 'A') {
        const handle = session.create({ type: 'aes', bytes: clear.length, powers }, clear)
        const key = new TokenKey(session, 'aes', handle, null, false)
        return { header, key, handles: [handle] }
      }
      refuseUnless(header.algorithm === 'T' && clear.length >= 16, 'key_usage')
      const type = clear.length === 24 ? 'des3' : 'des2'
      const handle = session.create({ type, powers }, clear)
      const single = needsSingle(header) ? createSingle(session, clear) : null
      const key = new TokenKey(session, 'tdes', handle, single, false)
      return { header, key, handles: single === null ? [handle] : [handle, single] }
    } finally {
      wipe(clear)
    }
  }

  /** Ciphers that protect version D blocks, derived from the KBPK once per session. */
  #protection(): KeyBlockKeys {
    this.#blockKeys ??= this.#deriveBlockKeys()
    return this.#blockKeys
  }

  #deriveBlockKeys(): KeyBlockKeys {
    const kbpk = this.#masterKey(this.#options.kbpk, 'kbpk')
    refuseUnless(kbpk.algorithm === 'aes', 'key_usage')
    return {
      encryption: this.#blockKey(kbpk, 0),
      authentication: this.#blockKey(kbpk, 1),
    }
  }

  /**
   * CMAC of one short block is ECB of that block with a subkey added, so the derivation of X9.143
   * is CKM_AES_ECB_ENCRYPT_DATA over blocks that the recorder learns: the key stays in the token.
   */
  #blockKey(kbpk: TokenKey, purpose: 0 | 1): BlockCipher {
    const session = this.#session
    const powers: KeyPower[] = ['encrypt', 'decrypt']
    const shape = { type: 'aes', bytes: KBPK_BYTES, powers } as const
    if (this.#options.deriveBlockKeysInToken) {
      const recorder = new DerivationRecorder(kbpk.pair)
      deriveKeyBlockKey(recorder, KBPK_BYTES, purpose)
      const data = concat(...recorder.inputs)
      return new TokenCipher(session, session.deriveEcb(kbpk.handle, true, data, shape), 'aes')
    }
    const clear = deriveKeyBlockKey(kbpk.pair, KBPK_BYTES, purpose)
    try {
      return new TokenCipher(session, session.create(shape, clear), 'aes')
    } finally {
      wipe(clear)
    }
  }
}

/** A block that does not verify is as good as no key; which check failed is not told. */
function unwrappedBlock(keys: KeyBlockKeys, block: string): ReturnType<typeof unwrapKeyBlock> {
  try {
    refuseUnless(block.startsWith('D'), 'key_missing')
    const unwrapped = unwrapKeyBlock(keys, block)
    demandKeySuitsHeader(unwrapped, 'aes', KBPK_BYTES)
    return unwrapped
  } catch (error) {
    if (error instanceof AlgorithmError) throw new Refused('key_missing')
    throw error
  }
}

function onlyOne(found: readonly KeyHandle[]): KeyHandle | null {
  refuseUnless(found.length <= 1, 'key_usage') // two keys of one name: which one was meant?
  return found[0] ?? null
}

/** Attributes of the session object: no more than the header's mode of use. */
function powersOf(header: KeyBlockHeader, wrapsPins: boolean): KeyPower[] {
  const isPin = header.usage === 'P0'
  const powers: KeyPower[] = []
  if ('BENCGV'.includes(header.mode)) powers.push('encrypt') // a MAC is made by enciphering
  if ('BDN'.includes(header.mode)) powers.push('decrypt')
  if (header.mode === 'X') powers.push('derive')
  if (isPin && wrapsPins && powers.includes('encrypt')) powers.push('wrap')
  if (isPin && wrapsPins && powers.includes('decrypt')) powers.push('unwrap')
  return powers
}

/** MAC and CVV keys need the single-DES form too. */
function needsSingle(header: KeyBlockHeader): boolean {
  return header.usage.startsWith('M') || header.usage === 'C0'
}
