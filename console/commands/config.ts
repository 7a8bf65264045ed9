// `switchyard config check|show`: what a configuration says and what is wrong with it, without
// running it. Loaded by console/main.ts; needs neither database nor token.
import type { Command } from 'commander'
import { EXIT, jsonOption, withExamples } from '../help.ts'

/** Adds `config` with its verbs. */
export function register(program: Command): void {
  const config = withExamples(
    program.command('config').description('checks and shows the configuration'),
    ['switchyard config check /etc/switchyard', 'switchyard config show --json'],
  )
  withExamples(
    config
      .command('check')
      .description('names every mistake with file, line and what to do; exit 1 if any')
      .argument('[path]', 'a YAML file, or a directory whose *.yaml files are one configuration')
      .addOption(jsonOption())
      .action(async (path: string | undefined, options: { json?: boolean }) => {
        const { check } = await import('../config/check.ts')
        process.exitCode = (await check(path, options.json === true)) ? EXIT.done : EXIT.failed
      }),
    ['switchyard config check', 'switchyard config check /etc/switchyard --json'],
  )
  withExamples(
    config
      .command('show')
      .description('prints what is in force, defaults included; secrets are never in it')
      .argument('[path]', 'as for check')
      .addOption(jsonOption())
      .action(async (path: string | undefined, options: { json?: boolean }) => {
        const { show } = await import('../config/check.ts')
        process.exitCode = (await show(path, options.json === true)) ? EXIT.done : EXIT.failed
      }),
    ['switchyard config show', 'switchyard config show config/examples --json'],
  )
}
