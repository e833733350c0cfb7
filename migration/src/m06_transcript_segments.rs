//! What was said, a row an utterance; the transcript's text is derived from it.
migration!(
    "m06_transcript_segments",
    up: r"
CREATE TABLE transcript_segments (
    id            uuid PRIMARY KEY,
    session_id    uuid NOT NULL,
    piece_index   integer NOT NULL,
    segment_index integer NOT NULL CHECK (segment_index >= 0),
    start_ms      bigint NOT NULL CHECK (start_ms >= 0),
    end_ms        bigint NOT NULL,
    speaker       text,
    role          text CHECK (role IN ('THERAPIST', 'PATIENT')),
    text          text NOT NULL CHECK (length(text) > 0),
    confidence    real CHECK (confidence BETWEEN 0 AND 1),
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    FOREIGN KEY (session_id, piece_index) REFERENCES transcript_pieces (session_id, piece_index),
    CHECK (end_ms >= start_ms)
);
CREATE UNIQUE INDEX transcript_segments_session_key ON transcript_segments (session_id, segment_index);
",
    down: "DROP TABLE transcript_segments"
);
