//! Words for what is kept as codes and figures, as a clinician would write them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::document::{Item, Text, day};
use crate::ai::{Mood, MoodTrajectory, RiskKind, RiskSeverity};
use crate::notes::{Evidence, Match, RiskSource, Verdict};

/// What stands for a figure that is not known.
pub(super) const UNKNOWN: &str = "not known";

pub(super) fn mood(mood: Mood) -> &'static str {
    match mood {
        Mood::VeryLow => "very low",
        Mood::Low => "low",
        Mood::Neutral => "neutral",
        Mood::Positive => "positive",
        Mood::VeryPositive => "very positive",
    }
}

/// `low (2 of 5)`
pub(super) fn mood_and_score(of: Mood) -> String {
    format!("{} ({} of 5)", mood(of), of.score())
}

pub(super) fn trajectory(trajectory: MoodTrajectory) -> &'static str {
    match trajectory {
        MoodTrajectory::Improving => "improving",
        MoodTrajectory::Declining => "declining",
        MoodTrajectory::Stable => "stable",
        MoodTrajectory::Fluctuating => "fluctuating",
    }
}

pub(super) fn risk(kind: RiskKind) -> &'static str {
    match kind {
        RiskKind::SuicidalIdeation => "Suicidal ideation",
        RiskKind::SuicideMeansOrPlan => "Suicide plan or means",
        RiskKind::PastAttempt => "Past suicide attempt or serious self-harm",
        RiskKind::SelfHarm => "Self-harm",
        RiskKind::Hopelessness => "Hopelessness",
        RiskKind::LossOfControl => "Loss of control",
        RiskKind::HarmToOthers => "Harm to others",
        RiskKind::AbuseOrNeglect => "Abuse or neglect",
        RiskKind::SubstanceUse => "Substance use",
        RiskKind::Psychosis => "Signs of psychosis",
        RiskKind::SafetyPlan => "Safety plan or crisis contact arranged",
        RiskKind::Other => "Other concern for safety",
    }
}

pub(super) fn severity(severity: RiskSeverity) -> &'static str {
    match severity {
        RiskSeverity::Low => "low severity",
        RiskSeverity::Moderate => "moderate severity",
        RiskSeverity::High => "high severity",
    }
}

pub(super) fn source(source: RiskSource) -> &'static str {
    match source {
        RiskSource::Model => "raised by the language model",
        RiskSource::Lexical => "raised by the phrase screen of the transcript",
    }
}

/// A statement, of these words, with the quote it rests on, and whether that was found. What was not found is shown all the
/// same.
pub(super) fn with_evidence(statement: Text, words: &str, evidence: &Evidence) -> Item {
    let item = Item::new(statement);
    // Where the statement is the quote, it need not be read twice.
    let item = if words.trim() == evidence.quote.trim() {
        item
    } else {
        item.detail(Text::new().italic(format!("“{}”", evidence.quote.trim())))
    };
    item.detail(found(evidence))
}

/// `SUPPORTED: the words stand in the transcript, to the letter, 1:02–1:07`
fn found(evidence: &Evidence) -> Text {
    let Evidence { verdict: Verdict::Supported, .. } = evidence else {
        return Text::new().bold("UNSUPPORTED").plain(": these words were not found in the transcript");
    };
    let how = match evidence.found {
        Some(Match::Exact) => "found in the transcript to the letter",
        Some(Match::Normalised) => "found in the transcript, written otherwise",
        Some(Match::Fuzzy) => "found in the transcript, nearly in these words",
        None => "found in the transcript",
    };
    let at = evidence.start_ms.map(|start| format!(", at {}", span(start, evidence.end_ms)));
    Text::new().plain("SUPPORTED").plain(format!(": {how}{}", at.unwrap_or_default()))
}

/// `1:02–1:07`
fn span(start_ms: i64, end_ms: Option<i64>) -> String {
    match end_ms.map(position).filter(|end| *end != position(start_ms)) {
        Some(end) => format!("{}–{end}", position(start_ms)),
        None => position(start_ms),
    }
}

/// A place in a recording: `4:05`, `1:04:05`.
fn position(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `50 minutes`
pub(super) fn minutes(minutes: Option<i32>) -> String {
    match minutes {
        Some(1) => "1 minute".into(),
        Some(minutes) => format!("{minutes} minutes"),
        None => UNKNOWN.into(),
    }
}

/// `1 session`, `3 sessions`
pub(super) fn count(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A stretch of days: `3 March 2026`, `3 March 2026 – 9 March 2026`
pub(super) fn days(first: NaiveDate, last: NaiveDate) -> String {
    if first == last { day(first) } else { format!("{} – {}", day(first), day(last)) }
}

/// A moment as the therapist's clock showed it: `3 March 2026, 14:05 (Europe/Berlin)`
pub(super) fn moment(at: DateTime<Utc>, zone: Tz) -> String {
    let there = at.with_timezone(&zone);
    format!("{}, {} ({zone})", day(there.date_naive()), there.format("%H:%M"))
}

/// A share of one, in percent: `87 %`
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| UNKNOWN.into(), |share| format!("{:.0} %", share * 100.0))
}

/// With a capital.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_on_a_player() {
        assert_eq!(span(0, Some(900)), "0:00");
        assert_eq!(span(62_300, Some(67_000)), "1:02–1:07");
        assert_eq!(span(3_845_000, None), "1:04:05");
    }

    #[test]
    fn unsupported_evidence_is_shown_and_says_so() {
        let item = with_evidence(
            "Sleeps badly.".into(),
            "Sleeps badly.",
            &Evidence::unsupported("I never sleep".into()),
        );
        let details: Vec<String> = item.details.iter().map(Text::words).collect();
        assert_eq!(details, ["“I never sleep”", "UNSUPPORTED: these words were not found in the transcript"]);
    }

    #[test]
    fn a_statement_that_is_its_quote_stands_there_once() {
        let mut evidence = Evidence::unsupported("I sleep badly.".into());
        (evidence.verdict, evidence.found) = (Verdict::Supported, Some(Match::Exact));
        (evidence.start_ms, evidence.end_ms) = (Some(1000), Some(3000));
        let item = with_evidence("I sleep badly.".into(), "I sleep badly.", &evidence);
        let details: Vec<String> = item.details.iter().map(Text::words).collect();
        assert_eq!(details, ["SUPPORTED: found in the transcript to the letter, at 0:01–0:03"]);
    }
}
