/**
 * Bounds of the link room: name with unit, value, reason. What an operator sets per link is in
 * LinkSettings; these are the bounds behind it. Each has a test at the bound. It must hold numbers
 * only.
 */
import assert from 'node:assert/strict'

/**
 * Keys of ended requests kept to tell a late answer from an unknown one: 60 s of time-outs at
 * 270/s.
 */
export const ENDED_KEYS_MAX = 16_384

/**
 * How long an ended key is kept, ms; longer than any peer's own store-and-forward of answers
 * (cups-host.md 13).
 */
export const ENDED_KEY_AGE_MS_MAX = 300_000

/**
 * Keys of answered requests kept to tell a doubled answer from an unknown one; a copy comes within
 * moments.
 */
export const ANSWERED_KEYS_MAX = 4_096

/**
 * Waiting requests looked at for the near-miss report, so that a flood of unknown answers stays
 * cheap (~0.3 ms each).
 */
export const NEAR_MISS_SCAN_MAX = 1_024

/** Slots the pending table starts with; it doubles up to the link's own bound. */
export const PENDING_SLOTS_START = 64

/**
 * Views kept for reuse per link (about 4 kB each); more than that in use at once are left to the
 * collector.
 */
export const VIEW_POOL_MAX = 256

/** Shortest pause between two deadline sweeps, ms: how late a deadline may be noticed. */
export const SWEEP_MS_MIN = 10

/** Longest pause between two sweeps of a link that has connections, ms. */
export const SWEEP_MS_MAX = 60_000

/** How long a dial may take, ms: the operating system's own limit is minutes. */
export const DIAL_MS_MAX = 5_000

/** How long a closed socket may take to bring its last bytes out before it is cut, ms. */
export const LINGER_MS_MAX = 2_000

/**
 * Unsent bytes per socket, unless tcpNet was told otherwise; a link's own bound is usually below
 * it.
 */
export const WRITE_BUFFER_BYTES_MAX = 1_048_576

/** What is gathered for one socket in one tick before it is written, bytes: about 40 messages. */
export const GATHER_BYTES = 16_384

/** Gather buffers kept for reuse: as many sockets as usually write in one tick. */
export const GATHER_POOL_MAX = 256

/**
 * Connections waiting to be accepted by a listener: a whole branch network dialling again after an
 * outage.
 */
export const LISTEN_BACKLOG = 1_024

/** First keep-alive probe after this much silence, ms. */
export const KEEP_ALIVE_IDLE_MS = 15_000

/** Pause between keep-alive probes, ms. */
export const KEEP_ALIVE_INTERVAL_MS = 5_000

/** Unanswered probes after which the peer is gone. */
export const KEEP_ALIVE_PROBES = 3

/**
 * Unacknowledged data older than this ends a connection, ms (TCP_USER_TIMEOUT, RFC 5482); it
 * overrides the probes too.
 */
export const USER_TIMEOUT_MS = 30_000

assert(SWEEP_MS_MIN < SWEEP_MS_MAX)
assert(GATHER_BYTES < WRITE_BUFFER_BYTES_MAX)
// The probes must have found a dead peer before the user timeout cuts them short.
assert(KEEP_ALIVE_IDLE_MS + KEEP_ALIVE_PROBES * KEEP_ALIVE_INTERVAL_MS <= USER_TIMEOUT_MS)
