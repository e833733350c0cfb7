//! What the therapist puts right in a transcript: wrong words, and whose voice it is.
//!
//! Corrections are an overlay: what the recogniser gave stays, and every correction is kept. Whoever reads the transcript
//! (`Sessions::transcript`) reads it as corrected; the hash of that is kept with the session, so that notes made of another reading
//! show as stale, and the screen for risk is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr,
    EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr, sea_query::OnConflict,
};
use uuid::Uuid;

use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::database;
use crate::entity::session::{self, Model};
use crate::entity::transcript_segment::{self, SpeakerRole};
use crate::entity::webhook_delivery::Event;
use crate::entity::{segment_correction, speaker_assignment};
use crate::error::{Code, Result, UserError};
use crate::notes;
use crate::notes::grounding::Transcript;
use crate::text;
use crate::webhooks::{self, News};

use super::risk;

/// The longest an utterance may be made.
const LONGEST_TEXT: usize = 10_000;

/// An utterance, with what was put right.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// As recognised; role and confidence as they hold, whoever said so.
    pub segment: transcript_segment::Model,
    /// The newest correction.
    pub correction: Option<segment_correction::Model>,
}

impl Line {
    /// The utterance as it should be read.
    #[must_use]
    pub fn effective(self) -> transcript_segment::Model {
        let text = self.correction.map_or(self.segment.text, |correction| correction.text);
        transcript_segment::Model { text, ..self.segment }
    }

    /// The words as they should be read.
    #[must_use]
    pub fn text(&self) -> &str {
        self.correction.as_ref().map_or(&self.segment.text, |correction| &correction.text)
    }
}

/// Puts transcripts right.
#[derive(Clone)]
pub struct Corrections {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
}

/// What an utterance should be.
#[derive(Clone, Debug)]
pub struct Correction {
    /// Which utterance.
    pub segment_id: Uuid,
    /// The words as they should read.
    pub text: String,
    /// Whose voice it is; left as it is if `None`.
    pub role: Option<SpeakerRole>,
}

impl Corrections {
    /// Corrections in this database.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Puts an utterance right. The same once more changes nothing.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_INPUT`, `INVALID_STATE` while the transcript is not complete.
    pub async fn correct_segment(&self, actor: &Actor, origin: &Origin, wanted: Correction) -> Result<Line> {
        let therapist_id = actor.therapist_id()?;
        let text = text::line("text", &wanted.text, LONGEST_TEXT)?;
        let txn = database::begin(&self.db).await?;
        let segment = transcript_segment::Entity::find_by_id(wanted.segment_id).one(&txn).await?;
        let missing = || UserError::not_found("segment").on("segmentId");
        let session_id = segment.as_ref().ok_or_else(missing)?.session_id;
        let session = locked(&txn, actor, session_id).await?.ok_or_else(missing)?;
        let line =
            overlay(&txn, &[session.id], segment.into_iter().collect()).await?.pop().ok_or_else(missing)?;
        let is_new = line.text() != text || wanted.role.is_some_and(|role| line.segment.role != Some(role));
        if !is_new {
            return Ok(line);
        }
        let before = line.correction.as_ref();
        let row = segment_correction::ActiveModel {
            segment_id: Set(line.segment.id),
            revision: Set(before.map_or(1, |before| before.revision + 1)),
            session_id: Set(session.id),
            text: Set(text),
            role: Set(wanted.role.or(before.and_then(|before| before.role))),
            corrected_by: Set(therapist_id),
            created_at: Set(self.clock.now()),
        };
        segment_correction::Entity::insert(row).exec_without_returning(&txn).await?;
        self.settle(&txn, (actor, origin), &session, "session.correct_segment").await?;
        let segments = transcript_segment::Entity::find_by_id(wanted.segment_id).all(&txn).await?;
        let corrected = overlay(&txn, &[session.id], segments).await?.pop().ok_or_else(missing)?;
        txn.commit().await?;
        Ok(corrected)
    }

    /// Says whose voice a speaker is; `None` for somebody else's. The same once more changes nothing.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_INPUT` for a label that no utterance has, `INVALID_STATE` while the transcript is not complete.
    pub async fn assign_speaker(
        &self,
        actor: &Actor,
        origin: &Origin,
        (session_id, speaker): (Uuid, &str),
        role: Option<SpeakerRole>,
    ) -> Result<Model> {
        let therapist_id = actor.therapist_id()?;
        let txn = database::begin(&self.db).await?;
        let missing = || UserError::not_found("session").on("sessionId");
        let session = locked(&txn, actor, session_id).await?.ok_or_else(missing)?;
        if !speakers(&txn, [session.id]).await?.iter().any(|(_, label)| label == speaker) {
            let message =
                "Nobody in this transcript is called that: take a `speaker` of one of its segments.";
            return Err(UserError::new(Code::InvalidInput, message).on("speaker").into());
        }
        let now = self.clock.now();
        let row = speaker_assignment::ActiveModel {
            session_id: Set(session.id),
            speaker: Set(speaker.to_owned()),
            role: Set(role),
            assigned_by: Set(therapist_id),
            created_at: Set(now),
            updated_at: Set(now),
        };
        let again =
            OnConflict::columns([speaker_assignment::Column::SessionId, speaker_assignment::Column::Speaker])
                .update_columns([
                    speaker_assignment::Column::Role,
                    speaker_assignment::Column::AssignedBy,
                    speaker_assignment::Column::UpdatedAt,
                ])
                .to_owned();
        speaker_assignment::Entity::insert(row).on_conflict(again).exec_without_returning(&txn).await?;
        self.settle(&txn, (actor, origin), &session, "session.assign_speaker").await?;
        txn.commit().await?;
        let read =
            session::visible_to(actor).filter(session::Column::Id.eq(session_id)).one(&self.db).await?;
        Ok(read.ok_or_else(missing)?)
    }

    /// Keeps with the session what its transcript now reads like, and writes down who changed it.
    async fn settle(
        &self,
        txn: &DatabaseTransaction,
        (actor, origin): (&Actor, &Origin),
        session: &Model,
        action: &'static str,
    ) -> Result<()> {
        let (now, mut next) = (self.clock.now(), session.clone());
        let lines = corrected(txn, session.id).await?;
        let read = move || Reading::of(lines.into_iter().map(Line::effective).collect());
        tokio::task::spawn_blocking(read).await.map_err(anyhow::Error::new)??.note_on(&mut next);
        if risk::screen_opens(session.risk_screen.as_ref(), next.risk_screen.as_ref()) {
            webhooks::tell(txn, News::of_session(Event::RiskFlagOpened, session, &["riskScreen"]), now)
                .await?;
        }
        session::Entity::update_many()
            .col_expr(session::Column::RiskScreen, Expr::value(next.risk_screen))
            .col_expr(session::Column::TranscriptSha256, Expr::value(next.transcript_sha256))
            .col_expr(session::Column::UpdatedAt, Expr::value(now))
            .filter(session::Column::Id.eq(session.id))
            .exec(txn)
            .await?;
        let event = audit::Event {
            action,
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            changed_fields: vec!["transcript"],
            refused: false,
        };
        Ok(audit::record(txn, Witness { actor, origin, at: now }, event).await?)
    }
}

/// What a complete transcript reads like: its hash, and what the lexical screen finds in it.
pub(super) struct Reading {
    sha256: String,
    screen: serde_json::Value,
}

impl Reading {
    /// Reads a transcript. A long one takes a good part of a second: not for the async runtime.
    pub(super) fn of(mut segments: Vec<transcript_segment::Model>) -> Result<Self> {
        let sha256 = notes::transcript_hash(&Transcript::new(&segments));
        segments.iter_mut().for_each(forget_guesses);
        let screen = notes::screen(&Transcript::new(&segments));
        Ok(Self { sha256, screen: serde_json::to_value(screen).map_err(anyhow::Error::new)? })
    }

    pub(super) fn note_on(self, session: &mut Model) {
        session.transcript_sha256 = Some(self.sha256);
        session.risk_screen = Some(self.screen);
    }
}

/// The screen for risk asks nobody's guess who spoke: a patient's words in a segment that was taken for the therapist's
/// would pass by it. What the therapist said counts.
fn forget_guesses(segment: &mut transcript_segment::Model) {
    if segment.role.is_none() || segment.role_confidence.is_some() {
        (segment.role, segment.speaker) = (None, None);
    }
}

/// The transcript of a session, with what was put right.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn corrected(db: &impl ConnectionTrait, session_id: Uuid) -> Result<Vec<Line>, DbErr> {
    let segments = super::segments_of(session_id).all(db).await?;
    overlay(db, &[session_id], segments).await
}

/// Utterances of these sessions with what was put right in them.
pub(super) async fn overlay(
    db: &impl ConnectionTrait,
    session_ids: &[Uuid],
    segments: Vec<transcript_segment::Model>,
) -> Result<Vec<Line>, DbErr> {
    let mut corrections = newest_corrections(db, session_ids).await?;
    let assigned = Assigned::of(db, session_ids).await?;
    let line = |segment: transcript_segment::Model| {
        let correction = corrections.remove(&segment.id);
        let by_hand = correction.as_ref().and_then(|correction| correction.role);
        let by_hand = by_hand.map(|role| ByHand(Some(role)));
        let by_hand =
            by_hand.or_else(|| assigned.get(&segment.session_id)?.role_of(segment.speaker.as_deref()?));
        let (role, role_confidence) = match by_hand {
            Some(ByHand(role)) => (role, None),
            None => (segment.role, segment.role_confidence),
        };
        Line { segment: transcript_segment::Model { role, role_confidence, ..segment }, correction }
    };
    Ok(segments.into_iter().map(line).collect())
}

async fn newest_corrections(
    db: &impl ConnectionTrait,
    session_ids: &[Uuid],
) -> Result<BTreeMap<Uuid, segment_correction::Model>, DbErr> {
    let of_sessions = segment_correction::Column::SessionId.is_in(session_ids.iter().copied());
    let rows = segment_correction::Entity::find()
        .filter(of_sessions)
        .order_by_asc(segment_correction::Column::Revision)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.segment_id, row)).collect())
}

/// What a therapist said of whose voice it is; nobody's of the two, maybe.
struct ByHand(Option<SpeakerRole>);

/// What a therapist said of the speakers of a session.
#[derive(Default)]
struct Assigned {
    by_hand: BTreeMap<String, Option<SpeakerRole>>,
    speakers: BTreeSet<String>,
}

impl Assigned {
    /// Of those of these sessions of which something was said.
    async fn of(db: &impl ConnectionTrait, session_ids: &[Uuid]) -> Result<BTreeMap<Uuid, Self>, DbErr> {
        let of_sessions = speaker_assignment::Column::SessionId.is_in(session_ids.iter().copied());
        let rows = speaker_assignment::Entity::find().filter(of_sessions).all(db).await?;
        let mut assigned: BTreeMap<Uuid, Self> = BTreeMap::new();
        for row in rows {
            assigned.entry(row.session_id).or_default().by_hand.insert(row.speaker, row.role);
        }
        if assigned.is_empty() {
            return Ok(assigned);
        }
        for (session_id, speaker) in speakers(db, assigned.keys().copied().collect::<Vec<_>>()).await? {
            assigned.entry(session_id).or_default().speakers.insert(speaker);
        }
        Ok(assigned)
    }

    /// The role by hand, if there is one. Of two speakers, who is not the one is the other: what was guessed before does
    /// not stand against a therapist's word.
    fn role_of(&self, speaker: &str) -> Option<ByHand> {
        if let Some(role) = self.by_hand.get(speaker) {
            return Some(ByHand(*role));
        }
        let role = self.by_hand.values().find_map(|role| *role)?;
        let other = match role {
            SpeakerRole::Therapist => SpeakerRole::Patient,
            SpeakerRole::Patient => SpeakerRole::Therapist,
        };
        Some(ByHand((self.speakers.len() == 2).then_some(other)))
    }
}

/// The speakers of these sessions, each with its session.
async fn speakers(
    db: &impl ConnectionTrait,
    session_ids: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<(Uuid, String)>, DbErr> {
    use transcript_segment::Column;
    let labels: Vec<(Uuid, Option<String>)> = transcript_segment::Entity::find()
        .select_only()
        .columns([Column::SessionId, Column::Speaker])
        .distinct()
        .filter(Column::SessionId.is_in(session_ids))
        .into_tuple()
        .all(db)
        .await?;
    Ok(labels.into_iter().filter_map(|(id, label)| Some((id, label?))).collect())
}

/// The session, locked, if it is the therapist's and its transcript complete.
async fn locked(txn: &DatabaseTransaction, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
    let found =
        session::visible_to(actor).filter(session::Column::Id.eq(id)).lock_exclusive().one(txn).await?;
    if found.as_ref().is_some_and(|session| session.transcript_sha256.is_none()) {
        let message = "A transcript can be corrected when it is complete.";
        return Err(UserError::new(Code::InvalidState, message).on("sessionId").into());
    }
    Ok(found)
}
