/**
 * What a switch must not be talked into: money and keys under messages that are well formed and
 * wrong. Each fact was once a defect found by reading the code with bad intent.
 */

import t from 'tap'
import { cardNamed } from '../simulators/cards.ts'
import { RawPeer, signedOnPartner } from './raw-peer.ts'
import { World } from './world.ts'

const world = await World.make()
t.teardown(() => world.close())
await world.startSwitch()
await world.startSchemes()
await world.linksReady()

const partner = await signedOnPartner(world)
const pos = world.pos()
const atm = world.atm()
await pos.connect()
await atm.connect()
t.teardown(() => {
  partner.end()
  pos.close()
  atm.close()
})
await pos.signOn()
await atm.signOn()

let lastStan = 100
const nextStan = (): string => String(++lastStan).padStart(6, '0')

/** A purchase of the partner on a card, with its own trace number. */
function purchase(card: string, amountMinor: number, stan: string): Record<number, string> {
  return {
    2: cardNamed(card).pan, 3: '000000', 4: String(amountMinor).padStart(12, '0'),
    7: '1122120000', 11: stan, 12: '200000', 13: '1122', 14: '3112', 22: '021', 25: '00',
    32: '20020001', 41: 'PART0001', 42: 'PARTNER00000001', 49: '156',
  }
}

const visaNet = async (): Promise<string> => {
  const answer = await world.visa!.desk.handle('{"do":"totals"}')
  return String((JSON.parse(answer) as { net_minor: string }).net_minor)
}

t.test('a partial reversal releases its part here and at the network, no more', async (t) => {
  const before = await visaNet()
  const request = purchase('visa-1', 10_000, nextStan())
  t.equal((await partner.ask('0200', request))[39], '00')
  const { 2: pan = '', 3: code = '', 4: amount = '', 11: stan = '' } = request
  const reversal = {
    2: pan, 3: code, 4: amount, 7: '1122120100', 11: stan, 12: '200000', 13: '1122',
    32: '20020001', 41: 'PART0001', 49: '156', 95: '000000004000'.padEnd(42, '0'),
  }
  t.equal((await partner.ask('0420', reversal))[39], '00')
  await world.until('sent on', async () => (await world.safOpen()) === 0)
  t.equal(await world.balance('receivable:visa'), 4_000n, 'what stays')
  t.equal(BigInt(await visaNet()) - BigInt(before), 4_000n, "the network's book agrees")
})

t.test('a reversal that names its original by DE90 finds it', async (t) => {
  const before = await visaNet()
  const stan = nextStan()
  const request = purchase('visa-1', 7_700, stan)
  t.equal((await partner.ask('0200', request))[39], '00')
  const own = nextStan()
  const elements = `0200${stan}1122120000${'20020001'.padStart(11, '0')}${'0'.repeat(11)}`
  const answer = await partner.ask('0420', {
    2: request[2] ?? '', 3: '000000', 4: request[4] ?? '', 7: '1122120200', 11: own,
    12: '200000', 13: '1122', 32: '20020001', 41: 'PART0001', 49: '156', 90: elements,
  })
  t.equal(answer[39], '00')
  await world.until('sent on', async () => (await world.safOpen()) === 0)
  t.equal(await visaNet(), before)
})

t.test('a reversal with the right key and another card or amount undoes nothing', async (t) => {
  const stan = nextStan()
  const request = purchase('visa-1', 5_500, stan)
  t.equal((await partner.ask('0200', request))[39], '00')
  const before = await world.balance('receivable:visa')
  const other = { ...request, 2: cardNamed('visa-3').pan, 7: '1122120300' }
  t.equal((await partner.ask('0420', withoutRequestParts(other)))[39], '25')
  const again = purchase('visa-1', 5_600, nextStan())
  t.equal((await partner.ask('0200', again))[39], '00')
  const less = { ...again, 4: '000000000001', 7: '1122120400' }
  t.equal((await partner.ask('0420', withoutRequestParts(less)))[39], '25')
  t.equal(await world.balance('receivable:visa'), before + 5_600n)
})

t.test('a card number alone buys nothing on our own card', async (t) => {
  const answer = await partner.ask('0200', { ...purchase('own-1', 900, nextStan()), 22: '012' })
  t.not(answer[39], '00')
})

t.test('chip data of one amount do not carry another', async (t) => {
  const card = cardNamed('own-1')
  const small = await pos.sale({ card, amountMinor: 100, chip: true, withPin: true })
  t.equal(small.code, '00')
  const before = await world.balance('customer:own-1')
  const again = await pos.sale({
    card, amountMinor: 50_000, chip: true, withPin: true, chipAmountMinor: 100,
  })
  t.equal(again.code, '59')
  t.equal(await world.balance('customer:own-1'), before)
})

t.test('somebody else who asks for new keys does not take them from the terminal', async (t) => {
  const card = cardNamed('own-2')
  t.equal((await pos.sale({ card, amountMinor: 300, chip: true, withPin: true })).code, '00')
  const stranger = world.pos()
  await stranger.connect()
  await stranger.signOn()
  await stranger.signOn()
  stranger.close()
  const result = await pos.sale({ card, amountMinor: 400, chip: true, withPin: true })
  t.match(result, { code: '00', macRight: true }, 'the former keys are right until new ones are used')
  t.equal((await pos.reversal()).code, '00')
})

t.test('an inquiry that is not answered is declined, and nothing is reversed', async (t) => {
  world.faults('cups', 'mti=0200:deaf')
  const { rows: before } = await world.sql.query('SELECT 1 FROM saf')
  const card = cardNamed('cups-1')
  const result = await atm.balance({ card, amountMinor: 0, chip: false, keepUnanswered: true })
  t.equal(result.code, '68')
  world.faults('cups')
  const { rows: after } = await world.sql.query('SELECT 1 FROM saf')
  t.equal(after.length, before.length)
})

t.test('a code that may mean money moved is declined and reversed', async (t) => {
  world.faults('cups', 'mti=0200,amount=6600:decline=09')
  const before = await world.balance('receivable:cups')
  const card = cardNamed('cups-1')
  const result = await pos.sale({ card, amountMinor: 6_600, chip: false, withPin: true })
  t.not(result.code, '00')
  world.faults('cups')
  const { rows } = await world.sql.query(
    `SELECT 1 FROM saf s JOIN txn t ON t.id = s.txn_id WHERE t.rrn = $1`,
    [result.rrn],
  )
  t.equal(rows.length, 1)
  await world.until('acknowledged', async () => (await world.safOpen()) === 0)
  t.equal(await world.balance('receivable:cups'), before)
})

t.test('a stranger cannot send our requests back as rejected', async (t) => {
  const stranger = new RawPeer(world, 'cups')
  const header = '2E02' + hexOf('0138') + hexOf('10010001   ') + hexOf('00010000   ') +
    '000000' + '00' + hexOf('00000000') + '00' + hexOf('00015')
  stranger.send(hexOf('0138') + header + '00'.repeat(92))
  const card = cardNamed('cups-1')
  const result = await pos.sale({ card, amountMinor: 210, chip: false, withPin: true })
  t.equal(result.code, '00')
  stranger.end()
})

t.test('a cut-over notice of CUPS is answered and changes no other message', async (t) => {
  const stranger = new RawPeer(world, 'cups')
  stranger.send(cupsFrame('0820' , { 7: '1122225900', 11: '000901', 33: '00010000', 70: '001' }))
  await stranger.answer()
  stranger.send(cupsFrame('0820', { 7: '1122230000', 11: '000902', 15: '1123', 70: '201' }))
  const answer = (await stranger.answer()).toString('latin1')
  t.match(answer, /0830/)
  t.match(answer, /00090211230{2}201/, 'fields 11, 15, 39 = 00, 70')
  stranger.end()
})

t.test('a second switch on the same database is refused: it would reverse what the first awaits', async (t) => {
  t.equal(await world.command('run', '--config', world.configPath), 1)
  const result = await pos.sale({
    card: cardNamed('own-3'), amountMinor: 120, chip: true, withPin: true,
  })
  t.equal(result.code, '00', 'the first one is not disturbed')
})

t.test('after all of it the books agree', async (t) => {
  t.equal(String(await world.balance('receivable:visa')), await visaNet())
  const { rows } = await world.sql.query('SELECT * FROM ledger_imbalance')
  t.same(rows, [])
})

function hexOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex')
}

/** A reversal carries what its original had, less what only requests have. */
function withoutRequestParts(fields: Record<number, string>): Record<number, string> {
  const { 14: _expiry, 22: _mode, ...rest } = fields
  return rest
}

/** A CUPS frame: four digits of length, header of 46 bytes, MTI, raw bitmaps, fields in ASCII. */
function cupsFrame(mti: string, fields: Record<number, string>): string {
  const numbers = Object.keys(fields).map(Number).sort((a, b) => a - b)
  const bits = Buffer.alloc(16)
  bits[0] = 0x80
  for (const field of numbers) bits[(field - 1) >> 3]! |= 0x80 >> ((field - 1) & 7)
  let body = ''
  for (const field of numbers) {
    const value = fields[field] ?? ''
    body += (field === 33 ? String(value.length).padStart(2, '0') : '') + value
  }
  const length = String(46 + 4 + 16 + body.length).padStart(4, '0')
  const header = '2E02' + hexOf(length) + hexOf('10010001   ') + hexOf('00010000   ') + '000000' +
    '00' + hexOf('00000000') + '00' + hexOf('00000')
  return hexOf(length) + header + hexOf(mti) + bits.toString('hex') + hexOf(body)
}
