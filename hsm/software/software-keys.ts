// Keys in clear memory behind the key source of the payment verbs: for SoftwareHsm only, that is
// for tests and the virtual-clock simulator. Never loaded by the running switch.

import { wipe } from '../algorithms/bytes.ts'
import type { BlockCipher } from '../algorithms/cipher.ts'
import { AlgorithmError } from '../algorithms/errors.ts'
import { demandKeySuitsHeader, keyBlockKeys } from '../algorithms/key-block.ts'
import { unwrapKeyBlock, wrapKeyBlock } from '../algorithms/key-block.ts'
import type { KeyBlockKeys } from '../algorithms/key-block.ts'
import { aesCipher, softwareCipher, tdesCipher } from '../algorithms/software-ciphers.ts'
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

/** A master key by value. Test keys only. */
export interface SoftwareKey {
  readonly usage: KeyUsage
  readonly key: Uint8Array // 16 bytes 3DES; 16, 24 or 32 bytes with algorithm aes
  readonly algorithm?: 'tdes' | 'aes'
}

/** Chance as switch/runtime/random.ts gives it. */
export interface RandomBytes {
  bytes(count: number): Uint8Array
}

class ClearKey implements DerivedKey {
  readonly algorithm: 'tdes' | 'aes'
  readonly pair: BlockCipher
  readonly #key: Uint8Array

  constructor(algorithm: 'tdes' | 'aes', key: Uint8Array) {
    this.algorithm = algorithm
    this.#key = Uint8Array.from(key)
    this.pair = algorithm === 'aes' ? aesCipher(key) : tdesCipher(key)
  }

  get single(): BlockCipher {
    refuseUnless(this.algorithm === 'tdes', 'key_usage')
    return tdesCipher(this.#key.slice(0, 8))
  }

  derive(data: Uint8Array): DerivedKey {
    return new ClearKey('tdes', this.pair.encryptEcb(data))
  }

  close(): void {
    wipe(this.#key)
  }
}

/** A key source over clear keys. */
export class SoftwareKeys implements KeySource {
  readonly clearPinAllowed = true
  readonly #master: ReadonlyMap<string, SoftwareKey>
  readonly #profiles: Readonly<Record<string, Ibm3624Profile>>
  readonly #random: RandomBytes
  readonly #blockKeys: KeyBlockKeys
  readonly #vault: VaultSecrets

  constructor(
    master: Readonly<Record<string, SoftwareKey>>,
    profiles: Readonly<Record<string, Ibm3624Profile>>,
    random: RandomBytes,
  ) {
    this.#master = new Map(Object.entries(master))
    this.#profiles = profiles
    this.#random = random
    this.#blockKeys = keyBlockKeys('D', random.bytes(32), softwareCipher)
    this.#vault = { seal: bytesOf(random, 32), token: bytesOf(random, 32) }
  }

  open(ref: KeyRef, usage: KeyUsage, act: KeyAct): PaymentKey {
    if (ref.block !== null) return this.#openBlock(ref.name, ref.block, usage, act)
    const found = this.#master.get(ref.name)
    refuseUnless(found !== undefined, 'key_missing')
    refuseUnless(found.usage === usage, 'key_usage')
    return new ClearKey(found.algorithm ?? 'tdes', found.key)
  }

  #openBlock(name: string, block: string, usage: KeyUsage, act: KeyAct): PaymentKey {
    try {
      const unwrapped = unwrapKeyBlock(this.#blockKeys, block)
      demandKeySuitsHeader(unwrapped, 'aes', 32)
      demandUsage(unwrapped.header, name, usage, act)
      return new ClearKey(unwrapped.header.algorithm === 'A' ? 'aes' : 'tdes', unwrapped.key)
    } catch (error) {
      if (error instanceof AlgorithmError) throw new Refused('key_missing')
      throw error
    }
  }

  load(clear: Uint8Array): DerivedKey {
    return new ClearKey('tdes', clear)
  }

  seal(name: string, usage: KeyUsage, clear: Uint8Array): string {
    return wrapKeyBlock(this.#blockKeys, workingKeyHeader(name, usage), clear)
  }

  random(bytes: number): Uint8Array {
    return bytesOf(this.#random, bytes)
  }

  translateInside(): null {
    return null
  }

  ibm3624Profile(name: string): Ibm3624Profile {
    return this.#profiles[name] ?? DEFAULT_IBM3624_PROFILE
  }

  vaultSecrets(): VaultSecrets {
    return { seal: Uint8Array.from(this.#vault.seal), token: Uint8Array.from(this.#vault.token) }
  }
}

function bytesOf(random: RandomBytes, count: number): Uint8Array {
  return Uint8Array.from(random.bytes(count))
}
