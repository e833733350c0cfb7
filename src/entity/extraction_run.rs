//! Table `extraction_runs`: every extraction that was made, what it cost and what it said.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;

/// How notes came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "ExtractionKind")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// Written by a language model.
    #[sea_orm(string_value = "MODEL")]
    Model,
    /// Put together from quotes by rules: a draft without a language model.
    #[sea_orm(string_value = "EXTRACTIVE")]
    Extractive,
}

/// A run.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "extraction_runs")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of which session.
    pub session_id: Uuid,
    /// Model or rules.
    pub kind: Kind,
    /// Who wrote them.
    pub provider: String,
    /// With which model or set of rules.
    pub model: String,
    /// With which prompt.
    pub prompt_version: String,
    /// SHA-256 of the transcript read, in hex.
    pub transcript_sha256: String,
    /// Tokens sent.
    pub prompt_tokens: Option<i64>,
    /// Tokens received.
    pub completion_tokens: Option<i64>,
    /// Money, by the price table of the configuration.
    pub cost_usd: Option<f64>,
    /// Wall time it took.
    pub work_ms: i64,
    /// What is not as it should be: an array of sentences.
    pub warnings: Json,
    /// The notes (`notes::Notes`).
    pub notes: Json,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
