//! What goes back to the client: refusals of the transport, and the finishing touches on every response.

use std::collections::BTreeMap;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};
use axum::http::StatusCode;
use serde::Serialize;

use super::guard::cost::Cost;

/// The closed set of `extensions.code` this layer gives by itself.
pub mod code {
    /// Log in first.
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    /// The request is malformed.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// The document does not fit the schema.
    pub const VALIDATION_FAILED: &str = "VALIDATION_FAILED";
    /// The request is larger, deeper or dearer than allowed.
    pub const LIMIT_EXCEEDED: &str = "LIMIT_EXCEEDED";
    /// Too many requests; `retryAfter` says how many seconds to wait.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// Try again in a moment.
    pub const UNAVAILABLE: &str = "UNAVAILABLE";
    /// No document is known by this hash; send it along.
    pub const PERSISTED_QUERY_NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";
    /// A fault of ours.
    pub const INTERNAL: &str = "INTERNAL";
}

/// Errors an answer may carry; the rest is counted in the response's `extensions.errorsOmitted`.
const MAX_ERRORS: usize = 20;
/// Characters of a message: enough to tell what is wrong, too few to echo a document.
const MAX_MESSAGE: usize = 300;
/// How long somebody waits for a seat, at least: nobody knows when one is left.
const SEAT_WAIT: Duration = Duration::from_secs(10);
/// async-graphql's messages about its own limits carry no code.
const LIMIT_MESSAGES: [&str; 5] = [
    "Query is too complex",
    "Query is nested too deep",
    "The number of directives",
    "The amount of aliases",
    "The recursion depth",
];

/// A request that was not executed.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status; `None` for a well-formed request with a document that will not do, whose status
    /// depends on the media type of the answer.
    pub status: Option<StatusCode>,
    /// One of [`code`].
    pub code: &'static str,
    /// What to do about it.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What was asked for, where that was too dear.
    pub cost: Option<Cost>,
}

impl Refusal {
    /// The HTTP request itself is not as it should be.
    pub fn http(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: Some(status), code: code::BAD_REQUEST, message, retry_after: None, cost: None }
    }

    /// The request is not a well-formed GraphQL request.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::http(StatusCode::BAD_REQUEST, message)
    }

    /// The body is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { code: code::LIMIT_EXCEEDED, ..Self::http(StatusCode::PAYLOAD_TOO_LARGE, message) }
    }

    /// The document will not do.
    pub fn document(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: None, code, message: message.into(), retry_after: None, cost: None }
    }

    /// The operation costs more than one may.
    pub fn too_dear(cost: Cost) -> Self {
        let Cost { requested, limit } = cost;
        let message = format!(
            "The operation costs {requested} points, and may cost {limit}: ask for smaller pages, or for less of each row."
        );
        Self { cost: Some(cost), ..Self::document(code::LIMIT_EXCEEDED, message) }
    }

    /// The asker has as many sockets and event streams as one may.
    pub fn too_many_seats(most: usize) -> Self {
        let message =
            format!("You have {most} sockets and event streams open, and may have no more. Close one first.");
        let refusal = Self::http(StatusCode::TOO_MANY_REQUESTS, message);
        Self { code: code::RATE_LIMITED, retry_after: Some(SEAT_WAIT), ..refusal }
    }

    /// The document is not known by this hash: send it along.
    pub fn unknown_document() -> Self {
        Self::document(code::PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
    }

    /// Log in first.
    pub fn unauthenticated() -> Self {
        let message = "Log in first: this needs a valid access token.";
        Self { code: code::UNAUTHENTICATED, ..Self::http(StatusCode::UNAUTHORIZED, message) }
    }

    /// Something we depend on is away.
    pub fn unavailable() -> Self {
        let message = "The service is busy or restarting. Try again in a moment.";
        Self { code: code::UNAVAILABLE, ..Self::http(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// A fault of ours, which was logged.
    pub fn internal() -> Self {
        Self { code: code::INTERNAL, ..Self::http(StatusCode::INTERNAL_SERVER_ERROR, "internal error") }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let mut error = ServerError::new(refusal.message, None);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", refusal.code);
        if let Some(wait) = refusal.retry_after {
            extensions.set("retryAfter", wait.as_secs().max(1));
        }
        if let Some(cost) = refusal.cost {
            extensions.set("cost", cost.value());
        }
        Self::from_errors(vec![error])
    }
}

/// Gives every error its `code`, `requestId` and `retryable`, and bounds their number and length.
pub fn finish(mut response: Response, request_id: &str) -> Response {
    let omitted = response.errors.len().saturating_sub(MAX_ERRORS);
    response.errors.truncate(MAX_ERRORS);
    for error in &mut response.errors {
        finish_error(error, request_id);
    }
    if omitted > 0 {
        response = response.extension("errorsOmitted", Value::from(omitted));
    }
    response
}

fn finish_error(error: &mut ServerError, request_id: &str) {
    let given = code_of(error).map(str::to_owned);
    let code = given.unwrap_or_else(|| classify(error, request_id));
    if let Some((end, _)) = error.message.char_indices().nth(MAX_MESSAGE) {
        error.message.truncate(end);
        error.message.push('…');
    }
    let extensions = error.extensions.get_or_insert_default();
    if extensions.get("retryable").is_none() {
        extensions.set("retryable", code == code::UNAVAILABLE || code == code::RATE_LIMITED);
    }
    extensions.set("code", code);
    extensions.set("requestId", request_id);
}

/// The code of an error that no resolver of ours made: async-graphql's own, or one that slipped through `?`.
fn classify(error: &mut ServerError, request_id: &str) -> String {
    let code = if error.source.is_some() {
        // Its text is not written for clients (it may be SQL), nor fit for a log line.
        tracing::error!(request_id, path = ?error.path, "a resolver returned an error without a code");
        "internal error".clone_into(&mut error.message);
        code::INTERNAL
    } else if LIMIT_MESSAGES.iter().any(|limit| error.message.starts_with(limit)) {
        code::LIMIT_EXCEEDED
    } else if error.path.is_empty() {
        code::VALIDATION_FAILED
    } else {
        code::BAD_REQUEST
    };
    code.to_owned()
}

fn extension<'a>(error: &'a ServerError, name: &str) -> Option<&'a Value> {
    error.extensions.as_ref().and_then(|values: &ErrorExtensionValues| values.get(name))
}

fn code_of(error: &ServerError) -> Option<&str> {
    match extension(error, "code") {
        Some(Value::String(code)) => Some(code),
        Some(Value::Enum(code)) => Some(code),
        _ => None,
    }
}

/// Whether an error of the response has this code.
pub(super) fn has_code(response: &Response, code: &str) -> bool {
    response.errors.iter().any(|error| code_of(error) == Some(code))
}

/// The longest wait an error asks for in `retryAfter`, in whole seconds (at least one).
pub(super) fn retry_after(response: &Response) -> Duration {
    let seconds = response.errors.iter().filter_map(|error| match extension(error, "retryAfter") {
        Some(Value::Number(seconds)) => seconds.as_u64(),
        _ => None,
    });
    Duration::from_secs(seconds.max().unwrap_or(1).max(1))
}

/// Whether nothing was executed: the errors belong to the request, not to a field.
pub(super) fn is_request_error(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// Whether the operation ended before it gave anything: for a subscription also when its resolver refused.
pub(super) fn never_started(response: &Response, operation: OperationType) -> bool {
    let refused = operation == OperationType::Subscription
        && response.data == Value::Null
        && !response.errors.is_empty();
    refused || is_request_error(response)
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

/// The response as a JSON value to serialise; `data` is left out when nothing was executed, as the
/// specification asks.
pub(super) fn body(response: &Response) -> impl Serialize + '_ {
    Body {
        errors: &response.errors,
        data: (!is_request_error(response)).then_some(&response.data),
        extensions: &response.extensions,
    }
}

/// Serialises what cannot fail: maps with string keys.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("responses have string keys and no failing serialiser")
}

#[cfg(test)]
mod tests {
    use async_graphql::{Error, PathSegment, Pos};

    use super::*;

    fn json(response: Response) -> serde_json::Value {
        serde_json::from_str(&to_json(&body(&finish(response, "r1")))).unwrap()
    }

    #[test]
    fn errors_are_capped_and_the_rest_is_counted() {
        let errors = (0..9_000).map(|n| ServerError::new(format!("{n}"), None)).collect();
        let json = json(Response::from_errors(errors));
        assert_eq!(json["errors"].as_array().unwrap().len(), MAX_ERRORS);
        assert_eq!(json["extensions"]["errorsOmitted"], 8_980);
    }

    #[test]
    fn messages_are_cut_at_a_character() {
        let json = json(Response::from_errors(vec![ServerError::new("ä".repeat(5_000), None)]));
        assert_eq!(json["errors"][0]["message"].as_str().unwrap().chars().count(), MAX_MESSAGE + 1);
    }

    #[test]
    fn an_error_that_slipped_through_is_internal_and_silent() {
        let slipped = Error::new_with_source("SELECT secret FROM patients").into_server_error(Pos::default());
        let json = json(Response::from_errors(vec![slipped.with_path(vec![PathSegment::Field("a".into())])]));
        assert_eq!(json["errors"][0]["message"], "internal error");
        assert_eq!(json["errors"][0]["extensions"]["code"], "INTERNAL");
        assert_eq!(json["errors"][0]["extensions"]["requestId"], "r1");
    }

    #[test]
    fn what_a_resolver_said_is_kept() {
        let mut error = ServerError::new("wait", None);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", "RATE_LIMITED");
        extensions.set("retryAfter", 7);
        let response = finish(Response::from_errors(vec![error]), "r1");
        assert!(has_code(&response, "RATE_LIMITED"));
        assert_eq!(retry_after(&response), Duration::from_secs(7));
        assert_eq!(json(response)["errors"][0]["extensions"]["retryable"], true);
    }

    #[test]
    fn data_is_left_out_only_when_nothing_was_executed() {
        assert!(json(Refusal::malformed("no").into()).get("data").is_none());
        let bubbled = ServerError::new("x", None).with_path(vec![PathSegment::Field("a".into())]);
        assert!(json(Response::from_errors(vec![bubbled])).get("data").unwrap().is_null());
    }
}
