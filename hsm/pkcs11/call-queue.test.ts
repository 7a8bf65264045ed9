// What the queue in front of the workers promises, with a virtual clock and a hand-driven worker.

import t from 'tap'

import { VirtualClock } from '../../switch/runtime/virtual-clock.ts'
import type { HsmOutcome, HsmResult } from '../port.ts'
import type { VerbCall, VerbName, VerbValue } from '../verbs/perform.ts'
import { CallQueue } from './call-queue.ts'
import { BATCH_CALLS_MAX } from './limits.ts'

const DEADLINE_MS = 1_000

interface Batch {
  readonly calls: readonly VerbCall[]
  answer(): void
  crash(): void
}

/** A queue whose batches wait until the test answers them. */
class Bench {
  readonly clock = new VirtualClock()
  readonly batches: Batch[] = []
  readonly observed: Array<[VerbName, HsmOutcome, number]> = []
  readonly queue: CallQueue

  constructor(workers = 2, callsMax = 1_000) {
    this.queue = new CallQueue({
      clock: this.clock,
      workers,
      callsMax,
      deadlineMs: DEADLINE_MS,
      send: (calls) => this.#send(calls),
      observe: (verb, outcome, elapsedMs) => void this.observed.push([verb, outcome, elapsedMs]),
    })
  }

  #send(calls: readonly VerbCall[]): Promise<ReadonlyArray<HsmResult<VerbValue>>> {
    return new Promise((resolve, reject) => {
      this.batches.push({
        calls,
        answer: () => resolve(calls.map(() => ({ outcome: 'ok', value: null }))),
        crash: () => reject(new Error('worker died')),
      })
    })
  }

  call(): Promise<HsmResult<VerbValue>> {
    const call: VerbCall = { verb: 'vaultKeys', request: null, blocks: [] }
    return this.queue.submit('vaultKeys', () => Promise.resolve(call))
  }

  calls(count: number): Array<Promise<HsmResult<VerbValue>>> {
    return Array.from({ length: count }, () => this.call())
  }
}

/** One turn of the event loop, in which planned batches leave. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

t.test('calls of one turn leave together, shared between the idle workers', async (t) => {
  const bench = new Bench(2)
  const calls = bench.calls(10)
  t.equal(bench.batches.length, 0, 'nothing leaves before the turn is over')
  await turn()
  t.same(bench.batches.map((batch) => batch.calls.length), [5, 5])
  for (const batch of bench.batches) batch.answer()
  for (const result of await Promise.all(calls)) t.equal(result.outcome, 'ok')
  t.equal(bench.queue.inHand, 0)
})

t.test('what arrives while all workers are busy leaves as one batch afterwards', async (t) => {
  const bench = new Bench(1)
  void bench.call()
  await turn()
  for (let i = 0; i < 7; i++) {
    void bench.call()
    await turn()
  }
  t.equal(bench.batches.length, 1, 'the only worker is busy')
  bench.batches[0]!.answer()
  await turn()
  t.same(bench.batches.map((batch) => batch.calls.length), [1, 7])
})

t.test('a batch is never longer than its bound', async (t) => {
  const bench = new Bench(1)
  void bench.calls(BATCH_CALLS_MAX * 2 + 1)
  for (let at = 0; at < 3; at++) {
    await turn()
    bench.batches[at]!.answer()
  }
  await turn()
  const sizes = bench.batches.map((batch) => batch.calls.length)
  t.same(sizes, [BATCH_CALLS_MAX, BATCH_CALLS_MAX, 1])
})

t.test('the call beyond the bound is overloaded at once and takes no place', async (t) => {
  const bench = new Bench(1, 3)
  void bench.calls(3)
  t.equal((await bench.call()).outcome, 'overloaded')
  t.equal(bench.queue.inHand, 3)
  await turn()
  bench.batches[0]!.answer()
  await turn()
  t.equal(bench.queue.inHand, 0)
  void bench.call()
  t.equal(bench.queue.inHand, 1, 'there is room again')
})

t.test('a call past its deadline is unavailable but keeps its place until it left', async (t) => {
  const bench = new Bench(1, 2)
  const calls = bench.calls(2)
  await turn()
  bench.clock.advance(DEADLINE_MS + 100)
  for (const result of await Promise.all(calls)) t.equal(result.outcome, 'unavailable')
  t.equal(bench.queue.inHand, 2, 'the worker still has them')
  t.equal((await bench.call()).outcome, 'overloaded', 'a hung token gathers no work')
  bench.batches[0]!.answer()
  await turn()
  t.equal(bench.queue.inHand, 0)
  t.same(bench.observed.map(([, outcome]) => outcome), ['unavailable', 'unavailable', 'overloaded'])
})

t.test('a call whose deadline passed while it waited never reaches a worker', async (t) => {
  const bench = new Bench(1)
  void bench.call()
  await turn()
  const late = bench.call()
  await turn()
  bench.clock.advance(DEADLINE_MS + 100)
  t.equal((await late).outcome, 'unavailable')
  const fresh = bench.call()
  await turn()
  bench.batches[0]!.answer()
  await turn()
  t.equal(bench.batches[1]?.calls.length, 1, 'only the fresh call is sent')
  bench.batches[1]?.answer()
  t.equal((await fresh).outcome, 'ok')
  t.equal(bench.queue.inHand, 0)
})

t.test('a crash answers its own batch unavailable; the rest goes on', async (t) => {
  const bench = new Bench(2)
  const [first, second] = bench.calls(2)
  await turn()
  bench.batches[0]!.crash()
  bench.batches[1]!.answer()
  t.equal((await first)?.outcome, 'unavailable')
  t.equal((await second)?.outcome, 'ok')
  const next = bench.call()
  await turn()
  bench.batches[2]!.answer()
  t.equal((await next).outcome, 'ok')
})

t.test('a key directory that fails or hangs costs its own call only', async (t) => {
  const bench = new Bench(1)
  const failed = bench.queue.submit('verifyCvv', () => Promise.reject(new Error('database')))
  t.equal((await failed).outcome, 'unavailable')
  const hung = bench.queue.submit('verifyCvv', () => new Promise(() => undefined))
  bench.clock.advance(DEADLINE_MS + 100)
  t.equal((await hung).outcome, 'unavailable')
  t.equal(bench.queue.inHand, 0, 'a hanging look-up holds no place')
})

t.test('the sweep stops when nothing is in hand, so that the process can end', async (t) => {
  const bench = new Bench(1)
  const call = bench.call()
  await turn()
  bench.batches[0]!.answer()
  await call
  bench.clock.advance(200)
  t.equal(bench.clock.pending, 0)
})

t.test('abandonAll settles calls wherever they are', async (t) => {
  const bench = new Bench(1)
  const sent = bench.call()
  await turn()
  const waiting = bench.call()
  await turn()
  bench.queue.abandonAll()
  t.equal((await sent).outcome, 'unavailable')
  t.equal((await waiting).outcome, 'unavailable')
})
