//! What the benchmarks of the whole server stand on: the program as it is run, a practice in it, a provider that takes a
//! fixed time to answer, and what the system says of the process.

#![expect(dead_code, reason = "each benchmark uses its part of it")]

pub(crate) mod practice;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Json;
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};

/// The program, serving; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it with a private database, and waits until it listens. `BENCH_PROGRAM` names another build of it, to compare with.
    pub(crate) fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let data = data_dir();
        let built = env!("CARGO_BIN_EXE_therapybridge");
        let program = std::env::var_os("BENCH_PROGRAM").unwrap_or_else(|| built.into());
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&data).env("DATA_DIR", data.path()).env("PORT", "0");
        command.env("LOG_FORMAT", "json").env("RATE_LIMIT_REQUESTS", "off").env("RATE_LIMIT_SIGNUP", "off");
        command.envs(settings.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = log.find_map(|line| {
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].clone();
            fields["address"].as_str().map(|address| address.parse().unwrap())
        });
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address: address.expect("it listens"), _data: data }
    }

    /// Processor time it has used so far, in all its threads.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(self.child.id())
    }

    /// The most memory it has held since [`Self::forget_peak`], and what it holds now, in KiB.
    pub(crate) fn memory_kib(&self) -> (u64, u64) {
        let status = self.proc("status");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        (line("VmHWM:"), line("VmRSS:"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it holds now, in KiB: of what it shares with other processes its part.
    pub(crate) fn proportional_kib(&self) -> u64 {
        let rollup = self.proc("smaps_rollup");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

/// A folder for a private database, removed when dropped.
pub(crate) fn data_dir() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Processor time that a process has used so far, in all its threads.
pub(crate) fn processor_time(pid: u32) -> Duration {
    stat(pid).map(|(_, time)| time).unwrap()
}

/// The same of a process's children.
pub(crate) fn processor_time_of_children(pid: u32) -> Duration {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(stat).filter(|(parent, _)| *parent == pid).map(|(_, time)| time).sum()
}

/// Whose child a process is, and its processor time; `None` when it is gone.
fn stat(pid: u32) -> Option<(u32, Duration)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')?..].split_whitespace().collect();
    let ticks: u64 = fields[12..14].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // A tick is a hundredth of a second on every Linux.
    Some((fields[2].parse().unwrap(), Duration::from_millis(ticks * 10)))
}

/// A connection that is used again and again, by one thread that waits.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// The body of the answer to a request (see [`Therapist::request`]), and how long it took.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> (Vec<u8>, Duration) {
        let started = Instant::now();
        self.0.get_mut().write_all(request).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (body, started.elapsed())
    }
}

/// A therapist with a patient.
#[derive(Clone)]
pub(crate) struct Therapist {
    http: reqwest::Client,
    pub(crate) address: SocketAddr,
    api: String,
    token: String,
    pub(crate) patient: String,
}

impl Therapist {
    pub(crate) async fn sign_up(address: SocketAddr, name: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut therapist = Self {
            http,
            address,
            api: format!("http://{address}/graphql"),
            token: String::new(),
            patient: String::new(),
        };
        let signed = therapist
            .call(
                "mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken } }",
                json!({ "input": { "email": format!("{name}@example.com"), "password": "correct horse battery",
                    "fullName": name, "role": "THERAPIST" } }),
            )
            .await;
        signed["signUp"]["accessToken"].as_str().unwrap().clone_into(&mut therapist.token);
        let made = therapist
            .call("mutation { createPatient(input: { name: \"Daniel\" }) { patient { id } } }", json!({}))
            .await;
        made["createPatient"]["patient"]["id"].as_str().unwrap().clone_into(&mut therapist.patient);
        therapist
    }

    /// She, at another server over the same database.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, api: format!("http://{address}/graphql"), ..self.clone() }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Logs in once more, as from another window; the access token of that log-in.
    pub(crate) async fn log_in_again(&self, name: &str) -> String {
        let query = "mutation ($input: LogInInput!) { logIn(input: $input) { accessToken } }";
        let input = json!({ "email": format!("{name}@example.com"), "password": "correct horse battery" });
        let answer = self.call(query, json!({ "input": input })).await;
        answer["logIn"]["accessToken"].as_str().unwrap().to_owned()
    }

    /// A request as hers, to be sent.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.authorized(self.http.post(&self.api)).json(body)
    }

    pub(crate) async fn call(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let answer: Value = self
            .authorized(self.http.post(&self.api))
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(answer["errors"].is_null(), "{answer}");
        answer["data"].clone()
    }

    /// A query as it goes over a connection.
    pub(crate) fn request(&self, query: &str) -> Vec<u8> {
        let body = json!({ "query": query }).to_string();
        let Self { address, token, .. } = self;
        format!(
            "POST /graphql HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Uploads a recording that is sent from `file`; the session's id.
    pub(crate) async fn upload(&self, file: &std::path::Path) -> String {
        let query = "mutation ($input: UploadSessionInput!) { uploadSession(input: $input) {
            session { id } userErrors { code message } } }";
        let operations =
            json!({ "query": query, "variables": { "input": { "patientId": self.patient, "audio": null } } });
        let body = reqwest::Body::from(tokio::fs::File::open(file).await.unwrap());
        let length = std::fs::metadata(file).unwrap().len();
        let form = reqwest::multipart::Form::new()
            .text("operations", operations.to_string())
            .text("map", r#"{"0": ["variables.input.audio"]}"#)
            .part("0", reqwest::multipart::Part::stream_with_length(body, length).file_name("session"));
        let request = self.authorized(self.http.post(&self.api)).header("apollo-require-preflight", "1");
        let answer: Value = request.multipart(form).send().await.unwrap().json().await.unwrap();
        let payload = &answer["data"]["uploadSession"];
        payload["session"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }
}

/// Hears the same words in everything, and writes the same notes, each after a fixed time; counts its calls.
pub(crate) struct Provider {
    pub(crate) url: String,
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start(latency: Duration) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let state = (latency, calls.clone());
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(speech))
            .route("/v1/chat/completions", post(notes))
            .layer(DefaultBodyLimit::disable())
            .with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, calls }
    }
}

async fn speech(State((latency, calls)): State<(Duration, Arc<AtomicUsize>)>, body: Bytes) -> Json<Value> {
    calls.fetch_add(1, Ordering::Relaxed);
    let answered = tokio::time::Instant::now() + latency;
    drop(body);
    let segments: Vec<Value> = (0..20)
        .map(|at| json!({ "start": f64::from(at), "end": f64::from(at) + 0.9, "text": format!("Sentence {at} of what was said."),
            "avg_logprob": -0.1, "no_speech_prob": 0.01 }))
        .collect();
    tokio::time::sleep_until(answered).await;
    Json(json!({ "duration": 300.0, "text": "", "segments": segments }))
}

async fn notes(State((_, _)): State<(Duration, Arc<AtomicUsize>)>, _: Bytes) -> Json<Value> {
    let words = |count: usize| "word ".repeat(count);
    let content = json!({ "keyTopics": ["sleep", "work", "rest"], "topicSummary": "One. Two.", "strategies": [],
        "actionItems": [], "sessionMood": "LOW", "moodTrajectory": "STABLE", "therapistNotes": words(170),
        "patientSummary": words(120), "riskFlags": [] });
    Json(json!({ "choices": [{ "index": 0, "finish_reason": "stop",
        "message": { "role": "assistant", "content": content.to_string() } }],
        "usage": { "prompt_tokens": 9000, "completion_tokens": 700, "total_tokens": 9700 } }))
}

/// An hour of speech as mp3: the frames of a shorter recording, over and over.
pub(crate) fn an_hour_of_mp3() -> tempfile::NamedTempFile {
    let sample =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/samples/session_anxiety.mp3")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    // 4 min 45 s each.
    std::fs::write(&file, sample.repeat(13)).unwrap();
    file
}
