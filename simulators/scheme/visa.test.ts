// Scripted conversations with the Visa simulator over real sockets; frames are written by hand.
import t, { type Test } from 'tap'

import { fromHex, toHex } from '../../hsm/algorithms/bytes.ts'
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { seededRandom } from '../../switch/runtime/random.ts'
import { BookFile, IssuerBook } from '../book.ts'
import {
  HandSocket,
  VISA,
  bodyByHand,
  keyOfLabel,
  readByHand,
  tokenOfLabels,
} from '../test-by-hand.ts'
import { cardNamed, pinOf, wrongPinOf } from '../cards.ts'
import { FaultRules, parseRule } from '../faults.ts'
import { WorkingKey } from '../keys.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { VisaSimulator } from './visa.ts'

/** Length prefix of four bytes, of which two count. */
const frameBytes = (head: Buffer): number => (head.length < 4 ? 0 : head.readUInt16BE(0) + 4)

function frame(mti: string, fields: Record<number, string>): Buffer {
  const body = bodyByHand(VISA, mti, fields)
  const total = (22 + body.length).toString(16).padStart(4, '0')
  // H1 16, H2 01, H3 02, H4 length, H5 000000, H6 400001, then zeros.
  const header = Buffer.from(`160102${total}000000400001${'00'.repeat(11)}`, 'hex')
  return Buffer.concat([Buffer.from(`${total}0000`, 'hex'), header, body])
}

function read(bytes: Buffer) {
  return { header: bytes.subarray(4, 26).toString('hex'), ...readByHand(VISA, bytes.subarray(26)) }
}

interface World {
  readonly book: IssuerBook
  readonly rules: FaultRules
  readonly line: HandSocket
  /** Zone PIN key as the member got it. */
  readonly key: WorkingKey
}

/** A simulator with a member that has signed on and taken its PIN key. */
async function signedOn(test: Test): Promise<World> {
  const file = new BookFile(null, 'visa', Uint8Array.of(1, 2, 3), systemClock)
  const book = new IssuerBook(file)
  const rules = new FaultRules()
  const simulator = new VisaSimulator({
    listen: { host: '127.0.0.1', port: 0 },
    token: tokenOfLabels(),
    clock: systemClock,
    random: seededRandom('visa'),
    book,
    rules,
    log: () => undefined,
  })
  const line = await HandSocket.dial(await simulator.start(), frameBytes)
  test.teardown(async () => {
    line.end()
    await simulator.stop()
  })
  line.send(
    frame('0800', {
      7: '1122010203',
      11: '000001',
      37: '632601000001',
      63: '8000000002',
      70: '071',
    }),
  )
  const answer = read(await line.next())
  test.equal(answer.mti, '0810')
  test.strictSame(answer.fields, {
    7: '1122010203',
    11: '000001',
    37: '632601000001',
    39: '00',
    63: '8000000002',
    70: '071',
  })
  test.match(answer.header, /^160102....400001/, 'destination is the station that asked')
  const offer = read(await line.next())
  test.equal(offer.mti, '0800')
  test.equal(offer.fields[70], '101')
  test.equal(offer.fields[63], '8000000002')
  const clear = tdesCipher(keyOfLabel('demo.zmk.visa')).decryptEcb(fromHex(offer.fields[105]!))
  const key = new WorkingKey(clear)
  test.equal(
    offer.fields[96],
    toHex(key.checkValue(3)) + '0000000000',
    'check value is of that key',
  )
  line.send(
    frame('0810', {
      7: offer.fields[7]!,
      11: offer.fields[11]!,
      37: offer.fields[37]!,
      39: '00',
      70: '101',
    }),
  )
  return { book, rules, line, key }
}

function purchase(
  world: World,
  name: string,
  minor: number,
  stan: string,
  wrong = false,
): Record<number, string> {
  const card = cardNamed(name)
  const pin = wrong ? wrongPinOf(card) : pinOf(card)
  return {
    2: card.pan,
    3: '000000',
    4: String(minor).padStart(12, '0'),
    7: '1122010203',
    11: stan,
    18: '5411',
    19: '156',
    22: '0210',
    25: '00',
    26: '12',
    32: '10010001',
    37: `632601${stan}`,
    41: '10000001',
    42: '123456789012345',
    49: '156',
    52: toHex(encryptPin(world.key.pair, 'iso0', pin, card.pan)),
    53: '2001010100000000',
    62: '8000000000000000E8',
    63: '8000000002',
  }
}

void t.test(
  '0100 with the right PIN is answered 00 with 38, 44.1, 62.2 and what it must echo',
  async (test) => {
    const world = await signedOn(test)
    const request = purchase(world, 'visa-1', 1250, '000011')
    world.line.send(frame('0100', request))
    const { mti, fields } = read(await world.line.next())
    test.equal(mti, '0110')
    for (const field of [2, 3, 4, 7, 11, 19, 25, 32, 37, 41, 42, 49]) {
      test.equal(fields[field], request[field], `DE${field} is echoed`)
    }
    test.equal(fields[39], '00')
    test.match(fields[38]!, /^[0-9]{6}$/)
    test.equal(fields[44], '5')
    test.match(fields[62]!, /^C000000000000000C10[0-9]{15}$/, 'indicator A and 15 digits')
    test.equal(fields[63], '8000000002')
    test.notOk(52 in fields, 'the PIN block does not come back')
  },
)

const declines = [
  {
    name: 'a wrong PIN',
    card: 'visa-1',
    minor: 1000,
    wrong: true,
    code: '55',
    source: 'visa.md section 9',
  },
  {
    name: 'more than the balance',
    card: 'visa-2',
    minor: 501,
    wrong: false,
    code: '51',
    source: 'visa.md section 9',
  },
  {
    name: 'the whole balance',
    card: 'visa-2',
    minor: 500,
    wrong: false,
    code: '00',
    source: 'bound of the row above',
  },
  {
    name: 'an expired card',
    card: 'visa-4',
    minor: 1000,
    wrong: false,
    code: '54',
    source: 'visa.md section 9',
  },
  {
    name: 'a card of another issuer',
    card: 'own-1',
    minor: 1000,
    wrong: false,
    code: '14',
    source: 'visa.md section 9',
  },
]

void t.test('the issuer behind Visa answers by its own list and book', async (test) => {
  const world = await signedOn(test)
  for (const [at, row] of declines.entries()) {
    world.line.send(frame('0100', purchase(world, row.card, row.minor, `00002${at}`, row.wrong)))
    test.equal(read(await world.line.next()).fields[39], row.code, row.name)
  }
  test.equal(world.book.totals().approvedMinor, 500n, 'only the approved one moved money')
})

void t.test('the same 0100 sent again gets the same answer and is booked once', async (test) => {
  const world = await signedOn(test)
  const bytes = frame('0100', purchase(world, 'visa-1', 4200, '000031'))
  world.line.send(bytes)
  const first = await world.line.next()
  world.line.send(bytes)
  const second = await world.line.next()
  test.strictSame(second, first)
  test.equal(world.book.totals().approvedMinor, 4200n)
})

void t.test(
  'an original is reversed once, however often and in whichever MTI it is asked',
  async (test) => {
    const world = await signedOn(test)
    const request = purchase(world, 'visa-1', 9900, '000041')
    world.line.send(frame('0100', request))
    await world.line.next()
    const {
      2: pan,
      3: processing,
      4: amount,
      7: time,
      11: stan,
      19: country,
      25: condition,
      32: acquirer,
    } = request
    const { 37: rrn, 41: terminal, 42: merchant, 49: currency } = request
    const reversal = {
      2: pan!,
      3: processing!,
      4: amount!,
      7: time!,
      11: stan!,
      19: country!,
      25: condition!,
      32: acquirer!,
      37: rrn!,
      41: terminal!,
      42: merchant!,
      49: currency!,
      63: 'A0000000022502',
      90: `0100${stan!}${time!}${acquirer!.padStart(11, '0')}${'0'.repeat(11)}`,
    }
    for (const mti of ['0420', '0421', '0421', '0400']) {
      world.line.send(frame(mti, reversal))
      const answer = read(await world.line.next())
      test.equal(answer.mti, mti === '0400' ? '0410' : '0430')
      test.equal(answer.fields[39], '00')
      test.equal(answer.fields[44], '7', 'matched')
      test.equal(answer.fields[90], reversal[90])
    }
    const totals = world.book.totals()
    test.equal(totals.reversed, 1)
    test.equal(totals.netMinor, 0n)
  },
)

void t.test(
  'a reversal without original is answered 44.1 = 8, and the late original is refused',
  async (test) => {
    const world = await signedOn(test)
    const request = purchase(world, 'visa-1', 700, '000051')
    world.line.send(
      frame('0420', {
        2: request[2]!,
        3: '000000',
        4: request[4]!,
        7: request[7]!,
        11: '000051',
        32: '10010001',
        37: request[37]!,
        90: `0100000051${request[7]!}00010010001${'0'.repeat(11)}`,
      }),
    )
    const answer = read(await world.line.next())
    test.equal(answer.fields[39], '00')
    test.equal(answer.fields[44], '8')
    world.line.send(frame('0100', request))
    test.equal(read(await world.line.next()).fields[39], '79')
    test.equal(world.book.totals().approved, 0)
  },
)

void t.test(
  'a silent rule books the request and sends nothing; the next message is answered',
  async (test) => {
    const world = await signedOn(test)
    world.rules.add(parseRule('amount=9100,mti=0100:silent'))
    world.line.send(frame('0100', purchase(world, 'visa-1', 9100, '000061')))
    world.line.send(
      frame('0800', {
        7: '1122010203',
        11: '000062',
        37: '632601000062',
        63: '8000000002',
        70: '301',
      }),
    )
    const answer = read(await world.line.next())
    test.equal(answer.fields[11], '000062', 'the echo is the first thing that comes')
    test.equal(answer.fields[70], '301')
    test.equal(world.book.totals().approvedMinor, 9100n)
    test.equal(world.book.stateOfRrn('632601000061'), 'approved')
  },
)

void t.test('after sign-off a 0100 is refused and noted as a violation', async (test) => {
  const world = await signedOn(test)
  world.line.send(
    frame('0800', {
      7: '1122010203',
      11: '000071',
      37: '632601000071',
      63: '8000000002',
      70: '072',
    }),
  )
  test.equal(read(await world.line.next()).fields[39], '00')
  world.line.send(frame('0100', purchase(world, 'visa-1', 100, '000072')))
  test.equal(read(await world.line.next()).fields[39], '91')
  test.equal(world.book.totals().approved, 0)
})

void t.test(
  'four zero bytes keep the line open and are echoed once a second at most',
  async (test) => {
    const world = await signedOn(test)
    world.line.send(Buffer.alloc(8))
    test.strictSame(await world.line.next(), Buffer.alloc(4))
    world.line.send(
      frame('0800', {
        7: '1122010203',
        11: '000081',
        37: '632601000081',
        63: '8000000002',
        70: '301',
      }),
    )
    test.equal(read(await world.line.next()).fields[11], '000081', 'the second was not echoed')
  },
)
