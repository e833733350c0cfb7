//! Table `sessions`: the appointment, its recording, and how far that is processed.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::patient;
use crate::entity::user::Role;

/// How far a recording is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "SessionStatus")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// The recording has arrived and waits for a worker.
    #[sea_orm(string_value = "UPLOADING")]
    Uploading,
    /// Speech is being recognised.
    #[sea_orm(string_value = "TRANSCRIBING")]
    Transcribing,
    /// The transcript is complete.
    #[sea_orm(string_value = "TRANSCRIBED")]
    Transcribed,
    /// Notes are being written.
    #[sea_orm(string_value = "EXTRACTING_NOTES")]
    ExtractingNotes,
    /// Transcript and notes are there.
    #[sea_orm(string_value = "PROCESSED")]
    Processed,
    /// A stage failed; `errorMessage` says why, `retrySession` tries again.
    #[sea_orm(string_value = "FAILED")]
    Failed,
}

/// What became of an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Attendance {
    /// It is planned; what became of it is not said yet.
    #[sea_orm(string_value = "SCHEDULED")]
    Scheduled,
    /// It took place.
    #[sea_orm(string_value = "COMPLETED")]
    Completed,
    /// It was called off.
    #[sea_orm(string_value = "CANCELLED")]
    Cancelled,
    /// The patient did not come.
    #[sea_orm(string_value = "NO_SHOW")]
    NoShow,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// With whom.
    pub patient_id: Uuid,
    /// Whose session.
    pub therapist_id: Uuid,
    /// What became of the appointment.
    pub attendance: Attendance,
    /// When it was to start.
    pub scheduled_start: Option<ChronoDateTimeUtc>,
    /// The therapist's day.
    pub session_date: ChronoDate,
    /// Length of the session.
    pub duration_minutes: Option<i32>,
    /// How far the recording is processed; `None` until there is one.
    pub status: Option<Status>,
    /// Percent of the present stage.
    pub progress: i32,
    /// Counts every change that subscribers see.
    pub version: i64,
    /// Counts the times processing was started by hand or by upload; part of the jobs' keys.
    pub generation: i32,
    /// Why processing failed, in words a therapist can act on.
    pub error_message: Option<String>,
    /// Where the recording lies in the store.
    pub audio_key: Option<String>,
    /// When the recording was removed, because it was kept for its time; `None` while it is there.
    pub audio_removed_at: Option<ChronoDateTimeUtc>,
    /// What the uploader called it.
    pub audio_filename: Option<String>,
    /// SHA-256 of its bytes, in hex.
    pub audio_sha256: Option<String>,
    /// Its size.
    pub audio_bytes: Option<i64>,
    /// Its decoded length in milliseconds.
    pub audio_ms: Option<i64>,
    /// Container format, as found by decoding.
    pub audio_format: Option<String>,
    /// The recording is damaged or cut off, and this is what could be read of it.
    pub recording_is_partial: bool,
    /// How many tracks are recognised apart: 2 where each channel holds one speaker, else 1.
    pub audio_tracks: i16,
    /// The run the notes come from.
    pub extraction_run_id: Option<Uuid>,
    /// What the lexical risk screen of the transcript found (`notes::RiskScreen`); `None` until it was made.
    pub risk_screen: Option<Json>,
    /// Hash of the transcript as an extractor reads it, with all corrections; `None` until it is complete.
    pub transcript_sha256: Option<String>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Percent of the recording, over all tracks; 100 is left to the end of the stage.
    #[must_use]
    pub fn percent_recognised(&self, recognised_ms: i64) -> i32 {
        let total = self.audio_ms.unwrap_or(0).max(1).saturating_mul(i64::from(self.audio_tracks.max(1)));
        i32::try_from(recognised_ms.saturating_mul(100) / total).unwrap_or(99).clamp(0, 99)
    }
}

/// The scopes with which a key may know that a session exists. What is shown of it is decided field by field.
const KNOWN_TO_KEYS_WITH: [Scope; 4] =
    [Scope::SessionsRead, Scope::SessionsWrite, Scope::TranscriptsRead, Scope::ExportsWrite];

/// The sessions the actor may know of: a therapist's own, for the therapist's keys too, those of a patient's own record; admins know that each exists
/// (what anybody sees of it is decided by [`Actor`]).
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::User { id, role: Role::Patient, .. } => Condition::all().add(
            Column::PatientId.in_subquery(
                Query::select()
                    .column(patient::Column::Id)
                    .from(patient::Entity)
                    .and_where(patient::Column::UserId.eq(*id))
                    .to_owned(),
            ),
        ),
        Actor::System { .. } | Actor::User { role: Role::Admin, .. } => Condition::all(),
        Actor::ApiKey { owner, scopes, .. } if scopes.has_any(&KNOWN_TO_KEYS_WITH) => {
            Condition::all().add(Column::TherapistId.eq(*owner))
        }
        Actor::Anonymous | Actor::ApiKey { .. } => crate::entity::nothing(),
    })
}
