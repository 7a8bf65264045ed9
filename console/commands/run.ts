/**
 * `switchyard run`: the switch alone, in this process. `switchyard start` runs it as a child beside
 * everything else.
 *
 * With an IPC channel it reports `{type: 'ready'}` and ends when its parent ends. SIGTERM and
 * SIGINT drain; a second one ends at once.
 */

import type { Command } from 'commander'
import { CommandFailed, withExamples } from '../help.ts'

export function register(program: Command): void {
  const command = program
    .command('run')
    .summary('run the switch alone')
    .description('Runs the switch with an existing database and token until it is told to stop.')
    .option('--config <file>', 'configuration file or directory')
    .action(run)
  withExamples(command, ['switchyard run --config /etc/switchyard'])
}

/** Two signals closer than this are one, ms. */
const SAME_SIGNAL_MS = 700

async function run(options: { config?: string }): Promise<void> {
  const { crashAt, environment, loadConfig } = await import('../../config/load.ts')
  const { armCrashPoint } = await import('../../switch/runtime/crash-point.ts')
  const { startSwitch } = await import('../../switch/main.ts')
  const { systemClock } = await import('../../switch/runtime/clock.ts')
  const { config, home, databaseUrl } = loadConfig(options.config ?? environment().configPath)
  if (crashAt() !== null && !(config.demonstration && armCrashPoint(crashAt()))) {
    throw new CommandFailed(
      'SWITCHYARD_CRASH_AT is not name:nth, or this is not the demonstration',
      'unset it; it is for tests only',
    )
  }
  if (!databaseUrl) {
    throw new CommandFailed('no database', 'set SWITCHYARD_DATABASE_URL, or use switchyard start')
  }
  const running = await startSwitch({ config, home, databaseUrl })
  let stoppingSinceMono = -1
  const end = (): void => {
    const now = systemClock.monotonicMs()
    if (stoppingSinceMono >= 0) {
      // A launcher and a terminal may pass one Ctrl-C on twice; people need longer than this.
      if (now - stoppingSinceMono >= SAME_SIGNAL_MS) process.exit(1)
      return
    }
    stoppingSinceMono = now
    void running.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('disconnect', end)
  process.send?.({ type: 'ready' })
}
