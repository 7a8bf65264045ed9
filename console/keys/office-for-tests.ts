// What the tests of officers' commands share: a real PostgreSQL, SoftHSM with the demonstration's
// keys, two officers, and how they act at a terminal. One office per test file. Used by tests only.

import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../../config/load.ts'
import { provisionDemonstration } from '../../hsm/demonstration.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { keptKeys } from '../../hsm/ceremony/token-calls.ts'
import { createKeyFile } from '../../hsm/officers/key-file.ts'
import { foundOfficer } from '../../hsm/officers/register.ts'
import { signerOf } from '../../hsm/officers/signer.ts'
import { findModule } from '../../hsm/pkcs11/module-path.ts'
import { TokenSession } from '../../hsm/pkcs11/session.ts'
import type { TokenAddress } from '../../hsm/pkcs11/session.ts'
import { sql } from '../../switch/journal/database-for-tests.ts'
import { migrate } from '../../switch/journal/migrate.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { systemRandom } from '../../switch/runtime/random.ts'
import pg from 'pg'
import { startDatabase } from '../database/embedded.ts'
import type { Database } from '../database/embedded.ts'
import { TerminalRun } from './terminal-for-tests.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))

export const PASSPHRASE = {
  alice: 'wisteria lantern 47',
  bob: 'granite sparrow 12',
  carol: 'amber tide 9000',
}
export type Name = keyof typeof PASSPHRASE

/** Two components and their sum, added by hand. */
export const C1 = '0123456789ABCDEFFEDCBA9876543210'
export const C2 = '11111111111111112222222222222222'
export const SUM = '1032547698BADCFEDCFE98BA54761032'

/** Alice proposes, bob approves. */
export const TWO = ['--officer', 'alice', '--with', 'bob'] as const

/** Check value of a 3DES key as OpenSSL computes it. */
export function kcvOf(hex: string): string {
  const value = tdesCipher(Buffer.from(hex, 'hex')).encryptEcb(new Uint8Array(8))
  return Buffer.from(value.subarray(0, 3)).toString('hex').toUpperCase()
}

export class Office {
  readonly home: string
  readonly database: Database
  readonly bank: TokenAddress
  readonly #environment: Record<string, string>

  private constructor(home: string, database: Database, bank: TokenAddress) {
    this.home = home
    this.database = database
    this.bank = bank
    this.#environment = { SWITCHYARD_HOME: home, SWITCHYARD_DATABASE_URL: database.url }
  }

  /** @param founded whether alice and bob are officers already */
  static async open(founded: boolean): Promise<Office> {
    const home = mkdtempSync(join(tmpdir(), 'switchyard-keys-'))
    chmodSync(home, 0o755)
    const database = await startDatabase({ directory: join(home, 'postgres') })
    await migrate(database.url)
    const module = findModule()
    if (module === null) throw new Error('no PKCS#11 module; scripts/setup.sh installs SoftHSM')
    const { bank } = await provisionDemonstration({ home, module })
    mkdirSync(join(home, 'officers'))
    const office = new Office(home, database, bank)
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    for (const name of ['alice', 'bob'] as const) {
      const phrase = Buffer.from(PASSPHRASE[name])
      const path = join(home, 'officers', `${name}.json`)
      const key = createKeyFile(path, name, phrase, systemRandom, 16_384) // quick to open
      if (founded) await foundOfficer(client, signerOf(key, systemClock, systemRandom))
    }
    await client.end()
    if (founded) office.plain('audit', 'checkpoint')
    return office
  }

  async close(): Promise<void> {
    await this.database.stop()
    rmSync(this.home, { recursive: true, force: true })
  }

  /** A command in a terminal. */
  terminal(...args: string[]): TerminalRun {
    return new TerminalRun(args, this.#environment)
  }

  /** A command without a terminal. */
  plain(...args: string[]): { code: number | null; out: string; err: string } {
    const env = childEnvironment(this.#environment)
    const words = [LAUNCHER, ...args]
    const done = spawnSync(process.execPath, words, { env, encoding: 'utf8', input: '' })
    return { code: done.status, out: done.stdout, err: done.stderr }
  }

  /** Labels of the token's keys that the demonstration did not make. */
  tokenLabels(): string[] {
    const session = TokenSession.open(this.bank)
    try {
      const labels = keptKeys(session).map(({ label }) => label)
      return labels.filter((label) => !label.startsWith('demo.')).sort()
    } finally {
      session.close()
    }
  }

  /** What a superuser may do behind every trigger. */
  async superuser(text: string): Promise<void> {
    const url = this.database.url
    await sql(url, `BEGIN; SET LOCAL session_replication_role = replica; ${text}; COMMIT`)
  }
}

export async function signsIn(run: TerminalRun, name: Name): Promise<void> {
  await run.answer(`Passphrase of ${name}: `, PASSPHRASE[name])
}

/** Alice proposes, bob approves. */
export async function both(run: TerminalRun): Promise<void> {
  await signsIn(run, 'alice')
  await signsIn(run, 'bob')
  await run.answer('type approve or reject: ', 'approve')
}

/** Both act, and the command ends well. */
export async function bothDo(run: TerminalRun): Promise<string> {
  await both(run)
  const code = await run.end()
  if (code !== 0) throw new Error(`ended with ${code}:\n${run.screen}`)
  return run.screen
}

/** An officer brings a component. */
export async function component(
  run: TerminalRun,
  name: Name,
  hex: string,
  kcv = kcvOf(hex),
): Promise<void> {
  await run.answer('Your name as an officer: ', name)
  await signsIn(run, name)
  await run.answer('Component: ', hex.replace(/(.{4})/g, '$1 '))
  await run.answer('Check value on your envelope (6 hex digits): ', kcv)
}
