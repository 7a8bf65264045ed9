/**
 * The two statements of a group: one that reads and locks all rows its requests need, one that writes all it changed.
 *
 * Called by `postgres.ts` inside a transaction. Locks are taken in one order everywhere (transactions by key, cards, then
 * accounts by number), so that two nodes cannot wait for each other. Decisions are made elsewhere. The writer's session
 * forbids sequential scans, hash and merge joins: every access here is by key, and a plan made for an empty table must not
 * outlive it.
 */
import type { QueryConfig } from 'pg'
import { EVENTS_PER_TXN_MAX } from './limits.ts'
import { byteaText, StaleRead } from './group.ts'
import type { AccountRef, CardImage, Group, GroupRequest, NewPosting, TxnImage } from './group.ts'
import type { Card, ReverseOutcome, StoredAnswer, TxnState } from './port.ts'

/** What a batch of requests needs to see. */
interface Wanted {
  keys: Set<string>
  ids: Set<string>
  tokens: Set<string>
  dates: Set<string>
  originals: Set<string>
}

const READ_SQL = `
WITH t AS MATERIALIZED (
  SELECT id, business_key, body_hash, state, route, destination, pan_token, amount_minor, currency,
         business_date, consumed_minor, posted_count, released_minor, release_wanted_minor, answer,
         reverse_of, reverse_outcome
  FROM txn WHERE business_key = ANY($1::text[]) OR id = ANY($2::text[])
  ORDER BY business_key FOR UPDATE
), c AS MATERIALIZED (
  SELECT * FROM card WHERE pan_token IN (
    SELECT unnest($3::bytea[]) UNION SELECT pan_token FROM t WHERE route = 'on_us')
  ORDER BY id FOR UPDATE
), d AS MATERIALIZED (
  SELECT * FROM card_day WHERE card_id IN (SELECT id FROM c) AND business_date IN (
    SELECT unnest($4::date[]) UNION SELECT business_date FROM t)
), a AS MATERIALIZED (
  SELECT id, currency, credits_minor - debits_minor AS balance_minor, floor_minor
  FROM account WHERE id IN (SELECT account_id FROM c) AND kind = 'customer'
  ORDER BY id FOR NO KEY UPDATE
), p AS MATERIALIZED (
  SELECT id, txn_id, debit_account, credit_account, amount_minor, currency FROM posting
  WHERE txn_id IN (
    SELECT id FROM t WHERE state = 'approved' AND business_key = ANY($5::text[]))
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
    keys: new Set(),
    ids: new Set(),
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

/** Finds role accounts and opens those that are missing; see `accountsNeeded`. */
export const ROLES_SQL = `
WITH wanted AS (
  SELECT DISTINCT code, currency FROM unnest($1::text[], $2::text[]) AS w (code, currency)
), opened AS (
  INSERT INTO account (code, kind, currency)
  SELECT code, 'role', currency FROM wanted
  WHERE code NOT LIKE 'customer:%' AND NOT EXISTS (
    SELECT 1 FROM account WHERE account.code = wanted.code AND account.currency = wanted.currency)
  ORDER BY code, currency
  ON CONFLICT DO NOTHING
  RETURNING id, code, currency
)
SELECT id, code, currency FROM opened UNION ALL
SELECT account.id, account.code, account.currency FROM account JOIN wanted USING (code, currency)`

/** Key of a role account in the journal's memory. */
export function roleKey(code: string, currency: string): string {
  return `${currency} ${code}`
}

/** Roles that the group's postings name and that are not known yet. */
export function rolesNeeded(
  group: Group,
  known: (key: string) => boolean,
): { codes: string[]; currencies: string[] } {
  const needed = new Map<string, { code: string; currency: string }>()
  const look = (ref: AccountRef, currency: string): void => {
    if (typeof ref === 'number') return
    const key = roleKey(ref.code, currency)
    if (!known(key)) needed.set(key, { code: ref.code, currency })
  }
  for (const posting of group.newPostings) {
    look(posting.debit, posting.currency)
    look(posting.credit, posting.currency)
  }
  const list = [...needed.values()]
  return { codes: list.map((role) => role.code), currencies: list.map((role) => role.currency) }
}

const WRITE_SQL = `
WITH mark AS (
  INSERT INTO journal_writer (writer, group_mark, fence) VALUES ($8::text, $9::bigint, $10::bigint)
  ON CONFLICT (writer) DO UPDATE SET group_mark = excluded.group_mark, fence = excluded.fence,
    marked_at = now()
    WHERE journal_writer.fence <= excluded.fence
  RETURNING 1
), inserted AS (
  INSERT INTO txn (id, business_key, body_hash, state, kind, source_link, route, mti, stan, rrn,
    terminal_id, merchant_id, pan_token, pan_masked, pan_sealed, amount_minor, currency,
    business_date, received_at_ms, record, destination, sent_mti, sent_stan, sent_transmission_at,
    sent_key, answer, consumed_minor, posted_count, reverse_of, reverse_outcome, events)
  SELECT id, business_key, body_hash, state, kind, source_link, route, mti, stan, rrn,
    terminal_id, merchant_id, pan_token, pan_masked, pan_sealed, amount_minor, currency,
    business_date, received_at_ms, record::jsonb, destination, sent_mti, sent_stan,
    sent_transmission_at, sent_key, answer, consumed_minor, posted_count, reverse_of,
    reverse_outcome, events
  FROM json_to_recordset($1::json) AS r (id text, business_key text, body_hash text, state text,
    kind text, source_link text, route text, mti text, stan text, rrn text, terminal_id text,
    merchant_id text, pan_token bytea, pan_masked text, pan_sealed bytea, amount_minor bigint,
    currency text, business_date date, received_at_ms bigint, record text, destination text,
    sent_mti text, sent_stan text, sent_transmission_at text, sent_key text, answer jsonb,
    consumed_minor bigint, posted_count integer, reverse_of text, reverse_outcome text,
    events jsonb)
  ORDER BY r.business_key
  RETURNING 1
), updated AS (
  UPDATE txn SET state = r.state, answer = r.answer, posted_count = r.posted_count,
    released_minor = r.released_minor, release_wanted_minor = r.release_wanted_minor,
    events = CASE WHEN jsonb_array_length(txn.events) < ${EVENTS_PER_TXN_MAX}
                  THEN txn.events || r.events ELSE txn.events END
  FROM json_to_recordset($2::json) AS r (id text, state text, answer jsonb, posted_count integer,
    released_minor bigint, release_wanted_minor bigint, events jsonb)
  WHERE txn.id = r.id
  RETURNING 1
), posted AS (
  INSERT INTO posting (txn_id, debit_account, credit_account, amount_minor, currency,
    business_date, reverses)
  SELECT txn_id, debit_account, credit_account, amount_minor, currency, business_date, reverses
  FROM json_to_recordset($3::json) AS r (txn_id text, debit_account bigint, credit_account bigint,
    amount_minor bigint, currency text, business_date date, reverses bigint)
), carded AS (
  UPDATE card SET pin_tries_left = r.pin_tries_left
  FROM json_to_recordset($4::json) AS r (id bigint, pin_tries_left smallint)
  WHERE card.id = r.id
), dayed AS (
  INSERT INTO card_day (card_id, business_date, used_minor, used_count, version)
  SELECT card_id, business_date, used_minor, used_count, version
  FROM json_to_recordset($5::json) AS r (card_id bigint, business_date date, used_minor bigint,
    used_count integer, version integer)
  ORDER BY card_id, business_date
  ON CONFLICT (card_id, business_date) DO UPDATE SET used_minor = excluded.used_minor,
    used_count = excluded.used_count, version = excluded.version
    WHERE card_day.version = excluded.version - 1
  RETURNING 1
), stored AS (
  INSERT INTO saf (destination, kind, cause, txn_id, pan_token, released_minor, queued_at_ms,
    next_attempt_at_ms)
  SELECT destination, 'reversal', cause, txn_id, pan_token, released_minor, at_ms, at_ms
  FROM json_to_recordset($6::json) AS r (destination text, cause text, txn_id text,
    pan_token bytea, released_minor bigint, at_ms bigint)
  ON CONFLICT (txn_id) WHERE kind = 'reversal' DO NOTHING
), forwarded AS (
  UPDATE saf SET
    attempts = saf.attempts + (r.op = 'attempt')::int,
    next_attempt_at_ms = CASE WHEN r.op = 'attempt' THEN r.next_attempt_at_ms
                              ELSE saf.next_attempt_at_ms END,
    reversal_stan = coalesce(nullif(saf.reversal_stan, ''), r.stan),
    reversal_transmission_at = coalesce(nullif(saf.reversal_transmission_at, ''), r.transmission_at),
    state = CASE r.op WHEN 'acknowledge' THEN 'acknowledged' WHEN 'park' THEN 'parked'
                      ELSE saf.state END,
    settled_at = CASE WHEN r.op = 'attempt' THEN NULL ELSE now() END,
    last_answer = CASE WHEN r.op = 'attempt' THEN saf.last_answer ELSE r.last_answer END,
    why = CASE WHEN r.op = 'park' THEN r.why ELSE saf.why END
  FROM json_to_recordset($7::json) AS r (id bigint, op text, stan text, transmission_at text,
    next_attempt_at_ms bigint, last_answer text, why text)
  WHERE saf.id = r.id AND (saf.state = 'queued' OR (saf.state = 'parked' AND r.op = 'acknowledge'))
)
SELECT journal_expect('writer', (SELECT count(*) FROM mark), 1),
       journal_expect('transactions inserted', (SELECT count(*) FROM inserted),
                      json_array_length($1::json)),
       journal_expect('transactions updated', (SELECT count(*) FROM updated),
                      json_array_length($2::json)),
       journal_expect('card days', (SELECT count(*) FROM dayed), json_array_length($5::json))`

/**
 * The statement that writes everything the group changed.
 *
 * @param roles numbers of the role accounts by `roleKey`
 * @param writer whose mark is set, to what, and the fence it counts on
 * @throws StaleRead when a role account is not known, i.e. another node is just opening it
 */
export function writeQuery(
  group: Group,
  roles: (key: string) => number | undefined,
  writer: { name: string; mark: number; fence: number },
): QueryConfig {
  const cards = [...group.cards.values()].filter((card) => card.changed)
  const days = [...group.days.values()].filter((day) => day.changed)
  return {
    name: 'group_write',
    text: WRITE_SQL,
    values: [
      JSON.stringify(insertedRows(group)),
      JSON.stringify([...group.touched].map(updatedRow)),
      JSON.stringify(group.newPostings.map((posting) => postingRow(posting, roles))),
      JSON.stringify(cards.map(({ id, card }) => ({ id, pin_tries_left: card.pinTriesLeft }))),
      JSON.stringify(
        days.map((day) => ({
          card_id: day.cardId,
          business_date: day.businessDate,
          used_minor: day.usedMinor,
          used_count: day.usedCount,
          version: day.version + 1,
        })),
      ),
      JSON.stringify(
        group.newSafs.map((saf) => ({
          destination: saf.destination,
          cause: saf.cause,
          txn_id: saf.txnId,
          pan_token: saf.token,
          released_minor: saf.releasedMinor,
          at_ms: group.nowMs,
        })),
      ),
      JSON.stringify(safRows(group)),
      writer.name,
      writer.mark,
      writer.fence,
    ],
  }
}

function insertedRows(group: Group): unknown[] {
  return group.newTxns.map(({ image, facts, sent }) => ({
    id: facts.id,
    business_key: facts.businessKey,
    body_hash: facts.bodyHash,
    state: image.state,
    kind: facts.kind,
    source_link: facts.sourceLink,
    route: facts.route,
    mti: facts.mti,
    stan: facts.stan,
    rrn: facts.rrn,
    terminal_id: facts.terminalId,
    merchant_id: facts.merchantId,
    pan_token: image.token,
    pan_masked: facts.panMasked,
    pan_sealed: byteaText(facts.panSealed),
    amount_minor: facts.amountMinor,
    currency: facts.currency,
    business_date: facts.businessDate,
    received_at_ms: Math.floor(facts.receivedAt),
    record: facts.record === '' ? '{}' : facts.record,
    destination: image.destination,
    sent_mti: sent === null ? '' : sent.sentMti,
    sent_stan: sent === null ? '' : sent.sentStan,
    sent_transmission_at: sent === null ? '' : sent.sentTransmissionAt,
    sent_key: sent === null ? '' : sent.sentKey,
    answer: image.answer,
    consumed_minor: image.consumedMinor,
    posted_count: image.postedCount,
    reverse_of: image.reverseOf,
    reverse_outcome: image.reverseOutcome,
    events: image.newEvents,
  }))
}

function updatedRow(image: TxnImage): unknown {
  return {
    id: image.id,
    state: image.state,
    answer: image.answer,
    posted_count: image.postedCount,
    released_minor: image.releasedMinor,
    release_wanted_minor: image.releaseWantedMinor,
    events: image.newEvents,
  }
}

function postingRow(posting: NewPosting, roles: (key: string) => number | undefined): unknown {
  const number = (ref: AccountRef): number => {
    if (typeof ref === 'number') return ref
    const id = roles(roleKey(ref.code, posting.currency))
    if (id === undefined) throw new StaleRead('role account')
    return id
  }
  return {
    txn_id: posting.txnId,
    debit_account: number(posting.debit),
    credit_account: number(posting.credit),
    amount_minor: posting.amountMinor,
    currency: posting.currency,
    business_date: posting.businessDate,
    reverses: posting.reverses,
  }
}

function safRows(group: Group): unknown[] {
  return [...group.safChanges.values()].map((change) => ({
    id: change.id,
    op: change.op,
    stan: change.stan,
    transmission_at: change.transmissionAt,
    next_attempt_at_ms: change.nextAttemptAtMs,
    last_answer: change.lastAnswer,
    why: change.why,
  }))
}

const REFILL_SQL = `
UPDATE txn SET id = r.id, body_hash = r.body_hash, state = 'declined', kind = r.kind,
  source_link = r.source_link, route = r.route, mti = r.mti, stan = r.stan, rrn = r.rrn,
  terminal_id = r.terminal_id, merchant_id = r.merchant_id, pan_token = r.pan_token,
  pan_masked = r.pan_masked, pan_sealed = r.pan_sealed, amount_minor = r.amount_minor,
  currency = r.currency, business_date = r.business_date, received_at_ms = r.received_at_ms,
  record = r.record::jsonb, answer = r.answer, events = txn.events || r.events
FROM json_to_record($2::json) AS r (id text, body_hash text, kind text, source_link text,
  route text, mti text, stan text, rrn text, terminal_id text, merchant_id text, pan_token bytea,
  pan_masked text, pan_sealed bytea, amount_minor bigint, currency text, business_date date,
  received_at_ms bigint, record text, answer jsonb, events jsonb)
WHERE txn.id = $1`

/** Statements that fill remembered keys with their late originals; rare, so one each, before the write statement. */
export function refillQueries(group: Group): QueryConfig[] {
  return group.refills.map(({ placeholderId, facts, answer, events }) => ({
    name: 'group_refill',
    text: REFILL_SQL,
    values: [
      placeholderId,
      JSON.stringify({
        id: facts.id,
        body_hash: facts.bodyHash,
        kind: facts.kind,
        source_link: facts.sourceLink,
        route: facts.route,
        mti: facts.mti,
        stan: facts.stan,
        rrn: facts.rrn,
        terminal_id: facts.terminalId,
        merchant_id: facts.merchantId,
        pan_token: byteaText(facts.panToken),
        pan_masked: facts.panMasked,
        pan_sealed: byteaText(facts.panSealed),
        amount_minor: facts.amountMinor,
        currency: facts.currency,
        business_date: facts.businessDate,
        received_at_ms: Math.floor(facts.receivedAt),
        record: facts.record === '' ? '{}' : facts.record,
        answer,
        events: [...events, { atMs: group.nowMs, what: 'original.refused', detail: 'reversed_before' }],
      }),
    ],
  }))
}
