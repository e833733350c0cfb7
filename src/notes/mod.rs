//! Clinical notes: asked of an extractor, held against the contract, and every quote looked up in the transcript.

mod extraction;
pub mod grounding;
mod merge;
mod parts;
pub mod redaction;
mod tidy;
pub mod validation;

use async_graphql::Enum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::extraction::{Answers, Extracted, Failure, Reading, Spent, extract};
use self::grounding::Transcript;
use crate::ai::extractive::risk;
use crate::ai::{DraftRisk, Mood, MoodTrajectory, RiskKind, RiskSeverity};

/// Whether a quote stands in the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// The words stand in the transcript: `match` says how closely.
    Supported,
    /// They do not: read with care.
    Unsupported,
}

/// How closely a quote stands in the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[graphql(name = "EvidenceMatch")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Match {
    /// To the letter, but for white space.
    Exact,
    /// The same words in the same order; case, punctuation and typography differ.
    Normalised,
    /// At least 0.85 of the words are the same, in the same order, of five or more. Only fillers, articles and the like
    /// came or went, and words are spelled or inflected otherwise; never does a negation, a number, a person or a word of
    /// risk differ.
    Fuzzy,
}

/// The words a statement rests on, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The words.
    pub quote: String,
    /// The utterance they start in; `None` when they are not found.
    pub segment_id: Option<Uuid>,
    /// All utterances they stand in, in order; runs of before this was kept have none.
    #[serde(default)]
    pub segment_ids: Vec<Uuid>,
    /// Start of that utterance in the recording.
    pub start_ms: Option<i64>,
    /// End of the utterance they end in.
    pub end_ms: Option<i64>,
    /// Whether they were found.
    pub verdict: Verdict,
    /// How closely; `None` when they are not found, and in runs of before this was kept.
    #[serde(default, rename = "match")]
    pub found: Option<Match>,
}

impl Evidence {
    /// For words that are nowhere.
    #[must_use]
    pub fn unsupported(quote: String) -> Self {
        Self {
            quote,
            segment_id: None,
            segment_ids: Vec::new(),
            start_ms: None,
            end_ms: None,
            verdict: Verdict::Unsupported,
            found: None,
        }
    }
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
    /// Concerns, first of the lexical screen, then of the model. What both raise is listed twice, once by each: they are two
    /// findings, and neither hides the other.
    pub risk_flags: Vec<RiskFlag>,
    /// Which screens were made: an empty list of flags never reads as "no risk".
    pub risk_screens: Vec<String>,
}

/// Screens a transcript for phrases of risk.
#[must_use]
pub fn screen(transcript: &Transcript) -> RiskScreen {
    let flags = risk::screen(transcript.lines());
    RiskScreen {
        version: risk::VERSION.into(),
        flags: flags
            .into_iter()
            .map(|flag| {
                let evidence = transcript.find(&flag.quote, flag.segment);
                risk_flag(flag, RiskSource::Lexical, evidence)
            })
            .collect(),
    }
}

/// SHA-256 of what an extractor reads, in hex: who spoke and what was said, line by line. The same text read by the same
/// extractor is not paid for twice; notes of a run with another hash are stale. It is taken of the transcript as it reads
/// after corrections: one that changes a word or a role changes it, times and ids do not.
#[must_use]
pub fn transcript_hash(transcript: &Transcript) -> String {
    let mut hash = Sha256::new();
    for line in transcript.lines() {
        hash.update(format!("{}\t{}\n", line.role.as_deref().unwrap_or_default(), line.text));
    }
    hex::encode(hash.finalize())
}

fn risk_flag(flag: DraftRisk, source: RiskSource, evidence: Evidence) -> RiskFlag {
    RiskFlag { kind: flag.kind, severity: flag.severity, source, text: flag.text, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::transcript_segment::SpeakerRole;

    #[test]
    fn notes_of_before_matches_were_kept_still_read() {
        let stored =
            r#"{"quote": "q", "segment_id": null, "start_ms": null, "end_ms": null, "verdict": "SUPPORTED"}"#;
        let evidence: Evidence = serde_json::from_str(stored).unwrap();
        assert_eq!((evidence.found, evidence.segment_ids.len()), (None, 0));
    }

    #[test]
    fn how_a_quote_was_found_is_stored_under_the_name_it_has_in_the_api() {
        let mut evidence = Evidence::unsupported("q".into());
        evidence.found = Some(Match::Fuzzy);
        assert_eq!(serde_json::to_value(&evidence).unwrap()["match"], "FUZZY");
    }

    #[test]
    fn the_hash_depends_on_words_and_roles_alone() {
        let segments = || vec![grounding::tests::segment(0, "Hello."), grounding::tests::segment(1, "Bye.")];
        let hash = |segments: &[_]| transcript_hash(&Transcript::new(segments));
        let original = hash(&segments());
        let mut moved = segments();
        (moved[1].start_ms, moved[1].id) = (5000, Uuid::from_u128(77));
        assert_eq!(hash(&moved), original);
        let mut corrected = segments();
        corrected[1].text = "By.".into();
        assert_ne!(hash(&corrected), original);
        let mut assigned = segments();
        assigned[1].role = Some(SpeakerRole::Patient);
        assert_ne!(hash(&assigned), original);
    }
}
