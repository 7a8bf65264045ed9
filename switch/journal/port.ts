/**
 * The Journal port: everything about money that must survive the process.
 *
 * Called by pipeline steps; implemented by `postgres.ts` (one commit for many transactions) and
 * later by `memory.ts` for the simulator. Every method is one atomic act: when its promise
 * resolves, its effect is durable and visible; when it rejects with JournalUnavailable, the effect
 * is unknown or absent and the caller must not approve. Rules: design.md section 6; reliability.md
 * section 1. Amounts are integers of minor units. No track, PIN block or CVV2 ever comes here.
 */

/** What a transaction is, whatever dialect it came in. */
export type TxnKind =
  | 'purchase'
  | 'cash'
  | 'balance'
  | 'refund'
  | 'void'
  | 'preauth'
  | 'completion'
  | 'transfer'
  | 'deposit'

/**
 * Life of a transaction row. `intent`: bytes may have left for another institution, outcome
 * unknown. `timed_out`: no answer in time, reversal queued in the same commit. `not_sent`: known
 * never to have left. `reversed_unseen`: a reversal came before its original; the original will be
 * refused. The legal moves are enforced by the database.
 */
export type TxnState =
  | 'intent'
  | 'approved'
  | 'declined'
  | 'timed_out'
  | 'not_sent'
  | 'reversed'
  | 'reversed_unseen'

/** What every transaction row holds, however it is decided. */
export interface TxnFacts {
  id: string // ULID
  businessKey: string // unique per transaction: the same request again has the same key
  bodyHash: string // hex; equal key with another hash is refused and alarmed
  kind: TxnKind
  sourceLink: string
  route: string // 'on_us' or the name of the destination link
  mti: string
  stan: string // as the originator sent it
  rrn: string // 12 characters, ours when the originator sent none
  terminalId: string
  merchantId: string
  panToken: Uint8Array // keyed hash, 32 bytes
  panMasked: string
  panSealed: Uint8Array // AES-256-GCM, see pan-vault.ts
  amountMinor: number
  currency: string // ISO 4217 numeric, three digits
  businessDate: string // YYYY-MM-DD
  receivedAt: number // epoch milliseconds
  record: string // JSON of what a reversal or repeated answer needs; no sensitive data
}

/**
 * A movement between two accounts named by role, e.g. debit 'receivable:visa', credit
 * 'merchant:123456789012345'.
 */
export interface Movement {
  debit: string
  credit: string
  amountMinor: number
  currency: string
}

/**
 * One thing that happened to a transaction, for `txn show`: what, when (ms after receipt), and a
 * short closed detail.
 */
export interface TimelineEvent {
  atMs: number // epoch milliseconds
  what: string // noun.verb_past, e.g. 'intent.committed', 'token.verify_pin', 'leg.sent'
  detail: string // link, reason, duration ...; never card data
}

/** The answer that was or will be given, kept to be given again word for word. */
export interface StoredAnswer {
  reason: string // a code of reasons.ts
  authCode: string // six characters or empty
  settlementDate: string // MMDD or empty
  networkRrn: string // RRN in force
  iccHex: string // answer DE55 from a scheme, upper-case hex, or empty
  balanceMinor: number | null
  balanceCurrency: string
}

export interface Card {
  panToken: Uint8Array
  accountId: string
  status: 'active' | 'blocked' | 'lost' | 'stolen' | 'closed'
  expiry: string // YYMM
  pvki: string
  pvv: string // four digits, or empty when ibm3624 is used
  pinOffset: string
  pinTriesLeft: number
  panSequence: string // two digits
  keySet: string // names the issuer keys, e.g. 'demo.issuer'
  dailyLimitMinor: number
}

/**
 * What the checks before the authorizer found; the decision itself is cards/decide.ts, inside the
 * commit.
 */
export interface AuthorizeRequest {
  facts: TxnFacts
  counterAccount: string // role account on the other side, e.g. 'merchant:...', 'payable:cups'
  expiry: string // YYMM from the message, or empty
  pin: 'absent' | 'ok' | 'wrong' | 'unverifiable'
  cryptogram: 'absent' | 'ok' | 'bad' | 'unverifiable'
  pinRequired: boolean
  refusedReason: string // a reason found before the authorizer (e.g. 'invalid_amount'), or empty
  events: TimelineEvent[]
}

/**
 * `new`: decided now. `replay`: the same request was decided before, `answer` is the stored one.
 * `conflict`: the key is known with another body. `in_doubt`: a row exists whose outcome is not
 * known (intent of an earlier life).
 */
export type Occurrence = 'new' | 'replay' | 'conflict' | 'in_doubt'

export interface AuthorizeResult {
  occurrence: Occurrence
  answer: StoredAnswer
}

export interface IntentRequest {
  facts: TxnFacts
  destination: string // link name
  sentMti: string
  sentStan: string
  sentTransmissionAt: string // DE7 as sent, MMDDhhmmss
  sentKey: string // how the answer will be matched, for late and near-miss reports
  events: TimelineEvent[]
}

export interface IntentResult {
  occurrence: Occurrence
  answer: StoredAnswer | null // set for 'replay'
}

export interface OutcomeRequest {
  txnId: string
  state: 'approved' | 'declined' | 'timed_out' | 'not_sent'
  answer: StoredAnswer
  movements: Movement[] // posted when approved
  reversal: ReversalCause | null // queued in SAF in the same commit; required for timed_out
  events: TimelineEvent[]
}

export type ReversalCause =
  | 'timeout'
  | 'late_answer'
  | 'bad_answer_mac'
  | 'terminal_request'
  | 'link_lost'
  | 'restart'

export interface OutcomeResult {
  applied: boolean // false: the row had an outcome already, `state` says which
  state: TxnState
}

/** A reversal that came in (0400/0420/0421, POS 0400). */
export interface ReverseRequest {
  facts: TxnFacts // of the reversal message itself; its businessKey is its own
  originalKey: string // businessKey of the original
  reversedAmountMinor: number | null // null = full; otherwise what is to be released (DE95)
  /** Undo the original only if it is this transaction, not an earlier one with the same key. */
  onlyTxnId: string | null
  events: TimelineEvent[]
}

/**
 * `reversed`: done now. `already`: was reversed before. `declined_original`: nothing to undo.
 * `unseen`: no original, key remembered so that a late original is refused. `pending`: original has
 * no outcome yet; it will be reversed with it.
 */
export type ReverseOutcome =
  | 'reversed'
  | 'already'
  | 'declined_original'
  | 'unseen'
  | 'pending'
  | 'mismatch' // the key is right, card or amount are not: nothing is undone

export interface ReverseResult {
  occurrence: Occurrence
  outcome: ReverseOutcome
  original: { txnId: string; state: TxnState; route: string; answer: StoredAnswer | null } | null
}

/** A row of store-and-forward with what is needed to build its message. */
export interface SafRow {
  id: string
  destination: string
  kind: 'reversal' | 'advice'
  cause: ReversalCause
  txnId: string
  attempts: number // before this one
  facts: TxnFacts // of the original
  sentMti: string
  sentStan: string
  sentTransmissionAt: string
  answer: StoredAnswer | null
  releasedMinor: number | null // null: the whole amount is reversed; else the part that is
  // Filled on the first attempt and kept for repeats, so that a repeat carries the same key data:
  reversalStan: string
  reversalTransmissionAt: string
}

export type SafState = 'queued' | 'acknowledged' | 'parked'

export interface SafSummary {
  id: string
  destination: string
  kind: string
  state: SafState
  attempts: number
  lastAnswer: string
  rrn: string
  panMasked: string
  amountMinor: number
  currency: string
  queuedAt: number
  nextAttemptAt: number
}

/** A transaction as `txn show` prints it. */
export interface TxnHistory {
  facts: Omit<TxnFacts, 'panToken' | 'panSealed' | 'record' | 'bodyHash'>
  state: TxnState
  answer: StoredAnswer | null
  events: TimelineEvent[]
  postings: Array<Movement & { businessDate: string; postedAt: number; reverses: boolean }>
  saf: SafSummary[]
}

/** Thrown (rejected) when the database cannot say that the act is durable. */
export class JournalUnavailable extends Error {
  readonly code = 'journal_unavailable'
  readonly outcomeUnknown: boolean

  constructor(message: string, outcomeUnknown: boolean) {
    super(message)
    this.name = 'JournalUnavailable'
    this.outcomeUnknown = outcomeUnknown
  }
}

/** True when the act may have happened all the same: nobody may be told yes or no. */
export function isOutcomeUnknown(error: unknown): boolean {
  return error instanceof JournalUnavailable && error.outcomeUnknown
}

export interface Journal {
  /** The issuer's card, or null when the PAN is not ours. Many calls of one tick are one query. */
  findCard(panToken: Uint8Array): Promise<Card | null>
  /** Decides and posts an on-us transaction in one grouped commit. */
  authorize(request: AuthorizeRequest): Promise<AuthorizeResult>
  /** Makes the intent durable before bytes leave for another institution. */
  intend(request: IntentRequest): Promise<IntentResult>
  /** Records how an intent ended, with its postings and its reversal, in one grouped commit. */
  conclude(request: OutcomeRequest): Promise<OutcomeResult>
  /**
   * Undoes an original once, however often it is asked; queues the reversal to the scheme when the
   * original left.
   */
  reverse(request: ReverseRequest): Promise<ReverseResult>
  /**
   * Adds events to a transaction that has its outcome (late answers, SAF attempts); changes nothing
   * else.
   */
  note(txnId: string, events: TimelineEvent[]): Promise<void>
  /** Up to `limit` SAF rows of a destination that are due, one per original, oldest first. */
  dueSaf(destination: string, nowMs: number, limit: number): Promise<SafRow[]>
  /**
   * Durable before a SAF message leaves: attempt counted, key data of the first attempt kept, next
   * attempt set.
   */
  safAttempt(id: string, stan: string, transmissionAt: string, nextAttemptAt: number): Promise<void>
  safAcknowledge(id: string, responseCode: string): Promise<void>
  safPark(id: string, responseCode: string, why: string): Promise<void>
  safList(): Promise<SafSummary[]>
  /**
   * Every intent without outcome becomes `timed_out` with its reversal queued; run once before
   * links come up.
   */
  recover(nowMs: number): Promise<number>
  /**
   * A block of `count` numbers of a named counter, durable: returns the first. Wraps from `max` to
   * 1.
   */
  takeNumbers(counter: string, count: number, max: number): Promise<number>
  history(rrn: string): Promise<TxnHistory[]>
  keyBlock(name: string): Promise<string | null>
  putKeyBlock(name: string, block: string, kcv: string, usage: string): Promise<void>
  /** True when a trivial query answers within its bound. */
  healthy(): Promise<boolean>
  close(): Promise<void>
}
