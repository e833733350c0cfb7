//! Accounts: sign-up, log-in, refresh, log-out.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::context::ContextExt;
use super::error::{ApiResult, UserErrorView, payload};
use super::user::User;
use crate::auth::{NewUser, Tokens};
use crate::entity::user::Role;
use crate::error::Error;

/// Who wants an account.
#[derive(InputObject)]
pub(super) struct SignUpInput {
    /// E-mail address; its case does not matter.
    email: String,
    /// 8 to 128 characters; not one of the commonest, nor your e-mail or name.
    #[graphql(secret)]
    password: String,
    /// Name as shown, at most 200 characters.
    full_name: String,
    /// THERAPIST or PATIENT; admins are made on the command line.
    role: Role,
    /// IANA time zone such as `Europe/Berlin`; UTC if missing.
    timezone: Option<String>,
}

/// E-mail and password.
#[derive(InputObject)]
pub(super) struct LogInInput {
    /// E-mail address; its case does not matter.
    email: String,
    /// The password.
    #[graphql(secret)]
    password: String,
}

/// A refresh token.
#[derive(InputObject)]
pub(super) struct RefreshTokenInput {
    /// The token; it can be used once.
    #[graphql(secret)]
    refresh_token: String,
}

/// Tokens, or why there are none.
#[derive(SimpleObject)]
pub(super) struct TokensPayload {
    /// For the header `Authorization: Bearer …`, and for `connection_init`.
    access_token: Option<String>,
    /// For `refreshToken`; good for one exchange. Present it once, and keep the new one: a second presentation ends
    /// the log-in.
    refresh_token: Option<String>,
    /// Life of the access token, in seconds.
    expires_in: Option<i64>,
    /// Whose tokens.
    user: Option<User>,
    /// Why there are none.
    user_errors: Vec<UserErrorView>,
}

/// Whether a log-in has ended.
#[derive(SimpleObject)]
pub(super) struct LogOutPayload {
    /// True when the log-in has ended, or there was none.
    logged_out: bool,
    /// Why it has not.
    user_errors: Vec<UserErrorView>,
}

impl TokensPayload {
    fn new(result: Result<Tokens, Error>) -> ApiResult<Self> {
        let (tokens, user_errors) = payload(result)?;
        Ok(match tokens {
            Some(Tokens { access_token, refresh_token, expires_in, user }) => Self {
                access_token: Some(access_token),
                refresh_token: Some(refresh_token),
                expires_in: Some(expires_in),
                user: Some(User::oneself(user)),
                user_errors,
            },
            None => {
                Self { access_token: None, refresh_token: None, expires_in: None, user: None, user_errors }
            }
        })
    }
}

impl LogOutPayload {
    pub(super) fn new(result: Result<(), Error>) -> ApiResult<Self> {
        let (ended, user_errors) = payload(result)?;
        Ok(Self { logged_out: ended.is_some(), user_errors })
    }
}

#[derive(Default)]
pub(super) struct AuthMutation;

#[Object]
impl AuthMutation {
    /// Makes an account, and logs in. For everybody.
    /// Codes: INVALID_INPUT, WEAK_PASSWORD, FORBIDDEN_ROLE, ALREADY_EXISTS.
    async fn sign_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who wants an account.")] input: SignUpInput,
    ) -> ApiResult<TokensPayload> {
        let SignUpInput { email, password, full_name, role, timezone } = input;
        let new = NewUser { email, password, full_name, role, timezone };
        TokensPayload::new(ctx.app().auth.sign_up(new, ctx.origin()).await)
    }

    /// Logs in. For everybody. Codes: INVALID_CREDENTIALS.
    async fn log_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "E-mail and password.")] input: LogInInput,
    ) -> ApiResult<TokensPayload> {
        TokensPayload::new(ctx.app().auth.log_in(&input.email, &input.password, ctx.origin()).await)
    }

    /// Exchanges a refresh token for new tokens. For everybody who has one. Codes: INVALID_TOKEN.
    async fn refresh_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: RefreshTokenInput,
    ) -> ApiResult<TokensPayload> {
        TokensPayload::new(ctx.app().auth.refresh(&input.refresh_token, ctx.origin()).await)
    }

    /// Ends the log-in a refresh token belongs to: its access tokens are refused from then on. For everybody who has
    /// one. Gives no codes: where nothing is logged in, nothing needs to end.
    async fn log_out(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Any token of the log-in.")] input: RefreshTokenInput,
    ) -> ApiResult<LogOutPayload> {
        LogOutPayload::new(ctx.app().auth.log_out(&input.refresh_token, ctx.origin()).await)
    }
}
