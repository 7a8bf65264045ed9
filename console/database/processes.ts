// Finds and ends PostgreSQL processes that belong to one data directory.
// Used by embedded.ts when an earlier start was killed: its postmaster may still run, or its
// backends may outlive it and hold the shared memory. It must never touch a process of another
// data directory: the only evidence it accepts is the process's own directory or arguments.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { wait, type Clock } from '../../switch/runtime/clock.ts'

const POLL_MS = 20
const NAMES = new Set(['postgres', 'initdb', 'pg_ctl'])

/** How long each signal may take before the next, harsher one; milliseconds. */
export interface Patience {
  readonly fastMs: number
  readonly immediateMs: number
  readonly killMs: number
}

/**
 * Fast shutdown rolls back what is open and writes a checkpoint: a slow disk may need long for it.
 * Immediate shutdown only has to reap children. SIGKILL waits for the kernel alone.
 */
export const PATIENCE: Patience = { fastMs: 20_000, immediateMs: 5_000, killMs: 5_000 }

/**
 * Ids of live PostgreSQL processes of this data directory.
 *
 * @param data resolved absolute path of the data directory
 */
export function processesOf(data: string): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc')) {
    if (/^[0-9]+$/.test(name) && belongs(name, data)) found.push(Number(name))
  }
  return found
}

/** True while a process with this id exists and is no zombie. */
export function isAlive(pid: number): boolean {
  const stat = readOrEmpty(`/proc/${pid}/stat`)
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
  return stat !== '' && state !== 'Z' && state !== 'X'
}

/**
 * Ends every process of the data directory: first the postmaster with a fast shutdown, then all of
 * them immediately, then by force. Returns when none is left.
 *
 * @param data resolved absolute path of the data directory
 * @param postmaster its process id, when known
 * @throws Error when some survive SIGKILL (in the kernel, on a dead disk)
 */
export async function endProcessesOf(
  data: string,
  postmaster: number | undefined,
  clock: Clock,
  patience: Patience = PATIENCE,
): Promise<void> {
  if (postmaster !== undefined && processesOf(data).includes(postmaster)) {
    signal(postmaster, 'SIGINT')
    if (await goneWithin(data, patience.fastMs, clock)) return
    signal(postmaster, 'SIGQUIT')
  } else {
    for (const pid of processesOf(data)) signal(pid, 'SIGQUIT')
  }
  if (await goneWithin(data, patience.immediateMs, clock)) return
  for (const pid of processesOf(data)) signal(pid, 'SIGKILL')
  if (await goneWithin(data, patience.killMs, clock)) return
  throw new Error(`PostgreSQL processes cannot be ended: ${processesOf(data).join(' ')}`)
}

async function goneWithin(data: string, limitMs: number, clock: Clock): Promise<boolean> {
  const untilMs = clock.monotonicMs() + limitMs
  while (processesOf(data).length > 0) {
    if (clock.monotonicMs() >= untilMs) return false
    await wait(clock, POLL_MS)
  }
  return true
}

function belongs(pid: string, data: string): boolean {
  if (!NAMES.has(readOrEmpty(`/proc/${pid}/comm`).trim()) || !isAlive(Number(pid))) return false
  // Backends overwrite their arguments with a title, but keep the data directory as their own.
  if (linkOrEmpty(`/proc/${pid}/cwd`) === data) return true
  const args = readOrEmpty(`/proc/${pid}/cmdline`).split('\0')
  return args.includes(data) || args.includes(`--pgdata=${data}`)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // Gone meanwhile, which is what was wanted; a survivor is noticed by goneWithin.
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function linkOrEmpty(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
