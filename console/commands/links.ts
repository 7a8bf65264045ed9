// `switchyard links list`: the links of the running switch. Loaded by console/main.ts; asks the
// operations pages of the configuration.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'

/** Adds `links` with its verbs. */
export function register(program: Command): void {
  const links = withExamples(
    program.command('links').description('shows the links of the running switch'),
    ['switchyard links list'],
  )
  withExamples(
    links
      .command('list')
      .description('lists links with state, waiting requests and stored messages')
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
      .action(async (options: { config?: string; json?: boolean }) => {
        const { linkStates, renderLinks } = await import('../links/list.ts')
        const states = await linkStates(options.config)
        const json = options.json === true
        process.stdout.write(json ? `${JSON.stringify(states, null, 2)}\n` : renderLinks(states))
      }),
    ['switchyard links list', 'switchyard links list --json'],
  )
}
