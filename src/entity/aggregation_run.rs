//! Table `aggregation_runs`: every time figures were, or are to be, worked out from sessions.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::user::Role;

/// Why figures are worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "AggregationKind")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// Something changed: exactly the days and weeks concerned.
    #[sea_orm(string_value = "REFRESH")]
    Refresh,
    /// The nightly run: figures of sessions and days, of everybody; repairs what was missed.
    #[sea_orm(string_value = "DAILY")]
    Daily,
    /// The run on Sundays: figures of weeks, of everybody; repairs what was missed.
    #[sea_orm(string_value = "WEEKLY")]
    Weekly,
    /// Somebody asked for it on the command line: all figures, every one anew.
    #[sea_orm(string_value = "MANUAL")]
    Manual,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "AggregationStatus")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// It waits for a worker.
    #[sea_orm(string_value = "QUEUED")]
    Queued,
    /// It is being worked on.
    #[sea_orm(string_value = "RUNNING")]
    Running,
    /// The figures are right.
    #[sea_orm(string_value = "COMPLETED")]
    Completed,
    /// It was given up; the next scheduled run repairs what it left.
    #[sea_orm(string_value = "FAILED")]
    Failed,
}

impl Status {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "aggregation_runs")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Why.
    pub kind: Kind,
    /// How far.
    pub status: Status,
    /// Whose figures; everybody's if `None`.
    pub therapist_id: Option<Uuid>,
    /// Whose sessions changed, in a refresh.
    pub patient_id: Option<Uuid>,
    /// The days they changed on or from.
    pub changed_days: Vec<ChronoDate>,
    /// First day; from the beginning if `None`.
    pub from_date: Option<ChronoDate>,
    /// Last day; to the end if `None`.
    pub to_date: Option<ChronoDate>,
    /// When it was due, if it was scheduled.
    pub due_at: Option<ChronoDateTimeUtc>,
    /// Percent of the therapists.
    pub progress: i32,
    /// Counts what subscribers see.
    pub version: i64,
    /// The last therapist that is done; they are done in the order of their ids.
    pub done_up_to: Option<Uuid>,
    /// How many therapists are done.
    pub therapists: i32,
    /// How many were passed over, because their figures could not be worked out.
    pub skipped: i32,
    /// Days with sessions that were worked out; weeks, in a weekly run.
    pub days: i64,
    /// Rows that were not as they should be.
    pub changes: i64,
    /// Why it was given up.
    pub error_message: Option<String>,
    /// Begin of work.
    pub started_at: Option<ChronoDateTimeUtc>,
    /// End of work.
    pub finished_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The runs the actor may know of: admins all, therapists, and keys with `analytics:read`, those of their own figures.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { role: Role::Admin, .. } | Actor::System { .. } => Condition::all(),
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::ApiKey { owner, scopes, .. } if scopes.has(Scope::AnalyticsRead) => {
            Condition::all().add(Column::TherapistId.eq(*owner))
        }
        Actor::User { role: Role::Patient, .. } | Actor::ApiKey { .. } | Actor::Anonymous => super::nothing(),
    })
}
