//! The provider: OpenAI's interface over real HTTP, which hears what the recordings say, and writes down who asked
//! for what and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Json;
use axum::routing::post;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::now;
use super::recording::{Sentence, Spoken, listen};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Speech,
    Notes,
}

/// A call that costs money.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// Hash of the audio, or of the prompt.
    pub(crate) key: String,
    /// Which session it is about.
    pub(crate) session: u32,
    /// The middle of the piece, in milliseconds of its recording.
    pub(crate) middle_ms: i64,
    /// When it came, in seconds since 1970.
    pub(crate) from: f64,
    /// When it was answered.
    pub(crate) to: Option<f64>,
    /// Whether the answer was a refusal, which costs nothing.
    pub(crate) refused: bool,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Vec<Call>>,
    sentences: Vec<Sentence>,
    /// By session: which call is refused for good.
    refused: Vec<Option<usize>>,
}

/// The provider; it stops when dropped.
pub(crate) struct Provider {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Provider {
    /// A provider that knows these sentences by their words, and refuses these calls.
    pub(crate) async fn start(sentences: Vec<Sentence>, refused: Vec<Option<usize>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { calls: Mutex::default(), sentences, refused });
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(speech))
            .route("/v1/chat/completions", post(chat))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, shared, task }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn arrived(&self, kind: Kind, bytes: &[u8], session: u32, middle_ms: i64) -> (usize, Duration) {
        let hash = Sha256::digest(bytes);
        let key = hex::encode(&hash[..6]);
        let mut calls = self.calls.lock().unwrap();
        let before = calls.iter().filter(|call| (call.kind, call.session) == (Kind::Speech, session)).count();
        let wish = usize::try_from(session).ok().and_then(|session| *self.refused.get(session)?);
        let refused = kind == Kind::Speech && wish == Some(before);
        calls.push(Call { kind, key, session, middle_ms, from: now(), to: None, refused });
        (calls.len() - 1, Duration::from_millis(40 + u64::from(hash[6])))
    }

    /// The call is answered; says whether with a refusal.
    fn answered(&self, call: usize) -> bool {
        let call = &mut self.calls.lock().unwrap()[call];
        call.to = Some(now());
        call.refused
    }
}

async fn speech(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let audio = audio_of(&headers, body).await;
    let heard = audio.clone();
    let spoken = tokio::task::spawn_blocking(move || listen(&heard)).await.unwrap();
    let length_ms = i64::try_from(audio.len().saturating_sub(44) / 32).unwrap();
    // A piece of silence belongs to nobody.
    let (session, middle_ms) = spoken.first().map_or((u32::MAX, 0), |first| {
        (first.sentence.session, first.sentence.start_ms() - first.start_ms + length_ms / 2)
    });
    let (call, wait) = shared.arrived(Kind::Speech, &audio, session, middle_ms);
    tokio::time::sleep(wait).await;
    if shared.answered(call) {
        let error = json!({ "error": { "message": "no", "type": "invalid_request_error", "code": "no" } });
        return (StatusCode::BAD_REQUEST, Json(error));
    }
    (StatusCode::OK, Json(transcription(&spoken, length_ms)))
}

async fn audio_of(headers: &HeaderMap, body: Bytes) -> Bytes {
    let boundary = multer::parse_boundary(headers[CONTENT_TYPE].to_str().unwrap()).unwrap();
    let body = futures::stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut form = multer::Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.unwrap() {
        if field.name() == Some("file") {
            return field.bytes().await.unwrap();
        }
    }
    panic!("a call without audio");
}

fn transcription(spoken: &[Spoken], length_ms: i64) -> Value {
    let seconds = |ms: i64| Duration::from_millis(ms.unsigned_abs()).as_secs_f64();
    let segments: Vec<Value> = spoken
        .iter()
        .map(|spoken| {
            json!({
                "id": 0, "seek": 0, "start": seconds(spoken.start_ms), "end": seconds(spoken.end_ms),
                "text": spoken.sentence.words(), "tokens": [50364], "temperature": 0.0, "avg_logprob": -0.1,
                "compression_ratio": 1.4, "no_speech_prob": 0.01,
            })
        })
        .collect();
    let words: Vec<String> = spoken.iter().map(|spoken| spoken.sentence.words()).collect();
    json!({ "task": "transcribe", "language": "english", "duration": seconds(length_ms),
        "text": words.join(" "), "segments": segments })
}

async fn chat(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Json<Value> {
    let messages = request["messages"].as_array().unwrap();
    let texts: Vec<&str> = messages.iter().filter_map(|message| message["content"].as_str()).collect();
    let prompt = texts.join("\n");
    let session = shared.sentences.iter().find(|sentence| prompt.contains(&sentence.words()));
    let session = session.expect("a prompt about no session").session;
    let (call, wait) = shared.arrived(Kind::Notes, prompt.as_bytes(), session, 0);
    tokio::time::sleep(wait).await;
    shared.answered(call);
    let notes = notes(&lines(&prompt)).to_string();
    Json(json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{ "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": { "role": "assistant", "content": notes, "refusal": null } }],
        "usage": { "prompt_tokens": 1200, "completion_tokens": 340, "total_tokens": 1540 },
    }))
}

/// Number and words of the transcript's lines in a prompt: `[12] therapist: …`.
fn lines(prompt: &str) -> Vec<(i64, &str)> {
    prompt
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix('[')?.split_once("] ")?;
            Some((number.parse().ok()?, rest.split_once(": ")?.1))
        })
        .collect()
}

fn notes(lines: &[(i64, &str)]) -> Value {
    let items = |text: &str, line: Option<&(i64, &str)>| -> Vec<Value> {
        let item =
            |(segment, quote): &(i64, &str)| json!({ "text": text, "quote": quote, "segment": segment });
        line.map(item).into_iter().collect()
    };
    let words = |text: &str, count| text.split_whitespace().cycle().take(count).collect::<Vec<_>>().join(" ");
    json!({
        "keyTopics": ["walks", "letters", "evenings"],
        "topicSummary": "The client spoke about walks and letters. Evenings were looked at.",
        "strategies": items("A walk was planned.", lines.get(lines.len() / 2)),
        "actionItems": items("The client writes a letter.", lines.last()),
        "sessionMood": "NEUTRAL",
        "moodTrajectory": "STABLE",
        "therapistNotes": words("The client tells of walks and of letters and looks rested in the room.", 170),
        "patientSummary": words("You told openly how your evenings are, and that takes courage.", 120),
        "riskFlags": [],
    })
}
