//! Recordings that arrive in parts, over as many requests, connections and processes as it takes.
//!
//! A part is a file of the store, `{therapist_id}/{upload_id}/part-…`; it counts once the row's `received` has moved past
//! it, by compare-and-set in one transaction with the part's row. Of two who write at the same place one wins, and the
//! other removes its file. A file is put before its row is written, so a process that dies in between leaves a file
//! nobody names, but under a prefix whose row is still there: the row of an upload outlives it by `REMEMBERED`, longer
//! than any request that could still put something, and goes together with everything under its prefix.

mod metadata;
mod refused;
mod stream;
mod turns;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::Stream;
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, EntityTrait,
    FromQueryResult, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use tempfile::NamedTempFile;
use uuid::Uuid;

pub use self::metadata::is_sound;
pub use self::refused::Refused;
pub use self::turns::{Turn, Turns};
use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::database;
use crate::entity::unfinished_upload::{ActiveModel, Column, Entity, Model, Outcome, open, visible_to};
use crate::entity::{unfinished_part, user};
use crate::error::Result;
use crate::failpoint;
use crate::storage::Storage;

/// How long the row of an upload outlives it.
const REMEMBERED: TimeDelta = TimeDelta::hours(1);
/// Parts of an upload: 100 MB in pieces of 25 KB. Whoever sends less at a time costs more than the recording is worth.
const MOST_PARTS: u64 = 4096;
/// Uploads removed in one go.
const SWEEP: u64 = 100;

/// Takes recordings in, part by part.
#[derive(Clone)]
pub struct Unfinished {
    /// Where rows go.
    pub db: DatabaseConnection,
    /// Where parts go.
    pub storage: Storage,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How much is too much.
    pub limits: UploadConfig,
}

/// What a client says before it sends anything.
#[derive(Clone, Debug, Default)]
pub struct NewUpload {
    /// Bytes of the whole; `None` if it will tell later.
    pub length: Option<u64>,
    /// What it says of the file.
    pub metadata: Option<String>,
}

/// A part that has arrived, in a spool file.
#[derive(Debug)]
pub struct Spooled {
    /// Its bytes.
    pub file: NamedTempFile,
    /// How many there are.
    pub bytes: u64,
}

/// What one therapist has under way.
#[derive(Debug, FromQueryResult)]
struct Held {
    uploads: i64,
    reserved: i64,
}

impl Unfinished {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`Refused::TooLarge`], [`Refused::TooMany`], [`Refused::TooMuch`].
    pub async fn create(&self, actor: &Actor, origin: &Origin, new: NewUpload) -> Result<Model, Refused> {
        let therapist_id = actor.therapist_or(Scope::SessionsWrite)?;
        let reserved = new.length.unwrap_or(self.limits.max_bytes);
        if reserved > self.limits.max_bytes {
            return Err(Refused::TooLarge { max: self.limits.max_bytes });
        }
        let now = self.clock.now();
        let txn = database::begin(&self.db).await?;
        self.check_quota(&txn, therapist_id, reserved, now).await?;
        let row = ActiveModel {
            id: Set(Uuid::now_v7()),
            therapist_id: Set(therapist_id),
            length: Set(new.length.map(signed)),
            reserved: Set(signed(reserved)),
            received: Set(0),
            metadata: Set(new.metadata),
            expires_at: Set(now + self.limits.expires),
            outcome: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        };
        let upload = Entity::insert(row).exec_with_returning(&txn).await?;
        witness(&txn, Witness { actor, origin, at: now }, "upload.create", upload.id).await?;
        txn.commit().await?;
        Ok(upload)
    }

    /// Exact, over any number of processes: whoever begins an upload holds the user's row until it is there.
    async fn check_quota(
        &self,
        txn: &impl ConnectionTrait,
        therapist_id: Uuid,
        reserved: u64,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        user::Entity::find_by_id(therapist_id).lock(LockType::NoKeyUpdate).one(txn).await?;
        let held = Entity::find()
            .select_only()
            .column_as(Column::Id.count(), "uploads")
            .column_as(Expr::cust("coalesce(sum(reserved), 0)::bigint"), "reserved")
            .filter(Column::TherapistId.eq(therapist_id))
            .filter(open(now))
            .into_model::<Held>()
            .one(txn)
            .await?;
        let (uploads, bytes) = held.map_or((0, 0), |held| (unsigned(held.uploads), unsigned(held.reserved)));
        if uploads >= u64::from(self.limits.max_unfinished.get()) {
            return Err(Refused::TooMany { max: self.limits.max_unfinished.get() });
        }
        if bytes + reserved > self.limits.max_unfinished_bytes {
            return Err(Refused::TooMuch { max: self.limits.max_unfinished_bytes });
        }
        Ok(())
    }

    /// An upload of the actor's that is open.
    ///
    /// # Errors
    /// [`Refused::NotFound`] for one that is not there or not the actor's, [`Refused::Gone`] for one that has ended.
    pub async fn find(&self, actor: &Actor, id: Uuid) -> Result<Model, Refused> {
        let found = visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?;
        let upload = found.ok_or(Refused::NotFound)?;
        if upload.outcome.is_some() || upload.expires_at <= self.clock.now() {
            return Err(Refused::Gone);
        }
        Ok(upload)
    }

    /// Says how long an upload is that was begun without. It can be said again, but not otherwise.
    ///
    /// # Errors
    /// [`Refused::TooLarge`], [`Refused::LengthChanged`], also when more than that has arrived.
    pub async fn declare_length(&self, upload: &Model, length: u64) -> Result<Model, Refused> {
        if length > self.limits.max_bytes {
            return Err(Refused::TooLarge { max: self.limits.max_bytes });
        }
        let length = signed(length);
        if upload.length == Some(length) {
            return Ok(upload.clone());
        }
        let changed = Entity::update_many()
            .col_expr(Column::Length, Expr::value(length))
            .col_expr(Column::Reserved, Expr::value(length))
            .col_expr(Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(Column::Id.eq(upload.id))
            .filter(Column::Length.is_null())
            .filter(Column::Received.lte(length))
            .exec_with_returning(&self.db)
            .await?;
        changed.into_iter().next().ok_or(Refused::LengthChanged)
    }

    /// Keeps a part that begins where the upload ends so far, and gives the upload with it.
    ///
    /// # Errors
    /// [`Refused::Moved`] when something else was written there meanwhile, or the upload has ended;
    /// [`Refused::TooManyParts`]. Nothing of the part is kept then.
    pub async fn append(&self, upload: &Model, part: Spooled) -> Result<Model, Refused> {
        let present = Entity::find_by_id(upload.id).filter(open(self.clock.now())).one(&self.db).await?;
        // Before the file is put: so late a file of an upload that was forgotten meanwhile would be found by nobody.
        if present.is_none_or(|present| present.received != upload.received) {
            return Err(Refused::Moved);
        }
        if parts(upload.id).count(&self.db).await? >= MOST_PARTS {
            return Err(Refused::TooManyParts);
        }
        let row = unfinished_part::ActiveModel {
            upload_id: Set(upload.id),
            start: Set(upload.received),
            bytes: Set(signed(part.bytes)),
            object: Set(Uuid::now_v7()),
            created_at: Set(self.clock.now()),
            updated_at: Set(self.clock.now()),
        };
        let key = part_key(upload, upload.received, *row.object.as_ref());
        self.storage.put(&key, part.file).await?;
        failpoint::reach("part.put");
        let kept = self.keep(upload, row, signed(part.bytes)).await;
        // After any other error nobody knows whether the part counts: it stays.
        if matches!(kept, Err(Refused::Moved))
            && let Err(error) = self.storage.delete(&key).await
        {
            tracing::warn!(?error, key, "a part that came too late was left behind; it is swept later");
        }
        kept
    }

    async fn keep(
        &self,
        upload: &Model,
        part: unfinished_part::ActiveModel,
        bytes: i64,
    ) -> Result<Model, Refused> {
        let now = self.clock.now();
        let txn = database::begin(&self.db).await?;
        let moved = Entity::update_many()
            .col_expr(Column::Received, Expr::value(upload.received + bytes))
            .col_expr(Column::ExpiresAt, Expr::value(now + self.limits.expires))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::Id.eq(upload.id))
            .filter(Column::Received.eq(upload.received))
            .filter(open(now))
            .exec_with_returning(&txn)
            .await?;
        let upload = moved.into_iter().next().ok_or(Refused::Moved)?;
        unfinished_part::Entity::insert(part).exec_without_returning(&txn).await?;
        txn.commit().await?;
        failpoint::reach("part.kept");
        Ok(upload)
    }

    /// Gives an upload up, and removes what has arrived.
    ///
    /// # Errors
    /// [`Refused::Gone`] when it has ended.
    pub async fn terminate(&self, actor: &Actor, origin: &Origin, upload: &Model) -> Result<(), Refused> {
        let now = self.clock.now();
        let txn = database::begin(&self.db).await?;
        if !close(&txn, upload.id, Outcome::Terminated, now).await? {
            return Err(Refused::Gone);
        }
        witness(&txn, Witness { actor, origin, at: now }, "upload.terminate", upload.id).await?;
        txn.commit().await?;
        self.clear(upload).await;
        Ok(())
    }

    /// An upload of the actor's that is complete, to be made a recording.
    ///
    /// # Errors
    /// `NOT_FOUND` for one that is not there, not the actor's, or has ended otherwise than by use; `INVALID_STATE` for
    /// one that is incomplete or was used.
    pub async fn complete(&self, actor: &Actor, id: Uuid) -> Result<Model> {
        let found = visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?;
        let upload = found.ok_or_else(refused::no_such_upload)?;
        match (upload.outcome, upload.length.map(|length| length - upload.received)) {
            (Some(Outcome::Used), _) => Err(refused::used()),
            (Some(_), _) => Err(refused::no_such_upload()),
            (None, _) if upload.expires_at <= self.clock.now() => Err(refused::no_such_upload()),
            (None, Some(0)) => Ok(upload),
            (None, missing) => Err(refused::incomplete(&upload, missing)),
        }
    }

    /// The bytes of an upload, in order.
    ///
    /// # Errors
    /// When its parts cannot be asked for. The stream ends with an error when one cannot be read.
    pub async fn bytes(&self, upload: &Model) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let parts = parts(upload.id).order_by_asc(unfinished_part::Column::Start).all(&self.db).await?;
        let keys = parts.iter().map(|part| (part_key(upload, part.start, part.object), part.bytes)).collect();
        Ok(stream::of(self.storage.clone(), keys))
    }

    /// Uses an upload up, in the transaction of what it becomes.
    ///
    /// # Errors
    /// `INVALID_STATE` when another request was faster: roll back.
    pub async fn consume(&self, txn: &impl ConnectionTrait, id: Uuid) -> Result<()> {
        if close(txn, id, Outcome::Used, self.clock.now()).await? { Ok(()) } else { Err(refused::used()) }
    }

    /// Ends an upload that is nothing that can be used, and removes it.
    pub async fn refuse(&self, upload: &Model) {
        match close(&self.db, upload.id, Outcome::Refused, self.clock.now()).await {
            Ok(true) => self.clear(upload).await,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(?error, upload = %upload.id, "an upload was not closed; it will expire");
            }
        }
    }

    /// Removes the parts of an upload that has ended. What is left is swept later.
    pub async fn clear(&self, upload: &Model) {
        if let Err(error) = self.storage.delete_all(&prefix(upload)).await {
            tracing::warn!(?error, upload = %upload.id, "parts of an upload were left behind; they are swept later");
        }
    }

    /// Removes the uploads that have ended or expired, with everything that was ever put for them; says how many.
    ///
    /// # Errors
    /// When database or store do not answer; the rest is swept next time.
    pub async fn sweep(&self) -> Result<u64> {
        let mut swept = 0;
        loop {
            let over = self.over().await?;
            for upload in &over {
                self.forget(upload).await?;
            }
            swept += over.len() as u64;
            if (over.len() as u64) < SWEEP {
                return Ok(swept);
            }
        }
    }

    /// Some that have been over for so long that nothing more can come.
    async fn over(&self) -> Result<Vec<Model>> {
        let before = self.clock.now() - REMEMBERED;
        let ended = Condition::all().add(Column::Outcome.is_not_null()).add(Column::UpdatedAt.lt(before));
        let over = Condition::any().add(ended).add(Column::ExpiresAt.lt(before));
        Ok(Entity::find().filter(over).order_by_asc(Column::Id).limit(SWEEP).all(&self.db).await?)
    }

    /// Files first: without its row nobody would look for them.
    async fn forget(&self, upload: &Model) -> Result<()> {
        self.storage.delete_all(&prefix(upload)).await?;
        let txn = database::begin(&self.db).await?;
        let of_upload = unfinished_part::Column::UploadId.eq(upload.id);
        unfinished_part::Entity::delete_many().filter(of_upload).exec(&txn).await?;
        Entity::delete_by_id(upload.id).exec(&txn).await?;
        Ok(txn.commit().await?)
    }
}

fn parts(upload_id: Uuid) -> sea_orm::Select<unfinished_part::Entity> {
    unfinished_part::Entity::find().filter(unfinished_part::Column::UploadId.eq(upload_id))
}

async fn close(db: &impl ConnectionTrait, id: Uuid, outcome: Outcome, now: DateTime<Utc>) -> Result<bool> {
    let closed = Entity::update_many()
        .set(ActiveModel { outcome: Set(Some(outcome)), updated_at: Set(now), ..Default::default() })
        .filter(Column::Id.eq(id))
        .filter(open(now))
        .exec(db)
        .await?;
    Ok(closed.rows_affected == 1)
}

async fn witness(
    txn: &impl ConnectionTrait,
    witness: Witness<'_>,
    action: &'static str,
    id: Uuid,
) -> Result<()> {
    let event = audit::Event { action, subject_type: "upload", subject_id: Some(id), ..Default::default() };
    Ok(audit::record(txn, witness, event).await?)
}

/// Bytes of an upload that have arrived.
#[must_use]
pub fn received(upload: &Model) -> u64 {
    unsigned(upload.received)
}

/// Bytes an upload may take.
#[must_use]
pub fn reserved(upload: &Model) -> u64 {
    unsigned(upload.reserved)
}

/// What its uploader calls the file.
#[must_use]
pub fn file_name(upload: &Model) -> Option<String> {
    upload.metadata.as_deref().and_then(metadata::file_name)
}

fn prefix(upload: &Model) -> String {
    format!("{}/{}", upload.therapist_id, upload.id)
}

fn part_key(upload: &Model, start: i64, object: Uuid) -> String {
    format!("{}/part-{start:012}-{object}", prefix(upload))
}

/// Sizes are bounded far below where the two differ.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::REMEMBERED;
    use crate::config::retention::ENDED_UPLOADS;

    #[test]
    fn uploads_are_remembered_for_as_long_as_the_table_of_periods_says() {
        assert_eq!(REMEMBERED.to_std().ok(), ENDED_UPLOADS.by_default());
    }
}
