//! The audit trail: one row an event, written in the transaction of the change it tells of.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use crate::actor::{Actor, Origin};
use crate::entity::audit_event;

/// What happened, to what.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// `noun.verb`, `session.upload`.
    pub action: &'static str,
    /// The noun's table in the singular, `session`.
    pub subject_type: &'static str,
    /// Which one.
    pub subject_id: Option<Uuid>,
    /// Whose record it belongs to.
    pub patient_id: Option<Uuid>,
    /// Names, never values, of what was changed.
    pub changed_fields: Vec<&'static str>,
    /// The thing was asked for and refused.
    pub refused: bool,
}

/// Who did it, from where, and when.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// From where.
    pub origin: &'a Origin,
    /// When.
    pub at: DateTime<Utc>,
}

/// Adds an event to the trail.
///
/// # Errors
/// When the database does not take it; the change must not be committed then.
pub async fn record(db: &impl ConnectionTrait, witness: Witness<'_>, event: Event) -> Result<(), DbErr> {
    let (actor_id, auth_session_id) = match witness.actor {
        Actor::User { id, auth_session, .. } => (Some(*id), Some(*auth_session)),
        Actor::Anonymous | Actor::System { .. } => (None, None),
    };
    let row = audit_event::ActiveModel {
        id: Set(Uuid::now_v7()),
        at: Set(witness.at),
        actor_id: Set(actor_id),
        actor_role: Set(witness.actor.role_name().to_owned()),
        auth_session_id: Set(auth_session_id),
        request_id: Set(Some(witness.origin.request_id.clone())),
        action: Set(event.action.to_owned()),
        subject_type: Set(event.subject_type.to_owned()),
        subject_id: Set(event.subject_id),
        patient_id: Set(event.patient_id),
        outcome: Set(if event.refused { "REFUSED" } else { "OK" }.to_owned()),
        ip: Set(witness.origin.ip.clone()),
        user_agent: Set(witness.origin.user_agent.clone()),
        changed_fields: Set(event.changed_fields.into_iter().map(Into::into).collect()),
    };
    audit_event::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}
