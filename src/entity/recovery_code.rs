//! Table `recovery_codes`: one-time codes, hashed, for the day the authenticator app is lost.

use sea_orm::entity::prelude::*;

/// A recovery code.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recovery_codes")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// SHA-256 of the code, in hex.
    pub code: String,
    /// When it was used.
    pub used_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
