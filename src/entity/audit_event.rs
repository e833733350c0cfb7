//! Table `audit_events`: who did what to which record. Rows are only ever added.

use sea_orm::entity::prelude::*;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When.
    pub at: ChronoDateTimeUtc,
    /// Who; `None` for the system and for strangers.
    pub actor_id: Option<Uuid>,
    /// As what: a role, `ANONYMOUS` or `SYSTEM`.
    pub actor_role: String,
    /// In which log-in.
    pub auth_session_id: Option<Uuid>,
    /// In which request or job.
    pub request_id: Option<String>,
    /// What, `session.upload`.
    pub action: String,
    /// To what kind of thing.
    pub subject_type: String,
    /// To which thing.
    pub subject_id: Option<Uuid>,
    /// Whose record it belongs to.
    pub patient_id: Option<Uuid>,
    /// `OK` or `REFUSED`.
    pub outcome: String,
    /// From where.
    pub ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// Names, never values, of what was changed.
    pub changed_fields: Vec<String>,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
