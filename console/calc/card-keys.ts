// Keys of a card for a calculator line: master key from `imk`, `pan`, `psn` and `mkMethod`, session
// key from `skMethod` and the transaction's data. `mk` or `sk` given directly wins.

import { CalcInput } from './input.ts'
import type { BlockCipher } from '../../hsm/algorithms/cipher.ts'
import {
  deriveCardMasterKey,
  deriveSessionKey,
  deriveTreeSessionKey,
} from '../../hsm/algorithms/emv-keys.ts'
import type { MasterKeyMethod, SessionKeyMethod } from '../../hsm/algorithms/emv-keys.ts'
import { demand } from '../../hsm/algorithms/errors.ts'
import {
  aesCipher,
  desCipher,
  sm4Cipher,
  tdesCipher,
} from '../../hsm/algorithms/software-ciphers.ts'

/** Cipher family of a card's keys. */
export type CardCipher = 'tdes' | 'sm4' | 'aes'

const MASTER_KEY_METHODS: Readonly<Record<string, MasterKeyMethod>> = {
  a: 'A',
  optiona: 'A',
  b: 'B',
  optionb: 'B',
  bforced: 'B-forced',
  c: 'C',
  optionc: 'C',
  aes: 'C',
  sm4: 'SM4',
}

const SESSION_KEY_METHODS: Readonly<Record<string, SessionKeyMethod | 'tree'>> = {
  none: 'none',
  common: 'common',
  csk: 'common',
  emvcommon: 'common',
  commonac: 'common-ac',
  mastercard: 'mastercard',
  mcskd: 'mastercard',
  visasm: 'visa-sm',
  visa: 'visa-sm',
  pboc: 'pboc',
  unionpay: 'pboc',
  pbocsm4: 'pboc-sm4',
  sm4: 'pboc-sm4',
  aes: 'aes',
  tree: 'tree',
  emv2000: 'tree',
}

/** Cipher of a clear card key, by family. Throws AlgorithmError 'length' for a wrong key. */
export function cardCipher(family: CardCipher, key: Uint8Array): BlockCipher {
  if (family === 'sm4') return sm4Cipher(key)
  return family === 'aes' ? aesCipher(key) : tdesCipher(key)
}

/** Card master key of the line; `method` overrides its `mkMethod`. */
export function cardMasterKey(
  i: CalcInput,
  method?: MasterKeyMethod,
  imkName = 'imk',
): Uint8Array {
  if (i.has('mk') && imkName === 'imk') return i.hex('mk')
  const used = method ?? i.choice('mkMethod', MASTER_KEY_METHODS, 'A')
  const family = used === 'SM4' ? 'sm4' : used === 'C' ? 'aes' : 'tdes'
  const imk = i.hex(imkName)
  const sane = family !== 'tdes' || imk.length === 16 || imk.length === 24
  demand(sane, 'length', 'issuer master key')
  const keyBytes = i.integer('keyBytes', family === 'aes' ? imk.length : 16)
  demand(keyBytes === 16 || keyBytes === 24 || keyBytes === 32, 'length', 'card key')
  const cipher = cardCipher(family, imk)
  return deriveCardMasterKey(cipher, used, i.text('pan'), i.optionalText('psn'), keyBytes)
}

/** Cipher family that the line's methods or its `cipher` word name. */
export function cardCipherFamily(i: CalcInput): CardCipher {
  const words = { tdes: 'tdes', des: 'tdes', '3des': 'tdes', sm4: 'sm4', aes: 'aes' } as const
  if (i.has('cipher')) return i.choice('cipher', words)
  const session = i.has('skMethod') ? i.choice('skMethod', SESSION_KEY_METHODS) : undefined
  if (session === 'pboc-sm4') return 'sm4'
  if (session === 'aes') return 'aes'
  const master = i.has('mkMethod') ? i.choice('mkMethod', MASTER_KEY_METHODS) : undefined
  return master === 'SM4' ? 'sm4' : master === 'C' ? 'aes' : 'tdes'
}

/** Session key of the line; `method` overrides its `skMethod`. */
export function cardSessionKey(i: CalcInput, method?: SessionKeyMethod): Uint8Array {
  if (i.has('sk')) return i.hex('sk')
  const used = method ?? i.choice('skMethod', SESSION_KEY_METHODS, 'common')
  const mk = cardMasterKey(i)
  if (used === 'tree') {
    const height = i.integer('height', 16)
    const branch = i.integer('branch', height === 8 ? 4 : 2)
    const iv = i.optionalHex('iv') ?? new Uint8Array(16)
    return deriveTreeSessionKey(mk, i.hex('atc'), height, branch, iv)
  }
  const atc = i.optionalHex('atc')
  const unpredictableNumber = i.optionalHex('un')
  const cryptogram = i.optionalHex('ac')
  const cipherOf = (key: Uint8Array) => cardCipher(cardCipherFamily(i), key)
  return deriveSessionKey(mk, cipherOf, used, {
    ...(atc === undefined ? {} : { atc }),
    ...(unpredictableNumber === undefined ? {} : { unpredictableNumber }),
    ...(cryptogram === undefined ? {} : { cryptogram }),
    scriptCommandIndex: i.integer('scriptCommandIndex', 0),
  })
}

/** The two 3DES forms of a 16-byte card key. */
export function tdesForms(key: Uint8Array): { single: BlockCipher; pair: BlockCipher } {
  demand(key.length === 16, 'length', 'card key')
  return { single: desCipher(key.slice(0, 8)), pair: tdesCipher(key) }
}
