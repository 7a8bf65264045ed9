/**
 * One group: the rows that a batch of requests needs, as read and locked, and what the batch will
 * write.
 *
 * Filled by `group-read.ts`, changed by the acts (`act-*.ts`), written by `group-write.ts` in one
 * statement. Requests of one group see each other's effects here, in the order of their arrival. It
 * must never do I/O: acts are pure but for this object. One request may change a transaction once
 * per group; a second change waits for the next group (Defer), so that the database sees each legal
 * move of a transaction by itself.
 */
import type {
  AuthorizeRequest,
  Card,
  IntentRequest,
  OutcomeRequest,
  ReversalCause,
  ReverseOutcome,
  ReverseRequest,
  StoredAnswer,
  TimelineEvent,
  TxnFacts,
  TxnState,
} from './port.ts'

/** Everything that is written through groups. */
export type GroupRequest =
  | { act: 'authorize'; request: AuthorizeRequest }
  | { act: 'intend'; request: IntentRequest }
  | { act: 'conclude'; request: OutcomeRequest }
  | { act: 'reverse'; request: ReverseRequest }
  | { act: 'note'; txnId: string; events: TimelineEvent[] }
  | { act: 'saf'; change: SafChange }

/** What happens to a store-and-forward row. */
export interface SafChange {
  id: string
  op: 'attempt' | 'acknowledge' | 'park'
  stan: string
  transmissionAt: string
  nextAttemptAtMs: number
  lastAnswer: string
  why: string
}

/** A transaction as the acts see it. */
export interface TxnImage {
  id: string
  businessKey: string
  bodyHash: string
  state: TxnState
  route: string
  destination: string
  token: string // pan_token in PostgreSQL's text form
  amountMinor: number
  currency: string
  businessDate: string
  consumedMinor: number
  postedCount: number
  releasedMinor: number | null
  releaseWantedMinor: number | null
  answer: StoredAnswer | null
  reverseOf: string | null
  reverseOutcome: ReverseOutcome | null
  changed: boolean // by this group: inserted, or moved to another state
  inserted: boolean // by this group
  newEvents: TimelineEvent[]
}

/** A card with its keys in the database. */
export interface CardImage {
  id: number
  accountId: number
  card: Card
  dailyCountMax: number | null
  changed: boolean
}

/** A card's use of one business date. `version` 0: no row yet. */
export interface DayImage {
  cardId: number
  businessDate: string
  usedMinor: number
  usedCount: number
  version: number
  changed: boolean
}

/** A customer's account. */
export interface AccountImage {
  id: number
  currency: string
  balanceMinor: number
  floorMinor: number
}

/** A posting that was read because its transaction may be undone. */
export interface PostingImage {
  id: number
  debitAccount: number
  creditAccount: number
  amountMinor: number
  currency: string
}

/**
 * An account as a posting names it: its number, or a role that gets its number before the write.
 */
export type AccountRef = number | { code: string }

export interface NewPosting {
  txnId: string
  debit: AccountRef
  credit: AccountRef
  amountMinor: number
  currency: string
  businessDate: string
  reverses: number | null
}

/** A transaction to be inserted: its image, and what only the row holds. */
export interface NewTxn {
  image: TxnImage
  facts: TxnFacts
  sent: IntentRequest | null
}

export interface NewSaf {
  destination: string
  cause: ReversalCause
  txnId: string
  token: string
  releasedMinor: number | null
}

/** The key remembered by an early reversal gets the facts of the original that came late. */
export interface Refill {
  placeholderId: string
  facts: TxnFacts
  answer: StoredAnswer
  events: TimelineEvent[]
}

/** What an act returns instead of a result when it has to wait for the next group. */
export const DEFER = Symbol('defer')
export type Defer = typeof DEFER

/** The rows under a group were read before another writer changed them: roll back, read again. */
export class StaleRead extends Error {}

/** A request that can never be done, e.g. an unknown transaction; says nothing about the others. */
export class RefusedRequest extends Error {}

export class Group {
  readonly nowMs: number
  readonly txnById = new Map<string, TxnImage>()
  readonly txnByKey = new Map<string, TxnImage>()
  readonly cards = new Map<string, CardImage>()
  readonly days = new Map<string, DayImage>()
  readonly accounts = new Map<number, AccountImage>()
  readonly postings = new Map<string, PostingImage[]>()
  readonly newTxns: NewTxn[] = []
  readonly newPostings: NewPosting[] = []
  readonly newSafs: NewSaf[] = []
  readonly safChanges = new Map<string, SafChange>()
  readonly refills: Refill[] = []
  readonly touched = new Set<TxnImage>() // rows read, to be updated
  openedRoles: Array<{ key: string; id: number }> = [] // found or opened for this group
  writes = false

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  /** Puts a transaction that will be inserted where later requests of the group find it. */
  insert(row: NewTxn): void {
    this.newTxns.push(row)
    this.txnById.set(row.image.id, row.image)
    this.txnByKey.set(row.image.businessKey, row.image)
    this.writes = true
  }

  /** Marks a row for the UPDATE. */
  touch(image: TxnImage): void {
    if (!image.inserted) this.touched.add(image)
    this.writes = true
  }

  /** The bucket of a card and date; a fresh one when the card was not used that day. */
  day(cardId: number, businessDate: string): DayImage {
    const key = `${cardId} ${businessDate}`
    let day = this.days.get(key)
    if (day === undefined) {
      day = { cardId, businessDate, usedMinor: 0, usedCount: 0, version: 0, changed: false }
      this.days.set(key, day)
    }
    return day
  }
}

/** The text form in which PostgreSQL shows a bytea. */
export function byteaText(bytes: Uint8Array): string {
  return '\\x' + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** The image of a transaction that this group inserts. */
export function newImage(facts: TxnFacts, state: TxnState, answer: StoredAnswer | null): TxnImage {
  return {
    id: facts.id,
    businessKey: facts.businessKey,
    bodyHash: facts.bodyHash,
    state,
    route: facts.route,
    destination: '',
    token: byteaText(facts.panToken),
    amountMinor: facts.amountMinor,
    currency: facts.currency,
    businessDate: facts.businessDate,
    consumedMinor: 0,
    postedCount: 0,
    releasedMinor: null,
    releaseWantedMinor: null,
    answer,
    reverseOf: null,
    reverseOutcome: null,
    changed: true,
    inserted: true,
    newEvents: [],
  }
}

/** An answer that carries a reason and nothing else but the reference number in force. */
export function bareAnswer(reason: string, rrn: string): StoredAnswer {
  return {
    reason,
    authCode: '',
    settlementDate: '',
    networkRrn: rrn,
    iccHex: '',
    balanceMinor: null,
    balanceCurrency: '',
  }
}
