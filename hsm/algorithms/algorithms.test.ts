// Properties of the payment algorithms against node:crypto and against slow builders written here
// from the standards' text. Known answers are in tests/calc.test.ts.

import { createCipheriv, createHash } from 'node:crypto'
import fc from 'fast-check'
import t, { type Test } from 'tap'

import { fromHex, toHex } from './bytes.ts'
import { cbcDecrypt, counterMode } from './cipher-modes.ts'
import { cupsHostMac, cupsMab, cupsMabField, cupsMacField } from './cups-mac.ts'
import { cardMasterKeyData, deriveCardMasterKey } from './emv-keys.ts'
import { AlgorithmError } from './errors.ts'
import type { AlgorithmErrorKind } from './errors.ts'
import { buildKeyBlockHeader, keyBlockKeys, parseKeyBlockHeader } from './key-block.ts'
import { demandKeySuitsHeader, unwrapKeyBlock, wrapKeyBlock } from './key-block.ts'
import type { KeyBlockVersion } from './key-block.ts'
import { hasOddParity, withOddParity } from './key-combination.ts'
import { macAlgorithm1, macAlgorithm3, padForMac, unionPayPosMac } from './mac.ts'
import { panField8, pinFromText, pinToText } from './pin-block.ts'
import {
  PIN_BLOCK_FORMATS,
  decryptPin,
  demandTranslationAllowed,
  encryptPin,
  translatePinBlock,
} from './pin-translation.ts'
import type { PinBlockFormat } from './pin-translation.ts'
import { demandSafeDecimalizationTable, verifyIbm3624, verifyVisaPvv } from './pin-verification.ts'
import { ibm3624Offset, validationDataOf, visaPvv } from './pin-verification.ts'
import { scp02CardKey, scp02CommandMac } from './scp02.ts'
import { sm2PublicKey, sm2SignHash, sm2VerifyHash } from './sm2.ts'
import {
  aesCipher,
  desCipher,
  edeCipher,
  retailMacCiphers,
  sm4Cipher,
  softwareCipher,
  tdesCipher,
} from './software-ciphers.ts'

// A fixed seed unless one is given, printed by fast-check on failure; time-boxed.
const RUNS = { numRuns: 200, interruptAfterTimeLimit: 2_000, markInterruptAsFailure: false }

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const message = fc.uint8Array({ minLength: 0, maxLength: 70 })
const digits = (min: number, max: number) =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: min, maxLength: max })
    .map((list) => list.join(''))

function refusedAs(t: Test, kind: AlgorithmErrorKind, work: () => unknown, name: string): void {
  try {
    work()
    t.fail(`${name}: was not refused`)
  } catch (fault) {
    t.ok(fault instanceof AlgorithmError, name)
    t.equal((fault as AlgorithmError).kind, kind, name)
  }
}

/** Single DES of one block, by node:crypto. */
function des(key: Uint8Array, block: Uint8Array): Uint8Array {
  const cipher = createCipheriv('des-ede3-ecb', Buffer.concat([key, key, key]), null)
  return cipher.setAutoPadding(false).update(block)
}

t.test('ECB, CBC and counter mode agree with node:crypto in both directions', async (t) => {
  const rows = [
    { name: 'aes-128', cipher: aesCipher, keyBytes: 16 },
    { name: 'aes-192', cipher: aesCipher, keyBytes: 24 },
    { name: 'aes-256', cipher: aesCipher, keyBytes: 32 },
    { name: 'sm4', cipher: sm4Cipher, keyBytes: 16 },
  ]
  for (const { name, cipher, keyBytes } of rows) {
    fc.assert(
      fc.property(bytes(keyBytes), bytes(16), bytes(48), message, (key, iv, data, stream) => {
        const ours = cipher(key)
        const cbc = createCipheriv(`${name}-cbc`, key, iv).setAutoPadding(false).update(data)
        const ctr = createCipheriv(`${name}-ctr`, key, iv).update(stream)
        return (
          toHex(ours.encryptCbc(iv, data)) === toHex(cbc) &&
          toHex(cbcDecrypt(ours, iv, cbc)) === toHex(data) &&
          toHex(counterMode(ours, iv, stream)) === toHex(ctr) &&
          toHex(ours.decryptEcb(ours.encryptEcb(data))) === toHex(data)
        )
      }),
      RUNS,
    )
  }
  t.pass('no counterexample')
})

t.test('a 3DES key of 8, 16 or 24 bytes is E3(D2(E1(x))) of single DES steps', async (t) => {
  fc.assert(
    fc.property(bytes(24), bytes(8), (key, block) => {
      const [k1, k2, k3] = [key.slice(0, 8), key.slice(8, 16), key.slice(16)]
      const pair = desCipher(k1).encryptEcb(desCipher(k2).decryptEcb(des(k1, block)))
      const triple = desCipher(k3).encryptEcb(desCipher(k2).decryptEcb(des(k1, block)))
      return (
        toHex(tdesCipher(key.slice(0, 16)).encryptEcb(block)) === toHex(pair) &&
        toHex(tdesCipher(key).encryptEcb(block)) === toHex(triple) &&
        toHex(tdesCipher(k1).encryptEcb(block)) === toHex(des(k1, block)) &&
        toHex(edeCipher(desCipher(k1), desCipher(k2)).encryptEcb(block)) === toHex(pair)
      )
    }),
    RUNS,
  )
  t.pass('no counterexample')
})

t.test('the two-cipher retail MAC equals the step by step algorithm 3', async (t) => {
  fc.assert(
    fc.property(bytes(16), message, fc.constantFrom(1, 2, 3), (key, data, padding) => {
      const [k1, k2] = [key.slice(0, 8), key.slice(8)]
      const padded = padForMac(data, padding, 8)
      let h: Uint8Array = new Uint8Array(8)
      for (let at = 0; at < padded.length; at += 8) {
        h = des(k1, h.map((byte, i) => byte ^ padded[at + i]!))
      }
      const wanted = des(k1, desCipher(k2).decryptEcb(h))
      const { single, pair } = retailMacCiphers('tdes', key)
      return toHex(macAlgorithm3(single, pair, data, { padding })) === toHex(wanted)
    }),
    RUNS,
  )
  t.pass('no counterexample')
})

t.test('padding methods are as ISO 9797-1 writes them', async (t) => {
  const rows = [
    { name: 'method 1, empty', data: '', padding: 1, want: '0000000000000000' },
    {
      name: 'method 1, whole block',
      data: '0102030405060708',
      padding: 1,
      want: '0102030405060708',
    },
    { name: 'method 2, empty', data: '', padding: 2, want: '8000000000000000' },
    { name: 'method 2, part block', data: '010203', padding: 2, want: '0102038000000000' },
    {
      name: 'method 2, whole block',
      data: '0102030405060708',
      padding: 2,
      want: '01020304050607088000000000000000',
    },
    { name: 'method 3', data: '010203', padding: 3, want: '00000000000000180102030000000000' },
    { name: 'method 3, empty', data: '', padding: 3, want: '0000000000000000' },
  ] as const
  for (const { name, data, padding, want } of rows) {
    t.equal(toHex(padForMac(fromHex(data), padding, 8)), want, `${name} (ISO 9797-1, 6.3)`)
  }
  const cipher = desCipher(fromHex('0123456789ABCDEF'))
  refusedAs(t, 'length', () => macAlgorithm1(cipher, fromHex('01'), { padding: 0 }), 'method 0')
  refusedAs(
    t,
    'length',
    () => macAlgorithm1(cipher, fromHex('01'), { padding: 1, length: 9 }),
    'more MAC bytes than a block has',
  )
})

const KEY_BYTES: Readonly<Record<8 | 16, number>> = { 8: 16, 16: 16 }

function cipherFor(format: PinBlockFormat, key: Uint8Array) {
  if (format === 'iso4') return aesCipher(key)
  return format.includes('sm4') ? sm4Cipher(key) : tdesCipher(key)
}

t.test('every PIN block format gives back the PIN under its PAN', async (t) => {
  for (const format of PIN_BLOCK_FORMATS) {
    fc.assert(
      fc.property(digits(4, 12), digits(12, 19), bytes(KEY_BYTES[8]), (pin, pan, key) => {
        const cipher = cipherFor(format, key)
        const block = encryptPin(cipher, format, pinFromText(pin), pan)
        return pinToText(decryptPin(cipher, format, block, pan)) === pin
      }),
      RUNS,
    )
    t.pass(format)
  }
})

t.test('a PIN block never opens to a wrong PIN silently under a PAN of other digits', async (t) => {
  // The PAN part touches PIN digits and filler; for formats 0 and 3 a PIN may differ only where
  // every filler check still holds, which a change in the last ten PAN digits cannot pass.
  for (const format of ['iso0', 'unionpay_pan', 'iso4'] as const) {
    fc.assert(
      fc.property(digits(4, 4), digits(16, 16), bytes(16), (pin, pan, key) => {
        const cipher = cipherFor(format, key)
        const block = encryptPin(cipher, format, pinFromText(pin), pan)
        const other = `${pan.slice(0, 14)}${(Number(pan[14]) + 1) % 10}${pan.slice(15)}`
        try {
          decryptPin(cipher, format, block, other)
          return false
        } catch (fault) {
          return fault instanceof AlgorithmError
        }
      }),
      RUNS,
    )
    t.pass(format)
  }
})

t.test('UnionPay blocks of 10 to 12 digits write the length in decimal', async (t) => {
  const cipher = tdesCipher(new Uint8Array(16))
  const block = encryptPin(cipher, 'unionpay_no_pan', pinFromText('1234567890'), '')
  t.equal(toHex(cipher.decryptEcb(block)), '101234567890FFFF', 'ISO format 0 would begin 0A')
  t.equal(toHex(panField8('621')), '0000000000000062', 'a short PAN is zero-filled on the left')
})

t.test('translation keeps the PIN and forbids what PCI PIN 3-3 forbids', async (t) => {
  const zone = aesCipher(fromHex('00112233445566778899AABBCCDDEEFF'))
  const terminal = tdesCipher(fromHex('0123456789ABCDEFFEDCBA9876543210'))
  const pan = '6225880123456789'
  const block = encryptPin(terminal, 'iso0', pinFromText('93751'), pan)
  const source = { cipher: terminal, format: 'iso0', pan } as const
  const out = translatePinBlock(source, { cipher: zone, format: 'iso4', pan }, block)
  t.equal(pinToText(decryptPin(zone, 'iso4', out, pan)), '93751')
  const forbidden = [
    { from: 'iso0', to: 'iso1', samePan: true },
    { from: 'iso4', to: 'unionpay_no_pan', samePan: true },
    { from: 'iso0', to: 'iso3', samePan: false },
    { from: 'iso2', to: 'iso0', samePan: true },
    { from: 'iso0', to: 'iso2', samePan: true },
  ] as const
  for (const { from, to, samePan } of forbidden) {
    const name = `${from} to ${to}${samePan ? '' : ' with another PAN'} (PCI PIN 3-3)`
    refusedAs(t, 'policy', () => demandTranslationAllowed(from, to, samePan), name)
  }
  t.doesNotThrow(() => demandTranslationAllowed('iso1', 'iso0', true))
  t.doesNotThrow(() => demandTranslationAllowed('iso3', 'unionpay_pan', true))
})

t.test('a right PIN verifies and a wrong PIN does not', async (t) => {
  fc.assert(
    fc.property(bytes(16), digits(4, 12), digits(16, 16), bytes(8), (key, pin, pan, data) => {
      const pvk = tdesCipher(key)
      const right = pinFromText(pin)
      const wrong = Uint8Array.from(right)
      wrong[0] = (wrong[0]! + 1) % 10
      const table = '0123456789012345'
      const offset = ibm3624Offset(pvk, data, table, right)
      const pvv = visaPvv(pvk, pan, '1', right)
      return (
        verifyIbm3624(pvk, data, table, offset, right) &&
        !verifyIbm3624(pvk, data, table, offset, wrong) &&
        verifyVisaPvv(pvk, pan, '1', right, pvv)
      )
    }),
    RUNS,
  )
  t.doesNotThrow(() => demandSafeDecimalizationTable('0123456789012345'))
  refusedAs(t, 'policy', () => demandSafeDecimalizationTable('0000000000000001'), 'weak table')
})

t.test('validation data follow the issuer rule', async (t) => {
  const pan = '4556737586899855'
  const rows = [
    { name: 'whole PAN', rule: { kind: 'pan16' }, pan, want: pan },
    { name: 'long PAN keeps its right end', rule: { kind: 'pan16' }, pan: `622${pan}`, want: pan },
    {
      name: 'slice',
      rule: { kind: 'slice', offset: 4, length: 10, pad: 'F' },
      pan,
      want: '7375868998FFFFFF',
    },
    {
      name: 'Thales template',
      rule: { kind: 'template', template: '1234567890N' },
      pan,
      want: '123456789089985F',
    },
  ] as const
  for (const row of rows) {
    const { name, rule, want } = row
    t.equal(toHex(validationDataOf(rule, row.pan)), want, `${name} (crypto facts, section 3)`)
  }
})

t.test('SCP02 card keys, cryptograms and C-MAC follow their texts', async (t) => {
  const kmc = tdesCipher(fromHex('404142434445464748494A4B4C4D4E4F'))
  const key = scp02CardKey(kmc, fromHex('010203040506'), 'mac')
  const plain = kmc.encryptEcb(fromHex('010203040506F0020102030405060F02'))
  t.equal(toHex(key), toHex(withOddParity(plain)), 'EMV CPS 5.3')
  const { single, pair } = retailMacCiphers('tdes', key)
  const command = fromHex('8482000010A1A2A3A4A5A6A7A8')
  const first = scp02CommandMac(single, pair, command)
  t.equal(toHex(first), toHex(macAlgorithm3(single, pair, command, { padding: 2 })))
  const second = scp02CommandMac(single, pair, command, first)
  const iv = single.encryptEcb(first)
  t.equal(toHex(second), toHex(macAlgorithm3(single, pair, command, { padding: 2, iv })))
  t.not(toHex(second), toHex(first), 'the chain enters the MAC')
})

t.test('the MAB text is normalised as the CUPS MAC rule says', async (t) => {
  const rows = [
    { name: 'letters are raised', text: 'abcXyz', want: 'ABCXYZ' },
    { name: 'other characters go', text: '0200=?/*-12', want: '020012' },
    { name: 'comma and full stop stay', text: 'A,B.C', want: 'A,B.C' },
    { name: 'runs of blanks become one, ends are trimmed', text: '  A   B ', want: 'A B' },
    { name: 'blanks left by dropped characters are squeezed', text: 'A - B', want: 'A B' },
    { name: 'nothing stays', text: ' /// ', want: '' },
    { name: 'letters of other scripts go', text: 'aßÄ1', want: 'A1' },
  ]
  for (const { name, text, want } of rows) {
    t.equal(cupsMabField(text), want, `${name} (cups-host 9.2)`)
  }
  const mab = cupsMab(['0200', '166225880123456789', '', '0812345678', '  '])
  t.equal(mab, '0200 166225880123456789 0812345678', 'fields are joined by one blank')
  const single = desCipher(fromHex('0123456789ABCDEF'))
  const wanted = macAlgorithm1(single, Buffer.from(mab), { padding: 1 })
  t.equal(toHex(cupsHostMac('cbc', { single }, mab)), toHex(wanted))
  const forms = retailMacCiphers('tdes', fromHex('0123456789ABCDEFFEDCBA9876543210'))
  const retail = macAlgorithm3(forms.single, forms.pair, Buffer.from(mab), { padding: 1 })
  t.equal(toHex(cupsHostMac('x9.19', forms, mab)), toHex(retail))
  t.equal(Buffer.from(cupsMacField(retail)).toString(), toHex(retail).slice(0, 8))
  refusedAs(t, 'unsupported', () => cupsHostMac('x9.19', { single }, mab), 'X9.19 without a pair')
})

t.test('the UnionPay POS MAC folds, so the order of whole blocks does not matter', async (t) => {
  fc.assert(
    fc.property(bytes(16), bytes(8), bytes(8), (key, first, second) => {
      const cipher = tdesCipher(key)
      const one = unionPayPosMac(cipher, Buffer.concat([first, second]))
      const other = unionPayPosMac(cipher, Buffer.concat([second, first]))
      return toHex(one.de64) === toHex(other.de64) && one.de64.length === 8
    }),
    RUNS,
  )
  t.pass('no counterexample')
})

const VERSION_KEYS: readonly { version: KeyBlockVersion; kbpkBytes: number }[] = [
  { version: 'A', kbpkBytes: 16 },
  { version: 'B', kbpkBytes: 16 },
  { version: 'B', kbpkBytes: 24 },
  { version: 'C', kbpkBytes: 24 },
  { version: 'D', kbpkBytes: 16 },
  { version: 'D', kbpkBytes: 24 },
  { version: 'D', kbpkBytes: 32 },
  { version: 'E', kbpkBytes: 32 },
]

t.test('a key block gives back its key, and any changed character is refused', async (t) => {
  for (const { version, kbpkBytes } of VERSION_KEYS) {
    const header = buildKeyBlockHeader({
      version,
      usage: 'P0',
      algorithm: 'T',
      mode: 'B',
      exportability: 'E',
      optionalBlocks: [
        { id: 'KS', data: '00604B120F9292800000' },
        { id: 'ZZ', data: 'unknown blocks are kept' },
      ],
    })
    const kept = parseKeyBlockHeader(header).optionalBlocks.map(({ id }) => id)
    t.same(kept.slice(0, 2), ['KS', 'ZZ'])
    fc.assert(
      fc.property(bytes(kbpkBytes), bytes(16), fc.nat(), (kbpk, key, place) => {
        const keys = keyBlockKeys(version, kbpk, softwareCipher)
        const block = wrapKeyBlock(keys, header, key)
        const same = toHex(unwrapKeyBlock(keys, block).key) === toHex(key)
        const at = place % block.length
        const changed = block[at] === '1' ? '2' : '1'
        const altered = block.slice(0, at) + changed + block.slice(at + 1)
        try {
          unwrapKeyBlock(keys, altered)
          return false
        } catch (fault) {
          return same && fault instanceof AlgorithmError
        }
      }),
      { ...RUNS, numRuns: 100 },
    )
    t.pass(`version ${version}, protection key of ${kbpkBytes} bytes`)
  }
})

t.test('a key block is refused when cut, and its key is judged against its header', async (t) => {
  const kbpk = fromHex('00112233445566778899AABBCCDDEEFF')
  const keys = keyBlockKeys('D', kbpk, softwareCipher)
  const block = wrapKeyBlock(keys, 'D0000P0AE00E0000', fromHex('AB'.repeat(16)))
  for (let length = 0; length < block.length; length++) {
    t.throws(() => unwrapKeyBlock(keys, block.slice(0, length)), { name: 'AlgorithmError' })
  }
  const strong = wrapKeyBlock(keys, 'D0000P0AE00E0000', fromHex('AB'.repeat(32)))
  const unwrapped = unwrapKeyBlock(keys, strong)
  refusedAs(t, 'policy', () => demandKeySuitsHeader(unwrapped, 'aes', 16), 'AES-256 under AES-128')
  t.doesNotThrow(() => demandKeySuitsHeader(unwrapKeyBlock(keys, block), 'aes', 16))
  const wrong = unwrapKeyBlock(keys, wrapKeyBlock(keys, 'D0000P0TE00E0000', fromHex('ABCD')))
  refusedAs(t, 'policy', () => demandKeySuitsHeader(wrong, 'aes', 16), 'TDES key of two bytes')
})

t.test('card keys are the ECB encipherment of their data with odd parity', async (t) => {
  fc.assert(
    fc.property(bytes(16), digits(13, 19), digits(2, 2), (imk, pan, psn) => {
      const cipher = tdesCipher(imk)
      const key = deriveCardMasterKey(cipher, 'A', pan, psn)
      const data = cardMasterKeyData('A', pan, psn)
      const y = `${pan}${psn}`.slice(-16).padStart(16, '0')
      const plain = cipher.encryptEcb(data)
      return (
        toHex(data.slice(0, 8)) === y &&
        data.slice(8).every((byte, at) => (byte ^ data[at]!) === 0xff) &&
        hasOddParity(key) &&
        toHex(withOddParity(plain)) === toHex(key)
      )
    }),
    RUNS,
  )
  const long = cardMasterKeyData('B', '62258801234567890', '00')
  const hash = createHash('sha1').update(fromHex('06225880123456789000')).digest('hex')
  const letters = hash.replace(/[0-9]/g, '').replace(/[a-f]/g, (h) => String('abcdef'.indexOf(h)))
  const wanted = (hash.replace(/[a-f]/g, '') + letters).slice(0, 16)
  t.equal(toHex(long.slice(0, 8)), wanted, 'option B by text (EMV Book 2, A1.4.2)')
})

t.test('an SM2 signature verifies for its message and key only', async (t) => {
  fc.assert(
    fc.property(bytes(31), bytes(32), (secret, hash) => {
      const d = Uint8Array.of(1, ...secret)
      const key = sm2PublicKey(d)
      const signature = sm2SignHash(d, hash)
      const other = Uint8Array.from(hash)
      other[31] = other[31]! ^ 1
      return sm2VerifyHash(key, hash, signature) && !sm2VerifyHash(key, other, signature)
    }),
    { ...RUNS, numRuns: 8 },
  )
  t.pass('no counterexample')
})
