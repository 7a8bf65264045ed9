// `switchyard start`: everything at once, what `npm start` runs. Loaded by console/main.ts.
// Ctrl-C (SIGINT), SIGTERM or SIGHUP end everything in order; a second one ends it at once.
import type { Command } from 'commander'
import { CommandFailed, EXIT, withExamples } from '../help.ts'

/** npm and the shell may pass one Ctrl-C on a second time; people need longer than this; ms. */
const SAME_SIGNAL_MS = 700

/** Adds `start`. */
export function register(program: Command): void {
  withExamples(
    program
      .command('start')
      .summary('start everything: database, token, switch, simulators, demonstration')
      .description('Starts everything a demonstration needs, runs it once and stays until Ctrl-C.')
      .option('--quiet', 'without the demonstration traffic')
      .option('--config <path>', 'configuration file or directory')
      .action(start),
    ['npm start', 'npm start -- --quiet', 'switchyard start --config /etc/switchyard'],
  )
}

async function start(options: { quiet?: boolean; config?: string }): Promise<void> {
  const { ConfigError, environment, loadConfig } = await import('../../config/load.ts')
  const { StartRefused, Supervisor } = await import('../start/supervisor.ts')
  const { systemClock } = await import('../../switch/runtime/clock.ts')
  const { ownParts } = await import('../start/parts.ts')
  const say = (line: string): void => {
    process.stderr.write(`switchyard: ${line}\n`)
  }
  try {
    const configPath = options.config ?? environment().configPath
    const loaded = loadConfig(configPath)
    const supervisor = new Supervisor({
      ...loaded,
      configPath,
      quiet: options.quiet === true,
      parts: ownParts,
      clock: systemClock,
      say,
      print: (text) => process.stdout.write(text),
    })
    endOnSignals(supervisor, () => systemClock.monotonicMs(), say)
    await supervisor.run()
    process.exit(EXIT.done) // a library's timer must not keep the terminal waiting
  } catch (error) {
    if (error instanceof ConfigError) {
      for (const line of error.message.split('\n')) say(line)
      throw new CommandFailed('the configuration has mistakes', 'see switchyard config check')
    }
    if (error instanceof StartRefused) throw new CommandFailed(error.message)
    throw new CommandFailed(error instanceof Error ? error.message : 'the start failed')
  }
}

interface Endable {
  stop(): void
  stopNow(): Promise<void>
}

function endOnSignals(
  supervisor: Endable,
  nowMono: () => number,
  say: (line: string) => void,
): void {
  let firstMono = 0
  let times = 0
  const onSignal = (): void => {
    if (times > 0 && nowMono() - firstMono < SAME_SIGNAL_MS) return
    times += 1
    if (times === 1) {
      firstMono = nowMono()
      supervisor.stop()
    } else if (times === 2) {
      say('ending at once')
      supervisor.stopNow().finally(() => process.exit(EXIT.failed))
    } else {
      process.exit(EXIT.failed)
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
}
