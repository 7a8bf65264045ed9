// Runs the demonstration's traffic against the switch and simulators that the supervisor started.
// Called by the supervisor; everything about the traffic itself is in simulators/demonstration.ts.
import type { SwitchConfig } from '../../config/schema.ts'
import { renderRows, runDemonstration } from '../../simulators/demonstration.ts'
import { openOutsideToken } from '../simulate/outside.ts'

/**
 * Runs every flow once.
 *
 * @param home the data directory, with tokens
 * @param stop ends it between two steps
 * @param log told each step as it ends
 * @returns a table for people, with a line below it when a step did not go as it must
 */
export async function demonstrate(
  config: SwitchConfig,
  home: string,
  stop: AbortSignal,
  log: (line: string) => void,
): Promise<string> {
  const token = openOutsideToken(home)
  try {
    const short = (line: string): void => log(progress(line))
    const rows = await runDemonstration({ home, config, token, log: short, stop })
    const wrong = rows.filter(({ ok }) => !ok).length
    const verdict = wrong === 0 ? '' : `\n${wrong} of ${rows.length} steps did not go as they must`
    return `${renderRows(rows)}${verdict}`
  } finally {
    await token.close()
  }
}

/** The first words of a row; the whole of it is in the table. */
function progress(line: string): string {
  const [verdict, step, from, to, what] = line.split('  ')
  return `step ${step} ${verdict}: ${from} to ${to}, ${what}`
}
