//! What the GraphQL transports need from the rest of the server, and nothing more.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Request;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::{Balance, Overdraft, Spender};
use super::guard::DocumentLimits;
use super::guard::cost::PriceList;
use super::persisted::Documents;
use super::reply::Refusal;
use super::seats::Seats;
use crate::auth::presence::Attendance;
use crate::clock::Clock;

/// Everything the transports share; cheap to clone.
#[derive(Clone)]
pub struct GraphqlState<E> {
    /// Executes requests (an `async_graphql::Schema`).
    pub schema: E,
    /// Tells who asks.
    pub authenticator: Arc<dyn Authenticator>,
    /// Tells when a token has run out.
    pub clock: Arc<dyn Clock>,
    /// What a request may be.
    pub limits: Arc<Limits>,
    /// What the schema's fields cost.
    pub prices: Arc<PriceList>,
    /// What is known by its hash.
    pub documents: Arc<Documents>,
    /// The sockets and event streams of everybody who said who they are.
    pub seats: Arc<Seats>,
    /// The sockets of every address that have not said yet whose they are.
    pub doorways: Arc<Seats>,
    /// Cancelled when the server stops: sockets close with 1001, event streams end.
    pub shutdown: CancellationToken,
    /// The open sockets; wait for it after `shutdown`, so that each can say goodbye.
    pub sockets: TaskTracker,
}

/// Bounds of the transports. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What a document may be.
    pub document: DocumentLimits,
    /// Size of a JSON body, of the `operations` part and of a socket message.
    pub json_bytes: usize,
    /// Size of an uploaded file. The whole body may be 2 MiB larger.
    pub upload_bytes: u64,
    /// Where a file that is for several variables is kept while its request lasts.
    pub copies_dir: PathBuf,
    /// How long a JSON body may take to arrive.
    pub json_time: Duration,
    /// How long the next piece of an upload may take to arrive, and a slow socket to take a message.
    pub idle_time: Duration,
    /// How long the rest of an upload is read after its answer is known.
    pub drain_time: Duration,
    /// How long a socket may stay silent before `connection_init`.
    pub init_time: Duration,
    /// Time between two keep-alives of a socket or an event stream.
    pub keep_alive: Duration,
    /// Operations at the same time on one socket.
    pub socket_operations: usize,
    /// Whether GET runs queries.
    pub queries_by_get: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document: DocumentLimits::default(),
            json_bytes: 1 << 20,
            upload_bytes: 100 << 20,
            copies_dir: std::env::temp_dir(),
            json_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(5),
            init_time: Duration::from_secs(10),
            keep_alive: Duration::from_secs(25),
            socket_operations: 100,
            queries_by_get: false,
        }
    }
}

/// Where a request comes from. A layer of the server puts it into the request's extensions.
#[derive(Clone, Debug)]
pub struct RequestMeta {
    /// The client's address (behind trusted proxies: the forwarded one).
    pub ip: IpAddr,
    /// `User-Agent`, as sent.
    pub user_agent: Option<String>,
    /// Names this request in logs and in `extensions.requestId`.
    pub request_id: String,
}

/// Tells who asks.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Reads an `Authorization` value; `None` is an anonymous asker, which is no refusal.
    ///
    /// # Errors
    /// When the value is given and not good, or cannot be checked at the moment.
    async fn authenticate(
        &self,
        authorization: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<Authenticated, AuthRefusal>;
}

/// Gives a request what its resolvers need to know about the asker.
pub type Attach = Arc<dyn Fn(Request) -> Request + Send + Sync>;

/// What an asker may still have executed.
#[async_trait]
pub trait Budget: Send + Sync {
    /// Takes the root fields of an operation, all or none; tells what is left, where there is a limit.
    ///
    /// # Errors
    /// When there are not enough left.
    async fn spend(&self, root_fields: NonZeroU32) -> Result<Option<Balance>, Overdraft>;
}

/// An asker the [`Authenticator`] let in.
#[derive(Clone)]
pub struct Authenticated {
    /// Applied to every request of this asker, after the guard let it pass (its document is parsed).
    pub attach: Attach,
    /// Whose sockets and event streams theirs are.
    pub holder: Spender,
    /// Charged for every operation, before it is executed.
    pub budget: Arc<dyn Budget>,
    /// When the token runs out: sockets and event streams end then.
    pub expires_at: Option<DateTime<Utc>>,
    /// Cancelled when the log-in is revoked: sockets and event streams end at once.
    pub revoked: CancellationToken,
    /// Keeps `revoked` informed as long as one clone of this is held.
    pub attendance: Option<Attendance>,
    /// Whether this is a known asker; anonymous ones may not upload.
    pub known: bool,
}

impl Authenticated {
    /// When the token runs out, on the runtime's clock; `None` is never.
    pub(super) fn deadline(&self, clock: &dyn Clock) -> Option<Instant> {
        let left = (self.expires_at? - clock.now()).to_std().unwrap_or_default();
        Instant::now().checked_add(left)
    }
}

/// Why an asker was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthRefusal {
    /// The token is malformed, expired or revoked.
    Unauthenticated,
    /// The token is not good, and neither were many before it.
    RateLimited(Overdraft),
    /// Tokens cannot be checked at the moment.
    Unavailable,
}

impl From<AuthRefusal> for Refusal {
    fn from(refusal: AuthRefusal) -> Self {
        match refusal {
            AuthRefusal::Unauthenticated => Self::unauthenticated(),
            AuthRefusal::RateLimited(overdraft) => overdraft.into(),
            AuthRefusal::Unavailable => Self::unavailable(),
        }
    }
}

/// Waits for `deadline`, or for ever.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits until the asker's log-in is revoked; for ever while there is no asker.
pub(super) async fn revoked(asker: Option<&Authenticated>) {
    match asker {
        Some(asker) => asker.revoked.cancelled().await,
        None => std::future::pending().await,
    }
}
