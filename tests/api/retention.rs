//! Rows that have done what they were for go after their time, each by its own period, whatever that is set to; and not before.

use chrono::TimeDelta;
use therapybridge::config::retention::RETENTIONS;
use therapybridge::queue;
use therapybridge::queue::jobs::PurgeExpired;

use super::support::TestApp;

/// A kind of row: how one is made at `$at`, how it is counted, and its period, which is set to two days where it can be.
struct Kept {
    what: &'static str,
    make: &'static str,
    count: &'static str,
    period: TimeDelta,
    /// Its times are the database's, not the server's.
    by_database: bool,
}

/// The nth row, so that keys differ.
const ID: &str = "('00000000-0000-7000-8000-00000000000' || $n)::uuid";

fn kept() -> Vec<Kept> {
    let two_days = TimeDelta::days(2);
    let row = |what, make, count, period| Kept { what, make, count, period, by_database: false };
    vec![
        row(
            "events of subscriptions",
            "INSERT INTO outbox_events (session_id, patient_id, version, progress, created_at)
                SELECT id, patient_id, 100 + $n, 0, $at FROM sessions",
            "SELECT count(*) FROM outbox_events WHERE version > 100",
            two_days,
        ),
        row(
            "aggregation runs by the clock or by hand that have ended",
            "INSERT INTO aggregation_runs (id, kind, status, due_at, created_at, updated_at, finished_at, started_at)
                VALUES ($id, 'DAILY', 'COMPLETED', $at, $at, $at, $at, $at)",
            "SELECT count(*) FROM aggregation_runs WHERE kind = 'DAILY'",
            TimeDelta::days(4),
        ),
        row(
            "exports whose file is gone, or never came",
            "INSERT INTO export_jobs (id, therapist_id, patient_id, kind, weeks, format, status, error_message, created_at, updated_at)
                SELECT $id, therapist_id, id, 'PROGRESS_REPORT', 1, 'PDF', 'FAILED', 'x', $at, $at FROM patients",
            "SELECT count(*) FROM export_jobs",
            TimeDelta::days(4),
        ),
        row(
            "log-ins that have ended",
            "INSERT INTO auth_sessions (id, user_id, family_id, logged_in_at, refresh_token, expires_at, created_at, updated_at)
                SELECT $id, id, id, $at, repeat($n::text, 64), $at, $at, $at FROM users",
            "SELECT count(*) FROM auth_sessions WHERE family_id = user_id",
            two_days,
        ),
        row(
            "challenges of second factors that have expired",
            "INSERT INTO log_in_challenges (id, user_id, token, password_mark, expires_at, created_at)
                SELECT $id, id, repeat($n::text, 64), repeat('0', 64), $at, $at FROM users",
            "SELECT count(*) FROM log_in_challenges",
            TimeDelta::days(1),
        ),
        row(
            "invitations that were not accepted",
            "INSERT INTO patient_invitations (id, patient_id, therapist_id, code, expires_at, revoked_at, created_at, updated_at)
                SELECT $id, id, therapist_id, repeat($n::text, 64), $at, $at, $at, $at FROM patients",
            "SELECT count(*) FROM patient_invitations",
            two_days,
        ),
        row(
            "API keys that have ended",
            "INSERT INTO api_keys (id, owner_id, name, prefix, secret_hash, scopes, allowed_ips, expires_at, revoked_at,
                    created_at, updated_at)
                SELECT $id, id, 'x', 'x', repeat($n::text, 64), '{audit:read}', '{}',
                    CASE $n % 2 WHEN 0 THEN $at ELSE $at + interval '90 days' END, CASE $n % 2 WHEN 1 THEN $at END,
                    $at - interval '1 day', $at FROM users",
            "SELECT count(*) FROM api_keys",
            two_days,
        ),
        row(
            "idempotency keys",
            "INSERT INTO idempotency_keys (user_id, key, operation, claim, created_at, updated_at)
                SELECT id, 'key $n', 'x', id, $at, $at FROM users",
            "SELECT count(*) FROM idempotency_keys",
            TimeDelta::hours(24),
        ),
        row(
            "windows of rate limits that have passed",
            "INSERT INTO rate_limits (key, hits, outcome, expires_at) VALUES ('old $n', '{}', 'ADMITTED', $at)",
            "SELECT count(*) FROM rate_limits WHERE key LIKE 'old %'",
            TimeDelta::zero(),
        ),
        row(
            "webhook deliveries that have ended",
            "WITH webhook AS (
                INSERT INTO webhooks (id, therapist_id, url, events, secret, created_at, updated_at)
                    SELECT $id, id, '', '{x}', 'x', $at, $at FROM users RETURNING id, therapist_id)
                INSERT INTO webhook_deliveries (id, webhook_id, therapist_id, event_id, event, body, state,
                    created_at, updated_at)
                SELECT $id, id, therapist_id, id, 'x', '', 'FAILED', $at, $at FROM webhook",
            "SELECT count(*) FROM webhook_deliveries",
            two_days,
        ),
        Kept {
            by_database: true,
            ..row(
                "jobs that are done or were given up",
                "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority, metadata)
                    VALUES ('old $n', 'x', '', CASE $n % 2 WHEN 0 THEN 'Done' ELSE 'Killed' END, 1, 1, $at, $at, 0, '')",
                "SELECT count(*) FROM apalis.jobs WHERE id LIKE 'old %'",
                two_days,
            )
        },
        Kept {
            by_database: true,
            ..row(
                "workers that gave no sign of life",
                "INSERT INTO apalis.workers (id, worker_type, storage_name, layers, last_seen)
                    VALUES ('old $n', 'x', 'x', '', $at)",
                "SELECT count(*) FROM apalis.workers WHERE id LIKE 'old %'",
                TimeDelta::days(1),
            )
        },
    ]
}

const SET: [(&str, &str); 8] = [
    ("EVENT_RETENTION_DAYS", "2"),
    ("AGGREGATION_RUN_RETENTION_DAYS", "4"),
    ("EXPORT_JOB_RETENTION_DAYS", "4"),
    ("ENDED_LOG_IN_RETENTION_DAYS", "2"),
    ("INVITATION_RETENTION_DAYS", "2"),
    ("ENDED_API_KEY_RETENTION_DAYS", "2"),
    ("FINISHED_JOB_RETENTION_DAYS", "2"),
    ("WEBHOOK_DELIVERY_RETENTION_DAYS", "2"),
];

#[tokio::test]
async fn rows_go_after_the_period_that_is_set_and_not_before() {
    let app = TestApp::with(&SET).await;
    let jane = app.therapist("jane").await;
    jane.session(&jane.patient("Daniel").await, super::support::recording("cbr.mp3")).await;
    let rows = kept();
    for row in &rows {
        let now = if row.by_database {
            "now()".to_owned()
        } else {
            format!("timestamptz '{}'", super::support::today())
        };
        // Three that are over, and two that are not yet: by minutes each way.
        for (n, minutes) in [(1, 1), (2, 2), (3, 3), (4, -1), (5, -2)] {
            let age = row.period.num_minutes() + minutes;
            let at = format!("({now} - interval '{age} minutes')");
            app.run(&row.make.replace("$id", ID).replace("$n", &n.to_string()).replace("$at", &at)).await;
        }
        assert_eq!(app.count(row.count).await, 5, "{}", row.what);
    }
    queue::enqueue(&app.app.db, &PurgeExpired { due: 1 }).await.unwrap();
    app.run_jobs().await;
    for row in &rows {
        assert_eq!(app.count(row.count).await, 2, "{}", row.what);
    }
    let users =
        app.count("SELECT count(*) FROM users").await + app.count("SELECT count(*) FROM sessions").await;
    assert_eq!(users, 2, "nothing else goes");
    assert!(app.count("SELECT count(*) FROM audit_events").await > 0);
}

#[tokio::test]
async fn an_invitation_that_was_accepted_stays_as_evidence() {
    let app = TestApp::with(&SET).await;
    let jane = app.therapist("jane").await;
    app.patient_user(&jane, "maria").await;
    app.clock.advance(TimeDelta::days(400));
    queue::enqueue(&app.app.db, &PurgeExpired { due: 1 }).await.unwrap();
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM patient_invitations WHERE accepted_at IS NOT NULL").await, 1);
}

#[tokio::test]
async fn runs_outlive_the_events_that_point_at_them() {
    // Runs are to be kept for less time than events: that cannot be, and is no fault.
    let app = TestApp::with(&[("EVENT_RETENTION_DAYS", "10"), ("AGGREGATION_RUN_RETENTION_DAYS", "1")]).await;
    let jane = app.therapist("jane").await;
    jane.session(&jane.patient("Daniel").await, super::support::recording("cbr.mp3")).await;
    app.run_jobs().await;
    let runs = "SELECT count(*) FROM aggregation_runs";
    assert!(app.count(runs).await > 0);
    for (days, left) in [(9, true), (1, true), (2, false)] {
        app.clock.advance(TimeDelta::days(days));
        queue::enqueue(&app.app.db, &PurgeExpired { due: days }).await.unwrap();
        app.run_jobs().await;
        assert_eq!(app.count(runs).await > 0, left, "{days}");
        assert_eq!(
            app.count(
                "SELECT count(*) FROM apalis.jobs WHERE job_type = 'purge_expired' AND status <> 'Done'"
            )
            .await,
            0
        );
    }
    assert_eq!(app.count("SELECT count(*) FROM outbox_events").await, 0);
}

/// Whoever adds a period adds its test: here for rows, for files in `cleanup`, `storage`, `uploads`, `exports`; for tokens in `accounts`.
#[test]
fn every_period_has_its_test() {
    let elsewhere = [
        "complete recordings whose session never came to be",
        "resumable uploads that get nothing more",
        "resumable uploads that have ended",
        "files that nothing needs",
        "recordings of FAILED sessions",
        "recordings of PROCESSED sessions",
        "exported files",
        "refresh tokens",
    ];
    let mut tested: Vec<&str> = kept().iter().map(|row| row.what).chain(elsewhere).collect();
    let mut all: Vec<&str> = RETENTIONS.iter().map(|retention| retention.what).collect();
    tested.sort_unstable();
    all.sort_unstable();
    assert_eq!(tested, all);
}
