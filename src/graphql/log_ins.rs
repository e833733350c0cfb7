//! Looking after one's own log-ins and password.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::auth::LogOutPayload;
use super::context::{ContextExt, uuid};
use super::error::{ApiResult, UserErrorView, payload};
use super::user::{AuthSession, UserPayload};
use crate::auth::log_ins::PasswordChange;

/// The password as it is, and as it shall be.
#[derive(InputObject)]
pub(super) struct ChangePasswordInput {
    /// The password you log in with now.
    #[graphql(secret)]
    current_password: String,
    /// 8 to 128 characters; not one of the commonest, nor your e-mail or name.
    #[graphql(secret)]
    new_password: String,
    /// Ends all of your API keys as well: whoever knew the password may have made one.
    #[graphql(default)]
    revoke_api_keys: bool,
}

/// The log-in that has ended, or why it has not.
#[derive(SimpleObject)]
pub(super) struct AuthSessionPayload {
    /// The log-in, as it was.
    auth_session: Option<AuthSession>,
    /// Why there is none.
    user_errors: Vec<UserErrorView>,
}

#[derive(Default)]
pub(super) struct LogInsMutation;

#[Object]
impl LogInsMutation {
    /// Ends one of your log-ins: its tokens are refused from then on, and its sockets and streams end. For everybody who
    /// is logged in. Codes: NOT_FOUND.
    async fn revoke_auth_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the log-in, from `authSessions`.")] id: ID,
    ) -> ApiResult<AuthSessionPayload> {
        let revoked = ctx.app().auth.revoke_auth_session(ctx.actor(), ctx.origin(), uuid(&id)).await;
        let (row, user_errors) = payload(revoked)?;
        let auth_session = row.map(|row| AuthSession::new(row, ctx.actor()));
        Ok(AuthSessionPayload { auth_session, user_errors })
    }

    /// Ends all of your log-ins, the present one too. For everybody who is logged in. Gives no codes.
    async fn log_out_everywhere(&self, ctx: &Context<'_>) -> ApiResult<LogOutPayload> {
        LogOutPayload::new(ctx.app().auth.log_out_everywhere(ctx.actor(), ctx.origin()).await)
    }

    /// Changes your password, and ends all of your other log-ins; your API keys only if you say so. For everybody who is logged in.
    /// Codes: INVALID_CREDENTIALS, WEAK_PASSWORD.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password as it is, and as it shall be.")] input: ChangePasswordInput,
    ) -> ApiResult<UserPayload> {
        let ChangePasswordInput { current_password, new_password, revoke_api_keys } = input;
        let (current, new) = (current_password.as_str(), new_password.as_str());
        let change = PasswordChange { current, new, revoke_api_keys };
        UserPayload::new(ctx.app().auth.change_password(ctx.actor(), ctx.origin(), change).await)
    }
}
