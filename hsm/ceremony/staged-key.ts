// A key on its way into the token: session objects only, until both officers are content; then
// copied into the token under a name that no verb finds, and named when the database has committed.
// Whatever is interrupted leaves session objects (gone with the session) or an unnamed object that
// settle.ts removes. Called by console/keys/ and tests.
//
// Components are imported as sensitive objects one by one and added to the sum inside the token
// (CKM_XOR_BASE_AND_DATA). A token without it needs the configuration's word: then the sum so far
// is shown to this process for the moment of one XOR and wiped (docs/security/tokens.md).

import pkcs11js from 'pkcs11js'

import { wipe, xor } from '../algorithms/bytes.ts'
import { cmacCheckValue, zeroCheckValue } from '../algorithms/kcv.ts'
import { withOddParity } from '../algorithms/key-combination.ts'
import type { KeyHandle, KeyPower, TokenSession } from '../pkcs11/session.ts'
import { TokenCipher } from '../pkcs11/token-cipher.ts'
import { singleLabel } from '../pkcs11/token-objects.ts'
import { OfficerRefusal } from '../officers/refusal.ts'
import { KINDS, powersFor } from './key-plan.ts'
import type { KeyKind, OfficerUsage } from './key-plan.ts'
import { copyKey, singleForm, xorInToken } from './token-calls.ts'
import { objectId, UNFINISHED_SUFFIX } from './settle.ts'

const P = pkcs11js
/** Powers of a staged object: to show its check value, and to be added to. */
const STAGED: readonly KeyPower[] = ['encrypt', 'derive']

/** Where components are added up. */
export type CombinePlace = 'token' | 'buffer'

/** Whether this token adds keys inside; tried with throw-away bytes. */
export function combinesInToken(session: TokenSession): boolean {
  const probe = session.random(16)
  const shape = { type: 'des2', powers: STAGED } as const
  const base = session.create(shape, probe)
  try {
    session.destroy(xorInToken(session, base, session.random(16), 'tdes2', ['encrypt']))
    return true
  } catch {
    return false
  } finally {
    session.destroy(base)
  }
}

/** Check value of a key object that may encipher, upper-case hex, as long as PCI allows. */
export function checkValueOf(session: TokenSession, key: KeyHandle, kind: KeyKind): string {
  const { wide, kcvBytes } = KINDS[kind]
  const cipher = new TokenCipher(session, key, wide ? 'aes' : 'tdes')
  const value = wide ? cmacCheckValue(cipher) : zeroCheckValue(cipher)
  return Buffer.from(value.subarray(0, kcvBytes)).toString('hex').toUpperCase()
}

/** Check value of a kept key without the power to encipher, by way of a session copy. */
export function checkValueOfKept(session: TokenSession, key: KeyHandle, kind: KeyKind): string {
  const copy = copyKey(session, key, { token: false, powers: ['encrypt'] })
  try {
    return checkValueOf(session, copy, kind)
  } finally {
    session.destroy(copy)
  }
}

export class StagedKey {
  readonly usage: OfficerUsage
  readonly kind: KeyKind
  readonly #session: TokenSession
  readonly #place: CombinePlace
  #key: KeyHandle | null = null
  #single: KeyHandle | null = null // K1|K1|K1 of a CVK
  #components = 0

  constructor(session: TokenSession, usage: OfficerUsage, kind: KeyKind, place: CombinePlace) {
    this.#session = session
    this.usage = usage
    this.kind = kind
    this.#place = place
  }

  /** Components added so far. */
  get components(): number {
    return this.#components
  }

  /**
   * Check value of one component alone, from a sensitive object that is destroyed at once. The
   * caller wipes `clear`.
   */
  componentCheckValue(clear: Uint8Array): string {
    const { type } = KINDS[this.kind]
    const object = this.#session.create({ type, powers: ['encrypt'] }, clear)
    try {
      return checkValueOf(this.#session, object, this.kind)
    } finally {
      this.#session.destroy(object)
    }
  }

  /** Adds a component to the sum. The caller wipes `clear`. */
  addComponent(clear: Uint8Array): void {
    this.#key = this.#added(this.#key, clear, this.kind)
    if (this.usage === 'cvk') {
      const thrice = singleForm(clear)
      try {
        this.#single = this.#added(this.#single, thrice, 'tdes3')
      } finally {
        wipe(thrice)
      }
    }
    this.#components += 1
  }

  /** Takes a whole key (an opened key block). The caller wipes `clear`. */
  load(clear: Uint8Array): void {
    this.addComponent(clear)
  }

  /** Makes the key inside the token. */
  generate(): void {
    const { type, bytes, wide } = KINDS[this.kind]
    if (this.usage !== 'cvk') {
      const length = wide ? { bytes } : {}
      this.#key = this.#session.generate({ type, powers: STAGED, ...length })
      return
    }
    // Both forms of a CVK come from one random parent, as nothing makes them of the key itself.
    const parent = this.#session.generate({ type: 'des3', powers: ['derive'] })
    const halves = [this.#session.random(8), this.#session.random(8)] as const
    const [left, right] = halves
    const pair = Buffer.concat([left, right])
    const thrice = Buffer.concat([left, left, left])
    this.#key = this.#session.deriveEcb(parent, false, pair, { type: 'des2', powers: STAGED })
    this.#single = this.#session.deriveEcb(parent, false, thrice, { type: 'des3', powers: STAGED })
    this.#session.destroy(parent)
  }

  /** Check value of the whole key. */
  checkValue(): string {
    return checkValueOf(this.#session, this.#made(), this.kind)
  }

  /**
   * Copies the key into the token under an unfinished name. settle() gives it its name once the
   * database knows it, and removes it otherwise.
   */
  keep(name: string, generation: number): void {
    const powers = powersFor(this.usage, this.kind)
    const put = (key: KeyHandle, label: string): void => {
      copyKey(this.#session, key, {
        token: true,
        powers,
        label: label + UNFINISHED_SUFFIX,
        id: objectId(this.usage, label, generation),
      })
    }
    put(this.#made(), name)
    if (this.#single !== null) put(this.#single, singleLabel(name))
  }

  /** Destroys what is staged; the session would take it along anyway. */
  drop(): void {
    for (const key of [this.#key, this.#single]) if (key !== null) this.#session.destroy(key)
    this.#key = null
    this.#single = null
  }

  #made(): KeyHandle {
    if (this.#key === null) throw new OfficerRefusal('there is no key yet')
    return this.#key
  }

  #added(sum: KeyHandle | null, clear: Uint8Array, kind: KeyKind): KeyHandle {
    if (sum === null) return this.#imported(clear, kind)
    const added =
      this.#place === 'token'
        ? xorInToken(this.#session, sum, clear, kind, STAGED)
        : this.#addedInBuffer(sum, clear, kind)
    this.#session.destroy(sum)
    return added
  }

  #imported(clear: Uint8Array, kind: KeyKind): KeyHandle {
    const { type, wide } = KINDS[kind]
    const odd = wide ? Uint8Array.from(clear) : withOddParity(clear)
    try {
      // Extractable only where the sum must be shown to be added to; the copy in the token is not.
      const extractable = this.#place === 'buffer'
      return this.#session.create({ type, powers: STAGED, extractable }, odd)
    } finally {
      wipe(odd)
    }
  }

  /** The sum leaves wrapped under a throw-away key, is read, added to, put back and wiped. */
  #addedInBuffer(sum: KeyHandle, clear: Uint8Array, kind: KeyKind): KeyHandle {
    const session = this.#session
    const { type } = KINDS[kind]
    const powers: KeyPower[] = ['wrap', 'unwrap']
    const transport = session.generate({ type: 'aes', bytes: 32, powers })
    const wrapped = session.wrap(P.CKM_AES_KEY_WRAP, transport, sum)
    const shape = { type, powers: [], extractable: true, readable: true } as const
    const readable = session.unwrap(P.CKM_AES_KEY_WRAP, transport, wrapped, shape)
    const [value] = session.attributes(readable, [P.CKA_VALUE])
    session.destroy(readable)
    session.destroy(transport)
    if (value === undefined) throw new OfficerRefusal('the token does not give the sum back')
    const total = xor(Uint8Array.from(value), clear)
    try {
      return this.#imported(total, kind)
    } finally {
      wipe(total, value)
    }
  }
}
