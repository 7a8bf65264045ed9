// Times of network messages in their zones, and the pauses between dials.
import t from 'tap'
import { seededRandom } from '../runtime/random.ts'
import { Backoff } from './backoff.ts'
import { hourMinuteSecond, LocalTime, monthDay, yearDayHour } from './local-time.ts'

/** `want` is local date and time, MMDDhhmmss; computed with GNU date in that zone. */
const INSTANTS = [
  {
    name: 'Shanghai is eight hours ahead', zone: 'Asia/Shanghai', at: '2026-01-05T08:00:00Z',
    want: '0105160000', source: 'TZ database, no summer time since 1991',
  },
  {
    name: 'the last second of the year here is next year there', zone: 'Asia/Shanghai',
    at: '2026-12-31T16:00:00Z', want: '0101000000', source: 'behaviours.md 82',
  },
  {
    name: 'leap day', zone: 'Asia/Shanghai', at: '2028-02-28T16:00:01Z', want: '0229000001',
    source: 'behaviours.md 82',
  },
  {
    name: 'a second before summer time', zone: 'Europe/Berlin', at: '2026-03-29T00:59:59Z',
    want: '0329015959', source: 'EU rule: 01:00 UTC',
  },
  {
    name: 'summer time', zone: 'Europe/Berlin', at: '2026-03-29T01:00:00Z', want: '0329030000',
    source: 'EU rule: 01:00 UTC',
  },
  {
    name: 'an offset of three quarters of an hour', zone: 'Asia/Kathmandu',
    at: '2026-01-05T08:00:00Z', want: '0105134500', source: 'UTC+5:45',
  },
] as const

t.test('an instant reads as its zone counts it, also right after another one', async (t) => {
  const zones = new Map<string, LocalTime>()
  for (const { name, zone, at, want } of INSTANTS) {
    const local = zones.get(zone) ?? new LocalTime(zone)
    zones.set(zone, local)
    const wallMs = Date.parse(at)
    const zoned = wallMs + local.offsetMs(wallMs)
    t.equal(monthDay(zoned) + hourMinuteSecond(zoned), want, name)
  }
})

t.test('the zone is asked once per quarter of an hour', async (t) => {
  const local = new LocalTime('Asia/Shanghai')
  let asked = 0
  const original = Intl.DateTimeFormat.prototype.formatToParts
  Intl.DateTimeFormat.prototype.formatToParts = function (date) {
    asked++
    return original.call(this, date)
  }
  t.teardown(() => {
    Intl.DateTimeFormat.prototype.formatToParts = original
  })
  const start = Date.parse('2026-01-05T08:00:00Z')
  for (let ms = 0; ms < 900_000; ms += 1_000) local.offsetMs(start + ms)
  t.equal(asked, 1)
  local.offsetMs(start + 900_000)
  t.equal(asked, 2)
})

t.test('a zone that does not exist is refused', async (t) => {
  t.throws(() => new LocalTime('Asia/Atlantis'), RangeError)
})

t.test('the first half of a retrieval reference number counts days from one', async (t) => {
  t.equal(yearDayHour(Date.parse('2026-01-01T00:59:59Z')), '600100')
  t.equal(yearDayHour(Date.parse('2028-12-31T23:00:00Z')), '836623', 'a leap year has 366')
})

t.test('pauses double up to the bound, are spread, and begin again after a reset', async (t) => {
  const backoff = new Backoff(500, 8_000, seededRandom('pauses'))
  const bounds = [[500, 750], [1_000, 1_500], [2_000, 3_000], [4_000, 6_000], [5_333, 8_000]]
  for (let round = 0; round < 50; round++) {
    for (const [low = 0, high = 0] of bounds) {
      const ms = backoff.nextMs()
      t.ok(ms >= low && ms <= high, `${ms} ms between ${low} and ${high}`)
    }
    for (let more = 0; more < 40; more++) t.ok(backoff.nextMs() <= 8_000)
    backoff.reset()
  }
})

t.test('the shortest pause may be the longest', async (t) => {
  const backoff = new Backoff(1_000, 500, seededRandom('pauses'))
  for (let i = 0; i < 10; i++) t.equal(backoff.nextMs(), 1_000)
})
