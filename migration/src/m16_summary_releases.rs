//! Which version of a session's notes the patient may read. Rows stay: what was shown, and for how long, is evidence.
migration!(
    "m16_summary_releases",
    up: r"
-- Lets releases prove in a foreign key that session and run belong together.
CREATE UNIQUE INDEX extraction_runs_session_key ON extraction_runs (session_id, id);
CREATE TABLE summary_releases (
    id                uuid PRIMARY KEY,
    session_id        uuid NOT NULL REFERENCES sessions (id),
    extraction_run_id uuid NOT NULL,
    released_by       uuid NOT NULL REFERENCES users (id),
    released_at       timestamptz NOT NULL,
    withdrawn_at      timestamptz,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    FOREIGN KEY (session_id, extraction_run_id) REFERENCES extraction_runs (session_id, id)
);
CREATE UNIQUE INDEX summary_releases_open_key ON summary_releases (session_id) WHERE withdrawn_at IS NULL;
CREATE INDEX summary_releases_session ON summary_releases (session_id, id);
",
    down: "DROP TABLE summary_releases; DROP INDEX extraction_runs_session_key"
);
