// Options that the verbs of `switchyard keys` have in common. Used by console/commands/keys.ts and
// people-verbs.ts. None of them takes a secret.
import type { Command } from 'commander'

/** Options of every verb that needs two officers. */
export function twoOfficers(command: Command): Command {
  return command
    .option(
      '--officer <name[=keyfile]>', 'who proposes; key file default <home>/officers/NAME.json',
    )
    .option('--with <name[=keyfile]>', 'who approves, at this terminal after the proposer')
    .option('--approval <id>', 'an approval that was given before')
    .option('--dry-run', 'show what would be proposed and change nothing')
    .option('--config <path>', 'configuration file or directory')
}
