//! The schema as the transports execute it.

use std::any::TypeId;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::registry::Registry;
use async_graphql::{Data, Executor, Request, Response};
use futures::stream::BoxStream;

use super::batching::Batches;
use super::context::Asker;
use super::{ApiSchema, trail};

/// The schema, twice over: every field of a request can be looked at before it is resolved, but that takes as much time as
/// most fields do. Queries of people need no such look, because their fields are decided by the fields themselves.
#[derive(Clone)]
pub struct Api {
    /// Looks at every field.
    watched: ApiSchema,
    open: ApiSchema,
    registry: Arc<Registry>,
}

impl Api {
    /// Builds the schema; what a request needs (app, asker) comes with the request.
    #[must_use]
    pub fn new(introspection: bool) -> Self {
        Self {
            watched: super::schema(introspection),
            open: super::built(super::builder(), introspection),
            registry: Arc::new(super::registry()),
        }
    }

    /// The schema in GraphQL's own language.
    #[must_use]
    pub fn sdl(&self) -> String {
        self.watched.sdl()
    }

    async fn execute_once(&self, mut request: Request) -> Response {
        match asker(&request).cloned() {
            Some(asker) if !asker.actor().is_key() && is_query(&mut request) => {
                trail::execute(&self.open, (request, asker), &self.registry).await
            }
            _ => self.watched.execute(request).await,
        }
    }
}

impl Executor for Api {
    async fn execute(&self, request: Request) -> Response {
        let batches = batches(&request);
        batches.serve(self.execute_once(request)).await
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let batches = batches(&request);
        batches.serve_stream(Executor::execute_stream(&self.watched, request, session_data))
    }
}

fn asker(request: &Request) -> Option<&Arc<Asker>> {
    request.data.get(&TypeId::of::<Arc<Asker>>())?.downcast_ref()
}

/// Where the request's loaders put their reads.
fn batches(request: &Request) -> Batches {
    let batches = request.data.get(&TypeId::of::<Batches>()).and_then(|data| data.downcast_ref::<Batches>());
    batches.cloned().unwrap_or_default()
}

/// Whether nothing but a query is in the document: which of several operations is chosen need not be known.
fn is_query(request: &mut Request) -> bool {
    request.parsed_query().is_ok_and(|document| {
        document.operations.iter().all(|(_, operation)| operation.node.ty == OperationType::Query)
    })
}
