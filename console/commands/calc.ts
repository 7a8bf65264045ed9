// `switchyard calc`: the testers' calculator (docs of the command line, "Calculator"). Registers
// the command; the algorithms are loaded only when it runs. Clear keys come in on stdin, never on
// the command line; software only, never the switch's token.

import type { Command } from 'commander'

import { EXIT, withExamples } from '../help.ts'

const EXAMPLES = [
  `echo '{"id":1,"alg":"kcv.tdes.zero","in":{"key":"0123456789ABCDEFFEDCBA9876543210"}}' \\`,
  '    | switchyard calc                   # prints {"id":1,"out":{"kcv":"08D7B4"}}',
  'switchyard calc < vectors.ndjson        # one answer line for each line, in order',
  'switchyard calc --list                  # names of all algorithms',
] as const

const ABOUT = `
Each line of stdin is one JSON object with id, alg and in. Each answer is one line with id and out,
or with id and error (the kind of refusal) and a detail, in the same order. Blank lines are passed
over. Keys here are clear test keys: the calculator works in software and never touches the token.

Exit code: 0 all lines answered, 1 at least one line failed, 2 wrong usage.`

interface CalcOptions {
  readonly list?: boolean
}

/** Adds `calc` to the program. */
export function register(program: Command): void {
  const command = program
    .command('calc')
    .summary('compute payment cryptography from JSON lines with clear test keys')
    .description('Reads JSON lines {"id","alg","in"} from stdin and answers each with one line.')
    .allowExcessArguments(false)
    .option('--list', 'print the names of all algorithms, one per line')
    .addHelpText('after', ABOUT)
    .action(async (options: CalcOptions) => {
      process.exitCode = await runCalc(options)
    })
  withExamples(command, EXAMPLES)
}

async function runCalc(options: CalcOptions): Promise<number> {
  const { listAlgorithms, runCalculator } = await import('../calc/run.ts')
  if (options.list === true) {
    process.stdout.write(`${listAlgorithms().join('\n')}\n`)
    return EXIT.done
  }
  if (process.stdin.isTTY) process.stderr.write('reading JSON lines from the terminal\n')
  const { createInterface } = await import('node:readline')
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity, terminal: false })
  const failed = await runCalculator(lines, async (text) => {
    if (process.stdout.write(text)) return
    await new Promise<void>((resolve) => process.stdout.once('drain', resolve))
  })
  return failed === 0 ? EXIT.done : EXIT.failed
}
