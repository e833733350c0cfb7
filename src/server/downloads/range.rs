//! Which part of a file is asked for (RFC 9110, section 14).

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What of a file is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// A part of it; never empty.
    Part(Range<u64>),
    /// A part that it does not have.
    Nothing,
}

impl Wanted {
    /// What the headers ask for. A range that cannot be read is passed over, as is one of another version of the file, and
    /// several at once: the standard allows it, and whoever asks gets more than they need.
    pub(super) fn of(headers: &HeaderMap, bytes: u64, etag: &str) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        if headers.contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(etag) {
            return Self::Whole;
        }
        text(header::RANGE).and_then(|range| Self::parse(range, bytes)).unwrap_or(Self::Whole)
    }

    fn parse(range: &str, bytes: u64) -> Option<Self> {
        let (unit, spec) = range.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = spec.trim().split_once('-')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // A number of any length is one; what is beyond the file is beyond it.
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let part = match (first, last) {
            ("", last) => bytes.saturating_sub(number(last)?)..bytes,
            (first, "") => number(first)?..bytes,
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                first..last.saturating_add(1).min(bytes)
            }
        };
        Some(if part.is_empty() { Self::Nothing } else { Self::Part(part) })
    }

    /// The bytes to send; `None` where there are none.
    pub(super) fn range(&self, bytes: u64) -> Option<Range<u64>> {
        match self {
            Self::Whole => Some(0..bytes),
            Self::Part(part) => Some(part.clone()),
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn asked(range: &str) -> Wanted {
        let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
        Wanted::of(&headers, 10, ETAG)
    }

    #[test]
    fn parts_are_read_from_either_end() {
        assert_eq!(Wanted::of(&HeaderMap::new(), 10, ETAG), Wanted::Whole);
        assert_eq!(asked("bytes=0-0"), Wanted::Part(0..1));
        assert_eq!(asked("bytes=2-4"), Wanted::Part(2..5));
        assert_eq!(asked("bytes=2-400"), Wanted::Part(2..10));
        assert_eq!(asked("bytes=2-99999999999999999999999"), Wanted::Part(2..10));
        assert_eq!(asked("Bytes=7-"), Wanted::Part(7..10));
        assert_eq!(asked("bytes=-3"), Wanted::Part(7..10));
        assert_eq!(asked("bytes=-99"), Wanted::Part(0..10));
    }

    #[test]
    fn what_lies_beyond_the_file_is_nothing() {
        for range in ["bytes=10-", "bytes=10-12", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(asked(range), Wanted::Nothing, "{range}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_passed_over() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-2",
            "lines=1-2",
            "bytes=0-1,3-4",
            "bytes=+1-2",
        ] {
            assert_eq!(asked(range), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn a_part_of_another_version_is_not_mixed_in() {
        let with = |if_range: &str| {
            let headers = [(header::RANGE, "bytes=1-2"), (header::IF_RANGE, if_range)];
            let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
            Wanted::of(&HeaderMap::from_iter(headers), 10, ETAG)
        };
        assert_eq!(with(ETAG), Wanted::Part(1..3));
        for other in ["\"abd\"", "W/\"abc\"", "Sat, 28 Nov 2026 08:00:00 GMT"] {
            assert_eq!(with(other), Wanted::Whole, "{other}");
        }
    }
}
