//! GraphQL over HTTP: `POST /graphql`, and the way to the other transports on the same path.

use std::sync::OnceLock;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Response as GraphqlResponse};
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::budget::{Balance, Overdraft};
use super::operation::{self, Operation};
use super::reply::{self, Refusal, code};
use super::seam::{AuthRefusal, Authenticated, GraphqlState, RequestMeta};
use super::{multipart, sse, ws};

mod get;

pub(super) use get::answer as answer_get;

/// `/graphql`: POST for queries, mutations, uploads and event streams, GET for the WebSocket upgrade and, where that is
/// switched on, for queries.
///
/// Needs a [`RequestMeta`] in every request's extensions.
pub fn routes<E: Executor>(state: GraphqlState<E>) -> Router {
    let methods = post(answer::<E>).get(ws::upgrade::<E>).fallback(method_not_allowed);
    Router::new().route("/graphql", methods).with_state(state)
}

async fn method_not_allowed(Extension(meta): Extension<RequestMeta>) -> Response {
    only_post(&meta)
}

/// The answer to any method that may not run operations: GET must not, or a link could change something.
pub(super) fn only_post(meta: &RequestMeta) -> Response {
    let refusal = Refusal::http(StatusCode::METHOD_NOT_ALLOWED, "Send operations with POST.");
    let mut response = refuse(refusal, MediaType::Json, &meta.request_id);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn answer<E: Executor>(
    State(state): State<GraphqlState<E>>,
    Extension(meta): Extension<RequestMeta>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let call = match Call::new(state, meta, headers) {
        Ok(call) => call,
        Err(response) => return response,
    };
    let result = match call.welcome().await {
        Ok((asker, ContentType::Json)) => from_json(&call, &asker, body).await,
        Ok((asker, ContentType::Multipart(boundary))) => {
            multipart::answer(&call, &asker, boundary, body).await
        }
        Err(refusal) => {
            linger(&call, body);
            Err(refusal)
        }
    };
    call.conclude(result)
}

/// Takes for a while what a client sends although it is refused.
fn linger<E>(call: &Call<E>, body: Body) {
    // Whoever asks before it sends is told no.
    if !call.headers.contains_key(header::EXPECT) {
        let state = &call.state;
        tokio::spawn(drain(body, state.limits.drain_time, state.shutdown.clone()));
    }
}

/// Reads what nobody wants, for a while: a connection that is closed with something unread takes its answer with it, and the
/// client, not knowing why, tries again.
pub(super) async fn drain(body: Body, patience: Duration, stop: CancellationToken) {
    let mut chunks = body.into_data_stream();
    let reading = async { while let Some(Ok(_)) = chunks.next().await {} };
    stop.run_until_cancelled(tokio::time::timeout(patience, reading)).await;
}

/// One HTTP request, but for its body.
pub(super) struct Call<E> {
    pub(super) state: GraphqlState<E>,
    pub(super) meta: RequestMeta,
    pub(super) media: MediaType,
    pub(super) headers: HeaderMap,
    /// What the asker has left, once it is known.
    balance: OnceLock<Balance>,
}

impl<E> Call<E> {
    /// Settles the media type of the answer; where there is none, this is the answer.
    #[expect(clippy::result_large_err, reason = "it is on its way to the client")]
    fn new(state: GraphqlState<E>, meta: RequestMeta, headers: HeaderMap) -> Result<Self, Response> {
        let Some(media) = MediaType::negotiate(&headers) else {
            let message = "Accept application/graphql-response+json, application/json or text/event-stream.";
            let refusal = Refusal::http(StatusCode::NOT_ACCEPTABLE, message);
            return Err(refuse(refusal, MediaType::Json, &meta.request_id));
        };
        Ok(Self { state, meta, media, headers, balance: OnceLock::new() })
    }

    /// The answer, with what the asker has left.
    fn conclude(&self, result: Result<Response, Refusal>) -> Response {
        let mut response = result.unwrap_or_else(|refusal| match (self.media, refusal.status) {
            // A document that will not do is told in the stream, as the protocol has it.
            (MediaType::EventStream, None) => sse::refuse(refusal, &self.meta),
            _ => refuse(refusal, self.media, &self.meta.request_id),
        });
        if let Some(balance) = self.balance.get() {
            balance.tell(response.headers_mut());
        }
        response
    }

    /// What is decided before the body is read: what it should be, and from whom it comes.
    async fn welcome(&self) -> Result<(Authenticated, ContentType), Refusal> {
        let content = ContentType::of(&self.headers)?;
        let limits = &self.state.limits;
        let (asker, longest) = match content {
            ContentType::Json => (self.authenticate().await?, limits.json_bytes as u64),
            ContentType::Multipart(_) => (multipart::welcome(self).await?, multipart::longest(limits)),
        };
        self.check_length(longest)?;
        Ok((asker, content))
    }

    /// Tells who asks, before the body is read.
    pub(super) async fn authenticate(&self) -> Result<Authenticated, Refusal> {
        let authorization = match self.headers.get(header::AUTHORIZATION) {
            Some(value) => Some(value.to_str().map_err(|_| Refusal::unauthenticated())?),
            None => None,
        };
        let asker = self.state.authenticator.authenticate(authorization, &self.meta).await;
        asker
            .inspect_err(|refusal| {
                if let AuthRefusal::RateLimited(Overdraft::Wait { balance, .. }) = refusal {
                    let _ = self.balance.set(*balance);
                }
            })
            .map_err(Into::into)
    }

    /// Takes an operation from the asker's budget.
    pub(super) async fn charge(
        &self,
        asker: &Authenticated,
        operation: &mut Operation,
    ) -> Result<(), Refusal> {
        let spent = operation.charge(asker, &self.state).await;
        if let Ok(Some(balance)) | Err(Overdraft::Wait { balance, .. }) = spent {
            let _ = self.balance.set(balance);
        }
        spent.map(drop).map_err(Into::into)
    }

    /// Refuses a body that says itself that it is too large.
    fn check_length(&self, limit: u64) -> Result<(), Refusal> {
        let length =
            self.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        match length {
            Some(length) if limit < length => Err(body_too_large(limit)),
            _ => Ok(()),
        }
    }
}

fn body_too_large(limit: u64) -> Refusal {
    Refusal::too_large(format!("The body is larger than {limit} bytes."))
}

async fn from_json<E: Executor>(
    call: &Call<E>,
    asker: &Authenticated,
    body: Body,
) -> Result<Response, Refusal> {
    let json = read_json(call, body).await?;
    let limits = &call.state.limits;
    let mut operation = Operation::admit(operation::parse(&json, limits)?, &call.state)?;
    call.charge(asker, &mut operation).await?;
    let operation = operation.attached(asker);
    match (call.media, operation.kind) {
        (MediaType::EventStream, _) => sse::stream(&call.state, &call.meta, asker, operation),
        (_, OperationType::Subscription) => Err(Refusal::http(
            StatusCode::NOT_ACCEPTABLE,
            "Subscriptions need `Accept: text/event-stream` or a WebSocket.",
        )),
        _ => {
            let response = operation.execute(&call.state.schema).await?;
            Ok(respond(response, call.media, &call.meta.request_id))
        }
    }
}

/// The body of a JSON request. What comes beyond the limit is not kept, but taken for a while: see [`drain`].
async fn read_json<E>(call: &Call<E>, body: Body) -> Result<Bytes, Refusal> {
    let limits = &call.state.limits;
    let mut chunks = body.into_data_stream();
    let read = tokio::time::timeout(limits.json_time, read_body(&mut chunks, limits.json_bytes));
    let read =
        read.await.map_err(|_| Refusal::http(StatusCode::REQUEST_TIMEOUT, "The body took too long."))?;
    if read.is_err() {
        linger(call, Body::from_stream(chunks));
    }
    read
}

/// Reads a body, and keeps not a byte more than allowed.
async fn read_body(chunks: &mut BodyDataStream, limit: usize) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::malformed("The body ended early."))?;
        if limit < bytes.len() + chunk.len() {
            return Err(body_too_large(limit as u64));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

enum ContentType {
    Json,
    Multipart(String),
}

impl ContentType {
    /// Anything but JSON and multipart is refused: browsers send `text/plain` across sites without asking.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
        if essence.trim().eq_ignore_ascii_case("application/json") && is_utf8(parameters) {
            return Ok(Self::Json);
        }
        if essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            let boundary = multer::parse_boundary(value)
                .map_err(|_| Refusal::malformed("The multipart boundary is missing."))?;
            return Ok(Self::Multipart(boundary));
        }
        let message = "Send application/json in UTF-8, or multipart/form-data for uploads.";
        Err(Refusal::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
    }
}

fn is_utf8(parameters: &str) -> bool {
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8"))
}

/// What the client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    GraphqlResponse,
    Json,
    EventStream,
}

impl MediaType {
    /// The best of what `Accept` lists, the first of equals; `None` when nothing of it can be served.
    /// No header and wildcards mean `application/json`.
    fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        let mut listed = false;
        for value in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
            for range in value.split(',').filter(|range| !range.trim().is_empty()) {
                listed = true;
                let (media, quality) = Self::parse_range(range);
                let Some(media) = media else { continue };
                if quality > best.map_or(0.0, |(_, best)| best) {
                    best = Some((media, quality));
                }
            }
        }
        if listed { best.map(|(media, _)| media) } else { Some(Self::Json) }
    }

    fn parse_range(range: &str) -> (Option<Self>, f32) {
        let mut parameters = range.split(';').map(str::trim);
        let media = match parameters.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/graphql-response+json" => Some(Self::GraphqlResponse),
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "text/event-stream" => Some(Self::EventStream),
            _ => None,
        };
        let quality = parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse().ok());
        (media, quality.unwrap_or(1.0))
    }

    /// The `Content-Type` of an answer. Refusals of event streams come as JSON.
    fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json | Self::EventStream => "application/json; charset=utf-8",
        }
    }
}

/// The answer to a request that was not executed.
pub(super) fn refuse(refusal: Refusal, media: MediaType, request_id: &str) -> Response {
    let status = refusal.status;
    let mut response = respond(refusal.into(), media, request_id);
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    response
}

/// The answer to a request that went through the schema.
pub(super) fn respond(response: GraphqlResponse, media: MediaType, request_id: &str) -> Response {
    let mut response = reply::finish(response, request_id);
    let mut headers = std::mem::take(&mut response.http_headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    // Clinical data belongs in nobody's cache.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = status(&response, media);
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(header::RETRY_AFTER, reply::retry_after(&response).as_secs().into());
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    (status, headers, reply::to_json(&reply::body(&response))).into_response()
}

/// The status by the draft of GraphQL over HTTP, and 429 and 401 where nothing but that is to be said.
fn status(response: &GraphqlResponse, media: MediaType) -> StatusCode {
    if reply::has_code(response, code::RATE_LIMITED) {
        StatusCode::TOO_MANY_REQUESTS
    } else if response.data != async_graphql::Value::Null || response.errors.is_empty() {
        StatusCode::OK
    } else if reply::has_code(response, code::UNAUTHENTICATED) {
        StatusCode::UNAUTHORIZED
    } else if reply::is_request_error(response) && media == MediaType::GraphqlResponse {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    }
}

#[cfg(test)]
mod tests;
