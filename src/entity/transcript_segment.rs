//! Table `transcript_segments`: what was said, a row an utterance.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;

/// Whose voice it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "SpeakerRole")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum SpeakerRole {
    /// The therapist.
    #[sea_orm(string_value = "THERAPIST")]
    Therapist,
    /// The patient.
    #[sea_orm(string_value = "PATIENT")]
    Patient,
}

/// An utterance.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "transcript_segments")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of which session.
    pub session_id: Uuid,
    /// Its place in the transcript, from 0.
    pub segment_index: i32,
    /// Start in the recording.
    pub start_ms: i64,
    /// End in the recording.
    pub end_ms: i64,
    /// The label of the voice; `None` where nobody can tell.
    pub speaker: Option<String>,
    /// Whose voice, as far as what was said tells.
    pub role: Option<SpeakerRole>,
    /// How sure that is, 0 to 1.
    pub role_confidence: Option<f32>,
    /// The words.
    pub text: String,
    /// How sure the recogniser is, 0 to 1.
    pub confidence: Option<f32>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
