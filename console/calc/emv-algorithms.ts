// Calculator: card verification values, EMV and PBOC keys, cryptograms, scripts, offline data
// authentication, SCP02 (crypto.md section 4 and emv-pboc.md of the facts).

import {
  cardCipher,
  cardCipherFamily,
  cardMasterKey,
  cardSessionKey,
  tdesForms,
} from './card-keys.ts'
import { CalcInput, leftDigits } from './input.ts'
import type { CalcAlgorithm, CalcOutput } from './input.ts'
import * as oda from '../../emv/offline-authentication.ts'
import type { RsaPublicKey } from '../../emv/offline-authentication.ts'
import {
  verifySm2CardCertificate,
  verifySm2IssuerCertificate,
} from '../../emv/sm2-authentication.ts'
import type { Sm2Certificate, Sm2Check } from '../../emv/sm2-authentication.ts'
import { fromAscii, toHex } from '../../hsm/algorithms/bytes.ts'
import * as values from '../../hsm/algorithms/card-verification.ts'
import * as cryptogram from '../../hsm/algorithms/cryptogram.ts'
import type { MasterKeyMethod, SessionKeyMethod } from '../../hsm/algorithms/emv-keys.ts'
import {
  commonSessionKeyData,
  deriveTreeSessionKey,
} from '../../hsm/algorithms/emv-keys.ts'
import { demand } from '../../hsm/algorithms/errors.ts'
import * as script from '../../hsm/algorithms/issuer-script.ts'
import { zeroCheckValue } from '../../hsm/algorithms/kcv.ts'
import { withOddParity } from '../../hsm/algorithms/key-combination.ts'
import {
  scp02CardCryptogram,
  scp02CardKey,
  scp02CommandMac,
  scp02HostCryptogram,
  scp02SessionKey,
} from '../../hsm/algorithms/scp02.ts'
import {
  SM2_DEFAULT_ID,
  sm2MessageHash,
  sm2VerifyHash,
} from '../../hsm/algorithms/sm2.ts'
import { retailMacCiphers, tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'

const EMPTY = new Uint8Array(0)

function cvkForms(i: CalcInput): values.KeyPairForms {
  return tdesForms(i.hex('cvk'))
}

function cvc3Of(i: CalcInput, forms: values.KeyPairForms, iv: Uint8Array): CalcOutput {
  return { cvc3: values.cvc3(forms, iv, i.hex('un'), i.hex('atc'), i.integer('digits', 5)) }
}

/** Static track data: nibbles as hex (an odd last nibble is filled with F) or ASCII text. */
function trackOf(i: CalcInput): Uint8Array {
  if (i.has('trackAscii')) return fromAscii(i.text('trackAscii'))
  const nibbles = i.optionalNibbles('track') ?? EMPTY
  demand(nibbles.length > 0, 'length', 'track')
  const even = nibbles.length % 2 === 0 ? i.text('track') : `${i.text('track')}F`
  return Uint8Array.from(Buffer.from(even, 'hex'))
}

const CARD_VALUES: Record<string, CalcAlgorithm> = {
  cvv: (i) => {
    const count = i.integer('digits', 3)
    const code = i.optionalText('serviceCode') ?? '000'
    return { cvv: values.cvv(cvkForms(i), i.text('pan'), i.text('expiry'), code, count) }
  },
  cavv: (i) => ({
    cavv: values.cavv(
      cvkForms(i),
      i.text('pan'),
      i.text('un'),
      i.text('authResult'),
      i.text('secondFactor'),
    ),
  }),
  'dcvv.jpos': (i) => {
    const forms = tdesForms(cardMasterKey(i))
    const [pan, atc, expiry] = [i.text('pan'), i.text('atc'), i.text('expiry')]
    return { dcvv: values.dcvv(forms, pan, atc, expiry, i.text('serviceCode')) }
  },
  cvc3: (i) => {
    const forms = tdesForms(cardMasterKey(i))
    return cvc3Of(i, forms, values.ivcvc3(forms, trackOf(i)))
  },
  'cvc3.fromIv': (i) => cvc3Of(i, tdesForms(cardMasterKey(i)), i.hex('ivcvc3')),
  'cvc3.iv': (i) => ({ ivcvc3: toHex(values.ivcvc3(tdesForms(cardMasterKey(i)), trackOf(i))) }),
  'amex.csc': (i) => ({
    ...values.amexCsc(tdesCipher(i.hex('csck')), i.text('pan'), i.text('expiry')),
  }),
}

function kcvOf(i: CalcInput, key: Uint8Array): string {
  const kcv = toHex(zeroCheckValue(cardCipher(cardCipherFamily(i), key)))
  return leftDigits(kcv, i.integer('digits', 6))
}

function masterKeyBy(method: MasterKeyMethod, family: 'tdes' | 'sm4' | 'aes'): CalcAlgorithm {
  return (i) => {
    const mk = cardMasterKey(i, method)
    const kcv = toHex(zeroCheckValue(cardCipher(family, mk)))
    return { mk: toHex(mk), kcv: leftDigits(kcv, i.integer('digits', 6)) }
  }
}

function sessionKeyBy(method: SessionKeyMethod): CalcAlgorithm {
  return (i) => {
    const sk = cardSessionKey(i, method)
    return { sk: toHex(sk), kcv: kcvOf(i, sk) }
  }
}

/** EMV common session key from R itself, or from the ATC where no R is given. */
function commonSessionKey(i: CalcInput): CalcOutput {
  if (!i.has('r')) return sessionKeyBy('common')(i)
  const data = commonSessionKeyData(i.hex('r'))
  const sk = withOddParity(tdesCipher(cardMasterKey(i)).encryptEcb(data))
  return { sk: toHex(sk), kcv: kcvOf(i, sk) }
}

const CARD_KEYS: Record<string, CalcAlgorithm> = {
  'emv.mk.optionA': masterKeyBy('A', 'tdes'),
  'emv.mk.optionB': masterKeyBy('B', 'tdes'),
  'emv.mk.optionC': masterKeyBy('C', 'aes'),
  'emv.mk.sm4': masterKeyBy('SM4', 'sm4'),
  'emv.sk.common': commonSessionKey,
  'emv.sk.mastercard': sessionKeyBy('mastercard'),
  'emv.sk.visaSM': sessionKeyBy('visa-sm'),
  'emv.sk.tree': (i) => {
    const iv = i.optionalHex('iv') ?? new Uint8Array(16)
    const height = i.integer('height', 16)
    const branch = i.integer('branch', height === 8 ? 4 : 2)
    const sk = deriveTreeSessionKey(cardMasterKey(i), i.hex('atc'), height, branch, iv)
    return { sk: toHex(sk), kcv: kcvOf(i, sk) }
  },
  'emv.sk.aes': (i) => ({ sk: toHex(cardSessionKey(withCipher(i, 'aes'), 'aes')) }),
  'pboc.mk': masterKeyBy('A', 'tdes'),
  'pboc.sk': sessionKeyBy('pboc'),
  'pboc.sk.sm4': (i) => ({ sk: toHex(cardSessionKey(withCipher(i, 'sm4'), 'pboc-sm4')) }),
}

/** The line's inputs with its cipher family fixed. */
function withCipher(i: CalcInput, family: 'sm4' | 'aes'): CalcInput {
  return new CalcInput({ ...i.values(), cipher: family })
}

function applicationCryptogramOf(i: CalcInput): Uint8Array {
  const sk = cardSessionKey(i)
  const family = cardCipherFamily(i)
  const padding = i.integer('padding', 2)
  demand(padding >= 0 && padding <= 3, 'unsupported', 'padding')
  const method = padding as 0 | 1 | 2 | 3
  const data = i.data()
  if (family === 'sm4') {
    return cryptogram.sm4ApplicationCryptogram(cardCipher('sm4', sk), data, method)
  }
  if (family === 'aes') {
    return cryptogram.aesApplicationCryptogram(cardCipher('aes', sk), data)
  }
  const { single, pair } = tdesForms(sk)
  return cryptogram.applicationCryptogram(single, pair, data, method)
}

const SCRIPT_METHODS: Readonly<Record<string, script.ScriptEncipherment>> = {
  visa: 'visa',
  vis: 'visa',
  pboc: 'visa',
  unionpay: 'visa',
  sm4: 'visa',
  mastercard: 'mastercard',
  interac: 'mastercard',
  ccd: 'ccd',
  emv: 'ccd',
}

function scriptMacOf(i: CalcInput): CalcOutput {
  const sk = cardSessionKey(i)
  const family = cardCipherFamily(i)
  const length = i.integer('length', 8)
  if (family === 'sm4') {
    const mac = cryptogram.sm4ApplicationCryptogram(cardCipher('sm4', sk), i.data(), 2)
    demand(length >= 1 && length <= 8, 'length', 'MAC length')
    return { mac: toHex(mac.slice(0, length)) }
  }
  const { single, pair } = tdesForms(sk)
  return { mac: toHex(script.scriptMac(single, pair, i.data(), length)) }
}

function arpc2Of(i: CalcInput): CalcOutput {
  const { single, pair } = retailMacCiphers('tdes', cardSessionKey(i))
  const extra = i.optionalHex(i.has('pad') ? 'pad' : 'proprietary') ?? EMPTY
  return { arpc: toHex(cryptogram.arpcMethod2(single, pair, i.hex('arqc'), i.hex('csu'), extra)) }
}

/** MAC of the PBOC electronic cash balance, from the issuer MAC key or a session key. */
function balanceMac(i: CalcInput): CalcOutput {
  const source = i.has('imkMac') ? new CalcInput({ ...i.values(), imk: i.text('imkMac') }) : i
  const { single, pair } = tdesForms(cardSessionKey(source, 'pboc'))
  const trailer = i.integer('trailer', 0)
  const mac = cryptogram.pbocBalanceMac(single, pair, i.hex('atc'), i.hex('balance'), trailer)
  return { mac: toHex(mac) }
}

function scp02Cryptogram(i: CalcInput, compute: typeof scp02CardCryptogram): CalcOutput {
  const key = tdesCipher(i.hex('key'))
  const [host, card] = [i.hex('hostChallenge'), i.hex('cardChallenge')]
  return { cryptogram: toHex(compute(key, host, i.hex('sequence'), card)) }
}

const CRYPTOGRAMS: Record<string, CalcAlgorithm> = {
  'emv.ac': (i) => ({ ac: toHex(applicationCryptogramOf(i)) }),
  'emv.arqc': (i) => ({ arqc: toHex(applicationCryptogramOf(i)) }),
  'emv.arpc1': (i) => {
    const key = cardCipher(cardCipherFamily(i), cardSessionKey(i))
    return { arpc: toHex(cryptogram.arpcMethod1(key, i.hex('arqc'), i.hex('arc'))) }
  },
  'emv.arpc2': arpc2Of,
  'emv.script.mac': scriptMacOf,
  'emv.script.encrypt': (i) => {
    const key = cardCipher(cardCipherFamily(i), cardSessionKey(i))
    const method = i.choice('method', SCRIPT_METHODS)
    return { encrypted: toHex(script.encryptScriptData(key, method, i.data())) }
  },
  'emv.pinblock.visa': (i) => {
    const old = i.has('oldPin') ? i.digits('oldPin') : undefined
    return { block: toHex(script.visaPinChangeBlock(i.digits('pin'), i.hex('mkAC'), old)) }
  },
  'pboc.iddMac': balanceMac,
  'scp02.sessionKey': (i) => ({
    key: toHex(scp02SessionKey(tdesCipher(i.hex('key')), i.hex('constant'), i.hex('sequence'))),
  }),
  'scp02.cardKey': (i) => {
    const which = i.choice('which', { enc: 'enc', mac: 'mac', dek: 'dek' } as const)
    return { key: toHex(scp02CardKey(tdesCipher(i.hex('kmc')), i.hex('keyData'), which)) }
  },
  'scp02.cardCryptogram': (i) => scp02Cryptogram(i, scp02CardCryptogram),
  'scp02.hostCryptogram': (i) => scp02Cryptogram(i, scp02HostCryptogram),
  'scp02.commandMac': (i) => {
    const { single, pair } = tdesForms(i.hex('key'))
    const previous = i.optionalHex('previous')
    return { mac: toHex(scp02CommandMac(single, pair, i.hex('command'), previous)) }
  },
}

function keyOf(i: CalcInput, owner: 'ca' | 'issuer' | 'icc'): RsaPublicKey {
  return { modulus: i.hex(`${owner}Modulus`), exponent: i.hex(`${owner}Exponent`) }
}

/** Hexadecimal of every byte-valued entry. */
function hexed(parts: object): CalcOutput {
  return Object.fromEntries(
    Object.entries(parts).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? toHex(value) : value,
    ]),
  )
}

function combined(i: CalcInput): CalcOutput {
  const optional = (name: string) => i.optionalHex(name) ?? EMPTY
  const out = oda.verifyCombinedData(keyOf(i, 'icc'), i.hex('sdad'), i.hex('unpredictableNumber'), [
    optional('pdolData'),
    optional('cdol1Data'),
    optional('cdol2Data'),
    optional('responseTlvs'),
  ])
  return {
    iccDynamicNumber: toHex(out.iccDynamicNumber),
    cid: toHex(Uint8Array.of(out.cryptogramInformation)),
    ac: toHex(out.cryptogram),
    transactionDataHash: toHex(out.transactionDataHash),
  }
}

/** SM2 signature over SM3 under the default identity. */
const checkSm2: Sm2Check = (key, message, signature) =>
  sm2VerifyHash(key, sm2MessageHash(SM2_DEFAULT_ID, key, message), signature)

function sm2Certificate(certificate: Sm2Certificate): CalcOutput {
  const { subject, expiry, serial, key } = certificate
  return hexed({ subject, expiry, serial, x: key.x, y: key.y })
}

const OFFLINE: Record<string, CalcAlgorithm> = {
  'rsa.recover': (i) => ({
    recovered: toHex(
      oda.rsaRecover({ modulus: i.hex('modulus'), exponent: i.hex('exponent') }, i.hex('data')),
    ),
  }),
  'emv.capk.hash': (i) => {
    const key = { modulus: i.hex('modulus'), exponent: i.hex('exponent') }
    const index = i.hex('index')
    demand(index.length === 1, 'length', 'index')
    return { hash: toHex(oda.authorityKeyCheckValue(i.hex('rid'), index[0]!, key)) }
  },
  'emv.cert.issuer': (i) =>
    hexed(
      oda.recoverIssuerCertificate(
        keyOf(i, 'ca'),
        i.hex('certificate'),
        i.optionalHex('remainder') ?? EMPTY,
        i.hex('exponent'),
      ),
    ),
  'emv.cert.icc': (i) =>
    hexed(
      oda.recoverCardCertificate(
        keyOf(i, 'issuer'),
        i.hex('certificate'),
        i.optionalHex('remainder') ?? EMPTY,
        i.hex('exponent'),
        i.optionalHex('staticData') ?? EMPTY,
      ),
    ),
  'emv.iccKey.assemble': (i) =>
    hexed(
      oda.assembleCardKey(
        keyOf(i, 'issuer'),
        i.hex('certificate'),
        i.optionalHex('remainder') ?? EMPTY,
      ),
    ),
  'emv.sda': (i) => {
    const out = oda.verifyStaticData(keyOf(i, 'issuer'), i.hex('ssad'), i.hex('staticData'))
    return { dac: toHex(out.dataAuthenticationCode), hash: toHex(out.hash) }
  },
  'emv.dda': (i) =>
    hexed(
      oda.verifyDynamicData(
        keyOf(i, 'icc'),
        i.hex('sdad'),
        i.optionalHex(i.has('terminalData') ? 'terminalData' : 'unpredictableNumber') ?? EMPTY,
      ),
    ),
  'emv.cda': combined,
  'emv.sm2.cert.issuer': (i) =>
    sm2Certificate(
      verifySm2IssuerCertificate(
        { x: i.hex('caX'), y: i.hex('caY') },
        i.hex('certificate'),
        checkSm2,
      ),
    ),
  'emv.sm2.cert.icc': (i) =>
    sm2Certificate(
      verifySm2CardCertificate(
        { x: i.hex('issuerX'), y: i.hex('issuerY') },
        i.hex('certificate'),
        i.optionalHex('staticData') ?? EMPTY,
        checkSm2,
      ),
    ),
}

export const CARD_ALGORITHMS: Readonly<Record<string, CalcAlgorithm>> = {
  ...CARD_VALUES,
  ...CARD_KEYS,
  ...CRYPTOGRAMS,
  ...OFFLINE,
}
