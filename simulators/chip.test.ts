// The simulated chip against a published PBOC example and its own issuer's answer.
import { createCipheriv } from 'node:crypto'
import t from 'tap'

import { concat, fromHex, toHex, xor } from '../hsm/algorithms/bytes.ts'
import { deriveCardMasterKey, deriveSessionKey } from '../hsm/algorithms/emv-keys.ts'
import { tdesCipher } from '../hsm/algorithms/software-ciphers.ts'
import { cardNamed } from './cards.ts'
import { Chip, tagValue } from './chip.ts'
import { keyOfLabel } from './test-by-hand.ts'

const imk = tdesCipher(keyOfLabel('demo.issuer.imk_ac'))
const transaction = {
  amountMinor: 12_345,
  currency: '156',
  date: '261122',
  type: '00',
  unpredictableNumber: fromHex('11223344'),
  atc: 258,
}

void t.test('DE55 carries the online tags with the values that the cryptogram covers', (test) => {
  const { data } = new Chip(imk, cardNamed('own-1')).request(transaction)
  const rows: [tag: string, value: string][] = [
    ['9F02', '000000012345'],
    ['9F03', '000000000000'],
    ['9F1A', '0156'],
    ['95', '0000048000'],
    ['5F2A', '0156'],
    ['9A', '261122'],
    ['9C', '00'],
    ['9F37', '11223344'],
    ['82', '7C00'],
    ['9F36', '0102'],
    ['9F10', '07000103A0000001'],
    ['9F27', '80'],
  ]
  for (const [tag, value] of rows) test.equal(toHex(tagValue(data, tag)!), value, tag)
  test.equal(tagValue(data, '91'), null)
  test.end()
})

void t.test('the card takes an ARPC made for its cryptogram and code, and no other', (test) => {
  const card = cardNamed('own-7')
  const request = new Chip(imk, card).request(transaction)
  const cardKey = deriveCardMasterKey(imk, 'A', card.pan, card.sequence)
  const session = tdesCipher(
    deriveSessionKey(cardKey, tdesCipher, 'pboc', { atc: fromHex('0102') }),
  )
  const code = fromHex('3030')
  const arpc = session.encryptEcb(xor(request.arqc, concat(code, new Uint8Array(6))))
  test.equal(request.issuerIsGenuine(concat(arpc, code)), true)
  test.equal(request.issuerIsGenuine(concat(arpc, fromHex('3031'))), false, 'another code')
  test.equal(request.issuerIsGenuine(arpc), false, 'no code')
  const other = new Chip(imk, cardNamed('own-1')).request(transaction)
  test.equal(other.issuerIsGenuine(concat(arpc, code)), false, 'another card')
  test.end()
})

void t.test('the counter, the amount and the card each change the cryptogram', (test) => {
  const arqcOf = (name: string, change: object): string =>
    toHex(new Chip(imk, cardNamed(name)).request({ ...transaction, ...change }).arqc)
  const all = [
    arqcOf('own-1', {}),
    arqcOf('own-1', { atc: 259 }),
    arqcOf('own-1', { amountMinor: 1 }),
    arqcOf('own-2', {}),
  ]
  test.equal(new Set(all).size, all.length)
  test.end()
})

/** ISO 9797-1 algorithm 3, padding 2, written out over OpenSSL's three-key form. */
function retailMac(key: Buffer, hex: string): string {
  const data = Buffer.from(`${hex}80`.padEnd(Math.ceil((hex.length + 2) / 16) * 16, '0'), 'hex')
  const [left, right] = [key.subarray(0, 8), key.subarray(8, 16)]
  const des = (form: Buffer[], block: Buffer): Buffer =>
    createCipheriv('des-ede3', Buffer.concat(form), null).setAutoPadding(false).update(block)
  let chained = Buffer.alloc(8)
  for (let at = 0; at < data.length; at += 8) {
    const block = Buffer.from(data.subarray(at, at + 8).map((byte, i) => byte ^ chained[i]!))
    const last = at + 8 === data.length
    chained = Buffer.from(des(last ? [left, right, left] : [left, left, left], block))
  }
  return chained.toString('hex').toUpperCase()
}

void t.test('the retail MAC of this test gives the published PBOC cryptogram', (test) => {
  const session = Buffer.from('C3D3F062E9992B4E923D338D66193526', 'hex')
  const data = '0000000012340000000000340156D86004A800015612051601010101017C00000E03A4B904'
  test.equal(retailMac(session, data), 'F294D7022FA9B058', 'vectors.json emv.ac#011')
  test.end()
})

void t.test('the ARQC is the retail MAC over the values of DE55 in the order of CVN 01', (test) => {
  const card = cardNamed('own-1')
  const { data, arqc } = new Chip(imk, card).request(transaction)
  const order = ['9F02', '9F03', '9F1A', '95', '5F2A', '9A', '9C', '9F37', '82', '9F36']
  const values = order.map((tag) => toHex(tagValue(data, tag)!)).join('')
  const cvr = toHex(tagValue(data, '9F10')!).slice(6, 14)
  // Option A: rightmost 16 digits of PAN and sequence number, and the complement; then ATC, ~ATC.
  const y = `${card.pan}${card.sequence}`.slice(-16)
  const inverse = Buffer.from(y, 'hex').map((byte) => byte ^ 0xff)
  const cardKey = imk.encryptEcb(Buffer.concat([Buffer.from(y, 'hex'), inverse]))
  const session = tdesCipher(cardKey).encryptEcb(fromHex('0000000000000102000000000000FEFD'))
  test.equal(toHex(arqc), retailMac(Buffer.from(session), values + cvr))
  test.end()
})

void t.test('tags are found behind long lengths, and a cut value is no value', (test) => {
  const long = concat(fromHex('718180'), new Uint8Array(128), fromHex('910A00112233445566773030'))
  test.equal(toHex(tagValue(long, '91')!), '00112233445566773030')
  test.equal(tagValue(fromHex('910A0011'), '91'), null)
  test.equal(tagValue(new Uint8Array(0), '91'), null)
  test.end()
})
