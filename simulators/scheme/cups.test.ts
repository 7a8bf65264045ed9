// Scripted conversations with the CUPS simulator over real sockets; frames are written by hand, and
// MABs are written out as text here.
import t, { type Test } from 'tap'

import { fromHex, toHex } from '../../hsm/algorithms/bytes.ts'
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { seededRandom } from '../../switch/runtime/random.ts'
import { BookFile, IssuerBook } from '../book.ts'
import {
  CUPS,
  HandSocket,
  bodyByHand,
  keyOfLabel,
  listenByHand,
  readByHand,
  tokenOfLabels,
} from '../test-by-hand.ts'
import { cardNamed, pinOf, wrongPinOf } from '../cards.ts'
import { FaultRules, parseRule } from '../faults.ts'
import { WorkingKey } from '../keys.ts'
import { CupsAcquirer } from './cups-acquirer.ts'
import { CupsSimulator } from './cups.ts'

const HEADER_BYTES = 46

/** Four digits of length, or the four zeros of an idle frame. */
const frameBytes = (head: Buffer): number =>
  head.length < 4 ? 0 : 4 + Number(head.subarray(0, 4).toString('latin1'))

function header(to: string, from: string, bodyBytes: number): Buffer {
  const total = String(HEADER_BYTES + bodyBytes).padStart(4, '0')
  const texts = [total, to.padEnd(11), from.padEnd(11), '\0\0\0', '\0', '00000000', '\0', '00000']
  return Buffer.from(`\x2e\x02${texts.join('')}`, 'latin1')
}

function frame(mti: string, fields: Record<number, string>, to = '00010000'): Buffer {
  const body = bodyByHand(CUPS, mti, fields)
  const total = String(HEADER_BYTES + body.length).padStart(4, '0')
  return Buffer.concat([Buffer.from(total), header(to, '10010001', body.length), body])
}

function read(bytes: Buffer) {
  return { header: bytes.subarray(4, 50), ...readByHand(CUPS, bytes.subarray(50)) }
}

/** DE128 over a MAB written out by the test: four MAC bytes as hex characters, as hex. */
function macOver(key: WorkingKey, mab: string): string {
  const mac = toHex(key.retailMac(Uint8Array.from(Buffer.from(mab, 'latin1')))).slice(0, 8)
  return Buffer.from(mac, 'latin1').toString('hex').toUpperCase()
}

interface World {
  readonly simulator: CupsSimulator
  readonly book: IssuerBook
  readonly rules: FaultRules
  readonly line: HandSocket
  readonly pinKey: WorkingKey
  readonly macKey: WorkingKey
}

/** Takes one key reset, checks its MAC and check value by the new key, and answers it. */
async function takeKey(test: Test, line: HandSocket, use: string): Promise<WorkingKey> {
  const { mti, fields } = read(await line.next())
  test.equal(mti, '0800')
  test.equal(fields[53], `${use}6${'0'.repeat(14)}`)
  test.equal(fields[96], '0'.repeat(16))
  test.equal(fields[48]!.slice(0, 4), '4E4B', 'usage NK')
  const exchange = tdesCipher(keyOfLabel('demo.zmk.cups'))
  const key = new WorkingKey(exchange.decryptEcb(fromHex(fields[48]!.slice(4))))
  const mab = `0800 ${fields[7]} ${fields[11]} ${fields[53]} 101 0810010001`
  const mac = key.retailMac(Uint8Array.from(Buffer.from(mab, 'latin1'))).slice(0, 4)
  test.equal(fields[128], toHex(mac) + toHex(key.checkValue(4)))
  line.send(
    frame('0810', {
      7: fields[7]!,
      11: fields[11]!,
      39: '00',
      53: fields[53]!,
      70: '101',
      100: '10010001',
    }),
  )
  return key
}

async function signedOn(test: Test, dial: number | null = null): Promise<World> {
  const book = new IssuerBook(new BookFile(null, 'cups', Uint8Array.of(9), systemClock))
  const rules = new FaultRules()
  const simulator = new CupsSimulator({
    listen: { host: '127.0.0.1', port: 0 },
    dial: dial === null ? null : { host: '127.0.0.1', port: dial },
    token: tokenOfLabels(),
    clock: systemClock,
    random: seededRandom('cups'),
    book,
    rules,
    log: () => undefined,
  })
  const line = await HandSocket.dial(await simulator.start(), frameBytes)
  test.teardown(async () => {
    line.end()
    await simulator.stop()
  })
  line.send(frame('0820', { 7: '1122010203', 11: '000001', 33: '10010001', 70: '001' }))
  const answer = read(await line.next())
  test.equal(answer.mti, '0830')
  test.strictSame(answer.fields, {
    7: '1122010203',
    11: '000001',
    33: '10010001',
    39: '00',
    70: '001',
  })
  test.equal(answer.header.subarray(6, 28).toString('latin1'), '10010001   00010000   ')
  const pinKey = await takeKey(test, line, '1')
  const macKey = await takeKey(test, line, '2')
  return { simulator, book, rules, line, pinKey, macKey }
}

function request(
  world: World,
  name: string,
  kind: string,
  minor: number,
  stan: string,
  wrong = false,
) {
  const card = cardNamed(name)
  const pin = wrong ? wrongPinOf(card) : pinOf(card)
  const amount = String(minor).padStart(12, '0')
  const fields: Record<number, string> = {
    2: card.pan,
    3: kind,
    7: '1122010203',
    11: stan,
    12: '010203',
    13: '1122',
    14: '3112',
    18: '6011',
    22: '021',
    25: '02',
    26: '12',
    32: '10010001',
    33: '10010001',
    37: `632601${stan}`,
    41: '20000001',
    42: '123456789012399',
    49: '156',
    52: toHex(encryptPin(world.pinKey.pair, 'unionpay_pan', pin, card.pan)),
    53: '2600000000000000',
    60: '00000200010000',
  }
  const withAmount = kind !== '300000'
  if (withAmount) fields[4] = amount
  // MTI 2 3 4 7 11 18 25 32 33 41 42, variable fields with their length digits.
  const mab = [
    '0200',
    `${card.pan.length}${card.pan}`,
    kind,
    ...(withAmount ? [amount] : []),
    '1122010203',
    stan,
    '6011',
    '02',
    '0810010001',
    '0810010001',
    '20000001',
    '123456789012399',
  ].join(' ')
  fields[128] = macOver(world.macKey, mab)
  return fields
}

/** Whether DE128 of an answer fits a MAB written out from its fields. */
function answerMacFits(
  world: World,
  mti: string,
  fields: Readonly<Record<number, string>>,
): boolean {
  const prefixed = (field: number): string[] =>
    fields[field] === undefined
      ? []
      : [String(fields[field]!.length).padStart(2, '0') + fields[field]!]
  const plain = (field: number): string[] => (fields[field] === undefined ? [] : [fields[field]!])
  const mab = [
    mti,
    ...prefixed(2),
    ...plain(3),
    ...plain(4),
    ...plain(7),
    ...plain(11),
    ...plain(18),
    ...plain(25),
    ...prefixed(32),
    ...prefixed(33),
    ...plain(38),
    ...plain(39),
    ...plain(41),
    ...plain(42),
  ].join(' ')
  return fields[128] === macOver(world.macKey, mab)
}

void t.test(
  'a withdrawal with PIN and MAC is answered 00 with 15, 38, 100, 121 and a right MAC',
  async (test) => {
    const world = await signedOn(test)
    const asked = request(world, 'cups-1', '010000', 20_000, '000011')
    world.line.send(frame('0200', asked))
    const { mti, fields } = read(await world.line.next())
    test.equal(mti, '0210')
    for (const field of [2, 3, 4, 7, 11, 12, 13, 18, 25, 32, 33, 37, 41, 42, 49, 60]) {
      test.equal(fields[field], asked[field], `DE${field} is echoed`)
    }
    test.equal(fields[39], '00')
    test.match(fields[15]!, /^[0-9]{4}$/)
    test.match(fields[38]!, /^[0-9]{6}$/)
    test.equal(fields[121]!.length, 43)
    test.ok(answerMacFits(world, '0210', fields))
  },
)

const rows = [
  {
    name: 'balance of a 19-digit card',
    card: 'cups-3',
    kind: '300000',
    minor: 0,
    wrong: false,
    code: '00',
    source: 'cups-host.md 6',
  },
  {
    name: 'wrong PIN',
    card: 'cups-1',
    kind: '000000',
    minor: 100,
    wrong: true,
    code: '55',
    source: 'cups-host.md 10',
  },
  {
    name: 'one more than the balance',
    card: 'cups-2',
    kind: '000000',
    minor: 501,
    wrong: false,
    code: '51',
    source: 'cups-host.md 10',
  },
  {
    name: 'the whole balance',
    card: 'cups-2',
    kind: '000000',
    minor: 500,
    wrong: false,
    code: '00',
    source: 'bound of the row above',
  },
  {
    name: 'card of another issuer',
    card: 'visa-1',
    kind: '000000',
    minor: 100,
    wrong: false,
    code: '14',
    source: 'cups-host.md 10',
  },
]

void t.test(
  'issuers behind CUPS answer by their own list and book, always with a MAC',
  async (test) => {
    const world = await signedOn(test)
    for (const [at, row] of rows.entries()) {
      world.line.send(
        frame('0200', request(world, row.card, row.kind, row.minor, `00002${at}`, row.wrong)),
      )
      const { fields } = read(await world.line.next())
      test.equal(fields[39], row.code, row.name)
      test.ok(answerMacFits(world, '0210', fields), `${row.name}: MAC`)
      if (row.kind === '300000') test.equal(fields[54], '1001156C0001000000001002156C000100000000')
    }
  },
)

void t.test('a request with a bad or no MAC is answered A0 and moves nothing', async (test) => {
  const world = await signedOn(test)
  const bad = request(world, 'cups-1', '000000', 100, '000031')
  bad[128] = Buffer.from('00000000').toString('hex')
  world.line.send(frame('0200', bad))
  test.equal(read(await world.line.next()).fields[39], 'A0')
  const none = request(world, 'cups-1', '000000', 100, '000032')
  delete none[128]
  world.line.send(frame('0200', none))
  test.equal(read(await world.line.next()).fields[39], 'A0')
  test.equal(world.book.totals().approved, 0)
})

void t.test('0420 sent three times is answered 00 each time and reversed once', async (test) => {
  const world = await signedOn(test)
  const asked = request(world, 'cups-1', '000000', 3_300, '000041')
  world.line.send(frame('0200', asked))
  const auth = read(await world.line.next()).fields[38]!
  const original = `0200000041112201020300010010001` + '00010010001'
  const reversal: Record<number, string> = {}
  for (const field of [2, 3, 4, 12, 13, 18, 25, 32, 33, 37, 41, 42, 49])
    reversal[field] = asked[field]!
  Object.assign(reversal, {
    7: '1122010300',
    11: '000042',
    38: auth,
    60: '43510200010000',
    90: original,
  })
  const mab = [
    '0420',
    `16${asked[2]}`,
    '000000',
    asked[4],
    '1122010300',
    '000042',
    '6011',
    '02',
    '0810010001',
    '0810010001',
    auth,
    '20000001',
    '123456789012399',
    original.slice(0, 20),
  ].join(' ')
  reversal[128] = macOver(world.macKey, mab)
  for (let time = 0; time < 3; time++) {
    world.line.send(frame('0420', reversal))
    const answer = read(await world.line.next())
    test.equal(answer.mti, '0430')
    test.equal(answer.fields[39], '00')
    test.ok(answerMacFits(world, '0430', answer.fields))
  }
  test.equal(world.book.totals().reversed, 1)
  test.equal(world.book.totals().netMinor, 0n)
})

void t.test('the rule bad_mac spoils the answer only', async (test) => {
  const world = await signedOn(test)
  world.rules.add(parseRule('amount=700:bad-mac'))
  world.line.send(frame('0200', request(world, 'cups-1', '000000', 700, '000051')))
  const { fields } = read(await world.line.next())
  test.equal(fields[39], '00')
  test.notOk(answerMacFits(world, '0210', fields))
  test.equal(world.book.totals().approvedMinor, 700n)
})

void t.test(
  'a header for somebody else comes back with reject code 00045 and the whole message',
  async (test) => {
    const world = await signedOn(test)
    const sent = frame(
      '0820',
      { 7: '1122010203', 11: '000061', 33: '10010001', 70: '301' },
      '00010999',
    )
    world.line.send(sent)
    const back = await world.line.next()
    test.equal(back.subarray(4 + 41, 4 + 46).toString('latin1'), '00045')
    test.strictSame(
      back.subarray(4 + HEADER_BYTES),
      sent.subarray(4),
      'the original with its own header',
    )
  },
)

void t.test('the idle frame 0000 is neither answered nor counted', async (test) => {
  const world = await signedOn(test)
  world.line.send(Buffer.from('00000000'))
  world.line.send(frame('0820', { 7: '1122010203', 11: '000071', 33: '10010001', 70: '301' }))
  test.equal(read(await world.line.next()).fields[11], '000071')
})

void t.test(
  "our own line signs on and carries other banks' purchases; MAC and code are reported",
  async (test) => {
    const member = await listenByHand(frameBytes)
    test.teardown(() => member.close())
    const world = await signedOn(test, member.port)
    const inbound = await member.accepted()
    test.teardown(() => inbound.end())
    const signOn = read(await inbound.next())
    test.equal(signOn.mti, '0820')
    test.equal(signOn.fields[70], '001')
    test.equal(signOn.header.subarray(6, 28).toString('latin1'), '10010001   00010000   ')
    inbound.send(
      frame('0830', {
        7: signOn.fields[7]!,
        11: signOn.fields[11]!,
        39: '00',
        70: '001',
        100: '10010001',
      }),
    )
    while (!world.simulator.status().ownLineReady)
      await new Promise((resolve) => setImmediate(resolve))
    const acquirer = new CupsAcquirer({
      simulator: world.simulator,
      token: tokenOfLabels(),
      clock: systemClock,
      random: seededRandom(1),
      book: world.book,
    })
    const result = acquirer.originate({
      card: 'own-1',
      kind: 'purchase',
      amountMinor: 5_000,
      chip: true,
      withPin: true,
      wrongPin: false,
      badMac: false,
      atc: 7,
    })
    const asked = read(await inbound.next())
    test.equal(asked.mti, '0200')
    const { fields } = asked
    const mab = [
      '0200',
      `16${fields[2]}`,
      '000000',
      fields[4],
      fields[7],
      fields[11],
      '5411',
      '00',
      `08${fields[32]}`,
      `08${fields[33]}`,
      fields[41],
      fields[42],
    ].join(' ')
    test.equal(fields[128], macOver(world.macKey, mab))
    test.equal(fields[4], '000000005000')
    test.match(fields[55]!, /9F36020007/, 'the counter that was given')
    const reply: Record<number, string> = {}
    for (const field of [2, 3, 4, 7, 11, 18, 25, 32, 33, 37, 41, 42, 49])
      reply[field] = fields[field]!
    Object.assign(reply, { 15: '1122', 38: '123456', 39: '00', 100: '10010001' })
    const answerMab = [
      '0210',
      `16${fields[2]}`,
      '000000',
      fields[4],
      fields[7],
      fields[11],
      '5411',
      '00',
      `08${fields[32]}`,
      `08${fields[33]}`,
      '123456',
      '00',
      fields[41],
      fields[42],
    ].join(' ')
    inbound.send(frame('0210', { ...reply, 128: macOver(world.macKey, answerMab) }))
    const seen = await result
    test.match(seen, { code: '00', macRight: true, authorisation: '123456', rrn: fields[37] })

    const reversed = acquirer.reverse(seen.rrn, 2)
    const first = await inbound.next()
    const { fields: back } = read(first)
    const id = '00001031000'
    test.equal(back[90], `0200${fields[11]}${fields[7]}${id}${id}`)
    test.equal(back[60]!.slice(0, 4), '4351')
    test.notOk(35 in back || 52 in back, 'no track, no PIN')
    const acknowledge = (): void => {
      const echo: Record<number, string> = { 39: '00' }
      for (const field of [2, 3, 4, 7, 11, 32, 33, 41, 42]) echo[field] = back[field]!
      inbound.send(frame('0430', { ...echo, 128: '3030303030303030' }))
    }
    acknowledge()
    const second = await inbound.next()
    test.strictSame(second, first, 'the repeat is the same message')
    acknowledge()
    test.match(await reversed, [
      { code: '00', macRight: false },
      { code: '00', macRight: false },
    ])

    const later = acquirer.reverse(seen.rrn, 1)
    test.strictSame(await inbound.next(), first, 'and so is one that is asked for later')
    acknowledge()
    await later

    await world.simulator.stop()
    const signOff = read(await inbound.next())
    test.match(signOff, { mti: '0820', fields: { 70: '002', 100: '10010001' } })
  },
)
