//! Webhooks, by the conventions of Standard Webhooks: therapists name addresses ([`endpoints`]), features say what happened in
//! the transaction of the change ([`news`]), workers deliver it ([`dispatch`]), and what was delivered can be looked at and
//! asked for again ([`deliveries`]).
//!
//! ```text
//! change ─tell─▶ delivery + job (one transaction) ─▶ begin ─▶ request ─▶ record ─┬─▶ DELIVERED
//!                                            ▲        │ lanes taken: parked      ├─▶ FAILED, and disabled after three days
//!                                            └────────┴── next attempt, a job ───┘
//! ```
//!
//! Nothing is lost: a delivery exists if and only if the change does, and always has a job until it has ended. It arrives at least
//! once, in no promised order.

mod address;
pub mod deliveries;
pub mod dispatch;
pub mod endpoints;
mod lanes;
pub mod news;
pub mod resolver;
mod schedule;
pub mod secret;
pub mod sender;
pub mod target;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    QuerySelect, sea_query::Expr, sea_query::LockType,
};
use uuid::Uuid;

use crate::actor::Actor;
use crate::audit;
use crate::auth::rate_limit::RateLimits;
use crate::auth::seal::Seal;
use crate::clock::Clock;
use crate::entity::webhook::{self, Model};
use crate::entity::webhook_delivery::{self, State};
use crate::error::{Error, Result, UserError};
use crate::events::Notifier;
use crate::queue;

pub use lanes::{OF_A_THERAPIST, OF_A_WEBHOOK};
pub use news::{News, tell};
pub use sender::Sender;

/// Webhooks of one therapist.
pub const MOST_WEBHOOKS: u64 = 20;

/// The webhooks of the practice.
#[derive(Clone)]
pub struct Webhooks {
    /// Where rows go.
    pub db: DatabaseConnection,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Tells the workers.
    pub notifier: Notifier,
    /// How often may be asked by hand.
    pub limits: RateLimits,
    /// Keeps secrets.
    pub seal: Seal,
    /// Sends.
    pub sender: Sender,
    /// Waits between attempts.
    pub waits: Arc<[Duration]>,
}

/// There is no such webhook, or it is not the asker's.
#[must_use]
pub fn no_such_webhook() -> Error {
    UserError::not_found("webhook").on("id").into()
}

/// A webhook of the actor's, locked against whoever changes it until the transaction ends; deliveries can be added meanwhile.
async fn locked_for(txn: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<Model> {
    let own = webhook::visible_to(actor).filter(webhook::Column::Id.eq(id));
    own.lock(LockType::NoKeyUpdate).one(txn).await?.ok_or_else(no_such_webhook)
}

/// Gives up whatever waits to be delivered to a webhook; what is on its way comes to its own end.
async fn end_waiting(
    txn: &impl ConnectionTrait,
    webhook_id: Uuid,
    (reason, now): (&str, chrono::DateTime<chrono::Utc>),
) -> Result<(), DbErr> {
    use webhook_delivery::Column;
    let waiting = webhook_delivery::Entity::find()
        .filter(Column::WebhookId.eq(webhook_id))
        .filter(Column::State.eq(State::Pending))
        .filter(Column::Claim.is_null());
    let rows: Vec<(Uuid, Option<String>)> = waiting
        .select_only()
        .columns([Column::Id, Column::JobId])
        .lock_exclusive()
        .into_tuple()
        .all(txn)
        .await?;
    let (ids, jobs): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    webhook_delivery::Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Failed.to_value()))
        .col_expr(Column::JobId, Expr::value(None::<String>))
        .col_expr(Column::NextAttemptAt, Expr::value(None::<chrono::DateTime<chrono::Utc>>))
        .col_expr(Column::Parked, Expr::value(false))
        .col_expr(Column::LastError, Expr::value(reason))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::Id.is_in(ids))
        .exec(txn)
        .await?;
    queue::withdraw_waiting(txn, jobs.into_iter().flatten().collect()).await
}

/// Something that happened to a webhook.
fn about(webhook: &Model, action: &'static str) -> audit::Event {
    audit::Event { action, subject_type: "webhook", subject_id: Some(webhook.id), ..Default::default() }
}
