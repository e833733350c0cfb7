//! Analytics: figures of sessions, days and weeks, kept right by aggregation runs ([`runs`]), and the four reports
//! that are read from them ([`overview`], [`progress`], [`trends`], [`topics`]).
//!
//! A session's day is the therapist's (`sessions.session_date`), and so is "today" in every report.

mod figures;
pub mod metrics;
pub mod mood;
pub mod overview;
pub mod progress;
pub mod runs;
pub mod timetable;
pub mod topics;
pub mod trends;
pub mod window;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use sea_orm::{DatabaseBackend, DatabaseConnection, Statement, Value};
use uuid::Uuid;

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::events::Notifier;

pub use figures::TopicCount;

/// Works figures out, and reports them.
#[derive(Clone)]
pub struct Analytics {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    notifier: Notifier,
}

/// A therapist who asks, and when that is.
#[derive(Clone, Copy, Debug)]
struct Asking {
    therapist_id: Uuid,
    now: DateTime<Utc>,
    zone: Tz,
    today: NaiveDate,
}

impl Analytics {
    /// Analytics of this database.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, notifier: Notifier) -> Self {
        Self { db, clock, notifier }
    }

    fn asking(&self, actor: &Actor) -> Result<Asking> {
        let (therapist_id, zone, now) =
            (actor.therapist_or(Scope::AnalyticsRead)?, actor.zone(), self.clock.now());
        Ok(Asking { therapist_id, now, zone, today: window::today(now, zone) })
    }
}

/// Checks how many weeks a report is asked about.
fn checked_weeks(weeks: i32) -> Result<u32> {
    if (1..=104).contains(&weeks) {
        return Ok(weeks.unsigned_abs());
    }
    Err(Error::BadRequest(format!("`weeks` is {weeks}; it must be 1 to 104.")))
}

/// Checks how many entries are asked for.
fn checked_limit(limit: i32) -> Result<u32> {
    if (1..=100).contains(&limit) {
        return Ok(limit.unsigned_abs());
    }
    Err(Error::BadRequest(format!("`limit` is {limit}; it must be 1 to 100.")))
}

fn sql<const N: usize>(query: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values)
}
