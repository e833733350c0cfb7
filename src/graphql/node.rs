//! Relay's `Node`: anything by its id.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Object};
use uuid::Uuid;

use super::api_key::ApiKey;
use super::context::{ContextExt, uuid};
use super::error::ApiResult;
use super::export::ExportJob;
use super::patient::Patient;
use super::session::Session;
use super::user::User;
use super::webhook::{Webhook, WebhookDelivery};
use crate::actor::scope::Scope;
use crate::error::Error;

/// Something with an id.
#[derive(Clone, Interface)]
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

/// So many ids at most in one field.
const MOST: usize = 100;

#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything you may see, by its id; null when there is no such thing, or it is not yours. API keys find what their scopes
    /// let them read.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> ApiResult<Option<Node>> {
        Ok(found(ctx, &[id]).await?.pop().flatten())
    }

    /// The same of several, in the order of their ids, each null where it is not there for you. What is named twice comes
    /// twice.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Their ids, 100 at most.")] ids: Vec<ID>,
    ) -> ApiResult<Vec<Option<Node>>> {
        if ids.len() > MOST {
            return Err(Error::BadRequest(format!("`ids` may have at most {MOST} ids.")).into());
        }
        found(ctx, &ids).await
    }
}

/// What these ids stand for, in their order; each kind of thing is looked for once.
async fn found(ctx: &Context<'_>, ids: &[ID]) -> ApiResult<Vec<Option<Node>>> {
    let (app, actor) = (ctx.app(), ctx.actor());
    actor.account_id()?;
    let ids: Vec<Option<Uuid>> = ids.iter().map(uuid).collect();
    let mut search = Search { left: ids.iter().flatten().copied().collect(), found: HashMap::new() };
    let may = |scope| actor.logged_in_or(scope).is_ok();
    if may(Scope::PatientsRead) && search.goes_on() {
        let rows = app.patients.get_many(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, Patient(row).into()));
    }
    if may(Scope::SessionsRead) && search.goes_on() {
        let rows = app.sessions.get_many(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, Session(row).into()));
    }
    if may(Scope::ExportsRead) && search.goes_on() {
        let rows = app.exports.get_many(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, ExportJob(row).into()));
    }
    if may(Scope::WebhooksManage) && search.goes_on() {
        let rows = app.webhooks.get_many(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, Webhook(row).into()));
        let rows = app.webhooks.deliveries_by_id(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, WebhookDelivery::from(row).into()));
    }
    if search.goes_on() {
        let rows = app.auth.api_keys_by_id(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, ApiKey(row).into()));
        let rows = app.auth.users_by_id(actor, &search.left).await?;
        search.takes(rows, |row| (row.id, User::from(row).into()));
    }
    Ok(ids.into_iter().map(|id| search.found.get(&id?).cloned()).collect())
}

/// A search through one kind of thing after the other.
struct Search {
    left: Vec<Uuid>,
    found: HashMap<Uuid, Node>,
}

impl Search {
    fn goes_on(&self) -> bool {
        !self.left.is_empty()
    }

    fn takes<R>(&mut self, rows: Vec<R>, node: impl Fn(R) -> (Uuid, Node)) {
        self.found.extend(rows.into_iter().map(node));
        self.left.retain(|id| !self.found.contains_key(id));
    }
}
