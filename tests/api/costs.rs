//! What is paid, to whom, and where the budget stops it.

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint, ScriptedProvider};
use crate::support::{PASSWORD, TestApp, code, recording, root};

const COST: &str = "query ($id: ID!) { session(id: $id) { status errorMessage notes { run { provider kind costUsd } }
    cost { usd audioSeconds promptTokens unpriced byProvider { work provider model audioSeconds promptTokens usd } } } }";
const SUMMARY: &str = "query ($month: String) { costSummary(month: $month) {
    month usd audioSeconds promptTokens completionTokens sessions unpriced budgetUsd budgetUsed budgetState
    byProvider { work provider model usd } } }";

async fn session(client: &Client, id: &str) -> Value {
    client.call(COST, json!({ "id": id })).await["session"].clone()
}

async fn summary(client: &Client, month: Option<&str>) -> Value {
    client.call(SUMMARY, json!({ "month": month })).await["costSummary"].clone()
}

async fn retry(client: &Client, id: &str) -> Value {
    let query = "mutation ($id: ID!) { retrySession(sessionId: $id) { session { status } userErrors { code message } } }";
    client.call(query, json!({ "id": id })).await["retrySession"].clone()
}

async fn extract(client: &Client, id: &str) -> Value {
    let query = "mutation ($id: ID!) { extractNotes(sessionId: $id, force: true) {
        session { status } userErrors { code message } } }";
    client.call(query, json!({ "id": id })).await["extractNotes"].clone()
}

/// A therapist with a processed session.
async fn processed(app: &TestApp) -> (Client, String, String) {
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    (jane, patient, id)
}

/// Settings of a list of two, `openai` and `backup`; the second costs nothing.
fn with_backup(backup: &ScriptedProvider) -> Vec<(&'static str, String)> {
    vec![
        ("AI_PROVIDERS", "openai,backup".to_owned()),
        ("BACKUP_BASE_URL", backup.base_url().to_string()),
        ("BACKUP_TRANSCRIBE_MODEL", "small-whisper".to_owned()),
        ("BACKUP_NOTES_MODEL", "small-writer".to_owned()),
        ("BACKUP_MAX_RETRIES", "0".to_owned()),
        ("BACKUP_PRICE_PER_AUDIO_MINUTE", "0".to_owned()),
        ("BACKUP_PRICE_PER_MILLION_PROMPT_TOKENS", "0".to_owned()),
        ("BACKUP_PRICE_PER_MILLION_COMPLETION_TOKENS", "0".to_owned()),
    ]
}

async fn app_with(vars: &[(&'static str, String)]) -> TestApp {
    let vars: Vec<_> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
    TestApp::with(&vars).await
}

/// The same database and files, with other settings.
async fn same_with(app: &TestApp, vars: &[(&str, &str)]) -> TestApp {
    let database = app.app.config.database.url.as_ref().unwrap().expose_secret();
    let data = app.app.config.database.data_dir.to_str().unwrap();
    TestApp::with(&[&[("DATABASE_URL", database), ("DATA_DIR", data)], vars].concat()).await
}

/// Makes as if so much had been spent in the month of the tests, and nothing else.
async fn spent(app: &TestApp, session_id: &str, usd: &str) {
    for statement in [
        "UPDATE costs SET cost_usd = 0".to_owned(),
        format!(
            "INSERT INTO costs (id, therapist_id, session_id, work, provider, model, audio_ms, cost_usd, created_at)
             SELECT gen_random_uuid(), therapist_id, id, 'SPEECH', 'openai', 'whisper-1', 1000, {usd}, created_at
             FROM sessions WHERE id = '{session_id}'"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(app.app.pool()).await.unwrap();
    }
}

fn close(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-9)
}

#[tokio::test]
async fn costs_are_those_of_the_prices_by_provider_and_model() {
    let app = TestApp::with(&[("OPENAI_PRICE_PER_AUDIO_MINUTE", "0.6")]).await;
    let (jane, _, id) = processed(&app).await;
    let cost = session(&jane, &id).await["cost"].clone();
    let seconds = cost["audioSeconds"].as_f64().unwrap();
    let notes = 1200.0 * 2.5e-6 + 340.0 * 10e-6;
    assert!(seconds > 1.0 && close(&cost["usd"], seconds / 60.0 * 0.6 + notes), "{cost}");
    let lines = cost["byProvider"].as_array().unwrap();
    assert_eq!((&lines[0]["work"], &lines[0]["model"]), (&json!("SPEECH"), &json!("whisper-1")));
    assert_eq!((&lines[1]["work"], &lines[1]["model"]), (&json!("NOTES"), &json!("gpt-4o")));
    assert!(close(&lines[1]["usd"], notes), "{cost}");
    let month = summary(&jane, None).await;
    assert_eq!(
        (&month["month"], &month["sessions"], &month["usd"]),
        (&json!("2026-03"), &json!(1), &cost["usd"])
    );
    assert!(month["budgetUsd"].is_null() && month["budgetState"].is_null());
}

#[tokio::test]
async fn other_prices_leave_old_costs_as_they_were() {
    let app = TestApp::new().await;
    let (jane, _, id) = processed(&app).await;
    let before = session(&jane, &id).await["cost"].clone();
    let dearer = same_with(&app, &[("OPENAI_PRICE_PER_AUDIO_MINUTE", "100")]).await;
    let jane = dearer.anonymous().with_token(jane.token.as_deref().unwrap());
    assert_eq!(session(&jane, &id).await["cost"], before);
}

#[tokio::test]
async fn what_did_not_count_is_told_apart_from_what_costs_nothing() {
    let app = TestApp::new().await;
    let answer =
        json!({ "choices": [{ "message": { "content": notes_without_counts() }, "finish_reason": "stop" }] });
    app.provider.always(Endpoint::Chat, Behaviour::Json(answer));
    let (jane, _, id) = processed(&app).await;
    let session = session(&jane, &id).await;
    assert!(session["notes"]["run"]["costUsd"].is_null());
    assert_eq!(session["cost"]["unpriced"], 1);
    assert_eq!(summary(&jane, None).await["unpriced"], 1);
}

fn notes_without_counts() -> String {
    let notes = json!({
        "keyTopics": ["a", "b", "c"], "topicSummary": "One. Two.", "strategies": [], "actionItems": [],
        "sessionMood": "LOW", "moodTrajectory": "STABLE", "therapistNotes": "They talked.",
        "patientSummary": "You talked.", "riskFlags": [],
    });
    notes.to_string()
}

#[tokio::test]
async fn months_are_those_asked_for_and_each_therapist_sees_the_own_ones() {
    let app = TestApp::new().await;
    let (jane, ..) = processed(&app).await;
    assert_eq!(summary(&jane, Some("2026-02")).await["sessions"], 0);
    assert_eq!(summary(&jane, Some("2026-03")).await["sessions"], 1);
    assert_eq!(jane.refusal(SUMMARY, json!({ "month": "March" })).await, "BAD_REQUEST");
    let eve = app.therapist("eve").await;
    assert_eq!(summary(&eve, None).await["sessions"], 0);
    let root = app.admin("root").await;
    assert_eq!(summary(&root, None).await["usd"], summary(&jane, None).await["usd"]);
    let maria = app.user("maria", "PATIENT").await;
    assert_eq!(maria.refusal(SUMMARY, json!({})).await, "FORBIDDEN");
}

#[tokio::test]
async fn who_stood_in_is_named_in_the_run_and_in_the_costs() {
    let backup = ScriptedProvider::start().await;
    let app = app_with(&with_backup(&backup)).await;
    app.provider.always(Endpoint::Chat, Behaviour::status(503));
    let (jane, _, id) = processed(&app).await;
    let session = session(&jane, &id).await;
    let lines = session["cost"]["byProvider"].as_array().unwrap();
    let who: Vec<_> = lines.iter().map(|line| (&line["provider"], &line["model"])).collect();
    assert_eq!(who, [(&json!("openai"), &json!("whisper-1")), (&json!("backup"), &json!("small-writer"))]);
    assert_eq!(session["notes"]["run"]["provider"], "backup");
    assert!(close(&session["notes"]["run"]["costUsd"], 0.0));
    assert_eq!((app.provider.calls(Endpoint::Chat).len(), backup.calls(Endpoint::Chat).len()), (1, 1));
    assert!(backup.calls(Endpoint::Speech).is_empty());
}

#[tokio::test]
async fn where_models_are_away_rules_write_a_draft_and_a_model_is_asked_again_later() {
    let app = TestApp::with(&[("AI_PROVIDERS", "openai,local"), ("LOCAL_TRANSCRIBE_MODEL", "none")]).await;
    app.provider.script(Endpoint::Chat, [Behaviour::status(503)]);
    let (jane, _, id) = processed(&app).await;
    let run = session(&jane, &id).await["notes"]["run"].clone();
    assert_eq!((&run["provider"], &run["kind"]), (&json!("local"), &json!("EXTRACTIVE")));
    let query = "mutation ($id: ID!) { extractNotes(sessionId: $id) { userErrors { code } } }";
    jane.call(query, json!({ "id": id })).await;
    app.run_jobs().await;
    let run = session(&jane, &id).await["notes"]["run"].clone();
    assert_eq!((&run["provider"], &run["kind"]), (&json!("openai"), &json!("MODEL")));
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_once_and_not_asked_about_again() {
    let app = TestApp::new().await;
    let (jane, root) = (app.therapist("jane").await, app.admin("root").await);
    let patient = jane.patient("Maria").await;
    app.provider.script(Endpoint::Speech, [Behaviour::coded(429, "insufficient_quota")]);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(jane.session(&patient, recording("cbr.mp3")).await);
        app.run_jobs().await;
    }
    for id in &sessions {
        let failed = session(&jane, id).await;
        assert_eq!(failed["status"], "FAILED");
        assert!(failed["errorMessage"].as_str().unwrap().contains("quota is used up"), "{failed}");
    }
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 1, "nobody asks while it rests");
    let circuits = "{ providerCircuits { provider work phase reason until } }";
    let circuits = root.call(circuits, json!({})).await["providerCircuits"].clone();
    for work in [0, 1] {
        assert_eq!(
            (&circuits[work]["provider"], &circuits[work]["phase"]),
            (&json!("openai"), &json!("OPEN"))
        );
        assert!(circuits[work]["reason"].as_str().unwrap().contains("quota"), "{circuits}");
        assert!(circuits[work]["until"].as_str().unwrap().starts_with("2026-03-10T09:15:00"), "{circuits}");
    }
    app.clock.advance(TimeDelta::minutes(15));
    retry(&jane, &sessions[0]).await;
    app.run_jobs().await;
    assert_eq!(session(&jane, &sessions[0]).await["status"], "PROCESSED");
}

#[tokio::test]
async fn the_budget_warns_at_four_fifths_and_stops_what_costs_money_when_it_is_used_up() {
    let app = TestApp::with(&[("MONTHLY_BUDGET_USD", "10")]).await;
    let (jane, patient, id) = processed(&app).await;
    for (usd, state) in [("7.9", "OK"), ("8", "WARNING"), ("10", "EXCEEDED")] {
        spent(&app, &id, usd).await;
        let month = summary(&jane, None).await;
        assert_eq!((&month["budgetState"], &month["budgetUsd"]), (&json!(state), &json!(10.0)), "{usd}");
        let uploaded = jane.upload(json!({ "patientId": patient }), "s.mp3", recording("cbr.mp3")).await;
        if state == "EXCEEDED" {
            assert_eq!(code(&uploaded), "BUDGET_EXCEEDED");
            assert_eq!(code(&extract(&jane, &id).await), "BUDGET_EXCEEDED");
        } else {
            assert_eq!(uploaded["userErrors"], json!([]), "{state}");
        }
    }
    let (waiting, calls) = (app.files().len(), app.provider.calls(Endpoint::Speech).len());
    assert_eq!(waiting, 3, "what was refused left no file");
    // Two wait for a worker: they were taken in before.
    app.run_jobs().await;
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), calls, "nothing is paid any more");
    let failed = "SELECT count(*) FROM sessions WHERE status = 'FAILED' AND error_message LIKE 'Your budget of $10.00%'";
    assert_eq!(app.count(failed).await, 2);

    let eve = app.therapist("eve").await;
    let daniel = eve.patient("Daniel").await;
    eve.session(&daniel, recording("cbr.mp3")).await;

    app.clock.advance(TimeDelta::days(31));
    let tokens = app.anonymous().log_in("jane@example.com", PASSWORD).await;
    let jane = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    assert_eq!(summary(&jane, None).await["budgetState"], "OK");
    assert_eq!(extract(&jane, &id).await["userErrors"], json!([]));
}

#[tokio::test]
async fn a_running_job_stops_before_its_next_paid_call_and_goes_on_when_there_is_more_to_spend() {
    let vars = [("PIECE_SECONDS", "60"), ("OPENAI_CONCURRENCY", "1"), ("MONTHLY_BUDGET_USD", "0.008")];
    let app = TestApp::with(&vars).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let recording = std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap();
    let id = jane.session(&patient, recording).await;
    app.run_jobs().await;
    let failed = session(&jane, &id).await;
    assert_eq!(failed["status"], "FAILED");
    assert!(failed["errorMessage"].as_str().unwrap().contains("budget"), "{failed}");
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), 2, "45 to 60 seconds cost 0.45 to 0.6 cents");
    assert_eq!(code(&retry(&jane, &id).await), "BUDGET_EXCEEDED");

    let richer = same_with(&app, &[("PIECE_SECONDS", "60"), ("MONTHLY_BUDGET_USD", "10")]).await;
    let jane = richer.anonymous().with_token(jane.token.as_deref().unwrap());
    retry(&jane, &id).await;
    richer.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    assert!(richer.provider.calls(Endpoint::Speech).len() >= 3, "what was paid before is not paid again");
}

#[tokio::test]
async fn no_budget_stops_who_costs_nothing() {
    let backup = ScriptedProvider::start().await;
    let mut vars = with_backup(&backup);
    vars.push(("MONTHLY_BUDGET_USD", "10".to_owned()));
    let app = app_with(&vars).await;
    let (jane, patient, first) = processed(&app).await;
    assert!(backup.calls(Endpoint::Speech).is_empty());
    spent(&app, &first, "11").await;
    let paid = (app.provider.calls(Endpoint::Speech).len(), app.provider.calls(Endpoint::Chat).len());
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let session = session(&jane, &id).await;
    assert_eq!(
        (&session["status"], &session["notes"]["run"]["provider"]),
        (&json!("PROCESSED"), &json!("backup"))
    );
    assert_eq!((app.provider.calls(Endpoint::Speech).len(), app.provider.calls(Endpoint::Chat).len()), paid);
}
