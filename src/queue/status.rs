//! What waits, works and was given up, and who is there to work: for operators.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::jobs::KINDS;

/// Workers that are listed, at most; their number is exact all the same.
const MOST_WORKERS: i64 = 100;

/// The queue at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Jobs, a line a kind, also where there are none.
    pub kinds: Vec<Kind>,
    /// Workers that are alive, the one heard of last first; a hundred at most.
    pub workers: Vec<Worker>,
    /// How many workers are alive.
    pub workers_alive: i64,
}

/// Jobs of one kind.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Kind {
    /// Which kind.
    pub kind: String,
    /// Due, and waiting for a worker.
    pub waiting: i64,
    /// Held by a worker.
    pub running: i64,
    /// Not due yet: to be tried again later.
    pub delayed: i64,
    /// Given up, and still kept.
    pub dead: i64,
    /// For how long the oldest one that is due has been waiting, in seconds.
    pub oldest_waiting_seconds: Option<f64>,
    /// For how long the oldest one that is held has been held, in seconds.
    pub oldest_running_seconds: Option<f64>,
}

/// A process that works.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Worker {
    /// Its name: `worker`, the process, and an id of this start.
    pub id: String,
    /// Its last sign of life.
    pub last_seen: DateTime<Utc>,
    /// How many jobs it holds.
    pub jobs_held: i64,
    /// How many are alive, this one counted.
    alive: i64,
}

/// Looks at the queue; a worker is alive when it was heard of within the lease.
///
/// # Errors
/// When the database does not answer.
pub async fn look(pool: &PgPool, lease: Duration) -> Result<Status, sqlx::Error> {
    let workers = workers(pool, lease).await?;
    let workers_alive = workers.first().map_or(0, |worker| worker.alive);
    Ok(Status { kinds: kinds(pool).await?, workers, workers_alive })
}

async fn kinds(pool: &PgPool) -> Result<Vec<Kind>, sqlx::Error> {
    sqlx::query_as(
        "SELECT kind,
                count(*) FILTER (WHERE status = 'Pending' AND run_at <= now()) AS waiting,
                count(*) FILTER (WHERE status IN ('Queued', 'Running')) AS running,
                count(*) FILTER (WHERE status = 'Pending' AND run_at > now()) AS delayed,
                count(*) FILTER (WHERE status = 'Killed') AS dead,
                extract(epoch FROM now() - min(run_at) FILTER (WHERE status = 'Pending' AND run_at <= now()))::float8
                    AS oldest_waiting_seconds,
                extract(epoch FROM now() - min(lock_at) FILTER (WHERE status IN ('Queued', 'Running')))::float8
                    AS oldest_running_seconds
         FROM unnest($1::text[]) WITH ORDINALITY AS known (kind, place)
         LEFT JOIN apalis.jobs ON job_type = kind AND status <> 'Done'
         GROUP BY kind, place ORDER BY place",
    )
    .bind(&KINDS[..])
    .fetch_all(pool)
    .await
}

async fn workers(pool: &PgPool, lease: Duration) -> Result<Vec<Worker>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, last_seen, count(*) OVER () AS alive,
                (SELECT count(*) FROM apalis.jobs WHERE lock_by = workers.id AND status = 'Running') AS jobs_held
         FROM apalis.workers WHERE last_seen >= now() - $1::float8 * interval '1 second'
         ORDER BY last_seen DESC, id LIMIT $2",
    )
    .bind(lease.as_secs_f64())
    .bind(MOST_WORKERS)
    .fetch_all(pool)
    .await
}
