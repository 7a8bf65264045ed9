/**
 * kill -9 of the switch at every named point, at instants by chance, and of its database:
 * afterwards three books agree.
 *
 * The switch is the real process, started by the usual command; PostgreSQL, token and sockets are
 * real. Terminals and schemes survive and do what theirs do: reverse what they did not hear of.
 * reliability.md T2, R2. A longer run: `node tests/crash/soak.ts --kills N --seed S`.
 */

import { readFileSync } from 'node:fs'
import t from 'tap'
import { CrashWorld } from './crash/driver.ts'
import { dieAt, dieByChance, killDatabase } from './crash/lives.ts'
import { pointsInSource } from './crash/points.ts'

const FILE_MS_MAX = 600_000
const KILLS_BY_CHANCE = Number(process.env['SWITCHYARD_TEST_KILLS'] ?? 5)
const DATABASE_KILLS = 2
const SEED = Number(process.env['SWITCHYARD_TEST_SEED'] ?? 20_261_122)

t.setTimeout(FILE_MS_MAX)
const points = [...new Set(pointsInSource())]
const crash = await CrashWorld.make(SEED)
t.teardown(() => crash.close())
t.comment(`seed ${SEED}`)

/** What a disagreement may come from. */
function told(): string {
  return `the books agree after ${crash.sinceAgreed.join(', ') || 'no kill'}; seed ${SEED}`
}

t.test('crash points are many, well named and each in one place', async (t) => {
  t.ok(points.length >= 40, `${points.length} points`)
  t.same(pointsInSource(), points, 'each name stands in one place')
  for (const point of points) t.match(point, /^[a-z]+(_[a-z]+)*\.(before|after)(_[a-z]+)+$/)
})

t.test('docs/reliability.md names every crash point, and no other', async (t) => {
  const page = readFileSync(new URL('../docs/reliability.md', import.meta.url), 'utf8')
  const found = page.matchAll(/`([a-z_]+\.(?:before|after)_[a-z_]+)`/g)
  const listed = [...found].map((match) => match[1])
  t.same(listed.sort(), points.toSorted())
})

t.test('a crash point that is not name:nth is refused at start', async (t) => {
  const starting = crash.world.startSwitch({ SWITCHYARD_CRASH_AT: 'outcome.after_commit' })
  await t.rejects(starting, /SWITCHYARD_CRASH_AT is not name:nth/)
})

for (const point of points) {
  t.test(`killed at ${point}: the point is reached, and what came before is in order`, async (t) => {
    t.setTimeout(60_000)
    const { ending, found } = await dieAt(crash, point)
    t.same(found ?? [], [], told()) // null: it died before they could be compared
    t.equal(ending, 'killed', 'the point was reached')
  })
}

for (let kill = 1; kill <= KILLS_BY_CHANCE; kill++) {
  t.test(`killed by chance, ${kill} of ${KILLS_BY_CHANCE}: the books agree`, async (t) => {
    t.setTimeout(60_000)
    t.same((await dieByChance(crash)).found ?? [], [], told())
  })
}

t.test('after the last kill the books agree, and every kind of trade was among it', async (t) => {
  t.setTimeout(60_000)
  await crash.start()
  t.same(await crash.settle(), [], told())
  const { items } = crash.floor
  for (const where of ['pos', 'atm', 'cups'] as const) {
    for (const belief of ['approved', 'reversed'] as const) {
      const count = items.filter((item) => item.where === where && item.belief === belief).length
      t.ok(count > 0, `${where} ${belief}: ${count}`)
    }
  }
  t.ok(crash.compared > points.length / 4, `the books were compared ${crash.compared} times`)
})

for (let kill = 1; kill <= DATABASE_KILLS; kill++) {
  t.test(`PostgreSQL is killed under load, ${kill} of ${DATABASE_KILLS}: back by itself, nothing lost or doubled`, async (t) => {
    t.setTimeout(60_000)
    const backMs = await killDatabase(crash)
    t.comment(`approving again after ${Math.round(backMs)} ms`)
    t.same(await crash.settle(), [])
    t.ok(crash.alive(), 'the switch is the same process')
  })
}
