//! `therapybridge demo`: the product's main job, done before your eyes by an ordinary client: over HTTP and a
//! WebSocket subscription, with a recording that comes with the program.

mod client;
mod show;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use self::client::Client;
use crate::ai::models::{Models, Source, fetch_with_bar};
use crate::app::App;
use crate::config::Config;

const EMAIL: &str = "demo@therapybridge.example";
const RECORDING: &[u8] = include_bytes!("../assets/samples/session_anxiety.mp3");
/// The practice: the first one is the voice of the recording.
const PATIENTS: [&str; 4] = ["Daniel Weber", "Maria Santos", "Aylin Yıldız", "Noah Okafor"];

/// Fetches the local speech model, if it is needed and missing.
///
/// # Errors
/// When it can be had from nowhere; the message says what to do.
pub async fn fetch_model(config: &Config) -> anyhow::Result<()> {
    let models = Models::new(config.ai.models_dir.clone());
    let name = &config.ai.whisper_model;
    if config.ai.needs_whisper() && !models.is_present(name) {
        fetch_with_bar(&models, name, Source::Auto).await?;
    }
    Ok(())
}

/// Logs in (signs up at the first run), makes a small practice, uploads the recording, and shows what becomes of it.
/// A later run finds what the first one made.
///
/// # Errors
/// When a step fails; the message says which.
pub async fn run(app: &App, address: SocketAddr) -> anyhow::Result<()> {
    let password = kept_password(&app.config.database.data_dir.join("demo_password"))?;
    let mut client = Client::new(address);
    log_in(&mut client, &password).await.context("log in")?;
    let patient_id = practice(&client).await.context("make the practice")?;
    let session_id = session(&client, &patient_id).await.context("upload the recording")?;
    client.watch(&session_id, show::progress).await.context("watch the session")?;
    let session = client.call(include_str!("demo/notes.graphql"), json!({ "id": session_id })).await?;
    show::notes(&session["session"])?;
    show::farewell(address, EMAIL, &password)
}

async fn log_in(client: &mut Client, password: &str) -> anyhow::Result<()> {
    let log_in =
        "mutation ($input: LogInInput!) { logIn(input: $input) { accessToken userErrors { message } } }";
    let answer = client.call(log_in, json!({ "input": { "email": EMAIL, "password": password } })).await?;
    if let Some(token) = answer["logIn"]["accessToken"].as_str() {
        client.authorize(token);
        return Ok(());
    }
    let sign_up =
        "mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken userErrors { message } } }";
    let user =
        json!({ "email": EMAIL, "password": password, "fullName": "Dr. Jane Smith", "role": "THERAPIST" });
    let answer = client.call(sign_up, json!({ "input": user })).await?;
    let token = answer["signUp"]["accessToken"]
        .as_str()
        .with_context(|| answer["signUp"]["userErrors"].to_string())?;
    client.authorize(token);
    Ok(())
}

/// The patients; makes those that are missing. Gives the id of the first one.
async fn practice(client: &Client) -> anyhow::Result<String> {
    let create = "mutation ($input: CreatePatientInput!) {
        createPatient(input: $input) { patient { id } userErrors { message } } }";
    let found = client.call("{ patients(first: 100) { nodes { id name } } }", Value::Null).await?;
    let known = found["patients"]["nodes"].as_array().cloned().unwrap_or_default();
    let mut first = None;
    for name in PATIENTS {
        let id = match known.iter().find(|patient| patient["name"] == name) {
            Some(patient) => patient["id"].clone(),
            None => {
                let made = client.call(create, json!({ "input": { "name": name } })).await?;
                made["createPatient"]["patient"]["id"].clone()
            }
        };
        first.get_or_insert(id);
    }
    Ok(first.as_ref().and_then(Value::as_str).context("no patient was made")?.to_owned())
}

/// The patient's session; uploads the recording if there is none, and tries a failed one again.
async fn session(client: &Client, patient_id: &str) -> anyhow::Result<String> {
    let of_patient = "query ($id: ID!) { patient(id: $id) { sessions(first: 1) { nodes { id status } } } }";
    let found = client.call(of_patient, json!({ "id": patient_id })).await?;
    let known = &found["patient"]["sessions"]["nodes"][0];
    if known["status"] == "FAILED" {
        let retry = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { message } } }";
        client.call(retry, json!({ "id": known["id"] })).await?;
    }
    if let Some(id) = known["id"].as_str() {
        show::line("the practice has this session from an earlier run")?;
        return Ok(id.to_owned());
    }
    show::line("uploading a session of 4:45 (assets/samples/session_anxiety.mp3)")?;
    let answer = client.upload(patient_id, RECORDING.to_vec()).await?;
    let id = answer["uploadSession"]["session"]["id"].as_str();
    Ok(id.with_context(|| answer["uploadSession"]["userErrors"].to_string())?.to_owned())
}

/// A random password, made at the first run and kept where only this user can read it: the demo's account must not be
/// open to everybody who has read the source.
fn kept_password(file: &Path) -> anyhow::Result<String> {
    if let Ok(password) = fs::read_to_string(file) {
        return Ok(password.trim().to_owned());
    }
    let password = crate::random::hex()[..16].to_owned();
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    out.write_all(password.as_bytes())?;
    Ok(password)
}
