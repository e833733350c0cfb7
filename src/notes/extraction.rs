//! From a transcript to notes: at once where the model can read it all, else in parts that are merged.
//!
//! Every answer is kept as it comes ([`Answers`]), under a hash of the very request: whoever does the same work again,
//! after a crash or a retry, pays only for what is missing.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::grounding::Transcript;
use super::merge::{Lists, groups};
use super::redaction::Redaction;
use super::tidy::tidy;
use super::{Item, Notes, RiskScreen, RiskSource, parts, risk_flag, validation};
use crate::ai::{
    AiError, Cause, DraftItem, Extraction, ExtractorKind, NoteDraft, NoteExtractor, NotesTask, Provider,
    Repair, Step, TranscriptLine, Usage,
};
use crate::error::{Error, Result};

/// Parts that are read at the same time. Those under way when one fails are waited for: they are paid for.
const AT_A_TIME: usize = 4;
/// A transcript that a model refuses as too long is cut no smaller than this, in tokens.
const SMALLEST_AFTER_REFUSAL: usize = 300;

/// Why there are no notes.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The provider's fault, or what was asked of it.
    #[error(transparent)]
    Ai(#[from] AiError),
    /// Ours.
    #[error(transparent)]
    Other(#[from] Error),
}

/// The answers that were given so far, so that none is paid for twice.
#[async_trait]
pub trait Answers: Send + Sync {
    /// The answer to this very request, if there is one.
    async fn known(&self, request: &str) -> Result<Option<Extraction>>;

    /// Whether one more call may be paid for.
    async fn allow(&self) -> Result<(), Failure>;

    /// Keeps an answer. `percent` of the work is done then.
    async fn keep(&self, request: &str, answer: &Extraction, percent: i32) -> Result<()>;

    /// These answers lead nowhere: they are not given again, but what they cost still counts.
    async fn forget(&self, requests: &[String]) -> Result<()>;

    /// What all answers together took.
    async fn spent(&self) -> Result<Spent>;
}

/// What calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Tokens.
    pub usage: Usage,
    /// Money; `None` where a provider that charges did not count.
    pub cost_usd: Option<f64>,
}

impl Spent {
    /// Nothing yet.
    pub const NOTHING: Self = Self {
        usage: Usage { prompt_tokens: None, completion_tokens: None, audio_ms: None },
        cost_usd: Some(0.0),
    };

    /// With one more call.
    #[must_use]
    pub fn and(self, usage: Usage, cost_usd: Option<f64>) -> Self {
        let add = |a: Option<i64>, b: Option<i64>| a.map_or(b, |a| Some(a + b.unwrap_or(0)));
        let usage = Usage {
            prompt_tokens: add(self.usage.prompt_tokens, usage.prompt_tokens),
            completion_tokens: add(self.usage.completion_tokens, usage.completion_tokens),
            audio_ms: add(self.usage.audio_ms, usage.audio_ms),
        };
        Self { usage, cost_usd: self.cost_usd.zip(cost_usd).map(|(a, b)| a + b) }
    }
}

/// What is read, by whom, and with what in mind.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Who writes the notes.
    pub extractor: &'a dyn NoteExtractor,
    /// What was said.
    pub transcript: &'a Transcript,
    /// What the lexical screen found in it.
    pub screen: &'a RiskScreen,
    /// What a language model does not get to read.
    pub redaction: &'a Redaction,
    /// What was answered before.
    pub answers: &'a dyn Answers,
}

/// Notes, and what it took to get them.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// The notes.
    pub notes: Notes,
    /// What is not as the contract wants it.
    pub warnings: Vec<String>,
    /// Over all calls.
    pub spent: Spent,
    /// Who wrote them; of notes that were merged, who merged them.
    pub provider: Provider,
    /// A model, or rules.
    pub kind: ExtractorKind,
}

/// Asks for notes. An answer of the wrong shape, or with counts and lengths out of range, gets one repair round; the
/// wrong shape fails then, the rest is kept with warnings. Names and contact data of the record are taken out of what a model
/// reads, and put back into what it says.
///
/// # Errors
/// The extractor's, those of `answers`, and [`AiError::Permanent`] when the second answer has the wrong shape, too.
pub async fn extract(reading: Reading<'_>) -> Result<Extracted, Failure> {
    let redacts = reading.extractor.kind() == ExtractorKind::Model;
    let redaction = if redacts { reading.redaction.clone() } else { Redaction::default() };
    let transcript =
        if redacts { reading.transcript.redacted(&redaction) } else { reading.transcript.clone() };
    let run =
        Run { reading, lines: transcript.lines(), done: AtomicUsize::new(0), steps: AtomicUsize::new(1) };
    let Drafted { draft, warnings, provider, kind } = run.drafted().await?;
    let spent = reading.answers.spent().await?;
    let screen = reading.screen.clone();
    let grounding = move || ground(&transcript, draft, &screen, &redaction, kind);
    let notes =
        tokio::task::spawn_blocking(grounding).await.map_err(anyhow::Error::new).map_err(Error::Internal)?;
    Ok(Extracted { notes, warnings, spent, provider, kind })
}

/// One extraction on its way.
struct Run<'a> {
    reading: Reading<'a>,
    /// What the extractor reads.
    lines: &'a [TranscriptLine],
    done: AtomicUsize,
    steps: AtomicUsize,
}

/// A draft that is kept, and who wrote it.
struct Drafted {
    draft: NoteDraft,
    warnings: Vec<String>,
    provider: Provider,
    kind: ExtractorKind,
}

/// An answer, and what it answers.
struct Answer {
    request: String,
    extraction: Extraction,
    problems: Vec<String>,
}

/// What a draft is held to.
type Check<'a> = &'a (dyn Fn(&NoteDraft) -> Vec<String> + Sync);

impl Run<'_> {
    /// In as few parts as the model's window allows; in smaller ones where the model says that it is smaller.
    async fn drafted(&self) -> Result<Drafted, Failure> {
        let total = parts::transcript_tokens(self.lines);
        let mut room = self.reading.extractor.context_tokens().map_or(usize::MAX, parts::room);
        loop {
            let smaller = room.min(total) / 2;
            match self.drafted_within(room).await {
                Err(Failure::Ai(error)) if is_too_long(&error) && smaller >= SMALLEST_AFTER_REFUSAL => {
                    tracing::warn!(
                        tokens = total,
                        room = smaller,
                        "a model takes less than it is configured for (NOTES_CONTEXT_TOKENS): reading in smaller parts"
                    );
                    room = smaller;
                }
                result => return result,
            }
        }
    }

    async fn drafted_within(&self, room: usize) -> Result<Drafted, Failure> {
        let parts = parts::split(self.lines, room);
        if parts.len() == 1 {
            return self.held(Step::Whole, &|draft| validation::problems(draft, self.lines)).await;
        }
        self.steps.store(parts.len() + 1, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        let of = parts.len();
        let steps = (1..).zip(parts).map(|(number, lines)| Step::Part { lines, number, of });
        match self.all_held(steps.collect()).await? {
            Level::Drafts(drafts) => self.merged(drafts, room).await,
            Level::Complete(drafted) => Ok(*drafted),
        }
    }

    /// The drafts of parts as one: lists by code, texts by the model, in several rounds where there are many.
    async fn merged(&self, drafts: Vec<NoteDraft>, room: usize) -> Result<Drafted, Failure> {
        let lists = Lists::of(&drafts);
        let mut level = drafts;
        loop {
            let groups = groups(&level, room);
            if groups.len() <= 1 {
                break;
            }
            let several: Vec<_> = groups.iter().copied().filter(|group| group.len() > 1).collect();
            self.steps.fetch_add(several.len(), Ordering::Relaxed);
            let merged = match self.all_held(several.into_iter().map(Step::Merge).collect()).await? {
                Level::Drafts(drafts) => drafts,
                Level::Complete(drafted) => return Ok(*drafted),
            };
            level = next_level(&groups, merged);
        }
        let check = |texts: &NoteDraft| validation::problems(&lists.with(texts.clone()), self.lines);
        let drafted = self.held(Step::Merge(&level), &check).await?;
        if drafted.kind == ExtractorKind::Extractive {
            return Ok(drafted);
        }
        Ok(Drafted { draft: tidy(lists.with(drafted.draft)), ..drafted })
    }

    /// All steps, a few at a time, held to their shape. Rules answer for the whole transcript: no more is needed then.
    async fn all_held(&self, steps: Vec<Step<'_>>) -> Result<Level, Failure> {
        let mut drafts = Vec::new();
        for some in steps.chunks(AT_A_TIME) {
            for drafted in join_all(some.iter().map(|step| self.held(step.clone(), &|_| Vec::new()))).await {
                let drafted = drafted?;
                if drafted.kind == ExtractorKind::Extractive {
                    return Ok(Level::Complete(Box::new(drafted)));
                }
                drafts.push(drafted.draft);
            }
        }
        Ok(Level::Drafts(drafts))
    }

    /// Asks, and asks once more where the answer is not as it should be.
    async fn held(&self, step: Step<'_>, check: Check<'_>) -> Result<Drafted, Failure> {
        let task = NotesTask { transcript: self.lines, step };
        let first = self.answer(&task, None, check).await?;
        if first.extraction.kind == ExtractorKind::Extractive || first.problems.is_empty() {
            return self.kept(first);
        }
        let repair = Repair { previous: first.extraction.raw.clone(), problems: first.problems.clone() };
        let second = match self.answer(&task, Some(&repair), check).await {
            Ok(second) => second,
            // What is only too long or too short can be used, and asking for better is over.
            Err(Failure::Ai(AiError::Permanent { .. })) if first.extraction.draft.is_ok() => {
                return self.kept(first);
            }
            Err(failure) => return Err(failure),
        };
        let (best, other) = if is_better(&second, &first) { (second, first) } else { (first, second) };
        if best.extraction.draft.is_err() {
            self.reading.answers.forget(&[best.request, other.request]).await?;
            return Err(AiError::permanent(Cause::Request, WRONG_SHAPE).into());
        }
        self.kept(best)
    }

    fn kept(&self, answer: Answer) -> Result<Drafted, Failure> {
        let Extraction { draft, provider, kind, .. } = answer.extraction;
        let draft = draft.map_err(|_| AiError::permanent(Cause::Request, WRONG_SHAPE))?;
        let warnings = match kind {
            ExtractorKind::Model => answer.problems,
            ExtractorKind::Extractive => validation::problems(&draft, self.lines),
        };
        Ok(Drafted { draft: tidy(draft), warnings, provider, kind })
    }

    /// The answer that was given before, or a new one.
    async fn answer(
        &self,
        task: &NotesTask<'_>,
        repair: Option<&Repair>,
        check: Check<'_>,
    ) -> Result<Answer, Failure> {
        let request = request(task, repair);
        let extraction = match self.reading.answers.known(&request).await? {
            Some(known) => known,
            None => self.paid(&request, task, repair).await?,
        };
        let problems = match &extraction.draft {
            Ok(draft) => check(draft),
            Err(problems) => problems.clone(),
        };
        Ok(Answer { request, extraction, problems })
    }

    async fn paid(
        &self,
        request: &str,
        task: &NotesTask<'_>,
        repair: Option<&Repair>,
    ) -> Result<Extraction, Failure> {
        self.reading.answers.allow().await?;
        let extraction = self.reading.extractor.read(task, repair).await?;
        if extraction.kind == ExtractorKind::Model {
            self.reading.answers.keep(request, &extraction, self.percent(&task.step)).await?;
        }
        Ok(extraction)
    }

    fn percent(&self, step: &Step<'_>) -> i32 {
        if matches!(step, Step::Whole) {
            return 0;
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let percent = 100 * done / self.steps.load(Ordering::Relaxed).max(1);
        i32::try_from(percent.min(99)).unwrap_or(99)
    }
}

/// The texts of each group with its lists; a draft that is alone goes up as it is.
fn next_level(groups: &[&[NoteDraft]], merged: Vec<NoteDraft>) -> Vec<NoteDraft> {
    let mut merged = merged.into_iter();
    let of_group = |group: &&[NoteDraft]| match group {
        [alone] => Some(alone.clone()),
        several => merged.next().map(|texts| Lists::of(several).with(texts)),
    };
    groups.iter().filter_map(of_group).collect()
}

/// What became of several steps.
enum Level {
    /// Each has its draft.
    Drafts(Vec<NoteDraft>),
    /// Rules read the whole transcript.
    Complete(Box<Drafted>),
}

const WRONG_SHAPE: &str =
    "The AI's answer did not have the form of clinical notes, twice. Try again, or use another model.";

fn is_too_long(error: &AiError) -> bool {
    error.cause() == Some(Cause::TooLong)
}

/// A repair that made things worse is no repair.
fn is_better(second: &Answer, first: &Answer) -> bool {
    let rank = |answer: &Answer| (answer.extraction.draft.is_err(), answer.problems.len());
    rank(second) <= rank(first)
}

/// SHA-256 of everything that a model is asked, in hex.
fn request(task: &NotesTask<'_>, repair: Option<&Repair>) -> String {
    let lines: Vec<_> = task.lines().iter().map(|line| json!([line.index, line.role, line.text])).collect();
    let step = match &task.step {
        Step::Whole => json!("whole"),
        Step::Part { number, of, .. } => json!({ "part": number, "of": of }),
        Step::Merge(drafts) => json!({ "merge": drafts }),
    };
    let repair = repair.map(|repair| json!([repair.previous, repair.problems]));
    let request = json!({ "step": step, "lines": lines, "repair": repair });
    hex::encode(Sha256::digest(request.to_string()))
}

/// Looks every quote up in what was read, and puts back what was taken out.
fn ground(
    transcript: &Transcript,
    draft: NoteDraft,
    screen: &RiskScreen,
    redaction: &Redaction,
    kind: ExtractorKind,
) -> Notes {
    let find = |quote: &str, line: i32| transcript.find_restored(quote, line, redaction);
    let draft = redaction.restore_draft(draft);
    let item = |item: DraftItem| Item { evidence: find(&item.quote, item.segment), text: item.text };
    let mut risk_flags = screen.flags.clone();
    let mut risk_screens = vec![format!("lexical screen {}", screen.version)];
    if kind == ExtractorKind::Model {
        risk_screens.push("language model".into());
        risk_flags.extend(draft.risk_flags.into_iter().map(|flag| {
            let evidence = find(&flag.quote, flag.segment);
            risk_flag(flag, RiskSource::Model, evidence)
        }));
    }
    Notes {
        key_topics: draft.key_topics,
        topic_summary: draft.topic_summary,
        strategies: draft.strategies.into_iter().map(item).collect(),
        action_items: draft.action_items.into_iter().map(item).collect(),
        session_mood: draft.session_mood,
        mood_trajectory: draft.mood_trajectory,
        therapist_notes: draft.therapist_notes,
        patient_summary: draft.patient_summary,
        risk_flags,
        risk_screens,
    }
}

#[cfg(test)]
mod tests;
