//! Coping strategies: sentences in which a known technique is named.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::pattern::{Pattern, any};
use super::sentences::Sentence;
use super::techniques::{TECHNIQUES, Technique};
use crate::ai::DraftItem;

/// At most so many strategies a session.
const MOST: usize = 40;

struct Ready {
    name: &'static str,
    says: Vec<Pattern>,
    unless: Vec<Pattern>,
}

static READY: LazyLock<Vec<Ready>> = LazyLock::new(|| {
    let ready = |technique: &Technique| Ready {
        name: technique.name,
        says: Pattern::all(technique.says),
        unless: Pattern::all(technique.unless),
    };
    TECHNIQUES.iter().map(ready).collect()
});

/// Sentences in which a technique is named, in order, each sentence once.
pub(super) fn strategies(sentences: &[Sentence]) -> Vec<DraftItem> {
    let mut seen = HashSet::new();
    let named = sentences.iter().filter_map(|sentence| Some((technique(sentence)?, sentence)));
    let fresh = named.filter(|(_, sentence)| seen.insert(&sentence.quote));
    fresh.take(MOST).map(|(name, sentence)| item(name, sentence)).collect()
}

/// The technique that the sentence names.
fn technique(sentence: &Sentence) -> Option<&'static str> {
    let names = |ready: &&Ready| any(&ready.says, &sentence.words) && !any(&ready.unless, &sentence.words);
    READY.iter().find(names).map(|ready| ready.name)
}

/// The name of the technique that an item of ours is about.
pub(super) fn technique_of(item: &DraftItem) -> &str {
    item.text.split_once(": ").map_or(item.text.as_str(), |(name, _)| name)
}

fn item(name: &str, sentence: &Sentence) -> DraftItem {
    DraftItem {
        text: format!("{name}: {}", sentence.quote),
        quote: sentence.quote.clone(),
        segment: sentence.segment,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::lines;
    use super::super::sentences::sentences;
    use super::*;

    fn quotes(text: &str) -> Vec<String> {
        strategies(&sentences(&lines(text))).into_iter().map(|item| item.quote).collect()
    }

    #[test]
    fn techniques_are_found() {
        for text in [
            "I did the belly breathing in the car.",
            "We could practice a grounding exercise.",
            "What is the evidence for that thought?",
            "I wrote it down in my worry diary.",
            "I set a boundary with my mother.",
            "I leave the phone in another room at night.",
            "I went for a walk with Tom.",
            "Try to speak to yourself as to a friend.",
        ] {
            assert_eq!(quotes(text), [text]);
        }
    }

    #[test]
    fn words_in_another_sense_are_not_techniques() {
        for text in [
            "My boss is breathing down my neck.",
            "It was in a medical journal.",
            "The speed limit is low.",
            "I was running late.",
        ] {
            assert!(quotes(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_repeated_sentence_is_one_item() {
        assert_eq!(quotes("I meditate. It rained. I meditate.").len(), 1);
    }
}
