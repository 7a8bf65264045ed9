/**
 * Lives of the switch that end in a kill: at a named point, at an instant by chance, or after its
 * database was killed.
 *
 * Used by crash.test.ts and soak.ts. Each begins by starting the switch and settling what the kill
 * before left behind.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock, wait } from '../../switch/runtime/clock.ts'
import type { CrashWorld, Ending } from './driver.ts'
import { sceneOf } from './points.ts'

/** What a life showed: how it ended, and what the books said before. */
export interface Life {
  readonly ending: Ending
  /** Disagreements left by earlier kills; null when it died before they could be compared. */
  readonly found: string[] | null
}

/** How long traffic may take to reach a point, ms. */
const REACH_MS_MAX = 12_000
/** Work before a stop or a kill by chance, ms. */
const WORK_MS = 300

/** Starts the switch so that it dies at `point`, and makes that happen. */
export async function dieAt(crash: CrashWorld, point: string, nth = 1): Promise<Life> {
  const scene = sceneOf(point)
  const started = await crash.start(`${point}:${nth}`)
  try {
    const found = started ? await crash.settle() : null
    if (started && crash.alive()) {
      const stopping = scene.stop === true
      await crash.tradeUntilDead(scene.acts, stopping ? WORK_MS : REACH_MS_MAX)
      if (stopping) await crash.world.endSwitch('SIGTERM')
    }
    crash.sinceAgreed.push(`${point}:${nth}`)
    return { ending: crash.reached(point) ? 'killed' : 'alive', found }
  } finally {
    await crash.kill()
  }
}

/** Kills the switch after a time by chance: mostly under load, sometimes while it starts. */
export async function dieByChance(crash: CrashWorld): Promise<Life> {
  const { random } = crash
  let found: string[] | null = null
  await crash.start()
  if (random.below(4) > 0) found = await crash.settle()
  const ms = random.below(WORK_MS)
  const trading = crash.tradeUntilDead([], 60_000)
  await wait(systemClock, ms)
  await crash.kill()
  await trading
  crash.sinceAgreed.push(`after ${ms} ms`)
  return { ending: 'killed', found }
}

/**
 * Kills PostgreSQL, its whole process group, under load; the switch stays.
 *
 * @returns milliseconds from the kill until a terminal was approved again
 */
export async function killDatabase(crash: CrashWorld): Promise<number> {
  const { floor, world } = crash
  let stop = false
  const trading = floor.trade([], () => stop)
  await wait(systemClock, 400 + crash.random.below(400))
  const killedMono = systemClock.monotonicMs()
  process.kill(-postmaster(world.home), 'SIGKILL')
  crash.sinceAgreed.push('the database')
  await wait(systemClock, 100) // what was answered before is not counted
  const before = approvals(crash)
  await world.until('approving again', () => approvals(crash) > before)
  const backMs = systemClock.monotonicMs() - killedMono
  await wait(systemClock, 200)
  stop = true
  await trading
  return backMs
}

/**
 * Stops PostgreSQL, its whole process group, for so long under load, and lets it go on: outcomes
 * stay unknown for a while.
 *
 * @returns milliseconds from when it goes on until a terminal was approved again
 */
export async function hangDatabase(crash: CrashWorld, ms: number): Promise<number> {
  const { floor, world } = crash
  const group = -postmaster(world.home)
  let stop = false
  const trading = floor.trade([], () => stop)
  await wait(systemClock, 400)
  process.kill(group, 'SIGSTOP')
  crash.sinceAgreed.push(`the database hung for ${ms} ms`)
  await wait(systemClock, ms)
  const before = approvals(crash)
  process.kill(group, 'SIGCONT')
  const onMono = systemClock.monotonicMs()
  await world.until('approving again', () => approvals(crash) > before)
  const backMs = systemClock.monotonicMs() - onMono
  stop = true
  await trading
  return backMs
}

function approvals(crash: CrashWorld): number {
  return crash.floor.items.filter((item) => item.belief === 'approved').length
}

/** First line of postmaster.pid; the server leads a process group of its own. */
function postmaster(home: string): number {
  const place = join(home, 'postgres')
  let data = place
  try {
    data = readFileSync(join(place, 'location'), 'utf8').trim()
  } catch {
    // it lies in the home
  }
  return Number(readFileSync(join(data, 'data', 'postmaster.pid'), 'utf8').split('\n', 1)[0])
}
