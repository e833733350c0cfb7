//! What the chain costs those who write: 32 writers on a throw-away PostgreSQL with durable settings, each adding one audit
//! event a transaction, with and without the leader beside them. Prints the throughput of each round and the ratio.
//!
//! `cargo bench --bench audit_writers [rounds] [seconds]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use therapybridge::actor::{Actor, Origin};
use therapybridge::audit::chain::tail;
use therapybridge::audit::leader::{Leader, Office};
use therapybridge::audit::link::Key;
use therapybridge::audit::{self, Event, Witness};
use therapybridge::clock::{Clock, SystemClock};
use therapybridge::config::Config;
use therapybridge::database::{self, Database};
use tokio::task::JoinSet;
use uuid::Uuid;

const WRITERS: u32 = 32;

#[tokio::main]
async fn main() {
    // Cargo puts `--bench` among the arguments.
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let (rounds, seconds) = (numbers.next().unwrap_or(6), numbers.next().unwrap_or(6));
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let vars = [("DATA_DIR".to_owned(), folder.path().display().to_string())];
    let database = Database::open(&Config::from_vars(vars.into()).unwrap().database).await.unwrap();
    database.migrate().await.unwrap();
    let options = (*database.pool().connect_options()).clone();
    let pool = PgPoolOptions::new().max_connections(WRITERS + 1).connect_with(options).await.unwrap();
    write(&pool, 2).await;

    let (mut without, mut with) = (0, 0);
    for round in 1..=rounds {
        // Who goes first changes, so that neither gets always the warmer or the fuller table.
        let first = round % 2 == 0;
        for leads in [first, !first] {
            let events = if leads {
                write_beside_a_leader(&pool, &folder, seconds).await
            } else {
                write(&pool, seconds).await
            };
            println!(
                "round {round}, {} a leader: {} events/s",
                if leads { "with" } else { "without" },
                events / seconds
            );
            *if leads { &mut with } else { &mut without } += events;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 events")]
    let ratio = with as f64 / without as f64;
    println!("with / without: {ratio:.3} ({:+.1} %)", (ratio - 1.0) * 100.0);
    pool.close().await;
    database.close().await;
}

/// A leader that has linked everything there is, and links on while the writers write.
async fn write_beside_a_leader(pool: &PgPool, folder: &tempfile::TempDir, seconds: u64) -> u64 {
    let leader = Leader::start(Office {
        pool: pool.clone(),
        key: Key::new("k".repeat(32).into()),
        head_file: folder.path().join("audit_head"),
        clock: Arc::new(SystemClock),
    });
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(pool).await.unwrap();
    while tail(pool).await.unwrap().position < written {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let events = write(pool, seconds).await;
    leader.stop().await;
    events
}

/// Lets the writers write for some seconds; says how many events they wrote.
async fn write(pool: &PgPool, seconds: u64) -> u64 {
    let (written, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(seconds));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (db, written) = (SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()), written.clone());
        writers.spawn(async move {
            while Instant::now() < end {
                write_one(&db).await;
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    writers.join_all().await;
    written.load(Ordering::Relaxed)
}

async fn write_one(db: &DatabaseConnection) {
    let origin = Origin {
        request_id: Uuid::now_v7().to_string(),
        ip: Some("203.0.113.7".into()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
    };
    let witness = Witness { actor: &Actor::System { job: "bench" }, origin: &origin, at: SystemClock.now() };
    let event = Event {
        action: "session.update",
        subject_type: "session",
        subject_id: Some(Uuid::now_v7()),
        changed_fields: vec!["status", "progress"],
        ..Event::default()
    };
    let txn = database::begin(db).await.unwrap();
    audit::record(&txn, witness, event).await.unwrap();
    txn.commit().await.unwrap();
}
