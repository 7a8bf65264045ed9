-- Counters handed out in blocks (STAN, RRN), wrapped key blocks, and the writers' marks.

CREATE TABLE number_block (
  counter text COLLATE "C" PRIMARY KEY CHECK (length(counter) BETWEEN 1 AND 64),
  last_taken bigint NOT NULL CHECK (last_taken >= 0)
);

-- Working keys as X9.143 (TR-31) blocks under a token key; never a clear key.
CREATE TABLE key_block (
  name text COLLATE "C" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 128),
  block text NOT NULL,
  kcv text NOT NULL,
  usage text NOT NULL,
  stored_at timestamptz NOT NULL DEFAULT now()
);

-- The last group that each running journal wrote, in the same commit as the group. When a connection
-- is lost during COMMIT, this row tells whether the group is there: waiting for the row's lock waits
-- for the end of the old transaction. Asking raises the fence, so that a server process which wakes up
-- later with the lost group in hand finds the fence changed and writes nothing.
CREATE TABLE journal_writer (
  -- Given by the database, so that no two journals can take each other's mark for their own.
  writer bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  group_mark bigint NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 0,
  marked_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
