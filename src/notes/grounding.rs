//! Looks quotes up in the transcript: by code, not by asking whoever wrote them.

use uuid::Uuid;

use super::{Evidence, Verdict};
use crate::ai::TranscriptLine;
use crate::entity::transcript_segment::{self, SpeakerRole};

/// A transcript, ready to be searched.
#[derive(Clone, Debug)]
pub struct Transcript {
    lines: Vec<TranscriptLine>,
    ids: Vec<Uuid>,
    /// Every word of the transcript, folded, with the line it stands in.
    words: Vec<(String, usize)>,
}

impl Transcript {
    /// From the stored utterances, in order.
    #[must_use]
    pub fn new(segments: &[transcript_segment::Model]) -> Self {
        let lines: Vec<TranscriptLine> = segments.iter().map(line).collect();
        let words = lines
            .iter()
            .enumerate()
            .flat_map(|(at, line)| fold(&line.text).map(move |word| (word, at)))
            .collect();
        Self { ids: segments.iter().map(|segment| segment.id).collect(), lines, words }
    }

    /// As an extractor reads it.
    #[must_use]
    pub fn lines(&self) -> &[TranscriptLine] {
        &self.lines
    }

    /// Looks up a quote: the same words in the same order, whatever their case and punctuation, within one line or
    /// across several. Where it stands more than once, the place nearest to the cited line counts.
    #[must_use]
    pub fn find(&self, quote: &str, cited_line: i32) -> Evidence {
        let words: Vec<String> = fold(quote).collect();
        let nearest =
            self.occurrences(&words).min_by_key(|(from, _)| self.lines[*from].index.abs_diff(cited_line));
        match nearest {
            Some((from, to)) => Evidence {
                quote: quote.to_owned(),
                segment_id: Some(self.ids[from]),
                start_ms: Some(self.lines[from].start_ms),
                end_ms: Some(self.lines[to].end_ms),
                verdict: Verdict::Supported,
            },
            None => Evidence {
                quote: quote.to_owned(),
                segment_id: None,
                start_ms: None,
                end_ms: None,
                verdict: Verdict::Unsupported,
            },
        }
    }

    /// First and last line of each place where the words stand.
    fn occurrences<'a>(&'a self, words: &'a [String]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let wanted = words.len();
        let windows = if wanted == 0 { [].windows(1) } else { self.words.windows(wanted) };
        windows
            .filter(move |window| window.iter().map(|(word, _)| word).eq(words))
            .map(move |window| (window[0].1, window[wanted - 1].1))
    }
}

fn line(segment: &transcript_segment::Model) -> TranscriptLine {
    let role = segment.role.map(|role| match role {
        SpeakerRole::Therapist => "therapist".to_owned(),
        SpeakerRole::Patient => "patient".to_owned(),
    });
    TranscriptLine {
        index: segment.segment_index,
        start_ms: segment.start_ms,
        end_ms: segment.end_ms,
        role: role.or_else(|| segment.speaker.clone()),
        text: segment.text.clone(),
    }
}

/// The words of a text in lower case, without punctuation; an apostrophe belongs to its word.
fn fold(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '\u{2019}')
        .map(|word| {
            word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        })
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use proptest::prelude::*;

    fn transcript(lines: &[&str]) -> Transcript {
        let segments: Vec<_> = (0..).zip(lines).map(|(at, text)| segment(at, text)).collect();
        Transcript::new(&segments)
    }

    fn segment(index: i32, text: &str) -> transcript_segment::Model {
        transcript_segment::Model {
            id: Uuid::from_u128(u128::from(index.unsigned_abs())),
            session_id: Uuid::nil(),
            segment_index: index,
            start_ms: i64::from(index) * 1000,
            end_ms: i64::from(index) * 1000 + 900,
            speaker: None,
            role: None,
            role_confidence: None,
            text: text.into(),
            confidence: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_quote_is_found_whatever_its_case_and_punctuation() {
        let found = transcript(&["Hello.", "I don\u{2019}t sleep; well…"]).find("i don't sleep well", 0);
        assert_eq!((found.verdict, found.segment_id), (Verdict::Supported, Some(Uuid::from_u128(1))));
    }

    #[test]
    fn a_quote_may_cross_lines() {
        let found = transcript(&["I think about", "killing myself."]).find("I think about killing myself", 0);
        assert_eq!((found.start_ms, found.end_ms), (Some(0), Some(1900)));
    }

    #[test]
    fn what_was_not_said_is_unsupported() {
        let transcript = transcript(&["I feel fine.", "I feel great."]);
        for quote in ["I feel awful", "fine feel", "", "…", "I feel fine I feel great today"] {
            assert_eq!(transcript.find(quote, 0).verdict, Verdict::Unsupported, "{quote:?}");
        }
    }

    #[test]
    fn of_several_places_the_one_nearest_to_the_cited_line_counts() {
        let transcript = transcript(&["Yes.", "No.", "Yes.", "Yes."]);
        assert_eq!(transcript.find("yes", 2).segment_id, Some(Uuid::from_u128(2)));
    }

    proptest! {
        #[test]
        fn every_line_is_found_in_its_own_transcript(lines in proptest::collection::vec("[a-zA-Zäöü' ]{0,20}", 1..12)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let transcript = transcript(&lines);
            for (at, line) in (0..).zip(&lines) {
                let has_words = fold(line).next().is_some();
                prop_assert_eq!(transcript.find(line, at).verdict == Verdict::Supported, has_words);
            }
        }

        #[test]
        fn no_quote_breaks_the_search(quote in ".{0,60}", cited in any::<i32>()) {
            let found = transcript(&["One two.", "Three four."]).find(&quote, cited);
            prop_assert_eq!(found.quote, quote);
        }
    }
}
