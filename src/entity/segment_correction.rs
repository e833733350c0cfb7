//! Table `segment_corrections`: what a therapist put right in an utterance, a row a time; the newest counts.

use sea_orm::entity::prelude::*;

use super::transcript_segment::SpeakerRole;

/// A correction.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "segment_corrections")]
pub struct Model {
    /// Of which utterance.
    #[sea_orm(primary_key, auto_increment = false)]
    pub segment_id: Uuid,
    /// Which correction of it, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i32,
    /// Of which session.
    pub session_id: Uuid,
    /// The words as they should read.
    pub text: String,
    /// Whose voice it is, where that was put right, too.
    pub role: Option<SpeakerRole>,
    /// By whom.
    pub corrected_by: Uuid,
    /// When.
    pub created_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
