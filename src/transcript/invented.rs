//! What recognisers make up: words on silence, and phrases that go round in circles.
//!
//! Words that were said must not be lost, so each rule needs a sign that is rare in speech; what is left out is counted,
//! and stays in the stored piece.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Heard;

/// Below this level nobody is understood: a muted input lies here, the quietest speech 10 dB above.
pub const SILENCE_DBFS: f32 = -60.0;
/// Whisper's own rule for silence (`no_speech_threshold` and `logprob_threshold` of openai/whisper): above this chance of no
/// speech …
const NO_SPEECH: f32 = 0.6;
/// … and with words less likely than e⁻¹ each, the words are invented.
const UNSURE: f32 = 0.368;
/// Text that compresses better than this goes round in circles (`compression_ratio_threshold` of openai/whisper).
const LOOPING: f64 = 2.4;
/// A phrase of up to so many words …
const LONGEST_LOOP: usize = 12;
/// … that follows itself so many times is a loop; people say a thing three times.
const REPEATS: usize = 4;

/// What is left of a piece, and how many of its segments were taken for invented, in whole or in part.
#[must_use]
pub fn without_invented(segments: &[Heard]) -> (Vec<Heard>, usize) {
    let mut dropped = 0;
    let mut kept: Vec<Heard> = Vec::new();
    for segment in segments {
        if is_on_silence(segment) || repeats_the_last(&kept, segment) {
            dropped += 1;
            continue;
        }
        let text = unlooped(&segment.text);
        let is_cut = text.len() < segment.text.trim().len();
        dropped += usize::from(is_cut);
        if text.is_empty() || (!is_cut && is_circular(&text)) {
            dropped += usize::from(!is_cut);
            continue;
        }
        kept.push(Heard { text, ..segment.clone() });
    }
    let (kept, looped) = without_looping_segments(kept);
    (kept, dropped + looped)
}

fn is_on_silence(segment: &Heard) -> bool {
    let is_silent = segment.level_dbfs.is_some_and(|level| level < SILENCE_DBFS);
    let is_unsure = segment.confidence.is_some_and(|confidence| confidence < UNSURE);
    is_silent || (is_unsure && segment.no_speech.is_some_and(|chance| chance > NO_SPEECH))
}

/// The very same words over the very same time: some servers send a segment twice.
fn repeats_the_last(kept: &[Heard], segment: &Heard) -> bool {
    kept.last().is_some_and(|last| {
        last.text == segment.text.trim() && last.start_ms == segment.start_ms && last.end_ms == segment.end_ms
    })
}

/// The text with every phrase that follows itself [`REPEATS`] times or more said once.
fn unlooped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let folded: Vec<String> = words.iter().map(|word| fold(word)).collect();
    let mut kept = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let (phrase, times) = loop_at(&folded[at..]).unwrap_or((1, 1));
        kept.extend_from_slice(&words[at..at + phrase]);
        at += phrase * times;
    }
    kept.join(" ")
}

/// Length and number of a phrase that begins here and follows itself too often. A single word may: "no, no, no, no".
fn loop_at(words: &[String]) -> Option<(usize, usize)> {
    (2..=LONGEST_LOOP.min(words.len() / REPEATS)).find_map(|length| {
        let phrase = &words[..length];
        let times = words.chunks_exact(length).take_while(|chunk| *chunk == phrase).count();
        let is_one_word = phrase.iter().all(|word| word == &phrase[0]);
        (times >= REPEATS && !is_one_word).then_some((length, times))
    })
}

/// The same phrase as [`REPEATS`] segments and more in a row is said once.
fn without_looping_segments(segments: Vec<Heard>) -> (Vec<Heard>, usize) {
    let folded: Vec<String> = segments.iter().map(|segment| fold(&segment.text)).collect();
    let mut at = 0;
    let mut keep = vec![true; segments.len()];
    while at < segments.len() {
        let run = folded[at..].iter().take_while(|text| **text == folded[at]).count();
        let is_phrase = segments[at].text.split_whitespace().nth(1).is_some();
        if run >= REPEATS && is_phrase {
            keep[at + 1..at + run].fill(false);
        }
        at += run;
    }
    let before = segments.len();
    let kept: Vec<Heard> =
        segments.into_iter().zip(keep).filter_map(|(segment, keep)| keep.then_some(segment)).collect();
    let dropped = before - kept.len();
    (kept, dropped)
}

fn is_circular(text: &str) -> bool {
    // A word said over and over is speech; so is what is too short to tell.
    let first = text.split_whitespace().next().map(fold);
    let is_one_word = text.split_whitespace().all(|word| Some(fold(word)) == first);
    !is_one_word && compression_ratio(text) > LOOPING
}

/// Bytes of the text over bytes of the compressed text.
#[expect(clippy::cast_precision_loss, reason = "texts are short")]
fn compression_ratio(text: &str) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    match encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(compressed) => text.len() as f64 / compressed.len().max(1) as f64,
        Err(_) => 1.0,
    }
}

/// A word as it is compared: lower case, letters and digits only.
pub(super) fn fold(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(text: &str) -> Heard {
        Heard { text: text.into(), end_ms: 1000, level_dbfs: Some(-25.0), ..Heard::default() }
    }

    fn texts(segments: &[Heard]) -> (Vec<String>, usize) {
        let (kept, dropped) = without_invented(segments);
        (kept.into_iter().map(|segment| segment.text).collect(), dropped)
    }

    #[test]
    fn words_on_silence_are_left_out_and_quiet_words_stay() {
        let silent = Heard { level_dbfs: Some(-61.0), ..heard("Thanks for watching!") };
        let quiet = Heard { level_dbfs: Some(-55.0), ..heard("I mumbled.") };
        assert_eq!(texts(&[silent, quiet]), (vec!["I mumbled.".to_owned()], 1));
    }

    #[test]
    fn what_the_recogniser_itself_doubts_is_left_out_only_where_it_hears_no_speech() {
        let unsure = Heard { confidence: Some(0.3), no_speech: Some(0.9), ..heard("Thank you.") };
        let mumbled = Heard { confidence: Some(0.3), no_speech: Some(0.2), ..heard("I mumbled.") };
        let sure = Heard { confidence: Some(0.9), no_speech: Some(0.9), ..heard("Yes.") };
        assert_eq!(texts(&[unsure, mumbled, sure]).0, ["I mumbled.", "Yes."]);
    }

    #[test]
    fn a_phrase_that_goes_round_in_circles_is_said_once() {
        let looping = format!("I was tired, {}then I slept.", "and I was sad, ".repeat(5));
        assert_eq!(texts(&[heard(&looping)]), (vec!["I was tired, and I was sad, then I slept.".into()], 1));
        let segments: Vec<Heard> = (0..9)
            .map(|at| Heard { start_ms: at * 1000, end_ms: at * 1000 + 900, ..heard("I don't know.") })
            .collect();
        assert_eq!(texts(&segments), (vec!["I don't know.".to_owned()], 8));
    }

    #[test]
    fn people_repeat_themselves() {
        for text in [
            "No, no, no, no, no, no.",
            "I can't, I can't, I can't.",
            "Yes. Yes. Yes.",
            "One two three four five six seven eight nine ten.",
        ] {
            assert_eq!(texts(&[heard(text)]), (vec![text.to_owned()], 0), "{text}");
        }
        let yes: Vec<Heard> = (0..6)
            .map(|at| Heard { start_ms: at * 1000, end_ms: at * 1000 + 500, ..heard("Yes.") })
            .collect();
        assert_eq!(texts(&yes).0.len(), 6);
    }

    #[test]
    fn circles_that_are_no_clean_repetition_are_left_out() {
        let circular = "the the way the way to the way the way to go the way the way to the way the way to go the way \
            the way to the way the way to go the way the way to the way the way to go the way";
        let (kept, dropped) = texts(&[heard(circular), heard("And then?")]);
        assert!(dropped == 1 && kept.last().is_some_and(|text| text == "And then?"), "{kept:?}");
    }

    proptest! {
        #[test]
        fn ordinary_sentences_are_never_touched(words in proptest::collection::vec("[a-z]{2,9}", 1..40)) {
            let mut words = words;
            words.dedup();
            let text = words.join(" ");
            let distinct = words.iter().collect::<std::collections::BTreeSet<_>>().len();
            prop_assume!(distinct == words.len());
            prop_assert_eq!(texts(&[heard(&text)]), (vec![text], 0));
        }
    }
}
