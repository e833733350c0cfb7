//! Table `patients`: the records a therapist keeps.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::user::Role;

/// A patient record.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patients")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose patient.
    pub therapist_id: Uuid,
    /// The patient's own account, once an invitation was accepted.
    pub user_id: Option<Uuid>,
    /// Name.
    pub name: String,
    /// Contact.
    pub email: Option<String>,
    /// Contact.
    pub phone: Option<String>,
    /// Set when the therapist put the record away.
    pub archived_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The scopes with which a key may know that a record exists. Whose it is, is for `patients:read` only.
const KNOWN_TO_KEYS_WITH: [Scope; 5] = [
    Scope::PatientsRead,
    Scope::SessionsRead,
    Scope::SessionsWrite,
    Scope::AnalyticsRead,
    Scope::ExportsWrite,
];

/// The records the actor may know of: a therapist's own, for the therapist's keys too, a patient's own; admins know that each exists (what they see of
/// it is decided by [`Actor::knows_patients_by_name`]).
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::User { id, role: Role::Patient, .. } => Condition::all().add(Column::UserId.eq(*id)),
        Actor::System { .. } | Actor::User { role: Role::Admin, .. } => Condition::all(),
        Actor::ApiKey { owner, scopes, .. } if scopes.has_any(&KNOWN_TO_KEYS_WITH) => {
            Condition::all().add(Column::TherapistId.eq(*owner))
        }
        Actor::Anonymous | Actor::ApiKey { .. } => crate::entity::nothing(),
    })
}
