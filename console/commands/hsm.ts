// `switchyard hsm status`: what the token can do. Loaded by console/main.ts; opens the configured
// token, of a running or a stopped switch.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'

/** Adds `hsm` with its verbs. */
export function register(program: Command): void {
  const hsm = withExamples(
    program.command('hsm').description('shows the security module and what it can do'),
    ['switchyard hsm status'],
  )
  withExamples(
    hsm
      .command('status')
      .description('opens the configured token, tries its capabilities and lists its keys')
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
      .action(async (options: { config?: string; json?: boolean }) => {
        const { renderStatus, tokenStatus } = await import('../hsm/status.ts')
        const status = tokenStatus(options.config)
        const json = options.json === true
        process.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : renderStatus(status))
      }),
    ['switchyard hsm status', 'switchyard hsm status --json'],
  )
}
