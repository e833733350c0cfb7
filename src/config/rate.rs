//! Rates: so many in so long.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// More hits than this are a mistake: each of them is remembered for the length of the window.
const MAX_COUNT: u32 = 10_000;
/// The longest window.
const MAX_WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// How many of something are let through in how long: `5/1m`, `100/30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at most 10,000.
    pub count: NonZeroU32,
    /// In how long; whole seconds, at most seven days.
    pub window: Duration,
}

impl Rate {
    /// The same in the same time, so many times over.
    #[must_use]
    pub fn times(self, factor: NonZeroU32) -> Self {
        Self { count: self.count.saturating_mul(factor), ..self }
    }

    /// The time in which one of them comes back, when all of them come back evenly.
    #[must_use]
    pub fn period(self) -> Duration {
        self.window / self.count.get()
    }
}

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (count, window) = text.split_once('/').ok_or(())?;
        let count: NonZeroU32 = count.trim().parse().map_err(drop)?;
        let window = window_from(window.trim()).ok_or(())?;
        let sane = count.get() <= MAX_COUNT && (Duration::from_secs(1)..=MAX_WINDOW).contains(&window);
        if sane { Ok(Self { count, window }) } else { Err(()) }
    }
}

fn window_from(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_in_a_time() {
        for (text, count, seconds) in [
            ("5/1m", 5, 60),
            ("3/1h", 3, 3_600),
            ("1/30s", 1, 30),
            ("20/7d", 20, 604_800),
            (" 2 / 2m", 2, 120),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!((rate.count.get(), rate.window.as_secs()), (count, seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "5",
            "5/",
            "/1m",
            "0/1m",
            "-1/1m",
            "5/0s",
            "5/1",
            "5/m",
            "5/1w",
            "5/1µ",
            "10001/1m",
            "5/8d",
            "5/1m/1m",
            "5/99999999999999999999d",
            "5/18446744073709551615d",
            "off",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
