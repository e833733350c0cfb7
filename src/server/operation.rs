//! An operation on its way from the bytes of a transport to the schema: parsed, let in by the guard, weighed, paid for, run.

use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request, Response, Variables};
use axum::http::StatusCode;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use serde::Deserialize;
use tracing::Instrument;

use super::budget::{Balance, Overdraft};
use super::guard::{self, cost::Cost};
use super::persisted::Hash;
use super::reply::{self, Refusal};
use super::seam::{Authenticated, GraphqlState, Limits};
use crate::clock::Clock;
use crate::graphql::rate_limit::RateLimit;
use crate::graphql::telling::{Asked, Shared};

/// A GraphQL request as it came: with a document, or with the hash of one that came before, or both.
#[derive(Deserialize)]
#[serde(try_from = "Members")]
pub(super) struct Payload {
    query: Option<String>,
    hash: Option<Hash>,
    operation_name: Option<String>,
    variables: Variables,
}

/// The members of a GraphQL request, as clients spell them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `query`")]
struct Members {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<Extensions>,
}

/// What is not used of them is ignored, but they must be an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Extensions {
    persisted_query: Option<PersistedQuery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `version` and `sha256Hash`")]
struct PersistedQuery {
    version: u64,
    sha256_hash: String,
}

impl TryFrom<Members> for Payload {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, &'static str> {
        let Members { query, operation_name, variables, extensions } = members;
        let hash = match extensions.and_then(|extensions| extensions.persisted_query) {
            None => None,
            Some(PersistedQuery { version: 1, sha256_hash }) => {
                Some(sha256_hash.parse().map_err(|()| "`sha256Hash` is no SHA-256 in hexadecimal digits")?)
            }
            Some(_) => return Err("only version 1 of `persistedQuery` is known"),
        };
        if query.is_none() && hash.is_none() {
            return Err("missing field `query`");
        }
        Ok(Self { query, hash, operation_name, variables: variables.unwrap_or_default() })
    }
}

/// Parses one GraphQL request; a list of them is refused.
pub(super) fn parse(json: &[u8], limits: &Limits) -> Result<Payload, Refusal> {
    if json.trim_ascii_start().first() == Some(&b'[') {
        return Err(Refusal::malformed("Batches are not supported: send one operation a request."));
    }
    guard::check_json(json, &limits.document)
        .map_err(|refusal| Refusal { status: Some(StatusCode::BAD_REQUEST), ..refusal })?;
    serde_json::from_slice(json).map_err(|error| Refusal::malformed(format!("Malformed request: {error}")))
}

/// An operation that the guard let in.
pub(super) struct Operation {
    pub(super) request: Request,
    pub(super) kind: OperationType,
    root_fields: NonZeroU32,
    cost: Cost,
    /// What its document is to be known by from now on.
    hash: Option<Hash>,
}

impl Operation {
    /// Finds the document, lets the guard look at it, and weighs the operation.
    ///
    /// # Errors
    /// As the guard says; and when there is no such document.
    pub(super) fn admit<E>(payload: Payload, state: &GraphqlState<E>) -> Result<Self, Refusal> {
        let Payload { query, mut hash, operation_name, variables } = payload;
        let query = match (query, hash) {
            (Some(query), _) => query,
            (None, Some(known)) => {
                hash = None;
                state.documents.get(known).ok_or_else(Refusal::unknown_document)?.to_string()
            }
            (None, None) => return Err(Refusal::malformed("`query` is missing.")),
        };
        let limits = &state.limits.document;
        let mut request = Request::new(query).variables(variables);
        request.operation_name = operation_name;
        let kind = guard::admit(&mut request, limits)?;
        if hash.is_some_and(|hash| hash != Hash::of(&request.query)) {
            return Err(Refusal::malformed("`sha256Hash` is the hash of another document than `query`."));
        }
        guard::check_variables(&mut request)?;
        let cost = guard::weigh(&mut request, &state.prices, limits)?;
        let root_fields = guard::root_fields(&mut request)?;
        Ok(Self { request, kind, root_fields, cost, hash })
    }

    /// Takes it from the asker's budget. Only what was paid for is remembered by its hash.
    ///
    /// # Errors
    /// When too little is left.
    pub(super) async fn charge<E>(
        &mut self,
        asker: &Authenticated,
        state: &GraphqlState<E>,
    ) -> Result<Option<Balance>, Overdraft> {
        let balance = asker.budget.spend(self.root_fields).await?;
        if let Some(balance) = balance {
            self.request.data.insert(rate_limit(balance, self.root_fields, state.clock.as_ref()));
        }
        if let Some(hash) = self.hash.take() {
            state.documents.remember(hash, &self.request.query);
        }
        Ok(balance)
    }

    /// Gives it what its resolvers need to know about the asker.
    pub(super) fn attached(self, asker: &Authenticated) -> Self {
        Self { request: (asker.attach)(self.request), ..self }
    }

    /// Executes a query or a mutation; a panic is an answer too. When the client goes away a query is dropped, but a
    /// mutation, in a task of its own, goes on: nothing must stop half way.
    ///
    /// # Errors
    /// When a resolver panicked.
    pub(super) async fn execute<E: Executor>(self, schema: &E) -> Result<Response, Refusal> {
        let Self { request, kind, cost, .. } = self;
        let schema = schema.clone();
        let execution = async move { schema.execute(request).await }.in_current_span();
        let response = match kind {
            OperationType::Mutation => tokio::spawn(execution).await.ok(),
            _ => AssertUnwindSafe(execution).catch_unwind().await.ok(),
        };
        let response = response.ok_or_else(|| {
            tracing::error!("a resolver panicked");
            Refusal::internal()
        })?;
        Ok(response.extension("cost", cost.value()))
    }

    /// Executes any operation, and gives what it has to say; the first answer tells what it cost.
    pub(super) fn stream<E: Executor>(mut self, schema: &E) -> BoxStream<'static, Answer> {
        let (cost, mut is_first) = (self.cost, true);
        // With several fields nobody could tell whose answer is the shared one.
        let is_shared = self.kind == OperationType::Subscription && self.root_fields == NonZeroU32::MIN;
        let asked = is_shared.then(|| Asked::by(&self.request));
        if let Some(asked) = asked.clone() {
            self.request.data.insert(asked);
        }
        let told = move |response: Response| {
            let shared = asked.as_ref().and_then(Asked::take);
            if std::mem::take(&mut is_first) {
                return response.extension("cost", cost.value()).into();
            }
            Answer { response, shared }
        };
        schema.execute_stream(self.request, None).map(told).boxed()
    }
}

/// One answer of an operation.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Set where others are given the same.
    shared: Option<Shared>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, shared: None }
    }
}

impl Answer {
    /// As it is sent to the client; of a shared one that is worked out once.
    pub(super) fn text(self, request_id: &str) -> Arc<str> {
        let Self { response, shared } = self;
        // What was added to it on the way is this client's alone.
        let is_bare = response.errors.is_empty() && response.extensions.is_empty();
        match shared {
            Some(shared) if is_bare => shared.text(|| reply::to_json(&reply::body(&response))),
            _ => reply::to_json(&reply::body(&reply::finish(response, request_id))).into(),
        }
    }
}

fn rate_limit(balance: Balance, cost: NonZeroU32, clock: &dyn Clock) -> RateLimit {
    RateLimit {
        limit: balance.rate.count.get(),
        remaining: balance.remaining,
        reset_at: clock.now() + balance.reset,
        cost: cost.get(),
    }
}
