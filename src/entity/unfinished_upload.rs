//! Table `unfinished_uploads`: recordings that arrive in parts.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryFilter, Select};

use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::user::Role;

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Outcome {
    /// It became the recording of a session.
    #[sea_orm(string_value = "USED")]
    Used,
    /// Its uploader gave it up.
    #[sea_orm(string_value = "TERMINATED")]
    Terminated,
    /// It arrived, and is nothing that can be used.
    #[sea_orm(string_value = "REFUSED")]
    Refused,
}

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "unfinished_uploads")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose upload.
    pub therapist_id: Uuid,
    /// Bytes of the whole; `None` until the client tells.
    pub length: Option<i64>,
    /// Bytes it may take: its length, or the largest there is.
    pub reserved: i64,
    /// Bytes that have arrived and are kept.
    pub received: i64,
    /// What the client said of the file, as it said it (`Upload-Metadata`).
    pub metadata: Option<String>,
    /// End of its life, unless something more arrives.
    pub expires_at: ChronoDateTimeUtc,
    /// How it ended; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The uploads the actor may know of: a therapist's own, for keys with `sessions:write` too.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::TherapistId.eq(*id)),
        Actor::System { .. } => Condition::all(),
        Actor::ApiKey { owner, scopes, .. } if scopes.has(Scope::SessionsWrite) => {
            Condition::all().add(Column::TherapistId.eq(*owner))
        }
        Actor::Anonymous | Actor::User { .. } | Actor::ApiKey { .. } => crate::entity::nothing(),
    })
}

/// Neither ended nor expired.
pub fn open(now: ChronoDateTimeUtc) -> Condition {
    Condition::all().add(Column::Outcome.is_null()).add(Column::ExpiresAt.gt(now))
}
