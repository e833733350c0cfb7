//! Table `second_factors`: the authenticator app of a user, pending until a first code has confirmed it.

use sea_orm::entity::prelude::*;

/// A second factor.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "second_factors")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// The shared secret, sealed.
    pub secret: Vec<u8>,
    /// Number of the last 30 seconds, since 1970, whose code was used; neither it nor an earlier one is taken again.
    pub last_step: Option<i64>,
    /// When log-ins began to ask for it.
    pub confirmed_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
