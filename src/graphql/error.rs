//! The one mapping from errors of features to what clients see.

use std::sync::Arc;

use async_graphql::{ErrorExtensions, SimpleObject};

use super::trail;
use crate::error::{Code, Error, UserError};

/// Why a mutation did not do what was asked.
#[derive(SimpleObject)]
#[graphql(name = "UserError")]
pub(super) struct UserErrorView {
    /// What kind of failure.
    code: Code,
    /// What to do about it.
    message: String,
    /// The input field at fault, if one is.
    field: Option<&'static str>,
}

impl From<UserError> for UserErrorView {
    fn from(UserError { code, message, field }: UserError) -> Self {
        Self { code, message, field }
    }
}

/// An error at the top level of an answer.
#[derive(Clone, Debug)]
pub(super) struct ApiError(Arc<Error>);

impl ApiError {
    /// An error that several resolvers share, because they share a batched read.
    pub(super) fn shared(error: Arc<Error>) -> Self {
        Self(error)
    }
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(Arc::new(error.into()))
    }
}

impl From<ApiError> for async_graphql::Error {
    fn from(ApiError(error): ApiError) -> Self {
        let (code, retryable) = match &*error {
            Error::Unauthenticated => ("UNAUTHENTICATED", false),
            Error::Forbidden | Error::NotForKeys | Error::LacksScope(_) => ("FORBIDDEN", false),
            Error::BadRequest(_) | Error::User(_) => ("BAD_REQUEST", false),
            Error::NotFound(_) => ("NOT_FOUND", false),
            Error::RateLimited(_) => ("RATE_LIMITED", true),
            Error::Unavailable | Error::Storage(_) => ("UNAVAILABLE", true),
            Error::Internal(_) | Error::MovedOn => ("INTERNAL", false),
        };
        match &*error {
            Error::Internal(cause) => tracing::error!(error = ?cause, "a request met an internal error"),
            Error::Storage(cause) => tracing::error!(error = ?cause, "the file store failed"),
            _ => {}
        }
        async_graphql::Error::new(error.to_string()).extend_with(|_, extensions| {
            extensions.set("code", code);
            extensions.set("retryable", retryable);
            if let Error::RateLimited(after) = &*error {
                extensions.set("retryAfter", after.as_secs().max(1));
            }
        })
    }
}

/// What a resolver answers.
pub(super) type ApiResult<T> = Result<T, ApiError>;

/// Splits the result of a mutation into its payload: the thing, or why not.
pub(super) fn payload<T>(result: Result<T, Error>) -> ApiResult<(Option<T>, Vec<UserErrorView>)> {
    match result {
        Ok(thing) => Ok((Some(thing), Vec::new())),
        Err(Error::User(error)) => {
            if error.code == Code::NotFound {
                trail::note_missing();
            }
            Ok((None, vec![error.into()]))
        }
        Err(error) => Err(error.into()),
    }
}
