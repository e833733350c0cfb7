//! Table `api_keys`: what integrations of a therapist ask with; of each secret its hash only.

use chrono_tz::Tz;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, DatabaseBackend, FromQueryResult, QueryFilter, Select, Statement};

use crate::actor::Actor;
use crate::actor::scope::Scopes;
use crate::entity::user::Role;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub owner_id: Uuid,
    /// What the owner calls it.
    pub name: String,
    /// How its secret begins, so that it is recognised.
    pub prefix: String,
    /// SHA-256 of its secret, in hex.
    pub secret_hash: String,
    /// What it may do, as [`Scope::as_str`](crate::actor::scope::Scope::as_str) spells it.
    pub scopes: Vec<String>,
    /// From where it may be used, in CIDR notation; from anywhere if empty.
    pub allowed_ips: Vec<String>,
    /// End of its life.
    pub expires_at: ChronoDateTimeUtc,
    /// When it was last used, to the minute; `None` if it never was.
    pub last_used_at: Option<ChronoDateTimeUtc>,
    /// When it was ended before its time.
    pub revoked_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change, uses aside.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What it may do.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        Scopes::stored(&self.scopes)
    }
}

/// The keys the actor may know of: a therapist's own. Keys know of none, themselves included.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    Entity::find().filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => Condition::all().add(Column::OwnerId.eq(*id)),
        Actor::System { .. } => Condition::all(),
        Actor::Anonymous | Actor::User { .. } | Actor::ApiKey { .. } => super::nothing(),
    })
}

/// Neither revoked nor expired.
pub fn alive(now: ChronoDateTimeUtc) -> Condition {
    Condition::all().add(Column::RevokedAt.is_null()).add(Column::ExpiresAt.gt(now))
}

/// A key that somebody presents, and how its owner is.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Presented {
    /// Which.
    pub id: Uuid,
    /// Whose.
    pub owner_id: Uuid,
    scopes: Vec<String>,
    /// From where it may be used.
    pub allowed_ips: Vec<String>,
    /// End of its life.
    pub expires_at: ChronoDateTimeUtc,
    /// When it was last used.
    pub last_used_at: Option<ChronoDateTimeUtc>,
    /// When it was ended before its time.
    pub revoked_at: Option<ChronoDateTimeUtc>,
    timezone: String,
    /// Whether the owner is still an active therapist.
    pub owner_is_welcome: bool,
}

impl Presented {
    /// The key as an actor.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let zone = self.timezone.parse().unwrap_or(Tz::UTC);
        Actor::ApiKey { id: self.id, owner: self.owner_id, scopes: Scopes::stored(&self.scopes), zone }
    }
}

/// The key that a statement of [`with_secret`] or [`let_in_before`] finds.
///
/// # Errors
/// When the database does not answer.
pub async fn presented(db: &impl ConnectionTrait, statement: Statement) -> Result<Option<Presented>, DbErr> {
    Presented::find_by_statement(statement).one(db).await
}

/// The key with this hash, for whoever holds the secret: one read, by two indexes.
#[must_use]
pub fn with_secret(secret_hash: &str) -> Statement {
    presented_with("secret_hash", secret_hash.into())
}

/// The key of an actor that was let in before.
#[must_use]
pub fn let_in_before(id: Uuid) -> Statement {
    presented_with("api_keys.id", id.into())
}

fn presented_with(column: &'static str, value: Value) -> Statement {
    let query = format!(
        "SELECT api_keys.id, owner_id, scopes, allowed_ips, expires_at, last_used_at, revoked_at, timezone,
            is_active AND role = 'THERAPIST' AS owner_is_welcome
        FROM api_keys JOIN users ON users.id = owner_id WHERE {column} = $1"
    );
    Statement::from_sql_and_values(DatabaseBackend::Postgres, query, [value])
}
