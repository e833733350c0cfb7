//! A small schema behind the real transports, for their tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_graphql::{Context, Error, ErrorExtensions, Object, Schema, Subscription};
use async_trait::async_trait;
use axum::{Extension, Router};
use chrono::DateTime;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::{Balance, Overdraft, Spender};
use super::guard::cost::{PriceList, Tariff};
use super::seam::{AuthRefusal, Authenticated, Authenticator, Budget, GraphqlState, Limits, RequestMeta};
use super::seats::Seats;
use crate::clock::FixedClock;
use crate::graphql::upload::{Upload, UploadError};

/// Who asks, as the test's authenticator attaches it.
struct Asker(&'static str);

pub(super) struct Query;

#[Object]
impl Query {
    async fn hello(&self, name: Option<String>) -> String {
        format!("Hello, {}!", name.as_deref().unwrap_or("you"))
    }

    async fn who(&self, ctx: &Context<'_>) -> &'static str {
        ctx.data_unchecked::<Asker>().0
    }

    async fn bumps(&self, ctx: &Context<'_>) -> usize {
        ctx.data_unchecked::<Bumps>().0.load(Ordering::SeqCst)
    }

    async fn secret(&self) -> Result<String, Error> {
        Err(Error::new("Log in first.").extend_with(|_, e| e.set("code", "UNAUTHENTICATED")))
    }

    /// An error beside other data: the field is null, the rest is answered.
    async fn maybe_secret(&self) -> Option<Result<String, Error>> {
        Some(Err(Error::new("Log in first.").extend_with(|_, e| e.set("code", "UNAUTHENTICATED"))))
    }

    async fn limited(&self) -> Result<Option<String>, Error> {
        Err(Error::new("Too many.").extend_with(|_, e| {
            e.set("code", "RATE_LIMITED");
            e.set("retryAfter", 7);
        }))
    }

    async fn leak(&self) -> Result<Option<String>, Error> {
        Err(std::io::Error::other("SELECT name FROM patients").into())
    }

    async fn explode(&self) -> String {
        panic_on_purpose()
    }
}

fn panic_on_purpose() -> String {
    panic!("on purpose")
}

#[derive(Default)]
struct Bumps(AtomicUsize);

pub(super) struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self, ctx: &Context<'_>) -> usize {
        ctx.data_unchecked::<Bumps>().0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Reads the file and tells its name and size, or why it broke; also to the test itself.
    async fn measure(&self, ctx: &Context<'_>, file: Upload) -> Result<String, Error> {
        let file = file.value(ctx)?;
        let told = match measure(file.chunks).await {
            Ok(size) => format!("{} {size}", file.filename.unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        let _ = ctx.data_unchecked::<mpsc::UnboundedSender<String>>().send(told.clone());
        Ok(told)
    }

    /// The same of each of several files, one after the other.
    async fn all(&self, ctx: &Context<'_>, files: Vec<Upload>) -> Result<Vec<String>, Error> {
        let mut told = Vec::new();
        for file in files {
            told.push(self.measure(ctx, file).await?);
        }
        Ok(told)
    }

    async fn ignore(&self, file: Upload, nested: Option<Vec<Option<Upload>>>) -> bool {
        let _ = (file, nested);
        true
    }

    /// Takes the file and never reads it.
    async fn hold(&self, ctx: &Context<'_>, file: Upload) -> Result<bool, Error> {
        let _file = file.value(ctx)?;
        std::future::pending().await
    }
}

async fn measure(
    chunks: impl Stream<Item = Result<bytes::Bytes, UploadError>>,
) -> Result<usize, UploadError> {
    let mut chunks = std::pin::pin!(chunks);
    let mut size = 0;
    while let Some(chunk) = chunks.next().await {
        size += chunk?.len();
    }
    Ok(size)
}

pub(super) struct Feed;

#[Subscription]
impl Feed {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        futures::stream::iter(1..=to)
    }

    /// One value, and then nothing for ever.
    async fn forever(&self) -> impl Stream<Item = i32> {
        futures::stream::once(async { 1 }).chain(futures::stream::pending())
    }

    async fn refused(&self) -> Result<futures::stream::Empty<i32>, Error> {
        Err(Error::new("There is no such session.").extend_with(|_, e| e.set("code", "NOT_FOUND")))
    }
}

/// A budget without a bottom.
struct Plenty;

#[async_trait]
impl Budget for Plenty {
    async fn spend(&self, _: NonZeroU32) -> Result<Option<Balance>, Overdraft> {
        Ok(None)
    }
}

struct TestAuthenticator {
    revoked: CancellationToken,
}

#[async_trait]
impl Authenticator for TestAuthenticator {
    async fn authenticate(
        &self,
        authorization: Option<&str>,
        _meta: &RequestMeta,
    ) -> Result<Authenticated, AuthRefusal> {
        let (name, expires_at) = match authorization {
            None => ("nobody", None),
            Some("Bearer good") => ("somebody", None),
            Some("Bearer spent") => ("somebody", Some(DateTime::UNIX_EPOCH)),
            Some("Bearer later") => return Err(AuthRefusal::Unavailable),
            Some(_) => return Err(AuthRefusal::Unauthenticated),
        };
        Ok(Authenticated {
            attach: Arc::new(move |request| request.data(Asker(name))),
            holder: Spender::at(Ipv4Addr::LOCALHOST.into()),
            budget: Arc::new(Plenty),
            expires_at,
            revoked: self.revoked.clone(),
            attendance: None,
            known: authorization.is_some(),
        })
    }
}

/// Sockets and event streams of everybody together.
pub(super) const SEATS: usize = 40;

pub(super) type TestSchema = Schema<Query, Mutation, Feed>;

/// The transports on a port of this machine.
pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    pub(super) router: Router,
    pub(super) state: GraphqlState<TestSchema>,
    pub(super) revoked: CancellationToken,
    /// What `measure` told.
    pub(super) told: mpsc::UnboundedReceiver<String>,
}

impl TestServer {
    pub(super) async fn start() -> Self {
        Self::with_limits(Limits { keep_alive: Duration::from_mins(10), ..Limits::default() }).await
    }

    pub(super) async fn with_limits(limits: Limits) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let revoked = CancellationToken::new();
        let schema = Schema::build(Query, Mutation, Feed).data(Bumps::default()).data(tell).finish();
        let state = GraphqlState {
            prices: Arc::new(PriceList::new(&schema.sdl(), &Tariff::default())),
            documents: Arc::default(),
            seats: Seats::new(SEATS),
            doorways: Seats::new(SEATS),
            schema,
            authenticator: Arc::new(TestAuthenticator { revoked: revoked.clone() }),
            clock: Arc::new(FixedClock::new(DateTime::UNIX_EPOCH)),
            limits: Arc::new(limits),
            shutdown: CancellationToken::new(),
            sockets: TaskTracker::new(),
        };
        let meta = RequestMeta { ip: Ipv4Addr::LOCALHOST.into(), user_agent: None, request_id: "r1".into() };
        let router = super::http::routes(state.clone()).layer(Extension(meta));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = router.clone();
        tokio::spawn(async move { axum::serve(listener, served).await });
        Self { address, router, state, revoked, told }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// A POST of JSON, to be completed.
    pub(super) fn post(&self, body: &serde_json::Value) -> reqwest::RequestBuilder {
        reqwest::Client::new().post(self.url()).json(body)
    }
}
