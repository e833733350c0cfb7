//! Leases: who may work on a job, for how long, and how often.

use std::time::Duration;

use apalis::prelude::{BoxDynError, WorkerBuilder, WorkerContext};
use apalis_postgres::{Config as StockConfig, PostgresStorage};
use sea_orm::TransactionTrait;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use therapybridge::queue::jobs::{PurgeExpired, TranscribeSession};
use therapybridge::queue::lease::{self, Outcome};
use therapybridge::queue::{self, Job};
use uuid::Uuid;

use crate::support::TestApp;

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
    let txn = app.app.db.begin().await.unwrap();
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

    let txn = app.app.db.begin().await.unwrap();
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
    let id = jane.session(&patient, crate::support::recording("cbr.mp3")).await;
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
    let hold = app.provider.hold(crate::support::provider::Endpoint::Speech);
    jane.session(&patient, crate::support::recording("cbr.mp3")).await;
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
