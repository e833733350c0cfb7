//! The therapist's calendar: which day it is there, and which days, starts and lengths a session can have.

use chrono::{DateTime, Days, Months, NaiveDate, SubsecRound, Utc};
use chrono_tz::Tz;

use crate::error::UserError;

/// An appointment of the past may still be entered: a year, also a leap year.
const DAYS_BACK: Days = Days::new(366);
/// Nobody plans further ahead; whoever seems to has mistyped the year.
const MONTHS_AHEAD: Months = Months::new(5 * 12);

/// The day of a moment in a time zone.
pub(super) fn day(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// The start of an appointment, as it is stored, if it can be one.
pub(super) fn check_start(start: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, UserError> {
    let earliest = now.checked_sub_days(DAYS_BACK).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let latest = now.checked_add_months(MONTHS_AHEAD).unwrap_or(DateTime::<Utc>::MAX_UTC);
    if (earliest..=latest).contains(&start) {
        return Ok(start.trunc_subsecs(6));
    }
    let message = "An appointment starts at most 366 days back and at most 5 years ahead.";
    Err(UserError::invalid("scheduledStart", message))
}

/// Refuses lengths that no session has.
pub(super) fn check_minutes(minutes: Option<i32>) -> Result<(), UserError> {
    if minutes.is_none_or(|minutes| (1..=1440).contains(&minutes)) {
        return Ok(());
    }
    Err(UserError::invalid("durationMinutes", "A session lasts 1 to 1440 minutes."))
}

/// Refuses days on which no session can have taken place; `last` is the last one on which it can.
pub(super) fn check_past(date: NaiveDate, last: NaiveDate) -> Result<(), UserError> {
    let first = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or(NaiveDate::MIN);
    if date > last {
        let message = "A session that took place cannot lie in the future.";
        return Err(UserError::invalid("sessionDate", message));
    }
    if date < first {
        let message = "A session that took place cannot lie before 1970.";
        return Err(UserError::invalid("sessionDate", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_day_begins_and_ends_with_the_zone_also_where_the_clocks_change() {
        let berlin = Tz::Europe__Berlin;
        // The clocks go forward on 29 March 2026, and back on 25 October.
        for (moment, expected) in [
            ("2026-03-28T22:59:59Z", "2026-03-28"),
            ("2026-03-28T23:00:00Z", "2026-03-29"),
            ("2026-03-29T21:59:59Z", "2026-03-29"),
            ("2026-03-29T22:00:00Z", "2026-03-30"),
            ("2026-10-24T22:00:00Z", "2026-10-25"),
            ("2026-10-25T22:59:59Z", "2026-10-25"),
            ("2026-10-25T23:00:00Z", "2026-10-26"),
        ] {
            assert_eq!(day(at(moment), berlin).to_string(), expected, "{moment}");
        }
        let moment = at("2026-03-10T10:30:00Z");
        assert_eq!(day(moment, Tz::Pacific__Kiritimati).to_string(), "2026-03-11");
        assert_eq!(day(moment, Tz::Pacific__Niue).to_string(), "2026-03-09");
    }

    #[test]
    fn an_appointment_starts_a_year_back_to_five_years_ahead() {
        let now = at("2028-02-29T12:00:00Z");
        for fine in ["2027-02-28T12:00:00Z", "2028-02-29T12:00:00Z", "2033-02-28T12:00:00Z"] {
            assert_eq!(check_start(at(fine), now), Ok(at(fine)));
        }
        for wrong in ["2027-02-28T11:59:59Z", "2033-02-28T12:00:01Z"] {
            assert!(check_start(at(wrong), now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_start_is_as_exact_as_the_database_keeps_it() {
        let start = at("2028-02-29T12:00:00.123456789Z");
        assert_eq!(check_start(start, start), Ok(at("2028-02-29T12:00:00.123456Z")));
    }
}
