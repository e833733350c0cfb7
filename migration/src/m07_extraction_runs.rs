//! Every extraction of notes that was made, with what it cost and what it said; notes point at their run.
migration!(
    "m07_extraction_runs",
    up: r"
CREATE TABLE extraction_runs (
    id                uuid PRIMARY KEY,
    session_id        uuid NOT NULL REFERENCES sessions (id),
    kind              text NOT NULL CHECK (kind IN ('MODEL', 'EXTRACTIVE')),
    provider          text NOT NULL,
    model             text NOT NULL,
    prompt_version    text NOT NULL,
    transcript_sha256 text NOT NULL CHECK (length(transcript_sha256) = 64),
    prompt_tokens     bigint CHECK (prompt_tokens >= 0),
    completion_tokens bigint CHECK (completion_tokens >= 0),
    cost_usd          double precision CHECK (cost_usd >= 0),
    work_ms           bigint NOT NULL CHECK (work_ms >= 0),
    warnings          jsonb NOT NULL,
    notes             jsonb NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL
);
CREATE INDEX extraction_runs_session ON extraction_runs (session_id, created_at);
ALTER TABLE sessions ADD FOREIGN KEY (extraction_run_id) REFERENCES extraction_runs (id);
",
    down: "ALTER TABLE sessions DROP CONSTRAINT sessions_extraction_run_id_fkey; DROP TABLE extraction_runs"
);
