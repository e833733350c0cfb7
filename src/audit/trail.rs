//! The trail, for reading.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, PaginatorTrait, QueryFilter, Select};
use uuid::Uuid;

use super::link::Key;
use super::verify::{self, Report};
use crate::actor::Actor;
use crate::config::AuditConfig;
use crate::entity::audit_event::{self, Column, Entity, Model, Outcome};
use crate::entity::nothing;
use crate::entity::user::Role;
use crate::error::Result;
use crate::page::{Page, PageArgs};
use crate::secret_file;

/// The trail of the practice, for reading.
#[derive(Clone)]
pub struct Trail {
    db: DatabaseConnection,
    config: AuditConfig,
    key: Key,
}

/// Which events; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// By whom.
    pub actor_id: Option<Uuid>,
    /// Whose record.
    pub patient_id: Option<Uuid>,
    /// What.
    pub action: Option<String>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

impl Trail {
    /// Puts the parts together; the key of the chain is read, or made, here.
    ///
    /// # Errors
    /// When no key can be read or kept.
    pub fn new(db: DatabaseConnection, config: &AuditConfig) -> anyhow::Result<Self> {
        let key = secret_file::set_or_kept(config.key.as_ref(), "AUDIT_KEY", &config.key_file)?;
        Ok(Self { db, config: config.clone(), key: Key::new(key) })
    }

    /// The key of the chain.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A page of the events that the actor may know of, newest first.
    ///
    /// # Errors
    /// Only faults.
    pub async fn list(&self, actor: &Actor, filter: &EventFilter, page: PageArgs) -> Result<Page<Model>> {
        Ok(page.fetch_by_time(filtered(actor, filter), (Column::At, Column::Id), &self.db).await?)
    }

    /// How many events [`list`](Self::list) has on all its pages.
    ///
    /// # Errors
    /// Only faults.
    pub async fn count(&self, actor: &Actor, filter: &EventFilter) -> Result<u64> {
        Ok(filtered(actor, filter).count(&self.db).await?)
    }

    /// Verifies the chain.
    ///
    /// # Errors
    /// When the database does not answer, or the head cannot be read.
    pub async fn verify(&self, now: DateTime<Utc>) -> anyhow::Result<Report> {
        let pool = self.db.get_postgres_connection_pool();
        verify::verify(pool, &self.key, &self.config.head_file, now).await
    }
}

/// Somebody who was refused must not learn from the trail whether there was such a record.
fn tellable_of_a_record(actor: &Actor) -> Condition {
    match actor {
        Actor::User { role: Role::Admin, .. } | Actor::System { .. } => Condition::all(),
        Actor::User { id, .. } | Actor::ApiKey { owner: id, .. } => Condition::any()
            .add(Column::Outcome.eq(Outcome::Ok))
            .add(Column::ActorId.is_null())
            .add(Column::ActorId.ne(*id)),
        Actor::Anonymous => nothing(),
    }
}

fn filtered(actor: &Actor, filter: &EventFilter) -> Select<Entity> {
    let mut select = audit_event::visible_to(actor);
    if let Some(actor_id) = filter.actor_id {
        select = select.filter(Column::ActorId.eq(actor_id));
    }
    if let Some(patient_id) = filter.patient_id {
        select = select.filter(Column::PatientId.eq(patient_id)).filter(tellable_of_a_record(actor));
    }
    if let Some(action) = &filter.action {
        select = select.filter(Column::Action.eq(action.as_str()));
    }
    if let Some(from) = filter.from {
        select = select.filter(Column::At.gte(from));
    }
    if let Some(to) = filter.to {
        select = select.filter(Column::At.lt(to));
    }
    select
}
