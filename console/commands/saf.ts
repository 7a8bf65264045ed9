// `switchyard saf list`: what store-and-forward still has to deliver. Loaded by console/main.ts;
// needs the journal's database, of a running or a stopped switch.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'

/** Adds `saf` with its verbs. */
export function register(program: Command): void {
  const saf = withExamples(
    program.command('saf').description('shows stored messages: reversals and advices'),
    ['switchyard saf list'],
  )
  withExamples(
    saf
      .command('list')
      .description('lists stored messages with state, attempts and next attempt')
      .addOption(jsonOption())
      .action(async (options: { json?: boolean }) => {
        const { withJournal } = await import('../txn/open-journal.ts')
        const rows = await withJournal((journal) => journal.safList())
        if (options.json === true) {
          process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`)
        } else {
          const { systemClock } = await import('../../switch/runtime/clock.ts')
          const { renderSaf } = await import('../saf/list.ts')
          process.stdout.write(renderSaf(rows, systemClock.wallMs()))
        }
      }),
    ['switchyard saf list', 'switchyard saf list --json'],
  )
}
