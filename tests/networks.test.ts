/**
 * Mastercard and American Express as a bank would link them: sign-on, purchases of a terminal
 * with their cards, a silence that becomes a reversal, echo, and our own cards asked about by them.
 */
import t from 'tap'
import { cardNamed, type SyntheticCard } from '../simulators/cards.ts'
import { Chip, tagValue, type ChipRequest } from '../simulators/chip.ts'
import { KEY_LABEL } from '../simulators/keys.ts'
import { ScriptedNetwork } from './scripted-network.ts'
import { World } from './world.ts'

const mastercard = await ScriptedNetwork.listen({
  dialect: 'mastercard', networkSuccess: '00',
  echo: [2, 3, 4, 7, 11, 32, 33, 63, 70, 90],
})
const amex = await ScriptedNetwork.listen({
  dialect: 'amex', networkSuccess: '800',
  echo: [2, 3, 4, 11, 12, 24, 32, 33, 37, 41, 42, 49, 56],
})
t.teardown(() => Promise.all([mastercard.close(), amex.close()]))

const link = (name: string, port: number): string =>
  `  - name: ${name}\n    role: scheme\n    dialect: ${name}\n    framing: 2b\n` +
  `    connect: 127.0.0.1:${port}\n    peer_institution: "900000"\n    institution: "010203"\n` +
  '    keys_required: false\n    pin_format: iso0\n    mac: none\n    reply_timeout_ms: 1500\n\n'

const LINKS = link('mastercard', mastercard.port) + link('amex', amex.port)
const VISA_ROUTE = '  - { prefix: "4", to: visa }\n'
const ROUTES = '  - { prefix: "5", to: mastercard }\n  - { prefix: "37", to: amex }\n'

const world = await World.make({
  edits: [['\nterminals:\n', `\n${LINKS}terminals:\n`], [VISA_ROUTE, VISA_ROUTE + ROUTES]],
})
t.teardown(() => world.close())
await world.startSwitch()
await world.linksReady(['mastercard', 'amex'])
const pos = world.pos()
await pos.connect()
t.teardown(() => pos.close())
await pos.signOn()

const card = (name: string, pan: string): SyntheticCard => ({ ...cardNamed('visa-1'), name, pan })
const sale = (one: SyntheticCard, amountMinor: number) =>
  pos.sale({ card: one, amountMinor, chip: false, withPin: false })

interface Row {
  readonly name: string
  readonly network: ScriptedNetwork
  readonly card: SyntheticCard
  readonly signOn: Readonly<Record<number, string>>
  readonly request: { readonly mti: string; readonly fields: Readonly<Record<number, string>> }
  readonly approved: Readonly<Record<number, string>>
  readonly declined: Readonly<Record<number, string>>
  readonly reversal: { readonly mti: string; readonly closed: Readonly<Record<number, string>> }
}

const ROWS: readonly Row[] = [
  {
    name: 'mastercard',
    network: mastercard,
    card: card('mastercard-1', '5204740000001010'),
    signOn: { 2: '010203', 33: '010203', 70: '061' },
    request: {
      mti: '0100', fields: { 3: '000000', 4: '000000001850', 32: '010203', 48: 'R', 49: '156' },
    },
    approved: { 38: 'A1B2C3', 39: '00', 63: 'MCC123456' },
    declined: { 39: '51' },
    reversal: { mti: '0400', closed: { 39: '00' } },
  },
  {
    name: 'amex',
    network: amex,
    card: card('amex-1', '371449635398431'),
    signOn: { 24: '801', 33: '010203' },
    request: {
      mti: '1100', fields: { 3: '000000', 4: '000000001850', 24: '100', 25: '1900', 32: '010203' },
    },
    approved: { 38: 'A1B2C3', 39: '000' },
    declined: { 39: '116' },
    reversal: { mti: '1420', closed: { 39: '400' } },
  },
]

for (const row of ROWS) {
  const { network, name } = row
  const receivable = `receivable:${name}`

  t.test(`${name}: the switch signs on before anything else`, async (t) => {
    t.match(network.heard[0]?.fields, row.signOn)
    t.same(network.heard[0]?.findings, [])
  })

  t.test(`${name}: a purchase is approved and booked`, async (t) => {
    network.script = () => row.approved
    const before = await world.balance(receivable)
    const result = await sale(row.card, 1_850)
    t.equal(result.code, '00')
    t.equal(result.authorisation, 'A1B2C3')
    const [request] = network.of('1').slice(-1)
    t.equal(request?.mti, row.request.mti)
    t.match(request?.fields, { ...row.request.fields, 2: row.card.pan })
    t.same(request?.findings, [], 'it keeps the rules of the dialect')
    t.equal((await world.balance(receivable)) - before, 1_850n)
  })

  t.test(`${name}: a decline is told in the terminal's own code, and nothing is booked`, async (t) => {
    network.script = () => row.declined
    const before = await world.balance(receivable)
    t.equal((await sale(row.card, 900)).code, '51')
    t.equal(await world.balance(receivable), before)
  })

  t.test(`${name}: silence becomes a reversal that names the original, until it is closed`, async (t) => {
    network.script = (request) => (request.mti[1] === '4' ? row.reversal.closed : null)
    const before = await world.balance(receivable)
    const result = await sale(row.card, 4_200)
    t.not(result.code, '00')
    await world.until('the reversal closed', async () => {
      return network.of('4').length > 0 && (await world.safOpen()) === 0
    })
    const [reversal] = network.of('4').slice(-1)
    const original = network.of('1').at(-1)
    t.equal(reversal?.mti, row.reversal.mti)
    t.same(reversal?.findings, [])
    const named = reversal?.fields[90] ?? reversal?.fields[56] ?? ''
    t.equal(named.slice(0, 10), `${original?.mti}${original?.fields[11]}`)
    t.equal(named.slice(10).startsWith(original?.fields[name === 'amex' ? 12 : 7] ?? 'none'), true)
    t.equal(await world.balance(receivable), before)
  })

  t.test(`${name}: an echo of the network is answered`, async (t) => {
    const echo = name === 'amex' ? { 11: '000901', 12: '261122233000', 24: '831' }
      : { 7: '1122153000', 11: '000901', 70: '270' }
    network.ask(name === 'amex' ? '1804' : '0800', echo)
    await world.until('the echo answered', () => network.answers.length > 0)
    const answer = network.answers.at(-1)
    t.match(answer?.fields, { ...echo, 39: name === 'amex' ? '800' : '00' })
  })
}

/** What the chip of one of our cards gives for an amount; no PIN is needed with it. */
function chipOf(name: string, amountMinor: number): ChipRequest {
  const imk = world.outside.token.cipher(KEY_LABEL.issuerCryptogram)
  return new Chip(imk, cardNamed(name)).request({
    amountMinor, currency: '156', date: '261122', type: '00', atc: 900,
    unpredictableNumber: Buffer.from('0BADF00D', 'hex'),
  })
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase()

t.test('mastercard asks about our card: approved by its chip, reversed by a 0400', async (t) => {
  const own = cardNamed('own-8')
  const before = await world.balance('customer:own-8')
  const chip = chipOf('own-8', 300)
  const request = {
    2: own.pan, 3: '000000', 4: '000000000300', 7: '1122153100', 11: '000777', 12: '233100',
    13: '1122', 14: own.expiry, 18: '5411', 22: '052', 23: '001', 32: '004567',
    37: '632700000777', 41: 'T0000001', 42: 'M00000000000001', 49: '156', 55: hexOf(chip.data),
    61: '00000000000000156          ', 63: 'MCC000777',
  }
  const asked = mastercard.answers.length
  mastercard.ask('0100', request)
  await world.until('the authorization answered', () => mastercard.answers.length > asked)
  const answer = mastercard.answers.at(-1)
  t.equal(answer?.mti, '0110')
  t.match(answer?.fields, { 2: own.pan, 7: '1122153100', 11: '000777', 39: '00', 63: 'MCC000777' })
  t.match(answer?.fields[38], /^[0-9]{6}$/)
  t.same(answer?.findings, [])
  const genuine = tagValue(Buffer.from(answer?.fields[55] ?? '', 'hex'), '91')
  t.ok(genuine && chip.issuerIsGenuine(genuine), 'the card knows its issuer')
  t.equal((await world.balance('customer:own-8')) - before, 300n)
  const { 14: _expiry, 55: _chip, ...kept } = request
  mastercard.ask('0400', {
    ...kept, 7: '1122153200', 11: '000778',
    90: '0100' + '000777' + '1122153100' + '00000004567' + '00000000000',
  })
  await world.until('the reversal answered', () => mastercard.answers.at(-1)?.mti === '0410')
  t.equal(mastercard.answers.at(-1)?.fields[39], '00')
  t.equal(await world.balance('customer:own-8'), before)
})

/** Tags of AmEx's DE55 in their order; 9F10 has its length before it. */
const AGNS = [
  '9F26', '9F10', '9F37', '9F36', '95', '9A', '9C', '9F02', '5F2A', '9F1A', '82', '9F03',
] as const

function agns(data: Uint8Array): string {
  const values = AGNS.map((tag) => {
    const value = hexOf(tagValue(data, tag) ?? new Uint8Array(0))
    return tag === '9F10' ? (value.length / 2).toString(16).padStart(2, '0') + value : value
  })
  return `C1C7D5E20001${values.join('')}0180` // then the sequence number and the kind of cryptogram
}

t.test('amex asks about our card with its own form of chip data, and reverses with 1420', async (t) => {
  const own = cardNamed('own-3')
  const before = await world.balance('customer:own-3')
  const chip = chipOf('own-3', 450)
  const request = {
    2: own.pan, 3: '000000', 4: '000000000450', 11: '000801', 12: '261122233200', 14: own.expiry,
    22: '510101500340', 23: '001', 24: '100', 25: '1900', 26: '5411', 32: '004567',
    37: '632700000801', 41: 'T0000001', 42: 'M00000000000001', 49: '156', 55: agns(chip.data),
  }
  const asked = amex.answers.length
  amex.ask('1100', request)
  await world.until('the authorization answered', () => amex.answers.length > asked)
  const answer = amex.answers.at(-1)
  t.match(answer, { mti: '1110', fields: { 11: '000801', 39: '000' }, findings: [] })
  const said = answer?.fields[55] ?? ''
  t.equal(said.slice(0, 14), 'C1C7D5E200010A', 'AGNS, version, ten bytes for the card')
  t.ok(chip.issuerIsGenuine(Buffer.from(said.slice(14), 'hex')), 'the card knows its issuer')
  t.equal((await world.balance('customer:own-3')) - before, 450n)
  const { 55: _chip, ...kept } = request
  amex.ask('1420', {
    ...kept, 11: '000802', 12: '261122233300', 24: '400', 25: '4021',
    56: '1100' + '000801' + '261122233200' + '06' + '004567',
  })
  await world.until('the reversal answered', () => amex.answers.at(-1)?.mti === '1430')
  t.equal(amex.answers.at(-1)?.fields[39], '400')
  t.equal(await world.balance('customer:own-3'), before)
})

t.test('without PIN and chip our card is declined in the words of each network', async (t) => {
  const own = cardNamed('own-2')
  const common = {
    2: own.pan, 3: '000000', 4: '000000000100', 14: own.expiry, 32: '004567', 49: '156',
  }
  const toMastercard = {
    7: '1122154000', 11: '000780', 22: '012', 61: '00000000000000156          ',
  }
  const toAmex = {
    11: '000880', 12: '261122234000', 22: '210101600140', 24: '100', 26: '5411',
    42: 'M00000000000001',
  }
  const rows = [
    { network: mastercard, mti: '0100', code: '55', more: toMastercard },
    { network: amex, mti: '1100', code: '117', more: toAmex },
  ]
  for (const { network, mti, code, more } of rows) {
    const asked = network.answers.length
    network.ask(mti, { ...common, ...more })
    await world.until('answered', () => network.answers.length > asked)
    t.match(network.answers.at(-1), { fields: { 39: code }, findings: [] })
  }
})
