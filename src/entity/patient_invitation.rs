//! Table `patient_invitations`: one-time codes, hashed, that tie a patient's account to the record.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::entity::user::Role;

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patient_invitations")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// To which record.
    pub patient_id: Uuid,
    /// The record's therapist, who invited.
    pub therapist_id: Uuid,
    /// SHA-256 of the code, in hex.
    pub code: String,
    /// End of its life.
    pub expires_at: ChronoDateTimeUtc,
    /// When it was accepted.
    pub accepted_at: Option<ChronoDateTimeUtc>,
    /// By which user.
    pub accepted_by: Option<Uuid>,
    /// When it was taken back, or replaced by a newer one.
    pub revoked_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The invitations the actor may know of: a therapist's own.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::System { .. } => Condition::all(),
        Actor::Anonymous | Actor::User { .. } | Actor::ApiKey { .. } => crate::entity::nothing(),
    })
}

/// Neither accepted nor taken back; it may have expired.
pub fn open() -> Condition {
    Condition::all().add(Column::AcceptedAt.is_null()).add(Column::RevokedAt.is_null())
}

/// The open invitation with this hash, for whoever holds the code: knowing it is the right to see it.
pub fn open_with_code(hash: &str) -> Select<Entity> {
    Entity::find().filter(open()).filter(Column::Code.eq(hash))
}
