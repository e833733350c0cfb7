//! What was said.

use async_graphql::connection::{Connection, Edge};
use async_graphql::{Context, Description, ID, Object};

use super::connection::{ConnectionOf, TotalCount, wants_total};
use super::context::ContextExt;
use super::error::ApiResult;
use crate::entity::session;
use crate::entity::transcript_segment::{Model, SpeakerRole};
use crate::error::Error;
use crate::page::PageArgs;

/// An utterance.
#[derive(Description)]
pub(super) struct TranscriptSegment(Model);

#[Object(use_type_description)]
impl TranscriptSegment {
    /// UUID, version 7.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its place in the transcript, from 0.
    async fn index(&self) -> i32 {
        self.0.segment_index
    }

    /// Start in the recording, in milliseconds.
    async fn start_ms(&self) -> i64 {
        self.0.start_ms
    }

    /// End in the recording, in milliseconds.
    async fn end_ms(&self) -> i64 {
        self.0.end_ms
    }

    /// The provider's label for the voice; null where it does not tell voices apart.
    async fn speaker(&self) -> Option<&str> {
        self.0.speaker.as_deref()
    }

    /// Whose voice it is; null where nobody knows.
    async fn role(&self) -> Option<SpeakerRole> {
        self.0.role
    }

    /// The words.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// How sure the recogniser is, 0 to 1; null where it does not say.
    async fn confidence(&self) -> Option<f32> {
        self.0.confidence
    }
}

/// A page of a transcript, oldest first; its cursors are places.
pub(super) async fn connection(
    ctx: &Context<'_>,
    session: &session::Model,
    first: Option<i32>,
    after: Option<String>,
) -> ApiResult<ConnectionOf<TranscriptSegment>> {
    let sessions = &ctx.app().sessions;
    let limit = PageArgs::new(first, None)?.first();
    let after = after.as_deref().map(place).transpose()?;
    let mut rows = sessions.transcript_page(session, limit + 1, after).await?;
    let has_next = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let total_count = if wants_total(ctx) { sessions.transcript_len(session).await? } else { 0 };
    let mut connection =
        Connection::with_additional_fields(after.is_some(), has_next, TotalCount { total_count });
    connection.edges.extend(
        rows.into_iter().map(|row| Edge::new(format!("s{}", row.segment_index), TranscriptSegment(row))),
    );
    Ok(connection)
}

fn place(cursor: &str) -> Result<i32, Error> {
    let place = cursor.strip_prefix('s').and_then(|place| place.parse().ok()).filter(|place| *place >= 0);
    place.ok_or_else(|| Error::BadRequest("`after` is not a cursor of this list.".into()))
}
