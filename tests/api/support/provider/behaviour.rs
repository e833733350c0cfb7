//! What the scripted provider can do with a call, and how it does it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use super::answers;

/// What the provider does with one call.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// A plausible answer: the transcript spread over the audio, or notes that quote the prompt's lines.
    Ok,
    /// This body, status 200.
    Json(Value),
    /// A chat answer with this content.
    Content(String),
    /// An error with these headers and this body.
    Error { status: u16, headers: Vec<(&'static str, String)>, body: Value },
    /// Closes the connection in the middle of the answer.
    Reset,
    /// Never answers.
    Hang,
    /// Answers a byte at a time, for ever.
    SlowDrip,
    /// Status 200 and a page of HTML.
    Garbage,
    /// The first half of a good answer.
    HalfJson,
    /// A well-formed answer whose notes are of another shape.
    WrongSchema,
    /// Such an answer to every question but one for a repair.
    RightWhenRepaired,
    /// So many bytes of well-formed JSON.
    HugeAnswer(u64),
}

impl Behaviour {
    /// An error as OpenAI words it.
    pub(crate) fn status(status: u16) -> Self {
        Self::coded(status, "some_code")
    }

    /// An error with this `code`.
    pub(crate) fn coded(status: u16, code: &str) -> Self {
        let body =
            json!({"error": {"message": format!("{LEAK} {code}"), "type": "some_error", "code": code}});
        Self::Error { status, headers: Vec::new(), body }
    }

    /// An error that says when to come back.
    pub(crate) fn retry_after(status: u16, wait: Duration) -> Self {
        let Self::Error { body, .. } = Self::status(status) else { unreachable!("it is an error") };
        let headers = vec![
            ("retry-after", wait.as_secs().to_string()),
            ("retry-after-ms", wait.as_millis().to_string()),
        ];
        Self::Error { status, headers, body }
    }

    /// A redirect to another host.
    pub(crate) fn redirect(to: &Url) -> Self {
        Self::Error { status: 307, headers: vec![(LOCATION.as_str(), to.to_string())], body: Value::Null }
    }
}

/// Stands in every error's text for what real providers echo there: it must show up nowhere else.
pub(crate) const LEAK: &str = "LEAKED-PROVIDER-TEXT";

/// Answers one call; `good` is what [`Behaviour::Ok`] answers. The end of an endless answer is told to `hung_up`.
pub(super) async fn perform(
    behaviour: Behaviour,
    good: Value,
    hung_up: &watch::Sender<Option<u64>>,
) -> Response {
    match behaviour {
        Behaviour::Ok | Behaviour::RightWhenRepaired => axum::Json(good).into_response(),
        Behaviour::Json(body) => axum::Json(body).into_response(),
        Behaviour::Content(text) => axum::Json(answers::completion(&text, "stop")).into_response(),
        Behaviour::Error { status, headers, body } => error(status, headers, body),
        Behaviour::Reset => reset(),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::SlowDrip => json_stream(slow_drip()),
        Behaviour::Garbage => format!("<html>{LEAK}</html>").into_response(),
        Behaviour::HalfJson => half(&good).into_response(),
        Behaviour::WrongSchema => axum::Json(answers::wrong_schema()).into_response(),
        Behaviour::HugeAnswer(bytes) => json_stream(huge(bytes, hung_up.clone())),
    }
}

fn error(status: u16, headers: Vec<(&'static str, String)>, body: Value) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
    }
    response
}

/// Promises more than it sends: the server can only close the connection.
fn reset() -> Response {
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("scripted reset"))]);
    ([(CONTENT_LENGTH, "1000")], Body::from_stream(broken)).into_response()
}

fn half(good: &Value) -> String {
    let mut text = good.to_string();
    text.truncate(text.floor_char_boundary(text.len() / 2));
    text
}

fn json_stream(bytes: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(bytes.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn slow_drip() -> impl stream::Stream<Item = Bytes> + Send {
    let ticks = tokio::time::interval(Duration::from_millis(5));
    stream::unfold(ticks, |mut ticks| async {
        ticks.tick().await;
        Some((Bytes::from_static(b" "), ticks))
    })
}

fn huge(bytes: u64, hung_up: watch::Sender<Option<u64>>) -> impl stream::Stream<Item = Bytes> + Send {
    const CHUNK: u64 = 64 << 10;
    let chunk = Bytes::from(vec![b' '; usize::try_from(CHUNK).unwrap()]);
    stream::unfold(Sent { bytes: 0, hung_up }, move |mut sent| {
        let next = (sent.bytes < bytes).then(|| chunk.clone());
        async move {
            sent.bytes += CHUNK;
            next.map(|chunk| (chunk, sent))
        }
    })
}

/// Tells how far an answer got when the connection is done with it.
struct Sent {
    bytes: u64,
    hung_up: watch::Sender<Option<u64>>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.hung_up.send_replace(Some(self.bytes));
    }
}
