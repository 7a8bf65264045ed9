-- The ledger: double entry by construction. One posting moves an amount from one account to another
-- (debit and credit are two columns of one row), so sum of debits = sum of credits cannot fail per
-- row; totals per account are kept by a trigger and proved against the postings by ledger_imbalance.

CREATE TABLE account (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- A role ('merchant:...', 'payable:cups') has one account per currency under the same code.
  code text COLLATE "C" NOT NULL CHECK (length(code) BETWEEN 3 AND 64),
  kind text NOT NULL CHECK (kind IN ('customer', 'role')),
  currency text COLLATE "C" NOT NULL CHECK (currency ~ '^[0-9]{3}$'),
  debits_minor bigint NOT NULL DEFAULT 0 CHECK (debits_minor >= 0),
  credits_minor bigint NOT NULL DEFAULT 0 CHECK (credits_minor >= 0),
  -- Lowest balance allowed (0, or minus the overdraft); roles have none.
  floor_minor bigint,
  opened_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (code, currency),
  CHECK ((kind = 'customer') = (floor_minor IS NOT NULL)),
  CONSTRAINT account_floor CHECK (credits_minor - debits_minor >= floor_minor)
) WITH (fillfactor = 50); -- updated by every group: room for the next version on the same page

-- A customer's code is one account, whatever the currency.
CREATE UNIQUE INDEX account_customer_code ON account (code) WHERE kind = 'customer';

CREATE TABLE posting (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  txn_id text COLLATE "C" REFERENCES txn (id),
  memo text NOT NULL DEFAULT '',
  debit_account bigint NOT NULL,
  credit_account bigint NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text COLLATE "C" NOT NULL,
  business_date date NOT NULL,
  -- A posting is undone by one posting, once.
  reverses bigint UNIQUE REFERENCES posting (id),
  posted_at timestamptz NOT NULL DEFAULT now(),
  CHECK (debit_account <> credit_account),
  CHECK (txn_id IS NOT NULL OR memo <> '')
);

CREATE INDEX posting_by_txn ON posting (txn_id);
CREATE INDEX posting_by_debit ON posting (debit_account);
CREATE INDEX posting_by_credit ON posting (credit_account);

-- Once per statement. The amounts are summed per account first: an UPDATE that met one account twice
-- would keep one of the two changes only, without an error. Accounts are locked in id order, so that
-- two writers cannot wait for each other.
CREATE FUNCTION posting_totals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  touched bigint;
  updated bigint;
BEGIN
  PERFORM 1 FROM account
    WHERE id IN (SELECT debit_account FROM added UNION SELECT credit_account FROM added)
    ORDER BY id FOR NO KEY UPDATE;

  WITH leg AS (
    SELECT debit_account AS account_id, currency, amount_minor AS debit, 0::bigint AS credit
      FROM added
    UNION ALL
    SELECT credit_account, currency, 0, amount_minor FROM added
  ), delta AS (
    SELECT account_id, currency, sum(debit)::bigint AS debit, sum(credit)::bigint AS credit
      FROM leg GROUP BY account_id, currency
  ), written AS (
    UPDATE account SET debits_minor = debits_minor + delta.debit,
                       credits_minor = credits_minor + delta.credit
      FROM delta WHERE account.id = delta.account_id AND account.currency = delta.currency
      RETURNING 1
  )
  SELECT (SELECT count(*) FROM delta), (SELECT count(*) FROM written) INTO touched, updated;
  IF touched <> updated THEN
    RAISE EXCEPTION 'a posting names an account that does not exist in its currency'
      USING ERRCODE = 'SY003';
  END IF;

  -- What undoes a posting moves no more than it did, in the other direction and the same currency.
  -- The money may come from another account than it went to: a refund that was spent is undone
  -- against a suspense account.
  IF EXISTS (
    SELECT 1 FROM added JOIN posting AS origin ON origin.id = added.reverses
    WHERE added.currency <> origin.currency OR added.amount_minor > origin.amount_minor
       OR added.credit_account <> origin.debit_account OR origin.reverses IS NOT NULL
  ) THEN
    RAISE EXCEPTION 'a reversal does not mirror its posting' USING ERRCODE = 'SY003';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER posting_totals AFTER INSERT ON posting
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION posting_totals();

CREATE FUNCTION posting_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a posting is neither changed nor deleted' USING ERRCODE = 'SY002';
END $$;

CREATE TRIGGER posting_guard BEFORE UPDATE OR DELETE ON posting
  FOR EACH ROW EXECUTE FUNCTION posting_guard();
CREATE TRIGGER posting_keep BEFORE TRUNCATE ON posting EXECUTE FUNCTION refuse_truncate();

-- Totals move only inside posting_totals; an account begins at zero and keeps its identity.
CREATE FUNCTION account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'an account is never deleted' USING ERRCODE = 'SY002';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.debits_minor <> 0 OR NEW.credits_minor <> 0 THEN
      RAISE EXCEPTION 'an account begins at zero' USING ERRCODE = 'SY003';
    END IF;
    RETURN NEW;
  END IF;
  IF (OLD.debits_minor, OLD.credits_minor) IS DISTINCT FROM (NEW.debits_minor, NEW.credits_minor)
     AND pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION 'totals change by postings only' USING ERRCODE = 'SY003';
  END IF;
  IF (OLD.id, OLD.code, OLD.kind, OLD.currency)
     IS DISTINCT FROM (NEW.id, NEW.code, NEW.kind, NEW.currency) THEN
    RAISE EXCEPTION 'an account keeps its code, kind and currency' USING ERRCODE = 'SY002';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER account_guard BEFORE INSERT OR UPDATE OR DELETE ON account
  FOR EACH ROW EXECUTE FUNCTION account_guard();
CREATE TRIGGER account_keep BEFORE TRUNCATE ON account EXECUTE FUNCTION refuse_truncate();

-- Kept totals per currency; the two columns are equal.
CREATE VIEW ledger_totals AS
  SELECT currency, sum(debits_minor) AS debits_minor, sum(credits_minor) AS credits_minor
  FROM account GROUP BY currency;

-- Every row is a defect: an empty result is the proof. 'account': the kept totals are not the sum of
-- the account's postings. 'currency': kept debits and credits of a currency differ.
CREATE VIEW ledger_imbalance AS
  WITH leg AS (
    SELECT debit_account AS account_id, amount_minor AS debit, 0::bigint AS credit FROM posting
    UNION ALL
    SELECT credit_account, 0, amount_minor FROM posting
  ), proved AS (
    SELECT account_id, sum(debit) AS debit, sum(credit) AS credit FROM leg GROUP BY account_id
  )
  SELECT 'account' AS problem, account.currency, account.code,
         account.debits_minor - coalesce(proved.debit, 0) AS debit_excess_minor,
         account.credits_minor - coalesce(proved.credit, 0) AS credit_excess_minor
    FROM account LEFT JOIN proved ON proved.account_id = account.id
    WHERE account.debits_minor <> coalesce(proved.debit, 0)
       OR account.credits_minor <> coalesce(proved.credit, 0)
  UNION ALL
  SELECT 'currency', currency, '', sum(debits_minor) - sum(credits_minor), 0
    FROM account GROUP BY currency HAVING sum(debits_minor) <> sum(credits_minor);
