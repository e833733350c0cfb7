//! Links the audit events into a chain that cannot be mended without a key (see `audit::link`). Like the events, its rows
//! are added and never changed.
migration!(
    "m15_audit_chain",
    up: r"
CREATE TABLE audit_chain (
    position   bigint PRIMARY KEY CHECK (position >= 1),
    -- No foreign key: an event cannot be removed but by going past triggers, which would go past the key too and is found
    -- by verification; and checking the key was a third of what the chain costs.
    event_id   uuid NOT NULL UNIQUE,
    hmac       bytea NOT NULL CHECK (octet_length(hmac) = 32)
);
CREATE TRIGGER audit_chain_final BEFORE UPDATE OR DELETE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION audit_events_are_final();
CREATE TRIGGER audit_chain_kept BEFORE TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_final();
",
    down: "DROP TABLE audit_chain"
);
