//! Whether a session has risk flags that it did not have before: that is told to webhooks, without a word of the flags.
//!
//! What the lexical screen raises is told when the transcript is screened, and stands in the notes again; of these only what a
//! language model raises is new.

use sea_orm::{ConnectionTrait, EntityTrait};
use serde_json::Value;

use crate::entity::extraction_run;
use crate::entity::session::Model;
use crate::error::Result;
use crate::notes::{Notes, RiskFlag, RiskScreen, RiskSource};

/// Whether a screen raised anything.
pub(super) fn screen_found(screen: Option<&Value>) -> bool {
    !raised(screen).is_empty()
}

/// Whether a screen raises what the one before did not.
pub(super) fn screen_opens(before: Option<&Value>, after: Option<&Value>) -> bool {
    is_more(&raised(before), &raised(after))
}

/// Whether new notes raise what those of before did not.
pub(super) async fn opens(
    db: &impl ConnectionTrait,
    session: &Model,
    run: &extraction_run::Model,
) -> Result<bool> {
    let after = by_model(run);
    let Some(before) = session.extraction_run_id.filter(|_| !after.is_empty()) else {
        return Ok(!after.is_empty());
    };
    let before = extraction_run::Entity::find_by_id(before).one(db).await?;
    Ok(is_more(&before.as_ref().map(by_model).unwrap_or_default(), &after))
}

fn raised(screen: Option<&Value>) -> Vec<RiskFlag> {
    let screen = screen.and_then(|screen| serde_json::from_value::<RiskScreen>(screen.clone()).ok());
    screen.map(|screen| screen.flags).unwrap_or_default()
}

fn by_model(run: &extraction_run::Model) -> Vec<RiskFlag> {
    let notes = serde_json::from_value::<Notes>(run.notes.clone()).ok();
    let flags = notes.map(|notes| notes.risk_flags).unwrap_or_default();
    flags.into_iter().filter(|flag| flag.source == RiskSource::Model).collect()
}

/// A flag is known by its kind and by the words it rests on, or where they stand: a word that is put right beside them, and
/// the other words that a model finds for the same concern, open nothing.
fn is_more(before: &[RiskFlag], after: &[RiskFlag]) -> bool {
    let is_same = |known: &RiskFlag, flag: &RiskFlag| {
        let (one, other) = (&known.evidence, &flag.evidence);
        let same_place = one.segment_id.is_some() && one.segment_id == other.segment_id;
        known.kind == flag.kind && (same_place || one.quote == other.quote)
    };
    !after.iter().all(|flag| before.iter().any(|known| is_same(known, flag)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn screen(quotes: &[&str]) -> Value {
        let flag = |quote: &&str| {
            json!({ "kind": "SELF_HARM", "severity": "HIGH", "source": "LEXICAL", "text": "t",
                "evidence": { "quote": quote, "segment_id": null, "start_ms": null, "end_ms": null, "verdict": "SUPPORTED" } })
        };
        json!({ "version": "1", "flags": quotes.iter().map(flag).collect::<Vec<_>>() })
    }

    #[test]
    fn only_what_was_not_raised_before_is_opened() {
        let (none, one, two) = (screen(&[]), screen(&["a"]), screen(&["a", "b"]));
        assert!(screen_found(Some(&one)) && !screen_found(Some(&none)) && !screen_found(None));
        assert!(screen_opens(None, Some(&one)) && screen_opens(Some(&one), Some(&two)));
        assert!(!screen_opens(Some(&two), Some(&one)) && !screen_opens(Some(&one), Some(&one)));
    }
}
