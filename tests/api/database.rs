//! The schema of the database: made once however many start, reverted and made again, and strict.

use futures::future::join_all;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgQueryResult;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use therapybridge::config::Config;
use therapybridge::database::{Database, begin};
use url::Url;

use super::support::cluster::{empty_database, fresh_database};

/// SQLSTATE of a CHECK that does not hold.
const CHECK: &str = "23514";
/// SQLSTATE of a foreign key that does not hold.
const FOREIGN_KEY: &str = "23503";
/// SQLSTATE of a value that must be unique.
const UNIQUE: &str = "23505";

const USER: &str = "00000000-0000-7000-8000-000000000001";
const OTHER_USER: &str = "00000000-0000-7000-8000-000000000002";
const PATIENT: &str = "00000000-0000-7000-8000-000000000003";
const SESSION: &str = "00000000-0000-7000-8000-000000000004";

#[tokio::test]
async fn eight_starters_at_once_make_the_schema_once() {
    let url = empty_database().await;
    let databases = join_all((0..8).map(|_| open(&url))).await;
    let migrated = join_all(databases.iter().map(Database::migrate)).await;
    assert!(migrated.iter().all(Result::is_ok), "{migrated:?}");
    let status = databases[0].migration_status().await.unwrap();
    assert!(status.iter().all(|(_, applied)| *applied), "{status:?}");
    let recorded = number(databases[0].pool(), "SELECT count(*) FROM seaql_migrations").await;
    assert_eq!(recorded, i64::try_from(status.len()).unwrap());
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = migrated().await;
    let before = columns(database.pool()).await;
    database.migrate().await.unwrap();
    assert_eq!(columns(database.pool()).await, before);
}

#[tokio::test]
async fn an_empty_database_has_every_migration_ahead() {
    let database = open(&empty_database().await).await;
    let status = database.migration_status().await.unwrap();
    assert!(status.len() >= 11, "{status:?}");
    assert!(status.iter().all(|(_, applied)| !applied), "{status:?}");
}

#[tokio::test]
async fn every_migration_can_be_reverted_and_made_again() {
    let database = migrated().await;
    let before = columns(database.pool()).await;
    let steps = u32::try_from(database.migration_status().await.unwrap().len()).unwrap();
    database.migrate_down(steps).await.unwrap();
    assert_eq!(columns(database.pool()).await, Vec::<String>::new(), "nothing is left");
    assert!(database.migration_status().await.unwrap().iter().all(|(_, applied)| !applied));
    database.migrate().await.unwrap();
    assert_eq!(columns(database.pool()).await, before);
}

#[tokio::test]
async fn a_transcript_of_the_time_before_pieces_were_kept_as_heard_stays_and_can_go_back() {
    let database = migrated().await;
    let status = database.migration_status().await.unwrap();
    let newer = status.iter().skip_while(|(name, _)| name != "m17_heard_pieces").count();
    database.migrate_down(u32::try_from(newer).unwrap()).await.unwrap();
    let old = format!(
        "INSERT INTO users (id, email, hashed_password, full_name, role, created_at, updated_at)
            VALUES ('{USER}', 'jane@example.com', 'x', 'Jane', 'THERAPIST', now(), now());
        INSERT INTO patients (id, therapist_id, name, created_at, updated_at)
            VALUES ('{PATIENT}', '{USER}', 'Noah', now(), now());
        INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, status, audio_key, created_at, updated_at)
            VALUES ('{SESSION}', '{PATIENT}', '{USER}', 'COMPLETED', current_date, 'PROCESSED', 'key', now(), now());
        INSERT INTO transcript_pieces
            (session_id, piece_index, start_ms, end_ms, provider, model, audio_ms, work_ms, created_at, updated_at)
            SELECT '{SESSION}', n, n * 1000, n * 1000 + 1000, 'local', 'tiny.en', 1000, 1, now(), now()
            FROM generate_series(0, 2) AS n;
        INSERT INTO transcript_segments
            (id, session_id, piece_index, segment_index, start_ms, end_ms, text, created_at, updated_at)
            SELECT gen_random_uuid(), '{SESSION}', n / 2, n, n * 500, n * 500 + 400, 'Words ' || n, now(), now()
            FROM generate_series(0, 3) AS n;"
    );
    sqlx::raw_sql(AssertSqlSafe(old)).execute(database.pool()).await.unwrap();
    database.migrate().await.unwrap();
    let heard = "SELECT string_agg(segment ->> 'text', ' ' ORDER BY start_ms) FROM transcript_pieces
        CROSS JOIN jsonb_array_elements(segments) AS segment";
    let text: String = sqlx::query_scalar(heard).fetch_one(database.pool()).await.unwrap();
    assert_eq!(text, "Words 0 Words 1 Words 2 Words 3");
    database.migrate_down(u32::try_from(newer).unwrap()).await.unwrap();
    let places = "SELECT string_agg(piece_index::text, ' ' ORDER BY segment_index) FROM transcript_segments";
    let places: String = sqlx::query_scalar(places).fetch_one(database.pool()).await.unwrap();
    assert_eq!(places, "0 0 1 1");
    database.migrate().await.unwrap();
}

#[tokio::test]
async fn migrations_are_reverted_one_by_one_from_the_last() {
    let database = migrated().await;
    database.migrate_down(1).await.unwrap();
    let status = database.migration_status().await.unwrap();
    let (last, others) = status.split_last().unwrap();
    assert!(!last.1 && others.iter().all(|(_, applied)| *applied), "{status:?}");
}

#[tokio::test]
async fn a_transaction_that_is_given_up_while_it_begins_takes_nothing_with_it() {
    let database = migrated().await;
    let (pool, db) = (database.pool(), database.connection());
    run(pool, "CREATE TABLE kept (round integer)").await.unwrap();
    for round in 0..200_u64 {
        let begin = tokio::time::timeout(std::time::Duration::from_micros(round * 10), begin(&db));
        drop(begin.await);
        run(pool, &format!("INSERT INTO kept VALUES ({round})")).await.unwrap();
    }
    // What another connection sees is committed.
    let other = open(pool.connect_options().to_url_lossy().as_str()).await;
    assert_eq!(number(other.pool(), "SELECT count(*) FROM kept").await, 200);
}

#[tokio::test]
async fn a_connection_that_is_well_is_used_again() {
    let url = empty_database().await;
    let mut config = config(&url).database;
    config.max_connections = 1;
    let database = Database::open(&config).await.unwrap();
    let backend = number(database.pool(), "SELECT pg_backend_pid()::bigint").await;
    for _ in 0..20 {
        assert_eq!(number(database.pool(), "SELECT pg_backend_pid()::bigint").await, backend);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_by_its_variable() {
    let mut url: Url = empty_database().await.parse().unwrap();
    url.set_path("/missing");
    let error = Database::open(&config(url.as_str()).database).await.unwrap_err();
    assert!(error.to_string().contains("DATABASE_URL"), "{error}");
}

#[tokio::test]
async fn audit_events_are_added_and_never_changed_or_removed() {
    let database = filled().await;
    let pool = database.pool();
    for statement in [
        "UPDATE audit_events SET action = 'nothing'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events CASCADE",
        "TRUNCATE users CASCADE",
    ] {
        let error = run(pool, statement).await.expect_err(statement).to_string();
        assert!(error.contains("never changed or removed"), "{statement}: {error}");
    }
    assert_eq!(number(pool, "SELECT count(*) FROM audit_events WHERE action = 'session.upload'").await, 1);
}

#[tokio::test]
async fn rows_that_cannot_be_are_refused() {
    let database = filled().await;
    for (statement, state) in [
        ("UPDATE users SET email = 'Jane@Example.com'", CHECK),
        ("UPDATE users SET role = 'ROOT'", CHECK),
        ("UPDATE users SET full_name = ''", CHECK),
        ("UPDATE users SET email = 'jane@example.com'", UNIQUE),
        ("UPDATE auth_sessions SET refresh_token = 'plain'", CHECK),
        ("UPDATE auth_sessions SET user_id = gen_random_uuid()", FOREIGN_KEY),
        ("UPDATE patients SET name = ''", CHECK),
        ("UPDATE patients SET name = repeat('x', 201)", CHECK),
        ("UPDATE patients SET therapist_id = gen_random_uuid()", FOREIGN_KEY),
        ("UPDATE sessions SET status = 'DONE'", CHECK),
        ("UPDATE sessions SET attendance = 'MAYBE'", CHECK),
        ("UPDATE sessions SET progress = 101", CHECK),
        ("UPDATE sessions SET version = 0", CHECK),
        ("UPDATE sessions SET duration_minutes = 0", CHECK),
        ("UPDATE sessions SET audio_key = NULL", CHECK),
        ("UPDATE sessions SET audio_removed_at = now()", CHECK),
        ("UPDATE sessions SET status = 'FAILED'", CHECK),
        ("UPDATE sessions SET error_message = 'failed'", CHECK),
        ("UPDATE transcript_pieces SET end_ms = start_ms", CHECK),
        ("UPDATE transcript_segments SET text = ''", CHECK),
        ("UPDATE transcript_segments SET confidence = 1.5", CHECK),
        ("UPDATE transcript_pieces SET track = -1", CHECK),
        ("UPDATE segment_corrections SET text = ''", CHECK),
        ("UPDATE speaker_assignments SET role = 'NOBODY'", CHECK),
        ("UPDATE extraction_runs SET cost_usd = -1", CHECK),
        ("UPDATE extraction_runs SET kind = 'GUESS'", CHECK),
        ("UPDATE extraction_parts SET cost_usd = -1", CHECK),
        ("UPDATE extraction_parts SET request_sha256 = 'short'", CHECK),
        ("UPDATE extraction_parts SET session_id = gen_random_uuid()", FOREIGN_KEY),
        (
            "INSERT INTO extraction_parts (id, session_id, generation, transcript_sha256, request_sha256, provider, model,
                prompt_version, answer, created_at, updated_at)
            SELECT gen_random_uuid(), session_id, generation, transcript_sha256, request_sha256, provider, model,
                prompt_version, answer, created_at, updated_at FROM extraction_parts",
            UNIQUE,
        ),
        ("UPDATE idempotency_keys SET result_id = gen_random_uuid()", CHECK),
        ("UPDATE idempotency_keys SET key = ''", CHECK),
    ] {
        assert_eq!(refused(database.pool(), statement).await, state, "{statement}");
    }
}

#[tokio::test]
async fn a_session_belongs_to_the_therapist_of_its_patient() {
    let database = filled().await;
    let statement = format!("UPDATE sessions SET therapist_id = '{OTHER_USER}'");
    assert_eq!(refused(database.pool(), &statement).await, FOREIGN_KEY);
}

#[tokio::test]
async fn a_version_of_a_session_is_told_once() {
    let database = filled().await;
    let again = "INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
        SELECT session_id, patient_id, version, status, progress, created_at FROM outbox_events";
    assert_eq!(refused(database.pool(), again).await, UNIQUE);
}

#[tokio::test]
async fn nothing_vanishes_because_something_else_did() {
    let database = filled().await;
    let pool = database.pool();
    for table in ["users", "patients", "sessions", "transcript_segments", "extraction_runs"] {
        assert_eq!(refused(pool, &format!("DELETE FROM {table}")).await, FOREIGN_KEY, "{table}");
    }
    let cascading =
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
        AND (confdeltype <> 'a' OR confupdtype <> 'a')";
    assert_eq!(number(pool, cascading).await, 0);
}

fn config(url: &str) -> Config {
    let vars = [("DATABASE_URL", url), ("DATABASE_MAX_CONNECTIONS", "2")];
    Config::from_vars(vars.map(|(name, value)| (name.into(), value.into())).into()).unwrap()
}

async fn open(url: &str) -> Database {
    Database::open(&config(url).database).await.unwrap()
}

async fn migrated() -> Database {
    open(&fresh_database().await).await
}

/// A database with a good row in every table, and a second user.
async fn filled() -> Database {
    let database = migrated().await;
    sqlx::raw_sql(AssertSqlSafe(rows())).execute(database.pool()).await.unwrap();
    database
}

fn rows() -> String {
    format!(
        "INSERT INTO users (id, email, hashed_password, full_name, role, created_at, updated_at) VALUES
            ('{USER}', 'jane@example.com', 'x', 'Jane', 'THERAPIST', now(), now()),
            ('{OTHER_USER}', 'john@example.com', 'x', 'John', 'THERAPIST', now(), now());
        INSERT INTO auth_sessions
            (id, user_id, family_id, logged_in_at, refresh_token, expires_at, created_at, updated_at)
            VALUES ('{USER}', '{USER}', '{USER}', now(), repeat('a', 64), now(), now(), now());
        INSERT INTO patients (id, therapist_id, name, created_at, updated_at)
            VALUES ('{PATIENT}', '{USER}', 'Noah', now(), now());
        INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, status, audio_key, created_at, updated_at)
            VALUES ('{SESSION}', '{PATIENT}', '{USER}', 'COMPLETED', current_date, 'PROCESSED', 'key', now(), now());
        INSERT INTO transcript_pieces
            (session_id, track, start_ms, end_ms, lead_ms, segments, provider, model, audio_ms, work_ms, created_at, updated_at)
            VALUES ('{SESSION}', 0, 0, 9, 0, '[]', 'local', 'tiny.en', 9, 1, now(), now());
        INSERT INTO transcript_segments
            (id, session_id, segment_index, start_ms, end_ms, text, created_at, updated_at)
            VALUES ('{SESSION}', '{SESSION}', 0, 0, 9, 'Hello.', now(), now());
        INSERT INTO segment_corrections (segment_id, revision, session_id, text, corrected_by, created_at)
            VALUES ('{SESSION}', 1, '{SESSION}', 'Hullo.', '{USER}', now());
        INSERT INTO speaker_assignments (session_id, speaker, role, assigned_by, created_at, updated_at)
            VALUES ('{SESSION}', 'A', 'THERAPIST', '{USER}', now(), now());
        INSERT INTO extraction_runs
            (id, session_id, kind, provider, model, prompt_version, transcript_sha256, work_ms, warnings, notes,
            created_at, updated_at)
            VALUES ('{SESSION}', '{SESSION}', 'MODEL', 'local', 'rules', 'v1', repeat('a', 64), 1, '[]', '{{}}', now(), now());
        INSERT INTO extraction_parts
            (id, session_id, generation, transcript_sha256, request_sha256, provider, model, prompt_version, answer,
            created_at, updated_at)
            VALUES ('{SESSION}', '{SESSION}', 1, repeat('a', 64), repeat('b', 64), 'openai', 'gpt-4o', 'v2', '{{}}', now(), now());
        UPDATE sessions SET extraction_run_id = '{SESSION}';
        INSERT INTO outbox_events (session_id, patient_id, version, progress, created_at)
            VALUES ('{SESSION}', '{PATIENT}', 1, 0, now());
        INSERT INTO idempotency_keys (user_id, key, operation, claim, created_at, updated_at)
            VALUES ('{USER}', 'k', 'o', '{USER}', now(), now());
        INSERT INTO audit_events (id, at, actor_id, actor_role, action, subject_type, patient_id, outcome)
            VALUES ('{USER}', now(), '{USER}', 'THERAPIST', 'session.upload', 'session', '{PATIENT}', 'OK');"
    )
}

async fn run(pool: &PgPool, statement: &str) -> sqlx::Result<PgQueryResult> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(pool).await
}

/// The SQLSTATE a statement is refused with.
async fn refused(pool: &PgPool, statement: &str) -> String {
    let error = run(pool, statement).await.expect_err(statement);
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_else(|| panic!("{error}")).into_owned()
}

async fn number(pool: &PgPool, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await.unwrap()
}

/// Every column of our tables, with its type.
async fn columns(pool: &PgPool) -> Vec<String> {
    let query = "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable) FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'seaql_migrations' ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}
