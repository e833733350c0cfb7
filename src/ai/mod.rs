//! Speech recognition and note extraction as ports: what a provider must be able to do, whoever it is.
//!
//! Providers are in the modules below: [`openai`] speaks to any OpenAI-compatible server, [`whisper`] runs
//! whisper.cpp inside the process, [`extractive`] makes notes out of quotes without any language model.

pub mod draft;
pub mod extractive;
pub mod models;
pub mod openai;
#[cfg(feature = "local-whisper")]
pub mod whisper;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

pub use draft::{DraftItem, DraftRisk, Mood, MoodTrajectory, NoteDraft, RiskKind, RiskSeverity};

/// Samples a second of everything given to a [`Transcriber`].
pub const SAMPLE_RATE: u32 = 16_000;

/// Who did the work of a run: stored with its result, so that a reader can judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Name of the provider as configured, `openai`, `local`.
    pub name: String,
    /// Model as the provider names it, `whisper-1`, `tiny.en`.
    pub model: String,
    /// Version of the prompt or of the rules; empty where there is none.
    pub prompt_version: String,
}

/// What a call consumed, as far as the provider said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens sent.
    pub prompt_tokens: Option<i64>,
    /// Tokens received.
    pub completion_tokens: Option<i64>,
    /// Audio listened to, in milliseconds.
    pub audio_ms: Option<i64>,
}

/// Why a provider gave no result.
#[derive(Debug, thiserror::Error)]
pub enum AiError {
    /// Worth another try: overload, time-out, connection trouble.
    #[error("{message}")]
    Transient {
        /// One sentence a therapist can act on; carries nothing of the recording.
        message: String,
        /// The provider's own wish (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// Another try would end the same way: bad key, unknown model, refused input.
    #[error("{message}")]
    Permanent {
        /// One sentence a therapist can act on; carries nothing of the recording.
        message: String,
    },
    /// The caller asked to stop.
    #[error("the work was cancelled")]
    Cancelled,
}

/// A stretch of speech as recognised; times count from the start of the samples given.
#[derive(Clone, Debug, PartialEq)]
pub struct SpokenSegment {
    /// Start, in milliseconds.
    pub start_ms: i64,
    /// End, in milliseconds.
    pub end_ms: i64,
    /// The words, trimmed, never empty.
    pub text: String,
    /// How sure the recogniser is, 0 to 1; `None` where it does not say.
    pub confidence: Option<f32>,
    /// The provider's label for the voice; `None` where it does not tell voices apart.
    pub speaker: Option<String>,
}

/// What is heard while a transcription runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A segment is final; it is also part of the result.
    Segment(SpokenSegment),
    /// Share of the samples that is done, 0 to 1, never falling.
    Progress(f32),
}

/// The result of one transcription.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcription {
    /// In order of time.
    pub segments: Vec<SpokenSegment>,
    /// What it consumed.
    pub usage: Usage,
}

/// Turns speech into text.
#[async_trait]
pub trait Transcriber: Send + Sync {
    /// Who this is.
    fn provider(&self) -> Provider;

    /// Recognises 16 kHz mono samples (−1 to 1). What is heard on the way goes to `heard`; a closed channel is no
    /// error. Dropping the future, or a closed `heard` channel where the work runs on a thread, stops the work soon.
    ///
    /// # Errors
    /// [`AiError`], which says whether another try makes sense.
    async fn transcribe(
        &self,
        samples: Arc<[f32]>,
        heard: UnboundedSender<Heard>,
    ) -> Result<Transcription, AiError>;
}

/// A line of a transcript as an extractor reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptLine {
    /// Index of the segment in its session, from 0.
    pub index: i32,
    /// Start, in milliseconds from the start of the recording.
    pub start_ms: i64,
    /// End, in milliseconds from the start of the recording.
    pub end_ms: i64,
    /// `therapist`, `patient` or another label; `None` where nobody knows who spoke.
    pub role: Option<String>,
    /// The words.
    pub text: String,
}

/// A second round: what the first one answered and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The first answer, to the letter.
    pub previous: String,
    /// What to mend, one sentence each.
    pub problems: Vec<String>,
}

/// The answer of an extractor.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// The notes, or in what way the answer is not of the asked shape, one sentence a problem.
    pub draft: Result<NoteDraft, Vec<String>>,
    /// The answer to the letter, for a [`Repair`] round; empty where there is none.
    pub raw: String,
    /// What it consumed.
    pub usage: Usage,
}

/// How notes came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtractorKind {
    /// Written by a language model.
    Model,
    /// Put together from quotes by rules: a draft without a language model.
    Extractive,
}

/// Turns a transcript into a draft of clinical notes.
#[async_trait]
pub trait NoteExtractor: Send + Sync {
    /// Who this is.
    fn provider(&self) -> Provider;

    /// Model or rules.
    fn kind(&self) -> ExtractorKind;

    /// Reads the transcript, and writes notes.
    ///
    /// # Errors
    /// [`AiError`], which says whether another try makes sense. An answer of the wrong shape is no error but
    /// [`Extraction::draft`]'s `Err`.
    async fn extract(
        &self,
        transcript: &[TranscriptLine],
        repair: Option<&Repair>,
    ) -> Result<Extraction, AiError>;
}
