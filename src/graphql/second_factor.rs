//! The second factor of an account.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::auth::TokensPayload;
use super::context::ContextExt;
use super::error::{ApiResult, UserErrorView, payload};
use crate::auth::second_factor;
use crate::error::Error;

/// An authenticator app that log-ins ask for.
#[derive(SimpleObject)]
pub(super) struct SecondFactor {
    /// Since when log-ins ask for it.
    enabled_at: DateTime<Utc>,
    /// Recovery codes that were not used yet, of 10.
    recovery_codes_left: u64,
}

impl From<second_factor::SecondFactor> for SecondFactor {
    fn from(factor: second_factor::SecondFactor) -> Self {
        Self { enabled_at: factor.enabled_at, recovery_codes_left: factor.recovery_codes_left }
    }
}

/// The password, to begin to set up an authenticator app.
#[derive(InputObject)]
pub(super) struct EnrolTotpInput {
    /// Your password.
    #[graphql(secret)]
    password: String,
}

/// A first code of the app.
#[derive(InputObject)]
pub(super) struct ConfirmTotpInput {
    /// The six digits the app shows.
    #[graphql(secret)]
    code: String,
}

/// Password and code: one alone is not enough.
#[derive(InputObject)]
pub(super) struct BothFactorsInput {
    /// Your password.
    #[graphql(secret)]
    password: String,
    /// The six digits the app shows, or a recovery code.
    #[graphql(secret)]
    code: String,
}

/// The second half of a log-in.
#[derive(InputObject)]
pub(super) struct ConfirmLogInInput {
    /// What `logIn` answered: good for 5 minutes and 5 codes.
    #[graphql(secret)]
    challenge: String,
    /// The six digits the app shows, or a recovery code.
    #[graphql(secret)]
    code: String,
}

/// What an authenticator app is set up with, or why not.
#[derive(SimpleObject)]
pub(super) struct EnrolTotpPayload {
    /// The secret in base32, for typing. Shown once.
    secret: Option<String>,
    /// The secret as `otpauth://` URI, for a QR code. Shown once.
    otpauth_uri: Option<String>,
    /// Why there is none.
    user_errors: Vec<UserErrorView>,
}

/// Recovery codes, or why there are none.
#[derive(SimpleObject)]
pub(super) struct RecoveryCodesPayload {
    /// Ten codes, each good once in place of the app's. Shown once: write them down.
    recovery_codes: Option<Vec<String>>,
    /// Why there are none.
    user_errors: Vec<UserErrorView>,
}

/// Whether the second factor is gone.
#[derive(SimpleObject)]
pub(super) struct DisableTotpPayload {
    /// True when log-ins ask for the password alone.
    disabled: bool,
    /// Why it is not gone.
    user_errors: Vec<UserErrorView>,
}

impl RecoveryCodesPayload {
    fn new(result: Result<Vec<String>, Error>) -> ApiResult<Self> {
        let (recovery_codes, user_errors) = payload(result)?;
        Ok(Self { recovery_codes, user_errors })
    }
}

#[derive(Default)]
pub(super) struct SecondFactorMutation;

#[Object]
impl SecondFactorMutation {
    /// Begins to set up an authenticator app (TOTP, RFC 6238); `confirmTotp` ends it. Until then nothing changes, and it can
    /// be begun again. For everybody who is logged in. Codes: INVALID_CREDENTIALS, INVALID_STATE.
    async fn enrol_totp(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Your password.")] input: EnrolTotpInput,
    ) -> ApiResult<EnrolTotpPayload> {
        let enrolled = ctx.app().auth.enrol_totp(ctx.actor(), ctx.origin(), &input.password).await;
        let (enrolment, user_errors) = payload(enrolled)?;
        let (secret, otpauth_uri) = enrolment.map(|enrolment| (enrolment.secret, enrolment.uri)).unzip();
        Ok(EnrolTotpPayload { secret, otpauth_uri, user_errors })
    }

    /// Ends the setting up with a code the app shows: from then on log-ins ask for one. For everybody who is logged in and
    /// has begun. Codes: INVALID_CREDENTIALS, INVALID_STATE.
    async fn confirm_totp(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code.")] input: ConfirmTotpInput,
    ) -> ApiResult<RecoveryCodesPayload> {
        let auth = &ctx.app().auth;
        RecoveryCodesPayload::new(auth.confirm_totp(ctx.actor(), ctx.origin(), &input.code).await)
    }

    /// Removes the second factor: log-ins ask for the password alone. For everybody who has one.
    /// Codes: INVALID_CREDENTIALS, INVALID_STATE.
    async fn disable_totp(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Password and code.")] input: BothFactorsInput,
    ) -> ApiResult<DisableTotpPayload> {
        let BothFactorsInput { password, code } = input;
        let disabled = ctx.app().auth.disable_totp(ctx.actor(), ctx.origin(), (&password, &code)).await;
        let (disabled, user_errors) = payload(disabled)?;
        Ok(DisableTotpPayload { disabled: disabled.is_some(), user_errors })
    }

    /// Makes ten new recovery codes; those of before are good no longer. For everybody who has a second factor.
    /// Codes: INVALID_CREDENTIALS, INVALID_STATE.
    async fn regenerate_recovery_codes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Password and code.")] input: BothFactorsInput,
    ) -> ApiResult<RecoveryCodesPayload> {
        let BothFactorsInput { password, code } = input;
        let auth = &ctx.app().auth;
        let codes = auth.regenerate_recovery_codes(ctx.actor(), ctx.origin(), (&password, &code)).await;
        RecoveryCodesPayload::new(codes)
    }

    /// Completes a log-in that was answered with a challenge. For everybody who has one.
    /// Codes: INVALID_CREDENTIALS, INVALID_TOKEN.
    async fn confirm_log_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Challenge and code.")] input: ConfirmLogInInput,
    ) -> ApiResult<TokensPayload> {
        let ConfirmLogInInput { challenge, code } = input;
        TokensPayload::new(ctx.app().auth.confirm_log_in(&challenge, &code, ctx.origin()).await)
    }
}
