//! Uploads by the GraphQL multipart request specification, one file a request, streamed into its resolver; where it is for
//! several variables, each has a copy of its own.
//!
//! The parts must come in the specification's order (`operations`, `map`, the file): the resolver runs while
//! the file arrives, and the file waits for the resolver, so that neither a slow disk nor a fast client
//! makes the process grow.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Value, Variables};
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use multer::{Field, Multipart};
use tokio_util::sync::CancellationToken;

use super::http::{self, Call, MediaType};
use super::operation::{self, Operation};
use super::reply::Refusal;
use super::seam::{Authenticated, Limits, revoked};
use crate::graphql::upload::{self, Upload, UploadError, UploadSender, UploadSlot};

/// A browser sends no header of this name across sites without asking first.
const PREFLIGHT: &str = "apollo-require-preflight";
/// What multer gets a poll, whether it needs it or not.
const SLICE_BYTES: usize = 32 << 10;
/// What the headers of a part may take, with the slices multer reads ahead.
const HEADER_BYTES: u64 = 256 << 10;
const MAP_BYTES: usize = 16 << 10;
/// What a body may hold beside the file.
const EXTRA_BYTES: u64 = 2 << 20;

/// Lets somebody in who is known, with a request that no other site can have made.
pub(super) async fn welcome<E>(call: &Call<E>) -> Result<Authenticated, Refusal> {
    if call.headers.get(PREFLIGHT).is_none_or(HeaderValue::is_empty) {
        return Err(Refusal::malformed(format!("Uploads need the header `{PREFLIGHT}: true`.")));
    }
    let asker = call.authenticate().await?;
    if asker.known { Ok(asker) } else { Err(Refusal::unauthenticated()) }
}

/// The longest body there may be.
pub(super) fn longest(limits: &Limits) -> u64 {
    limits.upload_bytes.saturating_add(EXTRA_BYTES)
}

/// Answers a multipart request.
pub(super) async fn answer<E: Executor>(
    call: &Call<E>,
    asker: &Authenticated,
    boundary: String,
    body: Body,
) -> Result<Response, Refusal> {
    let limits = &call.state.limits;
    let mut form = Form::new(body, boundary, limits.idle_time);
    let ready = prepare(call, asker, &mut form).await;
    let (mut operation, file, variables) = match ready {
        Ok(ready) => ready,
        Err(refusal) => {
            form.linger(limits.drain_time, call.state.shutdown.clone());
            return Err(refusal);
        }
    };

    let (sender, incoming) =
        upload::channel(file.file_name().map(str::to_owned), file.content_type().map(ToString::to_string));
    operation.request.data.insert(UploadSlot::new(incoming, variables, &limits.copies_dir));
    let operation = operation.attached(asker);
    // When the client goes away this future is dropped where it stands, and the sender with it: the mutation
    // goes on in its task, finds the file broken and clears up.
    let execution = operation.execute(&call.state.schema);
    let (response, pumped) =
        tokio::join!(execution, pump(&mut form, file, sender, (asker, limits.drain_time)));
    pumped?;
    Ok(http::respond(response?, call.media, &call.meta.request_id))
}

/// Everything that comes before the file's bytes, and how many variables the file is for.
async fn prepare<E: Executor>(
    call: &Call<E>,
    asker: &Authenticated,
    form: &mut Form,
) -> Result<(Operation, Field<'static>, usize), Refusal> {
    let (mut operation, target) = form.operation(call).await?;
    call.charge(asker, &mut operation).await?;
    let file = form.file(&target.part, call.state.limits.upload_bytes).await?;
    Ok((operation, file, target.paths.len()))
}

/// Passes the file on to its resolver, and the good end only when it is clear that no other part follows.
async fn pump(
    form: &mut Form,
    mut file: Field<'static>,
    sender: UploadSender,
    (asker, drain_time): (&Authenticated, Duration),
) -> Result<(), Refusal> {
    let ended = loop {
        let chunk = tokio::select! {
            chunk = within(form.idle_time, file.chunk()) => chunk.transpose(),
            () = sender.unread() => break None,
            // Nothing is taken from somebody who was let out meanwhile.
            () = revoked(Some(asker)) => break Some(Err(UploadError::Aborted)),
        };
        let Some(chunk) = chunk else { break Some(Ok(())) };
        match chunk {
            Ok(chunk) => {
                if !sender.chunk(chunk).await {
                    break None;
                }
            }
            Err(error) => break Some(Err(error)),
        }
    };
    drop(file);
    let Some(mut ended) = ended else {
        // The answer is known. Clients read it only when they got rid of their body, or most of it.
        let _ = tokio::time::timeout(drain_time, form.drain()).await;
        return Ok(());
    };
    if ended.is_ok() {
        ended = form.end().await;
    }
    sender.end(ended).await;
    match ended {
        Err(UploadError::MoreThanOne) => Err(Refusal::malformed(UploadError::MoreThanOne.to_string())),
        _ => Ok(()),
    }
}

async fn within<T>(
    idle_time: Duration,
    reading: impl Future<Output = multer::Result<T>>,
) -> Result<T, UploadError> {
    match tokio::time::timeout(idle_time, reading).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(multer::Error::StreamReadFailed(error))) if error.is::<OverAllowance>() => {
            Err(UploadError::TooLarge)
        }
        Ok(Err(_)) => Err(UploadError::Aborted),
        Err(_) => Err(UploadError::Stalled),
    }
}

/// A multipart body, read part by part.
struct Form {
    parts: Multipart<'static>,
    allowance: Arc<AtomicU64>,
    idle_time: Duration,
}

impl Form {
    fn new(body: Body, boundary: String, idle_time: Duration) -> Self {
        let allowance = Arc::new(AtomicU64::new(0));
        let metered = Metered {
            body: body.into_data_stream(),
            chunk: Bytes::new(),
            allowance: Arc::clone(&allowance),
            paused: false,
        };
        Self { parts: Multipart::new(metered, boundary), allowance, idle_time }
    }

    /// The operation in `operations`, with a placeholder wherever `map` puts the file.
    async fn operation<E: Executor>(&mut self, call: &Call<E>) -> Result<(Operation, Target), Refusal> {
        let limits = &call.state.limits;
        let operations = self.text("operations", limits.json_bytes).await?;
        let mut operation = Operation::admit(operation::parse(&operations, limits)?, &call.state)?;
        if operation.kind == OperationType::Subscription || call.media == MediaType::EventStream {
            let message = "Uploads answer with JSON only.";
            return Err(Refusal::http(StatusCode::NOT_ACCEPTABLE, message));
        }
        let map = self.text("map", MAP_BYTES).await?;
        let target = Target::parse(&map)?;
        for path in &target.paths {
            place(&mut operation.request.variables, path)?;
        }
        Ok((operation, target))
    }

    async fn next(&mut self, bytes: u64) -> Result<Option<Field<'static>>, UploadError> {
        self.allowance.store(HEADER_BYTES + bytes, Ordering::Relaxed);
        within(self.idle_time, self.parts.next_field()).await
    }

    async fn text(&mut self, name: &str, limit: usize) -> Result<Vec<u8>, Refusal> {
        let missing = || Refusal::malformed(format!("The part `{name}` is missing or not in its place."));
        let field = self.next(limit as u64).await.map_err(refusal)?;
        let mut field = field.filter(|field| field.name() == Some(name)).ok_or_else(missing)?;
        let mut text = Vec::new();
        while let Some(chunk) = within(self.idle_time, field.chunk()).await.map_err(refusal)? {
            text.extend_from_slice(&chunk);
            if limit < text.len() {
                return Err(Refusal::too_large(format!("The part `{name}` is larger than {limit} bytes.")));
            }
        }
        Ok(text)
    }

    async fn file(&mut self, name: &str, upload_bytes: u64) -> Result<Field<'static>, Refusal> {
        let field = self.next(upload_bytes + EXTRA_BYTES).await.map_err(refusal)?;
        let missing = || Refusal::malformed("The part that `map` names for the file is missing.");
        field.filter(|field| field.name() == Some(name)).ok_or_else(missing)
    }

    /// Reads to the closing boundary.
    async fn end(&mut self) -> Result<(), UploadError> {
        match self.next(0).await? {
            Some(_) => Err(UploadError::MoreThanOne),
            None => Ok(()),
        }
    }

    /// Reads on for a while after a refusal, as [`http::drain`] does.
    fn linger(mut self, patience: Duration, stop: CancellationToken) {
        self.allowance.store(u64::MAX, Ordering::Relaxed);
        let reading = async move { stop.run_until_cancelled(self.drain()).await };
        tokio::spawn(tokio::time::timeout(patience, reading));
    }

    /// Reads on without keeping anything, within the allowance of the file.
    async fn drain(&mut self) {
        while let Ok(Some(_)) = self.parts.next_field().await {}
    }
}

fn refusal(error: UploadError) -> Refusal {
    match error {
        UploadError::TooLarge => Refusal::too_large("A part of the body is too large."),
        UploadError::Stalled => Refusal::http(StatusCode::REQUEST_TIMEOUT, "The body took too long."),
        _ => Refusal::malformed("The multipart body is malformed or ended early."),
    }
}

/// What `map` says: the file's part, and the variables it is for.
struct Target {
    part: String,
    paths: Vec<String>,
}

impl Target {
    fn parse(map: &[u8]) -> Result<Self, Refusal> {
        let map: BTreeMap<String, Vec<String>> = serde_json::from_slice(map)
            .map_err(|_| Refusal::malformed("`map` must be a JSON object of lists of variable paths."))?;
        let mut entries = map.into_iter();
        match (entries.next(), entries.next()) {
            (Some((part, paths)), None) if !paths.is_empty() => Ok(Self { part, paths }),
            (Some(_), None) => Err(Refusal::malformed("`map` must give the file to a variable.")),
            _ => Err(Refusal::malformed("`map` must name exactly one file: send one file a request.")),
        }
    }
}

/// Puts the placeholder of the file where `path` points: at a null, as the specification asks.
fn place(variables: &mut Variables, path: &str) -> Result<(), Refusal> {
    match variable_at(variables, path) {
        Some(spot @ Value::Null) => {
            *spot = Upload::placeholder();
            Ok(())
        }
        _ => Err(Refusal::malformed("`map` must point at a variable that is null in `operations`.")),
    }
}

fn variable_at<'a>(variables: &'a mut Variables, path: &str) -> Option<&'a mut Value> {
    let mut steps = path.strip_prefix("variables.")?.split('.');
    let first = variables.get_mut(steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::List(items) => items.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The body, metered: multer reads on as long as bytes are there and keeps them all, so it gets a slice a
/// poll, and an error when it asks for more than the part being read may take.
struct Metered {
    body: BodyDataStream,
    chunk: Bytes,
    allowance: Arc<AtomicU64>,
    paused: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the body is larger than allowed")]
struct OverAllowance;

impl Stream for Metered {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Some(Err(OverAllowance.into())));
        }
        while self.chunk.is_empty() {
            match std::task::ready!(self.body.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.chunk.len().min(SLICE_BYTES);
        let slice = self.chunk.split_to(length);
        self.allowance.store(left.saturating_sub(length as u64), Ordering::Relaxed);
        self.paused = true;
        Poll::Ready(Some(Ok(slice)))
    }
}

#[cfg(test)]
mod tests;
