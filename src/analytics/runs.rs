//! Aggregation runs: asked for in the transaction that creates the need, by the clock, or by hand; worked off as jobs, under a
//! lease and fenced like every other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    TryInsertResult,
};
use uuid::Uuid;

use super::Analytics;
use super::figures::{self, Done, Scope};
use super::timetable::Scheduled;
use super::window::Days;
use crate::actor::Actor;
use crate::database;
use crate::entity::aggregation_run::{self, ActiveModel, Column, Entity, Kind, Model, Status};
use crate::entity::user::{self, Role};
use crate::error::{Error, Result};
use crate::events;
use crate::failpoint;
use crate::page::{Page, PageArgs};
use crate::queue::jobs::{Aggregate, RefreshAnalytics};
use crate::queue::{self, Lease};

/// Therapists that are looked up at a time.
const BATCH: u64 = 100;
/// A long run tells how far it is no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// All days that a session can have.
const ALL_DAYS: Days = Days {
    first: NaiveDate::from_ymd_opt(1, 1, 1).expect("a day"),
    last: NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day"),
};

/// Something changed that figures rest on.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose session, or record.
    pub patient_id: Uuid,
    /// Whose patient.
    pub therapist_id: Uuid,
    /// The days of the sessions concerned: of one that was moved, both.
    pub days: BTreeSet<NaiveDate>,
}

/// Asks for the figures that a change concerns, in its transaction. Tell the notifier after the commit. Where no day is concerned
/// nothing is left to do, and whoever watches the practice is told.
///
/// # Errors
/// When the database does not take it.
pub async fn request_refresh(
    txn: &impl ConnectionTrait,
    change: Change,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let Change { patient_id, therapist_id, days } = change;
    let is_done = days.is_empty();
    let mut run = ActiveModel {
        therapist_id: Set(Some(therapist_id)),
        patient_id: Set(Some(patient_id)),
        from_date: Set(days.first().copied()),
        to_date: Set(days.last().copied()),
        changed_days: Set(days.into_iter().collect()),
        ..new(Kind::Refresh, now)
    };
    if is_done {
        (run.status, run.progress, run.therapists) = (Set(Status::Completed), Set(100), Set(1));
        (run.started_at, run.finished_at) = (Set(Some(now)), Set(Some(now)));
    }
    let run = Entity::insert(run).exec_with_returning(txn).await?;
    events::record_run(txn, &run, now).await?;
    if is_done { Ok(()) } else { queue::enqueue(txn, &RefreshAnalytics { run_id: run.id }).await }
}

fn new(kind: Kind, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        id: Set(Uuid::now_v7()),
        kind: Set(kind),
        status: Set(Status::Queued),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    }
}

/// What is asked for by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// First day; from the beginning if `None`.
    pub from: Option<NaiveDate>,
    /// Last day; to the end if `None`.
    pub to: Option<NaiveDate>,
    /// Whose; everybody's if `None`.
    pub therapist_id: Option<Uuid>,
}

impl Analytics {
    /// A page of the runs, newest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for others than therapists and admins.
    pub async fn runs(&self, actor: &Actor, page: PageArgs) -> Result<Page<Model>> {
        actor.follows_aggregation()?;
        Ok(page.fetch(aggregation_run::visible_to(actor), Column::Id, &self.db).await?)
    }

    /// How many runs [`runs`](Self::runs) has on all its pages.
    ///
    /// # Errors
    /// Those of [`runs`](Self::runs).
    pub async fn count_runs(&self, actor: &Actor) -> Result<u64> {
        actor.follows_aggregation()?;
        Ok(aggregation_run::visible_to(actor).count(&self.db).await?)
    }

    /// The runs that have not ended, oldest first, a hundred at most.
    ///
    /// # Errors
    /// Only faults.
    pub async fn running(&self, actor: &Actor) -> Result<Vec<Model>> {
        let running = Column::Status.is_in([Status::Queued, Status::Running]);
        let runs = aggregation_run::visible_to(actor).filter(running);
        Ok(runs.order_by_asc(Column::Id).limit(BATCH).all(&self.db).await?)
    }

    /// One run, if the actor may know of it.
    ///
    /// # Errors
    /// Only faults.
    pub async fn run(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        Ok(aggregation_run::visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?)
    }

    /// Asks for a scheduled run. Whoever asks, and however often: there is one run a due time.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn request_scheduled(&self, scheduled: Scheduled, due: DateTime<Utc>) -> Result<()> {
        let kind = match scheduled {
            Scheduled::Daily => Kind::Daily,
            Scheduled::Weekly => Kind::Weekly,
        };
        let now = self.clock.now();
        let run = ActiveModel { due_at: Set(Some(due)), ..new(kind, now) };
        let id = run.id.clone().take();
        let txn = database::begin(&self.db).await?;
        let once = Entity::insert(run).on_conflict_do_nothing_on([Column::Kind, Column::DueAt]);
        let inserted = once.exec_without_returning(&txn).await?;
        if let (TryInsertResult::Inserted(1), Some(id)) = (inserted, id) {
            self.enqueue(&txn, id, now).await?;
        }
        txn.commit().await?;
        self.notifier.nudge();
        Ok(())
    }

    /// Asks for figures by hand; gives the run.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn request(&self, wanted: Wanted) -> Result<Model> {
        let now = self.clock.now();
        let run = ActiveModel {
            from_date: Set(wanted.from),
            to_date: Set(wanted.to),
            therapist_id: Set(wanted.therapist_id),
            ..new(Kind::Manual, now)
        };
        let txn = database::begin(&self.db).await?;
        let run = Entity::insert(run).exec_with_returning(&txn).await?;
        self.enqueue(&txn, run.id, now).await?;
        txn.commit().await?;
        self.notifier.nudge();
        Ok(run)
    }

    async fn enqueue(&self, txn: &DatabaseTransaction, run_id: Uuid, now: DateTime<Utc>) -> Result<()> {
        let run = Entity::find_by_id(run_id).one(txn).await?.ok_or(Error::NotFound("aggregation run"))?;
        events::record_run(txn, &run, now).await?;
        Ok(queue::enqueue(txn, &Aggregate { run_id }).await?)
    }

    /// Works out what a change concerns, as a job.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost; else only faults.
    pub async fn refresh(&self, lease: &Lease, run_id: Uuid) -> Result<()> {
        let Some(run) = self.begin(lease, run_id).await? else { return Ok(()) };
        let whose = run.therapist_id.zip(run.patient_id);
        let whose = whose.ok_or_else(|| anyhow::anyhow!("refresh {run_id} is nobody's"))?;
        let (txn, now) = (database::begin(&self.db).await?, self.clock.now());
        figures::lock(&txn, whose.0).await?;
        lease.hold(&txn).await?;
        let Done { periods, changes } =
            figures::refresh(&txn, whose, &run.changed_days.iter().copied().collect(), now).await?;
        failpoint::reach("aggregate.figures");
        let finished = |run: &mut Model| {
            (run.therapists, run.days, run.changes) = (1, periods, changes);
            (run.status, run.progress, run.finished_at) = (Status::Completed, 100, Some(now));
        };
        self.write(&txn, run, finished).await?;
        self.commit(txn).await
    }

    /// Works out figures of many days, therapist by therapist, as a job. An attempt that follows a crash goes on where
    /// that one stopped. Gives the run as it ended.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost; else only faults.
    pub async fn aggregate(&self, lease: &Lease, run_id: Uuid) -> Result<Option<Model>> {
        let Some(mut run) = self.begin(lease, run_id).await? else { return Ok(None) };
        let (total, mut told) = (therapists(&run, None).count(&self.db).await?, Instant::now());
        loop {
            let batch = therapists(&run, run.done_up_to).limit(BATCH).all(&self.db).await?;
            if batch.is_empty() {
                break;
            }
            for therapist in batch {
                let tell = told.elapsed() >= TELL_EVERY;
                if tell {
                    told = Instant::now();
                }
                run = match self.aggregate_one(lease, run.clone(), therapist.id, (total, tell)).await {
                    Ok(run) => run,
                    Err(Error::Internal(error)) => {
                        tracing::error!(therapist = %therapist.id, ?error, "figures were not worked out");
                        self.skip(lease, run, therapist.id).await?
                    }
                    Err(other) => return Err(other),
                };
            }
        }
        self.finish(lease, run).await.map(Some)
    }

    async fn aggregate_one(
        &self,
        lease: &Lease,
        run: Model,
        therapist_id: Uuid,
        (total, tell): (u64, bool),
    ) -> Result<Model> {
        let (txn, now) = (database::begin(&self.db).await?, self.clock.now());
        figures::lock(&txn, therapist_id).await?;
        lease.hold(&txn).await?;
        let done = work_out(&txn, &run, therapist_id, now).await?;
        failpoint::reach("aggregate.figures");
        let count = |run: &mut Model| {
            run.done_up_to = Some(therapist_id);
            run.therapists += 1;
            run.days += done.periods;
            run.changes += done.changes;
            let percent = i64::from(run.therapists) * 100 / i64::try_from(total.max(1)).unwrap_or(i64::MAX);
            // The rest is left to the end.
            run.progress = i32::try_from(percent).unwrap_or(99).clamp(run.progress, 99);
        };
        let run = if tell { self.write(&txn, run, count).await? } else { put(&txn, run, count).await? };
        self.commit(txn).await?;
        Ok(run)
    }

    /// Passes over a therapist whose figures cannot be worked out: nobody else waits for that.
    async fn skip(&self, lease: &Lease, run: Model, therapist_id: Uuid) -> Result<Model> {
        let txn = database::begin(&self.db).await?;
        lease.hold(&txn).await?;
        let run = put(&txn, run, |run| {
            run.done_up_to = Some(therapist_id);
            run.skipped += 1;
        })
        .await?;
        self.commit(txn).await?;
        Ok(run)
    }

    async fn finish(&self, lease: &Lease, run: Model) -> Result<Model> {
        let (txn, now) = (database::begin(&self.db).await?, self.clock.now());
        lease.hold(&txn).await?;
        let run = self
            .write(&txn, run, |run| {
                (run.status, run.progress, run.finished_at) = (Status::Completed, 100, Some(now));
                if run.skipped > 0 {
                    let message = format!(
                        "The figures of {} therapists could not be worked out; the server's log says why.",
                        run.skipped
                    );
                    (run.status, run.error_message) = (Status::Failed, Some(message));
                }
            })
            .await?;
        self.commit(txn).await?;
        Ok(run)
    }

    /// Gives a run up; what it has not done is repaired by the next scheduled one.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost; else only faults.
    pub async fn fail(&self, lease: &Lease, run_id: Uuid, message: &str) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let Some(run) = locked(&txn, run_id).await? else { return Ok(()) };
        lease.hold(&txn).await?;
        if run.status.is_terminal() {
            return Ok(());
        }
        let now = self.clock.now();
        self.write(&txn, run, |run| {
            (run.status, run.finished_at) = (Status::Failed, Some(now));
            run.error_message = Some(message.to_owned());
        })
        .await?;
        self.commit(txn).await
    }

    /// The run, if it has not ended. One that an attempt before has begun goes on.
    async fn begin(&self, lease: &Lease, run_id: Uuid) -> Result<Option<Model>> {
        let txn = database::begin(&self.db).await?;
        let Some(run) = locked(&txn, run_id).await?.filter(|run| !run.status.is_terminal()) else {
            return Ok(None);
        };
        lease.hold(&txn).await?;
        if run.status == Status::Running {
            return Ok(Some(run));
        }
        let now = self.clock.now();
        let begun = |run: &mut Model| (run.status, run.started_at) = (Status::Running, Some(now));
        let run = self.write(&txn, run, begun).await?;
        self.commit(txn).await?;
        Ok(Some(run))
    }

    /// Writes a run as its next version, and the event that tells of it.
    async fn write(
        &self,
        txn: &DatabaseTransaction,
        run: Model,
        change: impl FnOnce(&mut Model),
    ) -> Result<Model> {
        let run = put(txn, run, |run| {
            change(run);
            run.version += 1;
            run.updated_at = self.clock.now();
        })
        .await?;
        events::record_run(txn, &run, run.updated_at).await?;
        Ok(run)
    }

    async fn commit(&self, txn: DatabaseTransaction) -> Result<()> {
        txn.commit().await?;
        self.notifier.nudge();
        Ok(())
    }
}

/// Only who holds the job writes a run: the row needs no comparing.
async fn put(txn: &DatabaseTransaction, mut run: Model, change: impl FnOnce(&mut Model)) -> Result<Model> {
    change(&mut run);
    Ok(run.into_active_model().reset_all().update(txn).await?)
}

/// The therapists whose figures a run is about, in the order it does them.
fn therapists(run: &Model, after: Option<Uuid>) -> Select<user::Entity> {
    let mut therapists = user::Entity::find().filter(user::Column::Role.eq(Role::Therapist));
    if let Some(only) = run.therapist_id {
        therapists = therapists.filter(user::Column::Id.eq(only));
    }
    if let Some(after) = after {
        therapists = therapists.filter(user::Column::Id.gt(after));
    }
    therapists.order_by_asc(user::Column::Id)
}

async fn work_out(
    txn: &DatabaseTransaction,
    run: &Model,
    therapist_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Done> {
    let days =
        Days { first: run.from_date.unwrap_or(ALL_DAYS.first), last: run.to_date.unwrap_or(ALL_DAYS.last) };
    let scope = Scope { therapist_id, days, patient_id: None };
    let mut done =
        Done { periods: 0, changes: figures::sessions(txn, scope, run.kind == Kind::Manual, now).await? };
    if run.kind != Kind::Weekly {
        done += figures::days(txn, scope, now).await?;
    }
    if run.kind != Kind::Daily {
        let weeks = figures::weeks(txn, scope, now).await?;
        done.changes += weeks.changes;
        if run.kind == Kind::Weekly {
            done.periods += weeks.periods;
        }
    }
    Ok(done)
}

async fn locked(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(txn).await
}
