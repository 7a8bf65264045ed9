// Dates and times as card messages write them. Used by the simulators only; the switch has its own.
// China keeps one time zone without daylight saving, so that eight hours are the whole rule.

const BEIJING_OFFSET_MS = 8 * 3_600_000

/** The CUPS settlement day begins at 23:00 Beijing time of the day before. */
const CUTOVER_LEAD_MS = 3_600_000

/** One instant in the forms of DE7, DE12, DE13, 9A and DE15. */
export interface MessageTime {
  /** MMDDhhmmss. */
  readonly transmission: string
  /** hhmmss. */
  readonly time: string
  /** MMDD. */
  readonly date: string
  /** YYMMDD. */
  readonly longDate: string
}

function parts(ms: number): MessageTime {
  const iso = new Date(ms).toISOString() // 2026-11-22T22:05:16.000Z
  const longDate = iso.slice(2, 4) + iso.slice(5, 7) + iso.slice(8, 10)
  const time = iso.slice(11, 13) + iso.slice(14, 16) + iso.slice(17, 19)
  const date = longDate.slice(2)
  return { transmission: date + time, time, date, longDate }
}

/** Greenwich time, as Visa counts DE7. @param wallMs milliseconds since 1970 UTC */
export function greenwich(wallMs: number): MessageTime {
  return parts(wallMs)
}

/** Beijing time, as terminals and CUPS count. @param wallMs milliseconds since 1970 UTC */
export function beijing(wallMs: number): MessageTime {
  return parts(wallMs + BEIJING_OFFSET_MS)
}

/** CUPS settlement date MMDD of an instant. @param wallMs milliseconds since 1970 UTC */
export function settlementDate(wallMs: number): string {
  return parts(wallMs + BEIJING_OFFSET_MS + CUTOVER_LEAD_MS).date
}

/** Retrieval reference number: last digit of the year, day of the year, hour, STAN (12 digits). */
export function retrievalReference(wallMs: number, stan: string): string {
  const date = new Date(wallMs + BEIJING_OFFSET_MS)
  const dayMs = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate())
  const day = Math.round((dayMs - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1
  const year = String(date.getUTCFullYear() % 10)
  const hour = String(date.getUTCHours()).padStart(2, '0')
  return year + String(day).padStart(3, '0') + hour + stan.padStart(6, '0')
}
