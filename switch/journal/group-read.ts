/**
 * The statement of a group that reads and locks all rows its requests need, and what its rows mean.
 *
 * Called by `writer.ts` as the first statement of a transaction. Locks are taken in one order
 * everywhere (transactions by key, cards, then accounts by number), so that two nodes cannot wait
 * for each other. It must never decide anything. The writer's session forbids sequential scans,
 * hash and merge joins: every access here is by key, and a plan made for an empty table must not
 * outlive it.
 */
import type { QueryConfig } from 'pg'
import { byteaText } from './group.ts'
import type { CardImage, Group, GroupRequest, TxnImage } from './group.ts'
import type { Card, ReverseOutcome, StoredAnswer, TxnState } from './port.ts'

/** What a batch of requests needs to see. */
interface Wanted {
  keys: Set<string>
  ids: Set<string>
  tokens: Set<string>
  dates: Set<string>
  originals: Set<string>
}

/**
 * `= ANY(ARRAY(...))` and not `IN (...)`: an array can only be looked up by index, a join may scan
 * the whole table.
 */
const READ_SQL = `
WITH t AS MATERIALIZED (
  SELECT id, business_key, body_hash, state, route, destination, pan_token, amount_minor, currency,
         business_date, consumed_minor, posted_count, released_minor, release_wanted_minor, answer,
         reverse_of, reverse_outcome
  FROM txn WHERE business_key = ANY($1::text[]) OR id = ANY($2::text[])
  ORDER BY business_key FOR UPDATE
), c AS MATERIALIZED (
  SELECT * FROM card WHERE pan_token = ANY(ARRAY(
    SELECT unnest($3::bytea[]) UNION SELECT pan_token FROM t WHERE route = 'on_us'))
  ORDER BY id FOR UPDATE
), d AS MATERIALIZED (
  SELECT * FROM card_day
  WHERE card_id = ANY(ARRAY(SELECT id FROM c)) AND business_date = ANY(ARRAY(
    SELECT unnest($4::date[]) UNION SELECT business_date FROM t))
  ORDER BY card_id, business_date FOR UPDATE
), a AS MATERIALIZED (
  SELECT id, currency, credits_minor - debits_minor AS balance_minor, floor_minor
  FROM account WHERE id = ANY(ARRAY(SELECT account_id FROM c)) AND floor_minor IS NOT NULL
  ORDER BY id FOR NO KEY UPDATE
), p AS MATERIALIZED (
  SELECT id, txn_id, debit_account, credit_account, amount_minor, currency FROM posting
  WHERE txn_id = ANY(ARRAY(
    SELECT id FROM t WHERE state = 'approved' AND business_key = ANY($5::text[])))
  ORDER BY id
)
SELECT 't' AS what, row_to_json(t) AS row FROM t UNION ALL
SELECT 'c', row_to_json(c) FROM c UNION ALL
SELECT 'd', row_to_json(d) FROM d UNION ALL
SELECT 'a', row_to_json(a) FROM a UNION ALL
SELECT 'p', row_to_json(p) FROM p`

interface TxnRow {
  id: string
  business_key: string
  body_hash: string
  state: TxnState
  route: string
  destination: string
  pan_token: string
  amount_minor: number
  currency: string
  business_date: string
  consumed_minor: number
  posted_count: number
  released_minor: number | null
  release_wanted_minor: number | null
  answer: StoredAnswer | null
  reverse_of: string | null
  reverse_outcome: ReverseOutcome | null
}

/** A row of `card` as row_to_json shows it. */
export interface CardRow {
  id: number
  pan_token: string
  account_id: number
  status: Card['status']
  expiry: string
  pvki: string
  pvv: string
  pin_offset: string
  pin_tries_left: number
  pan_sequence: string
  key_set: string
  daily_limit_minor: number
  daily_count_max: number | null
}

interface DayRow {
  card_id: number
  business_date: string
  used_minor: number
  used_count: number
  version: number
}

interface AccountRow {
  id: number
  currency: string
  balance_minor: number
  floor_minor: number
}

interface PostingRow {
  id: number
  txn_id: string
  debit_account: number
  credit_account: number
  amount_minor: number
  currency: string
}

/** One row of the read statement. */
export type ReadRow =
  | { what: 't'; row: TxnRow }
  | { what: 'c'; row: CardRow }
  | { what: 'd'; row: DayRow }
  | { what: 'a'; row: AccountRow }
  | { what: 'p'; row: PostingRow }

/** The statement that reads and locks what the requests need. */
export function readQuery(requests: Iterable<GroupRequest>): QueryConfig {
  const wanted: Wanted = {
    keys: new Set(['']), // never empty, see WRITE_SQL in group-write.ts
    ids: new Set(['']),
    tokens: new Set(),
    dates: new Set(),
    originals: new Set(),
  }
  for (const request of requests) want(wanted, request)
  return {
    name: 'group_read',
    text: READ_SQL,
    values: [
      [...wanted.keys],
      [...wanted.ids],
      [...wanted.tokens],
      [...wanted.dates],
      [...wanted.originals],
    ],
  }
}

function want(wanted: Wanted, request: GroupRequest): void {
  switch (request.act) {
    case 'authorize':
      wanted.tokens.add(byteaText(request.request.facts.panToken))
      wanted.dates.add(request.request.facts.businessDate)
      wanted.keys.add(request.request.facts.businessKey)
      break
    case 'intend':
      wanted.keys.add(request.request.facts.businessKey)
      break
    case 'conclude':
      wanted.ids.add(request.request.txnId)
      break
    case 'reverse':
      wanted.keys.add(request.request.facts.businessKey)
      wanted.keys.add(request.request.originalKey)
      wanted.originals.add(request.request.originalKey)
      break
    case 'note':
      wanted.ids.add(request.txnId)
      break
    case 'saf':
      break
  }
}

/** Puts the rows of the read statement into the group. */
export function fillGroup(group: Group, rows: ReadRow[]): void {
  for (const { what, row } of rows) {
    if (what === 't') {
      const image = txnImage(row)
      group.txnById.set(image.id, image)
      group.txnByKey.set(image.businessKey, image)
    } else if (what === 'c') {
      group.cards.set(row.pan_token, cardImage(row))
    } else if (what === 'd') {
      Object.assign(group.day(row.card_id, row.business_date), {
        usedMinor: row.used_minor,
        usedCount: row.used_count,
        version: row.version,
      })
    } else if (what === 'a') {
      group.accounts.set(row.id, {
        id: row.id,
        currency: row.currency,
        balanceMinor: exact(row.balance_minor),
        floorMinor: row.floor_minor,
      })
    } else {
      const posting = {
        id: row.id,
        debitAccount: row.debit_account,
        creditAccount: row.credit_account,
        amountMinor: row.amount_minor,
        currency: row.currency,
      }
      const list = group.postings.get(row.txn_id)
      if (list === undefined) group.postings.set(row.txn_id, [posting])
      else list.push(posting)
    }
  }
}

function txnImage(row: TxnRow): TxnImage {
  return {
    id: row.id,
    businessKey: row.business_key,
    bodyHash: row.body_hash,
    state: row.state,
    route: row.route,
    destination: row.destination,
    token: row.pan_token,
    amountMinor: row.amount_minor,
    currency: row.currency,
    businessDate: row.business_date,
    consumedMinor: row.consumed_minor,
    postedCount: row.posted_count,
    releasedMinor: row.released_minor,
    releaseWantedMinor: row.release_wanted_minor,
    answer: row.answer,
    reverseOf: row.reverse_of,
    reverseOutcome: row.reverse_outcome,
    changed: false,
    inserted: false,
    newEvents: [],
  }
}

/** A card row with its keys in the database. */
export function cardImage(row: CardRow): CardImage {
  const card: Card = {
    panToken: Buffer.from(row.pan_token.slice(2), 'hex'),
    accountId: String(row.account_id),
    status: row.status,
    expiry: row.expiry,
    pvki: row.pvki,
    pvv: row.pvv,
    pinOffset: row.pin_offset,
    pinTriesLeft: row.pin_tries_left,
    panSequence: row.pan_sequence,
    keySet: row.key_set,
    dailyLimitMinor: row.daily_limit_minor,
  }
  const { id, account_id: accountId, daily_count_max: dailyCountMax } = row
  return { id, accountId, card, dailyCountMax, changed: false }
}

/** A JSON number that was a bigint: beyond 2^53 it would silently be another amount. */
function exact(value: number): number {
  if (!Number.isSafeInteger(value)) throw new Error('an amount in the database is beyond 2^53')
  return value
}
