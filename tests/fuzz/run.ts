/**
 * `npm run fuzz -- [--target NAME] [--seconds N] [--seed N]`: runs targets longer than the test
 * does.
 *
 * Tells executions, coverage and failures as it goes; keeps each failing input in
 * tests/vectors/fuzz/, where the test replays it. Exit code 1 when something failed.
 */
import { parseArgs } from 'node:util'
import { isCanary } from './catalogue.ts'
import type { Outcome } from './engine.ts'
import { FuzzThread } from './fuzz-thread.ts'
import { keepVector } from './vectors.ts'

const HELP = `Examples:
  npm run fuzz -- --target codec-visa --seconds 600
  npm run fuzz -- --target codec- --seconds 60 --seed 7
  npm run fuzz -- --list

  --target NAME   a target, or the start of the names of several; all without it
  --seconds N     for each target, 60 when not given
  --seed N        1 when not given; another seed takes another way
  --list          names of the targets
`

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: '' },
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function lineOf(outcome: Outcome): string {
  const { executions, seconds, blocks, share, words, kept, slowestMs, failures } = outcome
  const rate = Math.round(executions / Math.max(seconds, 0.001))
  const code = share < 0 ? '' : ` (${(share * 100).toFixed(0)} % of the code)`
  const runs = `${String(executions).padStart(9)} runs ${String(rate).padStart(6)}/s`
  return `${outcome.target.padEnd(28)} ${runs} ${blocks} blocks${code} ${words} words ` +
    `${kept} kept, slowest ${slowestMs.toFixed(1)} ms, ` +
    `${failures.length} failures`
}

const seconds = Number(values.seconds)
const seed = Number(values.seed)

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (!(seconds > 0) || !Number.isInteger(seed)) {
    process.stderr.write('--seconds and --seed must be numbers\n')
    return 2
  }
  const thread = new FuzzThread({ coverage: true })
  const all = await thread.names()
  const wanted = values.target
  const exact = all.filter((name) => name === wanted)
  const names = exact.length > 0 ? exact
    : all.filter((name) => name.startsWith(wanted) && (wanted !== '' || !isCanary(name)))
  if (values.list || names.length === 0) {
    if (!values.list) process.stderr.write(`no target begins with ${wanted}; there are:\n`)
    process.stdout.write(`${all.join('\n')}\n`)
    await thread.close()
    return values.list ? 0 : 2
  }
  let failed = 0
  for (const name of names) {
    const outcome = await thread.run(name, { seed, seconds }, (now) => {
      if (process.stderr.isTTY) process.stderr.write(`\r${lineOf(now)}`)
    })
    if (process.stderr.isTTY) process.stderr.write('\r')
    process.stdout.write(`${lineOf(outcome)}\n`)
    for (const failure of outcome.failures) {
      failed++
      const kept = isCanary(name)
        ? 'a canary, not kept'
        : `tests/vectors/fuzz/${keepVector(failure)}`
      process.stdout.write(`  ${failure.what.slice(0, 300)}\n  ${kept}\n`)
    }
  }
  await thread.close()
  return failed > 0 ? 1 : 0
}

process.exitCode = await main()
