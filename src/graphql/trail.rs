//! What every request leaves in the audit trail, whatever it asks for and however it comes: reads of clinical content,
//! and refusals. Both are written before the answer leaves; an answer that cannot be written down is not given.

use std::any::TypeId;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextPrepareRequest, NextResolve,
    NextSubscribe, ResolveInfo,
};
use async_graphql::parser::types::OperationType;
use async_graphql::registry::Registry;
use async_graphql::{
    Data, PathSegment, Pos, QueryPathNode, QueryPathSegment, Request, Response, ServerError, ServerResult,
    Value, async_trait,
};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use uuid::Uuid;

use super::ApiSchema;
use super::context::Asker;
use super::error::ApiError;
use super::roots::{Root, roots};
use super::scopes;
use crate::actor::Actor;
use crate::audit::{self, Refusal};
use crate::entity::session;
use crate::error::Error;

/// Codes that mean a refusal.
const REFUSED: [&str; 3] = ["FORBIDDEN", "NOT_FOUND", "UNAUTHENTICATED"];

tokio::task_local! {
    /// Whether the mutation being resolved has found its thing missing. Clients need not ask for `userErrors`, so that
    /// the answer does not tell.
    static MISSING: Cell<bool>;
}

/// Says that what a mutation is about is missing, or somebody else's.
pub(super) fn note_missing() {
    // Elsewhere than in a mutation nobody needs to know.
    let _ = MISSING.try_with(|missing| missing.set(true));
}

/// What was read in one execution: of sessions, by patient and kind; and what is more than a session.
#[derive(Default)]
pub(super) struct Reads {
    sessions: Mutex<BTreeMap<(Uuid, &'static str), BTreeSet<Uuid>>>,
    views: Mutex<Vec<audit::Event>>,
}

impl Reads {
    pub(super) fn add(&self, action: &'static str, session: &session::Model) {
        let mut reads = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        reads.entry((session.patient_id, action)).or_default().insert(session.id);
    }

    /// Once, however often it is asked for under other names.
    pub(super) fn add_view(&self, event: audit::Event) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if !views.contains(&event) {
            views.push(event);
        }
    }

    /// Whether nothing was read that is written down.
    pub(super) fn is_empty(&self) -> bool {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.is_empty() && views.is_empty()
    }

    /// One event a patient and kind; about the session where it was only one.
    fn take(&self) -> Vec<audit::Event> {
        let reads = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        let views = std::mem::take(&mut *self.views.lock().unwrap_or_else(PoisonError::into_inner));
        let event = |((patient_id, action), sessions): ((Uuid, &'static str), BTreeSet<Uuid>)| {
            let (subject_type, subject_id) = match sessions.first() {
                Some(only) if sessions.len() == 1 => ("session", *only),
                _ => ("patient", patient_id),
            };
            audit::Event {
                action,
                subject_type,
                subject_id: Some(subject_id),
                patient_id: Some(patient_id),
                ..Default::default()
            }
        };
        reads.into_iter().map(event).chain(views).collect()
    }
}

/// Executes a query of somebody who is no API key, by a schema without [`Trail`]: that looks at every field, and of a query
/// of people has nothing to see there.
pub(super) async fn execute(
    schema: &ApiSchema,
    (mut request, asker): (Request, Arc<Asker>),
    registry: &Registry,
) -> Response {
    let (recorder, reads) = (Recorder::default(), Arc::new(Reads::default()));
    recorder.note(&mut request, asker, registry);
    let response = schema.execute(request.data(reads.clone())).await;
    let refusals = recorder.refusals(&response);
    recorder.seal(response, reads.take(), refusals).await
}

/// Puts a recorder beside every request.
pub(super) struct Trail;

impl ExtensionFactory for Trail {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Recorder::default())
    }
}

/// Records one request.
#[derive(Clone, Default)]
struct Recorder {
    asked: Arc<OnceLock<Asked>>,
    /// Keys of the mutations that found their thing missing.
    missing: Arc<Mutex<HashSet<String>>>,
    /// What the asker, an API key, was not shown; null stands in its place.
    withheld: Arc<Mutex<Vec<ServerError>>>,
}

/// What is asked, and by whom.
struct Asked {
    asker: Arc<Asker>,
    operation: OperationType,
    roots: Vec<Root>,
}

impl Recorder {
    /// Notes what is asked, and by whom.
    fn note(&self, request: &mut Request, asker: Arc<Asker>, registry: &Registry) {
        let wanted = roots(request, registry);
        let (operation, roots) = wanted.unwrap_or((OperationType::Query, Vec::new()));
        // A request is prepared once.
        let _ = self.asked.set(Asked { asker, operation, roots });
    }

    fn is_subscription(&self) -> bool {
        self.asked.get().is_some_and(|asked| asked.operation == OperationType::Subscription)
    }

    /// Refuses a request that asks for what is not for the asker, an API key, before anything of it is executed. Of a
    /// subscription that is written down where its other refusals are.
    async fn admit(&self, registry: &Registry) -> ServerResult<()> {
        let Some(Asked { asker, operation, roots }) = self.asked.get() else { return Ok(()) };
        let mut refused = scopes::refused(asker.actor(), registry, (*operation, roots));
        if refused.is_empty() {
            return Ok(());
        }
        if *operation != OperationType::Subscription {
            let refusals: HashSet<Refusal> = refused.iter().map(|(root, _)| root.refusal()).collect();
            let refusals = refusals.into_iter().collect();
            let recorded = audit::record_answer(&asker.app().db, asker.witness(), Vec::new(), refusals).await;
            recorded.map_err(|error| server_error(error, Vec::new()))?;
        }
        let (root, error) = refused.swap_remove(0);
        Err(server_error(error, vec![PathSegment::Field(root.key.clone())]))
    }

    /// Whether a field is for the asker; where it is not and may be null, the error goes beside the answer.
    fn withhold(&self, info: &ResolveInfo<'_>) -> Option<ServerResult<Option<Value>>> {
        let Asked { asker, operation, .. } = self.asked.get()?;
        // Of a list its field was asked about; of a subscription the request: here it goes by another type's name.
        let is_item = matches!(info.path_node.segment, QueryPathSegment::Index(_));
        let is_stream = *operation == OperationType::Subscription && info.path_node.parent.is_none();
        if is_item || is_stream {
            return None;
        }
        let error = scopes::admit(asker.actor(), info.parent_type, info.name).err()?;
        let error = server_error(error, path(info.path_node));
        if info.return_type.ends_with('!') {
            return Some(Err(error));
        }
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        Some(Ok(None))
    }

    /// What the answer refuses. Nobody unknown can fill the trail with one request.
    fn refusals(&self, response: &Response) -> Vec<Refusal> {
        let Some(asked) = self.asked.get() else { return Vec::new() };
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_refused = |root: &&Root| missing.contains(&root.key) || asked.is_refused(root, response);
        let refusals: HashSet<Refusal> = asked.roots.iter().filter(is_refused).map(Root::refusal).collect();
        let most = if *asked.asker.actor() == Actor::Anonymous { 1 } else { refusals.len() };
        refusals.into_iter().take(most).collect()
    }

    /// Writes down what was read and refused, and lets the answer go.
    async fn seal(&self, response: Response, reads: Vec<audit::Event>, refusals: Vec<Refusal>) -> Response {
        if reads.is_empty() && refusals.is_empty() {
            return response;
        }
        let Some(Asked { asker, roots, .. }) = self.asked.get() else { return response };
        match audit::record_answer(&asker.app().db, asker.witness(), reads, refusals).await {
            Ok(()) => response,
            Err(error) => {
                // With a path it is the fault of a field, ours, and not one of the request.
                let path = roots.first().map(|root| PathSegment::Field(root.key.clone()));
                Response::from_errors(vec![server_error(error, path.into_iter().collect())])
                    .http_headers(response.http_headers)
            }
        }
    }
}

impl Asked {
    fn is_refused(&self, root: &Root, response: &Response) -> bool {
        let mut codes = response.errors.iter().filter(|error| is_at(error, &root.key)).map(code).peekable();
        if codes.peek().is_some() {
            return codes.any(|code| code.is_some_and(|code| REFUSED.contains(&code)));
        }
        let is_null =
            || matches!(&response.data, Value::Object(data) if data.get(&*root.key) == Some(&Value::Null));
        self.operation == OperationType::Query && root.is_by_id && is_null()
    }
}

/// An error of a feature at its place in the answer.
fn server_error(error: impl Into<Error>, path: Vec<PathSegment>) -> ServerError {
    let mut error = async_graphql::Error::from(ApiError::from(error)).into_server_error(Pos::default());
    error.locations.clear();
    error.with_path(path)
}

fn path(node: &QueryPathNode<'_>) -> Vec<PathSegment> {
    let segment = |node: &QueryPathNode<'_>| match node.segment {
        QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
        QueryPathSegment::Index(index) => PathSegment::Index(index),
    };
    let mut path: Vec<_> = std::iter::once(node).chain(node.parents()).map(segment).collect();
    path.reverse();
    path
}

fn is_at(error: &ServerError, key: &str) -> bool {
    matches!(error.path.first(), Some(PathSegment::Field(first)) if first == key)
}

fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        _ => None,
    }
}

#[async_trait::async_trait]
impl Extension for Recorder {
    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        mut request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let asker = request.data.get(&TypeId::of::<Arc<Asker>>()).and_then(|data| data.downcast_ref());
        let asker: Option<Arc<Asker>> = asker.cloned();
        let registry = &ctx.schema_env.registry;
        if let Some(asker) = asker {
            self.note(&mut request, asker, registry);
            self.admit(registry).await?;
        }
        next.run(ctx, request).await
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        if let Some(withheld) = self.withhold(&info) {
            return withheld;
        }
        if info.path_node.parent.is_some() {
            return next.run(ctx, info).await;
        }
        let key = info.alias.unwrap_or(info.name).to_owned();
        let resolve = async { (next.run(ctx, info).await, MISSING.with(Cell::get)) };
        let (resolved, is_missing) = MISSING.scope(Cell::new(false), resolve).await;
        if is_missing {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        }
        resolved
    }

    /// Of a query, of a mutation, and of every event of a subscription.
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let (reads, mut data) = (Arc::new(Reads::default()), Data::default());
        data.insert(reads.clone());
        let mut response = next.run_with_data(ctx, operation_name, data).await;
        let withheld = std::mem::take(&mut *self.withheld.lock().unwrap_or_else(PoisonError::into_inner));
        response.errors.extend(withheld);
        // A subscription may also be refused before its first event: see `subscribe`.
        let refusals = if self.is_subscription() { Vec::new() } else { self.refusals(&response) };
        self.seal(response, reads.take(), refusals).await
    }

    fn subscribe<'s>(
        &self,
        ctx: &ExtensionContext<'_>,
        stream: BoxStream<'s, Response>,
        next: NextSubscribe<'_>,
    ) -> BoxStream<'s, Response> {
        let recorder = self.clone();
        let sealed = stream.then(move |response| {
            let refusals = if recorder.is_subscription() { recorder.refusals(&response) } else { Vec::new() };
            if refusals.is_empty() {
                return futures::future::ready(response).left_future();
            }
            // Boxed, because it is as large as it is rare, and the stream keeps room for it.
            let recorder = recorder.clone();
            let seal = async move { recorder.seal(response, Vec::new(), refusals).await };
            seal.boxed().right_future()
        });
        next.run(ctx, sealed.boxed())
    }
}
