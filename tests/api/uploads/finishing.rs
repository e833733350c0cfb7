//! From an upload to a session.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{numbered, open};
use crate::support::client::Client;
use crate::support::tus::{header, id_of};
use crate::support::{TestApp, code, recording};

/// Begins an upload with a name, and sends all of it; its path.
async fn sent_as(jane: &Client, metadata: &str, bytes: &[u8]) -> String {
    let create = jane.tus(Method::POST, "/uploads").header("upload-length", bytes.len());
    let answer = create.header("upload-metadata", metadata).send().await.unwrap();
    let path = header(&answer, "location").unwrap().to_owned();
    assert_eq!(jane.send(&path, 0, bytes).await, 204);
    path
}

fn message(payload: &Value) -> &str {
    payload["userErrors"][0]["message"].as_str().unwrap()
}

#[tokio::test]
async fn a_complete_upload_becomes_a_session_and_is_used_up() {
    let app = TestApp::new().await;
    let (jane, bytes) = (app.therapist("jane").await, recording("cbr.mp3"));
    let patient = jane.patient("Daniel").await;
    let path = sent_as(&jane, "filename w4RyenRpbi5tcDM=", &bytes).await;
    let payload = jane.finish(&path, json!({ "patientId": patient })).await;
    assert_eq!(payload["userErrors"], json!([]));
    assert_eq!(payload["session"]["audioFilename"], "Ärztin.mp3");
    assert_eq!(payload["session"]["status"], "UPLOADING");
    let files = app.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(std::fs::read(&files[0]).unwrap(), bytes);
    assert_eq!(jane.head_status(&path).await, 410);
    let again = jane.finish(&path, json!({ "patientId": patient })).await;
    assert_eq!(code(&again), "INVALID_STATE");
    assert!(message(&again).contains("used"), "{again}");
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn it_is_the_same_session_as_from_a_multipart_request() {
    let app = TestApp::new().await;
    let (jane, bytes) = (app.therapist("jane").await, recording("vbr.mp3"));
    let patient = jane.patient("Daniel").await;
    let path = jane.sent(&bytes).await;
    jane.finish(&path, json!({ "patientId": patient })).await;
    jane.session(&patient, bytes).await;
    let kinds = "SELECT count(DISTINCT (audio_sha256, audio_ms, audio_bytes, audio_format, duration_minutes)) FROM sessions";
    assert_eq!((app.count("SELECT count(*) FROM sessions").await, app.count(kinds).await), (2, 1));
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let input = json!({ "patientId": jane.patient("Daniel").await });
    let path = jane.begun(1000).await;
    assert_eq!(jane.send(&path, 0, &numbered(400)).await, 204);
    let payload = jane.finish(&path, input.clone()).await;
    assert_eq!(code(&payload), "INVALID_STATE");
    assert!(message(&payload).contains("600 of 1000 bytes"), "{payload}");
    let deferred =
        jane.tus(Method::POST, "/uploads").header("upload-defer-length", "1").send().await.unwrap();
    let payload = jane.finish(header(&deferred, "location").unwrap(), input.clone()).await;
    assert_eq!(code(&payload), "INVALID_STATE");
    for nowhere in ["/uploads/nonsense", "/uploads/0190f3c0-0000-7000-8000-000000000000"] {
        assert_eq!(code(&jane.finish(nowhere, input.clone()).await), "NOT_FOUND");
    }
    jane.tus(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(code(&jane.finish(&path, input.clone()).await), "NOT_FOUND");
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 0);
}

#[tokio::test]
async fn a_recording_comes_one_way_or_the_other() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let path = jane.sent(&recording("cbr.mp3")).await;
    let neither = jane.upload_session(json!({ "patientId": patient })).await;
    let input = json!({ "patientId": patient, "uploadId": id_of(&path) });
    let both = jane.upload(input, "session.mp3", recording("cbr.mp3")).await;
    assert_eq!((code(&neither), code(&both)), ("INVALID_INPUT", "INVALID_INPUT"));
    assert_eq!((open(&app).await, app.count("SELECT count(*) FROM sessions").await), (1, 0));
}

#[tokio::test]
async fn the_same_key_gives_the_first_session_and_no_other() {
    let app = TestApp::new().await;
    let (jane, bytes) = (app.therapist("jane").await, recording("cbr.mp3"));
    let patient = jane.patient("Daniel").await;
    let path = jane.sent(&bytes).await;
    let input = json!({ "patientId": patient, "idempotencyKey": "k" });
    let first = jane.finish(&path, input.clone()).await;
    let again = jane.finish(&path, input.clone()).await;
    assert_eq!(first["session"]["id"].as_str().unwrap(), again["session"]["id"].as_str().unwrap());
    let other = jane.sent(&bytes).await;
    assert_eq!(code(&jane.finish(&other, input.clone()).await), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(code(&jane.upload(input, "a.mp3", bytes).await), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn two_at_once_make_one_session() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let path = jane.sent(&recording("cbr.mp3")).await;
    let payloads = join_all((0..4).map(|_| jane.finish(&path, json!({ "patientId": patient })))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        payloads.iter().partition(|payload| payload["session"].is_object());
    assert_eq!((made.len(), refused.len()), (1, 3), "{payloads:?}");
    assert!(refused.iter().all(|payload| code(payload) == "INVALID_STATE"));
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
    assert_eq!(app.files().len(), 1, "those who lost leave nothing");
}

#[tokio::test]
async fn what_is_no_recording_is_refused_and_removed_and_what_is_damaged_stays() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let input = json!({ "patientId": jane.patient("Daniel").await });
    let text = jane.sent(b"Dear diary, today I was brave.").await;
    assert_eq!(code(&jane.finish(&text, input.clone()).await), "UNSUPPORTED_MEDIA");
    assert_eq!(jane.head_status(&text).await, 410);
    let empty = jane.begun(0).await;
    assert_eq!(code(&jane.finish(&empty, input.clone()).await), "UNSUPPORTED_MEDIA");
    app.assert_nothing_left().await;
    let cut = recording("speech.flac");
    let cut = jane.sent(&cut[..cut.len() / 2]).await;
    assert_eq!(code(&jane.finish(&cut, input.clone()).await), "DAMAGED_MEDIA");
    assert_eq!(jane.head_status(&cut).await, 200, "the readable part can still be asked for");
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 0);
    let mut partly = input;
    partly["allowPartial"] = json!(true);
    let payload = jane.finish(&cut, partly).await;
    assert_eq!(payload["userErrors"], json!([]));
    let query = "query ($id: ID!) { session(id: $id) { recordingIsPartial } }";
    let session = jane.call(query, json!({ "id": payload["session"]["id"] })).await["session"].clone();
    assert_eq!(session["recordingIsPartial"], true);
}

#[tokio::test]
async fn a_patient_of_somebody_else_gets_no_session_and_the_upload_stays() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let path = jane.sent(&recording("cbr.mp3")).await;
    let input = json!({ "patientId": eve.patient("Daniel").await });
    assert_eq!(code(&jane.finish(&path, input).await), "NOT_FOUND");
    assert_eq!(jane.offset(&path).await, recording("cbr.mp3").len());
}
