//! Table `extraction_parts`: answers of language models on the way to notes, until the run they belong to is stored.

use sea_orm::entity::prelude::*;

/// One answer.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "extraction_parts")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of which session.
    pub session_id: Uuid,
    /// Which time processing was asked for.
    pub generation: i32,
    /// SHA-256 of the transcript, in hex.
    pub transcript_sha256: String,
    /// SHA-256 of what was asked, in hex.
    pub request_sha256: String,
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// With which prompts.
    pub prompt_version: String,
    /// What was answered, without names and contact data of the record; `None` when it led nowhere.
    pub answer: Option<Json>,
    /// Tokens sent.
    pub prompt_tokens: Option<i64>,
    /// Tokens received.
    pub completion_tokens: Option<i64>,
    /// Money, by the price of the time.
    pub cost_usd: Option<f64>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
