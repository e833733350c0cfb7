//! Signs of life for operators, balancers and Prometheus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::client_address::ClientAddress;
use crate::ai::Provider;
use crate::ai::breaker::{CircuitPhase, CircuitState};
use crate::app::App;
use crate::costs::Work;
use crate::queue::lease::{self, Depth};

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
struct Ops {
    app: Arc<App>,
    metrics: Option<PrometheusHandle>,
    inspector: Arc<Inspector>,
}

pub(super) fn routes(app: Arc<App>, metrics: Option<PrometheusHandle>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(render))
        .with_state(Ops { app, metrics, inspector: Arc::default() })
}

/// Whether the server can serve; with details of its parts for operators.
async fn health(
    State(ops): State<Ops>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Response {
    let parts = ops.inspector.look(&ops.app).await;
    let mut body = json!({ "status": if parts.able() { "ok" } else { "unavailable" } });
    if ops.admits(client, &headers) {
        body["parts"] = parts.details(&ops.app);
    }
    (parts.code(), Json(body)).into_response()
}

/// Whether a balancer should send requests here: not while stopping.
async fn ready(State(ops): State<Ops>) -> Response {
    let parts = ops.inspector.look(&ops.app).await;
    if ops.app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "stopping" }))).into_response();
    }
    (parts.code(), Json(json!({ "status": if parts.able() { "ok" } else { "unavailable" } }))).into_response()
}

async fn render(
    State(ops): State<Ops>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Response {
    let (true, Some(metrics)) = (ops.admits(client, &headers), &ops.metrics) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if let Ok(Ok(depth)) = tokio::time::timeout(PATIENCE, lease::depth(ops.app.pool())).await {
        set_gauges(&depth);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "counts of jobs are far below 2^52")]
fn set_gauges(depth: &Depth) {
    metrics::gauge!("jobs", "state" => "waiting").set(depth.waiting as f64);
    metrics::gauge!("jobs", "state" => "running").set(depth.running as f64);
    metrics::gauge!("jobs", "state" => "dead").set(depth.dead as f64);
    metrics::gauge!("oldest_waiting_job_seconds").set(depth.oldest_seconds.unwrap_or(0.0));
}

impl Ops {
    fn admits(&self, client: ClientAddress, headers: &HeaderMap) -> bool {
        is_operator(client.local, headers, self.app.config.http.ops_token.as_ref())
    }
}

/// This machine, or somebody with `OPS_TOKEN`.
fn is_operator(local: bool, headers: &HeaderMap, token: Option<&SecretString>) -> bool {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let knows = |(bearer, token): (&str, &SecretString)| {
        bool::from(bearer.as_bytes().ct_eq(token.expose_secret().as_bytes()))
    };
    local || bearer.zip(token).is_some_and(knows)
}

/// Looks at one time only once, however many ask: everybody may, and a look costs a connection and a write.
struct Inspector {
    looking: Mutex<Option<Shared<BoxFuture<'static, Arc<Parts>>>>>,
    /// A store that hangs holds one thread, not one for every look.
    store: Arc<Semaphore>,
}

impl Default for Inspector {
    fn default() -> Self {
        Self { looking: Mutex::default(), store: Arc::new(Semaphore::new(1)) }
    }
}

impl Inspector {
    /// What the others who ask at this moment see, too.
    fn look(&self, app: &Arc<App>) -> Shared<BoxFuture<'static, Arc<Parts>>> {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        match looking.as_ref().filter(|look| look.peek().is_none()) {
            Some(look) => look.clone(),
            None => {
                let (app, store) = (app.clone(), self.store.clone());
                let look = async move { Arc::new(Parts::look(&app, store).await) }.boxed().shared();
                // Goes on when those who asked have left, so that nobody finds half a look of long ago.
                tokio::spawn(look.clone());
                looking.insert(look).clone()
            }
        }
    }
}

/// What the server stands on.
struct Parts {
    queue: Result<Depth, String>,
    storage: Result<(), String>,
}

impl Parts {
    async fn look(app: &App, store: Arc<Semaphore>) -> Self {
        let queue = match tokio::time::timeout(PATIENCE, lease::depth(app.pool())).await {
            Ok(depth) => depth.map_err(|error| {
                tracing::warn!(%error, "the database does not answer");
                "does not answer".to_owned()
            }),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let storage = app.storage.clone();
        let checked = async move {
            let turn = store.acquire_owned().await?;
            // Goes on, and keeps its turn, when nobody waits for it any more.
            let check = tokio::spawn(async move {
                let checked = storage.check().await;
                drop(turn);
                checked
            });
            anyhow::Ok(check.await??)
        };
        let storage = match tokio::time::timeout(PATIENCE, checked).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(?error, "files cannot be stored");
                Err("cannot be written to".to_owned())
            }
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        Self { queue, storage }
    }

    fn able(&self) -> bool {
        self.queue.is_ok() && self.storage.is_ok()
    }

    fn code(&self) -> StatusCode {
        if self.able() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }

    fn details(&self, app: &App) -> Value {
        let state = |result: Result<(), &String>| result.map_or_else(Clone::clone, |()| "ok".to_owned());
        json!({
            "database": state(self.queue.as_ref().map(|_| ())),
            "queue": self.queue.as_ref().ok().map(|depth| json!({
                "waiting": depth.waiting,
                "running": depth.running,
                "dead": depth.dead,
                "oldestWaitingSeconds": depth.oldest_seconds,
            })),
            "storage": state(self.storage.as_ref().copied()),
            "providers": {
                "speech": providers(&app.transcriber.providers(), &app.providers.states(Work::Speech)),
                "notes": providers(&app.extractor.providers(), &app.providers.states(Work::Notes)),
            },
        })
    }
}

/// Those who may do a kind of work, in order, and how they fare.
fn providers(providers: &[Provider], states: &[CircuitState]) -> Vec<Value> {
    let shown = |(provider, state): (&Provider, &CircuitState)| {
        let circuit = match state.phase {
            CircuitPhase::Closed => "closed",
            CircuitPhase::HalfOpen => "half-open",
            CircuitPhase::Open => "open",
        };
        json!({
            "name": provider.name,
            "model": provider.model,
            "circuit": circuit,
            "reason": state.reason,
            "until": state.until,
        })
    };
    providers.iter().zip(states).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_operator_with(local: bool, authorization: Option<&'static str>, token: Option<&str>) -> bool {
        let headers = authorization
            .map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let token = token.map(SecretString::from);
        is_operator(local, &headers, token.as_ref())
    }

    #[test]
    fn this_machine_is_an_operator() {
        assert!(is_operator_with(true, None, Some("token")));
        assert!(is_operator_with(true, Some("Bearer wrong"), None));
    }

    #[test]
    fn others_are_operators_with_the_token_only() {
        assert!(is_operator_with(false, Some("Bearer token"), Some("token")));
        for authorization in
            [None, Some("Bearer toke"), Some("Bearer tokens"), Some("Basic token"), Some("Bearer ")]
        {
            assert!(!is_operator_with(false, authorization, Some("token")), "{authorization:?}");
        }
    }

    #[test]
    fn without_a_token_nobody_else_is_an_operator() {
        for authorization in [None, Some("Bearer "), Some("Bearer token")] {
            assert!(!is_operator_with(false, authorization, None), "{authorization:?}");
        }
    }
}
