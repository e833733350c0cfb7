//! Transcripts for the tests.

use crate::ai::TranscriptLine;

/// A line as a recogniser gives it, without a role.
fn line(index: usize, text: &str) -> TranscriptLine {
    let index = i32::try_from(index).unwrap();
    let start_ms = i64::from(index) * 4_000;
    TranscriptLine { index, start_ms, end_ms: start_ms + 4_000, role: None, text: text.to_owned() }
}

/// One transcript line a line of text.
pub(super) fn lines(text: &str) -> Vec<TranscriptLine> {
    text.lines().enumerate().map(|(index, text)| line(index, text)).collect()
}

/// A recorded session's true text, one line a turn, without speakers.
pub(super) fn session(name: &str) -> Vec<TranscriptLine> {
    let text = match name {
        "session_risk" => include_str!("../../../tests/data/notes/sessions/session_risk.txt"),
        "session_anxiety" => include_str!("../../../tests/data/notes/sessions/session_anxiety.txt"),
        _ => include_str!("../../../tests/data/notes/sessions/session_long.txt"),
    };
    lines(&text.replace("\nT: ", "\n").replace("\nC: ", "\n").replacen("T: ", "", 1))
}

/// The same words in lines of so many, cut as a recogniser cuts: anywhere.
pub(super) fn recut(transcript: &[TranscriptLine], length: usize) -> Vec<TranscriptLine> {
    let words: Vec<&str> = transcript.iter().flat_map(|line| line.text.split(' ')).collect();
    words.chunks(length).enumerate().map(|(index, words)| line(index, &words.join(" "))).collect()
}
