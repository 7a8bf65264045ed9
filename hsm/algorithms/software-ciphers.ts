// Block ciphers over clear keys, by node:crypto. For the calculator, the simulators, tests and the
// accepted software path of an HSM worker (SM4, which no token here has). The switch's own keys
// never come here. Single DES is DES-EDE3 under K|K|K, because OpenSSL 3 has no DES without its
// legacy provider. Parity bits of DES keys are ignored and weak keys accepted, as tokens do.

import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'

import type { BlockCipher, CipherName } from './cipher.ts'
import { demand } from './errors.ts'

class SoftwareCipher implements BlockCipher {
  readonly blockBytes: 8 | 16
  readonly #key: KeyObject // with bytes each call takes four times as long
  readonly #ecb: string
  readonly #cbc: string

  constructor(blockBytes: 8 | 16, key: Uint8Array, ecb: string, cbc: string) {
    this.blockBytes = blockBytes
    this.#key = createSecretKey(key)
    this.#ecb = ecb
    this.#cbc = cbc
  }

  encryptEcb(input: Uint8Array): Uint8Array {
    demand(input.length % this.blockBytes === 0, 'length', 'data are not whole cipher blocks')
    const cipher = createCipheriv(this.#ecb, this.#key, null).setAutoPadding(false)
    return Uint8Array.from(cipher.update(input))
  }

  decryptEcb(input: Uint8Array): Uint8Array {
    demand(input.length % this.blockBytes === 0, 'length', 'data are not whole cipher blocks')
    const cipher = createDecipheriv(this.#ecb, this.#key, null).setAutoPadding(false)
    return Uint8Array.from(cipher.update(input))
  }

  encryptCbc(iv: Uint8Array, input: Uint8Array): Uint8Array {
    demand(input.length % this.blockBytes === 0, 'length', 'data are not whole cipher blocks')
    demand(iv.length === this.blockBytes, 'length', 'initial value is not one cipher block')
    const cipher = createCipheriv(this.#cbc, this.#key, iv).setAutoPadding(false)
    return Uint8Array.from(cipher.update(input))
  }
}

/** DES, two-key or three-key 3DES by key length (8, 16, 24 bytes), as one 24-byte key. */
function tripleLength(key: Uint8Array): Uint8Array {
  demand(key.length === 8 || key.length === 16 || key.length === 24, 'length', 'DES key')
  const out = new Uint8Array(24)
  out.set(key)
  if (key.length === 8) {
    out.set(key, 8)
    out.set(key, 16)
  } else if (key.length === 16) {
    out.set(key.subarray(0, 8), 16)
  }
  return out
}

/** 3DES with an 8, 16 or 24-byte key; an 8-byte key gives the single-DES result. */
export function tdesCipher(key: Uint8Array): BlockCipher {
  return new SoftwareCipher(8, tripleLength(key), 'des-ede3', 'des-ede3-cbc')
}

/** Single DES with an 8-byte key. */
export function desCipher(key: Uint8Array): BlockCipher {
  demand(key.length === 8, 'length', 'single DES key')
  return tdesCipher(key)
}

/** AES with a 16, 24 or 32-byte key. */
export function aesCipher(key: Uint8Array): BlockCipher {
  demand(key.length === 16 || key.length === 24 || key.length === 32, 'length', 'AES key')
  const bits = key.length * 8
  return new SoftwareCipher(16, Uint8Array.from(key), `aes-${bits}-ecb`, `aes-${bits}-cbc`)
}

/** SM4 (GM/T 0002-2012) with a 16-byte key. */
export function sm4Cipher(key: Uint8Array): BlockCipher {
  demand(key.length === 16, 'length', 'SM4 key')
  return new SoftwareCipher(16, Uint8Array.from(key), 'sm4-ecb', 'sm4-cbc')
}

/** A cipher by name over a clear key. Throws 'length' for a wrong key length. */
export function softwareCipher(name: CipherName, key: Uint8Array): BlockCipher {
  switch (name) {
    case 'des':
    case 'tdes':
      return tdesCipher(key)
    case 'aes':
      return aesCipher(key)
    case 'sm4':
      return sm4Cipher(key)
  }
}

class EdeCipher implements BlockCipher {
  readonly blockBytes: 8 | 16
  readonly #outer: BlockCipher
  readonly #inner: BlockCipher

  constructor(outer: BlockCipher, inner: BlockCipher) {
    this.blockBytes = outer.blockBytes
    this.#outer = outer
    this.#inner = inner
  }

  encryptEcb(input: Uint8Array): Uint8Array {
    return this.#outer.encryptEcb(this.#inner.decryptEcb(this.#outer.encryptEcb(input)))
  }

  decryptEcb(input: Uint8Array): Uint8Array {
    return this.#outer.decryptEcb(this.#inner.encryptEcb(this.#outer.decryptEcb(input)))
  }

  encryptCbc(iv: Uint8Array, input: Uint8Array): Uint8Array {
    const size = this.blockBytes
    demand(input.length % size === 0, 'length', 'data are not whole cipher blocks')
    demand(iv.length === size, 'length', 'initial value is not one cipher block')
    const out = new Uint8Array(input.length)
    let last = iv
    for (let at = 0; at < input.length; at += size) {
      const block = input.slice(at, at + size)
      for (let i = 0; i < size; i++) block[i] = block[i]! ^ last[i]!
      last = this.encryptEcb(block)
      out.set(last, at)
    }
    return out
  }
}

/**
 * Encipher under `outer`, decipher under `inner`, encipher under `outer`: the final step of MAC
 * algorithm 3 for ciphers that have no triple form of their own (SM4, AES).
 */
export function edeCipher(outer: BlockCipher, inner: BlockCipher): BlockCipher {
  return new EdeCipher(outer, inner)
}

/** The two ciphers of MAC algorithm 3 for a key of two halves (DES: also three parts). */
export function retailMacCiphers(
  name: CipherName,
  key: Uint8Array,
): { single: BlockCipher; pair: BlockCipher } {
  if (name === 'des' || name === 'tdes') {
    return { single: desCipher(key.slice(0, 8)), pair: tdesCipher(key) }
  }
  demand(key.length % 2 === 0, 'length', 'key of MAC algorithm 3')
  const single = softwareCipher(name, key.slice(0, key.length / 2))
  return { single, pair: edeCipher(single, softwareCipher(name, key.slice(key.length / 2))) }
}
