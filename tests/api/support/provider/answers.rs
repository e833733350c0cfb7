//! What the scripted provider reads from a call, and what a real one would plausibly answer.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};

use super::Call;

/// What is heard in a recording unless a test says otherwise.
pub(crate) const TRANSCRIPT: [&str; 6] = [
    "How have you been sleeping since we last met?",
    "Not well, I lie awake and worry about work until two in the morning.",
    "Let us try the breathing exercise together, four seconds in and six seconds out.",
    "That helped a little, I felt calmer afterwards.",
    "Could you write your worries down every evening before you go to bed this week?",
    "Yes, I will write them down every evening and bring the list next time.",
];

/// Bytes a second of 16 kHz mono 16-bit WAV, after a header of 44 bytes.
const WAV_BYTES_PER_MS: u64 = 32;

/// Reads the multipart form of a transcription request into the call.
pub(crate) async fn read_form(call: &mut Call, headers: &HeaderMap, body: Bytes) {
    let boundary = multer::parse_boundary(headers[CONTENT_TYPE].to_str().unwrap()).unwrap();
    let body = stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut form = multer::Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            let wav = field.bytes().await.unwrap();
            assert!(wav.starts_with(b"RIFF"), "the file is no WAV");
            call.audio_ms = (wav.len() as u64).saturating_sub(44) / WAV_BYTES_PER_MS;
        } else {
            call.fields.insert(name, field.text().await.unwrap());
        }
    }
    call.model = call.fields.get("model").cloned().unwrap_or_default();
}

/// Reads the JSON of a chat request into the call.
pub(crate) fn read_chat(call: &mut Call, body: &[u8]) {
    call.json = serde_json::from_slice(body).unwrap();
    call.model = text(&call.json["model"]);
    let messages = call.json["messages"].as_array().unwrap().iter();
    call.messages = messages.map(|message| (text(&message["role"]), text(&message["content"]))).collect();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The sentences spread evenly over the audio, in the format asked for.
pub(crate) fn transcription(call: &Call, sentences: &[String]) -> Value {
    let whole = sentences.join(" ");
    if call.fields.get("response_format").map(String::as_str) == Some("json") {
        return json!({"text": whole});
    }
    let step_ms = call.audio_ms / sentences.len().max(1) as u64;
    let segments: Vec<_> = (0..).zip(sentences).map(|(i, text)| segment(i, step_ms, text)).collect();
    let duration = seconds(call.audio_ms);
    json!({"task": "transcribe", "language": "english", "duration": duration, "text": whole, "segments": segments})
}

fn segment(index: u64, step_ms: u64, text: &str) -> Value {
    let (start, end) = (seconds(index * step_ms), seconds((index + 1) * step_ms));
    json!({
        "id": index, "seek": 0, "start": start, "end": end, "text": format!(" {text}"), "tokens": [50364],
        "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.4, "no_speech_prob": 0.01,
    })
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// A chat answer whose notes quote the prompt's own lines; texts alone where drafts are to be merged.
pub(crate) fn notes(call: &Call) -> Value {
    let mut draft = draft(&lines(call));
    if call.merges() {
        let notes = draft.as_object_mut().unwrap();
        notes.retain(|field, _| !["strategies", "actionItems", "riskFlags"].contains(&field.as_str()));
    }
    completion(&draft.to_string(), "stop")
}

/// A chat answer with this content.
pub(crate) fn completion(content: &str, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{
            "index": 0, "finish_reason": finish_reason, "logprobs": null,
            "message": {"role": "assistant", "content": content, "refusal": null},
        }],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 340, "total_tokens": 1540},
    })
}

/// Notes of another shape than asked for.
pub(crate) fn wrong_schema() -> Value {
    completion(&json!({"summary": "They talked.", "mood": 3}).to_string(), "stop")
}

/// Number and words of the transcript lines in the prompt: `[12] therapist: …`.
fn lines(call: &Call) -> Vec<(i64, String)> {
    let users = call.messages.iter().filter(|(role, _)| role == "user");
    users.flat_map(|(_, text)| text.lines()).filter_map(line).collect()
}

fn line(line: &str) -> Option<(i64, String)> {
    let (number, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (_, words) = rest.split_once(": ")?;
    Some((number.parse().ok()?, words.to_owned()))
}

fn draft(lines: &[(i64, String)]) -> Value {
    let items = |text: &str, line: Option<&(i64, String)>| -> Vec<Value> {
        line.map(|(segment, quote)| json!({"text": text, "quote": quote, "segment": segment}))
            .into_iter()
            .collect()
    };
    json!({
        "keyTopics": ["sleep", "worries about work", "relaxation"],
        "topicSummary": "The client spoke about poor sleep and worries. A breathing exercise was tried.",
        "strategies": items("A breathing exercise was practised.", lines.get(lines.len() / 2)),
        "actionItems": items("The client writes worries down every evening.", lines.last()),
        "sessionMood": "LOW",
        "moodTrajectory": "IMPROVING",
        "therapistNotes": words(THERAPIST, 170),
        "patientSummary": words(PATIENT, 120),
        "riskFlags": [],
    })
}

const THERAPIST: &str = "The client reports lying awake at night with worries about work and describes little rest. \
    A breathing exercise was introduced and practised in the session, with some relief reported afterwards.";
const PATIENT: &str = "You told openly how hard the nights have been, and that takes courage. \
    You tried a breathing exercise and noticed that you felt a little calmer.";

/// So many words of the text, over and over.
fn words(text: &str, count: usize) -> String {
    text.split_whitespace().cycle().take(count).collect::<Vec<_>>().join(" ")
}
