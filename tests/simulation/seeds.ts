/** Runs seeds one after another and adds up what happened; for the soak and the test. */
import { systemClock } from '../../switch/runtime/clock.ts'
import { wholeShape } from './shape.ts'
import { runShape } from './shrink.ts'
import type { Counts, Violation } from './world.ts'

export interface Summary {
  seeds: number
  txns: number
  events: number
  virtualMs: number
  elapsedMs: number
  counts: Counts
  failed: Array<{ seed: number; violations: Violation[] }>
}

export interface Seeds {
  first: number
  count: number
  perSeed: number
  /** Asked after each seed: go on with the next one? */
  goOn(sofar: Summary): boolean
}

/** Runs seeds until they are through or `goOn` says no. */
export async function runSeeds(seeds: Seeds): Promise<Summary> {
  const began = systemClock.monotonicMs()
  const summary: Summary = {
    seeds: 0, txns: 0, events: 0, virtualMs: 0, elapsedMs: 0, failed: [],
    counts: {
      approved: 0, reversed: 0, lateAnswers: 0, unmatched: 0, afterRefusal: 0, crashes: 0,
      commits: 0, schemeRequests: 0, schemeReversals: 0,
    },
  }
  for (let seed = seeds.first; seed < seeds.first + seeds.count; seed++) {
    const result = await runShape(wholeShape(seed, seeds.perSeed))
    summary.seeds++
    summary.txns += result.txns
    summary.events += result.events
    summary.virtualMs += result.virtualMs
    summary.elapsedMs = systemClock.monotonicMs() - began
    for (const name of Object.keys(summary.counts) as Array<keyof Counts>) {
      summary.counts[name] += result.counts[name]
    }
    if (result.violations.length > 0) summary.failed.push({ seed, violations: result.violations })
    if (!seeds.goOn(summary)) break
  }
  return summary
}
