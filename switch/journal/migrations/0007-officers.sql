-- Security officers, approvals and the key inventory. Dual control is kept here as well as in the
-- program: an approval has two different officers, is bound to the hash of its payload, ends after
-- 15 minutes, and is used once; officers and keys change only in the transaction that uses one.
-- Signatures are verified by the program and by `switchyard audit verify` (Ed25519).

CREATE TABLE approval (
  id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z2-7]{8}$'),
  command text COLLATE "C" NOT NULL CHECK (command ~ '^[a-z]+[.][a-z_]+$'),
  payload text COLLATE "C" NOT NULL CHECK (length(payload) <= 8192),
  payload_sha256 bytea NOT NULL CHECK (payload_sha256 = sha256(convert_to(payload, 'UTF8'))),
  proposer text COLLATE "C" NOT NULL,
  proposal text NOT NULL UNIQUE,
  proposal_signature bytea NOT NULL UNIQUE CHECK (length(proposal_signature) = 64),
  proposed_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  state text COLLATE "C" NOT NULL
    CHECK (state IN ('proposed', 'approved', 'rejected', 'used')),
  decider text COLLATE "C",
  decision text UNIQUE,
  decision_signature bytea UNIQUE CHECK (length(decision_signature) = 64),
  decided_at timestamptz,
  used_at timestamptz,
  used_xid xid8,
  CONSTRAINT two_officers CHECK (decider <> proposer),
  CONSTRAINT fifteen_minutes CHECK (
    expires_at > proposed_at AND expires_at <= proposed_at + interval '15 minutes'),
  CONSTRAINT decided_in_time CHECK (decided_at <= expires_at),
  CONSTRAINT used_in_time CHECK (used_at <= expires_at),
  CONSTRAINT decided_whole CHECK (
    (state = 'proposed') = (decider IS NULL) AND (decider IS NULL) = (decision IS NULL)
    AND (decider IS NULL) = (decision_signature IS NULL)
    AND (decider IS NULL) = (decided_at IS NULL)),
  CONSTRAINT used_whole CHECK (
    (state = 'used') = (used_at IS NOT NULL) AND (used_at IS NULL) = (used_xid IS NULL))
);

CREATE TABLE officer (
  name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9._-]{0,31}$' AND name <> 'system'),
  roles text[] NOT NULL CHECK (
    cardinality(roles) BETWEEN 1 AND 2
    AND roles <@ ARRAY['approver', 'auditor', 'custodian']
    AND (roles[1] < roles[2]) IS NOT FALSE),
  public_key bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
  added_at timestamptz NOT NULL DEFAULT now(),
  added_by text REFERENCES approval (id), -- null for the two who begin
  removed_at timestamptz,
  removed_by text REFERENCES approval (id),
  -- Whoever checks does not act.
  CONSTRAINT auditor_alone CHECK (NOT 'auditor' = ANY (roles) OR cardinality(roles) = 1),
  CONSTRAINT removed_whole CHECK ((removed_at IS NULL) = (removed_by IS NULL))
);
ALTER TABLE approval ADD FOREIGN KEY (proposer) REFERENCES officer (name);
ALTER TABLE approval ADD FOREIGN KEY (decider) REFERENCES officer (name);

-- Keys that officers made, brought in or hand out. The key itself is an object of the token or a
-- row of key_block; check values have at most 3 bytes (TDES) or 5 (AES), PCI PIN.
CREATE TABLE key_inventory (
  name text COLLATE "C" NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
  generation integer NOT NULL CHECK (generation >= 1),
  usage text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL
    CHECK (kind IN ('tdes2', 'tdes3', 'aes128', 'aes192', 'aes256')),
  kcv text COLLATE "C" NOT NULL CHECK (
    CASE WHEN kind LIKE 'tdes_' THEN kcv ~ '^[0-9A-F]{6}$' ELSE kcv ~ '^[0-9A-F]{10}$' END),
  place text COLLATE "C" NOT NULL CHECK (place IN ('token', 'block')),
  origin text COLLATE "C" NOT NULL
    CHECK (origin IN ('generated', 'ceremony', 'imported', 'exchanged')),
  exportable boolean NOT NULL,
  state text COLLATE "C" NOT NULL CHECK (state IN ('active', 'previous', 'retired')),
  added_at timestamptz NOT NULL DEFAULT now(),
  added_by text NOT NULL REFERENCES approval (id),
  changed_at timestamptz NOT NULL DEFAULT now(),
  changed_by text NOT NULL REFERENCES approval (id),
  PRIMARY KEY (name, generation)
);
CREATE UNIQUE INDEX key_inventory_active ON key_inventory (name) WHERE state = 'active';
CREATE UNIQUE INDEX key_inventory_previous ON key_inventory (name) WHERE state = 'previous';

-- Who brought which component of a key; never the component.
CREATE TABLE ceremony_part (
  approval text NOT NULL REFERENCES approval (id),
  part integer NOT NULL CHECK (part >= 1),
  officer text COLLATE "C" NOT NULL REFERENCES officer (name),
  statement text NOT NULL UNIQUE,
  signature bytea NOT NULL UNIQUE CHECK (length(signature) = 64),
  PRIMARY KEY (approval, part),
  CONSTRAINT one_part_each UNIQUE (approval, officer)
);

CREATE FUNCTION has_role(who text, wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT 1 FROM officer WHERE name = who AND removed_at IS NULL AND wanted = ANY (roles))
$$;

CREATE FUNCTION approval_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.proposed_at := clock_timestamp();
    NEW.expires_at := NEW.proposed_at + interval '15 minutes';
    IF NEW.state <> 'proposed' THEN
      RAISE EXCEPTION 'an approval begins as a proposal' USING ERRCODE = 'SY001';
    END IF;
    IF NOT has_role(NEW.proposer, 'custodian') THEN
      RAISE EXCEPTION 'the proposer is no custodian' USING ERRCODE = 'SY005';
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'an approval is never deleted' USING ERRCODE = 'SY002';
  END IF;
  IF (OLD.id, OLD.command, OLD.payload, OLD.payload_sha256, OLD.proposer, OLD.proposal,
      OLD.proposal_signature, OLD.proposed_at, OLD.expires_at)
     IS DISTINCT FROM (NEW.id, NEW.command, NEW.payload, NEW.payload_sha256, NEW.proposer,
      NEW.proposal, NEW.proposal_signature, NEW.proposed_at, NEW.expires_at) THEN
    RAISE EXCEPTION 'what was proposed does not change' USING ERRCODE = 'SY002';
  END IF;
  IF clock_timestamp() > OLD.expires_at THEN
    RAISE EXCEPTION 'the approval has expired' USING ERRCODE = 'SY006';
  END IF;
  IF OLD.state = 'proposed' AND NEW.state IN ('approved', 'rejected') THEN
    IF NOT has_role(NEW.decider, 'approver') THEN
      RAISE EXCEPTION 'the approving officer is no approver' USING ERRCODE = 'SY005';
    END IF;
    NEW.decided_at := clock_timestamp();
  ELSIF OLD.state = 'approved' AND NEW.state = 'used' THEN
    IF (OLD.decider, OLD.decision, OLD.decision_signature, OLD.decided_at)
       IS DISTINCT FROM (NEW.decider, NEW.decision, NEW.decision_signature, NEW.decided_at) THEN
      RAISE EXCEPTION 'what was decided does not change' USING ERRCODE = 'SY002';
    END IF;
    IF NOT has_role(OLD.proposer, 'custodian') OR NOT has_role(OLD.decider, 'approver') THEN
      RAISE EXCEPTION 'an officer of this approval was removed' USING ERRCODE = 'SY005';
    END IF;
    NEW.used_at := clock_timestamp();
    NEW.used_xid := pg_current_xact_id();
  ELSE
    RAISE EXCEPTION 'an approval does not go from % to %', OLD.state, NEW.state
      USING ERRCODE = 'SY001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approval_guard BEFORE INSERT OR UPDATE OR DELETE ON approval
  FOR EACH ROW EXECUTE FUNCTION approval_guard();

-- Throws unless the approval is used by this very transaction, for one of these commands.
CREATE FUNCTION demand_approval(wanted text, commands text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM approval WHERE id = wanted AND state = 'used' AND command ~ commands
      AND used_xid = pg_current_xact_id()) THEN
    RAISE EXCEPTION 'this needs two officers' USING ERRCODE = 'SY005';
  END IF;
END $$;

CREATE FUNCTION officer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'an officer is removed, never deleted' USING ERRCODE = 'SY002';
  END IF;
  IF TG_OP = 'INSERT' THEN
    LOCK TABLE officer IN SHARE ROW EXCLUSIVE MODE; -- two at once would both be the second
    NEW.removed_at := NULL;
    IF (SELECT count(*) FROM officer) < 2 THEN
      IF NEW.added_by IS NOT NULL OR NEW.roles <> ARRAY['approver', 'custodian'] THEN
        RAISE EXCEPTION 'the first two officers are custodian and approver, each'
          USING ERRCODE = 'SY005';
      END IF;
    ELSE
      PERFORM demand_approval(NEW.added_by, '^officers[.]add$');
    END IF;
    RETURN NEW;
  END IF;
  IF (OLD.name, OLD.roles, OLD.public_key, OLD.added_at, OLD.added_by)
     IS DISTINCT FROM (NEW.name, NEW.roles, NEW.public_key, NEW.added_at, NEW.added_by)
     OR OLD.removed_at IS NOT NULL THEN
    RAISE EXCEPTION 'an officer does not change; remove and add' USING ERRCODE = 'SY002';
  END IF;
  PERFORM demand_approval(NEW.removed_by, '^officers[.]remove$');
  IF NOT EXISTS (
    SELECT 1 FROM officer p JOIN officer a ON p.name <> a.name
    WHERE p.removed_at IS NULL AND a.removed_at IS NULL AND p.name <> OLD.name
      AND a.name <> OLD.name AND 'custodian' = ANY (p.roles) AND 'approver' = ANY (a.roles)) THEN
    RAISE EXCEPTION 'nobody could act any more' USING ERRCODE = 'SY005';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER officer_guard BEFORE INSERT OR UPDATE OR DELETE ON officer
  FOR EACH ROW EXECUTE FUNCTION officer_guard();

CREATE FUNCTION key_inventory_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a key is retired, never deleted' USING ERRCODE = 'SY002';
  END IF;
  PERFORM demand_approval(NEW.changed_by, '^keys[.]');
  IF TG_OP = 'INSERT' THEN
    IF NEW.added_by <> NEW.changed_by OR NEW.state <> 'active' THEN
      RAISE EXCEPTION 'a key begins as active' USING ERRCODE = 'SY001';
    END IF;
    RETURN NEW;
  END IF;
  IF (OLD.name, OLD.generation, OLD.usage, OLD.kind, OLD.kcv, OLD.place, OLD.origin,
      OLD.exportable, OLD.added_at, OLD.added_by)
     IS DISTINCT FROM (NEW.name, NEW.generation, NEW.usage, NEW.kind, NEW.kcv, NEW.place,
      NEW.origin, NEW.exportable, NEW.added_at, NEW.added_by) THEN
    RAISE EXCEPTION 'what a key is does not change' USING ERRCODE = 'SY002';
  END IF;
  IF NOT (OLD.state, NEW.state) IN
     (('active', 'previous'), ('active', 'retired'), ('previous', 'retired')) THEN
    RAISE EXCEPTION 'a key does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'SY001';
  END IF;
  NEW.changed_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER key_inventory_guard BEFORE INSERT OR UPDATE OR DELETE ON key_inventory
  FOR EACH ROW EXECUTE FUNCTION key_inventory_guard();

CREATE FUNCTION ceremony_part_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    RAISE EXCEPTION 'a ceremony stays as it was' USING ERRCODE = 'SY002';
  END IF;
  PERFORM demand_approval(NEW.approval, '^keys[.]ceremony$');
  IF NOT has_role(NEW.officer, 'custodian') THEN
    RAISE EXCEPTION 'a component is brought by a custodian' USING ERRCODE = 'SY005';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER ceremony_part_guard BEFORE INSERT OR UPDATE OR DELETE ON ceremony_part
  FOR EACH ROW EXECUTE FUNCTION ceremony_part_guard();

CREATE TRIGGER approval_keep BEFORE TRUNCATE ON approval EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER officer_keep BEFORE TRUNCATE ON officer EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER inventory_keep BEFORE TRUNCATE ON key_inventory EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER ceremony_keep BEFORE TRUNCATE ON ceremony_part EXECUTE FUNCTION refuse_truncate();
