//! The draft of clinical notes: the shape a language model is held to (its JSON schema is derived from
//! [`NoteDraft`]) and the closed vocabularies that the database, the API and the rules share.

use async_graphql::Enum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Overall emotional tone of a session, on five steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mood {
    /// Score 1.
    VeryLow,
    /// Score 2.
    Low,
    /// Score 3.
    Neutral,
    /// Score 4.
    Positive,
    /// Score 5.
    VeryPositive,
}

impl Mood {
    /// The step as a number, 1 (very low) to 5 (very positive).
    #[must_use]
    pub fn score(self) -> i32 {
        self as i32 + 1
    }
}

/// Where the mood went, in the course of a session or over several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MoodTrajectory {
    /// Better at the end than at the start.
    Improving,
    /// Worse at the end than at the start.
    Declining,
    /// About the same throughout.
    Stable,
    /// Up and down without a direction.
    Fluctuating,
}

/// What a risk flag is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RiskKind {
    /// Thoughts of ending one's life or of not wanting to be alive.
    SuicidalIdeation,
    /// A plan for suicide, preparations, or access to a means.
    SuicideMeansOrPlan,
    /// A suicide attempt or serious self-harm in the past.
    PastAttempt,
    /// Hurting oneself without the wish to die.
    SelfHarm,
    /// Seeing no point, no way out, no future.
    Hopelessness,
    /// Doubt about keeping oneself safe, loss of control.
    LossOfControl,
    /// Thoughts or threats of hurting somebody else.
    HarmToOthers,
    /// Violence, abuse or neglect, suffered or in the home.
    AbuseOrNeglect,
    /// Alcohol, drugs or medication used in a risky way.
    SubstanceUse,
    /// Signs of psychosis: voices, delusions, paranoia.
    Psychosis,
    /// A safety plan or crisis contact was arranged: somebody saw a risk.
    SafetyPlan,
    /// Another concern for somebody's safety.
    Other,
}

/// How urgent a risk flag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RiskSeverity {
    /// Keep an eye on it.
    Low,
    /// Look into it soon.
    Moderate,
    /// Look into it now.
    High,
}

/// A statement and the words it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftItem {
    /// The statement, one sentence.
    pub text: String,
    /// The words of the transcript it rests on, to the letter.
    pub quote: String,
    /// Index of the transcript line the quote starts in.
    pub segment: i32,
}

/// A concern for somebody's safety and the words it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftRisk {
    /// What it is about.
    pub kind: RiskKind,
    /// How urgent it is.
    pub severity: RiskSeverity,
    /// The concern, one sentence.
    pub text: String,
    /// The words of the transcript it rests on, to the letter.
    pub quote: String,
    /// Index of the transcript line the quote starts in.
    pub segment: i32,
}

/// Clinical notes as an extractor proposes them; nobody has checked them yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NoteDraft {
    /// Main subjects of the session, 3 to 7, a few lower-case words each.
    pub key_topics: Vec<String>,
    /// The session in 2 or 3 sentences.
    pub topic_summary: String,
    /// Coping strategies that were discussed, tried or taught.
    pub strategies: Vec<DraftItem>,
    /// Homework and tasks that were agreed.
    pub action_items: Vec<DraftItem>,
    /// Overall emotional tone.
    pub session_mood: Mood,
    /// Where the mood went in the course of the session.
    pub mood_trajectory: MoodTrajectory,
    /// Professional clinical summary, 150 to 200 words.
    pub therapist_notes: String,
    /// Warm and supportive summary for the patient, 100 to 150 words.
    pub patient_summary: String,
    /// Concerns for somebody's safety; empty when none was found.
    pub risk_flags: Vec<DraftRisk>,
}

/// What is written anew when the notes of parts become the notes of a session: their lists are put together by code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DraftTexts {
    /// Main subjects of the session, 3 to 7, a few lower-case words each.
    pub key_topics: Vec<String>,
    /// The session in 2 or 3 sentences.
    pub topic_summary: String,
    /// Overall emotional tone.
    pub session_mood: Mood,
    /// Where the mood went in the course of the session.
    pub mood_trajectory: MoodTrajectory,
    /// Professional clinical summary, 150 to 200 words.
    pub therapist_notes: String,
    /// Warm and supportive summary for the patient, 100 to 150 words.
    pub patient_summary: String,
}

impl From<DraftTexts> for NoteDraft {
    fn from(texts: DraftTexts) -> Self {
        Self {
            key_topics: texts.key_topics,
            topic_summary: texts.topic_summary,
            strategies: Vec::new(),
            action_items: Vec::new(),
            session_mood: texts.session_mood,
            mood_trajectory: texts.mood_trajectory,
            therapist_notes: texts.therapist_notes,
            patient_summary: texts.patient_summary,
            risk_flags: Vec::new(),
        }
    }
}
