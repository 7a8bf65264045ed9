/**
 * Runs many seeds: `npm run soak -- --txns N [--seed FIRST] [--per-seed N] [--keep-going]`.
 * Progress on standard error, the summary on standard output. The first failing seed is shrunk and
 * printed as a command; exit code 1 when any failed.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../switch/runtime/clock.ts'
import { runSeeds, type Summary } from './seeds.ts'
import { commandOf, TXNS_OF_A_SEED, wholeShape } from './shape.ts'
import { shrink } from './shrink.ts'

const PROGRESS_MS = 5_000
const SHRINK_RUNS_MAX = 200

const { values } = parseArgs({
  options: {
    txns: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    'per-seed': { type: 'string', default: String(TXNS_OF_A_SEED) },
    'keep-going': { type: 'boolean', default: false },
  },
})

const perSeed = Number(values['per-seed'])
const first = Number(values.seed)
const count = Math.ceil(Number(values.txns) / perSeed)
let told = systemClock.monotonicMs()

const summary = await runSeeds({
  first,
  count,
  perSeed,
  goOn: (sofar) => {
    if (systemClock.monotonicMs() - told >= PROGRESS_MS) {
      told = systemClock.monotonicMs()
      process.stderr.write(`${line(sofar)}\n`)
    }
    return values['keep-going'] || sofar.failed.length === 0
  },
})
process.stdout.write(`${line(summary)}\n${JSON.stringify(summary.counts)}\n`)
for (const { seed, violations } of summary.failed) {
  process.exitCode = 1
  const [found] = violations
  process.stdout.write(`seed ${seed}: ${found?.what}: ${found?.detail}\n`)
}
const [worst] = summary.failed
if (worst !== undefined) {
  const what = worst.violations[0]?.what ?? ''
  const least = await shrink(wholeShape(worst.seed, perSeed), what, SHRINK_RUNS_MAX)
  process.stdout.write(`smallest run found that breaks ${what}:\n  ${commandOf(least)}\n`)
}

function line(sofar: Summary): string {
  const { seeds, txns, virtualMs, elapsedMs, failed } = sofar
  const rate = Math.round(virtualMs / Math.max(1, elapsedMs))
  return `${seeds} of ${count} seeds, ${txns} transactions, ${Math.round(virtualMs / 1_000)} `
    + `simulated seconds at ${rate} per second, ${failed.length} failed`
}
