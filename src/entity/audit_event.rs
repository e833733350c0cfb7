//! Table `audit_events`: who did what to which record. Rows are only ever added.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::patient;
use crate::entity::user::Role;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "AuditOutcome")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Outcome {
    /// It was done.
    #[sea_orm(string_value = "OK")]
    Ok,
    /// It was asked for and refused.
    #[sea_orm(string_value = "REFUSED")]
    Refused,
}

/// An event. Its sequence and transaction are the chain's business (`audit::chain`).
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
    /// As what: a role, `API_KEY`, `ANONYMOUS` or `SYSTEM`.
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
    /// How it went.
    pub outcome: Outcome,
    /// From where.
    pub ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// Names, never values, of what was changed.
    pub changed_fields: Vec<String>,
    /// By which key of theirs, where it was one.
    pub api_key_id: Option<Uuid>,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The events the actor may know of: all for admins; a therapist's own and those of the own patients' records, for keys with
/// `audit:read` too; for a patient, what was done with the own record.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { role: Role::Admin, .. } | Actor::System { .. } => Condition::all(),
        Actor::User { id, role: Role::Therapist, .. } => of_therapist(*id),
        Actor::ApiKey { owner, scopes, .. } if scopes.has(Scope::AuditRead) => of_therapist(*owner),
        Actor::User { id, role: Role::Patient, .. } => Condition::all()
            // There is one record at most: with `=` the index gives its events in their order.
            .add(Expr::col(Column::PatientId).eq(records(patient::Column::UserId.eq(*id))))
            .add(Column::Outcome.eq(Outcome::Ok)),
        Actor::Anonymous | Actor::ApiKey { .. } => crate::entity::nothing(),
    })
}

fn of_therapist(id: Uuid) -> Condition {
    // As an array, so that the index on patients can be used beside the one on actors.
    let of_patients = Expr::cust_with_exprs(
        "$1 = ANY (ARRAY($2))",
        [Expr::col(Column::PatientId), records(patient::Column::TherapistId.eq(id))],
    );
    Condition::any().add(Column::ActorId.eq(id)).add(of_patients)
}

fn records(condition: Expr) -> Expr {
    Expr::expr(
        Query::select().column(patient::Column::Id).from(patient::Entity).and_where(condition).to_owned(),
    )
}
