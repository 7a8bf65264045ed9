// The BIN table against cases by hand and against a slow search through all rows.
import fc from 'fast-check'
import t from 'tap'
import { BinTable, type BinRange } from './bin-table.ts'

const prefix = (digits: string): BinRange => ({ first: digits, last: digits })
const range = (first: string, last: string): BinRange => ({ first, last })

const TABLE: BinRange[] = [
  prefix('62'), // 0
  prefix('622300'), // 1
  prefix('62230088'), // 2
  range('62212600', '62292599'), // 3, around 1 and 2
  prefix('4'), // 4
  range('510000', '559999'), // 5
  prefix('999999999999999'), // 6, the longest that may be
]

const CASES = [
  { name: 'the longest prefix of three', pan: '6223008812345678', row: 2 },
  { name: 'beside the longest', pan: '6223008712345678', row: 1 },
  { name: 'a range within a prefix', pan: '6229259912345678', row: 3 },
  { name: 'first of a range', pan: '6221260000000000', row: 3 },
  { name: 'just before a range', pan: '6221259999999999', row: 0 },
  { name: 'just after a range', pan: '6229260000000000', row: 0 },
  { name: '19 digits', pan: '6223008812345678901', row: 2 },
  { name: '13 digits', pan: '4222222222222', row: 4 },
  { name: '8 digits', pan: '62230088', row: 2 },
  { name: 'the last prefix there is', pan: '9999999999999991', row: 6 },
  { name: 'beside it', pan: '9999999999999981', row: -1 },
  { name: 'below every row', pan: '0000000000000000', row: -1 },
  { name: 'between rows', pan: '5600000000000000', row: -1 },
  { name: 'above a row', pan: '6300000000000000', row: -1 },
  { name: 'no digits', pan: '6223D08812345678', row: -1 },
  { name: 'a letter beyond the fifteenth digit', pan: '622300881234567x', row: -1 },
  { name: 'too short', pan: '6223008', row: -1 },
  { name: 'too long', pan: '62230088123456789012', row: -1 },
  { name: 'empty', pan: '', row: -1 },
]

t.test('the most specific row wins, and what no row covers has none', async (t) => {
  const table = new BinTable(TABLE)
  for (const { name, pan, row } of CASES) t.equal(table.find(pan), row, name)
})

t.test('an empty table routes nothing', async (t) => {
  t.equal(new BinTable([]).find('6223008812345678'), -1)
})

t.test('rows that are no ranges or collide are refused', async (t) => {
  const rows: Array<[string, BinRange[], RegExp]> = [
    ['letters', [prefix('62a')], /row 0 is no range/],
    ['empty', [prefix('')], /row 0 is no range/],
    ['backwards', [prefix('4'), range('63', '62')], /row 1 is no range/],
    ['two lengths', [range('6', '70')], /row 0 is no range/],
    ['sixteen digits', [prefix('6222222222222222')], /row 0 is no range/],
    ['equal', [prefix('62'), prefix('62')], /rows 0 and 1 collide/],
    ['equal in other words', [prefix('62'), range('620', '629')], /rows 0 and 1 collide/],
    ['half over each other', [range('60', '63'), range('62', '65')], /rows 0 and 1 collide/],
  ]
  for (const [name, ranges, error] of rows) t.throws(() => new BinTable(ranges), error, name)
})

/** Every row, one after the other, as text: the narrowest that covers the PAN. */
function slowFind(ranges: readonly BinRange[], pan: string): number {
  let best = -1
  let bestWidth = 10n ** 20n
  for (const [row, { first, last }] of ranges.entries()) {
    const head = pan.padEnd(19, '0').slice(0, first.length)
    const width = (BigInt(last) - BigInt(first) + 1n) * 10n ** BigInt(19 - first.length)
    if (head >= first && head <= last && width < bestWidth) {
      best = row
      bestWidth = width
    }
  }
  return best
}

function collides(a: BinRange, b: BinRange): boolean {
  const low = (one: BinRange): string => one.first.padEnd(15, '0')
  const high = (one: BinRange): string => one.last.padEnd(15, '9')
  if (low(a) === low(b) && high(a) === high(b)) return true
  const first = low(a) < low(b) || (low(a) === low(b) && high(a) > high(b))
  const [left, right] = first ? [a, b] : [b, a]
  return low(right) <= high(left) && high(right) > high(left)
}

const rangesArbitrary = fc
  .array(
    fc.tuple(
      fc.integer({ min: 1, max: 5 }), fc.nat(), fc.nat({ max: 20 }),
    ).map(([n, at, width]) => {
      const limit = 10 ** n
      const first = at % limit
      const last = Math.min(limit - 1, first + (width % 3 === 0 ? 0 : width))
      return range(String(first).padStart(n, '0'), String(last).padStart(n, '0'))
    }),
    { maxLength: 40 },
  )
  .map((ranges) => {
    const kept: BinRange[] = []
    for (const one of ranges) if (!kept.some((other) => collides(one, other))) kept.push(one)
    return kept
  })

t.test('the table finds what a search through all rows finds', async (t) => {
  const panArbitrary = fc
    .tuple(fc.nat({ max: 99_999 }), fc.integer({ min: 8, max: 19 }), fc.constantFrom('0', '5', '9'))
    .map(([head, length, fill]) => String(head).padStart(5, '0').padEnd(length, fill))
  const property = fc.property(rangesArbitrary, fc.array(panArbitrary), (ranges, pans) => {
    const table = new BinTable(ranges)
    const edges = ranges.flatMap(({ first, last }) => [first.padEnd(16, '0'), last.padEnd(16, '9')])
    for (const pan of [...pans, ...edges]) {
      if (table.find(pan) !== slowFind(ranges, pan)) return false
    }
    return true
  })
  const result = fc.check(property, { interruptAfterTimeLimit: 2_000, numRuns: 2_000 })
  t.notOk(result.failed, `seed ${result.seed} path ${result.counterexamplePath}`, {
    counterexample: result.counterexample,
  })
  t.ok(result.numRuns >= 100, `${result.numRuns} runs, seed ${result.seed}`)
})

t.test('a hundred thousand 8-digit rows are searched in seventeen steps or so', async (t) => {
  const ranges = Array.from({ length: 100_000 }, (_, i) => prefix(String(20_000_000 + i * 7)))
  const table = new BinTable(ranges)
  t.ok(table.size <= 2 * ranges.length + 1)
  t.ok(Math.ceil(Math.log2(table.size)) <= 18)
  for (const row of [0, 1, 4_711, 99_999]) {
    const pan = `${20_000_000 + row * 7}12345678901`
    t.equal(table.find(pan), row)
    t.equal(table.find(`${20_000_001 + row * 7}12345678901`), -1)
  }
})
