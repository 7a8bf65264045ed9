/**
 * Date and time as the fields of a network message count them, in UTC or in the institution's zone.
 *
 * Used by network-messages.ts. The zone's offset is asked of Intl once per quarter of an hour of
 * wall time: every change of offset in use falls on such a boundary, so a message costs no
 * formatting. It must never read a clock of its own.
 */

const QUARTER_HOUR_MS = 900_000
const DAY_MS = 86_400_000

export class LocalTime {
  readonly #format: Intl.DateTimeFormat
  #quarter = Number.NaN
  #offsetMs = 0

  /**
   * @param timeZone IANA name, e.g. Asia/Shanghai
   * @throws RangeError when there is no such zone
   */
  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  }

  /** Local minus UTC at that instant, ms. */
  offsetMs(wallMs: number): number {
    const quarter = Math.floor(wallMs / QUARTER_HOUR_MS)
    if (quarter !== this.#quarter) {
      this.#quarter = quarter
      this.#offsetMs = this.#measure(quarter * QUARTER_HOUR_MS)
    }
    return this.#offsetMs
  }

  #measure(wallMs: number): number {
    const part: Record<string, number> = {}
    for (const { type, value } of this.#format.formatToParts(wallMs)) part[type] = Number(value)
    const asUtc = Date.UTC(
      part['year'] ?? 0, (part['month'] ?? 1) - 1, part['day'] ?? 1,
      part['hour'] ?? 0, part['minute'] ?? 0, part['second'] ?? 0,
    )
    return asUtc - wallMs
  }
}

/** MMDD of an instant that was moved into its zone (DE13). */
export function monthDay(zonedMs: number): string {
  const at = new Date(zonedMs)
  return two(at.getUTCMonth() + 1) + two(at.getUTCDate())
}

/** hhmmss of an instant that was moved into its zone (DE12). */
export function hourMinuteSecond(zonedMs: number): string {
  const at = new Date(zonedMs)
  return two(at.getUTCHours()) + two(at.getUTCMinutes()) + two(at.getUTCSeconds())
}

/** yDDDHH: last digit of the year, day of the year, hour; the first half of a DE37. */
export function yearDayHour(zonedMs: number): string {
  const at = new Date(zonedMs)
  const year = at.getUTCFullYear()
  const day = Math.floor((zonedMs - Date.UTC(year, 0, 1)) / DAY_MS) + 1
  return `${year % 10}${String(day).padStart(3, '0')}${two(at.getUTCHours())}`
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}
