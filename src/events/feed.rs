//! Delivers outbox rows to the streams that asked for what they are about.
//!
//! One reader a process. Sequence numbers are given out before transactions commit, so rows may become visible
//! out of order; the reader therefore remembers, by transaction id, up to where nothing can still appear
//! (`pg_snapshot_xmin`), reads everything from there on again, and skips what it has already delivered. Versions of one thing are serialised by
//! its row lock: whoever sees version 6 sees version 5 too, so order by sequence is order by version.

use std::collections::{HashMap, HashSet};
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
const BUFFER: usize = 64;
/// The reader looks this often even when no hint comes.
const POLL: Duration = Duration::from_secs(1);

type Routes = HashMap<Uuid, broadcast::Sender<Event>>;

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
        let window = Window { from: horizon(&db).await?, seen: HashSet::new() };
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
                Ok(events) => self.deliver(&events),
                Err(error) => tracing::warn!(%error, "the outbox cannot be read; trying again"),
            }
            // Too early is fine, and so is a dropped sender at shutdown.
            let _ = tokio::time::timeout(POLL, wake_ups.changed()).await;
        }
    }

    fn deliver(&self, events: &[Event]) {
        let mut routes = self.routes();
        for event in events {
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
    /// Every row of an older transaction has been delivered.
    from: i64,
    /// Rows of younger transactions that have been delivered, by sequence.
    seen: HashSet<i64>,
}

#[derive(Debug, FromQueryResult)]
struct Row {
    txid: i64,
    #[sea_orm(nested)]
    event: outbox_event::Model,
}

impl Window {
    /// What has appeared since the last call.
    async fn next(&mut self, db: &DatabaseConnection) -> Result<Vec<Event>, DbErr> {
        let horizon = horizon(db).await?;
        let rows = rows_since(db, self.from).await?;
        let seen = rows.iter().filter(|row| row.txid >= horizon).map(|row| row.event.seq).collect();
        let fresh = rows.into_iter().filter(|row| !self.seen.contains(&row.event.seq));
        let fresh = fresh.map(|row| row.event.try_into()).collect();
        (self.seen, self.from) = (seen, horizon);
        fresh
    }
}

/// The oldest transaction that may still add rows.
async fn horizon(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let query = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin";
    let row = db.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, query)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("no snapshot".into()))?.try_get("", "xmin")
}

async fn rows_since(db: &impl ConnectionTrait, txid: i64) -> Result<Vec<Row>, DbErr> {
    let query =
        "SELECT txid::text::bigint AS txid, seq, session_id, patient_id, aggregation_run_id, therapist_id,
               export_job_id, version, status, progress, created_at
        FROM outbox_events WHERE txid >= $1::text::xid8 ORDER BY seq";
    let values = [txid.to_string().into()];
    Row::find_by_statement(Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values))
        .all(db)
        .await
}

/// A stream of the versions of one thing, or of all that belongs to somebody.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Event>,
    subject: Uuid,
    /// The newest version of each thing that was passed on.
    versions: HashMap<Uuid, i64>,
    /// Events read from the outbox after falling behind, newest first.
    backlog: Vec<Event>,
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
    pub async fn next(&mut self) -> Result<Option<Event>, DbErr> {
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
        self.backlog = rows.into_iter().map(Event::try_from).collect::<Result<_, _>>()?;
        Ok(())
    }
}
