//! Table `transcript_pieces`: the pieces of a recording whose recognition is paid for and stored.

use sea_orm::entity::prelude::*;

/// A recognised piece.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "transcript_pieces")]
pub struct Model {
    /// Of which session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// Its place, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub piece_index: i32,
    /// Start in the recording.
    pub start_ms: i64,
    /// End in the recording.
    pub end_ms: i64,
    /// Who recognised it.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Audio the provider listened to.
    pub audio_ms: i64,
    /// Wall time it took.
    pub work_ms: i64,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
