/**
 * Bounds of the running switch: name with unit, value, reason. Relations between them are asserted
 * at the end of the file.
 *
 * Rooms with bounds of their own (codec, link, journal, hsm) keep them beside their code; what an
 * operator sets is in the configuration. docs/reference/limits.md lists all of them. Each has a
 * test at the bound.
 */

import assert from 'node:assert/strict'

/**
 * Transactions worked on at once. One more is answered `overload` at once: about 1 s of work at
 * 4,000/s.
 */
export const TRANSACTIONS_IN_FLIGHT_MAX = 4_000

/**
 * Repeats of one request that wait for the first one's answer; terminals repeat two or three times.
 */
export const DUPLICATES_WAITING_MAX = 8

/** Longest a terminal may wait for us, ms; cups-host.md section 13 has 60 s for terminals. */
export const TERMINAL_WAIT_MS_MAX = 60_000

/** Part of the terminal's wait that is kept for our own work and the way back, ms. */
export const ANSWER_MARGIN_MS = 2_000

/** Longest reply timeout a link may configure, ms. */
export const REPLY_TIMEOUT_MS_MAX = TERMINAL_WAIT_MS_MAX - ANSWER_MARGIN_MS

/** Shortest budget that is worth sending with, ms; an older request is dropped before sending. */
export const FORWARD_BUDGET_MS_MIN = 200

/** Largest amount of one transaction in minor units: DE4 has twelve digits. */
export const AMOUNT_MINOR_MAX = 999_999_999_999

/** Largest message we build, bytes; Visa allows 2,048, CUPS 1,938 with header. */
export const MESSAGE_BYTES_MAX = 4_096

/** Events kept on one transaction; later ones are counted in the last. */
export const TIMELINE_EVENTS_MAX = 64

/**
 * Numbers reserved in the database at once per counter; lost at a crash, so gaps stay below this.
 */
export const NUMBER_BLOCK = 1_000

/** Refill when fewer than this are left: about 0.1 s of traffic at 2,500/s. */
export const NUMBER_REFILL_AT = 400

/** Store-and-forward: how often a destination is looked at when nothing woke it, ms. */
export const SAF_POLL_MS = 500

/** Transactions whose outcome the database did not take, retried until it does. */
export const UNSETTLED_MAX = 10_000

/** How often unsettled outcomes are tried again, ms. */
export const UNSETTLED_RETRY_MS = 500

/** How long a drain at shutdown waits for transactions in flight, ms. */
export const DRAIN_MS_MAX = 15_000

assert(ANSWER_MARGIN_MS < TERMINAL_WAIT_MS_MAX)
assert(NUMBER_REFILL_AT < NUMBER_BLOCK)
assert(FORWARD_BUDGET_MS_MIN < ANSWER_MARGIN_MS)
assert(Number.isSafeInteger(AMOUNT_MINOR_MAX))
