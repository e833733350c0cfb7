//! Mutations that may be repeated: a key, used again within 24 hours with the same input, gives the first result.
//!
//! Only the id of the result is kept; the result is read again. A key is claimed before the work and completed in
//! the transaction of the work. A request that fails lets go of its key, so that it can be repeated.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::Clock;
use crate::entity::idempotency_key::{ActiveModel, Column, Entity};
use crate::error::{Code, Error, Result, UserError};

/// Life of a key.
pub const TTL: TimeDelta = TimeDelta::hours(24);
/// A claim that nobody has renewed for so long belongs to a request that died.
const STALE: TimeDelta = TimeDelta::seconds(5);
/// How often a request that takes long renews its claim.
const RENEW: Duration = Duration::from_secs(1);

/// A key in the hands of this request.
#[derive(Clone, Debug)]
pub struct Claim {
    user_id: Uuid,
    key: String,
    id: Uuid,
}

/// What asking for a key led to.
#[derive(Clone, Debug)]
pub enum Asked {
    /// It is ours: do the work.
    Claimed(Claim),
    /// The work was done before.
    Done(Done),
}

/// Work that was done before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    input_hash: String,
    result_id: Uuid,
}

impl Done {
    /// The id of the first result, if the input is the same.
    ///
    /// # Errors
    /// `IDEMPOTENCY_KEY_REUSED`.
    pub fn replay(&self, input_hash: &str) -> Result<Uuid> {
        if self.input_hash == input_hash {
            return Ok(self.result_id);
        }
        let message = "This idempotency key was used for another request. Take a new key for new input.";
        Err(UserError::new(Code::IdempotencyKeyReused, message).on("idempotencyKey").into())
    }
}

/// Asks for a key.
///
/// # Errors
/// `INVALID_INPUT` for a key that cannot be one, `IDEMPOTENCY_IN_PROGRESS` while the first request is running,
/// `IDEMPOTENCY_KEY_REUSED` when it was used for another mutation.
pub async fn ask(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    operation: &'static str,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Asked> {
    let key = crate::text::line("idempotencyKey", key, 200)?;
    forget_expired(db, user_id, &key, now).await?;
    let claim = Claim { user_id, key: key.clone(), id: Uuid::now_v7() };
    if insert(db, &claim, operation, now).await? {
        return Ok(Asked::Claimed(claim));
    }
    let row = Entity::find_by_id((user_id, key)).one(db).await?;
    match row {
        Some(row) if row.operation != operation => {
            Ok(Asked::Done(Done { input_hash: String::new(), result_id: Uuid::nil() }))
        }
        Some(idempotency) => match (idempotency.input_hash, idempotency.result_id) {
            (Some(input_hash), Some(result_id)) => Ok(Asked::Done(Done { input_hash, result_id })),
            _ => Err(in_progress()),
        },
        None => Err(in_progress()),
    }
}

/// Does work that takes its time, and renews the claim meanwhile. A claim that was lost all the same is noticed when
/// the work is [completed](complete).
pub async fn hold<T>(
    db: &impl ConnectionTrait,
    claim: &Claim,
    clock: &dyn Clock,
    work: impl Future<Output = T>,
) -> T {
    let renewing = async {
        loop {
            tokio::time::sleep(RENEW).await;
            if let Err(error) = renew(db, claim, clock.now()).await {
                tracing::warn!(%error, "an idempotency key was not renewed; trying again");
            }
        }
    };
    futures::select_biased! {
        done = std::pin::pin!(work.fuse()) => done,
        never = std::pin::pin!(renewing.fuse()) => never,
    }
}

async fn renew(db: &impl ConnectionTrait, claim: &Claim, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::UserId.eq(claim.user_id))
        .filter(Column::Key.eq(&claim.key))
        .filter(Column::Claim.eq(claim.id))
        .exec(db)
        .await?;
    Ok(())
}

/// Puts down the result, in the transaction of the work.
///
/// # Errors
/// `IDEMPOTENCY_IN_PROGRESS` when the claim was lost to another request: roll back.
pub async fn complete(
    txn: &impl ConnectionTrait,
    claim: &Claim,
    input_hash: &str,
    result_id: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::InputHash, Expr::value(input_hash))
        .col_expr(Column::ResultId, Expr::value(result_id))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::UserId.eq(claim.user_id))
        .filter(Column::Key.eq(&claim.key))
        .filter(Column::Claim.eq(claim.id))
        .exec(txn)
        .await?;
    if updated.rows_affected == 1 { Ok(()) } else { Err(in_progress()) }
}

/// Lets go of a key after the work failed.
///
/// # Errors
/// When the database does not answer; the claim goes stale then.
pub async fn release(db: &impl ConnectionTrait, claim: &Claim) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(claim.user_id))
        .filter(Column::Key.eq(&claim.key))
        .filter(Column::Claim.eq(claim.id))
        // The work may have been committed although its answer was lost.
        .filter(Column::ResultId.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Condenses the parts of an input, so that it can be compared without being kept.
#[must_use]
pub fn input_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

async fn forget_expired(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    key: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let stale = Condition::all().add(Column::ResultId.is_null()).add(Column::UpdatedAt.lt(now - STALE));
    Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Key.eq(key))
        .filter(Condition::any().add(Column::CreatedAt.lt(now - TTL)).add(stale))
        .exec(db)
        .await?;
    Ok(())
}

async fn insert(
    db: &impl ConnectionTrait,
    claim: &Claim,
    operation: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        user_id: Set(claim.user_id),
        key: Set(claim.key.clone()),
        operation: Set(operation.to_owned()),
        claim: Set(claim.id),
        input_hash: Set(None),
        result_id: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    };
    let taken = OnConflict::columns([Column::UserId, Column::Key]).do_nothing().to_owned();
    let inserted = Entity::insert(row).on_conflict(taken).exec_without_returning(db).await;
    match inserted {
        Ok(rows) => Ok(rows == 1),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(error) => Err(error),
    }
}

fn in_progress() -> Error {
    let message = "The first request with this idempotency key is still running. Ask again in a moment.";
    UserError::new(Code::IdempotencyInProgress, message).on("idempotencyKey").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_live_for_as_long_as_the_table_of_periods_says() {
        assert_eq!(TTL.to_std().ok(), crate::config::retention::IDEMPOTENCY_KEYS.by_default());
    }

    #[test]
    fn hashes_tell_where_one_part_ends() {
        assert_ne!(input_hash(&["ab", "c"]), input_hash(&["a", "bc"]));
        assert_eq!(input_hash(&["ab", "c"]), input_hash(&["ab", "c"]));
    }

    #[test]
    fn a_key_used_for_other_input_is_refused() {
        let done = Done { input_hash: input_hash(&["a"]), result_id: Uuid::now_v7() };
        assert_eq!(done.replay(&input_hash(&["a"])).expect("same input"), done.result_id);
        assert!(done.replay(&input_hash(&["b"])).is_err());
    }
}
