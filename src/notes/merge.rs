//! Puts the drafts of parts together: the lists by code, so that nothing in them is lost or made up.

use super::grounding::folded;
use super::parts::tokens;
use crate::ai::{DraftItem, DraftRisk, NoteDraft};

/// The lists of several drafts as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    strategies: Vec<DraftItem>,
    action_items: Vec<DraftItem>,
    risk_flags: Vec<DraftRisk>,
}

impl Lists {
    /// Of all drafts, in their order. What two of them draw from the same words (parts overlap) is there once, as it was said
    /// first; everything else stays, with the quote it rests on.
    pub(super) fn of(drafts: &[NoteDraft]) -> Self {
        let mut lists = Self::default();
        for draft in drafts {
            add_items(&mut lists.strategies, &draft.strategies);
            add_items(&mut lists.action_items, &draft.action_items);
            add_risks(&mut lists.risk_flags, &draft.risk_flags);
        }
        lists
    }

    /// The texts of a draft with these lists.
    pub(super) fn with(&self, texts: NoteDraft) -> NoteDraft {
        let Self { strategies, action_items, risk_flags } = self.clone();
        NoteDraft { strategies, action_items, risk_flags, ..texts }
    }
}

fn add_items(all: &mut Vec<DraftItem>, of_a_part: &[DraftItem]) {
    // Compared with other parts only: within one, two items may well rest on the same words.
    let before: Vec<_> = all.iter().map(|item| (folded(&item.text), folded(&item.quote))).collect();
    let is_new = |item: &&DraftItem| {
        let (text, quote) = (folded(&item.text), folded(&item.quote));
        !before.iter().any(|(other_text, other_quote)| same(&quote, other_quote, text == *other_text))
    };
    all.extend(of_a_part.iter().filter(is_new).cloned());
}

/// The same quote, or for the same statement one that is within the other.
fn same(a: &str, b: &str, same_text: bool) -> bool {
    if a.is_empty() || b.is_empty() {
        return same_text && a == b;
    }
    a == b || same_text && (a.contains(b) || b.contains(a))
}

/// Flags of one kind on the same words are one, with the higher severity; others are never taken together.
fn add_risks(all: &mut Vec<DraftRisk>, of_a_part: &[DraftRisk]) {
    let before = all.len();
    for risk in of_a_part {
        let quote = folded(&risk.quote);
        let known = all[..before].iter_mut().find(|other| {
            other.kind == risk.kind
                && same(&quote, &folded(&other.quote), folded(&other.text) == folded(&risk.text))
        });
        match known {
            Some(other) => other.severity = other.severity.max(risk.severity),
            None => all.push(risk.clone()),
        }
    }
}

/// Drafts that can be read together in so much room, in order; at least two at a time, so that every round leaves fewer.
pub(super) fn groups(drafts: &[NoteDraft], room: usize) -> Vec<&[NoteDraft]> {
    let mut groups = Vec::new();
    let mut rest = drafts;
    while !rest.is_empty() {
        let mut sum = 0_usize;
        let fits = |draft: &&NoteDraft| {
            sum = sum.saturating_add(size(draft));
            sum <= room
        };
        let count = rest.iter().take_while(fits).count().max(2).min(rest.len());
        let (group, others) = rest.split_at(count);
        groups.push(group);
        rest = others;
    }
    groups
}

fn size(draft: &NoteDraft) -> usize {
    serde_json::to_string(draft).map_or(usize::MAX, |json| tokens(&json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ai::{Mood, MoodTrajectory, RiskKind, RiskSeverity};
    use proptest::prelude::*;

    fn item(text: &str, quote: &str) -> DraftItem {
        DraftItem { text: text.into(), quote: quote.into(), segment: 0 }
    }

    fn risk(kind: RiskKind, severity: RiskSeverity, quote: &str) -> DraftRisk {
        DraftRisk { kind, severity, text: "A concern.".into(), quote: quote.into(), segment: 0 }
    }

    fn draft(strategies: Vec<DraftItem>, risk_flags: Vec<DraftRisk>) -> NoteDraft {
        NoteDraft {
            key_topics: vec![],
            topic_summary: String::new(),
            strategies,
            action_items: vec![],
            session_mood: Mood::Low,
            mood_trajectory: MoodTrajectory::Stable,
            therapist_notes: String::new(),
            patient_summary: String::new(),
            risk_flags,
        }
    }

    #[test]
    fn what_two_parts_draw_from_the_same_words_is_there_once() {
        let first = vec![item("Breathing was tried.", "in and out"), item("Counting.", "in and out")];
        let second = vec![
            item("They breathed.", "In, and out."),
            item("Breathing was tried.", "breathe in and out slowly"),
            item("Breathing was tried.", "another place"),
            item("A walk.", ""),
        ];
        let texts = |lists: Lists| lists.strategies.into_iter().map(|item| item.quote).collect::<Vec<_>>();
        let merged = Lists::of(&[draft(first, vec![]), draft(second, vec![])]);
        assert_eq!(texts(merged), ["in and out", "in and out", "another place", ""]);
    }

    #[test]
    fn two_kinds_of_risk_on_the_same_words_stay_two() {
        let one = draft(vec![], vec![risk(RiskKind::SelfHarm, RiskSeverity::Low, "I cut")]);
        let two = draft(
            vec![],
            vec![
                risk(RiskKind::SelfHarm, RiskSeverity::High, "I cut."),
                risk(RiskKind::SuicidalIdeation, RiskSeverity::Low, "I cut"),
            ],
        );
        let merged = Lists::of(&[one, two]).risk_flags;
        assert_eq!(merged.len(), 2);
        assert_eq!((merged[0].kind, merged[0].severity), (RiskKind::SelfHarm, RiskSeverity::High));
    }

    #[test]
    fn groups_shrink_what_is_left_to_merge() {
        let drafts = vec![draft(vec![], vec![]); 5];
        let sizes = |room| groups(&drafts, room).iter().map(|group| group.len()).collect::<Vec<_>>();
        assert_eq!(sizes(0), [2, 2, 1]);
        assert_eq!(sizes(usize::MAX), [5]);
    }

    proptest! {
        /// Whatever the parts flag: each kind and quote of theirs is in the merge, no less severe.
        #[test]
        fn no_risk_flag_is_lost(parts in proptest::collection::vec(
            proptest::collection::vec((0..3_usize, 0..3_usize, 0..4_usize), 0..4), 0..5,
        )) {
            const KINDS: [RiskKind; 3] = [RiskKind::SelfHarm, RiskKind::SuicidalIdeation, RiskKind::Other];
            const SEVERITIES: [RiskSeverity; 3] = [RiskSeverity::Low, RiskSeverity::Moderate, RiskSeverity::High];
            const QUOTES: [&str; 4] = ["I cut", "i cut!", "", "I cut myself"];
            let flags = |part: &Vec<(usize, usize, usize)>| {
                part.iter().map(|(kind, severity, quote)| risk(KINDS[*kind], SEVERITIES[*severity], QUOTES[*quote])).collect()
            };
            let drafts: Vec<_> = parts.iter().map(|part| draft(vec![], flags(part))).collect();
            let merged = Lists::of(&drafts).risk_flags;
            for flag in drafts.iter().flat_map(|draft| &draft.risk_flags) {
                let covered = merged.iter().any(|other| {
                    let (a, b) = (folded(&other.quote), folded(&flag.quote));
                    other.kind == flag.kind && other.severity >= flag.severity && (a.contains(&b) || b.contains(&a))
                });
                prop_assert!(covered, "{:?}", flag);
            }
        }
    }
}
