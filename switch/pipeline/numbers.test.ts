/**
 * Trace numbers: never twice, also across a wrap and a slow or silent database. The journal is a
 * counter in memory.
 */

import t from 'tap'
import type { Journal } from '../journal/port.ts'
import { NUMBER_BLOCK, NUMBER_REFILL_AT } from '../limits.ts'
import { Numbers } from './numbers.ts'

/** A counter as the database keeps it; `hold` makes its answers wait. */
function counterJournal(first: number): { journal: Journal; hold: { on: boolean }; taken: number } {
  const state = { journal: null as unknown as Journal, hold: { on: false }, taken: 0 }
  let next = first
  const takeNumbers = async (_name: string, count: number, max: number): Promise<number> => {
    state.taken++
    while (state.hold.on) await new Promise((resolve) => setImmediate(resolve))
    const block = next
    next = ((block - 1 + count) % max) + 1
    return block
  }
  state.journal = { takeNumbers } as unknown as Journal
  return state
}

const unexpected = (error: unknown): void => {
  throw error
}

t.test('numbers follow each other without a gap inside a life', async (t) => {
  const { journal } = counterJournal(1)
  const numbers = new Numbers(journal, unexpected)
  await numbers.prepare(['stan.visa'])
  for (let want = 1; want <= NUMBER_BLOCK; want++) {
    t.equal(numbers.take('stan.visa'), String(want).padStart(6, '0'))
    if (want % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
})

t.test('after 999999 comes 000001, and no number is given twice across the wrap', async (t) => {
  const { journal } = counterJournal(999_500)
  const numbers = new Numbers(journal, unexpected)
  await numbers.prepare(['stan.visa'])
  const seen = new Set<string>()
  for (let i = 0; i < 3 * NUMBER_BLOCK; i++) {
    const number = numbers.take('stan.visa')
    t.not(number, null)
    t.notOk(seen.has(number ?? ''), 'a number twice')
    seen.add(number ?? '')
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(seen.has('999999'))
  t.ok(seen.has('000001'))
  t.notOk(seen.has('000000'))
})

t.test('with a silent database the rest of the block is used up, then there is no number', async (t) => {
  const { journal, hold } = counterJournal(1)
  const numbers = new Numbers(journal, unexpected)
  await numbers.prepare(['rrn'])
  hold.on = true
  for (let i = 0; i < NUMBER_BLOCK; i++) t.not(numbers.take('rrn'), null)
  t.equal(numbers.take('rrn'), null)
  hold.on = false
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(numbers.take('rrn'), String(NUMBER_BLOCK + 1).padStart(6, '0'), 'goes on when it is back')
})

t.test('one refill at a time, begun before the block ends', async (t) => {
  const counter = counterJournal(1)
  const numbers = new Numbers(counter.journal, unexpected)
  await numbers.prepare(['rrn'])
  counter.hold.on = true
  for (let i = 0; i < NUMBER_BLOCK - NUMBER_REFILL_AT + 50; i++) numbers.take('rrn')
  t.equal(counter.taken, 2, 'the first block and one refill')
  counter.hold.on = false
})

t.test('a counter that was not prepared has no numbers', async (t) => {
  t.equal(new Numbers(counterJournal(1).journal, unexpected).take('stan.nobody'), null)
})
