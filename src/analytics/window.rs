//! Stretches of days as a therapist lives them.

use async_graphql::Enum;
use chrono::{DateTime, Datelike, Days as Span, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

/// Days in a row, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: NaiveDate,
    /// The last.
    pub last: NaiveDate,
}

impl Days {
    /// As many days as that, the last of them given.
    #[must_use]
    pub fn ending(last: NaiveDate, count: u32) -> Self {
        let first = last.checked_sub_days(Span::new(u64::from(count.max(1) - 1))).unwrap_or(NaiveDate::MIN);
        Self { first, last }
    }

    /// The week that a day lies in, Monday to Sunday.
    #[must_use]
    pub fn week_of(day: NaiveDate) -> Self {
        let first = monday(day);
        Self { first, last: first.checked_add_days(Span::new(6)).unwrap_or(NaiveDate::MAX) }
    }

    /// The month that a day lies in.
    #[must_use]
    pub fn month_of(day: NaiveDate) -> Self {
        let first = day.with_day(1).unwrap_or(day);
        let last = first.checked_add_months(Months::new(1)).and_then(|next| next.pred_opt());
        Self { first, last: last.unwrap_or(NaiveDate::MAX) }
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> i64 {
        (self.last - self.first).num_days() + 1
    }

    /// The day on which the later half begins; of an odd number of days the one in the middle is its first.
    #[must_use]
    pub fn middle(self) -> NaiveDate {
        self.first + TimeDelta::days(self.count() / 2)
    }
}

/// The Monday of the week that a day lies in.
#[must_use]
pub fn monday(day: NaiveDate) -> NaiveDate {
    day.checked_sub_days(Span::new(u64::from(day.weekday().num_days_from_monday()))).unwrap_or(NaiveDate::MIN)
}

/// The day it is there.
#[must_use]
pub fn today(now: DateTime<Utc>, zone: Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

/// How far back to look, up to and including today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "TrendPeriod")]
pub enum Period {
    /// 7 days.
    D7,
    /// 30 days.
    D30,
    /// 90 days.
    D90,
    /// 365 days.
    Y1,
}

impl Period {
    /// Its days, if today is that day.
    #[must_use]
    pub fn days(self, today: NaiveDate) -> Days {
        let count = match self {
            Self::D7 => 7,
            Self::D30 => 30,
            Self::D90 => 90,
            Self::Y1 => 365,
        };
        Days::ending(today, count)
    }
}

/// How much time one point stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "TrendGranularity")]
pub enum Granularity {
    /// A day.
    Day,
    /// A week, Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

impl Granularity {
    /// The first day of the point that a day belongs to.
    #[must_use]
    pub fn point_of(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Day => day,
            Self::Week => monday(day),
            Self::Month => day.with_day(1).unwrap_or(day),
        }
    }

    /// The first days of all points that these days touch, in order.
    #[must_use]
    pub fn points(self, days: Days) -> Vec<NaiveDate> {
        let mut points: Vec<NaiveDate> = days
            .first
            .iter_days()
            .take_while(|day| *day <= days.last)
            .map(|day| self.point_of(day))
            .collect();
        points.dedup();
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn days(first: &str, last: &str) -> Days {
        Days { first: day(first), last: day(last) }
    }

    #[test]
    fn windows_end_today_and_have_their_number_of_days() {
        assert_eq!(Days::ending(day("2026-03-02"), 7), days("2026-02-24", "2026-03-02"));
        assert_eq!(Days::ending(day("2028-03-01"), 2), days("2028-02-29", "2028-03-01"));
        assert_eq!(Period::Y1.days(day("2028-12-31")).count(), 365);
    }

    #[test]
    fn the_later_half_has_the_day_in_the_middle() {
        assert_eq!(days("2026-03-01", "2026-03-07").middle(), day("2026-03-04"));
        assert_eq!(days("2026-03-01", "2026-03-14").middle(), day("2026-03-08"));
    }

    #[test]
    fn weeks_begin_on_monday_also_across_years() {
        // Week 53 of 2026 ends on a Sunday in 2027.
        assert_eq!(Days::week_of(day("2027-01-03")), days("2026-12-28", "2027-01-03"));
        assert_eq!(monday(day("2027-01-04")), day("2027-01-04"));
    }

    #[test]
    fn months_know_leap_days() {
        assert_eq!(Days::month_of(day("2028-02-10")), days("2028-02-01", "2028-02-29"));
        assert_eq!(Days::month_of(day("2026-12-31")), days("2026-12-01", "2026-12-31"));
    }

    #[test]
    fn points_leave_no_gap_and_begin_where_their_week_or_month_does() {
        let year_end = days("2026-12-30", "2027-01-05");
        assert_eq!(Granularity::Day.points(year_end).len(), 7);
        assert_eq!(Granularity::Week.points(year_end), [day("2026-12-28"), day("2027-01-04")]);
        assert_eq!(Granularity::Month.points(year_end), [day("2026-12-01"), day("2027-01-01")]);
    }

    #[test]
    fn today_is_another_day_on_the_other_side_of_the_date_line() {
        let now = "2026-03-01T11:30:00Z".parse().expect("a time");
        assert_eq!(today(now, Tz::Pacific__Kiritimati), day("2026-03-02"));
        assert_eq!(today(now, Tz::Pacific__Pago_Pago), day("2026-03-01"));
    }
}
