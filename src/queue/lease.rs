//! Who may work on a job, and for how long.
//!
//! A worker registers, claims jobs one by one, and shows a sign of life every fraction of the lease. Claiming
//! counts the attempt, so that a job that kills its worker is counted too. Jobs of a worker that has been silent
//! for longer than the lease go back to the queue. Every later write of a worker is fenced: it must still hold
//! the job, in the very attempt it claimed.
//!
//! Whoever locks both a session and a job locks the session first.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use sqlx::PgPool;

use crate::error::{Error, Result};

/// A transaction that holds a job and says nothing for so long is ended by the database: its worker was stopped in
/// the middle, and nobody could take the job over as long as its row is locked.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

/// A claimed job: proof of being allowed to work on it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Lease {
    /// Id of the job.
    pub id: String,
    /// Which worker holds it.
    pub lock_by: String,
    /// Which attempt this is, from 1; one above `max_attempts` when all of them were used up without an answer.
    pub attempts: i32,
    /// How many there may be.
    pub max_attempts: i32,
    /// The arguments, as JSON.
    pub job: Vec<u8>,
}

/// What becomes of a claimed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is tried again after a delay.
    Retry(Duration),
    /// It ends without success.
    Dead(String),
    /// It goes back as if it had not been claimed: this process is stopping, or was cut off from the database.
    GivenBack,
    /// Nothing is left to do: what it was asked for is done, or no longer wanted.
    MovedOn,
    /// It was claimed too early, and has been [put off](Lease::postpone).
    PutOff,
}

impl Lease {
    /// Whether the attempts are used up without any of them having answered: each killed its worker or ran on
    /// past its lease.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.attempts > self.max_attempts
    }

    /// Whether a failure of this attempt is the last one.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempts >= self.max_attempts
    }

    /// Makes sure, inside a transaction, that the job is still ours until the transaction ends.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when it was ended, or went to somebody else: nothing may be written then.
    pub async fn hold(&self, txn: &impl ConnectionTrait) -> Result<()> {
        let query = "SELECT set_config('idle_in_transaction_session_timeout', $4, true) FROM apalis.jobs
            WHERE id = $1 AND lock_by = $2 AND attempts = $3 AND status = 'Running' FOR SHARE";
        let silence = LONGEST_SILENCE.as_millis().to_string();
        let values =
            [self.id.clone().into(), self.lock_by.clone().into(), self.attempts.into(), silence.into()];
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values);
        txn.query_one_raw(statement).await?.map(drop).ok_or(Error::MovedOn)
    }

    /// Whether the job is ours at this moment: asked right before something is paid for. A process that was stopped and wakes
    /// up asks, before it knows how long it slept.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when it was ended, or went to somebody else.
    pub async fn check(&self, db: &impl ConnectionTrait) -> Result<()> {
        let query = "SELECT 1 FROM apalis.jobs WHERE id = $1 AND lock_by = $2 AND attempts = $3 AND status = 'Running'";
        let values = [self.id.clone().into(), self.lock_by.clone().into(), self.attempts.into()];
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values);
        db.query_one_raw(statement).await?.map(drop).ok_or(Error::MovedOn)
    }

    /// Puts a job off, inside a transaction: it was claimed too early. That costs no attempt; the claims of a job keep their
    /// own numbers all the same, so that nobody takes one for another.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when it was ended, or went to somebody else.
    pub async fn postpone(&self, txn: &impl ConnectionTrait, delay: Duration) -> Result<()> {
        let update =
            "UPDATE apalis.jobs SET status = 'Pending', run_at = now() + $4::float8 * interval '1 second',
                max_attempts = max_attempts + 1, lock_by = NULL, lock_at = NULL
            WHERE id = $1 AND lock_by = $2 AND attempts = $3 AND status = 'Running'";
        let delay = delay.as_secs_f64();
        let values =
            [self.id.clone().into(), self.lock_by.clone().into(), self.attempts.into(), delay.into()];
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, update, values);
        let put_off = txn.execute_raw(statement).await?.rows_affected() == 1;
        if put_off { Ok(()) } else { Err(Error::MovedOn) }
    }

    /// Puts down what became of the job; does nothing, and says so, when it is no longer ours.
    ///
    /// # Errors
    /// When the database does not answer: try again, for the job stays with its worker as long as that lives.
    pub async fn finish(&self, pool: &PgPool, outcome: &Outcome) -> Result<bool, sqlx::Error> {
        let (status, delay, taken_back, reason) = match outcome {
            Outcome::PutOff => return Ok(true),
            Outcome::Done | Outcome::MovedOn => ("Done", Duration::ZERO, 0, None),
            Outcome::Retry(delay) => ("Pending", *delay, 0, None),
            Outcome::Dead(reason) => ("Killed", Duration::ZERO, 0, Some(reason.as_str())),
            Outcome::GivenBack => ("Pending", Duration::ZERO, 1, None),
        };
        let finished = sqlx::query(
            "UPDATE apalis.jobs SET status = $4, run_at = now() + $5::float8 * interval '1 second', attempts = attempts - $6,
                    last_result = to_jsonb($7::text), lock_by = NULL, lock_at = NULL,
                    done_at = CASE WHEN $4 IN ('Done', 'Killed') THEN now() END
             WHERE id = $1 AND lock_by = $2 AND attempts = $3 AND status = 'Running'",
        )
        .bind(&self.id)
        .bind(&self.lock_by)
        .bind(self.attempts)
        .bind(status)
        .bind(delay.as_secs_f64())
        .bind(taken_back)
        .bind(reason)
        .execute(pool)
        .await?;
        Ok(finished.rows_affected() == 1)
    }
}

/// Registers a worker; its name must be new.
///
/// # Errors
/// When the database does not answer.
pub async fn register(pool: &PgPool, worker: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, layers, last_seen)
         VALUES ($1, 'therapybridge', 'therapybridge', '', now()) ON CONFLICT (id) DO UPDATE SET last_seen = now()",
    )
    .bind(worker)
    .execute(pool)
    .await?;
    Ok(())
}

/// Shows a sign of life, and takes back the jobs of workers that have been silent for longer than the lease.
/// Says how many were taken back.
///
/// # Errors
/// When the database does not answer.
pub async fn heartbeat(pool: &PgPool, worker: &str, lease: Duration) -> Result<u64, sqlx::Error> {
    register(pool, worker).await?;
    let orphans = sqlx::query(
        "WITH orphans AS (
             SELECT jobs.id FROM apalis.jobs JOIN apalis.workers ON jobs.lock_by = workers.id
             WHERE jobs.status IN ('Queued', 'Running')
               AND workers.last_seen < now() - $1::float8 * interval '1 second'
             FOR UPDATE OF jobs SKIP LOCKED)
         UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, run_at = now()
         FROM orphans WHERE jobs.id = orphans.id",
    )
    .bind(lease.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(orphans.rows_affected())
}

/// A job in one attempt, as its id and the number of the attempt.
pub type Attempt = (String, i32);

/// What a worker holds, as the database sees it.
///
/// # Errors
/// When the database does not answer.
pub async fn held(pool: &PgPool, worker: &str) -> Result<Vec<Attempt>, sqlx::Error> {
    sqlx::query_as("SELECT id, attempts FROM apalis.jobs WHERE lock_by = $1 AND status = 'Running'")
        .bind(worker)
        .fetch_all(pool)
        .await
}

/// Gives a job back that a worker holds and does not know of, because the answer to its claim was lost. Says whether
/// it was still there to give.
///
/// # Errors
/// When the database does not answer.
pub async fn give_back(pool: &PgPool, worker: &str, (id, attempt): &Attempt) -> Result<bool, sqlx::Error> {
    let given = sqlx::query(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, attempts = attempts - 1
         WHERE id = $1 AND lock_by = $2 AND attempts = $3 AND status = 'Running'",
    )
    .bind(id)
    .bind(worker)
    .bind(attempt)
    .execute(pool)
    .await?;
    Ok(given.rows_affected() == 1)
}

/// Claims the next job of a kind, if there is one that is due.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(pool: &PgPool, worker: &str, kind: &str) -> Result<Option<Lease>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE apalis.jobs SET status = 'Running', lock_by = $1, lock_at = now(), attempts = attempts + 1
         WHERE id = (SELECT id FROM apalis.jobs WHERE job_type = $2 AND status = 'Pending' AND run_at <= now()
                     ORDER BY priority DESC, run_at LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING id, lock_by, attempts, max_attempts, job",
    )
    .bind(worker)
    .bind(kind)
    .fetch_optional(pool)
    .await
}

/// Ends a worker's registration; what it still holds goes back as if it had not been claimed.
///
/// # Errors
/// When the database does not answer; the lease runs out then.
pub async fn sign_off(pool: &PgPool, worker: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, attempts = attempts - 1
         WHERE lock_by = $1 AND status IN ('Queued', 'Running')",
    )
    .bind(worker)
    .execute(pool)
    .await?;
    let gone = sqlx::query("DELETE FROM apalis.workers WHERE id = $1").bind(worker).execute(pool).await;
    match gone {
        // A claim that nobody waits for any more has just arrived: the worker stays until its lease has run out.
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(()),
        gone => gone.map(drop),
    }
}

/// What waits and works, for `/health` and `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, sqlx::FromRow)]
pub struct Depth {
    /// Jobs that are due and wait.
    pub waiting: i64,
    /// Jobs that are being worked on.
    pub running: i64,
    /// Jobs that were given up and are still kept.
    pub dead: i64,
    /// Age of the oldest job that is due, in seconds.
    pub oldest_seconds: Option<f64>,
}

/// Looks at the queue.
///
/// # Errors
/// When the database does not answer.
pub async fn depth(pool: &PgPool) -> Result<Depth, sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE status = 'Pending' AND run_at <= now()) AS waiting,
                count(*) FILTER (WHERE status IN ('Queued', 'Running')) AS running,
                count(*) FILTER (WHERE status = 'Killed') AS dead,
                extract(epoch FROM now() - min(run_at) FILTER (WHERE status = 'Pending' AND run_at <= now()))::float8
                    AS oldest_seconds
         FROM apalis.jobs WHERE status <> 'Done'",
    )
    .fetch_one(pool)
    .await
}
