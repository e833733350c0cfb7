//! Table `export_jobs`: documents that therapists asked for, and where their files lie.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::user::Role;

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "ExportKind")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// The notes of one or many sessions of a patient.
    #[sea_orm(string_value = "SESSION_NOTES")]
    SessionNotes,
    /// How a patient fared over a number of weeks, with charts.
    #[sea_orm(string_value = "PROGRESS_REPORT")]
    ProgressReport,
}

/// What kind of file it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "ExportFormat")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Format {
    /// Portable Document Format: pages as they are printed.
    #[sea_orm(string_value = "PDF")]
    Pdf,
    /// Office Open XML: can be edited in a word processor.
    #[sea_orm(string_value = "DOCX")]
    Docx,
}

impl Format {
    /// Ending of the file's name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Docx => "docx",
        }
    }

    /// Media type of the file.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "ExportStatus")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// It waits for a worker.
    #[sea_orm(string_value = "QUEUED")]
    Queued,
    /// It is being written.
    #[sea_orm(string_value = "RUNNING")]
    Running,
    /// The file can be downloaded.
    #[sea_orm(string_value = "COMPLETED")]
    Completed,
    /// It was given up; `errorMessage` says why. Ask for a new one.
    #[sea_orm(string_value = "FAILED")]
    Failed,
    /// The file was kept for its time, and is gone. Ask for a new one.
    #[sea_orm(string_value = "EXPIRED")]
    Expired,
}

impl Status {
    /// Whether no work follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Expired)
    }
}

/// An export job.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "export_jobs")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who asked for it.
    pub therapist_id: Uuid,
    /// Whom it is about.
    pub patient_id: Uuid,
    /// What it is about.
    pub kind: Kind,
    /// What kind of file.
    pub format: Format,
    /// How far.
    pub status: Status,
    /// Percent.
    pub progress: i32,
    /// Counts what subscribers see.
    pub version: i64,
    /// The sessions it holds, if it holds notes.
    pub session_ids: Vec<Uuid>,
    /// The weeks it looks at, if it is a report.
    pub weeks: Option<i32>,
    /// Where the file lies in the store, as long as it can be had.
    pub file_key: Option<String>,
    /// What the file is called when it is downloaded.
    pub file_name: Option<String>,
    /// Its size.
    pub size_bytes: Option<i64>,
    /// SHA-256 of its bytes, in hex.
    pub sha256: Option<String>,
    /// What could not be shown as it was written, a sentence each.
    pub warnings: Vec<String>,
    /// Why it was given up.
    pub error_message: Option<String>,
    /// When the file is removed.
    pub expires_at: Option<ChronoDateTimeUtc>,
    /// When somebody deleted it.
    pub deleted_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The jobs the actor may know of: therapists, and keys for exports, those they asked for. A deleted one is nobody's any more.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    let present = Entity::find().filter(Column::DeletedAt.is_null());
    present.filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::ApiKey { owner, scopes, .. } if scopes.has_any(&[Scope::ExportsRead, Scope::ExportsWrite]) => {
            Condition::all().add(Column::TherapistId.eq(*owner))
        }
        Actor::User { role: Role::Admin | Role::Patient, .. }
        | Actor::ApiKey { .. }
        | Actor::System { .. }
        | Actor::Anonymous => super::nothing(),
    })
}
