//! Which session a recording belongs to: one that is made for it, or one that waits for it. The way in is the same; only
//! the transaction at its end inserts a row, or updates a locked one.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ActiveEnum, ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseConnection, DatabaseTransaction,
    EntityTrait, QueryFilter,
};
use uuid::Uuid;

use crate::actor::Actor;
use crate::audio::AudioInfo;
use crate::entity::session::{self, ActiveModel, Attendance, Column, Entity, Model, Status};
use crate::entity::user;
use crate::error::{Result, UserError};
use crate::patients;
use crate::sessions::calendar::{check_minutes, check_past, day};
use crate::sessions::still_open;
use crate::sessions::wish::{invalid_state, locked_for};
use crate::text;

/// Where a recording goes.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Into a session that is made for it.
    New(NewSession),
    /// Into a session that has none, by its id.
    Session(Uuid),
}

/// A session that comes to be with its recording.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    /// With whom.
    pub patient_id: Uuid,
    /// The therapist's day; today if missing.
    pub date: Option<NaiveDate>,
    /// Length of the session; that of the recording if missing.
    pub minutes: Option<i32>,
}

/// A recording in the store.
pub(super) struct Kept {
    pub(super) session_id: Uuid,
    pub(super) key: String,
    /// The uploader's name for it.
    pub(super) name: Option<String>,
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) info: AudioInfo,
}

impl Place {
    /// The mutation that names it.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::New(_) => "uploadSession",
            Self::Session(_) => "attachRecording",
        }
    }

    /// The audit event that tells of it.
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::New(_) => "session.upload",
            Self::Session(_) => "session.attach_recording",
        }
    }

    /// What tells it from another one.
    pub(super) fn spelled(&self) -> [String; 3] {
        match self {
            Self::New(new) => [
                new.patient_id.to_string(),
                new.date.map(|date| date.to_string()).unwrap_or_default(),
                new.minutes.map(|minutes| minutes.to_string()).unwrap_or_default(),
            ],
            Self::Session(id) => [id.to_string(), String::new(), String::new()],
        }
    }

    /// The session's id, and a key that no other file ever had. Of two who bring a recording for one session at once, each
    /// has a key of its own: neither writes over the other's file, nor clears it away.
    pub(super) fn key(&self, therapist_id: Uuid, extension: &str) -> (Uuid, String) {
        let fresh = Uuid::now_v7();
        match self {
            Self::New(_) => (fresh, format!("{therapist_id}/{fresh}/audio.{extension}")),
            Self::Session(id) => (*id, format!("{therapist_id}/{id}/audio-{fresh}.{extension}")),
        }
    }

    /// Refuses values that no session has.
    pub(super) fn check(&self, now: DateTime<Utc>) -> Result<(), UserError> {
        let Self::New(new) = self else { return Ok(()) };
        check_minutes(new.minutes)?;
        // Somewhere on Earth it is tomorrow already.
        let tomorrow = now.date_naive().succ_opt().unwrap_or(NaiveDate::MAX);
        new.date.map_or(Ok(()), |date| check_past(date, tomorrow))
    }

    /// Refuses what the last transaction would refuse, before the first byte is read.
    pub(super) async fn admit(&self, db: &DatabaseConnection, actor: &Actor) -> Result<()> {
        match self {
            Self::New(new) => patients::open_for_sessions(db, actor, new.patient_id).await.map(drop),
            Self::Session(id) => {
                let found = session::visible_to(actor).filter(Column::Id.eq(*id)).one(db).await?;
                let session = found.ok_or_else(|| UserError::not_found("session").on("sessionId"))?;
                waits_for_recording(&session)?;
                still_open(db, actor, &session).await.map(drop)
            }
        }
    }

    /// Writes the session down: as it was, if it was there, and as it is now.
    pub(super) async fn write(
        &self,
        txn: &DatabaseTransaction,
        actor: &Actor,
        kept: Kept,
        now: DateTime<Utc>,
    ) -> Result<(Option<Model>, Model)> {
        match self {
            Self::New(new) => Ok((None, insert(txn, actor, *new, (kept, now)).await?)),
            Self::Session(id) => {
                let before = locked_for(txn, actor, *id).await?;
                let after = attach(txn, actor, &before, (kept, now)).await?;
                Ok((Some(before), after))
            }
        }
    }
}

async fn insert(
    txn: &DatabaseTransaction,
    actor: &Actor,
    new: NewSession,
    (kept, now): (Kept, DateTime<Utc>),
) -> Result<Model> {
    let patient = patients::open_for_sessions(txn, actor, new.patient_id).await?;
    let today = day(now, user::zone(txn, patient.therapist_id).await?);
    let row = ActiveModel {
        id: Set(kept.session_id),
        patient_id: Set(patient.id),
        therapist_id: Set(patient.therapist_id),
        session_date: Set(new.date.unwrap_or(today)),
        duration_minutes: Set(Some(new.minutes.unwrap_or_else(|| minutes_of(&kept.info)))),
        created_at: Set(now),
        ..with_recording(kept, now)
    };
    Ok(Entity::insert(row).exec_with_returning(txn).await?)
}

/// Gives a locked session its recording. One that was to be later took place earlier: a session that took place never lies
/// in the future.
async fn attach(
    txn: &DatabaseTransaction,
    actor: &Actor,
    session: &Model,
    (kept, now): (Kept, DateTime<Utc>),
) -> Result<Model> {
    waits_for_recording(session)?;
    still_open(txn, actor, session).await?;
    let today = day(now, user::zone(txn, session.therapist_id).await?);
    let row = ActiveModel {
        id: Set(session.id),
        session_date: Set(session.session_date.min(today)),
        duration_minutes: Set(Some(session.duration_minutes.unwrap_or_else(|| minutes_of(&kept.info)))),
        version: Set(session.version + 1),
        ..with_recording(kept, now)
    };
    Ok(row.update(txn).await?)
}

fn waits_for_recording(session: &Model) -> Result<()> {
    if session.status.is_some() {
        return Err(invalid_state("This session has a recording already. Another one is another session."));
    }
    match session.attendance {
        Attendance::Scheduled | Attendance::Completed => Ok(()),
        other => Err(invalid_state(format!(
            "This session is {}. Only one that is SCHEDULED or COMPLETED takes a recording.",
            other.to_value()
        ))),
    }
}

/// What a recording makes of a session.
fn with_recording(kept: Kept, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        attendance: Set(Attendance::Completed),
        status: Set(Some(Status::Uploading)),
        progress: Set(100),
        audio_filename: Set(Some(file_name(&kept))),
        audio_key: Set(Some(kept.key)),
        audio_sha256: Set(Some(kept.sha256)),
        audio_bytes: Set(Some(i64::try_from(kept.bytes).unwrap_or(i64::MAX))),
        audio_ms: Set(Some(kept.info.duration_ms)),
        audio_tracks: Set(kept.info.tracks()),
        audio_format: Set(Some(kept.info.codec)),
        recording_is_partial: Set(kept.info.partial.is_some()),
        updated_at: Set(now),
        ..Default::default()
    }
}

fn minutes_of(info: &AudioInfo) -> i32 {
    i32::try_from((info.duration_ms + 59_999) / 60_000).unwrap_or(i32::MAX).clamp(1, 1440)
}

/// The last part of the uploader's name, if it is a name that can be shown; it names nothing on our disk.
fn file_name(kept: &Kept) -> String {
    let last = kept.name.as_deref().and_then(|name| name.rsplit(['/', '\\']).next());
    let shown = last.and_then(|last| text::line("audio", last, 255).ok());
    shown.unwrap_or_else(|| format!("recording.{}", kept.info.container.extension()))
}
