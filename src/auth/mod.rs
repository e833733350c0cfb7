//! Accounts: sign-up, log-in, refresh, log-out, and who a token belongs to.

pub mod access_token;
mod accounts;
pub mod api_key;
mod challenge;
pub mod email;
pub mod invitation;
pub mod log_ins;
pub mod network;
pub mod password;
pub mod presence;
pub mod rate_limit;
mod recovery_code;
pub mod refresh_token;
pub mod seal;
pub mod second_factor;
pub mod sliding_window;
pub mod ticket;
mod totp;
mod typed_code;
mod users;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
};
use uuid::Uuid;

use self::access_token::{AccessTokens, Claims};
use self::api_key::Uses;
use self::password::Passwords;
use self::presence::{Attendance, Pass, Presence};
use self::rate_limit::RateLimits;
use self::refresh_token::{LogIn, RefreshTokens, Rotation};
use self::seal::{Purpose, Seal};
use self::ticket::{Ticket, Tickets};
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::AuthConfig;
use crate::database;
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
    tickets: Tickets,
    /// Who is here.
    pub presence: Presence,
    limits: RateLimits,
    /// Of API keys.
    uses: Uses,
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
    /// The user, or the API key, as an actor.
    pub actor: Actor,
    /// When the access token, the ticket or the key ends.
    pub expires_at: DateTime<Utc>,
    /// Tells when the log-in or the key ends before that.
    pub attendance: Attendance,
}

impl Auth {
    /// Puts the parts together; the key is read, or made, here.
    ///
    /// # Errors
    /// When no key can be read or kept.
    pub fn new(
        db: DatabaseConnection,
        clock: Arc<dyn Clock>,
        limits: RateLimits,
        config: &AuthConfig,
    ) -> anyhow::Result<Self> {
        let secret = access_token::server_secret(config)?;
        Ok(Self {
            access: AccessTokens::new(config)?,
            refresh: RefreshTokens::new(config.refresh_token_ttl),
            passwords: Passwords::new(),
            presence: Presence::new(),
            limits,
            uses: Uses::default(),
            seal: Seal::new(Purpose::SecondFactors, &secret, &config.jwt_previous_secrets),
            tickets: Tickets::new(&secret, &config.jwt_previous_secrets),
            db,
            clock,
        })
    }

    /// Makes an account, and logs in.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `WEAK_PASSWORD`, `FORBIDDEN_ROLE`, `ALREADY_EXISTS`; `INVALID_TOKEN` for an invitation code that is
    /// no longer good: no account is made then; [`Error::RateLimited`].
    pub async fn sign_up(&self, mut new: NewUser, origin: &Origin) -> Result<Tokens> {
        if new.role == Role::Admin {
            let message = "Nobody can sign up as an admin. Sign up as THERAPIST or PATIENT.";
            return Err(UserError::new(Code::ForbiddenRole, message).on("role").into());
        }
        let invitation_code = invitation::code_for(new.role, new.invitation_code.take())?;
        let now = self.clock.now();
        let account = accounts::checked(new)?;
        // Not before: whoever mistypes their way through the rules costs nothing, and has not signed up yet.
        self.limits.sign_up(origin).await?;
        let user = user::ActiveModel { last_login_at: Set(Some(now)), ..self.new_row(account, now).await? };
        let txn = database::begin(&self.db).await?;
        let user = accounts::insert(&txn, user).await?;
        let family_id = Uuid::now_v7();
        let tokens = self.open(&txn, (user, family_id), origin, "user.sign_up").await?;
        if let Some(code) = invitation_code {
            let actor = Actor::user(&tokens.user, family_id);
            let witness = Witness { actor: &actor, origin, at: now };
            invitation::accept(&txn, witness, ("invitationCode", &code)).await?;
        }
        txn.commit().await?;
        Ok(tokens)
    }

    /// Logs in. Unknown e-mail, wrong password and deactivated user get the same answer after the same work.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`; [`Error::RateLimited`].
    pub async fn log_in(&self, email: &str, password: &str, origin: &Origin) -> Result<LogInAnswer> {
        let typed = email;
        let email = email::normal(typed).ok();
        // Counted as it is stored, for one address can be spelled in many ways; what is none is counted as it was typed.
        let counted = email.clone().unwrap_or_else(|| typed.trim().to_lowercase().replace('\0', ""));
        self.limits.log_in(&counted, origin).await?;
        loop {
            let user = match &email {
                Some(email) => {
                    user::Entity::find().filter(user::Column::Email.eq(email)).one(&self.db).await?
                }
                None => None,
            };
            let hash = user.as_ref().map(|user| user.hashed_password.clone());
            let matches = self.passwords.verify(password, hash).await?;
            let known = user.as_ref().map(|user| user.id);
            let Some(user) = user.filter(|user| matches && user.is_active) else {
                self.witness_refusal("user.log_in", known, origin).await?;
                let message = "E-mail or password is wrong.";
                return Err(UserError::new(Code::InvalidCredentials, message).into());
            };
            let new_hash = self.passwords.rehash(password, &user.hashed_password).await?;
            let txn = database::begin(&self.db).await?;
            if let Some(user) = self.admit(&txn, &user, new_hash).await? {
                let answer = match self.challenge(&txn, &user, origin).await? {
                    Some(challenge) => LogInAnswer::Challenged(challenge),
                    None => LogInAnswer::Complete(self.let_in(&txn, user.id, origin, "user.log_in").await?),
                };
                txn.commit().await?;
                return Ok(answer);
            }
            // The password, or its hash, was changed while it was verified: look again.
        }
    }

    /// Holds the row of a user whose password was right, until the transaction ends; `None` when the account is no longer the one
    /// whose password was verified. A log-in that raced past a change of password would otherwise survive it.
    async fn admit(
        &self,
        txn: &impl ConnectionTrait,
        verified: &user::Model,
        new_hash: Option<String>,
    ) -> Result<Option<user::Model>> {
        let hash = new_hash.unwrap_or_else(|| verified.hashed_password.clone());
        let admitted = user::Entity::update_many()
            .col_expr(user::Column::HashedPassword, Expr::value(hash))
            .filter(user::Column::Id.eq(verified.id))
            .filter(user::Column::IsActive.eq(true))
            .filter(user::Column::HashedPassword.eq(&verified.hashed_password))
            .exec_with_returning(txn)
            .await?;
        Ok(admitted.into_iter().next())
    }

    /// Lets somebody in who has proven who they are.
    async fn let_in(
        &self,
        txn: &impl ConnectionTrait,
        user_id: Uuid,
        origin: &Origin,
        action: &'static str,
    ) -> Result<Tokens> {
        let user = user::Entity::update_many()
            .col_expr(user::Column::LastLoginAt, Expr::value(self.clock.now()))
            .filter(user::Column::Id.eq(user_id))
            .exec_with_returning(txn)
            .await?;
        let user = user.into_iter().next().ok_or(Error::Unauthenticated)?;
        self.open(txn, (user, Uuid::now_v7()), origin, action).await
    }

    /// Exchanges a refresh token for new tokens. A spent one revokes every token of its log-in.
    ///
    /// # Errors
    /// `INVALID_TOKEN`.
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<Tokens> {
        let txn = database::begin(&self.db).await?;
        let rotation = self.refresh.spend(&txn, token, self.clock.now()).await?;
        let (Rotation::Spent(log_in) | Rotation::Reused(log_in) | Rotation::Refused(log_in)) = rotation
        else {
            return Err(invalid_token());
        };
        let user = user::Entity::find_by_id(log_in.user_id).one(&txn).await?.ok_or_else(invalid_token)?;
        let tokens = match rotation {
            Rotation::Spent(_) if user.is_active => Some(self.issue(&txn, user, log_in, origin).await?),
            Rotation::Reused(_) => {
                tracing::warn!(user_id = %user.id, "a spent refresh token was presented; its log-in is revoked");
                self.witness(&txn, (&user, log_in.family_id), origin, "user.refresh_token_reuse").await?;
                None
            }
            _ => {
                audit::record(&txn, self.stranger(origin), refused("user.refresh", Some(user.id))).await?;
                None
            }
        };
        txn.commit().await?;
        if let Rotation::Reused(_) = rotation {
            self.presence.nudge();
        }
        tokens.ok_or_else(invalid_token)
    }

    /// Ends the log-in a refresh token belongs to; an unknown token is fine, for there is nothing left to end.
    ///
    /// # Errors
    /// Only faults.
    pub async fn log_out(&self, token: &str, origin: &Origin) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        if let Some(ended) = self.refresh.revoke_family_of(&txn, token, self.clock.now()).await?
            && let Some(user) = user::Entity::find_by_id(ended.user_id).one(&txn).await?
        {
            self.witness(&txn, (&user, ended.family_id), origin, "user.log_out").await?;
        }
        txn.commit().await?;
        self.presence.nudge();
        Ok(())
    }

    /// Who holds this token, at this address: of an access token the user must be active and the log-in not revoked; an API
    /// key must not be revoked or expired, its owner be active, and the address be one of those it may be used from.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a token that is not, or no longer, good.
    pub async fn bearer(&self, token: &str, ip: IpAddr) -> Result<Bearer> {
        if Self::is_api_key(token) {
            return self.key_bearer(token, ip).await;
        }
        let claims = self.access.verify(token, self.clock.now()).ok_or(Error::Unauthenticated)?;
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(Error::Unauthenticated)?;
        self.let_pass(claims.sub, claims.sid, expires_at).await
    }

    /// Whether an access token that is not good was good until it ran out: no sign of an attack.
    fn has_run_out(&self, access_token: &str) -> bool {
        let claims = self.access.verify(access_token, DateTime::<Utc>::MIN_UTC);
        claims.is_some_and(|claims| claims.exp <= self.clock.now().timestamp())
    }

    /// The address of a file as the actor, and nobody else, can fetch it for some minutes without a token: good for this path, and
    /// only as long as the log-in it was given to.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] and [`Error::Forbidden`] for whoever has no log-in.
    pub fn signed_address(&self, actor: &Actor, path: &str) -> Result<String> {
        let user_id = actor.user_id()?;
        let Actor::User { auth_session, .. } = actor else { return Err(Error::Forbidden) };
        let ticket =
            Ticket { user_id, auth_session: *auth_session, expires_at: self.clock.now() + ticket::TTL };
        Ok(format!("{path}?ticket={}", self.tickets.sign(path, ticket)))
    }

    /// Who holds this ticket for a path: as with an access token, its user must be active and its log-in not revoked.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a ticket that is not, or no longer, good.
    pub async fn ticket_holder(&self, path: &str, ticket: &str) -> Result<Bearer> {
        let ticket = self.tickets.read(path, ticket).ok_or(Error::Unauthenticated)?;
        if ticket.expires_at <= self.clock.now() {
            return Err(Error::Unauthenticated);
        }
        self.let_pass(ticket.user_id, ticket.auth_session, ticket.expires_at).await
    }

    /// Whether a ticket that is not good was good until it ran out: no sign of an attack.
    #[must_use]
    pub fn has_ticket_run_out(&self, path: &str, ticket: &str) -> bool {
        self.tickets.read(path, ticket).is_some_and(|ticket| ticket.expires_at <= self.clock.now())
    }

    /// Somebody whose token or ticket is good, if the account and the log-in are. Comes in first, and looks then: no end of the
    /// log-in is missed.
    async fn let_pass(&self, user_id: Uuid, family_id: Uuid, expires_at: DateTime<Utc>) -> Result<Bearer> {
        let attendance = self.presence.attend(Pass::LogIn { user_id, family_id });
        let user = self.alive(user_id, family_id).await?;
        let actor = Actor::user(&user, family_id);
        Ok(Bearer { actor, expires_at, attendance })
    }

    /// Whether somebody who was let in may still be here: for streams, before each event.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] once the log-in or the key has ended, or the user is deactivated or has another role.
    pub async fn still_welcome(&self, actor: &Actor) -> Result<()> {
        match actor {
            Actor::User { id, auth_session, role, .. } => {
                let user = self.alive(*id, *auth_session).await?;
                if user.role == *role { Ok(()) } else { Err(Error::Unauthenticated) }
            }
            Actor::ApiKey { id, .. } => self.key_still_welcome(*id).await,
            Actor::System { .. } => Ok(()),
            Actor::Anonymous => Err(Error::Unauthenticated),
        }
    }

    /// The user of a log-in that has not ended. Read every time, and not from a cache: an end or another role takes effect
    /// at once, in every process, and the read is one look into two indexes.
    async fn alive(&self, user_id: Uuid, family_id: Uuid) -> Result<user::Model> {
        user::in_log_in(user_id, family_id).one(&self.db).await?.ok_or(Error::Unauthenticated)
    }

    /// Begins a log-in.
    async fn open(
        &self,
        txn: &impl ConnectionTrait,
        (user, family_id): (user::Model, Uuid),
        origin: &Origin,
        action: &'static str,
    ) -> Result<Tokens> {
        let log_in = LogIn { user_id: user.id, family_id, at: self.clock.now() };
        self.witness(txn, (&user, log_in.family_id), origin, action).await?;
        self.issue(txn, user, log_in, origin).await
    }

    async fn issue(
        &self,
        txn: &impl ConnectionTrait,
        user: user::Model,
        log_in: LogIn,
        origin: &Origin,
    ) -> Result<Tokens> {
        let now = self.clock.now();
        let refresh_token = self.refresh.issue(txn, log_in, origin, now).await?;
        let claims = Claims::new(&user, log_in.family_id, now, self.access.ttl());
        let access_token = self.access.sign(&claims)?;
        Ok(Tokens { access_token, refresh_token, expires_in: claims.exp - claims.iat, user })
    }

    async fn witness(
        &self,
        txn: &impl ConnectionTrait,
        (user, family_id): (&user::Model, Uuid),
        origin: &Origin,
        action: &'static str,
    ) -> Result<(), DbErr> {
        let actor = Actor::user(user, family_id);
        let witness = Witness { actor: &actor, origin, at: self.clock.now() };
        let event =
            audit::Event { action, subject_type: "user", subject_id: Some(user.id), ..Default::default() };
        audit::record(txn, witness, event).await
    }

    async fn witness_refusal(
        &self,
        action: &'static str,
        user: Option<Uuid>,
        origin: &Origin,
    ) -> Result<(), DbErr> {
        audit::record(&self.db, self.stranger(origin), refused(action, user)).await
    }

    fn stranger<'a>(&self, origin: &'a Origin) -> Witness<'a> {
        Witness { actor: &Actor::Anonymous, origin, at: self.clock.now() }
    }
}

/// Somebody was not let into an account; the trail says into which, the answer does not.
fn refused(action: &'static str, user: Option<Uuid>) -> audit::Event {
    audit::Event { action, subject_type: "user", subject_id: user, refused: true, ..Default::default() }
}

fn invalid_token() -> Error {
    UserError::new(Code::InvalidToken, "This refresh token is no longer good. Log in again.").into()
}
