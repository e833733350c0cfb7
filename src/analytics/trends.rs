//! Sessions over time.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sea_orm::FromQueryResult;

use super::window::{Days, Granularity, Period};
use super::{Analytics, sql};
use crate::actor::Actor;
use crate::error::Result;

/// A day of `daily_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Day {
    /// Which day.
    pub stat_date: NaiveDate,
    /// Sessions that took place.
    pub completed_sessions: i32,
    /// … were called off.
    pub cancelled_sessions: i32,
    /// … were missed by the patient.
    pub no_show_sessions: i32,
    /// Completed ones of known length.
    pub timed_sessions: i32,
    /// Their minutes.
    pub timed_minutes: i32,
}

/// A day, week or month of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its first day; of the first point it may lie before the period, of which alone sessions are counted.
    pub date: NaiveDate,
    /// Sessions that took place.
    pub completed: i64,
    /// … were called off.
    pub cancelled: i64,
    /// … were missed by the patient.
    pub no_show: i64,
    /// Completed ones of known length.
    timed: i64,
    /// Their minutes.
    minutes: i64,
}

impl Point {
    fn at(date: NaiveDate) -> Self {
        Self { date, completed: 0, cancelled: 0, no_show: 0, timed: 0, minutes: 0 }
    }

    fn add(&mut self, day: &Day) {
        self.completed += i64::from(day.completed_sessions);
        self.cancelled += i64::from(day.cancelled_sessions);
        self.no_show += i64::from(day.no_show_sessions);
        self.timed += i64::from(day.timed_sessions);
        self.minutes += i64::from(day.timed_minutes);
    }

    /// Mean length of the completed sessions of known length, in minutes; `None` without any.
    #[must_use]
    pub fn average_minutes(&self) -> Option<f64> {
        rate(self.minutes, self.timed)
    }

    /// Completed ÷ (completed + cancelled + missed); `None` without any.
    #[must_use]
    pub fn completion_rate(&self) -> Option<f64> {
        rate(self.completed, self.completed + self.cancelled + self.no_show)
    }
}

/// Sessions over a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Trends {
    /// The days looked at.
    pub days: Days,
    /// A point a day, week or month, also where there was nothing.
    pub points: Vec<Point>,
    /// All of it in one.
    pub total: Point,
    /// The day with the most completed sessions, the earliest of equals; `None` without any.
    pub peak_day: Option<NaiveDate>,
}

impl Trends {
    /// Of the figures of days, none of which lies outside the period.
    #[must_use]
    pub fn of(stats: &[Day], days: Days, granularity: Granularity) -> Self {
        let mut points: BTreeMap<NaiveDate, Point> =
            granularity.points(days).into_iter().map(|date| (date, Point::at(date))).collect();
        let (mut total, mut peak) = (Point::at(days.first), None::<&Day>);
        for day in stats {
            total.add(day);
            if let Some(point) = points.get_mut(&granularity.point_of(day.stat_date)) {
                point.add(day);
            }
            let least = peak.map_or(0, |peak| peak.completed_sessions);
            let is_earlier = peak.is_some_and(|peak| day.stat_date < peak.stat_date);
            if day.completed_sessions > least || (day.completed_sessions == least && is_earlier) {
                peak = Some(day);
            }
        }
        Self { days, points: points.into_values().collect(), total, peak_day: peak.map(|day| day.stat_date) }
    }

    /// Completed sessions a calendar day.
    #[must_use]
    pub fn average_per_day(&self) -> f64 {
        rate(self.total.completed, self.days.count()).unwrap_or_default()
    }
}

/// A share, or a mean; `None` of nothing.
#[must_use]
pub fn rate(part: i64, whole: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 sessions and minutes")]
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The one statement of the trends: a row a day with sessions.
pub const QUERY: &str =
    "SELECT stat_date, completed_sessions, cancelled_sessions, no_show_sessions, timed_sessions,
        timed_minutes
    FROM daily_stats WHERE therapist_id = $1 AND stat_date BETWEEN $2 AND $3 ORDER BY stat_date";

impl Analytics {
    /// The therapist's sessions over a period that ends today.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for others than therapists.
    pub async fn trends(&self, actor: &Actor, period: Period, granularity: Granularity) -> Result<Trends> {
        let asking = self.asking(actor)?;
        let days = period.days(asking.today);
        let values = [asking.therapist_id.into(), days.first.into(), days.last.into()];
        let stats = Day::find_by_statement(sql(QUERY, values)).all(&self.db).await?;
        Ok(Trends::of(&stats, days, granularity))
    }
}
