// `switchyard txn show`: what happened to a transaction. Loaded by console/main.ts; needs the
// journal's database, of a running or a stopped switch.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'

/** Adds `txn` with its verbs. */
export function register(program: Command): void {
  const txn = withExamples(
    program.command('txn').description('shows what happened to transactions'),
    ['switchyard txn show 632600000017'],
  )
  withExamples(
    txn
      .command('show')
      .description('prints the timeline: legs, timers, token calls, postings, store and forward')
      .argument('<rrn>', 'retrieval reference number, field 37')
      .addOption(jsonOption())
      .action(async (rrn: string, options: { json?: boolean }) => {
        const { showTransaction } = await import('../txn/show.ts')
        await showTransaction(rrn, options.json === true)
      }),
    ['switchyard txn show 632600000017', 'switchyard txn show 632600000017 --json'],
  )
}
