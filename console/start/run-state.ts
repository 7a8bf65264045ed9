// What a running start leaves for others to find, below <home>/run: which processes it has, and the
// address of its database for commands such as `txn show`. Written by the supervisor, read by the
// operators' commands and by the next start. The files are for their owner only (mode 0600), since
// the address holds the database's password; it must never be printed.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const DATABASE = 'database.json'
const PROCESSES = 'processes.json'

/** A process of a start, by the name that people see. */
export interface ProcessRecord {
  readonly name: string
  readonly pid: number
}

/** Notes where the database is. @param url with password */
export function recordDatabase(home: string, url: string): void {
  writeWhole(home, DATABASE, { url, supervisor: process.pid })
}

/** The database of the start that runs, or null when none does. */
export function recordedDatabase(home: string): string | null {
  const found = read(home, DATABASE) as { url?: unknown; supervisor?: unknown } | null
  if (typeof found?.url !== 'string' || typeof found.supervisor !== 'number') return null
  return isOurs(found.supervisor) ? found.url : null
}

/** Where the children are noted. */
export function processesFile(home: string): string {
  return join(home, 'run', PROCESSES)
}

/** Notes the children, so that a start after kill -9 can wait for them to end. */
export function recordProcesses(home: string, processes: readonly ProcessRecord[]): void {
  writeWhole(home, PROCESSES, processes)
}

/** Children of an earlier start that still run. */
export function survivors(home: string): ProcessRecord[] {
  const found = read(home, PROCESSES)
  if (!Array.isArray(found)) return []
  return (found as ProcessRecord[]).filter(({ pid }) => Number.isInteger(pid) && isOurs(pid))
}

/** Removes what a start left; called when it ends and, for a killed one, by the next. */
export function clearRunState(home: string): void {
  for (const name of [DATABASE, PROCESSES]) rmSync(join(home, 'run', name), { force: true })
}

/**
 * True when the process runs and is a `switchyard` command: a number in an old file may by now
 * belong to a stranger, whom nobody here may wait for or end.
 */
export function isOurs(pid: number): boolean {
  try {
    const args = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')
    return args.some((word) => /(^|\/)(switchyard(\.js)?)$/.test(word))
  } catch {
    return false
  }
}

function read(home: string, name: string): unknown {
  try {
    return JSON.parse(readFileSync(join(home, 'run', name), 'utf8'))
  } catch {
    return null // absent, or not readable for this user: the same to who asks
  }
}

/** Under another name first: a reader finds the old file or the new one, never half of one. */
function writeWhole(home: string, name: string, value: unknown): void {
  const directory = join(home, 'run')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, name)
  writeFileSync(`${path}.new`, `${JSON.stringify(value)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}
