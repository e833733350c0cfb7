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
use async_graphql::{
    Data, PathSegment, Pos, Request, Response, ServerError, ServerResult, Value, async_trait,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use uuid::Uuid;

use super::context::Asker;
use super::error::ApiError;
use super::roots::{Root, roots};
use crate::actor::Actor;
use crate::audit::{self, Refusal};
use crate::entity::session;

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
}

/// What is asked, and by whom.
struct Asked {
    asker: Arc<Asker>,
    operation: OperationType,
    roots: Vec<Root>,
}

impl Recorder {
    fn is_subscription(&self) -> bool {
        self.asked.get().is_some_and(|asked| asked.operation == OperationType::Subscription)
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
                let error =
                    async_graphql::Error::from(ApiError::from(error)).into_server_error(Pos::default());
                // With a path it is the fault of a field, ours, and not one of the request.
                let path = roots.first().map(|root| PathSegment::Field(root.key.clone()));
                Response::from_errors(vec![error.with_path(path.into_iter().collect())])
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
        if let Some(asker) = asker
            && let Some((operation, roots)) = roots(&mut request, &ctx.schema_env.registry)
        {
            // A request is prepared once.
            let _ = self.asked.set(Asked { asker, operation, roots });
        }
        next.run(ctx, request).await
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
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
        let response = next.run_with_data(ctx, operation_name, data).await;
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
            let recorder = recorder.clone();
            async move {
                if !recorder.is_subscription() {
                    return response;
                }
                let refusals = recorder.refusals(&response);
                recorder.seal(response, Vec::new(), refusals).await
            }
        });
        next.run(ctx, sealed.boxed())
    }
}
