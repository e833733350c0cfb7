//! Speech recognition inside the process, by whisper.cpp: no recording leaves the machine.

mod annotation;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OnceCell, Semaphore};
use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperError, WhisperSegment,
};

use annotation::is_speech;

use super::{
    AiError, Cause, Heard, LOCAL, PieceLimits, Prices, Provider, SAMPLE_RATE, SpokenSegment, Transcriber,
    Transcription, Usage,
};

/// Texts that are followed at a time. With `tiny.en` on clean speech five make fewer word errors than one (0.9 % instead
/// of 1.6 % of a session of five minutes, 1.0 % instead of 2.7 % when it is cut into minutes) in 1.6 times the
/// time, and segments begin 0.6 s instead of 0.3 s off: in clinical notes wrong words are worse than both.
const BEAM_SIZE: i32 = 5;
/// Whisper.cpp's word for its own default.
const DEFAULT_PATIENCE: f32 = -1.0;
/// Samples that never go beyond this (−60 dB of full scale) are silence, and words found there are made up.
const SILENCE: f32 = 0.001;
/// A state of whisper.cpp grows with what it is given; a quarter of an hour is within every machine's memory.
const LONGEST_PIECE: Duration = Duration::from_mins(15);
/// Whisper hears windows of 30 s anyway; short pieces show segments early.
const PREFERRED_PIECE: Duration = Duration::from_secs(60);

/// A [`Transcriber`] on a model file in ggml format.
///
/// The model is loaded at the first call and shared by all; each call keeps its own state (some 100 MB for the
/// smallest models). Segments sent while it works have no confidence yet; those of the result have.
pub struct WhisperTranscriber {
    model_path: PathBuf,
    model_name: String,
    threads: usize,
    model: OnceCell<Arc<WhisperContext>>,
    slots: Arc<Semaphore>,
    at_a_time: usize,
}

impl WhisperTranscriber {
    /// A recogniser with the model in the file `model_path`. Each call runs on so many `threads`, and no more than
    /// `concurrency` calls run at a time; the others wait. The product of both should not exceed the cores.
    pub fn new(
        model_path: PathBuf,
        model_name: impl Into<String>,
        threads: usize,
        concurrency: usize,
    ) -> Self {
        // Whisper.cpp writes to stderr, in debug builds also the words it hears. Hooked without one of whisper-rs'
        // logging features it is silent; what matters comes back as an error.
        whisper_rs::install_logging_hooks();
        Self {
            model_path,
            model_name: model_name.into(),
            threads: threads.max(1),
            model: OnceCell::new(),
            slots: Arc::new(Semaphore::new(concurrency.max(1))),
            at_a_time: concurrency.max(1),
        }
    }

    /// All cores but one, which stays free for everything else. Whisper.cpp's threads wait for each other in busy
    /// loops many times a second: with a thread more than there are cores idle, the work takes longer than with one
    /// thread alone (measured on two busy cores: 245 s instead of 114 s).
    pub fn default_threads() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1)
    }

    async fn model(&self) -> Result<Arc<WhisperContext>, AiError> {
        self.model.get_or_try_init(|| self.load()).await.cloned()
    }

    async fn load(&self) -> Result<Arc<WhisperContext>, AiError> {
        let path = self.model_path.clone();
        if !path.is_file() {
            return Err(self.unusable("is not there"));
        }
        let load = move || WhisperContext::new_with_params(path, WhisperContextParameters::default());
        let loaded = tokio::task::spawn_blocking(load).await.map_err(|_| failed())?;
        loaded.map(Arc::new).map_err(|_| self.unusable("is damaged or not in ggml format"))
    }

    fn unusable(&self, why: &str) -> AiError {
        let message = format!(
            "The speech model file {why} ({}). Whoever runs this server can get it with: therapybridge models \
             fetch {}",
            self.model_path.display(),
            self.model_name
        );
        AiError::permanent(Cause::Setup, message)
    }

    fn provider(&self) -> Provider {
        Provider {
            name: LOCAL.to_owned(),
            model: self.model_name.clone(),
            prompt_version: String::new(),
            prices: Prices::FREE,
        }
    }

    fn language(&self) -> &'static str {
        // Names as of a quantised model, `tiny.en-q5_1`, count, too.
        if self.model_name.contains(".en") { "en" } else { "auto" }
    }
}

#[async_trait]
impl Transcriber for WhisperTranscriber {
    fn providers(&self) -> Vec<Provider> {
        vec![self.provider()]
    }

    fn limits(&self) -> PieceLimits {
        PieceLimits { longest: LONGEST_PIECE, preferred: PREFERRED_PIECE, at_a_time: self.at_a_time }
    }

    async fn transcribe(
        &self,
        samples: Arc<[f32]>,
        heard: UnboundedSender<Heard>,
    ) -> Result<Transcription, AiError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        let model = self.model().await?;
        let run = Arc::new(Run { samples, heard, stopped: AtomicBool::new(false) });
        let _stop = StopOnDrop(Arc::clone(&run));
        let (threads, language, provider) = (self.threads, self.language(), self.provider());
        let work = move || {
            // Freed only when the thread is done, so that a dropped future does not make room too early.
            let _slot = slot;
            let (segments, usage) = run.transcribe(&model, threads, language)?;
            Ok(Transcription { segments, usage, provider })
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| failed())?
    }
}

/// One transcription at work on its thread.
struct Run {
    samples: Arc<[f32]>,
    heard: UnboundedSender<Heard>,
    stopped: AtomicBool,
}

struct StopOnDrop(Arc<Run>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Run {
    fn transcribe(
        self: Arc<Self>,
        model: &WhisperContext,
        threads: usize,
        language: &str,
    ) -> Result<(Vec<SpokenSegment>, Usage), AiError> {
        self.check(Ok(()))?;
        let mut segments = Vec::new();
        if !self.samples.is_empty() {
            let mut state = model.create_state().map_err(|_| out_of_memory())?;
            let result = state.full(self.parameters(threads, language), &self.samples);
            self.check(result)?;
            segments.extend(state.as_iter().filter_map(|segment| self.final_segment(&segment, model)));
        }
        self.tell(Heard::Progress(1.0));
        let audio_ms = Some(millis(self.samples.len()));
        Ok((segments, Usage { audio_ms, ..Usage::default() }))
    }

    /// Whisper-rs never frees its callbacks: they must not own the run, or the channel would stay open for ever.
    fn parameters<'a>(self: &Arc<Self>, threads: usize, language: &'a str) -> FullParams<'a, 'static> {
        let mut parameters = FullParams::new(SamplingStrategy::BeamSearch {
            beam_size: BEAM_SIZE,
            patience: DEFAULT_PATIENCE,
        });
        parameters.set_n_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        parameters.set_language(Some(language));
        parameters.set_print_progress(false);
        parameters.set_print_timestamps(false);
        let run = Arc::downgrade(self);
        parameters.set_segment_callback_safe_lossy(move |segment: whisper_rs::SegmentCallbackData| {
            let Some(run) = run.upgrade() else { return };
            let (start, end) = (segment.start_timestamp, segment.end_timestamp);
            if let Some(segment) = run.segment(start, end, &segment.text, None) {
                run.tell(Heard::Segment(segment));
            }
        });
        let run = Arc::downgrade(self);
        parameters.set_progress_callback_safe(move |percent: i32| {
            if let Some(run) = run.upgrade() {
                run.tell(Heard::Progress(f32::from(i8::try_from(percent).unwrap_or(100)) / 100.0));
            }
        });
        let run = Arc::downgrade(self);
        parameters.set_abort_callback_safe(abort_callback(run));
        parameters
    }

    fn check(&self, result: Result<(), WhisperError>) -> Result<(), AiError> {
        if self.is_stopped() {
            return Err(AiError::Cancelled);
        }
        result.map_err(|error| {
            tracing::warn!(%error, "whisper.cpp failed");
            failed()
        })
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.heard.is_closed()
    }

    fn tell(&self, heard: Heard) {
        // Nobody listens any more: the abort callback sees that, too, and ends the run.
        let _ = self.heard.send(heard);
    }

    fn final_segment(&self, segment: &WhisperSegment<'_>, model: &WhisperContext) -> Option<SpokenSegment> {
        let text = segment.to_str_lossy().ok()?;
        let (start, end) = (segment.start_timestamp(), segment.end_timestamp());
        self.segment(start, end, &text, confidence(segment, model))
    }

    /// A segment as the trait wants it, from times in hundredths of a second; `None` where there is no speech.
    fn segment(&self, start: i64, end: i64, text: &str, confidence: Option<f32>) -> Option<SpokenSegment> {
        let text = text.trim();
        let last = millis(self.samples.len());
        let start_ms = (start * 10).clamp(0, last);
        let end_ms = (end * 10).clamp(start_ms, last);
        let spoken = is_speech(text) && !self.is_silent(start_ms, end_ms);
        let text = text.to_owned();
        spoken.then_some(SpokenSegment { start_ms, end_ms, text, confidence, ..SpokenSegment::default() })
    }

    fn is_silent(&self, start_ms: i64, end_ms: i64) -> bool {
        let sample = |ms: i64| usize::try_from(ms).unwrap_or(0) * SAMPLE_RATE as usize / 1000;
        let stretch = self.samples.get(sample(start_ms)..sample(end_ms)).unwrap_or_default();
        !stretch.is_empty() && stretch.iter().all(|sample| sample.abs() < SILENCE)
    }
}

fn millis(samples: usize) -> i64 {
    i64::try_from(samples).unwrap_or(i64::MAX) / i64::from(SAMPLE_RATE / 1000)
}

/// Boxed on purpose: whisper-rs 0.16 stores a box but calls it as if it were the closure's own type, which is sound
/// only when that type is this box.
fn abort_callback(run: Weak<Run>) -> Box<dyn FnMut() -> bool> {
    Box::new(move || run.upgrade().is_none_or(|run| run.is_stopped()))
}

/// The geometric mean of the probabilities of the words' tokens.
fn confidence(segment: &WhisperSegment<'_>, model: &WhisperContext) -> Option<f32> {
    let tokens = (0..segment.n_tokens()).filter_map(|i| segment.get_token(i));
    let words = tokens.filter(|token| token.token_id() < model.token_eot());
    let (sum, count) =
        words.fold((0.0, 0.0), |(sum, count), token| (sum + token.token_probability().ln(), count + 1.0));
    (count > 0.0).then(|| (sum / count).exp())
}

fn failed() -> AiError {
    AiError::trouble(
        "The speech recogniser of this server stopped unexpectedly. It will be tried again.",
        None,
    )
}

fn out_of_memory() -> AiError {
    AiError::trouble(
        "This server has too little memory free to recognise speech at the moment. It will be tried again.",
        None,
    )
}

#[cfg(test)]
mod tests;
