//! Clients as they are outside: they lose connections, come back, and ask again with the same key.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::fleet::Fleet;
use super::journal::Journal;
use super::plan::Upload;

/// A request that takes longer has met a process that stands still.
const REQUEST: Duration = Duration::from_secs(4);
/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(45);
/// A recording by tus comes in so many parts.
const PARTS: usize = 3;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(60);

/// Why an upload has to be tried again, or not.
enum Refusal {
    /// No answer, or one that says that it may work later.
    Later(String),
    /// An answer that no client should get.
    Wrong(String),
}

/// A version of a session, as a subscriber sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) session: String,
    pub(crate) version: i64,
    pub(crate) status: String,
    pub(crate) progress: i64,
}

/// How far an upload by tus is.
#[derive(Default)]
struct Parts {
    /// Where it is, once it has begun.
    path: Option<String>,
    /// All of it was sent: its session is asked for, and the upload itself may be gone by then.
    complete: bool,
}

/// A header of a good answer.
async fn header(request: reqwest::RequestBuilder, name: &str) -> Result<String, Refusal> {
    let answer = request.send().await.map_err(later)?;
    let value = answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    match (answer.status(), value) {
        (status, Some(value)) if status.is_success() => Ok(value),
        // 409: what has arrived meanwhile is asked for again.
        (status, _) if status.is_server_error() || status == 409 || status == 423 => {
            Err(Refusal::Later(format!("tus: {status}")))
        }
        (status, _) => Err(Refusal::Wrong(format!("tus: {status}"))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn later(error: reqwest::Error) -> Refusal {
    Refusal::Later(error.to_string())
}

/// What one connection has heard.
pub(crate) type Heard = Vec<Seen>;

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    token: String,
}

impl Client {
    /// Signs a therapist up.
    pub(crate) async fn therapist(fleet: &Fleet) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST).build().unwrap();
        let nobody = Self { http, token: String::new() };
        let query =
            "mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken userErrors { code } } }";
        let input = json!({ "email": "jane@example.com", "password": "correct horse battery", "fullName": "Jane",
            "role": "THERAPIST" });
        let data = nobody.insist(fleet, query, json!({ "input": input })).await;
        Self { token: data["signUp"]["accessToken"].as_str().unwrap().to_owned(), ..nobody }
    }

    /// Makes a patient; its id.
    pub(crate) async fn patient(&self, fleet: &Fleet) -> String {
        let query =
            "mutation ($input: CreatePatientInput!) { createPatient(input: $input) { patient { id } } }";
        let input = json!({ "name": "Daniel Reed", "email": "daniel@example.com" });
        let data = self.insist(fleet, query, json!({ "input": input })).await;
        data["createPatient"]["patient"]["id"].as_str().unwrap().to_owned()
    }

    /// Retries a failed session.
    pub(crate) async fn retry(&self, fleet: &Fleet, session: &str) {
        let query = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { code } } }";
        self.insist(fleet, query, json!({ "id": session })).await;
    }

    async fn insist(&self, fleet: &Fleet, query: &str, variables: Value) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let body = json!({ "query": query, "variables": variables });
        for attempt in 0.. {
            assert!(Instant::now() < deadline, "no answer to {query}");
            if let Some(address) = fleet.address(attempt)
                && let Ok(answer) = self.post(address).json(&body).send().await
                && let Ok(answer) = answer.json::<Value>().await
                && answer["errors"].is_null()
            {
                return answer["data"].clone();
            }
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("a client counts on")
    }

    /// Uploads a recording, again and again with the same key, until there is a session; its id.
    pub(crate) async fn upload(
        &self,
        (fleet, journal): (&Fleet, &Journal),
        plan: &Upload,
        input: &Value,
        audio: &[u8],
    ) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut parts = plan.in_parts.then(Parts::default);
        for attempt in plan.api.. {
            let refusal = match fleet.address(attempt) {
                Some(address) => match self.upload_once(address, input, audio, parts.as_mut()).await {
                    Ok(id) => return Some(id),
                    Err(refusal) => refusal,
                },
                None => Refusal::Later("no API process is there".into()),
            };
            let key = &input["idempotencyKey"];
            match refusal {
                Refusal::Later(_) if Instant::now() < deadline => {}
                Refusal::Later(why) => {
                    journal.violation(format!("upload {key} was not taken in time: {why}"));
                    return None;
                }
                Refusal::Wrong(why) => {
                    journal.violation(format!("upload {key} was refused: {why}"));
                    return None;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    async fn upload_once(
        &self,
        address: SocketAddr,
        input: &Value,
        audio: &[u8],
        parts: Option<&mut Parts>,
    ) -> Result<String, Refusal> {
        let query = "mutation ($input: UploadSessionInput!) { uploadSession(input: $input) {
            session { id } userErrors { code message } } }";
        let mut operations = json!({ "query": query, "variables": { "input": input } });
        let request = if let Some(parts) = parts {
            let upload = self.send_parts(address, audio, parts).await?;
            operations["variables"]["input"]["uploadId"] = json!(upload);
            self.post(address).json(&operations)
        } else {
            operations["variables"]["input"]["audio"] = Value::Null;
            let form = Form::new()
                .text("operations", operations.to_string())
                .text("map", json!({ "0": ["variables.input.audio"] }).to_string())
                .part("0", Part::bytes(audio.to_vec()).file_name("session.wav"));
            self.post(address).header("apollo-require-preflight", "1").multipart(form)
        };
        let answer: Value = request.send().await.map_err(later)?.json().await.map_err(later)?;
        let payload = &answer["data"]["uploadSession"];
        if let Some(id) = payload["session"]["id"].as_str() {
            return Ok(id.to_owned());
        }
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        let refused = payload["userErrors"][0]["code"].as_str();
        match (code, refused) {
            (Some("INTERNAL" | "UNAVAILABLE"), _) | (None, Some("IDEMPOTENCY_IN_PROGRESS")) => {
                Err(Refusal::Later(answer.to_string()))
            }
            _ => Err(Refusal::Wrong(answer.to_string())),
        }
    }

    /// Sends what is missing of a recording, by tus; the id of the upload when all of it is there.
    async fn send_parts(
        &self,
        address: SocketAddr,
        audio: &[u8],
        parts: &mut Parts,
    ) -> Result<String, Refusal> {
        let at = |path: &str| format!("http://{address}{path}");
        let tus = |request: reqwest::RequestBuilder| {
            request.bearer_auth(&self.token).header("tus-resumable", "1.0.0")
        };
        if parts.path.is_none() {
            let create = tus(self.http.post(at("/uploads"))).header("upload-length", audio.len());
            parts.path = Some(header(create, "location").await?);
        }
        let path = parts.path.clone().unwrap_or_default();
        while !parts.complete {
            let offset = header(tus(self.http.head(at(&path))), "upload-offset").await?;
            let offset: usize = offset.parse().map_err(|_| Refusal::Wrong(format!("offset {offset}")))?;
            if offset == audio.len() {
                parts.complete = true;
                break;
            }
            let end = audio.len().min(offset + audio.len() / PARTS + 1);
            let append = tus(self.http.patch(at(&path)))
                .header("content-type", "application/offset+octet-stream")
                .header("upload-offset", offset)
                .body(audio[offset..end].to_vec());
            header(append, "upload-offset").await?;
        }
        Ok(path.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Follows one session to its good end, retrying it where it failed, over as many connections as it takes.
    pub(crate) async fn follow(
        &self,
        fleet: &Fleet,
        journal: &Journal,
        first: usize,
        id: &str,
    ) -> Vec<Heard> {
        let query =
            "subscription ($id: ID!) { news: sessionUpdated(id: $id) { id version status progress } }";
        let deadline = Instant::now() + PATIENCE * 2;
        let mut histories = Vec::new();
        for attempt in first.. {
            if Instant::now() > deadline {
                journal.violation(format!("the subscription to session {id} did not end"));
                break;
            }
            if let Some(address) = fleet.address(attempt) {
                let (heard, ended) = self.listen(address, query, id, deadline).await;
                let failed = heard.last().is_some_and(|seen| seen.status == "FAILED");
                histories.push(heard);
                if ended && !failed {
                    break;
                }
                if failed {
                    journal.note(format!("{id} has failed, and is retried"));
                    self.retry(fleet, id).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        histories
    }

    /// Follows a patient's sessions, over as many connections as it takes, until it is dropped; `heard` gets all.
    pub(crate) async fn follow_patient(&self, fleet: &Fleet, id: &str, heard: &std::sync::Mutex<Vec<Heard>>) {
        let query = "subscription ($id: ID!) { news: sessionsUpdated(patientId: $id) { id version status progress } }";
        for attempt in 0.. {
            if let Some(address) = fleet.address(attempt) {
                heard.lock().unwrap().push(Vec::new());
                let tell = |seen| heard.lock().unwrap().last_mut().unwrap().push(seen);
                let _ = self.hear(address, query, id, tell).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What one connection hears until it breaks, and whether it came to its end.
    async fn listen(&self, address: SocketAddr, query: &str, id: &str, deadline: Instant) -> (Heard, bool) {
        let mut heard = Vec::new();
        let hearing = self.hear(address, query, id, |seen| heard.push(seen));
        let ended = tokio::time::timeout_at(deadline.into(), hearing).await;
        (heard, matches!(ended, Ok(Some(()))))
    }

    /// Subscribes, and tells what it hears; `None` when the connection broke or an error came.
    async fn hear(
        &self,
        address: SocketAddr,
        query: &str,
        id: &str,
        mut tell: impl FnMut(Seen),
    ) -> Option<()> {
        let mut request = format!("ws://{address}/graphql").into_client_request().ok()?;
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().ok()?);
        let connected = tokio::time::timeout(REQUEST, tokio_tungstenite::connect_async(request)).await;
        let (mut socket, _) = connected.ok()?.ok()?;
        let authorization = format!("Bearer {}", self.token);
        let payload = json!({ "query": query, "variables": { "id": id } });
        for message in [
            json!({ "type": "connection_init", "payload": { "authorization": authorization } }),
            json!({ "id": "1", "type": "subscribe", "payload": payload }),
        ] {
            socket.send(Message::text(message.to_string())).await.ok()?;
        }
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).ok()?;
            let news = &message["payload"]["data"]["news"];
            match message["type"].as_str()? {
                "next" if news.is_null() => return None,
                "next" => tell(Seen {
                    session: news["id"].as_str()?.to_owned(),
                    version: news["version"].as_i64()?,
                    status: news["status"].as_str()?.to_owned(),
                    progress: news["progress"].as_i64()?,
                }),
                "complete" => return Some(()),
                "error" => return None,
                "ping" => socket.send(Message::text(r#"{"type":"pong"}"#)).await.ok()?,
                _ => {}
            }
        }
        None
    }

    fn post(&self, address: SocketAddr) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("http://{address}/graphql"));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }
}
