//! Refresh tokens: 256 random bits, stored hashed, good for one exchange. The tokens that follow one log-in are a
//! family; presenting a spent one ends the family, for one of two holders must be a thief.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::actor::Origin;
use crate::entity::auth_session::{ActiveModel, Column, Entity, Model};
use crate::entity::user;
use crate::random;

/// Lets people and scanners recognise a leaked token.
const PREFIX: &str = "tbr_";
/// Log-ins of a user that are listed.
const LISTED: u64 = 100;
/// More of a user agent is not kept.
const MAX_USER_AGENT: usize = 400;

/// Issues, spends and revokes.
#[derive(Clone, Copy, Debug)]
pub struct RefreshTokens {
    ttl: Duration,
}

/// A log-in: what the tokens of a family belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIn {
    /// Whose.
    pub user_id: Uuid,
    /// Which (`auth_sessions.family_id`, `sid` of access tokens).
    pub family_id: Uuid,
    /// When it began.
    pub at: DateTime<Utc>,
}

impl From<&Model> for LogIn {
    fn from(row: &Model) -> Self {
        Self { user_id: row.user_id, family_id: row.family_id, at: row.logged_in_at }
    }
}

/// What presenting a token led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was good, and is spent now.
    Spent(LogIn),
    /// It had been spent before; its family is revoked now.
    Reused(LogIn),
    /// Ended or revoked.
    Refused(LogIn),
    /// Never issued, or forgotten long ago.
    Unknown,
}

/// Which log-ins of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one.
    One(Uuid),
    /// All others than this one.
    AllBut(Uuid),
    /// All.
    All,
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
        log_in: LogIn,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<String, DbErr> {
        let token = format!("{PREFIX}{}", random::hex());
        let row = ActiveModel {
            id: Set(Uuid::now_v7()),
            user_id: Set(log_in.user_id),
            family_id: Set(log_in.family_id),
            logged_in_at: Set(log_in.at),
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
            return Ok(Rotation::Spent(row.into()));
        }
        match Entity::find().filter(Column::RefreshToken.eq(&hash)).one(txn).await? {
            Some(row) if row.spent_at.is_some() => {
                end(txn, row.user_id, Which::One(row.family_id), now).await?;
                Ok(Rotation::Reused((&row).into()))
            }
            Some(row) => Ok(Rotation::Refused((&row).into())),
            None => Ok(Rotation::Unknown),
        }
    }

    /// Ends the log-in of a token; gives the token's row, or `None` where nothing is left to end.
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
        let ended = end(txn, row.user_id, Which::One(row.family_id), now).await?;
        Ok((ended > 0).then_some(row))
    }

    /// The newest tokens of a user that can still be exchanged, newest first: one a log-in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn alive_of(
        &self,
        db: &impl ConnectionTrait,
        user_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Vec<Model>, DbErr> {
        alive(user_id, now).order_by_desc(Column::CreatedAt).limit(LISTED).all(db).await
    }

    /// The token of one log-in of a user, if it can still be exchanged.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn alive_in(
        &self,
        db: &impl ConnectionTrait,
        (user_id, family_id): (Uuid, Uuid),
        now: DateTime<Utc>,
    ) -> Result<Option<Model>, DbErr> {
        alive(user_id, now).filter(Column::FamilyId.eq(family_id)).one(db).await
    }
}

fn alive(user_id: Uuid, now: DateTime<Utc>) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::IsRevoked.eq(false))
        .filter(Column::SpentAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
}

/// The row of a token; until the transaction ends, nobody else changes the log-ins of its user.
async fn hold_log_ins_of(txn: &impl ConnectionTrait, hash: &str) -> Result<Option<Model>, DbErr> {
    let row = Entity::find().filter(Column::RefreshToken.eq(hash)).one(txn).await?;
    if let Some(row) = &row {
        hold(txn, row.user_id).await?;
    }
    Ok(row)
}

/// The user; until the transaction ends, nobody else changes their log-ins. Without that, a token issued by an exchange
/// that is not committed yet would outlive the end of its family.
///
/// # Errors
/// When the database does not answer.
pub async fn hold(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(user_id).lock(LockType::NoKeyUpdate).one(txn).await
}

/// Ends log-ins of a user whom the caller [`hold`]s. Says how many tokens that revoked.
///
/// # Errors
/// When the database does not answer.
pub async fn end(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    which: Which,
    now: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let all = Entity::update_many()
        .col_expr(Column::IsRevoked, Expr::value(true))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::IsRevoked.eq(false));
    let chosen = match which {
        Which::One(family_id) => all.filter(Column::FamilyId.eq(family_id)),
        Which::AllBut(family_id) => all.filter(Column::FamilyId.ne(family_id)),
        Which::All => all,
    };
    Ok(chosen.exec(txn).await?.rows_affected)
}

pub(super) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
