//! Log-ins with a second factor: a right password gives a challenge, and the challenge with a right code gives tokens.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::refresh_token::hash;
use super::second_factor::{confirmed, hold_user, wrong_code};
use super::{Auth, Tokens};
use crate::actor::Origin;
use crate::audit;
use crate::database;
use crate::entity::log_in_challenge::{ActiveModel, Column, Entity, Model};
use crate::entity::user;
use crate::error::{Code, Error, Result, UserError};
use crate::random;

/// Lets people and scanners recognise a leaked token.
const PREFIX: &str = "tbc_";
/// Life of a challenge.
const TTL: TimeDelta = TimeDelta::minutes(5);
/// Codes that may be tried: of a million, three are good at a time.
const MAX_TRIES: i32 = 5;

impl Auth {
    /// The challenge of a user whose password was right; `None` without a second factor.
    pub(super) async fn challenge(
        &self,
        txn: &impl ConnectionTrait,
        user: &user::Model,
        origin: &Origin,
    ) -> Result<Option<String>> {
        if confirmed(txn, user.id).await?.is_none() {
            return Ok(None);
        }
        let (token, now) = (format!("{PREFIX}{}", random::hex()), self.clock.now());
        Entity::insert(new_row(user, &token, now)).exec_without_returning(txn).await?;
        self.note_challenge(txn, origin, "user.log_in_challenge", (Some(user.id), false)).await?;
        Ok(Some(token))
    }

    /// Completes a log-in. A try is counted before the code is looked at, so that many at once are still few.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS` for a wrong code; `INVALID_TOKEN` for a challenge that is unknown, expired, completed or used
    /// up, or whose user was deactivated or changed the password since; [`Error::RateLimited`].
    pub async fn confirm_log_in(&self, token: &str, code: &str, origin: &Origin) -> Result<Tokens> {
        let now = self.clock.now();
        let challenge = count_try(&self.db, token, now).await?;
        // An invented challenge is nobody's, and leaves nothing: the trail is not for strangers to fill.
        let challenge = challenge.ok_or_else(invalid_challenge)?;
        let result = self.complete(&challenge, code, origin, now).await;
        if let Err(Error::User(_)) = result {
            let refused = (Some(challenge.user_id), true);
            self.note_challenge(&self.db, origin, "user.confirm_log_in", refused).await?;
        }
        result
    }

    async fn complete(
        &self,
        challenge: &Model,
        code: &str,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<Tokens> {
        // Five tries a challenge are few, but every right password gives a challenge.
        let user = user::Entity::find_by_id(challenge.user_id).one(&self.db).await?;
        let user = user.ok_or_else(invalid_challenge)?;
        self.limits.confirm_log_in(&user.email, origin).await?;
        self.limits.second_factor(user.id, origin).await?;
        let txn = database::begin(&self.db).await?;
        let user = hold_user(&txn, challenge.user_id).await?;
        let unchanged = user.is_active && mark(&user) == challenge.password_mark;
        if !unchanged || !spend(&txn, challenge.id, now).await? {
            return Err(invalid_challenge());
        }
        if !self.spend_code(&txn, user.id, code, now).await? {
            return Err(wrong_code());
        }
        let tokens = self.let_in(&txn, user.id, origin, "user.confirm_log_in").await?;
        txn.commit().await?;
        Ok(tokens)
    }

    /// Until the code was right nobody is logged in: the actor is a stranger.
    async fn note_challenge(
        &self,
        db: &impl ConnectionTrait,
        origin: &Origin,
        action: &'static str,
        (subject_id, refused): (Option<Uuid>, bool),
    ) -> Result<(), DbErr> {
        let event = audit::Event { action, subject_type: "user", subject_id, refused, ..Default::default() };
        audit::record(db, self.stranger(origin), event).await
    }
}

fn new_row(user: &user::Model, token: &str, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user.id),
        token: Set(hash(token)),
        password_mark: Set(mark(user)),
        tries: Set(0),
        expires_at: Set(now + TTL),
        used_at: Set(None),
        created_at: Set(now),
    }
}

/// The challenge of a token, with one more try on it; `None` when it takes no more.
async fn count_try(
    db: &impl ConnectionTrait,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    let counted = Entity::update_many()
        .col_expr(Column::Tries, ExprTrait::add(Expr::col(Column::Tries), 1))
        .filter(Column::Token.eq(hash(token)))
        .filter(Column::UsedAt.is_null())
        .filter(Column::Tries.lt(MAX_TRIES))
        .filter(Column::ExpiresAt.gt(now))
        .exec_with_returning(db)
        .await?;
    Ok(counted.into_iter().next())
}

/// Uses a challenge up; false when another request has.
async fn spend(txn: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let spent = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::UsedAt.is_null())
        .exec(txn)
        .await?;
    Ok(spent.rows_affected == 1)
}

fn mark(user: &user::Model) -> String {
    hash(&user.hashed_password)
}

fn invalid_challenge() -> Error {
    let message = "This log-in was not completed in time, or with too many codes. Log in again.";
    UserError::new(Code::InvalidToken, message).on("challenge").into()
}
