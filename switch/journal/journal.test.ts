// What the journal promises, on a real PostgreSQL: duplicates, decisions, outcomes, reversals,
// store-and-forward, numbers.
import t from 'tap'
import type { Test } from 'tap'
import {
  authorizeRequest,
  balance,
  BUSINESS_DATE,
  card,
  count,
  facts,
  imbalance,
  intentRequest,
  journalOn,
  movement,
  newJournal,
  outcome,
  outcomeOf,
  reverseRequest,
  sql,
  startServer,
  token,
  usedOn,
} from './database-for-tests.ts'
import { JournalUnavailable } from './port.ts'
import type { PostgresJournal } from './postgres.ts'

const server = await startServer()
t.teardown(() => server.stop())

/** Runs `test` with a fresh database; the books must be right afterwards, whatever it did. */
function check(
  name: string,
  test: (t: Test, url: string, journal: PostgresJournal) => Promise<void>,
  cards = [card(1)],
): void {
  t.test(name, async (t) => {
    const { url, journal } = await newJournal(server, cards)
    try {
      await test(t, url, journal)
      t.same(await imbalance(url), [], 'the books balance')
    } finally {
      await journal.close()
    }
  })
}

async function triesLeft(journal: PostgresJournal): Promise<number> {
  const found = await journal.findCard(token(1))
  return found === null ? Number.NaN : found.pinTriesLeft
}

check('an approved purchase moves the money, uses the limit and keeps its answer', async (t, url, journal) => {
  const request = authorizeRequest()
  const { occurrence, answer } = await journal.authorize(request)
  t.equal(occurrence, 'new')
  t.equal(answer.reason, 'approved')
  t.match(answer.authCode, /^[0-9]{6}$/)
  t.equal(answer.settlementDate, '1122')
  t.equal(answer.networkRrn, request.facts.rrn)
  t.equal(answer.balanceMinor, null)
  t.equal(await balance(url, 'customer:1'), 990_000)
  t.equal(await balance(url, 'merchant:M00000000000001'), 10_000)
  t.same(await usedOn(url, BUSINESS_DATE), { used: 10_000, times: 1 })
  const [history] = await journal.history(request.facts.rrn)
  t.equal(history?.state, 'approved')
  t.same(history?.answer, answer)
  t.same(history?.events, request.events)
  t.match(history?.postings, [
    { debit: 'customer:1', credit: 'merchant:M00000000000001', amountMinor: 10_000 },
  ])
  t.notMatch(Object.keys(history?.facts ?? {}), ['panSealed'])
})

check('the same request 50 times at once is one posting and one answer', async (t, url, journal) => {
  const request = authorizeRequest()
  const results = await Promise.all(Array.from({ length: 50 }, () => journal.authorize(request)))
  t.equal(results.filter((result) => result.occurrence === 'new').length, 1)
  t.equal(results.filter((result) => result.occurrence === 'replay').length, 49)
  t.equal(new Set(results.map((result) => JSON.stringify(result.answer))).size, 1)
  t.same(await journal.authorize(request), { occurrence: 'replay', answer: results[0]?.answer })
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 1)
  t.equal(await balance(url, 'customer:1'), 990_000)
})

check('the same key with another body is refused and posts nothing', async (t, url, journal) => {
  const request = authorizeRequest()
  await journal.authorize(request)
  const other = authorizeRequest({ ...request.facts, id: facts().id, bodyHash: 'other' })
  const together = authorizeRequest()
  const forged = authorizeRequest({ ...together.facts, id: facts().id, bodyHash: 'other' })
  const [late, , inGroup] = await Promise.all([
    journal.authorize(other),
    journal.authorize(together),
    journal.authorize(forged),
  ])
  t.equal(late.occurrence, 'conflict')
  t.equal(late.answer.reason, 'duplicate_conflict')
  t.equal(inGroup.occurrence, 'conflict')
  t.equal((await journal.authorize(request)).answer.reason, 'approved', 'the first one stands')
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 2)
})

check('a new number for the same card and amount is a new transaction', async (t, url, journal) => {
  await Promise.all([journal.authorize(authorizeRequest()), journal.authorize(authorizeRequest())])
  t.equal(await balance(url, 'customer:1'), 980_000)
})

check('100 requests at once on one card stop exactly at its limit', async (t, url, journal) => {
  const results = await Promise.all(
    Array.from({ length: 100 }, () => journal.authorize(authorizeRequest())),
  )
  const reasons = results.map((result) => result.answer.reason)
  t.equal(reasons.filter((reason) => reason === 'approved').length, 50)
  t.equal(reasons.filter((reason) => reason === 'amount_limit').length, 50)
  t.same(await usedOn(url, BUSINESS_DATE), { used: 500_000, times: 50 })
  t.equal(await balance(url, 'customer:1'), 500_000)
})

check(
  '100 requests at once through two journals stop exactly at the balance',
  async (t, url, journal) => {
    const second = journalOn(url)
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        (i % 2 === 0 ? journal : second).authorize(authorizeRequest()),
      ),
    )
    await second.close()
    t.equal(results.filter((result) => result.answer.reason === 'approved').length, 30)
    t.equal(results.filter((result) => result.answer.reason === 'insufficient_funds').length, 70)
    t.equal(await balance(url, 'customer:1'), 0)
    t.same(await usedOn(url, BUSINESS_DATE), { used: 300_000, times: 30 })
  },
  [card(1, { openingBalanceMinor: 300_000 })],
)

check('the same request through two journals at once is one posting', async (t, url, journal) => {
  const second = journalOn(url)
  const requests = Array.from({ length: 40 }, () => authorizeRequest({ amountMinor: 100 }))
  const results = await Promise.all(
    [...requests, ...requests.toReversed()].map((request, i) =>
      (i < requests.length ? journal : second).authorize(request),
    ),
  )
  await second.close()
  t.equal(results.filter((result) => result.occurrence === 'new').length, requests.length)
  t.equal(results.filter((result) => result.occurrence === 'replay').length, requests.length)
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), requests.length)
})

check('an overdraft is spent down to its floor and no further', async (t, url, journal) => {
  const one = await journal.authorize(authorizeRequest({ amountMinor: 15_000 }))
  const two = await journal.authorize(authorizeRequest({ amountMinor: 1 }))
  t.equal(one.answer.reason, 'approved')
  t.equal(two.answer.reason, 'insufficient_funds')
  t.equal(await balance(url, 'customer:1'), -5_000)
}, [card(1, { openingBalanceMinor: 10_000, floorMinor: -5_000 })])

check('a wrong PIN costs one try per distinct attempt, a right one restores them', async (t, url, journal) => {
  const wrong = authorizeRequest({}, { pin: 'wrong' })
  const repeats = await Promise.all(Array.from({ length: 5 }, () => journal.authorize(wrong)))
  t.ok(repeats.every((result) => result.answer.reason === 'wrong_pin'))
  t.equal(await triesLeft(journal), 2)
  await journal.authorize(authorizeRequest())
  t.equal(await triesLeft(journal), 3)
  const results = await Promise.all(
    ['wrong', 'wrong', 'wrong', 'wrong', 'ok'].map((pin) =>
      journal.authorize(authorizeRequest({}, { pin: pin as 'wrong' | 'ok' })),
    ),
  )
  t.same(
    results.map((result) => result.answer.reason),
    ['wrong_pin', 'wrong_pin', 'wrong_pin', 'pin_tries_exceeded', 'pin_tries_exceeded'],
  )
  t.equal(await triesLeft(journal), 0)
  t.equal(await balance(url, 'customer:1'), 990_000)
})

check('a balance inquiry posts nothing and tells what can be spent', async (t, url, journal) => {
  const { answer } = await journal.authorize(authorizeRequest({ kind: 'balance', amountMinor: 0 }))
  t.match(answer, { reason: 'approved', balanceMinor: 1_002_000, balanceCurrency: '156' })
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 0)
  t.same(await usedOn(url, BUSINESS_DATE), { used: 0, times: 0 })
}, [card(1, { floorMinor: -2_000 })])

check('a refund moves the other way and leaves the limit alone', async (t, url, journal) => {
  await journal.authorize(authorizeRequest({ kind: 'refund' }))
  t.equal(await balance(url, 'customer:1'), 1_010_000)
  t.equal(await balance(url, 'merchant:M00000000000001'), -10_000)
  t.same(await usedOn(url, BUSINESS_DATE), { used: 0, times: 0 })
})

check('a card that is not ours is declined, recorded, and repeats alike', async (t, url, journal) => {
  const request = authorizeRequest({ panToken: token(9) })
  t.equal((await journal.authorize(request)).answer.reason, 'no_such_card')
  t.equal((await journal.authorize(request)).occurrence, 'replay')
  t.equal(await count(url, `txn WHERE state = 'declined'`), 1)
  t.equal(await journal.findCard(token(9)), null)
})

check('a reason found before the authorizer is recorded as it is', async (t, _url, journal) => {
  const request = authorizeRequest({}, { refusedReason: 'unknown_terminal' })
  t.equal((await journal.authorize(request)).answer.reason, 'unknown_terminal')
})

check('a poisoned request fails alone', async (t, url, journal) => {
  const good = Array.from({ length: 5 }, () => authorizeRequest())
  const poisoned = authorizeRequest({ panMasked: '6228481234567890' })
  const results = await Promise.all([
    ...good.slice(0, 3).map((request) => journal.authorize(request)),
    outcomeOf(journal.authorize(poisoned)),
    outcomeOf(journal.note('unknown', [{ atMs: 1, what: 'x', detail: '' }])),
    ...good.slice(3).map((request) => journal.authorize(request)),
  ])
  t.ok(results[3] instanceof JournalUnavailable)
  t.match(results[3], { outcomeUnknown: false, message: /SQLSTATE 23514 txn_pan_masked_check/ })
  t.notMatch(String(results[3]), /6228481234567890/)
  t.match(results[4], { message: /unknown transaction/ })
  t.equal(await count(url, `txn WHERE state = 'approved'`), 5)
  t.equal(await balance(url, 'customer:1'), 950_000)
})

check('what the caller must not ask is refused before it is queued', async (t, _url, journal) => {
  const id = facts().id
  await t.rejects(journal.conclude(outcome(id, { state: 'timed_out', movements: [] })), RangeError)
  await t.rejects(journal.conclude(outcome(id, { reversal: 'timeout' })), RangeError)
  await t.rejects(journal.conclude(outcome(id, { movements: [movement(0)] })), RangeError)
  const toCustomer = authorizeRequest({}, { counterAccount: 'customer:2' })
  await t.rejects(journal.authorize(toCustomer), RangeError)
  await t.rejects(journal.reverse(reverseRequest('key', {}, 0)), RangeError)
  await t.rejects(journal.safPark('7; drop', '', ''), RangeError)
})

check('a movement cannot open a customer account', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  const wrong = { ...movement(10_000), credit: 'customer:nobody' }
  const refused = outcome(intent.facts.id, { movements: [wrong] })
  await t.rejects(journal.conclude(refused), JournalUnavailable)
  t.equal(await count(url, `account WHERE code = 'customer:nobody'`), 0)
  t.equal(await count(url, `txn WHERE state = 'intent'`), 1)
})

check('numbers come in blocks that never overlap and wrap at their end', async (t, _url, journal) => {
  const firsts = await Promise.all(
    Array.from({ length: 10 }, () => journal.takeNumbers('stan:visa', 100, 999_999)),
  )
  t.same(firsts.sort((a, b) => a - b), Array.from({ length: 10 }, (_, i) => i * 100 + 1))
  t.equal(await journal.takeNumbers('small', 4, 10), 1)
  t.equal(await journal.takeNumbers('small', 4, 10), 5)
  t.equal(await journal.takeNumbers('small', 4, 10), 1, 'a block does not reach over the end')
  await t.rejects(journal.takeNumbers('small', 11, 10), RangeError)
})

check('key blocks are stored, replaced and missing', async (t, _url, journal) => {
  t.equal(await journal.keyBlock('zpk.visa'), null)
  await journal.putKeyBlock('zpk.visa', 'B0096P0TE00N0000AA', 'A1B2C3', 'pin')
  await journal.putKeyBlock('zpk.visa', 'B0096P0TE00N0000BB', 'D4E5F6', 'pin')
  t.equal(await journal.keyBlock('zpk.visa'), 'B0096P0TE00N0000BB')
})

check('many look-ups of one turn find their cards', async (t, _url, journal) => {
  const found = await Promise.all(
    Array.from({ length: 300 }, (_, i) => journal.findCard(token(i % 3))),
  )
  t.same(found.slice(0, 3).map((card) => card?.expiry ?? null), [null, '3012', '3101'])
  t.equal(await journal.healthy(), true)
}, [card(1), card(2, { expiry: '3101' })])

check('timeline entries stop at their bound', async (t, url, journal) => {
  const request = authorizeRequest()
  await journal.authorize(request)
  const events = Array.from({ length: 100 }, (_, i) => ({ atMs: i, what: 'saf.tried', detail: '' }))
  for (let i = 0; i < 5; i++) await journal.note(request.facts.id, events)
  const [row] = await sql<{ n: number }>(url, 'SELECT jsonb_array_length(events) AS n FROM txn')
  t.equal(row?.n, 301)
})

check('a closed journal refuses, and closing finishes what is in hand', async (t, url, journal) => {
  const inHand = journal.authorize(authorizeRequest())
  await journal.close()
  t.equal((await inHand).answer.reason, 'approved')
  await t.rejects(journal.authorize(authorizeRequest()), JournalUnavailable)
  await t.rejects(journal.findCard(token(1)), JournalUnavailable)
  t.equal(await count(url, 'journal_writer'), 0)
})
