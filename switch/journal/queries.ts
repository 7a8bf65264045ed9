/**
 * The statements of the journal outside groups, and what their rows mean.
 *
 * Used by `postgres.ts` on the reading connections. Each statement is one atomic act. It must never
 * hold SQL text made of input: everything goes in as a parameter.
 */
import type { QueryConfig, QueryResultRow } from 'pg'
import type { CardRow } from './group-read.ts'
import { LISTED_ROWS_MAX, RECOVER_BATCH } from './limits.ts'
import type {
  ReversalCause,
  SafRow,
  SafState,
  SafSummary,
  StoredAnswer,
  TimelineEvent,
  TxnFacts,
  TxnHistory,
  TxnKind,
  TxnState,
} from './port.ts'

/** A statement with the type of its rows. */
export interface Typed<R extends QueryResultRow> extends QueryConfig {
  readonly rowType?: R // never set; carries the type
}

interface TxnColumns extends QueryResultRow {
  id: string
  business_key: string
  body_hash: string
  state: TxnState
  kind: TxnKind
  source_link: string
  route: string
  mti: string
  stan: string
  rrn: string
  terminal_id: string
  merchant_id: string
  pan_token: Buffer
  pan_masked: string
  pan_sealed: Buffer
  amount_minor: string
  currency: string
  business_date: string
  received_at_ms: string
  record: string
  answer: StoredAnswer | null
  events: TimelineEvent[]
}

const TXN_COLUMNS = `t.id, t.business_key, t.body_hash, t.state, t.kind, t.source_link, t.route,
  t.mti, t.stan, t.rrn, t.terminal_id, t.merchant_id, t.pan_token, t.pan_masked, t.pan_sealed,
  t.amount_minor, t.currency, t.business_date::text AS business_date, t.received_at_ms,
  t.record::text AS record, t.answer, t.events`

function txnFacts(row: TxnColumns): TxnFacts {
  return {
    id: row.id,
    businessKey: row.business_key,
    bodyHash: row.body_hash,
    kind: row.kind,
    sourceLink: row.source_link,
    route: row.route,
    mti: row.mti,
    stan: row.stan,
    rrn: row.rrn,
    terminalId: row.terminal_id,
    merchantId: row.merchant_id,
    panToken: row.pan_token,
    panMasked: row.pan_masked,
    panSealed: row.pan_sealed,
    amountMinor: Number(row.amount_minor),
    currency: row.currency,
    businessDate: row.business_date,
    receivedAt: Number(row.received_at_ms),
    record: row.record,
  }
}

/** Cards by token. */
export function cardsQuery(tokens: string[]): Typed<{ row: CardRow }> {
  return {
    name: 'cards',
    text: 'SELECT row_to_json(card) AS row FROM card WHERE pan_token = ANY($1::bytea[])',
    values: [tokens],
  }
}

interface DueSafRow extends TxnColumns {
  saf_id: string
  destination: string
  saf_kind: 'reversal' | 'advice'
  cause: ReversalCause
  attempts: number
  released_minor: string | null
  sent_mti: string
  sent_stan: string
  sent_transmission_at: string
  reversal_stan: string
  reversal_transmission_at: string
}

/**
 * Rows of a destination that are due, longest due first. A card's next row waits until its earlier
 * one left the queue (acknowledged or parked), so the order per card is kept; rows without a card
 * have no order.
 */
export function dueSafQuery(destination: string, nowMs: number, limit: number): Typed<DueSafRow> {
  return {
    name: 'saf_due',
    text: `
      SELECT s.id AS saf_id, s.destination, s.kind AS saf_kind, s.cause, s.attempts,
             s.released_minor, s.reversal_stan, s.reversal_transmission_at,
             t.sent_mti, t.sent_stan, t.sent_transmission_at, ${TXN_COLUMNS}
      FROM saf s JOIN txn t ON t.id = s.txn_id
      WHERE s.destination = $1 AND s.state = 'queued' AND s.next_attempt_at_ms <= $2
        AND NOT EXISTS (
          SELECT 1 FROM saf earlier WHERE earlier.destination = s.destination
            AND earlier.pan_token = s.pan_token AND earlier.state = 'queued'
            AND earlier.id < s.id AND octet_length(s.pan_token) > 0)
      ORDER BY s.next_attempt_at_ms, s.id LIMIT $3`,
    values: [destination, nowMs, limit],
  }
}

/** A due row; `releasedMinor` is the part of the amount to release, or null for all of it. */
export function safRow(row: DueSafRow): SafRow & { releasedMinor: number | null } {
  return {
    id: row.saf_id,
    destination: row.destination,
    kind: row.saf_kind,
    cause: row.cause,
    txnId: row.id,
    attempts: row.attempts,
    facts: txnFacts(row),
    sentMti: row.sent_mti,
    sentStan: row.sent_stan,
    sentTransmissionAt: row.sent_transmission_at,
    answer: row.answer,
    reversalStan: row.reversal_stan,
    reversalTransmissionAt: row.reversal_transmission_at,
    releasedMinor: row.released_minor === null ? null : Number(row.released_minor),
  }
}

interface SafListRow extends QueryResultRow {
  id: string
  txn_id: string
  destination: string
  kind: string
  state: SafState
  attempts: number
  last_answer: string
  queued_at_ms: string
  next_attempt_at_ms: string
  rrn: string
  pan_masked: string
  amount_minor: string
  currency: string
}

const SAF_SELECT = `
  SELECT s.id, s.txn_id, s.destination, s.kind, s.state, s.attempts, s.last_answer, s.queued_at_ms,
         s.next_attempt_at_ms, t.rrn, t.pan_masked, coalesce(s.released_minor, t.amount_minor)
         AS amount_minor, t.currency
  FROM saf s JOIN txn t ON t.id = s.txn_id`

/** Open rows first, oldest first; then the newest acknowledged ones. */
export function safListQuery(): Typed<SafListRow> {
  return {
    text: `(${SAF_SELECT} WHERE s.state <> 'acknowledged' ORDER BY s.id LIMIT ${LISTED_ROWS_MAX})
           UNION ALL
           (${SAF_SELECT} WHERE s.state = 'acknowledged' ORDER BY s.id DESC LIMIT 100)`,
  }
}

/** A listed row as the port shows it. */
export function safSummary(row: SafListRow): SafSummary {
  return {
    id: row.id,
    destination: row.destination,
    kind: row.kind,
    state: row.state,
    attempts: row.attempts,
    lastAnswer: row.last_answer,
    rrn: row.rrn,
    panMasked: row.pan_masked,
    amountMinor: Number(row.amount_minor),
    currency: row.currency,
    queuedAt: Number(row.queued_at_ms),
    nextAttemptAt: Number(row.next_attempt_at_ms),
  }
}

/**
 * Settles up to RECOVER_BATCH intents as timed out, each with its reversal; running it twice
 * changes nothing more.
 */
export function recoverQuery(nowMs: number): QueryConfig {
  return {
    text: `
      WITH open AS MATERIALIZED (
        SELECT id, destination, pan_token, rrn, kind FROM txn WHERE state = 'intent'
        ORDER BY business_key LIMIT ${RECOVER_BATCH} FOR UPDATE
      ), settled AS (
        UPDATE txn SET state = CASE WHEN txn.kind = 'balance' THEN 'declined' ELSE 'timed_out' END,
          answer = jsonb_build_object('reason', 'timeout', 'authCode', '', 'settlementDate', '',
            'networkRrn', open.rrn, 'iccHex', '', 'balanceMinor', NULL, 'balanceCurrency', ''),
          events = txn.events || jsonb_build_array(jsonb_build_object(
            'atMs', $1::bigint, 'what', 'intent.recovered', 'detail', 'restart'))
        FROM open WHERE txn.id = open.id
        RETURNING 1
      ), stored AS (
        INSERT INTO saf (destination, kind, cause, txn_id, pan_token, queued_at_ms,
                         next_attempt_at_ms)
        SELECT destination, 'reversal', 'restart', id, pan_token, $1, $1 FROM open
        WHERE kind <> 'balance' -- an inquiry moved nothing
        ON CONFLICT (txn_id) WHERE kind = 'reversal' DO NOTHING
      ), due AS ( -- also where the clock was set back meanwhile
        UPDATE saf SET next_attempt_at_ms = $1 WHERE state = 'queued' AND next_attempt_at_ms > $1
      )
      SELECT count(*)::int AS settled FROM settled`,
    values: [nowMs],
  }
}

/** Parked rows of a reference number are due again now. */
export function requeueSafQuery(rrn: string, nowMs: number): QueryConfig {
  return {
    text: `
      UPDATE saf SET state = 'queued', settled_at = NULL, attempts = 0,
        next_attempt_at_ms = $2::bigint
      FROM txn WHERE txn.id = saf.txn_id AND txn.rrn = $1 AND saf.state = 'parked'
      RETURNING saf.id::text AS id`,
    values: [rrn, Math.floor(nowMs)],
  }
}

/** Takes a block; one that would pass `max` begins at 1 again, so a block never has a gap. */
export function numbersQuery(counter: string, count: number, max: number): QueryConfig {
  return {
    name: 'numbers',
    text: `
      INSERT INTO number_block (counter, last_taken) VALUES ($1, $2::bigint)
      ON CONFLICT (counter) DO UPDATE SET last_taken = CASE
        WHEN number_block.last_taken + $2::bigint > $3::bigint THEN $2::bigint
        ELSE number_block.last_taken + $2::bigint END
      RETURNING last_taken - $2::bigint + 1 AS first`,
    values: [counter, count, max],
  }
}

/** Transactions of a reference number, oldest first. */
export function historyQuery(rrn: string): Typed<TxnColumns> {
  return {
    text: `SELECT ${TXN_COLUMNS} FROM txn t WHERE rrn = $1
           ORDER BY received_at_ms, id LIMIT ${LISTED_ROWS_MAX}`,
    values: [rrn],
  }
}

interface HistoryPostingRow extends QueryResultRow {
  txn_id: string
  debit: string
  credit: string
  amount_minor: string
  currency: string
  business_date: string
  posted_at_ms: string
  reverses: boolean
}

/** Postings of transactions, in order. */
export function historyPostingsQuery(txnIds: string[]): Typed<HistoryPostingRow> {
  return {
    text: `
      SELECT p.txn_id, d.code AS debit, c.code AS credit, p.amount_minor, p.currency,
             p.business_date::text AS business_date,
             floor(extract(epoch FROM p.posted_at) * 1000)::bigint AS posted_at_ms,
             p.reverses IS NOT NULL AS reverses
      FROM posting p JOIN account d ON d.id = p.debit_account
                     JOIN account c ON c.id = p.credit_account
      WHERE p.txn_id = ANY($1::text[]) ORDER BY p.id`,
    values: [txnIds],
  }
}

/** Store-and-forward rows of transactions. */
export function historySafQuery(txnIds: string[]): Typed<SafListRow> {
  return { text: `${SAF_SELECT} WHERE s.txn_id = ANY($1::text[]) ORDER BY s.id`, values: [txnIds] }
}

/** Puts transactions, their postings and their SAF rows together. */
export function histories(
  txns: TxnColumns[],
  postings: HistoryPostingRow[],
  safs: SafListRow[],
): TxnHistory[] {
  return txns.map((txn) => {
    const { panToken: _1, panSealed: _2, record: _3, bodyHash: _4, ...facts } = txnFacts(txn)
    return {
      facts,
      state: txn.state,
      answer: txn.answer,
      events: txn.events,
      postings: postings
        .filter((posting) => posting.txn_id === txn.id)
        .map((posting) => ({
          debit: posting.debit,
          credit: posting.credit,
          amountMinor: Number(posting.amount_minor),
          currency: posting.currency,
          businessDate: posting.business_date,
          postedAt: Number(posting.posted_at_ms),
          reverses: posting.reverses,
        })),
      saf: safs.filter((saf) => saf.txn_id === txn.id).map(safSummary),
    }
  })
}

/** One wrapped key. */
export function keyBlockQuery(name: string): Typed<{ block: string }> {
  return { text: 'SELECT block FROM key_block WHERE name = $1', values: [name] }
}

/** Stores or replaces a wrapped key. */
export function putKeyBlockQuery(
  name: string,
  block: string,
  kcv: string,
  usage: string,
): QueryConfig {
  return {
    text: `
      INSERT INTO key_block (name, block, kcv, usage) VALUES ($1, $2, $3, $4)
      ON CONFLICT (name) DO UPDATE SET block = excluded.block, kcv = excluded.kcv,
        usage = excluded.usage, stored_at = now()`,
    values: [name, block, kcv, usage],
  }
}

/** Removes the mark of a writer that ends. */
export function forgetWriterQuery(writer: string): QueryConfig {
  return { text: 'DELETE FROM journal_writer WHERE writer = $1', values: [writer] }
}
