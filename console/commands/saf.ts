// `switchyard saf list|retry`: what store-and-forward still has to deliver, and what it gave up and
// an operator wants sent again. Loaded by console/main.ts; needs the journal's database, of a
// running or a stopped switch.
import type { Command } from 'commander'
import { CommandFailed, jsonOption, withExamples } from '../help.ts'

/** Adds `saf` with its verbs. */
export function register(program: Command): void {
  const saf = withExamples(
    program.command('saf').description('shows stored messages, and sends parked ones again'),
    ['switchyard saf list', 'switchyard saf retry 632622000012'],
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
  withExamples(
    saf
      .command('retry')
      .argument('<RRN>', 'retrieval reference number of the transaction')
      .description('puts a parked message back into its queue')
      .action(async (rrn: string) => {
        const { withJournal } = await import('../txn/open-journal.ts')
        const { systemClock } = await import('../../switch/runtime/clock.ts')
        const count = await withJournal((journal) => journal.requeueSaf(rrn, systemClock.wallMs()))
        if (count === 0) {
          const next = 'see switchyard saf list'
          throw new CommandFailed(`nothing is parked for RRN ${rrn}`, next)
        }
        process.stdout.write(`${count} queued again\n`)
      }),
    ['switchyard saf retry 632622000012'],
  )
}
