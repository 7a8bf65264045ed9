// Locks between processes by a file that appears with its holder's number in it. Used by session.ts
// (one process at a time opens a SoftHSM token) and hsm/demonstration.ts (one makes the tokens).
// A lock whose process is gone is taken over.

import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { threadId } from 'node:worker_threads'

import { systemClock } from '../../switch/runtime/clock.ts'
import { softHsmConfiguration } from './environment.ts'
import { FILE_LOCK_POLL_MS, FILE_LOCK_WAIT_MS } from './limits.ts'

const PRIVATE_FILE = 0o600

/** Takes the lock if it is free or its holder is gone. The file is linked into place whole. */
export function tryLock(path: string): boolean {
  const own = `${path}.${process.pid}.${threadId}`
  writeFileSync(own, String(process.pid), { mode: PRIVATE_FILE })
  try {
    linkSync(own, path)
    return true
  } catch {
    if (existsSync(path) && !holderLives(path)) rmSync(path, { force: true })
    return false
  } finally {
    rmSync(own, { force: true })
  }
}

/** Gives a lock back. */
export function unlock(path: string): void {
  rmSync(path, { force: true })
}

/**
 * Runs what opens or initialises a SoftHSM token while no other thread or process of ours does.
 * SoftHSM rewrites its token file at every login, not atomically: whoever reads it meanwhile sees
 * no token, no PIN, or CKR_GENERAL_ERROR, and may keep that for its whole life. Holds the calling
 * thread. A holder that needs longer than FILE_LOCK_WAIT_MS is not waited for any more.
 */
export function whileOpening<T>(open: () => T): T {
  const configuration = softHsmConfiguration()
  if (configuration === undefined) return open() // not a token directory of ours
  const path = join(dirname(configuration), 'opening.lock')
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const until = systemClock.monotonicMs() + FILE_LOCK_WAIT_MS
  while (!tryLock(path)) {
    if (systemClock.monotonicMs() > until) unlock(path)
    else Atomics.wait(pause, 0, 0, FILE_LOCK_POLL_MS)
  }
  try {
    return open()
  } finally {
    unlock(path)
  }
}

function holderLives(path: string): boolean {
  let holder: number
  try {
    holder = Number(readFileSync(path, 'utf8'))
  } catch {
    return true // released in between: the next attempt will see
  }
  if (!Number.isInteger(holder) || holder <= 0) return false // not a lock of ours
  try {
    process.kill(holder, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
