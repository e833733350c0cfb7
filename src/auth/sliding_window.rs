//! Windows that slide: exact counts in PostgreSQL, for as many processes as there are. A check is one statement on one
//! row, so that of two at once each sees the other.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use crate::config::Rate;

/// $1 key, $2 now, $3 the start of the window, $4 how many, $5 the end of the row's use.
///
/// A hit is remembered only when it was let in: who goes on knocking is let in again when the window has passed.
const ATTEMPT: &str = "
INSERT INTO rate_limits AS r (key, hits, outcome, refused_at, expires_at)
VALUES ($1, ARRAY[$2], 'ADMITTED', NULL, $5)
ON CONFLICT (key) DO UPDATE SET (hits, outcome, refused_at, expires_at) = (
    SELECT CASE WHEN fits THEN array_append(live, $2) ELSE live END,
           CASE WHEN fits THEN 'ADMITTED' WHEN r.refused_at > $3 THEN 'REFUSED_AGAIN' ELSE 'REFUSED' END,
           CASE WHEN fits OR r.refused_at > $3 THEN r.refused_at ELSE $2 END,
           GREATEST(r.expires_at, $5)
    FROM (SELECT live, cardinality(live) < $4 AS fits
          FROM (SELECT ARRAY(SELECT hit FROM unnest(r.hits) hit WHERE hit > $3 ORDER BY hit) AS live) window_now) judged)
RETURNING outcome, cardinality(hits) AS used, hits[cardinality(hits) - $4 + 1] AS blocking";

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was let in, and counted.
    Admitted {
        /// How many more would be let in now.
        remaining: u32,
    },
    /// It was not let in.
    Refused {
        /// Until the next one would be let in.
        wait: Duration,
        /// Whether this is the first refusal in a window's length: the one to be reported.
        first: bool,
    },
}

/// Counts an attempt under `key`, if it fits in `rate`.
///
/// # Errors
/// When the database does not answer.
pub async fn attempt(
    db: &impl ConnectionTrait,
    key: &str,
    rate: Rate,
    now: DateTime<Utc>,
) -> Result<Outcome, DbErr> {
    let (since, until) = (now - rate.window, now + rate.window);
    let count = i32::try_from(rate.count.get()).unwrap_or(i32::MAX);
    let values = [key.into(), now.into(), since.into(), count.into(), until.into()];
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, ATTEMPT, values);
    let row = db.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("an upsert gives its row".into()))?;
    let outcome: String = row.try_get("", "outcome")?;
    if outcome == "ADMITTED" {
        let used: i32 = row.try_get("", "used")?;
        return Ok(Outcome::Admitted { remaining: u32::try_from(count - used).unwrap_or(0) });
    }
    let blocking: DateTime<Utc> = row.try_get("", "blocking")?;
    let wait = (blocking + rate.window - now).to_std().unwrap_or_default();
    Ok(Outcome::Refused { wait, first: outcome == "REFUSED" })
}
