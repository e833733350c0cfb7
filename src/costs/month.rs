//! A month as people in a time zone live it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::clock;

/// A month of a year, written `2026-03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month(NaiveDate);

impl Month {
    /// The month that a moment lies in, there.
    #[must_use]
    pub fn of(at: DateTime<Utc>, zone: Tz) -> Self {
        let day = at.with_timezone(&zone).date_naive();
        Self(day.with_day(1).unwrap_or(day))
    }

    /// Its first moment there, and that of the next month.
    #[must_use]
    pub fn bounds(self, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        let next = self.0.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        (clock::moment(self.0, 0, zone), clock::moment(next, 0, zone))
    }
}

/// What was written is no month.
#[derive(Debug, thiserror::Error)]
#[error("Write a month as YYYY-MM, such as 2026-03.")]
pub struct NoMonth;

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let day = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").map_err(|_| NoMonth)?;
        // Days before and after it exist in every time zone.
        let is_near = (1970..=9998).contains(&day.year()) && day.checked_add_days(Days::new(40)).is_some();
        if text.len() == 7 && is_near { Ok(Self(day)) } else { Err(NoMonth) }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(month: &str, zone: Tz) -> (String, String) {
        let (from, to) = month.parse::<Month>().expect("a month").bounds(zone);
        (from.to_rfc3339(), to.to_rfc3339())
    }

    #[test]
    fn a_month_begins_and_ends_at_midnight_there() {
        let berlin = bounds("2026-03", Tz::Europe__Berlin);
        assert_eq!(berlin, ("2026-02-28T23:00:00+00:00".into(), "2026-03-31T22:00:00+00:00".into()));
        let year = bounds("2026-12", Tz::UTC);
        assert_eq!(year, ("2026-12-01T00:00:00+00:00".into(), "2027-01-01T00:00:00+00:00".into()));
    }

    #[test]
    fn a_moment_lies_in_the_month_of_its_zone() {
        let at = "2026-03-31T23:30:00Z".parse().expect("a time");
        assert_eq!(Month::of(at, Tz::UTC).to_string(), "2026-03");
        assert_eq!(Month::of(at, Tz::Europe__Berlin).to_string(), "2026-04");
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in [
            "",
            "2026",
            "2026-3",
            "2026-13",
            "2026-00",
            "2026-03-01",
            "03-2026",
            "1969-12",
            "9999-01",
            "２026-0",
        ] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
