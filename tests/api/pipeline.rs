//! From a recording to notes: with a scripted provider, with real speech recognition, and when things fail.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::socket::{Watch, statuses};
use crate::support::wer::{without_speakers, word_error_rate};
use crate::support::{LOCAL, TestApp, code, recording, root};

const SESSION: &str = "query ($id: ID!) { session(id: $id) {
    status progress version errorMessage transcriptText audioFilename
    transcriptSegments(first: 100) { totalCount nodes { index startMs endMs text confidence speaker role } }
    riskScreen { version flags { kind } }
    cost { audioSeconds promptTokens completionTokens usd }
    notes { keyTopics topicSummary sessionMood moodScore moodTrajectory therapistNotes patientSummary riskScreens
        strategies { text evidence { quote segmentId startMs verdict } }
        actionItems { text evidence { quote segmentId startMs verdict } }
        riskFlags { kind severity source evidence { quote startMs verdict } }
        run { id kind provider model promptVersion promptTokens completionTokens costUsd warnings } } } }";

async fn session(client: &Client, id: &str) -> Value {
    client.call(SESSION, json!({ "id": id })).await["session"].clone()
}

async fn retry(client: &Client, id: &str) -> Value {
    let query = "mutation ($id: ID!) { retrySession(sessionId: $id) {
        session { status progress errorMessage } userErrors { code message } } }";
    client.call(query, json!({ "id": id })).await["retrySession"].clone()
}

async fn extract(client: &Client, id: &str, force: bool) -> Value {
    let query = "mutation ($id: ID!, $force: Boolean!) { extractNotes(sessionId: $id, force: $force) {
        session { status } userErrors { code message } } }";
    client.call(query, json!({ "id": id, "force": force })).await["extractNotes"].clone()
}

/// A therapist with one uploaded session that nobody has worked on yet.
async fn uploaded(app: &TestApp) -> (Client, String) {
    let therapist = app.therapist("jane").await;
    let patient = therapist.patient("Maria Santos").await;
    let id = therapist.session(&patient, recording("cbr.mp3")).await;
    (therapist, id)
}

#[tokio::test]
async fn a_recording_becomes_a_transcript_and_notes() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    assert_eq!(app.run_jobs().await, 2);
    let session = session(&jane, &id).await;
    assert_eq!((&session["status"], &session["progress"]), (&json!("PROCESSED"), &json!(100)));
    assert_eq!(session["transcriptSegments"]["totalCount"], 6);
    assert!(session["transcriptText"].as_str().unwrap().starts_with("How have you been sleeping"));
    let notes = &session["notes"];
    assert_eq!((&notes["run"]["kind"], &notes["run"]["model"]), (&json!("MODEL"), &json!("gpt-4o")));
    assert!(notes["run"]["costUsd"].as_f64().unwrap() > 0.0);
    assert!(
        session["cost"]["usd"].as_f64().unwrap() > notes["run"]["costUsd"].as_f64().unwrap(),
        "speech costs, too"
    );
    for item in notes["strategies"].as_array().unwrap().iter().chain(notes["actionItems"].as_array().unwrap())
    {
        assert_eq!(item["evidence"]["verdict"], "SUPPORTED", "{item}");
        assert!(item["evidence"]["segmentId"].is_string());
    }
}

#[tokio::test]
async fn names_and_contacts_of_the_record_never_enter_a_prompt() {
    let app = TestApp::new().await;
    app.provider.set_transcript(&["Hello Maria, it is Jane.", "Write to maria@example.com, says Santos."]);
    let jane = app.therapist("jane").await;
    let made = jane.create_patient(json!({ "name": "Maria Santos", "email": "maria@example.com" })).await;
    let id = jane.session(made["patient"]["id"].as_str().unwrap(), recording("cbr.mp3")).await;
    app.run_jobs().await;
    let calls = app.provider.calls(Endpoint::Chat);
    assert!(!calls.is_empty());
    for call in &calls {
        let prompt = call.json.to_string().to_lowercase();
        for secret in ["maria", "santos", "jane", "example.com"] {
            assert!(!prompt.contains(secret), "{secret} is in the prompt");
        }
    }
    assert!(session(&jane, &id).await["transcriptText"].as_str().unwrap().contains("Maria"));
}

#[tokio::test]
async fn a_provider_that_fails_for_good_makes_the_session_fail_with_a_message_and_retry_works() {
    let app = TestApp::new().await;
    app.provider.script(Endpoint::Speech, [Behaviour::coded(401, "invalid_api_key")]);
    let (jane, id) = uploaded(&app).await;
    let watch = Watch::session(&jane, &id).await;
    app.run_jobs().await;
    assert_eq!(statuses(&watch.until_end().await).last().unwrap(), "FAILED");
    let failed = session(&jane, &id).await;
    let message = failed["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("key") && !message.contains("LEAKED") && !message.contains("sk-test"),
        "{message}"
    );
    assert!(failed["notes"].is_null());

    // A refused key is not tried again for a while.
    app.clock.advance(chrono::TimeDelta::minutes(15));
    let payload = retry(&jane, &id).await;
    assert_eq!(payload["session"], json!({ "status": "UPLOADING", "progress": 0, "errorMessage": null }));
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    assert_eq!(code(&retry(&jane, &id).await), "INVALID_STATE");
}

#[tokio::test]
async fn passing_trouble_is_tried_again_until_it_passes() {
    let app = TestApp::new().await;
    app.provider.script(Endpoint::Speech, [Behaviour::status(503), Behaviour::Reset, Behaviour::Ok]);
    app.provider.script(Endpoint::Chat, [Behaviour::status(500), Behaviour::Ok]);
    let (jane, id) = uploaded(&app).await;
    let mut attempts = 0;
    while session(&jane, &id).await["status"] != "PROCESSED" {
        attempts += app.run_jobs().await;
        assert!(attempts < 20, "still not processed");
    }
    assert_eq!(attempts, 5, "three for speech, two for notes");
}

#[tokio::test]
async fn trouble_that_does_not_pass_ends_in_failed_after_the_last_attempt() {
    let app = TestApp::new().await;
    app.provider.always(Endpoint::Speech, Behaviour::status(503));
    let (jane, id) = uploaded(&app).await;
    while session(&jane, &id).await["status"] != "FAILED" {
        app.run_jobs().await;
    }
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 5);
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE status = 'Killed'").await, 1);
}

#[tokio::test]
async fn notes_that_fail_keep_the_transcript_and_a_retry_pays_for_the_notes_only() {
    let app = TestApp::new().await;
    app.provider.script(Endpoint::Chat, [Behaviour::WrongSchema, Behaviour::WrongSchema, Behaviour::Ok]);
    let (jane, id) = uploaded(&app).await;
    app.run_jobs().await;
    let failed = session(&jane, &id).await;
    assert_eq!(
        (&failed["status"], &failed["transcriptSegments"]["totalCount"]),
        (&json!("FAILED"), &json!(6))
    );
    assert!(failed["riskScreen"]["version"].is_string(), "the screen is made also when extraction fails");
    assert_eq!(retry(&jane, &id).await["session"]["status"], "TRANSCRIBED");
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 1, "speech is not paid for twice");
}

#[tokio::test]
async fn the_same_transcript_is_not_paid_for_twice_unless_forced() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    app.run_jobs().await;
    let first = session(&jane, &id).await["notes"]["run"]["id"].clone();
    let paid = app.provider.calls(Endpoint::Chat).len();

    assert_eq!(extract(&jane, &id, false).await["session"]["status"], "TRANSCRIBED");
    app.run_jobs().await;
    let again = session(&jane, &id).await;
    assert_eq!((&again["status"], &again["notes"]["run"]["id"]), (&json!("PROCESSED"), &first));
    assert_eq!(app.provider.calls(Endpoint::Chat).len(), paid);

    extract(&jane, &id, true).await;
    app.run_jobs().await;
    assert_ne!(session(&jane, &id).await["notes"]["run"]["id"], first);
    assert!(app.provider.calls(Endpoint::Chat).len() > paid);
}

#[tokio::test]
async fn a_long_recording_is_recognised_in_pieces_with_true_offsets_and_a_retry_pays_for_the_missing_ones() {
    let app = TestApp::with(&[("PIECE_SECONDS", "60"), ("OPENAI_CONCURRENCY", "2")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    app.provider
        .script(Endpoint::Speech, [Behaviour::Ok, Behaviour::Ok, Behaviour::coded(401, "invalid_api_key")]);
    let id = jane
        .session(&patient, std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap())
        .await;
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "FAILED");
    let stored = app.count("SELECT count(*) FROM transcript_pieces").await;
    assert!(stored >= 1, "finished pieces are kept");
    let paid = app.provider.calls(Endpoint::Speech).len();

    app.clock.advance(chrono::TimeDelta::minutes(15));
    retry(&jane, &id).await;
    app.run_jobs().await;
    let processed = session(&jane, &id).await;
    assert_eq!(processed["status"], "PROCESSED");
    let pieces = app.count("SELECT count(*) FROM transcript_pieces").await;
    let missing = usize::try_from(pieces - stored).unwrap();
    assert_eq!(
        app.provider.calls(Endpoint::Speech).len(),
        paid + missing,
        "only what was missing is paid for"
    );
    let gaps =
        "SELECT count(*) FROM (SELECT start_ms, lag(end_ms, 1, 0::bigint) OVER (ORDER BY start_ms) AS before
                FROM transcript_pieces) AS pieces WHERE start_ms <> before";
    assert_eq!(app.count(gaps).await, 0, "pieces follow each other without gap or overlap");
    let disorder = "SELECT count(*) FROM (SELECT start_ms, lag(end_ms, 1, 0::bigint) OVER (ORDER BY segment_index) AS before
                    FROM transcript_segments) AS segments WHERE start_ms < before";
    assert_eq!(app.count(disorder).await, 0, "utterances are in order of time");
}

#[tokio::test]
async fn a_retry_with_pieces_of_another_length_neither_skips_nor_doubles_speech() {
    let app = TestApp::with(&[("PIECE_SECONDS", "40"), ("OPENAI_CONCURRENCY", "1")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    app.provider
        .script(Endpoint::Speech, [Behaviour::Ok, Behaviour::Ok, Behaviour::coded(401, "invalid_api_key")]);
    let id = jane
        .session(&patient, std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap())
        .await;
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM transcript_pieces").await, 2);

    let database = app.app.config.database.url.as_ref().unwrap().expose_secret();
    let data = app.app.config.database.data_dir.to_str().unwrap();
    let other =
        TestApp::with(&[("DATABASE_URL", database), ("DATA_DIR", data), ("PIECE_SECONDS", "110")]).await;
    let jane = other.anonymous().with_token(jane.token.as_deref().unwrap());
    retry(&jane, &id).await;
    other.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    let gaps =
        "SELECT count(*) FROM (SELECT start_ms, lag(end_ms, 1, 0::bigint) OVER (ORDER BY start_ms) AS before
                FROM transcript_pieces) AS pieces WHERE start_ms <> before";
    assert_eq!(app.count(gaps).await, 0);
    let missing = "SELECT abs(audio_ms - (SELECT max(end_ms) FROM transcript_pieces)) FROM sessions";
    assert!(app.count(missing).await <= 1, "the whole recording is covered");
}

#[tokio::test]
async fn a_transcript_of_a_part_never_passes_for_the_whole() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    let file = app.files().pop().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    app.run_jobs().await;
    let failed = session(&jane, &id).await;
    assert_eq!(failed["status"], "FAILED");
    assert!(failed["errorMessage"].as_str().unwrap().contains("Upload it again"), "{failed}");
}

#[tokio::test]
async fn another_therapist_can_neither_see_nor_retry_a_session() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    app.run_jobs().await;
    let eve = app.therapist("eve").await;
    assert!(session(&eve, &id).await.is_null());
    assert_eq!(code(&retry(&eve, &id).await), "NOT_FOUND");
    assert_eq!(code(&extract(&eve, &id, true).await), "NOT_FOUND");
    assert!(!session(&jane, &id).await.is_null());
}

#[tokio::test]
async fn the_patient_sees_date_and_status_and_no_content() {
    let app = TestApp::new().await;
    let (_, id) = uploaded(&app).await;
    app.run_jobs().await;
    let maria = app.user("maria", "PATIENT").await;
    assert!(session(&maria, &id).await.is_null(), "not tied to the record yet");
    let tie = "UPDATE patients SET user_id = (SELECT id FROM users WHERE email = 'maria@example.com')";
    sqlx::query(tie).execute(app.app.pool()).await.unwrap();
    let seen = session(&maria, &id).await;
    assert_eq!(seen["status"], "PROCESSED");
    for field in [
        "errorMessage",
        "transcriptText",
        "audioFilename",
        "transcriptSegments",
        "riskScreen",
        "cost",
        "notes",
    ] {
        assert!(seen[field].is_null(), "{field}: {}", seen[field]);
    }
    let retry = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { code } } }";
    assert_eq!(maria.refusal(retry, json!({ "id": id })).await, "FORBIDDEN");
}

#[tokio::test]
async fn reading_content_is_audited_once_a_request() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    app.run_jobs().await;
    session(&jane, &id).await;
    let reads = "SELECT count(*) FROM audit_events WHERE action = ";
    assert_eq!(app.count(&format!("{reads}'session.read_transcript'")).await, 1);
    assert_eq!(app.count(&format!("{reads}'session.read_notes'")).await, 1);
}

/// The main job with nothing scripted: real speech recognition and the rules, on the real recording.
#[tokio::test]
async fn real_speech_recognition_gives_the_words_that_were_said_and_notes_that_quote_them() {
    let app = TestApp::with(&LOCAL).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel Weber").await;
    let id = jane
        .session(&patient, std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap())
        .await;
    let mut watch = Watch::session(&jane, &id).await;
    assert_eq!(watch.value().await["status"], "UPLOADING");
    let (history, attempts) = tokio::join!(watch.until_end(), app.run_jobs());
    assert_eq!(attempts, 2);
    assert_eq!(statuses(&history), ["TRANSCRIBING", "TRANSCRIBED", "EXTRACTING_NOTES", "PROCESSED"]);

    let session = session(&jane, &id).await;
    let truth =
        std::fs::read_to_string(root().join("tests/data/notes/sessions/session_anxiety.txt")).unwrap();
    let errors = word_error_rate(&without_speakers(&truth), session["transcriptText"].as_str().unwrap());
    assert!(errors < 0.06, "word error rate {errors}");
    let notes = &session["notes"];
    assert_eq!(notes["run"]["kind"], "EXTRACTIVE");
    assert_eq!(notes["run"]["warnings"], json!([]));
    assert_eq!(notes["riskFlags"], json!([]), "nothing in this session is a risk");
    assert!(notes["riskScreens"][0].as_str().unwrap().starts_with("lexical"));
    let topics = notes["keyTopics"].as_array().unwrap().len();
    assert!((3..=7).contains(&topics), "{topics} topics");
    for list in ["strategies", "actionItems"] {
        let items = notes[list].as_array().unwrap();
        assert!(!items.is_empty(), "{list}");
        assert!(items.iter().all(|item| item["evidence"]["verdict"] == "SUPPORTED"), "{items:?}");
    }
}

/// Every risk is found in what a machine heard, too, with the right words.
#[tokio::test]
async fn every_risk_is_found_in_recognised_speech() {
    // In short pieces, so that words at many edges have to be put together.
    let app = TestApp::with(&[&LOCAL[..], &[("PIECE_SECONDS", "30")]].concat()).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria Santos").await;
    let id = jane
        .session(&patient, std::fs::read(root().join("tests/data/audio/session_risk.mp3")).unwrap())
        .await;
    app.run_jobs().await;
    let session = session(&jane, &id).await;
    assert_eq!(session["status"], "PROCESSED", "{}", session["errorMessage"]);
    let truth = std::fs::read_to_string(root().join("tests/data/notes/sessions/session_risk.txt")).unwrap();
    let errors = word_error_rate(&without_speakers(&truth), session["transcriptText"].as_str().unwrap());
    assert!(errors < 0.06, "word error rate {errors}");
    let flags = session["notes"]["riskFlags"].as_array().unwrap();
    let expected = [
        ("HOPELESSNESS", "point of anything"),
        ("SUICIDAL_IDEATION", "killing myself"),
        ("SUICIDE_MEANS_OR_PLAN", "pills"),
        ("PAST_ATTEMPT", "too many pills"),
        ("SUBSTANCE_USE", "bottle every night"),
        ("LOSS_OF_CONTROL", "trust myself"),
    ];
    for (kind, words) in expected {
        let found = flags.iter().any(|flag| {
            flag["kind"] == kind
                && flag["evidence"]["quote"].as_str().unwrap().to_lowercase().contains(words)
                && flag["evidence"]["verdict"] == "SUPPORTED"
        });
        assert!(found, "{kind} with “{words}” in {flags:#?}");
    }
    assert_eq!(session["riskScreen"]["flags"].as_array().unwrap().len(), flags.len());
}
