//! A clean-up of a store with a million files, of which nine in ten belong to sessions and one in ten to nothing: how fast the store
//! is looked through, how fast orphans are removed, and how much memory that takes, beside a tenth of the store. The store is an S3 of
//! this process that makes its listing up, page by page; the database is a throw-away PostgreSQL with durable settings.
//!
//! `cargo bench --bench cleanup [files]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use therapybridge::actor::{Actor, Origin};
use therapybridge::app::App;
use therapybridge::cleanup::{Errand, Parts, Report, Wanted};
use therapybridge::clock::SystemClock;
use therapybridge::config::Config;

const THERAPIST: &str = "00000000-0000-7000-9000-000000000001";
/// What a page of a listing holds, as at Amazon's.
const PAGE: u64 = 1000;
/// One file of so many is an orphan.
const ORPHANS: u64 = 10;

/// The store: so many files, and how many were removed.
struct Store {
    files: AtomicU64,
    removed: AtomicU64,
}

#[tokio::main]
async fn main() {
    // Cargo puts `--bench` among the arguments.
    let files = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let store = Arc::new(Store { files: AtomicU64::new(0), removed: AtomicU64::new(0) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(serve).with_state(store.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let vars = [
        ("DATA_DIR", folder.path().display().to_string()),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1".to_owned()),
        ("STORAGE_URL", "s3://recordings/practice".to_owned()),
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let app = App::start(Config::from_vars(vars).unwrap(), Arc::new(SystemClock)).await.unwrap();
    fill(&app, files).await;
    for files in [files / 10, files] {
        store.files.store(files, Ordering::Relaxed);
        look(&app, files).await;
    }
    remove(&app, &store, files).await;
    app.close().await;
}

/// Sessions of nine in ten files.
async fn fill(app: &App, files: u64) {
    let started = Instant::now();
    let rows = format!(
        "INSERT INTO users (id, email, hashed_password, full_name, role, created_at, updated_at)
            VALUES ('{THERAPIST}', 'jane@example.com', 'x', 'Jane', 'THERAPIST', now(), now());
        INSERT INTO patients (id, therapist_id, name, created_at, updated_at)
            VALUES ('{THERAPIST}', '{THERAPIST}', 'Daniel', now(), now());
        INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, status, audio_key, created_at, updated_at)
            SELECT id, '{THERAPIST}', '{THERAPIST}', 'COMPLETED', current_date, 'PROCESSED',
                '{THERAPIST}/' || id || '/audio.mp3', now(), now()
            FROM (SELECT n, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id
                  FROM generate_series(0, {files} - 1) AS n) AS files WHERE n % {ORPHANS} <> 0;
        ANALYZE;"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(app.pool()).await.unwrap();
    println!(
        "{files} files, {} sessions, written in {:.1} s",
        files - files / ORPHANS,
        started.elapsed().as_secs_f64()
    );
}

/// Looks the whole store through, and touches nothing.
async fn look(app: &App, files: u64) {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let ((_, before), started) = (memory_mib(), Instant::now());
    let report = clean_up(app, true).await;
    assert_eq!((report.files_deleted, report.is_complete), (files / ORPHANS, true));
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{files} files looked through in {seconds:.1} s, {:.0} files/s; peak {:.1} MiB, {before:.1} MiB before",
        per_second(files, seconds),
        memory_mib().0,
    );
}

/// Removes the orphans.
async fn remove(app: &App, store: &Store, files: u64) {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let started = Instant::now();
    let report = clean_up(app, false).await;
    let removed = store.removed.load(Ordering::Relaxed);
    assert_eq!((report.files_deleted, removed, report.error_count), (files / ORPHANS, files / ORPHANS, 0));
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{removed} of {files} files removed in {seconds:.1} s, {:.0} files/s; peak {:.1} MiB",
        per_second(removed, seconds),
        memory_mib().0,
    );
}

async fn clean_up(app: &App, dry_run: bool) -> Report {
    let (actor, origin) = (Actor::System { job: "bench" }, Origin::default());
    let errand = Errand { actor: &actor, origin: &origin, until: None };
    let wanted = Wanted { parts: Parts::ALL, therapist_id: None, dry_run };
    app.cleanup.run(errand, wanted).await.unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 files")]
fn per_second(files: u64, seconds: f64) -> f64 {
    files as f64 / seconds
}

/// The most memory that this process has held, and what it holds; the store in it included.
fn memory_mib() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kib: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
        kib / 1024.0
    };
    (line("VmHWM:"), line("VmRSS:"))
}

async fn serve(
    State(store): State<Arc<Store>>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
) -> Response {
    match method {
        Method::GET => list(store.files.load(Ordering::Relaxed), &query),
        Method::DELETE => {
            store.removed.fetch_add(1, Ordering::Relaxed);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// A page, made up.
fn list(files: u64, query: &BTreeMap<String, String>) -> Response {
    let first: u64 = query.get("continuation-token").map_or(0, |token| token.parse().unwrap());
    let next = (first + PAGE).min(files);
    let mut page = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for n in first..next {
        write!(
            page,
            "<Contents><Key>practice/{THERAPIST}/00000000-0000-7000-8000-{n:012x}/audio.mp3</Key>\
             <LastModified>2026-03-10T09:00:00.000Z</LastModified><Size>30000000</Size></Contents>"
        )
        .unwrap();
    }
    if next < files {
        write!(page, "<NextContinuationToken>{next}</NextContinuationToken>").unwrap();
    }
    page.push_str("</ListBucketResult>");
    ([(header::CONTENT_TYPE, "application/xml")], page).into_response()
}
