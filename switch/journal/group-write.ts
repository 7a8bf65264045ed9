/**
 * The statements of a group that write what it changed: role accounts that are missing, late
 * originals, and one statement for everything else.
 *
 * Called by `writer.ts` between the read and the COMMIT. Rows travel as JSON arrays, one per table,
 * so that a group of any size is one round trip. It must never decide anything; what it counts on
 * is checked by journal_expect in the database.
 */
import type { QueryConfig } from 'pg'
import { byteaText, StaleRead } from './group.ts'
import type { AccountRef, Group, NewPosting, TxnImage } from './group.ts'
import { EVENTS_PER_TXN_MAX } from './limits.ts'

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

/**
 * The keys of updated rows come a second time as arrays ($11 to $13): with them an index is the
 * only way to the rows, however small the table was when the plan was made. They begin with a key
 * that no row has: of an empty array the planner makes a contradiction, and with it may take any
 * partial index.
 */
const WRITE_SQL = `
WITH mark AS (
  UPDATE journal_writer SET group_mark = $9::bigint, fence = $10::bigint, marked_at = now()
  WHERE writer = $8::bigint AND fence <= $10::bigint
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
  WHERE txn.id = r.id AND txn.id = ANY($11::text[])
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
  WHERE card.id = r.id AND card.id = ANY($12::bigint[])
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
    reversal_transmission_at =
      coalesce(nullif(saf.reversal_transmission_at, ''), r.transmission_at),
    state = CASE r.op WHEN 'acknowledge' THEN 'acknowledged' WHEN 'park' THEN 'parked'
                      ELSE saf.state END,
    settled_at = CASE WHEN r.op = 'attempt' THEN NULL ELSE now() END,
    last_answer = CASE WHEN r.op = 'attempt' THEN saf.last_answer ELSE r.last_answer END,
    why = CASE WHEN r.op = 'park' THEN r.why ELSE saf.why END
  FROM json_to_recordset($7::json) AS r (id bigint, op text, stan text, transmission_at text,
    next_attempt_at_ms bigint, last_answer text, why text)
  WHERE saf.id = r.id AND saf.id = ANY($13::bigint[])
    AND (saf.state = 'queued' OR (saf.state = 'parked' AND r.op = 'acknowledge'))
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
  writer: { id: string; mark: number; fence: number },
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
      writer.id,
      writer.mark,
      writer.fence,
      ['', ...[...group.touched].map((image) => image.id)],
      [0, ...cards.map((card) => card.id)],
      ['0', ...group.safChanges.keys()],
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

/**
 * Statements that fill remembered keys with their late originals; rare, so one each, before the
 * write statement.
 */
export function refillQueries(group: Group): QueryConfig[] {
  const refused = { atMs: group.nowMs, what: 'original.refused', detail: 'reversed_before' }
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
        events: [...events, refused],
      }),
    ],
  }))
}
