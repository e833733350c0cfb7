//! What every resolver may ask of its request: the services, who asks, from where.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{Context, ID, Request};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::loaders::Loaders;
use crate::actor::{Actor, Origin};
use crate::app::App;
use crate::audit::{self, Witness};
use crate::entity::session;
use crate::error::Result;

/// Who asks, and the services that answer.
pub struct Asker {
    app: Arc<App>,
    actor: Actor,
    origin: Origin,
}

/// Reads that have been written into the audit trail in this request: one event a request, session and kind.
#[derive(Default)]
struct Reads(Mutex<HashSet<(Uuid, &'static str)>>);

impl Asker {
    /// Somebody at a connection.
    #[must_use]
    pub fn new(app: Arc<App>, actor: Actor, origin: Origin) -> Self {
        Self { app, actor, origin }
    }

    /// Puts the asker into a request, with batched reads of its own: what they have seen ends with the request.
    #[must_use]
    pub fn attach(self: &Arc<Self>, request: Request) -> Request {
        let loaders = Loaders::new(&self.app, &self.actor);
        request.data(self.clone()).data(loaders).data(Reads::default())
    }

    /// The services.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Who asks.
    pub(super) fn actor(&self) -> &Actor {
        &self.actor
    }
}

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
    /// Writes a read of clinical content into the audit trail, before the content leaves.
    async fn witness_read(&self, action: &'static str, session: &session::Model) -> Result<()>;
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
        self.data_unchecked()
    }

    async fn witness_read(&self, action: &'static str, session: &session::Model) -> Result<()> {
        // Held until the event is written: a field beside this one must not answer on the strength of a mark alone.
        let mut reads = self.data_unchecked::<Reads>().0.lock().await;
        if reads.contains(&(session.id, action)) {
            return Ok(());
        }
        let event = audit::Event {
            action,
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            ..Default::default()
        };
        let (app, at) = (self.app(), self.app().clock.now());
        let witness = Witness { actor: self.actor(), origin: self.origin(), at };
        audit::record(&app.db, witness, event).await?;
        reads.insert((session.id, action));
        Ok(())
    }
}

/// Who asks, for streams that outlive their context.
pub(super) fn asker<'a>(ctx: &Context<'a>) -> &'a Arc<Asker> {
    ctx.data_unchecked()
}

/// The id a client gave; one that is no id of ours names nothing.
pub(super) fn uuid(id: &ID) -> Option<Uuid> {
    Uuid::try_parse(id).ok()
}
