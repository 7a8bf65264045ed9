-- Store-and-forward: what must still reach another institution. A row comes into being in the commit
-- of its cause and leaves 'queued' by an acknowledgement or by being parked for a person; nothing is
-- deleted and nothing expires.

CREATE TABLE saf (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  destination text COLLATE "C" NOT NULL CHECK (destination <> ''),
  kind text NOT NULL CHECK (kind IN ('reversal', 'advice')),
  cause text NOT NULL CHECK (cause IN (
    'timeout', 'late_answer', 'bad_answer_mac', 'terminal_request', 'link_lost', 'restart')),
  txn_id text COLLATE "C" NOT NULL REFERENCES txn (id),
  pan_token bytea NOT NULL, -- of the transaction, here for the order per card
  released_minor bigint CHECK (released_minor > 0), -- null: the whole amount
  state text COLLATE "C" NOT NULL DEFAULT 'queued'
    CHECK (state IN ('queued', 'acknowledged', 'parked')),
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  queued_at_ms bigint NOT NULL,
  next_attempt_at_ms bigint NOT NULL,
  -- Key data of the first attempt; a repeat carries the same.
  reversal_stan text NOT NULL DEFAULT '',
  reversal_transmission_at text NOT NULL DEFAULT '',
  last_answer text NOT NULL DEFAULT '',
  why text NOT NULL DEFAULT '',
  settled_at timestamptz,
  CHECK ((state = 'queued') = (settled_at IS NULL))
) WITH (fillfactor = 80);

-- One reversal per transaction, whoever asks for it and however often.
CREATE UNIQUE INDEX saf_one_reversal ON saf (txn_id) WHERE kind = 'reversal';
CREATE INDEX saf_by_txn ON saf (txn_id);
CREATE INDEX saf_due ON saf (destination, next_attempt_at_ms, id) WHERE state = 'queued';
CREATE INDEX saf_card_order ON saf (destination, pan_token, id) WHERE state = 'queued';

CREATE FUNCTION saf_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a store-and-forward row is never deleted' USING ERRCODE = 'SY002';
  END IF;
  IF NEW.state <> OLD.state AND OLD.state = 'acknowledged' THEN
    RAISE EXCEPTION 'an acknowledged row stays so' USING ERRCODE = 'SY001';
  END IF;
  IF (OLD.destination, OLD.kind, OLD.cause, OLD.txn_id, OLD.released_minor)
     IS DISTINCT FROM (NEW.destination, NEW.kind, NEW.cause, NEW.txn_id, NEW.released_minor)
     OR (OLD.reversal_stan <> '' AND OLD.reversal_stan <> NEW.reversal_stan)
     OR (OLD.reversal_transmission_at <> ''
         AND OLD.reversal_transmission_at <> NEW.reversal_transmission_at) THEN
    RAISE EXCEPTION 'what a store-and-forward row says does not change' USING ERRCODE = 'SY002';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER saf_guard BEFORE UPDATE OR DELETE ON saf
  FOR EACH ROW EXECUTE FUNCTION saf_guard();
CREATE TRIGGER saf_keep BEFORE TRUNCATE ON saf EXECUTE FUNCTION refuse_truncate();
