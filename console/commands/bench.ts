// `switchyard bench NAME`: one question about speed, answered with figures and checks. Loaded by
// console/main.ts. Each bench is a file of bench/; its result is one JSON object (contract of the
// outside), the exit code 1 when one of its checks fails.
import { stdout } from 'node:process'
import type { Command } from 'commander'
import { EXIT, jsonOption, withExamples, WrongUsage } from '../help.ts'

/** What a bench measured: ratios against something in the same run, figures, and what held. */
interface BenchResult {
  readonly name: string
  readonly ratio: Readonly<Record<string, number>>
  readonly absolute: Readonly<Record<string, number>>
  readonly checks: Readonly<Record<string, boolean>>
  readonly machine: Readonly<Record<string, string | number>>
}

interface Bench {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<(seconds: number) => BenchResult | Promise<BenchResult>>
}

/** To add a bench, write bench/<name>.ts with a run(seconds) and add a row. */
const BENCHES: readonly Bench[] = [
  {
    name: 'codec',
    summary: 'messages read, turned into text, built, forwarded; beside iso_8583 and code by hand',
    load: async () => (await import('../../bench/codec.ts')).run,
  },
]

const SECONDS_DEFAULT = 10
const SECONDS_MAX = 3600

interface Options {
  readonly list?: boolean
  readonly json?: boolean
  readonly seconds: string
}

/** Adds `bench`. */
export function register(program: Command): void {
  withExamples(
    program.command('bench')
      .description('measures one thing and checks that the result is right')
      .argument('[name]', 'which bench')
      .option('--list', 'names the benches')
      .option('--seconds <number>', 'about how long it may take', String(SECONDS_DEFAULT))
      .addOption(jsonOption())
      .action(async (name: string | undefined, options: Options) => {
        process.exitCode = options.list === true ? list(options) : await measure(name, options)
      }),
    ['switchyard bench codec --json --seconds 10', 'switchyard bench --list'],
  )
}

function list(options: Options): number {
  const rows = BENCHES.map(({ name, summary }) => ({ name, summary }))
  if (options.json === true) stdout.write(`${JSON.stringify(rows)}\n`)
  else for (const { name, summary } of rows) stdout.write(`${name.padEnd(12)} ${summary}\n`)
  return EXIT.done
}

async function measure(name: string | undefined, options: Options): Promise<number> {
  const bench = BENCHES.find((one) => one.name === name)
  if (bench === undefined) {
    throw new WrongUsage(name === undefined ? 'which bench?' : `unknown bench '${name}'`,
      `one of: ${BENCHES.map((one) => one.name).join(' ')}`)
  }
  const seconds = Number(options.seconds)
  if (!(seconds > 0 && seconds <= SECONDS_MAX)) {
    throw new WrongUsage(`--seconds must be a number from 1 to ${SECONDS_MAX}`)
  }
  const result = await (await bench.load())(seconds)
  stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : table(result))
  return Object.values(result.checks).every(Boolean) ? EXIT.done : EXIT.failed
}

function table(result: BenchResult): string {
  const { ratio, absolute, checks, machine } = result
  return [ratio, absolute, checks, machine].flatMap((part) => Object.entries(part))
    .map(([key, value]) => `${key.padEnd(52)} ${String(value)}\n`).join('')
}
