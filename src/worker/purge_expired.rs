//! Removes what has outlived its purpose, in batches, so that no lock is held for long.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::{Handler, JobError};
use crate::app::App;
use crate::config::PurgeConfig;
use crate::config::retention::{CHALLENGES, IDEMPOTENCY_KEYS, RATE_LIMITS, Retention, WORKERS};
use crate::error::Result;
use crate::queue::Lease;
use crate::queue::jobs::PurgeExpired;

/// Rows a statement.
const BATCH: usize = 1000;
const DAY: Duration = Duration::from_secs(86_400);

/// What is removed, and when.
struct Rule {
    table: &'static str,
    /// Its primary key.
    key: &'static str,
    /// A condition: `kept()` is the period, and `clock()` the time by the clock that wrote the rows; what apalis keeps goes by
    /// that of the database.
    over: &'static str,
    kept: fn(&PurgeConfig) -> Duration,
}

const RULES: [Rule; 15] = [
    Rule {
        table: "outbox_events",
        key: "seq",
        over: "created_at < clock() - kept()",
        kept: |config| config.events,
    },
    // After the events that tell of them: these point at their run.
    Rule {
        table: "aggregation_runs",
        key: "id",
        over: "kind = 'REFRESH' AND updated_at < clock() - kept() - interval '1 day' AND status IN ('COMPLETED', 'FAILED')",
        kept: |config| config.events,
    },
    Rule {
        table: "aggregation_runs",
        key: "id",
        over: "kind <> 'REFRESH' AND updated_at < clock() - kept() AND status IN ('COMPLETED', 'FAILED')",
        // Not before the events.
        kept: |config| config.aggregation_runs.max(config.events + DAY),
    },
    // So do these. Files have gone before: in their own time, or with the job that was deleted.
    Rule {
        table: "export_jobs",
        key: "id",
        over: "file_key IS NULL AND deleted_at IS NOT NULL AND updated_at < clock() - kept() - interval '1 day'",
        kept: |config| config.events,
    },
    Rule {
        table: "export_jobs",
        key: "id",
        over: "file_key IS NULL AND status IN ('FAILED', 'EXPIRED') AND updated_at < clock() - kept()",
        kept: |config| config.export_jobs.max(config.events + DAY),
    },
    Rule {
        table: "idempotency_keys",
        key: "(user_id, key)",
        over: "created_at < clock() - kept()",
        kept: |_| fixed(&IDEMPOTENCY_KEYS),
    },
    Rule {
        table: "rate_limits",
        key: "key",
        over: "expires_at < clock() - kept()",
        kept: |_| fixed(&RATE_LIMITS),
    },
    Rule {
        table: "auth_sessions",
        key: "id",
        over: "expires_at < clock() - kept()",
        kept: |config| config.log_ins,
    },
    Rule {
        table: "log_in_challenges",
        key: "id",
        over: "expires_at < clock() - kept()",
        kept: |_| fixed(&CHALLENGES),
    },
    // One that was accepted says how an account came to its record.
    Rule {
        table: "patient_invitations",
        key: "id",
        over: "expires_at < clock() - kept() AND accepted_at IS NULL",
        kept: |config| config.invitations,
    },
    // Events of the trail go on naming them, by their ids.
    Rule {
        table: "api_keys",
        key: "id",
        over: "least(revoked_at, expires_at) < clock() - kept()",
        kept: |config| config.api_keys,
    },
    Rule {
        table: "apalis.jobs",
        key: "id",
        over: "status IN ('Done', 'Killed') AND done_at < now() - kept()",
        kept: |config| config.finished_jobs,
    },
    Rule {
        table: "webhook_deliveries",
        key: "id",
        over: "state <> 'PENDING' AND updated_at < clock() - kept()",
        kept: |config| config.webhook_deliveries,
    },
    // With the last of their deliveries.
    Rule {
        table: "webhooks",
        key: "id",
        over: "deleted_at < clock() - kept()
            AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE webhook_id = webhooks.id)",
        kept: |config| config.webhook_deliveries,
    },
    // When the jobs they held are gone, or others'.
    Rule {
        table: "apalis.workers",
        key: "id",
        over: "last_seen < now() - kept() AND NOT EXISTS (SELECT 1 FROM apalis.jobs WHERE lock_by = workers.id)",
        kept: |_| fixed(&WORKERS),
    },
];

#[async_trait]
impl Handler for PurgeExpired {
    async fn run(&self, app: &App, _: &Lease) -> Result<(), JobError> {
        for rule in &RULES {
            let removed = purge(app, rule).await?;
            if removed > 0 {
                tracing::info!(table = rule.table, removed, "purged");
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

async fn purge(app: &App, rule: &Rule) -> Result<u64> {
    let Rule { table, key, over, kept } = rule;
    let kept = format!("interval '{} seconds'", kept(&app.config.purge).as_secs());
    let statement =
        format!("DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {over} LIMIT {BATCH})")
            .replace("SELECT (user_id, key)", "SELECT user_id, key")
            .replace("kept()", &kept)
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

/// A period that cannot be set.
fn fixed(retention: &Retention) -> Duration {
    retention.by_default().unwrap_or_default()
}
