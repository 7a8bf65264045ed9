// The table of waiting requests: each ends once, whatever happens first.
import t from 'tap'
import type { AnswerHandler, Message } from './contract.ts'
import {
  ANSWERED_KEYS_MAX, ENDED_KEY_AGE_MS_MAX, ENDED_KEYS_MAX, NEAR_MISS_SCAN_MAX,
} from './limits.ts'
import { PendingTable } from './pending.ts'
import { seededRandom } from '../runtime/random.ts'

const NO_MESSAGE = {} as unknown as Message

function counting(): AnswerHandler & { answers: number; timeOuts: number; losses: string[] } {
  return {
    answers: 0,
    timeOuts: 0,
    losses: [],
    answered() {
      this.answers++
    },
    timedOut() {
      this.timeOuts++
    },
    lost(cause: string) {
      this.losses.push(cause)
    },
  }
}

t.test('an answer at the instant of the deadline: one outcome, in both orders', async (t) => {
  // behaviours.md 38: both orders, 10^5 times.
  const table = new PendingTable(64)
  const random = seededRandom('race')
  let wrong = 0
  const outcomes = { answered: 0, timedOut: 0, lost: 0 }
  for (let round = 0; round < 100_000; round++) {
    const now = round * 10
    const key = `0200|${round}`
    const waiter = counting()
    table.open(key, 'owner', now, 1 + (round & 1), waiter)
    const events = [
      () => table.take(key, now)?.answered(NO_MESSAGE),
      () => table.sweep(now),
      () => table.lose(1 + (round & 1), 'reset', now),
    ]
    // Answer first, deadline first, or the connection's end between them.
    const first = random.below(3)
    for (let i = 0; i < 3; i++) events[(first + i) % 3]?.()
    if (waiter.answers + waiter.timeOuts + waiter.losses.length !== 1) wrong++
    outcomes.answered += waiter.answers
    outcomes.timedOut += waiter.timeOuts
    outcomes.lost += waiter.losses.length
  }
  t.equal(wrong, 0)
  t.ok(Object.values(outcomes).every((count) => count > 30_000), 'all orders happened')
  t.equal(table.size, 0)
})

t.test('a request beyond the bound is refused and the others are untouched', async (t) => {
  const table = new PendingTable(200) // more than the slots it starts with
  for (let i = 0; i < 200; i++) t.equal(table.open(`k${i}`, '', 100 + i, 1, counting()), 'open')
  t.equal(table.open('one more', '', 100, 1, counting()), 'pending_full')
  t.equal(table.size, 200)
  t.not(table.take('k77', 0), null)
  t.equal(table.open('one more', '', 100, 1, counting()), 'open')
})

t.test('an identical key while one waits is refused, never overwritten', async (t) => {
  const table = new PendingTable(4)
  const first = counting()
  table.open('0200|1', 'first', 100, 1, first)
  t.equal(table.open('0200|1', 'second', 100, 1, counting()), 'key_in_use')
  t.equal(table.take('0200|1', 0), first)
})

t.test('one sweep ends what is due and nothing else, and says when to sweep next', async (t) => {
  const table = new PendingTable(8)
  const waiters = [30, 10, 20, 40].map((due) => {
    const waiter = counting()
    table.open(`due${due}`, '', due, 1, waiter)
    return waiter
  })
  t.equal(table.nextDeadline, 10)
  table.sweep(9)
  t.equal(table.size, 4)
  table.sweep(20)
  t.same(waiters.map((waiter) => waiter.timeOuts), [0, 1, 1, 0])
  t.equal(table.nextDeadline, 30)
  table.sweep(40)
  t.equal(table.nextDeadline, Infinity)
})

t.test('a handler that sends again at the time-out finds slot and key free', async (t) => {
  const table = new PendingTable(1)
  let again = ''
  table.open('0420|1', 'first', 10, 1, {
    answered() {},
    lost() {},
    timedOut() {
      again = table.open('0420|1', 'repeat', 5, 1, counting())
    },
  })
  table.sweep(10)
  t.equal(again, 'open')
  t.equal(table.nextDeadline, 5, 'a deadline in the past is due in the next sweep')
})

t.test('a lost connection ends its own requests only', async (t) => {
  const table = new PendingTable(8)
  const waiters = [1, 2, 1].map((connection, i) => {
    const waiter = counting()
    table.open(`k${i}`, '', 100, connection, waiter)
    return waiter
  })
  table.lose(1, 'reset', 0)
  t.same(waiters.map((waiter) => waiter.losses), [['reset'], [], ['reset']])
  t.equal(table.size, 1)
})

t.test('a key that ended unanswered is late, an answered one a copy, others unknown', async (t) => {
  const table = new PendingTable(8)
  table.open('timed out', 'a', 10, 1, counting())
  table.open('lost', 'b', 100, 2, counting())
  table.open('answered', 'c', 100, 3, counting())
  table.sweep(10)
  table.lose(2, 'reset', 11)
  table.take('answered', 12)
  t.same(table.late('timed out', 20), { key: 'timed out', owner: 'a' })
  t.same(table.late('lost', 20), { key: 'lost', owner: 'b' })
  t.equal(table.late('answered', 20), null)
  t.equal(table.answeredLately('answered', 20), true)
  t.equal(table.answeredLately('timed out', 20), false)
  t.equal(table.late('never sent', 20), null)
})

t.test('ended keys are forgotten by age and by number', async (t) => {
  const table = new PendingTable(2)
  const end = (key: string, at: number): void => {
    table.open(key, key, at, 1, counting())
    table.sweep(at)
  }
  end('old', 0)
  t.not(table.late('old', ENDED_KEY_AGE_MS_MAX), null)
  t.equal(table.late('old', ENDED_KEY_AGE_MS_MAX + 1), null)
  end('first', 1)
  for (let i = 0; i < ENDED_KEYS_MAX - 1; i++) end(`k${i}`, 2)
  t.not(table.late('first', 3), null)
  end('one more', 3)
  t.equal(table.late('first', 3), null)
  t.not(table.late('k0', 3), null)
  for (let i = 0; i <= ANSWERED_KEYS_MAX; i++) {
    table.open(`a${i}`, '', 9, 1, counting())
    table.take(`a${i}`, 4)
  }
  t.equal(table.answeredLately('a0', 4), false)
  t.equal(table.answeredLately('a1', 4), true)
})

t.test('the near-miss report names the waiting request and the field that differs', async (t) => {
  const fields = [0, 7, 11, 33]
  const table = new PendingTable(8)
  table.open('0200|0105160000|000001|12345678', 'txn-1', 100, 1, counting())
  table.open('0200|0105160000|000002|12345678', 'txn-2', 100, 1, counting())
  const rows = [
    { name: 'another forwarder', key: '0200|0105160000|000001|99999999', want: { owner: 'txn-1', field: 33 } },
    { name: 'another time', key: '0200|0105160001|000002|12345678', want: { owner: 'txn-2', field: 7 } },
    { name: 'another class', key: '0100|0105160000|000002|12345678', want: { owner: 'txn-2', field: 0 } },
    { name: 'another STAN: the oldest neighbour', key: '0200|0105160000|000003|12345678', want: { owner: 'txn-1', field: 11 } },
    { name: 'two differences are no near miss', key: '0200|0105160009|000003|12345678', want: null },
  ]
  for (const { name, key, want } of rows) t.same(table.near(key, fields), want, name)
})

t.test('the near-miss search looks at a bounded number of requests', async (t) => {
  const table = new PendingTable(NEAR_MISS_SCAN_MAX + 1)
  for (let i = 0; i < NEAR_MISS_SCAN_MAX; i++) {
    table.open(`0200|a${i}|b${i}`, '', 100, 1, counting())
  }
  table.open('0200|near|1', 'last', 100, 1, counting())
  t.equal(table.near('0200|near|2', [0, 7, 33]), null)
  table.take('0200|a0|b0', 0)
  t.same(table.near('0200|near|2', [0, 7, 33]), { owner: 'last', field: 33 })
})
