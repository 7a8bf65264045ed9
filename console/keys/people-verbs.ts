// The verbs about people: `keys officers` and `keys approvals`. Called by console/commands/keys.ts.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'
import type { Desk } from './desk.ts'
import { twoOfficers } from './verb-options.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
  readonly all?: boolean
  readonly officer?: string
}

/** Adds `officers` and `approvals`. */
export function registerPeople(keys: Command): void {
  registerOfficers(keys)
  registerApprovals(keys)
}

async function atDesk(options: Options, work: (desk: Desk) => Promise<void>): Promise<void> {
  const desk = await import('./desk.ts')
  await desk.atDesk(options.config, work)
}

const verbs = (): Promise<typeof import('./officers.ts')> => import('./officers.ts')

function registerOfficers(keys: Command): void {
  const officers = withExamples(
    keys.command('officers').description('adds, removes and lists security officers'),
    ['switchyard keys officers add alice', 'switchyard keys officers list'],
  )
  withExamples(
    twoOfficers(
      officers
        .command('add')
        .description(
          'adds an officer with a key pair of their own. The key file is made at the terminal under ' +
            'a passphrase, unless it is there already. The first two officers add themselves and may ' +
            'propose and approve; everyone after them is added by two officers.',
        )
        .argument('<name[=keyfile]>', 'name, and where the key file is (a USB stick, a smart card)')
        .option('--role <roles>', 'custodian, approver, custodian,approver or auditor'),
    ).action((word: string, options: Options) =>
      atDesk(options, async (desk) => (await verbs()).addAnOfficer(desk, word, options)),
    ),
    [
      'switchyard keys officers add alice                       # the first two: without --role',
      'switchyard keys officers add bob=/media/usb/bob.json',
      'switchyard keys officers add carol --role auditor --officer alice --with bob',
    ],
  ).addHelpText(
    'after',
    '\nRoles: a custodian proposes and brings components; an approver approves what another' +
      '\nproposed; an auditor only checks and has no other role.\n',
  )
  withExamples(
    twoOfficers(
      officers
        .command('remove')
        .description('removes an officer; the name is never used again')
        .argument('<name>', 'who goes'),
    ).action((name: string, options: Options) =>
      atDesk(options, async (desk) => (await verbs()).removeAnOfficer(desk, name, options)),
    ),
    ['switchyard keys officers remove dave --officer alice --with bob'],
  )
  withExamples(
    officers
      .command('list')
      .description('lists officers, also those who went')
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
      .action((options: Options) =>
        atDesk(options, async (desk) => (await verbs()).listOfficers(desk, options.json === true)),
      ),
    ['switchyard keys officers list', 'switchyard keys officers list --json'],
  )
}

function registerApprovals(keys: Command): void {
  const approvals = withExamples(
    keys.command('approvals').description('shows and decides what waits for a second officer'),
    ['switchyard keys approvals list', 'switchyard keys approvals approve k3v7q2xa --officer bob'],
  )
  withExamples(
    approvals
      .command('list')
      .description('lists proposals that may still be approved or used')
      .option('--all', 'used, rejected and expired ones too')
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
      .action((options: Options) =>
        atDesk(options, async (desk) =>
          (await verbs()).listApprovals(desk, options.all === true, options.json === true),
        ),
      ),
    ['switchyard keys approvals list', 'switchyard keys approvals list --all'],
  )
  for (const decision of ['approve', 'reject'] as const) {
    withExamples(
      approvals
        .command(decision)
        .description(
          decision === 'approve'
            ? 'shows exactly what was proposed and takes the decision; the proposer cannot approve'
            : 'rejects a proposal for good',
        )
        .argument('<id>', 'the approval, as the proposal printed it')
        .requiredOption('--officer <name[=keyfile]>', 'who decides: an approver, not the proposer')
        .option('--config <path>', 'configuration file or directory')
        .action((id: string, options: Options) =>
          atDesk(options, async (desk) =>
            (await verbs()).decideApproval(desk, id, decision, options),
          ),
        ),
      [`switchyard keys approvals ${decision} k3v7q2xa --officer bob`],
    )
  }
}
