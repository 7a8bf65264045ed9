// The database itself refuses what the program must never ask: illegal moves of a transaction,
// postings that are unbalanced, edited or undone twice, accounts below their floor. Everything here
// is plain SQL past the program.
import { Client } from 'pg'
import t from 'tap'
import {
  authorizeRequest,
  balance,
  BUSINESS_DATE,
  card,
  count,
  imbalance,
  intentRequest,
  journalOn,
  newJournal,
  reverseRequest,
  seed,
  sql,
  startServer,
  token,
} from './database-for-tests.ts'
import { Group } from './group.ts'
import { writeQuery } from './group-write.ts'

const server = await startServer()
t.teardown(() => server.stop())

/**
 * A database with one approved purchase (100.00, customer:1 to the merchant), one open intent, and
 * a second account.
 */
async function prepared(): Promise<{ url: string; approved: string; intent: string }> {
  const { url, journal } = await newJournal(server, [
    card(1),
    card(2, { currency: '840', openingBalanceMinor: 50_000 }),
  ])
  const purchase = authorizeRequest()
  const intent = intentRequest()
  await Promise.all([journal.authorize(purchase), journal.intend(intent)])
  await journal.close()
  return { url, approved: purchase.facts.id, intent: intent.facts.id }
}

const POSTING = `INSERT INTO posting (txn_id, memo, debit_account, credit_account, amount_minor,
  currency, business_date, reverses) SELECT NULL, 'by hand', `
const D = `(SELECT id FROM account WHERE code = 'customer:1')`
const C = `(SELECT id FROM account WHERE code = 'merchant:M00000000000001')`
const DOLLARS = `(SELECT id FROM account WHERE code = 'customer:2')`
const PURCHASE = `(SELECT id FROM posting WHERE txn_id IS NOT NULL)`

const REFUSED: Array<{ name: string; sql: string; code: string; source: string }> = [
  { name: 'declining what was approved', code: 'SY001', source: 'design.md 6',
    sql: `UPDATE txn SET state = 'declined' WHERE state = 'approved'` },
  { name: 'an approved one that becomes an intent again', code: 'SY001', source: 'design.md 6',
    sql: `UPDATE txn SET state = 'intent', destination = 'visa' WHERE state = 'approved'` },
  { name: 'an intent that was never seen', code: 'SY001', source: 'port.ts TxnState',
    sql: `UPDATE txn SET state = 'reversed_unseen' WHERE state = 'intent'` },
  { name: 'a transaction that begins reversed', code: 'SY001', source: 'port.ts TxnState',
    sql: `INSERT INTO txn SELECT (r).* FROM (SELECT jsonb_populate_record(t, '{"id":"X","business_key":"x","state":"reversed"}') AS r FROM txn t LIMIT 1) q` },
  { name: 'a second row for one business key', code: '23505', source: 'behaviours.md 34',
    sql: `INSERT INTO txn SELECT (r).* FROM (SELECT jsonb_populate_record(t, '{"id":"X"}') AS r FROM txn t LIMIT 1) q` },
  { name: 'an approval without an answer', code: '23514', source: 'behaviours.md 30',
    sql: `UPDATE txn SET state = 'approved' WHERE state = 'intent'` },
  { name: 'another amount', code: 'SY002', source: 'behaviours.md 30',
    sql: `UPDATE txn SET amount_minor = 1` },
  { name: 'another answer than was given', code: 'SY002', source: 'behaviours.md 30',
    sql: `UPDATE txn SET answer = '{"reason":"declined"}' WHERE state = 'approved'` },
  { name: 'deleting a transaction', code: 'SY002', source: 'design.md 6', sql: `DELETE FROM txn` },
  { name: 'emptying transactions', code: 'SY002', source: 'design.md 6', sql: `TRUNCATE txn CASCADE` },
  { name: 'an unmasked PAN', code: '23514', source: 'behaviours.md 77',
    sql: `INSERT INTO txn SELECT (r).* FROM (SELECT jsonb_populate_record(t, '{"id":"X","business_key":"x","pan_masked":"6228481234567890"}') AS r FROM txn t WHERE state = 'approved') q` },
  { name: 'a posting from an account to itself', code: '23514', source: 'reliability.md 1.7',
    sql: `${POSTING} ${D}, ${D}, 5, '156', '2026-11-22', NULL` },
  { name: 'a posting of nothing', code: '23514', source: 'design.md 6',
    sql: `${POSTING} ${D}, ${C}, 0, '156', '2026-11-22', NULL` },
  { name: 'a posting of a negative amount', code: '23514', source: 'design.md 6',
    sql: `${POSTING} ${D}, ${C}, -5, '156', '2026-11-22', NULL` },
  { name: 'a posting in another currency than its accounts', code: 'SY003', source: 'behaviours.md 54',
    sql: `${POSTING} ${D}, ${C}, 5, '840', '2026-11-22', NULL` },
  { name: 'a posting across two currencies', code: 'SY003', source: 'behaviours.md 54',
    sql: `${POSTING} ${D}, ${DOLLARS}, 5, '156', '2026-11-22', NULL` },
  { name: 'a posting to an account that does not exist', code: 'SY003', source: 'design.md 6',
    sql: `${POSTING} ${D}, 999999, 5, '156', '2026-11-22', NULL` },
  { name: 'a posting of an unknown transaction', code: '23503', source: 'design.md 6',
    sql: `INSERT INTO posting (txn_id, debit_account, credit_account, amount_minor, currency,
            business_date)
          SELECT 'nobody', ${D}, ${C}, 5, '156', '2026-11-22'` },
  { name: 'a posting without transaction or memo', code: '23514', source: 'behaviours.md 72',
    sql: `INSERT INTO posting (debit_account, credit_account, amount_minor, currency, business_date)
          SELECT ${D}, ${C}, 5, '156', '2026-11-22'` },
  { name: 'a customer below the floor', code: '23514', source: 'behaviours.md 70',
    sql: `${POSTING} ${D}, ${C}, 990001, '156', '2026-11-22', NULL` },
  { name: 'undoing more than was posted', code: 'SY003', source: 'behaviours.md 23',
    sql: `${POSTING} ${C}, ${D}, 10001, '156', '2026-11-22', ${PURCHASE}` },
  { name: 'undoing in the direction of the original', code: 'SY003', source: 'behaviours.md 23',
    sql: `${POSTING} ${D}, ${C}, 10000, '156', '2026-11-22', ${PURCHASE}` },
  { name: 'undoing one posting twice in one statement', code: '23505', source: 'behaviours.md 20',
    sql: `${POSTING} ${C}, ${D}, 100, '156', '2026-11-22', ${PURCHASE}
          FROM generate_series(1, 2)` },
  { name: 'editing a posting', code: 'SY002', source: 'design.md 6',
    sql: `UPDATE posting SET amount_minor = 1` },
  { name: 'deleting a posting', code: 'SY002', source: 'design.md 6', sql: `DELETE FROM posting` },
  { name: 'emptying postings', code: 'SY002', source: 'design.md 6', sql: `TRUNCATE posting` },
  { name: 'a balance without a posting', code: 'SY003', source: 'behaviours.md 72',
    sql: `UPDATE account SET credits_minor = credits_minor + 1` },
  { name: 'an account that begins with money', code: 'SY003', source: 'behaviours.md 72',
    sql: `INSERT INTO account (code, kind, currency, credits_minor)
          VALUES ('funding:x', 'role', '156', 5)` },
  { name: 'an account that changes its currency', code: 'SY002', source: 'behaviours.md 54',
    sql: `UPDATE account SET currency = '978' WHERE code = 'customer:1'` },
  { name: 'deleting an account', code: 'SY002', source: 'design.md 6',
    sql: `DELETE FROM account WHERE code = 'merchant:M00000000000001'` },
  { name: 'a customer account without a floor', code: '23514', source: 'behaviours.md 70',
    sql: `UPDATE account SET floor_minor = NULL WHERE code = 'customer:1'` },
  { name: 'more PIN tries than there are', code: '23514', source: 'behaviours.md 61',
    sql: `UPDATE card SET pin_tries_left = 4` },
  { name: 'a second card of one number', code: '23505', source: 'design.md 6',
    sql: `INSERT INTO card (pan_token, account_id, expiry, key_set, daily_limit_minor)
          SELECT pan_token, account_id, expiry, key_set, 1 FROM card LIMIT 1` },
  { name: 'a second reversal of one transaction in store-and-forward', code: '23505', source: 'behaviours.md 24',
    sql: `INSERT INTO saf (destination, kind, cause, txn_id, pan_token, queued_at_ms,
            next_attempt_at_ms)
          SELECT 'visa', 'reversal', 'timeout', id, pan_token, 1, 1 FROM txn, generate_series(1, 2)
          WHERE state = 'intent'` },
]

t.test('the database refuses', async (t) => {
  const { url } = await prepared()
  const client = new Client({ connectionString: url })
  await client.connect()
  for (const row of REFUSED) {
    await client.query('BEGIN')
    await t.rejects(client.query(row.sql), { code: row.code }, row.name)
    await client.query('ROLLBACK')
  }
  await client.end()
  t.same(await imbalance(url), [])
})

t.test('what the database refuses is refused for that reason only: the same with right values passes', async (t) => {
  const { url } = await prepared()
  await sql(url, `${POSTING} ${D}, ${C}, 990000, '156', '2026-11-22', NULL`)
  await sql(url, `${POSTING} ${C}, ${D}, 10000, '156', '2026-11-22', ${PURCHASE}`)
  await t.rejects(
    sql(url, `${POSTING} ${C}, ${D}, 1, '156', '2026-11-22', ${PURCHASE}`),
    { code: '23505' },
    'undone once, not twice',
  )
  t.equal(await balance(url, 'customer:1'), 10_000)
  t.same(await imbalance(url), [])
})

t.test('one statement that touches an account many times keeps every amount', async (t) => {
  const { url } = await prepared()
  await sql(
    url,
    `${POSTING} CASE WHEN n % 3 = 0 THEN ${C} ELSE ${D} END,
     CASE WHEN n % 3 = 0 THEN ${D} ELSE ${C} END,
     n, '156', '2026-11-22', NULL FROM generate_series(1, 300) AS n`,
  )
  let expected = 990_000
  for (let n = 1; n <= 300; n++) expected += n % 3 === 0 ? n : -n
  t.equal(await balance(url, 'customer:1'), expected)
  t.same(await imbalance(url), [])
})

t.test('ledger_imbalance finds a total and a posting that were changed past the triggers', async (t) => {
  const { url } = await prepared()
  const tampered = `SET session_replication_role = replica;
    UPDATE account SET credits_minor = credits_minor + 7 WHERE code = 'customer:1'`
  await sql(url, tampered)
  t.match(await imbalance(url), [
    { problem: 'account', code: 'customer:1', credit_excess_minor: '7' },
    { problem: 'currency', currency: '156', debit_excess_minor: '-7' },
  ])
})

t.test('ledger_totals shows equal sums per currency', async (t) => {
  const { url } = await prepared()
  t.same(await sql(url, 'SELECT * FROM ledger_totals ORDER BY currency'), [
    { currency: '156', debits_minor: '1010000', credits_minor: '1010000' },
    { currency: '840', debits_minor: '50000', credits_minor: '50000' },
  ])
})

t.test('there is no column for what must not be kept', async (t) => {
  const { url } = await prepared()
  const columns = await sql<{ name: string }>(
    url,
    `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
     WHERE table_schema = 'public' AND (column_name ~ 'track|cvv|cvc|pin_?block|clear'
       OR column_name ~ '^pan$|_pan$')`,
  )
  t.same(columns, [])
})

t.test('a write with a fence that was raised meanwhile changes nothing', async (t) => {
  const { url } = await prepared()
  const writer = '7'
  await sql(url, `INSERT INTO journal_writer OVERRIDING SYSTEM VALUE VALUES (${writer}, 0, 0)`)
  const write = (mark: number, fence: number): Promise<unknown> => {
    const { text, values } = writeQuery(new Group(1), () => 1, { id: writer, mark, fence })
    return sql(url, text, values)
  }
  await write(1, 0)
  await write(2, 1)
  await t.rejects(write(3, 0), { code: 'SY004' }, 'the old server process wakes up too late')
  t.match(await sql(url, `SELECT group_mark, fence FROM journal_writer WHERE writer = ${writer}`), [
    { group_mark: '2', fence: '1' },
  ])
})

t.test('seeding twice changes nothing', async (t) => {
  const { url, journal } = await newJournal(server, [card(1), card(2)])
  await journal.authorize(authorizeRequest())
  await seed(url, [card(1, { pvv: '9999', openingBalanceMinor: 5 }), card(2), card(3)])
  t.equal(await balance(url, 'customer:1'), 990_000)
  t.equal((await journal.findCard(token(1)))?.pvv, '1234')
  t.equal(await count(url, 'card'), 3)
  t.equal(await count(url, `posting WHERE memo = 'opening balance'`), 3)
  t.same(await imbalance(url), [])
  await journal.close()
})

t.test('random traffic leaves what a plain model of the accounts says', async (t) => {
  const cards = [card(1), card(2), card(3)]
  const { url, journal } = await newJournal(server, cards)
  const other = journalOn(url)
  const spent = new Map([[1, 0], [2, 0], [3, 0]])
  const flows = Array.from({ length: 300 }, async (_, i) => {
    const n = (i % 3) + 1
    const amountMinor = 1 + ((i * 7919) % 400)
    const kind = i % 5 === 0 ? 'refund' : 'purchase'
    const request = authorizeRequest({ panToken: token(n), amountMinor, kind })
    const here = i % 2 === 0 ? journal : other
    await here.authorize(request)
    const sign = kind === 'refund' ? -1 : 1
    let kept = amountMinor
    if (i % 4 === 0) {
      const part = i % 8 === 0 ? 1 : null
      await Promise.all([
        here.reverse(reverseRequest(request.facts.businessKey, {}, part)),
        here.authorize(request),
      ])
      kept = part === null ? 0 : amountMinor - 1
    }
    spent.set(n, (spent.get(n) ?? 0) + sign * kept)
  })
  await Promise.all(flows)
  await Promise.all([journal.close(), other.close()])
  for (const [n, amount] of spent) t.equal(await balance(url, `customer:${n}`), 1_000_000 - amount)
  t.same(await imbalance(url), [])
  const [day] = await sql<{ used: string; stands: string }>(
    url,
    `SELECT (SELECT sum(used_minor) FROM card_day) AS used,
            (SELECT sum(consumed_minor - coalesce(released_minor, 0)) FROM txn
             WHERE consumed_minor > 0 AND business_date = '${BUSINESS_DATE}') AS stands`,
  )
  t.equal(day?.used, day?.stands)
})
