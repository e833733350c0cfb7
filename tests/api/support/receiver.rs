//! A receiver of webhooks: a real HTTP server on this machine, which keeps what it is told, and answers as a test wants. It
//! verifies signatures by itself, as Standard Webhooks describes it, without the library that signs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// The signatures it carries.
    pub(crate) fn signatures(&self) -> Vec<String> {
        self.header("webhook-signature").split(' ').map(Into::into).collect()
    }

    /// Whether one of its signatures was made with this secret.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        hmac.update(format!("{}.{}.{}", self.id(), self.header("webhook-timestamp"), self.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()));
        self.signatures().contains(&expected)
    }
}

/// What a receiver answers.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    status: u16,
    headers: Vec<(&'static str, String)>,
}

impl Reaction {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The receiver; it stops when dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    inner: Mutex<Inner>,
    arrived: watch::Sender<usize>,
}

struct Inner {
    told: Vec<Told>,
    script: VecDeque<Reaction>,
    otherwise: Reaction,
    /// Requests that arrive wait here until it is opened.
    gate: Option<watch::Sender<bool>>,
}

/// Keeps requests waiting while it lives.
pub(crate) struct Closed {
    gate: watch::Sender<bool>,
    shared: Arc<Shared>,
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.shared.lock().gate = None;
        self.gate.send_replace(true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Receiver {
    /// Listens on a free port of this machine, and has whatever it is told.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner =
            Inner { told: Vec::new(), script: VecDeque::new(), otherwise: Reaction::status(204), gate: None };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), arrived: watch::Sender::new(0) });
        let router = Router::new().fallback(hear).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    /// An address with a secret in it, as receivers like to have.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks/a?token=geheimnis", self.address)
    }

    /// The next requests get these answers, one each.
    pub(crate) fn script(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.shared.lock().script.extend(reactions);
    }

    /// Every request that is not scripted gets this.
    pub(crate) fn always(&self, reaction: Reaction) {
        self.shared.lock().otherwise = reaction;
    }

    /// From now on requests are taken down, and then wait until the guard is dropped.
    pub(crate) fn close(&self) -> Closed {
        let gate = watch::Sender::new(false);
        self.shared.lock().gate = Some(gate.clone());
        Closed { gate, shared: self.shared.clone() }
    }

    /// What it was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.shared.lock().told.clone()
    }

    /// The events it was told of, in the order they arrived in.
    pub(crate) fn events(&self) -> Vec<String> {
        self.told().iter().map(Told::event).collect()
    }

    /// Waits until it was told so often.
    pub(crate) async fn reached(&self, count: usize) -> Vec<Told> {
        let mut arrived = self.shared.arrived.subscribe();
        let arrived = arrived.wait_for(|&arrived| arrived >= count);
        tokio::time::timeout(Duration::from_mins(1), arrived).await.expect("it is told").unwrap();
        self.told()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn hear(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let told = Told {
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let (reaction, gate) = {
        let mut inner = shared.lock();
        inner.told.push(told);
        let reaction = inner.script.pop_front().unwrap_or_else(|| inner.otherwise.clone());
        (reaction, inner.gate.clone())
    };
    shared.arrived.send_modify(|arrived| *arrived += 1);
    if let Some(gate) = gate {
        let _ = gate.subscribe().wait_for(|open| *open).await;
    }
    let mut response = StatusCode::from_u16(reaction.status).unwrap().into_response();
    for (name, value) in reaction.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
