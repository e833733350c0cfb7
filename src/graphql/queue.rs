//! The queue, for admins.

use async_graphql::{Context, Description, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::error::ApiResult;
use crate::queue::status::{self, Kind, Status, Worker};

/// What waits, works and was given up, and who is there to work.
#[derive(Description)]
pub(super) struct QueueStatus(Status);

#[Object(use_type_description)]
impl QueueStatus {
    /// Jobs, an entry a kind, also where there are none.
    async fn jobs(&self) -> Vec<QueuedJobs> {
        self.0.kinds.iter().cloned().map(QueuedJobs::from).collect()
    }

    /// Workers that are alive, the one heard of last first; a hundred at most.
    async fn workers(&self) -> Vec<QueueWorker> {
        self.0.workers.iter().cloned().map(QueueWorker::from).collect()
    }

    /// How many workers are alive: were heard of within a lease (JOB_LEASE_SECONDS).
    async fn workers_alive(&self) -> i64 {
        self.0.workers_alive
    }
}

/// Jobs of one kind.
#[derive(SimpleObject)]
pub(super) struct QueuedJobs {
    /// Which kind: `transcribe_session`, `extract_notes`, `refresh_analytics`, `aggregate`, `purge_expired`, `clean_up`.
    kind: String,
    /// How many are due, and wait for a worker.
    waiting: i64,
    /// How many are held by a worker.
    running: i64,
    /// How many are to be tried again, later.
    delayed: i64,
    /// How many were given up in the last seven days.
    dead: i64,
    /// For how long the oldest one that is due has been waiting, in seconds; null if none is.
    oldest_waiting_seconds: Option<f64>,
    /// For how long the oldest one that is held has been held, in seconds; null if none is.
    oldest_running_seconds: Option<f64>,
}

impl From<Kind> for QueuedJobs {
    fn from(jobs: Kind) -> Self {
        let Kind { kind, waiting, running, delayed, dead, oldest_waiting_seconds, oldest_running_seconds } =
            jobs;
        Self { kind, waiting, running, delayed, dead, oldest_waiting_seconds, oldest_running_seconds }
    }
}

/// A process that works.
#[derive(SimpleObject)]
pub(super) struct QueueWorker {
    /// Its name: `worker`, the number of the process, and an id of this start, as in the log.
    name: String,
    /// Its last sign of life.
    last_seen_at: DateTime<Utc>,
    /// How many jobs it holds.
    jobs_held: i64,
}

impl From<Worker> for QueueWorker {
    fn from(worker: Worker) -> Self {
        Self { name: worker.id, last_seen_at: worker.last_seen, jobs_held: worker.jobs_held }
    }
}

#[derive(Default)]
pub(super) struct QueueQuery;

#[Object]
impl QueueQuery {
    /// What waits, works and was given up, and who is there to work. For admins.
    async fn queue_status(&self, ctx: &Context<'_>) -> ApiResult<QueueStatus> {
        ctx.actor().admin_id()?;
        let app = ctx.app();
        let status = status::look(app.pool(), app.config.worker.lease).await;
        Ok(QueueStatus(status.map_err(anyhow::Error::new)?))
    }
}
