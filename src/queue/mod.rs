//! What can be asked for: a job is a small struct of ids, enqueued inside the transaction that creates the need.
//!
//! Jobs live in the tables of apalis-postgres and are run by apalis workers (`worker`). The SQL around them is
//! ours ([`lease`]), because a clinical queue needs what the stock storage does not promise: attempts are counted
//! when a job is claimed, delays are persisted, a job that kills its workers ends, and a worker that lost its
//! lease can no longer write.

pub mod jobs;
pub mod lease;
pub mod status;

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use lease::Lease;

/// Something that can be asked for. Fields are ids and small numbers, never clinical data.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name of the queue; never changes once jobs have been stored under it.
    const KIND: &'static str;
    /// How often it is tried before it is given up.
    const MAX_ATTEMPTS: i32;
    /// How long one attempt may take.
    const TIMEOUT: Duration;

    /// Two jobs of one kind with the same key are one job.
    fn key(&self) -> String;
}

/// Adds a job; visible to workers when the transaction commits. One that was asked for before is left alone.
///
/// # Errors
/// When the database does not take it.
pub async fn enqueue<J: Job>(db: &impl ConnectionTrait, job: &J) -> Result<(), DbErr> {
    enqueue_after(db, job, Duration::ZERO).await.map(drop)
}

/// Adds a job that is due after a while. Gives its id; `None` if it was asked for before.
///
/// # Errors
/// When the database does not take it.
pub async fn enqueue_after<J: Job>(
    db: &impl ConnectionTrait,
    job: &J,
    delay: Duration,
) -> Result<Option<String>, DbErr> {
    let args = serde_json::to_vec(job).map_err(|error| DbErr::Json(error.to_string()))?;
    let insert = "INSERT INTO apalis.jobs
            (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
        VALUES ($1, $2, $3, 'Pending', 0, $4, now() + $6::float8 * interval '1 second', 0, ''::hstore, $5)
        ON CONFLICT (job_type, idempotency_key) DO NOTHING";
    let id = ulid::Ulid::generate().to_string();
    let values = [
        id.clone().into(),
        J::KIND.into(),
        args.into(),
        J::MAX_ATTEMPTS.into(),
        job.key().into(),
        delay.as_secs_f64().into(),
    ];
    let added =
        db.execute_raw(Statement::from_sql_and_values(DatabaseBackend::Postgres, insert, values)).await?;
    Ok((added.rows_affected() == 1).then_some(id))
}

/// Ends a job that is no longer wanted, in the transaction that ends the need; whoever works on it loses it. The caller
/// holds the row that the job is about. Says whether there was one to end.
///
/// # Errors
/// When the database does not take it.
pub async fn withdraw<J: Job>(db: &impl ConnectionTrait, job: &J) -> Result<bool, DbErr> {
    let update = "UPDATE apalis.jobs
        SET status = 'Done', lock_by = NULL, lock_at = NULL, done_at = now(), last_result = to_jsonb('withdrawn'::text)
        WHERE job_type = $1 AND idempotency_key = $2 AND status IN ('Pending', 'Queued', 'Running', 'Failed')";
    let values = [J::KIND.into(), job.key().into()];
    let ended =
        db.execute_raw(Statement::from_sql_and_values(DatabaseBackend::Postgres, update, values)).await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends jobs by their ids that nobody works on yet, in the transaction that ends the need.
///
/// # Errors
/// When the database does not take it.
pub async fn withdraw_waiting(db: &impl ConnectionTrait, ids: Vec<String>) -> Result<(), DbErr> {
    let update =
        "UPDATE apalis.jobs SET status = 'Done', done_at = now(), last_result = to_jsonb('withdrawn'::text)
        WHERE id = ANY ($1) AND status = 'Pending'";
    db.execute_raw(Statement::from_sql_and_values(DatabaseBackend::Postgres, update, [ids.into()])).await?;
    Ok(())
}
