//! When an attempt follows one that failed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::random;

/// No webhook's wish puts an attempt off for longer.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);
/// Up to so much of a wait is added at random, so that those who failed together do not come back together.
const JITTER: f64 = 0.1;

/// How long to wait after a failed attempt (from 1); `None` after the last. A wish of the webhook's makes it longer, never shorter.
pub(super) fn wait(waits: &[Duration], attempt: i32, wish: Option<Duration>) -> Option<Duration> {
    let wait = waits.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
    let share = f64::from(u32::from_be_bytes(random::bytes())) / f64::from(u32::MAX);
    let wait = wait.mul_f64(1.0 + JITTER * share);
    Some(wish.map_or(wait, |wish| wait.max(wish.min(LONGEST_WISH))))
}

/// Reads `Retry-After`: seconds, or a time.
pub(super) fn wish(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let time = DateTime::parse_from_rfc2822(header.trim()).ok()?;
    (time.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(300)];

    fn between(wait: Option<Duration>, from: u64, to: u64) -> bool {
        wait.is_some_and(|wait| (Duration::from_secs(from)..=Duration::from_secs(to)).contains(&wait))
    }

    #[test]
    fn waits_follow_the_list_with_a_tenth_of_chance_and_then_end() {
        let waits: Vec<_> = (0..200).map(|_| wait(&WAITS, 2, None)).collect();
        assert!(waits.iter().all(|wait| between(*wait, 300, 330)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "they differ");
        assert!(between(wait(&WAITS, 1, None), 5, 6));
        for attempt in [3, i32::MAX, 0, -1] {
            assert_eq!(wait(&WAITS, attempt, None), None, "{attempt}");
        }
    }

    #[test]
    fn a_wish_makes_a_wait_longer_within_a_day_and_never_shorter() {
        let wish = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait(&WAITS, 1, wish(60)), wish(60));
        assert!(between(wait(&WAITS, 2, wish(60)), 300, 330));
        assert_eq!(wait(&WAITS, 1, wish(u64::from(u32::MAX))), wish(86_400));
        assert_eq!(wait(&WAITS, 3, wish(60)), None, "no wish brings a further attempt");
    }

    #[test]
    fn wishes_are_seconds_or_times() {
        let now = "2026-03-10T09:00:00Z".parse().unwrap();
        assert_eq!(wish("120", now), Some(Duration::from_secs(120)));
        assert_eq!(wish("Tue, 10 Mar 2026 09:01:00 GMT", now), Some(Duration::from_secs(60)));
        for useless in ["", "-1", "soon", "Tue, 10 Mar 2026 08:59:00 GMT", "99999999999999999999"] {
            assert_eq!(wish(useless, now), None, "{useless}");
        }
    }
}
