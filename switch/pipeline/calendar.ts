/**
 * Dates as a bank counts them: local time of the institution, and the business date that changes at
 * cut-over.
 *
 * Used by steps and store-and-forward; takes time from the Clock only. The offset of the time zone
 * is asked once per quarter of an hour, because Intl is slow and zones change offset on such
 * instants only.
 */

import type { Clock } from '../runtime/clock.ts'

const QUARTER_MS = 15 * 60_000
const DAY_MS = 24 * 3_600_000

export class Calendar {
  readonly #clock: Clock
  readonly #format: Intl.DateTimeFormat
  readonly #cutoverMs: number // local time of day at which the next business date begins
  #quarter = -1
  #offsetMs = 0

  /** @param timeZone IANA name  @param cutoverLocalTime `HH:MM`, `00:00` = the calendar day */
  constructor(clock: Clock, timeZone: string, cutoverLocalTime: string) {
    this.#clock = clock
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    })
    const [hours = '0', minutes = '0'] = cutoverLocalTime.split(':')
    this.#cutoverMs = (Number(hours) * 60 + Number(minutes)) * 60_000
  }

  /** DE7, ten digits MMDDhhmmss, in UTC or in the institution's local time. */
  transmission(where: 'utc' | 'local'): string {
    const now = this.#clock.wallMs()
    return digits(where === 'utc' ? now : now + this.#offset(now)).slice(4)
  }

  /** DE12, hhmmss local. */
  localTime(): string {
    return this.#local().slice(8)
  }

  /** DE13, MMDD local. */
  localDate(): string {
    return this.#local().slice(4, 8)
  }

  /** The business date now, YYYY-MM-DD: after the cut-over it is the next day. */
  businessDate(): string {
    const now = this.#clock.wallMs()
    const local = now + this.#offset(now)
    const timeOfDay = ((local % DAY_MS) + DAY_MS) % DAY_MS
    const next = this.#cutoverMs > 0 && timeOfDay >= this.#cutoverMs
    return new Date(local + (next ? DAY_MS : 0)).toISOString().slice(0, 10)
  }

  /**
   * yDDDHH of a retrieval reference number, in UTC: last digit of the year, day of the year, hour.
   */
  rrnPrefix(): string {
    const now = new Date(this.#clock.wallMs())
    const start = Date.UTC(now.getUTCFullYear(), 0, 1)
    const day = Math.floor((now.getTime() - start) / DAY_MS) + 1
    const year = String(now.getUTCFullYear() % 10)
    return year + String(day).padStart(3, '0') + String(now.getUTCHours()).padStart(2, '0')
  }

  #local(): string {
    const now = this.#clock.wallMs()
    return digits(now + this.#offset(now))
  }

  #offset(now: number): number {
    const quarter = Math.floor(now / QUARTER_MS)
    if (quarter !== this.#quarter) {
      const parts: Record<string, number> = {}
      for (const part of this.#format.formatToParts(now)) parts[part.type] = Number(part.value)
      const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = parts
      const local = Date.UTC(year, month - 1, day, hour, minute, second)
      this.#offsetMs = local - Math.floor(now / 1000) * 1000
      this.#quarter = quarter
    }
    return this.#offsetMs
  }
}

/** CCYYMMDDhhmmss of an instant read as UTC. */
function digits(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)
}
