-- The audit log: a chain of SHA-256 over every sensitive act, and checkpoints over it that a key of
-- the token signs. The database gives number, time and hashes itself, so that no program can write
-- beside the chain; audit/verify.ts computes them again independently. Format: docs/security/audit.md.

CREATE TABLE audit_event (
  seq bigint PRIMARY KEY CHECK (seq >= 1),
  at_ms bigint NOT NULL,
  actor text COLLATE "C" NOT NULL CHECK (actor ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
  act text COLLATE "C" NOT NULL CHECK (act ~ '^[a-z]+[.][a-z_]+$'),
  subject text COLLATE "C" NOT NULL CHECK (length(subject) <= 128 AND subject !~ '[[:cntrl:]]'),
  detail text COLLATE "C" NOT NULL CHECK (length(detail) <= 16384 AND detail !~ '[\n\r]'),
  previous bytea NOT NULL CHECK (length(previous) = 32),
  hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32)
);

-- The last link. One row; its lock makes writers wait for each other.
CREATE TABLE audit_head (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  seq bigint NOT NULL,
  hash bytea NOT NULL CHECK (length(hash) = 32)
);
INSERT INTO audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE TABLE audit_checkpoint (
  seq bigint PRIMARY KEY REFERENCES audit_event (seq),
  hash bytea NOT NULL CHECK (length(hash) = 32),
  at_ms bigint NOT NULL,
  previous bytea NOT NULL CHECK (length(previous) = 32), -- SHA-256 of the checkpoint before
  public_key bytea NOT NULL CHECK (length(public_key) = 65), -- P-256 point, uncompressed
  signature bytea NOT NULL CHECK (length(signature) = 64) -- r, s
);

CREATE FUNCTION audit_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last audit_head%ROWTYPE;
BEGIN
  SELECT * INTO STRICT last FROM audit_head FOR UPDATE;
  NEW.seq := last.seq + 1;
  NEW.at_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
  NEW.previous := last.hash;
  NEW.hash := sha256(convert_to(
    'switchyard audit 1' || E'\n' || NEW.seq || E'\n' || NEW.at_ms || E'\n' || NEW.actor || E'\n' ||
    NEW.act || E'\n' || NEW.subject || E'\n' || NEW.detail || E'\n' ||
    encode(NEW.previous, 'hex') || E'\n', 'UTF8'));
  UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash;
  RETURN NEW;
END $$;
CREATE TRIGGER audit_link BEFORE INSERT ON audit_event
  FOR EACH ROW EXECUTE FUNCTION audit_link();

CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'SY002';
END $$;
CREATE TRIGGER audit_keep BEFORE UPDATE OR DELETE ON audit_event
  FOR EACH ROW EXECUTE FUNCTION audit_keep();
CREATE TRIGGER audit_keep_all BEFORE TRUNCATE ON audit_event EXECUTE FUNCTION audit_keep();
CREATE TRIGGER checkpoint_keep BEFORE UPDATE OR DELETE ON audit_checkpoint
  FOR EACH ROW EXECUTE FUNCTION audit_keep();
CREATE TRIGGER checkpoint_keep_all BEFORE TRUNCATE ON audit_checkpoint
  EXECUTE FUNCTION audit_keep();
