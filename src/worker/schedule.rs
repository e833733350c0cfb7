//! What is asked for by the clock. Every process asks; the due time makes it one job, however many ask.

use std::str::FromStr;
use std::sync::Arc;

use apalis::prelude::{BoxDynError, WorkerBuilder, WorkerError};
use apalis_cron::{CronScheduler, Schedule, Tick};
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::analytics::timetable::{Scheduled, Timetable};
use crate::app::App;
use crate::cleanup::{Parts, Wanted};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::queue;
use crate::queue::jobs::PurgeExpired;

/// At minute 7 of every hour.
const PURGE: &str = "0 7 * * * *";

/// Asks for what is due until the app stops.
pub(super) fn run(app: Arc<App>) -> BoxFuture<'static, Result<(), WorkerError>> {
    let analytics = app.config.analytics.scheduled;
    let aggregate = {
        let app = app.clone();
        move |run| -> BoxFuture<'static, Result<(), WorkerError>> {
            if analytics { aggregation(app.clone(), run) } else { futures::future::ok(()).boxed() }
        }
    };
    let (daily, weekly) = (aggregate(Scheduled::Daily), aggregate(Scheduled::Weekly));
    async move {
        let (purge, clean_up, daily, weekly) = tokio::join!(purge(app.clone()), clean_up(app), daily, weekly);
        purge.and(clean_up).and(daily).and(weekly)
    }
    .boxed()
}

/// At the start, if that is asked for, and every day. A night that was missed is not made up for: the next one finds the same.
fn clean_up(app: Arc<App>) -> BoxFuture<'static, Result<(), WorkerError>> {
    let config = &app.config.cleanup;
    let timetable = Timetable { zone: app.config.analytics.zone, daily_hour: config.daily_hour };
    let (on_startup, scheduled) = (config.on_startup, config.scheduled);
    async move {
        if on_startup && let Err(error) = ask_for_clean_up(&app, Uuid::now_v7().to_string()).await {
            tracing::warn!(
                ?error,
                "the clean-up of the start was not asked for; the daily one does the same"
            );
        }
        if !scheduled {
            return Ok(());
        }
        let due = Due { timetable, run: Scheduled::Daily };
        at_every_tick(app, "schedule/cleanup", due, |app, due| {
            async move { ask_for_clean_up(&app, due.to_rfc3339()).await }.boxed()
        })
        .await
    }
    .boxed()
}

async fn ask_for_clean_up(app: &App, key: String) -> Result<()> {
    app.cleanup.request(key, Wanted { parts: Parts::ALL, therapist_id: None, dry_run: false }).await
}

fn purge(app: Arc<App>) -> BoxFuture<'static, Result<(), WorkerError>> {
    let schedule = cron::Schedule::from_str(PURGE).expect("the expression is a constant");
    at_every_tick(app, "schedule", schedule, |app, due| {
        async move {
            queue::enqueue(&app.db, &PurgeExpired { due: due.timestamp() }).await?;
            app.pipeline.committed();
            Ok(())
        }
        .boxed()
    })
}

fn aggregation(app: Arc<App>, run: Scheduled) -> BoxFuture<'static, Result<(), WorkerError>> {
    let name = match run {
        Scheduled::Daily => "schedule/daily",
        Scheduled::Weekly => "schedule/weekly",
    };
    let due = Due { timetable: app.timetable, run };
    let ticks = at_every_tick(app.clone(), name, due, move |app, due| {
        async move { app.analytics.request_scheduled(run, due).await }.boxed()
    });
    async move {
        // What was due while nobody was there to ask; if somebody was, this asks for the same run.
        let last = app.timetable.last(run, app.clock.now());
        if let Err(error) = app.analytics.request_scheduled(run, last).await {
            tracing::warn!(?error, "a missed aggregation was not asked for; the next one repairs it");
        }
        tracing::info!(?run, next_run = %app.timetable.next(run, app.clock.now()), "aggregation scheduled");
        ticks.await
    }
    .boxed()
}

/// When a scheduled run is due, as apalis asks for it: by the machine's clock, for apalis waits by that.
struct Due {
    timetable: Timetable,
    run: Scheduled,
}

impl<Tz> Schedule<Tz> for Due {
    fn next_tick(&mut self, _: &Tz) -> Option<Tick<Tz>> {
        let due = self.timetable.next(self.run, SystemClock.now());
        u64::try_from(due.timestamp()).ok().map(Tick::new)
    }
}

type Asking = BoxFuture<'static, Result<()>>;

fn at_every_tick<S: Schedule<Utc> + Send + Unpin + 'static>(
    app: Arc<App>,
    name: &'static str,
    schedule: S,
    ask: impl Fn(Arc<App>, DateTime<Utc>) -> Asking + Clone + Send + Sync + 'static,
) -> BoxFuture<'static, Result<(), WorkerError>> {
    let stop = app.stop.clone();
    let handle = move |tick: Tick<Utc>| {
        let (app, ask) = (app.clone(), ask.clone());
        async move {
            let due = i64::try_from(tick.get_timestamp())?;
            let due = DateTime::from_timestamp(due, 0).ok_or("a due time out of range")?;
            ask(app, due).await.map_err(BoxDynError::from)
        }
    };
    WorkerBuilder::new(name)
        .backend(CronScheduler::new(schedule))
        .build(handle)
        .run_until(async move {
            stop.cancelled().await;
            Ok::<_, WorkerError>(())
        })
        .boxed()
}
