//! The recognised pieces of a recording, and the transcript that is merged from them (`transcript`).
//!
//! A piece is stored as soon as it is there, whatever its place; the transcript grows as far as pieces follow each other
//! without a hole. Both happen in the caller's transaction, under the session's row lock.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use crate::ai::{Provider, Usage};
use crate::costs::{self, Spent, Work};
use crate::entity::session::{self, Model};
use crate::entity::{transcript_piece, transcript_segment};
use crate::error::Result;
use crate::transcript::{self, Heard, Piece, Utterance, invented, roles};

/// A piece of the recording as recognised; times count from the start of the recording.
#[derive(Clone, Debug)]
pub struct RecognisedPiece {
    /// Of which track.
    pub track: i16,
    /// Start.
    pub start_ms: i64,
    /// End.
    pub end_ms: i64,
    /// Sound from before its start that was listened to, too.
    pub lead_ms: i64,
    /// What was heard.
    pub segments: Vec<Heard>,
    /// Who recognised it.
    pub provider: Provider,
    /// Audio the provider listened to.
    pub audio_ms: i64,
    /// Wall time it took.
    pub work_ms: i64,
}

/// Rows an INSERT: PostgreSQL takes 65,535 values a statement.
const ROWS: usize = 1000;

/// What of a track is recognised, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn recognised(
    db: &impl ConnectionTrait,
    session_id: Uuid,
    track: i16,
) -> Result<Vec<Range<i64>>, DbErr> {
    let spans: Vec<(i64, i64)> = of_session(session_id)
        .filter(transcript_piece::Column::Track.eq(track))
        .select_only()
        .columns([transcript_piece::Column::StartMs, transcript_piece::Column::EndMs])
        .into_tuple()
        .all(db)
        .await?;
    Ok(spans.into_iter().map(|(start, end)| start..end).collect())
}

/// Stores a piece with what it cost, and adds to the transcript what it settles. Says how much is recognised, in milliseconds over all
/// tracks.
pub(super) async fn keep(
    txn: &DatabaseTransaction,
    session: &Model,
    piece: RecognisedPiece,
    now: DateTime<Utc>,
) -> Result<i64> {
    if piece.provider.name != SILENCE {
        let usage = Usage { audio_ms: Some(piece.audio_ms), ..Usage::default() };
        costs::record(txn, session, Spent::now(Work::Speech, &piece.provider, usage), now).await?;
    }
    transcript_piece::Entity::insert(row(session.id, piece, now)?).exec_without_returning(txn).await?;
    let pieces = of_session(session.id).all(txn).await?;
    grow(txn, session, &pieces, false, now).await?;
    Ok(pieces.iter().map(|piece| piece.end_ms - piece.start_ms).sum())
}

/// Adds to the transcript what was held back for pieces that might have followed: there are none.
/// `voices` says whose voice each utterance is, as far as that was heard; it may be empty.
pub(super) async fn complete(
    txn: &DatabaseTransaction,
    session: &Model,
    voices: &[Option<u8>],
    now: DateTime<Utc>,
) -> Result<()> {
    let pieces = of_session(session.id).all(txn).await?;
    grow(txn, session, &pieces, true, now).await?;
    label_voices(txn, session, voices).await?;
    tell_roles(txn, session).await
}

/// The utterances of a recording of which every piece is stored.
///
/// # Errors
/// When the database does not answer.
pub async fn utterances(db: &impl ConnectionTrait, session: &Model) -> Result<Vec<Utterance>> {
    let pieces = of_session(session.id).all(db).await?;
    let pieces = pieces.iter().map(heard).collect::<Result<Vec<_>>>()?;
    Ok(transcript::merge(&pieces, session.audio_tracks, true))
}

async fn label_voices(txn: &DatabaseTransaction, session: &Model, voices: &[Option<u8>]) -> Result<()> {
    for voice in [0, 1] {
        let its = (0_i32..).zip(voices).filter(|(_, heard)| **heard == Some(voice)).map(|(index, _)| index);
        transcript_segment::Entity::update_many()
            .col_expr(transcript_segment::Column::Speaker, Expr::value(format!("voice {}", voice + 1)))
            .filter(transcript_segment::Column::SessionId.eq(session.id))
            .filter(transcript_segment::Column::SegmentIndex.is_in(its))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// Writes down whose voices the speakers are, where what they say tells.
async fn tell_roles(txn: &DatabaseTransaction, session: &Model) -> Result<()> {
    let of_session = transcript_segment::Column::SessionId.eq(session.id);
    let segments = transcript_segment::Entity::find()
        .filter(of_session.clone())
        .order_by_asc(transcript_segment::Column::SegmentIndex)
        .all(txn)
        .await?;
    let lines = segments.iter().filter_map(|line| Some((line.speaker.as_deref()?, line.text.as_str())));
    for (speaker, (role, confidence)) in roles::assign(lines) {
        transcript_segment::Entity::update_many()
            .col_expr(transcript_segment::Column::Role, Expr::value(role))
            .col_expr(transcript_segment::Column::RoleConfidence, Expr::value(confidence))
            .filter(of_session.clone())
            .filter(transcript_segment::Column::Speaker.eq(speaker))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// Takes over what one of these providers recognised before in another session of the therapist with the same recording.
/// Says whether there was one. A session that has pieces of its own keeps to them.
pub(super) async fn reuse(
    txn: &DatabaseTransaction,
    session: &Model,
    providers: &[Provider],
    now: DateTime<Utc>,
) -> Result<bool> {
    let Some(sha256) = &session.audio_sha256 else { return Ok(false) };
    if of_session(session.id).count(txn).await? > 0 {
        return Ok(false);
    }
    let same = session::Entity::find()
        .filter(session::Column::TherapistId.eq(session.therapist_id))
        .filter(session::Column::AudioSha256.eq(sha256))
        .filter(session::Column::RiskScreen.is_not_null())
        .filter(session::Column::AudioTracks.eq(session.audio_tracks))
        .filter(session::Column::AudioMs.eq(session.audio_ms));
    for other in same.order_by_desc(session::Column::Id).all(txn).await? {
        let pieces = of_session(other.id).all(txn).await?;
        let is_ours = |piece: &transcript_piece::Model| {
            piece.provider == SILENCE
                || providers.iter().any(|ours| ours.name == piece.provider && ours.model == piece.model)
        };
        if !pieces.is_empty() && pieces.iter().all(is_ours) {
            take_over(txn, session.id, pieces, now).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Name of who recognises a silent piece: nobody, for nothing was sent.
pub const SILENCE: &str = "silence";

async fn take_over(
    txn: &DatabaseTransaction,
    session_id: Uuid,
    pieces: Vec<transcript_piece::Model>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let rows = pieces.into_iter().map(|piece| transcript_piece::ActiveModel {
        session_id: Set(session_id),
        reused: Set(true),
        created_at: Set(now),
        updated_at: Set(now),
        ..piece.into_active_model().reset_all()
    });
    transcript_piece::Entity::insert_many(rows).exec_without_returning(txn).await.map(drop)
}

fn of_session(session_id: Uuid) -> sea_orm::Select<transcript_piece::Entity> {
    transcript_piece::Entity::find()
        .filter(transcript_piece::Column::SessionId.eq(session_id))
        .order_by_asc(transcript_piece::Column::StartMs)
        .order_by_asc(transcript_piece::Column::Track)
}

fn row(
    session_id: Uuid,
    piece: RecognisedPiece,
    now: DateTime<Utc>,
) -> Result<transcript_piece::ActiveModel> {
    let (_, dropped) = invented::without_invented(&piece.segments);
    Ok(transcript_piece::ActiveModel {
        session_id: Set(session_id),
        track: Set(piece.track),
        start_ms: Set(piece.start_ms),
        end_ms: Set(piece.end_ms),
        lead_ms: Set(piece.lead_ms),
        segments: Set(serde_json::to_value(piece.segments).map_err(anyhow::Error::new)?),
        dropped: Set(i32::try_from(dropped).unwrap_or(i32::MAX)),
        provider: Set(piece.provider.name),
        model: Set(piece.provider.model),
        audio_ms: Set(piece.audio_ms),
        work_ms: Set(piece.work_ms),
        reused: Set(false),
        created_at: Set(now),
        updated_at: Set(now),
    })
}

async fn grow(
    txn: &DatabaseTransaction,
    session: &Model,
    pieces: &[transcript_piece::Model],
    complete: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    let pieces = pieces.iter().map(heard).collect::<Result<Vec<_>>>()?;
    let settled = transcript::merge(&pieces, session.audio_tracks, complete);
    let of_session = transcript_segment::Column::SessionId.eq(session.id);
    let there = transcript_segment::Entity::find().filter(of_session).count(txn).await?;
    let new = (0_i32..).zip(settled).skip(usize::try_from(there).unwrap_or(usize::MAX));
    let rows: Vec<_> = new.map(|(index, utterance)| segment_row(session, index, utterance, now)).collect();
    for batch in rows.chunks(ROWS) {
        transcript_segment::Entity::insert_many(batch.to_vec()).exec_without_returning(txn).await?;
    }
    Ok(())
}

fn heard(row: &transcript_piece::Model) -> Result<Piece> {
    let segments: Vec<Heard> = serde_json::from_value(row.segments.clone()).map_err(anyhow::Error::new)?;
    let (segments, _) = invented::without_invented(&segments);
    Ok(Piece { track: row.track, start_ms: row.start_ms, end_ms: row.end_ms, lead_ms: row.lead_ms, segments })
}

fn segment_row(
    session: &Model,
    index: i32,
    utterance: Utterance,
    now: DateTime<Utc>,
) -> transcript_segment::ActiveModel {
    // Each channel holds one speaker: that is exact, whatever the recogniser thinks of voices.
    let channel = (session.audio_tracks > 1).then(|| format!("channel {}", utterance.track + 1));
    transcript_segment::ActiveModel {
        id: Set(Uuid::now_v7()),
        session_id: Set(session.id),
        segment_index: Set(index),
        start_ms: Set(utterance.start_ms),
        end_ms: Set(utterance.end_ms),
        speaker: Set(channel.or(utterance.speaker)),
        role: Set(None),
        role_confidence: Set(None),
        text: Set(utterance.text),
        confidence: Set(utterance.confidence),
        created_at: Set(now),
        updated_at: Set(now),
    }
}
