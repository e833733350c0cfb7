//! What was said, and what the therapist puts right in it.

use std::sync::Arc;

use async_graphql::connection::{Connection, Edge};
use async_graphql::{Context, Description, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{ConnectionOf, TotalCount, wants_total};
use super::context::{ContextExt, uuid};
use super::error::{ApiError, ApiResult, UserErrorView, payload};
use super::session::{SessionPayload, no_such_session};
use super::session_loader::{SegmentCountOf, SegmentsOf};
use crate::entity::session;
use crate::entity::transcript_piece;
use crate::entity::transcript_segment::SpeakerRole;
use crate::error::{Error, UserError};
use crate::page::PageArgs;
use crate::sessions::correction::{Correction, Line};
use crate::sessions::pieces::SILENCE;

/// An utterance.
#[derive(Description)]
pub(super) struct TranscriptSegment(pub(super) Line);

#[Object(use_type_description)]
impl TranscriptSegment {
    /// UUID, version 7.
    async fn id(&self) -> ID {
        self.0.segment.id.into()
    }

    /// Its place in the transcript, from 0.
    async fn index(&self) -> i32 {
        self.0.segment.segment_index
    }

    /// Start in the recording, in milliseconds.
    async fn start_ms(&self) -> i64 {
        self.0.segment.start_ms
    }

    /// End in the recording, in milliseconds.
    async fn end_ms(&self) -> i64 {
        self.0.segment.end_ms
    }

    /// The label of the voice, the same in the whole recording: its channel where each channel holds one speaker, else
    /// what the provider says, else one of two voices told apart by their sound. Null where nobody can tell.
    async fn speaker(&self) -> Option<&str> {
        self.0.segment.speaker.as_deref()
    }

    /// Whose voice it is: as the therapist said (`assignSpeaker`, `correctSegment`), else as what was said tells. Null
    /// where neither does.
    async fn role(&self) -> Option<SpeakerRole> {
        self.0.segment.role
    }

    /// How sure `role` is, 0 to 1, where it was told from what was said; null where there is none, or the therapist said so.
    async fn role_confidence(&self) -> Option<f32> {
        self.0.segment.role_confidence
    }

    /// The words, as corrected.
    async fn text(&self) -> &str {
        self.0.text()
    }

    /// The words as they were recognised, where they were corrected; null where they were not.
    async fn original_text(&self) -> Option<&str> {
        self.0.correction.as_ref().map(|_| self.0.segment.text.as_str())
    }

    /// When it was last corrected; null where it was not.
    async fn corrected_at(&self) -> Option<DateTime<Utc>> {
        self.0.correction.as_ref().map(|correction| correction.created_at)
    }

    /// How sure the recogniser is of the words, 0 to 1; null where it does not say.
    async fn confidence(&self) -> Option<f32> {
        self.0.segment.confidence
    }
}

/// How a transcript came about.
#[derive(SimpleObject)]
pub(super) struct Transcription {
    /// Who recognised it, a line a provider and model; several where one stood in for another.
    recognisers: Vec<Recogniser>,
    /// Pieces of the recording that are recognised so far.
    pieces: i32,
    /// Of these, pieces on which nobody speaks; nobody was paid for them.
    silent_pieces: i32,
    /// Of these, pieces taken over from another session with the same recording; nobody was paid for them again.
    reused_pieces: i32,
    /// Segments that were left out, or cut, because they were invented: words on silence, phrases that go round in circles.
    dropped_segments: i32,
    /// 2 where each channel of the recording holds one speaker, and is recognised by itself; else 1.
    tracks: i32,
    /// Time the recognisers took, in milliseconds.
    duration_ms: i64,
}

/// A recogniser, and what it listened to.
#[derive(SimpleObject)]
pub(super) struct Recogniser {
    /// Who.
    provider: String,
    /// With which model.
    model: String,
    /// Audio listened to, in seconds; pieces overlap a little.
    audio_seconds: f64,
}

impl Transcription {
    #[expect(clippy::cast_precision_loss, reason = "a recording has far fewer than 2^52 milliseconds")]
    pub(super) fn new(session: &session::Model, pieces: &[transcript_piece::Model]) -> Self {
        let mut recognisers: Vec<Recogniser> = Vec::new();
        for piece in pieces.iter().filter(|piece| piece.provider != SILENCE) {
            let same =
                |known: &&mut Recogniser| known.provider == piece.provider && known.model == piece.model;
            let seconds = piece.audio_ms as f64 / 1000.0;
            match recognisers.iter_mut().find(same) {
                Some(known) => known.audio_seconds += seconds,
                None => recognisers.push(Recogniser {
                    provider: piece.provider.clone(),
                    model: piece.model.clone(),
                    audio_seconds: seconds,
                }),
            }
        }
        let count = |such: fn(&transcript_piece::Model) -> bool| {
            i32::try_from(pieces.iter().filter(|piece| such(piece)).count()).unwrap_or(i32::MAX)
        };
        Self {
            recognisers,
            pieces: count(|_| true),
            silent_pieces: count(|piece| piece.provider == SILENCE),
            reused_pieces: count(|piece| piece.reused),
            dropped_segments: pieces.iter().map(|piece| piece.dropped).sum(),
            tracks: i32::from(session.audio_tracks),
            duration_ms: pieces.iter().map(|piece| piece.work_ms).sum(),
        }
    }
}

/// What an utterance should be.
#[derive(InputObject)]
pub(super) struct CorrectSegmentInput {
    /// Which utterance.
    segment_id: ID,
    /// The words as they should read, 1 to 10,000 characters; those that were recognised, to take a correction back.
    text: String,
    /// Whose voice it is; left as it is if missing.
    role: Option<SpeakerRole>,
}

/// Whose voice a speaker is.
#[derive(InputObject)]
pub(super) struct AssignSpeakerInput {
    /// In which session.
    session_id: ID,
    /// The label of the voice, as segments have it in `speaker`.
    speaker: String,
    /// Whose voice it is; null for somebody else's.
    role: Option<SpeakerRole>,
}

/// An utterance, or why not.
#[derive(SimpleObject)]
pub(super) struct SegmentPayload {
    /// The utterance as it is now.
    segment: Option<TranscriptSegment>,
    /// Why nothing was changed.
    user_errors: Vec<UserErrorView>,
}

impl SegmentPayload {
    fn new(result: Result<Line, Error>) -> ApiResult<Self> {
        let (segment, user_errors) = payload(result)?;
        Ok(Self { segment: segment.map(TranscriptSegment), user_errors })
    }
}

#[derive(Default)]
pub(super) struct TranscriptMutation;

#[Object]
impl TranscriptMutation {
    /// Puts the words of an utterance right, or whose voice it is. What was recognised stays beside it; notes made of the
    /// transcript before are stale from then on (`notes.isStale`), and the screen for risk is made anew. The same once more
    /// changes nothing. For the session's therapist. Codes: NOT_FOUND, INVALID_INPUT, INVALID_STATE.
    async fn correct_segment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The utterance as it should be.")] input: CorrectSegmentInput,
    ) -> ApiResult<SegmentPayload> {
        ctx.actor().therapist_id()?;
        let Some(segment_id) = uuid(&input.segment_id) else {
            return SegmentPayload::new(Err(UserError::not_found("segment").on("segmentId").into()));
        };
        let wanted = Correction { segment_id, text: input.text, role: input.role };
        SegmentPayload::new(ctx.app().corrections.correct_segment(ctx.actor(), ctx.origin(), wanted).await)
    }

    /// Says whose voice a speaker of a session is, in all segments but those whose role was corrected one by one. Of two
    /// speakers the other one then has the other role. Notes made before are stale from then on. The same once more changes
    /// nothing. For the session's therapist. Codes: NOT_FOUND, INVALID_INPUT, INVALID_STATE.
    async fn assign_speaker(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The speaker, and whose voice it is.")] input: AssignSpeakerInput,
    ) -> ApiResult<SessionPayload> {
        ctx.actor().therapist_id()?;
        let Some(id) = uuid(&input.session_id) else { return SessionPayload::new(Err(no_such_session())) };
        let (corrections, speaker) = (&ctx.app().corrections, (id, input.speaker.as_str()));
        SessionPayload::new(corrections.assign_speaker(ctx.actor(), ctx.origin(), speaker, input.role).await)
    }
}

/// A page of a transcript, oldest first; its cursors are places.
pub(super) async fn connection(
    ctx: &Context<'_>,
    session: &session::Model,
    first: Option<i32>,
    after: Option<String>,
) -> ApiResult<ConnectionOf<TranscriptSegment>> {
    let loader = &ctx.loaders().sessions;
    let limit = PageArgs::new(first, None)?.first();
    let after = after.as_deref().map(place).transpose()?;
    let rows = loader.load_one(SegmentsOf(session.id, (limit + 1, after))).await.map_err(ApiError::shared)?;
    let mut rows = rows.map(Arc::unwrap_or_clone).unwrap_or_default();
    let has_next = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let total_count = if wants_total(ctx) {
        loader.load_one(SegmentCountOf(session.id)).await.map_err(ApiError::shared)?
    } else {
        None
    };
    let total_count = total_count.map_or(0, |count| *count);
    let mut connection =
        Connection::with_additional_fields(after.is_some(), has_next, TotalCount { total_count });
    connection.edges.extend(
        rows.into_iter()
            .map(|row| Edge::new(format!("s{}", row.segment.segment_index), TranscriptSegment(row))),
    );
    Ok(connection)
}

fn place(cursor: &str) -> Result<i32, Error> {
    let place = cursor.strip_prefix('s').and_then(|place| place.parse().ok()).filter(|place| *place >= 0);
    place.ok_or_else(|| Error::BadRequest("`after` is not a cursor of this list.".into()))
}
