// The whole switch on virtual ports, under faults by seed; see docs/reliability-simulation.md. How
// many seeds run here is bounded by time, because the machine may be busy: at least SEEDS_MIN, as
// many as fit into the budget, at most SEEDS_MAX. `npm run soak` has no such bound.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { systemClock } from '../../switch/runtime/clock.ts'
import { commandOf, optionsFor, wholeShape } from './shape.ts'
import { runSeeds } from './seeds.ts'
import { runShape } from './shrink.ts'

const BUDGET_MS = 40_000
const SEEDS_MIN = 20
const SEEDS_MAX = 100
const FIRST_SEED = 1

/** Seeds that show a defect nobody has mended yet, each with its reason. */
const KNOWN = JSON.parse(
  readFileSync(new URL('./known-failures.json', import.meta.url), 'utf8'),
) as Array<{ seed: number; per_seed: number; what: string; why: string }>

const PER_SEED = 500

t.test('the same seed twice is the same run, event by event', async (t) => {
  const hashes = new Set<string>()
  for (const seed of [11, 12, 13, 14, 15, 16]) {
    const once = await runShape(wholeShape(seed, 60))
    const again = await runShape(wholeShape(seed, 60))
    t.equal(again.hash, once.hash, `seed ${seed}`)
    t.equal(again.events, once.events)
    t.same(again.counts, once.counts)
    hashes.add(once.hash)
  }
  t.equal(hashes.size, 6)
})

t.test('a command gives back the run it names', async (t) => {
  const shape = { ...wholeShape(5, 500), txns: 30, faults: [0], calm: ['late' as const] }
  t.equal(
    commandOf(shape),
    'npm run simulate -- --seed 5 --txns 30 --of 500 --faults 0 --calm late',
  )
  t.equal(optionsFor(shape).faults.length, 1)
  t.same(optionsFor(shape).faults[0], optionsFor(wholeShape(5, 500)).faults[0])
  t.equal(optionsFor(shape).rates.late, 0)
  t.equal(optionsFor(shape).txns, 30)
})

t.test('every rule holds in every seed', async (t) => {
  const until = systemClock.monotonicMs() + BUDGET_MS
  const summary = await runSeeds({
    first: FIRST_SEED,
    count: SEEDS_MAX,
    perSeed: PER_SEED,
    goOn: ({ seeds }) => seeds < SEEDS_MIN || systemClock.monotonicMs() < until,
  })
  const { seeds, txns, virtualMs, elapsedMs, counts } = summary
  t.comment(`${txns} transactions over ${seeds} seeds, ${Math.round(virtualMs / 1_000)} simulated `
    + `seconds in ${(elapsedMs / 1_000).toFixed(1)} s`)
  t.comment(JSON.stringify(counts))
  for (const { seed, violations } of summary.failed) {
    const known = KNOWN.find((one) => one.seed === seed && one.per_seed === PER_SEED)
    const command = commandOf(wholeShape(seed, PER_SEED))
    if (known && violations.every(({ what }) => what === known.what)) {
      t.comment(`known failure: ${command}: ${known.why}`)
    } else t.fail(command, { violations })
  }
  t.ok(seeds >= SEEDS_MIN)
  t.ok(counts.crashes > 0 && counts.reversed > 0 && counts.lateAnswers > 0, 'faults did happen')
})
