//! Accounts: sign-up, log-in, refresh, log-out, and who a token belongs to.

pub mod access_token;
mod challenge;
pub mod invitation;
pub mod password;
mod random;
mod recovery_code;
pub mod refresh_token;
mod seal;
pub mod second_factor;
mod totp;
mod typed_code;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, SqlErr,
    TransactionTrait,
};
use uuid::Uuid;

use self::access_token::{AccessTokens, Claims};
use self::password::Passwords;
use self::refresh_token::{RefreshTokens, Rotation};
use self::seal::Seal;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::AuthConfig;
use crate::entity::auth_session;
use crate::entity::user::{self, Role};
use crate::error::{Code, Error, Result, UserError};

/// The accounts of the practice.
#[derive(Clone)]
pub struct Auth {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    passwords: Passwords,
    access: AccessTokens,
    refresh: RefreshTokens,
    seal: Seal,
}

/// Who wants an account.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Any case; stored in lower case.
    pub email: String,
    /// 8 to 128 characters.
    pub password: String,
    /// Name as shown.
    pub full_name: String,
    /// Therapist or patient.
    pub role: Role,
    /// IANA name; UTC if missing.
    pub timezone: Option<String>,
    /// Ties the account of a patient to the record its therapist keeps.
    pub invitation_code: Option<String>,
}

/// What a client keeps after logging in.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// JWT for the `Authorization` header.
    pub access_token: String,
    /// Opaque, single use.
    pub refresh_token: String,
    /// Life of the access token, in seconds.
    pub expires_in: i64,
    /// Whose tokens.
    pub user: user::Model,
}

/// What a right password leads to.
#[derive(Clone, Debug)]
pub enum LogInAnswer {
    /// The user is logged in.
    Complete(Tokens),
    /// There is a second factor: the challenge for [`Auth::confirm_log_in`].
    Challenged(String),
}

/// A bearer who is who they say.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The user as an actor.
    pub actor: Actor,
    /// When the access token ends.
    pub expires_at: DateTime<Utc>,
}

impl Auth {
    /// Puts the parts together; the key is read, or made, here.
    ///
    /// # Errors
    /// When no key can be read or kept.
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, config: &AuthConfig) -> anyhow::Result<Self> {
        Ok(Self {
            access: AccessTokens::new(config)?,
            refresh: RefreshTokens::new(config.refresh_token_ttl),
            passwords: Passwords::new(),
            seal: Seal::new(&access_token::server_secret(config)?, &[]),
            db,
            clock,
        })
    }

    /// Makes an account, and logs in.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `WEAK_PASSWORD`, `FORBIDDEN_ROLE`, `ALREADY_EXISTS`; `INVALID_TOKEN` for an invitation code that is
    /// no longer good: no account is made then.
    pub async fn sign_up(&self, mut new: NewUser, origin: &Origin) -> Result<Tokens> {
        if new.role == Role::Admin {
            let message = "Nobody can sign up as an admin. Sign up as THERAPIST or PATIENT.";
            return Err(UserError::new(Code::ForbiddenRole, message).on("role").into());
        }
        let invitation_code = invitation::code_for(new.role, new.invitation_code.take())?;
        let now = self.clock.now();
        let user = self.new_row(new, now).await?;
        let txn = self.db.begin().await?;
        let user = user::Entity::insert(user).exec_with_returning(&txn).await.map_err(already_exists)?;
        let family_id = Uuid::now_v7();
        let tokens = self.issue(&txn, user, family_id, origin).await?;
        self.witness(&txn, (&tokens.user, family_id), origin, "user.sign_up").await?;
        if let Some(code) = invitation_code {
            let actor = Actor::User { id: tokens.user.id, role: tokens.user.role, auth_session: family_id };
            let witness = Witness { actor: &actor, origin, at: now };
            invitation::accept(&txn, witness, ("invitationCode", &code)).await?;
        }
        txn.commit().await?;
        Ok(tokens)
    }

    /// Logs in. Unknown e-mail, wrong password and deactivated user get the same answer after the same work.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`.
    pub async fn log_in(&self, email: &str, password: String, origin: &Origin) -> Result<LogInAnswer> {
        let user = match valid_email(email) {
            Ok(email) => user::Entity::find().filter(user::Column::Email.eq(email)).one(&self.db).await?,
            Err(_) => None,
        };
        let hash = user.as_ref().map(|user| user.hashed_password.clone());
        let matches = self.passwords.verify(password, hash).await?;
        let Some(user) = user.filter(|user| matches && user.is_active) else {
            let refused = audit::Event {
                action: "user.log_in",
                subject_type: "user",
                refused: true,
                ..Default::default()
            };
            audit::record(&self.db, self.stranger(origin), refused).await?;
            let message = "E-mail or password is wrong.";
            return Err(UserError::new(Code::InvalidCredentials, message).into());
        };
        let txn = self.db.begin().await?;
        let log_in = match self.challenge(&txn, &user, origin).await? {
            Some(challenge) => LogInAnswer::Challenged(challenge),
            None => LogInAnswer::Complete(self.let_in(&txn, user, origin, "user.log_in").await?),
        };
        txn.commit().await?;
        Ok(log_in)
    }

    /// Lets somebody in who has proven who they are.
    async fn let_in(
        &self,
        txn: &impl sea_orm::ConnectionTrait,
        mut user: user::Model,
        origin: &Origin,
        action: &'static str,
    ) -> Result<Tokens> {
        let now = self.clock.now();
        user::Entity::update_many()
            .col_expr(user::Column::LastLoginAt, Expr::value(now))
            .filter(user::Column::Id.eq(user.id))
            .exec(txn)
            .await?;
        user.last_login_at = Some(now);
        let family_id = Uuid::now_v7();
        let tokens = self.issue(txn, user, family_id, origin).await?;
        self.witness(txn, (&tokens.user, family_id), origin, action).await?;
        Ok(tokens)
    }

    /// Exchanges a refresh token for new tokens. A spent one revokes every token of its log-in.
    ///
    /// # Errors
    /// `INVALID_TOKEN`.
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<Tokens> {
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let rotation = self.refresh.spend(&txn, token, now).await?;
        let user = match &rotation {
            Rotation::Spent { user_id, .. } | Rotation::Reused { user_id, .. } => {
                user::Entity::find_by_id(*user_id).one(&txn).await?
            }
            Rotation::Unknown => None,
        };
        let tokens = match (rotation, user) {
            (Rotation::Spent { family_id, .. }, Some(user)) if user.is_active => {
                Some(self.issue(&txn, user, family_id, origin).await?)
            }
            (Rotation::Reused { family_id, .. }, Some(user)) => {
                tracing::warn!(user_id = %user.id, "a spent refresh token was presented; its log-in is revoked");
                self.witness(&txn, (&user, family_id), origin, "user.refresh_token_reuse").await?;
                None
            }
            _ => None,
        };
        txn.commit().await?;
        tokens.ok_or_else(invalid_token)
    }

    /// Ends the log-in a refresh token belongs to; an unknown token is fine, for there is nothing left to end.
    ///
    /// # Errors
    /// Only faults.
    pub async fn log_out(&self, token: &str, origin: &Origin) -> Result<()> {
        let txn = self.db.begin().await?;
        if let Some(ended) = self.refresh.revoke_family_of(&txn, token, self.clock.now()).await?
            && let Some(user) = user::Entity::find_by_id(ended.user_id).one(&txn).await?
        {
            self.witness(&txn, (&user, ended.family_id), origin, "user.log_out").await?;
        }
        txn.commit().await?;
        Ok(())
    }

    /// Who holds this access token: its user must be active and its log-in not revoked.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a token that is not, or no longer, good.
    pub async fn bearer(&self, access_token: &str) -> Result<Bearer> {
        let claims = self.access.verify(access_token, self.clock.now()).ok_or(Error::Unauthenticated)?;
        let user = self.alive(claims.sub, claims.sid).await?;
        let actor = Actor::User { id: user.id, role: user.role, auth_session: claims.sid };
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(Error::Unauthenticated)?;
        Ok(Bearer { actor, expires_at })
    }

    /// Whether somebody who was let in may still be here: for streams, before each event.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] once the log-in has ended or the user is deactivated.
    pub async fn still_welcome(&self, actor: &Actor) -> Result<()> {
        match actor {
            Actor::User { id, auth_session, .. } => self.alive(*id, *auth_session).await.map(drop),
            Actor::System { .. } => Ok(()),
            Actor::Anonymous => Err(Error::Unauthenticated),
        }
    }

    async fn alive(&self, user_id: Uuid, family_id: Uuid) -> Result<user::Model> {
        let user = user::Entity::find_by_id(user_id).one(&self.db).await?;
        let user = user.filter(|user| user.is_active).ok_or(Error::Unauthenticated)?;
        if self.refresh.is_alive(&self.db, (user_id, family_id)).await? {
            Ok(user)
        } else {
            Err(Error::Unauthenticated)
        }
    }

    /// The log-ins of a user that can still be refreshed, newest first.
    ///
    /// # Errors
    /// Only faults.
    pub async fn auth_sessions(&self, user_id: Uuid) -> Result<Vec<auth_session::Model>> {
        Ok(self.refresh.alive_of(&self.db, user_id, self.clock.now()).await?)
    }

    /// The asker's own account.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub async fn viewer(&self, actor: &Actor) -> Result<user::Model> {
        user::Entity::find_by_id(actor.user_id()?).one(&self.db).await?.ok_or(Error::Unauthenticated)
    }

    async fn new_row(&self, new: NewUser, now: DateTime<Utc>) -> Result<user::ActiveModel> {
        let email = valid_email(&new.email)?;
        let full_name = valid_name(&new.full_name)?;
        let timezone = valid_timezone(new.timezone.as_deref())?;
        password::check(&new.password, &[&email, &full_name])?;
        Ok(user::ActiveModel {
            id: Set(Uuid::now_v7()),
            email: Set(email),
            hashed_password: Set(self.passwords.hash(new.password).await?),
            full_name: Set(full_name),
            role: Set(new.role),
            timezone: Set(timezone),
            is_active: Set(true),
            last_login_at: Set(Some(now)),
            created_at: Set(now),
            updated_at: Set(now),
        })
    }

    async fn issue(
        &self,
        txn: &impl sea_orm::ConnectionTrait,
        user: user::Model,
        family_id: Uuid,
        origin: &Origin,
    ) -> Result<Tokens> {
        let now = self.clock.now();
        let refresh_token = self.refresh.issue(txn, (user.id, family_id), origin, now).await?;
        let claims = Claims::new(&user, family_id, now, self.access.ttl());
        let access_token = self.access.sign(&claims)?;
        Ok(Tokens { access_token, refresh_token, expires_in: claims.exp - claims.iat, user })
    }

    async fn witness(
        &self,
        txn: &impl sea_orm::ConnectionTrait,
        (user, family_id): (&user::Model, Uuid),
        origin: &Origin,
        action: &'static str,
    ) -> Result<(), DbErr> {
        let actor = Actor::User { id: user.id, role: user.role, auth_session: family_id };
        let witness = Witness { actor: &actor, origin, at: self.clock.now() };
        let event =
            audit::Event { action, subject_type: "user", subject_id: Some(user.id), ..Default::default() };
        audit::record(txn, witness, event).await
    }

    fn stranger<'a>(&self, origin: &'a Origin) -> Witness<'a> {
        Witness { actor: &Actor::Anonymous, origin, at: self.clock.now() }
    }
}

fn invalid_token() -> Error {
    UserError::new(Code::InvalidToken, "This refresh token is no longer good. Log in again.").into()
}

fn already_exists(error: DbErr) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => {
            UserError::new(Code::AlreadyExists, "There is an account with this e-mail. Log in instead.")
                .on("email")
                .into()
        }
        _ => error.into(),
    }
}

fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

fn valid_email(email: &str) -> Result<String, UserError> {
    let email = normal_email(email);
    let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.contains('@')
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
    });
    if plain && parts && email.len() <= 254 {
        return Ok(email);
    }
    Err(UserError::invalid("email", "This is not an e-mail address."))
}

fn valid_name(name: &str) -> Result<String, UserError> {
    crate::text::line("fullName", name, 200)
}

fn valid_timezone(timezone: Option<&str>) -> Result<String, UserError> {
    let name = timezone.unwrap_or("UTC");
    match name.parse::<Tz>() {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(_) => Err(UserError::invalid("timezone", "This is not an IANA time zone such as Europe/Berlin.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_are_compared_without_regard_to_case() {
        assert_eq!(valid_email(" Jane@Example.COM ").as_deref(), Ok("jane@example.com"));
    }

    #[test]
    fn what_is_no_email_is_refused() {
        for email in [
            "",
            "jane",
            "@example.com",
            "jane@",
            "jane@com",
            "a b@example.com",
            "a@b@c.de",
            "a\0@example.com",
        ] {
            assert!(valid_email(email).is_err(), "{email:?}");
        }
    }

    #[test]
    fn time_zones_are_iana_names() {
        assert_eq!(valid_timezone(Some("Europe/Berlin")).as_deref(), Ok("Europe/Berlin"));
        assert!(valid_timezone(Some("Mars/Olympus")).is_err());
        assert_eq!(valid_timezone(None).as_deref(), Ok("UTC"));
    }
}
