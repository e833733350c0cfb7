//! What a patient reads of a session's notes: nothing before a release, that version after it, nothing once withdrawn.

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::support::client::Client;
use super::support::provider::{Behaviour, Endpoint};
use super::support::{TestApp, code, recording};

const NOTES: &str = "query ($id: ID!) { session(id: $id) { release { releasedAt isCurrent } notes {
    patientSummary strategies { text evidence { quote } } actionItems { text evidence { quote } }
    keyTopics topicSummary sessionMood moodScore moodTrajectory therapistNotes riskFlags { text } riskScreens run { id } } } }";

/// A therapist, her patient's own account, and a processed session of the two.
struct Practice {
    app: TestApp,
    jane: Client,
    maria: Client,
    session: String,
}

impl Practice {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let (jane, maria) = (app.therapist("jane").await, app.user("maria", "PATIENT").await);
        let patient = jane.patient("Maria").await;
        bind(&app, &patient, "maria").await;
        let session = jane.session(&patient, recording("cbr.mp3")).await;
        app.run_jobs().await;
        Self { app, jane, maria, session }
    }

    async fn seen_by(&self, client: &Client) -> Value {
        client.call(NOTES, json!({ "id": self.session })).await["session"].clone()
    }

    async fn release(&self, key: Option<&str>) -> Value {
        release(&self.jane, &self.session, key).await
    }

    async fn withdraw(&self) -> Value {
        let query = "mutation ($id: ID!) { withdrawSummary(sessionId: $id) {
            session { id release { isCurrent } } userErrors { code message field } } }";
        self.jane.call(query, json!({ "id": self.session })).await["withdrawSummary"].clone()
    }

    /// Writes the notes again, with another summary.
    async fn write_notes_again(&self, summary: &str) {
        let query =
            "mutation ($id: ID!) { extractNotes(sessionId: $id, force: true) { userErrors { code } } }";
        let payload = self.jane.call(query, json!({ "id": self.session })).await["extractNotes"].clone();
        assert_eq!(payload["userErrors"], json!([]));
        self.app.run_jobs().await;
        let newest = format!(
            "UPDATE extraction_runs SET notes = jsonb_set(notes, '{{patient_summary}}', to_jsonb('{summary}'::text))
             WHERE id = (SELECT extraction_run_id FROM sessions)"
        );
        run(&self.app, &newest).await;
    }

    async fn audited(&self, action: &str) -> i64 {
        let query =
            format!("SELECT count(*) FROM audit_events WHERE action = '{action}' AND patient_id IS NOT NULL");
        self.app.count(&query).await
    }
}

#[tokio::test]
async fn a_patient_reads_nothing_before_a_release() {
    let practice = Practice::new().await;
    assert_eq!(practice.seen_by(&practice.maria).await, json!({ "release": null, "notes": null }));
    assert!(practice.seen_by(&practice.jane).await["notes"]["therapistNotes"].is_string());
    assert_eq!(practice.audited("session.read_notes").await, 1, "only the therapist has read");
}

#[tokio::test]
async fn a_patient_reads_summary_strategies_and_action_items_of_a_release_and_nothing_else() {
    let practice = Practice::new().await;
    let payload = practice.release(None).await;
    assert_eq!(payload["userErrors"], json!([]));
    assert_eq!(
        payload["session"]["release"],
        json!({ "releasedAt": "2026-03-10T09:00:00+00:00", "isCurrent": true })
    );
    let (whole, seen) = (practice.seen_by(&practice.jane).await, practice.seen_by(&practice.maria).await);
    let texts = |items: &Value| -> Vec<Value> {
        let items = items.as_array().unwrap();
        assert!(!items.is_empty());
        items.iter().map(|item| json!({ "text": item["text"], "evidence": null })).collect()
    };
    let expected = json!({
        "patientSummary": whole["notes"]["patientSummary"],
        "strategies": texts(&whole["notes"]["strategies"]),
        "actionItems": texts(&whole["notes"]["actionItems"]),
        "keyTopics": null, "topicSummary": null, "sessionMood": null, "moodScore": null, "moodTrajectory": null,
        "therapistNotes": null, "riskFlags": null, "riskScreens": null, "run": null,
    });
    assert_eq!(seen["notes"], expected);
    assert_eq!(seen["release"], json!({ "releasedAt": "2026-03-10T09:00:00+00:00", "isCurrent": null }));
    let read =
        "SELECT count(*) FROM audit_events WHERE action = 'session.read_notes' AND actor_role = 'PATIENT'";
    assert_eq!(practice.app.count(read).await, 1);
}

#[tokio::test]
async fn newer_notes_need_a_release_of_their_own() {
    let practice = Practice::new().await;
    practice.release(None).await;
    let first = practice.seen_by(&practice.maria).await["notes"].clone();
    practice.write_notes_again("The second version.").await;
    assert_eq!(practice.seen_by(&practice.maria).await["notes"], first, "the older version stays");
    let seen = practice.seen_by(&practice.jane).await;
    assert_eq!(
        (&seen["notes"]["patientSummary"], &seen["release"]["isCurrent"]),
        (&json!("The second version."), &json!(false))
    );
    practice.release(None).await;
    assert_eq!(practice.seen_by(&practice.maria).await["notes"]["patientSummary"], "The second version.");
    assert_eq!(practice.seen_by(&practice.jane).await["release"]["isCurrent"], true);
    assert_eq!(practice.app.count("SELECT count(*) FROM summary_releases").await, 2, "rows are kept");
    assert_eq!(
        practice.app.count("SELECT count(*) FROM summary_releases WHERE withdrawn_at IS NULL").await,
        1
    );
    assert_eq!(practice.audited("session.release_summary").await, 2);
}

#[tokio::test]
async fn notes_that_were_not_read_are_not_released() {
    let practice = Practice::new().await;
    let present = async || {
        let query = "query ($id: ID!) { session(id: $id) { notes { run { id } } } }";
        let session = practice.jane.call(query, json!({ "id": practice.session })).await;
        session["session"]["notes"]["run"]["id"].as_str().unwrap().to_owned()
    };
    let release = async |run: &str| {
        let query = "mutation ($id: ID!, $run: ID) { releaseSummary(sessionId: $id, runId: $run) {
            session { release { isCurrent } } userErrors { code message field } } }";
        let payload = practice.jane.call(query, json!({ "id": practice.session, "run": run })).await;
        payload["releaseSummary"].clone()
    };
    let read = present().await;
    practice.write_notes_again("Nobody has read this.").await;
    for run in [read.as_str(), "nothing"] {
        let refused = release(run).await;
        assert_eq!((code(&refused), &refused["userErrors"][0]["field"]), ("CONFLICT", &json!("runId")));
    }
    assert!(practice.seen_by(&practice.maria).await["notes"].is_null());
    assert_eq!(release(&present().await).await["session"]["release"]["isCurrent"], true);
}

#[tokio::test]
async fn a_withdrawn_summary_is_gone_and_twice_is_fine() {
    let practice = Practice::new().await;
    practice.release(None).await;
    for _ in 0..2 {
        let payload = practice.withdraw().await;
        assert_eq!((&payload["userErrors"], &payload["session"]["release"]), (&json!([]), &Value::Null));
        assert_eq!(practice.seen_by(&practice.maria).await, json!({ "release": null, "notes": null }));
    }
    assert_eq!(practice.audited("session.withdraw_summary").await, 1);
    practice.release(None).await;
    assert!(practice.seen_by(&practice.maria).await["notes"].is_object(), "and can be released again");
    assert_eq!(practice.app.count("SELECT count(*) FROM summary_releases").await, 2);
}

#[tokio::test]
async fn releasing_the_same_notes_twice_changes_nothing() {
    let practice = Practice::new().await;
    let first = practice.release(None).await;
    assert_eq!(practice.release(None).await, first);
    assert_eq!(practice.app.count("SELECT count(*) FROM summary_releases").await, 1);
    assert_eq!(practice.audited("session.release_summary").await, 1);
}

#[tokio::test]
async fn a_repeated_request_releases_nothing_newer() {
    let practice = Practice::new().await;
    practice.release(Some("monday")).await;
    practice.write_notes_again("The second version.").await;
    let replayed = practice.release(Some("monday")).await;
    assert_eq!(
        (&replayed["userErrors"], &replayed["session"]["release"]["isCurrent"]),
        (&json!([]), &json!(false))
    );
    assert_ne!(practice.seen_by(&practice.maria).await["notes"]["patientSummary"], "The second version.");
    let other = practice.jane.patient("Daniel").await;
    let other = practice.jane.session(&other, recording("cbr.mp3")).await;
    assert_eq!(code(&release(&practice.jane, &other, Some("monday")).await), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn of_many_releases_and_withdrawals_at_once_at_most_one_release_is_in_force() {
    let practice = Practice::new().await;
    let changes = join_all((0..12).map(|n| {
        let practice = &practice;
        async move { if n % 2 == 0 { practice.release(None).await } else { practice.withdraw().await } }
    }));
    assert!(changes.await.iter().all(|payload| payload["userErrors"] == json!([])));
    assert!(
        practice.app.count("SELECT count(*) FROM summary_releases WHERE withdrawn_at IS NULL").await <= 1
    );
    let rows = practice.app.count("SELECT count(*) FROM summary_releases").await;
    assert_eq!(
        practice.audited("session.release_summary").await,
        rows,
        "every change is in the trail, and only these"
    );
}

#[tokio::test]
async fn a_session_without_notes_has_nothing_to_release() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let payload = release(&jane, &id, Some("k")).await;
    assert_eq!((code(&payload), &payload["userErrors"][0]["field"]), ("INVALID_STATE", &json!("sessionId")));
    app.provider.always(Endpoint::Chat, Behaviour::status(400));
    app.run_jobs().await;
    assert_eq!(
        code(&release(&jane, &id, Some("k")).await),
        "INVALID_STATE",
        "nor has one whose notes failed"
    );
    app.provider.always(Endpoint::Chat, Behaviour::Ok);
    let retry = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { code } } }";
    jane.call(retry, json!({ "id": id })).await;
    app.run_jobs().await;
    assert_eq!(
        release(&jane, &id, Some("k")).await["userErrors"],
        json!([]),
        "a refused request keeps no key"
    );
}

#[tokio::test]
async fn only_the_sessions_therapist_releases_and_withdraws() {
    let practice = Practice::new().await;
    let eve = practice.app.therapist("eve").await;
    for mutation in ["releaseSummary", "withdrawSummary"] {
        let query = format!(
            "mutation ($id: ID!) {{ {mutation}(sessionId: $id) {{ session {{ id }} userErrors {{ code message field }} }} }}"
        );
        for id in [practice.session.as_str(), "01890000-0000-7000-8000-000000000000", "nothing"] {
            let payload = eve.call(&query, json!({ "id": id })).await[mutation].clone();
            assert_eq!((code(&payload), &payload["session"]), ("NOT_FOUND", &Value::Null));
        }
        let id = json!({ "id": practice.session });
        assert_eq!(practice.maria.refusal(&query, id.clone()).await, "FORBIDDEN");
        assert_eq!(practice.app.anonymous().refusal(&query, id).await, "UNAUTHENTICATED");
    }
    assert_eq!(practice.app.count("SELECT count(*) FROM summary_releases").await, 0);
}

async fn release(client: &Client, session: &str, key: Option<&str>) -> Value {
    let query = "mutation ($id: ID!, $key: String) { releaseSummary(sessionId: $id, idempotencyKey: $key) {
        session { id release { releasedAt isCurrent } } userErrors { code message field } } }";
    client.call(query, json!({ "id": session, "key": key })).await["releaseSummary"].clone()
}

/// Ties a patient's account to the record.
async fn bind(app: &TestApp, patient: &str, user: &str) {
    let user = format!("(SELECT id FROM users WHERE email = '{user}@example.com')");
    run(app, &format!("UPDATE patients SET user_id = {user} WHERE id = '{patient}'")).await;
}

async fn run(app: &TestApp, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(app.app.pool()).await.unwrap();
}
