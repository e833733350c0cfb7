//! Delivers outbox rows to the streams that asked for what they are about.
//!
//! One reader a process. Sequence numbers are given out before transactions commit, so rows may become visible
//! out of order; the reader therefore remembers the snapshot of its last look, and reads what that did not see: each row
//! once, and a transaction that has been running for an hour costs nothing. Versions of one thing are serialised by
//! its row lock: whoever sees version 6 sees version 5 too, so order by sequence is order by version.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, EntityTrait,
    FromQueryResult, QueryFilter, QueryOrder, Statement,
};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ALL_RUNS, EVERYBODY, Event, WakeUps};
use crate::entity::outbox_event::{self, Column};

/// Events a slow stream may fall behind before it has to catch up from the outbox.
const BUFFER: usize = 32;
/// Time between two tries to read when the database does not answer.
const RETRY: Duration = Duration::from_secs(1);

type Routes = HashMap<Uuid, broadcast::Sender<Arc<Event>>>;

/// The process's reader of the outbox; cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    db: DatabaseConnection,
    routes: Arc<Mutex<Routes>>,
}

impl Feed {
    /// Starts reading until `stop`. What commits after this returns is delivered to whoever has joined by then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn start(
        db: DatabaseConnection,
        wake_ups: WakeUps,
        stop: &CancellationToken,
    ) -> Result<Self, DbErr> {
        let window = Window::begin(&db).await?;
        let feed = Self { db, routes: Arc::default() };
        let (reader, stop) = (feed.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(reader.read(window, wake_ups)).await });
        Ok(feed)
    }

    /// Joins the feed of a session, of a patient's sessions, of an aggregation run, of a therapist's runs, of [`EVERYBODY`]'s,
    /// of [`ALL_RUNS`] or of an export job. Join first, then read the current state: then nothing is missed.
    #[must_use]
    pub fn join(&self, subject: Uuid) -> Subscription {
        let receiver =
            self.routes().entry(subject).or_insert_with(|| broadcast::channel(BUFFER).0).subscribe();
        Subscription { receiver, subject, versions: HashMap::new(), backlog: Vec::new(), db: self.db.clone() }
    }

    async fn read(self, mut window: Window, mut wake_ups: WakeUps) {
        loop {
            match window.next(&self.db).await {
                Ok(events) => {
                    self.deliver(events);
                    // Also what nobody gave a hint of is told to us: see `notifier`.
                    if wake_ups.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn deliver(&self, events: Vec<Event>) {
        let mut routes = self.routes();
        for event in events.into_iter().map(Arc::new) {
            for subject in event.subject.routes() {
                if let Some(route) = routes.get(&subject)
                    && route.send(event.clone()).is_err()
                {
                    routes.remove(&subject);
                }
            }
        }
        routes.retain(|_, route| route.receiver_count() > 0);
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the outbox has been read.
#[derive(Debug)]
struct Window {
    /// Every row that this snapshot sees has been delivered.
    seen: String,
}

/// What the last snapshot did not see: rows of the transactions that had not begun then, or were running. It is found in the
/// index by these, however old the oldest of them is and however many rows there are. Rows of transactions yet to come are those of
/// another server, out of a backup. Gives the present snapshot, too, also where there is nothing new.
const UNSEEN: &str =
    "SELECT pg_current_snapshot()::text AS snapshot, seq, session_id, patient_id, aggregation_run_id, therapist_id,
        export_job_id, version, status, progress, created_at
    FROM (VALUES (1)) AS always LEFT JOIN (
        SELECT * FROM outbox_events
        WHERE txid >= pg_snapshot_xmax($1::pg_snapshot) AND txid < pg_snapshot_xmax(pg_current_snapshot())
        UNION ALL
        SELECT * FROM outbox_events
        WHERE txid >= pg_snapshot_xmin($1::pg_snapshot) AND txid < pg_snapshot_xmax($1::pg_snapshot)
            AND txid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
    ) AS unseen ON true ORDER BY seq";

impl Window {
    /// Begins here: what commits from now on is new.
    async fn begin(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let query = "SELECT pg_current_snapshot()::text AS snapshot";
        let row = db.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, query)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("no snapshot".into()))?;
        Ok(Self { seen: row.try_get("", "snapshot")? })
    }

    /// What has appeared since the last call.
    async fn next(&mut self, db: &DatabaseConnection) -> Result<Vec<Event>, DbErr> {
        let values = [self.seen.clone().into()];
        let unseen = Statement::from_sql_and_values(DatabaseBackend::Postgres, UNSEEN, values);
        let mut events = Vec::new();
        let mut seen = None;
        for row in db.query_all_raw(unseen).await? {
            seen = Some(row.try_get("", "snapshot")?);
            if row.try_get::<Option<i64>>("", "seq")?.is_some() {
                events.push(outbox_event::Model::from_query_result(&row, "")?.try_into()?);
            }
        }
        self.seen = seen.ok_or_else(|| DbErr::RecordNotFound("no snapshot".into()))?;
        Ok(events)
    }
}

/// A stream of the versions of one thing, or of all that belongs to somebody.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<Event>>,
    subject: Uuid,
    /// The newest version of each thing that was passed on.
    versions: HashMap<Uuid, i64>,
    /// Events read from the outbox after falling behind, newest first.
    backlog: Vec<Arc<Event>>,
    db: DatabaseConnection,
}

impl Subscription {
    /// Says that the subscriber has seen this version: it and older ones are not passed on.
    pub fn seen(&mut self, id: Uuid, version: i64) {
        self.versions.insert(id, version);
    }

    /// The next version, in order, each once; `None` when the server stops.
    ///
    /// # Errors
    /// When the stream fell behind and the outbox cannot be read.
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>, DbErr> {
        loop {
            let event = match self.backlog.pop() {
                Some(event) => event,
                None => match self.receiver.recv().await {
                    Ok(event) => event,
                    Err(RecvError::Closed) => return Ok(None),
                    Err(RecvError::Lagged(_)) => {
                        self.catch_up().await?;
                        continue;
                    }
                },
            };
            if self.versions.get(&event.subject.id()).is_none_or(|seen| event.version > *seen) {
                self.seen(event.subject.id(), event.version);
                return Ok(Some(event));
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), DbErr> {
        // What the channel still holds is in the outbox, too.
        self.receiver = self.receiver.resubscribe();
        let mine = match self.subject {
            ALL_RUNS => Condition::all().add(Column::AggregationRunId.is_not_null()),
            EVERYBODY => Condition::all()
                .add(Column::AggregationRunId.is_not_null())
                .add(Column::TherapistId.is_null()),
            id => [
                Column::SessionId,
                Column::PatientId,
                Column::AggregationRunId,
                Column::TherapistId,
                Column::ExportJobId,
            ]
            .into_iter()
            .fold(Condition::any(), |any, column| any.add(column.eq(id))),
        };
        let rows = outbox_event::Entity::find().filter(mine).order_by_desc(Column::Seq).all(&self.db).await?;
        self.backlog =
            rows.into_iter().map(|row| Event::try_from(row).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(())
    }
}
