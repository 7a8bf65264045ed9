// Every bound of the token layer, with its reason. Imported by this folder and by tests.

/** Calls in hand (queued, looked up, in a worker) before `overloaded`: 0.2 s of a token's work. */
export const TOKEN_CALLS_MAX = 4096

/** Calls of one worker task: 64 make the thread hop cost about 1 us each, measured. */
export const BATCH_CALLS_MAX = 64

/** A call without an answer after this many ms is `unavailable`; below any terminal's patience. */
export const CALL_DEADLINE_MS = 2_000

/** How often deadlines are looked at, ms; a call may be this much late. */
export const DEADLINE_SWEEP_MS = 50

/** Workers that all hold one batch longer than this, ms, count as hung; new calls fail at once. */
export const STALL_MS = 5_000

/** Opening the token, login and trial of its capabilities by one worker, ms. */
export const OPEN_DEADLINE_MS = 15_000

/** Time that closing waits for workers to close their sessions, ms. */
export const CLOSE_DEADLINE_MS = 3_000

export const WORKERS_DEFAULT = 2 // each owns a session; measured 55,000 3DES blocks/s per worker
export const WORKERS_MAX = 16 // more sessions than any token here serves in parallel

/** JavaScript heap of one worker, MB: its keys take a few, a batch less than one. */
export const WORKER_HEAP_MB_MAX = 96
export const WORKER_YOUNG_MB_MAX = 8 // the part of it for short-lived batches

/** Working keys held as session objects by one worker; two objects each, a few hundred bytes. */
export const SESSION_KEYS_MAX = 2_048

/** Worker crashes within RESTART_WINDOW_MS before the pool rests for RESTART_PAUSE_MS. */
export const WORKER_RESTARTS_MAX = 5
export const RESTART_WINDOW_MS = 60_000
export const RESTART_PAUSE_MS = 10_000

/** A thread waits this long for another process that opens a token, ms; opening takes about 10. */
export const FILE_LOCK_WAIT_MS = 3_000

/** How often it looks, ms. */
export const FILE_LOCK_POLL_MS = 5

/** A worker waits this long for another one that opens the token, ms; then that one has died. */
export const OPEN_LOCK_WAIT_MS = 5_000

/** Pause of a worker between attempts to open a token that failed, ms. */
export const RECONNECT_PAUSE_MS = 250
