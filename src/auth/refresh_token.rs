//! Refresh tokens: 256 random bits, stored hashed, good for one exchange. The tokens that follow one log-in are a
//! family; presenting a spent one ends the family, for one of two holders must be a thief.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::actor::Origin;
use crate::entity::auth_session::{ActiveModel, Column, Entity, Model};
use crate::entity::user;
pub(crate) use crate::secret_file::random_hex;

/// Lets people and scanners recognise a leaked token.
const PREFIX: &str = "tbr_";
/// More of a user agent is not kept.
const MAX_USER_AGENT: usize = 400;

/// Issues, spends and revokes.
#[derive(Clone, Copy, Debug)]
pub struct RefreshTokens {
    ttl: Duration,
}

/// What presenting a token led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was good, and is spent now.
    Spent {
        /// Whose.
        user_id: Uuid,
        /// Of which log-in.
        family_id: Uuid,
    },
    /// It had been spent before; its family is revoked now.
    Reused {
        /// Whose.
        user_id: Uuid,
        /// Of which log-in.
        family_id: Uuid,
    },
    /// Never issued, ended or revoked.
    Unknown,
}

impl RefreshTokens {
    /// Tokens that live for `ttl`.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl }
    }

    /// A new token of a family.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn issue(
        &self,
        txn: &impl ConnectionTrait,
        (user_id, family_id): (Uuid, Uuid),
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<String, DbErr> {
        let token = format!("{PREFIX}{}", random_hex());
        let row = ActiveModel {
            id: Set(Uuid::now_v7()),
            user_id: Set(user_id),
            family_id: Set(family_id),
            refresh_token: Set(hash(&token)),
            expires_at: Set(now + self.ttl),
            spent_at: Set(None),
            is_revoked: Set(false),
            ip: Set(origin.ip.clone()),
            user_agent: Set(origin
                .user_agent
                .as_ref()
                .map(|agent| agent.chars().take(MAX_USER_AGENT).collect())),
            created_at: Set(now),
            updated_at: Set(now),
        };
        Entity::insert(row).exec_without_returning(txn).await?;
        Ok(token)
    }

    /// Exchanges a token: one atomic statement, so that of two at once exactly one wins, and the other is a reuse.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn spend(
        &self,
        txn: &impl ConnectionTrait,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Rotation, DbErr> {
        let hash = hash(token);
        hold_log_ins_of(txn, &hash).await?;
        let spent = Entity::update_many()
            .col_expr(Column::SpentAt, Expr::value(now))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::RefreshToken.eq(&hash))
            .filter(Column::SpentAt.is_null())
            .filter(Column::IsRevoked.eq(false))
            .filter(Column::ExpiresAt.gt(now))
            .exec_with_returning(txn)
            .await?;
        if let Some(row) = spent.first() {
            return Ok(Rotation::Spent { user_id: row.user_id, family_id: row.family_id });
        }
        match Entity::find().filter(Column::RefreshToken.eq(&hash)).one(txn).await? {
            Some(row) if row.spent_at.is_some() => {
                revoke_family(txn, row.family_id, now).await?;
                Ok(Rotation::Reused { user_id: row.user_id, family_id: row.family_id })
            }
            _ => Ok(Rotation::Unknown),
        }
    }

    /// Ends the log-in of a token; gives the token's row.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revoke_family_of(
        &self,
        txn: &impl ConnectionTrait,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Model>, DbErr> {
        let Some(row) = hold_log_ins_of(txn, &hash(token)).await? else { return Ok(None) };
        revoke_family(txn, row.family_id, now).await?;
        Ok(Some(row))
    }

    /// Whether a log-in is this user's, and has not been revoked.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_alive(
        &self,
        db: &impl ConnectionTrait,
        (user_id, family_id): (Uuid, Uuid),
    ) -> Result<bool, DbErr> {
        let of_family =
            Entity::find().filter(Column::FamilyId.eq(family_id)).filter(Column::UserId.eq(user_id));
        Ok(of_family.filter(Column::IsRevoked.eq(false)).one(db).await?.is_some())
    }

    /// The tokens of a user that can still be exchanged, newest first: one a log-in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn alive_of(
        &self,
        db: &impl ConnectionTrait,
        user_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Vec<Model>, DbErr> {
        Entity::find()
            .filter(Column::UserId.eq(user_id))
            .filter(Column::IsRevoked.eq(false))
            .filter(Column::SpentAt.is_null())
            .filter(Column::ExpiresAt.gt(now))
            .order_by_desc(Column::CreatedAt)
            .all(db)
            .await
    }
}

/// The row of a token; until the transaction ends, nobody else changes the log-ins of its user. Without that, a token
/// issued by an exchange that is not committed yet would outlive the end of its family.
async fn hold_log_ins_of(txn: &impl ConnectionTrait, hash: &str) -> Result<Option<Model>, DbErr> {
    let row = Entity::find().filter(Column::RefreshToken.eq(hash)).one(txn).await?;
    if let Some(row) = &row {
        user::Entity::find_by_id(row.user_id).lock(LockType::NoKeyUpdate).one(txn).await?;
    }
    Ok(row)
}

async fn revoke_family(txn: &impl ConnectionTrait, family_id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::IsRevoked, Expr::value(true))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::FamilyId.eq(family_id))
        .exec(txn)
        .await?;
    Ok(())
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
