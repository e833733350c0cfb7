//! Removes files that nobody wants any more: recordings whose session was never made, and spool files of processes that
//! were killed. No job, because every process has a disk of its own, and because two sweeps at once do no harm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::storage::Swept;

/// Time between two sweeps; less where uploads expire faster.
const EVERY: Duration = Duration::from_mins(1);

/// Sweeps now and from time to time, for ever.
pub(super) async fn run(app: Arc<App>) {
    let mut ticks = tokio::time::interval(EVERY.min(app.config.storage.commit_window));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sweep(&app).await;
    }
}

async fn sweep(app: &App) {
    let storage = app.storage.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || storage.sweep_spool()).await {
        tracing::warn!(%error, "the spool folder was not swept");
    }
    match app.storage.intake(&app.db).sweep().await {
        Ok(swept) if swept == Swept::default() => {}
        Ok(swept) => {
            tracing::info!(files = swept.files, left = swept.left, "uploads without a row were removed");
        }
        Err(error) => tracing::warn!(?error, "uploads without a row cannot be swept"),
    }
}
