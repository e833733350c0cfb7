//! Clean-up: what nothing needs goes, and what anything needs stays, on a folder and on an object store, whoever asks, whatever
//! happens at the same time, and wherever it is killed.

mod killed;
mod racing;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use therapybridge::cleanup::{Parts, Wanted};
use therapybridge::clock::{Clock, SystemClock};
use therapybridge::config::Config;
use uuid::Uuid;

use crate::support::client::Client;
use crate::support::object_store::{Fault, ScriptedStore, Step};
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::{TestApp, code, recording, today, variables};

const FIELDS: &str =
    "dryRun filesDeleted sessionsCleaned bytesFreed mbFreed errors errorCount unknownFiles isComplete";
/// Tokens that outlive the periods of the tests.
const LONG: [(&str, &str); 2] = [("ACCESS_TOKEN_MINUTES", "10000000"), ("REFRESH_TOKEN_DAYS", "10000")];

/// A server with its store, and a way to look into it.
struct Site {
    app: TestApp,
    store: Option<ScriptedStore>,
}

impl Site {
    async fn in_a_folder(vars: &[(&str, &str)]) -> Self {
        Self { app: TestApp::with(&[&LONG[..], vars].concat()).await, store: None }
    }

    async fn in_an_object_store(vars: &[(&str, &str)]) -> Self {
        let store = ScriptedStore::start().await;
        let settings = store.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let app = TestApp::with(&[&LONG[..], &settings, vars].concat()).await;
        Self { app, store: Some(store) }
    }

    async fn both(vars: &[(&str, &str)]) -> [Self; 2] {
        [Self::in_a_folder(vars).await, Self::in_an_object_store(vars).await]
    }

    /// Puts a file into the store that was put there so many hours ago, by the tests' clock.
    fn plant(&self, key: &str, bytes: &[u8], hours: i64) {
        let modified = self.app.clock.now() - TimeDelta::hours(hours);
        match &self.store {
            Some(store) => store.plant(key, bytes, modified),
            None => plant(&self.app, key, bytes, modified),
        }
    }

    fn keys(&self) -> BTreeSet<String> {
        match &self.store {
            Some(store) => store.files().into_keys().collect(),
            None => keys(&self.app),
        }
    }

    /// Removes a file behind the server's back.
    fn lose(&self, key: &str) {
        assert!(self.store.is_none(), "only from a folder");
        fs::remove_file(self.app.app.config.storage.files_dir.join(key)).unwrap();
    }
}

fn plant(app: &TestApp, key: &str, bytes: &[u8], modified: DateTime<Utc>) {
    let path = app.app.config.storage.files_dir.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::from(modified)).unwrap();
}

fn keys(app: &TestApp) -> BTreeSet<String> {
    let root = &app.app.config.storage.files_dir;
    let key = |path: &std::path::PathBuf| path.strip_prefix(root).ok().map(|key| key.display().to_string());
    app.files().iter().filter_map(key).collect()
}

async fn clean(client: &Client, mutation: &str, dry_run: bool) -> Value {
    let query = format!(
        "mutation ($dry: Boolean!) {{ {mutation}(dryRun: $dry) {{ cleanup {{ {FIELDS} }} userErrors {{ code }} }} }}"
    );
    let payload = client.call(&query, json!({ "dry": dry_run })).await[mutation].clone();
    assert_eq!(payload["userErrors"], json!([]));
    payload["cleanup"].clone()
}

/// Files, sessions, bytes.
fn sums(cleanup: &Value) -> [i64; 3] {
    assert_eq!((&cleanup["errors"], &cleanup["isComplete"]), (&json!([]), &json!(true)), "{cleanup}");
    ["filesDeleted", "sessionsCleaned", "bytesFreed"].map(|field| cleanup[field].as_i64().unwrap())
}

/// What a dry run says, once the real one has said the same.
async fn clean_twice(site: &Site, client: &Client, mutation: &str) -> [i64; 3] {
    let before = site.keys();
    let dry = clean(client, mutation, true).await;
    assert_eq!((&dry["dryRun"], site.keys()), (&json!(true), before), "a dry run touches nothing");
    let real = clean(client, mutation, false).await;
    assert_eq!(real["dryRun"], false);
    assert_eq!(sums(&dry), sums(&real), "the dry run says what the real one does");
    assert_eq!(sums(&clean(client, mutation, false).await), [0; 3], "once is enough");
    assert_eq!(site.app.count("SELECT count(*) FROM stored_files").await, 0);
    sums(&dry)
}

async fn id(client: &Client) -> String {
    client.call("{ viewer { id } }", json!({})).await["viewer"]["id"].as_str().unwrap().to_owned()
}

/// A session that FAILED before anything was recognised.
async fn failed(client: &Client, patient: &str) -> String {
    let session = client.session(patient, recording("cbr.mp3")).await;
    let query = "mutation ($id: ID!) { cancelProcessing(sessionId: $id) { session { status } } }";
    let payload = client.call(query, json!({ "id": session })).await;
    assert_eq!(payload["cancelProcessing"]["session"]["status"], "FAILED");
    session
}

async fn retry(client: &Client, session: &str) -> Value {
    let query = "mutation ($id: ID!) { retrySession(sessionId: $id) { session { status } userErrors { code message } } }";
    client.call(query, json!({ "id": session })).await["retrySession"].clone()
}

async fn session(client: &Client, id: &str) -> Value {
    let query = "query ($id: ID!) { session(id: $id) { status version audioFilename audioRemovedAt errorMessage transcriptText
        notes { therapistNotes } } }";
    client.call(query, json!({ "id": id })).await["session"].clone()
}

async fn audio_key(app: &TestApp, session: &str) -> Option<String> {
    let query = "SELECT audio_key FROM sessions WHERE id = $1::uuid";
    sqlx::query_scalar(query).bind(session).fetch_one(app.app.pool()).await.unwrap()
}

fn size_of(name: &str) -> i64 {
    i64::try_from(recording(name).len()).unwrap()
}

#[tokio::test]
async fn files_that_nothing_needs_go_when_they_are_old_and_each_therapist_sees_their_own() {
    for site in Site::both(&[]).await {
        let (jane, eve) = (site.app.therapist("jane").await, site.app.therapist("eve").await);
        let admin = site.app.admin("root").await;
        let (jane_id, eve_id) = (id(&jane).await, id(&eve).await);
        let kept = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
        let kept = audio_key(&site.app, &kept).await.unwrap();
        let (place, stranger) = (Uuid::now_v7(), Uuid::now_v7());
        site.plant(&format!("{jane_id}/{place}/audio.mp3"), b"12345", 25);
        site.plant(&format!("{jane_id}/{place}/young.mp3"), b"1", 23);
        site.plant(&format!("{jane_id}/exports/{place}.pdf"), b"123", 25);
        site.plant(&format!("{eve_id}/{place}/audio.mp3"), b"1234567", 25);
        site.plant(&format!("{stranger}/{place}/audio.mp3"), b"1", 25);
        site.plant("somebody/elses.txt", b"1", 25);
        let status = jane
            .call(
                "{ cleanupStatus { orphanedFiles orphanedBytes failedSessions reclaimableBytes reclaimableMb
            preview { filesDeleted unknownFiles } } }",
                json!({}),
            )
            .await;
        assert_eq!(
            status["cleanupStatus"],
            json!({ "orphanedFiles": 2, "orphanedBytes": 8, "failedSessions": 0, "reclaimableBytes": 8,
                "reclaimableMb": 0.0, "preview": { "filesDeleted": 2, "unknownFiles": 0 } })
        );
        assert_eq!(clean_twice(&site, &jane, "cleanUpOrphanedFiles").await, [2, 0, 8]);
        assert_eq!(
            sums(&clean(&admin, "cleanUpFailedSessions", false).await),
            [0; 3],
            "only what was asked for"
        );
        let all = clean(&admin, "cleanUpOrphanedFiles", true).await;
        assert_eq!((sums(&all), &all["unknownFiles"]), ([1, 0, 7], &json!(2)));
        assert_eq!(clean_twice(&site, &admin, "cleanUpOrphanedFiles").await, [1, 0, 7]);
        let left = BTreeSet::from([
            kept,
            format!("{jane_id}/{place}/young.mp3"),
            format!("{stranger}/{place}/audio.mp3"),
            "somebody/elses.txt".to_owned(),
        ]);
        assert_eq!(site.keys(), left);
        // Nothing of an own run is told of another's files.
        assert_eq!(clean(&jane, "cleanUpOrphanedFiles", true).await["unknownFiles"], 0);
    }
}

#[tokio::test]
async fn what_anything_needs_stays_however_old_it_is() {
    for site in Site::both(&[("UPLOAD_EXPIRES_HOURS", "876000")]).await {
        let (jane, admin) = (site.app.therapist("jane").await, site.app.admin("root").await);
        let (jane_id, patient) = (id(&jane).await, jane.patient("Daniel").await);
        // A recording, parts of an upload, and a file whose row is still to come.
        jane.session(&patient, recording("cbr.mp3")).await;
        let bytes = recording("vbr.mp3");
        let path = jane.begun(bytes.len()).await;
        jane.send(&path, 0, &bytes[..bytes.len() / 2]).await;
        let fresh = format!("{jane_id}/{}/audio.mp3", Uuid::now_v7());
        site.plant(&fresh, b"on its way", 1);
        let intent = format!(
            "INSERT INTO stored_files (key, therapist_id, created_at, expires_at)
            VALUES ('{fresh}', '{jane_id}', now(), now() + interval '1 hour')"
        );
        site.app.run(&intent).await;
        let before = site.keys();
        assert_eq!(before.len(), 3, "{before:?}");
        site.app.clock.advance(TimeDelta::days(365));
        if site.store.is_none() {
            // Their times are the machine's.
            for key in &before {
                let path = site.app.app.config.storage.files_dir.join(key);
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::from(today())).unwrap();
            }
        }
        for client in [&jane, &admin] {
            assert_eq!(sums(&clean(client, "cleanUpAll", false).await), [0; 3]);
        }
        assert_eq!(site.keys(), before);
        // The upload goes on, becomes a session, and nothing of it is left over.
        assert_eq!(jane.send(&path, bytes.len() / 2, &bytes[bytes.len() / 2..]).await, 204);
        let payload = jane.finish(&path, json!({ "patientId": patient })).await;
        assert_eq!(payload["userErrors"], json!([]), "{payload}");
        // Without its intent the file is nobody's.
        site.app.run("DELETE FROM stored_files").await;
        assert_eq!(clean_twice(&site, &admin, "cleanUpAll").await, [1, 0, 10]);
        site.app.run_jobs().await;
        assert_eq!(site.app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await, 2);
    }
}

#[tokio::test]
async fn recordings_of_failed_sessions_go_after_their_time_and_the_sessions_stay() {
    for site in Site::both(&[("FAILED_SESSION_RETENTION_DAYS", "3")]).await {
        let app = &site.app;
        let (jane, eve, admin) =
            (app.therapist("jane").await, app.therapist("eve").await, app.admin("root").await);
        let (patient, other) = (jane.patient("Daniel").await, eve.patient("Maria").await);
        let (lost, others) = (failed(&jane, &patient).await, failed(&eve, &other).await);
        let whole = jane.session(&patient, recording("cbr.mp3")).await;
        app.run_jobs().await;
        app.clock.advance(TimeDelta::days(3));
        assert_eq!(
            sums(&clean(&admin, "cleanUpFailedSessions", true).await),
            [0; 3],
            "not before their time"
        );
        app.clock.advance(TimeDelta::seconds(1));
        let status =
            "{ cleanupStatus { failedSessions failedSessionBytes orphanedFiles expiredRecordings } }";
        assert_eq!(
            jane.call(status, json!({})).await["cleanupStatus"],
            json!({ "failedSessions": 1, "failedSessionBytes": size_of("cbr.mp3"), "orphanedFiles": 0,
                "expiredRecordings": 0 })
        );
        let version = session(&jane, &lost).await["version"].as_i64().unwrap();
        assert_eq!(clean_twice(&site, &jane, "cleanUpFailedSessions").await, [1, 1, size_of("cbr.mp3")]);
        let row = session(&jane, &lost).await;
        assert_eq!(
            (&row["status"], &row["version"], &row["audioRemovedAt"], &row["audioFilename"]),
            (
                &json!("FAILED"),
                &json!(version + 1),
                &json!("2026-03-13T09:00:01+00:00"),
                &json!("session.mp3")
            )
        );
        let told = format!(
            "SELECT count(*) FROM outbox_events WHERE session_id = '{lost}' AND version = {}",
            version + 1
        );
        assert_eq!(app.count(&told).await, 1, "subscribers hear of it");
        let refused = retry(&jane, &lost).await;
        assert_eq!(code(&refused), "INVALID_STATE");
        let message = refused["userErrors"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("removed on 2026-03-13") && message.contains("Upload it again"),
            "{message}"
        );
        assert_eq!(session(&jane, &whole).await["audioRemovedAt"], Value::Null);
        assert!(audio_key(app, &others).await.is_some(), "another therapist's is not touched");
        assert_eq!(clean_twice(&site, &admin, "cleanUpAll").await, [1, 1, size_of("cbr.mp3")]);
        assert_eq!(site.keys(), BTreeSet::from([audio_key(app, &whole).await.unwrap()]));
    }
}

#[tokio::test]
async fn a_failed_session_with_a_complete_transcript_is_retried_without_its_recording() {
    let site = Site::in_a_folder(&[]).await;
    let jane = site.app.therapist("jane").await;
    site.app.provider.always(Endpoint::Chat, Behaviour::status(400));
    let id = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
    site.app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "FAILED");
    site.app.clock.advance(TimeDelta::days(8));
    assert_eq!(clean_twice(&site, &jane, "cleanUpFailedSessions").await, [1, 1, size_of("cbr.mp3")]);
    site.app.provider.always(Endpoint::Chat, Behaviour::Ok);
    assert_eq!(retry(&jane, &id).await["session"]["status"], "TRANSCRIBED");
    site.app.run_jobs().await;
    let row = session(&jane, &id).await;
    assert!(
        row["status"] == "PROCESSED" && row["notes"].is_object() && row["transcriptText"].is_string(),
        "{row}"
    );
}

#[tokio::test]
async fn recordings_of_processed_sessions_go_only_where_a_period_is_set() {
    let (kept, gone) = (Site::in_a_folder(&[]).await, Site::both(&[("AUDIO_RETENTION_DAYS", "30")]).await);
    for (site, expected) in [(kept, 0)].into_iter().chain(gone.map(|site| (site, 1))) {
        let (jane, admin) = (site.app.therapist("jane").await, site.app.admin("root").await);
        let id = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
        site.app.run_jobs().await;
        site.app.clock.advance(TimeDelta::days(30));
        assert_eq!(sums(&clean(&admin, "cleanUpAll", true).await), [0; 3], "not before its time");
        site.app.clock.advance(TimeDelta::days(1));
        assert_eq!(sums(&clean(&admin, "cleanUpFailedSessions", true).await), [0; 3], "it has not failed");
        let bytes = expected * size_of("cbr.mp3");
        assert_eq!(clean_twice(&site, &admin, "cleanUpAll").await, [expected, expected, bytes]);
        let row = session(&jane, &id).await;
        assert_eq!(row["audioRemovedAt"].is_string(), expected == 1, "{row}");
        assert!(row["notes"].is_object() && row["transcriptText"].is_string(), "{row}");
        let again =
            "mutation ($id: ID!) { extractNotes(sessionId: $id, force: true) { userErrors { code } } }";
        assert_eq!(jane.call(again, json!({ "id": id })).await["extractNotes"]["userErrors"], json!([]));
        site.app.run_jobs().await;
        assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    }
}

#[tokio::test]
async fn a_recording_that_is_missing_already_is_fine_and_counts_as_no_file() {
    let site = Site::in_a_folder(&[]).await;
    let jane = site.app.therapist("jane").await;
    let id = failed(&jane, &jane.patient("Daniel").await).await;
    site.lose(&audio_key(&site.app, &id).await.unwrap());
    site.app.clock.advance(TimeDelta::days(8));
    assert_eq!(clean_twice(&site, &jane, "cleanUpFailedSessions").await, [0, 1, 0]);
}

#[tokio::test]
async fn a_session_whose_job_still_runs_keeps_its_recording() {
    let site = Site::in_a_folder(&[]).await;
    let jane = site.app.therapist("jane").await;
    failed(&jane, &jane.patient("Daniel").await).await;
    site.app.clock.advance(TimeDelta::days(8));
    // A worker that gave the session up and has not come to say so to the queue.
    site.app
        .run(
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
            SELECT 'x', 'transcribe_session', '', 'Running', 1, 5, now(), 0, '', id || ':' || generation FROM sessions",
        )
        .await;
    assert_eq!(sums(&clean(&jane, "cleanUpFailedSessions", true).await), [0; 3]);
    assert_eq!(sums(&clean(&jane, "cleanUpFailedSessions", false).await), [0; 3]);
    site.app.run("UPDATE apalis.jobs SET status = 'Done' WHERE id = 'x'").await;
    assert_eq!(clean_twice(&site, &jane, "cleanUpFailedSessions").await, [1, 1, size_of("cbr.mp3")]);
}

#[tokio::test]
async fn a_file_that_does_not_go_is_named_stops_no_other_and_is_tried_again() {
    let site = Site::in_an_object_store(&[]).await;
    let (jane, store) = (site.app.therapist("jane").await, site.store.as_ref().unwrap());
    let owner = id(&jane).await;
    for n in 0..6 {
        site.plant(&format!("{owner}/exports/{n}.pdf"), b"12345", 25);
    }
    let stuck = format!("{owner}/exports/3.pdf");
    store.hold_on_to(&stuck);
    let session = failed(&jane, &jane.patient("Daniel").await).await;
    let audio = audio_key(&site.app, &session).await.unwrap();
    store.hold_on_to(&audio);
    site.app.clock.advance(TimeDelta::days(8));
    let report = clean(&jane, "cleanUpAll", false).await;
    assert_eq!(
        (&report["filesDeleted"], &report["sessionsCleaned"], &report["errorCount"]),
        (&json!(5), &json!(1), &json!(2))
    );
    let reason = "the file store does not answer, or does not let go of it";
    assert_eq!(
        report["errors"],
        json!([format!("{stuck}: {reason}"), format!("session {session}: {reason}")])
    );
    assert_eq!(site.keys(), BTreeSet::from([stuck.clone(), audio.clone()]));
    // It is not forgotten: a dry run counts both, the sweep of a worker and the next clean-up remove them.
    assert_eq!(sums(&clean(&jane, "cleanUpOrphanedFiles", true).await)[0], 2);
    store.heal();
    assert_eq!(clean_twice(&site, &jane, "cleanUpOrphanedFiles").await, [2, 0, 5 + size_of("cbr.mp3")]);
    assert_eq!(site.keys(), BTreeSet::new());
}

#[tokio::test]
async fn a_store_that_cannot_be_listed_is_told_of_and_recordings_are_looked_at_all_the_same() {
    let site = Site::in_an_object_store(&[]).await;
    let (jane, store) = (site.app.therapist("jane").await, site.store.as_ref().unwrap());
    failed(&jane, &jane.patient("Daniel").await).await;
    site.app.clock.advance(TimeDelta::days(8));
    store.fail(Step::List, Fault::Status(403));
    let report = clean(&jane, "cleanUpAll", true).await;
    assert_eq!(
        report["errors"],
        json!(["the listing of the file store: the file store does not answer, or does not let go of it"])
    );
    assert_eq!((&report["isComplete"], &report["sessionsCleaned"]), (&json!(false), &json!(1)));
    store.heal();
    store.fail(Step::Head, Fault::Status(403));
    let report = clean(&jane, "cleanUpAll", false).await;
    assert_eq!((&report["errorCount"], &report["sessionsCleaned"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(site.keys().len(), 1, "nothing was touched");
}

#[tokio::test]
async fn stores_of_many_pages_are_cleaned_up_whole() {
    let site = Site::in_a_folder(&[]).await;
    let (jane, admin) = (site.app.therapist("jane").await, site.app.admin("root").await);
    let owner = id(&jane).await;
    for n in 0..2_300 {
        site.plant(&format!("{owner}/{}/audio.mp3", Uuid::now_v7()), b"1", if n % 10 == 0 { 1 } else { 30 });
    }
    assert_eq!(clean_twice(&site, &admin, "cleanUpAll").await, [2_070, 0, 2_070]);
    assert_eq!(site.keys().len(), 230);
}

#[tokio::test]
async fn what_takes_longer_than_a_request_may_is_done_by_a_job() {
    let app = TestApp::configured(&LONG, |config| config.cleanup.patience = Duration::ZERO).await;
    let site = Site { app, store: None };
    let jane = site.app.therapist("jane").await;
    site.plant(&format!("{}/exports/1.pdf", id(&jane).await), b"12345", 25);
    site.plant(&format!("{}/exports/1.pdf", id(&site.app.therapist("eve").await).await), b"12345", 25);
    let dry = clean(&jane, "cleanUpAll", true).await;
    assert_eq!((&dry["isComplete"], &dry["filesDeleted"]), (&json!(false), &json!(0)));
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'clean_up'";
    assert_eq!(site.app.count(jobs).await, 0, "a dry run leaves nothing to be done");
    assert_eq!(clean(&jane, "cleanUpAll", false).await["isComplete"], false);
    assert_eq!(site.app.count(jobs).await, 1);
    site.app.run_jobs().await;
    assert_eq!(site.keys().len(), 1, "hers, and nobody else's");
}

#[tokio::test]
async fn a_clean_up_and_every_recording_it_removes_stand_in_the_trail() {
    let site = Site::in_a_folder(&[]).await;
    let jane = site.app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let session = failed(&jane, &patient).await;
    site.app.clock.advance(TimeDelta::days(8));
    clean(&jane, "cleanUpAll", true).await;
    let events =
        "SELECT action, actor_role, subject_type, subject_id::text, patient_id::text, changed_fields::text[]
        FROM audit_events WHERE action IN ('cleanup.run', 'session.remove_recording') ORDER BY id";
    let read = || async {
        type Row = (String, String, String, Option<String>, Option<String>, Vec<String>);
        sqlx::query_as::<_, Row>(events).fetch_all(site.app.app.pool()).await.unwrap()
    };
    assert!(read().await.is_empty(), "a dry run does nothing that could be told of");
    clean(&jane, "cleanUpAll", false).await;
    let parts = ["orphanedFiles", "failedSessions", "expiredRecordings"].map(String::from).to_vec();
    let run = |role: &str| {
        ("cleanup.run".to_owned(), role.to_owned(), "cleanup".to_owned(), None, None, parts.clone())
    };
    let removal = (
        "session.remove_recording".to_owned(),
        "THERAPIST".to_owned(),
        "session".to_owned(),
        Some(session),
        Some(patient),
        vec!["audioRemovedAt".to_owned()],
    );
    assert_eq!(read().await, [run("THERAPIST"), removal.clone()]);
    ask(&site.app, "today").await;
    site.app.run_jobs().await;
    assert_eq!(read().await, [run("THERAPIST"), removal, run("SYSTEM")]);
}

/// As the schedule asks.
async fn ask(app: &TestApp, key: &str) {
    let wanted = Wanted { parts: Parts::ALL, therapist_id: None, dry_run: false };
    app.app.cleanup.request(key.to_owned(), wanted).await.unwrap();
}

#[tokio::test]
async fn the_daily_clean_up_is_one_however_many_ask() {
    let site = Site::in_a_folder(&[]).await;
    let owner = id(&site.app.therapist("jane").await).await;
    site.plant(&format!("{owner}/exports/1.pdf"), b"12345", 25);
    let sibling = site.app.sibling(&[]).await;
    for app in [&site.app, &sibling, &site.app] {
        ask(app, "2026-03-10T03:00:00Z").await;
    }
    site.app.run_jobs().await;
    assert_eq!(site.app.count("SELECT count(*) FROM audit_events WHERE action = 'cleanup.run'").await, 1);
    assert_eq!(site.keys(), BTreeSet::new());
}

#[tokio::test]
async fn a_worker_cleans_up_at_its_start_if_it_is_told_to() {
    for (value, left) in [("true", 0), ("false", 1)] {
        let mut site = Site::in_a_folder(&[("AUTO_CLEANUP_ON_STARTUP", value)]).await;
        let jane = site.app.therapist("jane").await;
        site.plant(&format!("{}/exports/1.pdf", id(&jane).await), b"12345", 25);
        site.app = site.app.with_worker();
        // By then a worker has been through its queues.
        let session = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
        let done = format!(
            "SELECT count(*) FROM sessions WHERE id = '{session}' AND status = 'PROCESSED' AND NOT EXISTS (
                SELECT 1 FROM apalis.jobs WHERE job_type = 'clean_up' AND status <> 'Done')"
        );
        let wait = async {
            while site.app.count(&done).await == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait).await.expect("it is done");
        assert_eq!(site.keys().iter().filter(|key| key.contains("exports")).count(), left, "{value}");
    }
}

#[tokio::test]
async fn whoever_may_clean_up_sees_how_the_server_is_set_to() {
    let query = "{ cleanupConfig { orphanedFileRetentionHours failedSessionRetentionDays audioRetentionDays
        autoCleanupOnStartup isScheduled nextRunAt } }";
    let set = [
        ("ORPHANED_FILE_RETENTION_HOURS", "48"),
        ("FAILED_SESSION_RETENTION_DAYS", "2"),
        ("AUDIO_RETENTION_DAYS", "90"),
        ("DAILY_CLEANUP_HOUR", "4"),
        ("SCHEDULER_TIMEZONE", "Europe/Berlin"),
    ];
    for (vars, expected) in [
        (
            &[][..],
            json!({ "orphanedFileRetentionHours": 24, "failedSessionRetentionDays": 7, "audioRetentionDays": null,
                "autoCleanupOnStartup": false, "isScheduled": true, "nextRunAt": "2026-03-11T03:00:00+00:00" }),
        ),
        (
            &set[..],
            json!({ "orphanedFileRetentionHours": 48, "failedSessionRetentionDays": 2, "audioRetentionDays": 90,
                "autoCleanupOnStartup": false, "isScheduled": true, "nextRunAt": "2026-03-11T03:00:00+00:00" }),
        ),
        (
            &[("ENABLE_CLEANUP_SCHEDULER", "false"), ("AUTO_CLEANUP_ON_STARTUP", "true")][..],
            json!({ "orphanedFileRetentionHours": 24, "failedSessionRetentionDays": 7, "audioRetentionDays": null,
                "autoCleanupOnStartup": true, "isScheduled": false, "nextRunAt": null }),
        ),
    ] {
        let app = TestApp::with(vars).await;
        let answer = app.therapist("jane").await.call(query, json!({})).await;
        assert_eq!(answer["cleanupConfig"], expected);
    }
}

#[tokio::test]
async fn files_are_orphans_after_the_period_that_is_set() {
    let site = Site::in_a_folder(&[("ORPHANED_FILE_RETENTION_HOURS", "2")]).await;
    let jane = site.app.therapist("jane").await;
    let owner = id(&jane).await;
    site.plant(&format!("{owner}/exports/old.pdf"), b"1", 3);
    site.plant(&format!("{owner}/exports/new.pdf"), b"1", 1);
    assert_eq!(clean_twice(&site, &jane, "cleanUpAll").await, [1, 0, 1]);
}

/// Runs `therapybridge cleanup` on the database and the files of `app`; whether it succeeded, and what it said.
async fn command(app: &TestApp, args: &[&str], more: &[(&str, &str)]) -> (bool, String) {
    let config: &Config = &app.app.config;
    let url = config.database.url.as_ref().unwrap().expose_secret().to_owned();
    let vars = variables(&app.provider, &config.database.data_dir, &[("DATABASE_URL", &url)]).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_therapybridge"));
    command.arg("cleanup").args(args).env_clear().envs(vars).envs(more.iter().copied());
    let output = command.current_dir(&config.database.data_dir).output().await.unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn the_command_line_cleans_up_everybodys_files_and_says_what_it_did() {
    let site = Site::in_a_folder(&[]).await;
    let jane = site.app.therapist("jane").await;
    let owner = id(&jane).await;
    failed(&jane, &jane.patient("Daniel").await).await;
    site.app.run("UPDATE sessions SET updated_at = now() - interval '8 days'").await;
    // By the clock of the machine, which that process goes by.
    let long_ago = SystemClock.now() - TimeDelta::hours(30);
    plant(&site.app, &format!("{owner}/exports/1.pdf"), &vec![0; 4 << 20], long_ago);
    plant(&site.app, "somebody/elses.txt", b"1", long_ago);
    let bytes = (4 << 20) + size_of("cbr.mp3");
    let figures = format!("({bytes} bytes); recordings of 1 sessions among them");
    let (done, said) = command(&site.app, &["--dry-run"], &[]).await;
    assert!(done && said.contains("nothing was removed") && said.contains(&figures), "{said}");
    assert_eq!(site.keys().len(), 3);
    let (done, said) = command(&site.app, &[], &[]).await;
    assert!(done && said.contains("2 files, 4.") && said.contains(&figures), "{said}");
    assert!(said.contains("1 files of nobody this server knows were left alone"), "{said}");
    assert_eq!(site.keys(), BTreeSet::from(["somebody/elses.txt".to_owned()]));
    assert!(!said.contains("Daniel"), "{said}");
}
