// `switchyard audit`: the log of sensitive acts. Loaded by console/main.ts; needs the database, and
// the token for its public key. What it does lies in console/audit/.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'

/** Adds `audit` with its verbs. */
export function register(program: Command): void {
  const audit = withExamples(
    program.command('audit').description('shows and verifies the log of sensitive acts'),
    [
      'switchyard audit verify                 # is the log as it was written?',
      'switchyard audit list --last 50         # what was done lately, and by whom',
    ],
  )
  withExamples(
    audit
      .command('verify')
      .description(
        'recomputes the whole hash chain, verifies the signed checkpoints in the database and in ' +
          'the file outside it, every signature of an officer, and that officers, approvals and ' +
          'keys are what the log makes of them; exit code 1 when anything differs',
      )
      .option('--checkpoints <file>', 'checkpoint file (default: <home>/audit/checkpoints.jsonl)')
      .option('--public-key <hex>', 'signing key noted elsewhere; without it the token is asked')
      .option('--expect <number:hash>', 'an event noted elsewhere, as on a ceremony transcript')
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
      .action(async (options: { config?: string; json?: boolean }) => {
        const [{ atDesk }, { verifyAudit }] = await both()
        await atDesk(options.config, (desk) => verifyAudit(desk, options))
      }),
    [
      'switchyard audit verify',
      'switchyard audit verify --json',
      'switchyard audit verify --expect 42:9f86d081884c7d65...',
    ],
  )
  withExamples(
    audit
      .command('list')
      .description('lists the latest events, oldest first')
      .option('--last <number>', 'how many', '20')
      .option('--subject <name>', 'only about this key, officer or approval')
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
      .action(async (options: { config?: string; last?: string }) => {
        const [{ atDesk }, { listAudit }] = await both()
        await atDesk(options.config, (desk) => listAudit(desk, options))
      }),
    ['switchyard audit list', 'switchyard audit list --subject cups.zmk --json'],
  )
  withExamples(
    audit
      .command('checkpoint')
      .description(
        'signs the log up to now with the key of the token, into the database and the file; every ' +
          'command that changes something does so by itself',
      )
      .option('--officer <name[=keyfile]>', 'the auditor who asks for it')
      .option('--config <path>', 'configuration file or directory')
      .action(async (options: { config?: string; officer?: string }) => {
        const [{ atDesk }, { checkpointNow }] = await both()
        await atDesk(options.config, (desk) => checkpointNow(desk, options))
      }),
    ['switchyard audit checkpoint', 'switchyard audit checkpoint --officer carol'],
  )
}

function both(): Promise<[typeof import('../keys/desk.ts'), typeof import('../audit/run.ts')]> {
  return Promise.all([import('../keys/desk.ts'), import('../audit/run.ts')])
}
