//! What a session was about: subjects of therapy by their word families, scored by how far they spread over the
//! session; completed by frequent terms where the lexicon knows too few (in the manner of RAKE: Rose, Engel, Cramer
//! & Cowley 2010, Automatic Keyword Extraction from Individual Documents).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::pattern::Pattern;
use super::sentences::Sentence;
use super::subjects::{STOPWORDS, TOPICS};

/// A session has at most so many topics,
const MOST: usize = 7;
/// and at least so many, where there are words enough.
const FEWEST: usize = 3;
/// The session is cut into so many blocks; a topic counts for each block it comes up in.
const BLOCKS: usize = 10;
/// A topic below this share of the strongest one is a passing remark.
const PASSING: f32 = 0.14;
/// A text with a smaller share of common English words is not English.
const ENGLISH: f32 = 0.2;

static READY: LazyLock<Vec<(&'static str, Vec<Pattern>)>> = LazyLock::new(|| {
    let read = |words: &str| words.split(", ").map(Pattern::new).collect();
    TOPICS.iter().map(|(name, words)| (*name, read(words))).collect()
});

/// Three to seven subjects, strongest first; fewer where there is too little to go by.
pub(super) fn topics(sentences: &[Sentence]) -> Vec<String> {
    let mut scored: Vec<(f32, &str)> =
        READY.iter().map(|(name, words)| (spread(sentences, words), *name)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let floor = scored.first().map_or(0.0, |best| best.0 * PASSING);
    let strong = scored.into_iter().filter(|(score, _)| *score > 0.0 && *score >= floor).take(MOST);
    let mut found: Vec<String> = strong.map(|(_, name)| name.to_owned()).collect();
    if found.len() < FEWEST && is_english(sentences) {
        let missing = FEWEST - found.len();
        found.extend(terms(sentences).into_iter().take(missing));
    }
    found
}

/// Mentions, each block counting with the logarithm of its own: spread weighs more than a burst.
#[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
fn spread(sentences: &[Sentence], words: &[Pattern]) -> f32 {
    let block = sentences.len().div_ceil(BLOCKS).max(1);
    let mentions = |part: &[Sentence]| {
        part.iter()
            .flat_map(|sentence| words.iter().filter(|word| word.find(&sentence.words).is_some()))
            .count()
    };
    sentences.chunks(block).map(|part| (1.0 + mentions(part) as f32).ln()).sum()
}

/// Whether the rules, which are English, can say anything about the text.
#[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
pub(super) fn is_english(sentences: &[Sentence]) -> bool {
    let all: usize = sentences.iter().map(|sentence| sentence.words.len()).sum();
    let common = sentences.iter().flat_map(|sentence| &sentence.words);
    let common = common.filter(|word| STOPWORDS.contains(word.text.as_str())).count();
    all > 0 && common as f32 >= all as f32 * ENGLISH
}

/// Runs of one or two content words that come up at least twice, by frequency times length.
fn terms(sentences: &[Sentence]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for sentence in sentences {
        let content = |text: &str| {
            text.chars().count() > 3 && text.chars().all(char::is_alphabetic) && !STOPWORDS.contains(text)
        };
        for run in sentence.words.split(|word| !content(&word.text)) {
            let names = run.iter().map(|word| word.text.clone());
            let pairs = run.windows(2).map(|pair| format!("{} {}", pair[0].text, pair[1].text));
            names.chain(pairs).for_each(|term| *counts.entry(term).or_default() += 1);
        }
    }
    let mut frequent: Vec<(usize, String)> = counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(term, count)| (count * term.split(' ').count(), term))
        .collect();
    frequent.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut chosen: Vec<String> = Vec::new();
    for (_, term) in frequent {
        if chosen.iter().all(|other| !other.contains(&term) && !term.contains(other.as_str())) {
            chosen.push(term);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::samples::{lines, session};
    use super::super::sentences::sentences;
    use super::*;

    fn of(text: &str) -> Vec<String> {
        topics(&sentences(&lines(text)))
    }

    #[test]
    fn subjects_are_named_strongest_first() {
        let found =
            of("I can't sleep. I sleep three hours. I was awake at four.\nMy boss called. I argued with my \
             sister.");
        assert_eq!(found[0], "sleep");
        assert!(
            found.contains(&"work stress".to_owned()) && found.contains(&"family".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn frequent_terms_fill_up() {
        let found =
            of("The violin concerto was there. I heard the violin concerto. It was the orchestra. That \
             orchestra is new.");
        assert_eq!(found[0], "violin concerto");
        assert!(found.contains(&"orchestra".to_owned()));
    }

    #[test]
    fn another_language_gets_few_topics() {
        assert!(
            of("Ich habe gestern mit meiner Schwester gesprochen. Meine Schwester war traurig.").is_empty()
        );
        assert!(of("").is_empty());
    }

    #[test]
    fn the_recorded_sessions_have_their_subjects() {
        for (name, expected) in [
            ("session_risk", ["suicidal thoughts", "alcohol", "sleep"]),
            ("session_anxiety", ["anxiety and worry", "work stress", "sleep"]),
            ("session_long", ["sleep", "work stress", "conflict and communication"]),
        ] {
            let found = topics(&sentences(&session(name)));
            assert!((3..=7).contains(&found.len()), "{name}: {found:?}");
            assert!(
                expected.iter().all(|topic| found.iter().any(|other| other == topic)),
                "{name}: {found:?}"
            );
        }
    }
}
