//! Removes what has outlived its purpose, in batches, so that no lock is held for long.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::{Handler, JobError};
use crate::app::App;
use crate::error::Result;
use crate::queue::Lease;
use crate::queue::jobs::PurgeExpired;

/// Rows a statement.
const BATCH: usize = 1000;

/// What is removed, and when: table, primary key, condition. `clock()` is the time by the clock that wrote the rows; what apalis keeps
/// goes by that of the database.
const RETENTION: [(&str, &str, &str); 9] = [
    ("outbox_events", "seq", "created_at < clock() - interval '7 days'"),
    // After the events that tell of them: these point at their run.
    (
        "aggregation_runs",
        "id",
        "updated_at < clock() - CASE kind WHEN 'REFRESH' THEN interval '8 days' ELSE interval '90 days' END
            AND status IN ('COMPLETED', 'FAILED')",
    ),
    // So do these. Files have gone before: in their own time, or with the job that was deleted.
    (
        "export_jobs",
        "id",
        "file_key IS NULL AND updated_at < clock() - CASE WHEN deleted_at IS NULL THEN interval '90 days' ELSE interval '8 days' END
            AND (deleted_at IS NOT NULL OR status IN ('FAILED', 'EXPIRED'))",
    ),
    ("idempotency_keys", "(user_id, key)", "created_at < clock() - interval '24 hours'"),
    ("rate_limits", "key", "expires_at < clock()"),
    ("auth_sessions", "id", "expires_at < clock() - interval '30 days'"),
    ("log_in_challenges", "id", "expires_at < clock() - interval '1 day'"),
    ("apalis.jobs", "id", "status IN ('Done', 'Killed') AND done_at < now() - interval '7 days'"),
    (
        "apalis.workers",
        "id",
        "last_seen < now() - interval '1 day' AND NOT EXISTS (SELECT 1 FROM apalis.jobs WHERE lock_by = workers.id)",
    ),
];

#[async_trait]
impl Handler for PurgeExpired {
    async fn run(&self, app: &App, _: &Lease) -> Result<(), JobError> {
        for (table, key, condition) in RETENTION {
            let removed = purge(app, table, key, condition).await?;
            if removed > 0 {
                tracing::info!(table, removed, "purged");
            }
        }
        let removed = app.exports.expire().await?;
        if removed > 0 {
            tracing::info!(removed, "exports have expired");
        }
        let removed = app.unfinished.sweep().await?;
        if removed > 0 {
            tracing::info!(removed, "unfinished uploads were removed");
        }
        Ok(())
    }

    async fn give_up(&self, _: &App, _: &Lease, message: &str) -> Result<()> {
        // The next hour tries again.
        tracing::error!(message, "what has expired was not purged");
        Ok(())
    }
}

async fn purge(app: &App, table: &str, key: &str, condition: &str) -> Result<u64> {
    let statement = format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {BATCH})"
    )
    .replace("SELECT (user_id, key)", "SELECT user_id, key")
    .replace("clock()", &format!("timestamptz '{}'", app.clock.now().to_rfc3339()));
    let mut removed = 0;
    loop {
        let batch = sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(app.pool())
            .await
            .map_err(anyhow::Error::new)?;
        removed += batch.rows_affected();
        if batch.rows_affected() < BATCH as u64 {
            return Ok(removed);
        }
    }
}
