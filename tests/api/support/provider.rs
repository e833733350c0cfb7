//! A scripted provider: OpenAI's interface over real HTTP on this machine, doing what a test tells it to.
//!
//! ```ignore
//! let provider = ScriptedProvider::start().await;
//! provider.script(Endpoint::Speech, [Behaviour::status(503), Behaviour::Ok]);
//! let hold = provider.hold(Endpoint::Chat);      // calls that arrive now wait …
//! hold.reached(1).await;                         // … the test looks at the state in between …
//! drop(hold);                                    // … and lets them go on
//! ```

mod answers;
mod behaviour;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

pub(crate) use self::behaviour::{Behaviour, LEAK};

/// What a test can script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// `POST /v1/audio/transcriptions`
    Speech,
    /// `POST /v1/chat/completions`
    Chat,
}

/// One call as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Path and query.
    pub(crate) path: String,
    /// Size of the body, in bytes.
    pub(crate) body_bytes: usize,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// The model asked for.
    pub(crate) model: String,
    /// The form's text fields (speech).
    pub(crate) fields: BTreeMap<String, String>,
    /// The audio, in milliseconds (speech).
    pub(crate) audio_ms: u64,
    /// The request (chat).
    pub(crate) json: Value,
    /// Role and text of each message (chat).
    pub(crate) messages: Vec<(String, String)>,
}

impl Call {
    /// Whether drafts of parts are to be merged (chat).
    pub(crate) fn merges(&self) -> bool {
        self.messages.iter().any(|(role, text)| role == "user" && text.starts_with("<drafts>"))
    }

    /// Whether an earlier answer is to be repaired (chat).
    pub(crate) fn repairs(&self) -> bool {
        self.messages.iter().any(|(role, _)| role == "assistant")
    }
}

/// The provider; it stops when dropped.
pub(crate) struct ScriptedProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl ScriptedProvider {
    /// Listens on a free port of this machine.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(speech))
            .route("/v1/chat/completions", post(chat))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    /// What to configure as the provider's base URL.
    pub(crate) fn base_url(&self) -> Url {
        Url::parse(&format!("http://{}/v1", self.address)).unwrap()
    }

    /// The next calls get these behaviours, one each; further ones [`Behaviour::Ok`] or what [`Self::always`] set.
    pub(crate) fn script(&self, endpoint: Endpoint, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.lock().of(endpoint).script.extend(behaviours);
    }

    /// Every call that is not scripted gets this.
    pub(crate) fn always(&self, endpoint: Endpoint, behaviour: Behaviour) {
        self.shared.lock().of(endpoint).otherwise = behaviour;
    }

    /// The sentences heard in every recording from now on.
    pub(crate) fn set_transcript(&self, sentences: &[&str]) {
        self.shared.lock().transcript = sentences.iter().map(|&sentence| sentence.to_owned()).collect();
    }

    /// The calls so far, in order of arrival.
    pub(crate) fn calls(&self, endpoint: Endpoint) -> Vec<Call> {
        self.shared.lock().of(endpoint).calls.clone()
    }

    /// From now on calls are recorded and then wait until the guard is dropped.
    pub(crate) fn hold(&self, endpoint: Endpoint) -> Hold {
        let gate = watch::Sender::new(0);
        self.shared.lock().of(endpoint).gate = Some(gate.clone());
        Hold { gate, endpoint, shared: Arc::clone(&self.shared) }
    }

    /// Waits until clients have hung up on so many calls that were held.
    pub(crate) async fn left(&self, calls: usize) {
        let mut left = self.shared.left.subscribe();
        let left = left.wait_for(|&left| left >= calls);
        tokio::time::timeout(std::time::Duration::from_mins(1), left).await.expect("they hang up").unwrap();
    }

    /// Waits until the client has hung up on an endless answer; gives the bytes handed to the connection by then.
    pub(crate) async fn hung_up_after(&self) -> u64 {
        let mut hung_up = self.shared.hung_up.subscribe();
        hung_up.wait_for(Option::is_some).await.unwrap().unwrap()
    }
}

impl Drop for ScriptedProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Keeps calls waiting while it lives.
pub(crate) struct Hold {
    gate: watch::Sender<usize>,
    endpoint: Endpoint,
    shared: Arc<Shared>,
}

impl Hold {
    /// Waits until so many calls are waiting.
    pub(crate) async fn reached(&self, calls: usize) {
        self.gate.subscribe().wait_for(|&waiting| waiting >= calls).await.unwrap();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.lock().of(self.endpoint).gate = None;
        self.gate.send_replace(OPEN);
    }
}

/// What a gate counts once it is open.
const OPEN: usize = usize::MAX;

/// Counts a call that ends before it is let go on.
struct Waiting<'a>(Option<&'a watch::Sender<usize>>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.0 {
            left.send_modify(|left| *left += 1);
        }
    }
}

/// Waits in front of a closed gate.
async fn pass(gate: Option<watch::Sender<usize>>, left: &watch::Sender<usize>) {
    if let Some(gate) = gate {
        let mut waiting = Waiting(Some(left));
        gate.send_modify(|waiting| *waiting = waiting.saturating_add(1));
        // The count only ever becomes OPEN, so it cannot be missed.
        gate.subscribe().wait_for(|&waiting| waiting == OPEN).await.unwrap();
        waiting.0 = None;
    }
}

struct Shared {
    script: Mutex<Script>,
    hung_up: watch::Sender<Option<u64>>,
    left: watch::Sender<usize>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { script: Mutex::default(), hung_up: watch::Sender::new(None), left: watch::Sender::new(0) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Records the call, waits where calls are held, and says what to do.
    async fn receive(&self, endpoint: Endpoint, call: &Call) -> (Behaviour, Vec<String>) {
        let gate = {
            let mut script = self.lock();
            script.of(endpoint).calls.push(call.clone());
            script.of(endpoint).gate.clone()
        };
        pass(gate, &self.left).await;
        let mut script = self.lock();
        (script.of(endpoint).next(), script.transcript.clone())
    }
}

struct Script {
    speech: Part,
    chat: Part,
    transcript: Vec<String>,
}

impl Default for Script {
    fn default() -> Self {
        let transcript = answers::TRANSCRIPT.iter().map(|&sentence| sentence.to_owned()).collect();
        Self { speech: Part::default(), chat: Part::default(), transcript }
    }
}

impl Script {
    fn of(&mut self, endpoint: Endpoint) -> &mut Part {
        match endpoint {
            Endpoint::Speech => &mut self.speech,
            Endpoint::Chat => &mut self.chat,
        }
    }
}

struct Part {
    script: VecDeque<Behaviour>,
    otherwise: Behaviour,
    calls: Vec<Call>,
    gate: Option<watch::Sender<usize>>,
}

impl Default for Part {
    fn default() -> Self {
        Self { script: VecDeque::new(), otherwise: Behaviour::Ok, calls: Vec::new(), gate: None }
    }
}

impl Part {
    fn next(&mut self) -> Behaviour {
        self.script.pop_front().unwrap_or_else(|| self.otherwise.clone())
    }
}

async fn speech(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut call, headers, body) = accept(request).await;
    answers::read_form(&mut call, &headers, body).await;
    let (behaviour, transcript) = shared.receive(Endpoint::Speech, &call).await;
    behaviour::perform(behaviour, answers::transcription(&call, &transcript), &shared.hung_up).await
}

async fn chat(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut call, _, body) = accept(request).await;
    answers::read_chat(&mut call, &body);
    let (behaviour, _) = shared.receive(Endpoint::Chat, &call).await;
    let behaviour = match behaviour {
        Behaviour::RightWhenRepaired if !call.repairs() => Behaviour::WrongSchema,
        other => other,
    };
    behaviour::perform(behaviour, answers::notes(&call), &shared.hung_up).await
}

/// The parts of a call that both endpoints have.
async fn accept(request: Request) -> (Call, HeaderMap, Bytes) {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
    let authorization = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let call = Call {
        path: parts.uri.to_string(),
        body_bytes: body.len(),
        authorization,
        model: String::new(),
        fields: BTreeMap::new(),
        audio_ms: 0,
        json: Value::Null,
        messages: Vec::new(),
    };
    (call, parts.headers, body)
}
