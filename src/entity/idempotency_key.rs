//! Table `idempotency_keys`: requests that may be repeated, and what they made.

use sea_orm::entity::prelude::*;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// Whose key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// The key, as the client chose it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The mutation it was used for.
    pub operation: String,
    /// Which request holds it: a late one of a crashed attempt changes nothing.
    pub claim: Uuid,
    /// SHA-256 of the input, in hex, once the request is done.
    pub input_hash: Option<String>,
    /// What the request made, once it is done.
    pub result_id: Option<Uuid>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
