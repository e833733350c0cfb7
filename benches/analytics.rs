//! What analytics cost a large practice: made-up years of therapists (`practice`), 1,000 sessions or so each.
//!
//! For each number of therapists: how fast rows are made up and written; how long the nightly run takes that works all figures out,
//! how long the one that finds nothing to repair, and the process's peak memory in them; then, of one therapist, the latency of
//! each of the four queries over HTTP (one client, keep-alive) beside that of the same SQL by `pgbench` and by a server of
//! nothing but axum and sqlx in the same run, and what EXPLAIN (ANALYZE, BUFFERS) says of each statement: its nodes and the blocks it touches, which must not
//! grow with the number of therapists, and no sequential scan of a large table.
//!
//! `cargo bench --bench analytics [-- therapists…]`, by default 10 and 100; `-- 10 100 1000` is a million sessions.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::Json;
use axum::routing::post;
use chrono::TimeDelta;
use chrono_tz::Tz;
use futures::StreamExt;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Row};
use support::{Connection, Therapist};
use therapybridge::analytics::timetable::Scheduled;
use therapybridge::analytics::window::{Days, Granularity};
use therapybridge::analytics::{overview, progress, topics, trends};
use therapybridge::app::App;
use therapybridge::clock::{Clock, SystemClock};
use therapybridge::config::Config;
use therapybridge::entity::user;
use therapybridge::practice::Wanted;
use therapybridge::server::Server;
use therapybridge::worker;
use uuid::Uuid;

/// Requests of each kind that are measured.
const REQUESTS: usize = 3_000;
/// Therapists whose rows are written at a time.
const WRITERS: usize = 2;
/// Tables of more rows must not be read from end to end.
const LARGE: i64 = 1000;

#[tokio::main]
async fn main() {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10, 100];
    }
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let vars = [
        ("DATA_DIR", folder.path().to_str().unwrap()),
        ("PORT", "0"),
        ("RATE_LIMIT_REQUESTS", "off"),
        ("RATE_LIMIT_SIGNUP", "off"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
    ];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let app = App::start(Config::from_vars(vars.into()).unwrap(), Arc::new(SystemClock)).await.unwrap();
    let server = Server::bind(app.clone(), None).await.unwrap();
    let address = server.address().unwrap();
    let serving = tokio::spawn(server.run());
    let jane = Therapist::sign_up(address, "jane").await;
    let jane_id =
        jane.call("{ viewer { id } }", json!({})).await["viewer"]["id"].as_str().unwrap().parse().unwrap();
    run(&app, "CREATE ROLE bench SUPERUSER LOGIN PASSWORD 'bench'").await;
    fill(&app, jane_id, 0).await;
    let (mut there, mut blocks) = (1, Blocks::new());
    for size in sizes {
        println!("\n== {size} therapists");
        grow(&app, there, size).await;
        there = size;
        nightly(&app).await;
        run(&app, "VACUUM ANALYZE").await;
        queries(&app, &jane, (jane_id, folder.path()), &mut blocks).await;
    }
    app.stop.cancel();
    serving.await.unwrap();
    app.close().await;
}

async fn run(app: &App, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(app.pool()).await.unwrap();
}

async fn count(app: &App, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(app.pool()).await.unwrap()
}

/// Makes a year up for a therapist.
async fn fill(app: &App, therapist_id: Uuid, seed: u64) {
    let wanted = Wanted { seed, now: SystemClock.now(), zone: Tz::UTC, weeks: 52, hours: 22, regulars: 0 };
    let plan = tokio::task::spawn_blocking(move || wanted.plan()).await.unwrap();
    plan.write(app.pool(), therapist_id).await.unwrap();
}

/// Adds therapists with a year each.
async fn grow(app: &App, from: u64, to: u64) {
    let (before, started) = (count(app, "SELECT count(*) FROM sessions").await, Instant::now());
    let add = |seed: u64| async move {
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO users (id, email, hashed_password, full_name, role, timezone, created_at, updated_at)
             VALUES ($1, $2, '', 'Bench', 'THERAPIST', 'UTC', now(), now())",
        )
        .bind(id)
        .bind(format!("bench{seed}@example.com"))
        .execute(app.pool())
        .await
        .unwrap();
        fill(app, id, seed).await;
    };
    futures::stream::iter(from..to).map(add).buffer_unordered(WRITERS).collect::<Vec<()>>().await;
    let (after, took) = (count(app, "SELECT count(*) FROM sessions").await, started.elapsed());
    println!(
        "{after} sessions; {} made up and written in {took:.1?}: {:.0}/s",
        after - before,
        rate(after - before, took)
    );
}

#[expect(clippy::cast_precision_loss, reason = "millions")]
fn rate(rows: i64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}

/// The nightly run, twice: with what is new, and with nothing to do; and the weekly one.
async fn nightly(app: &App) {
    let sessions = count(app, "SELECT count(*) FROM sessions").await;
    let nights = [
        (Scheduled::Daily, "nightly run"),
        (Scheduled::Daily, "the next night"),
        (Scheduled::Weekly, "weekly run"),
    ];
    for (number, (scheduled, name)) in nights.into_iter().enumerate() {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let held = memory_kib("VmRSS:");
        let due = SystemClock.now() + TimeDelta::days(i64::try_from(number).unwrap());
        let started = Instant::now();
        app.analytics.request_scheduled(scheduled, due).await.unwrap();
        worker::run_until_idle(app).await.unwrap();
        let took = started.elapsed();
        let run = "SELECT changes FROM aggregation_runs ORDER BY id DESC LIMIT 1";
        println!(
            "{name}: {sessions} sessions in {took:.1?}, {:.0} sessions/s, {} rows put right; peak memory {:.1} MiB, {:.1} MiB of it before",
            rate(sessions, took),
            count(app, run).await,
            memory_kib("VmHWM:") / 1024.0,
            held / 1024.0
        );
    }
}

fn memory_kib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// A query of the API, and the statements behind it with their values.
struct Case {
    name: &'static str,
    query: String,
    statements: Vec<(String, Vec<String>)>,
}

/// Blocks that the statements of each query touched with the fewest therapists.
type Blocks = BTreeMap<&'static str, i64>;

async fn queries(app: &App, jane: &Therapist, (jane_id, folder): (Uuid, &Path), first: &mut Blocks) {
    let patient: Uuid = sqlx::query_scalar(
        "SELECT patient_id FROM sessions WHERE therapist_id = $1 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    )
    .bind(jane_id)
    .fetch_one(app.pool())
    .await
    .unwrap();
    let log_in = log_in(app, jane_id).await;
    for case in cases(jane_id, patient) {
        let (mut nodes, mut blocks) = (BTreeSet::new(), 0);
        for (query, values) in &case.statements {
            // As it is planned for these values, and for any.
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let plan = explain(app, (query, values), mode).await;
                let touched =
                    ["Shared Hit Blocks", "Shared Read Blocks"].map(|kind| plan[kind].as_i64().unwrap());
                if mode == "force_custom_plan" {
                    blocks += touched.iter().sum::<i64>();
                }
                collect(app, &plan, &mut nodes).await;
            }
        }
        let least = *first.entry(case.name).or_insert(blocks);
        assert!(
            blocks <= least * 3 / 2 + 32,
            "{}: {blocks} blocks, {least} with fewer therapists",
            case.name
        );
        let statements = case.statements.iter().map(|(query, values)| inline(query, values));
        let statements: Vec<_> = [log_in.clone()].into_iter().chain(statements).collect();
        let ours = over_http(jane.address, jane.request(&case.query)).await;
        let bare = by_bare_server(app, jane, &statements).await;
        let pgbench = by_pgbench(app, folder, &statements);
        println!(
            "{:<17} {:>5} µs over HTTP, {:>5} µs by a bare server: {:.2}, {:>5} µs by pgbench: {:.2}; {blocks:>4} blocks; {}",
            case.name,
            ours.as_micros(),
            bare.as_micros(),
            ours.as_secs_f64() / bare.as_secs_f64(),
            pgbench.as_micros(),
            ours.as_secs_f64() / pgbench.as_secs_f64(),
            nodes.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
}

/// The plan of a prepared statement, as it went.
async fn explain(app: &App, (query, values): (&str, &[String]), mode: &str) -> Value {
    let mut connection = app.pool().acquire().await.unwrap();
    let (set, prepare) = (format!("SET plan_cache_mode = {mode}"), format!("PREPARE probe AS {query}"));
    for statement in [set, prepare] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
    }
    let arguments = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE probe{arguments}");
    let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
    let plan: Value = row.get(0);
    sqlx::raw_sql("DEALLOCATE probe; RESET plan_cache_mode").execute(&mut *connection).await.unwrap();
    plan[0]["Plan"].clone()
}

/// What every request begins with: whether the log-in is good.
async fn log_in(app: &App, jane_id: Uuid) -> String {
    let family: Uuid = sqlx::query_scalar("SELECT family_id FROM auth_sessions WHERE user_id = $1")
        .bind(jane_id)
        .fetch_one(app.pool())
        .await
        .unwrap();
    inline(user::IN_LOG_IN, &[jane_id, family].map(|id| format!("'{id}'")))
}

fn cases(jane: Uuid, patient: Uuid) -> Vec<Case> {
    let now = SystemClock.now();
    let today = now.date_naive();
    let (recent, week, month) = (Days::ending(today, 30), Days::week_of(today), Days::month_of(today));
    let (year, weeks) = (Days::ending(today, 365), Days::ending(today, 84));
    let monday = Granularity::Week.points(weeks)[0];
    let quote = |value: &dyn std::fmt::Display| format!("'{value}'");
    let of_patient = [quote(&patient), quote(&weeks.first), quote(&weeks.last)];
    let and = |more: &str| [&of_patient[..], &[more.to_owned()]].concat();
    let audit = format!(
        "INSERT INTO audit_events (id, at, actor_id, actor_role, request_id, action, subject_type, subject_id, patient_id, outcome, changed_fields)
         VALUES (gen_random_uuid(), now(), '{jane}', 'THERAPIST', 'bench', 'patient.read_progress', 'patient', '{patient}', '{patient}', 'OK', '{{}}')"
    );
    vec![
        Case {
            name: "practiceOverview",
            query: "{ practiceOverview { totalPatients activePatients sessionsThisWeek sessionsThisMonth upcomingSessions completionRate } }".into(),
            statements: vec![(overview::QUERY.to_owned(), vec![
                    quote(&jane), quote(&recent.first), quote(&recent.last), quote(&week.first), quote(&week.last),
                    quote(&month.first), quote(&month.last), quote(&now.to_rfc3339()),
                ],
            )],
        },
        Case {
            name: "sessionTrends",
            query: "{ sessionTrends(period: Y1, granularity: WEEK) { dataPoints { date sessionsCompleted completionRate } summary { totalSessions peakDay } } }".into(),
            statements: vec![(trends::QUERY.to_owned(), vec![quote(&jane), quote(&year.first), quote(&year.last)])],
        },
        Case {
            name: "commonTopics",
            query: "{ commonTopics { topics { topic frequency patientsAffected trend } } }".into(),
            statements: vec![(topics::QUERY.to_owned(), vec![quote(&jane), quote(&weeks.first), quote(&weeks.last), quote(&weeks.middle()), "20".into()],
            )],
        },
        Case {
            name: "patientProgress",
            query: format!(
                "{{ patientProgress(patientId: \"{patient}\") {{ totalSessions attendanceRate moodTrend {{ current trajectory changePercent }}
                    recentSessions {{ date mood keyTopics progressNotes }} commonTopics {{ topic frequency }} dataPoints {{ weekStart avgMoodScore }} }} }}"
            ),
            statements: vec![
                (format!("SELECT * FROM patients WHERE id = '{patient}' AND therapist_id = '{jane}'"), vec![]),
                (progress::ATTENDANCE.to_owned(), of_patient.to_vec()),
                (progress::RECENT.to_owned(), and("10")),
                (progress::MOODS.to_owned(), of_patient.to_vec()),
                (progress::TOPICS.to_owned(), and("10")),
                (progress::WEEKS.to_owned(), vec![quote(&patient), quote(&monday), quote(&weeks.last)]),
                (audit, vec![]),
            ],
        },
    ]
}

/// Values in the place of parameters.
fn inline(query: &str, values: &[String]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(query.to_owned(), |query, (at, value)| query.replace(&format!("${}", at + 1), value))
}

/// The nodes of a plan, by kind, index and table; panics at a sequential scan of a large table.
async fn collect(app: &App, plan: &Value, nodes: &mut BTreeSet<String>) {
    let mut open = vec![plan];
    while let Some(node) = open.pop() {
        let kind = node["Node Type"].as_str().unwrap();
        if let Some(index) = node["Index Name"].as_str() {
            nodes.insert(format!("{kind} {index}"));
        } else if let Some(table) = node["Relation Name"].as_str().filter(|_| kind == "Seq Scan") {
            let rows = count(app, &format!("SELECT count(*) FROM {table}")).await;
            assert!(rows <= LARGE, "a sequential scan of {table}: {node}");
            nodes.insert(format!("{kind} {table} ({rows} rows)"));
        }
        open.extend(node["Plans"].as_array().into_iter().flatten());
    }
}

/// The median latency of a request, asked as pgbench asks: by one thread that waits, on one connection.
async fn over_http(address: SocketAddr, request: Vec<u8>) -> Duration {
    let times = tokio::task::spawn_blocking(move || {
        let mut connection = Connection::open(address);
        (0..REQUESTS).map(|_| exchange(&mut connection, &request)).collect()
    });
    median(times.await.unwrap())
}

fn exchange(connection: &mut Connection, request: &[u8]) -> Duration {
    let (body, took) = connection.exchange(request);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(answer["data"].is_object() && answer["errors"].is_null(), "{answer}");
    took
}

/// The median latency of a server of nothing but axum and sqlx, which has the statements answered at each request: what
/// the house's parts take before anything of ours runs.
async fn by_bare_server(app: &App, jane: &Therapist, statements: &[String]) -> Duration {
    let options = app.pool().connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().test_before_acquire(false).connect_with(options).await.unwrap();
    let statements: Vec<&'static str> =
        statements.iter().map(|statement| &*statement.clone().leak()).collect();
    let answer = move || {
        let (pool, statements) = (pool.clone(), statements.clone());
        async move {
            for statement in statements {
                sqlx::query(statement).fetch_all(&pool).await.unwrap();
            }
            Json(json!({ "data": {} }))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = axum::serve(listener, Router::new().route("/graphql", post(answer)));
    let serving = tokio::spawn(async move { serve.await.unwrap() });
    let median = over_http(address, jane.request("{ __typename }")).await;
    serving.abort();
    median
}

/// The median latency of the statements as one script.
fn by_pgbench(app: &App, folder: &Path, statements: &[String]) -> Duration {
    let options = app.pool().connect_options();
    let script = folder.join("script.sql");
    // A script has a statement a line.
    let lines: Vec<String> = statements
        .iter()
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" ") + ";\n")
        .collect();
    std::fs::write(&script, lines.concat()).unwrap();
    let logs = tempfile::tempdir().unwrap();
    let mut command = Command::new(pgbench());
    let host = options
        .get_socket()
        .map_or_else(|| options.get_host().into(), |socket| socket.as_os_str().to_owned());
    command.arg("--host").arg(host).args(["--port", &options.get_port().to_string()]);
    command.args(["--username", "bench", "--no-vacuum", "--protocol", "prepared", "--log", "--client", "1"]);
    command.args(["--transactions", &REQUESTS.to_string(), "--file"]).arg(&script);
    command.arg("--log-prefix").arg(logs.path().join("log")).arg(options.get_database().unwrap());
    let output = command.env("PGPASSWORD", "bench").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_dir(&logs).unwrap().next().unwrap().unwrap().path();
    let micros = |line: &str| line.split_whitespace().nth(2).unwrap().parse().unwrap();
    median(std::fs::read_to_string(log).unwrap().lines().map(micros).map(Duration::from_micros).collect())
}

/// `pgbench`, in the path or where Debian has it.
fn pgbench() -> std::path::PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin/pgbench")).find(|path| path.exists());
    found.unwrap_or_else(|| "pgbench".into())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
