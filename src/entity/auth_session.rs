//! Table `auth_sessions`: refresh tokens, hashed; the tokens that follow one log-in share a `family_id`.

use sea_orm::entity::prelude::*;

/// One refresh token.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "auth_sessions")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose token.
    pub user_id: Uuid,
    /// The log-in it goes back to: the `sid` of access tokens.
    pub family_id: Uuid,
    /// When that was.
    pub logged_in_at: ChronoDateTimeUtc,
    /// SHA-256 of the token, in hex.
    pub refresh_token: String,
    /// End of its life.
    pub expires_at: ChronoDateTimeUtc,
    /// When it was exchanged for the next one.
    pub spent_at: Option<ChronoDateTimeUtc>,
    /// Logged out, or its family was caught with a spent token.
    pub is_revoked: bool,
    /// Address of the client.
    pub ip: Option<String>,
    /// What the client calls itself, at most 400 characters.
    pub user_agent: Option<String>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
