//! Table `outbox_events`: one row for every version of a session that subscribers may see.

use sea_orm::entity::prelude::*;

use crate::entity::session::Status;

/// A version of a session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_events")]
pub struct Model {
    /// Order of insertion; within one session also the order of commit.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// Which session.
    pub session_id: Uuid,
    /// Whose session.
    pub patient_id: Uuid,
    /// Which version.
    pub version: i64,
    /// Status at that version.
    pub status: Option<Status>,
    /// Progress at that version.
    pub progress: i32,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
