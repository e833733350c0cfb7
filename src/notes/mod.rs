//! Clinical notes: asked of an extractor, held against the contract, and every quote looked up in the transcript.

pub mod grounding;
pub mod redaction;
pub mod validation;

use async_graphql::Enum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::grounding::Transcript;
use self::redaction::Redaction;
use crate::ai::extractive::risk;
use crate::ai::{
    AiError, Cause, DraftItem, DraftRisk, Extraction, ExtractorKind, Mood, MoodTrajectory, NoteDraft,
    NoteExtractor, Provider, Repair, RiskKind, RiskSeverity, TranscriptLine, Usage,
};

/// Whether a quote stands in the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// The words stand in the transcript.
    Supported,
    /// They do not: read with care.
    Unsupported,
}

/// The words a statement rests on, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The words.
    pub quote: String,
    /// The utterance they start in; `None` when they are not found.
    pub segment_id: Option<Uuid>,
    /// Start of that utterance in the recording.
    pub start_ms: Option<i64>,
    /// End of the utterance they end in.
    pub end_ms: Option<i64>,
    /// Whether they were found.
    pub verdict: Verdict,
}

/// A strategy or an action item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The statement.
    pub text: String,
    /// What it rests on.
    pub evidence: Evidence,
}

/// Who raised a risk flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RiskSource {
    /// The language model.
    Model,
    /// The lexical screen: a phrase on its list.
    Lexical,
}

/// A concern for somebody's safety.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskFlag {
    /// What it is about.
    pub kind: RiskKind,
    /// How urgent.
    pub severity: RiskSeverity,
    /// Who raised it.
    pub source: RiskSource,
    /// The concern.
    pub text: String,
    /// What it rests on.
    pub evidence: Evidence,
}

/// What the lexical screen of a transcript found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskScreen {
    /// Version of its list of phrases.
    pub version: String,
    /// What it raised; empty means that no phrase of the list occurs, not that there is no risk.
    pub flags: Vec<RiskFlag>,
}

/// Clinical notes as stored with their run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Main subjects.
    pub key_topics: Vec<String>,
    /// The session in 2 or 3 sentences.
    pub topic_summary: String,
    /// Coping strategies.
    pub strategies: Vec<Item>,
    /// Homework and tasks.
    pub action_items: Vec<Item>,
    /// Overall emotional tone.
    pub session_mood: Mood,
    /// Where it went.
    pub mood_trajectory: MoodTrajectory,
    /// For the therapist.
    pub therapist_notes: String,
    /// For the patient.
    pub patient_summary: String,
    /// Concerns, of the extractor and of the lexical screen.
    pub risk_flags: Vec<RiskFlag>,
    /// Which screens were made: an empty list of flags never reads as "no risk".
    pub risk_screens: Vec<String>,
}

/// Notes, and what it took to get them.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// The notes.
    pub notes: Notes,
    /// What is not as the contract wants it.
    pub warnings: Vec<String>,
    /// Over all rounds.
    pub usage: Usage,
    /// Money for all rounds; `None` where a provider that charges did not count.
    pub cost_usd: Option<f64>,
    /// Who wrote them.
    pub provider: Provider,
    /// A model, or rules.
    pub kind: ExtractorKind,
}

/// Screens a transcript for phrases of risk.
#[must_use]
pub fn screen(transcript: &Transcript) -> RiskScreen {
    let flags = risk::screen(transcript.lines());
    RiskScreen {
        version: risk::VERSION.into(),
        flags: flags.into_iter().map(|flag| ground_risk(transcript, flag, RiskSource::Lexical)).collect(),
    }
}

/// SHA-256 of what an extractor reads, in hex: the same text read by the same extractor is not paid for twice.
#[must_use]
pub fn transcript_hash(transcript: &Transcript) -> String {
    let mut hash = Sha256::new();
    for line in transcript.lines() {
        hash.update(format!("{}\t{}\n", line.role.as_deref().unwrap_or_default(), line.text));
    }
    hex::encode(hash.finalize())
}

/// Asks for notes. An answer of the wrong shape, or with counts and lengths out of range, gets one repair round; the
/// wrong shape fails then, the rest is kept with warnings. Names and contact data of the record are taken out of what a model
/// reads, and put back into what it says.
///
/// # Errors
/// The extractor's; [`AiError::Permanent`] when the second answer has the wrong shape, too.
pub async fn extract(
    extractor: &dyn NoteExtractor,
    transcript: &Transcript,
    screen: &RiskScreen,
    redaction: &Redaction,
) -> Result<Extracted, AiError> {
    let redacts = extractor.kind() == ExtractorKind::Model;
    let lines =
        if redacts { redaction.redact_lines(transcript.lines()) } else { transcript.lines().to_vec() };
    let Drafted { draft, warnings, usage, cost_usd, provider, kind } = draft(extractor, &lines).await?;
    let draft = if redacts { redaction.restore_draft(draft) } else { draft };
    let notes = ground(transcript, draft, screen, kind == ExtractorKind::Model);
    Ok(Extracted { notes, warnings, usage, cost_usd, provider, kind })
}

/// A draft, and what it took to get it.
struct Drafted {
    draft: NoteDraft,
    warnings: Vec<String>,
    usage: Usage,
    cost_usd: Option<f64>,
    provider: Provider,
    kind: ExtractorKind,
}

async fn draft(extractor: &dyn NoteExtractor, lines: &[TranscriptLine]) -> Result<Drafted, AiError> {
    let first = extractor.extract(lines, None).await?;
    let problems = problems_of(&first, lines);
    if problems.is_empty() || first.kind == ExtractorKind::Extractive {
        return kept(first, problems, None);
    }
    let repair = Repair { previous: first.raw.clone(), problems: problems.clone() };
    let second = extractor.extract(lines, Some(&repair)).await?;
    // A repair that made things worse is no repair.
    let worse = second.draft.is_err() && first.draft.is_ok();
    let (best, other) = if worse { (first, second) } else { (second, first) };
    let problems = problems_of(&best, lines);
    kept(best, problems, Some(&other))
}

fn problems_of(extraction: &Extraction, lines: &[TranscriptLine]) -> Vec<String> {
    match &extraction.draft {
        Ok(draft) => validation::problems(draft, lines),
        Err(problems) => problems.clone(),
    }
}

fn kept(
    extraction: Extraction,
    warnings: Vec<String>,
    other: Option<&Extraction>,
) -> Result<Drafted, AiError> {
    let Extraction { draft, usage, provider, kind, .. } = extraction;
    let draft = draft.map_err(|_| AiError::permanent(Cause::Request, WRONG_SHAPE))?;
    let other_cost = other.map_or(Some(0.0), |other| other.provider.cost_of(other.usage));
    let cost_usd = provider.cost_of(usage).zip(other_cost).map(|(own, other)| own + other);
    let usage = sum(usage, other.map_or_else(Usage::default, |other| other.usage));
    Ok(Drafted { draft, warnings, usage, cost_usd, provider, kind })
}

const WRONG_SHAPE: &str =
    "The AI's answer did not have the form of clinical notes, twice. Try again, or use another model.";

fn sum(a: Usage, b: Usage) -> Usage {
    let add = |a: Option<i64>, b: Option<i64>| a.map_or(b, |a| Some(a + b.unwrap_or(0)));
    Usage {
        prompt_tokens: add(a.prompt_tokens, b.prompt_tokens),
        completion_tokens: add(a.completion_tokens, b.completion_tokens),
        audio_ms: add(a.audio_ms, b.audio_ms),
    }
}

fn ground(transcript: &Transcript, draft: NoteDraft, screen: &RiskScreen, model: bool) -> Notes {
    let item =
        |item: DraftItem| Item { evidence: transcript.find(&item.quote, item.segment), text: item.text };
    let mut risk_flags = screen.flags.clone();
    let mut risk_screens = vec![format!("lexical screen {}", screen.version)];
    if model {
        risk_screens.push("language model".into());
        risk_flags.extend(
            draft.risk_flags.into_iter().map(|flag| ground_risk(transcript, flag, RiskSource::Model)),
        );
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

fn ground_risk(transcript: &Transcript, flag: DraftRisk, source: RiskSource) -> RiskFlag {
    let evidence = transcript.find(&flag.quote, flag.segment);
    RiskFlag { kind: flag.kind, severity: flag.severity, source, text: flag.text, evidence }
}
