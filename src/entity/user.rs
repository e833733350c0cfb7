//! Table `users`: people who log in.

use async_graphql::Enum;
use chrono_tz::Tz;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{Condition, DatabaseBackend, QuerySelect, SelectModel, SelectorRaw, Statement};

use super::patient;
use crate::actor::Actor;

/// What a user is in the practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Role {
    /// Sees own patients, sessions and notes.
    #[sea_orm(string_value = "THERAPIST")]
    Therapist,
    /// Sees what the therapist released.
    #[sea_orm(string_value = "PATIENT")]
    Patient,
    /// Runs the server; sees no clinical data, and no patient's name.
    #[sea_orm(string_value = "ADMIN")]
    Admin,
}

impl Role {
    /// The role as it stands in tokens and in the audit trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Therapist => "THERAPIST",
            Self::Patient => "PATIENT",
            Self::Admin => "ADMIN",
        }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Lower case, unique.
    pub email: String,
    /// argon2id in PHC format.
    pub hashed_password: String,
    /// Name as shown.
    pub full_name: String,
    /// What the user is.
    pub role: Role,
    /// IANA name; a day in analytics is a day there.
    pub timezone: String,
    /// Deactivated users are nobody.
    pub is_active: bool,
    /// Last successful log-in.
    pub last_login_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The time zone.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.timezone.parse().unwrap_or(Tz::UTC)
    }
}

/// The time zone of a user; that of nobody is UTC.
///
/// # Errors
/// When the database does not answer.
pub async fn zone(db: &impl ConnectionTrait, id: Uuid) -> Result<Tz, DbErr> {
    let zone: Option<String> =
        Entity::find_by_id(id).select_only().column(Column::Timezone).into_tuple().one(db).await?;
    Ok(zone.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC))
}

/// The users the actor may know of: oneself; a patient's therapist; the users behind a therapist's patients; for admins
/// everybody; for an API key its owner.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    let oneself_and = |id: Uuid, others: SelectStatement| {
        Condition::any().add(Column::Id.eq(id)).add(Column::Id.in_subquery(others))
    };
    Entity::find().filter(match actor {
        Actor::User { id, role: Role::Therapist, .. } => {
            oneself_and(*id, of_patients(patient::Column::UserId, patient::Column::TherapistId.eq(*id)))
        }
        Actor::User { id, role: Role::Patient, .. } => {
            oneself_and(*id, of_patients(patient::Column::TherapistId, patient::Column::UserId.eq(*id)))
        }
        Actor::User { role: Role::Admin, .. } | Actor::System { .. } => Condition::all(),
        Actor::ApiKey { owner, .. } => Condition::all().add(Column::Id.eq(*owner)),
        Actor::Anonymous => super::nothing(),
    })
}

fn of_patients(user: patient::Column, own: Expr) -> SelectStatement {
    Query::select().column(user).from(patient::Entity).and_where(own).and_where(user.is_not_null()).to_owned()
}

/// An active user in a log-in of theirs that has not been revoked: one read, by two indexes. As text, for every request
/// begins with it: to put it together anew took a quarter of the server's time for the look.
pub const IN_LOG_IN: &str = "SELECT users.* FROM users WHERE id = $1 AND is_active AND EXISTS (
    SELECT FROM auth_sessions WHERE family_id = $2 AND user_id = $1 AND NOT is_revoked)";

/// Whether a user is active, still what they were, and in a log-in that has not been revoked: to be asked together with
/// something else.
#[must_use]
pub fn is_in_log_in(user_id: Uuid, role: Role, family_id: Uuid) -> Expr {
    let exists = "EXISTS (SELECT FROM users JOIN auth_sessions ON user_id = users.id
        WHERE users.id = $1 AND role = $2 AND is_active AND family_id = $3 AND NOT is_revoked)";
    Expr::cust_with_values(exists, [Value::from(user_id), role.to_value().into(), family_id.into()])
}

/// The user of a log-in, by [`IN_LOG_IN`].
#[must_use]
pub fn in_log_in(user_id: Uuid, family_id: Uuid) -> SelectorRaw<SelectModel<Model>> {
    let values = [user_id.into(), family_id.into()];
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, IN_LOG_IN, values);
    Entity::find().from_raw_sql(statement)
}
