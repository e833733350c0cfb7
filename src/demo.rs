//! `therapybridge demo`: the product's main job, done before your eyes by an ordinary client: over HTTP and a
//! WebSocket subscription, with a recording that comes with the program; the figures of a made-up year around it; and the
//! documents a therapist would hand on.

mod client;
mod documents;
mod show;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Value, json};
use uuid::Uuid;

use self::client::Client;
use crate::actor::Actor;
use crate::ai::models::{Models, Source, fetch_with_bar};
use crate::analytics::{runs, window};
use crate::app::App;
use crate::config::Config;
use crate::entity::user;
use crate::practice::{self, Wanted};

const EMAIL: &str = "demo@therapybridge.example";
const RECORDING: &[u8] = include_bytes!("../assets/samples/session_anxiety.mp3");
/// The practice: the first one is the voice of the recording.
const PATIENTS: [&str; 4] = ["Daniel Weber", "Maria Santos", "Aylin Yıldız", "Noah Okafor"];

/// The year around the recording.
const YEAR: Wanted = Wanted {
    seed: 7,
    now: DateTime::UNIX_EPOCH,
    zone: Tz::UTC,
    weeks: 52,
    hours: 22,
    regulars: PATIENTS.len(),
};

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
    let patients = practice(&client).await.context("make the practice")?;
    let session_id = session(&client, &patients[0]).await.context("upload the recording")?;
    client.watch(("sessionUpdated", &session_id), show::progress).await.context("watch the session")?;
    let session = client.call(include_str!("demo/notes.graphql"), json!({ "id": session_id })).await?;
    show::notes(&session["session"])?;
    fill_a_year(app, &client, &patients).await.context("make a year of the practice up")?;
    // Whose mood does the most.
    let figures = json!({ "patient": patients[1] });
    show::practice(&client.call(include_str!("demo/practice.graphql"), figures).await?)?;
    show::documents_begin()?;
    let folder = app.config.database.data_dir.join("demo");
    let documents = documents::make(&client, (&session_id, &patients[1]), &folder).await;
    show::documents(&documents.context("make the documents")?)?;
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

/// The patients; makes those that are missing. Gives their ids, in order.
async fn practice(client: &Client) -> anyhow::Result<Vec<String>> {
    let create = "mutation ($input: CreatePatientInput!) {
        createPatient(input: $input) { patient { id } userErrors { message } } }";
    let found = client.call("{ patients(first: 100) { nodes { id name } } }", Value::Null).await?;
    let known = found["patients"]["nodes"].as_array().cloned().unwrap_or_default();
    let mut ids = Vec::new();
    for name in PATIENTS {
        let id = match known.iter().find(|patient| patient["name"] == name) {
            Some(patient) => patient["id"].clone(),
            None => {
                let made = client.call(create, json!({ "input": { "name": name } })).await?;
                made["createPatient"]["patient"]["id"].clone()
            }
        };
        ids.push(id.as_str().context("no patient was made")?.to_owned());
    }
    Ok(ids)
}

/// Gives the practice a year of appointments and notes, if it has none, and waits until its figures are worked out. What takes
/// a year cannot be done through the API in a minute: these rows are written as they are.
async fn fill_a_year(app: &App, client: &Client, patients: &[String]) -> anyhow::Result<()> {
    let viewer = client.call("{ viewer { id } }", Value::Null).await?;
    let therapist_id: Uuid = viewer["viewer"]["id"].as_str().context("nobody is logged in")?.parse()?;
    if !practice::is_there(app.pool(), therapist_id).await? {
        make_a_year_up(app, therapist_id, patients).await?;
    }
    let figures = runs::Wanted { therapist_id: Some(therapist_id), ..runs::Wanted::default() };
    let run = app.analytics.request(figures).await?;
    let mut news = app.feed.join(run.id);
    loop {
        let run =
            app.analytics.run(&Actor::System { job: "demo" }, run.id).await?.context("the run is gone")?;
        if let Some(reason) = run.error_message {
            anyhow::bail!(reason);
        }
        if run.status.is_terminal() {
            return Ok(());
        }
        news.next().await?.context("the server stops")?;
    }
}

async fn make_a_year_up(app: &App, therapist_id: Uuid, patients: &[String]) -> anyhow::Result<()> {
    let wanted = Wanted { now: app.clock.now(), zone: user::zone(&app.db, therapist_id).await?, ..YEAR };
    let mut plan = wanted.plan();
    for (patient, id) in plan.patients.iter_mut().zip(patients) {
        patient.id = Some(id.parse()?);
    }
    // The recording is what was held today.
    let today = window::today(wanted.now, wanted.zone);
    plan.sessions.retain(|session| session.patient != 0 || session.date != today);
    Ok(plan.write(app.pool(), therapist_id).await?)
}

/// The patient's session; uploads the recording if there is none, and tries a failed one again.
async fn session(client: &Client, patient_id: &str) -> anyhow::Result<String> {
    let of_patient = "query ($id: ID!) { patient(id: $id) { sessions(first: 100) { nodes { id status } } } }";
    let found = client.call(of_patient, json!({ "id": patient_id })).await?;
    // Appointments without a recording have no status.
    let mut sessions = found["patient"]["sessions"]["nodes"].as_array().into_iter().flatten();
    let known = sessions.find(|session| !session["status"].is_null()).unwrap_or(&Value::Null);
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
