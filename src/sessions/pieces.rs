//! The recognised pieces of a recording, and the transcript that is merged from them (`transcript`).
//!
//! A piece is stored as soon as it is there, whatever its place; the transcript grows as far as pieces follow each other
//! without a hole. Both happen in the caller's transaction, under the session's row lock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::correction::Reading;
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

/// What is recognised of a recording so far.
pub(super) struct SoFar {
    /// How much, in milliseconds over all tracks.
    pub(super) recognised_ms: i64,
    /// All that no further piece will change.
    pub(super) settled: Vec<Utterance>,
}

/// Stores a piece with what it cost, and adds to the transcript what it settles.
pub(super) async fn keep(
    txn: &DatabaseTransaction,
    session: &Model,
    piece: RecognisedPiece,
    now: DateTime<Utc>,
) -> Result<SoFar> {
    if piece.provider.name != SILENCE {
        let usage = Usage { audio_ms: Some(piece.audio_ms), ..Usage::default() };
        costs::record(txn, session, Spent::now(Work::Speech, &piece.provider, usage), now).await?;
    }
    transcript_piece::Entity::insert(row(session.id, piece, now)?).exec_without_returning(txn).await?;
    let pieces = of_session(session.id).all(txn).await?;
    let settled = grow(txn, session, &pieces, now).await?;
    Ok(SoFar { recognised_ms: pieces.iter().map(|piece| piece.end_ms - piece.start_ms).sum(), settled })
}

/// A complete transcript, ready to be written down.
pub(super) struct Finished {
    pub(super) segments: Vec<transcript_segment::Model>,
    /// What it reads like.
    pub(super) reading: Reading,
}

/// What the pieces of a session come to when no more follow. `voices` says whose voice each utterance is, as far as that was
/// heard; it may be empty. Merging and reading take their time with a long recording: this is done before the transaction
/// that writes it down, and off the async runtime.
pub(super) async fn finished(
    db: &impl ConnectionTrait,
    session: &Model,
    voices: Vec<Option<u8>>,
    now: DateTime<Utc>,
) -> Result<Finished> {
    let (session, pieces) = (session.clone(), of_session(session.id).all(db).await?);
    let finish = move || {
        let pieces = pieces.iter().map(heard).collect::<Result<Vec<_>>>()?;
        let utterances = transcript::merge(&pieces, session.audio_tracks, true);
        let mut segments: Vec<_> = (0_i32..)
            .zip(utterances)
            .map(|(index, utterance)| segment(&session, index, utterance, now))
            .collect();
        label_voices(&mut segments, &voices);
        tell_roles(&mut segments);
        let reading = Reading::of(segments.clone())?;
        Ok(Finished { segments, reading })
    };
    tokio::task::spawn_blocking(finish).await.map_err(anyhow::Error::new)?
}

/// Writes a finished transcript down: what was held back for pieces that might have followed, and who speaks.
pub(super) async fn complete(
    txn: &DatabaseTransaction,
    session_id: Uuid,
    segments: Vec<transcript_segment::Model>,
) -> Result<()> {
    let there = stored(txn, session_id).await?.min(segments.len());
    let (old, new) = segments.split_at(there);
    let speakers: BTreeSet<_> = old.iter().filter_map(|segment| segment.speaker.as_deref()).collect();
    for speaker in speakers {
        name_speaker(txn, session_id, old, speaker).await?;
    }
    insert(txn, new.iter().cloned()).await
}

/// Writes down, of segments that are stored, which ones a speaker said, and in which role.
async fn name_speaker(
    txn: &DatabaseTransaction,
    session_id: Uuid,
    stored: &[transcript_segment::Model],
    speaker: &str,
) -> Result<()> {
    let its: Vec<_> = stored.iter().filter(|segment| segment.speaker.as_deref() == Some(speaker)).collect();
    let role = its.first().and_then(|segment| segment.role.zip(segment.role_confidence)).unzip();
    transcript_segment::Entity::update_many()
        .col_expr(transcript_segment::Column::Speaker, Expr::value(speaker))
        .col_expr(transcript_segment::Column::Role, Expr::value(role.0))
        .col_expr(transcript_segment::Column::RoleConfidence, Expr::value(role.1))
        .filter(transcript_segment::Column::SessionId.eq(session_id))
        .filter(
            transcript_segment::Column::SegmentIndex.is_in(its.iter().map(|segment| segment.segment_index)),
        )
        .exec(txn)
        .await?;
    Ok(())
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

fn label_voices(segments: &mut [transcript_segment::Model], voices: &[Option<u8>]) {
    for (segment, voice) in segments.iter_mut().zip(voices) {
        if let Some(voice) = voice {
            segment.speaker = Some(format!("voice {}", voice + 1));
        }
    }
}

/// Says whose voices the speakers are, where what they say tells.
fn tell_roles(segments: &mut [transcript_segment::Model]) {
    let lines = segments.iter().filter_map(|line| Some((line.speaker.as_deref()?, line.text.as_str())));
    let roles = roles::assign(lines);
    let roles: BTreeMap<String, _> = roles.into_iter().map(|(who, role)| (who.to_owned(), role)).collect();
    for segment in segments {
        let role = segment.speaker.as_ref().and_then(|speaker| roles.get(speaker).copied());
        (segment.role, segment.role_confidence) = role.unzip();
    }
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

/// Adds to the transcript what these pieces settle. Gives all that is settled.
async fn grow(
    txn: &DatabaseTransaction,
    session: &Model,
    pieces: &[transcript_piece::Model],
    now: DateTime<Utc>,
) -> Result<Vec<Utterance>> {
    let pieces = pieces.iter().map(heard).collect::<Result<Vec<_>>>()?;
    let settled = transcript::merge(&pieces, session.audio_tracks, false);
    let new = (0_i32..).zip(&settled).skip(stored(txn, session.id).await?);
    insert(txn, new.map(|(index, utterance)| segment(session, index, utterance.clone(), now))).await?;
    Ok(settled)
}

/// How many segments are stored.
async fn stored(txn: &DatabaseTransaction, session_id: Uuid) -> Result<usize> {
    let of_session = transcript_segment::Column::SessionId.eq(session_id);
    let stored = transcript_segment::Entity::find().filter(of_session).count(txn).await?;
    Ok(usize::try_from(stored).unwrap_or(usize::MAX))
}

async fn insert(
    txn: &DatabaseTransaction,
    segments: impl Iterator<Item = transcript_segment::Model>,
) -> Result<()> {
    let rows: Vec<_> = segments.map(|segment| segment.into_active_model().reset_all()).collect();
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

fn segment(
    session: &Model,
    index: i32,
    utterance: Utterance,
    now: DateTime<Utc>,
) -> transcript_segment::Model {
    // Each channel holds one speaker: that is exact, whatever the recogniser thinks of voices.
    let channel = (session.audio_tracks > 1).then(|| format!("channel {}", utterance.track + 1));
    transcript_segment::Model {
        id: Uuid::now_v7(),
        session_id: session.id,
        segment_index: index,
        start_ms: utterance.start_ms,
        end_ms: utterance.end_ms,
        speaker: channel.or(utterance.speaker),
        role: None,
        role_confidence: None,
        text: utterance.text,
        confidence: utterance.confidence,
        created_at: now,
        updated_at: now,
    }
}
