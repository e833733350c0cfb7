//! A practice of full sessions: each processed, with notes, risk screen and costs, its texts as long as they may be; some with
//! the transcript of a whole session. Every day and time in it is a round one.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// How large it is.
pub(crate) struct Practice {
    pub(crate) patients: usize,
    /// Of each patient.
    pub(crate) sessions: usize,
    /// Of each session of one patient; those of others have no transcript.
    pub(crate) utterances: usize,
    /// Events of the trail for each session.
    pub(crate) events: usize,
}

impl Practice {
    /// Writes it as the practice of a therapist.
    pub(crate) async fn write(&self, pool: &PgPool, therapist: Uuid) {
        for statement in self.statements(therapist) {
            let written = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(pool).await;
            written.unwrap_or_else(|error| panic!("{error}: {statement:.300}"));
        }
    }

    fn statements(&self, therapist: Uuid) -> Vec<String> {
        let Self { patients, sessions, utterances, events } = self;
        let (notes, screen, words) =
            (notes(), json!({ "version": "1", "flags": [flag(), flag()] }), words(12));
        vec![
            format!(
                "INSERT INTO patients (id, therapist_id, name, email, phone, created_at, updated_at)
                SELECT gen_random_uuid(), '{therapist}', 'Patient ' || n, 'p' || n || '@example.com', '+49 30 ' || n,
                    date_trunc('day', now()), date_trunc('day', now()) FROM generate_series(1, {patients}) n"
            ),
            format!(
                "INSERT INTO sessions (id, patient_id, therapist_id, attendance, scheduled_start, session_date,
                    duration_minutes, status, progress, audio_filename, audio_ms, audio_removed_at, risk_screen,
                    created_at, updated_at)
                SELECT gen_random_uuid(), patients.id, therapist_id, 'COMPLETED', date_trunc('hour', now()) - n * interval '1 day',
                    current_date - n, 90, 'PROCESSED', 100, 'session.mp3', 5400000, now(), '{screen}',
                    date_trunc('day', now()), date_trunc('day', now())
                FROM patients, generate_series(1, {sessions}) n WHERE name LIKE 'Patient %'"
            ),
            format!(
                "INSERT INTO extraction_runs (id, session_id, kind, provider, model, prompt_version, transcript_sha256,
                    cost_usd, work_ms, warnings, notes, created_at, updated_at)
                SELECT gen_random_uuid(), id, 'MODEL', 'bench', 'bench', '1', repeat('0', 64), 0.1, 1, '[]', '{notes}', now(), now()
                FROM sessions"
            ),
            "UPDATE sessions SET extraction_run_id = run.id FROM extraction_runs AS run WHERE run.session_id = sessions.id"
                .to_owned(),
            "INSERT INTO costs (id, therapist_id, session_id, work, provider, model, audio_ms, cost_usd, created_at)
                SELECT gen_random_uuid(), therapist_id, id, 'SPEECH', 'bench', 'bench', 5400000, 0.5, now() FROM sessions"
                .to_owned(),
            format!(
                "INSERT INTO transcript_segments (id, session_id, segment_index, start_ms, end_ms, speaker, role, text,
                    created_at, updated_at)
                SELECT gen_random_uuid(), id, n - 1, n * 5000, n * 5000 + 4900, 'voice 1', 'PATIENT', '{words}', now(), now()
                FROM sessions, generate_series(1, {utterances}) n
                WHERE patient_id = (SELECT max(patient_id::text)::uuid FROM sessions)"
            ),
            format!(
                "INSERT INTO audit_events (id, at, actor_id, actor_role, request_id, action, subject_type, subject_id,
                    outcome, changed_fields)
                SELECT gen_random_uuid(), now(), therapist_id, 'THERAPIST', 'bench', 'session.read_notes', 'session', id,
                    'OK', '{{}}' FROM sessions, generate_series(1, {events})"
            ),
            "VACUUM ANALYZE".to_owned(),
        ]
    }
}

fn words(count: usize) -> String {
    "therapy ".repeat(count)
}

fn evidence() -> Value {
    json!({ "quote": words(20), "segment_id": null, "segment_ids": [], "start_ms": 1, "end_ms": 2,
        "verdict": "SUPPORTED", "match": "EXACT" })
}

fn item() -> Value {
    json!({ "text": words(15), "evidence": evidence() })
}

fn flag() -> Value {
    json!({ "kind": "HOPELESSNESS", "severity": "LOW", "source": "LEXICAL", "text": words(15), "evidence": evidence() })
}

/// As `therapybridge::notes::Notes` is stored.
fn notes() -> Value {
    json!({
        "key_topics": ["sleep", "work", "rest", "family", "anger"], "topic_summary": words(40),
        "strategies": [item(), item(), item(), item()], "action_items": [item(), item(), item()],
        "session_mood": "LOW", "mood_trajectory": "STABLE", "therapist_notes": words(180),
        "patient_summary": words(130), "risk_flags": [flag(), flag()], "risk_screens": ["lexical 1"],
    })
}
