//! What admins see of users, and do with them.

use async_graphql::{Context, ID, Object};

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, uuid};
use super::error::ApiResult;
use super::user::{User, UserPayload};
use crate::page::PageArgs;

#[derive(Default)]
pub(super) struct AdminQuery;

#[Object]
impl AdminQuery {
    /// Everybody who has an account, newest first. For admins.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
        #[graphql(desc = "Part of the name or e-mail; its case does not matter.")] search: Option<String>,
    ) -> ApiResult<ConnectionOf<User>> {
        let (auth, actor) = (&ctx.app().auth, ctx.actor());
        actor.admin_id()?;
        let page = PageArgs::new(first, after.as_deref())?;
        let rows = auth.users(actor, search.as_deref(), page).await?;
        let total = if wants_total(ctx) { auth.count_users(actor, search.as_deref()).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, User::from))
    }

    /// One user; null when there is none with this id. For admins.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id.")] id: ID,
    ) -> ApiResult<Option<User>> {
        ctx.actor().admin_id()?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        Ok(ctx.app().auth.user(ctx.actor(), id).await?.map(User::from))
    }
}

#[derive(Default)]
pub(super) struct AdminMutation;

#[Object]
impl AdminMutation {
    /// Shuts a user out: all log-ins end at once, sockets and streams too, and none can be made. For admins, who cannot do
    /// it to themselves. Doing it twice is fine. Codes: NOT_FOUND, INVALID_STATE.
    async fn deactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which user.")] user_id: ID,
    ) -> ApiResult<UserPayload> {
        UserPayload::new(ctx.app().auth.deactivate(ctx.actor(), ctx.origin(), uuid(&user_id)).await)
    }

    /// Lets a deactivated user log in again; log-ins that have ended stay ended. Doing it twice is fine. For admins.
    /// Codes: NOT_FOUND.
    async fn reactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which user.")] user_id: ID,
    ) -> ApiResult<UserPayload> {
        UserPayload::new(ctx.app().auth.reactivate(ctx.actor(), ctx.origin(), uuid(&user_id)).await)
    }
}
