/**
 * Every fuzz target for its share of fifteen seconds, kept failing inputs again, and canaries
 * that must fail. `npm run fuzz` runs the same targets longer; docs are in its --help.
 */
import t from 'tap'
import { isCanary } from './catalogue.ts'
import { Campaign, signatureOf } from './engine.ts'
import { FuzzThread } from './fuzz-thread.ts'
import { readVectors } from './vectors.ts'

const SEED = 8583
const SECONDS = 15
/** The codec meets the bytes of strangers first. */
const weightOf = (name: string): number => (/^(codec|message)-/.test(name) ? 2 : 1)

/** Without coverage, because in half a second five times as many inputs find more. */
const thread = new FuzzThread({ coverage: false })
const guided = new FuzzThread({ coverage: true })
const names = await thread.names()
const vectors = readVectors()
const ordinary = names.filter((name) => !isCanary(name))
const weights = ordinary.reduce((sum, name) => sum + weightOf(name), 0)

t.teardown(async () => {
  await thread.close()
  await guided.close()
})
t.comment(`seed ${SEED}; a failing input is replayed by its file in tests/vectors/fuzz`)

t.test('there is a target for each framing, each dialect and each shape of container', async (t) => {
  t.ok(ordinary.length >= 12, `${ordinary.length} targets`)
  t.equal(new Set(names).size, names.length, 'no name twice')
  t.equal(ordinary.filter((name) => name.startsWith('codec-')).length, 9)
  t.equal(ordinary.filter((name) => name.startsWith('framing-')).length, 12)
})

for (const [file, vector] of vectors) {
  const state = vector.open === undefined
    ? 'breaks no rule any more'
    : `is known to fail: ${vector.open}`
  t.test(`${file} ${state}`, async (t) => {
    const what = await thread.replay(vector.target, vector.hex)
    if (vector.open === undefined) t.equal(what, '')
    else t.not(what, '', 'mended: take `open` out of the file')
  })
}

/** What is known not to work yet is told, not counted twice. */
const known = new Set([...vectors.values()].filter((one) => one.open !== undefined)
  .map((one) => `${one.target} ${signatureOf(one.what)}`))

for (const name of ordinary) {
  t.test(`${name}: no input breaks a rule`, async (t) => {
    const seconds = SECONDS * weightOf(name) / weights
    const outcome = await thread.run(name, { seed: SEED, seconds })
    t.comment(`${outcome.executions} runs, ${outcome.blocks} blocks, ${outcome.words} words, ` +
      `slowest ${outcome.slowestMs.toFixed(1)} ms`)
    t.ok(outcome.executions > 20, 'it ran')
    t.same(outcome.failures.filter((one) => !known.has(`${name} ${signatureOf(one.what)}`)), [])
  })
}

const canaries = [
  { name: 'canary-blocks', fact: 'four bytes behind four conditions are found by coverage', seconds: 20, what: /TypeError: the planted mistake/, hex: /^9F26087E/ },
  { name: 'canary-slow', fact: 'a call that takes too long is found', seconds: 10, what: /a call took more than 50 ms/, hex: /^80/ },
  { name: 'canary-differential', fact: 'a decoder that forgets a pad nibble is found', seconds: 10, what: /^the planted mistake/, hex: /^[0-9A-F]{20}/ },
  { name: 'canary-endless', fact: 'a call that never ends is stopped and its input is told', seconds: 10, what: /did not end within 1000 ms/, hex: /^80/ },
]

for (const { name, fact, seconds, what, hex } of canaries) {
  t.test(`${name}: ${fact}`, async (t) => {
    const outcome = await guided.run(name, { seed: SEED, seconds, failuresMax: 1, hangMs: 1000 })
    t.comment(`${outcome.executions} runs in ${outcome.seconds.toFixed(2)} s`)
    t.equal(outcome.failures.length, 1)
    t.match(outcome.failures[0]?.what, what)
    t.match(outcome.failures[0]?.hex, hex)
  })
}

t.test('the same seed takes the same way, another seed another', async (t) => {
  const way = (seed: number): string => {
    const seen: string[] = []
    const target = {
      name: 'way', covers: [], bytesMax: 40, seeds: () => [Buffer.from('0123456789')],
      run: (input: Uint8Array): string => {
        const hex = Buffer.from(input).toString('hex')
        // An input that is the slowest so far runs more than once.
        if (seen.at(-1) !== hex) seen.push(hex)
        if (seen.length >= 300) throw new Error('enough')
        return String(input.length)
      },
    }
    new Campaign(target, seed, null).run(performance.now() + 5000, 1)
    return seen.slice(0, 300).join()
  }
  t.equal(way(1), way(1))
  t.not(way(1), way(2))
})
