//! Which status may follow which.
//!
//! ```text
//! UPLOADING ─▶ TRANSCRIBING ─▶ TRANSCRIBED ─▶ EXTRACTING_NOTES ─▶ PROCESSED
//!     ▲ │           │           ▲   │ ▲             │                │
//!     │ └───────────┴───────────┼───┴─┼─────────────┘                │
//!     │                         │     └── extractNotes ──────────────┘
//!     │                         ▼
//!     └───── retry ───────── FAILED ─── retry ──▶ TRANSCRIBED
//! ```

use crate::entity::session::Status;

impl Status {
    /// Whether processing has ended, well or badly.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Processed | Self::Failed)
    }

    /// Checks a transition.
    ///
    /// # Errors
    /// [`IllegalTransition`] when `next` must not follow.
    pub fn may_become(self, next: Self) -> Result<(), IllegalTransition> {
        use Status::{ExtractingNotes, Failed, Processed, Transcribed, Transcribing, Uploading};
        let legal = match (self, next) {
            (Uploading, Transcribing)
            | (Transcribed, ExtractingNotes)
            | (ExtractingNotes, Processed)
            | (Transcribing | Processed | Failed, Transcribed)
            | (Failed, Uploading) => true,
            (from, Failed) => !from.is_terminal(),
            _ => false,
        };
        if legal { Ok(()) } else { Err(IllegalTransition { from: self, to: next }) }
    }
}

/// A status that must not follow another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session cannot go from {from:?} to {to:?}")]
pub struct IllegalTransition {
    from: Status,
    to: Status,
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::Iterable;

    #[test]
    fn processing_goes_forward_step_by_step() {
        let stages: Vec<Status> = Status::iter().filter(|status| *status != Status::Failed).collect();
        for (at, from) in stages.iter().enumerate() {
            for (to_at, to) in stages.iter().enumerate() {
                let again = (*from, *to) == (Status::Processed, Status::Transcribed);
                assert_eq!(from.may_become(*to).is_ok(), to_at == at + 1 || again, "{from:?} → {to:?}");
            }
        }
    }

    #[test]
    fn every_unfinished_stage_can_fail_and_only_failed_ones_are_retried() {
        for status in Status::iter() {
            assert_eq!(status.may_become(Status::Failed).is_ok(), !status.is_terminal(), "{status:?}");
            assert_eq!(status.may_become(Status::Uploading).is_ok(), status == Status::Failed, "{status:?}");
        }
    }
}
