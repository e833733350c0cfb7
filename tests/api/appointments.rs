//! Sessions that are planned: made, moved, called off, missed, held, and given their recording.

mod attaching;
mod changing;
mod planning;
mod racing;

use serde_json::{Value, json};

use super::support::client::Client;
use super::support::{PASSWORD, TestApp, code};

/// What is read of a session.
const FIELDS: &str =
    "session { id attendance status version progress scheduledStart sessionDate durationMinutes
    audioFilename recordingIsPartial } userErrors { code message field }";
/// The tests' clock says 2026-03-10T09:00:00Z: this is an hour ago, …
const EARLIER: &str = "2026-03-10T08:00:00Z";
/// … and this tomorrow.
const TOMORROW: &str = "2026-03-11T09:00:00Z";

/// A mutation with an input; the payload.
async fn with_input(client: &Client, mutation: &str, input: Value) -> Value {
    let mut ty = format!("{mutation}Input");
    ty[..1].make_ascii_uppercase();
    let query = format!("mutation ($input: {ty}!) {{ {mutation}(input: $input) {{ {FIELDS} }} }}");
    client.call(&query, json!({ "input": input })).await[mutation].clone()
}

async fn schedule(client: &Client, input: Value) -> Value {
    with_input(client, "scheduleSession", input).await
}

async fn reschedule(client: &Client, input: Value) -> Value {
    with_input(client, "rescheduleSession", input).await
}

async fn update(client: &Client, input: Value) -> Value {
    with_input(client, "updateSession", input).await
}

/// `cancelSession`, `markNoShow` or `completeSession`; the payload.
async fn say(client: &Client, mutation: &str, id: &str) -> Value {
    say_with(client, mutation, id, Value::Null).await
}

async fn say_with(client: &Client, mutation: &str, id: &str, key: Value) -> Value {
    let query = format!(
        "mutation ($id: ID!, $key: String) {{ {mutation}(sessionId: $id, idempotencyKey: $key) {{ {FIELDS} }} }}"
    );
    client.call(&query, json!({ "id": id, "key": key })).await[mutation].clone()
}

/// Attaches a recording that comes with the request; the payload.
async fn attach(client: &Client, mut input: Value, bytes: Vec<u8>) -> Value {
    input["audio"] = Value::Null;
    let query = format!(
        "mutation ($input: AttachRecordingInput!) {{ attachRecording(input: $input) {{ {FIELDS} }} }}"
    );
    let answer = client.send_file(&query, json!({ "input": input }), "variables.input.audio", bytes).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"]["attachRecording"].clone()
}

/// An appointment; the session's id.
async fn scheduled(client: &Client, patient: &str, start: &str) -> String {
    let payload = schedule(client, json!({ "patientId": patient, "scheduledStart": start })).await;
    payload["session"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}

/// A therapist whose days are those of a time zone.
async fn therapist_in(app: &TestApp, zone: &str) -> Client {
    let input = json!({ "email": "jane@example.com", "password": PASSWORD, "fullName": "jane",
        "role": "THERAPIST", "timezone": zone });
    let tokens = app.anonymous().sign_up(input).await;
    app.anonymous().with_token(tokens["accessToken"].as_str().unwrap_or_else(|| panic!("{tokens}")))
}

async fn archive(client: &Client, patient: &str) {
    let query = "mutation ($id: ID!) { archivePatient(patientId: $id) { userErrors { code } } }";
    let payload = client.call(query, json!({ "id": patient })).await["archivePatient"].clone();
    assert_eq!(payload["userErrors"], json!([]));
}

/// Code and field of the only error.
fn refused(payload: &Value) -> (&str, &str) {
    assert!(payload["session"].is_null(), "{payload}");
    (code(payload), payload["userErrors"][0]["field"].as_str().unwrap())
}

fn message(payload: &Value) -> &str {
    payload["userErrors"][0]["message"].as_str().unwrap_or_else(|| panic!("{payload}"))
}

/// What the audit trail has of sessions, in order: action and changed fields.
async fn trail(app: &TestApp) -> Vec<String> {
    let query = "SELECT action || ' ' || array_to_string(changed_fields, ',') FROM audit_events
        WHERE subject_type = 'session' AND action LIKE 'session.%' ORDER BY at, id";
    sqlx::query_scalar(query).fetch_all(app.app.pool()).await.unwrap()
}

/// Jobs that process recordings.
async fn processing(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM apalis.jobs WHERE job_type IN ('transcribe_session', 'extract_notes')")
        .await
}

/// The versions of all sessions that the outbox has, in order.
async fn versions(app: &TestApp) -> Vec<i64> {
    let query = "SELECT version FROM outbox_events WHERE session_id IS NOT NULL ORDER BY seq";
    sqlx::query_scalar(query).fetch_all(app.app.pool()).await.unwrap()
}
