//! From what was heard, piece by piece, to a transcript. Pure: the pieces are stored by `sessions::pipeline`.
//!
//! A piece is kept as the recogniser gave it ([`Heard`]). What it invented is left out ([`invented`]), and pieces are put
//! together where they overlap ([`merge()`]). The same pieces always give the same transcript, and the transcript of the
//! first pieces is the beginning of that of all.

pub mod invented;
pub mod merge;
pub mod roles;

use serde::{Deserialize, Serialize};

pub use merge::merge;

/// A stretch of speech as a recogniser gave it; times count from the start of the recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// Start, in milliseconds.
    pub start_ms: i64,
    /// End, in milliseconds.
    pub end_ms: i64,
    /// The words.
    pub text: String,
    /// How sure the recogniser is, 0 to 1; `None` where it does not say.
    pub confidence: Option<f32>,
    /// The recogniser's label for the voice, good within its piece; `None` where it does not tell voices apart.
    pub speaker: Option<String>,
    /// How sure the recogniser is that nobody speaks, 0 to 1; `None` where it does not say.
    pub no_speech: Option<f32>,
    /// Level of the loudest tenth of a second around it, in dBFS; `None` where it was not measured.
    pub level_dbfs: Option<f32>,
}

/// A recognised piece of a track.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Of which track: 0, or the channel where each speaker has one.
    pub track: i16,
    /// Start of what it answers for, in milliseconds.
    pub start_ms: i64,
    /// End, in milliseconds; the next piece of the track starts there.
    pub end_ms: i64,
    /// How much sound from before its start was listened to, too, in milliseconds.
    pub lead_ms: i64,
    /// What was heard, in order of time.
    pub segments: Vec<Heard>,
}

/// An utterance of the transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// From which track.
    pub track: i16,
    /// Start, in milliseconds.
    pub start_ms: i64,
    /// End, in milliseconds.
    pub end_ms: i64,
    /// The words; never empty.
    pub text: String,
    /// How sure the recogniser is, 0 to 1; `None` where it does not say.
    pub confidence: Option<f32>,
    /// The label of the voice, good in the whole recording; `None` where nobody can tell.
    pub speaker: Option<String>,
}
