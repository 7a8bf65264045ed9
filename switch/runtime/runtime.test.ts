// What the clock, the random ports and ULIDs promise to everyone who imports them.
import { createHash } from 'node:crypto'
import t from 'tap'
import { checkedDelay, systemClock, TIMER_DELAY_MS_MAX, wait } from './clock.ts'
import { seededRandom, SEEDED_BLOCK_BYTES, systemRandom } from './random.ts'
import { ulid } from './ulid.ts'
import { VIRTUAL_START_MS, VirtualClock } from './virtual-clock.ts'

t.test('timers fire by due time, and in order of making when due together', async (t) => {
  const clock = new VirtualClock()
  const fired: string[] = []
  const note = (name: string) => () => fired.push(`${name}@${clock.monotonicMs()}`)
  clock.after(20, note('late'))
  clock.after(10, note('first of two'))
  clock.after(10, note('second of two'))
  clock.after(5, note('early'))
  clock.advance(9)
  t.same(fired, ['early@5'])
  clock.advance(11)
  t.same(fired, ['early@5', 'first of two@10', 'second of two@10', 'late@20'])
  t.equal(clock.wallMs(), VIRTUAL_START_MS + 20)
  t.equal(clock.pending, 0)
})

t.test('five hundred shuffled timers come out sorted, whatever is cancelled meanwhile', async (t) => {
  const clock = new VirtualClock(0)
  const random = seededRandom('heap')
  const fired: number[] = []
  const expected: number[] = []
  for (let i = 0; i < 500; i++) {
    const due = 1 + random.below(200)
    const timer = clock.after(due, () => fired.push(due * 1000 + i))
    if (random.below(3) === 0) timer.cancel()
    else expected.push(due * 1000 + i)
  }
  expected.sort((a, b) => a - b)
  clock.advance(300)
  t.same(fired, expected)
  t.equal(clock.pending, 0)
})

t.test('a repeating timer keeps its beat and stops when cancelled, even from inside', async (t) => {
  const clock = new VirtualClock()
  const beats: number[] = []
  const timer = clock.every(10, () => {
    beats.push(clock.monotonicMs())
    if (beats.length === 3) timer.cancel()
  })
  clock.advance(35)
  clock.advance(100)
  t.same(beats, [10, 20, 30])
  t.equal(clock.nextInMs(), undefined)
})

t.test('code that awaits between timers gets its turn in advanceAsync', async (t) => {
  const clock = new VirtualClock()
  const steps: number[] = []
  const work = (async () => {
    for (let i = 0; i < 3; i++) {
      await wait(clock, 10)
      steps.push(clock.monotonicMs())
    }
  })()
  await clock.advanceAsync(100)
  await work
  t.same(steps, [10, 20, 30])
  t.equal(clock.monotonicMs(), 100)
})

t.test('stepping the wall clock moves neither timers nor durations', async (t) => {
  const clock = new VirtualClock()
  let fired = false
  clock.after(50, () => {
    fired = true
  })
  clock.stepWall(-3_600_000)
  clock.advance(49)
  t.equal(fired, false)
  t.equal(clock.monotonicMs(), 49)
  t.equal(clock.wallMs(), VIRTUAL_START_MS - 3_600_000 + 49)
  t.throws(() => clock.advance(-1), /does not go back/)
})

t.test('a delay that Node would fire at once is refused', async (t) => {
  for (const delayMs of [Number.NaN, -1, TIMER_DELAY_MS_MAX + 1, Infinity]) {
    t.throws(() => checkedDelay(delayMs), RangeError, String(delayMs))
  }
  t.equal(checkedDelay(0), 1)
  t.equal(checkedDelay(TIMER_DELAY_MS_MAX), TIMER_DELAY_MS_MAX)
})

t.test('the system clock fires, repeats and cancels', async (t) => {
  const before = systemClock.monotonicMs()
  let cancelledRan = false
  systemClock.after(1, () => {
    cancelledRan = true
  }).cancel()
  let beats = 0
  await new Promise<void>((resolve) => {
    const timer = systemClock.every(1, () => {
      if (++beats === 3) {
        timer.cancel()
        resolve()
      }
    })
  })
  await wait(systemClock, 5)
  t.equal(beats, 3)
  t.equal(cancelledRan, false)
  t.ok(systemClock.monotonicMs() > before)
})

t.test('a seed repeats its sequence; the bytes are SHA-256 of seed and counter', async (t) => {
  const counter = (n: number): Buffer => {
    const eight = Buffer.alloc(8)
    eight.writeUInt32BE(n, 4)
    return eight
  }
  const block = (n: number): Buffer =>
    createHash('sha256').update('switchyard random 7 ').update(counter(n)).digest()
  const whole = Buffer.concat([block(0), block(1), block(2)])
  const random = seededRandom(7)
  const cut = SEEDED_BLOCK_BYTES - 5
  t.same(random.bytes(cut), whole.subarray(0, cut))
  t.same(random.bytes(50), whole.subarray(cut, cut + 50), 'across two borders')
  t.notSame(seededRandom(8).bytes(16), seededRandom(7).bytes(16))
})

t.test('draws stay below their limit and reach every number', async (t) => {
  for (const [name, random] of [
    ['seeded', seededRandom('draws')],
    ['system', systemRandom],
  ] as const) {
    const seen = new Set<number>()
    for (let i = 0; i < 500; i++) seen.add(random.below(10))
    t.same([...seen].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], name)
    t.equal(random.bytes(9).length, 9, name)
    t.equal(random.below(1), 0, name)
    t.throws(() => random.below(0), RangeError, name)
  }
})

t.test('a ULID carries the wall time first and sorts by it', async (t) => {
  // The time part of the example in github.com/ulid/spec: 1469918176385 ms is 01ARYZ6S41.
  const clock = new VirtualClock(1_469_918_176_385)
  const random = seededRandom('ulid')
  const first = ulid(clock, random)
  t.match(first, /^01ARYZ6S41[0-9A-HJKMNP-TV-Z]{16}$/)
  clock.advance(1)
  const second = ulid(clock, random)
  t.ok(second > first)
  const ones = { bytes: (n: number) => Buffer.alloc(n, 0xff), below: () => 0 }
  t.equal(ulid(new VirtualClock(2 ** 48 - 1), ones), '7ZZZZZZZZZZZZZZZZZZZZZZZZZ')
  t.throws(() => ulid(new VirtualClock(-1), ones), RangeError)
})
