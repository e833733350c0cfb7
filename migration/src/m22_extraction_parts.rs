//! Answers of language models on the way to notes, a row a call: whoever does the work again pays only for what is
//! missing. They go when their run is stored, which has their cost then; those that led nowhere lose their answer at once.
migration!(
    "m22_extraction_parts",
    up: r"
CREATE TABLE extraction_parts (
    id                uuid PRIMARY KEY,
    session_id        uuid NOT NULL REFERENCES sessions (id),
    generation        integer NOT NULL,
    transcript_sha256 text NOT NULL CHECK (length(transcript_sha256) = 64),
    request_sha256    text NOT NULL CHECK (length(request_sha256) = 64),
    provider          text NOT NULL,
    model             text NOT NULL,
    prompt_version    text NOT NULL,
    answer            jsonb,
    prompt_tokens     bigint CHECK (prompt_tokens >= 0),
    completion_tokens bigint CHECK (completion_tokens >= 0),
    cost_usd          double precision CHECK (cost_usd >= 0),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL
);
CREATE UNIQUE INDEX extraction_parts_request_key ON extraction_parts (session_id, request_sha256) WHERE answer IS NOT NULL;
CREATE INDEX extraction_parts_session ON extraction_parts (session_id);
",
    down: "DROP TABLE extraction_parts"
);
