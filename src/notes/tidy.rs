//! Tidies a draft without changing what it says: no item twice, none without a word.

use std::collections::HashSet;

use super::grounding::folded;
use super::validation::is_blank;
use crate::ai::{DraftItem, DraftRisk, NoteDraft};

/// Stands for a concern that a model raised without a word: the flag itself is worth keeping.
const NO_WORDS: &str = "The model gave no description.";

/// The draft without repetitions and blanks. Whoever has a quote but no text gets the quote for a text; a risk flag stays
/// in any case.
pub(super) fn tidy(draft: NoteDraft) -> NoteDraft {
    NoteDraft {
        key_topics: topics(draft.key_topics),
        topic_summary: trimmed(draft.topic_summary),
        strategies: items(draft.strategies),
        action_items: items(draft.action_items),
        therapist_notes: trimmed(draft.therapist_notes),
        patient_summary: trimmed(draft.patient_summary),
        risk_flags: risks(draft.risk_flags),
        ..draft
    }
}

fn trimmed(text: String) -> String {
    if text.trim().len() == text.len() { text } else { text.trim().to_owned() }
}

fn topics(topics: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    topics.into_iter().map(trimmed).filter(|topic| !is_blank(topic) && seen.insert(folded(topic))).collect()
}

fn items(items: Vec<DraftItem>) -> Vec<DraftItem> {
    let mut seen = HashSet::new();
    let items = items.into_iter().filter(|item| !is_blank(&item.text) || !is_blank(&item.quote));
    let items = items.map(|item| {
        let text = if is_blank(&item.text) { item.quote.clone() } else { item.text };
        DraftItem { text: trimmed(text), ..item }
    });
    items.filter(|item| seen.insert((folded(&item.text), folded(&item.quote)))).collect()
}

/// Of two flags that say the same the more severe one stays.
fn risks(risks: Vec<DraftRisk>) -> Vec<DraftRisk> {
    let mut kept: Vec<DraftRisk> = Vec::new();
    for risk in risks {
        let text = match (is_blank(&risk.text), is_blank(&risk.quote)) {
            (false, _) => risk.text,
            (true, false) => risk.quote.clone(),
            (true, true) => NO_WORDS.to_owned(),
        };
        let risk = DraftRisk { text: trimmed(text), ..risk };
        let same = |other: &&mut DraftRisk| {
            other.kind == risk.kind
                && folded(&other.quote) == folded(&risk.quote)
                && folded(&other.text) == folded(&risk.text)
        };
        match kept.iter_mut().find(same) {
            Some(other) => other.severity = other.severity.max(risk.severity),
            None => kept.push(risk),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ai::{Mood, MoodTrajectory, RiskKind, RiskSeverity};

    fn item(text: &str, quote: &str) -> DraftItem {
        DraftItem { text: text.into(), quote: quote.into(), segment: 0 }
    }

    fn risk(severity: RiskSeverity, text: &str, quote: &str) -> DraftRisk {
        DraftRisk { kind: RiskKind::SelfHarm, severity, text: text.into(), quote: quote.into(), segment: 0 }
    }

    fn draft() -> NoteDraft {
        NoteDraft {
            key_topics: ["sleep", " Sleep ", "", "work"].map(str::to_owned).to_vec(),
            topic_summary: " They talked. ".into(),
            strategies: vec![
                item("Breathing.", "in and out"),
                item("breathing", "In and out!"),
                item("Breathing.", "four seconds"),
                item("", " "),
                item("", "just a quote"),
            ],
            action_items: vec![item("Rest.", "")],
            session_mood: Mood::Low,
            mood_trajectory: MoodTrajectory::Stable,
            therapist_notes: String::new(),
            patient_summary: String::new(),
            risk_flags: vec![
                risk(RiskSeverity::Low, "Cuts.", "I cut"),
                risk(RiskSeverity::High, "cuts", "I cut."),
                risk(RiskSeverity::Low, "", ""),
            ],
        }
    }

    #[test]
    fn nothing_is_there_twice_and_nothing_without_a_word() {
        let tidy = tidy(draft());
        assert_eq!(tidy.key_topics, ["sleep", "work"]);
        assert_eq!(tidy.topic_summary, "They talked.");
        let strategies: Vec<_> =
            tidy.strategies.iter().map(|item| (item.text.as_str(), item.quote.as_str())).collect();
        let expected =
            [("Breathing.", "in and out"), ("Breathing.", "four seconds"), ("just a quote", "just a quote")];
        assert_eq!(strategies, expected);
        assert_eq!(tidy.action_items, [item("Rest.", "")], "what has no quote is shown, as unsupported");
    }

    #[test]
    fn no_concern_is_lost_and_the_more_severe_of_two_stays() {
        let tidy = tidy(draft());
        assert_eq!(tidy.risk_flags.len(), 2);
        assert_eq!(tidy.risk_flags[0].severity, RiskSeverity::High);
        assert_eq!(tidy.risk_flags[1].text, NO_WORDS);
    }
}
