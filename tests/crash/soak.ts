/**
 * A long run of kills, with progress:
 * `node tests/crash/soak.ts --kills N --seed S [--database N] [--hangs N] [--only BEGINNING]`.
 *
 * Kills at points (each point in turn, at the first to fifth time it is reached) and at instants by
 * chance, one by one, and the database now and then. Ends with exit code 1 at the first
 * disagreement and prints the seed and the kills since the books last agreed; the data directory
 * then stays for inspection.
 */

import { parseArgs } from 'node:util'
import { systemClock, wait } from '../../switch/runtime/clock.ts'
import { CrashWorld } from './driver.ts'
import { dieAt, dieByChance, hangDatabase, killDatabase } from './lives.ts'
import { pointsInSource } from './points.ts'

/**
 * The supervisor of the embedded database forgives its death after a minute; more would be its
 * limit, not ours.
 */
const DATABASE_REST_MS = 61_000
const NTH_MAX = 5
/** Points that only a start or a stop passes, once or twice. */
const ONCE = /^(start|drain|recovery|sign_on|sign_off|numbers|link)\./

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    database: { type: 'string', default: '0' },
    hangs: { type: 'string', default: '0' }, // of the database, from 1 to 15 s
    only: { type: 'string', default: '' }, // points whose names begin so
  },
})
const kills = Number(values.kills)
const seed = Number(values.seed)
const databaseKills = Number(values.database)
const began = systemClock.monotonicMs()
const crash = await CrashWorld.make(seed)
const points = pointsInSource().filter((point) => point.startsWith(values.only))
const reached = new Map<string, number>()

function say(text: string): void {
  const seconds = ((systemClock.monotonicMs() - began) / 1000).toFixed(0)
  process.stdout.write(`${seconds} s: ${text}\n`)
}

/** Says what differs and leaves everything as it is for inspection. */
async function stopAt(found: readonly string[]): Promise<never> {
  say(`seed ${seed}: the books disagree after ${crash.sinceAgreed.join(', ')}`)
  for (const one of found) say(`  ${one}`)
  say(`data stays in ${crash.world.home}`)
  await crash.kill()
  await crash.world.database.stop()
  process.exit(1)
}

for (let kill = 0; kill < kills; kill++) {
  const byPoint = kill % 2 === 0
  const point = points[(kill / 2) % points.length] ?? ''
  const nth = ONCE.test(point) ? 1 : 1 + crash.random.below(NTH_MAX)
  const life = byPoint ? await dieAt(crash, point, nth) : await dieByChance(crash)
  if (byPoint && life.ending === 'killed') reached.set(point, (reached.get(point) ?? 0) + 1)
  if (life.found !== null && life.found.length > 0) await stopAt(life.found)
  if (byPoint && life.ending === 'alive') say(`${point}:${nth} was not reached`)
  const { length } = crash.floor.items
  if ((kill + 1) % 10 === 0) say(`${kill + 1} of ${kills} kills, ${length} transactions`)
}
await crash.start()
for (let kill = 0; kill < databaseKills; kill++) {
  if (kill > 0 && kill % 4 === 0) await wait(systemClock, DATABASE_REST_MS)
  const backMs = await killDatabase(crash)
  const found = await crash.settle()
  const ended = ['the switch ended with its database']
  if (found === null || found.length > 0) await stopAt(found ?? ended)
  const back = Math.round(backMs)
  say(`database killed ${kill + 1} of ${databaseKills}: approving again after ${back} ms`)
}
for (let hang = 0; hang < Number(values.hangs); hang++) {
  const ms = 1_000 + crash.random.below(14_000)
  const backMs = await hangDatabase(crash, ms)
  const hung = await crash.settle()
  if (hung === null || hung.length > 0) await stopAt(hung ?? ['the switch ended with its database'])
  say(`database hung for ${ms} ms: approving again after ${Math.round(backMs)} ms`)
}
const found = await crash.settle()
if (found === null || found.length > 0) await stopAt(found ?? ['the switch is not there'])
const least = Math.min(...points.map((point) => reached.get(point) ?? 0))
const sold = crash.floor.items.length
say(`${sold} transactions, the books agree; each of ${points.length} points ${least} times or more`)
await crash.close()
