//! Table `speaker_assignments`: whose voice a speaker is, as a therapist said.

use sea_orm::entity::prelude::*;

use super::transcript_segment::SpeakerRole;

/// An assignment.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "speaker_assignments")]
pub struct Model {
    /// In which session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// The label of the voice.
    #[sea_orm(primary_key, auto_increment = false)]
    pub speaker: String,
    /// Whose voice it is; `None` for somebody else's.
    pub role: Option<SpeakerRole>,
    /// By whom.
    pub assigned_by: Uuid,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
