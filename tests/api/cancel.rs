//! Stopping the processing of a session, asking twice for the same, and who wins when things happen at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::socket::{Watch, statuses};
use crate::support::{TestApp, code, recording, root};

const FIELDS: &str = "session { id status progress version errorMessage } userErrors { code message field }";

async fn mutate(client: &Client, mutation: &str, id: &str, key: Option<&str>) -> Value {
    let query = format!(
        "mutation ($id: ID!, $key: String) {{ {mutation}(sessionId: $id, idempotencyKey: $key) {{ {FIELDS} }} }}"
    );
    client.call(&query, json!({ "id": id, "key": key })).await[mutation].clone()
}

async fn cancel(client: &Client, id: &str) -> Value {
    mutate(client, "cancelProcessing", id, None).await
}

async fn retry(client: &Client, id: &str) -> Value {
    mutate(client, "retrySession", id, None).await
}

async fn status(client: &Client, id: &str) -> Value {
    let query = "query ($id: ID!) { session(id: $id) { status } }";
    client.call(query, json!({ "id": id })).await["session"]["status"].clone()
}

/// A therapist with one uploaded session.
async fn uploaded(app: &TestApp) -> (Client, String) {
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    (jane, id)
}

async fn until_processed(client: &Client, id: &str) {
    let history = Watch::session(client, id).await.until_end().await;
    assert_eq!(history.last().unwrap()["status"], "PROCESSED", "{history:?}");
}

#[tokio::test]
async fn cancelling_stops_the_call_under_way_and_retrying_goes_on() {
    let app = TestApp::new().await.with_worker();
    let hold = app.provider.hold(Endpoint::Speech);
    let (jane, id) = uploaded(&app).await;
    let watch = Watch::session(&jane, &id).await;
    hold.reached(1).await;
    let cancelled = cancel(&jane, &id).await["session"].clone();
    assert_eq!(cancelled["status"], "FAILED");
    assert!(cancelled["errorMessage"].as_str().unwrap().contains("cancelled"), "{cancelled}");
    app.provider.left(1).await;
    assert_eq!(statuses(&watch.until_end().await).last().unwrap(), "FAILED");
    drop(hold);
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 1, "no further call goes out");
    let left = "SELECT count(*) FROM apalis.jobs
        WHERE status <> 'Done' AND job_type IN ('transcribe_session', 'extract_notes')";
    assert_eq!(app.count(left).await, 0);
    assert_eq!(
        app.count("SELECT count(*) FROM audit_events WHERE action = 'session.cancel_processing'").await,
        1
    );
    assert_eq!(retry(&jane, &id).await["session"]["status"], "UPLOADING");
    until_processed(&jane, &id).await;
}

#[tokio::test]
async fn a_session_can_be_cancelled_in_every_stage_and_only_there() {
    let app = TestApp::new().await.with_worker();
    let (speech, chat) = (app.provider.hold(Endpoint::Speech), app.provider.hold(Endpoint::Chat));
    let (jane, id) = uploaded(&app).await;
    speech.reached(1).await;
    assert_eq!(cancel(&jane, &id).await["session"]["status"], "FAILED", "TRANSCRIBING");
    assert_eq!(code(&cancel(&jane, &id).await), "INVALID_STATE", "FAILED");
    drop(speech);
    retry(&jane, &id).await;
    chat.reached(1).await;
    assert_eq!(status(&jane, &id).await, "EXTRACTING_NOTES");
    assert_eq!(cancel(&jane, &id).await["session"]["status"], "FAILED");
    drop(chat);
    assert_eq!(retry(&jane, &id).await["session"]["status"], "TRANSCRIBED", "the transcript is kept");
    until_processed(&jane, &id).await;
    assert_eq!(code(&cancel(&jane, &id).await), "INVALID_STATE", "PROCESSED");
    assert_eq!(code(&cancel(&jane, "nothing").await), "NOT_FOUND");
}

#[tokio::test]
async fn a_session_that_waits_can_be_cancelled_and_its_job_is_never_done() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    assert_eq!(cancel(&jane, &id).await["session"]["status"], "FAILED", "UPLOADING");
    assert_eq!(app.run_jobs().await, 0);
    app.run("UPDATE sessions SET status = 'TRANSCRIBED', error_message = NULL").await;
    assert_eq!(cancel(&jane, &id).await["session"]["status"], "FAILED", "TRANSCRIBED");
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 0);
}

#[tokio::test]
async fn what_was_recognised_before_a_cancellation_is_not_paid_for_again() {
    let app = TestApp::with(&[("PIECE_SECONDS", "60"), ("OPENAI_CONCURRENCY", "1")]).await.with_worker();
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    app.provider.script(Endpoint::Speech, [Behaviour::Ok, Behaviour::Hang]);
    let sample = std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap();
    let id = jane.session(&patient, sample).await;
    let second_call = async {
        while app.provider.calls(Endpoint::Speech).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), second_call).await.expect("a second call");
    assert_eq!(cancel(&jane, &id).await["session"]["status"], "FAILED");
    assert_eq!(app.count("SELECT count(*) FROM transcript_pieces").await, 1, "one at a time");
    let before = app.provider.calls(Endpoint::Speech).len();
    retry(&jane, &id).await;
    until_processed(&jane, &id).await;
    let missing = app.count("SELECT count(*) FROM transcript_pieces WHERE provider <> 'silence'").await - 1;
    let after = app.provider.calls(Endpoint::Speech).len();
    assert_eq!(i64::try_from(after - before).unwrap(), missing, "only what was missing is paid for");
}

#[tokio::test]
async fn of_a_cancellation_and_an_end_one_wins() {
    let app = TestApp::new().await.with_worker();
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let mut won = 0;
    for _ in 0..6 {
        let hold = app.provider.hold(Endpoint::Chat);
        let id = jane.session(&patient, recording("cbr.mp3")).await;
        hold.reached(1).await;
        drop(hold);
        let payload = cancel(&jane, &id).await;
        let end = statuses(&Watch::session(&jane, &id).await.until_end().await).pop().unwrap();
        if payload["session"].is_null() {
            assert_eq!((code(&payload), end.as_str()), ("INVALID_STATE", "PROCESSED"));
        } else {
            assert_eq!(end, "FAILED");
            won += 1;
            retry(&jane, &id).await;
            until_processed(&jane, &id).await;
        }
    }
    let cancelled = "SELECT count(*) FROM audit_events WHERE action = 'session.cancel_processing'";
    assert_eq!(app.count(cancelled).await, won);
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await, 6);
}

#[tokio::test]
async fn of_two_cancellations_one_wins_unless_they_are_the_same_request() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    let (one, two) = tokio::join!(cancel(&jane, &id), cancel(&jane, &id));
    let lost = if one["session"].is_null() { &one } else { &two };
    assert_eq!(code(lost), "INVALID_STATE");
    assert!(!one["session"].is_null() || !two["session"].is_null());

    retry(&jane, &id).await;
    let same = || mutate(&jane, "cancelProcessing", &id, Some("once"));
    let (one, two) = tokio::join!(same(), same());
    assert_eq!(one["session"], two["session"]);
    assert_eq!(one["session"]["status"], "FAILED");
}

#[tokio::test]
async fn a_cancellation_and_a_retry_at_once_leave_one_of_two_clear_states() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    cancel(&jane, &id).await;
    for _ in 0..6 {
        let (retried, cancelled) = tokio::join!(retry(&jane, &id), cancel(&jane, &id));
        assert_eq!(retried["userErrors"], json!([]), "it had failed");
        let waiting =
            "SELECT count(*) FROM apalis.jobs WHERE status = 'Pending' AND job_type = 'transcribe_session'";
        let waiting = app.count(waiting).await;
        if cancelled["session"].is_null() {
            assert_eq!((code(&cancelled), waiting), ("INVALID_STATE", 1), "it came first");
            cancel(&jane, &id).await;
        } else {
            assert_eq!(waiting, 0, "it came last");
        }
        assert_eq!(status(&jane, &id).await, "FAILED");
    }
}

#[tokio::test]
async fn asking_twice_with_the_same_key_happens_once() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    let first = mutate(&jane, "cancelProcessing", &id, Some("stop")).await;
    assert_eq!(mutate(&jane, "cancelProcessing", &id, Some("stop")).await, first);

    let retried = mutate(&jane, "retrySession", &id, Some("again")).await;
    assert_eq!(mutate(&jane, "retrySession", &id, Some("again")).await, retried);
    app.run_jobs().await;
    let later = mutate(&jane, "retrySession", &id, Some("again")).await;
    assert_eq!(later["session"]["status"], "PROCESSED", "the session is read again");
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE generation = 2").await, 1);

    mutate(&jane, "extractNotes", &id, Some("notes")).await;
    mutate(&jane, "extractNotes", &id, Some("notes")).await;
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE generation = 3").await, 1);
    let forced = format!(
        "mutation ($id: ID!) {{ extractNotes(sessionId: $id, force: true, idempotencyKey: \"notes\") {{ {FIELDS} }} }}"
    );
    let payload = jane.call(&forced, json!({ "id": id })).await["extractNotes"].clone();
    assert_eq!(code(&payload), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(code(&mutate(&jane, "retrySession", &id, Some("stop")).await), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_refused_request_lets_go_of_its_key() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    assert_eq!(code(&mutate(&jane, "retrySession", &id, Some("again")).await), "INVALID_STATE");
    cancel(&jane, &id).await;
    let retried = mutate(&jane, "retrySession", &id, Some("again")).await;
    assert_eq!(retried["session"]["status"], "UPLOADING");
}
