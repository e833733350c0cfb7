//! News about sessions: written as outbox rows in the transaction of the change, delivered to subscribers of
//! every process in order and without gaps. NOTIFY is a hint that there is news; the rows are the truth.

mod feed;
mod notifier;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use crate::entity::outbox_event;
use crate::entity::session::{self, Status};

pub use feed::{Feed, Subscription};
pub use notifier::{Notifier, WakeUps};

/// The channel of jobs and events (see [`Notifier`]).
pub const CHANNEL: &str = "therapybridge";

/// A version of a session, as subscribers hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Order of insertion.
    pub seq: i64,
    /// Which session.
    pub session_id: Uuid,
    /// Whose session.
    pub patient_id: Uuid,
    /// Which version.
    pub version: i64,
    /// Status at that version.
    pub status: Option<Status>,
    /// Progress at that version.
    pub progress: i32,
}

impl From<outbox_event::Model> for Event {
    fn from(row: outbox_event::Model) -> Self {
        let outbox_event::Model { seq, session_id, patient_id, version, status, progress, .. } = row;
        Self { seq, session_id, patient_id, version, status, progress }
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
    let row = outbox_event::ActiveModel {
        session_id: Set(session.id),
        patient_id: Set(session.patient_id),
        version: Set(session.version),
        status: Set(session.status),
        progress: Set(session.progress),
        created_at: Set(at),
        ..Default::default()
    };
    outbox_event::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}
