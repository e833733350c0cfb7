//! Puts a made-up practice into the database.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::ActiveEnum;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::{NoContext, Timestamp, Uuid};

use super::{Plan, Session};
use crate::entity::extraction_run::Kind;
use crate::notes::grounding::Transcript;
use crate::notes::transcript_hash;

/// Who the notes' runs say has written them.
pub const PROVIDER: &str = "demo";
/// Which set of rules, and what takes the place of a prompt.
const RULES: [&str; 2] = ["made-up-practice", "1"];
/// Sessions that are sent at a time.
const BATCH: usize = 250;
/// What every reader of such notes is told.
const WARNING: &str = "Made up for a demonstration: there is no recording, and nobody said any of this.";

/// Sessions and the runs of their notes, which refer to each other: foreign keys are looked at when the statement ends.
const SESSIONS: &str = "WITH new AS (
        SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::date[], $7::integer[],
            $8::timestamptz[], $9::timestamptz[], $10::uuid[], $11::jsonb[])
            AS new (id, patient_id, attendance, start, day, minutes, planned_at, settled_at, run_id, notes)),
    sessions AS (
        INSERT INTO sessions (id, patient_id, therapist_id, attendance, scheduled_start, session_date, duration_minutes,
            extraction_run_id, created_at, updated_at)
        SELECT id, patient_id, $1, attendance, start, day, minutes, run_id, planned_at, settled_at FROM new)
    INSERT INTO extraction_runs (id, session_id, kind, provider, model, prompt_version, transcript_sha256, cost_usd, work_ms,
        warnings, notes, created_at, updated_at)
    SELECT run_id, id, $12, $13, $14, $15, $16, 0, 0, $17, notes, settled_at, settled_at FROM new WHERE run_id IS NOT NULL";

/// Whether somebody's practice has made-up sessions.
///
/// # Errors
/// When the database does not answer.
pub async fn is_there(pool: &PgPool, therapist_id: Uuid) -> Result<bool, sqlx::Error> {
    let query =
        "SELECT EXISTS (SELECT 1 FROM sessions JOIN extraction_runs AS run ON run.id = extraction_run_id
        WHERE therapist_id = $1 AND provider = $2)";
    sqlx::query_scalar(query).bind(therapist_id).bind(PROVIDER).fetch_one(pool).await
}

impl Plan {
    /// Writes it as that therapist's practice, all or nothing. Figures are still to be worked out.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn write(&self, pool: &PgPool, therapist_id: Uuid) -> Result<(), sqlx::Error> {
        #[expect(clippy::disallowed_methods, reason = "a command: whoever gives it up ends the process")]
        let mut txn = pool.begin().await?;
        let patients = self.write_patients(&mut txn, therapist_id).await?;
        for sessions in self.sessions.chunks(BATCH) {
            write_sessions(&mut txn, therapist_id, &patients, sessions).await?;
        }
        txn.commit().await
    }

    /// Gives everybody's id.
    async fn write_patients(
        &self,
        txn: &mut PgConnection,
        therapist_id: Uuid,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        let ids: Vec<Uuid> =
            self.patients.iter().map(|patient| patient.id.unwrap_or_else(|| id_of(patient.since))).collect();
        let new = || self.patients.iter().zip(&ids).filter(|(patient, _)| patient.id.is_none());
        let query = "INSERT INTO patients (id, therapist_id, name, archived_at, created_at, updated_at)
            SELECT id, $1, name, archived_at, since, coalesce(archived_at, since)
            FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS new (id, name, archived_at, since)";
        sqlx::query(query)
            .bind(therapist_id)
            .bind(new().map(|(_, id)| *id).collect::<Vec<_>>())
            .bind(new().map(|(patient, _)| patient.name.as_str()).collect::<Vec<_>>())
            .bind(new().map(|(patient, _)| patient.archived_at).collect::<Vec<_>>())
            .bind(new().map(|(patient, _)| patient.since).collect::<Vec<_>>())
            .execute(txn)
            .await?;
        Ok(ids)
    }
}

async fn write_sessions(
    txn: &mut PgConnection,
    therapist_id: Uuid,
    patients: &[Uuid],
    sessions: &[Session],
) -> Result<(), sqlx::Error> {
    let of = |session: &Session| session.notes.as_ref().map(|_| id_of(session.settled_at));
    let no_transcript = transcript_hash(&Transcript::new(&[]));
    sqlx::query(SESSIONS)
        .bind(therapist_id)
        .bind(sessions.iter().map(|session| id_of(session.planned_at)).collect::<Vec<Uuid>>())
        .bind(sessions.iter().map(|session| patients[session.patient]).collect::<Vec<Uuid>>())
        .bind(sessions.iter().map(|session| session.attendance.to_value()).collect::<Vec<String>>())
        .bind(sessions.iter().map(|session| session.start).collect::<Vec<DateTime<Utc>>>())
        .bind(sessions.iter().map(|session| session.date).collect::<Vec<NaiveDate>>())
        .bind(sessions.iter().map(|session| session.minutes).collect::<Vec<i32>>())
        .bind(sessions.iter().map(|session| session.planned_at).collect::<Vec<DateTime<Utc>>>())
        .bind(sessions.iter().map(|session| session.settled_at).collect::<Vec<DateTime<Utc>>>())
        .bind(sessions.iter().map(of).collect::<Vec<Option<Uuid>>>())
        .bind(
            sessions
                .iter()
                .map(|session| session.notes.as_ref().map(|notes| json!(notes)))
                .collect::<Vec<_>>(),
        )
        .bind(Kind::Extractive.to_value())
        .bind(PROVIDER)
        .bind(RULES[0])
        .bind(RULES[1])
        .bind(no_transcript)
        .bind::<Value>(json!([WARNING]))
        .execute(txn)
        .await?;
    Ok(())
}

/// An id of the time when the row would have come to be: ids sort by creation.
fn id_of(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}
