//! The phrases of the risk screen: what they are about, how urgent they are, and what they must not be mistaken for.
//!
//! Collected from what screening instruments ask about (suicidal ideation from the wish to be dead to a plan with
//! intent, preparation, attempts) and from plain clinical language; not a validated instrument.

use crate::ai::{RiskKind, RiskSeverity};

/// Whose words count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The speaker's own: a third person as the nearest subject takes it away.
    Own,
    /// The phrase itself names who does what to whom.
    Named,
    /// Anybody's, and in a question too: an arrangement.
    Anybody,
}

/// A group of phrases that mean the same concern.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) kind: RiskKind,
    pub(super) severity: RiskSeverity,
    pub(super) subject: Subject,
    /// The concern in one sentence.
    pub(super) text: &'static str,
    /// Phrases that say it.
    pub(super) says: &'static [&'static str],
    /// Phrases of the same sentence that make it mean something else.
    pub(super) unless: &'static [&'static str],
}

impl Rule {
    /// A rule about the speaker.
    pub(super) const fn own(kind: RiskKind, severity: RiskSeverity, text: &'static str) -> Self {
        Self { kind, severity, subject: Subject::Own, text, says: &[], unless: &[] }
    }

    /// A rule whose phrases name the people in it.
    pub(super) const fn named(kind: RiskKind, severity: RiskSeverity, text: &'static str) -> Self {
        Self { kind, severity, subject: Subject::Named, text, says: &[], unless: &[] }
    }

    pub(super) const fn says(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    pub(super) const fn unless(mut self, unless: &'static [&'static str]) -> Self {
        self.unless = unless;
        self
    }
}
