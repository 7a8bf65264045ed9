/**
 * Each procedure of the switch through its real doors: terminals and schemes on sockets, the token,
 * the database.
 *
 * The peers are the simulators, which check MACs, ARPCs and answers by themselves and keep their
 * own books; the facts below compare their view with the ledger and with what the operator's page
 * of a transaction says.
 */

import t from 'tap'
import { cardNamed } from '../simulators/cards.ts'
import type { OperationResult } from '../simulators/terminal/line.ts'
import { REPLY_TIMEOUT_MS, World } from './world.ts'

const world = await World.make()
t.teardown(() => world.close())
await world.startSwitch()
await world.startSchemes()
await world.linksReady()

const pos = world.pos()
const atm = world.atm()
await pos.connect()
await atm.connect()
t.teardown(() => {
  pos.close()
  atm.close()
})

const MERCHANT = 'merchant:123456789012345'
const ATM_CASH = 'atm:20000001'

const sale = (card: string, amountMinor: number, more: object = {}): Promise<OperationResult> =>
  pos.sale({
    card: cardNamed(card), amountMinor, chip: card.startsWith('own'), withPin: true, ...more,
  })

const cash = (card: string, amountMinor: number, more: object = {}): Promise<OperationResult> =>
  atm.withdrawal({ card: cardNamed(card), amountMinor, chip: card.startsWith('own'), ...more })

async function postings(rrn: string): Promise<number> {
  const { rows } = await world.sql.query<{ n: string }>(
    `SELECT count(*)::text AS n FROM posting p JOIN txn t ON t.id = p.txn_id WHERE t.rrn = $1`,
    [rrn],
  )
  return Number(rows[0]!.n)
}

t.test('a POS signs on and gets working keys whose check values are right', async (t) => {
  const result = await pos.signOn()
  t.equal(result.code, '00')
  t.equal(result.note, '')
})

t.test('an ATM signs on and gets working keys whose check values are right', async (t) => {
  const result = await atm.signOn()
  t.equal(result.code, '00')
  t.equal(result.note, '')
})

t.test('chip purchase with PIN on our own card: posted once, MAC and ARPC right', async (t) => {
  const before = {
    customer: await world.balance('customer:own-1'),
    shop: await world.balance(MERCHANT),
  }
  const result = await sale('own-1', 1_250)
  t.match(result, { code: '00', macRight: true, issuerGenuine: true })
  t.match(result.authorisation, /^[0-9]{6}$/)
  t.equal((await world.balance('customer:own-1')) - before.customer, 1_250n)
  t.equal((await world.balance(MERCHANT)) - before.shop, -1_250n)
})

t.test('the same request again: the same answer, one posting', async (t) => {
  const first = await sale('own-2', 700)
  const second = await pos.repeat()
  t.equal(second.code, first.code)
  t.equal(second.authorisation, first.authorisation)
  t.equal(second.rrn, first.rrn)
  t.equal(await postings(first.rrn), 1)
})

t.test('a wrong PIN is refused, and no money moves', async (t) => {
  const before = await world.balance('customer:own-3')
  t.equal((await sale('own-3', 500, { wrongPin: true })).code, '55')
  t.equal(await world.balance('customer:own-3'), before)
})

t.test('a wrong PIN counts once, however often the request is repeated', async (t) => {
  await sale('own-4', 500, { wrongPin: true })
  for (let i = 0; i < 5; i++) t.equal((await pos.repeat()).code, '55')
  t.equal((await sale('own-4', 500)).code, '00', 'two tries were left')
})

t.test('not enough funds, an expired card and an unknown range are refused with their codes', async (t) => {
  t.equal((await sale('own-5', 5_000)).code, '51')
  t.equal((await sale('own-6', 500)).code, '54')
  t.equal((await sale('lost-bin', 500)).code, '15')
})

t.test('a wrong request MAC is refused before anything else is looked at', async (t) => {
  const before = await world.balance('customer:own-1')
  t.equal((await sale('own-1', 500, { badMac: true })).code, 'A0')
  t.equal(await world.balance('customer:own-1'), before)
})

t.test('Visa purchase: PIN translated, answered, posted as receivable', async (t) => {
  const before = await world.balance('receivable:visa')
  const result = await sale('visa-1', 2_300)
  t.match(result, { code: '00', macRight: true })
  t.equal((await world.balance('receivable:visa')) - before, 2_300n)
})

t.test('declines of Visa reach the terminal in its own codes', async (t) => {
  t.equal((await sale('visa-2', 9_000)).code, '51')
  t.equal((await sale('visa-1', 900, { wrongPin: true })).code, '55')
  t.equal((await sale('visa-4', 900)).code, '54')
})

t.test('CUPS purchase with MAC both ways, also with a 19-digit card number', async (t) => {
  t.match(await sale('cups-1', 1_100), { code: '00', macRight: true })
  t.match(await sale('cups-3', 1_100), { code: '00', macRight: true })
})

t.test('ATM withdrawal and balance on our own card', async (t) => {
  const before = await world.balance(ATM_CASH)
  const result = await cash('own-1', 20_000)
  t.match(result, { code: '00', macRight: true, issuerGenuine: true })
  t.equal((await world.balance(ATM_CASH)) - before, -20_000n)
  const inquiry = await atm.balance({ card: cardNamed('own-1'), amountMinor: 0, chip: true })
  t.equal(inquiry.code, '00')
  t.equal(BigInt(inquiry.balanceMinor!), -(await world.balance('customer:own-1')))
})

t.test('ATM withdrawal and balance on a CUPS card', async (t) => {
  const before = await world.balance('receivable:cups')
  t.match(await cash('cups-1', 30_000), { code: '00', macRight: true })
  t.equal((await world.balance('receivable:cups')) - before, 30_000n)
  const inquiry = await atm.balance({ card: cardNamed('cups-1'), amountMinor: 0, chip: false })
  t.equal(inquiry.code, '00')
  t.ok(inquiry.balanceMinor! > 0)
})

t.test('an ATM reversal undoes a withdrawal once', async (t) => {
  const before = await world.balance('customer:own-2')
  t.equal((await cash('own-2', 5_000)).code, '00')
  t.equal((await atm.reversal('22')).code, '00')
  t.equal((await atm.reversal('22')).code, '00')
  t.equal(await world.balance('customer:own-2'), before)
})

t.test('CUPS brings a purchase on our card: authorised, MACed, and its reversal undone once', async (t) => {
  const before = await world.balance('payable:cups')
  const result = await world.askCups({
    do: 'originate', card: 'own-7', kind: 'purchase', amountMinor: 4_400,
    chip: true, withPin: true, atc: 1,
  })
  t.match(result, { code: '00', macRight: true, issuerGenuine: true })
  t.equal((await world.balance('payable:cups')) - before, -4_400n)
  const undone = await world.askCups({ do: 'reverse', rrn: result['rrn'], times: 3 })
  t.same((undone['results'] as Array<{ code: string }>).map((one) => one.code), ['00', '00', '00'])
  t.equal(await world.balance('payable:cups'), before)
})

t.test('Visa stays silent: the terminal is answered in time, the reversal is durable first and goes out', async (t) => {
  world.faults('visa', 'mti=0100,amount=9100:silent')
  const receivable = await world.balance('receivable:visa')
  const result = await sale('visa-1', 9_100, { keepUnanswered: true })
  t.equal(result.code, '98')
  t.ok(result.ms >= REPLY_TIMEOUT_MS - 50 && result.ms < REPLY_TIMEOUT_MS + 1_500)
  const { rows } = await world.sql.query(
    `SELECT 1 FROM saf s JOIN txn t ON t.id = s.txn_id WHERE t.rrn = $1 AND t.state = 'timed_out'`,
    [result.rrn],
  )
  t.equal(rows.length, 1, 'the answer came after its reversal was in store-and-forward')
  await world.until('reversal acknowledged', async () => (await world.safOpen()) === 0)
  t.equal(await world.balance('receivable:visa'), receivable)
  t.match(await visaState(result.rrn), /reversed/)
  world.faults('visa')
})

t.test('a late approval changes nothing and is recorded', async (t) => {
  world.faults('visa', `mti=0100,amount=9200:late=${REPLY_TIMEOUT_MS + 700}`)
  const receivable = await world.balance('receivable:visa')
  const result = await sale('visa-1', 9_200, { keepUnanswered: true })
  t.equal(result.code, '98')
  await world.until('late answer noted', async () => {
    const { rows } = await world.sql.query<{ late: boolean }>(
      `SELECT events @> '[{"what": "answer.late"}]' AS late FROM txn WHERE rrn = $1`,
      [result.rrn],
    )
    return rows[0]?.late === true
  })
  await world.until('reversal acknowledged', async () => (await world.safOpen()) === 0)
  t.equal(await world.balance('receivable:visa'), receivable)
  world.faults('visa')
})

t.test('a reversal that is not answered is repeated until it is', async (t) => {
  world.faults(
    'visa', 'mti=0100,amount=9300:deaf', 'mti=0420,times=1:silent', 'mti=0421,times=1:deaf',
  )
  const result = await sale('visa-1', 9_300, { keepUnanswered: true })
  t.equal(result.code, '98')
  await world.until('reversal acknowledged', async () => (await world.safOpen()) === 0)
  const { rows } = await world.sql.query<{ attempts: number }>(
    `SELECT s.attempts FROM saf s JOIN txn t ON t.id = s.txn_id WHERE t.rrn = $1`,
    [result.rrn],
  )
  t.ok(rows[0]!.attempts >= 3)
  world.faults('visa')
})

t.test('a reversal that the network refuses is parked, and an operator sends it again', async (t) => {
  world.faults('visa', 'mti=0100,amount=9350:silent', 'mti=0420,amount=9350:decline=12')
  const result = await sale('visa-1', 9_350, { keepUnanswered: true })
  await world.until('parked', async () => (await safState(result.rrn)) === 'parked')
  world.faults('visa')
  t.equal(await world.command('saf', 'retry', result.rrn), 0)
  await world.until('acknowledged', async () => (await safState(result.rrn)) === 'acknowledged')
  t.match(await visaState(result.rrn), /reversed/)
  t.equal(await world.command('saf', 'retry', result.rrn), 1, 'nothing is parked any more')
})

t.test('the line drops while a request waits: declined, reversed, and the link comes back', async (t) => {
  world.faults('visa', 'mti=0100,amount=9400:drop')
  const result = await sale('visa-1', 9_400, { keepUnanswered: true })
  t.equal(result.code, '91')
  world.faults('visa')
  await world.linksReady()
  await world.until('reversal acknowledged', async () => (await world.safOpen()) === 0)
  t.match(await visaState(result.rrn), /reversed/)
})

t.test('an answer of CUPS with a wrong MAC is not believed: declined and reversed', async (t) => {
  world.faults('cups', 'mti=0200,amount=9500:bad_mac')
  const before = await world.balance('receivable:cups')
  const result = await sale('cups-1', 9_500, { keepUnanswered: true })
  t.equal(result.code, '91')
  world.faults('cups')
  await world.until('reversal acknowledged', async () => (await world.safOpen()) === 0)
  t.equal(await world.balance('receivable:cups'), before)
})

t.test('a repeated answer is dropped, and the next transaction is not disturbed', async (t) => {
  world.faults('visa', 'mti=0100,amount=9600:repeat=3')
  t.equal((await sale('visa-1', 9_600)).code, '00')
  world.faults('visa')
  t.equal((await sale('visa-1', 400)).code, '00')
})

t.test('new zone keys while traffic runs: nothing is declined for it', async (t) => {
  const changes = (): number => world.log().split('"name":"zone.cups.').length
  for (let i = 0; i < 4; i++) {
    const before = changes()
    await world.askCups({ do: 'renew-keys' })
    t.equal((await sale('cups-1', 310)).code, '00')
    await world.until('both keys in force', () => changes() === before + 2)
    t.equal((await sale('cups-1', 320)).code, '00')
  }
})

t.test('the books agree at the end', async (t) => {
  const answer = await world.visa!.desk.handle('{"do":"totals"}')
  const totals = JSON.parse(answer) as { net_minor: string }
  t.equal(String(await world.balance('receivable:visa')), String(totals.net_minor))
  const { rows } = await world.sql.query(`SELECT * FROM ledger_imbalance`)
  t.same(rows, [], 'debits equal credits and balances equal postings')
})

t.test('no card number, track, PIN block or key is in anything the switch wrote', async (t) => {
  const log = world.log()
  for (const name of ['own-1', 'visa-1', 'cups-1', 'cups-3']) {
    t.notMatch(log, cardNamed(name).pan)
  }
  t.match(log, /"event":"txn.completed"/)
})

async function safState(rrn: string): Promise<string> {
  const { rows } = await world.sql.query<{ state: string }>(
    `SELECT s.state FROM saf s JOIN txn t ON t.id = s.txn_id WHERE t.rrn = $1`,
    [rrn],
  )
  return rows[0]?.state ?? ''
}

/** What Visa's own book says of a transaction. */
function visaState(rrn: string): Promise<string> {
  return world.visa!.desk.handle(JSON.stringify({ do: 'find', rrn }))
}
