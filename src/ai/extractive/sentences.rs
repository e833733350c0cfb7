//! Sentences out of transcript lines. A recogniser cuts lines where it likes, so sentences are found in the running
//! text, and each remembers the line it starts in.

use super::words::{Word, words};
use crate::ai::TranscriptLine;

/// A line that a recogniser wrote without full stops is cut at the next line end after so many words.
const LONGEST: usize = 45;

/// Ends with a full stop that ends no sentence.
const ABBREVIATIONS: &[&str] = &["dr.", "mr.", "mrs.", "ms.", "st.", "prof.", "e.g.", "i.e.", "vs."];

/// Ends that close a sentence only before a capital: "I ... don't know", "at nine p.m. every night".
const SOFT_ENDS: &[&str] = &["...", "…", "a.m.", "p.m.", "etc."];

/// A sentence of the transcript.
#[derive(Clone, Debug)]
pub(super) struct Sentence {
    /// The words to the letter, runs of white space as one space.
    pub(super) quote: String,
    /// Index of the line it starts in.
    pub(super) segment: i32,
    /// Who said it, where the transcript knows.
    pub(super) speaker: Speaker,
    /// What the rules read.
    pub(super) words: Vec<Word>,
    /// It asks.
    pub(super) question: bool,
    /// One space and nothing else stands between it and the sentence before: both together are a quote, too.
    pub(super) adjoins: bool,
}

/// Who said a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Therapist,
    Patient,
    Unknown,
}

impl Speaker {
    fn of(role: Option<&str>) -> Self {
        match role.map(str::to_lowercase).as_deref() {
            Some("therapist") => Self::Therapist,
            Some("patient" | "client") => Self::Patient,
            _ => Self::Unknown,
        }
    }
}

/// All sentences, in order.
pub(super) fn sentences(transcript: &[TranscriptLine]) -> Vec<Sentence> {
    let mut reader = Reader::default();
    for line in transcript {
        reader.read(line);
    }
    reader.finish();
    reader.done
}

#[derive(Default)]
struct Reader {
    done: Vec<Sentence>,
    tokens: Vec<String>,
    segment: i32,
    role: Option<String>,
    /// Something without words, or no space, lies between the last sentence and the next.
    gap: bool,
}

impl Reader {
    fn read(&mut self, line: &TranscriptLine) {
        if self.role != line.role || self.tokens.len() >= LONGEST {
            self.finish();
        }
        self.role.clone_from(&line.role);
        let tokens = line.text.split_whitespace().flat_map(|token| split_full_width(token).enumerate());
        for (part, token) in tokens {
            if self.ended_softly_before(token) {
                self.finish();
            }
            if self.tokens.is_empty() {
                self.segment = line.index;
                self.gap |= part > 0;
            }
            self.tokens.push(token.to_owned());
            if ends_sentence(token) {
                self.finish();
            }
        }
    }

    fn ended_softly_before(&self, next: &str) -> bool {
        self.tokens.last().is_some_and(|last| is_soft(last)) && next.starts_with(char::is_uppercase)
    }

    fn finish(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let quote = std::mem::take(&mut self.tokens).join(" ");
        let words = words(&quote);
        if words.is_empty() {
            self.gap = true;
            return;
        }
        let adjoins = !std::mem::take(&mut self.gap);
        let question = asks(&quote, &words);
        let speaker = Speaker::of(self.role.as_deref());
        self.done.push(Sentence { quote, segment: self.segment, speaker, words, question, adjoins });
    }
}

/// Chinese and Japanese sentences end without a space.
fn split_full_width(token: &str) -> impl Iterator<Item = &str> {
    token.split_inclusive(['。', '！', '？'])
}

fn is_soft(token: &str) -> bool {
    let token = token.to_lowercase();
    SOFT_ENDS.iter().any(|end| token.ends_with(end))
}

fn ends_sentence(token: &str) -> bool {
    let bare = token.trim_end_matches(['"', '”', '’', '\'', ')', '»']);
    bare.ends_with(['.', '?', '!', '。', '！', '？'])
        && !is_soft(bare)
        && !ABBREVIATIONS.contains(&bare.to_lowercase().as_str())
}

/// By its mark, unless it starts as a statement does ("I want to die, you know?"); without a mark by its form, as a
/// recogniser often ends a question with a full stop.
fn asks(quote: &str, words: &[Word]) -> bool {
    let marked = quote.trim_end_matches(['"', '”', ')']).ends_with(['?', '？']);
    let mut opening = words.iter().map(|word| word.text.as_str()).skip_while(|word| OPENERS.contains(word));
    let first = opening.next().unwrap_or_default();
    let second = opening.next().unwrap_or_default();
    if marked {
        !matches!(first, "i" | "my")
    } else {
        VERBS_FIRST.contains(&first) && matches!(second, "you" | "there")
    }
}

const OPENERS: &[&str] =
    &["and", "so", "but", "okay", "ok", "now", "well", "or", "then", "right", "yes", "yeah"];
const VERBS_FIRST: &[&str] = &[
    "are", "do", "did", "have", "has", "had", "can", "could", "would", "will", "is", "was", "were", "does",
    "should",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[(&str, Option<&str>)]) -> Vec<TranscriptLine> {
        let line = |(index, (text, role)): (usize, &(&str, Option<&str>))| TranscriptLine {
            index: i32::try_from(index).unwrap(),
            start_ms: 0,
            end_ms: 0,
            role: role.map(str::to_owned),
            text: (*text).to_owned(),
        };
        texts.iter().enumerate().map(line).collect()
    }

    fn quotes(texts: &[(&str, Option<&str>)]) -> Vec<(i32, String)> {
        sentences(&lines(texts)).into_iter().map(|sentence| (sentence.segment, sentence.quote)).collect()
    }

    #[test]
    fn sentences_run_across_lines() {
        let found = quotes(&[
            ("Hello  there. I can't see", None),
            ("the point. Dr. Lee", None),
            ("said 3.5 mg.", None),
        ]);
        let expected = [(0, "Hello there."), (0, "I can't see the point."), (1, "Dr. Lee said 3.5 mg.")];
        assert_eq!(found, expected.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn a_change_of_speaker_ends_a_sentence() {
        let found = quotes(&[("I thought", Some("patient")), ("Go on", Some("therapist"))]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn dots_end_a_sentence_before_a_capital_only() {
        assert_eq!(quotes(&[("I... don't know... Maybe.", None)]).len(), 2);
    }

    #[test]
    fn questions_are_told_by_mark_or_form() {
        let asked = |text| sentences(&lines(&[(text, None)]))[0].question;
        assert!(asked("How are you?"));
        assert!(asked("And are you having thoughts of suicide."));
        assert!(!asked("I want to go home, you know?"));
        assert!(!asked("Have a seat."));
    }
}
