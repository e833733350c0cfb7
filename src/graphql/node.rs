//! Relay's `Node`: anything by its id.

use async_graphql::{Context, ID, Interface, Object};

use super::api_key::ApiKey;
use super::context::{ContextExt, uuid};
use super::error::ApiResult;
use super::export::ExportJob;
use super::patient::Patient;
use super::session::Session;
use super::user::User;
use super::webhook::{Webhook, WebhookDelivery};
use crate::actor::scope::Scope;

/// Something with an id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "UUID, version 7."))]
pub(super) enum Node {
    /// A patient record.
    Patient(Patient),
    /// A session.
    Session(Session),
    /// A user.
    User(User),
    /// A document that was asked for.
    ExportJob(ExportJob),
    /// A key for an integration.
    ApiKey(ApiKey),
    /// An address that is told of what happens.
    Webhook(Webhook),
    /// Something that such an address is told.
    WebhookDelivery(WebhookDelivery),
}

#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything you may see, by its id; null when there is no such thing, or it is not yours. API keys find what their scopes
    /// let them read.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> ApiResult<Option<Node>> {
        let (app, actor) = (ctx.app(), ctx.actor());
        actor.account_id()?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        let may = |scope| actor.logged_in_or(scope).is_ok();
        if may(Scope::PatientsRead)
            && let Some(patient) = app.patients.get(actor, id).await?
        {
            return Ok(Some(Patient(patient).into()));
        }
        if may(Scope::SessionsRead)
            && let Some(session) = app.sessions.get(actor, id).await?
        {
            return Ok(Some(Session(session).into()));
        }
        if may(Scope::ExportsRead)
            && let Some(job) = app.exports.get(actor, id).await?
        {
            return Ok(Some(ExportJob(job).into()));
        }
        if may(Scope::WebhooksManage)
            && let Some(webhook) = app.webhooks.get(actor, id).await?
        {
            return Ok(Some(Webhook(webhook).into()));
        }
        if may(Scope::WebhooksManage)
            && let Some(delivery) = app.webhooks.delivery(actor, id).await?
        {
            return Ok(Some(WebhookDelivery::from(delivery).into()));
        }
        if let Some(key) = app.auth.api_key(actor, id).await? {
            return Ok(Some(ApiKey(key).into()));
        }
        Ok(app.auth.user(actor, id).await?.map(|user| User::from(user).into()))
    }
}
