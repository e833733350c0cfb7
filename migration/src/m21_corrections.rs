//! What a therapist puts right in a transcript: an overlay, the recogniser's words stay as they are.
migration!(
    "m21_corrections",
    up: r"
CREATE TABLE segment_corrections (
    segment_id   uuid NOT NULL REFERENCES transcript_segments (id),
    revision     integer NOT NULL CHECK (revision >= 1),
    session_id   uuid NOT NULL REFERENCES sessions (id),
    text         text NOT NULL CHECK (length(text) > 0),
    role         text CHECK (role IN ('THERAPIST', 'PATIENT')),
    corrected_by uuid NOT NULL REFERENCES users (id),
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (segment_id, revision)
);
CREATE INDEX segment_corrections_session ON segment_corrections (session_id);

CREATE TABLE speaker_assignments (
    session_id  uuid NOT NULL REFERENCES sessions (id),
    speaker     text NOT NULL,
    role        text CHECK (role IN ('THERAPIST', 'PATIENT')),
    assigned_by uuid NOT NULL REFERENCES users (id),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (session_id, speaker)
);
",
    down: "DROP TABLE speaker_assignments; DROP TABLE segment_corrections"
);
