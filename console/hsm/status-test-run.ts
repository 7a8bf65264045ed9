// Runs `hsm status` alone in a process, for status.test.ts, as console/main.ts runs it.
import { Command } from 'commander'
import { register } from '../commands/hsm.ts'
import { CommandFailed, errorLine } from '../help.ts'

const program = new Command('switchyard')
register(program)
try {
  await program.parseAsync(['hsm', 'status', ...process.argv.slice(2)], { from: 'user' })
} catch (error) {
  if (!(error instanceof CommandFailed)) throw error
  process.stderr.write(errorLine(error.message, error.next))
  process.exitCode = 1
}
