//! Table `webhooks`: addresses that therapists want to be told at of what happens.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::user::Role;

/// Why the server has stopped to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "WebhookDisabledReason")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum DisabledReason {
    /// Nothing has arrived for three days.
    #[sea_orm(string_value = "FAILING")]
    Failing,
    /// It answered 410 Gone: it wants no more.
    #[sea_orm(string_value = "GONE")]
    Gone,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub therapist_id: Uuid,
    /// Where; empty once it is deleted.
    pub url: String,
    /// What it is for, in the therapist's words.
    pub description: Option<String>,
    /// Of what, by the names of `webhook_delivery::Event`.
    pub events: Vec<String>,
    /// What signs, sealed.
    pub secret: Vec<u8>,
    /// What signed before, and signs beside it for a while, sealed.
    pub previous_secret: Option<Vec<u8>>,
    /// For how long.
    pub previous_secret_expires_at: Option<ChronoDateTimeUtc>,
    /// Since when nothing has arrived.
    pub failing_since: Option<ChronoDateTimeUtc>,
    /// When the server stopped to deliver.
    pub disabled_at: Option<ChronoDateTimeUtc>,
    /// Why.
    pub disabled_reason: Option<DisabledReason>,
    /// When the therapist deleted it.
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

/// The webhooks the actor may know of: therapists, and keys for webhooks, their own. A deleted one is nobody's any more.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    let present = Entity::find().filter(Column::DeletedAt.is_null());
    present.filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::ApiKey { owner, scopes, .. } if scopes.has_any(&[Scope::WebhooksManage]) => {
            Condition::all().add(Column::TherapistId.eq(*owner))
        }
        Actor::User { role: Role::Admin | Role::Patient, .. }
        | Actor::ApiKey { .. }
        | Actor::System { .. }
        | Actor::Anonymous => super::nothing(),
    })
}
