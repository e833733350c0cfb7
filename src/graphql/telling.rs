//! What a subscription tells of an event, worked out once for all who ask the same with the same rights: it is executed and
//! made into text by the first of them, and the others hand on the same.
//!
//! What is the same for two of them has to be the same for their answers: the event, the actor (user, role, zone and log-in; of
//! API keys nothing is shared), and the [`Asked`]: document, name of the operation, and variables. An answer with errors is
//! nobody else's, and neither is one with content whose reading the audit trail keeps: that is read by each for themselves.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::parser::Positioned;
use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Request, ServerError, ServerResult, Value};
use sha2::{Digest, Sha256};

use super::trail::Reads;
use crate::actor::Actor;
use crate::events::{Event, Question};

/// An answer that several are given.
#[derive(Clone)]
pub struct Shared(Arc<Answer>);

struct Answer {
    /// Of the subscription's field.
    value: Value,
    text: OnceLock<Arc<str>>,
}

impl Shared {
    fn new(value: Value) -> Self {
        Self(Arc::new(Answer { value, text: OnceLock::new() }))
    }

    /// The answer as a transport sends it: `make` is called by the first one only.
    pub fn text(&self, make: impl FnOnce() -> String) -> Arc<str> {
        self.0.text.get_or_init(|| make().into()).clone()
    }
}

/// What an operation of one root field asks, and whether its latest answer is one that others are given too. A transport puts it
/// into the request, and asks after each answer.
#[derive(Clone)]
pub struct Asked {
    question: Question,
    latest: Arc<Mutex<Option<Shared>>>,
}

impl Asked {
    /// What this request asks.
    #[must_use]
    pub fn by(request: &Request) -> Self {
        let mut digest = Sha256::new();
        let name = request.operation_name.as_deref().unwrap_or_default();
        let variables = serde_json::to_string(&request.variables).unwrap_or_default();
        for part in [request.query.as_str(), name, &variables] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        Self { question: digest.finalize().into(), latest: Arc::default() }
    }

    /// What the latest answer is shared as, once.
    #[must_use]
    pub fn take(&self) -> Option<Shared> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, shared: Shared) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
    }
}

/// An item of a stream; one that an event brought is told together with whoever asks the same.
pub(super) struct Told<T> {
    /// Boxed, because the stream keeps room for it.
    item: Box<T>,
    by: Option<(Arc<Event>, Actor)>,
}

impl<T> Told<T> {
    /// As it is, to one alone.
    pub(super) fn alone(item: T) -> Self {
        Self { item: Box::new(item), by: None }
    }

    /// As of an event.
    pub(super) fn of(event: Arc<Event>, actor: &Actor, item: T) -> Self {
        let by = matches!(actor, Actor::User { .. }).then(|| (event, actor.clone()));
        Self { item: Box::new(item), by }
    }
}

impl<T: OutputType> OutputType for Told<T> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let (Some((event, actor)), Some(asked)) = (&self.by, ctx.data_opt::<Asked>()) else {
            return self.item.resolve(ctx, field).await;
        };
        let mut own = None;
        let first = async {
            let value = self.item.resolve(ctx, field).await?;
            if is_for_all(ctx) {
                return Ok::<_, ServerError>(Some(Shared::new(value)));
            }
            own = Some(value);
            Ok(None)
        };
        let shared = event.looks.share((actor, asked.question), first).await?;
        match (shared, own) {
            (Some(shared), _) => {
                asked.put(shared.clone());
                Ok(shared.0.value.clone())
            }
            (None, Some(own)) => Ok(own),
            (None, None) => self.item.resolve(ctx, field).await,
        }
    }
}

/// Whether a value that was just worked out holds nothing that is for this asker alone.
fn is_for_all(ctx: &ContextSelectionSet<'_>) -> bool {
    let errors = ctx.query_env.errors.lock().unwrap_or_else(PoisonError::into_inner);
    errors.is_empty() && ctx.data_opt::<Arc<Reads>>().is_some_and(|reads| reads.is_empty())
}
