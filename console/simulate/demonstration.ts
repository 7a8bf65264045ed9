// `switchyard simulate demonstration`: every flow once against what runs already.
import { renderRows, runDemonstration } from '../../simulators/demonstration.ts'
import { EXIT } from '../help.ts'
import { openOutside } from './outside.ts'

/** Runs the demonstration and prints its rows; exit 1 when one is not what it must be. */
export async function demonstrateOnce(
  configPath: string | undefined,
  json: boolean,
): Promise<void> {
  const { home, config, token } = openOutside(configPath, () => undefined)
  try {
    const rows = await runDemonstration({
      home,
      config,
      token,
      log: (line) => process.stderr.write(`switchyard: ${line}\n`),
    })
    process.stdout.write(`${json ? JSON.stringify(rows) : renderRows(rows)}\n`)
    if (rows.some((row) => !row.ok)) process.exitCode = EXIT.failed
  } finally {
    await token.close()
  }
}
