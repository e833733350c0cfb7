//! Holds a draft against the counts and lengths of the contract (SPEC: 3–7 topics, 2–3 sentences, 150–200 and
//! 100–150 words). Minima apply from 400 words of transcript: little said makes little notes. No text is empty where
//! something was said.

use std::ops::RangeInclusive;

use crate::ai::{DraftItem, NoteDraft, TranscriptLine};

/// From here on the minima apply.
const FULL_SESSION_WORDS: usize = 400;

/// What is out of range, one sentence each, in words a model can act on.
#[must_use]
pub fn problems(draft: &NoteDraft, transcript: &[TranscriptLine]) -> Vec<String> {
    let said: usize = transcript.iter().map(|line| words(&line.text)).sum();
    let full = said >= FULL_SESSION_WORDS;
    let mut problems = if said > 0 { blanks(draft) } else { Vec::new() };
    let ranges = [
        out_of_range("keyTopics", "items", draft.key_topics.len(), 3..=7, full),
        out_of_range("topicSummary", "sentences", sentences(&draft.topic_summary), 2..=3, full),
        out_of_range("therapistNotes", "words", words(&draft.therapist_notes), 150..=200, full),
        out_of_range("patientSummary", "words", words(&draft.patient_summary), 100..=150, full),
    ];
    problems.extend(ranges.into_iter().flatten());
    problems
}

/// What is there and says nothing.
fn blanks(draft: &NoteDraft) -> Vec<String> {
    let texts = [
        ("topicSummary", &draft.topic_summary),
        ("therapistNotes", &draft.therapist_notes),
        ("patientSummary", &draft.patient_summary),
    ];
    let texts = texts.into_iter().filter(|(_, text)| is_blank(text)).map(|(name, _)| name.to_owned());
    let items = [("strategies", &draft.strategies), ("actionItems", &draft.action_items)];
    let items = items.into_iter().flat_map(|(name, items)| blank_items(name, items));
    let risks = (0..)
        .zip(&draft.risk_flags)
        .flat_map(|(at, risk)| blank_fields("riskFlags", at, &risk.text, &risk.quote));
    texts.chain(items).chain(risks).map(|name| format!("{name} is empty.")).collect()
}

fn blank_items(name: &str, items: &[DraftItem]) -> Vec<String> {
    (0..).zip(items).flat_map(|(at, item)| blank_fields(name, at, &item.text, &item.quote)).collect()
}

fn blank_fields(name: &str, at: usize, text: &str, quote: &str) -> Vec<String> {
    let fields = [("text", text), ("quote", quote)].into_iter().filter(|(_, value)| is_blank(value));
    fields.map(|(field, _)| format!("{name}[{at}].{field}")).collect()
}

/// Whether there is no word in it.
pub(super) fn is_blank(text: &str) -> bool {
    !text.contains(char::is_alphanumeric)
}

fn out_of_range(
    field: &str,
    unit: &str,
    found: usize,
    wanted: RangeInclusive<usize>,
    minimum: bool,
) -> Option<String> {
    let too_few = minimum && found < *wanted.start();
    let too_many = found > *wanted.end();
    (too_few || too_many).then(|| {
        format!("{field} has {found} {unit}; it should have {} to {}.", wanted.start(), wanted.end())
    })
}

fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

/// Counts ends of sentences: a mark followed by space or the end, and the rest if it does not end in one.
fn sentences(text: &str) -> usize {
    let text = text.trim();
    let ends =
        |word: &&str| word.trim_end_matches(['"', '\'', ')', '”', '’', '»']).ends_with(['.', '!', '?', '…']);
    let ended = text.split_whitespace().filter(ends).count();
    ended + usize::from(text.split_whitespace().last().is_some_and(|last| !ends(&last)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ai::{Mood, MoodTrajectory};

    fn draft(topics: usize, summary: &str, notes: usize, patient: usize) -> NoteDraft {
        NoteDraft {
            key_topics: vec!["sleep".into(); topics],
            topic_summary: summary.into(),
            strategies: vec![],
            action_items: vec![],
            session_mood: Mood::Neutral,
            mood_trajectory: MoodTrajectory::Stable,
            therapist_notes: "word ".repeat(notes),
            patient_summary: "word ".repeat(patient),
            risk_flags: vec![],
        }
    }

    fn transcript(words: usize) -> Vec<TranscriptLine> {
        vec![TranscriptLine { index: 0, start_ms: 0, end_ms: 1, role: None, text: "word ".repeat(words) }]
    }

    #[test]
    fn the_edges_of_every_range_are_inside() {
        for draft in [draft(3, "One. Two.", 150, 100), draft(7, "One. Two? Three", 200, 150)] {
            assert_eq!(problems(&draft, &transcript(400)), Vec::<String>::new());
        }
    }

    #[test]
    fn beyond_the_edges_every_field_is_named() {
        for draft in [draft(2, "One.", 149, 99), draft(8, "One. Two. Three. Four.", 201, 151)] {
            let found = problems(&draft, &transcript(400)).join(" ");
            for field in ["keyTopics", "topicSummary", "therapistNotes", "patientSummary"] {
                assert!(found.contains(field), "{field}: {found}");
            }
        }
    }

    #[test]
    fn what_says_nothing_is_named_by_its_place() {
        let mut blank = draft(3, "", 20, 20);
        blank.strategies = vec![DraftItem { text: " ".into(), quote: "yes".into(), segment: 0 }];
        blank.action_items = vec![DraftItem { text: "Rest.".into(), quote: "\u{2026}".into(), segment: 0 }];
        let expected =
            ["topicSummary is empty.", "strategies[0].text is empty.", "actionItems[0].quote is empty."];
        assert_eq!(problems(&blank, &transcript(10)), expected);
        assert_eq!(problems(&blank, &transcript(0)), Vec::<String>::new());
    }

    #[test]
    fn little_said_may_make_little_notes_but_not_long_ones() {
        assert!(problems(&draft(1, "One.", 20, 20), &transcript(399)).is_empty());
        assert_eq!(problems(&draft(8, "One.", 20, 20), &transcript(399)).len(), 1);
    }
}
