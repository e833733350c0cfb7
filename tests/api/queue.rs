//! Leases: who may work on a job, for how long, and how often.

use std::time::Duration;

use apalis::prelude::{BoxDynError, WorkerBuilder, WorkerContext};
use apalis_postgres::{Config as StockConfig, PostgresStorage};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use therapybridge::database;
use therapybridge::queue::jobs::{PurgeExpired, TranscribeSession};
use therapybridge::queue::lease::{self, Outcome};
use therapybridge::queue::{self, Job};
use uuid::Uuid;

use crate::support::client::Client;
use crate::support::cluster::let_in;
use crate::support::provider::Endpoint;
use crate::support::socket::Watch;
use crate::support::{TestApp, recording};

const KIND: &str = PurgeExpired::KIND;

async fn app_with_job() -> TestApp {
    let app = TestApp::new().await;
    queue::enqueue(&app.app.db, &PurgeExpired { due: 1 }).await.unwrap();
    for worker in ["a", "b"] {
        lease::register(app.app.pool(), worker).await.unwrap();
    }
    app
}

/// Makes a worker look as if it had been silent for a minute.
async fn fall_silent(pool: &PgPool, worker: &str) {
    let silence = "UPDATE apalis.workers SET last_seen = now() - interval '1 minute' WHERE id = $1";
    sqlx::query(silence).bind(worker).execute(pool).await.unwrap();
}

#[tokio::test]
async fn a_job_is_visible_only_if_its_transaction_commits() {
    let app = app_with_job().await;
    let txn = database::begin(&app.app.db).await.unwrap();
    queue::enqueue(&txn, &PurgeExpired { due: 2 }).await.unwrap();
    txn.rollback().await.unwrap();
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs").await, 1);
}

#[tokio::test]
async fn the_same_job_is_enqueued_once() {
    let app = app_with_job().await;
    queue::enqueue(&app.app.db, &PurgeExpired { due: 1 }).await.unwrap();
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs").await, 1);
}

#[tokio::test]
async fn job_arguments_carry_ids_and_nothing_else() {
    let job = TranscribeSession { session_id: Uuid::nil(), generation: 3 };
    let json = serde_json::to_string(&job).unwrap();
    assert_eq!(json, r#"{"session_id":"00000000-0000-0000-0000-000000000000","generation":3}"#);
}

#[tokio::test]
async fn of_many_workers_exactly_one_claims_a_job() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    let claims = (0..16).map(|_| lease::claim(pool, "a", KIND));
    let claimed: Vec<_> =
        futures::future::join_all(claims).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].attempts, 1, "the attempt counts from the claim on");
}

#[tokio::test]
async fn jobs_of_a_silent_worker_go_to_another_and_the_silent_one_changes_nothing_any_more() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    let lost = lease::claim(pool, "a", KIND).await.unwrap().unwrap();
    assert_eq!(lease::heartbeat(pool, "b", Duration::from_secs(5)).await.unwrap(), 0, "it is alive");
    fall_silent(pool, "a").await;
    assert_eq!(lease::heartbeat(pool, "b", Duration::from_secs(5)).await.unwrap(), 1);
    let taken = lease::claim(pool, "b", KIND).await.unwrap().unwrap();
    assert_eq!((taken.id.as_str(), taken.attempts), (lost.id.as_str(), 2));

    let txn = database::begin(&app.app.db).await.unwrap();
    assert!(lost.hold(&txn).await.is_err(), "a lost lease cannot be held");
    assert!(taken.hold(&txn).await.is_ok());
    txn.rollback().await.unwrap();
    assert!(!lost.finish(pool, &Outcome::Dead("late".into())).await.unwrap());
    assert!(taken.finish(pool, &Outcome::Done).await.unwrap());
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE status = 'Done'").await, 1);
}

#[tokio::test]
async fn the_same_worker_in_an_older_attempt_changes_nothing_either() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    let older = lease::claim(pool, "a", KIND).await.unwrap().unwrap();
    fall_silent(pool, "a").await;
    lease::heartbeat(pool, "b", Duration::from_secs(5)).await.unwrap();
    let newer = lease::claim(pool, "a", KIND).await.unwrap().unwrap();
    assert!(!older.finish(pool, &Outcome::Done).await.unwrap());
    assert!(newer.finish(pool, &Outcome::Done).await.unwrap());
}

#[tokio::test]
async fn a_delay_outlives_the_process_that_asked_for_it() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    let lease = lease::claim(pool, "a", KIND).await.unwrap().unwrap();
    lease.finish(pool, &Outcome::Retry(Duration::from_hours(1))).await.unwrap();
    assert!(lease::claim(pool, "b", KIND).await.unwrap().is_none(), "not due yet");
    sqlx::query("UPDATE apalis.jobs SET run_at = now()").execute(pool).await.unwrap();
    assert_eq!(lease::claim(pool, "b", KIND).await.unwrap().unwrap().attempts, 2);
}

#[tokio::test]
async fn a_job_that_is_given_back_has_not_been_tried() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    lease::claim(pool, "a", KIND).await.unwrap().unwrap().finish(pool, &Outcome::GivenBack).await.unwrap();
    assert_eq!(lease::claim(pool, "a", KIND).await.unwrap().unwrap().attempts, 1);
    lease::sign_off(pool, "a").await.unwrap();
    assert_eq!(
        lease::claim(pool, "b", KIND).await.unwrap().unwrap().attempts,
        1,
        "a worker that leaves gives back"
    );
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_given_up() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let pool = app.app.pool();
    for attempt in 1..=TranscribeSession::MAX_ATTEMPTS {
        let worker = format!("doomed-{attempt}");
        lease::register(pool, &worker).await.unwrap();
        assert_eq!(
            lease::claim(pool, &worker, TranscribeSession::KIND).await.unwrap().unwrap().attempts,
            attempt
        );
        fall_silent(pool, &worker).await;
        lease::heartbeat(pool, "witness", Duration::from_secs(5)).await.unwrap();
    }
    app.run_jobs().await;
    let query = "query ($id: ID!) { session(id: $id) { status errorMessage } }";
    let session = jane.call(query, serde_json::json!({ "id": id })).await["session"].clone();
    assert_eq!(session["status"], "FAILED");
    assert!(session["errorMessage"].as_str().unwrap().contains("interrupted"), "{session}");
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE status = 'Killed'").await, 1);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_move_a_session() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let hold = app.provider.hold(Endpoint::Speech);
    jane.session(&patient, recording("cbr.mp3")).await;
    let zombie = app.run_jobs();
    let usurper = async {
        hold.reached(1).await;
        let pool = app.app.pool();
        sqlx::query("UPDATE apalis.workers SET last_seen = now() - interval '1 minute'")
            .execute(pool)
            .await
            .unwrap();
        lease::heartbeat(pool, "usurper", Duration::from_secs(5)).await.unwrap();
        let taken = lease::claim(pool, "usurper", TranscribeSession::KIND).await.unwrap().unwrap();
        drop(hold);
        taken
    };
    let (_, taken) = tokio::join!(zombie, usurper);
    assert_eq!(app.count("SELECT count(*) FROM transcript_segments").await, 0, "the zombie wrote nothing");
    taken.finish(app.app.pool(), &Outcome::GivenBack).await.unwrap();
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await, 1);
}

/// A therapist with one uploaded session.
async fn uploaded(app: &TestApp) -> (Client, String) {
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    (jane, id)
}

/// As after a crash between the commit of the work and the acknowledgement of the job.
#[tokio::test]
async fn a_job_whose_work_is_done_is_done_again_without_doing_anything() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app).await;
    app.run_jobs().await;
    let version = "SELECT version FROM sessions";
    let (before, speech, chat) = (
        app.count(version).await,
        app.provider.calls(Endpoint::Speech).len(),
        app.provider.calls(Endpoint::Chat).len(),
    );
    app.run("UPDATE apalis.jobs SET status = 'Pending', done_at = NULL, run_at = now()").await;
    assert_eq!(app.run_jobs().await, 2);
    assert_eq!(app.count(version).await, before);
    assert_eq!(app.provider.calls(Endpoint::Speech).len(), speech);
    assert_eq!(app.provider.calls(Endpoint::Chat).len(), chat);
    let history = Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(history.len(), 1, "{history:?}");
}

#[tokio::test]
async fn a_job_whose_claim_was_never_answered_is_given_back_by_the_living_worker_that_holds_it() {
    let app = TestApp::new().await;
    uploaded(&app).await;
    app.run("UPDATE apalis.jobs SET run_at = now() + interval '1 hour'").await;
    let app = app.with_worker();
    // Claimed in the name of a worker that hears nothing of it: as when the connection breaks before the answer.
    let claim = "UPDATE apalis.jobs SET status = 'Running', attempts = attempts + 1, lock_at = now(), lock_by = workers.id
        FROM apalis.workers WHERE workers.id LIKE 'worker-%' AND jobs.status = 'Pending'";
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    while sqlx::query(claim).execute(app.app.pool()).await.unwrap().rows_affected() == 0 {
        assert!(std::time::Instant::now() < deadline, "no worker");
        tokio::task::yield_now().await;
    }
    app.run("UPDATE apalis.jobs SET run_at = now()").await;
    while app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await == 0 {
        assert!(std::time::Instant::now() < deadline, "it is held for ever");
        tokio::task::yield_now().await;
    }
    let attempts = "SELECT attempts::bigint FROM apalis.jobs WHERE job_type = 'transcribe_session'";
    assert_eq!(app.count(attempts).await, 1, "the lost claim does not count");
}

#[tokio::test]
async fn a_worker_cut_off_for_longer_than_its_lease_stops_and_goes_on_when_the_database_is_back() {
    let app = TestApp::with(&[("JOB_LEASE_SECONDS", "1")]).await.with_worker();
    let hold = app.provider.hold(Endpoint::Speech);
    let (jane, id) = uploaded(&app).await;
    hold.reached(1).await;
    let url = app.app.config.database.url.as_ref().unwrap().expose_secret().to_owned();
    let_in(&url, false).await;
    app.provider.left(1).await;
    let_in(&url, true).await;
    hold.reached(2).await;
    drop(hold);
    let history = Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(history.last().unwrap()["status"], "PROCESSED");
    let attempts = "SELECT attempts::bigint FROM apalis.jobs WHERE job_type = 'transcribe_session'";
    assert_eq!(app.count(attempts).await, 1, "a database that is away is not the job's fault");
}

#[tokio::test]
async fn a_living_worker_whose_job_was_taken_away_stops_its_call() {
    let app = TestApp::new().await.with_worker();
    let hold = app.provider.hold(Endpoint::Speech);
    uploaded(&app).await;
    hold.reached(1).await;
    let pool = app.app.pool();
    lease::register(pool, "usurper").await.unwrap();
    app.run("UPDATE apalis.jobs SET lock_by = 'usurper', attempts = attempts + 1 WHERE job_type = 'transcribe_session' AND status = 'Running'")
        .await;
    app.provider.left(1).await;
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE lock_by = 'usurper'").await, 1);
}

#[tokio::test]
async fn a_worker_that_leaves_while_a_claim_of_it_arrives_stays_until_its_lease_has_run_out() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    let mut late = app.begin().await;
    let claim = "UPDATE apalis.jobs SET status = 'Running', lock_by = 'a', attempts = attempts + 1";
    sqlx::query(claim).execute(&mut *late).await.unwrap();
    let (left, ()) = tokio::join!(lease::sign_off(pool, "a"), async {
        app.somebody_waits_for_a_lock().await;
        late.commit().await.unwrap();
    });
    left.unwrap_or_else(|error| panic!("{error}"));
    fall_silent(pool, "a").await;
    lease::heartbeat(pool, "b", Duration::from_secs(5)).await.unwrap();
    assert!(lease::claim(pool, "b", KIND).await.unwrap().is_some(), "nobody's job is lost");
}

#[tokio::test]
async fn admins_see_what_waits_works_and_was_given_up_and_who_is_there_to_work() {
    let app = TestApp::with(&[("WORKER_CONCURRENCY", "1")]).await.with_worker();
    let hold = app.provider.hold(Endpoint::Speech);
    let (jane, _) = uploaded(&app).await;
    hold.reached(1).await;
    let patient = jane.patient("Maria").await;
    jane.session(&patient, recording("cbr.mp3")).await;
    let later = "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
        VALUES ('later', 'extract_notes', '', 'Pending', 1, 5, now() + interval '1 hour', 0, ''),
               ('dead', 'extract_notes', '', 'Killed', 5, 5, now(), 0, '')";
    app.run(later).await;
    let admin = app.admin("root").await;
    let query = "{ queueStatus { workersAlive workers { name lastSeenAt jobsHeld }
        jobs { kind waiting running delayed dead oldestWaitingSeconds oldestRunningSeconds } } }";
    let status = admin.call(query, serde_json::json!({})).await["queueStatus"].clone();
    let counts = |kind: &str| {
        let jobs = status["jobs"].as_array().unwrap();
        let line = jobs.iter().find(|jobs| jobs["kind"] == kind).unwrap().clone();
        ["waiting", "running", "delayed", "dead"].map(|state| line[state].as_i64().unwrap())
    };
    assert_eq!(counts("transcribe_session"), [1, 1, 0, 0], "{status}");
    assert_eq!(counts("extract_notes"), [0, 0, 1, 1], "{status}");
    assert_eq!(counts("purge_expired"), [0; 4], "{status}");
    assert!(status["jobs"][0]["oldestWaitingSeconds"].as_f64().unwrap() >= 0.0);
    assert!(status["jobs"][0]["oldestRunningSeconds"].as_f64().unwrap() >= 0.0);
    assert_eq!((&status["workersAlive"], &status["workers"][0]["jobsHeld"]), (&1.into(), &1.into()));
    assert!(status["workers"][0]["name"].as_str().unwrap().starts_with("worker-"), "{status}");
    drop(hold);
}

/// Our insert is one that apalis's own storage understands: the contract with the pinned version.
#[tokio::test]
async fn a_stock_apalis_worker_runs_a_job_we_enqueued() {
    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Purge {
        due: i64,
    }
    let app = app_with_job().await;
    let storage =
        PostgresStorage::<Purge>::new(app.app.pool()).with_config(StockConfig::default().queue(KIND));
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |job: Purge, worker: WorkerContext| {
        let told = told.clone();
        async move {
            told.send(job)?;
            worker.stop()?;
            Ok::<_, BoxDynError>(())
        }
    };
    let worker = WorkerBuilder::new("stock").backend(storage).build(handler);
    tokio::time::timeout(Duration::from_mins(1), worker.run()).await.expect("in time").unwrap();
    assert_eq!(heard.recv().await, Some(Purge { due: 1 }));
}

#[tokio::test]
async fn purging_removes_what_has_expired_and_nothing_else() {
    let app = app_with_job().await;
    let pool = app.app.pool();
    let jobs = "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority, metadata)
        VALUES ('old', 'x', '', 'Done', 1, 1, now(), now() - interval '8 days', 0, ''),
               ('new', 'x', '', 'Done', 1, 1, now(), now() - interval '6 days', 0, '')";
    sqlx::query(jobs).execute(pool).await.unwrap();
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE id = 'old'").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE id = 'new'").await, 1);
}
