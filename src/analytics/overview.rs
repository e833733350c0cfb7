//! The practice at a glance.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::window::Days;
use super::{Analytics, Asking, sql};
use crate::actor::Actor;
use crate::clock;
use crate::error::Result;

/// Days that tell whether a patient is active, and by which sessions' attendance is judged.
const RECENT_DAYS: u32 = 30;

/// Figures of a practice.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Overview {
    /// Patients whose record is not archived.
    pub total_patients: i64,
    /// Of those, with a completed session in the last 30 days.
    pub active_patients: i64,
    /// Completed sessions of the present ISO week.
    pub sessions_this_week: i64,
    /// Completed sessions of the present month.
    pub sessions_this_month: i64,
    /// Scheduled sessions that begin in the future.
    pub upcoming_sessions: i64,
    /// Completed sessions of the last 30 days.
    recent_completed: i64,
    /// Of these days, all that were completed, cancelled or missed.
    recent_decided: i64,
    /// When the first of the upcoming sessions begins.
    next_start: Option<DateTime<Utc>>,
}

impl Overview {
    /// Completed ÷ (completed + cancelled + missed) of the last 30 days; `None` when there are none.
    #[must_use]
    pub fn completion_rate(&self) -> Option<f64> {
        super::trends::rate(self.recent_completed, self.recent_decided)
    }
}

/// The one statement of an overview: a therapist's counts, each by an index.
pub const QUERY: &str = "SELECT
    (SELECT count(*) FROM patients WHERE therapist_id = $1 AND archived_at IS NULL) AS total_patients,
    (SELECT count(DISTINCT s.patient_id) FROM sessions AS s JOIN patients AS p ON p.id = s.patient_id
     WHERE s.therapist_id = $1 AND s.session_date BETWEEN $2 AND $3 AND s.attendance = 'COMPLETED'
       AND p.therapist_id = $1 AND p.archived_at IS NULL) AS active_patients,
    (SELECT coalesce(sum(completed_sessions), 0) FROM daily_stats
     WHERE therapist_id = $1 AND stat_date BETWEEN $4 AND $5) AS sessions_this_week,
    (SELECT coalesce(sum(completed_sessions), 0) FROM daily_stats
     WHERE therapist_id = $1 AND stat_date BETWEEN $6 AND $7) AS sessions_this_month,
    upcoming.count AS upcoming_sessions, upcoming.first AS next_start,
    recent.completed AS recent_completed, recent.decided AS recent_decided
FROM (SELECT count(*) AS count, min(scheduled_start) AS first FROM sessions
      WHERE therapist_id = $1 AND attendance = 'SCHEDULED' AND scheduled_start > $8) AS upcoming,
     (SELECT coalesce(sum(completed_sessions), 0) AS completed,
             coalesce(sum(completed_sessions + cancelled_sessions + no_show_sessions), 0) AS decided
      FROM daily_stats WHERE therapist_id = $1 AND stat_date BETWEEN $2 AND $3) AS recent";

impl Analytics {
    /// The therapist's practice at a glance.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for others than therapists.
    pub async fn overview(&self, actor: &Actor) -> Result<Overview> {
        let asking = self.asking(actor)?;
        self.overview_of(asking).await
    }

    /// The same, with the time at which it will be another one even if nothing happens: an appointment begins, or a day.
    ///
    /// # Errors
    /// Those of [`overview`](Self::overview).
    pub async fn overview_for_now(&self, actor: &Actor) -> Result<(Overview, DateTime<Utc>)> {
        let asking = self.asking(actor)?;
        let overview = self.overview_of(asking).await?;
        let tomorrow = asking.today.succ_opt().unwrap_or(NaiveDate::MAX);
        let midnight = clock::moment(tomorrow, 0, asking.zone);
        let until = overview.next_start.map_or(midnight, |start| start.min(midnight));
        Ok((overview, until))
    }

    async fn overview_of(&self, asking: Asking) -> Result<Overview> {
        let Asking { therapist_id, now, today, .. } = asking;
        let (recent, week) = (Days::ending(today, RECENT_DAYS), Days::week_of(today));
        let statement = statement(therapist_id, (recent, week, Days::month_of(today)), now);
        let found = Overview::find_by_statement(statement).one(&self.db).await?;
        Ok(found.ok_or_else(|| anyhow::anyhow!("a SELECT without FROM gave no row"))?)
    }
}

fn statement(
    therapist_id: Uuid,
    (recent, week, month): (Days, Days, Days),
    now: DateTime<Utc>,
) -> sea_orm::Statement {
    let values = [
        therapist_id.into(),
        recent.first.into(),
        recent.last.into(),
        week.first.into(),
        week.last.into(),
        month.first.into(),
        month.last.into(),
        now.into(),
    ];
    sql(QUERY, values)
}
