/**
 * Runs one seed: `npm run simulate -- --seed N [--txns N] [--of N] [--faults 0,3|none]
 * [--calm late,deaf] [--shrink]`. Prints the options, the event hash and what was violated; the
 * same command gives the same hash. Exit code 1 when a rule was broken.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../switch/runtime/clock.ts'
import type { Rates } from './options.ts'
import { commandOf, optionsFor, type Shape, TXNS_OF_A_SEED } from './shape.ts'
import { runShape, shrink } from './shrink.ts'

const SHRINK_RUNS_MAX = 300

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    txns: { type: 'string', default: String(TXNS_OF_A_SEED) },
    of: { type: 'string' },
    faults: { type: 'string' },
    calm: { type: 'string', default: '' },
    shrink: { type: 'boolean', default: false },
  },
})

function shapeOf(): Shape {
  const txns = Number(values.txns)
  const { faults } = values
  return {
    seed: Number(values.seed),
    txns,
    of: values.of === undefined ? txns : Number(values.of),
    faults: faults === undefined ? null : faults === 'none' ? [] : faults.split(',').map(Number),
    calm: values.calm === '' ? [] : (values.calm.split(',') as Array<keyof Rates>),
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

const shape = shapeOf()
const { faults, ...options } = optionsFor(shape)
say(JSON.stringify(options, null, 2))
for (const [place, fault] of faults.entries()) say(`fault ${place}: ${JSON.stringify(fault)}`)
const began = systemClock.monotonicMs()
const result = await runShape(shape)
const seconds = (systemClock.monotonicMs() - began) / 1_000
say(JSON.stringify(result.counts))
const simulated = `${result.virtualMs / 1_000} simulated seconds in ${seconds.toFixed(2)} s`
say(`events ${result.events}, hash ${result.hash}, ${simulated}`)
for (const { what, detail, atMs } of result.violations) say(`${atMs} ms: ${what}: ${detail}`)
const [first] = result.violations
if (first !== undefined) {
  process.exitCode = 1
  if (values.shrink) {
    const least = await shrink(shape, first.what, SHRINK_RUNS_MAX)
    say(`smallest run found that breaks ${first.what}:\n  ${commandOf(least)}`)
  }
} else say('every rule held')
