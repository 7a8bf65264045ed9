// The demonstration's tokens: made once under SWITCHYARD_HOME, found again afterwards. Called by
// `npm start`, the simulators and `switchyard hsm status`.
//
// Two SoftHSM tokens: `switchyard-demo` is the bank's; `switchyard-demo-outside` belongs to the
// simulators, which play terminals, schemes and the card bureau. Keys are generated inside the
// bank's token and carried to the other by AES key wrap under a transport key, which itself goes
// under an RSA key of the other token. No clear key is ever in a file, an argument, a log or a
// buffer of ours (SoftHSM itself is a library in this process; a hardware module is not).
//
//   bank: generate KEY ── AES wrap (transport) ──> outside: unwrap KEY
//   bank: generate transport ── RSA-OAEP (outside's public key) ──> outside: unwrap transport
//
// All names begin with `demo.`, which Pkcs11Hsm refuses outside a demonstration. The tokens count
// as made when the file `demonstration.json` is there; it is written last. Without it everything is
// made again from nothing, so that a start that was killed half-way leaves no half-made token.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

import { systemClock, wait } from '../switch/runtime/clock.ts'
import { systemRandom } from '../switch/runtime/random.ts'
import { equalConstantTime, wipe } from './algorithms/bytes.ts'
import { tryLock, unlock } from './pkcs11/file-lock.ts'
import { closeTransport, openTransport } from './pkcs11/key-transport.ts'
import type { KeyTransport } from './pkcs11/key-transport.ts'
import { hasToken, initializeToken, prepareSoftHsm } from './pkcs11/provisioning.ts'
import { TokenSession } from './pkcs11/session.ts'
import type { KeyHandle, KeyPower, KeyShape, TokenAddress } from './pkcs11/session.ts'
import { idOf, singleLabel } from './pkcs11/token-objects.ts'
import type { TokenUsage } from './pkcs11/token-objects.ts'
import { vaultSecretsOf } from './pkcs11/vault-secrets.ts'

export const BANK_TOKEN = 'switchyard-demo'
export const OUTSIDE_TOKEN = 'switchyard-demo-outside'

/** Names that the switch's options take. */
export const DEMONSTRATION_KBPK = 'demo.kbpk'
export const DEMONSTRATION_VAULT = 'demo.vault'

/** Terminals of the demonstration: two POS and one ATM. */
export const DEMONSTRATION_TERMINALS: readonly string[] = ['10000001', '10000002', '20000001']

interface KeyPlan {
  readonly name: string
  readonly usage: TokenUsage
  /** What the key may do in the bank's token: no more than its verbs need. */
  readonly powers: readonly KeyPower[]
}

/** AES-256 keys that stay in the bank's token. */
const BANK_ONLY: readonly KeyPlan[] = [
  { name: DEMONSTRATION_KBPK, usage: 'kbpk', powers: ['encrypt', 'derive'] },
  { name: DEMONSTRATION_VAULT, usage: 'vault', powers: ['wrap', 'unwrap'] },
]

/** Double-length 3DES keys that both sides hold. */
const SHARED: readonly KeyPlan[] = [
  ...DEMONSTRATION_TERMINALS.map((terminal): KeyPlan => {
    return { name: `demo.tmk.${terminal}`, usage: 'kek', powers: ['encrypt'] }
  }),
  { name: 'demo.zmk.cups', usage: 'kek', powers: ['encrypt', 'decrypt'] },
  { name: 'demo.zmk.visa', usage: 'kek', powers: ['encrypt', 'decrypt'] },
  { name: 'demo.issuer.imk_ac', usage: 'imk_ac', powers: ['derive'] },
  { name: 'demo.issuer.pvk', usage: 'pvk', powers: ['encrypt'] },
  { name: 'demo.issuer.cvk', usage: 'cvk', powers: ['encrypt'] },
]

/** Names of all keys, in the order in which they are made. */
export const DEMONSTRATION_KEYS: readonly string[] = [...BANK_ONLY, ...SHARED].map(
  (plan) => plan.name,
)

/** What the outside's keys may do: a simulator uses one key for both directions. */
const OUTSIDE_POWERS: readonly KeyPower[] = ['encrypt', 'decrypt', 'derive']

export interface DemonstrationOptions {
  readonly home: string // SWITCHYARD_HOME, absolute
  readonly module: string // path of SoftHSM
}

export interface DemonstrationTokens {
  readonly bank: TokenAddress
  readonly outside: TokenAddress
}

/** Why the demonstration's tokens cannot be used; its text says what a person can do. */
export class DemonstrationFault extends Error {
  readonly code = 'demonstration_tokens'
}

const DONE_FILE = 'demonstration.json'
const LOCK_FILE = 'demonstration.lock'
const LOCK_WAIT_MS = 20_000 // making the tokens takes well under a second
const LOCK_POLL_MS = 100
const PIN_BYTES = 16
const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600

/**
 * The two tokens, made when they are not there yet. Idempotent; safe against a second process and
 * against being killed at any point. Must run before any other use of SoftHSM in this process.
 * Throws DemonstrationFault.
 */
export async function provisionDemonstration(
  options: DemonstrationOptions,
): Promise<DemonstrationTokens> {
  const directory = join(options.home, 'tokens')
  mkdirSync(directory, { recursive: true, mode: PRIVATE_DIRECTORY })
  await lock(directory)
  try {
    const made = findDemonstration(options)
    if (made !== null) return made
    makeTokens(options, directory)
    const tokens = findDemonstration(options)
    if (tokens === null) throw new DemonstrationFault('tokens were made but cannot be found')
    return tokens
  } finally {
    unlock(join(directory, LOCK_FILE))
  }
}

/** The tokens if they were made before, or null. Points this process at them. */
export function findDemonstration(options: DemonstrationOptions): DemonstrationTokens | null {
  const { home, module } = options
  const directory = join(home, 'tokens')
  if (!existsSync(join(directory, DONE_FILE))) return null
  prepareSoftHsm(directory)
  const addresses = [BANK_TOKEN, OUTSIDE_TOKEN].map((tokenLabel): TokenAddress => {
    const pin = readPin(home, tokenLabel, 'user')
    if (pin === null || !hasToken(module, tokenLabel)) {
      throw new DemonstrationFault(
        `demonstration token '${tokenLabel}' is gone or its PIN file is missing; ` +
          `to start over with new keys remove ${directory} and the database`,
      )
    }
    return { module, tokenLabel, pin }
  })
  return { bank: addresses[0]!, outside: addresses[1]! }
}

function makeTokens(options: DemonstrationOptions, directory: string): void {
  const { home, module } = options
  const objects = join(directory, 'objects')
  rmSync(objects, { recursive: true, force: true }) // what an interrupted start may have left
  prepareSoftHsm(directory)
  const addresses = [BANK_TOKEN, OUTSIDE_TOKEN].map((tokenLabel): TokenAddress => {
    const pin = newPin(home, tokenLabel, 'user')
    initializeToken(module, tokenLabel, newPin(home, tokenLabel, 'officer'), pin)
    return { module, tokenLabel, pin }
  })
  if (readdirSync(objects).length < addresses.length) {
    throw new DemonstrationFault('SoftHSM was in use with another directory in this process')
  }
  const bank = TokenSession.open(addresses[0]!)
  const outside = TokenSession.open(addresses[1]!)
  try {
    makeKeys(bank, outside)
  } finally {
    bank.close() // the transport keys are session objects and go with their sessions
    outside.close()
  }
  const done = { version: 1, bank: BANK_TOKEN, outside: OUTSIDE_TOKEN, keys: DEMONSTRATION_KEYS }
  writeDurably(join(directory, DONE_FILE), `${JSON.stringify(done, null, 2)}\n`)
}

function makeKeys(bank: TokenSession, outside: TokenSession): void {
  for (const { name, usage, powers } of BANK_ONLY) {
    const shape: KeyShape = { type: 'aes', bytes: 32, powers, token: true }
    const key = bank.generate({ ...shape, label: name, id: idOf(usage, name) })
    if (usage !== 'vault') continue
    const secrets = vaultSecretsOf(bank, key, name) // makes them while no other process can
    wipe(secrets.seal, secrets.token)
  }
  const transport = openTransport(bank, outside)
  try {
    for (const plan of SHARED) {
      if (plan.usage === 'cvk') makeTwoFormKey(bank, transport, plan)
      else makeSharedKey(bank, transport, plan)
    }
  } finally {
    closeTransport(transport)
  }
}

function makeSharedKey(bank: TokenSession, transport: KeyTransport, plan: KeyPlan): void {
  const { name, usage, powers } = plan
  const marks = { token: true, label: name, id: idOf(usage, name) }
  const shape: KeyShape = { type: 'des2', powers, ...marks }
  const key = bank.generate({ ...shape, extractable: true })
  share(transport, key, shape)
}

/**
 * A key that also works as single DES: K1|K2|K1 and K1|K1|K1 derived from one random parent, which
 * is the only way to have both forms in a token without the key ever being outside.
 */
function makeTwoFormKey(bank: TokenSession, transport: KeyTransport, plan: KeyPlan): void {
  const { name, usage, powers } = plan
  const parent = bank.generate({ type: 'des3', powers: ['derive'] })
  const left = Buffer.from('4b4559204c454654', 'hex') // any two different blocks do
  const right = Buffer.from('4b45592052474854', 'hex')
  const shapeOf = (type: 'des2' | 'des3', label: string): KeyShape => {
    return { type, powers, token: true, label, id: idOf(usage, label) }
  }
  const pairShape = shapeOf('des2', name)
  const singleShape = shapeOf('des3', singleLabel(name))
  const pairData = Buffer.concat([left, right])
  const singleData = Buffer.concat([left, left, left])
  const pair = bank.deriveEcb(parent, false, pairData, { ...pairShape, extractable: true })
  const single = bank.deriveEcb(parent, false, singleData, { ...singleShape, extractable: true })
  bank.destroy(parent)
  share(transport, pair, pairShape)
  share(transport, single, singleShape)
}

/** Carries a key over, then takes the bank's copy the right to leave for ever. */
function share(transport: KeyTransport, key: KeyHandle, shape: KeyShape): void {
  const { bank, outside } = transport
  const carried = transport.carry(key, { ...shape, powers: OUTSIDE_POWERS })
  bank.forbidExtraction(key)
  if (!shape.powers.includes('encrypt')) return
  const zeros = new Uint8Array(8)
  const here = bank.ecb('encrypt', key, false, zeros)
  const there = outside.ecb('encrypt', carried, false, zeros)
  if (!equalConstantTime(here, there)) throw new DemonstrationFault('a key arrived changed')
}

function pinPath(home: string, label: string, role: 'user' | 'officer'): string {
  return join(home, 'secrets', `${label}.${role}.pin`)
}

function readPin(home: string, label: string, role: 'user' | 'officer'): string | null {
  const path = pinPath(home, label, role)
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : null
}

/** A new random PIN in its file, readable by the owner only. */
function newPin(home: string, label: string, role: 'user' | 'officer'): string {
  const pin = systemRandom.bytes(PIN_BYTES).toString('hex')
  mkdirSync(join(home, 'secrets'), { recursive: true, mode: PRIVATE_DIRECTORY })
  writeDurably(pinPath(home, label, role), `${pin}\n`)
  return pin
}

/** Writes a file so that it is there whole or not at all, mode 0600. */
function writeDurably(path: string, text: string): void {
  const temporary = `${path}.new`
  rmSync(temporary, { force: true })
  const file = openSync(temporary, 'wx', PRIVATE_FILE)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/** Waits for the lock without holding the thread. */
async function lock(directory: string): Promise<void> {
  const path = join(directory, LOCK_FILE)
  const until = systemClock.monotonicMs() + LOCK_WAIT_MS
  while (!tryLock(path)) {
    if (systemClock.monotonicMs() > until) {
      throw new DemonstrationFault(
        `another process has been preparing the demonstration tokens for too long: ${path}`,
      )
    }
    await wait(systemClock, LOCK_POLL_MS)
  }
}
