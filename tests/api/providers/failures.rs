//! How the OpenAI provider fails: what it tries again, what it tells, and what it never tells.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use therapybridge::ai::fallback::Fallback;
use therapybridge::ai::openai::OpenAiSettings;
use therapybridge::ai::{AiError, Transcriber, Transcription};
use tokio::sync::mpsc::unbounded_channel;

use super::{KEY, WORDS, extract, patience, settings, silence, speech, transcribe, transcribe_with};
use crate::support::provider::{Behaviour, Endpoint, LEAK, ScriptedProvider};

fn impatient(provider: &ScriptedProvider) -> OpenAiSettings {
    let request_timeout = Duration::from_millis(100);
    OpenAiSettings { request_timeout, patience: patience(0), ..settings(provider) }
}

fn permanent(error: &AiError) -> bool {
    matches!(error, AiError::Permanent { .. })
}

fn wish(error: &AiError) -> Option<Duration> {
    match error {
        AiError::Transient { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// An error must be fit to be shown, stored and logged.
fn assert_discreet(error: &AiError) {
    let text = format!("{error} {error:?}");
    for secret in [KEY, WORDS, LEAK, "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn transient_failures_are_tried_again() {
    for behaviour in [
        Behaviour::status(429),
        Behaviour::status(408),
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::Reset,
        Behaviour::Garbage,
        Behaviour::HalfJson,
    ] {
        let provider = ScriptedProvider::start().await;
        provider.script(Endpoint::Speech, [behaviour.clone(), behaviour.clone()]);
        provider.script(Endpoint::Chat, [behaviour.clone()]);
        assert!(transcribe(&provider).await.is_ok(), "{behaviour:?}");
        assert!(extract(&provider).await.is_ok(), "{behaviour:?}");
        assert_eq!(provider.calls(Endpoint::Speech).len(), 3);
        assert_eq!(provider.calls(Endpoint::Chat).len(), 2);
    }
}

#[tokio::test]
async fn tries_end_with_a_transient_error_that_tells_nothing() {
    for behaviour in [Behaviour::status(503), Behaviour::Reset, Behaviour::Garbage, Behaviour::HalfJson] {
        let provider = ScriptedProvider::start().await;
        provider.always(Endpoint::Chat, behaviour);
        let error = extract(&provider).await.unwrap_err();
        assert!(!permanent(&error));
        assert_discreet(&error);
        assert_eq!(provider.calls(Endpoint::Chat).len(), 3);
    }
}

#[tokio::test]
async fn a_refusal_is_permanent_tried_once_and_says_what_to_do() {
    for (behaviour, expected) in [
        (Behaviour::status(401), "API key"),
        (Behaviour::status(403), "API key"),
        (Behaviour::status(404), "whisper-1"),
        (Behaviour::status(413), "too large"),
        (Behaviour::status(415), "refused the request"),
        (Behaviour::coded(429, "insufficient_quota"), "quota"),
        (Behaviour::coded(400, "content_filter"), "content filter"),
        (Behaviour::coded(400, "context_length_exceeded"), "too long"),
    ] {
        let provider = ScriptedProvider::start().await;
        provider.script(Endpoint::Speech, [behaviour]);
        let error = transcribe(&provider).await.unwrap_err();
        assert!(permanent(&error) && error.to_string().contains(expected), "{error}");
        assert_discreet(&error);
        assert_eq!(provider.calls(Endpoint::Speech).len(), 1);
    }
}

/// Everything logged while it lives, at the finest level, from whichever crate.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_said_and_no_key_reaches_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    // With one dispatcher only, tracing asks the thread that first meets a log line whether it is wanted, and
    // remembers the answer for all: threads of other tests want none. With two it asks the dispatchers.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    for behaviour in [
        Behaviour::Ok,
        Behaviour::Garbage,
        Behaviour::HalfJson,
        Behaviour::WrongSchema,
        Behaviour::status(500),
    ] {
        let provider = ScriptedProvider::start().await;
        provider.set_transcript(&[WORDS]);
        for endpoint in [Endpoint::Speech, Endpoint::Chat] {
            provider.always(endpoint, behaviour.clone());
        }
        let _ = (transcribe(&provider).await, extract(&provider).await);
    }
    drop(guard);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the AI provider answered with an error") && logged.contains("some_code"));
    for secret in [KEY, WORDS, LEAK] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    let provider = ScriptedProvider::start().await;
    let wait = Duration::from_millis(150);
    provider.script(Endpoint::Speech, [Behaviour::retry_after(429, wait)]);
    let start = Instant::now();
    transcribe(&provider).await.unwrap();
    assert!(start.elapsed() >= wait, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_long_retry_after_is_handed_to_the_caller_at_once() {
    let provider = ScriptedProvider::start().await;
    provider.always(Endpoint::Speech, Behaviour::retry_after(503, Duration::from_hours(1)));
    let error = transcribe(&provider).await.unwrap_err();
    assert_eq!(wish(&error), Some(Duration::from_hours(1)));
    assert_eq!(provider.calls(Endpoint::Speech).len(), 1);
}

#[tokio::test]
async fn silence_and_endless_answers_run_into_the_time_limit() {
    for behaviour in [Behaviour::Hang, Behaviour::SlowDrip] {
        let provider = ScriptedProvider::start().await;
        provider.always(Endpoint::Speech, behaviour);
        let error = transcribe_with(&impatient(&provider)).await.unwrap_err();
        assert!(error.to_string().contains("in time") && !permanent(&error), "{error}");
        assert_discreet(&error);
    }
}

#[tokio::test]
async fn silence_runs_into_the_read_limit_long_before_the_total_one() {
    let provider = ScriptedProvider::start().await;
    provider.always(Endpoint::Speech, Behaviour::Hang);
    let read_timeout = Duration::from_millis(50);
    let settings = OpenAiSettings { read_timeout, patience: patience(0), ..settings(&provider) };
    assert!(transcribe_with(&settings).await.unwrap_err().to_string().contains("in time"));
}

#[tokio::test]
async fn a_huge_answer_is_hung_up_on() {
    const GIGABYTE: u64 = 1 << 30;
    let provider = ScriptedProvider::start().await;
    provider.always(Endpoint::Chat, Behaviour::HugeAnswer(GIGABYTE));
    let error = extract(&provider).await.unwrap_err();
    assert!(permanent(&error));
    // 8 MiB are read; the rest is what both ends' socket buffers hold.
    let sent = provider.hung_up_after().await;
    assert!(sent < 64 << 20, "{sent} bytes were sent");
    assert_eq!(provider.calls(Endpoint::Chat).len(), 1);
}

#[tokio::test]
async fn a_huge_error_is_an_error_like_any_other() {
    let provider = ScriptedProvider::start().await;
    let body = json!({"error": {"message": LEAK.repeat(100_000)}});
    provider.always(Endpoint::Chat, Behaviour::Error { status: 401, headers: vec![], body });
    let error = extract(&provider).await.unwrap_err();
    assert!(permanent(&error));
    assert_discreet(&error);
}

#[tokio::test]
async fn an_unreachable_provider_is_a_transient_error() {
    let provider = ScriptedProvider::start().await;
    let settings = settings(&provider);
    drop(provider);
    let closed = OpenAiSettings { base_url: "http://127.0.0.1:1/v1".parse().unwrap(), ..settings };
    let error = transcribe_with(&closed).await.unwrap_err();
    assert!(!permanent(&error) && error.to_string().contains("cannot be reached"), "{error}");
    assert_discreet(&error);
}

#[tokio::test]
async fn nothing_said_follows_a_redirect() {
    let (provider, elsewhere) = (ScriptedProvider::start().await, ScriptedProvider::start().await);
    let to = |path: &str| Behaviour::redirect(&elsewhere.base_url().join(path).unwrap());
    provider.always(Endpoint::Speech, to("/v1/audio/transcriptions"));
    provider.always(Endpoint::Chat, to("/v1/chat/completions"));
    assert!(permanent(&transcribe(&provider).await.unwrap_err()));
    assert!(permanent(&extract(&provider).await.unwrap_err()));
    assert!(elsewhere.calls(Endpoint::Speech).is_empty() && elsewhere.calls(Endpoint::Chat).is_empty());
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_allowed() {
    let provider = ScriptedProvider::start().await;
    let hold = provider.hold(Endpoint::Speech);
    let settings = OpenAiSettings { concurrency: 2, ..settings(&provider) };
    let transcriber = Arc::new(speech(&settings));
    let pieces: Vec<_> = (0..5).map(|_| tokio::spawn(piece(Arc::clone(&transcriber)))).collect();
    hold.reached(2).await;
    let early = tokio::time::timeout(Duration::from_millis(50), hold.reached(3)).await;
    assert!(early.is_err(), "a third call was made");
    drop(hold);
    for piece in pieces {
        assert!(piece.await.unwrap().is_ok());
    }
    assert_eq!(provider.calls(Endpoint::Speech).len(), 5);
}

async fn piece(transcriber: Arc<Fallback<dyn Transcriber>>) -> Result<Transcription, AiError> {
    let (heard, _) = unbounded_channel();
    transcriber.transcribe(silence(1), heard).await
}

#[tokio::test]
async fn a_dropped_call_frees_its_place() {
    let provider = ScriptedProvider::start().await;
    let hold = provider.hold(Endpoint::Speech);
    let settings = OpenAiSettings { concurrency: 1, ..settings(&provider) };
    let transcriber = Arc::new(speech(&settings));
    let cancelled = tokio::spawn(piece(Arc::clone(&transcriber)));
    hold.reached(1).await;
    cancelled.abort();
    drop(hold);
    assert!(piece(transcriber).await.is_ok());
}
