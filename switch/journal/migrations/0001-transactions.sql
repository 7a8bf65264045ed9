-- Transactions: one row per business key, and the life a row may have.
--
-- A row is the idempotency record (the same request finds it and gets the stored answer), the
-- durable intent (bytes may have left for another institution) and what a reversal needs later.
-- The PAN is here as keyed token, masked text and sealed bytes only. There is no column for track
-- data, PIN block or CVV2, and there must never be one (PCI DSS 3.3).
--
--   insert ──► intent ─────┬──► approved ──► reversed
--          │               ├──► declined
--          ├──► approved   ├──► timed_out        (its reversal is queued in the same commit)
--          ├──► declined   ├──► not_sent
--          │               └──► reversed         (a reversal waited for the outcome)
--          └──► reversed_unseen ──► declined     (the original came after its reversal)
--
-- SQLSTATEs of our own: SY001 illegal move, SY002 a fact was to be changed, SY003 the books would
-- not balance, SY004 the row was changed by somebody else meanwhile.

CREATE TABLE txn (
  id text COLLATE "C" PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 32),
  business_key text COLLATE "C" NOT NULL UNIQUE CHECK (length(business_key) BETWEEN 1 AND 200),
  body_hash text COLLATE "C" NOT NULL CHECK (length(body_hash) <= 128),
  state text COLLATE "C" NOT NULL CHECK (state IN (
    'intent', 'approved', 'declined', 'timed_out', 'not_sent', 'reversed', 'reversed_unseen')),
  kind text COLLATE "C" NOT NULL CHECK (kind IN (
    'purchase', 'cash', 'balance', 'refund', 'void', 'preauth', 'completion', 'transfer', 'deposit')),
  source_link text NOT NULL,
  route text NOT NULL,
  mti text NOT NULL,
  stan text NOT NULL,
  rrn text COLLATE "C" NOT NULL,
  terminal_id text NOT NULL,
  merchant_id text NOT NULL,
  pan_token bytea NOT NULL CHECK (octet_length(pan_token) IN (0, 32)),
  -- First six and last four digits at most (PCI DSS 3.4).
  pan_masked text NOT NULL CHECK (pan_masked ~ '^([0-9]{0,6}[*]+[0-9]{0,4})?$'),
  pan_sealed bytea NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
  currency text COLLATE "C" NOT NULL CHECK (currency ~ '^([0-9]{3})?$'),
  business_date date NOT NULL,
  received_at_ms bigint NOT NULL,
  record jsonb NOT NULL,
  -- What went to another institution; empty for on-us.
  destination text NOT NULL DEFAULT '',
  sent_mti text NOT NULL DEFAULT '',
  sent_stan text NOT NULL DEFAULT '',
  sent_transmission_at text NOT NULL DEFAULT '',
  sent_key text NOT NULL DEFAULT '',
  -- The answer that was or will be given, word for word.
  answer jsonb,
  -- What this row took from the card's limit of its business date, given back by its reversal.
  consumed_minor bigint NOT NULL DEFAULT 0 CHECK (consumed_minor >= 0),
  -- How many postings its outcome made: a reader that sees fewer has read too early.
  posted_count integer NOT NULL DEFAULT 0 CHECK (posted_count >= 0),
  -- Released by a reversal; a reversal that came before the outcome leaves its wish here.
  released_minor bigint CHECK (released_minor >= 0),
  release_wanted_minor bigint CHECK (release_wanted_minor >= 0),
  -- Only in the row of a reversal message: which key it undid, and how that ended.
  reverse_of text COLLATE "C" CHECK (reverse_of <> business_key),
  reverse_outcome text CHECK (reverse_outcome IN (
    'reversed', 'already', 'declined_original', 'unseen', 'pending', 'mismatch')),
  events jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(events) = 'array'),
  CHECK ((reverse_of IS NULL) = (reverse_outcome IS NULL)),
  CHECK (state <> 'intent' OR destination <> ''),
  CHECK (state IN ('intent', 'reversed_unseen') OR answer IS NOT NULL)
) WITH (fillfactor = 80); -- room for the outcome on the page of the intent

CREATE INDEX txn_by_rrn ON txn (rrn);
CREATE INDEX txn_open_intents ON txn (id) WHERE state = 'intent';

CREATE FUNCTION txn_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state NOT IN ('intent', 'approved', 'declined', 'reversed_unseen') THEN
      RAISE EXCEPTION 'a transaction cannot begin as %', NEW.state USING ERRCODE = 'SY001';
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a transaction is never deleted' USING ERRCODE = 'SY002';
  END IF;
  IF NEW.state <> OLD.state AND NOT (
    (OLD.state = 'intent' AND NEW.state IN (
      'approved', 'declined', 'timed_out', 'not_sent', 'reversed'))
    OR (OLD.state = 'approved' AND NEW.state = 'reversed')
    OR (OLD.state = 'reversed_unseen' AND NEW.state = 'declined')
  ) THEN
    RAISE EXCEPTION 'a transaction cannot go from % to %', OLD.state, NEW.state
      USING ERRCODE = 'SY001';
  END IF;
  -- The key remembered by an early reversal has no facts of its own until its original comes.
  IF OLD.state <> 'reversed_unseen' AND (
    (OLD.id, OLD.business_key, OLD.body_hash, OLD.kind, OLD.source_link, OLD.route, OLD.mti,
     OLD.stan, OLD.rrn, OLD.terminal_id, OLD.merchant_id, OLD.pan_token, OLD.amount_minor,
     OLD.currency, OLD.business_date, OLD.received_at_ms, OLD.destination, OLD.sent_mti,
     OLD.sent_stan, OLD.sent_transmission_at, OLD.reverse_of, OLD.reverse_outcome)
    IS DISTINCT FROM
    (NEW.id, NEW.business_key, NEW.body_hash, NEW.kind, NEW.source_link, NEW.route, NEW.mti,
     NEW.stan, NEW.rrn, NEW.terminal_id, NEW.merchant_id, NEW.pan_token, NEW.amount_minor,
     NEW.currency, NEW.business_date, NEW.received_at_ms, NEW.destination, NEW.sent_mti,
     NEW.sent_stan, NEW.sent_transmission_at, NEW.reverse_of, NEW.reverse_outcome)
    OR (OLD.answer IS NOT NULL AND NEW.answer IS DISTINCT FROM OLD.answer)
    OR (OLD.released_minor IS NOT NULL AND NEW.released_minor IS DISTINCT FROM OLD.released_minor)
  ) THEN
    RAISE EXCEPTION 'facts and answer of a transaction do not change' USING ERRCODE = 'SY002';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER txn_guard BEFORE INSERT OR UPDATE OR DELETE ON txn
  FOR EACH ROW EXECUTE FUNCTION txn_guard();

-- For TRUNCATE, which row triggers do not see.
CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'table % is never emptied', TG_TABLE_NAME USING ERRCODE = 'SY002';
END $$;

CREATE TRIGGER txn_keep BEFORE TRUNCATE ON txn EXECUTE FUNCTION refuse_truncate();

-- Called at the end of the journal's one write statement: a group that counted on rows which another
-- writer changed meanwhile is rolled back and decided again.
CREATE FUNCTION journal_expect(what text, counted bigint, expected bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF counted <> expected THEN
    RAISE EXCEPTION '%: % of % rows as expected', what, counted, expected USING ERRCODE = 'SY004';
  END IF;
  RETURN true;
END $$;
