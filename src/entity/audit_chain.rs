//! Table `audit_chain`: the audit events in the order they were linked. Rows are only ever added.

use sea_orm::entity::prelude::*;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_chain")]
pub struct Model {
    /// Its place, from 1, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// Which event.
    pub event_id: Uuid,
    /// Proof over the link before, the place and the event (`audit::link`).
    pub hmac: Vec<u8>,
}

/// Links are followed by position.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
