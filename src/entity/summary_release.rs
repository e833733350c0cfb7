//! Table `summary_releases`: which version of a session's notes the patient may read, and when.

use sea_orm::entity::prelude::*;

/// A release; it holds until it is withdrawn or a newer one takes its place.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "summary_releases")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of which session.
    pub session_id: Uuid,
    /// The version of the notes: the run that wrote them.
    pub extraction_run_id: Uuid,
    /// By whom.
    pub released_by: Uuid,
    /// When it began.
    pub released_at: ChronoDateTimeUtc,
    /// When it was withdrawn or replaced; `None` while the patient may read it.
    pub withdrawn_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
