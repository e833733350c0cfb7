//! Table `log_in_challenges`: log-ins whose password was right and whose second factor is still to come.

use sea_orm::entity::prelude::*;

/// A half-finished log-in.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "log_in_challenges")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose log-in.
    pub user_id: Uuid,
    /// SHA-256 of the token, in hex.
    pub token: String,
    /// SHA-256 of the stored password hash of that moment, in hex: a changed password ends the challenge.
    pub password_mark: String,
    /// Codes tried, right or wrong.
    pub tries: i32,
    /// End of its life.
    pub expires_at: ChronoDateTimeUtc,
    /// When a right code completed the log-in.
    pub used_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
