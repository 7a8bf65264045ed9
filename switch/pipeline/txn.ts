/**
 * The transaction record: one canonical form for whatever dialect a request came in.
 *
 * Made by run.ts for each request, filled by read-request.ts, changed by steps, read by items.ts
 * when messages are built. One class, all fields set, so that every transaction has the same shape.
 * What must not be seen is of a type that masks itself. It lives as long as its request; what
 * survives is the journal's row (design.md section 5).
 */

import type { Card, StoredAnswer, TimelineEvent, TxnKind } from '../journal/port.ts'
import { View } from '../codec/view.ts'
import type { Link, Message } from '../link/contract.ts'
import { Pan, type Secret } from '../secrets.ts'
import type { Reason } from '../reasons.ts'
import type { Issuer, Terminal } from './context.ts'
import { TIMELINE_EVENTS_MAX } from '../limits.ts'

/** What a request asks for: a financial kind, or one of the kinds that move no money. */
export type RequestKind =
  | TxnKind
  | 'reversal'
  | 'terminal_sign_on'
  | 'terminal_control'
  | 'key_exchange'

const NO_ANSWER: StoredAnswer = {
  reason: '',
  authCode: '',
  settlementDate: '',
  networkRrn: '',
  iccHex: '',
  balanceMinor: null,
  balanceCurrency: '',
}

/** A request as a network saw it: what DE90 of its reversal names. */
export interface SentRequest {
  mti: string
  stan: string
  at: string // DE7
}

export class Txn {
  readonly id: string
  readonly link: Link
  readonly message: Message
  kind: RequestKind | null = null
  terminal: Terminal | null = null
  issuer: Issuer | null = null
  card: Card | null = null
  route = '' // 'on_us', a link name, or empty while not chosen

  // As the originator sent it; empty text where the message had no such field.
  processing = '' // six digits
  amountMinor = 0
  currency = ''
  stan = ''
  transmissionAt = '' // MMDDhhmmss
  localTime = '' // hhmmss
  localDate = '' // MMDD
  expiry = '' // YYMM
  mcc = ''
  entryMode = '' // as the dialect writes it, three or four digits
  panSequence = '' // three digits
  condition = ''
  pinCapture = ''
  acquirer = ''
  forwarder = ''
  rrn = ''
  authCode = ''
  terminalId = ''
  merchantId = ''
  batch = ''
  securityControl = '' // DE53
  reasonCode = '' // why a terminal reverses, as it says
  location: Uint8Array | null = null // DE43 as sent
  icc: Uint8Array | null = null // BER-TLV of DE55 without any wrapper
  pan: Pan | null = null
  track2: Secret<string> | null = null
  pinBlock: Secret<Uint8Array> | null = null
  reversedAmountMinor: number | null = null // of a reversal we got: how much; null = all
  remainingMinor: number | null = null // of a reversal we send: what stays; null = nothing

  // Identity.
  businessKey = ''
  originalKey = ''
  bodyHash = ''
  panToken: Uint8Array | null = null
  businessDate = ''

  // What checks found.
  pinFound: 'absent' | 'ok' | 'wrong' | 'unverifiable' = 'absent'
  cryptogramFound: 'absent' | 'ok' | 'bad' | 'unverifiable' = 'absent'

  // Towards the destination.
  forwardPinBlock: Secret<Uint8Array> | null = null
  sentMti = ''
  sentStan = ''
  sentTransmissionAt = ''
  /** Of a reversal that we send: the request it undoes, as it was sent. */
  original: SentRequest = { mti: '', stan: '', at: '' }

  // The result.
  answer: StoredAnswer = NO_ANSWER
  answerIcc: Uint8Array | null = null
  /** Name of the key under which the request's MAC was right; it signs the answer too. */
  macKey = ''
  answerKeys: Uint8Array | null = null // working keys for a terminal's sign-on
  replayed = false
  /** A row of this transaction is in the journal. */
  journaled = false
  /** The database may or may not hold an approval: neither yes nor no may be said. */
  silent = false

  readonly events: TimelineEvent[] = []
  /** Microseconds by step, for the log line; steps that took nothing measurable are left out. */
  readonly stepsUs: Record<string, number> = {}
  /** Transactions whose request is the same as this one and wait for its answer. */
  readonly waiting: Txn[] = []

  constructor(id: string, message: Message) {
    this.id = id
    this.link = message.link
    this.message = message
  }

  /**
   * Adds to the timeline, within its bound; `detail` is a closed word or a number, never card data.
   */
  note(atMs: number, what: string, detail: string): void {
    if (this.events.length < TIMELINE_EVENTS_MAX) this.events.push({ atMs, what, detail })
  }

  /** Counts the time a step took, milliseconds with a fraction. */
  took(step: string, elapsedMs: number): void {
    const us = Math.round(elapsedMs * 1000)
    if (us > 0) this.stepsUs[step] = (this.stepsUs[step] ?? 0) + us
  }

  /** Sets the reason; the other parts of the answer stay what they are. */
  refuse(reason: Reason): void {
    this.answer = { ...this.answer, reason }
  }
}

/**
 * The canonical fields that are not sensitive, by name; what the journal's `record` column holds.
 */
const RECORD_FIELDS = [
  'processing', 'amountMinor', 'currency', 'stan', 'transmissionAt', 'localTime', 'localDate',
  'expiry', 'mcc', 'entryMode', 'panSequence', 'condition', 'pinCapture', 'acquirer', 'forwarder',
  'rrn', 'terminalId', 'merchantId',
  'batch', 'securityControl', 'sentMti', 'sentStan', 'sentTransmissionAt', 'businessDate',
] as const satisfies ReadonlyArray<keyof Txn>

export type TxnRecord = Pick<Txn, (typeof RECORD_FIELDS)[number]> & { locationHex: string }

/** What the journal's row adds to the record when a reversal is made of it. */
export interface Restored {
  kind: TxnKind
  pan: Pan
  answer: StoredAnswer | null
  route: string
  original: SentRequest
  remainingMinor: number | null
  stan: string // of the reversal
  at: string // DE7 of the reversal
}

/**
 * A transaction out of its journal row, to build its reversal from; it has no request and no
 * secrets but the PAN.
 */
export function restoreTxn(id: string, link: Link, record: TxnRecord, row: Restored): Txn {
  const txn = new Txn(id, noMessage(link))
  const { locationHex, ...values } = record
  Object.assign(txn, values)
  txn.location = locationHex ? Buffer.from(locationHex, 'hex') : null
  txn.kind = row.kind
  txn.pan = row.pan
  txn.answer = row.answer ?? NO_ANSWER
  txn.route = row.route
  txn.original = row.original
  txn.remainingMinor = row.remainingMinor
  txn.businessDate = record.businessDate
  txn.sentStan = row.stan
  txn.sentTransmissionAt = row.at
  return txn
}

function noMessage(link: Link): Message {
  return {
    link,
    connectionId: 0,
    envelope: new Uint8Array(0),
    view: new View(),
    receivedAtMs: 0,
    receivedMono: 0,
    release: () => undefined,
  }
}

/**
 * What a later reversal needs of this transaction, as JSON; no PAN, track, PIN block or chip data.
 */
export function recordOf(txn: Txn): string {
  const record: Record<string, unknown> = {}
  for (const name of RECORD_FIELDS) record[name] = txn[name]
  record['locationHex'] = txn.location ? Buffer.from(txn.location).toString('hex') : ''
  return JSON.stringify(record)
}
