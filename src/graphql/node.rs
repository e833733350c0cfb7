//! Relay's `Node`: anything by its id.

use async_graphql::{Context, ID, Interface, Object};

use super::context::{ContextExt, uuid};
use super::error::ApiResult;
use super::export::ExportJob;
use super::patient::Patient;
use super::session::Session;
use super::user::User;

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
}

#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything you may see, by its id; null when there is no such thing, or it is not yours.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> ApiResult<Option<Node>> {
        ctx.actor().user_id()?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        if let Some(patient) = ctx.app().patients.get(ctx.actor(), id).await? {
            return Ok(Some(Patient(patient).into()));
        }
        if let Some(session) = ctx.app().sessions.get(ctx.actor(), id).await? {
            return Ok(Some(Session(session).into()));
        }
        if let Some(job) = ctx.app().exports.get(ctx.actor(), id).await? {
            return Ok(Some(ExportJob(job).into()));
        }
        Ok(ctx.app().auth.user(ctx.actor(), id).await?.map(|user| User::from(user).into()))
    }
}
