//! Speech recognition and note extraction as ports: what a provider must be able to do, whoever it is.
//!
//! Providers are in the modules below: [`openai`] speaks to any OpenAI-compatible server, [`whisper`] runs
//! whisper.cpp inside the process, [`extractive`] makes notes out of quotes without any language model, and [`fallback`]
//! makes one of several.

pub mod breaker;
pub mod draft;
pub mod extractive;
pub mod fallback;
pub mod models;
pub mod openai;
#[cfg(feature = "local-whisper")]
pub mod whisper;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

pub use draft::{DraftItem, DraftRisk, DraftTexts, Mood, MoodTrajectory, NoteDraft, RiskKind, RiskSeverity};

/// Samples a second of everything given to a [`Transcriber`].
pub const SAMPLE_RATE: u32 = 16_000;
/// Name of the providers inside the process.
pub const LOCAL: &str = "local";

/// What a provider charges, in US dollars, as the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    /// A minute of audio listened to.
    pub audio_minute: f64,
    /// A million tokens sent.
    pub million_prompt_tokens: f64,
    /// A million tokens received.
    pub million_completion_tokens: f64,
}

impl Prices {
    /// Of what runs on this machine.
    pub const FREE: Self =
        Self { audio_minute: 0.0, million_prompt_tokens: 0.0, million_completion_tokens: 0.0 };

    /// What this use costs; `None` where something is charged for that the provider did not count.
    #[must_use]
    pub fn cost_of(&self, usage: Usage) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let priced = |count: Option<i64>, unit: f64, price: f64| match count {
            Some(count) => Some(count as f64 / unit * price),
            None => (price == 0.0).then_some(0.0),
        };
        match usage.audio_ms {
            Some(_) => priced(usage.audio_ms, 60_000.0, self.audio_minute),
            None => Some(
                priced(usage.prompt_tokens, 1e6, self.million_prompt_tokens)?
                    + priced(usage.completion_tokens, 1e6, self.million_completion_tokens)?,
            ),
        }
    }

    /// Whether speech costs nothing.
    #[must_use]
    pub fn is_speech_free(&self) -> bool {
        self.audio_minute == 0.0
    }

    /// Whether notes cost nothing.
    #[must_use]
    pub fn is_text_free(&self) -> bool {
        self.million_prompt_tokens == 0.0 && self.million_completion_tokens == 0.0
    }
}

/// Who did the work of a run: stored with its result, so that a reader can judge it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provider {
    /// Name of the provider as configured, `openai`, `local`.
    pub name: String,
    /// Model as the provider names it, `whisper-1`, `tiny.en`.
    pub model: String,
    /// Version of the prompt or of the rules; empty where there is none.
    pub prompt_version: String,
    /// What it charges at present: a cost is worked out when the work is done, and stored.
    pub prices: Prices,
}

impl Provider {
    /// What this use costs; `None` where something is charged for that the provider did not count.
    #[must_use]
    pub fn cost_of(&self, usage: Usage) -> Option<f64> {
        self.prices.cost_of(usage)
    }
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

/// Whose fault a failure is: what the provider is to blame for counts against it, what the recording or the
/// transcript brings about does not. In order of what tells most where several providers failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The budget for this month is used up.
    Budget,
    /// The account with the provider has no money or quota left.
    Quota,
    /// The key is refused.
    Key,
    /// The provider is not what the configuration takes it for: wrong address, unknown model, missing file.
    Setup,
    /// More audio or text than the model takes: less of it may pass.
    TooLong,
    /// A content filter, or the model itself, refused what was said.
    Content,
    /// The request was refused for another reason.
    Request,
    /// Overload, time-out, connection trouble, an answer that makes no sense.
    Trouble,
}

/// Why a provider gave no result.
#[derive(Debug, thiserror::Error)]
pub enum AiError {
    /// Worth another try: overload, time-out, connection trouble.
    #[error("{message}")]
    Transient {
        /// Whose fault it is.
        cause: Cause,
        /// One sentence a therapist can act on; carries nothing of the recording.
        message: String,
        /// The provider's own wish (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// Another try would end the same way: bad key, unknown model, refused input.
    #[error("{message}")]
    Permanent {
        /// Whose fault it is.
        cause: Cause,
        /// One sentence a therapist can act on; carries nothing of the recording.
        message: String,
    },
    /// The caller asked to stop.
    #[error("the work was cancelled")]
    Cancelled,
}

impl AiError {
    /// Another try would end the same way.
    pub fn permanent(cause: Cause, message: impl Into<String>) -> Self {
        Self::Permanent { cause, message: message.into() }
    }

    /// The provider is in trouble that may pass; `retry_after` is its own wish.
    pub fn trouble(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Transient { cause: Cause::Trouble, message: message.into(), retry_after }
    }

    /// Whose fault it is; `None` where the caller asked to stop.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Transient { cause, .. } | Self::Permanent { cause, .. } => Some(*cause),
            Self::Cancelled => None,
        }
    }
}

/// A stretch of speech as recognised; times count from the start of the samples given.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Chance that nobody spoke, 0 to 1; `None` where the provider does not say, as for the two below.
    pub no_speech: Option<f32>,
    /// Mean logarithm of the words' probabilities: the lower, the less sure.
    pub avg_logprob: Option<f32>,
    /// Length of the words over their length when compressed: high where they repeat in loops.
    pub compression_ratio: Option<f32>,
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
    /// Who did it.
    pub provider: Provider,
}

/// How recordings are to be cut for a [`Transcriber`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLimits {
    /// It takes no longer ones.
    pub longest: Duration,
    /// The length that suits it best, at most `longest`.
    pub preferred: Duration,
    /// How many it takes at a time.
    pub at_a_time: usize,
}

/// Turns speech into text.
#[async_trait]
pub trait Transcriber: Send + Sync {
    /// Who may do the work, in order of preference, never nobody; which of them did it says the result.
    fn providers(&self) -> Vec<Provider>;

    /// How recordings are to be cut for it.
    fn limits(&self) -> PieceLimits;

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

/// What an extractor is asked for. The whole transcript is always there: rules, which have no limit, read all of it at
/// every step, and their answer is complete.
#[derive(Clone, Debug)]
pub struct NotesTask<'a> {
    /// Every line.
    pub transcript: &'a [TranscriptLine],
    /// What of it.
    pub step: Step<'a>,
}

/// A step on the way to notes.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// Notes of the whole transcript.
    Whole,
    /// Notes of some lines of a transcript that is too long to be read at once.
    Part {
        /// Which lines, by their place.
        lines: Range<usize>,
        /// Which part, from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// Texts and moods of the whole from the notes of its parts, in order. The lists of the answer are empty.
    Merge(&'a [NoteDraft]),
}

impl<'a> NotesTask<'a> {
    /// To read a transcript at once.
    #[must_use]
    pub fn whole(transcript: &'a [TranscriptLine]) -> Self {
        Self { transcript, step: Step::Whole }
    }

    /// The lines that a model reads at this step.
    #[must_use]
    pub fn lines(&self) -> &'a [TranscriptLine] {
        match &self.step {
            Step::Whole => self.transcript,
            Step::Part { lines, .. } => self.transcript.get(lines.clone()).unwrap_or_default(),
            Step::Merge(_) => &[],
        }
    }
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
    /// Who did it.
    pub provider: Provider,
    /// A model, or rules.
    pub kind: ExtractorKind,
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
    /// Who may do the work, in order of preference, never nobody; which of them did it says the result.
    fn providers(&self) -> Vec<Provider>;

    /// Model where any of them is one: what it reads may leave this machine. Which it was says the result.
    fn kind(&self) -> ExtractorKind;

    /// How many tokens prompt and answer may have together, so that any of them can read it; `None` where there is no limit.
    fn context_tokens(&self) -> Option<usize>;

    /// Reads what the task says, and writes notes.
    ///
    /// # Errors
    /// [`AiError`], which says whether another try makes sense. An answer of the wrong shape is no error but
    /// [`Extraction::draft`]'s `Err`.
    async fn read(&self, task: &NotesTask<'_>, repair: Option<&Repair>) -> Result<Extraction, AiError>;

    /// Reads a whole transcript.
    ///
    /// # Errors
    /// As [`NoteExtractor::read`].
    async fn extract(
        &self,
        transcript: &[TranscriptLine],
        repair: Option<&Repair>,
    ) -> Result<Extraction, AiError> {
        self.read(&NotesTask::whole(transcript), repair).await
    }
}
