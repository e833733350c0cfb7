//! Documents for download: asked for, made, followed, fetched, gone in time.

mod content;
mod downloads;
mod life;
mod requests;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use therapybridge::queue;
use therapybridge::queue::jobs::PurgeExpired;

use super::support::client::Client;
use super::support::{TestApp, recording};

/// All of a job.
const JOB: &str =
    "id kind format status progress version fileName sizeBytes sha256 errorMessage warnings expiresAt
    downloadUrl createdAt sessionCount weeks patient { id }";

/// Asks for the notes of sessions; the payload.
async fn export_notes(client: &Client, input: Value) -> Value {
    let query = format!(
        "mutation ($input: ExportSessionNotesInput!) {{ exportSessionNotes(input: $input) {{
            exportJob {{ {JOB} }} userErrors {{ code message field }} }} }}"
    );
    client.call(&query, json!({ "input": input })).await["exportSessionNotes"].clone()
}

/// Asks for a progress report; the payload.
async fn export_report(client: &Client, input: Value) -> Value {
    let query = format!(
        "mutation ($input: ExportProgressReportInput!) {{ exportProgressReport(input: $input) {{
            exportJob {{ {JOB} }} userErrors {{ code message field }} }} }}"
    );
    client.call(&query, json!({ "input": input })).await["exportProgressReport"].clone()
}

/// Deletes a job; the payload.
async fn delete(client: &Client, id: &str) -> Value {
    let query = format!(
        "mutation ($id: ID!) {{ deleteExportJob(id: $id) {{ exportJob {{ {JOB} }} userErrors {{ code message field }} }} }}"
    );
    client.call(&query, json!({ "id": id })).await["deleteExportJob"].clone()
}

/// A job as it is now.
async fn job(client: &Client, id: &str) -> Value {
    let query = format!("query ($id: ID!) {{ exportJob(id: $id) {{ {JOB} }} }}");
    client.call(&query, json!({ "id": id })).await["exportJob"].clone()
}

/// The id of a payload's job.
fn id_of(payload: &Value) -> String {
    payload["exportJob"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}

/// A practice with a processed session: therapist, patient, session.
async fn practice(app: &TestApp) -> (Client, String, String) {
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Zoë Müller").await;
    let session = processed(app, &jane, &patient).await;
    (jane, patient, session)
}

/// A session with notes.
async fn processed(app: &TestApp, client: &Client, patient: &str) -> String {
    let session = client.session(patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    session
}

/// A finished document of a session's notes: its job's id.
async fn finished(app: &TestApp, client: &Client, session: &str, format: &str) -> String {
    let id = id_of(&export_notes(client, json!({ "sessionIds": [session], "format": format })).await);
    app.run_jobs().await;
    assert_eq!(job(client, &id).await["status"], "COMPLETED");
    id
}

/// Fetches a path of the server.
async fn fetch(client: &Client, path: &str) -> reqwest::Response {
    client.request(Method::GET, path).send().await.unwrap()
}

fn path_of(id: &str) -> String {
    format!("/exports/{id}/download")
}

/// Status and code of a refusal, which is in the server's own style.
async fn refusal(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    let error = &body["errors"][0];
    assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
    assert_eq!(error["extensions"]["requestId"], json!(request_id), "{body}");
    assert!(error["extensions"]["retryable"].is_boolean(), "{body}");
    (status, error["extensions"]["code"].as_str().unwrap().to_owned())
}

/// Has everything removed whose time is over.
async fn purge(app: &TestApp) {
    let due = app.count("SELECT count(*) + 1 FROM apalis.jobs").await;
    queue::enqueue(&app.app.db, &PurgeExpired { due }).await.unwrap();
    app.run_jobs().await;
}

/// Waits until a query gives this number.
async fn until(app: &TestApp, query: &str, number: i64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while app.count(query).await != number {
        assert!(Instant::now() < deadline, "{query} is not {number}");
        tokio::task::yield_now().await;
    }
}

/// Files of exports in the store.
fn exported(app: &TestApp) -> Vec<std::path::PathBuf> {
    app.files().into_iter().filter(|file| file.to_str().unwrap().contains("/exports/")).collect()
}

/// A statement that makes so many sessions of the same patient with the notes of this one, each a day before the other.
pub(crate) fn copies(session: &str, count: usize) -> String {
    format!(
        "WITH new AS (SELECT gen_random_uuid() AS id, gen_random_uuid() AS run_id, n FROM generate_series(1, {count}) AS n),
        sessions AS (
            INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, duration_minutes, extraction_run_id,
                created_at, updated_at)
            SELECT new.id, patient_id, therapist_id, attendance, session_date - n, 50, run_id, created_at, updated_at
            FROM new, sessions WHERE sessions.id = '{session}')
        INSERT INTO extraction_runs (id, session_id, kind, provider, model, prompt_version, transcript_sha256, work_ms, warnings,
            notes, created_at, updated_at)
        SELECT run_id, new.id, kind, provider, model, prompt_version, transcript_sha256, work_ms, warnings, notes, created_at,
            updated_at FROM new, extraction_runs WHERE session_id = '{session}'"
    )
}
