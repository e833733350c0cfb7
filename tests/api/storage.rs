//! Files: never half there, never without a row, on a folder and on an object store, whatever fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::TryStreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use therapybridge::database;
use therapybridge::error::Error;
use therapybridge::storage::{Intake, Storage, Swept};
use uuid::Uuid;

use super::support::client::Client;
use super::support::object_store::{Fault, STEPS, ScriptedStore, Step};
use super::support::{TestApp, recording};

/// More than one part of an object store.
fn long_recording() -> Vec<u8> {
    let (rate, seconds) = (48_000_u32, 65_u32);
    let samples = (0..rate * seconds).flat_map(|n| {
        let loudness = f64::from(n % rate) / f64::from(rate) * 9_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "far below 2^15")]
        let sample = (f64::from(n) * 0.05).sin().mul_add(loudness, 0.0) as i16;
        [sample, sample].into_iter().flat_map(i16::to_le_bytes)
    });
    let bytes = rate * seconds * 4;
    let mut wav = Vec::from(*b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(*b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * 4).to_le_bytes());
    wav.extend(*b"\x04\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples);
    wav
}

async fn app_on(store: &ScriptedStore) -> TestApp {
    let settings = store.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    TestApp::with(&settings).await
}

async fn upload(client: &Client, patient: &str, bytes: Vec<u8>) -> Value {
    client.upload_answer(json!({ "patientId": patient }), "session.wav", bytes).await
}

/// The answer says that it can be tried again, and not what went wrong inside.
fn assert_unavailable(answer: &Value) {
    let error = &answer["errors"][0];
    let extensions = &error["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["retryable"]),
        (&json!("UNAVAILABLE"), &json!(true)),
        "{answer}"
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("Try again in a few minutes"), "{message}");
    for inside in ["os error", "No space", "Read-only", "http", "503", "recordings", "/"] {
        assert!(!message.contains(inside), "{message}");
    }
}

async fn status(app: &TestApp) -> (String, Option<String>) {
    let query = "SELECT status, error_message FROM sessions";
    sqlx::query_as(query).fetch_one(app.app.pool()).await.unwrap()
}

async fn sweep(app: &TestApp) -> Swept {
    app.app.storage.intake(&app.app.db).sweep().await.unwrap()
}

/// The intents, as if they had been written long ago.
async fn age_intents(app: &TestApp) {
    app.run("UPDATE stored_files SET created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'")
        .await;
}

async fn intents(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM stored_files").await
}

async fn therapist_id(app: &TestApp) -> Uuid {
    sqlx::query_scalar("SELECT id FROM users LIMIT 1").fetch_one(app.app.pool()).await.unwrap()
}

fn spooled(storage: &Storage, bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = storage.spool().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    file
}

#[tokio::test]
async fn an_upload_in_parts_becomes_a_session_in_an_object_store_and_leaves_no_part() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let jane = app.therapist("jane").await;
    let (patient, recording) = (jane.patient("Daniel").await, long_recording());
    let path = jane.begun(recording.len()).await;
    let half = recording.len() / 2;
    jane.send(&path, 0, &recording[..half]).await;
    assert_eq!(jane.offset(&path).await, half);
    jane.send(&path, half, &recording[half..]).await;
    let payload = jane.finish(&path, json!({ "patientId": patient })).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    let files = store.files();
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    assert!(files.values().next().unwrap() == &recording, "every byte, in order");
    assert_eq!((store.open_uploads(), intents(&app).await, app.files()), (0, 0, vec![]));
    app.run_jobs().await;
    assert_eq!(status(&app).await, ("PROCESSED".into(), None));
}

#[tokio::test]
async fn the_whole_pipeline_runs_on_an_object_store() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let recording = long_recording();
    let answer = upload(&jane, &patient, recording.clone()).await;
    assert_eq!(answer["data"]["uploadSession"]["userErrors"], json!([]), "{answer}");
    let (key, file) = store.files().pop_first().unwrap();
    let session = answer["data"]["uploadSession"]["session"]["id"].as_str().unwrap();
    assert_eq!(key, format!("{}/{session}/audio.wav", therapist_id(&app).await));
    assert!(file == recording, "every byte, in order");
    assert!(store.asked(Step::Part) > 1 && store.largest_body() <= 5 << 20, "in parts, and small ones");
    assert_eq!((store.open_uploads(), intents(&app).await, app.files()), (0, 0, vec![]));
    app.run_jobs().await;
    assert_eq!(status(&app).await, ("PROCESSED".into(), None));
    assert_eq!(app.files(), Vec::<PathBuf>::new(), "the copy that was read is gone");
    assert!(store.asked(Step::Get) > 1, "in parts, too");
}

#[tokio::test]
async fn a_small_recording_goes_up_in_one_request() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let jane = app.therapist("jane").await;
    jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
    assert_eq!((store.asked(Step::Put), store.asked(Step::Begin)), (1, 0));
    assert!(store.files().into_values().eq([recording("cbr.mp3")]));
}

/// Uploads while a step fails; then heals the store, and nothing is left of it; then uploads again.
async fn keeps_nothing_half(step: Step, fault: Fault, bytes: Vec<u8>) {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    store.fail(step, fault);
    assert_unavailable(&upload(&jane, &patient, bytes.clone()).await);
    app.assert_nothing_left().await;
    assert_eq!(
        (store.files().len(), store.open_uploads(), intents(&app).await),
        (0, 0, 0),
        "{step:?} {fault:?}"
    );
    store.heal();
    let answer = upload(&jane, &patient, bytes).await;
    assert_eq!(answer["data"]["uploadSession"]["userErrors"], json!([]), "{answer}");
    assert_eq!(
        (store.files().len(), store.open_uploads(), intents(&app).await),
        (1, 0, 0),
        "{step:?} {fault:?}"
    );
}

#[tokio::test]
async fn a_store_that_refuses_or_breaks_off_an_upload_in_parts_keeps_nothing_half() {
    let cases = [
        (Step::Begin, Fault::Status(503)),
        (Step::Part, Fault::Status(503)),
        (Step::Part, Fault::Cut),
        (Step::Complete, Fault::Status(503)),
        (Step::Complete, Fault::Cut),
    ];
    let recording = long_recording();
    join_all(cases.map(|(step, fault)| keeps_nothing_half(step, fault, recording.clone()))).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_on() {
    let (long, short) = (long_recording(), recording("cbr.mp3"));
    tokio::join!(
        keeps_nothing_half(Step::Part, Fault::Hang, long.clone()),
        keeps_nothing_half(Step::Complete, Fault::Hang, long),
        keeps_nothing_half(Step::Put, Fault::Hang, short),
    );
}

#[tokio::test]
async fn a_file_whose_arrival_nobody_confirmed_is_removed_again() {
    // The file is there, and the answer was lost: also when it is asked for again.
    tokio::join!(
        keeps_nothing_half(Step::Put, Fault::CutAfter, recording("cbr.mp3")),
        keeps_nothing_half(Step::Complete, Fault::CutAfter, long_recording()),
    );
}

#[tokio::test]
async fn a_store_that_is_busy_for_a_moment_is_asked_again() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let jane = app.therapist("jane").await;
    for step in [Step::Begin, Step::Part, Step::Complete, Step::Get] {
        store.fail(step, Fault::Times(503, 1));
    }
    jane.session(&jane.patient("Daniel").await, long_recording()).await;
    assert_eq!(app.run_jobs().await, 2, "one attempt each at speech and notes");
    assert_eq!(status(&app).await, ("PROCESSED".into(), None));
}

#[tokio::test]
async fn what_a_store_that_is_away_keeps_half_is_swept_when_it_is_back() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    store.fail(Step::Complete, Fault::Status(503));
    store.fail(Step::Abort, Fault::Status(503));
    store.fail(Step::Delete, Fault::Status(503));
    assert_unavailable(&upload(&jane, &patient, long_recording()).await);
    app.assert_nothing_left().await;
    assert_eq!((store.open_uploads(), intents(&app).await), (1, 1), "it could not be told");
    assert_eq!(sweep(&app).await, Swept { files: 0, left: 1 });
    store.heal();
    assert_eq!(sweep(&app).await, Swept { files: 1, left: 0 });
    assert_eq!((store.open_uploads(), store.files().len(), intents(&app).await), (0, 0, 0));
}

#[tokio::test]
async fn a_recording_that_cannot_be_fetched_fails_with_a_reason_and_can_be_retried() {
    for fault in [Fault::Status(503), Fault::Cut, Fault::HalfAnswer, Fault::Drip, Fault::Hang] {
        let store = ScriptedStore::start().await;
        let app = app_on(&store).await;
        let jane = app.therapist("jane").await;
        let id = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
        store.fail(Step::Get, fault);
        // An attempt may be due a millisecond after the last look.
        let mut attempts = 0;
        while attempts < 5 {
            attempts += app.run_jobs().await;
        }
        let (state, message) = status(&app).await;
        assert_eq!(state, "FAILED", "{fault:?}");
        assert!(message.unwrap().contains("file store does not answer"), "{fault:?}");
        assert_eq!(app.files(), Vec::<PathBuf>::new(), "{fault:?}: no half copy is left");
        store.heal();
        let retry = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { code } } }";
        assert_eq!(jane.call(retry, json!({ "id": id })).await["retrySession"]["userErrors"], json!([]));
        app.run_jobs().await;
        assert_eq!(status(&app).await, ("PROCESSED".into(), None), "{fault:?}");
    }
}

#[tokio::test]
async fn a_recording_that_is_gone_fails_at_once() {
    let store = ScriptedStore::start().await;
    let (remote, local) = (app_on(&store).await, TestApp::new().await);
    for app in [&remote, &local] {
        let jane = app.therapist("jane").await;
        jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
        let key: String =
            sqlx::query_scalar("SELECT audio_key FROM sessions").fetch_one(app.app.pool()).await.unwrap();
        app.app.storage.delete(&key).await.unwrap();
        assert_eq!(app.run_jobs().await, 1, "it is not coming back");
        assert!(status(app).await.1.unwrap().contains("Upload it again"));
        assert!(matches!(app.app.storage.fetch(&key).await, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn health_asks_the_store() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let health =
        || async { reqwest::get(format!("http://{}/health", app.address)).await.unwrap().status().as_u16() };
    assert_eq!(health().await, 200);
    for fault in [Fault::Status(403), Fault::Status(404), Fault::Status(503), Fault::Hang] {
        store.fail(Step::List, fault);
        assert_eq!(health().await, 503, "{fault:?}");
        store.heal();
        assert_eq!(health().await, 200, "{fault:?}");
    }
}

#[tokio::test]
async fn files_are_listed_page_by_page_and_removed_by_folder() {
    let store = ScriptedStore::start().await;
    let (remote, local) = (app_on(&store).await, TestApp::new().await);
    for app in [&remote, &local] {
        let storage = &app.app.storage;
        let keys = ["a/1/x", "a/2/x", "a/2/y", "b/1/x", "b/2/x"];
        for key in keys {
            storage.put(key, spooled(storage, key.as_bytes())).await.unwrap();
        }
        let listed = async |prefix| {
            let pages: Vec<_> = storage.list(prefix).unwrap().try_collect().await.unwrap();
            let mut found: Vec<_> = pages.concat().into_iter().map(|file| (file.key, file.bytes)).collect();
            found.sort();
            found
                .into_iter()
                .map(|(key, bytes)| {
                    assert_eq!(bytes, 5);
                    key
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(None).await, keys);
        assert_eq!(listed(Some("a/2")).await, ["a/2/x", "a/2/y"]);
        storage.delete_all("a").await.unwrap();
        assert_eq!(listed(None).await, ["b/1/x", "b/2/x"]);
    }
    assert!(store.asked(Step::List) > 3, "a page holds two");
}

#[tokio::test]
async fn what_a_killed_process_has_left_is_swept_and_what_is_young_is_not() {
    let store = ScriptedStore::start().await;
    let (remote, local) = (app_on(&store).await, TestApp::new().await);
    for app in [&remote, &local] {
        app.therapist("jane").await;
        let (storage, therapist) = (&app.app.storage, therapist_id(app).await);
        let intake = storage.intake(&app.app.db);
        intake.put(therapist, "a/1/audio.wav", spooled(storage, b"old")).await.unwrap();
        // Killed between the intent and the file.
        intake.put(therapist, "a/2/audio.wav", spooled(storage, b"old")).await.unwrap();
        storage.delete("a/2/audio.wav").await.unwrap();
        age_intents(app).await;
        intake.put(therapist, "a/3/audio.wav", spooled(storage, b"young")).await.unwrap();
        assert_eq!(sweep(app).await, Swept { files: 2, left: 0 });
        assert!(matches!(storage.fetch("a/1/audio.wav").await, Err(Error::NotFound(_))));
        assert!(storage.fetch("a/3/audio.wav").await.is_ok());
        assert_eq!(intents(app).await, 1);
        assert_eq!(sweep(app).await, Swept::default());
    }
}

#[tokio::test]
async fn an_upload_in_parts_of_a_killed_process_is_given_up() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    app.therapist("jane").await;
    store.fail(Step::Part, Fault::Hang);
    let (storage, therapist) = (app.app.storage.clone(), therapist_id(&app).await);
    let file = spooled(&storage, &long_recording());
    let db = app.app.db.clone();
    let killed = tokio::spawn(async move { storage.intake(&db).put(therapist, "a/1/audio.wav", file).await });
    let hangs = async {
        while store.asked(Step::Part) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), hangs).await.expect("a part is on its way");
    killed.abort();
    assert!(killed.await.is_err());
    assert_eq!(store.open_uploads(), 1);
    store.heal();
    age_intents(&app).await;
    assert_eq!(sweep(&app).await, Swept { files: 1, left: 0 });
    assert_eq!((store.open_uploads(), intents(&app).await), (0, 0));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_stays_right_both_ways() {
    let app = TestApp::new().await;
    app.therapist("jane").await;
    let (storage, therapist) = (&app.app.storage, therapist_id(&app).await);
    let intake = storage.intake(&app.app.db);
    for (key, happens) in [("a/1/x", true), ("a/2/x", false)] {
        intake.put(therapist, key, spooled(storage, b"x")).await.unwrap();
        let txn = database::begin(&app.app.db).await.unwrap();
        Intake::confirm(&txn, key).await.unwrap();
        if happens {
            txn.commit().await.unwrap();
        } else {
            txn.rollback().await.unwrap();
        }
        age_intents(&app).await;
        sweep(&app).await;
        assert_eq!(storage.fetch(key).await.is_ok(), happens);
    }
    assert_eq!(intents(&app).await, 0);
}

#[tokio::test]
async fn a_sweep_that_was_killed_halfway_is_finished_and_nobody_commits_in_between() {
    let app = TestApp::new().await;
    app.therapist("jane").await;
    let (storage, therapist) = (&app.app.storage, therapist_id(&app).await);
    let intake = storage.intake(&app.app.db);
    intake.put(therapist, "a/1/x", spooled(storage, b"x")).await.unwrap();
    app.run("UPDATE stored_files SET condemned_at = now()").await;
    let txn = database::begin(&app.app.db).await.unwrap();
    assert!(matches!(Intake::confirm(&txn, "a/1/x").await, Err(Error::Storage(_))));
    drop(txn);
    assert_eq!(sweep(&app).await, Swept { files: 1, left: 0 });
    assert!(storage.fetch("a/1/x").await.is_err());
}

#[tokio::test]
async fn a_sweep_and_a_slow_commit_never_part_a_file_from_its_row() {
    let app = TestApp::new().await;
    app.therapist("jane").await;
    let (storage, therapist) = (&app.app.storage, therapist_id(&app).await);
    let intake = storage.intake(&app.app.db);
    let mut committed = 0;
    for round in 0..120_usize {
        let key = format!("a/{round}/x");
        intake.put(therapist, &key, spooled(storage, b"x")).await.unwrap();
        age_intents(&app).await;
        let commit = async {
            // In some rounds the sweep comes first, in some it finds the row locked, in some it comes late.
            for _ in 0..(round % 6) * 3 {
                tokio::task::yield_now().await;
            }
            let txn = database::begin(&app.app.db).await.unwrap();
            let confirmed = Intake::confirm(&txn, &key).await;
            for _ in 0..(round % 4) * 5 {
                tokio::task::yield_now().await;
            }
            match confirmed {
                Ok(()) => txn.commit().await.is_ok(),
                Err(_) => false,
            }
        };
        let (has_row, ..) = tokio::join!(commit, sweep(&app), sweep(&app));
        let has_file = storage.fetch(&key).await.is_ok();
        if !has_row {
            sweep(&app).await;
        }
        assert_eq!(has_row, storage.fetch(&key).await.is_ok(), "round {round}, file before: {has_file}");
        assert_eq!(intents(&app).await, 0, "round {round}");
        committed += usize::from(has_row);
    }
    assert!((1..120).contains(&committed), "both came first at times: {committed}");
}

#[tokio::test]
async fn an_upload_that_takes_longer_than_the_sweep_waits_is_refused_whole() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    // Stands in for the sweep of another process, between the file and its row.
    app.run(
        "CREATE FUNCTION condemn() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.condemned_at := now(); RETURN NEW; END $$;
         CREATE TRIGGER condemn BEFORE INSERT ON stored_files FOR EACH ROW EXECUTE FUNCTION condemn()",
    )
    .await;
    assert_unavailable(&upload(&jane, &patient, recording("cbr.mp3")).await);
    app.assert_nothing_left().await;
    assert_eq!(intents(&app).await, 0);
    app.run("DROP TRIGGER condemn ON stored_files").await;
    jane.session(&patient, recording("cbr.mp3")).await;
}

#[tokio::test]
async fn a_session_that_cannot_be_made_leaves_no_file() {
    let store = ScriptedStore::start().await;
    let (remote, local) = (app_on(&store).await, TestApp::new().await);
    for app in [&remote, &local] {
        let jane = app.therapist("jane").await;
        let patient = jane.patient("Daniel").await;
        app.run("ALTER TABLE sessions ADD CONSTRAINT never CHECK (audio_key IS NULL)").await;
        let answer = upload(&jane, &patient, recording("cbr.mp3")).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
        app.assert_nothing_left().await;
        assert_eq!((store.files().len(), intents(app).await), (0, 0));
    }
}

#[tokio::test]
async fn a_folder_that_takes_no_files_keeps_nothing_half_and_is_used_again() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let files = &app.app.config.storage.files_dir;
    std::fs::remove_dir_all(files).unwrap();
    std::fs::write(files, "not a folder").unwrap();
    assert_unavailable(&upload(&jane, &patient, recording("cbr.mp3")).await);
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 0);
    std::fs::remove_file(files).unwrap();
    std::fs::create_dir(files).unwrap();
    sweep(&app).await;
    app.assert_nothing_left().await;
    assert_eq!(intents(&app).await, 0);
    jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    assert_eq!(status(&app).await, ("PROCESSED".into(), None));
}

/// A disk of its own, of a megabyte; only root may have one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mounted() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        if disk.mount("size=1m,mode=0700", &["-t", "tmpfs", "tmpfs"]) {
            return Some(disk);
        }
        eprintln!(
            "NOT TESTED: this user may not mount a disk; `processes` tests a full one by a limit of size"
        );
        None
    }

    fn mount(&self, options: &str, rest: &[&str]) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).args(rest).arg(self.path());
        mount.status().is_ok_and(|status| status.success())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(self.path()).status();
    }
}

async fn app_on_disk(disk: &Disk) -> TestApp {
    let url = format!("file://{}/files", disk.path().display());
    TestApp::with(&[("STORAGE_URL", url.as_str())]).await
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_half_and_is_used_again_when_there_is_room() {
    let Some(disk) = Disk::mounted() else { return };
    let app = app_on_disk(&disk).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    assert_unavailable(&upload(&jane, &patient, recording("session_risk.mp3")).await);
    app.assert_nothing_left().await;
    assert_eq!(intents(&app).await, 0);
    jane.session(&patient, recording("cbr.mp3")).await;
    assert!(disk.mount("remount,size=16m", &[]));
    jane.session(&patient, recording("session_risk.mp3")).await;
    assert_eq!(app.files().len(), 2, "spooled and stored on one disk, whatever DATA_DIR is on");
}

#[tokio::test]
async fn a_read_only_disk_keeps_nothing_half_and_is_used_again_when_it_can_be_written_to() {
    let Some(disk) = Disk::mounted() else { return };
    let app = app_on_disk(&disk).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let health =
        || async { reqwest::get(format!("http://{}/health", app.address)).await.unwrap().status().as_u16() };
    assert!(disk.mount("remount,ro", &[]));
    assert_unavailable(&upload(&jane, &patient, recording("cbr.mp3")).await);
    app.assert_nothing_left().await;
    assert_eq!((intents(&app).await, health().await), (0, 503));
    assert!(disk.mount("remount,rw", &[]));
    jane.session(&patient, recording("cbr.mp3")).await;
    assert_eq!(health().await, 200);
}

#[tokio::test]
async fn every_step_of_a_store_that_is_away_ends_in_an_error() {
    let store = ScriptedStore::start().await;
    let app = app_on(&store).await;
    let storage = &app.app.storage;
    storage.put("a/1/x", spooled(storage, b"x")).await.unwrap();
    for step in STEPS {
        store.fail(step, Fault::Status(503));
    }
    let failed = [
        storage.put("a/2/x", spooled(storage, b"x")).await.err(),
        storage.fetch("a/1/x").await.err(),
        storage.size("a/1/x").await.err(),
        storage.delete("a/1/x").await.err(),
        storage.delete_all("a").await.err(),
        storage.check().await.err(),
    ];
    assert!(failed.iter().all(|error| matches!(error, Some(Error::Storage(_)))), "{failed:?}");
}
