//! Who did what to which record. Rows are added, never changed: a trigger refuses everything else.
//!
//! `seq` is the order of insertion and may have gaps; `txid` lets the chain find what was committed since its last look
//! (see `audit::chain`). The indexes end in what pages are ordered by.
migration!(
    "m10_audit_events",
    up: r"
CREATE TABLE audit_events (
    id              uuid PRIMARY KEY,
    seq             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    txid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at              timestamptz NOT NULL,
    actor_id        uuid REFERENCES users (id),
    actor_role      text NOT NULL,
    auth_session_id uuid,
    request_id      text,
    action          text NOT NULL,
    subject_type    text NOT NULL,
    subject_id      uuid,
    patient_id      uuid REFERENCES patients (id),
    outcome         text NOT NULL CHECK (outcome IN ('OK', 'REFUSED')),
    ip              text,
    user_agent      text,
    changed_fields  text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_txid ON audit_events (txid);
CREATE INDEX audit_events_at ON audit_events (at, id);
CREATE INDEX audit_events_actor ON audit_events (actor_id, at, id);
CREATE INDEX audit_events_patient ON audit_events (patient_id, at, id);
CREATE INDEX audit_events_action ON audit_events (action, at, id);

CREATE FUNCTION audit_events_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed or removed';
END $$;
CREATE TRIGGER audit_events_final BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_are_final();
CREATE TRIGGER audit_events_kept BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_final();
",
    down: "DROP TABLE audit_events; DROP FUNCTION audit_events_are_final"
);
