//! Answers: headers of tus, and plain short text where something is refused.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::checksum::ALGORITHMS;
use super::headers as tus;
use crate::auth::rate_limit::whole_seconds;
use crate::entity::unfinished_upload::Model;
use crate::error::{Code, Error};
use crate::server::budget::Overdraft;
use crate::server::seam::AuthRefusal;
use crate::uploads::{self, Refused};

/// What is spoken beside the core.
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination";
/// When to come back after a restart.
const RESTART: Duration = Duration::from_secs(1);

/// Why a request was not served.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    fn retry_after(self, wait: Duration) -> Self {
        self.with(header::RETRY_AFTER, whole_seconds(wait).as_secs().max(1).into())
    }

    pub(super) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn version() -> Self {
        let message = "Send Tus-Resumable: 1.0.0; no other version is spoken here.";
        let version = HeaderValue::from_static(tus::VERSION);
        Self::new(StatusCode::PRECONDITION_FAILED, message).with(tus::TUS_VERSION, version)
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let message = "This method means nothing here.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
            .with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Log in first: this needs a valid access token.")
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(super) fn too_long() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "That is more than the length this upload was begun with.")
    }

    pub(super) fn stalled() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Nothing came for too long. What had come is kept.")
    }

    pub(super) fn locked() -> Self {
        Self::new(StatusCode::LOCKED, "Another request still writes to this upload. Try again in a moment.")
    }

    pub(super) fn checksum_mismatch() -> Self {
        let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, "The bytes do not match their checksum, and were not kept. Send them again.")
    }

    pub(super) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server restarts. What had come is kept: go on there.")
            .retry_after(RESTART)
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        let status = match refused {
            Refused::NotFound => StatusCode::NOT_FOUND,
            Refused::Gone => StatusCode::GONE,
            Refused::Moved => StatusCode::CONFLICT,
            Refused::TooLarge { .. } | Refused::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refused::TooManyParts | Refused::LengthChanged => StatusCode::BAD_REQUEST,
            Refused::Other(error) => return error.into(),
        };
        Self::new(status, message)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Unauthenticated => return Self::unauthenticated(),
            Error::Internal(cause) => {
                tracing::error!(error = ?cause, "an upload met an internal error");
                return Self::internal();
            }
            Error::MovedOn => return Self::internal(),
            Error::RateLimited(wait) => {
                return Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry_after(*wait);
            }
            Error::Storage(cause) => {
                tracing::error!(error = ?cause, "the file store failed");
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Error::Forbidden | Error::NotForKeys | Error::LacksScope(_) => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::User(user) if user.code == Code::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Error::BadRequest(_) | Error::User(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<AuthRefusal> for Refusal {
    fn from(refusal: AuthRefusal) -> Self {
        match refusal {
            AuthRefusal::Unauthenticated => Self::unauthenticated(),
            AuthRefusal::RateLimited(overdraft) => overdraft.into(),
            AuthRefusal::Unavailable => Error::Unavailable.into(),
        }
    }
}

impl From<Overdraft> for Refusal {
    fn from(overdraft: Overdraft) -> Self {
        let wait = match overdraft {
            Overdraft::Wait { wait, .. } => wait,
            Overdraft::Never { rate } => rate.window,
        };
        Error::RateLimited(whole_seconds(wait)).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.message)).into_response();
        response.headers_mut().extend(self.header);
        spoken(response)
    }
}

/// What can be done here, for OPTIONS.
pub(super) fn abilities(headers: &mut HeaderMap, max_bytes: u64) {
    for (name, value) in [
        (tus::TUS_RESUMABLE, tus::VERSION),
        (tus::TUS_VERSION, tus::VERSION),
        (tus::TUS_EXTENSION, EXTENSIONS),
        (tus::TUS_CHECKSUM_ALGORITHM, ALGORITHMS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(tus::TUS_MAX_SIZE, max_bytes.into());
}

/// An upload has begun.
pub(super) fn created(upload: &Model) -> Response {
    let mut response = moved(upload);
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().remove(tus::UPLOAD_OFFSET);
    if let Ok(location) = HeaderValue::try_from(format!("/uploads/{}", upload.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// An upload has begun, and something of it is there.
pub(super) fn created_with(upload: &Model) -> Response {
    let mut response = created(upload);
    response.headers_mut().insert(tus::UPLOAD_OFFSET, uploads::received(upload).into());
    response
}

/// How far an upload is.
pub(super) fn state(upload: &Model) -> Response {
    let mut response = moved(upload);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    match upload.length {
        Some(_) => headers.insert(tus::UPLOAD_LENGTH, uploads::reserved(upload).into()),
        None => headers.insert(tus::UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if let Some(Ok(metadata)) = upload.metadata.as_deref().map(HeaderValue::from_str) {
        headers.insert(tus::UPLOAD_METADATA, metadata);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Where an upload ends now.
pub(super) fn moved(upload: &Model) -> Response {
    let mut response = spoken(StatusCode::NO_CONTENT.into_response());
    let headers = response.headers_mut();
    headers.insert(tus::UPLOAD_OFFSET, uploads::received(upload).into());
    let expires = upload.expires_at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(expires) = HeaderValue::try_from(expires) {
        headers.insert(tus::UPLOAD_EXPIRES, expires);
    }
    response
}

/// There was an upload.
pub(super) fn terminated() -> Response {
    spoken(StatusCode::NO_CONTENT.into_response())
}

fn spoken(mut response: Response) -> Response {
    response.headers_mut().insert(tus::TUS_RESUMABLE, HeaderValue::from_static(tus::VERSION));
    response
}
