//! Plain answers to questions about safety: "Are you having thoughts of suicide?" "Yes, sometimes."

use std::sync::LazyLock;

use super::super::pattern::{Pattern, any};
use super::super::sentences::{Sentence, Speaker};
use super::super::words::Word;
use crate::ai::RiskKind;
use crate::ai::RiskKind::{AbuseOrNeglect, LossOfControl};

/// Whether the sentence says yes to a question.
pub(super) fn affirms(sentence: &Sentence) -> bool {
    static YES: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(yes|yeah|yep|yup|sometimes|often|occasionally|once|twice|unfortunately|lately|always|\
             constantly)",
            "i (do|have|am|did|was) $",
            "(a few times|a couple of times|now and then|on and off|all the time|every (night|day)|most \
             (nights|days)|i think so|i guess (so)?|kind of|more than once|almost every|the other night)",
        ])
    });
    is_reply(sentence) && at_start(&YES, &sentence.words) && !denies(sentence)
}

/// Whether the sentence says no to a question.
pub(super) fn denies(sentence: &Sentence) -> bool {
    static NO: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(no|nope|never|not|nothing|none|neither)",
            "i (do|have|am|did|was|can) not",
            "(yes|yeah|well|honestly) (no|not|i (do|can|am) not)",
        ])
    });
    is_reply(sentence) && at_start(&NO, &sentence.words)
}

fn is_reply(sentence: &Sentence) -> bool {
    !sentence.question && sentence.speaker != Speaker::Therapist
}

fn at_start(patterns: &[Pattern], words: &[Word]) -> bool {
    patterns.iter().any(|pattern| pattern.find(words).is_some_and(|(start, _)| start == 0))
}

/// What a "no" to this question means, where a "no" is the worrying answer.
pub(super) fn worrying_no(question: &Sentence) -> Option<RiskKind> {
    static HOME: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&["safe ..1 (at home|in your home|with (him|her|your)|going home|around (him|her))"])
    });
    static SELF: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(keep|stay|be|feel) (yourself)? safe (tonight|until|this|$|for|over|with yourself)",
            "(promise|trust) ..3 yourself",
        ])
    });
    if any(&HOME, &question.words) {
        return Some(AbuseOrNeglect);
    }
    any(&SELF, &question.words).then_some(LossOfControl)
}
