//! Pieces of sentences that summaries are put together from.

use crate::ai::{Mood, MoodTrajectory, RiskKind};

/// Words of a quote in a summary, at most.
const CLIP: usize = 26;

/// What the mood was and where it went.
pub(super) fn tone(mood: Mood, trajectory: MoodTrajectory) -> String {
    let mood = match mood {
        Mood::VeryLow => "very low",
        Mood::Low => "low",
        Mood::Neutral => "neutral",
        Mood::Positive => "positive",
        Mood::VeryPositive => "very positive",
    };
    let course = match trajectory {
        MoodTrajectory::Improving => "improving",
        MoodTrajectory::Declining => "declining",
        MoodTrajectory::Stable => "stable",
        MoodTrajectory::Fluctuating => "fluctuating",
    };
    format!("By the valence of its words the mood was {mood}, in its course {course}.")
}

/// The kind in lower case, as a sentence takes it.
pub(super) fn kind_name(kind: RiskKind) -> &'static str {
    match kind {
        RiskKind::SuicidalIdeation => "suicidal ideation",
        RiskKind::SuicideMeansOrPlan => "means or plan",
        RiskKind::PastAttempt => "past attempt",
        RiskKind::SelfHarm => "self-harm",
        RiskKind::Hopelessness => "hopelessness",
        RiskKind::LossOfControl => "loss of control",
        RiskKind::HarmToOthers => "harm to others",
        RiskKind::AbuseOrNeglect => "abuse or neglect",
        RiskKind::SubstanceUse => "substance use",
        RiskKind::Psychosis => "psychosis",
        RiskKind::SafetyPlan => "safety plan",
        RiskKind::Other => "other concerns",
    }
}

/// Words of a text.
pub(super) fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The words in quotation marks, without the final stop; long ones end in dots.
pub(super) fn quoted(quote: &str) -> String {
    let words: Vec<&str> = quote.split(' ').collect();
    if words.len() > CLIP {
        return format!("“{} …”", words[..CLIP].join(" "));
    }
    format!("“{}”", quote.trim_end_matches(['.', '。']))
}

/// "a, b, and c": names may hold an "and" of their own.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    }
}
