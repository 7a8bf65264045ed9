// What the journal promises, on a real PostgreSQL: duplicates, decisions, outcomes, reversals, store-and-forward, numbers.
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
  newJournal,
  outcomeOf,
  reverseRequest,
  sql,
  startServer,
  token,
} from './database-for-tests.ts'
import { bareAnswer } from './group.ts'
import { JournalUnavailable } from './port.ts'
import type { Movement, OutcomeRequest, StoredAnswer } from './port.ts'
import type { PostgresJournal } from './postgres.ts'

const server = await startServer()
t.teardown(() => server.stop())

const approvedAnswer: StoredAnswer = {
  ...bareAnswer('approved', '123456789012'),
  authCode: 'A1B2C3',
  iccHex: '910A00112233445566778899',
}

function movement(amountMinor: number): Movement {
  return {
    debit: 'receivable:visa',
    credit: 'merchant:M00000000000001',
    amountMinor,
    currency: '156',
  }
}

function outcome(txnId: string, changes: Partial<OutcomeRequest> = {}): OutcomeRequest {
  return {
    txnId,
    state: 'approved',
    answer: approvedAnswer,
    movements: [movement(10_000)],
    reversal: null,
    events: [],
    ...changes,
  }
}

function timedOut(txnId: string): OutcomeRequest {
  return outcome(txnId, {
    state: 'timed_out',
    answer: bareAnswer('timeout', ''),
    movements: [],
    reversal: 'timeout',
  })
}

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

async function usedOn(url: string, date: string): Promise<{ used: number; times: number }> {
  const [row] = await sql<{ used: number; times: number }>(
    url,
    `SELECT used_minor::int AS used, used_count AS times FROM card_day WHERE business_date = $1`,
    [date],
  )
  return row ?? { used: 0, times: 0 }
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
    { debit: 'customer:1', credit: 'merchant:M00000000000001', amountMinor: 10_000, reverses: false },
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

check('reversing ten times undoes once and restores the limit of the original day', async (t, url, journal) => {
  const request = authorizeRequest({ businessDate: '2026-11-21' })
  await journal.authorize(request)
  const reversals = Array.from({ length: 10 }, () =>
    reverseRequest(request.facts.businessKey, { businessDate: '2026-11-22' }),
  )
  const results = await Promise.all(reversals.map((reversal) => journal.reverse(reversal)))
  t.equal(results.filter((result) => result.outcome === 'reversed').length, 1)
  t.equal(results.filter((result) => result.outcome === 'already').length, 9)
  t.match(results[0]?.original, { txnId: request.facts.id, state: 'reversed', route: 'on_us' })
  t.equal(await balance(url, 'customer:1'), 1_000_000)
  t.equal(await balance(url, 'merchant:M00000000000001'), 0)
  t.same(await usedOn(url, '2026-11-21'), { used: 0, times: 0 })
  t.same(await usedOn(url, '2026-11-22'), { used: 0, times: 0 })
  const [undone] = await sql<{ day: string }>(
    url,
    'SELECT business_date::text AS day FROM posting WHERE reverses IS NOT NULL',
  )
  t.equal(undone?.day, '2026-11-22', 'the inverse belongs to the day of the reversal')
  t.equal(await count(url, 'saf'), 0, 'nothing goes to a scheme')
})

check('the same reversal message repeated is told the same', async (t, url, journal) => {
  const request = authorizeRequest()
  await journal.authorize(request)
  const reversal = reverseRequest(request.facts.businessKey)
  const results = await Promise.all(Array.from({ length: 10 }, () => journal.reverse(reversal)))
  t.equal(results.filter((result) => result.occurrence === 'new').length, 1)
  t.equal(results.filter((result) => result.occurrence === 'replay').length, 9)
  t.ok(results.every((result) => result.outcome === 'reversed'))
  const forged = { ...reversal, facts: { ...reversal.facts, id: facts().id, bodyHash: 'other' } }
  t.equal((await journal.reverse(forged)).occurrence, 'conflict')
  t.equal(await count(url, 'posting WHERE reverses IS NOT NULL'), 1)
})

check('a repeat of a request that was reversed is declined, not approved again', async (t, url, journal) => {
  const request = authorizeRequest()
  const [, reversed] = await Promise.all([
    journal.authorize(request),
    journal.reverse(reverseRequest(request.facts.businessKey)),
  ])
  t.equal(reversed.outcome, 'reversed', 'even from the same group')
  const again = await journal.authorize(request)
  t.match(again, { occurrence: 'replay', answer: { reason: 'reversed_before', authCode: '' } })
  t.equal(await balance(url, 'customer:1'), 1_000_000)
})

check('a partial reversal releases exactly the difference', async (t, url, journal) => {
  const request = authorizeRequest({ kind: 'cash' }, { counterAccount: 'atm:A0000001' })
  const { answer } = await journal.authorize(request)
  const partial = reverseRequest(request.facts.businessKey, {}, 4_000)
  t.equal((await journal.reverse(partial)).outcome, 'reversed')
  t.equal(await balance(url, 'customer:1'), 994_000)
  t.equal(await balance(url, 'atm:A0000001'), 6_000)
  t.same(await usedOn(url, BUSINESS_DATE), { used: 6_000, times: 1 })
  const full = await journal.reverse(reverseRequest(request.facts.businessKey))
  t.equal(full.outcome, 'already')
  t.same((await journal.authorize(request)).answer, answer, 'the rest stands, and so does the answer')
})

check('a reversal before its original is remembered, and the late original is declined', async (t, url, journal) => {
  const late = authorizeRequest()
  const early = reverseRequest(late.facts.businessKey)
  const first = await journal.reverse(early)
  t.match(first, { occurrence: 'new', outcome: 'unseen', original: null })
  t.match(await journal.reverse(early), { occurrence: 'replay', outcome: 'unseen' })
  t.match(await journal.reverse(reverseRequest(late.facts.businessKey)), { outcome: 'already' })
  const results = await Promise.all(Array.from({ length: 3 }, () => journal.authorize(late)))
  t.ok(results.every((result) => result.answer.reason === 'reversed_before'))
  t.same(results.map((result) => result.occurrence).sort(), ['new', 'replay', 'replay'])
  t.equal(await balance(url, 'customer:1'), 1_000_000)
  const [history] = await journal.history(late.facts.rrn)
  t.match(history, { state: 'declined', facts: { id: late.facts.id, mti: '0200' } })
  await journal.note(late.facts.id, [{ atMs: 1, what: 'answer.sent', detail: '' }])
})

check('reversal and late original in one group end the same way', async (t, url, journal) => {
  const late = authorizeRequest()
  const [reversed, answered] = await Promise.all([
    journal.reverse(reverseRequest(late.facts.businessKey)),
    journal.authorize(late),
  ])
  t.equal(reversed.outcome, 'unseen')
  t.equal(answered.answer.reason, 'reversed_before')
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 0)
})

check('an intent whose reversal came first is answered, so that nothing is sent', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.reverse(reverseRequest(intent.facts.businessKey))
  t.match(await journal.intend(intent), { occurrence: 'replay', answer: { reason: 'reversed_before' } })
  t.equal(await journal.recover(1), 0)
  t.equal(await count(url, 'saf'), 0)
})

check('reversing a declined original changes nothing', async (t, url, journal) => {
  const request = authorizeRequest({}, { pin: 'wrong' })
  await journal.authorize(request)
  const { outcome: said } = await journal.reverse(reverseRequest(request.facts.businessKey))
  t.equal(said, 'declined_original')
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 0)
})

check('undoing a refund that was spent falls on the suspense account, not below the floor', async (t, url, journal) => {
  const refund = authorizeRequest({ kind: 'refund', amountMinor: 30_000 })
  await journal.authorize(refund)
  await journal.authorize(authorizeRequest({ amountMinor: 35_000 }))
  t.equal((await journal.reverse(reverseRequest(refund.facts.businessKey))).outcome, 'reversed')
  t.equal(await balance(url, 'customer:1'), 5_000)
  t.equal(await balance(url, 'suspense:reversal_shortfall'), -30_000)
}, [card(1, { openingBalanceMinor: 10_000 })])

check('an approved intent posts its movements once, whoever concludes second', async (t, url, journal) => {
  const intent = intentRequest()
  t.same(await journal.intend(intent), { occurrence: 'new', answer: null })
  t.match(await journal.intend(intent), { occurrence: 'in_doubt', answer: null })
  const [first, second] = await Promise.all([
    journal.conclude(outcome(intent.facts.id)),
    journal.conclude(timedOut(intent.facts.id)),
  ])
  t.same(first, { applied: true, state: 'approved' })
  t.same(second, { applied: false, state: 'approved' })
  t.same(await journal.intend(intent), { occurrence: 'replay', answer: approvedAnswer })
  t.equal(await balance(url, 'receivable:visa'), -10_000)
  t.equal(await count(url, 'saf'), 0)
})

check('a time-out and its reversal are one commit; a late approval posts nothing', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  t.match(await journal.conclude(timedOut(intent.facts.id)), { applied: true, state: 'timed_out' })
  t.match(await journal.conclude(outcome(intent.facts.id)), { applied: false, state: 'timed_out' })
  await journal.note(intent.facts.id, [{ atMs: 5, what: 'answer.came_late', detail: '210 ms' }])
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 0)
  const [row] = await journal.dueSaf('visa', Date.now() + 1, 10)
  t.match(row, {
    destination: 'visa', kind: 'reversal', cause: 'timeout', txnId: intent.facts.id, attempts: 0,
    sentMti: '0100', sentStan: '000077', sentTransmissionAt: '1122220000', reversalStan: '',
  })
  t.same(row?.facts, { ...intent.facts, record: '{"entry": "051"}' })
  t.equal((await journal.reverse(reverseRequest(intent.facts.businessKey))).outcome, 'already')
  t.equal(await count(url, 'saf'), 1)
  const [history] = await journal.history(intent.facts.rrn)
  t.match(history?.events.at(-1), { what: 'answer.came_late' })
  t.match(history?.saf, [{ state: 'queued', destination: 'visa' }])
})

check('reversing an approved off-us original posts the inverse and queues one reversal', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  await journal.conclude(outcome(intent.facts.id))
  const results = await Promise.all([
    journal.reverse(reverseRequest(intent.facts.businessKey, { route: 'visa' })),
    journal.reverse(reverseRequest(intent.facts.businessKey, { route: 'visa' })),
  ])
  t.same(results.map((result) => result.outcome).sort(), ['already', 'reversed'])
  t.equal(await balance(url, 'receivable:visa'), 0)
  t.match(await journal.dueSaf('visa', Date.now() + 1, 10), [{ cause: 'terminal_request' }])
})

check('a partial reversal off-us tells the scheme how much to release', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  await journal.conclude(outcome(intent.facts.id))
  await journal.reverse(reverseRequest(intent.facts.businessKey, {}, 2_500))
  t.match(await journal.dueSaf('visa', Date.now() + 1, 10), [{ releasedMinor: 2_500 }])
  t.equal(await balance(url, 'receivable:visa'), -7_500)
})

check('a reversal that meets an open intent waits for its outcome', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  const reversal = reverseRequest(intent.facts.businessKey)
  t.match(await journal.reverse(reversal), { outcome: 'pending', original: { state: 'intent' } })
  t.match(await journal.reverse(reversal), { occurrence: 'replay', outcome: 'pending' })
  t.match(await journal.conclude(outcome(intent.facts.id)), { applied: false, state: 'reversed' })
  t.equal(await count(url, 'posting WHERE txn_id IS NOT NULL'), 0)
  t.match(await journal.dueSaf('visa', Date.now() + 1, 10), [{ cause: 'terminal_request' }])
  t.match(await journal.intend(intent), { occurrence: 'replay', answer: { reason: 'reversed_before' } })
})

check('a waiting reversal needs nothing when the outcome is a decline', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  await journal.reverse(reverseRequest(intent.facts.businessKey))
  const declined = outcome(intent.facts.id, {
    state: 'declined', answer: bareAnswer('do_not_honour', ''), movements: [],
  })
  t.same(await journal.conclude(declined), { applied: true, state: 'declined' })
  t.equal(await count(url, 'saf'), 0)
})

check('a bad answer MAC is declined and reversed in one commit', async (t, _url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  await journal.conclude(outcome(intent.facts.id, {
    state: 'declined', answer: bareAnswer('bad_mac', ''), movements: [], reversal: 'bad_answer_mac',
  }))
  t.match(await journal.dueSaf('visa', Date.now() + 1, 10), [{ cause: 'bad_answer_mac' }])
})

check('recovery settles every open intent once, with its reversal', async (t, url, journal) => {
  const intents = Array.from({ length: 7 }, () => intentRequest())
  await Promise.all(intents.map((intent) => journal.intend(intent)))
  const ended = intents[0]
  if (ended === undefined) return
  await journal.conclude(outcome(ended.facts.id))
  t.equal(await journal.recover(1_000), 6)
  t.equal(await journal.recover(1_000), 0)
  t.equal(await count(url, `txn WHERE state = 'timed_out'`), 6)
  t.equal(await count(url, `saf WHERE cause = 'restart' AND queued_at_ms = 1000`), 6)
  const open = intents[1]
  if (open === undefined) return
  t.match(await journal.intend(open), { occurrence: 'replay', answer: { reason: 'timeout' } })
})

check('store-and-forward keeps order per card, repeats its key data, and leaves by acknowledgement', async (t, _url, journal) => {
  const intents = [
    intentRequest(), intentRequest(), intentRequest({ panToken: token(2) }),
    intentRequest({ panToken: token(3) }),
  ]
  for (const intent of intents) {
    await journal.intend(intent)
    await journal.conclude(timedOut(intent.facts.id))
  }
  const later = Date.now() + 1_000
  const due = await journal.dueSaf('visa', later, 10)
  t.same(due.map((row) => row.facts.panToken[0]), [1, 2, 3], 'one per card, oldest first')
  const [one, two, three] = due
  if (one === undefined || two === undefined || three === undefined) throw new Error('rows')
  await Promise.all([
    journal.safAttempt(one.id, '000501', '1122220101', later + 60_000),
    journal.safPark(two.id, '96', 'format'),
  ])
  t.same((await journal.dueSaf('visa', later, 10)).map((row) => row.id), [three.id],
    'a parked row blocks nobody, a waiting one only its own card')
  await journal.safAttempt(one.id, '000777', '1122220202', later)
  const [again] = await journal.dueSaf('visa', later, 1)
  t.match(again, { id: three.id }, 'longest due first')
  const repeat = (await journal.dueSaf('visa', later, 10)).find((row) => row.id === one.id)
  t.match(repeat, { attempts: 2, reversalStan: '000501', reversalTransmissionAt: '1122220101' })
  await Promise.all([journal.safAcknowledge(one.id, '00'), journal.safAcknowledge(one.id, '00')])
  const freed = await journal.dueSaf('visa', later, 10)
  t.same(freed.map((row) => row.txnId).sort(), [intents[1]?.facts.id, intents[3]?.facts.id].sort())
  const list = await journal.safList()
  t.same(list.map((row) => row.state).sort(), ['acknowledged', 'parked', 'queued', 'queued'])
  t.match(list.find((row) => row.id === two.id), { lastAnswer: '96', amountMinor: 10_000 })
  t.same(await journal.dueSaf('cups', later, 10), [], 'another destination has its own rows')
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
  await t.rejects(journal.authorize(authorizeRequest({}, { counterAccount: 'customer:2' })), RangeError)
  await t.rejects(journal.reverse(reverseRequest('key', {}, 0)), RangeError)
  await t.rejects(journal.safPark('7; drop', '', ''), RangeError)
})

check('a movement cannot open a customer account', async (t, url, journal) => {
  const intent = intentRequest()
  await journal.intend(intent)
  const wrong = { ...movement(10_000), credit: 'customer:nobody' }
  await t.rejects(journal.conclude(outcome(intent.facts.id, { movements: [wrong] })), JournalUnavailable)
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
