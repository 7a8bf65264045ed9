/**
 * Brings a database to this program's schema: plain SQL files, in order, each once.
 *
 * Called by `switchyard start`, by tests and by `switchyard database migrate`. A file that was
 * applied must never change: its SHA-256 is kept and compared. It must never guess: anything
 * unexpected is a refusal.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { CONNECT_TIMEOUT_MS } from './limits.ts'

/** Where the program's own migrations lie. */
export const MIGRATIONS_DIRECTORY = fileURLToPath(new URL('./migrations', import.meta.url))

/**
 * Any number, the same for every version of this program: two starting nodes migrate one after the
 * other.
 */
const MIGRATION_LOCK = 8_583_001

/** How long a second starting node waits for the first one's migrations. */
const MIGRATION_LOCK_TIMEOUT_MS = 60_000

const FILE_NAME = /^([0-9]{4})-[a-z0-9-]+\.sql$/

/** Why a database was refused. The message names the file and what to do, never data. */
export class MigrationError extends Error {
  readonly code = 'migration_refused'

  constructor(message: string) {
    super(message)
    this.name = 'MigrationError'
  }
}

interface Migration {
  version: number
  name: string
  sql: string
  checksum: string
}

/**
 * Applies what is missing, each file in one transaction, under an advisory lock.
 *
 * @param url of the database
 * @param directory of the files NNNN-name.sql, numbered from 0001 without gaps
 * @returns names of the files applied now; empty when there was nothing to do
 * @throws MigrationError for a changed, missing, failed or misnamed file
 */
export async function migrate(url: string, directory = MIGRATIONS_DIRECTORY): Promise<string[]> {
  const wanted = readMigrations(directory)
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    lock_timeout: MIGRATION_LOCK_TIMEOUT_MS,
    application_name: 'switchyard migrate',
  })
  client.on('error', () => {}) // a lost connection also rejects the query in hand
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK])
    await client.query(
      `CREATE TABLE IF NOT EXISTS schema_migration (
         version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
         applied_at timestamptz NOT NULL DEFAULT now())`,
    )
    const applied = await client.query<{ version: number; name: string; checksum: string }>(
      'SELECT version, name, checksum FROM schema_migration ORDER BY version',
    )
    for (const row of applied.rows) compare(row, wanted[row.version - 1])
    const missing = wanted.slice(applied.rows.length)
    for (const migration of missing) await apply(client, migration)
    return missing.map((migration) => migration.name)
  } finally {
    await client.end() // which also gives the advisory lock back
  }
}

/** Reads and orders the files; refuses gaps and strange names. */
function readMigrations(directory: string): Migration[] {
  const names = readdirSync(directory).sort()
  return names.map((name, index) => {
    const match = FILE_NAME.exec(name)
    if (match === null) {
      throw new MigrationError(`${name} is not a migration: name it NNNN-what-it-does.sql`)
    }
    const version = Number(match[1])
    if (version !== index + 1) {
      const expected = String(index + 1).padStart(4, '0')
      throw new MigrationError(`migration ${expected} is missing or doubled: found ${name} there`)
    }
    const sql = readFileSync(join(directory, name), 'utf8')
    return { version, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
  })
}

/** Refuses when the database holds something else than the files say. */
function compare(
  row: { version: number; name: string; checksum: string },
  migration: Migration | undefined,
): void {
  if (migration === undefined) {
    throw new MigrationError(
      `the database has migration ${row.name}, which this program does not know: ` +
        'it belongs to a newer version; start that one',
    )
  }
  if (migration.checksum !== row.checksum || migration.name !== row.name) {
    throw new MigrationError(
      `migration ${migration.name} was changed after it was applied as ${row.name} ` +
        `(sha256 ${migration.checksum.slice(0, 12)}, applied ${row.checksum.slice(0, 12)}): ` +
        'restore the file and put the change into a new one',
    )
  }
}

async function apply(client: Client, migration: Migration): Promise<void> {
  try {
    await client.query('BEGIN')
    await client.query(migration.sql)
    await client.query(
      'INSERT INTO schema_migration (version, name, checksum) VALUES ($1, $2, $3)',
      [migration.version, migration.name, migration.checksum],
    )
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {}) // without a connection it is undone anyway
    const why = error instanceof Error ? error.message : 'unknown'
    throw new MigrationError(`migration ${migration.name} failed and was undone: ${why}`)
  }
}
