//! When the scheduled runs are due: each day at one hour, and each Sunday at one o'clock, of the operator's time zone.

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;

use crate::clock;

/// The hour of the weekly run.
const WEEKLY_HOUR: u32 = 1;

/// A run that the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduled {
    /// Every day.
    Daily,
    /// Every Sunday.
    Weekly,
}

/// When runs are due. A day has one due time, whatever is done to its clocks: where the hour is left out it is the
/// moment that the clocks are put forward to, where it comes twice it is the first.
#[derive(Clone, Copy, Debug)]
pub struct Timetable {
    /// `SCHEDULER_TIMEZONE`.
    pub zone: Tz,
    /// `DAILY_AGGREGATION_HOUR`, 0 to 23.
    pub daily_hour: u32,
}

impl Timetable {
    /// The first due time after a moment.
    #[must_use]
    pub fn next(self, run: Scheduled, after: DateTime<Utc>) -> DateTime<Utc> {
        let days = self.days_around(after).filter_map(move |day| self.due(run, day));
        days.filter(|due| *due > after).min().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The last due time up to and including a moment.
    #[must_use]
    pub fn last(self, run: Scheduled, until: DateTime<Utc>) -> DateTime<Utc> {
        let days = self.days_around(until).filter_map(|day| self.due(run, day));
        days.filter(|due| *due <= until).max().unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// A week before and after, and a day more: there is a Sunday on both sides.
    fn days_around(self, moment: DateTime<Utc>) -> impl Iterator<Item = NaiveDate> {
        let day = moment.with_timezone(&self.zone).date_naive();
        day.checked_sub_days(Days::new(8)).unwrap_or(day).iter_days().take(17)
    }

    fn due(self, run: Scheduled, day: NaiveDate) -> Option<DateTime<Utc>> {
        match run {
            Scheduled::Daily => Some(clock::moment(day, self.daily_hour, self.zone)),
            Scheduled::Weekly => {
                (day.weekday() == Weekday::Sun).then(|| clock::moment(day, WEEKLY_HOUR, self.zone))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    const BERLIN_AT_TWO: Timetable = Timetable { zone: Tz::Europe__Berlin, daily_hour: 2 };

    #[test]
    fn the_day_without_the_hour_and_the_day_with_two_of_them_have_one_run() {
        // 29 March 2026: from 2:00 to 3:00, which is 1:00 UTC.
        let before = at("2026-03-28T12:00:00Z");
        let due = BERLIN_AT_TWO.next(Scheduled::Daily, before);
        assert_eq!(due, at("2026-03-29T01:00:00Z"));
        assert_eq!(BERLIN_AT_TWO.next(Scheduled::Daily, due), at("2026-03-30T00:00:00Z"));
        // 25 October 2026: 2:00 comes at 0:00 UTC, and again at 1:00 UTC.
        let due = BERLIN_AT_TWO.next(Scheduled::Daily, at("2026-10-24T12:00:00Z"));
        assert_eq!(due, at("2026-10-25T00:00:00Z"));
        assert_eq!(BERLIN_AT_TWO.next(Scheduled::Daily, due), at("2026-10-26T01:00:00Z"));
    }

    #[test]
    fn the_weekly_run_is_due_on_sunday_at_one() {
        let utc = Timetable { zone: Tz::UTC, daily_hour: 0 };
        assert_eq!(utc.next(Scheduled::Weekly, at("2026-03-01T01:00:00Z")), at("2026-03-08T01:00:00Z"));
        assert_eq!(utc.last(Scheduled::Weekly, at("2026-03-01T01:00:00Z")), at("2026-03-01T01:00:00Z"));
        assert_eq!(utc.last(Scheduled::Weekly, at("2026-03-01T00:59:59Z")), at("2026-02-22T01:00:00Z"));
    }

    proptest! {
        #[test]
        fn every_local_day_has_exactly_one_due_time(
            start in 0_i64..2_000_000_000,
            hour in 0_u32..24,
            zone in prop::sample::select(vec![
                Tz::UTC, Tz::Europe__Berlin, Tz::America__Sao_Paulo, Tz::Australia__Lord_Howe, Tz::Pacific__Chatham,
            ]),
        ) {
            let timetable = Timetable { zone, daily_hour: hour };
            let start = DateTime::<Utc>::from_timestamp(start, 0).unwrap();
            let mut due = timetable.next(Scheduled::Daily, start);
            for _ in 0..200 {
                let next = timetable.next(Scheduled::Daily, due);
                let day = due.with_timezone(&zone).date_naive();
                prop_assert_eq!(next.with_timezone(&zone).date_naive(), day.succ_opt().unwrap());
                prop_assert_eq!(timetable.last(Scheduled::Daily, next - TimeDelta::seconds(1)), due);
                due = next;
            }
        }
    }
}
