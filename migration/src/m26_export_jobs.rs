//! Documents that therapists asked for: what they are to hold, how far they are, where the file lies and until when; and
//! what they tell subscribers. A row that was deleted stays for as long as events point at it, without its file.
migration!(
    "m26_export_jobs",
    up: r"
CREATE TABLE export_jobs (
    id            uuid PRIMARY KEY,
    therapist_id  uuid NOT NULL REFERENCES users (id),
    patient_id    uuid NOT NULL REFERENCES patients (id),
    kind          text NOT NULL CHECK (kind IN ('SESSION_NOTES', 'PROGRESS_REPORT')),
    format        text NOT NULL CHECK (format IN ('PDF', 'DOCX')),
    status        text NOT NULL CHECK (status IN ('QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'EXPIRED')),
    progress      integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    version       bigint NOT NULL DEFAULT 1 CHECK (version >= 1),
    -- What it is to hold. A session that is removed later leaves its id: so much is known of what was asked for.
    session_ids   uuid[] NOT NULL DEFAULT '{}',
    weeks         integer CHECK (weeks BETWEEN 1 AND 104),
    file_key      text,
    file_name     text,
    size_bytes    bigint CHECK (size_bytes > 0),
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    warnings      text[] NOT NULL DEFAULT '{}',
    error_message text,
    expires_at    timestamptz,
    deleted_at    timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CHECK ((kind = 'SESSION_NOTES') = (cardinality(session_ids) > 0)),
    CHECK ((kind = 'PROGRESS_REPORT') = (weeks IS NOT NULL)),
    CHECK ((status = 'FAILED') = (error_message IS NOT NULL)),
    -- A file is there exactly as long as it can be had.
    CHECK ((file_key IS NOT NULL) = (status = 'COMPLETED' AND deleted_at IS NULL)),
    CHECK (status NOT IN ('COMPLETED', 'EXPIRED')
        OR num_nulls(file_name, size_bytes, sha256, expires_at) = 0)
);
CREATE UNIQUE INDEX export_jobs_file_key_key ON export_jobs (file_key);
CREATE INDEX export_jobs_therapist ON export_jobs (therapist_id, id) WHERE deleted_at IS NULL;
CREATE INDEX export_jobs_expires ON export_jobs (expires_at) WHERE file_key IS NOT NULL;

ALTER TABLE outbox_events
    ADD COLUMN export_job_id uuid REFERENCES export_jobs (id),
    DROP CONSTRAINT outbox_events_check,
    ADD CONSTRAINT outbox_events_subject CHECK (num_nonnulls(session_id, aggregation_run_id, export_job_id) = 1);
CREATE UNIQUE INDEX outbox_events_export_version_key ON outbox_events (export_job_id, version);
",
    down: r"
DELETE FROM outbox_events WHERE export_job_id IS NOT NULL;
ALTER TABLE outbox_events
    DROP COLUMN export_job_id,
    ADD CONSTRAINT outbox_events_check CHECK (num_nonnulls(session_id, aggregation_run_id) = 1);
DROP TABLE export_jobs;
"
);
