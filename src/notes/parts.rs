//! Cuts a transcript that is too long for a model into parts it can read.

use std::ops::Range;

use crate::ai::TranscriptLine;

/// What the instructions, the schema and a repair round take up beside the transcript, in tokens.
const RESERVED: usize = 8_000;
/// No part is made smaller than this, in tokens: below it nothing coherent is left to read.
pub(super) const SMALLEST: usize = 40;
/// Share of a part that the next one reads again, so that nothing is torn apart: one tenth.
const OVERLAP: usize = 10;

/// Tokens of a text, estimated to be rather too many: a token has about four letters in English, fewer in other
/// languages, and never less than a third of it is a byte.
pub(super) fn tokens(text: &str) -> usize {
    text.len().div_ceil(3)
}

/// Tokens of a line with its number and speaker.
fn line_tokens(line: &TranscriptLine) -> usize {
    tokens(&line.text) + tokens(line.role.as_deref().unwrap_or("unknown speaker")) + 4
}

/// Tokens of a whole transcript.
pub(super) fn transcript_tokens(lines: &[TranscriptLine]) -> usize {
    lines.iter().map(line_tokens).sum()
}

/// Tokens of transcript that a model with such a window can read at once.
pub(super) fn room(window: usize) -> usize {
    window.saturating_sub(RESERVED).max(window / 4).max(SMALLEST)
}

/// Parts of about equal length, none longer than `room` unless a single line is, each with a little of the one before.
pub(super) fn split(lines: &[TranscriptLine], room: usize) -> Vec<Range<usize>> {
    let total = transcript_tokens(lines);
    if total <= room {
        return std::iter::once(0..lines.len()).collect();
    }
    let new = (room - room / OVERLAP).max(1);
    let target = total.div_ceil(total.div_ceil(new));
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < lines.len() {
        let end = end_of(lines, start, target, new);
        parts.push(start - overlap(lines, start, room / OVERLAP)..end);
        start = end;
    }
    parts
}

/// Where a part ends that starts here: once it has reached its target, before it is longer than `most`, after at least
/// one line.
fn end_of(lines: &[TranscriptLine], start: usize, target: usize, most: usize) -> usize {
    let mut sum = 0;
    let fits = |line: &&TranscriptLine| {
        let is_open = sum < target;
        sum += line_tokens(line);
        is_open && sum <= most
    };
    start + lines[start..].iter().take_while(fits).count().max(1)
}

/// How many lines before `start` fit into so many tokens.
fn overlap(lines: &[TranscriptLine], start: usize, tokens: usize) -> usize {
    let mut sum = 0;
    let fits = |line: &&TranscriptLine| {
        sum += line_tokens(line);
        sum <= tokens
    };
    lines[..start].iter().rev().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(lengths: &[usize]) -> Vec<TranscriptLine> {
        let line = |(index, length): (i32, &usize)| TranscriptLine {
            index,
            start_ms: 0,
            end_ms: 1,
            role: None,
            text: "x".repeat(*length),
        };
        (0..).zip(lengths).map(line).collect()
    }

    #[test]
    fn what_fits_is_not_cut() {
        assert_eq!(split(&lines(&[30; 10]), 1000), std::slice::from_ref(&(0..10)));
        assert_eq!(split(&[], 1000), std::slice::from_ref(&(0..0)));
    }

    #[test]
    fn parts_are_even_and_overlap_a_little() {
        let lines = lines(&[30; 100]);
        let parts = split(&lines, 1000);
        assert_eq!(parts.len(), 3, "{parts:?}");
        assert!(parts[1].start < parts[0].end && parts[0].end - parts[1].start <= 5, "{parts:?}");
        assert!(parts.iter().all(|part| (30..=40).contains(&part.len())), "{parts:?}");
    }

    #[test]
    fn a_window_leaves_room_for_instructions_and_answers() {
        assert_eq!(room(128_000), 120_000);
        assert_eq!(room(8_000), 2_000);
        assert!(room(0) > 0);
    }

    proptest! {
        #[test]
        fn every_line_is_in_a_part_and_no_part_is_too_long(
            lengths in proptest::collection::vec(0..400_usize, 0..200), room in SMALLEST..3000_usize,
        ) {
            let lines = lines(&lengths);
            let parts = split(&lines, room);
            prop_assert_eq!(parts.first().map(|part| part.start), Some(0));
            prop_assert_eq!(parts.last().map(|part| part.end), Some(lines.len()));
            for pair in parts.windows(2) {
                prop_assert!(pair[1].start <= pair[0].end && pair[0].end < pair[1].end);
            }
            for part in parts {
                let fits = transcript_tokens(&lines[part.clone()]) <= room;
                let one_new_line = lines[part.clone()].iter().any(|line| line_tokens(line) > room - room / OVERLAP);
                prop_assert!(fits || one_new_line, "{:?}", part);
            }
        }
    }
}
