// The `switchyard` command: a noun, then a verb. bin/switchyard.js imports this file on a Node that
// runs TypeScript and calls main(). Only the module of the noun that was typed is loaded, so that
// every command starts quickly; `--help` lists all nouns from the table below.
import { Command, CommanderError } from 'commander'
import { CommandFailed, errorLine, EXIT, withExamples, WrongUsage } from './help.ts'

/** What console/commands/<noun>.ts exports: adds its command, with verbs, to the program. */
export interface CommandModule {
  register(program: Command): void
}

/** One noun. To add a command, write its module and add a row. */
interface Noun {
  readonly noun: string
  readonly summary: string
  readonly load: () => Promise<CommandModule>
}

const NOUNS: readonly Noun[] = [
  {
    noun: 'start',
    summary: 'start everything: database, token, switch, simulators, demonstration',
    load: () => import('./commands/start.ts'),
  },
  {
    noun: 'run',
    summary: 'run the switch alone, with an existing database and token',
    load: () => import('./commands/run.ts'),
  },
  {
    noun: 'message',
    summary: 'decode, build and explain ISO 8583 messages',
    load: () => import('./commands/message.ts'),
  },
  {
    noun: 'calc',
    summary: 'compute payment cryptography with clear test keys',
    load: () => import('./commands/calc.ts'),
  },
  {
    noun: 'config',
    summary: 'check and show the configuration',
    load: () => import('./commands/config.ts'),
  },
  {
    noun: 'txn',
    summary: 'show what happened to transactions',
    load: () => import('./commands/txn.ts'),
  },
  {
    noun: 'saf',
    summary: 'show stored messages: reversals and advices',
    load: () => import('./commands/saf.ts'),
  },
  {
    noun: 'links',
    summary: 'show the links of the running switch',
    load: () => import('./commands/links.ts'),
  },
  {
    noun: 'hsm',
    summary: 'show the security module and what it can do',
    load: () => import('./commands/hsm.ts'),
  },
  {
    noun: 'keys',
    summary: 'make, bring in and end keys: the work of two security officers',
    load: () => import('./commands/keys.ts'),
  },
  {
    noun: 'audit',
    summary: 'show and verify the log of sensitive acts',
    load: () => import('./commands/audit.ts'),
  },
  {
    noun: 'simulate',
    summary: 'play a peer of the switch: scheme, terminal',
    load: () => import('./commands/simulate.ts'),
  },
  {
    noun: 'bench',
    summary: 'measure how quick one part is, beside something in the same run',
    load: () => import('./commands/bench.ts'),
  },
]

/**
 * Runs one command line and sets process.exitCode (0 done, 1 refused or failed, 2 wrong usage).
 *
 * @param args the words after `switchyard`
 */
export async function main(args: readonly string[]): Promise<void> {
  quietOnClosedPipe()
  try {
    await (await programFor(args)).parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exitCode = report(error, args)
  }
}

/** The program with the typed noun's real command and a one-line stand-in for each other noun. */
export async function programFor(args: readonly string[]): Promise<Command> {
  const program = new Command('switchyard')
    .description("ISO 8583 switch and HSM-backed front-end processor for a bank's card platform")
    .usage('<noun> <verb> [options]')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ outputError: () => undefined }) // report() prints it, as one line
    .helpCommand('help [noun]', 'explain a noun')
    .action(() => {
      throw new WrongUsage(args.length === 0 ? 'nothing to do' : `unknown command '${args[0]}'`)
    })
    .allowExcessArguments()
  withExamples(program, [
    'npm start                              # everything at once, with demonstration traffic',
    'switchyard message explain 0200...     # what is this message?',
    'switchyard <noun> --help               # verbs and options of one noun',
  ])
  const typed = args[0] === 'help' ? args[1] : args.find((word) => !word.startsWith('-'))
  for (const { noun, summary, load } of NOUNS) {
    if (noun === typed) (await load()).register(program)
    else program.command(noun).summary(summary).description(summary)
  }
  return program
}

/**
 * Errors whose message is made for people: mistakes in a configuration, each with file and line,
 * and a start that cannot be had.
 */
function isPlainRefusal(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  return error.name === 'ConfigError' || (error as { code?: unknown }).code === 'start_failed'
}

/** Prints what went wrong as one line on stderr. @returns the exit code */
function report(error: unknown, args: readonly string[]): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.done
    if (error.code === 'commander.help') return EXIT.usage // the help itself was the answer
    const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
    process.stderr.write(errorLine(message, helpHint(args)))
    return EXIT.usage
  }
  if (error instanceof WrongUsage) {
    process.stderr.write(errorLine(error.message, error.next === '' ? helpHint(args) : error.next))
    return EXIT.usage
  }
  if (error instanceof CommandFailed) {
    process.stderr.write(errorLine(error.message, error.next))
    return EXIT.failed
  }
  if (isPlainRefusal(error)) {
    process.stderr.write(`${error.message}\n`)
    return EXIT.failed
  }
  const text = error instanceof Error ? `${error.name}: ${error.message}` : 'unknown error'
  process.stderr.write(errorLine(text, `this is a defect or an operating fault ${place(error)}`))
  return EXIT.failed
}

/** Where help for these words is. */
function helpHint(args: readonly string[]): string {
  const known = NOUNS.some(({ noun }) => noun === args[0])
  return `see: switchyard ${known ? `${args[0]} ` : ''}--help`
}

/** The innermost frame of our own code, without the machine's path. */
function place(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const root = new URL('..', import.meta.url).href
  const ours = (frame: string): boolean => frame.includes(root) && !/node_modules/.test(frame)
  const line = stack.split('\n').find(ours)
  if (line === undefined) return ''
  return `(at ${line.slice(line.indexOf(root) + root.length).replace(')', '')})`
}

/** `switchyard ... | head` must end quietly when head has seen enough. */
function quietOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit()
      throw error
    })
  }
}
