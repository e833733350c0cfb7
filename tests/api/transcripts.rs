//! From pieces to a transcript, and what a therapist puts right in it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::{TestApp, code, recording, root};

const SESSION: &str = "query ($id: ID!) { session(id: $id) {
    status errorMessage transcriptText
    transcriptSegments(first: 100) {
        nodes { id index startMs endMs speaker role roleConfidence text originalText correctedAt } }
    transcription { pieces silentPieces reusedPieces droppedSegments tracks durationMs
        recognisers { provider model audioSeconds } }
    riskScreen { flags { kind } } cost { usd }
    notes { isStale run { id } } } }";

async fn session(client: &Client, id: &str) -> Value {
    client.call(SESSION, json!({ "id": id })).await["session"].clone()
}

fn segments(session: &Value) -> &Vec<Value> {
    session["transcriptSegments"]["nodes"].as_array().unwrap()
}

fn texts(session: &Value) -> Vec<&str> {
    segments(session).iter().map(|segment| segment["text"].as_str().unwrap()).collect()
}

async fn correct(client: &Client, segment: &Value, text: &str, role: Option<&str>) -> Value {
    let query = "mutation ($input: CorrectSegmentInput!) { correctSegment(input: $input) {
        segment { text originalText role correctedAt } userErrors { code message field } } }";
    let input = json!({ "segmentId": segment["id"], "text": text, "role": role });
    client.call(query, json!({ "input": input })).await["correctSegment"].clone()
}

async fn assign(client: &Client, id: &str, speaker: &str, role: Option<&str>) -> Value {
    let query = "mutation ($input: AssignSpeakerInput!) { assignSpeaker(input: $input) {
        session { id } userErrors { code message field } } }";
    let input = json!({ "sessionId": id, "speaker": speaker, "role": role });
    client.call(query, json!({ "input": input })).await["assignSpeaker"].clone()
}

async fn retry(client: &Client, id: &str) {
    let query = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { code } } }";
    assert_eq!(client.call(query, json!({ "id": id })).await["retrySession"]["userErrors"], json!([]));
}

fn sample() -> Vec<u8> {
    std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap()
}

/// An answer of a recogniser with these segments: start and end in seconds, words, speaker.
fn heard(segments: &[(f64, f64, &str, Option<&str>)]) -> Behaviour {
    let segments: Vec<Value> = segments
        .iter()
        .map(|(start, end, text, speaker)| {
            json!({ "start": start, "end": end, "text": text, "speaker": speaker, "avg_logprob": -0.1,
                "no_speech_prob": 0.01, "compression_ratio": 1.2 })
        })
        .collect();
    Behaviour::Json(json!({ "duration": 6.0, "text": "", "segments": segments }))
}

/// A processed session of a new therapist, heard as told.
async fn processed(app: &TestApp, answer: Behaviour) -> (Client, String) {
    app.provider.script(Endpoint::Speech, [answer]);
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    (jane, id)
}

#[tokio::test]
async fn finished_pieces_are_kept_whichever_of_those_beside_them_fails() {
    let app = TestApp::with(&[("PIECE_SECONDS", "60"), ("OPENAI_CONCURRENCY", "3")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    app.provider.script(Endpoint::Speech, [Behaviour::coded(400, "bad_request")]);
    let id = jane.session(&patient, sample()).await;
    let hold = app.provider.hold(Endpoint::Speech);
    tokio::join!(app.run_jobs(), async {
        hold.reached(3).await;
        drop(hold);
    });
    let failed = session(&jane, &id).await;
    assert_eq!(failed["status"], "FAILED");
    let paid = app.provider.calls(Endpoint::Speech).len();
    let stored = usize::try_from(app.count("SELECT count(*) FROM transcript_pieces").await).unwrap();
    assert_eq!(stored, paid - 1, "all but the one that failed");
    // What lies behind a hole is kept, and not shown yet.
    let from_start = "SELECT count(*) FROM transcript_pieces WHERE start_ms = 0";
    assert_eq!(texts(&failed).is_empty(), app.count(from_start).await == 0);

    // A refused key is not tried again for a while.
    app.clock.advance(chrono::TimeDelta::minutes(15));
    retry(&jane, &id).await;
    app.run_jobs().await;
    let whole = session(&jane, &id).await;
    assert_eq!(whole["status"], "PROCESSED", "{whole}");
    let pieces = usize::try_from(app.count("SELECT count(*) FROM transcript_pieces").await).unwrap();
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), pieces + 1, "each is paid for once");
    let starts: Vec<i64> =
        segments(&whole).iter().map(|segment| segment["startMs"].as_i64().unwrap()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
}

#[tokio::test]
async fn pieces_carry_sound_from_before_their_start() {
    let app = TestApp::with(&[("PIECE_SECONDS", "60")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    jane.session(&patient, sample()).await;
    app.run_jobs().await;
    let sent: u64 = app.provider.calls(Endpoint::Speech).iter().map(|call| call.audio_ms).sum();
    let audio = u64::try_from(app.count("SELECT audio_ms FROM sessions").await).unwrap();
    let pieces = u64::try_from(app.count("SELECT count(*) FROM transcript_pieces").await).unwrap();
    assert!(sent.abs_diff(audio + (pieces - 1) * 2000) <= pieces, "{sent} of {audio} in {pieces} pieces");
}

#[tokio::test]
async fn the_same_recording_is_not_recognised_twice_for_one_therapist() {
    let app = TestApp::new().await;
    let (jane, first) = processed(&app, Behaviour::Ok).await;
    let patient = jane.patient("Somebody else").await;
    let again = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let (first, again) = (session(&jane, &first).await, session(&jane, &again).await);
    assert_eq!(again["status"], "PROCESSED");
    assert_eq!(texts(&again), texts(&first));
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 1);
    assert_eq!(
        (&first["transcription"]["reusedPieces"], &again["transcription"]["reusedPieces"]),
        (&json!(0), &json!(1))
    );

    let eve = app.therapist("eve").await;
    let patient = eve.patient("Daniel").await;
    eve.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    assert_eq!(
        app.provider.calls(Endpoint::Speech).len(),
        2,
        "what another therapist has is not theirs to take"
    );
}

#[tokio::test]
async fn silence_is_not_sent_and_words_invented_on_it_are_left_out_and_counted() {
    let app = TestApp::with(&[("PIECE_SECONDS", "10")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    // A tone, silence for longer than a piece, and a tone.
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
    for at in 0..16_000 * 40 {
        let sounds = !(16_000 * 4..16_000 * 36).contains(&at);
        writer.write_sample(if sounds && at % 100 < 50 { 8000_i16 } else { 0 }).unwrap();
    }
    writer.finalize().unwrap();
    let tone = (0.0, 3.0, "This is a tone.", None);
    app.provider.script(Endpoint::Speech, [heard(&[tone, (6.0, 7.0, "Thanks for watching!", None)])]);
    app.provider.always(Endpoint::Speech, heard(&[tone]));
    let id = jane.session(&patient, wav.into_inner()).await;
    app.run_jobs().await;
    let session = session(&jane, &id).await;
    let made = &session["transcription"];
    let (pieces, silent) = (made["pieces"].as_u64().unwrap(), made["silentPieces"].as_u64().unwrap());
    assert!(silent >= 1, "{made}");
    assert_eq!(app.provider.calls(Endpoint::Speech).len() as u64, pieces - silent);
    assert!(made["droppedSegments"].as_u64().unwrap() >= 1, "{made}");
    let text = session["transcriptText"].as_str().unwrap();
    assert!(text.starts_with("This is a tone.") && !text.contains("watching"), "{text}");
}

#[tokio::test]
async fn a_correction_lies_over_what_was_recognised_and_makes_notes_stale() {
    let app = TestApp::new().await;
    let answer = heard(&[
        (0.0, 2.0, "How did the week go?", None),
        (2.0, 4.0, "I wanted to chill myself.", None),
        (4.0, 6.0, "I see.", None),
    ]);
    let (jane, id) = processed(&app, answer).await;
    let before = session(&jane, &id).await;
    assert_eq!((&before["notes"]["isStale"], &before["riskScreen"]["flags"]), (&json!(false), &json!([])));

    let wrong = segments(&before)[1].clone();
    let made = correct(&jane, &wrong, " I wanted to kill myself. ", Some("PATIENT")).await;
    assert_eq!(
        (&made["segment"]["text"], &made["segment"]["originalText"], &made["segment"]["role"]),
        (&json!("I wanted to kill myself."), &json!("I wanted to chill myself."), &json!("PATIENT"))
    );
    let after = session(&jane, &id).await;
    assert_eq!(texts(&after)[1], "I wanted to kill myself.");
    assert!(after["transcriptText"].as_str().unwrap().contains("kill myself"));
    assert_eq!(after["notes"]["isStale"], true);
    assert_eq!(after["riskScreen"]["flags"][0]["kind"], "SUICIDAL_IDEATION", "the screen is made anew");

    let trail = "SELECT count(*) FROM audit_events WHERE action = 'session.correct_segment'";
    correct(&jane, &wrong, "I wanted to kill myself.", Some("PATIENT")).await;
    assert_eq!(app.count(trail).await, 1, "the same once more changes nothing");

    let extract = "mutation ($id: ID!) { extractNotes(sessionId: $id) { userErrors { code } } }";
    jane.call(extract, json!({ "id": id })).await;
    app.run_jobs().await;
    let prompt = app.provider.calls(Endpoint::Chat).pop().unwrap().json.to_string();
    assert!(prompt.contains("kill myself") && !prompt.contains("chill"), "notes are made of what was said");
    let renewed = session(&jane, &id).await;
    assert_ne!(renewed["notes"]["run"]["id"], before["notes"]["run"]["id"]);
    assert_eq!(renewed["notes"]["isStale"], false);

    correct(&jane, &wrong, "I wanted to chill myself.", None).await;
    assert_eq!(session(&jane, &id).await["notes"]["isStale"], true);
    assert_eq!(app.count("SELECT count(*) FROM segment_corrections").await, 2, "every correction is kept");
}

#[tokio::test]
async fn a_therapist_says_whose_voice_it_is() {
    let app = TestApp::new().await;
    let answer = heard(&[
        (0.0, 2.0, "Good morning.", Some("A")),
        (2.0, 4.0, "I could not sleep.", Some("B")),
        (4.0, 6.0, "Since when?", Some("A")),
    ]);
    let (jane, id) = processed(&app, answer).await;
    let roles = async |client: &Client| -> Vec<Value> {
        let session = session(client, &id).await;
        segments(&session).iter().map(|segment| segment["role"].clone()).collect()
    };
    assert_eq!(assign(&jane, &id, "A", Some("THERAPIST")).await["userErrors"], json!([]));
    let (t, p) = (json!("THERAPIST"), json!("PATIENT"));
    assert_eq!(roles(&jane).await, [t.clone(), p.clone(), t.clone()], "of two, the other is the other");
    let seen = session(&jane, &id).await;
    assert_eq!(seen["notes"]["isStale"], true);
    assert!(segments(&seen).iter().all(|segment| segment["roleConfidence"].is_null()), "a person said so");

    correct(&jane, &segments(&seen)[2].clone(), "Since when?", Some("PATIENT")).await;
    assert_eq!(roles(&jane).await, [t, p.clone(), p]);
    assert_eq!(code(&assign(&jane, &id, "C", Some("PATIENT")).await), "INVALID_INPUT");
    assign(&jane, &id, "A", None).await;
    assert_eq!(roles(&jane).await[0], Value::Null, "somebody else's voice");
}

#[tokio::test]
async fn whose_voice_it_is_can_be_told_by_what_is_said() {
    let app = TestApp::new().await;
    let answer = heard(&[
        (
            0.0,
            1.0,
            "Good to see you again. How have you been since last week? What do you notice?",
            Some("A"),
        ),
        (
            1.0,
            2.0,
            "I was tired all the time, and I could not get my work done, so I was angry with myself.",
            Some("B"),
        ),
        (
            2.0,
            3.0,
            "It sounds hard for you. What goes through your mind when you wake up? Could you tell me more?",
            Some("A"),
        ),
        (
            3.0,
            4.0,
            "I lie there and I think that I will never get my life back, and then I hate myself for it.",
            Some("B"),
        ),
        (
            4.0,
            5.0,
            "What would you say to a friend? Let us try that for next week, would you be willing?",
            Some("A"),
        ),
        (
            5.0,
            6.0,
            "I would tell her that it is not her fault, I suppose. I never say that to me.",
            Some("B"),
        ),
    ]);
    let (jane, id) = processed(&app, answer).await;
    let session = session(&jane, &id).await;
    let roles: Vec<&Value> = segments(&session).iter().map(|segment| &segment["role"]).collect();
    assert_eq!(roles, ["THERAPIST", "PATIENT", "THERAPIST", "PATIENT", "THERAPIST", "PATIENT"]);
    assert!(segments(&session)[0]["roleConfidence"].as_f64().unwrap() > 0.6);
    let prompt = app.provider.calls(Endpoint::Chat).pop().unwrap().json.to_string();
    assert!(
        prompt.contains("therapist: Good to see you") && prompt.contains("patient: I was tired"),
        "{prompt}"
    );
}

#[tokio::test]
async fn corrections_are_for_the_sessions_therapist_and_for_complete_transcripts() {
    let app = TestApp::with(&[("PIECE_SECONDS", "60"), ("OPENAI_CONCURRENCY", "1")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    app.provider.script(Endpoint::Speech, [Behaviour::Ok, Behaviour::coded(400, "bad_request")]);
    let id = jane.session(&patient, sample()).await;
    app.run_jobs().await;
    let partial = session(&jane, &id).await;
    assert_eq!(partial["status"], "FAILED");
    let segment = segments(&partial)[0].clone();
    assert_eq!(code(&correct(&jane, &segment, "Other words.", None).await), "INVALID_STATE");
    assert_eq!(code(&assign(&jane, &id, "A", None).await), "INVALID_STATE");

    app.clock.advance(chrono::TimeDelta::minutes(15));
    retry(&jane, &id).await;
    app.run_jobs().await;
    let eve = app.therapist("eve").await;
    assert_eq!(code(&correct(&eve, &segment, "Other words.", None).await), "NOT_FOUND");
    assert_eq!(code(&assign(&eve, &id, "A", None).await), "NOT_FOUND");
    for bad in ["", "  ", "\u{0}", &"x".repeat(10_001)] {
        assert_eq!(code(&correct(&jane, &segment, bad, None).await), "INVALID_INPUT");
    }
    assert_eq!(app.count("SELECT count(*) FROM segment_corrections").await, 0);
}

#[tokio::test]
async fn a_correction_while_notes_are_written_makes_them_stale_at_once() {
    let app = TestApp::new().await.with_worker();
    let hold = app.provider.hold(Endpoint::Chat);
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    tokio::time::timeout(Duration::from_mins(1), hold.reached(1)).await.expect("notes are being written");
    let during = session(&jane, &id).await;
    assert_eq!(during["status"], "EXTRACTING_NOTES");
    assert_eq!(correct(&jane, &segments(&during)[0], "Other words.", None).await["userErrors"], json!([]));
    let watch = crate::support::socket::Watch::session(&jane, &id).await;
    drop(hold);
    watch.until_end().await;
    assert_eq!(session(&jane, &id).await["notes"]["isStale"], true);
}
