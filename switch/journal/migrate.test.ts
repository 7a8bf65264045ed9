// Migrations on a real PostgreSQL: each once, in order, unchanged, one transaction each.
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { sql, startServer } from './database-for-tests.ts'
import { migrate, MigrationError, MIGRATIONS_DIRECTORY } from './migrate.ts'

const server = await startServer()
t.teardown(() => server.stop())

const directories: string[] = []
t.teardown(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

/** A copy of the migrations that a test may spoil. */
function copy(): string {
  const directory = mkdtempSync(join(tmpdir(), 'switchyard-migrations-'))
  directories.push(directory)
  cpSync(MIGRATIONS_DIRECTORY, directory, { recursive: true })
  return directory
}

const NAMES = readdirSync(MIGRATIONS_DIRECTORY)
  .filter((name) => name.endsWith('.sql'))
  .sort()
const number = (of: number): string => String(of).padStart(4, '0')
const NEXT = number(NAMES.length + 1)
const AFTER_NEXT = number(NAMES.length + 2)

t.test('all are applied once, and a second run does nothing', async (t) => {
  const url = await server.newDatabase()
  t.same(await migrate(url), NAMES)
  t.same(await migrate(url), [])
  const query = 'SELECT name FROM schema_migration ORDER BY version'
  const applied = await sql<{ name: string }>(url, query)
  t.same(applied.map((row) => row.name), NAMES)
})

t.test('several nodes that start at once migrate once', async (t) => {
  const url = await server.newDatabase()
  const done = await Promise.all([migrate(url), migrate(url), migrate(url)])
  t.same(done.map((names) => names.length).sort(), [0, 0, NAMES.length])
})

t.test('a file changed after it was applied is refused by name', async (t) => {
  const url = await server.newDatabase()
  const directory = copy()
  await migrate(url, directory)
  writeFileSync(join(directory, '0003-cards.sql'), '-- quietly something else\n')
  await t.rejects(migrate(url, directory), {
    name: 'MigrationError',
    message: /^migration 0003-cards\.sql was changed after it was applied .*: restore the file/,
  })
  t.same(await migrate(url), [], 'the database was left as it is')
})

t.test('a database of a newer program is refused', async (t) => {
  const url = await server.newDatabase()
  const directory = copy()
  writeFileSync(join(directory, `${NEXT}-later.sql`), 'CREATE TABLE later (n int);')
  await migrate(url, directory)
  await t.rejects(migrate(url), { message: new RegExp(`${NEXT}-later\\.sql, which this program does not know`) })
})

t.test('a file that fails is undone whole, and those before it stay', async (t) => {
  const url = await server.newDatabase()
  const directory = copy()
  writeFileSync(join(directory, `${NEXT}-bad.sql`), 'CREATE TABLE half (n int); SELECT 1 / 0;')
  await t.rejects(migrate(url, directory), {
    message: new RegExp(`^migration ${NEXT}-bad\\.sql failed and was undone: division by zero`),
  })
  const found = `SELECT to_regclass('half') AS half, to_regclass('txn') IS NOT NULL AS txn`
  t.same(await sql(url, found), [{ half: null, txn: true }])
  writeFileSync(join(directory, `${NEXT}-bad.sql`), 'CREATE TABLE half (n int);')
  t.same(await migrate(url, directory), [`${NEXT}-bad.sql`], 'it was never applied, so it may change')
})

t.test('gaps and strange names are refused before anything is done', async (t) => {
  const url = await server.newDatabase()
  const gap = copy()
  writeFileSync(join(gap, `${AFTER_NEXT}-too-far.sql`), 'SELECT 1;')
  await t.rejects(migrate(url, gap), new MigrationError(
    `migration ${NEXT} is missing or doubled: found ${AFTER_NEXT}-too-far.sql there`))
  const strange = copy()
  writeFileSync(join(strange, 'notes.txt'), '')
  await t.rejects(migrate(url, strange), { message: /^notes\.txt is not a migration/ })
  t.same(await sql(url, `SELECT to_regclass('txn') AS txn`), [{ txn: null }])
})
