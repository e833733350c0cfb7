//! What patients may read of a session's notes.

use async_graphql::{Context, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::{ContextExt, uuid};
use super::error::ApiResult;
use super::session::{SessionPayload, no_such_session};
use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::{session, summary_release};
use crate::sessions::release::Wanted;

/// A version of the notes that the patient may read: summary, strategies and action items, as text.
#[derive(SimpleObject)]
pub(super) struct SummaryRelease {
    /// Since when.
    released_at: DateTime<Utc>,
    /// Whether these are the notes as they are now; false when newer ones wait for a release of their own. For the
    /// therapist; null for others.
    is_current: Option<bool>,
}

impl SummaryRelease {
    pub(super) fn new(release: &summary_release::Model, session: &session::Model, actor: &Actor) -> Self {
        let is_current = session.extraction_run_id == Some(release.extraction_run_id);
        let is_current = actor.reads_clinical_content(Scope::NotesRead).then_some(is_current);
        Self { released_at: release.released_at, is_current }
    }
}

#[derive(Default)]
pub(super) struct ReleaseMutation;

#[Object]
impl ReleaseMutation {
    /// Lets the patient read summary, strategies and action items of the notes as they are now. Newer notes need a
    /// release of their own; the patient reads the older one until then. Releasing the same notes twice is fine. For the
    /// session's therapist.
    /// Codes: NOT_FOUND, INVALID_STATE, CONFLICT, INVALID_INPUT, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn release_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
        #[graphql(
            desc = "The notes you have read (`notes { run { id } }`): if others were written since, nothing is released.
                The present ones if missing."
        )]
        run_id: Option<ID>,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key and input release nothing newer."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<SessionPayload> {
        ctx.actor().therapist_id()?;
        let Some(id) = uuid(&session_id) else { return SessionPayload::new(Err(no_such_session())) };
        // An id that is none is of no notes.
        let wanted = Wanted { session_id: id, run_id: run_id.map(|id| uuid(&id).unwrap_or_default()) };
        let (releases, key) = (&ctx.app().releases, idempotency_key.as_deref());
        SessionPayload::new(releases.release(ctx.actor(), ctx.origin(), wanted, key).await)
    }

    /// Takes back what was released: the patient reads nothing of this session's notes any more. Doing it twice is
    /// fine. For the session's therapist. Codes: NOT_FOUND.
    async fn withdraw_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
    ) -> ApiResult<SessionPayload> {
        ctx.actor().therapist_id()?;
        let Some(id) = uuid(&session_id) else { return SessionPayload::new(Err(no_such_session())) };
        SessionPayload::new(ctx.app().releases.withdraw(ctx.actor(), ctx.origin(), id).await)
    }
}
