// Calculator: MACs, check values, key combination and transport, key blocks (crypto.md sections 5
// to 8 of the facts).

import { cipherNameOf, cipherOf } from './ciphers.ts'
import { CalcInput, CalcInputError, leftDigits } from './input.ts'
import type { CalcAlgorithm, CalcOutput } from './input.ts'
import { fromHex, toHex, xor } from '../../hsm/algorithms/bytes.ts'
import type { CipherName } from '../../hsm/algorithms/cipher.ts'
import * as cups from '../../hsm/algorithms/cups-mac.ts'
import { demand } from '../../hsm/algorithms/errors.ts'
import * as blocks from '../../hsm/algorithms/key-block.ts'
import type { KeyBlockVersion } from '../../hsm/algorithms/key-block.ts'
import * as keys from '../../hsm/algorithms/key-combination.ts'
import { cmacCheckValue, zeroCheckValue } from '../../hsm/algorithms/kcv.ts'
import * as mac from '../../hsm/algorithms/mac.ts'
import {
  desCipher,
  retailMacCiphers,
  softwareCipher,
} from '../../hsm/algorithms/software-ciphers.ts'
import { decryptUnderVariantLmk, encryptUnderVariantLmk } from '../../hsm/algorithms/variant.ts'

function macOptions(input: CalcInput): mac.MacOptions {
  const padding = input.integer('padding', 1)
  const known = padding === 0 || padding === 1 || padding === 2 || padding === 3
  demand(known, 'unsupported', 'padding')
  const length = input.optionalInteger('length')
  const iv = input.optionalHex('iv')
  return {
    padding,
    ...(length === undefined ? {} : { length }),
    ...(iv === undefined ? {} : { iv }),
  }
}

const macOf = (bytes: Uint8Array): CalcOutput => ({ mac: toHex(bytes) })

/** Second key of algorithm 2: K with alternate nibbles complemented, from the first on. */
function secondKey(input: CalcInput): Uint8Array {
  const given = input.optionalHex('key2')
  if (given !== undefined) return given
  const key = input.hex('key')
  return xor(key, new Uint8Array(key.length).fill(0xf0))
}

const HASHES: Readonly<Record<string, mac.HmacHash>> = {
  sha1: 'sha1',
  sha224: 'sha224',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
  sm3: 'sm3',
}

function cupsHost(i: CalcInput): CalcOutput {
  const mab = i.has('mab') ? i.text('mab') : cups.cupsMab(i.texts('fields'))
  const key = i.hex('key')
  const name = cipherNameOf(i, key.length === 8 ? 'des' : 'tdes')
  const retail = name !== 'sm4' && key.length > 8
  const method = i.choice('method', { cbc: 'cbc', x919: 'x9.19' } as const, retail ? 'x919' : 'cbc')
  const keysOfMac: cups.CupsMacKeys =
    method === 'cbc' ? { single: softwareCipher(name, key) } : retailMacCiphers(name, key)
  const bytes = cups.cupsHostMac(method, keysOfMac, mab)
  const de128 = Buffer.from(cups.cupsMacField(bytes)).toString('ascii')
  return { mab, mac: toHex(bytes), de128 }
}

const MACS: Record<string, CalcAlgorithm> = {
  'mac.iso9797.alg1': (i) => macOf(mac.macAlgorithm1(cipherOf(i, 'key'), i.data(), macOptions(i))),
  'mac.iso9797.alg2': (i) => {
    const second = softwareCipher(cipherNameOf(i), secondKey(i))
    return macOf(mac.macAlgorithm2(cipherOf(i, 'key'), second, i.data(), macOptions(i)))
  },
  'mac.iso9797.alg3': (i) => {
    const { single, pair } = retailMacCiphers(cipherNameOf(i), retailKey(i))
    return macOf(mac.macAlgorithm3(single, pair, i.data(), macOptions(i)))
  },
  'mac.x99': (i) =>
    macOf(mac.macAlgorithm1(desCipher(i.hex('key')), i.data(), macOptions(i))),
  'mac.x919': (i) => {
    const { single, pair } = retailMacCiphers('tdes', retailKey(i))
    return macOf(mac.macAlgorithm3(single, pair, i.data(), macOptions(i)))
  },
  'mac.cmac': (i) =>
    macOf(mac.cmac(cipherOf(i, 'key', 'aes'), i.data(), i.optionalInteger('length'))),
  'mac.hmac': (i) => {
    const hash = i.choice('hash', HASHES, 'sha256')
    return macOf(mac.hmac(hash, i.hex('key'), i.data(), i.optionalInteger('length')))
  },
  'mac.cups.pos.ecb': (i) => {
    const out = mac.unionPayPosMac(cipherOf(i, 'key'), i.data())
    return Object.fromEntries(Object.entries(out).map(([name, bytes]) => [name, toHex(bytes)]))
  },
  'mac.cups.host': cupsHost,
}

/** Key of algorithm 3: `key` with both halves, or `key` and `key2` as two halves. */
function retailKey(i: CalcInput): Uint8Array {
  const second = i.optionalHex('key2')
  return second === undefined ? i.hex('key') : fromHex(i.text('key') + i.text('key2'))
}

function zeroKcv(name: CipherName): CalcAlgorithm {
  return (i) => ({
    kcv: leftDigits(
      toHex(zeroCheckValue(softwareCipher(name, i.hex('key')))),
      i.integer('digits', 6),
    ),
  })
}

function cmacKcv(name: CipherName): CalcAlgorithm {
  return (i) => ({
    kcv: leftDigits(
      toHex(cmacCheckValue(softwareCipher(name, i.hex('key')))),
      i.integer('digits', 10),
    ),
  })
}

const CHECK_VALUES: Record<string, CalcAlgorithm> = {
  'kcv.des.zero': zeroKcv('des'),
  'kcv.tdes.zero': zeroKcv('tdes'),
  'kcv.tdes.cmac': cmacKcv('tdes'),
  'kcv.aes.cmac': cmacKcv('aes'),
  'kcv.aes.zero': zeroKcv('aes'),
  'kcv.sm4.zero': zeroKcv('sm4'),
  'kcv.sm4.cmac': cmacKcv('sm4'),
}

const KEYS: Record<string, CalcAlgorithm> = {
  'key.combine.xor': (i) => {
    const key = keys.combineComponents(i.texts('components').map(fromHex))
    const kcv = toHex(zeroCheckValue(softwareCipher(cipherNameOf(i), key)))
    return { key: toHex(key), kcv: leftDigits(kcv, i.integer('digits', 6)) }
  },
  'key.parity.odd': (i) => ({ key: toHex(keys.withOddParity(i.hex('key'))) }),
  'key.encrypt.ecb': (i) => ({
    encrypted: toHex(keys.encryptKeyEcb(cipherOf(i, 'kek'), i.hex('key'))),
  }),
  'key.decrypt.ecb': (i) => ({
    key: toHex(keys.decryptKeyEcb(cipherOf(i, 'kek'), i.hex('encrypted'))),
  }),
  'key.encrypt.variantScheme': (i) => ({
    encrypted: toHex(encryptUnderVariantLmk(i.hex('kek'), lmkVariant(i), i.hex('key'))),
  }),
  'key.decrypt.variantScheme': (i) => ({
    key: toHex(decryptUnderVariantLmk(i.hex('kek'), lmkVariant(i), i.hex('encrypted'))),
  }),
}

/** The byte added to the first byte of an LMK pair. */
function lmkVariant(i: CalcInput): number {
  const byte = i.integer('lmkVariant', 0)
  if (byte > 255) throw new CalcInputError('input', 'lmkVariant must be a byte')
  return byte
}

function unwrap(version: KeyBlockVersion): CalcAlgorithm {
  return (i) => {
    const text = i.text('block')
    demand(text.slice(0, 1) === version, 'control', 'key block version')
    const ciphers = blocks.keyBlockKeys(version, i.hex('kbpk'), softwareCipher)
    const { header, key } = blocks.unwrapKeyBlock(ciphers, text)
    return {
      key: toHex(key),
      version,
      usage: header.usage,
      algorithm: header.algorithm,
      mode: header.mode,
      keyVersion: header.keyVersion,
      exportability: header.exportability,
      optionalBlocks: header.optionalBlocks.map(({ id, data }) => [id, data]),
    }
  }
}

function wrap(version: KeyBlockVersion): CalcAlgorithm {
  return (i) => {
    const header = i.text('header')
    demand(header.slice(0, 1) === version, 'control', 'key block version')
    const ciphers = blocks.keyBlockKeys(version, i.hex('kbpk'), softwareCipher)
    return { block: blocks.wrapKeyBlock(ciphers, header, i.hex('key'), i.optionalHex('pad')) }
  }
}

const VERSIONS: readonly KeyBlockVersion[] = ['A', 'B', 'C', 'D', 'E']

const KEY_BLOCKS: Record<string, CalcAlgorithm> = {
  ...Object.fromEntries(VERSIONS.map((version) => [`tr31.wrap.${version}`, wrap(version)])),
  ...Object.fromEntries(VERSIONS.map((version) => [`tr31.unwrap.${version}`, unwrap(version)])),
  'tr31.kdf': (i) => {
    const version = i.choice('version', { a: 'A', b: 'B', c: 'C', d: 'D', e: 'E' } as const)
    const derived = blocks.keyBlockKeyBytes(version, i.hex('kbpk'), softwareCipher)
    return { kbek: toHex(derived.encryption), kbak: toHex(derived.authentication) }
  },
}

export const MAC_AND_KEY_ALGORITHMS: Readonly<Record<string, CalcAlgorithm>> = {
  ...MACS,
  ...CHECK_VALUES,
  ...KEYS,
  ...KEY_BLOCKS,
}
