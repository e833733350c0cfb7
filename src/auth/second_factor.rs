//! The second factor: an authenticator app that a user may add to the password, and must then use at each log-in.
//!
//! Whatever changes a second factor needs the password again, and what weakens it a code too: an access token in the
//! wrong hands is not enough.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{Auth, recovery_code, refresh_token, totp};
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::database;
use crate::entity::second_factor::{ActiveModel, Column, Entity, Model};
use crate::entity::user;
use crate::error::{Code, Error, Result, UserError};

/// What an authenticator app is set up with; shown once.
#[derive(Clone)]
pub struct Enrolment {
    /// The secret in base32, for typing.
    pub secret: String,
    /// The secret as `otpauth://` URI, for a QR code.
    pub uri: String,
}

/// Secrets that are read at a time when all are looked at.
const RESEALED_AT_ONCE: u64 = 500;

/// The state of a user's second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// Since when log-ins ask for it.
    pub enabled_at: DateTime<Utc>,
    /// Recovery codes that were not used yet.
    pub recovery_codes_left: u64,
}

impl Auth {
    /// Begins to set up an app; log-ins ask for it once [`confirm_totp`](Self::confirm_totp) has seen a code. Doing it again
    /// before gives a new secret.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`; `INVALID_STATE` when there is a second factor already.
    pub async fn enrol_totp(&self, actor: &Actor, origin: &Origin, password: &str) -> Result<Enrolment> {
        let user = self.prove_password((actor, origin), "user.enrol_totp", password).await?;
        let (secret, now) = (totp::new_secret(), self.clock.now());
        let txn = database::begin(&self.db).await?;
        hold_asker(&txn, actor, Some(&user)).await?;
        if !put_pending(&txn, user.id, self.seal.seal(user.id, &secret)?, now).await? {
            return Err(enabled_already());
        }
        self.note(&txn, (actor, origin), "user.enrol_totp", false).await?;
        txn.commit().await?;
        Ok(Enrolment { secret: totp::base32(&secret), uri: totp::uri(&secret, &user.email)? })
    }

    /// Ends the setting up with a first code of the app, and gives the recovery codes: shown once, only hashes are kept.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS` for a wrong code; `INVALID_STATE` when nothing is being set up.
    pub async fn confirm_totp(&self, actor: &Actor, origin: &Origin, code: &str) -> Result<Vec<String>> {
        let (user_id, now) = (actor.user_id()?, self.clock.now());
        self.limits.proof_of_user(actor, origin).await?;
        let txn = database::begin(&self.db).await?;
        hold_asker(&txn, actor, None).await?;
        let factor = Entity::find_by_id(user_id).one(&txn).await?.ok_or_else(nothing_pending)?;
        if factor.confirmed_at.is_some() {
            return Err(enabled_already());
        }
        if !self.spend_step(&txn, &factor, code, now).await? {
            return Err(self.refuse_code(txn, (actor, origin), "user.enable_totp").await?);
        }
        let codes = recovery_code::replace(&txn, user_id, now).await?;
        self.note(&txn, (actor, origin), "user.enable_totp", false).await?;
        txn.commit().await?;
        Ok(codes)
    }

    /// Removes the second factor: log-ins ask for the password alone.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS` for a wrong password or code; `INVALID_STATE` without a second factor.
    pub async fn disable_totp(
        &self,
        actor: &Actor,
        origin: &Origin,
        (password, code): (&str, &str),
    ) -> Result<()> {
        let action = "user.disable_totp";
        let (user, txn) = self.prove_both((actor, origin), action, (password, code)).await?;
        Entity::delete_by_id(user.id).exec(&txn).await?;
        recovery_code::remove(&txn, user.id).await?;
        self.note(&txn, (actor, origin), action, false).await?;
        txn.commit().await?;
        Ok(())
    }

    /// Makes new recovery codes: shown once; earlier ones are good no longer.
    ///
    /// # Errors
    /// As [`disable_totp`](Self::disable_totp).
    pub async fn regenerate_recovery_codes(
        &self,
        actor: &Actor,
        origin: &Origin,
        (password, code): (&str, &str),
    ) -> Result<Vec<String>> {
        let action = "user.regenerate_recovery_codes";
        let (user, txn) = self.prove_both((actor, origin), action, (password, code)).await?;
        let codes = recovery_code::replace(&txn, user.id, self.clock.now()).await?;
        self.note(&txn, (actor, origin), action, false).await?;
        txn.commit().await?;
        Ok(codes)
    }

    /// Seals every secret under the present key, so that the keys of before can be dropped. At every start: there is
    /// nothing to do but after a change of `JWT_SECRET`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reseal_second_factors(&self) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let factors = Entity::find().filter(Column::UserId.gt(after)).order_by_asc(Column::UserId);
            let factors = factors.limit(RESEALED_AT_ONCE).all(&self.db).await?;
            let Some(last) = factors.last() else { return Ok(()) };
            after = last.user_id;
            for factor in &factors {
                self.reseal(factor).await?;
            }
        }
    }

    async fn reseal(&self, factor: &Model) -> Result<()> {
        let user_id = factor.user_id;
        if self.seal.is_current(user_id, &factor.secret) {
            return Ok(());
        }
        let Some(secret) = self.seal.open(user_id, &factor.secret) else {
            tracing::error!(%user_id, "a second factor cannot be opened: was JWT_SECRET replaced and not kept as a previous one?");
            return Ok(());
        };
        Entity::update_many()
            .col_expr(Column::Secret, Expr::value(self.seal.seal(user_id, &secret)?))
            .filter(Column::UserId.eq(user_id))
            .filter(Column::Secret.eq(factor.secret.clone()))
            .exec(&self.db)
            .await?;
        Ok(())
    }

    /// The second factor of a user, if log-ins ask for one.
    ///
    /// # Errors
    /// Only faults.
    pub async fn second_factor(&self, user_id: Uuid) -> Result<Option<SecondFactor>> {
        let factor = Entity::find_by_id(user_id).one(&self.db).await?;
        let Some(enabled_at) = factor.and_then(|factor| factor.confirmed_at) else { return Ok(None) };
        let recovery_codes_left = recovery_code::left(&self.db, user_id).await?;
        Ok(Some(SecondFactor { enabled_at, recovery_codes_left }))
    }

    /// Uses up a code of the app, or a recovery code, of a user with a second factor; false for one that is not good, or
    /// was used before.
    pub(super) async fn spend_code(
        &self,
        txn: &impl ConnectionTrait,
        user_id: Uuid,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let Some(factor) = confirmed(txn, user_id).await? else { return Ok(false) };
        let spent = self.spend_step(txn, &factor, code, now).await?;
        Ok(spent || recovery_code::spend(txn, user_id, code, now).await?)
    }

    /// Uses up a code of the app. The step is compared and set in one statement: of two at once exactly one gets true, and
    /// no code is taken twice. The secret is sealed anew each time, so that a key of before is soon not needed any more.
    async fn spend_step(
        &self,
        txn: &impl ConnectionTrait,
        factor: &Model,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let user_id = factor.user_id;
        let Some(secret) = self.seal.open(user_id, &factor.secret) else {
            tracing::error!(%user_id, "a second factor cannot be opened: was JWT_SECRET replaced and not kept as a previous one?");
            return Ok(false);
        };
        let Some(step) = totp::step(&secret, code, now)? else { return Ok(false) };
        let newer = Condition::any().add(Column::LastStep.is_null()).add(Column::LastStep.lt(step));
        let spent = Entity::update_many()
            .col_expr(Column::LastStep, Expr::value(step))
            .col_expr(Column::ConfirmedAt, Expr::value(factor.confirmed_at.unwrap_or(now)))
            .col_expr(Column::Secret, Expr::value(self.seal.seal(user_id, &secret)?))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::UserId.eq(user_id))
            .filter(newer)
            .exec(txn)
            .await?;
        Ok(spent.rows_affected == 1)
    }

    /// The asker, who knows their password.
    pub(super) async fn prove_password(
        &self,
        (actor, origin): (&Actor, &Origin),
        action: &'static str,
        password: &str,
    ) -> Result<user::Model> {
        let user = self.viewer(actor).await?;
        self.limits.proof_of_user(actor, origin).await?;
        if self.passwords.verify(password, Some(user.hashed_password.clone())).await? {
            return Ok(user);
        }
        self.note(&self.db, (actor, origin), action, true).await?;
        Err(UserError::new(Code::InvalidCredentials, "The password is wrong.").on("password").into())
    }

    /// The asker, who knows their password and has just used up a code; and the transaction in which that happened.
    async fn prove_both(
        &self,
        (actor, origin): (&Actor, &Origin),
        action: &'static str,
        (password, code): (&str, &str),
    ) -> Result<(user::Model, DatabaseTransaction)> {
        let user = self.prove_password((actor, origin), action, password).await?;
        let txn = database::begin(&self.db).await?;
        hold_asker(&txn, actor, Some(&user)).await?;
        if confirmed(&txn, user.id).await?.is_none() {
            let message = "There is no second factor.";
            return Err(UserError::new(Code::InvalidState, message).into());
        }
        if !self.spend_code(&txn, user.id, code, self.clock.now()).await? {
            return Err(self.refuse_code(txn, (actor, origin), action).await?);
        }
        Ok((user, txn))
    }

    pub(super) async fn refuse_code(
        &self,
        txn: DatabaseTransaction,
        who: (&Actor, &Origin),
        action: &'static str,
    ) -> Result<Error> {
        txn.rollback().await?;
        self.note(&self.db, who, action, true).await?;
        Ok(wrong_code())
    }

    async fn note(
        &self,
        db: &impl ConnectionTrait,
        (actor, origin): (&Actor, &Origin),
        action: &'static str,
        refused: bool,
    ) -> Result<()> {
        let subject_id = Some(actor.user_id()?);
        let event = audit::Event { action, subject_type: "user", subject_id, refused, ..Default::default() };
        Ok(audit::record(db, Witness { actor, origin, at: self.clock.now() }, event).await?)
    }
}

/// The row of a user; until the transaction ends nobody else changes how they log in.
pub(super) async fn hold_user(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<user::Model> {
    refresh_token::hold(txn, user_id).await?.ok_or(Error::Unauthenticated)
}

/// Holds the row of the asker, whose log-in must not have ended before, nor the password that was `proven` been changed:
/// whoever did that meant this request too.
pub(super) async fn hold_asker(
    txn: &impl ConnectionTrait,
    actor: &Actor,
    proven: Option<&user::Model>,
) -> Result<user::Model> {
    let Actor::User { id, auth_session, .. } = actor else { return Err(Error::Unauthenticated) };
    let held = hold_user(txn, *id).await?;
    user::in_log_in(*id, *auth_session).one(txn).await?.ok_or(Error::Unauthenticated)?;
    if proven.is_some_and(|proven| proven.hashed_password != held.hashed_password) {
        return Err(Error::Unauthenticated);
    }
    Ok(held)
}

/// The second factor of a user, if log-ins ask for one.
pub(super) async fn confirmed(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(user_id).filter(Column::ConfirmedAt.is_not_null()).one(db).await
}

/// The code of a second factor is wrong, or was used before; both read the same.
pub(super) fn wrong_code() -> Error {
    let message = "The code is wrong, or was used before. Wait for the next one.";
    UserError::new(Code::InvalidCredentials, message).on("code").into()
}

/// Puts a secret down, in place of one that was not confirmed; false when one was confirmed.
async fn put_pending(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    sealed: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        user_id: Set(user_id),
        secret: Set(sealed),
        last_step: Set(None),
        confirmed_at: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    };
    let pending = OnConflict::column(Column::UserId)
        .update_columns([Column::Secret, Column::CreatedAt, Column::UpdatedAt])
        .action_and_where(Column::ConfirmedAt.is_null())
        .to_owned();
    match Entity::insert(row).on_conflict(pending).exec_without_returning(txn).await {
        Ok(rows) => Ok(rows == 1),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(error) => Err(error),
    }
}

fn enabled_already() -> Error {
    let message = "There is a second factor already. Disable it first.";
    UserError::new(Code::InvalidState, message).into()
}

fn nothing_pending() -> Error {
    UserError::new(Code::InvalidState, "No second factor is being set up. Begin with enrolTotp.").into()
}
