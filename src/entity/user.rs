//! Table `users`: people who log in.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;

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
