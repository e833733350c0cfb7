//! Pieces of a recording that are recognised and stored: a retry pays only for those that are missing.
migration!(
    "m05_transcript_pieces",
    up: r"
CREATE TABLE transcript_pieces (
    session_id   uuid NOT NULL REFERENCES sessions (id),
    piece_index  integer NOT NULL CHECK (piece_index >= 0),
    start_ms     bigint NOT NULL CHECK (start_ms >= 0),
    end_ms       bigint NOT NULL,
    provider     text NOT NULL,
    model        text NOT NULL,
    audio_ms     bigint NOT NULL CHECK (audio_ms >= 0),
    work_ms      bigint NOT NULL CHECK (work_ms >= 0),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (session_id, piece_index),
    CHECK (end_ms > start_ms)
);
",
    down: "DROP TABLE transcript_pieces"
);
