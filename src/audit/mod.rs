//! The audit trail: one row an event, written in the transaction of the change it tells of; linked into a chain that shows
//! what was tampered with.
//!
//! Writers only insert: they take no lock and wait for nobody. One process, the [`leader`], links what was committed
//! ([`chain`]) and keeps a signed head outside the database ([`head`]); [`verify`] looks for everything that is not as it was.

pub mod chain;
pub mod head;
pub mod leader;
pub mod link;
pub mod trail;
pub mod verify;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, Statement};
use uuid::Uuid;

use crate::actor::{Actor, Origin};
use crate::entity::audit_event::{self, ActiveModel, Outcome};

/// What happened, to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// Something was asked for that is not there, or not for the one who asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The operation's name in the API.
    pub operation: String,
    /// What kind of thing it was asked for, `session`.
    pub subject_type: String,
    /// Which one; it need not exist.
    pub subject_id: Option<Uuid>,
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
    audit_event::Entity::insert(row(witness, event)).exec_without_returning(db).await?;
    Ok(())
}

/// Adds what was read and what was refused in answering a request, all or nothing.
///
/// # Errors
/// When the database does not take it; the answer must not be given then.
pub async fn record_answer(
    db: &impl ConnectionTrait,
    witness: Witness<'_>,
    reads: Vec<Event>,
    refusals: Vec<Refusal>,
) -> Result<(), DbErr> {
    let patients = patients_of(db, &refusals).await?;
    let refused = |refusal: Refusal| ActiveModel {
        action: Set(format!("refused.{}", refusal.operation)),
        subject_type: Set(refusal.subject_type),
        patient_id: Set(refusal.subject_id.and_then(|id| patients.get(&id).copied())),
        subject_id: Set(refusal.subject_id),
        ..row(witness, Event { refused: true, ..Event::default() })
    };
    let reads = reads.into_iter().map(|event| row(witness, event));
    let rows: Vec<_> = reads.chain(refusals.into_iter().map(refused)).collect();
    if !rows.is_empty() {
        audit_event::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Whose records refused things belong to: a record's own, a session's, an export's; strangers' things have none.
async fn patients_of(db: &impl ConnectionTrait, refusals: &[Refusal]) -> Result<HashMap<Uuid, Uuid>, DbErr> {
    let ids: Vec<Uuid> = refusals.iter().filter_map(|refusal| refusal.subject_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = "SELECT id, id AS patient_id FROM patients WHERE id = ANY ($1)
        UNION ALL SELECT id, patient_id FROM sessions WHERE id = ANY ($1)
        UNION ALL SELECT id, patient_id FROM export_jobs WHERE id = ANY ($1)";
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, query, [ids.into()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "patient_id")?))).collect()
}

fn row(witness: Witness<'_>, event: Event) -> ActiveModel {
    let (actor_id, auth_session_id, api_key_id) = match witness.actor {
        Actor::User { id, auth_session, .. } => (Some(*id), Some(*auth_session), None),
        Actor::ApiKey { id, owner, .. } => (Some(*owner), None, Some(*id)),
        Actor::Anonymous | Actor::System { .. } => (None, None, None),
    };
    ActiveModel {
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
        outcome: Set(if event.refused { Outcome::Refused } else { Outcome::Ok }),
        ip: Set(witness.origin.ip.clone()),
        user_agent: Set(witness.origin.user_agent.clone()),
        changed_fields: Set(event.changed_fields.into_iter().map(Into::into).collect()),
        api_key_id: Set(api_key_id),
    }
}
