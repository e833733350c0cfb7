//! What a list of 20 sessions with their patients costs the processor, beside the same query written by hand on Mercurius with
//! JIT (`benches/mercurius/server.mjs`): the same database, the same token, the log-in looked up for every request. Guard, cost
//! analysis, limits and audit are on, as they are by default. Both must give the same data.
//!
//! Each gets the same requests over connections that stay open, from one client and from 16 at a time, in turns. Printed are
//! the processor time of the server's process a request, that of PostgreSQL, requests a second, and how long they took.
//!
//! `cargo bench --bench mercurius`; needs Node.js 20 with npm. Its packages are installed into the target folder.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;
use support::practice::Practice;
use support::{Connection, Program, Therapist, processor_time, processor_time_of_children};
use therapybridge::config::Config;
use therapybridge::database::Database;

/// What both are asked.
const QUERY: &str = "{ sessions(first: 20) {
    nodes { id sessionDate scheduledStart durationMinutes attendance status progress version patient { id name email phone archivedAt } }
    pageInfo { hasNextPage endCursor } } }";

/// Requests of each turn, and before the first.
const REQUESTS: usize = 4_000;
/// Turns of each server with each number of clients.
const TURNS: usize = 4;
/// Clients at a time.
const CLIENTS: [usize; 2] = [1, 16];
const CONNECTIONS: &str = "20";
const SECRET: &str = "the benchmark signs its tokens with this";

#[tokio::main]
async fn main() {
    let packages = install();
    let folder = support::data_dir();
    let data = folder.path().to_str().unwrap();
    let settings = [
        ("DATA_DIR", data),
        ("JWT_SECRET", SECRET),
        ("DATABASE_MAX_CONNECTIONS", CONNECTIONS),
        // It counts, and never refuses.
        ("RATE_LIMIT_REQUESTS", "10000/1s"),
    ];
    let vars = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let database = Database::open(&Config::from_vars(vars.into()).unwrap().database).await.unwrap();
    let ours = Program::start(&["serve", "--no-worker"], &settings);
    let jane = Therapist::sign_up(ours.address, "jane").await;
    fill(&database, &jane).await;
    let theirs = Mercurius::start(&packages, &database.pool().connect_options());

    let postgres = postmaster(folder.path());
    let servers = [
        Server { name: "TherapyBridge", pid: ours.id(), address: ours.address },
        Server { name: "Mercurius", pid: theirs.0.id(), address: theirs.1 },
    ];
    let request = jane.request(QUERY);
    tokio::task::spawn_blocking(move || compare(&servers, &request, postgres)).await.unwrap();
    drop((ours, theirs));
    database.close().await;
}

async fn fill(database: &Database, jane: &Therapist) {
    let id =
        jane.call("{ viewer { id } }", json!({})).await["viewer"]["id"].as_str().unwrap().parse().unwrap();
    Practice { patients: 100, sessions: 20, utterances: 1, events: 1 }.write(database.pool(), id).await;
    let role = "CREATE ROLE bench LOGIN PASSWORD 'bench' IN ROLE pg_read_all_data";
    sqlx::raw_sql(AssertSqlSafe(role)).execute(database.pool()).await.unwrap();
}

/// The packages of the other side, in a folder of the build's: that of its server.
fn install() -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/mercurius");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mercurius");
    std::fs::create_dir_all(&to).unwrap();
    let lock = std::fs::read(from.join("package-lock.json")).unwrap();
    let is_there = std::fs::read(to.join("package-lock.json")).is_ok_and(|there| there == lock)
        && to.join("node_modules/.package-lock.json").exists();
    for file in ["package.json", "package-lock.json", "server.mjs"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    if !is_there {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        let installed = Command::new("npm").args(arguments).current_dir(&to).status();
        assert!(
            installed.is_ok_and(|status| status.success()),
            "npm could not install the packages of Mercurius"
        );
    }
    to
}

/// The other side, serving; killed when dropped.
struct Mercurius(Child, SocketAddr);

impl Drop for Mercurius {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Mercurius {
    fn start(packages: &Path, database: &PgConnectOptions) -> Self {
        let host = database.get_socket().map_or_else(|| database.get_host().into(), Clone::clone);
        let mut command = Command::new("node");
        command.arg("server.mjs").current_dir(packages).stdout(Stdio::piped());
        command.env("NODE_ENV", "production").env("JWT_SECRET", SECRET).env("CONNECTIONS", CONNECTIONS);
        command.env("PGHOST", host).env("PGPORT", database.get_port().to_string());
        command
            .env("PGUSER", "bench")
            .env("PGPASSWORD", "bench")
            .env("PGDATABASE", database.get_database().unwrap());
        let mut child = command.spawn().expect("Node.js is there");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("it listens");
        Self(child, SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// The process whose children are the connections of the private database.
fn postmaster(data: &Path) -> u32 {
    let file = std::fs::read_to_string(data.join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

struct Server {
    name: &'static str,
    pid: u32,
    address: SocketAddr,
}

/// What requests took, all together.
#[derive(Default)]
struct Figures {
    processor: Duration,
    postgres: Duration,
    wall: Duration,
    each: Vec<Duration>,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.processor += other.processor;
        self.postgres += other.postgres;
        self.wall += other.wall;
        self.each.extend(other.each);
    }

    fn micros(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.requests()
    }

    fn requests(&self) -> f64 {
        f64::from(u32::try_from(self.each.len()).unwrap())
    }

    fn print(&mut self, name: &str, clients: usize) {
        self.each.sort_unstable();
        let at = |percent: usize| self.each[self.each.len() * percent / 100].as_micros();
        println!(
            "{clients:>2} clients, {name:<13} {:>5.0} µs of its processor time a request, {:>5.0} µs of PostgreSQL's; \
             {:>5.0} requests/s; p50 {:>5} µs, p99 {:>5} µs",
            self.micros(self.processor),
            self.micros(self.postgres),
            self.requests() / self.wall.as_secs_f64(),
            at(50),
            at(99)
        );
    }
}

fn compare(servers: &[Server; 2], request: &[u8], postgres: u32) {
    let [ours, theirs] =
        servers.each_ref().map(|server| data(&Connection::open(server.address).exchange(request).0));
    assert_eq!(ours["sessions"]["nodes"].as_array().unwrap().len(), 20);
    assert_eq!(ours, theirs, "both give the same data");
    for clients in CLIENTS {
        let mut figures = [Figures::default(), Figures::default()];
        for server in servers {
            turn(server, request, clients, postgres);
        }
        for _ in 0..TURNS {
            for (server, figures) in servers.iter().zip(&mut figures) {
                figures.add(turn(server, request, clients, postgres));
            }
        }
        for (server, figures) in servers.iter().zip(&mut figures) {
            figures.print(server.name, clients);
        }
        let [ours, theirs] = figures.map(|figures| figures.micros(figures.processor));
        println!("{clients:>2} clients: {:.2} of Mercurius's processor time", ours / theirs);
    }
}

fn data(body: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(body).unwrap();
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"].take()
}

/// So many requests, by so many clients at a time.
fn turn(server: &Server, request: &[u8], clients: usize, postgres: u32) -> Figures {
    let mut connections: Vec<_> = (0..clients).map(|_| Connection::open(server.address)).collect();
    let used = || (processor_time(server.pid), processor_time_of_children(postgres));
    let (before, started) = (used(), Instant::now());
    let each = std::thread::scope(|scope| {
        let ask = |connection: &mut Connection| ask(connection, request, REQUESTS / clients);
        let asking: Vec<_> =
            connections.iter_mut().map(|connection| scope.spawn(move || ask(connection))).collect();
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    });
    let (wall, after) = (started.elapsed(), used());
    Figures {
        processor: after.0.saturating_sub(before.0),
        postgres: after.1.saturating_sub(before.1),
        wall,
        each,
    }
}

/// The same again and again: it takes the same answer.
fn ask(connection: &mut Connection, request: &[u8], count: usize) -> Vec<Duration> {
    let (first, _) = connection.exchange(request);
    let again = |_| {
        let (body, took) = connection.exchange(request);
        assert!(body == first, "{}", String::from_utf8_lossy(&body));
        took
    };
    (0..count).map(again).collect()
}
