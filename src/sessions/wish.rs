//! What somebody asks of one session: granted under the session's row lock, once for each idempotency key.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, DatabaseConnection, DatabaseTransaction, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::database;
use crate::entity::session::{self, Column, Model};
use crate::error::{Code, Error, Result, UserError};
use crate::idempotency::{self, Asked, Claim};

/// What somebody asks of a session.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// From where.
    pub origin: &'a Origin,
    /// Of which session.
    pub session_id: Uuid,
    /// Makes it safe to ask again.
    pub idempotency_key: Option<&'a str>,
}

/// What a wish leads to.
pub(super) enum Granted {
    /// It was fulfilled before: the session as it is now.
    Before(Model),
    /// The session is locked: fulfil it.
    Now(Grant),
}

/// A wish about to be fulfilled.
pub(super) struct Grant {
    pub(super) txn: DatabaseTransaction,
    pub(super) session: Model,
    /// The key, and the condensed input.
    pub(super) claim: Option<(Claim, String)>,
}

impl Wish<'_> {
    /// Locks the session, unless the same was asked for before with the same key. `input` is what else was asked.
    ///
    /// # Errors
    /// `NOT_FOUND`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`, `INVALID_INPUT` for a key that cannot be one.
    pub(super) async fn grant(
        self,
        db: &DatabaseConnection,
        now: DateTime<Utc>,
        operation: &'static str,
        input: &str,
    ) -> Result<Granted> {
        let therapist_id = self.actor.therapist_or(Scope::SessionsWrite)?;
        let hash = idempotency::input_hash(&[&self.session_id.to_string(), input]);
        let txn = database::begin(db).await?;
        let asked = match self.idempotency_key {
            None => None,
            Some(key) => Some(idempotency::ask(&txn, therapist_id, operation, key, now).await?),
        };
        let claim = match asked {
            None => None,
            Some(Asked::Claimed(claim)) => Some((claim, hash)),
            Some(Asked::Done(done)) => {
                let session = locked_for(&txn, self.actor, done.replay(&hash)?).await?;
                return Ok(Granted::Before(session));
            }
        };
        let session = locked_for(&txn, self.actor, self.session_id).await?;
        Ok(Granted::Now(Grant { txn, session, claim }))
    }
}

/// A session that the actor may know of, locked until the transaction ends.
pub(super) async fn locked_for(txn: &DatabaseTransaction, actor: &Actor, id: Uuid) -> Result<Model> {
    let session = session::visible_to(actor).filter(Column::Id.eq(id)).lock_exclusive().one(txn).await?;
    session.ok_or_else(|| UserError::not_found("session").on("sessionId").into())
}

/// The session is not in a state that allows what was asked.
pub(super) fn invalid_state(message: impl Into<String>) -> Error {
    UserError::new(Code::InvalidState, message).on("sessionId").into()
}
