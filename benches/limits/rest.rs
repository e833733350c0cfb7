//! What a practice has besides patients and sessions, and the server besides this practice.

use uuid::Uuid;

/// As many of each as make full pages.
pub(crate) fn statements(jane: Uuid) -> Vec<String> {
    let key = "('key' || n)::bytea";
    vec![
        "INSERT INTO users (id, email, hashed_password, full_name, role, timezone, created_at, updated_at)
            SELECT gen_random_uuid(), 'u' || n || '@example.com', '', 'User ' || n, 'THERAPIST', 'UTC', now(), now()
            FROM generate_series(1, 1000) n"
            .to_owned(),
        format!("INSERT INTO auth_sessions (id, user_id, family_id, logged_in_at, refresh_token, expires_at, ip, user_agent, created_at, updated_at)
            SELECT gen_random_uuid(), '{jane}', gen_random_uuid(), now(), encode(sha256({key}), 'hex'), now() + interval '1 day',
                '192.0.2.1', repeat('agent ', 20), now(), now() FROM generate_series(1, 100) n"),
        format!("INSERT INTO api_keys (id, owner_id, name, prefix, secret_hash, scopes, allowed_ips, expires_at, created_at, updated_at)
            SELECT gen_random_uuid(), '{jane}', 'key ' || n, 'tb_' || n, encode(sha256({key}), 'hex'), '{{sessions:read,patients:read}}',
                '{{192.0.2.0/24}}', now() + interval '1 day', now(), now() FROM generate_series(1, 100) n"),
        format!("INSERT INTO export_jobs (id, therapist_id, patient_id, kind, format, status, progress, weeks, file_name, size_bytes, sha256,
                expires_at, created_at, updated_at)
            SELECT gen_random_uuid(), '{jane}', patient_id, 'PROGRESS_REPORT', 'PDF', 'EXPIRED', 100, 12, 'Progress of somebody.pdf', 1,
                repeat('0', 64), now(), now(), now()
            FROM (SELECT id AS patient_id FROM patients WHERE therapist_id = '{jane}' LIMIT 1) AS one, generate_series(1, 200)"),
        "INSERT INTO webhook_deliveries (id, webhook_id, therapist_id, event_id, event, body, state, attempts, last_status, delivered_at,
                created_at, updated_at)
            SELECT gen_random_uuid(), id, therapist_id, gen_random_uuid(), 'session.processed', repeat('0', 500), 'DELIVERED', 1, 204, now(),
                now(), now() FROM webhooks, generate_series(1, 100)"
            .to_owned(),
        format!("INSERT INTO aggregation_runs (id, kind, status, therapist_id, progress, created_at, updated_at)
            SELECT gen_random_uuid(), 'MANUAL', 'COMPLETED', '{jane}', 100, now(), now() FROM generate_series(1, 200)"),
        "VACUUM ANALYZE".to_owned(),
    ]
}
