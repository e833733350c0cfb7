//! Table `unfinished_parts`: the parts of an upload that have arrived, each a file of the store.

use sea_orm::entity::prelude::*;

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "unfinished_parts")]
pub struct Model {
    /// Of which upload.
    #[sea_orm(primary_key, auto_increment = false)]
    pub upload_id: Uuid,
    /// Where it begins.
    #[sea_orm(primary_key, auto_increment = false)]
    pub start: i64,
    /// How long it is.
    pub bytes: i64,
    /// Tells its file from those of other tries to write at the same place.
    pub object: Uuid,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
