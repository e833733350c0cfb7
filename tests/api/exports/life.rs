//! How a document comes to be, who hears of it, and how it ends.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    copies, delete, export_notes, export_report, exported, fetch, finished, id_of, job, path_of, practice,
    purge, until,
};
use crate::support::client::Client;
use crate::support::object_store::{Fault, ScriptedStore, Step};
use crate::support::socket::{News, Watch, statuses};
use crate::support::{TestApp, code};

async fn watch(client: &Client, id: &str) -> Watch {
    let query =
        "subscription ($id: ID!) { exportJobUpdated(id: $id) { id version status progress downloadUrl } }";
    Watch::start(client, query, json!({ "id": id })).await
}

/// Leaves jobs to be done with a worker that is slow to begin.
const UNTOUCHED: &str =
    "UPDATE apalis.jobs SET run_at = now() + interval '1 hour' WHERE job_type = 'export_document'";
const DUE: &str = "UPDATE apalis.jobs SET run_at = now() WHERE job_type = 'export_document'";

#[tokio::test]
async fn a_document_is_made_by_a_worker_and_followed_to_its_end_each_status_once_and_in_order() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    for (kind, format) in [("notes", "PDF"), ("notes", "DOCX"), ("report", "PDF"), ("report", "DOCX")] {
        let asked = match kind {
            "notes" => export_notes(&jane, json!({ "sessionIds": [session], "format": format })).await,
            _ => export_report(&jane, json!({ "patientId": patient, "format": format, "weeks": 4 })).await,
        };
        app.run(UNTOUCHED).await;
        let id = id_of(&asked);
        let mut early = watch(&jane, &id).await;
        let first = early.value().await;
        assert_eq!((&first["status"], &first["downloadUrl"]), (&json!("QUEUED"), &Value::Null));
        app.run(DUE).await;
        app.run_jobs().await;
        let history = [vec![first], early.until_end().await].concat();
        assert_eq!(statuses(&history), ["QUEUED", "RUNNING", "COMPLETED"], "{kind} {format}");
        let progress: Vec<i64> = history.iter().map(|value| value["progress"].as_i64().unwrap()).collect();
        assert!(progress.is_sorted() && progress.last() == Some(&100), "{progress:?}");
        assert!(progress.iter().any(|percent| (1..100).contains(percent)), "{progress:?}");
        let late = watch(&jane, &id).await.until_end().await;
        assert_eq!(statuses(&late), ["COMPLETED"], "a late one begins, and ends, with the present state");
        let done = job(&jane, &id).await;
        let bytes = fetch(&jane, done["downloadUrl"].as_str().unwrap()).await.bytes().await.unwrap();
        assert_eq!(done["sizeBytes"], json!(bytes.len()));
        assert_eq!(done["sha256"], json!(hex::encode(Sha256::digest(&bytes))));
        assert_eq!(done["expiresAt"], json!("2026-03-17T09:00:00+00:00"));
        let name = done["fileName"].as_str().unwrap();
        let what = if kind == "notes" { "Session notes" } else { "Progress report" };
        assert_eq!(name, format!("{what} Zoë Müller 2026-03-10.{}", format.to_lowercase()));
    }
    assert_eq!(exported(&app).len(), 4);
    assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0, "no file is without its row");
}

#[tokio::test]
async fn a_real_worker_makes_documents_while_somebody_watches() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let app = app.with_worker();
    let id = id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
    let history = watch(&jane, &id).await.until_end().await;
    let all = ["QUEUED", "RUNNING", "COMPLETED"];
    let seen = statuses(&history);
    assert!(all.ends_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()), "{seen:?}");
    assert_eq!(exported(&app).len(), 1);
}

#[tokio::test]
async fn nobody_follows_a_document_that_is_not_theirs() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let eve = app.therapist("eve").await;
    for mut watch in [watch(&eve, &id).await, watch(&jane, "nothing").await] {
        match watch.next().await {
            News::Refused(errors) => assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors}"),
            other => panic!("expected a refusal, heard {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_document_that_is_deleted_is_gone_with_its_file_for_everybody() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let eve = app.therapist("eve").await;
    assert_eq!(code(&delete(&eve, &id).await), "NOT_FOUND");
    assert_eq!(exported(&app).len(), 1);
    let deleted = delete(&jane, &id).await;
    assert_eq!(deleted["userErrors"], json!([]));
    assert_eq!(
        (&deleted["exportJob"]["id"], &deleted["exportJob"]["downloadUrl"]),
        (&json!(id), &Value::Null)
    );
    assert_eq!(exported(&app).len(), 0);
    assert_eq!(job(&jane, &id).await, Value::Null);
    assert_eq!(jane.call("{ exportJobs { totalCount } }", json!({})).await["exportJobs"]["totalCount"], 0);
    assert_eq!(fetch(&jane, &path_of(&id)).await.status(), 404);
    assert_eq!(code(&delete(&jane, &id).await), "NOT_FOUND", "once");
    assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0);
    app.clock.advance(TimeDelta::days(8) + TimeDelta::seconds(1));
    purge(&app).await;
    assert_eq!(
        app.count("SELECT count(*) FROM export_jobs").await,
        0,
        "no row is left when no event points at it"
    );
}

#[tokio::test]
async fn a_document_that_is_deleted_while_it_waits_is_never_made_and_its_followers_hear_so() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
    let mut watch = watch(&jane, &id).await;
    assert_eq!(watch.value().await["status"], "QUEUED");
    assert_eq!(delete(&jane, &id).await["userErrors"], json!([]));
    match watch.next().await {
        News::Refused(errors) => assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors}"),
        other => panic!("expected the end, heard {other:?}"),
    }
    app.run_jobs().await;
    assert_eq!(exported(&app).len(), 0);
    let open = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'export_document' AND status <> 'Done'";
    assert_eq!(app.count(open).await, 0);
}

#[tokio::test]
async fn a_file_is_kept_for_its_time_then_removed_and_the_job_says_so() {
    let app = TestApp::with(&[("EXPORT_RETENTION_DAYS", "2")]).await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    assert_eq!(job(&jane, &id).await["expiresAt"], json!("2026-03-12T09:00:00+00:00"));
    let jane = later(&app, TimeDelta::days(2) - TimeDelta::seconds(1)).await;
    purge(&app).await;
    assert_eq!(job(&jane, &id).await["status"], "COMPLETED", "not a second early");
    assert_eq!(fetch(&jane, &path_of(&id)).await.status(), 200);
    let jane = later(&app, TimeDelta::seconds(1)).await;
    assert_eq!(job(&jane, &id).await["downloadUrl"], Value::Null, "also before it is removed");
    assert_eq!(fetch(&jane, &path_of(&id)).await.status(), 410);
    // Somebody follows it who has only seen it before.
    let mut news = app.app.feed.join(id.parse().unwrap());
    purge(&app).await;
    let event = news.next().await.unwrap().unwrap();
    assert_eq!(event.status.as_deref(), Some("EXPIRED"));
    assert_eq!(statuses(&watch(&jane, &id).await.until_end().await), ["EXPIRED"]);
    let expired = job(&jane, &id).await;
    assert_eq!((&expired["status"], &expired["downloadUrl"]), (&json!("EXPIRED"), &Value::Null));
    assert!(expired["fileName"].is_string() && expired["sha256"].is_string(), "what it was is still known");
    assert_eq!((exported(&app).len(), app.count("SELECT count(*) FROM stored_files").await), (0, 0));
    assert_eq!(fetch(&jane, &path_of(&id)).await.status(), 410);
    later(&app, TimeDelta::days(90) + TimeDelta::seconds(1)).await;
    purge(&app).await;
    assert_eq!(app.count("SELECT count(*) FROM export_jobs").await, 0);
}

/// Some time later, Jane logs in again.
async fn later(app: &TestApp, by: TimeDelta) -> Client {
    app.clock.advance(by);
    let tokens = app.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await;
    app.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
}

#[tokio::test]
async fn more_files_than_a_batch_expire_in_one_go_and_two_purges_at_once_do_no_harm() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    finished(&app, &jane, &session, "PDF").await;
    app.run(
        "INSERT INTO export_jobs (id, therapist_id, patient_id, kind, format, status, session_ids, file_key, file_name, size_bytes,
            sha256, expires_at, created_at, updated_at)
        SELECT gen_random_uuid(), therapist_id, patient_id, kind, format, status, session_ids, file_key || n, file_name, size_bytes,
            sha256, expires_at, created_at, updated_at FROM export_jobs, generate_series(1, 250) AS n",
    )
    .await;
    later(&app, TimeDelta::days(8)).await;
    let (one, other) = tokio::join!(app.app.exports.expire(), app.app.exports.expire());
    assert_eq!(one.unwrap() + other.unwrap(), 251);
    assert_eq!(app.count("SELECT count(*) FROM export_jobs WHERE status <> 'EXPIRED'").await, 0);
    assert_eq!((exported(&app).len(), app.count("SELECT count(*) FROM stored_files").await), (0, 0));
}

#[tokio::test]
async fn what_was_removed_before_it_could_be_exported_is_told_and_not_left_out() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
    app.run("UPDATE sessions SET extraction_run_id = NULL, status = 'FAILED', error_message = 'x'").await;
    let mut watch = watch(&jane, &id).await;
    assert_eq!(watch.value().await["status"], "QUEUED");
    app.run_jobs().await;
    assert_eq!(statuses(&watch.until_end().await).last().unwrap(), "FAILED");
    let failed = job(&jane, &id).await;
    assert!(failed["errorMessage"].as_str().unwrap().contains("no longer there"), "{failed}");
    assert_eq!((exported(&app).len(), &failed["downloadUrl"]), (0, &Value::Null));
}

#[tokio::test]
async fn a_store_that_is_away_fails_the_document_in_the_end_and_a_new_one_is_made_when_it_is_back() {
    let store = ScriptedStore::start().await;
    let settings = store.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = TestApp::with(&settings).await;
    let (jane, _, session) = practice(&app).await;
    let recordings = store.files().len();
    store.fail(Step::Put, Fault::Status(403));
    let id = id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
    // Attempts lie some time apart.
    let over = "SELECT count(*) FROM export_jobs WHERE status = 'FAILED'";
    while app.count(over).await == 0 {
        app.run(DUE).await;
        app.run_jobs().await;
    }
    let failed = job(&jane, &id).await;
    let message = failed["errorMessage"].as_str().unwrap();
    assert!(message.contains("could not be stored") && !message.contains("session"), "{message}");
    store.heal();
    let id = finished(&app, &jane, &session, "DOCX").await;
    let bytes = fetch(&jane, &path_of(&id)).await.bytes().await.unwrap();
    let (key, stored) = store.files().into_iter().find(|(key, _)| key.contains("/exports/")).unwrap();
    assert_eq!(stored, bytes);
    assert_eq!(store.files().len(), recordings + 1, "{key} alone has come");
    assert_eq!(code(&delete(&jane, "none of ours").await), "NOT_FOUND");
    delete(&jane, &id).await;
    assert_eq!(store.files().len(), recordings);
}

#[tokio::test]
async fn five_hundred_sessions_become_one_document_that_shows_how_far_it_is() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    app.run(&copies(&session, 499)).await;
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id::text FROM sessions").fetch_all(app.app.pool()).await.unwrap();
    assert_eq!(ids.len(), 500);
    let id = id_of(&export_notes(&jane, json!({ "sessionIds": ids, "format": "PDF" })).await);
    let mut early = watch(&jane, &id).await;
    let first = early.value().await;
    app.run_jobs().await;
    let history = [vec![first], early.until_end().await].concat();
    assert_eq!(statuses(&history), ["QUEUED", "RUNNING", "COMPLETED"]);
    assert_eq!(job(&jane, &id).await["sessionCount"], 500);
    until(&app, "SELECT count(*) FROM stored_files", 0).await;
}
