//! What analytics are read from: figures of each session, of each day of a therapist, of each week of a patient, kept right
//! by aggregation runs; and what these runs tell subscribers.
//!
//! `session_topics` holds the topics of `session_metrics.topics` one by one, so that they are counted by an index: `topic` is what
//! is compared (case-folded), `label` what is shown. `daily_stats` keeps the sums behind its averages and rates, so that days can be
//! added up to weeks and months.
migration!(
    "m25_analytics",
    up: r"
CREATE TABLE session_metrics (
    id                 uuid PRIMARY KEY,
    session_id         uuid NOT NULL UNIQUE REFERENCES sessions (id),
    therapist_id       uuid NOT NULL REFERENCES users (id),
    patient_id         uuid NOT NULL REFERENCES patients (id),
    extraction_run_id  uuid NOT NULL REFERENCES extraction_runs (id),
    session_date       date NOT NULL,
    duration_minutes   integer CHECK (duration_minutes BETWEEN 1 AND 1440),
    mood_score         integer CHECK (mood_score BETWEEN 1 AND 5),
    mood_label         text CHECK (mood_label IN ('VERY_LOW', 'LOW', 'NEUTRAL', 'POSITIVE', 'VERY_POSITIVE')),
    topic_count        integer NOT NULL CHECK (topic_count >= 0),
    topics             jsonb NOT NULL,
    strategies_count   integer NOT NULL CHECK (strategies_count >= 0),
    action_items_count integer NOT NULL CHECK (action_items_count >= 0),
    has_risk_flags     boolean NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CHECK ((mood_score IS NULL) = (mood_label IS NULL))
);
CREATE INDEX session_metrics_therapist_date ON session_metrics (therapist_id, session_date);
CREATE INDEX session_metrics_patient_date ON session_metrics (patient_id, session_date);

CREATE TABLE session_topics (
    session_id   uuid NOT NULL REFERENCES sessions (id),
    topic        text NOT NULL,
    label        text NOT NULL,
    therapist_id uuid NOT NULL REFERENCES users (id),
    patient_id   uuid NOT NULL REFERENCES patients (id),
    session_date date NOT NULL,
    PRIMARY KEY (session_id, topic)
);
CREATE INDEX session_topics_therapist_date ON session_topics (therapist_id, session_date) INCLUDE (topic, label, patient_id);
CREATE INDEX session_topics_patient_date ON session_topics (patient_id, session_date) INCLUDE (topic, label);

CREATE TABLE daily_stats (
    id                   uuid PRIMARY KEY,
    therapist_id         uuid NOT NULL REFERENCES users (id),
    stat_date            date NOT NULL,
    total_sessions       integer NOT NULL CHECK (total_sessions > 0),
    completed_sessions   integer NOT NULL CHECK (completed_sessions >= 0),
    cancelled_sessions   integer NOT NULL CHECK (cancelled_sessions >= 0),
    no_show_sessions     integer NOT NULL CHECK (no_show_sessions >= 0),
    active_patients      integer NOT NULL CHECK (active_patients >= 0),
    -- Completed sessions of known length, and their minutes.
    timed_sessions       integer NOT NULL CHECK (timed_sessions >= 0),
    timed_minutes        integer NOT NULL CHECK (timed_minutes >= 0),
    avg_duration_minutes double precision
        GENERATED ALWAYS AS (timed_minutes::double precision / NULLIF(timed_sessions, 0)) STORED,
    completion_rate      double precision
        GENERATED ALWAYS AS (completed_sessions::double precision
                             / NULLIF(completed_sessions + cancelled_sessions + no_show_sessions, 0)) STORED,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL
);
CREATE UNIQUE INDEX daily_stats_therapist_date_key ON daily_stats (therapist_id, stat_date);

CREATE TABLE patient_progress (
    id              uuid PRIMARY KEY,
    patient_id      uuid NOT NULL REFERENCES patients (id),
    therapist_id    uuid NOT NULL REFERENCES users (id),
    week_start_date date NOT NULL CHECK (extract(isodow FROM week_start_date) = 1),
    sessions_count  integer NOT NULL CHECK (sessions_count >= 0),
    avg_mood_score  double precision CHECK (avg_mood_score BETWEEN 1 AND 5),
    mood_trajectory text CHECK (mood_trajectory IN ('IMPROVING', 'DECLINING', 'STABLE', 'FLUCTUATING')),
    common_topics   jsonb NOT NULL,
    attendance_rate double precision CHECK (attendance_rate BETWEEN 0 AND 1),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX patient_progress_patient_week_key ON patient_progress (patient_id, week_start_date);
CREATE INDEX patient_progress_therapist_week ON patient_progress (therapist_id, week_start_date);

CREATE TABLE aggregation_runs (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('REFRESH', 'DAILY', 'WEEKLY', 'MANUAL')),
    status        text NOT NULL CHECK (status IN ('QUEUED', 'RUNNING', 'COMPLETED', 'FAILED')),
    -- Whose figures; everybody's where it is null.
    therapist_id  uuid REFERENCES users (id),
    -- What changed: exactly these days of this patient's sessions.
    patient_id    uuid REFERENCES patients (id),
    changed_days  date[] NOT NULL DEFAULT '{}',
    from_date     date,
    to_date       date,
    due_at        timestamptz,
    progress      integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    version       bigint NOT NULL DEFAULT 1 CHECK (version >= 1),
    -- How far it has come: therapists are done in the order of their ids.
    done_up_to    uuid,
    therapists    integer NOT NULL DEFAULT 0 CHECK (therapists >= 0),
    -- Those whose figures could not be worked out.
    skipped       integer NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    days          bigint NOT NULL DEFAULT 0 CHECK (days >= 0),
    changes       bigint NOT NULL DEFAULT 0 CHECK (changes >= 0),
    error_message text,
    started_at    timestamptz,
    finished_at   timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CHECK ((status = 'FAILED') = (error_message IS NOT NULL)),
    CHECK ((kind IN ('DAILY', 'WEEKLY')) = (due_at IS NOT NULL)),
    CHECK ((kind = 'REFRESH') = (patient_id IS NOT NULL)),
    CHECK (patient_id IS NULL OR therapist_id IS NOT NULL)
);
CREATE UNIQUE INDEX aggregation_runs_due_key ON aggregation_runs (kind, due_at);
CREATE INDEX aggregation_runs_therapist ON aggregation_runs (therapist_id, id);

CREATE INDEX sessions_patient_date ON sessions (patient_id, session_date);
CREATE INDEX sessions_upcoming ON sessions (therapist_id, scheduled_start) WHERE attendance = 'SCHEDULED';

ALTER TABLE outbox_events
    ALTER COLUMN session_id DROP NOT NULL,
    ALTER COLUMN patient_id DROP NOT NULL,
    ADD COLUMN aggregation_run_id uuid REFERENCES aggregation_runs (id),
    ADD COLUMN therapist_id uuid REFERENCES users (id),
    ADD CHECK (num_nonnulls(session_id, aggregation_run_id) = 1),
    ADD CHECK ((session_id IS NULL) = (patient_id IS NULL)),
    ADD CHECK (session_id IS NULL OR therapist_id IS NULL);
CREATE UNIQUE INDEX outbox_events_aggregation_version_key ON outbox_events (aggregation_run_id, version);
",
    down: r"
DELETE FROM outbox_events WHERE session_id IS NULL;
ALTER TABLE outbox_events DROP COLUMN aggregation_run_id, DROP COLUMN therapist_id,
    ALTER COLUMN session_id SET NOT NULL, ALTER COLUMN patient_id SET NOT NULL;
DROP INDEX sessions_upcoming;
DROP INDEX sessions_patient_date;
DROP TABLE aggregation_runs;
DROP TABLE patient_progress;
DROP TABLE daily_stats;
DROP TABLE session_topics;
DROP TABLE session_metrics;
"
);
