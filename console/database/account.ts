// Under which account and from which place PostgreSQL runs.
// PostgreSQL refuses to run as root, so a root start hands it to an unprivileged account; that
// account must be able to reach the binaries and the data. Used by embedded.ts only.
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** Whom the child runs as; `ids` is empty when that is whoever runs this process. */
export interface Account {
  readonly name: string
  readonly ids: { readonly uid: number; readonly gid: number } | Record<string, never>
}

/** The programs of PostgreSQL that are used. */
export interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** Where a root start puts what an unprivileged account must reach. */
export const REACHABLE = '/var/lib/switchyard'

/** In the home's database directory: where the data really is, when that is elsewhere. */
const LOCATION_FILE = 'location'

const ROOT_ACCOUNTS = ['postgres', 'nobody'] as const

/**
 * The account for the child: ourselves, or when root the owner of existing data, else the
 * machine's `postgres` account, else `nobody`.
 *
 * @param data the data directory, existing or not
 * @throws Error when the data belongs to somebody this process may not act for
 */
export function accountFor(data: string): Account {
  const owner = existsSync(data) ? statSync(data) : undefined
  if (process.getuid?.() !== 0) {
    if (owner !== undefined && owner.uid !== process.getuid?.()) {
      throw new Error(
        `${data} belongs to account ${owner.uid} (made by an earlier start, as root?); ` +
          'run as that account, or set SWITCHYARD_HOME to another directory',
      )
    }
    return { name: 'this account', ids: {} }
  }
  if (owner !== undefined && owner.uid !== 0) {
    return { name: `account ${owner.uid}`, ids: { uid: owner.uid, gid: owner.gid } }
  }
  for (const name of ROOT_ACCOUNTS) {
    const uid = idOf(name, '-u')
    const gid = idOf(name, '-g')
    if (uid !== undefined && gid !== undefined) return { name, ids: { uid, gid } }
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and there is no account postgres or nobody; ' +
      'run as another account, or set SWITCHYARD_DATABASE_URL',
  )
}

/**
 * The directory that holds the data: the home's own, or, when the account cannot get there (a home
 * below a directory that only root may enter), a new one below REACHABLE, remembered in the home.
 *
 * @param directory the home's database directory; exists
 */
export function placeFor(directory: string): string {
  const recorded = recordedPlace(directory)
  if (recorded !== undefined) return recorded
  if (canEnter(accountFor(join(directory, 'data')), directory)) return directory
  // The name tells whose it is; the random part keeps a removed home's data from coming back.
  const hash = createHash('sha256').update(directory).digest('hex').slice(0, 12)
  const place = join(REACHABLE, `${hash}-${randomBytes(3).toString('hex')}`)
  makeDirectory(REACHABLE, 0o755)
  makeDirectory(place, 0o711)
  writeFileSync(join(place, 'home'), `${directory}\n`)
  writeWhole(join(directory, LOCATION_FILE), `${place}\n`, 0o644)
  return place
}

/** Where the data of this home is, or undefined when it has none yet. */
export function recordedPlace(directory: string): string | undefined {
  const record = join(directory, LOCATION_FILE)
  if (existsSync(record)) return readFileSync(record, 'utf8').trim()
  return existsSync(join(directory, 'data')) ? directory : undefined
}

/**
 * Programs that the account can run: those in node_modules, or a copy below REACHABLE, one per
 * version.
 *
 * @param packaged the programs inside node_modules
 */
export function binariesFor(account: Account, packaged: Binaries): Binaries {
  if (runs(account, packaged.postgres)) return packaged
  if (process.getuid?.() !== 0) throw new Error(`${packaged.postgres} does not run; run: npm start`)
  const native = dirname(dirname(packaged.postgres))
  const stat = statSync(packaged.postgres)
  const version = createHash('sha256').update(`${stat.size} ${stat.mtimeMs}`).digest('hex')
  const copy = join(REACHABLE, `postgresql-${version.slice(0, 12)}`)
  if (!existsSync(copy)) {
    makeDirectory(REACHABLE, 0o755)
    const part = `${copy}.${randomBytes(3).toString('hex')}`
    cpSync(native, part, { recursive: true, verbatimSymlinks: true })
    openToAll(part)
    if (existsSync(copy)) rmSync(part, { recursive: true })
    else renameSync(part, copy) // whole or not at all
  }
  const moved = (path: string): string => join(copy, 'bin', basename(path))
  const binaries = { initdb: moved(packaged.initdb), postgres: moved(packaged.postgres) }
  if (!runs(account, binaries.postgres)) {
    throw new Error(`${account.name} cannot run ${binaries.postgres}; is ${REACHABLE} noexec?`)
  }
  return binaries
}

/** Makes a directory (and those above it) and gives it exactly this mode, whatever the umask. */
export function makeDirectory(path: string, mode: number): void {
  if (existsSync(path)) return
  mkdirSync(path, { recursive: true })
  chmodSync(path, mode)
}

/** Writes a file so that a reader finds the old text or the new one, never half of it. */
export function writeWhole(path: string, text: string, mode: number): void {
  const part = `${path}.new`
  rmSync(part, { force: true })
  writeFileSync(part, text, { mode, flush: true })
  const { uid, gid } = statSync(dirname(path))
  if (process.getuid?.() === 0) chownSync(part, uid, gid)
  renameSync(part, path)
}

/** The same place by the same name, however it was reached; made when missing. */
export function resolvedDirectory(path: string): string {
  makeDirectory(path, 0o711)
  return realpathSync(path)
}

function canEnter(account: Account, directory: string): boolean {
  const args = ['-c', 'cd -- "$1"', 'sh', directory]
  return spawnSync('/bin/sh', args, { ...account.ids, cwd: '/' }).status === 0
}

function runs(account: Account, program: string): boolean {
  return spawnSync(program, ['--version'], { ...account.ids, cwd: '/', env: {} }).status === 0
}

function idOf(name: string, flag: '-u' | '-g'): number | undefined {
  const answer = spawnSync('id', [flag, name], { encoding: 'utf8' })
  const id = Number.parseInt(answer.stdout, 10)
  return answer.status === 0 && id > 0 ? id : undefined
}

/** Readable and enterable for everyone: the copy holds no secrets. */
function openToAll(path: string): void {
  spawnSync('chmod', ['-R', 'a+rX', path])
}
