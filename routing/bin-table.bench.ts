/**
 * What finding a route costs: `node routing/bin-table.bench.ts`, a second or two.
 *
 * One question: a look-up in 100,000 prefixes, as a ratio to the plain way of doing it, which tries
 * each length of prefix in a Map, longest first. Both must find the same row for every PAN. The
 * last line is JSON. It must never run in `npm test`.
 */
import { systemClock } from '../switch/runtime/clock.ts'
import { BinTable } from './bin-table.ts'

const PREFIXES = 100_000
const LOOKUPS = 1_000_000
const PANS = 4_096
const STEP = 7_919 // a prime: PANs hit prefixes and the gaps between them in no order

const prefixes = Array.from({ length: PREFIXES }, (_, i) => String(20_000_000 + i * 7))
const table = new BinTable(prefixes.map((digits) => ({ first: digits, last: digits })))
const map = new Map(prefixes.map((digits, row) => [digits, row]))
const pans = Array.from({ length: PANS }, (_, i) => {
  return `${20_000_000 + ((i * STEP) % 700_000)}12345678`
})

function findInMap(pan: string): number {
  for (let length = 15; length > 0; length--) {
    const row = map.get(pan.slice(0, length))
    if (row !== undefined) return row
  }
  return -1
}

/** Nanoseconds per call, after a warm-up; `sum` keeps the calls from being optimised away. */
function measure(find: (pan: string) => number): { ns: number; sum: number } {
  let sum = 0
  for (let i = 0; i < LOOKUPS / 4; i++) sum += find(pans[i % PANS] ?? '')
  const start = systemClock.monotonicMs()
  for (let i = 0; i < LOOKUPS; i++) sum += find(pans[i % PANS] ?? '')
  return { ns: ((systemClock.monotonicMs() - start) * 1e6) / LOOKUPS, sum }
}

const plain = measure(findInMap)
const ours = measure((pan) => table.find(pan))
const same = pans.every((pan) => table.find(pan) === findInMap(pan)) && plain.sum === ours.sum
const result = {
  name: 'bin-table',
  ratio: { table_to_map: Number((ours.ns / plain.ns).toFixed(3)) },
  absolute: { table_ns: Math.round(ours.ns), map_ns: Math.round(plain.ns), rows: PREFIXES },
  checks: { same_rows: same },
}
process.stdout.write(`${JSON.stringify(result)}\n`)
if (!same) process.exitCode = 1
