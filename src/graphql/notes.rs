//! Clinical notes, and what they rest on.

use async_graphql::{ID, SimpleObject};
use chrono::{DateTime, Utc};

use super::error::ApiResult;
use crate::actor::NotesView;
use crate::ai::{Mood, MoodTrajectory, RiskKind, RiskSeverity};
use crate::entity::extraction_run::{self, Kind};
use crate::entity::session;
use crate::notes::{self, Match, RiskSource, Verdict};

/// Clinical notes of a session: a draft until somebody has reviewed them. The patient reads summary, strategies and
/// action items of the version that was released; everything else is null then.
#[derive(SimpleObject)]
#[graphql(name = "SessionNotes")]
pub(super) struct Notes {
    /// Main subjects, 3 to 7 in a full session. For the therapist; null for the patient.
    key_topics: Option<Vec<String>>,
    /// The session in 2 or 3 sentences. For the therapist; null for the patient.
    topic_summary: Option<String>,
    /// Coping strategies that were discussed, tried or taught.
    strategies: Vec<Item>,
    /// Homework and tasks that were agreed.
    action_items: Vec<Item>,
    /// Overall emotional tone. For the therapist; null for the patient.
    session_mood: Option<Mood>,
    /// The tone as a number, 1 (very low) to 5 (very positive). For the therapist; null for the patient.
    mood_score: Option<i32>,
    /// Where the mood went in the course of the session. For the therapist; null for the patient.
    mood_trajectory: Option<MoodTrajectory>,
    /// Clinical summary for the therapist, 150 to 200 words in a full session. Null for the patient.
    therapist_notes: Option<String>,
    /// Summary for the patient, 100 to 150 words in a full session.
    patient_summary: String,
    /// Concerns for somebody's safety. An empty list means that none of `riskScreens` raised one; it does not mean that
    /// there is no risk. For the therapist; null for the patient.
    risk_flags: Option<Vec<RiskFlag>>,
    /// Which screens for risk were made. For the therapist; null for the patient.
    risk_screens: Option<Vec<String>>,
    /// Whether the transcript was corrected since: `extractNotes` writes them anew. For the therapist; null for the patient.
    is_stale: Option<bool>,
    /// The run that wrote these notes. For the therapist; null for the patient.
    run: Option<ExtractionRun>,
}

/// A strategy or an action item.
#[derive(SimpleObject)]
#[graphql(name = "NoteItem")]
pub(super) struct Item {
    /// The statement.
    text: String,
    /// The words it rests on. For the therapist; null for the patient.
    evidence: Option<Evidence>,
}

/// The words a statement rests on, looked up in the transcript by code: first to the letter, then by the words alone, then
/// nearly (at least 0.85 alike, five words or more, and never with a negation, a number, a person or a word of risk that
/// differs). What is found in none of these ways is UNSUPPORTED, and is shown all the same.
#[derive(SimpleObject)]
pub(super) struct Evidence {
    /// The words.
    quote: String,
    /// The utterance they start in; null when they are not found.
    segment_id: Option<ID>,
    /// All utterances they stand in, in order; empty when they are not found.
    segment_ids: Vec<ID>,
    /// Start of that utterance in the recording, in milliseconds.
    start_ms: Option<i64>,
    /// End of the utterance they end in, in milliseconds.
    end_ms: Option<i64>,
    /// Whether they were found.
    verdict: Verdict,
    /// How closely they stand there; null when they are not found, and in notes that were written before this was kept.
    #[graphql(name = "match")]
    found: Option<Match>,
}

/// A concern for somebody's safety.
#[derive(SimpleObject)]
pub(super) struct RiskFlag {
    /// What it is about.
    kind: RiskKind,
    /// How urgent it is.
    severity: RiskSeverity,
    /// Who raised it.
    source: RiskSource,
    /// The concern.
    text: String,
    /// The words it rests on.
    evidence: Evidence,
}

/// What a screen of the transcript by a list of phrases found.
#[derive(SimpleObject)]
pub(super) struct RiskScreen {
    /// Version of the list.
    version: String,
    /// What it raised. Empty means that no phrase of the list occurs; it does not mean that there is no risk.
    flags: Vec<RiskFlag>,
}

/// One extraction of notes.
#[derive(SimpleObject)]
pub(super) struct ExtractionRun {
    /// UUID, version 7.
    id: ID,
    /// Written by a language model, or put together from quotes by rules.
    kind: Kind,
    /// Who wrote them.
    provider: String,
    /// With which model or set of rules.
    model: String,
    /// With which version of the prompt or of the rules.
    prompt_version: String,
    /// Tokens sent; null where the provider does not say.
    prompt_tokens: Option<i64>,
    /// Tokens received; null where the provider does not say.
    completion_tokens: Option<i64>,
    /// Money, in US dollars, by the price table of the server; null where tokens are not known.
    cost_usd: Option<f64>,
    /// Wall time, in milliseconds.
    duration_ms: i64,
    /// What is not as it should be, a sentence each.
    warnings: Vec<String>,
    /// When.
    created_at: DateTime<Utc>,
}

impl Notes {
    /// What a view shows of the notes of a run.
    pub(super) fn new(run: extraction_run::Model, view: NotesView, of: &session::Model) -> ApiResult<Self> {
        let notes = serde_json::from_value(run.notes.clone()).map_err(anyhow::Error::new)?;
        let is_stale = of.transcript_sha256.as_ref().is_some_and(|sha256| *sha256 != run.transcript_sha256);
        match view {
            NotesView::Latest => Ok(Self::whole(notes, ExtractionRun::new(run)?, is_stale)),
            NotesView::Released => Ok(Self::released(notes)),
        }
    }

    fn whole(notes: notes::Notes, run: ExtractionRun, is_stale: bool) -> Self {
        Self {
            key_topics: Some(notes.key_topics),
            topic_summary: Some(notes.topic_summary),
            strategies: notes.strategies.into_iter().map(Item::from).collect(),
            action_items: notes.action_items.into_iter().map(Item::from).collect(),
            session_mood: Some(notes.session_mood),
            mood_score: Some(notes.session_mood.score()),
            mood_trajectory: Some(notes.mood_trajectory),
            therapist_notes: Some(notes.therapist_notes),
            patient_summary: notes.patient_summary,
            risk_flags: Some(notes.risk_flags.into_iter().map(RiskFlag::from).collect()),
            risk_screens: Some(notes.risk_screens),
            is_stale: Some(is_stale),
            run: Some(run),
        }
    }

    fn released(notes: notes::Notes) -> Self {
        Self {
            key_topics: None,
            topic_summary: None,
            strategies: notes.strategies.into_iter().map(Item::released).collect(),
            action_items: notes.action_items.into_iter().map(Item::released).collect(),
            session_mood: None,
            mood_score: None,
            mood_trajectory: None,
            therapist_notes: None,
            patient_summary: notes.patient_summary,
            risk_flags: None,
            risk_screens: None,
            is_stale: None,
            run: None,
        }
    }
}

impl Item {
    /// The statement without the words it rests on: these are the transcript's.
    fn released(notes::Item { text, .. }: notes::Item) -> Self {
        Self { text, evidence: None }
    }
}

impl RiskScreen {
    pub(super) fn new(stored: serde_json::Value) -> ApiResult<Self> {
        let screen: notes::RiskScreen = serde_json::from_value(stored).map_err(anyhow::Error::new)?;
        Ok(Self { version: screen.version, flags: screen.flags.into_iter().map(RiskFlag::from).collect() })
    }
}

impl ExtractionRun {
    fn new(run: extraction_run::Model) -> ApiResult<Self> {
        Ok(Self {
            id: run.id.into(),
            kind: run.kind,
            provider: run.provider,
            model: run.model,
            prompt_version: run.prompt_version,
            prompt_tokens: run.prompt_tokens,
            completion_tokens: run.completion_tokens,
            cost_usd: run.cost_usd,
            duration_ms: run.work_ms,
            warnings: serde_json::from_value(run.warnings).map_err(anyhow::Error::new)?,
            created_at: run.created_at,
        })
    }
}

impl From<notes::Item> for Item {
    fn from(notes::Item { text, evidence }: notes::Item) -> Self {
        Self { text, evidence: Some(evidence.into()) }
    }
}

impl From<notes::Evidence> for Evidence {
    fn from(evidence: notes::Evidence) -> Self {
        let notes::Evidence { quote, segment_id, segment_ids, start_ms, end_ms, verdict, found } = evidence;
        // Notes of before all of them were kept have the first.
        let segment_ids = if segment_ids.is_empty() { segment_id.into_iter().collect() } else { segment_ids };
        Self {
            quote,
            segment_id: segment_id.map(ID::from),
            segment_ids: segment_ids.into_iter().map(ID::from).collect(),
            start_ms,
            end_ms,
            verdict,
            found,
        }
    }
}

impl From<notes::RiskFlag> for RiskFlag {
    fn from(flag: notes::RiskFlag) -> Self {
        let notes::RiskFlag { kind, severity, source, text, evidence } = flag;
        Self { kind, severity, source, text, evidence: evidence.into() }
    }
}
