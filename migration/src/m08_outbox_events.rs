//! The outbox: one row for every version of a session that subscribers may see. Ids and states, no content.
//!
//! `txid` lets a reader see which rows can no longer be joined by earlier ones (see `events::feed`).
migration!(
    "m08_outbox_events",
    up: r"
CREATE TABLE outbox_events (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    session_id   uuid NOT NULL REFERENCES sessions (id),
    patient_id   uuid NOT NULL REFERENCES patients (id),
    version      bigint NOT NULL,
    status       text,
    progress     integer NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_events_txid ON outbox_events (txid, seq);
CREATE UNIQUE INDEX outbox_events_version_key ON outbox_events (session_id, version);
CREATE INDEX outbox_events_created ON outbox_events (created_at);
",
    down: "DROP TABLE outbox_events"
);
