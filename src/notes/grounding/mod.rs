//! Looks quotes up in the transcript: by code, not by asking whoever wrote them.
//!
//! First to the letter, then by the words alone, then nearly ([`nearly::THRESHOLD`], and only in words that carry no
//! meaning). What is found in none of these ways is unsupported, and is shown as such.

mod meaning;
pub mod nearly;
#[cfg(test)]
pub(super) mod tests;
mod words;

use std::collections::HashMap;
use std::sync::OnceLock;

use uuid::Uuid;

use self::nearly::Tokens;
use self::words::{Word, words};
use super::redaction::{Redaction, Swap};
use super::{Evidence, Match, Verdict};
use crate::ai::TranscriptLine;
use crate::entity::transcript_segment::{self, SpeakerRole};

/// A transcript, ready to be searched.
#[derive(Clone, Debug)]
pub struct Transcript {
    lines: Vec<TranscriptLine>,
    ids: Vec<Uuid>,
    /// Every word of the transcript in order.
    words: Vec<Said>,
    /// The places of each folded word, in order.
    places: HashMap<String, Vec<usize>>,
    /// What stands behind the placeholders of each line; empty where nothing was taken out.
    swaps: Vec<Vec<Swap>>,
    /// Made when it is needed: most quotes are found without.
    tokens: OnceLock<Tokens>,
}

/// A word and the line it stands in.
#[derive(Clone, Debug)]
struct Said {
    word: Word,
    line: usize,
}

/// Where a quote stands: first and last word, and how it was found.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: usize,
    to: usize,
    how: Match,
}

impl Transcript {
    /// From the stored utterances, in order: as they read after corrections, where there are any.
    #[must_use]
    pub fn new(segments: &[transcript_segment::Model]) -> Self {
        let mut labels = Labels::default();
        let lines = segments.iter().map(|segment| line(segment, &mut labels)).collect();
        Self::of(lines, segments.iter().map(|segment| segment.id).collect(), Vec::new())
    }

    /// The same without names and contact data: as a language model reads it.
    #[must_use]
    pub fn redacted(&self, redaction: &Redaction) -> Self {
        let (lines, swaps) = redaction.redact_lines(&self.lines);
        Self::of(lines, self.ids.clone(), swaps)
    }

    fn of(lines: Vec<TranscriptLine>, ids: Vec<Uuid>, swaps: Vec<Vec<Swap>>) -> Self {
        let said = |(line, text): (usize, &TranscriptLine)| {
            words(&text.text).into_iter().map(move |word| Said { word, line }).collect::<Vec<_>>()
        };
        let words: Vec<Said> = lines.iter().enumerate().flat_map(said).collect();
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, said) in words.iter().enumerate() {
            places.entry(said.word.folded.clone()).or_default().push(at);
        }
        Self { lines, ids, words, places, swaps, tokens: OnceLock::new() }
    }

    /// As an extractor reads it.
    #[must_use]
    pub fn lines(&self) -> &[TranscriptLine] {
        &self.lines
    }

    /// Looks up a quote, within one line or across several. Where it stands more than once, the place nearest to the
    /// cited line counts.
    #[must_use]
    pub fn find(&self, quote: &str, cited_line: i32) -> Evidence {
        self.evidence(quote.to_owned(), self.place(quote, cited_line))
    }

    /// The same for a quote that has placeholders; it gets back what stands behind them at the place where it was found.
    #[must_use]
    pub fn find_restored(&self, quote: &str, cited_line: i32, redaction: &Redaction) -> Evidence {
        let place = self.place(quote, cited_line);
        let originals = place.map(|place| self.originals(place)).unwrap_or_default();
        self.evidence(redaction.restore_quote(quote, &originals), place)
    }

    fn place(&self, quote: &str, cited_line: i32) -> Option<Place> {
        let words = words(quote);
        self.to_the_word(quote, &words, cited_line).or_else(|| self.nearly(&words, cited_line))
    }

    fn to_the_word(&self, quote: &str, words: &[Word], cited_line: i32) -> Option<Place> {
        let wanted = quote.get(words.first()?.from..words.last()?.to)?;
        let found = self.occurrences(words).map(|from| {
            let to = from + words.len() - 1;
            let how = if self.reads(from, to, wanted) { Match::Exact } else { Match::Normalised };
            Place { from, to, how }
        });
        found.min_by_key(|place| (self.distance(*place, cited_line), place.how == Match::Normalised))
    }

    /// First words of the places where the words stand in this order. Looks only where the rarest of them is.
    fn occurrences<'a>(&'a self, words: &'a [Word]) -> impl Iterator<Item = usize> + 'a {
        let places = |word: &Word| self.places.get(&word.folded).map_or(&[][..], Vec::as_slice);
        let rarest = words.iter().enumerate().min_by_key(|(_, word)| places(word).len());
        let (offset, places) = rarest.map_or((0, &[][..]), |(offset, word)| (offset, places(word)));
        let starts = places.iter().filter_map(move |place| place.checked_sub(offset));
        starts.filter(move |start| {
            let said = self.words.get(*start..*start + words.len()).unwrap_or_default();
            said.len() == words.len() && said.iter().zip(words).all(|(a, b)| a.word.folded == b.folded)
        })
    }

    /// Whether the words from one to another read so to the letter, but for white space.
    fn reads(&self, from: usize, to: usize, wanted: &str) -> bool {
        let (first, last) = (&self.words[from], &self.words[to]);
        let part = |line: usize| {
            let text = &self.lines[line].text;
            let start = if line == first.line { first.word.from } else { 0 };
            let end = if line == last.line { last.word.to } else { text.len() };
            &text[start..end]
        };
        let said = (first.line..=last.line).flat_map(|line| part(line).split_whitespace());
        said.eq(wanted.split_whitespace())
    }

    fn nearly(&self, words: &[Word], cited_line: i32) -> Option<Place> {
        let quote: Vec<&str> = words.iter().map(|word| word.folded.as_str()).collect();
        let tokens = self.tokens.get_or_init(|| {
            Tokens::new(self.words.iter().map(|said| (said.word.folded.as_str(), said.line)))
        });
        let near = tokens.find(&quote, |a, b| self.are_two_speakers(a, b)).into_iter().map(|near| {
            (Place { from: near.from_word, to: near.to_word, how: Match::Fuzzy }, near.distance())
        });
        near.min_by_key(|(place, cost)| (self.distance(*place, cited_line), *cost)).map(|(place, _)| place)
    }

    fn are_two_speakers(&self, a: usize, b: usize) -> bool {
        let role = |line: usize| self.lines.get(line).and_then(|line| line.role.as_ref());
        role(a).is_some() && role(b).is_some() && role(a) != role(b)
    }

    fn distance(&self, place: Place, cited_line: i32) -> u32 {
        self.lines[self.words[place.from].line].index.abs_diff(cited_line)
    }

    fn originals(&self, place: Place) -> Vec<&str> {
        let (first, last) = (&self.words[place.from], &self.words[place.to]);
        let within = |line: usize, at: usize| {
            (line > first.line || at + 1 >= first.word.from) && (line < last.line || at < last.word.to)
        };
        let swaps = (first.line..=last.line)
            .flat_map(|line| self.swaps.get(line).into_iter().flatten().map(move |swap| (line, swap)));
        swaps.filter(|(line, swap)| within(*line, swap.at)).map(|(_, swap)| swap.original.as_str()).collect()
    }

    fn evidence(&self, quote: String, place: Option<Place>) -> Evidence {
        let Some(place) = place else { return Evidence::unsupported(quote) };
        let (first, last) = (self.words[place.from].line, self.words[place.to].line);
        Evidence {
            quote,
            segment_id: Some(self.ids[first]),
            segment_ids: self.ids[first..=last].to_vec(),
            start_ms: Some(self.lines[first].start_ms),
            end_ms: Some(self.lines[last].end_ms),
            verdict: Verdict::Supported,
            found: Some(place.how),
        }
    }
}

/// The folded words of a text in a row: what two quotes have in common that read the same.
pub(super) fn folded(text: &str) -> String {
    words(text).into_iter().map(|word| word.folded).collect::<Vec<_>>().join(" ")
}

/// A provider's labels for voices may be names: they are numbered as they come.
#[derive(Default)]
struct Labels(Vec<String>);

impl Labels {
    fn number(&mut self, label: &str) -> usize {
        let known = self.0.iter().position(|known| known == label);
        known.unwrap_or_else(|| {
            self.0.push(label.to_owned());
            self.0.len() - 1
        }) + 1
    }
}

fn line(segment: &transcript_segment::Model, labels: &mut Labels) -> TranscriptLine {
    let label = segment.speaker.as_deref().map(|label| format!("speaker {}", labels.number(label)));
    let role = match segment.role {
        Some(SpeakerRole::Therapist) => Some("therapist".to_owned()),
        Some(SpeakerRole::Patient) => Some("patient".to_owned()),
        None => label,
    };
    TranscriptLine {
        index: segment.segment_index,
        start_ms: segment.start_ms,
        end_ms: segment.end_ms,
        role,
        text: segment.text.clone(),
    }
}
