// Calculator: TDES and AES DUKPT (crypto.md sections 9 and 10 of the facts). Lines give `bdk` and
// `ksn`; `ik` in place of `bdk` is accepted everywhere.

import { CalcInput, digitsText } from './input.ts'
import type { CalcAlgorithm, CalcOutput } from './input.ts'
import { toHex } from '../../hsm/algorithms/bytes.ts'
import { cbcDecrypt } from '../../hsm/algorithms/cipher-modes.ts'
import * as aes from '../../hsm/algorithms/dukpt-aes.ts'
import * as tdes from '../../hsm/algorithms/dukpt-tdes.ts'
import { demand } from '../../hsm/algorithms/errors.ts'
import { cmac, hmac, zeroPad } from '../../hsm/algorithms/mac.ts'
import {
  decryptIso4,
  encryptIso4Field,
  pinFieldIso4,
} from '../../hsm/algorithms/pin-block.ts'
import { aesCipher, tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'

type Direction = 'request' | 'response'

const DIRECTIONS: Readonly<Record<string, Direction>> = {
  request: 'request',
  response: 'response',
}

function direction(i: CalcInput): Direction {
  return i.choice('direction', DIRECTIONS, 'request')
}

function tdesInitialKey(i: CalcInput): Uint8Array {
  return i.has('ik') ? i.hex('ik') : tdes.tdesInitialKey(i.hex('bdk'), i.hex('ksn'))
}

function tdesKey(i: CalcInput, usage: tdes.TdesWorkingKey): Uint8Array {
  return tdes.tdesWorkingKey(tdes.tdesTransactionKey(tdesInitialKey(i), i.hex('ksn')), usage)
}

const TDES_USAGES: Readonly<Record<string, tdes.TdesWorkingKey>> = {
  pin: 'pin',
  macrequest: 'mac-request',
  macresponse: 'mac-response',
  datarequest: 'data-request',
  dataresponse: 'data-response',
}

const macOf = (bytes: Uint8Array): CalcOutput => ({ mac: toHex(bytes) })
const keyOf = (bytes: Uint8Array): CalcOutput => ({ key: toHex(bytes) })
const nextOf = (ksn: Uint8Array | undefined): CalcOutput => ({
  next: ksn === undefined ? null : toHex(ksn),
})

const TDES: Record<string, CalcAlgorithm> = {
  'dukpt.tdes.ik': (i) => ({ ik: toHex(tdes.tdesInitialKey(i.hex('bdk'), i.hex('ksn'))) }),
  'dukpt.tdes.txnKey': (i) => keyOf(tdes.tdesTransactionKey(tdesInitialKey(i), i.hex('ksn'))),
  'dukpt.tdes.workingKey': (i) => keyOf(tdesKey(i, i.choice('usage', TDES_USAGES))),
  'dukpt.tdes.pinblock': (i) => ({
    encrypted: toHex(tdesCipher(tdesKey(i, 'pin')).encryptEcb(i.hex('block'))),
  }),
  'dukpt.tdes.pinblock.decrypt': (i) => ({
    block: toHex(tdesCipher(tdesKey(i, 'pin')).decryptEcb(i.hex('encrypted'))),
  }),
  'dukpt.tdes.mac': (i) =>
    macOf(tdes.tdesDukptMac(tdesKey(i, `mac-${direction(i)}`), i.data(), i.integer('length', 4))),
  'dukpt.tdes.cmac': (i) => {
    const key = tdesKey(i, `mac-${direction(i)}`)
    return macOf(tdes.tdesDukptCmac(key, i.data(), i.optionalInteger('length')))
  },
  'dukpt.tdes.data': (i) => ({
    encrypted: toHex(tdes.tdesDukptEncrypt(tdesKey(i, `data-${direction(i)}`), i.data())),
  }),
  'dukpt.tdes.data.decrypt': (i) => {
    const cipher = tdesCipher(tdesKey(i, `data-${direction(i)}`))
    return { data: toHex(cbcDecrypt(cipher, new Uint8Array(8), i.hex('encrypted'))) }
  },
  'dukpt.tdes.nextKsn': (i) => nextOf(tdes.nextTdesKsn(i.hex('ksn'))),
}

const AES_USAGES: Readonly<Record<string, aes.AesDukptUsage>> = {
  kek: 'keyEncryption',
  keyenc: 'keyEncryption',
  keyencryption: 'keyEncryption',
  keyencryptionkey: 'keyEncryption',
  update: 'keyEncryption',
  pin: 'pin',
  pinenc: 'pin',
  pinencryption: 'pin',
  macgen: 'macGenerate',
  macgenerate: 'macGenerate',
  macgeneration: 'macGenerate',
  macver: 'macVerify',
  macverify: 'macVerify',
  macverification: 'macVerify',
  mac: 'macBoth',
  macboth: 'macBoth',
  macbothways: 'macBoth',
  macgenver: 'macBoth',
  dataenc: 'dataEncrypt',
  dataencrypt: 'dataEncrypt',
  dataencryption: 'dataEncrypt',
  datadec: 'dataDecrypt',
  datadecrypt: 'dataDecrypt',
  datadecryption: 'dataDecrypt',
  data: 'dataBoth',
  databoth: 'dataBoth',
  databothways: 'dataBoth',
  dataencdec: 'dataBoth',
  derivation: 'keyDerivation',
  keyderivation: 'keyDerivation',
  ik: 'initialKey',
  initialkey: 'initialKey',
}

const AES_KEY_TYPES: Readonly<Record<string, aes.AesDukptKeyType>> = {
  tdes2: 'tdes2',
  '2tdes': 'tdes2',
  '2tdea': 'tdes2',
  tdes112: 'tdes2',
  tdes3: 'tdes3',
  '3tdes': 'tdes3',
  '3tdea': 'tdes3',
  tdes168: 'tdes3',
  aes128: 'aes128',
  aes192: 'aes192',
  aes256: 'aes256',
  hmac128: 'hmac128',
  hmac192: 'hmac192',
  hmac256: 'hmac256',
}

function ikidOf(i: CalcInput): Uint8Array {
  return i.has('ikid') ? i.hex('ikid') : i.hex('ksn').slice(0, 8)
}

function aesInitialKey(i: CalcInput): Uint8Array {
  return i.has('ik') ? i.hex('ik') : aes.aesInitialKey(i.hex('bdk'), ikidOf(i))
}

/** Key type of a line; the type of the base key's own strength when it says nothing. */
function keyTypeOf(i: CalcInput, family: 'aes' | 'hmac' = 'aes'): aes.AesDukptKeyType {
  const bits = aesInitialKey(i).length * 8
  return i.choice('keyType', AES_KEY_TYPES, `${family}${bits}`)
}

function aesKey(i: CalcInput, usage: aes.AesDukptUsage, type: aes.AesDukptKeyType): Uint8Array {
  return aes.aesWorkingKey(aesInitialKey(i), i.hex('ksn'), usage, type)
}

function cipherFor(type: aes.AesDukptKeyType, key: Uint8Array) {
  return type === 'tdes2' || type === 'tdes3' ? tdesCipher(key) : aesCipher(key)
}

function aesMacUsage(i: CalcInput): aes.AesDukptUsage {
  return direction(i) === 'request' ? 'macGenerate' : 'macVerify'
}

function aesPinBlock(i: CalcInput): CalcOutput {
  const type = keyTypeOf(i)
  const cipher = cipherFor(type, aesKey(i, 'pin', type))
  if (cipher.blockBytes === 8) return { encrypted: toHex(cipher.encryptEcb(i.hex('block'))) }
  const field = i.has('pinField')
    ? i.hex('pinField')
    : pinFieldIso4(i.digits('pin'), i.optionalHex('fill'))
  return { encrypted: toHex(encryptIso4Field(cipher, field, i.text('pan'))) }
}

function aesData(i: CalcInput, decipher: boolean): CalcOutput {
  const type = keyTypeOf(i)
  const usage = direction(i) === 'request' ? 'dataEncrypt' : 'dataDecrypt'
  const cipher = cipherFor(type, aesKey(i, usage, type))
  const iv = i.optionalHex('iv') ?? new Uint8Array(cipher.blockBytes)
  if (decipher) return { data: toHex(cbcDecrypt(cipher, iv, i.hex('encrypted'))) }
  return { encrypted: toHex(cipher.encryptCbc(iv, zeroPad(i.data(), cipher.blockBytes))) }
}

const AES: Record<string, CalcAlgorithm> = {
  'dukpt.aes.ik': (i) => ({ ik: toHex(aes.aesInitialKey(i.hex('bdk'), ikidOf(i))) }),
  'dukpt.aes.txnKey': (i) => keyOf(aes.aesTransactionKey(aesInitialKey(i), i.hex('ksn'))),
  'dukpt.aes.workingKey': (i) => keyOf(aesKey(i, i.choice('usage', AES_USAGES), keyTypeOf(i))),
  'dukpt.aes.updateKey': (i) =>
    keyOf(aes.aesUpdateKey(aesInitialKey(i), ikidOf(i), keyTypeOf(i))),
  'dukpt.aes.pinblock': aesPinBlock,
  'dukpt.aes.pinblock.decrypt': (i) => {
    const type = keyTypeOf(i)
    const cipher = cipherFor(type, aesKey(i, 'pin', type))
    demand(cipher.blockBytes === 16, 'unsupported', 'keyType')
    return { pin: digitsText(decryptIso4(cipher, i.hex('encrypted'), i.text('pan'))) }
  },
  'dukpt.aes.cmac': (i) => {
    const type = keyTypeOf(i)
    const cipher = cipherFor(type, aesKey(i, aesMacUsage(i), type))
    return macOf(cmac(cipher, i.data(), i.optionalInteger('length')))
  },
  'dukpt.aes.hmac': (i) => {
    const key = aesKey(i, aesMacUsage(i), keyTypeOf(i, 'hmac'))
    const hash = i.choice('hash', { sha256: 'sha256', sha384: 'sha384', sha512: 'sha512' } as const,
      'sha256')
    return macOf(hmac(hash, key, i.data(), i.optionalInteger('length')))
  },
  'dukpt.aes.data': (i) => aesData(i, false),
  'dukpt.aes.data.decrypt': (i) => aesData(i, true),
  'dukpt.aes.nextKsn': (i) => nextOf(aes.nextAesKsn(i.hex('ksn'))),
}

export const DUKPT_ALGORITHMS: Readonly<Record<string, CalcAlgorithm>> = { ...TDES, ...AES }
