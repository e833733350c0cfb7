//! Recordings coming in: what is accepted, what is refused, and what is left behind then; lists of sessions.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::multipart::Part;
use serde_json::{Value, json};
use therapybridge::clock::Clock;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::client::Client;
use crate::support::{TestApp, code, recording, root};

async fn upload(client: &Client, patient: &str, bytes: Vec<u8>) -> Value {
    client.upload(json!({ "patientId": patient }), "session.mp3", bytes).await
}

/// Waits until a count is what it should be.
async fn until(app: &TestApp, query: &str, expected: i64) {
    let wait = async {
        while app.count(query).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect(query);
}

#[tokio::test]
async fn every_accepted_format_makes_a_session() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let formats = [
        "cbr.mp3",
        "vbr.mp3",
        "index_first.m4a",
        "index_last.m4a",
        "phone.wav",
        "stereo.wav",
        "speech.flac",
        "vorbis.ogg",
        "opus.ogg",
        "browser.webm",
    ];
    for name in formats {
        let payload = jane.upload(json!({ "patientId": patient }), name, recording(name)).await;
        let session = &payload["session"];
        assert_eq!(payload["userErrors"], json!([]), "{name}");
        assert_eq!((&session["status"], &session["version"]), (&json!("UPLOADING"), &json!(1)), "{name}");
        assert_eq!((&session["attendance"], &session["audioFilename"]), (&json!("COMPLETED"), &json!(name)));
        assert_eq!((&session["sessionDate"], &session["durationMinutes"]), (&json!("2026-03-10"), &json!(1)));
    }
    assert_eq!(app.files().len(), formats.len(), "one file a session, none on its way");
    for table in [
        "apalis.jobs WHERE job_type = 'transcribe_session'",
        "apalis.jobs WHERE job_type = 'refresh_analytics'",
        "outbox_events WHERE session_id IS NOT NULL",
        "sessions",
    ] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM {table}")).await, 10, "{table}");
    }
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE action = 'session.upload'").await, 10);
}

#[tokio::test]
async fn what_is_no_good_recording_is_refused_and_leaves_nothing_behind() {
    let app = TestApp::with(&[("MAX_UPLOAD_MB", "1")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let mp3 = recording("cbr.mp3");
    let flac = recording("speech.flac");
    let mut lying = recording("stereo.wav");
    lying.truncate(lying.len() / 2);
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("nothing", vec![], "UNSUPPORTED_MEDIA"),
        ("text named .mp3", b"This is not a recording. ".repeat(2000), "UNSUPPORTED_MEDIA"),
        ("a PDF", [b"%PDF-1.7\n".as_slice(), &[b'x'; 5000]].concat(), "UNSUPPORTED_MEDIA"),
        ("a video without sound", recording("video_only.mp4"), "UNSUPPORTED_MEDIA"),
        ("a cut-off flac", flac[..flac.len() / 2].to_vec(), "DAMAGED_MEDIA"),
        ("a wav whose header lies", lying, "DAMAGED_MEDIA"),
        ("an m4a without its index", recording("index_last.m4a")[..20_000].to_vec(), "DAMAGED_MEDIA"),
        ("silence", silence(), "SILENT_MEDIA"),
        ("more than allowed", [mp3.as_slice(), &vec![0; 1 << 20]].concat(), "FILE_TOO_LARGE"),
    ];
    for (what, bytes, expected) in cases {
        let payload = upload(&jane, &patient, bytes).await;
        assert_eq!(code(&payload), expected, "{what}: {payload}");
        assert_eq!(payload["userErrors"][0]["field"], "audio", "{what}");
        assert!(payload["session"].is_null(), "{what}");
    }
    app.assert_nothing_left().await;
}

/// Ten seconds of digital silence, as WAV.
fn silence() -> Vec<u8> {
    therapybridge::audio::to_wav(&vec![0.0; 160_000])
}

#[tokio::test]
async fn bad_input_is_refused_before_the_file_is_read() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let (mine, hers) = (jane.patient("Daniel").await, eve.patient("Maria").await);
    let archive = "mutation ($id: ID!) { archivePatient(patientId: $id) { patient { archivedAt } } }";
    let archived = jane.patient("Noah").await;
    jane.call(archive, json!({ "id": archived })).await;
    let cases = [
        (json!({ "patientId": "01890000-0000-7000-8000-000000000000" }), "NOT_FOUND", "patientId"),
        (json!({ "patientId": "nobody" }), "NOT_FOUND", "patientId"),
        (json!({ "patientId": hers }), "NOT_FOUND", "patientId"),
        (json!({ "patientId": archived }), "INVALID_STATE", "patientId"),
        (json!({ "patientId": mine, "sessionDate": "2026-03-12" }), "INVALID_INPUT", "sessionDate"),
        (json!({ "patientId": mine, "sessionDate": "1950-01-01" }), "INVALID_INPUT", "sessionDate"),
        (json!({ "patientId": mine, "durationMinutes": 0 }), "INVALID_INPUT", "durationMinutes"),
        (json!({ "patientId": mine, "idempotencyKey": "" }), "INVALID_INPUT", "idempotencyKey"),
    ];
    for (input, expected, field) in cases {
        let payload = jane.upload(input.clone(), "session.mp3", recording("cbr.mp3")).await;
        assert_eq!(
            (code(&payload), &payload["userErrors"][0]["field"]),
            (expected, &json!(field)),
            "{input}"
        );
    }
    app.assert_nothing_left().await;
}

#[tokio::test]
async fn a_malformed_date_is_a_bad_request_and_a_missing_recording_invalid_input() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let bad_date = json!({ "patientId": patient, "sessionDate": "yesterday" });
    let answer = jane.upload_answer(bad_date, "session.mp3", recording("cbr.mp3")).await;
    assert!(
        ["BAD_REQUEST", "VALIDATION_FAILED"]
            .contains(&answer["errors"][0]["extensions"]["code"].as_str().unwrap()),
        "{answer}"
    );
    let missing = jane.upload_session(json!({ "patientId": patient, "audio": null })).await;
    assert_eq!(code(&missing), "INVALID_INPUT");
    app.assert_nothing_left().await;
}

#[tokio::test]
async fn only_therapists_upload() {
    let app = TestApp::new().await;
    let input = json!({ "patientId": "01890000-0000-7000-8000-000000000000" });
    let patient = app.user("maria", "PATIENT").await;
    for (client, expected) in [(app.anonymous(), "UNAUTHENTICATED"), (patient, "FORBIDDEN")] {
        let answer = client.upload_answer(input.clone(), "session.mp3", recording("cbr.mp3")).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], expected, "{answer}");
    }
    app.assert_nothing_left().await;
}

#[tokio::test]
async fn a_double_submit_makes_one_session() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient, "idempotencyKey": "monday" });
    let first = jane.upload(input.clone(), "session.mp3", recording("cbr.mp3")).await;
    let second = jane.upload(input.clone(), "session.mp3", recording("cbr.mp3")).await;
    assert_eq!(first["session"]["id"], second["session"]["id"]);
    let other = jane.upload(input, "session.mp3", recording("vbr.mp3")).await;
    assert_eq!(code(&other), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
    assert_eq!(app.files().len(), 1);
}

#[tokio::test]
async fn a_submit_is_replayed_also_when_the_record_was_put_away_meanwhile() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient, "idempotencyKey": "monday" });
    let first = jane.upload(input.clone(), "session.mp3", recording("cbr.mp3")).await;
    let archive = "mutation ($id: ID!) { archivePatient(patientId: $id) { patient { id } } }";
    jane.call(archive, json!({ "id": patient })).await;
    let second = jane.upload(input, "session.mp3", recording("cbr.mp3")).await;
    assert_eq!((&first["session"]["id"], &second["userErrors"]), (&second["session"]["id"], &json!([])));
}

#[tokio::test]
async fn two_submits_at_once_make_one_session() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let send = || {
        jane.upload(
            json!({ "patientId": patient, "idempotencyKey": "k" }),
            "session.mp3",
            recording("cbr.mp3"),
        )
    };
    let (a, b) = tokio::join!(send(), send());
    let made = [&a, &b].iter().filter(|payload| payload["session"].is_object()).count();
    assert!(made >= 1, "{a} {b}");
    for payload in [&a, &b].iter().filter(|payload| payload["session"].is_null()) {
        assert_eq!(code(payload), "IDEMPOTENCY_IN_PROGRESS");
    }
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
    assert_eq!(app.files().len(), 1);
}

#[tokio::test]
async fn a_key_whose_request_died_is_free_soon_and_one_whose_request_runs_is_not() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (body, slow) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let file = Part::stream(reqwest::Body::wrap_stream(ReceiverStream::new(slow))).file_name("session.mp3");
    let input = json!({ "patientId": patient, "idempotencyKey": "monday" });
    let (uploader, mut variables) = (jane.clone(), json!({ "input": input }));
    variables["input"]["audio"] = Value::Null;
    let running = tokio::spawn(async move {
        let query =
            "mutation ($input: UploadSessionInput!) { uploadSession(input: $input) { session { id } } }";
        uploader.multipart(query, variables, "variables.input.audio", file).await
    });
    let key = "SELECT count(*) FROM idempotency_keys WHERE key = 'monday'";
    until(&app, key, 1).await;

    // It is renewed by the clock of the server: the claim made just now is as old as one of a dead request.
    app.clock.advance(TimeDelta::seconds(20));
    until(&app, &format!("{key} AND updated_at > created_at"), 1).await;
    let again = || jane.upload(input.clone(), "session.mp3", recording("cbr.mp3"));
    assert_eq!(code(&again().await), "IDEMPOTENCY_IN_PROGRESS");

    // The process dies: nobody lets go of the key, nobody renews it.
    running.abort();
    until(&app, key, 0).await;
    let dead = "INSERT INTO idempotency_keys (user_id, key, operation, claim, created_at, updated_at)
        SELECT id, 'monday', 'uploadSession', id, $1, $1 FROM users";
    sqlx::query(dead).bind(app.clock.now()).execute(app.app.pool()).await.unwrap();
    assert_eq!(code(&again().await), "IDEMPOTENCY_IN_PROGRESS");
    app.clock.advance(TimeDelta::seconds(6));
    assert_eq!(again().await["userErrors"], json!([]));
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
    drop(body);
}

#[tokio::test]
async fn a_failed_upload_lets_go_of_its_key() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient, "idempotencyKey": "monday" });
    assert_eq!(
        code(&jane.upload(input.clone(), "session.mp3", b"not audio".to_vec()).await),
        "UNSUPPORTED_MEDIA"
    );
    let again = jane.upload(input, "session.mp3", recording("cbr.mp3")).await;
    assert_eq!(again["userErrors"], json!([]));
}

#[tokio::test]
async fn a_file_name_is_shown_and_names_nothing_on_disk() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient });
    let payload = jane.upload(input, "../../etc/passwd", recording("cbr.mp3")).await;
    assert_eq!(payload["session"]["audioFilename"], "passwd");
    let file = &app.files()[0];
    assert!(file.starts_with(&app.app.config.storage.files_dir) && file.ends_with("audio.mp3"), "{file:?}");
}

#[tokio::test]
async fn sessions_are_listed_newest_first_and_filtered() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (daniel, maria) = (jane.patient("Daniel").await, jane.patient("Maria").await);
    let mut ids = Vec::new();
    for (patient, date) in [(&daniel, "2026-03-01"), (&maria, "2026-03-02"), (&daniel, "2026-03-03")] {
        let input = json!({ "patientId": patient, "sessionDate": date });
        let payload = jane.upload(input, "session.mp3", recording("cbr.mp3")).await;
        ids.push(payload["session"]["id"].clone());
    }
    let query = "query ($first: Int, $after: String, $filter: SessionFilterInput) {
        sessions(first: $first, after: $after, filter: $filter) {
            totalCount nodes { id patient { name } therapist { fullName } } edges { cursor } pageInfo { hasNextPage endCursor } } }";
    let page = jane.call(query, json!({ "first": 2 })).await["sessions"].clone();
    assert_eq!((&page["totalCount"], &page["pageInfo"]["hasNextPage"]), (&json!(3), &json!(true)));
    assert_eq!(page["nodes"][0]["id"], ids[2]);
    assert_eq!(page["nodes"][0]["patient"]["name"], "Daniel");
    assert_eq!(page["nodes"][0]["therapist"]["fullName"], "jane");
    let rest = jane.call(query, json!({ "after": page["pageInfo"]["endCursor"] })).await["sessions"].clone();
    assert_eq!((rest["nodes"].as_array().unwrap().len(), &rest["nodes"][0]["id"]), (1, &ids[0]));
    for (filter, expected) in [
        (json!({ "patientId": maria }), 1),
        (json!({ "from": "2026-03-02", "to": "2026-03-03" }), 2),
        (json!({ "status": "UPLOADING" }), 3),
        (json!({ "status": "PROCESSED" }), 0),
        (json!({ "attendance": "COMPLETED" }), 3),
        (json!({ "patientId": "nobody" }), 0),
    ] {
        let found = jane.call(query, json!({ "filter": filter })).await;
        assert_eq!(found["sessions"]["totalCount"], expected, "{filter}");
    }
    let eve = app.therapist("eve").await;
    assert_eq!(eve.call(query, json!({})).await["sessions"]["totalCount"], 0);
    assert_eq!(app.anonymous().refusal(query, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_length_of_a_recording_is_measured_by_decoding_it() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let bytes = std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap();
    let payload = upload(&jane, &patient, bytes).await;
    assert_eq!(payload["session"]["durationMinutes"], 5, "4:45, decoded and not guessed");
    assert_eq!(app.count("SELECT audio_ms / 1000 FROM sessions").await, 285);
}
