//! Therapy sessions: the appointment, the recording, and how far it is processed.
migration!(
    "m04_sessions",
    up: r"
CREATE TABLE sessions (
    id               uuid PRIMARY KEY,
    patient_id       uuid NOT NULL,
    therapist_id     uuid NOT NULL REFERENCES users (id),
    attendance       text NOT NULL CHECK (attendance IN ('SCHEDULED', 'COMPLETED', 'CANCELLED', 'NO_SHOW')),
    scheduled_start  timestamptz,
    session_date     date NOT NULL,
    duration_minutes integer CHECK (duration_minutes BETWEEN 1 AND 1440),
    status           text CHECK (status IN ('UPLOADING', 'TRANSCRIBING', 'TRANSCRIBED', 'EXTRACTING_NOTES',
                                            'PROCESSED', 'FAILED')),
    progress         integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    version          bigint NOT NULL DEFAULT 1 CHECK (version >= 1),
    generation       integer NOT NULL DEFAULT 0 CHECK (generation >= 0),
    error_message    text,
    audio_key        text,
    audio_filename   text CHECK (length(audio_filename) BETWEEN 1 AND 255),
    audio_sha256     text CHECK (length(audio_sha256) = 64),
    audio_bytes      bigint CHECK (audio_bytes > 0),
    audio_ms         bigint CHECK (audio_ms > 0),
    audio_format     text,
    extraction_run_id uuid,
    risk_screen      jsonb,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    FOREIGN KEY (patient_id, therapist_id) REFERENCES patients (id, therapist_id),
    CHECK (status IS NULL OR audio_key IS NOT NULL),
    CHECK ((status = 'FAILED') = (error_message IS NOT NULL) OR status IS NULL)
);
CREATE INDEX sessions_therapist ON sessions (therapist_id, id);
CREATE INDEX sessions_patient ON sessions (patient_id, id);
CREATE INDEX sessions_therapist_date ON sessions (therapist_id, session_date);
CREATE UNIQUE INDEX sessions_audio_key_key ON sessions (audio_key);
",
    down: "DROP TABLE sessions"
);
