//! Users, and the one who asks.

use async_graphql::{Context, Description, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::error::{ApiResult, UserErrorView, payload};
use crate::actor::Actor;
use crate::entity::auth_session;
use crate::entity::user::{Model, Role};
use crate::error::Error;

/// Somebody who can log in.
#[derive(Description)]
pub(super) struct User(pub(super) Model, Shown);

/// To whom a user is shown.
enum Shown {
    /// To whoever asks.
    ToAsker,
    /// To the user, who has just proven it, and asked as nobody.
    ToOneself,
}

impl From<Model> for User {
    fn from(row: Model) -> Self {
        Self(row, Shown::ToAsker)
    }
}

impl User {
    /// The user of tokens that are given out with it.
    pub(super) fn oneself(row: Model) -> Self {
        Self(row, Shown::ToOneself)
    }
}

#[Object(use_type_description)]
impl User {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// E-mail address, in lower case: what the user logs in with. Null for others than the user and admins.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        let shown = match (&self.1, ctx.actor()) {
            (Shown::ToOneself, _) => true,
            (Shown::ToAsker, Actor::User { id, role, .. }) => *id == self.0.id || *role == Role::Admin,
            (Shown::ToAsker, _) => false,
        };
        shown.then_some(self.0.email.as_str())
    }

    /// Name as shown.
    async fn full_name(&self) -> &str {
        &self.0.full_name
    }

    /// What the user is.
    async fn role(&self) -> Role {
        self.0.role
    }

    /// IANA time zone; a day in analytics is a day there.
    async fn timezone(&self) -> &str {
        &self.0.timezone
    }

    /// Whether the user can log in.
    async fn is_active(&self) -> bool {
        self.0.is_active
    }

    /// The log-ins that can still be refreshed, newest first; your own only, empty for others.
    async fn auth_sessions(&self, ctx: &Context<'_>) -> ApiResult<Vec<AuthSession>> {
        if ctx.actor().user_id()? != self.0.id {
            return Ok(Vec::new());
        }
        let rows = ctx.app().auth.auth_sessions(self.0.id).await?;
        Ok(rows.into_iter().map(|row| AuthSession::new(row, ctx.actor())).collect())
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
    /// Yourself. For everybody who is logged in.
    async fn viewer(&self, ctx: &Context<'_>) -> ApiResult<User> {
        Ok(ctx.app().auth.viewer(ctx.actor()).await?.into())
    }
}
