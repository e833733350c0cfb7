//! What a job costs whoever needs it, and how soon it starts, on a throw-away PostgreSQL with durable settings.
//!
//! * 32 clients run the transactions of an upload (patient, session, event, audit row), with and without the job in
//!   them, in turns. Prints the throughput of each round and the ratio.
//! * A client commits one job at a time for an idle worker, at moments that have nothing to do with its polls. Prints how
//!   long after the commit the job starts, beside the round trip of a bare NOTIFY in the same run.
//!
//! `cargo bench --bench queue [rounds] [seconds] [jobs]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseConnection, DatabaseTransaction, EntityTrait, SqlxPostgresConnector};
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use therapybridge::actor::{Actor, Origin};
use therapybridge::app::App;
use therapybridge::audit::{self, Event, Witness};
use therapybridge::clock::{Clock, SystemClock};
use therapybridge::config::Config;
use therapybridge::database;
use therapybridge::entity::session::{Attendance, Model, Status};
use therapybridge::entity::{patient, session};
use therapybridge::queue::jobs::{PurgeExpired, TranscribeSession};
use therapybridge::{events, queue, worker};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tracing::Metadata;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;

const CLIENTS: u32 = 32;
/// What the worker says when a job starts, and when it is done.
const STARTED: &str = "job started";
const ENDED: &str = "job";

#[tokio::main]
async fn main() {
    // Cargo puts `--bench` among the arguments.
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let mut number = |default| numbers.next().unwrap_or(default);
    let (rounds, seconds, jobs) = (number(6), number(5), number(500));
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let vars = [
        ("DATA_DIR".to_owned(), folder.path().display().to_string()),
        // Never called: no recording is processed here.
        ("OPENAI_BASE_URL".to_owned(), "http://127.0.0.1:9/v1".to_owned()),
    ];
    let app = App::start(Config::from_vars(vars.into()).unwrap(), Arc::new(SystemClock)).await.unwrap();
    let practice = Practice::new(&app).await;
    throughput(&app, practice, rounds, seconds).await;
    baseline(app.pool(), jobs).await;
    latency(&app, practice, jobs).await;
    app.close().await;
}

/// Whose sessions are written.
#[derive(Clone, Copy)]
struct Practice {
    therapist_id: Uuid,
    patient_id: Uuid,
}

impl Practice {
    async fn new(app: &App) -> Self {
        let (therapist_id, patient_id) = (Uuid::now_v7(), Uuid::now_v7());
        sqlx::query(
            "INSERT INTO users (id, email, hashed_password, full_name, role, timezone, created_at, updated_at)
             VALUES ($1, 'bench@example.com', '', 'Bench', 'THERAPIST', 'UTC', now(), now())",
        )
        .bind(therapist_id)
        .execute(app.pool())
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO patients (id, therapist_id, name, created_at, updated_at) VALUES ($1, $2, 'Bench', now(), now())",
        )
        .bind(patient_id)
        .bind(therapist_id)
        .execute(app.pool())
        .await
        .unwrap();
        Self { therapist_id, patient_id }
    }

    /// What an upload writes, but for the job.
    async fn write(self, txn: &DatabaseTransaction) -> Model {
        let patient = patient::Entity::find_by_id(self.patient_id).one(txn).await.unwrap();
        assert!(patient.is_some());
        let now = SystemClock.now();
        let session = session::Entity::insert(self.session(now)).exec_with_returning(txn).await.unwrap();
        events::record(txn, &session, now).await.unwrap();
        let origin = Origin {
            request_id: Uuid::now_v7().to_string(),
            ip: Some("203.0.113.7".into()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
        };
        let event = Event {
            action: "session.upload",
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(self.patient_id),
            ..Event::default()
        };
        let witness = Witness { actor: &Actor::System { job: "bench" }, origin: &origin, at: now };
        audit::record(txn, witness, event).await.unwrap();
        session
    }

    fn session(self, now: DateTime<Utc>) -> session::ActiveModel {
        let id = Uuid::now_v7();
        session::ActiveModel {
            id: Set(id),
            patient_id: Set(self.patient_id),
            therapist_id: Set(self.therapist_id),
            attendance: Set(Attendance::Completed),
            session_date: Set(now.date_naive()),
            duration_minutes: Set(Some(50)),
            status: Set(Some(Status::Uploading)),
            progress: Set(100),
            audio_key: Set(Some(format!("{}/{id}/audio.mp3", self.therapist_id))),
            audio_filename: Set(Some("session.mp3".into())),
            audio_sha256: Set(Some("0".repeat(64))),
            audio_bytes: Set(Some(30_000_000)),
            audio_ms: Set(Some(3_000_000)),
            audio_format: Set(Some("mp3".into())),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        }
    }
}

async fn throughput(app: &App, practice: Practice, rounds: u64, seconds: u64) {
    let options = app.pool().connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(CLIENTS).connect_with(options).await.unwrap();
    run_clients(&pool, practice, true, 2).await;
    let (mut without, mut with) = (0, 0);
    for round in 1..=rounds {
        // Who goes first changes, so that neither gets always the warmer or the fuller tables.
        let first = round % 2 == 0;
        for job in [first, !first] {
            let committed = run_clients(&pool, practice, job, seconds).await;
            println!(
                "round {round}, {} a job: {} transactions/s",
                if job { "with" } else { "without" },
                committed / seconds
            );
            *if job { &mut with } else { &mut without } += committed;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 transactions")]
    let ratio = with as f64 / without as f64;
    println!("with / without: {ratio:.3}");
    sqlx::query("TRUNCATE apalis.jobs").execute(&pool).await.unwrap();
    pool.close().await;
}

/// Lets the clients write for some seconds; says how many transactions they committed.
async fn run_clients(pool: &PgPool, practice: Practice, job: bool, seconds: u64) -> u64 {
    let (committed, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(seconds));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (db, committed) =
            (SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()), committed.clone());
        clients.spawn(async move {
            while Instant::now() < end {
                upload(&db, practice, job).await;
                committed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    clients.join_all().await;
    committed.load(Ordering::Relaxed)
}

async fn upload(db: &DatabaseConnection, practice: Practice, job: bool) {
    let txn = database::begin(db).await.unwrap();
    let session = practice.write(&txn).await;
    if job {
        let job = TranscribeSession { session_id: session.id, generation: session.generation };
        queue::enqueue(&txn, &job).await.unwrap();
    }
    txn.commit().await.unwrap();
}

/// The round trip of a NOTIFY: from the statement to the listener.
async fn baseline(pool: &PgPool, times: u64) {
    let mut listener = PgListener::connect_with(pool).await.unwrap();
    listener.listen("bench").await.unwrap();
    let mut took = Vec::new();
    for _ in 0..times {
        let sent = Instant::now();
        sqlx::query("SELECT pg_notify('bench', '')").execute(pool).await.unwrap();
        listener.recv().await.unwrap();
        took.push(sent.elapsed());
    }
    print_times("NOTIFY → heard", took);
}

/// Commits jobs for an idle worker, one after the other.
async fn latency(app: &Arc<App>, practice: Practice, jobs: u64) {
    let mut log = Log::listen();
    let worker = tokio::spawn(worker::run(app.clone()));
    let mut took = Vec::new();
    for due in 0..jobs {
        // The pause drifts through the polls and beats of the worker.
        tokio::time::sleep(Duration::from_millis(10 + due * 7 % 31)).await;
        let txn = database::begin(&app.db).await.unwrap();
        practice.write(&txn).await;
        queue::enqueue(&txn, &PurgeExpired { due: i64::try_from(due).unwrap() }).await.unwrap();
        txn.commit().await.unwrap();
        let committed = Instant::now();
        app.pipeline.committed();
        took.push(log.next(STARTED).await.saturating_duration_since(committed));
        log.next(ENDED).await;
    }
    print_times("commit → start of the job", took);
    app.stop.cancel();
    worker.await.unwrap().unwrap();
}

fn print_times(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    println!("{what}: p50 {:.2?}, p90 {:.2?}, p99 {:.2?}, max {:.2?}", at(50), at(90), at(99), at(100));
}

/// What the worker says, with the time it said it.
struct Log(UnboundedReceiver<(String, Instant)>);

impl Log {
    fn listen() -> Self {
        let (sender, receiver) = unbounded_channel();
        tracing_subscriber::registry().with(Ear(sender)).init();
        Self(receiver)
    }

    async fn next(&mut self, wanted: &str) -> Instant {
        loop {
            let (message, at) = self.0.recv().await.unwrap();
            if message == wanted {
                return at;
            }
        }
    }
}

struct Ear(UnboundedSender<(String, Instant)>);

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "therapybridge::worker"
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let _ = self.0.send((message.0, Instant::now()));
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
