//! The edge: routes, what every answer carries, and shutdown.

pub mod bearer;
pub mod budget;
pub mod client_address;
pub mod connections;
mod downloads;
pub mod graphiql;
pub mod guard;
pub mod health;
pub mod http;
pub mod multipart;
mod operation;
pub mod persisted;
pub mod reply;
pub mod seam;
pub mod seats;
pub mod sse;
mod tariff;
#[cfg(test)]
mod test_server;
mod uploads;
pub mod ws;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Redirect, Response};
use axum::routing::get;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;
use uuid::Uuid;

use self::bearer::Bearers;
use self::client_address::ClientAddress;
use self::connections::Patience;
use self::guard::DocumentLimits;
use self::guard::cost::PriceList;
use self::seam::{GraphqlState, Limits, RequestMeta};
use self::seats::Seats;
use self::uploads::headers as tus;
use crate::app::App;
use crate::config::Config;
use crate::graphql;

/// How far a body may go beyond the largest file: the upload refuses by itself, and more kindly, what is too large
/// for it; this is for what is absurd.
const ABSURD: u64 = 16;

/// How many times as many sockets of one address may be about to say who they are: behind one address may be many users.
const DOORWAYS: usize = 10;

const BY_DEFAULT: [(HeaderName, &str); 2] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Scripts of listed origins read answers all the same: that is what CORS is for.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=()",
    ),
];

/// Bytes; below, it costs more than it saves.
const COMPRESS_FROM: u16 = 1024;

/// For a year.
const HTTPS_ONLY: &str = "max-age=31536000; includeSubDomains";

/// A server that listens but does not answer yet.
pub struct Server {
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    sockets: TaskTracker,
}

impl Server {
    /// Binds the configured address, and puts the routes together.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(app: Arc<App>, metrics: Option<PrometheusHandle>) -> anyhow::Result<Self> {
        let address = app.config.http.address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| anyhow::anyhow!("HOST, PORT: cannot listen on {address}: {error}"))?;
        let sockets = TaskTracker::new();
        Ok(Self { listener, router: router(&app, metrics, sockets.clone()), app, sockets })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the app stops; then lets requests end, and tells sockets to go elsewhere.
    pub async fn run(self) {
        let (stop, patience) = (self.app.stop.clone(), self.app.config.http.shutdown_timeout);
        let serving = connections::serve(self.listener, self.router, stop.clone(), Patience::default());
        let impatient = async {
            stop.cancelled().await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            () = serving => {}
            () = impatient => tracing::warn!("requests were still running at shutdown"),
        }
        self.sockets.close();
        let _ = tokio::time::timeout(patience, self.sockets.wait()).await;
    }
}

fn router(app: &Arc<App>, metrics: Option<PrometheusHandle>, sockets: TaskTracker) -> Router {
    let http = &app.config.http;
    let bearers = Arc::new(Bearers::new(app.clone()));
    let uploads = uploads::routes(app.clone(), bearers.clone(), sockets.clone());
    let downloads = downloads::routes(app.clone(), bearers.clone());
    let schema = graphql::Api::new(http.introspection);
    let state = GraphqlState {
        prices: Arc::new(PriceList::new(&schema.sdl(), &tariff::TARIFF)),
        documents: Arc::default(),
        seats: Seats::new(app.config.limits.sockets),
        doorways: Seats::new(app.config.limits.sockets.saturating_mul(DOORWAYS)),
        schema,
        authenticator: bearers,
        clock: app.clock.clone(),
        limits: Arc::new(Limits {
            document: DocumentLimits { cost: app.config.limits.query_cost, ..DocumentLimits::default() },
            upload_bytes: app.config.upload.max_bytes.saturating_mul(ABSURD),
            copies_dir: app.config.storage.spool_dir.clone(),
            queries_by_get: http.graphql_get,
            ..Limits::default()
        }),
        shutdown: app.stop.clone(),
        sockets,
    };
    let routes = Router::new()
        .route("/", get(ping).with_state(http.graphiql))
        .merge(self::http::routes(state))
        .merge(health::routes(app.clone(), metrics))
        .merge(graphiql::routes(http.graphiql))
        .layer(compression())
        .merge(uploads)
        .merge(downloads);
    wrapped(routes, &app.config)
}

/// Texts that are worth it, event streams excepted: those must not wait for each other. What is secret in an answer is
/// safe from guesses by its length, for nobody but who holds the token can have one made: no browser adds tokens by itself.
fn compression() -> CompressionLayer<impl Predicate> {
    let worth_it = DefaultPredicate::new().and(SizeAbove::new(COMPRESS_FROM));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it)
}

/// Routes with all that goes around them; outermost what every answer gets, also that of a panic.
fn wrapped(routes: Router, config: &Config) -> Router {
    let trusted: Arc<[IpNet]> = config.http.trusted_proxies.clone().into();
    routes
        .layer(cors(&config.http.cors_allowed_origins))
        .layer(middleware::from_fn_with_state(config.upload.max_bytes, uploads::tell_abilities))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(trusted, accompany))
}

/// Where a browser is sent to the playground, and a machine gets a sign of life.
async fn ping(State(graphiql): State<bool>, headers: HeaderMap) -> Response {
    let wants_html =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
            accept.split(',').next().is_some_and(|first| first.trim().starts_with("text/html"))
        });
    if graphiql && wants_html {
        return Redirect::temporary("/graphiql").into_response();
    }
    Json(serde_json::json!({ "service": "therapybridge", "status": "ok" })).into_response()
}

/// Gives every request an id, a log line and what the transports know of it; and every answer its headers.
async fn accompany(
    State(trusted): State<Arc<[IpNet]>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = std::time::Instant::now();
    let client = ClientAddress::of(peer.ip(), request.headers(), &trusted);
    let meta = meta(client.ip, request.headers());
    let request_id = meta.request_id.clone();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(meta);
    request.extensions_mut().insert(client);
    // At `error`, so that it is there at every level: whoever looks for a request's id finds all of its lines.
    let span = tracing::error_span!("request", request_id);
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    set(headers, HeaderName::from_static("x-request-id"), &request_id);
    protect(headers, client.https);
    let (status, seconds) = (response.status().as_u16(), started.elapsed().as_secs_f64());
    metrics::histogram!("http_request_seconds", "status" => status.to_string()).record(seconds);
    tracing::debug!(%method, path, status, seconds, request_id, "request");
    response
}

/// What browsers are told not to do with an answer. A page may have a policy of its own.
fn protect(headers: &mut HeaderMap, https: bool) {
    for (name, value) in BY_DEFAULT {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The client's own request id is taken over where it is a sane one, so that logs can be followed across services.
fn meta(ip: IpAddr, headers: &HeaderMap) -> RequestMeta {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let request_id = text(HeaderName::from_static("x-request-id")).filter(sane).map(Into::into);
    RequestMeta {
        ip,
        user_agent: text(header::USER_AGENT).map(|agent| agent.chars().take(400).collect()),
        request_id: request_id.unwrap_or_else(|| Uuid::now_v7().to_string()),
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::HEAD, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("apollo-require-preflight"),
            HeaderName::from_static("x-request-id"),
            header::RANGE,
            header::IF_RANGE,
            tus::TUS_RESUMABLE,
            tus::UPLOAD_OFFSET,
            tus::UPLOAD_LENGTH,
            tus::UPLOAD_DEFER_LENGTH,
            tus::UPLOAD_METADATA,
            tus::UPLOAD_CHECKSUM,
            tus::METHOD_OVERRIDE,
        ])
        .expose_headers([
            HeaderName::from_static("x-request-id"),
            header::RETRY_AFTER,
            header::LOCATION,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ACCEPT_RANGES,
            header::ETAG,
            budget::RATE_LIMIT,
            budget::RATE_LIMIT_POLICY,
            tus::TUS_RESUMABLE,
            tus::TUS_VERSION,
            tus::TUS_EXTENSION,
            tus::TUS_MAX_SIZE,
            tus::TUS_CHECKSUM_ALGORITHM,
            tus::UPLOAD_OFFSET,
            tus::UPLOAD_LENGTH,
            tus::UPLOAD_DEFER_LENGTH,
            tus::UPLOAD_METADATA,
            tus::UPLOAD_EXPIRES,
        ])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::body::Body;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_answer_of_a_panic_is_protected_and_tells_nothing() {
        let config = Config::from_vars(HashMap::new()).unwrap();
        let panics = get(async || -> () { panic!("a secret") });
        let routes = wrapped(Router::new().route("/", panics), &config);
        let peer = ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711)));
        let request = Request::builder().extension(peer).body(Body::empty()).unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 500);
        for name in ["content-security-policy", "x-content-type-options", "x-frame-options", "x-request-id"] {
            assert!(answer.headers().contains_key(name), "{name}");
        }
        let body = axum::body::to_bytes(answer.into_body(), 1 << 10).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
