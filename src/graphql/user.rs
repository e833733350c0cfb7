//! Users, and the one who asks.

use async_graphql::{Context, Description, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::error::{ApiError, ApiResult, UserErrorView, payload};
use super::loaders::{LogInsOf, SecondFactorOf};
use super::second_factor::SecondFactor;
use crate::actor::Actor;
use crate::entity::auth_session;
use crate::entity::user::{Model, Role};
use crate::error::Error;

/// Somebody who can log in.
#[derive(Clone, Description)]
pub(super) struct User {
    row: Model,
    /// Whether it is the asker's own. Tokens are given to somebody who is not known yet when they ask.
    is_viewer: bool,
}

impl User {
    /// The account of whoever asks.
    pub(super) fn viewer(row: Model) -> Self {
        Self { row, is_viewer: true }
    }
}

impl From<Model> for User {
    fn from(row: Model) -> Self {
        Self { row, is_viewer: false }
    }
}

#[Object(use_type_description)]
impl User {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.row.id.into()
    }

    /// E-mail address, in lower case: what the user logs in with. For the user, and for admins where the account is not a
    /// patient's; null for others.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        Some(self.row.email.as_str()).filter(|_| self.is_viewer || ctx.actor().knows_email_of(&self.row))
    }

    /// Name as shown. Null for admins where the account is a patient's.
    async fn full_name(&self, ctx: &Context<'_>) -> Option<&str> {
        Some(self.row.full_name.as_str()).filter(|_| ctx.actor().knows_accounts_by_name(self.row.role))
    }

    /// What the user is.
    async fn role(&self) -> Role {
        self.row.role
    }

    /// IANA time zone; a day in analytics is a day there.
    async fn timezone(&self) -> &str {
        &self.row.timezone
    }

    /// Whether the user can log in.
    async fn is_active(&self) -> bool {
        self.row.is_active
    }

    /// The log-ins that can still be refreshed, the newest hundred, newest first; your own only, empty for others.
    async fn auth_sessions(&self, ctx: &Context<'_>) -> ApiResult<Vec<AuthSession>> {
        // Somebody who is just logging in is not known yet.
        if !ctx.actor().user_id().is_ok_and(|id| id == self.row.id) {
            return Ok(Vec::new());
        }
        let rows = ctx.loaders().account.load_one(LogInsOf(self.row.id)).await.map_err(ApiError::shared)?;
        let rows = rows.iter().flat_map(|rows| rows.iter());
        Ok(rows.map(|row| AuthSession::new(row.clone(), ctx.actor())).collect())
    }

    /// The second factor that log-ins ask for; your own only, null for others and where there is none.
    async fn second_factor(&self, ctx: &Context<'_>) -> ApiResult<Option<SecondFactor>> {
        if !ctx.actor().user_id().is_ok_and(|id| id == self.row.id) {
            return Ok(None);
        }
        let factor = ctx.loaders().account.load_one(SecondFactorOf(self.row.id)).await;
        Ok(factor.map_err(ApiError::shared)?.flatten().map(SecondFactor::from))
    }

    /// How many of your webhooks the server has stopped to deliver to, because nothing arrived for three days or they wanted no
    /// more: look at `webhooks`. Your own only, null for others.
    async fn disabled_webhooks(&self, ctx: &Context<'_>) -> ApiResult<Option<u64>> {
        if !ctx.actor().therapist_id().is_ok_and(|id| id == self.row.id) {
            return Ok(None);
        }
        Ok(Some(ctx.app().webhooks.disabled(ctx.actor()).await?))
    }
}

/// A log-in of a device.
#[derive(SimpleObject)]
pub(super) struct AuthSession {
    /// Id of the log-in.
    id: ID,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last refreshed, or made.
    last_used_at: DateTime<Utc>,
    /// When it ends unless it is refreshed.
    expires_at: DateTime<Utc>,
    /// Address it came from.
    ip: Option<String>,
    /// What the client called itself.
    user_agent: Option<String>,
    /// Whether it is the one that asks.
    is_current: bool,
}

impl AuthSession {
    pub(super) fn new(row: auth_session::Model, actor: &Actor) -> Self {
        let auth_session::Model { family_id, logged_in_at, created_at, expires_at, ip, user_agent, .. } = row;
        Self {
            id: family_id.into(),
            created_at: logged_in_at,
            last_used_at: created_at,
            expires_at,
            ip,
            user_agent,
            is_current: matches!(actor, Actor::User { auth_session, .. } if *auth_session == family_id),
        }
    }
}

/// The user, or why nothing was changed.
#[derive(SimpleObject)]
pub(super) struct UserPayload {
    /// The user, as changed.
    user: Option<User>,
    /// Why there is none.
    user_errors: Vec<UserErrorView>,
}

impl UserPayload {
    pub(super) fn new(result: Result<Model, Error>) -> ApiResult<Self> {
        let (user, user_errors) = payload(result)?;
        Ok(Self { user: user.map(User::from), user_errors })
    }
}

#[derive(Default)]
pub(super) struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Yourself; for an API key its owner. For everybody who is logged in, and every key.
    async fn viewer(&self, ctx: &Context<'_>) -> ApiResult<User> {
        let (row, actor) = (ctx.app().auth.account(ctx.actor()).await?, ctx.actor());
        // What an owner sees of the own account is not for the keys.
        Ok(if matches!(actor, Actor::ApiKey { .. }) { User::from(row) } else { User::viewer(row) })
    }
}
