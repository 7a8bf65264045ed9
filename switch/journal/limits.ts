/**
 * The bounds of the PostgreSQL journal, each with its reason.
 *
 * Used by the journal only; `switch/limits.ts` may assert relations to bounds of other rooms. Must
 * import nothing.
 */

/**
 * Requests that share one commit. At 8 us a row (design.md section 6) a full group takes about 2
 * ms.
 */
export const GROUP_REQUESTS_MAX = 128

/**
 * Waiting new transactions; at 2,000 a second this is about two seconds of work, beyond which an
 * answer comes too late.
 */
export const QUEUE_REQUESTS_MAX = 4_096

/**
 * Further places for outcomes, reversals and notes, which must not be turned away because new work
 * came.
 */
export const QUEUE_RESERVE_MAX = 4_096

/**
 * A request older than this is refused instead of started: terminals wait 10 s and more, and
 * routing needs its share.
 */
export const REQUEST_AGE_MS_MAX = 5_000

/**
 * Opening one connection. PostgreSQL accepts in milliseconds; two seconds cover a machine that is
 * just starting it.
 */
export const CONNECT_TIMEOUT_MS = 2_000

/**
 * One statement of a group, or one read. A group takes milliseconds; more means that the database
 * is not well.
 */
export const QUERY_TIMEOUT_MS = 3_000

/**
 * The write statement and its COMMIT, watched by us and not by statement_timeout: a COMMIT that the
 * server cancels while it waits for a standby is committed here and perhaps nowhere else
 * (reliability.md section 1, rule 6).
 */
export const COMMIT_TIMEOUT_MS = 5_000

/**
 * A row lock held by another node; its own groups end within COMMIT_TIMEOUT_MS. Below
 * QUERY_TIMEOUT_MS, so the server says it.
 */
export const LOCK_TIMEOUT_MS = 2_000

/**
 * Our transaction with nobody behind it (a killed machine, a half-open connection): the server ends
 * it, so that its locks block nobody. Between two statements of a group we need microseconds; a
 * pause longer than this only repeats the group.
 */
export const IDLE_IN_TRANSACTION_MS = 2_000

/** How long a group whose COMMIT got lost is looked for before it is reported as unknown. */
export const RESOLVE_MS_MAX = 5_000

/**
 * Back-off between attempts to connect: first and longest wait; jittered between half and the
 * whole.
 */
export const RECONNECT_MS_FIRST = 25
export const RECONNECT_MS_MAX = 400 // approving within 2 s after PostgreSQL accepts (R3)

/**
 * Group decided again after a deadlock, a lock time-out or a stale read, before its requests are
 * tried one by one.
 */
export const GROUP_ATTEMPTS_MAX = 4

/** Connections for reading beside the one that writes. */
export const READ_CONNECTIONS = 2

/** Cards asked for in one query. */
export const CARD_BATCH_MAX = 256

/** Calls of findCard that may wait. */
export const CARD_QUEUE_MAX = 8_192

/** Timeline entries kept per transaction; SAF attempts may go on for days. */
export const EVENTS_PER_TXN_MAX = 256

/** Role accounts whose number is remembered; 32-byte keys, so about 10 MB when full. */
export const ROLE_ACCOUNTS_CACHED_MAX = 65_536

/** Intents settled in one commit by recover(). */
export const RECOVER_BATCH = 1_000

/** Rows printed by safList() and history(). */
export const LISTED_ROWS_MAX = 1_000
