//! Several providers as one: asked in order of preference, each within its limits of calls at a time and of tries, and
//! not at all while its [breaker](super::breaker) is open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use super::breaker::{Breaker, CircuitState};
use super::{
    AiError, Cause, Extraction, ExtractorKind, Heard, NoteExtractor, NotesTask, PieceLimits, Provider,
    Repair, Transcriber, Transcription,
};

/// How often and how long one call is tried in place, before it is handed on.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Further tries after a failure that may pass; 0 tries once.
    pub max_retries: u32,
    /// Wait before the first further try; doubles with each, plus or minus up to a half at random.
    pub first_backoff: Duration,
    /// Longest wait between two tries. A provider that asks for more rests so long, and others are asked.
    pub longest_backoff: Duration,
}

impl Patience {
    /// What cannot be helped by asking again soon.
    pub const NONE: Self =
        Self { max_retries: 0, first_backoff: Duration::ZERO, longest_backoff: Duration::from_secs(30) };

    /// How long to wait after this failure; `None` when to give up.
    fn wait_after(&self, error: &AiError, tries: u32) -> Option<Duration> {
        let AiError::Transient { retry_after, .. } = error else { return None };
        let wish = retry_after.unwrap_or_default();
        (tries < self.max_retries && wish <= self.longest_backoff).then(|| self.backoff(tries).max(wish))
    }

    fn backoff(&self, tries: u32) -> Duration {
        let doubled = self.first_backoff.saturating_mul(2_u32.saturating_pow(tries));
        // At random, so that pieces refused together do not come back together.
        doubled.min(self.longest_backoff).mul_f64(rand::random_range(0.5..1.5)).min(self.longest_backoff)
    }
}

/// One provider of a list.
pub struct Member<T: ?Sized> {
    provider: Arc<T>,
    slots: Semaphore,
    patience: Patience,
    breaker: Breaker,
}

impl<T: ?Sized> Member<T> {
    /// A provider that is asked by at most so many calls at a time.
    pub fn new(provider: Arc<T>, concurrency: usize, patience: Patience, breaker: Breaker) -> Arc<Self> {
        Arc::new(Self { provider, slots: Semaphore::new(concurrency.max(1)), patience, breaker })
    }

    /// Tries until there is an answer, a failure that does not pass, or no patience or leave left.
    async fn ask<R, F: Future<Output = Result<R, AiError>>>(
        &self,
        call: impl Fn(Arc<T>) -> F,
    ) -> Result<R, AiError> {
        let (mut tries, mut failure) = (0, None);
        loop {
            let error = match self.ask_once(&call).await {
                Ok(result) => return Ok(result),
                Err(Unanswered::Failed(error)) => error,
                Err(Unanswered::NotAsked(error)) => return Err(later(failure, error)),
            };
            let Some(wait) = self.patience.wait_after(&error, tries) else { return Err(error) };
            tokio::time::sleep(wait).await;
            (tries, failure) = (tries + 1, Some(error));
        }
    }

    async fn ask_once<R, F: Future<Output = Result<R, AiError>>>(
        &self,
        call: &impl Fn(Arc<T>) -> F,
    ) -> Result<R, Unanswered> {
        let _slot = self.slots.acquire().await.map_err(|_| Unanswered::Failed(AiError::Cancelled))?;
        // Asked last, so that a call that has waited for its turn does not go out to a provider that rests by now.
        let permit = self.breaker.admit().map_err(Unanswered::NotAsked)?;
        let result = call(self.provider.clone()).await;
        permit.report(result.as_ref().err(), self.patience.longest_backoff);
        result.map_err(Unanswered::Failed)
    }
}

/// Why there is no answer.
enum Unanswered {
    Failed(AiError),
    NotAsked(AiError),
}

/// What was seen tells more than that the breaker is open by now; when to come back tells the breaker.
fn later(seen: Option<AiError>, refused: AiError) -> AiError {
    match (seen, refused) {
        (Some(AiError::Transient { cause, message, .. }), AiError::Transient { retry_after, .. }) => {
            AiError::Transient { cause, message, retry_after }
        }
        (_, refused) => refused,
    }
}

/// Providers in order of preference.
pub struct Fallback<T: ?Sized>(Vec<Arc<Member<T>>>);

impl<T: ?Sized> Fallback<T> {
    /// A list; `None` if there is nobody on it.
    pub fn new(members: Vec<Arc<Member<T>>>) -> Option<Self> {
        (!members.is_empty()).then_some(Self(members))
    }

    /// How every provider fares, in order.
    pub fn states(&self) -> Vec<CircuitState> {
        self.0.iter().map(|member| member.breaker.state()).collect()
    }

    /// The first answer there is.
    async fn ask<R, F: Future<Output = Result<R, AiError>>>(
        &self,
        call: impl Fn(Arc<T>) -> F,
    ) -> Result<R, AiError> {
        let mut failures = Vec::new();
        for member in &self.0 {
            match member.ask(&call).await {
                Err(AiError::Cancelled) => return Err(AiError::Cancelled),
                Err(failure) => failures.push(failure),
                answer => return answer,
            }
        }
        Err(sum_of(failures))
    }
}

/// One failure for several: passing, if one of them passes, with the soonest time to come back; else the one that tells
/// most.
fn sum_of(failures: Vec<AiError>) -> AiError {
    let (passing, mut lasting): (Vec<_>, Vec<_>) =
        failures.into_iter().partition(|failure| matches!(failure, AiError::Transient { .. }));
    let wish = |failure: &AiError| match failure {
        AiError::Transient { retry_after, .. } => retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let soonest = passing.into_iter().min_by_key(wish);
    lasting.sort_by_key(AiError::cause);
    soonest.or_else(|| lasting.into_iter().next()).unwrap_or_else(|| {
        AiError::permanent(
            Cause::Setup,
            "No AI provider is configured. Ask your administrator to set one up.",
        )
    })
}

#[async_trait]
impl Transcriber for Fallback<dyn Transcriber> {
    fn providers(&self) -> Vec<Provider> {
        self.0.iter().flat_map(|member| member.provider.providers()).collect()
    }

    /// What the preferred one likes, as far as all of them take it: whoever fails, the next one gets the same pieces.
    fn limits(&self) -> PieceLimits {
        let limits: Vec<_> = self.0.iter().map(|member| member.provider.limits()).collect();
        let longest = limits.iter().map(|limits| limits.longest).min().unwrap_or_default();
        let preferred = limits.first().map(|limits| limits.preferred).unwrap_or_default().min(longest);
        let at_a_time = limits.iter().map(|limits| limits.at_a_time).max().unwrap_or(1);
        PieceLimits { longest, preferred, at_a_time }
    }

    async fn transcribe(
        &self,
        samples: Arc<[f32]>,
        heard: UnboundedSender<Heard>,
    ) -> Result<Transcription, AiError> {
        let call = |provider: Arc<dyn Transcriber>| {
            let (samples, heard) = (samples.clone(), heard.clone());
            async move { provider.transcribe(samples, heard).await }
        };
        self.ask(call).await
    }
}

#[async_trait]
impl NoteExtractor for Fallback<dyn NoteExtractor> {
    fn providers(&self) -> Vec<Provider> {
        self.0.iter().flat_map(|member| member.provider.providers()).collect()
    }

    fn kind(&self) -> ExtractorKind {
        let is_model =
            |member: &Arc<Member<dyn NoteExtractor>>| member.provider.kind() == ExtractorKind::Model;
        if self.0.iter().any(is_model) { ExtractorKind::Model } else { ExtractorKind::Extractive }
    }

    fn context_tokens(&self) -> Option<usize> {
        self.0.iter().filter_map(|member| member.provider.context_tokens()).min()
    }

    async fn read(&self, task: &NotesTask<'_>, repair: Option<&Repair>) -> Result<Extraction, AiError> {
        self.ask(|provider| async move { provider.read(task, repair).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        max_retries: 2,
        first_backoff: Duration::from_secs(1),
        longest_backoff: Duration::from_secs(10),
    };

    fn busy(retry_after: Option<u64>) -> AiError {
        AiError::trouble("busy", retry_after.map(Duration::from_secs))
    }

    #[test]
    fn backoff_grows_and_stays_under_the_longest_wait() {
        for tries in 0..40 {
            let wait = PATIENCE.backoff(tries);
            assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(10), "{wait:?}");
        }
    }

    #[test]
    fn a_short_wish_is_waited_for_and_a_long_one_is_handed_on() {
        assert!(PATIENCE.wait_after(&busy(Some(9)), 0) >= Some(Duration::from_secs(9)));
        assert_eq!(PATIENCE.wait_after(&busy(Some(11)), 0), None);
    }

    #[test]
    fn tries_come_to_an_end() {
        assert!(PATIENCE.wait_after(&busy(None), 1).is_some());
        assert_eq!(PATIENCE.wait_after(&busy(None), 2), None);
        assert_eq!(PATIENCE.wait_after(&AiError::permanent(Cause::Request, "no"), 0), None);
    }

    #[test]
    fn of_several_failures_the_one_that_passes_soonest_counts() {
        let lasting = || AiError::permanent(Cause::Key, "key");
        let sum = sum_of(vec![lasting(), busy(Some(60)), busy(Some(20))]);
        assert!(matches!(sum, AiError::Transient { retry_after: Some(wait), .. } if wait.as_secs() == 20));
        let sum = sum_of(vec![busy(Some(60)), busy(None), lasting()]);
        assert!(matches!(sum, AiError::Transient { retry_after: None, .. }));
    }

    #[test]
    fn of_lasting_failures_the_one_that_somebody_can_mend_is_told() {
        let of = |causes: [Cause; 3]| {
            sum_of(causes.iter().map(|&cause| AiError::permanent(cause, "no")).collect()).cause()
        };
        assert_eq!(of([Cause::Content, Cause::Quota, Cause::Key]), Some(Cause::Quota));
        assert_eq!(of([Cause::Request, Cause::TooLong, Cause::Content]), Some(Cause::TooLong));
    }
}
