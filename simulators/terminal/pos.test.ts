// The POS simulator against a scripted switch over real sockets; frames are read and
// written by hand.
import t, { type Test } from 'tap'

import { fromHex, toHex } from '../../hsm/algorithms/bytes.ts'
import { decryptPin } from '../../hsm/algorithms/pin-translation.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { seededRandom } from '../../switch/runtime/random.ts'
import { cardNamed, pinOf } from '../cards.ts'
import { WorkingKey } from '../keys.ts'
import {
  type HandSocket,
  POS,
  bodyByHand,
  keyOfLabel,
  listenByHand,
  readByHand,
  tokenOfLabels,
} from '../test-by-hand.ts'
import { PosTerminal } from './pos.ts'
import { TerminalState } from './state.ts'

const frameBytes = (head: Buffer): number => (head.length < 2 ? 0 : head.readUInt16BE(0) + 2)
const ENVELOPE_BYTES = 13 // length, TPDU, application header
const MASTER = tdesCipher(keyOfLabel('demo.tmk.10000001'))
const PIN_KEY = new WorkingKey(fromHex('0123456789ABCDEFFEDCBA9876543210'))
const MAC_KEY = new WorkingKey(fromHex('1C1C2A2A4F4F6B6B'))

type Fields = Readonly<Record<number, string>>

function read(frame: Buffer) {
  return {
    envelope: frame.subarray(2, ENVELOPE_BYTES),
    ...readByHand(POS, frame.subarray(ENVELOPE_BYTES)),
  }
}

function framed(body: Buffer): Buffer {
  const envelope = Buffer.from('6000000003603100310730', 'hex')
  const length = Buffer.alloc(2)
  length.writeUInt16BE(envelope.length + body.length)
  return Buffer.concat([length, envelope, body])
}

/** DE64: UnionPay ECB MAC over everything before it, written out. */
function posMac(beforeMac: Uint8Array): string {
  const fold = Buffer.alloc(8)
  for (let i = 0; i < beforeMac.length; i++) fold[i % 8] = fold[i % 8]! ^ beforeMac[i]!
  const text = Buffer.from(fold.toString('hex').toUpperCase(), 'ascii')
  const first = Buffer.from(MAC_KEY.single.encryptEcb(text.subarray(0, 8)))
  const mixed = Buffer.from(first.map((byte, i) => byte ^ text[8 + i]!))
  return Buffer.from(MAC_KEY.single.encryptEcb(mixed)).toString('hex').toUpperCase().slice(0, 8)
}

function answer(mti: string, fields: Fields, mac: 'right' | 'wrong' | 'none'): Buffer {
  if (mac === 'none') return framed(bodyByHand(POS, mti, fields))
  const draft = bodyByHand(POS, mti, { ...fields, 64: '00000000' })
  const right = posMac(draft.subarray(0, draft.length - 8))
  const wrong = right[0] === 'F' ? `0${right.slice(1)}` : `F${right.slice(1)}`
  return framed(bodyByHand(POS, mti, { ...fields, 64: mac === 'right' ? right : wrong }))
}

/** DE62 of 0810: PIK 16, KCV 4, MAK 8, eight zeros, KCV 4. */
function keyData(): string {
  return (
    toHex(PIN_KEY.wrappedUnder(MASTER)) +
    toHex(PIN_KEY.checkValue(4)) +
    toHex(MAC_KEY.wrappedUnder(MASTER)) +
    '00'.repeat(8) +
    toHex(MAC_KEY.checkValue(4))
  )
}

interface World {
  readonly pos: PosTerminal
  readonly line: HandSocket
}

async function connected(test: Test, answerTimeoutMs = 5_000): Promise<World> {
  const listening = await listenByHand(frameBytes)
  const random = seededRandom('pos')
  const pos = new PosTerminal({
    address: { host: '127.0.0.1', port: listening.port },
    terminal: '10000001',
    merchant: '123456789012345',
    token: tokenOfLabels(),
    clock: systemClock,
    random,
    state: new TerminalState(null, random),
    answerTimeoutMs,
  })
  await pos.connect()
  const line = await listening.accepted()
  test.teardown(() => {
    pos.close()
    line.end()
    listening.close()
  })
  return { pos, line }
}

async function signedOn(test: Test, answerTimeoutMs?: number): Promise<World> {
  const world = await connected(test, answerTimeoutMs)
  const signOn = world.pos.signOn()
  const { mti, fields, envelope } = read(await world.line.next())
  test.equal(mti, '0800')
  test.equal(envelope.toString('hex'), '6000030000603100310730')
  test.strictSame(Object.keys(fields).map(Number), [11, 41, 42, 60, 62, 63])
  test.match(fields[60]!, /^00[0-9]{6}003$/)
  test.match(Buffer.from(fields[62]!, 'hex').toString(), /^Sequence No16/)
  const { 11: stan } = fields
  world.line.send(
    answer(
      '0810',
      {
        11: stan!,
        12: '101010',
        13: '1122',
        37: '632601000001',
        39: '00',
        41: '10000001',
        42: '123456789012345',
        60: '00000042003',
        62: keyData(),
      },
      'none',
    ),
  )
  test.match(await signOn, { code: '00', note: '' })
  return world
}

const sale = {
  card: cardNamed('own-1'),
  amountMinor: 1_250,
  chip: true,
  withPin: true,
}

function approval(request: Fields): Record<number, string> {
  return {
    3: request[3]!,
    4: request[4]!,
    11: request[11]!,
    37: '632601000002',
    38: '654321',
    39: '00',
    41: '10000001',
    42: '123456789012345',
    49: '156',
    60: request[60]!,
  }
}

void t.test(
  'a sale carries the fields of the interface, the PIN under the PIK, and a right MAC',
  async (test) => {
    const { pos, line } = await signedOn(test)
    const result = pos.sale(sale)
    const frame = await line.next()
    const { mti, fields, offsets } = read(frame)
    test.equal(mti, '0200')
    test.strictSame(
      Object.keys(fields).map(Number),
      [2, 3, 4, 11, 14, 22, 23, 25, 26, 35, 41, 42, 49, 52, 53, 55, 60, 64],
    )
    test.match(fields, {
      2: '6223001000001376',
      3: '000000',
      4: '000000001250',
      14: '3112',
      22: '051',
      23: '001',
      25: '00',
      26: '12',
      35: '6223001000001376D311220100000000',
      53: '2600000000000000',
      60: '2200004200050',
    })
    test.equal(fields[64], posMac(frame.subarray(ENVELOPE_BYTES, ENVELOPE_BYTES + offsets[64]!)))
    const pin = decryptPin(PIN_KEY.pair, 'unionpay_pan', fromHex(fields[52]!), fields[2]!)
    test.strictSame(pin, pinOf(sale.card))
    line.send(answer('0210', approval(fields), 'right'))
    test.match(await result, {
      code: '00',
      macRight: true,
      rrn: '632601000002',
      authorisation: '654321',
      note: '',
    })
  },
)

void t.test('an approval whose MAC is wrong is reversed with reason A0', async (test) => {
  const { pos, line } = await signedOn(test)
  const result = pos.sale(sale)
  const { fields } = read(await line.next())
  line.send(answer('0210', approval(fields), 'wrong'))
  const { mti, fields: back } = read(await line.next())
  test.equal(mti, '0400')
  test.equal(back[39], 'A0')
  test.equal(back[11], fields[11], 'the same trace number')
  for (const field of [26, 35, 52, 53]) test.notOk(field in back, `no DE${field}`)
  test.match(back[55]!, /^95050000048000/, 'reduced chip data')
  line.send(answer('0410', { ...approval(fields), 39: '00' }, 'right'))
  test.match(await result, { code: '00', macRight: false, note: /reversal A0 was answered 00/ })
})

void t.test('no answer in time makes up to three reversals with reason 98', async (test) => {
  const { pos, line } = await signedOn(test, 60)
  const result = pos.sale(sale)
  await line.next()
  const first = await line.next()
  const { mti, fields } = read(first)
  test.equal(mti, '0400')
  test.equal(fields[39], '98')
  test.strictSame(await line.next(), first, 'the repeat is the same message')
  test.strictSame(await line.next(), first)
  test.match(await result, { code: '', note: /no_answer; reversal 98 was not answered/ })
  await new Promise((resolve) => systemClock.after(100, () => resolve(null)))
  test.notOk(line.waiting, 'not a fourth one')
})

void t.test(
  "a late answer and a stranger's answer are kept apart, not taken for the present one",
  async (test) => {
    const { pos, line } = await signedOn(test)
    const result = pos.balance({ ...sale, amountMinor: 0 })
    const { fields } = read(await line.next())
    const right = { ...approval(fields), 3: '310000', 54: '1002156C000000012345' }
    delete (right as Record<number, string | undefined>)[4]
    line.send(answer('0210', { ...right, 11: '999999' }, 'right'))
    line.send(answer('0210', right, 'right'))
    test.match(await result, { code: '00', balanceMinor: 12_345 })
    test.equal(pos.line.unexpected.length, 1)
  },
)

void t.test('repeat sends the last request byte for byte', async (test) => {
  const { pos, line } = await signedOn(test)
  const first = pos.sale(sale)
  const sent = await line.next()
  const reply = answer('0210', approval(read(sent).fields), 'right')
  line.send(reply)
  await first
  const second = pos.repeat()
  test.strictSame(await line.next(), sent)
  line.send(reply)
  test.match(await second, { code: '00', authorisation: '654321' })
})

const badKeys = [
  { name: 'KCV of the PIK', at: 16, note: /check value of the PIK/, source: 'cups-pos.md 6.1' },
  { name: 'KCV of the MAK', at: 36, note: /check value of the MAK/, source: 'cups-pos.md 6.1' },
  { name: 'right half of the MAK', at: 30, note: /right half/, source: 'cups-pos.md 6.1' },
]

for (const row of badKeys) {
  void t.test(`a wrong ${row.name} makes the terminal refuse its keys`, async (test) => {
    const { pos, line } = await connected(test)
    const signOn = pos.signOn()
    const { fields } = read(await line.next())
    const data = fromHex(keyData())
    data[row.at] = data[row.at]! ^ 1
    line.send(
      answer(
        '0810',
        {
          11: fields[11]!,
          39: '00',
          41: '10000001',
          42: '123456789012345',
          60: '00000042003',
          62: toHex(data),
        },
        'none',
      ),
    )
    test.match(await signOn, { code: '00', note: row.note })
    await test.rejects(pos.sale(sale), /has not signed on/)
  })
}

void t.test('a line that the switch closes ends the request with the cause', async (test) => {
  const { pos, line } = await signedOn(test)
  const result = pos.sale(sale)
  await line.next()
  line.end()
  const { code, note } = await result
  test.equal(code, '')
  test.match(note, /peer_closed|econnreset/)
  test.notOk(pos.line.connected)
})
