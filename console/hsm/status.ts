// What `switchyard hsm status` prints: the configured token, what it can do (tried out now, with
// throw-away keys) and the names of the keys in it. Called by console/commands/hsm.ts. It shows no
// key, no check value and no PIN, and changes nothing in the token.
import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { environment, loadConfig } from '../../config/load.ts'
import type { SwitchConfig } from '../../config/schema.ts'
import { tryCapabilities, type Capability } from '../../hsm/pkcs11/capabilities.ts'
import { useSoftHsmConfiguration } from '../../hsm/pkcs11/environment.ts'
import { findModule, SOFTHSM_PATHS, SOFTOKN_PATHS } from '../../hsm/pkcs11/module-path.ts'
import { TokenSession, type TokenAddress } from '../../hsm/pkcs11/session.ts'
import { keysIn, type KeyListing } from '../../hsm/pkcs11/token-objects.ts'
import { TokenFault } from '../../hsm/pkcs11/vendor-errors.ts'
import { CommandFailed } from '../help.ts'
import { table } from '../txn/table.ts'

/** The token as this command found it. */
export interface TokenStatus {
  module: string
  token: string
  demonstration: boolean
  clear_pin_in_worker: 'accepted' | 'refused'
  capabilities: readonly Capability[]
  keys: readonly KeyListing[]
}

/** @throws CommandFailed when there is no module, no token, or the token cannot be opened */
export function tokenStatus(configPath: string | undefined): TokenStatus {
  const { home } = environment()
  const { config } = loadConfig(configPath ?? environment().configPath)
  const address = addressOf(config, home)
  try {
    const session = TokenSession.open(address)
    try {
      return {
        module: address.module,
        token: address.tokenLabel,
        demonstration: config.demonstration,
        clear_pin_in_worker: config.token.clear_pin_in_worker,
        capabilities: tryCapabilities(() => TokenSession.open(address)),
        keys: keysIn(session),
      }
    } finally {
      session.close()
    }
  } catch (error) {
    if (!(error instanceof TokenFault)) throw error
    const next =
      error.kind === 'pin'
        ? `check the PIN in ${config.token.pin_file}; more attempts may lock the token`
        : notMade(config)
    throw new CommandFailed(`token '${address.tokenLabel}' does not open (${error.code})`, next)
  }
}

/** The status as tables for people. */
export function renderStatus(status: TokenStatus): string {
  const head = [
    `token   ${status.token}${status.demonstration ? ' (demonstration)' : ''}`,
    `module  ${status.module}`,
    `clear_pin_in_worker  ${status.clear_pin_in_worker}`,
  ].join('\n')
  const can = status.capabilities.map(({ name, available, note }) => [
    name,
    available ? 'yes' : 'no',
    note,
  ])
  const keys = status.keys.map(({ name, usage, type, extractable }) => [
    name,
    usage,
    type,
    extractable ? 'yes' : 'no',
  ])
  const capabilities = table(['capability', 'works', 'meaning'], can)
  return `${head}\n\n${capabilities}\n${table(['key', 'purpose', 'type', 'extractable'], keys)}`
}

function addressOf(config: SwitchConfig, home: string): TokenAddress {
  const { token } = config
  const candidates = token.module === 'nss' ? SOFTOKN_PATHS : SOFTHSM_PATHS
  const module = findModule(isAbsolute(token.module) ? token.module : undefined, candidates)
  if (module === null) {
    throw new CommandFailed(`no PKCS#11 module '${token.module}' here`, 'run sh scripts/setup.sh')
  }
  const softHsm = join(home, 'tokens', 'softhsm2.conf')
  if (token.module === 'softhsm2' && existsSync(softHsm)) useSoftHsmConfiguration(softHsm)
  const pinFile = resolve(home, token.pin_file)
  if (!existsSync(pinFile)) {
    throw new CommandFailed(`token '${token.label}' has no PIN file ${pinFile}`, notMade(config))
  }
  return { module, tokenLabel: token.label, pin: readFileSync(pinFile, 'utf8').trim() }
}

function notMade(config: SwitchConfig): string {
  return config.demonstration
    ? 'npm start makes the demonstration tokens; or set SWITCHYARD_HOME to where they are'
    : 'initialise the token with its own tools, then set token.label and token.pin_file'
}
