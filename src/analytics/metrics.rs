//! What a session's notes come to in figures.

use std::collections::BTreeMap;

use icu_casemap::CaseMapper;
use unicode_normalization::UnicodeNormalization;

use crate::ai::Mood;
use crate::notes::Notes;

/// The figures of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The mood.
    pub mood: Mood,
    /// The topics as shown, by what they are compared by.
    pub topics: BTreeMap<String, String>,
    /// Coping strategies.
    pub strategies: usize,
    /// Tasks until the next session.
    pub action_items: usize,
    /// Whether there is any concern.
    pub has_risk_flags: bool,
}

impl Metrics {
    /// Of these notes.
    #[must_use]
    pub fn of(notes: &Notes) -> Self {
        let topics = notes.key_topics.iter().filter_map(|topic| topic_key(topic)).collect();
        Self {
            mood: notes.session_mood,
            topics,
            strategies: notes.strategies.len(),
            action_items: notes.action_items.len(),
            has_risk_flags: !notes.risk_flags.is_empty(),
        }
    }
}

/// So much of a topic counts, in characters: an index has no room for more than some 2,700 bytes a row.
const LONGEST_TOPIC: usize = 200;

/// What a topic is compared by, and how it is shown: trimmed, composed (NFC), and without regard to case. Accents count. The
/// folded text compares right, as "Straße" and "STRASSE" do, but is none to read; it is shown in lower case. `None` for
/// what says nothing.
#[must_use]
pub fn topic_key(topic: &str) -> Option<(String, String)> {
    let topic: String = topic.trim().nfc().take(LONGEST_TOPIC).collect();
    let folded: String = CaseMapper::new().fold_string(&topic).nfc().collect();
    (!folded.is_empty()).then(|| (folded, topic.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(topic: &str) -> String {
        topic_key(topic).expect("a topic").0
    }

    #[test]
    fn case_and_blanks_do_not_make_another_topic() {
        assert_eq!(topic_key("  Work Stress\n"), Some(("work stress".into(), "work stress".into())));
        assert_eq!(key("STRASSE"), key("Straße"));
        assert_eq!(key("ΆΓΧΟΣ"), key("άγχος"));
        assert_eq!(topic_key("ΆΓΧΟΣ").map(|(_, label)| label), Some("άγχος".into()));
    }

    #[test]
    fn accents_do_and_how_they_are_written_does_not() {
        assert_ne!(key("résumé"), key("resume"));
        assert_eq!(key("re\u{301}sume\u{301}"), key("Résumé"));
    }

    #[test]
    fn nothing_is_no_topic() {
        assert_eq!(topic_key(" \t"), None);
        assert_eq!(topic_key(""), None);
    }
}
