// What an officers' command works with: database, token, terminal, configuration; opened when
// needed and closed at the end, with a signed checkpoint over what the command did. Used by
// console/keys/ and console/audit/. It must never print the database's address or a PIN.

import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import pg from 'pg'

import { addCheckpoint, readHead } from '../../audit/store.ts'
import { CheckpointFileFault } from '../../audit/checkpoint-file.ts'
import { environment, loadConfig } from '../../config/load.ts'
import type { SwitchConfig } from '../../config/schema.ts'
import { auditSigner } from '../../hsm/ceremony/token-calls.ts'
import type { CombinePlace } from '../../hsm/ceremony/staged-key.ts'
import { KeyFileFault } from '../../hsm/officers/key-file.ts'
import { OfficerRefusal } from '../../hsm/officers/refusal.ts'
import { useSoftHsmConfiguration } from '../../hsm/pkcs11/environment.ts'
import { findModule, SOFTHSM_PATHS, SOFTOKN_PATHS } from '../../hsm/pkcs11/module-path.ts'
import { TokenSession } from '../../hsm/pkcs11/session.ts'
import type { TokenAddress } from '../../hsm/pkcs11/session.ts'
import { TokenFault } from '../../hsm/pkcs11/vendor-errors.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { CommandFailed } from '../help.ts'
import { recordedDatabase } from '../start/run-state.ts'
import { Terminal } from './terminal.ts'

/** Commands that change keys in the token do so one after the other; any number. */
const TOKEN_LOCK = 8_583_002

/** Where a command works; a rehearsal brings its own. */
export interface DeskPlace {
  readonly home: string
  readonly databaseUrl: string
  readonly address: () => TokenAddress
  readonly kbpk: string
  /** Whether components may be added up in this process where the token cannot. */
  readonly clearComponents: boolean
  readonly rehearsal: boolean
  readonly close: () => Promise<void>
}

export class Desk {
  readonly place: DeskPlace
  readonly sql: pg.Client
  #terminal: Terminal | null = null
  #session: TokenSession | null = null

  constructor(place: DeskPlace, sql: pg.Client) {
    this.place = place
    this.sql = sql
  }

  get terminal(): Terminal {
    this.#terminal ??= Terminal.open()
    return this.#terminal
  }

  /** The token, logged in. Throws TokenFault or CommandFailed. */
  get session(): TokenSession {
    if (this.#session === null || this.#session.broken) {
      this.#session?.close()
      this.#session = TokenSession.open(this.place.address())
    }
    return this.#session
  }

  get checkpointPath(): string {
    return join(this.place.home, 'audit', 'checkpoints.jsonl')
  }

  /** Where components are added up, or a refusal that says which word is missing. */
  combinePlace(inToken: boolean): CombinePlace {
    if (inToken) return 'token'
    if (this.place.clearComponents) return 'buffer'
    throw new CommandFailed(
      'this token cannot add components up inside',
      'use one that can, or set token.clear_components_in_worker: accepted and say why',
    )
  }

  /** Runs what changes the token while no other officers' command does. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    await this.sql.query('SELECT pg_advisory_lock($1)', [TOKEN_LOCK])
    try {
      return await work()
    } finally {
      await this.sql.query('SELECT pg_advisory_unlock($1)', [TOKEN_LOCK])
    }
  }

  /** Signs a checkpoint over everything so far. */
  async checkpoint(): Promise<{ seq: number; hash: string }> {
    const signer = auditSigner(this.session)
    await addCheckpoint(this.sql, signer, this.checkpointPath, systemClock.wallMs())
    return readHead(this.sql)
  }

  async close(): Promise<void> {
    this.#terminal?.close()
    this.#session?.close()
    await this.sql.end().catch(() => undefined)
    await this.place.close()
  }
}

/** Opens the configured desk, works at it, signs what was done, closes it. */
export async function atDesk<T>(
  configPath: string | undefined,
  work: (desk: Desk) => Promise<T>,
): Promise<T> {
  return workAt(await configuredPlace(configPath), work)
}

/** Works at a place; errors come out as CommandFailed. */
export async function workAt<T>(place: DeskPlace, work: (desk: Desk) => Promise<T>): Promise<T> {
  const sql = new pg.Client({
    connectionString: place.databaseUrl,
    application_name: 'switchyard keys',
  })
  sql.on('error', () => undefined) // the query in hand rejects as well
  const desk = new Desk(place, sql)
  try {
    await sql.connect()
    const before = await readHead(sql)
    try {
      return await work(desk)
    } finally {
      await sealed(desk, before.seq)
    }
  } catch (error) {
    throw failureOf(error)
  } finally {
    await desk.close()
  }
}

/** A checkpoint when the command added events; what it did stands either way. */
async function sealed(desk: Desk, before: number): Promise<void> {
  try {
    if ((await readHead(desk.sql)).seq > before) await desk.checkpoint()
  } catch (error) {
    const why = failureOf(error).message
    process.stderr.write(
      `switchyard: no checkpoint was signed (${why}); run: switchyard audit checkpoint\n`,
    )
  }
}

function failureOf(error: unknown): Error {
  if (error instanceof OfficerRefusal) return new CommandFailed(error.message, error.next)
  if (error instanceof KeyFileFault || error instanceof CheckpointFileFault) {
    return new CommandFailed(error.message)
  }
  if (error instanceof TokenFault) {
    return new CommandFailed(`the token refuses: ${error.code}`, 'see: switchyard hsm status')
  }
  const code = (error as { code?: unknown } | null)?.code
  if (code === '42P01') {
    const next = 'start the switch of this version once; it brings the database up to date'
    return new CommandFailed('the database has no tables for officers yet', next)
  }
  if (code === 'ECONNREFUSED') return new CommandFailed('the database does not answer')
  return error instanceof Error ? error : new Error('unknown error')
}

async function configuredPlace(configPath: string | undefined): Promise<DeskPlace> {
  const { config, home } = loadConfig(configPath ?? environment().configPath)
  const { url, stop } = await findDatabase(home)
  return {
    home,
    databaseUrl: url,
    address: () => addressOf(config, home),
    kbpk: `${config.demonstration ? 'demo.' : ''}kbpk`,
    // Keys of a demonstration are worth nothing; elsewhere the configuration must say the word.
    clearComponents:
      config.demonstration || config.token.clear_components_in_worker === 'accepted',
    rehearsal: false,
    close: stop,
  }
}

async function findDatabase(home: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const known = environment().databaseUrl ?? recordedDatabase(home)
  if (known !== null) return { url: known, stop: () => Promise.resolve() }
  const directory = join(home, 'database')
  if (!existsSync(directory)) {
    const next = 'start the switch (npm start), or set SWITCHYARD_HOME or SWITCHYARD_DATABASE_URL'
    throw new CommandFailed(`there is no database in ${home}`, next)
  }
  process.stderr.write('switchyard: the switch is stopped; its database is started for this\n')
  const { startDatabase } = await import('../database/embedded.ts')
  const database = await startDatabase({ directory }).catch((error: unknown) => {
    throw new CommandFailed(error instanceof Error ? error.message : 'the database does not start')
  })
  return { url: database.url, stop: () => database.stop() }
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
    throw new CommandFailed(`token '${token.label}' has no PIN file`, 'see: switchyard hsm status')
  }
  return { module, tokenLabel: token.label, pin: readFileSync(pinFile, 'utf8').trim() }
}
