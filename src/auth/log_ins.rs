//! Looking after one's own log-ins. Whatever ends log-ins holds the user's row first, as the exchange of a refresh token
//! does: an exchange that is under way ends with the rest.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::refresh_token::{self, Which};
use super::{Auth, api_key, password};
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::database;
use crate::entity::{auth_session, user};
use crate::error::{Code, Error, Result, UserError};

/// A password that is to be another one.
pub struct PasswordChange<'a> {
    /// As it is.
    pub current: &'a str,
    /// As it shall be.
    pub new: &'a str,
    /// Whether the API keys end with it: whoever knew the password may have made one.
    pub revoke_api_keys: bool,
}

impl Auth {
    /// The newest hundred log-ins of a user that can still be refreshed, newest first.
    ///
    /// # Errors
    /// Only faults.
    pub async fn auth_sessions(&self, user_id: Uuid) -> Result<Vec<auth_session::Model>> {
        Ok(self.refresh.alive_of(&self.db, user_id, self.clock.now()).await?)
    }

    /// Ends one of the asker's log-ins, the present one too; gives it as it was.
    ///
    /// # Errors
    /// `NOT_FOUND`, for others' log-ins too.
    pub async fn revoke_auth_session(
        &self,
        actor: &Actor,
        origin: &Origin,
        family_id: Option<Uuid>,
    ) -> Result<auth_session::Model> {
        let user_id = actor.user_id()?;
        let txn = database::begin(&self.db).await?;
        refresh_token::hold(&txn, user_id).await?;
        let not_found = || UserError::not_found("log-in");
        let of = (user_id, family_id.ok_or_else(not_found)?);
        let log_in = self.refresh.alive_in(&txn, of, self.clock.now()).await?.ok_or_else(not_found)?;
        refresh_token::end(&txn, user_id, Which::One(log_in.family_id), self.clock.now()).await?;
        let event = audit::Event {
            action: "auth_session.revoke",
            subject_type: "auth_session",
            subject_id: Some(log_in.family_id),
            ..Default::default()
        };
        self.witness_by(&txn, (actor, origin), event).await?;
        txn.commit().await?;
        self.presence.nudge();
        Ok(log_in)
    }

    /// Ends all of the asker's log-ins, the present one too.
    ///
    /// # Errors
    /// Only faults.
    pub async fn log_out_everywhere(&self, actor: &Actor, origin: &Origin) -> Result<()> {
        let user_id = actor.user_id()?;
        let txn = database::begin(&self.db).await?;
        refresh_token::hold(&txn, user_id).await?;
        refresh_token::end(&txn, user_id, Which::All, self.clock.now()).await?;
        self.witness_by(&txn, (actor, origin), about(user_id, "user.log_out_everywhere")).await?;
        txn.commit().await?;
        self.presence.nudge();
        Ok(())
    }

    /// Changes the asker's password, and ends all other log-ins; the API keys if that is asked for.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS` on `currentPassword`; `WEAK_PASSWORD` on `newPassword`; [`Error::Unauthenticated`] when the
    /// present log-in has ended meanwhile.
    pub async fn change_password(
        &self,
        actor: &Actor,
        origin: &Origin,
        change: PasswordChange<'_>,
    ) -> Result<user::Model> {
        let PasswordChange { current, new, revoke_api_keys } = change;
        self.limits.proof_of_user(actor, origin).await?;
        loop {
            let user = self.viewer(actor).await?;
            if !self.passwords.verify(current, Some(user.hashed_password.clone())).await? {
                let refused = audit::Event { refused: true, ..about(user.id, "user.change_password") };
                self.witness_by(&self.db, (actor, origin), refused).await?;
                let error = UserError::new(Code::InvalidCredentials, "The current password is wrong.");
                return Err(error.on("currentPassword").into());
            }
            password::check(new, &user.email, &user.full_name).map_err(|error| error.on("newPassword"))?;
            let hash = self.passwords.hash(new.to_owned()).await?;
            let txn = database::begin(&self.db).await?;
            if let Some(user) = self.replace_password(&txn, actor, &user, hash).await? {
                let mut changed_fields = vec!["password"];
                if revoke_api_keys {
                    api_key::revoke_all_of(&txn, user.id, self.clock.now()).await?;
                    changed_fields.push("apiKeys");
                }
                let event = audit::Event { changed_fields, ..about(user.id, "user.change_password") };
                self.witness_by(&txn, (actor, origin), event).await?;
                txn.commit().await?;
                self.presence.nudge();
                return Ok(user);
            }
            // The password, or its hash, was changed while it was verified: look again.
        }
    }

    /// `None` when the password is no longer the one that was verified.
    async fn replace_password(
        &self,
        txn: &impl ConnectionTrait,
        actor: &Actor,
        verified: &user::Model,
        hash: String,
    ) -> Result<Option<user::Model>> {
        let Actor::User { auth_session, .. } = actor else { return Err(Error::Forbidden) };
        refresh_token::hold(txn, verified.id).await?;
        // The log-in that asks may have been ended before the row was held: whoever ended it meant this request too.
        user::in_log_in(verified.id, *auth_session).one(txn).await?.ok_or(Error::Unauthenticated)?;
        let now = self.clock.now();
        let changed = user::Entity::update_many()
            .col_expr(user::Column::HashedPassword, Expr::value(hash))
            .col_expr(user::Column::UpdatedAt, Expr::value(now))
            .filter(user::Column::Id.eq(verified.id))
            .filter(user::Column::HashedPassword.eq(&verified.hashed_password))
            .exec_with_returning(txn)
            .await?;
        refresh_token::end(txn, verified.id, Which::AllBut(*auth_session), now).await?;
        Ok(changed.into_iter().next())
    }

    /// Writes what a user did into the trail.
    pub(super) async fn witness_by(
        &self,
        db: &impl ConnectionTrait,
        (actor, origin): (&Actor, &Origin),
        event: audit::Event,
    ) -> Result<(), DbErr> {
        audit::record(db, Witness { actor, origin, at: self.clock.now() }, event).await
    }
}

/// Something that happened to an account.
pub(super) fn about(user_id: Uuid, action: &'static str) -> audit::Event {
    audit::Event { action, subject_type: "user", subject_id: Some(user_id), ..Default::default() }
}
