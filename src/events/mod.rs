//! News about sessions, aggregation runs and export jobs: written as outbox rows in the transaction of the change, delivered
//! to subscribers of every process in order and without gaps. NOTIFY is a hint that there is news; the rows are the truth.

mod feed;
mod looks;
mod notifier;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveEnum, ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use crate::entity::outbox_event::{self, ActiveModel};
use crate::entity::{aggregation_run, export_job, session};

pub use feed::{Feed, Subscription};
pub use looks::{Looks, Question, SUBJECT};
pub use notifier::{Notifier, WakeUps, connect};

/// The channel of jobs and events (see [`Notifier`]).
pub const CHANNEL: &str = "therapybridge";

/// Joining this gives the news of aggregation runs over everybody's figures.
pub const EVERYBODY: Uuid = Uuid::nil();
/// Joining this gives the news of every aggregation run.
pub const ALL_RUNS: Uuid = Uuid::max();

/// A version of something, as subscribers hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Order of insertion.
    pub seq: i64,
    /// What it is about.
    pub subject: Subject,
    /// Which version.
    pub version: i64,
    /// Status at that version, as it is stored.
    pub status: Option<String>,
    /// Progress at that version.
    pub progress: i32,
    /// What its subscribers have looked up about it, and were answered.
    pub looks: Looks,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A session of a patient.
    Session {
        /// Which session.
        id: Uuid,
        /// Whose session.
        patient_id: Uuid,
    },
    /// An aggregation run.
    Aggregation {
        /// Which run.
        id: Uuid,
        /// Whose figures; everybody's if `None`.
        therapist_id: Option<Uuid>,
    },
    /// An export job, which nobody hears of who does not ask for it by its id.
    Export {
        /// Which job.
        id: Uuid,
    },
}

impl Subject {
    /// The id of the thing itself.
    #[must_use]
    pub fn id(self) -> Uuid {
        match self {
            Self::Session { id, .. } | Self::Aggregation { id, .. } | Self::Export { id } => id,
        }
    }

    /// What can be joined to hear of it.
    fn routes(self) -> impl Iterator<Item = Uuid> {
        let routes = match self {
            Self::Session { id, patient_id } => [Some(id), Some(patient_id), None],
            Self::Aggregation { id, therapist_id } => {
                [Some(id), Some(therapist_id.unwrap_or(EVERYBODY)), Some(ALL_RUNS)]
            }
            Self::Export { id } => [Some(id), None, None],
        };
        routes.into_iter().flatten()
    }
}

impl Event {
    /// The status as one of those the thing can have.
    ///
    /// # Errors
    /// When it has no such status.
    pub fn status<S: ActiveEnum<Value = String>>(&self) -> Result<Option<S>, DbErr> {
        self.status.as_ref().map(S::try_from_value).transpose()
    }
}

impl TryFrom<outbox_event::Model> for Event {
    type Error = DbErr;

    fn try_from(row: outbox_event::Model) -> Result<Self, DbErr> {
        let subject = match (row.session_id, row.patient_id, row.aggregation_run_id, row.export_job_id) {
            (Some(id), Some(patient_id), None, None) => Subject::Session { id, patient_id },
            (None, None, Some(id), None) => Subject::Aggregation { id, therapist_id: row.therapist_id },
            (None, None, None, Some(id)) => Subject::Export { id },
            _ => return Err(DbErr::Type(format!("event {} is about nothing", row.seq))),
        };
        let outbox_event::Model { seq, version, status, progress, .. } = row;
        Ok(Self { seq, subject, version, status, progress, looks: Looks::default() })
    }
}

/// Writes down the present version of a session. The caller holds the session's row lock, so that within one
/// session the order of rows is the order of versions.
///
/// # Errors
/// When the database does not take it.
pub async fn record(
    db: &impl ConnectionTrait,
    session: &session::Model,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        session_id: Set(Some(session.id)),
        patient_id: Set(Some(session.patient_id)),
        version: Set(session.version),
        status: Set(session.status.map(|status| status.to_value())),
        progress: Set(session.progress),
        created_at: Set(at),
        ..Default::default()
    };
    insert(db, row).await
}

/// Writes down the present version of an aggregation run. The caller holds its row lock, or has just made it.
///
/// # Errors
/// When the database does not take it.
pub async fn record_run(
    db: &impl ConnectionTrait,
    run: &aggregation_run::Model,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        aggregation_run_id: Set(Some(run.id)),
        therapist_id: Set(run.therapist_id),
        version: Set(run.version),
        status: Set(Some(run.status.to_value())),
        progress: Set(run.progress),
        created_at: Set(at),
        ..Default::default()
    };
    insert(db, row).await
}

/// Writes down the present version of an export job. The caller holds its row lock, or has just made it.
///
/// # Errors
/// When the database does not take it.
pub async fn record_export(
    db: &impl ConnectionTrait,
    job: &export_job::Model,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        export_job_id: Set(Some(job.id)),
        version: Set(job.version),
        status: Set(Some(job.status.to_value())),
        progress: Set(job.progress),
        created_at: Set(at),
        ..Default::default()
    };
    insert(db, row).await
}

async fn insert(db: &impl ConnectionTrait, row: ActiveModel) -> Result<(), DbErr> {
    outbox_event::Entity::insert(row).exec_without_returning(db).await.map(drop)
}
