// The ATM simulator against a scripted switch over real sockets; frames are read and
// written by hand.
import t, { type Test } from 'tap'

import { fromHex, toHex } from '../../hsm/algorithms/bytes.ts'
import { decryptPin } from '../../hsm/algorithms/pin-translation.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { seededRandom } from '../../switch/runtime/random.ts'
import { cardNamed, pinOf } from '../cards.ts'
import { tagValue } from '../chip.ts'
import { WorkingKey } from '../keys.ts'
import {
  ATM,
  type HandSocket,
  bodyByHand,
  keyOfLabel,
  listenByHand,
  readByHand,
  tokenOfLabels,
} from '../test-by-hand.ts'
import { AtmTerminal } from './atm.ts'
import { TerminalState } from './state.ts'

const frameBytes = (head: Buffer): number => (head.length < 2 ? 0 : head.readUInt16BE(0) + 2)
const MASTER = tdesCipher(keyOfLabel('demo.tmk.20000001'))
const PIN_KEY = new WorkingKey(fromHex('0123456789ABCDEFFEDCBA9876543210'))
const MAC_KEY = new WorkingKey(fromHex('1C1C2A2A4F4F6B6B7A7A8C8C0101F2F2'))

type Fields = Readonly<Record<number, string>>

function framed(body: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(body.length)
  return Buffer.concat([length, body])
}

/** X9.19 over everything before DE64. */
function macOf(body: Buffer, offset: number): string {
  return toHex(MAC_KEY.retailMac(Uint8Array.from(body.subarray(0, offset))))
}

function answer(mti: string, fields: Fields, right = true): Buffer {
  const draft = bodyByHand(ATM, mti, { ...fields, 64: '0'.repeat(16) })
  const mac = macOf(draft, draft.length - 16)
  return framed(bodyByHand(ATM, mti, { ...fields, 64: right ? mac : '0'.repeat(16) }))
}

interface World {
  readonly atm: AtmTerminal
  readonly line: HandSocket
}

async function signedOn(test: Test, answerTimeoutMs = 5_000): Promise<World> {
  const listening = await listenByHand(frameBytes)
  const random = seededRandom('atm')
  const atm = new AtmTerminal({
    address: { host: '127.0.0.1', port: listening.port },
    terminal: '20000001',
    merchant: '123456789012399',
    token: tokenOfLabels(),
    clock: systemClock,
    random,
    state: new TerminalState(null, random),
    answerTimeoutMs,
  })
  await atm.connect()
  const line = await listening.accepted()
  test.teardown(() => {
    atm.close()
    line.end()
    listening.close()
  })
  const signOn = atm.signOn()
  const { mti, fields } = readByHand(ATM, (await line.next()).subarray(2))
  test.equal(mti, '0800')
  test.strictSame(Object.keys(fields).map(Number), [7, 11, 41, 70])
  const keys =
    toHex(PIN_KEY.wrappedUnder(MASTER)) +
    toHex(PIN_KEY.checkValue(4)) +
    toHex(MAC_KEY.wrappedUnder(MASTER)) +
    toHex(MAC_KEY.checkValue(4))
  const { 7: time, 11: stan } = fields
  line.send(
    framed(
      bodyByHand(ATM, '0810', {
        7: time!,
        11: stan!,
        39: '00',
        41: '20000001',
        62: keys,
        70: '001',
      }),
    ),
  )
  test.match(await signOn, { code: '00', note: '' })
  return { atm, line }
}

const cash = { card: cardNamed('own-2'), amountMinor: 10_000, chip: true }

function approval(request: Fields): Record<number, string> {
  const fields: Record<number, string> = { 37: '632601000009', 38: '123456', 39: '00' }
  for (const field of [2, 3, 4, 7, 11, 12, 13, 41, 42, 49]) fields[field] = request[field]!
  return fields
}

void t.test(
  'a withdrawal carries the fields of the profile, the PIN under the TPK and a right MAC',
  async (test) => {
    const { atm, line } = await signedOn(test)
    const result = atm.withdrawal(cash)
    const body = (await line.next()).subarray(2)
    const { mti, fields, offsets } = readByHand(ATM, body)
    test.equal(mti, '0200')
    test.strictSame(
      Object.keys(fields).map(Number),
      [2, 3, 4, 7, 11, 12, 13, 14, 18, 22, 23, 25, 35, 41, 42, 43, 49, 52, 55, 64],
    )
    test.match(fields, {
      2: '6223001000002747',
      3: '010000',
      4: '000000010000',
      18: '6011',
      22: '051',
      23: '001',
      25: '02',
      35: '6223001000002747=311220100000000',
      49: '156',
    })
    test.equal(fields[64], macOf(body, offsets[64]!))
    const pin = decryptPin(PIN_KEY.pair, 'iso0', fromHex(fields[52]!), fields[2]!)
    test.strictSame(pin, pinOf(cash.card))
    test.equal(toHex(tagValue(fromHex(fields[55]!), '9F02')!), '000000010000')
    line.send(
      answer('0210', { ...approval(fields), 54: '1001156C0000000900001002156C000000080000' }),
    )
    test.match(await result, {
      code: '00',
      macRight: true,
      balanceMinor: 80_000,
      authorisation: '123456',
    })
  },
)

void t.test(
  'a stripe card has no DE23 and DE55, a balance inquiry has amount zero',
  async (test) => {
    const { atm, line } = await signedOn(test)
    const result = atm.balance({ card: cardNamed('cups-1'), amountMinor: 5, chip: false })
    const { fields } = readByHand(ATM, (await line.next()).subarray(2))
    test.match(fields, { 3: '300000', 4: '000000000000', 22: '021' })
    test.notOk(23 in fields || 55 in fields)
    line.send(answer('0210', { ...approval(fields), 39: '55' }))
    test.match(await result, { code: '55', balanceMinor: null })
  },
)

void t.test(
  'no answer in time makes a reversal with the STAN and local time of the original',
  async (test) => {
    const { atm, line } = await signedOn(test, 80)
    const result = atm.withdrawal(cash)
    const { fields } = readByHand(ATM, (await line.next()).subarray(2))
    const body = (await line.next()).subarray(2)
    const { mti, fields: back, offsets } = readByHand(ATM, body)
    test.equal(mti, '0420')
    test.strictSame(Object.keys(back).map(Number), [2, 3, 4, 7, 11, 12, 13, 39, 41, 42, 49, 64])
    for (const field of [2, 3, 4, 11, 12, 13, 41, 42, 49])
      test.equal(back[field], fields[field], `DE${field}`)
    test.equal(back[39], '68')
    test.equal(back[64], macOf(body, offsets[64]!))
    line.send(answer('0430', { ...approval(fields), 39: '00' }))
    test.match(await result, { code: '', note: /no_answer; reversal was answered 00/ })
  },
)

void t.test(
  'an approval whose MAC is wrong gives no money: it is reversed with A0',
  async (test) => {
    const { atm, line } = await signedOn(test)
    const result = atm.withdrawal(cash)
    const { fields } = readByHand(ATM, (await line.next()).subarray(2))
    line.send(answer('0210', approval(fields), false))
    const { fields: back } = readByHand(ATM, (await line.next()).subarray(2))
    test.equal(back[39], 'A0')
    line.send(answer('0430', approval(fields)))
    test.match(await result, { macRight: false })
  },
)
