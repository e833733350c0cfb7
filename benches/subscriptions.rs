//! Subscriptions by the thousand on one process: what they take while nothing happens, and how fast news reach them.
//!
//! The program as it is run (without a worker), 10,000 sockets on it, authenticated by a hundred log-ins, each with one
//! subscription: (1) memory of the server a socket, connections that listen, and transactions a second while idle, without
//! and with them; (2) one event that all of them follow, from its commit to the socket; (3) 1,000 events a second, each for
//! one of them. The clients are another process on the same machine, and take their share of it.
//!
//! `cargo bench --bench subscriptions [-- sockets]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use support::{Program, Therapist};
use therapybridge::config::Config;
use therapybridge::database::Database;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use uuid::Uuid;

const SOCKETS: usize = 10_000;
/// As in a practice: several windows of several people.
const LOG_INS: usize = 100;
/// Sockets that are being opened at a time.
const AT_A_TIME: usize = 50;
const IDLE: Duration = Duration::from_secs(15);
/// PostgreSQL counts what a connection did once that has been idle for ten seconds.
const SETTLED: Duration = Duration::from_secs(15);
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events to everybody.
const ROUNDS: i64 = 10;
/// Events to one: so many a second, for so long.
const RATE: u32 = 1_000;
const SECONDS: u32 = 10;
const WRITERS: usize = 4;
/// What a notifier waits between two hints.
const COALESCE: Duration = Duration::from_millis(5);
const HINT: &str = "SELECT pg_notify('therapybridge', '')";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A version that a socket heard of, and when.
type Heard = (usize, i64, Instant);

#[tokio::main]
async fn main() {
    let sockets = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(SOCKETS);
    allow_files(u64::try_from(sockets).unwrap() + 2_000);
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let vars = [
        ("DATA_DIR", folder.path().to_str().unwrap()),
        ("MAX_SOCKETS_PER_USER", "1000000"),
        ("RATE_LIMIT_LOGIN", "off"),
    ];
    let program = Program::start(&["serve", "--no-worker"], &vars);
    let owned = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let database = Database::open(&Config::from_vars(owned.into()).unwrap().database).await.unwrap();
    let jane = Therapist::sign_up(program.address, "jane").await;
    let mut tokens = vec![jane.token().to_owned()];
    while tokens.len() < LOG_INS {
        tokens.push(jane.log_in_again("jane").await);
    }
    let bench = Bench { db: database.pool().clone(), program, jane, tokens, sockets };
    bench.everybody().await;
    bench.one_by_one().await;
    drop(bench);
    database.close().await;
}

/// For this process, and those it starts.
fn allow_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
            .expect("more files must be allowed: ulimit -n");
    }
}

struct Bench {
    db: PgPool,
    program: Program,
    jane: Therapist,
    tokens: Vec<String>,
    sockets: usize,
}

/// What the server takes while nothing happens.
struct Idle {
    memory_kib: u64,
    transactions_a_second: f64,
    listeners: i64,
}

/// Sockets that are open, until dropped, and what they hear.
struct Open {
    _tasks: JoinSet<()>,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Bench {
    /// Makes sessions in progress; their ids.
    async fn sessions(&self, count: usize) -> Vec<Uuid> {
        let patient = &self.jane.patient;
        let insert = format!(
            "INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, status, progress, audio_key, created_at, updated_at)
             SELECT gen_random_uuid(), id, therapist_id, 'COMPLETED', current_date, 'TRANSCRIBING', 1, 'bench/' || gen_random_uuid(), now(), now()
             FROM patients, generate_series(1, {count}) WHERE id = '{patient}' RETURNING id"
        );
        sqlx::query_scalar(AssertSqlSafe(insert)).fetch_all(&self.db).await.unwrap()
    }

    /// Writes down a version of a session in progress.
    async fn commit(db: &PgPool, patient: &str, id: Uuid, version: i64) {
        let event =
            "INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
                     VALUES ($1, $2::uuid, $3, 'TRANSCRIBING', 1, now())";
        sqlx::query(event).bind(id).bind(patient).bind(version).execute(db).await.unwrap();
    }

    async fn idle(&self) -> Idle {
        tokio::time::sleep(SETTLED).await;
        let before = self.transactions().await;
        tokio::time::sleep(IDLE).await;
        let transactions = u32::try_from(self.transactions().await - before).unwrap();
        let listeners = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND (query LIKE 'LISTEN %' OR application_name LIKE '%listener')";
        Idle {
            memory_kib: self.program.proportional_kib(),
            transactions_a_second: f64::from(transactions) / IDLE.as_secs_f64(),
            listeners: sqlx::query_scalar(listeners).fetch_one(&self.db).await.unwrap(),
        }
    }

    async fn transactions(&self) -> i64 {
        let query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(query).fetch_one(&self.db).await.unwrap()
    }

    /// Opens all sockets, each with a subscription that has told its first value.
    async fn open(&self, query: &str, id: impl Fn(usize) -> String) -> Open {
        let (tell, heard) = mpsc::unbounded_channel();
        let at_a_time = Arc::new(Semaphore::new(AT_A_TIME));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..self.sockets {
            let permit = at_a_time.clone().acquire_owned().await.unwrap();
            let (address, token) = (self.program.address, self.tokens[number % self.tokens.len()].clone());
            let payload = json!({ "query": query, "variables": { "id": id(number) } });
            let tell = tell.clone();
            tasks.spawn(async move {
                let mut socket = subscribe(address, &token, payload).await;
                drop(permit);
                while let Some(version) = version(&mut socket).await {
                    let _ = tell.send((number, version, Instant::now()));
                }
            });
        }
        // Each gives its permit back when it has begun.
        drop(at_a_time.acquire_many(u32::try_from(AT_A_TIME).unwrap()).await);
        println!("{} sockets opened in {:.1?}", self.sockets, started.elapsed());
        Open { _tasks: tasks, heard }
    }

    /// All sockets follow the same patient.
    async fn everybody(&self) {
        let session = self.sessions(1).await[0];
        let query =
            "subscription ($id: ID!) { sessionsUpdated(patientId: $id) { id version status progress } }";
        let without = self.idle().await;
        let mut open = self.open(query, |_| self.jane.patient.clone()).await;
        let with = self.idle().await;
        println!(
            "{:.1} KiB a socket; idle, without and with them: {:.1} and {:.1} transactions a second, {} and {} listeners",
            f64::from(u32::try_from(with.memory_kib - without.memory_kib).unwrap())
                / f64::from(u32::try_from(self.sockets).unwrap()),
            without.transactions_a_second,
            with.transactions_a_second,
            without.listeners,
            with.listeners,
        );
        let (mut all, mut taken) = (Vec::new(), self.program.processor_time());
        for version in 2..2 + ROUNDS {
            Self::commit(&self.db, &self.jane.patient, session, version).await;
            let committed = Instant::now();
            sqlx::query(HINT).execute(&self.db).await.unwrap();
            let mut missing = vec![true; self.sockets];
            for _ in 0..self.sockets {
                let news = tokio::time::timeout(PATIENCE, open.heard.recv()).await;
                let (socket, seen, at) = news.expect("everybody hears of it").unwrap();
                assert_eq!(seen, version, "each once and in order");
                assert!(std::mem::take(&mut missing[socket]), "each once");
                all.push(at - committed);
            }
        }
        taken = self.program.processor_time().saturating_sub(taken) / u32::try_from(ROUNDS).unwrap();
        report("one event to everybody", all);
        println!("processor time of the server for one event to everybody: {taken:.0?}");
    }

    /// Every socket follows a session of its own.
    async fn one_by_one(&self) {
        let ids = self.sessions(self.sockets).await;
        let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { id version status progress } }";
        let before = self.program.proportional_kib();
        let mut open = self.open(query, |number| ids[number].to_string()).await;
        println!(
            "{before} KiB held before, after those of the first round had gone; {} KiB with them",
            self.program.proportional_kib()
        );
        let events = usize::try_from(RATE * SECONDS).unwrap();
        // Each event is for another socket, so that a socket and a version name it.
        let committed: Arc<Vec<AtomicI64>> = Arc::new((0..events).map(|_| AtomicI64::new(0)).collect());
        let (ids, started) = (Arc::new(ids), Instant::now());
        let hints = tokio::spawn(hint(self.db.clone()));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (db, patient) = (self.db.clone(), self.jane.patient.clone());
            let (ids, committed) = (ids.clone(), committed.clone());
            writers.spawn(async move {
                for event in (writer..events).step_by(WRITERS) {
                    let due = started + Duration::from_secs(1) * u32::try_from(event).unwrap() / RATE;
                    tokio::time::sleep_until(due.into()).await;
                    let version = 2 + i64::try_from(event / ids.len()).unwrap();
                    Self::commit(&db, &patient, ids[event % ids.len()], version).await;
                    committed[event].store(micros(started.elapsed()), Ordering::Release);
                }
            });
        }
        let mut arrived = Vec::new();
        while arrived.len() < events {
            let news = tokio::time::timeout(PATIENCE, open.heard.recv()).await;
            let (socket, version, at) = news.expect("whoever follows it hears of it").unwrap();
            arrived.push((socket + self.sockets * usize::try_from(version - 2).unwrap(), at));
        }
        writers.join_all().await;
        hints.abort();
        println!("{events} events in {:.1?}", started.elapsed());
        let late = |(event, at): (usize, Instant)| {
            let committed = Duration::from_micros(committed[event].load(Ordering::Acquire).unsigned_abs());
            (at - started).saturating_sub(committed)
        };
        report("1,000 events a second, each to one", arrived.into_iter().map(late).collect());
    }
}

/// As the notifier of a process that writes all the time does.
async fn hint(db: PgPool) {
    loop {
        sqlx::query(HINT).execute(&db).await.unwrap();
        tokio::time::sleep(COALESCE).await;
    }
}

async fn subscribe(address: SocketAddr, token: &str, payload: Value) -> Socket {
    let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let small = WebSocketConfig::default().read_buffer_size(2048).write_buffer_size(0);
    let (mut socket, _) = connect_async_with_config(request, Some(small), false).await.unwrap();
    let init =
        json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } });
    let ask = json!({ "id": "1", "type": "subscribe", "payload": payload });
    for message in [init, ask] {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    version(&mut socket).await.expect("the first value");
    socket
}

/// The version of the next value; `None` at the end.
async fn version(socket: &mut Socket) -> Option<i64> {
    loop {
        let Message::Text(text) = socket.next().await?.ok()? else { continue };
        // Not parsed as a whole: the clients have the processor together with the server.
        if let Some((_, rest)) = text.split_once("\"version\":") {
            return rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        }
        assert!(text.contains("connection_ack"), "{text}");
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100];
    println!(
        "{what}: {} received; from the commit p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}
