//! Webhooks: addresses that are told of what happens, and what was delivered to them.

use async_graphql::{Context, Description, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use sea_orm::ActiveEnum;

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, uuid};
use super::error::{ApiResult, UserErrorView, payload};
use crate::actor::scope::Scope;
use crate::entity::webhook::{DisabledReason, Model};
use crate::entity::webhook_delivery::{Event, Model as Row, State};
use crate::error::Error;
use crate::page::PageArgs;
use crate::webhooks::deliveries::{DeliveryFilter, no_such_delivery};
use crate::webhooks::endpoints::{NewWebhook, Rotation, WebhookChange, WithSecret};
use crate::webhooks::no_such_webhook;

/// An address that is told, by a signed POST request (Standard Webhooks), of what happens in your practice.
#[derive(Clone, Description)]
pub(super) struct Webhook(pub(super) Model);

#[Object(use_type_description)]
impl Webhook {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Where it is told.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// What it is for, in your words.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Of what it is told.
    async fn events(&self) -> Vec<Event> {
        let known = |name: &String| Event::try_from_value(name).ok();
        self.0.events.iter().filter_map(known).collect()
    }

    /// Whether it is told of anything; if not, `disabledReason` says why, and `enableWebhook` begins again.
    async fn is_active(&self) -> bool {
        self.0.disabled_at.is_none()
    }

    /// When the server stopped to deliver to it; null while it does. What happens from then on is not told later either.
    async fn disabled_at(&self) -> Option<DateTime<Utc>> {
        self.0.disabled_at
    }

    /// Why it did; null while it delivers.
    async fn disabled_reason(&self) -> Option<DisabledReason> {
        self.0.disabled_reason
    }

    /// Since when nothing has arrived; null where the last delivery has. After three days it is disabled.
    async fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.0.failing_since
    }

    /// Until when the secret of before signs, too; null, or past, where only one does.
    async fn previous_secret_expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.previous_secret_expires_at
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last changed, by you or by the server.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// What it was told, newest first; what has ended is kept for 30 days, if not set otherwise.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
        #[graphql(desc = "Which; all if missing.")] filter: Option<WebhookDeliveryFilter>,
    ) -> ApiResult<ConnectionOf<WebhookDelivery>> {
        let page = PageArgs::new(first, after.as_deref())?;
        let wanted = (self.0.id, filter.unwrap_or_default().read());
        let rows = ctx.app().webhooks.deliveries(ctx.actor(), wanted, page).await?;
        let total = if wants_total(ctx) {
            ctx.app().webhooks.count_deliveries(ctx.actor(), wanted).await?
        } else {
            0
        };
        let wrap = |row| WebhookDelivery { row, webhook: Some(self.0.clone()) };
        Ok(connection(rows, after.is_some(), total, |row| row.id, wrap))
    }
}

/// Something that a webhook is told.
#[derive(Clone, Description)]
pub(super) struct WebhookDelivery {
    row: Row,
    /// Its webhook, where that was read already.
    webhook: Option<Model>,
}

impl From<Row> for WebhookDelivery {
    fn from(row: Row) -> Self {
        Self { row, webhook: None }
    }
}

#[Object(use_type_description)]
impl WebhookDelivery {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.row.id.into()
    }

    /// To which webhook; null once that is deleted.
    async fn webhook(&self, ctx: &Context<'_>) -> ApiResult<Option<Webhook>> {
        if let Some(webhook) = &self.webhook {
            return Ok(Some(Webhook(webhook.clone())));
        }
        Ok(ctx.app().webhooks.get(ctx.actor(), self.row.webhook_id).await?.map(Webhook))
    }

    /// What the header `webhook-id` says: the same at every attempt, and for every webhook that is told of this event.
    async fn event_id(&self) -> ID {
        self.row.event_id.into()
    }

    /// What happened.
    async fn event(&self) -> Event {
        self.row.event
    }

    /// The body of the request, as JSON: ids and names of fields, nothing about a patient.
    async fn body(&self) -> &str {
        &self.row.body
    }

    /// Whether it has arrived.
    async fn state(&self) -> State {
        self.row.state
    }

    /// How many attempts have begun, those before a redelivery counted.
    async fn attempts(&self) -> i32 {
        self.row.attempts
    }

    /// The HTTP status that the webhook answered last; null where it has not.
    async fn last_status(&self) -> Option<i32> {
        self.row.last_status
    }

    /// Why the last attempt did not count; null where it did, and before the first has ended.
    async fn last_error(&self) -> Option<&str> {
        self.row.last_error.as_deref()
    }

    /// When the last attempt began.
    async fn last_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.row.last_attempt_at
    }

    /// When it is tried next, as planned; null where it has ended.
    async fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.row.next_attempt_at
    }

    /// When it arrived.
    async fn delivered_at(&self) -> Option<DateTime<Utc>> {
        self.row.delivered_at
    }

    /// When it happened.
    async fn created_at(&self) -> DateTime<Utc> {
        self.row.created_at
    }
}

/// A webhook, or why there is none.
#[derive(SimpleObject)]
pub(super) struct WebhookPayload {
    /// The webhook; one that was deleted, as it was.
    webhook: Option<Webhook>,
    /// Why nothing was done.
    user_errors: Vec<UserErrorView>,
}

impl WebhookPayload {
    fn new(result: Result<Model, Error>) -> ApiResult<Self> {
        let (webhook, user_errors) = payload(result)?;
        Ok(Self { webhook: webhook.map(Webhook), user_errors })
    }
}

/// A webhook with a new secret, or why there is none.
#[derive(SimpleObject)]
pub(super) struct WebhookSecretPayload {
    /// The webhook.
    webhook: Option<Webhook>,
    /// What signs from now on, `whsec_` and 32 bytes in base64. Shown this once; null when the request was repeated.
    secret: Option<String>,
    /// Why nothing was done.
    user_errors: Vec<UserErrorView>,
}

impl WebhookSecretPayload {
    fn new(result: Result<WithSecret, Error>) -> ApiResult<Self> {
        let (made, user_errors) = payload(result)?;
        let (webhook, secret) = made.map(|made| (Webhook(made.webhook), made.secret)).unzip();
        Ok(Self { webhook, secret: secret.flatten(), user_errors })
    }
}

/// A delivery, or why there is none.
#[derive(SimpleObject)]
pub(super) struct WebhookDeliveryPayload {
    /// The delivery; ask again for how it went.
    webhook_delivery: Option<WebhookDelivery>,
    /// Why nothing was done.
    user_errors: Vec<UserErrorView>,
}

impl WebhookDeliveryPayload {
    fn new(result: Result<Row, Error>) -> ApiResult<Self> {
        let (delivery, user_errors) = payload(result)?;
        Ok(Self { webhook_delivery: delivery.map(WebhookDelivery::from), user_errors })
    }
}

/// A webhook that is to be made.
#[derive(InputObject)]
pub(super) struct CreateWebhookInput {
    /// Where it is told: an `https://` address on the public internet, on port 443 or from 1024 up, without user name, password and
    /// fragment; at most 2048 characters.
    url: String,
    /// What it is for, in your words, at most 200 characters; nothing about a patient.
    description: Option<String>,
    /// Of what it is told; at least one.
    events: Vec<Event>,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result, without its secret.
    idempotency_key: Option<String>,
}

/// What is to be another of a webhook; what is left out stays.
#[derive(InputObject)]
pub(super) struct UpdateWebhookInput {
    /// Which webhook.
    id: ID,
    /// Where it is told, as in `createWebhook`.
    url: Option<String>,
    /// What it is for; null takes the description away.
    description: MaybeUndefined<String>,
    /// Of what it is told; at least one.
    events: Option<Vec<Event>>,
}

/// Which deliveries; what is left out does not matter.
#[derive(InputObject, Default)]
pub(super) struct WebhookDeliveryFilter {
    /// Whether they have arrived.
    state: Option<State>,
    /// Of what they tell.
    event: Option<Event>,
}

impl WebhookDeliveryFilter {
    fn read(self) -> DeliveryFilter {
        DeliveryFilter { state: self.state, event: self.event }
    }
}

#[derive(Default)]
pub(super) struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// Your webhooks, newest first. For therapists, and API keys with webhooks:manage.
    async fn webhooks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
    ) -> ApiResult<ConnectionOf<Webhook>> {
        let (webhooks, actor) = (&ctx.app().webhooks, ctx.actor());
        actor.therapist_or(Scope::WebhooksManage)?;
        let rows = webhooks.list(actor, PageArgs::new(first, after.as_deref())?).await?;
        let total = if wants_total(ctx) { webhooks.count(actor).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, Webhook))
    }

    /// One of your webhooks; null when there is none of this id, or it is not yours. For therapists, and API keys with
    /// webhooks:manage.
    async fn webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] id: ID,
    ) -> ApiResult<Option<Webhook>> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        Ok(ctx.app().webhooks.get(ctx.actor(), id).await?.map(Webhook))
    }
}

#[derive(Default)]
pub(super) struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Makes a webhook, and the secret that signs what it is told. You may have 20. For therapists, and API keys with webhooks:manage; audited. Codes: INVALID_INPUT,
    /// INVALID_STATE (there are 20 already), IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn create_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where, and of what it is told.")] input: CreateWebhookInput,
    ) -> ApiResult<WebhookSecretPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let CreateWebhookInput { url, description, events, idempotency_key } = input;
        let new = NewWebhook { url, description, events, idempotency_key };
        WebhookSecretPayload::new(ctx.app().webhooks.create(ctx.actor(), ctx.origin(), new).await)
    }

    /// Changes a webhook. What is on its way, or waits for its next attempt, goes to the new address. For the therapist who made
    /// it; audited. Codes: INVALID_INPUT, NOT_FOUND.
    async fn update_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook, and what is to be another.")] input: UpdateWebhookInput,
    ) -> ApiResult<WebhookPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(id) = uuid(&input.id) else { return WebhookPayload::new(Err(no_such_webhook())) };
        let UpdateWebhookInput { url, description, events, .. } = input;
        let change = WebhookChange { url, description: description.into(), events };
        WebhookPayload::new(ctx.app().webhooks.update(ctx.actor(), ctx.origin(), (id, change)).await)
    }

    /// Deletes a webhook: it is told of nothing any more, and what waited for its next attempt is given up. For the therapist who
    /// made it; audited. Codes: NOT_FOUND.
    async fn delete_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] id: ID,
    ) -> ApiResult<WebhookPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(id) = uuid(&id) else { return WebhookPayload::new(Err(no_such_webhook())) };
        WebhookPayload::new(ctx.app().webhooks.delete(ctx.actor(), ctx.origin(), id).await)
    }

    /// Begins again to deliver to a webhook that was disabled; does nothing to one that was not. What was given up meanwhile can be
    /// had by `redeliverWebhook`. For the therapist who made it; audited. Codes: NOT_FOUND.
    async fn enable_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] id: ID,
    ) -> ApiResult<WebhookPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(id) = uuid(&id) else { return WebhookPayload::new(Err(no_such_webhook())) };
        WebhookPayload::new(ctx.app().webhooks.enable(ctx.actor(), ctx.origin(), id).await)
    }

    /// Makes another secret. For 24 hours both sign, so that receivers can be changed over without a gap. For the therapist who
    /// made the webhook; audited. Codes: NOT_FOUND, INVALID_STATE (both of the last change still sign), INVALID_INPUT,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn rotate_webhook_secret(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] id: ID,
        #[graphql(
            default,
            desc = "Ends the secrets of before at once: for one that others may know. Receivers refuse what comes until they have \
                    the new one."
        )]
        expire_previous_now: bool,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key and input give the first result, without its \
                    secret."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<WebhookSecretPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(webhook_id) = uuid(&id) else { return WebhookSecretPayload::new(Err(no_such_webhook())) };
        let wanted = Rotation { webhook_id, expire_previous_now, idempotency_key };
        WebhookSecretPayload::new(ctx.app().webhooks.rotate(ctx.actor(), ctx.origin(), wanted).await)
    }

    /// Sends a webhook a WEBHOOK_TEST, once, also where it is disabled: to see whether it arrives. For the therapist who made it;
    /// audited. Counted with `redeliverWebhook`: 60 an hour, if not set otherwise. Codes: NOT_FOUND, INVALID_INPUT,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn send_test_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] id: ID,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key gives the same delivery, as it is then."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<WebhookDeliveryPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(id) = uuid(&id) else { return WebhookDeliveryPayload::new(Err(no_such_webhook())) };
        let asked = (id, idempotency_key.as_deref());
        WebhookDeliveryPayload::new(ctx.app().webhooks.send_test(ctx.actor(), ctx.origin(), asked).await)
    }

    /// Sends something again, at once, with the same body and `webhook-id`: what was given up, what has arrived, and what waits for
    /// its next attempt; three days of attempts begin anew. For the therapist who made the webhook; audited. Counted with
    /// `sendTestWebhook`: 60 an hour, if not set otherwise. Codes: NOT_FOUND, INVALID_STATE (it is on its way, or the webhook is
    /// disabled), INVALID_INPUT, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn redeliver_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which delivery.")] delivery_id: ID,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key gives the same delivery, as it is then."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<WebhookDeliveryPayload> {
        ctx.actor().therapist_or(Scope::WebhooksManage)?;
        let Some(id) = uuid(&delivery_id) else {
            return WebhookDeliveryPayload::new(Err(no_such_delivery()));
        };
        let asked = (id, idempotency_key.as_deref());
        WebhookDeliveryPayload::new(ctx.app().webhooks.redeliver(ctx.actor(), ctx.origin(), asked).await)
    }
}
