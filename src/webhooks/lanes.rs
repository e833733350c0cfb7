//! How much is on its way at a time. A webhook that answers slowly holds up itself, its therapist's others less, and those of
//! other therapists not at all: whoever finds the lanes taken is parked, and woken when one comes free.
//!
//! Everything here happens under an advisory lock of the therapist, so that counts are exact across processes. A worker that was
//! killed holds no lane: its claim is over as soon as its job goes back to the queue.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};
use uuid::Uuid;

/// Requests on their way to one webhook.
pub const OF_A_WEBHOOK: i64 = 2;
/// Requests on their way to all webhooks of a therapist.
pub const OF_A_THERAPIST: i64 = 4;
/// Parked ones look again after so long, should nobody wake them.
pub(super) const LONGEST_PARKED: Duration = Duration::from_secs(60);

/// Lets nobody else count lanes of this therapist, or webhooks, until the transaction ends.
pub(super) async fn lock(txn: &impl ConnectionTrait, therapist_id: Uuid) -> Result<(), DbErr> {
    let query = "SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || $1::text, 0))";
    txn.execute_raw(sql(query, [therapist_id.into()])).await.map(drop)
}

/// What is on its way of a therapist's: the delivery's job is held in the very claim that the delivery knows.
const UNDER_WAY: &str = "SELECT d.id, d.webhook_id FROM webhook_deliveries d
    JOIN apalis.jobs j ON j.id = d.job_id AND j.attempts = d.claim AND j.status = 'Running'
    WHERE d.therapist_id = $1 AND d.claim IS NOT NULL";

/// Whether one more may go out, to this webhook; `delivery_id` itself does not count.
pub(super) async fn is_free(
    txn: &impl ConnectionTrait,
    therapist_id: Uuid,
    (webhook_id, delivery_id): (Uuid, Uuid),
) -> Result<bool, DbErr> {
    let query = format!(
        "SELECT count(*) < $5 AND count(*) FILTER (WHERE webhook_id = $2) < $4 AS free
         FROM ({UNDER_WAY}) AS under_way WHERE id <> $3"
    );
    let values: [Value; 5] = [
        therapist_id.into(),
        webhook_id.into(),
        delivery_id.into(),
        OF_A_WEBHOOK.into(),
        OF_A_THERAPIST.into(),
    ];
    let row = txn.query_one_raw(sql(&query, values)).await?;
    row.map_or(Ok(false), |row| row.try_get("", "free"))
}

/// Wakes those that have waited longest, as many as there is room for.
pub(super) async fn wake(txn: &impl ConnectionTrait, therapist_id: Uuid) -> Result<(), DbErr> {
    let query = format!(
        "WITH under_way AS ({UNDER_WAY}),
         chosen AS (
             SELECT parked.id, parked.job_id FROM webhooks w CROSS JOIN LATERAL (
                 SELECT id, job_id FROM webhook_deliveries WHERE webhook_id = w.id AND parked ORDER BY id
                 LIMIT greatest($2 - (SELECT count(*) FROM under_way WHERE webhook_id = w.id), 0)) AS parked
             WHERE w.therapist_id = $1
             ORDER BY parked.id LIMIT greatest($3 - (SELECT count(*) FROM under_way), 0)),
         woken AS (
             UPDATE webhook_deliveries d SET parked = false FROM chosen WHERE d.id = chosen.id RETURNING d.job_id)
         UPDATE apalis.jobs SET run_at = now() FROM woken
         WHERE jobs.id = woken.job_id AND jobs.status = 'Pending' AND jobs.run_at > now()"
    );
    let values: [Value; 3] = [therapist_id.into(), OF_A_WEBHOOK.into(), OF_A_THERAPIST.into()];
    txn.execute_raw(sql(&query, values)).await.map(drop)
}

fn sql(query: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values)
}
