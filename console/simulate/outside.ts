// The world outside the switch as commands need it: configuration, outside token, clock. Used by
// console/commands/simulate.ts and whoever runs the demonstration; simulators themselves may not
// open tokens (tests/tidy/matrix.ts).
import { environment, loadConfig } from '../../config/load.ts'
import { findDemonstration } from '../../hsm/demonstration.ts'
import { findModule } from '../../hsm/pkcs11/module-path.ts'
import { openToken } from '../../hsm/pkcs11/token.ts'
import type { OutsideToken } from '../../simulators/keys.ts'
import type { Outside } from '../../simulators/run.ts'
import type { SimulatorLog } from '../../simulators/scheme/log.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { systemRandom } from '../../switch/runtime/random.ts'
import { CommandFailed } from '../help.ts'

/**
 * Opens the token of the outside world that `switchyard start` made.
 *
 * @param home the data directory, absolute
 * @throws CommandFailed when there is none
 */
export function openOutsideToken(home: string): OutsideToken {
  const module = findModule()
  if (module === null)
    throw new CommandFailed('SoftHSM is not installed', 'run: sh scripts/setup.sh')
  const tokens = findDemonstration({ home, module })
  if (tokens === null) {
    throw new CommandFailed(
      `there are no demonstration keys in ${home}`,
      'run npm start once; it makes them',
    )
  }
  return openToken(tokens.outside)
}

/**
 * Configuration and outside token for one simulator process.
 *
 * @param configPath instead of the configured one
 * @throws CommandFailed, ConfigError
 */
export function openOutside(configPath: string | undefined, log: SimulatorLog): Outside {
  const { config, home } = loadConfig(configPath ?? environment().configPath)
  return {
    home,
    config,
    token: openOutsideToken(home),
    clock: systemClock,
    random: systemRandom,
    log,
  }
}
