// What a configuration means when it says nothing, one value per key with its reason.
// Used by config/schema.ts only. Bounds that no configuration may change are in switch/limits.ts.

// Links, both roles

/** The largest frame of the built-in dialects is below 2 KiB; twice that leaves room for DE55. */
export const FRAME_BYTES_MAX = 4_096

/** A peer that connects and says nothing holds a socket; terminals speak at once. */
export const FIRST_BYTE_TIMEOUT_MS = 10_000

/** A frame that was begun arrives within one slow round trip, or the peer is gone. */
export const FRAME_TIMEOUT_MS = 5_000

/** 256 KiB is some hundred answers that a peer does not read; more would be waiting for nobody. */
export const WRITE_BUFFER_BYTES_MAX = 262_144

/** ISO 9564-1 format 0 is what schemes and terminals agree on unless they say otherwise. */
export const PIN_FORMAT = 'iso0'

// Links of terminals

/** One branch network's worth of terminals on one port; each is one socket. */
export const TERMINAL_CONNECTIONS_MAX = 1_000

/** What POS and ATM software commonly waits for an answer before it reverses by itself. */
export const TERMINAL_WAIT_MS = 30_000

// Links to schemes and partners

/** Two lines and their replacements; a scheme opens one to four. */
export const SCHEME_CONNECTIONS_MAX = 4

/** Ten seconds of waiting answers at 400 transactions a second. */
export const PENDING_MAX = 4_096

/** Below what terminals wait (30 s), above the 10 s in which issuers answer purchases. */
export const REPLY_TIMEOUT_MS = 10_000

/** Sign-on, sign-off and echo need no issuer: a peer answers them itself. */
export const NETWORK_TIMEOUT_MS = 5_000

/** Silence after which an echo asks whether the peer is still there. */
export const ECHO_IDLE_MS = 60_000

/** One lost echo may be an accident, two are a dead peer. */
export const ECHO_MISSES_MAX = 2

/** First pause before dialling again; the pause doubles with jitter up to the maximum. */
export const RECONNECT_MIN_MS = 500

/** A peer that returns is found within half a minute without knocking at its door all night. */
export const RECONNECT_MAX_MS = 30_000

/** Margin between a scheme's time-out and the terminal's wait: journal, MAC and the way back. */
export const ANSWER_MARGIN_MS = 2_000

// Operations, database, token

/** The port of the operations pages: the number of the standard. */
export const OPERATIONS_PORT = 8_583

/** Writes are grouped, so a few connections carry thousands of transactions a second. */
export const DATABASE_CONNECTIONS_MAX = 4

/** Worker threads in front of the token: one is busy while the other fills its batch. */
export const TOKEN_WORKERS = 2

/** A token answers in microseconds to milliseconds; after two seconds it counts as gone. */
export const TOKEN_CALL_TIMEOUT_MS = 2_000

/** An hour before midnight: the cut-over of UnionPay's settlement day. */
export const CUTOVER_LOCAL_TIME = '23:00'

// Reversals (store and forward)

/** First pause before an unacknowledged reversal is repeated; it doubles up to the maximum. */
export const REVERSAL_RETRY_FIRST_MS = 2_000

/** A scheme that was down for hours gets each reversal within a minute of its return. */
export const REVERSAL_RETRY_MAX_MS = 60_000

/** After this many attempts a person must look; the row is parked, never dropped. */
export const REVERSAL_ATTEMPTS_MAX = 20

/** Reversals under way at once per link, so that draining leaves room for live traffic. */
export const REVERSAL_WINDOW = 16

// Issuers

/** ISO 4217 numeric code of the cards' accounts; the demonstration bank's own currency. */
export const PAN_LENGTH = 16

/** Three wrong PINs, then the card is blocked for PIN transactions: what customers know. */
export const PIN_TRIES_MAX = 3
