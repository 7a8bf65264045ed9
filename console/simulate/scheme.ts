// `switchyard simulate visa|cups` and `tell`: a scheme simulator as a process. It ends on SIGINT,
// SIGTERM or when the parent that gave it an IPC channel is gone. Its log goes to stderr, one JSON
// line per event, without card data.
import { resolve } from 'node:path'
import { environment } from '../../config/load.ts'
import {
  type FaultRule,
  FaultRuleError,
  FaultRules,
  parseRule,
  readRulesFile,
} from '../../simulators/faults.ts'
import {
  type RunningScheme,
  type SchemeName,
  bookPath,
  controlPath,
  runScheme,
} from '../../simulators/run.ts'
import { askControl } from '../../simulators/transport.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { CommandFailed, EXIT, WrongUsage } from '../help.ts'
import { openOutside } from './outside.ts'

interface SchemeOptions {
  config?: string
  rule: string[]
  rules?: string
  book?: string
  listen?: { host: string; port: number }
  dial?: { host: string; port: number }
}

const TELL_TIMEOUT_MS = 60_000 // an originated transaction may wait for the switch
const COMMAND_CHARACTERS_MAX = 65_536

/** Starts a scheme simulator and stays until it is told to end. */
export async function simulateScheme(name: SchemeName, options: SchemeOptions): Promise<void> {
  const rules = new FaultRules(rulesOf(options))
  const outside = openOutside(options.config, (event, detail) => {
    const line = {
      time: new Date(systemClock.wallMs()).toISOString(),
      simulator: name,
      event,
      ...detail,
    }
    process.stderr.write(`${JSON.stringify(line)}\n`)
  })
  const book =
    options.book === 'none' ? null : resolve(options.book ?? bookPath(outside.home, name))
  let running: RunningScheme
  try {
    running = await runScheme(name, outside, {
      rules,
      bookPath: book,
      listen: options.listen,
      dial: options.dial,
    })
  } catch (error) {
    throw new CommandFailed(error instanceof Error ? error.message : 'the simulator cannot start')
  }
  process.on('SIGHUP', () => reread(rules, options))
  readCommands(running)
  endOnSignals(running)
  process.stderr.write(`switchyard: ${name} simulator listens on port ${running.port}\n`)
  process.send?.({ type: 'ready' })
}

/** Rules of the command line first, so that they decide; then those of the file. */
function rulesOf(options: SchemeOptions): FaultRule[] {
  try {
    const given = options.rule.map(parseRule)
    return options.rules === undefined
      ? given
      : [...given, ...readRulesFile(resolve(options.rules))]
  } catch (error) {
    if (error instanceof FaultRuleError) throw new WrongUsage(error.message)
    throw new CommandFailed(`cannot read the rules in ${options.rules ?? ''}`, 'check the file')
  }
}

/** A file with a mistake leaves the rules as they were. */
function reread(rules: FaultRules, options: SchemeOptions): void {
  try {
    rules.replace(rulesOf(options))
    process.stderr.write(`switchyard: ${rules.list().length} rules in force\n`)
  } catch (error) {
    process.stderr.write(
      `switchyard: rules unchanged: ${error instanceof Error ? error.message : ''}\n`,
    )
  }
}

/** Commands on standard input, one per line; answers on standard output. */
function readCommands(running: RunningScheme): void {
  let text = ''
  process.stdin.setEncoding('utf8')
  process.stdin.on('error', () => undefined) // no terminal: the control socket is there
  process.stdin.on('data', (chunk: string) => {
    text = (text + chunk).slice(-COMMAND_CHARACTERS_MAX)
    for (let cut = text.indexOf('\n'); cut >= 0; cut = text.indexOf('\n')) {
      const line = text.slice(0, cut)
      text = text.slice(cut + 1)
      if (line.trim() === '') continue
      void running.desk.handle(line).then((answer) => process.stdout.write(`${answer}\n`))
    }
  })
}

function endOnSignals(running: RunningScheme): void {
  let ending = false
  const end = (): void => {
    if (ending) process.exit(EXIT.failed)
    ending = true
    running.stop().then(
      () => process.exit(EXIT.done),
      () => process.exit(EXIT.failed),
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end)
  process.on('disconnect', end)
}

/** Gives a command to a running simulator of the data directory. */
export async function tellScheme(name: string, command: string): Promise<void> {
  if (name !== 'visa' && name !== 'cups') throw new WrongUsage(`no scheme simulator '${name}'`)
  const path = controlPath(environment().home, name)
  let answer: string
  try {
    answer = await askControl(path, command, systemClock, TELL_TIMEOUT_MS)
  } catch (error) {
    throw new CommandFailed(
      error instanceof Error ? error.message : 'no answer',
      'is npm start running?',
    )
  }
  process.stdout.write(`${answer}\n`)
  const value = JSON.parse(answer) as { error?: unknown }
  if (value.error !== undefined) process.exitCode = EXIT.failed
}
