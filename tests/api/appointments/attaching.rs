//! The recording of a session that is there already.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{
    EARLIER, FIELDS, TOMORROW, archive, attach, message, refused, say, schedule, scheduled, therapist_in,
    trail, versions, with_input,
};
use crate::support::client::Client;
use crate::support::tus::id_of;
use crate::support::{TestApp, recording};

async fn finish(client: &Client, path: &str, mut input: Value) -> Value {
    input["uploadId"] = json!(id_of(path));
    with_input(client, "attachRecording", input).await
}

async fn text(app: &TestApp, query: String) -> String {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(app.app.pool()).await.unwrap()
}

#[tokio::test]
async fn a_planned_session_gets_its_recording_and_is_processed() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient, "scheduledStart": EARLIER, "durationMinutes": 50 });
    let id = schedule(&jane, input).await["session"]["id"].as_str().unwrap().to_owned();
    let payload = attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")).await;
    let expected = json!({ "id": id, "attendance": "COMPLETED", "status": "UPLOADING", "version": 2, "progress": 100,
        "scheduledStart": "2026-03-10T08:00:00+00:00", "sessionDate": "2026-03-10", "durationMinutes": 50,
        "audioFilename": "session.mp3", "recordingIsPartial": false });
    assert_eq!((&payload["session"], &payload["userErrors"]), (&expected, &json!([])));
    assert_eq!(trail(&app).await.last().unwrap(), "session.attach_recording attendance,status,audioFilename");
    assert_eq!(versions(&app).await, [1, 2]);
    app.run_jobs().await;
    let query = "query ($id: ID!) { session(id: $id) { status transcriptText notes { topicSummary } } }";
    let session = jane.call(query, json!({ "id": id })).await["session"].clone();
    assert_eq!(session["status"], "PROCESSED");
    assert!(session["transcriptText"].is_string() && session["notes"].is_object(), "{session}");
}

#[tokio::test]
async fn a_session_that_was_completed_without_one_gets_its_recording_later() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    say(&jane, "completeSession", &id).await;
    let session = attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")).await["session"].clone();
    assert_eq!((&session["status"], &session["version"]), (&json!("UPLOADING"), &json!(3)));
    assert_eq!(session["durationMinutes"], 1, "that of the recording, for no other was known");
    let last = trail(&app).await.pop().unwrap();
    assert_eq!(last, "session.attach_recording durationMinutes,status,audioFilename");
}

#[tokio::test]
async fn the_key_names_the_session_and_no_file_that_was_there_before() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")).await;
    let key = text(&app, "SELECT audio_key FROM sessions".into()).await;
    let therapist = text(&app, "SELECT id::text FROM users".into()).await;
    let name = key.strip_prefix(&format!("{therapist}/{id}/audio-")).unwrap_or_else(|| panic!("{key}"));
    assert!(name.strip_suffix(".mp3").is_some_and(|fresh| uuid::Uuid::try_parse(fresh).is_ok()), "{key}");
    let file = app.app.config.storage.files_dir.canonicalize().unwrap().join(&key);
    assert_eq!(std::fs::read(file).unwrap(), recording("cbr.mp3"));
    assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0, "no intent is left");
}

#[tokio::test]
async fn a_session_that_lay_ahead_took_place_today() {
    let app = TestApp::new().await;
    // It is the 9th there.
    let jane = therapist_in(&app, "Pacific/Niue").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, "2026-03-20T20:00:00Z").await;
    let session = attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")).await["session"].clone();
    assert_eq!(
        (&session["attendance"], &session["sessionDate"]),
        (&json!("COMPLETED"), &json!("2026-03-09"))
    );
    assert_eq!(session["scheduledStart"], "2026-03-20T20:00:00+00:00", "as it was planned");
}

#[tokio::test]
async fn a_recording_that_came_in_parts_is_attached_and_used_up() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (id, other) = (scheduled(&jane, &patient, EARLIER).await, scheduled(&jane, &patient, EARLIER).await);
    let path = jane.sent(&recording("cbr.mp3")).await;
    let payload = finish(&jane, &path, json!({ "sessionId": id })).await;
    assert_eq!((&payload["session"]["status"], &payload["userErrors"]), (&json!("UPLOADING"), &json!([])));
    assert_eq!(jane.head_status(&path).await, 410);
    assert_eq!(app.files().len(), 1, "the parts are gone");
    let again = finish(&jane, &path, json!({ "sessionId": other })).await;
    assert_eq!(refused(&again).0, "INVALID_STATE");
    assert!(message(&again).contains("used"), "{again}");
}

#[tokio::test]
async fn exactly_one_source_is_needed() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    let neither = with_input(&jane, "attachRecording", json!({ "sessionId": id })).await;
    assert_eq!(refused(&neither), ("INVALID_INPUT", "audio"));
    let both = json!({ "sessionId": id, "uploadId": id });
    assert_eq!(refused(&attach(&jane, both, recording("cbr.mp3")).await), ("INVALID_INPUT", "audio"));
}

#[tokio::test]
async fn what_takes_no_recording_is_refused_and_the_upload_stays() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let patient = jane.patient("Daniel").await;
    let off = scheduled(&jane, &patient, EARLIER).await;
    say(&jane, "cancelSession", &off).await;
    let missed = scheduled(&jane, &patient, EARLIER).await;
    say(&jane, "markNoShow", &missed).await;
    let recorded = scheduled(&jane, &patient, EARLIER).await;
    attach(&jane, json!({ "sessionId": recorded }), recording("cbr.mp3")).await;
    let uploaded = jane.session(&patient, recording("cbr.mp3")).await;
    let noah = jane.patient("Noah").await;
    let archived = scheduled(&jane, &noah, EARLIER).await;
    archive(&jane, &noah).await;
    let hers = scheduled(&eve, &eve.patient("Maria").await, EARLIER).await;
    let files = app.files().len();
    let path = jane.sent(&recording("cbr.mp3")).await;
    for (id, expected, says) in [
        (off.as_str(), "INVALID_STATE", "CANCELLED"),
        (&missed, "INVALID_STATE", "NO_SHOW"),
        (&recorded, "INVALID_STATE", "has a recording"),
        (&uploaded, "INVALID_STATE", "has a recording"),
        (&archived, "INVALID_STATE", "archived"),
        (&hers, "NOT_FOUND", "no such session"),
        ("nothing", "NOT_FOUND", "no such session"),
        (&patient, "NOT_FOUND", "no such session"),
    ] {
        for payload in [
            attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")).await,
            finish(&jane, &path, json!({ "sessionId": id })).await,
        ] {
            assert_eq!(refused(&payload), (expected, "sessionId"), "{says}");
            assert!(message(&payload).contains(says), "{payload}");
        }
    }
    assert_eq!(jane.offset(&path).await, recording("cbr.mp3").len(), "it can be used for another session");
    assert_eq!(app.files().len(), files + 1, "the parts of the upload");
    assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0);
}

#[tokio::test]
async fn a_bad_recording_leaves_the_session_as_it_was_and_no_file() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    let flac = recording("speech.flac");
    for (bytes, expected) in [
        (b"not a recording, whatever its name".to_vec(), "UNSUPPORTED_MEDIA"),
        (flac[..flac.len() / 2].to_vec(), "DAMAGED_MEDIA"),
        (therapybridge::audio::to_wav(&vec![0.0; 160_000]), "SILENT_MEDIA"),
    ] {
        let path = jane.sent(&bytes).await;
        for payload in [
            finish(&jane, &path, json!({ "sessionId": id })).await,
            attach(&jane, json!({ "sessionId": id }), bytes).await,
        ] {
            assert_eq!(refused(&payload), (expected, "audio"));
        }
        jane.tus(reqwest::Method::DELETE, &path).send().await.unwrap();
    }
    assert_eq!(app.files(), Vec::<std::path::PathBuf>::new());
    let untouched =
        "SELECT count(*) FROM sessions WHERE status IS NULL AND version = 1 AND attendance = 'SCHEDULED'";
    assert_eq!(app.count(untouched).await, 1);
    let part =
        attach(&jane, json!({ "sessionId": id, "allowPartial": true }), flac[..flac.len() / 2].to_vec())
            .await;
    assert_eq!(part["session"]["recordingIsPartial"], true, "{part}");
}

#[tokio::test]
async fn only_therapists_attach() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (maria, patient) = app.patient_user(&jane, "maria").await;
    let id = scheduled(&jane, &patient, TOMORROW).await;
    let query = format!(
        "mutation ($input: AttachRecordingInput!) {{ attachRecording(input: $input) {{ {FIELDS} }} }}"
    );
    let input = json!({ "input": { "sessionId": id, "audio": null } });
    for (client, expected) in
        [(maria, "FORBIDDEN"), (app.admin("root").await, "FORBIDDEN"), (app.anonymous(), "UNAUTHENTICATED")]
    {
        let answer =
            client.send_file(&query, input.clone(), "variables.input.audio", recording("cbr.mp3")).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], expected, "{answer}");
    }
    assert_eq!(app.files(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn the_same_request_with_one_key_attaches_once_and_another_file_is_refused() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = scheduled(&jane, &patient, EARLIER).await;
    let input = json!({ "sessionId": id, "idempotencyKey": "k" });
    let first = attach(&jane, input.clone(), recording("cbr.mp3")).await;
    app.run_jobs().await;
    let again = attach(&jane, input.clone(), recording("cbr.mp3")).await;
    assert_eq!((&again["session"]["id"], &again["session"]["status"]), (&json!(id), &json!("PROCESSED")));
    assert_eq!(first["session"]["status"], "UPLOADING");
    assert_eq!(refused(&attach(&jane, input, recording("vbr.mp3")).await).0, "IDEMPOTENCY_KEY_REUSED");
    let upload =
        jane.upload(json!({ "patientId": patient, "idempotencyKey": "k" }), "a.mp3", recording("cbr.mp3"));
    assert_eq!(super::code(&upload.await), "IDEMPOTENCY_KEY_REUSED", "another mutation");
    assert_eq!(app.files().len(), 1);
}

#[tokio::test]
async fn where_the_budget_is_used_up_nothing_is_attached() {
    let app =
        TestApp::with(&[("MONTHLY_BUDGET_USD", "0.01"), ("OPENAI_PRICE_PER_AUDIO_MINUTE", "100")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let id = scheduled(&jane, &patient, EARLIER).await;
    let payload = attach(&jane, json!({ "sessionId": id }), recording("vbr.mp3")).await;
    assert_eq!(super::code(&payload), "BUDGET_EXCEEDED");
    assert_eq!(app.files().len(), 1, "that of the first session");
}
