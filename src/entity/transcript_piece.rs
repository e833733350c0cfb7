//! Table `transcript_pieces`: the pieces of a recording whose recognition is paid for and stored, as they were heard.

use sea_orm::entity::prelude::*;

/// A recognised piece.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "transcript_pieces")]
pub struct Model {
    /// Of which session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// Of which track: 0, or the channel where each speaker has one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub track: i16,
    /// Start in the recording.
    #[sea_orm(primary_key, auto_increment = false)]
    pub start_ms: i64,
    /// End in the recording.
    pub end_ms: i64,
    /// How much sound from before its start was listened to, too.
    pub lead_ms: i64,
    /// What was heard (`transcript::Heard`), nothing taken away.
    pub segments: Json,
    /// How many of these were taken for invented, and are not in the transcript.
    pub dropped: i32,
    /// Who recognised it.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Audio the provider listened to.
    pub audio_ms: i64,
    /// Wall time it took.
    pub work_ms: i64,
    /// Whether it was taken over from another session with the same recording: nobody was paid for it.
    pub reused: bool,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
