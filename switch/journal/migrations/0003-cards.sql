-- The bank's own cards. No PAN, no PIN: the token finds the card, PVV or PIN offset are what a
-- verification under the bank's key compares with.

CREATE TABLE card (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pan_token bytea NOT NULL UNIQUE CHECK (octet_length(pan_token) = 32),
  account_id bigint NOT NULL REFERENCES account (id),
  status text NOT NULL DEFAULT 'active'
    CHECK (status IN ('active', 'blocked', 'lost', 'stolen', 'closed')),
  expiry text NOT NULL CHECK (expiry ~ '^[0-9]{2}(0[1-9]|1[0-2])$'), -- YYMM
  pvki text NOT NULL DEFAULT '' CHECK (pvki ~ '^[0-9]?$'),
  pvv text NOT NULL DEFAULT '' CHECK (pvv ~ '^([0-9]{4})?$'),
  pin_offset text NOT NULL DEFAULT '' CHECK (pin_offset ~ '^([0-9]{4,12})?$'),
  pin_tries_left smallint NOT NULL DEFAULT 3 CHECK (pin_tries_left BETWEEN 0 AND 3),
  pan_sequence text NOT NULL DEFAULT '00' CHECK (pan_sequence ~ '^[0-9]{2}$'),
  key_set text NOT NULL,
  daily_limit_minor bigint NOT NULL CHECK (daily_limit_minor >= 0),
  daily_count_max integer CHECK (daily_count_max >= 0) -- null: the number is not limited
);

CREATE INDEX card_by_account ON card (account_id);

-- What a card used on a business date. A reversal gives back in the bucket of its original. `version`
-- lets a writer see that another one changed the bucket after it was read.
CREATE TABLE card_day (
  card_id bigint NOT NULL REFERENCES card (id),
  business_date date NOT NULL,
  used_minor bigint NOT NULL CHECK (used_minor >= 0),
  used_count integer NOT NULL CHECK (used_count >= 0),
  version integer NOT NULL,
  PRIMARY KEY (card_id, business_date)
) WITH (fillfactor = 70);
