//! What is asked for by the clock. Every process asks; the job's key makes it one job a due time.

use std::str::FromStr;
use std::sync::Arc;

use apalis::prelude::{BoxDynError, WorkerBuilder, WorkerError};
use apalis_cron::{CronScheduler, Tick};
use cron::Schedule;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::app::App;
use crate::queue;
use crate::queue::jobs::PurgeExpired;

/// At minute 7 of every hour.
const PURGE: &str = "0 7 * * * *";

pub(super) fn run(app: Arc<App>) -> BoxFuture<'static, Result<(), WorkerError>> {
    let schedule = Schedule::from_str(PURGE).expect("the expression is a constant");
    let stop = app.stop.clone();
    let ask = move |tick: Tick<chrono::Utc>| {
        let app = app.clone();
        async move {
            let due = i64::try_from(tick.get_timestamp())?;
            queue::enqueue(&app.db, &PurgeExpired { due }).await?;
            app.pipeline.committed();
            Ok::<_, BoxDynError>(())
        }
    };
    WorkerBuilder::new("schedule")
        .backend(CronScheduler::new(schedule))
        .build(ask)
        .run_until(async move {
            stop.cancelled().await;
            Ok::<_, WorkerError>(())
        })
        .boxed()
}
