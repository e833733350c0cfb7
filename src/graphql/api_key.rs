//! API keys of a therapist.

use async_graphql::{Context, Description, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, uuid};
use super::error::{ApiResult, UserErrorView, payload};
use crate::actor::scope::Scope;
use crate::auth::api_key::NewApiKey;
use crate::entity::api_key::Model;
use crate::page::PageArgs;

/// A key for an integration: it asks with your data, for what its scopes say, without your password. It is sent as access
/// tokens are: `Authorization: Bearer tbk_…`. Keys outlive log-ins; they end when they are revoked, when they expire, and with
/// the account.
#[derive(Clone, Description)]
pub(super) struct ApiKey(pub(super) Model);

#[Object(use_type_description)]
impl ApiKey {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// What you call it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// How its secret begins, so that you know it again.
    async fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// What it may do.
    async fn scopes(&self) -> Vec<Scope> {
        self.0.scopes().iter().collect()
    }

    /// From where it may be used, in CIDR notation; from anywhere if empty.
    async fn allowed_ips(&self) -> &[String] {
        &self.0.allowed_ips
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it ends.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }

    /// When it was last used, to the minute; null if it never was.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When it was revoked; null if it was not.
    async fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

/// A key that is wanted.
#[derive(InputObject)]
pub(super) struct CreateApiKeyInput {
    /// What to call it, at most 100 characters.
    name: String,
    /// What it may do; one scope at least. Give it no more than it needs.
    scopes: Vec<Scope>,
    /// When it ends: a minute to a year (366 days) ahead.
    expires_at: DateTime<Utc>,
    /// Addresses and networks (CIDR) from which it may be used, at most 50; from anywhere if missing or empty.
    allowed_ips: Option<Vec<String>>,
    /// Your password: the key outlives the log-in it is made in.
    #[graphql(secret)]
    password: String,
    /// A code of your authenticator app, or a recovery code, if your account has a second factor.
    #[graphql(secret)]
    code: Option<String>,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result, without its secret.
    idempotency_key: Option<String>,
}

/// A key that was made, or why not.
#[derive(SimpleObject)]
pub(super) struct CreateApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// What the integration sends. Shown once: only a hash is kept. Null for a request that was sent again.
    secret: Option<String>,
    /// Why there is none.
    user_errors: Vec<UserErrorView>,
}

/// A key, or why nothing was changed.
#[derive(SimpleObject)]
pub(super) struct ApiKeyPayload {
    /// The key as it is now.
    api_key: Option<ApiKey>,
    /// Why nothing was changed.
    user_errors: Vec<UserErrorView>,
}

#[derive(Default)]
pub(super) struct ApiKeyQuery;

#[Object]
impl ApiKeyQuery {
    /// Your API keys, newest first; those that have ended are listed for some months. For therapists.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
    ) -> ApiResult<ConnectionOf<ApiKey>> {
        let (auth, actor) = (&ctx.app().auth, ctx.actor());
        actor.therapist_id()?;
        let page = PageArgs::new(first, after.as_deref())?;
        let rows = auth.api_keys(actor, page).await?;
        let total = if wants_total(ctx) { auth.count_api_keys(actor).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, ApiKey))
    }

    /// One of your API keys; null when there is none with this id, or it is not yours. For therapists.
    async fn api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key's id.")] id: ID,
    ) -> ApiResult<Option<ApiKey>> {
        ctx.actor().therapist_id()?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        Ok(ctx.app().auth.api_key(ctx.actor(), id).await?.map(ApiKey))
    }
}

#[derive(Default)]
pub(super) struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Makes an API key for an integration. It takes your password, and a code where your account has a second
    /// factor. For therapists; audited. Codes: INVALID_INPUT, INVALID_CREDENTIALS, INVALID_STATE (50 keys that are good at a time, no
    /// more), IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key that is wanted.")] input: CreateApiKeyInput,
    ) -> ApiResult<CreateApiKeyPayload> {
        let new = NewApiKey {
            name: input.name,
            scopes: input.scopes,
            expires_at: input.expires_at,
            allowed_ips: input.allowed_ips.unwrap_or_default(),
            password: input.password,
            code: input.code,
            idempotency_key: input.idempotency_key,
        };
        let made = ctx.app().auth.create_api_key(ctx.actor(), ctx.origin(), new).await;
        let (made, user_errors) = payload(made)?;
        let (api_key, secret) = made.map(|made| (ApiKey(made.key), made.secret)).unzip();
        Ok(CreateApiKeyPayload { api_key, secret: secret.flatten(), user_errors })
    }

    /// Ends one of your API keys: it is refused from then on, and its sockets and streams end. Doing it twice is
    /// fine. For therapists; audited. Codes: NOT_FOUND.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which key.")] id: ID,
    ) -> ApiResult<ApiKeyPayload> {
        let revoked = ctx.app().auth.revoke_api_key(ctx.actor(), ctx.origin(), uuid(&id)).await;
        let (key, user_errors) = payload(revoked)?;
        Ok(ApiKeyPayload { api_key: key.map(ApiKey), user_errors })
    }
}
