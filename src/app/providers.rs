//! Who recognises speech and writes notes: the list of the configuration, made into one of each.

use std::sync::Arc;

use crate::ai::breaker::{Account, Breaker, CircuitState};
use crate::ai::extractive::ExtractiveExtractor;
use crate::ai::fallback::{Fallback, Member, Patience};
use crate::ai::openai::{OpenAiExtractor, OpenAiSettings, OpenAiTranscriber};
use crate::ai::{LOCAL, NoteExtractor, Prices, Transcriber};
use crate::clock::Clock;
use crate::config::{AiConfig, OpenAiConfig, ProviderConfig};
use crate::costs::{Free, Work};

/// Everybody who may do a kind of work, and those of them who charge nothing.
pub struct Providers {
    pub(super) speech: Arc<Fallback<dyn Transcriber>>,
    pub(super) free_speech: Option<Arc<Fallback<dyn Transcriber>>>,
    pub(super) notes: Arc<Fallback<dyn NoteExtractor>>,
    pub(super) free_notes: Option<Arc<Fallback<dyn NoteExtractor>>>,
}

impl Providers {
    /// Builds those of the list.
    pub(super) fn new(config: &AiConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut staff = Staff { clock: clock.clone(), speech: Vec::new(), notes: Vec::new() };
        for provider in &config.providers {
            match provider {
                ProviderConfig::Local { speech, notes } => staff.hire_local(config, *speech, *notes)?,
                ProviderConfig::OpenAi(openai) => staff.hire(openai)?,
            }
        }
        staff.into_providers()
    }

    /// How everybody fares at this work, in the order they are asked.
    pub fn states(&self, work: Work) -> Vec<CircuitState> {
        match work {
            Work::Speech => self.speech.states(),
            Work::Notes => self.notes.states(),
        }
    }

    /// The work that somebody does for nothing.
    pub(super) fn free(&self) -> Free {
        Free { speech: self.free_speech.is_some(), notes: self.free_notes.is_some() }
    }

    /// Whether anybody charges for it.
    pub fn charges(&self, work: Work) -> bool {
        match work {
            Work::Speech => self.speech.providers().iter().any(|provider| !provider.prices.is_speech_free()),
            Work::Notes => self.notes.providers().iter().any(|provider| !provider.prices.is_text_free()),
        }
    }
}

/// A member, and whether it works for nothing.
type Hired<T> = (Arc<Member<T>>, bool);

struct Staff {
    clock: Arc<dyn Clock>,
    speech: Vec<Hired<dyn Transcriber>>,
    notes: Vec<Hired<dyn NoteExtractor>>,
}

impl Staff {
    fn hire(&mut self, config: &OpenAiConfig) -> anyhow::Result<()> {
        let settings = settings(config);
        let account = Account::new(&*self.clock);
        let breaker = |work| Breaker::new(&config.name, work, account.clone(), self.clock.clone());
        let (concurrency, patience, prices) = (settings.concurrency, settings.patience, settings.prices);
        if config.transcribe_model.is_some() {
            let transcriber: Arc<dyn Transcriber> = Arc::new(OpenAiTranscriber::new(&settings)?);
            let member = Member::new(transcriber, concurrency, patience, breaker(Work::Speech));
            self.speech.push((member, prices.is_speech_free()));
        }
        if config.notes_model.is_some() {
            let extractor: Arc<dyn NoteExtractor> = Arc::new(OpenAiExtractor::new(&settings)?);
            let member = Member::new(extractor, concurrency, patience, breaker(Work::Notes));
            self.notes.push((member, prices.is_text_free()));
        }
        Ok(())
    }

    fn hire_local(&mut self, config: &AiConfig, speech: bool, notes: bool) -> anyhow::Result<()> {
        let account = Account::new(&*self.clock);
        let breaker = |work| Breaker::new(LOCAL, work, account.clone(), self.clock.clone());
        if speech {
            let transcriber = whisper(config)?;
            let at_a_time = transcriber.limits().at_a_time;
            let member = Member::new(transcriber, at_a_time, Patience::NONE, breaker(Work::Speech));
            self.speech.push((member, true));
        }
        if notes {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let extractor: Arc<dyn NoteExtractor> = Arc::new(ExtractiveExtractor);
            self.notes.push((Member::new(extractor, cores, Patience::NONE, breaker(Work::Notes)), true));
        }
        Ok(())
    }

    fn into_providers(self) -> anyhow::Result<Providers> {
        let nobody = || anyhow::anyhow!("AI_PROVIDERS: nobody in the list does this work");
        Ok(Providers {
            free_speech: free(&self.speech),
            free_notes: free(&self.notes),
            speech: list(self.speech.into_iter()).ok_or_else(nobody)?,
            notes: list(self.notes.into_iter()).ok_or_else(nobody)?,
        })
    }
}

fn list<T: ?Sized>(hired: impl Iterator<Item = Hired<T>>) -> Option<Arc<Fallback<T>>> {
    Fallback::new(hired.map(|(member, _)| member).collect()).map(Arc::new)
}

/// Those who charge nothing: the same members, with the same breakers.
fn free<T: ?Sized>(hired: &[Hired<T>]) -> Option<Arc<Fallback<T>>> {
    list(hired.iter().filter(|(_, is_free)| *is_free).map(|(member, is_free)| (member.clone(), *is_free)))
}

fn settings(config: &OpenAiConfig) -> OpenAiSettings {
    let default = OpenAiSettings::default();
    OpenAiSettings {
        name: config.name.clone(),
        base_url: config.base_url.clone(),
        api_key: config.api_key.clone(),
        transcribe_model: config.transcribe_model.clone().unwrap_or_default(),
        notes_model: config.notes_model.clone().unwrap_or_default(),
        connect_timeout: config.connect_timeout,
        read_timeout: config.idle_timeout,
        request_timeout: config.timeout,
        patience: Patience { max_retries: config.max_retries, ..default.patience },
        concurrency: config.concurrency.get(),
        max_request_bytes: config.max_request_bytes,
        notes_context_tokens: config.notes_context_tokens,
        prices: Prices {
            audio_minute: config.prices.audio_minute,
            million_prompt_tokens: config.prices.million_prompt_tokens,
            million_completion_tokens: config.prices.million_completion_tokens,
        },
        ..default
    }
}

#[cfg(feature = "local-whisper")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn whisper(config: &AiConfig) -> anyhow::Result<Arc<dyn Transcriber>> {
    use crate::ai::models::Models;
    use crate::ai::whisper::WhisperTranscriber;
    let model = Models::new(config.models_dir.clone()).path(&config.whisper_model);
    let threads = config.whisper_threads.get();
    Ok(Arc::new(WhisperTranscriber::new(model, config.whisper_model.clone(), threads, 1)))
}

#[cfg(not(feature = "local-whisper"))]
fn whisper(_: &AiConfig) -> anyhow::Result<Arc<dyn Transcriber>> {
    anyhow::bail!(
        "this binary was built without local-whisper: set OPENAI_API_KEY or OPENAI_BASE_URL, leave local out of \
         AI_PROVIDERS, or set LOCAL_TRANSCRIBE_MODEL=none"
    )
}
