//! The OpenAI provider against a scripted server: what it sends, what it makes of answers, and how it fails.

mod failures;
mod fallback;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use therapybridge::ai::breaker::{Account, Breaker};
use therapybridge::ai::fallback::{Fallback, Member, Patience};
use therapybridge::ai::openai::{OpenAiExtractor, OpenAiSettings, OpenAiTranscriber};
use therapybridge::ai::{
    AiError, Extraction, Heard, Mood, NoteExtractor, Repair, Transcriber, TranscriptLine, Transcription,
};
use therapybridge::clock::{Clock, SystemClock};
use therapybridge::costs::Work;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::provider::{Behaviour, Endpoint, ScriptedProvider};

const KEY: &str = "sk-test-secret";
const WORDS: &str = "I keep thinking about the bridge";

fn settings(provider: &ScriptedProvider) -> OpenAiSettings {
    OpenAiSettings {
        base_url: provider.base_url(),
        api_key: Some(KEY.to_owned().into()),
        patience: patience(2),
        ..OpenAiSettings::default()
    }
}

fn patience(max_retries: u32) -> Patience {
    let (first_backoff, longest_backoff) = (Duration::from_millis(1), Duration::from_secs(1));
    Patience { max_retries, first_backoff, longest_backoff }
}

/// The providers as the server has them: with tries, limits and breakers, by this clock.
fn speech_list(all: &[OpenAiSettings], clock: &Arc<dyn Clock>) -> Fallback<dyn Transcriber> {
    let member = |settings: &OpenAiSettings| {
        let breaker = Breaker::new(&settings.name, Work::Speech, Account::new(&**clock), clock.clone());
        let transcriber: Arc<dyn Transcriber> = Arc::new(OpenAiTranscriber::new(settings).unwrap());
        Member::new(transcriber, settings.concurrency, settings.patience, breaker)
    };
    Fallback::new(all.iter().map(member).collect()).unwrap()
}

fn notes_list(settings: &OpenAiSettings) -> Fallback<dyn NoteExtractor> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let breaker = Breaker::new(&settings.name, Work::Notes, Account::new(&*clock), clock);
    let extractor: Arc<dyn NoteExtractor> = Arc::new(OpenAiExtractor::new(settings).unwrap());
    Fallback::new(vec![Member::new(extractor, settings.concurrency, settings.patience, breaker)]).unwrap()
}

fn speech(settings: &OpenAiSettings) -> Fallback<dyn Transcriber> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    speech_list(std::slice::from_ref(settings), &clock)
}

async fn transcribe_with(settings: &OpenAiSettings) -> Result<Transcription, AiError> {
    ask(&speech(settings)).await
}

async fn ask(transcriber: &dyn Transcriber) -> Result<Transcription, AiError> {
    let (heard, _) = unbounded_channel();
    transcriber.transcribe(silence(3), heard).await
}

async fn transcribe(provider: &ScriptedProvider) -> Result<Transcription, AiError> {
    transcribe_with(&settings(provider)).await
}

async fn extract(provider: &ScriptedProvider) -> Result<Extraction, AiError> {
    notes_list(&settings(provider)).extract(&transcript(), None).await
}

fn silence(seconds: usize) -> Arc<[f32]> {
    vec![0.0; seconds * 16_000].into()
}

fn transcript() -> Vec<TranscriptLine> {
    let line = |index: i32, role: &str, text: &str| TranscriptLine {
        index,
        start_ms: i64::from(index) * 1000,
        end_ms: i64::from(index) * 1000 + 900,
        role: Some(role.to_owned()),
        text: text.to_owned(),
    };
    vec![line(11, "therapist", "What keeps you awake?"), line(12, "patient", WORDS)]
}

#[tokio::test]
async fn a_recording_becomes_segments_as_they_are_heard() {
    let provider = ScriptedProvider::start().await;
    provider.set_transcript(&["Hello there.", "Good morning.", "How are you?"]);
    let (heard, mut events) = unbounded_channel();
    let transcriber = OpenAiTranscriber::new(&settings(&provider)).unwrap();
    let result = transcriber.transcribe(silence(3), heard).await.unwrap();

    let times: Vec<_> = result.segments.iter().map(|s| (s.start_ms, s.end_ms, s.text.as_str())).collect();
    let expected = [(0, 1000, "Hello there."), (1000, 2000, "Good morning."), (2000, 3000, "How are you?")];
    assert_eq!(times, expected);
    assert!(result.segments.iter().all(|s| s.confidence.is_some_and(|c| (0.90..0.91).contains(&c))));
    assert_eq!(result.usage.audio_ms, Some(3000));
    for segment in result.segments {
        assert_eq!(events.recv().await, Some(Heard::Segment(segment)));
    }
    assert_eq!(events.recv().await, Some(Heard::Progress(1.0)));
}

#[tokio::test]
async fn a_transcription_asks_for_segments_and_sends_the_key_as_bearer() {
    let provider = ScriptedProvider::start().await;
    transcribe(&provider).await.unwrap();
    let call = &provider.calls(Endpoint::Speech)[0];
    assert_eq!(call.path, "/v1/audio/transcriptions");
    assert_eq!(call.model, "whisper-1");
    assert_eq!(call.authorization, Some(format!("Bearer {KEY}")));
    assert_eq!(call.fields["response_format"], "verbose_json");
    assert_eq!(call.fields["timestamp_granularities[]"], "segment");
    assert_eq!(call.audio_ms, 3000);
    assert!(call.body_bytes > 96_000);
}

#[tokio::test]
async fn a_local_server_without_a_key_gets_no_authorization() {
    let provider = ScriptedProvider::start().await;
    transcribe_with(&OpenAiSettings { api_key: None, ..settings(&provider) }).await.unwrap();
    assert_eq!(provider.calls(Endpoint::Speech)[0].authorization, None);
}

#[tokio::test]
async fn a_model_without_segments_is_asked_for_text_from_then_on() {
    let provider = ScriptedProvider::start().await;
    provider.set_transcript(&["All in one."]);
    let refusal =
        json!({"error": {"message": "'verbose_json' is not compatible", "param": "response_format"}});
    provider.script(Endpoint::Speech, [Behaviour::Error { status: 400, headers: vec![], body: refusal }]);
    let transcriber = OpenAiTranscriber::new(&settings(&provider)).unwrap();
    for _ in 0..2 {
        let (heard, _) = unbounded_channel();
        let result = transcriber.transcribe(silence(3), heard).await.unwrap();
        assert_eq!((result.segments[0].start_ms, result.segments[0].end_ms), (0, 3000));
    }
    let formats =
        provider.calls(Endpoint::Speech).into_iter().map(|call| call.fields["response_format"].clone());
    assert_eq!(formats.collect::<Vec<_>>(), ["verbose_json", "json", "json"]);
}

#[tokio::test]
async fn a_diarising_model_tells_who_spoke() {
    let provider = ScriptedProvider::start().await;
    let segment = json!({"id": "s", "type": "transcript.text.segment", "start": 0.0, "end": 1.0, "text": "Hi.", "speaker": "A"});
    provider.script(Endpoint::Speech, [Behaviour::Json(json!({"text": "Hi.", "segments": [segment]}))]);
    let transcribe_model = "gpt-4o-transcribe-diarize".to_owned();
    let result = transcribe_with(&OpenAiSettings { transcribe_model, ..settings(&provider) }).await.unwrap();
    assert_eq!(result.segments[0].speaker.as_deref(), Some("A"));
    assert_eq!(provider.calls(Endpoint::Speech)[0].fields["response_format"], "diarized_json");
}

#[tokio::test]
async fn notes_come_back_typed_with_their_quotes_and_tokens() {
    let provider = ScriptedProvider::start().await;
    let extraction = extract(&provider).await.unwrap();
    let draft = extraction.draft.unwrap();
    assert_eq!(draft.session_mood, Mood::Low);
    assert_eq!((draft.action_items[0].segment, draft.action_items[0].quote.as_str()), (12, WORDS));
    assert_eq!(extraction.usage.prompt_tokens, Some(1200));
    assert_eq!(extraction.usage.completion_tokens, Some(340));
}

#[tokio::test]
async fn a_request_for_notes_holds_the_numbered_transcript_and_a_strict_schema() {
    let provider = ScriptedProvider::start().await;
    extract(&provider).await.unwrap();
    let call = &provider.calls(Endpoint::Chat)[0];
    assert_eq!(call.path, "/v1/chat/completions");
    assert_eq!(call.model, "gpt-4o");
    assert_eq!(call.messages[0].0, "system");
    assert_eq!(
        call.messages[1].1,
        format!("<transcript>\n[11] therapist: What keeps you awake?\n[12] patient: {WORDS}\n</transcript>")
    );
    let format = &call.json["response_format"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(format["json_schema"]["strict"], true);
    assert_eq!(format["json_schema"]["schema"]["additionalProperties"], false);
    assert_eq!(call.json.get("temperature"), None);
}

#[tokio::test]
async fn notes_of_the_wrong_shape_name_their_problems_and_can_be_repaired() {
    let provider = ScriptedProvider::start().await;
    provider.script(Endpoint::Chat, [Behaviour::WrongSchema]);
    let extractor = OpenAiExtractor::new(&settings(&provider)).unwrap();
    let first = extractor.extract(&transcript(), None).await.unwrap();
    let problems = first.draft.unwrap_err();
    assert!(problems.contains(&"therapistNotes is missing.".to_owned()), "{problems:?}");

    let repair = Repair { previous: first.raw.clone(), problems };
    assert!(extractor.extract(&transcript(), Some(&repair)).await.unwrap().draft.is_ok());
    let messages = &provider.calls(Endpoint::Chat)[1].messages;
    let roles: Vec<_> = messages.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(messages[2].1, first.raw);
    assert!(messages[3].1.contains("- therapistNotes is missing."));
}

#[tokio::test]
async fn a_chat_answer_that_is_no_json_is_a_problem_and_keeps_its_words() {
    let provider = ScriptedProvider::start().await;
    provider.script(Endpoint::Chat, [Behaviour::Content("Sure! Here are the notes.".to_owned())]);
    let extraction = extract(&provider).await.unwrap();
    assert!(extraction.draft.is_err());
    assert_eq!(extraction.raw, "Sure! Here are the notes.");
}

#[tokio::test]
async fn a_server_without_json_schema_is_asked_more_simply_from_then_on() {
    let provider = ScriptedProvider::start().await;
    let refusal =
        |text: &str| Behaviour::Error { status: 400, headers: vec![], body: json!({"error": text}) };
    let refusals =
        [refusal("response_format.type must be text"), refusal("unknown response_format json_object")];
    provider.script(Endpoint::Chat, refusals);
    let extractor = OpenAiExtractor::new(&settings(&provider)).unwrap();
    for _ in 0..2 {
        assert!(extractor.extract(&transcript(), None).await.unwrap().draft.is_ok());
    }
    let calls = provider.calls(Endpoint::Chat);
    let formats: Vec<_> = calls.iter().map(|call| call.json["response_format"]["type"].clone()).collect();
    assert_eq!(formats, [json!("json_schema"), json!("json_object"), Value::Null, Value::Null]);
    let has_schema = |prompt: &str| prompt.contains("additionalProperties");
    assert!(!has_schema(&calls[0].messages[0].1));
    assert!(has_schema(&calls[1].messages[0].1) && has_schema(&calls[3].messages[0].1));
}
