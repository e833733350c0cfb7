//! GraphQL over server-sent events, distinct-connections mode: one operation, one POST, one stream.

use std::convert::Infallible;

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::operation::{Answer, Operation};
use super::reply::{self, Refusal};
use super::seam::{Authenticated, GraphqlState, RequestMeta, revoked, until};
use super::seats::Seat;

/// Browsers drop events without a data line, so there is an empty one.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");
/// A comment: keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// Executes any operation and streams its results as `next` events, then `complete`.
///
/// At the end of the token's life the stream says `UNAUTHENTICATED` and completes. When the server stops it
/// ends without `complete`, so that the client connects again.
///
/// # Errors
/// When the asker has too many streams and sockets.
pub(super) fn stream<E: Executor>(
    state: &GraphqlState<E>,
    meta: &RequestMeta,
    asker: &Authenticated,
    operation: Operation,
) -> Result<Response, Refusal> {
    let seat = match operation.kind {
        OperationType::Subscription => {
            let seat = state.seats.take(asker.holder);
            Some(seat.ok_or_else(|| Refusal::too_many_seats(state.seats.most()))?)
        }
        // What is answered once is gone soon.
        _ => None,
    };
    Ok(answer_with(events(state.clone(), meta.request_id.clone(), asker.clone(), (operation, seat))))
}

/// The stream of a document that was refused before it was executed: that, and the end.
pub(super) fn refuse(refusal: Refusal, meta: &RequestMeta) -> Response {
    let events = [next(refused(refusal), &meta.request_id), COMPLETE].map(Ok::<_, Infallible>);
    answer_with(futures::stream::iter(events))
}

fn answer_with(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

#[expect(clippy::large_enum_variant, reason = "it lives for one turn of a loop")]
enum Step {
    Answer(Answer),
    KeepAlive,
    Over,
}

fn events<E: Executor>(
    state: GraphqlState<E>,
    request_id: String,
    asker: Authenticated,
    (operation, seat): (Operation, Option<Seat>),
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        let _seat = seat;
        let deadline = asker.deadline(state.clock.as_ref());
        let lasts = operation.kind == OperationType::Subscription;
        let mut answers = if lasts {
            operation.stream(&state.schema)
        } else {
            // A mutation goes on in its task when the client goes away: nothing must stop half way.
            futures::stream::once(answer(state.schema.clone(), operation)).boxed()
        };
        loop {
            let step = tokio::select! {
                answer = answers.next() => answer.map_or(Step::Over, Step::Answer),
                () = tokio::time::sleep(state.limits.keep_alive) => Step::KeepAlive,
                () = until(deadline) => Step::Answer(refused(Refusal::unauthenticated())),
                // What was asked once is answered once, also where it ended its own log-in.
                () = revoked(lasts.then_some(&asker)) => Step::Answer(refused(Refusal::unauthenticated())),
                () = state.shutdown.cancelled() => return,
            };
            match step {
                Step::KeepAlive => yield Ok(KEEP_ALIVE),
                Step::Over => break,
                Step::Answer(answer) => {
                    let over = reply::is_request_error(&answer.response);
                    yield Ok(next(answer, &request_id));
                    if over {
                        break;
                    }
                }
            }
        }
        yield Ok(COMPLETE);
    }
}

async fn answer<E: Executor>(schema: E, operation: Operation) -> Answer {
    operation.execute(&schema).await.map_or_else(refused, Answer::from)
}

fn refused(refusal: Refusal) -> Answer {
    async_graphql::Response::from(refusal).into()
}

fn next(answer: Answer, request_id: &str) -> Bytes {
    // JSON has no line breaks of its own.
    format!("event: next\ndata: {}\n\n", answer.text(request_id)).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::seam::Limits;
    use super::super::test_server::TestServer;

    async fn open(server: &TestServer, query: &str, token: &str) -> reqwest::Response {
        let request = server.post(&json!({ "query": query })).header("accept", "text/event-stream");
        request.bearer_auth(token).send().await.unwrap()
    }

    #[tokio::test]
    async fn a_subscription_streams_and_completes() {
        let server = TestServer::start().await;
        let response = open(&server, "subscription{count(to: 2)}", "good").await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let cost = r#"{"cost":{"requested":1,"limit":50000,"remaining":49999}}"#;
        let first = format!(r#"{{"data":{{"count":1}},"extensions":{cost}}}"#);
        let rest = "event: next\ndata: {\"data\":{\"count\":2}}\n\nevent: complete\ndata:\n\n";
        assert_eq!(response.text().await.unwrap(), format!("event: next\ndata: {first}\n\n{rest}"));
    }

    #[tokio::test]
    async fn a_query_streams_one_result() {
        let server = TestServer::start().await;
        let text = open(&server, "{who}", "good").await.text().await.unwrap();
        assert!(text.starts_with("event: next\ndata: {\"data\":{\"who\":\"somebody\"},"), "{text}");
        assert!(text.ends_with("}}}\n\nevent: complete\ndata:\n\n"), "{text}");
    }

    #[tokio::test]
    async fn errors_come_as_next_and_complete() {
        let server = TestServer::start().await;
        for (query, code) in
            [("subscription{nothing}", "VALIDATION_FAILED"), ("subscription{refused}", "NOT_FOUND")]
        {
            let text = open(&server, query, "good").await.text().await.unwrap();
            assert!(text.starts_with("event: next\n") && text.contains(code), "{text}");
            assert!(text.ends_with("event: complete\ndata:\n\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_the_guard_refuses_is_told_in_the_stream() {
        let server = TestServer::start().await;
        let killer = format!("subscription{}{}", "{a".repeat(2_000), "}".repeat(2_000));
        for (query, code) in [(killer.as_str(), "LIMIT_EXCEEDED"), ("{", "BAD_REQUEST")] {
            let response = open(&server, query, "good").await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let text = response.text().await.unwrap();
            assert!(text.starts_with("event: next\n") && text.contains(code), "{text}");
            assert!(text.ends_with("event: complete\ndata:\n\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_request_of_somebody_known_is_no_stream() {
        let server = TestServer::start().await;
        let refused = open(&server, "subscription{forever}", "bad").await;
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers()["content-type"], "application/json; charset=utf-8");
        let malformed = server.post(&json!([])).header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(malformed.status(), 400);
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_token() {
        let server = TestServer::start().await;
        let text = open(&server, "subscription{forever}", "spent").await.text().await.unwrap();
        assert!(text.contains("UNAUTHENTICATED") && text.ends_with("event: complete\ndata:\n\n"), "{text}");
    }

    #[tokio::test]
    async fn a_stopping_server_ends_a_stream_without_completing_it() {
        let server = TestServer::start().await;
        let mut response = open(&server, "subscription{forever}", "good").await;
        let first = response.chunk().await.unwrap().unwrap();
        assert!(first.starts_with(b"event: next"));
        server.state.shutdown.cancel();
        assert_eq!(response.chunk().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_quiet_stream_is_kept_alive() {
        let limits = Limits { keep_alive: Duration::from_millis(1), ..Limits::default() };
        let server = TestServer::with_limits(limits).await;
        let mut response = open(&server, "subscription{forever}", "good").await;
        let mut heard = Vec::new();
        while !heard.ends_with(b"}\n\n:\n\n") {
            heard.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
    }
}
