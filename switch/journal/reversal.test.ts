// Undoing and forwarding, on a real PostgreSQL: reversals of every kind, intents and their
// outcomes, recovery, and store-and-forward.
import t from 'tap'
import type { Test } from 'tap'
import {
  approvedAnswer,
  authorizeRequest,
  balance,
  BUSINESS_DATE,
  card,
  count,
  facts,
  imbalance,
  intentRequest,
  newJournal,
  outcome,
  reverseRequest,
  sql,
  startServer,
  timedOut,
  token,
  usedOn,
} from './database-for-tests.ts'
import { bareAnswer } from './group.ts'
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

check('a reversal of another card or amount undoes nothing, and says so', async (t, url, journal) => {
  const request = authorizeRequest()
  const { businessKey, panMasked, amountMinor } = request.facts
  await journal.authorize(request)
  const paid = await balance(url, 'customer:1')
  const otherCard = await journal.reverse(
    reverseRequest(businessKey, { panToken: token(2), panMasked }),
  )
  t.equal(otherCard.outcome, 'mismatch')
  const otherAmount = await journal.reverse(
    reverseRequest(businessKey, { amountMinor: amountMinor + 1 }),
  )
  t.equal(otherAmount.outcome, 'mismatch')
  t.equal(await balance(url, 'customer:1'), paid)
  const right = await journal.reverse(reverseRequest(businessKey, { amountMinor }))
  t.equal(right.outcome, 'reversed')
})

check('undoing by transaction leaves an earlier one with the same key alone', async (t, url, journal) => {
  const request = authorizeRequest()
  const { businessKey, id } = request.facts
  await journal.authorize(request)
  const paid = await balance(url, 'customer:1')
  const other = { ...reverseRequest(businessKey), onlyTxnId: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }
  t.equal((await journal.reverse(other)).outcome, 'mismatch')
  t.equal(await balance(url, 'customer:1'), paid)
  const own = { ...reverseRequest(businessKey), onlyTxnId: id }
  t.equal((await journal.reverse(own)).outcome, 'reversed')
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
  t.same((await journal.authorize(request)).answer, answer, 'the rest stands')
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
  t.match(await journal.intend(intent), {
    occurrence: 'replay',
    answer: { reason: 'reversed_before' },
  })
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
  t.match(await journal.intend(intent), {
    occurrence: 'replay',
    answer: { reason: 'reversed_before' },
  })
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
