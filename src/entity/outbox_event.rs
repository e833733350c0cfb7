//! Table `outbox_events`: one row for every version of a session, an aggregation run or an export job that subscribers may
//! see.

use sea_orm::entity::prelude::*;

/// A version of something.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_events")]
pub struct Model {
    /// Order of insertion; within one thing also the order of commit.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// Which session, if it is about one.
    pub session_id: Option<Uuid>,
    /// Whose session.
    pub patient_id: Option<Uuid>,
    /// Which aggregation run, if it is about one.
    pub aggregation_run_id: Option<Uuid>,
    /// Whose figures the run is about; everybody's if `None`.
    pub therapist_id: Option<Uuid>,
    /// Which export job, if it is about one.
    pub export_job_id: Option<Uuid>,
    /// Which version.
    pub version: i64,
    /// Status at that version.
    pub status: Option<String>,
    /// Progress at that version.
    pub progress: i32,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
