//! What every resolver may ask of its request: the services, who asks, from where.

use std::sync::{Arc, OnceLock};

use async_graphql::{Context, ID, Request};
use uuid::Uuid;

use super::batching::Batches;
use super::loaders::Loaders;
use super::trail::Reads;
use crate::actor::{Actor, Origin};
use crate::app::App;
use crate::audit::{self, Witness};
use crate::entity::session;
use crate::error::{Error, Result};

/// Who asks, and the services that answer.
pub struct Asker {
    app: Arc<App>,
    actor: Actor,
    origin: Origin,
}

impl Asker {
    /// Somebody at a connection.
    #[must_use]
    pub fn new(app: Arc<App>, actor: Actor, origin: Origin) -> Self {
        Self { app, actor, origin }
    }

    /// Puts the asker into a request, with batched reads of its own: what they have seen ends with the request.
    #[must_use]
    pub fn attach(self: &Arc<Self>, request: Request) -> Request {
        let batches = Batches::default();
        request.data(self.clone()).data(LoadersOnDemand::default()).data(batches)
    }

    /// The services.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Who asks.
    pub(super) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Who asks, from where, now: for the audit trail.
    pub(super) fn witness(&self) -> Witness<'_> {
        Witness { actor: &self.actor, origin: &self.origin, at: self.app.clock.now() }
    }
}

/// Made when something is read through them: most subscriptions never do, and hold on to their requests.
#[derive(Default)]
struct LoadersOnDemand(OnceLock<Loaders>);

/// Shorthands on the context of a resolver.
pub(super) trait ContextExt {
    /// The services.
    fn app(&self) -> &App;
    /// Who asks.
    fn actor(&self) -> &Actor;
    /// From where.
    fn origin(&self) -> &Origin;
    /// Batched reads.
    fn loaders(&self) -> &Loaders;
    /// Says that clinical content was read: that is written into the audit trail before the answer leaves.
    fn witness_read(&self, action: &'static str, session: &session::Model) -> Result<()>;
    /// The same of what is more than a session.
    fn witness_view(&self, event: audit::Event) -> Result<()>;
}

impl ContextExt for Context<'_> {
    fn app(&self) -> &App {
        &asker(self).app
    }

    fn actor(&self) -> &Actor {
        &asker(self).actor
    }

    fn origin(&self) -> &Origin {
        &asker(self).origin
    }

    fn loaders(&self) -> &Loaders {
        let Asker { app, actor, .. } = &**asker(self);
        let batches = self.data_unchecked::<Batches>();
        self.data_unchecked::<LoadersOnDemand>().0.get_or_init(|| Loaders::new(app, actor, batches))
    }

    fn witness_read(&self, action: &'static str, session: &session::Model) -> Result<()> {
        reads(self)?.add(action, session);
        Ok(())
    }

    fn witness_view(&self, event: audit::Event) -> Result<()> {
        reads(self)?.add_view(event);
        Ok(())
    }
}

/// Without somebody who writes it down nothing is read.
fn reads<'a>(ctx: &Context<'a>) -> Result<&'a Reads> {
    let reads = ctx.data_opt::<Arc<Reads>>();
    Ok(reads.ok_or_else(|| Error::Internal(anyhow::anyhow!("the schema has no trail")))?)
}

/// Who asks, for streams that outlive their context.
pub(super) fn asker<'a>(ctx: &Context<'a>) -> &'a Arc<Asker> {
    ctx.data_unchecked()
}

/// The id a client gave; one that is no id of ours names nothing.
pub(super) fn uuid(id: &ID) -> Option<Uuid> {
    Uuid::try_parse(id).ok()
}
