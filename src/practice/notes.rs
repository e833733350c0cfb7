//! What is written down of a session that nobody held.

use super::dice::Dice;
use super::words::{CLOSINGS, OPENINGS, THEMES, Theme};
use crate::ai::{Mood, MoodTrajectory};
use crate::notes::{Evidence, Item, Notes};

/// A session in short.
pub(super) struct Told {
    /// Which one of the patient's.
    pub(super) number: i32,
    pub(super) mood: Mood,
    pub(super) trajectory: MoodTrajectory,
    /// What it was about, by number.
    pub(super) themes: Vec<usize>,
}

/// The notes of it. No quote is supported, for there is no transcript; and no screen was made.
pub(super) fn told(dice: &mut Dice, session: &Told) -> Notes {
    let themes: Vec<&Theme> = session.themes.iter().map(|theme| &THEMES[*theme]).collect();
    let sentences: Vec<&str> = themes.iter().take(2).map(|theme| *dice.pick(&theme.sentences)).collect();
    let opening = dice.pick(&OPENINGS[mood_number(session.mood)]);
    let topic_summary = format!("{opening} {}", sentences.join(" "));
    let strategies: Vec<Item> =
        themes.iter().take(2).map(|theme| item(*dice.pick(&theme.strategies))).collect();
    let action_items: Vec<Item> =
        themes.iter().take(1 + dice.below(2)).map(|theme| item(*dice.pick(&theme.tasks))).collect();
    let names: Vec<&str> = themes.iter().map(|theme| theme.topic).collect();
    let closing = dice.pick(&CLOSINGS);
    Notes {
        key_topics: names.iter().map(|name| spelled(dice, name)).collect(),
        therapist_notes: format!(
            "Session {}, made up for a demonstration. Subjects: {}. {topic_summary} {closing} To go on with: {}.",
            session.number,
            names.join(", "),
            names[0]
        ),
        patient_summary: format!(
            "We talked about {}. {} Until next time: {}.",
            names.join(" and "),
            sentences.join(" "),
            texts(&action_items)
        ),
        topic_summary,
        strategies,
        action_items,
        session_mood: session.mood,
        mood_trajectory: session.trajectory,
        risk_flags: Vec::new(),
        risk_screens: Vec::new(),
    }
}

fn mood_number(mood: Mood) -> usize {
    usize::try_from(mood.score() - 1).unwrap_or(0)
}

fn item((text, quote): (&str, &str)) -> Item {
    Item { text: text.to_owned(), evidence: Evidence::unsupported(quote.to_owned()) }
}

fn texts(items: &[Item]) -> String {
    items.iter().map(|item| item.text.to_lowercase()).collect::<Vec<_>>().join("; ")
}

/// People do not spell alike.
fn spelled(dice: &mut Dice, topic: &str) -> String {
    if dice.percent(80) {
        return topic.to_owned();
    }
    let (first, rest) = topic.split_at(1);
    first.to_uppercase() + rest
}
