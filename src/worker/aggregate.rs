//! Works out figures of many days, therapist by therapist.

use async_trait::async_trait;

use super::{Handler, JobError};
use crate::analytics::timetable::Scheduled;
use crate::app::App;
use crate::entity::aggregation_run::{Kind, Model};
use crate::error::Result;
use crate::queue::Lease;
use crate::queue::jobs::Aggregate;

#[async_trait]
impl Handler for Aggregate {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        if let Some(run) = app.analytics.aggregate(lease, self.run_id).await? {
            tell(app, &run);
        }
        Ok(())
    }

    async fn give_up(&self, app: &App, lease: &Lease, message: &str) -> Result<()> {
        app.analytics.fail(lease, self.run_id, message).await
    }
}

fn tell(app: &App, run: &Model) {
    let took = run.finished_at.zip(run.started_at).map(|(end, start)| (end - start).num_milliseconds());
    let scheduled = match run.kind {
        Kind::Daily => Some(Scheduled::Daily),
        Kind::Weekly => Some(Scheduled::Weekly),
        Kind::Refresh | Kind::Manual => None,
    };
    let next_run = scheduled.map(|scheduled| app.timetable.next(scheduled, app.clock.now()).to_string());
    tracing::info!(
        run = %run.id,
        kind = ?run.kind,
        therapists = run.therapists,
        skipped = run.skipped,
        days = run.days,
        changes = run.changes,
        took_ms = took,
        next_run,
        "aggregation ended"
    );
}
