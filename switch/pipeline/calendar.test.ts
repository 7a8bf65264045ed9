/**
 * Dates at the edges: cut-over, year end, leap day, a zone with summer time. Times are made by hand
 * from the calendar.
 */

import t from 'tap'
import { VirtualClock } from '../runtime/virtual-clock.ts'
import { Calendar } from './calendar.ts'

const at = (iso: string): number => Date.parse(iso)

const ROWS = [
  {
    name: 'a minute before cut-over the business date is the local date',
    now: '2026-11-22T14:59:59Z', zone: 'Asia/Shanghai', cutover: '23:00',
    want: { date: '2026-11-22', local: '1122', time: '225959' },
  },
  {
    name: 'from the cut-over instant on it is the next day',
    now: '2026-11-22T15:00:00Z', zone: 'Asia/Shanghai', cutover: '23:00',
    want: { date: '2026-11-23', local: '1122', time: '230000' },
  },
  {
    name: 'cut-over on the last day of the year gives the first of the next',
    now: '2026-12-31T15:30:00Z', zone: 'Asia/Shanghai', cutover: '23:00',
    want: { date: '2027-01-01', local: '1231', time: '233000' },
  },
  {
    name: 'the day after 28 February of a leap year is the 29th',
    now: '2028-02-28T15:00:00Z', zone: 'Asia/Shanghai', cutover: '23:00',
    want: { date: '2028-02-29', local: '0228', time: '230000' },
  },
  {
    name: 'a cut-over at midnight means the calendar day',
    now: '2026-11-22T23:30:00Z', zone: 'UTC', cutover: '00:00',
    want: { date: '2026-11-22', local: '1122', time: '233000' },
  },
  {
    name: 'summer time counts: 23:30 in Berlin is 21:30 UTC in July',
    now: '2026-07-01T21:30:00Z', zone: 'Europe/Berlin', cutover: '23:00',
    want: { date: '2026-07-02', local: '0701', time: '233000' },
  },
] as const

for (const row of ROWS) {
  t.test(row.name, async (t) => {
    const calendar = new Calendar(new VirtualClock(at(row.now)), row.zone, row.cutover)
    t.equal(calendar.businessDate(), row.want.date)
    t.equal(calendar.localDate(), row.want.local)
    t.equal(calendar.localTime(), row.want.time)
  })
}

t.test('DE7 counts in UTC or in local time, as the dialect says', async (t) => {
  const clock = new VirtualClock(at('2026-12-31T18:05:06Z'))
  const calendar = new Calendar(clock, 'Asia/Shanghai', '23:00')
  t.equal(calendar.transmission('utc'), '1231180506')
  t.equal(calendar.transmission('local'), '0101020506')
})

t.test('the reference number begins with last digit of the year, day of the year and hour', async (t) => {
  const calendar = new Calendar(new VirtualClock(at('2028-12-31T23:00:00Z')), 'UTC', '00:00')
  t.equal(calendar.rrnPrefix(), '836623', 'day 366 of a leap year')
})
