//! What patients may read: the therapist releases a version of the notes, and withdraws it again.
//!
//! A release pins the run that wrote the notes. Newer notes stay with the therapist until they are released too; the
//! patient reads the older release until then.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection,
    DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::database;
use crate::entity::session::{self, Model};
use crate::entity::summary_release::{self, ActiveModel, Column, Entity};
use crate::error::{Code, Result, UserError};
use crate::idempotency::{self, Asked};

/// Which notes the patient may read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of which session.
    pub session_id: Uuid,
    /// The run that wrote the notes the therapist has read; the present one if `None`.
    pub run_id: Option<Uuid>,
}

/// Releases and withdraws.
#[derive(Clone)]
pub struct Releases {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
}

impl Releases {
    /// Releases in this database.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Lets the patient read the notes as they are now. What is released already stays so; an older release ends.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE` while there are no notes, `CONFLICT` when others have been written since, `INVALID_INPUT` and `IDEMPOTENCY_KEY_REUSED` for the key.
    pub async fn release(
        &self,
        actor: &Actor,
        origin: &Origin,
        wanted: Wanted,
        key: Option<&str>,
    ) -> Result<Model> {
        let therapist_id = actor.therapist_id()?;
        let now = self.clock.now();
        let run = wanted.run_id.map(|id| id.to_string()).unwrap_or_default();
        let hash = idempotency::input_hash(&[&wanted.session_id.to_string(), &run]);
        let txn = database::begin(&self.db).await?;
        let claim = match key {
            None => None,
            Some(key) => match idempotency::ask(&txn, therapist_id, "releaseSummary", key, now).await? {
                Asked::Claimed(claim) => Some(claim),
                Asked::Done(done) => return locked(&txn, actor, done.replay(&hash)?).await,
            },
        };
        let session = locked(&txn, actor, wanted.session_id).await?;
        if wanted.run_id.is_some() && wanted.run_id != session.extraction_run_id {
            let message = "These are not the present notes. Read the present ones before you release them.";
            return Err(UserError::new(Code::Conflict, message).on("runId").into());
        }
        if self.open(&txn, &session, therapist_id, now).await? {
            self.witness(&txn, (actor, origin), &session, "session.release_summary").await?;
        }
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &hash, session.id, now).await?;
        }
        txn.commit().await?;
        Ok(session)
    }

    /// Takes back what was released: the patient reads nothing of this session's notes any more. Doing it twice is fine.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn withdraw(&self, actor: &Actor, origin: &Origin, session_id: Uuid) -> Result<Model> {
        actor.therapist_id()?;
        let txn = database::begin(&self.db).await?;
        let session = locked(&txn, actor, session_id).await?;
        if let Some(release) = in_force(&txn, session.id).await? {
            end(&txn, release, self.clock.now()).await?;
            self.witness(&txn, (actor, origin), &session, "session.withdraw_summary").await?;
        }
        txn.commit().await?;
        Ok(session)
    }

    /// Opens a release of a locked session's notes; says whether that changes anything.
    async fn open(
        &self,
        txn: &DatabaseTransaction,
        session: &Model,
        released_by: Uuid,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let Some(run_id) = session.extraction_run_id else {
            let message = "There are no notes yet that could be released.";
            return Err(UserError::new(Code::InvalidState, message).on("sessionId").into());
        };
        match in_force(txn, session.id).await? {
            Some(release) if release.extraction_run_id == run_id => return Ok(false),
            Some(older) => end(txn, older, now).await?,
            None => {}
        }
        let row = ActiveModel {
            id: Set(Uuid::now_v7()),
            session_id: Set(session.id),
            extraction_run_id: Set(run_id),
            released_by: Set(released_by),
            released_at: Set(now),
            withdrawn_at: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        };
        Entity::insert(row).exec_without_returning(txn).await?;
        Ok(true)
    }

    async fn witness(
        &self,
        txn: &DatabaseTransaction,
        (actor, origin): (&Actor, &Origin),
        session: &Model,
        action: &'static str,
    ) -> Result<()> {
        let event = audit::Event {
            action,
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            changed_fields: vec!["release"],
            ..Default::default()
        };
        Ok(audit::record(txn, Witness { actor, origin, at: self.clock.now() }, event).await?)
    }
}

/// The session, locked: releases and withdrawals of one session come one after the other.
async fn locked(txn: &DatabaseTransaction, actor: &Actor, id: Uuid) -> Result<Model> {
    let found =
        session::visible_to(actor).filter(session::Column::Id.eq(id)).lock_exclusive().one(txn).await?;
    found.ok_or_else(|| UserError::not_found("session").on("sessionId").into())
}

async fn in_force(
    db: &impl ConnectionTrait,
    session_id: Uuid,
) -> Result<Option<summary_release::Model>, DbErr> {
    Entity::find()
        .filter(Column::SessionId.eq(session_id))
        .filter(Column::WithdrawnAt.is_null())
        .one(db)
        .await
}

async fn end(
    txn: &DatabaseTransaction,
    release: summary_release::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let ended = ActiveModel {
        id: Set(release.id),
        withdrawn_at: Set(Some(now)),
        updated_at: Set(now),
        ..Default::default()
    };
    ended.update(txn).await.map(drop)
}
