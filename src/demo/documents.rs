//! Documents as the demo's therapist gets them: asked for, followed, fetched by their links.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::show;

/// Asks for the notes of a session and for a patient's report, and keeps both in `folder`. Gives their paths.
///
/// # Errors
/// When one of them is not made, or not kept.
pub(super) async fn make(
    client: &Client,
    (session_id, patient_id): (&str, &str),
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    // At most one a day, however often the demo runs.
    let key = |what: &str| format!("demo-{what}-{session_id}");
    let notes = json!({ "sessionIds": [session_id], "format": "PDF", "idempotencyKey": key("notes") });
    let report =
        json!({ "patientId": patient_id, "weeks": 12, "format": "PDF", "idempotencyKey": key("report") });
    fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    for (mutation, input, variables) in [
        ("exportSessionNotes", "ExportSessionNotesInput", notes),
        ("exportProgressReport", "ExportProgressReportInput", report),
    ] {
        let ask = format!(
            "mutation ($input: {input}!) {{ {mutation}(input: $input) {{ exportJob {{ id }} userErrors {{ message }} }} }}"
        );
        let answer = client.call(&ask, json!({ "input": variables })).await?;
        let id = answer[mutation]["exportJob"]["id"].as_str();
        let id = id.with_context(|| answer[mutation]["userErrors"].to_string())?;
        client.watch(("exportJobUpdated", id), show::progress).await?;
        files.push(fetch(client, id, folder).await?);
    }
    Ok(files)
}

async fn fetch(client: &Client, id: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let query = "query ($id: ID!) { exportJob(id: $id) { fileName downloadUrl errorMessage warnings } }";
    let job = client.call(query, json!({ "id": id })).await?["exportJob"].clone();
    ensure!(job["errorMessage"].is_null(), "{}", job["errorMessage"]);
    for warning in job["warnings"].as_array().into_iter().flatten() {
        show::line(&format!("Warning: {}", warning.as_str().unwrap_or("-")))?;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned).context("the document is not there");
    let bytes = client.fetch(&text(&job["downloadUrl"])?).await?;
    let path = folder.join(text(&job["fileName"])?);
    fs::write(&path, bytes)?;
    Ok(path)
}
