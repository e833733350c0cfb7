//! What can go wrong in a feature, in terms its callers act on. The mapping to the API is in `graphql::error`.

use std::fmt;
use std::time::Duration;

use async_graphql::Enum;

use crate::actor::scope::Scope;

/// Why a mutation did not do what was asked. A closed set: clients switch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
#[graphql(name = "UserErrorCode")]
pub enum Code {
    /// A value is missing, malformed or out of range; `field` names it.
    InvalidInput,
    /// There is no such thing, or it is not yours.
    NotFound,
    /// Somebody else changed the thing meanwhile, or it is tied to another one.
    Conflict,
    /// It exists already.
    AlreadyExists,
    /// E-mail, password or the code of a second factor is wrong.
    InvalidCredentials,
    /// The token is unknown, expired, spent or revoked.
    InvalidToken,
    /// The password does not meet the rules.
    WeakPassword,
    /// This role cannot be chosen.
    ForbiddenRole,
    /// The file is not a recording in an accepted format.
    UnsupportedMedia,
    /// The recording is broken or cut off.
    DamagedMedia,
    /// The recording holds no sound.
    SilentMedia,
    /// The file is larger than allowed.
    FileTooLarge,
    /// The thing is not in a state that allows this.
    InvalidState,
    /// The patient's consent for this is missing.
    ConsentRequired,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The first request with this idempotency key is still running.
    IdempotencyInProgress,
    /// The budget for this month is used up.
    BudgetExceeded,
}

/// An expected failure, shown to the user as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    /// What kind of failure.
    pub code: Code,
    /// What to do about it, in one or two sentences.
    pub message: String,
    /// The input field at fault, in the API's spelling.
    pub field: Option<&'static str>,
}

impl UserError {
    /// A failure that no single field is to blame for.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// The same, with the field at fault.
    #[must_use]
    pub fn on(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// A value is missing, malformed or out of range.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidInput, message).on(field)
    }

    /// There is no such thing, or it is not the asker's; both read the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}."))
    }
}

/// The error of every feature.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is logged in, or the token is no longer good.
    #[error("Log in first: this needs a valid access token.")]
    Unauthenticated,
    /// The asker's role does not allow this.
    #[error("Your role does not allow this.")]
    Forbidden,
    /// An API key asks for what is for people only.
    #[error("API keys cannot do this. Log in instead.")]
    NotForKeys,
    /// The API key that asks was not made for this.
    #[error("This needs the scope `{}`, which this API key does not have. Make a key that has it.", .0.as_str())]
    LacksScope(Scope),
    /// An argument of a query or subscription is malformed or out of range.
    #[error("{0}")]
    BadRequest(String),
    /// Missing or not the asker's, in a query or subscription.
    #[error("There is no such {0}.")]
    NotFound(&'static str),
    /// An expected failure of a mutation.
    #[error("{0}")]
    User(UserError),
    /// Too many requests.
    #[error("Too many requests. Try again in {} seconds.", .0.as_secs().max(1))]
    RateLimited(Duration),
    /// Something we depend on is away for the moment.
    #[error("The service is busy or restarting. Try again in a moment.")]
    Unavailable,
    /// A job's work is no longer wanted, or went to another worker: nothing may be written any more. Only workers meet it.
    #[error("the work has moved on")]
    MovedOn,
    /// The file store is full, not writable or away: logged, never shown.
    #[error(
        "Files cannot be stored or read at the moment. Try again in a few minutes; if it goes on, tell whoever runs \
         this server that its file store is full or does not answer."
    )]
    Storage(#[source] anyhow::Error),
    /// A fault of ours: logged, never shown.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<UserError> for Error {
    fn from(error: UserError) -> Self {
        Self::User(error)
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        match error {
            sea_orm::DbErr::ConnectionAcquire(_) | sea_orm::DbErr::Conn(_) => Self::Unavailable,
            sea_orm::DbErr::Exec(sea_orm::RuntimeErr::SqlxError(error))
            | sea_orm::DbErr::Query(sea_orm::RuntimeErr::SqlxError(error))
                if is_broken(&error) =>
            {
                Self::Unavailable
            }
            other => Self::Internal(anyhow::Error::new(other)),
        }
    }
}

/// Whether the connection is gone rather than the statement wrong: the same may succeed over another one.
fn is_broken(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => true,
        // 08: the connection; 57P: the server is shutting down, starting, or has lost another of its processes.
        E::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        _ => false,
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Internal(anyhow::Error::new(error))
    }
}

/// The result of every feature.
pub type Result<T, E = Error> = std::result::Result<T, E>;
