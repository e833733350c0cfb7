//! Speech recognition by `POST /audio/transcriptions`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use tokio::sync::mpsc::UnboundedSender;

use super::OpenAiSettings;
use super::client::Client;
use super::failure::Failure;
use super::speech_answer::SpeechAnswer;
use super::wav::to_wav;
use crate::ai::{
    AiError, Cause, Heard, PieceLimits, Prices, Provider, SAMPLE_RATE, Transcriber, Transcription,
};

/// What a request holds besides samples, generously.
const FORM_BYTES: u64 = 64 << 10;
const SHORTEST_PIECE: Duration = Duration::from_secs(2);
const LONGEST_PIECE: Duration = Duration::from_mins(20);
const PREFERRED_PIECE: Duration = Duration::from_mins(5);

/// Recognises speech with any OpenAI-compatible server.
pub struct OpenAiTranscriber {
    client: Client,
    name: String,
    prices: Prices,
    limits: PieceLimits,
    format: Mutex<Format>,
}

impl OpenAiTranscriber {
    /// A transcriber for the settings' `transcribe_model`.
    ///
    /// # Errors
    /// The base URL or the key cannot be used.
    pub fn new(settings: &OpenAiSettings) -> anyhow::Result<Self> {
        let model = &settings.transcribe_model;
        Ok(Self {
            client: Client::new(settings, ["audio", "transcriptions"], model)?,
            name: settings.name.clone(),
            prices: settings.prices,
            limits: limits(settings),
            format: Mutex::new(Format::first_for(model)),
        })
    }

    fn provider(&self) -> Provider {
        let model = self.client.model().to_owned();
        Provider { name: self.name.clone(), model, prompt_version: String::new(), prices: self.prices }
    }

    /// Asks for segments, or, from a model that gives none (`gpt-4o-transcribe`), for the text alone from then on.
    async fn ask(&self, wav: &Bytes) -> Result<SpeechAnswer, Failure> {
        let format = *self.format.lock().unwrap_or_else(PoisonError::into_inner);
        match self.post(wav, format).await {
            Err(Failure::FormatRefused) if format != Format::Text => {
                let answer = self.post(wav, Format::Text).await?;
                *self.format.lock().unwrap_or_else(PoisonError::into_inner) = Format::Text;
                Ok(answer)
            }
            result => result,
        }
    }

    async fn post(&self, wav: &Bytes, format: Format) -> Result<SpeechAnswer, Failure> {
        self.client.post(|request| request.multipart(form(wav, self.client.model(), format))).await
    }
}

#[async_trait]
impl Transcriber for OpenAiTranscriber {
    fn providers(&self) -> Vec<Provider> {
        vec![self.provider()]
    }

    fn limits(&self) -> PieceLimits {
        self.limits
    }

    async fn transcribe(
        &self,
        samples: Arc<[f32]>,
        heard: UnboundedSender<Heard>,
    ) -> Result<Transcription, AiError> {
        let length_ms = length_ms(&samples);
        let wav = tokio::task::spawn_blocking(move || to_wav(&samples))
            .await
            .map_err(|_| AiError::Cancelled)?
            .map_err(|_| {
                AiError::permanent(Cause::Request, "The recording could not be prepared for the AI provider.")
            })?;
        let transcription = self.ask(&wav.into()).await?.into_transcription(length_ms, self.provider());
        for segment in &transcription.segments {
            // Nobody listening is no error.
            let _ = heard.send(Heard::Segment(segment.clone()));
        }
        let _ = heard.send(Heard::Progress(1.0));
        Ok(transcription)
    }
}

/// What to ask for, by what the model can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Segments with times and probabilities.
    Segments,
    /// Segments with times and speakers.
    Speakers,
    /// The text alone.
    Text,
}

impl Format {
    fn first_for(model: &str) -> Self {
        if model.contains("diarize") { Self::Speakers } else { Self::Segments }
    }

    fn fill(self, form: Form) -> Form {
        match self {
            Self::Segments => {
                form.text("response_format", "verbose_json").text("timestamp_granularities[]", "segment")
            }
            // The diarising model insists on a chunking strategy for more than 30 seconds.
            Self::Speakers => form.text("response_format", "diarized_json").text("chunking_strategy", "auto"),
            Self::Text => form.text("response_format", "json"),
        }
    }
}

fn form(wav: &Bytes, model: &str, format: Format) -> Form {
    let file = Part::stream(wav.clone())
        .file_name("piece.wav")
        .mime_str("audio/wav")
        .expect("a well-formed MIME type");
    format.fill(Form::new().part("file", file).text("model", model.to_owned()))
}

/// What fits into a request: 16-bit samples, behind a header and among the fields of a form. A longer piece than 20
/// minutes OpenAI's models refuse, however small it is.
fn limits(settings: &OpenAiSettings) -> PieceLimits {
    let bytes = settings.max_request_bytes.saturating_sub(FORM_BYTES);
    let fitting = Duration::from_secs(bytes / (2 * u64::from(SAMPLE_RATE)));
    let longest = fitting.clamp(SHORTEST_PIECE, LONGEST_PIECE);
    PieceLimits { longest, preferred: PREFERRED_PIECE.min(longest), at_a_time: settings.concurrency.max(1) }
}

fn length_ms(samples: &[f32]) -> i64 {
    i64::try_from(samples.len()).unwrap_or(i64::MAX) / (i64::from(SAMPLE_RATE) / 1000)
}
