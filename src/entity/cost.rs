//! Table `costs`: what was paid, to whom, for what. Rows are added, and never changed.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;

/// What a provider did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "ProviderWork")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Work {
    /// Recognised speech.
    #[sea_orm(string_value = "SPEECH")]
    Speech,
    /// Wrote notes.
    #[sea_orm(string_value = "NOTES")]
    Notes,
}

/// What one stored result cost.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "costs")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose budget.
    pub therapist_id: Uuid,
    /// For which session.
    pub session_id: Uuid,
    /// What was done.
    pub work: Work,
    /// By whom.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Audio listened to.
    pub audio_ms: Option<i64>,
    /// Tokens sent.
    pub prompt_tokens: Option<i64>,
    /// Tokens received.
    pub completion_tokens: Option<i64>,
    /// Money, by the prices of that moment; `None` where something is charged for that the provider did not count.
    pub cost_usd: Option<f64>,
    /// When.
    pub created_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
