//! Deliveries as therapists see them: the log, one that is sent by hand to try a webhook out, one that is sent again.

use std::time::Duration;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, PaginatorTrait,
    QueryFilter, QuerySelect, Select,
};
use uuid::Uuid;

use super::news::{News, deliver, request};
use super::{Webhooks, about, locked_for};
use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::database;
use crate::entity::webhook_delivery::{self, ActiveModel, Column, Entity, Event, Model, State};
use crate::error::{Code, Error, Result, UserError};
use crate::idempotency::{self, Asked, Claim};
use crate::page::{Page, PageArgs};
use crate::queue;
use crate::queue::jobs::DeliverWebhook;

/// Which deliveries; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    /// Whether they have arrived.
    pub state: Option<State>,
    /// Of what they tell.
    pub event: Option<Event>,
}

/// What somebody asks for by hand.
enum Granted {
    /// It was done before.
    Before(Model),
    /// Do it.
    Now(DatabaseTransaction, Option<Claim>),
}

impl Webhooks {
    /// Sends a webhook something that has not happened, once: also to one that is disabled.
    ///
    /// # Errors
    /// `NOT_FOUND`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`, `INVALID_INPUT`; [`Error::RateLimited`].
    pub async fn send_test(
        &self,
        actor: &Actor,
        origin: &Origin,
        (webhook_id, key): (Uuid, Option<&str>),
    ) -> Result<Model> {
        let asked = ("sendTestWebhook", webhook_id);
        let (txn, claim) = match self.grant((actor, origin), asked, key).await? {
            Granted::Before(delivery) => return Ok(delivery),
            Granted::Now(txn, claim) => (txn, claim),
        };
        let webhook = locked_for(&txn, actor, webhook_id).await?;
        let told = (webhook.id, Uuid::now_v7());
        let delivery = deliver(&txn, told, &News::test(&webhook), self.clock.now()).await?;
        self.witness(&txn, (actor, origin), about(&webhook, "webhook.test")).await?;
        self.fulfil(txn, (asked, claim), &delivery).await?;
        Ok(delivery)
    }

    /// Sends something again: what was given up, what has arrived, and at once what waits for its next attempt.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`, `INVALID_INPUT`;
    /// [`Error::RateLimited`].
    pub async fn redeliver(
        &self,
        actor: &Actor,
        origin: &Origin,
        (delivery_id, key): (Uuid, Option<&str>),
    ) -> Result<Model> {
        let asked = ("redeliverWebhook", delivery_id);
        let (txn, claim) = match self.grant((actor, origin), asked, key).await? {
            Granted::Before(delivery) => return Ok(delivery),
            Granted::Now(txn, claim) => (txn, claim),
        };
        let found = of(actor, delivery_id).one(&txn).await?.ok_or_else(no_such_delivery)?;
        let webhook = locked_for(&txn, actor, found.webhook_id).await.map_err(|error| match error {
            Error::User(_) => no_such_delivery(),
            other => other,
        })?;
        let delivery = of(actor, delivery_id).lock_exclusive().one(&txn).await?;
        let delivery = delivery.ok_or_else(no_such_delivery)?;
        if webhook.disabled_at.is_some() && delivery.event != Event::WebhookTest {
            return Err(invalid_state("The webhook is disabled. Switch it on with enableWebhook first."));
        }
        if delivery.claim.is_some() {
            return Err(invalid_state("It is on its way at this moment. Look again in a minute."));
        }
        let delivery = self.again(&txn, delivery).await?;
        self.witness(&txn, (actor, origin), about(&webhook, "webhook.redeliver")).await?;
        self.fulfil(txn, (asked, claim), &delivery).await?;
        Ok(delivery)
    }

    /// Those of the deliveries that the actor may know of.
    ///
    /// # Errors
    /// Only faults.
    pub async fn deliveries_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(webhook_delivery::visible_to(actor)
            .filter(Column::Id.is_in(ids.iter().copied()))
            .all(&self.db)
            .await?)
    }

    /// A page of the deliveries to a webhook, newest first.
    ///
    /// # Errors
    /// Only faults.
    pub async fn deliveries(
        &self,
        actor: &Actor,
        (webhook_id, filter): (Uuid, DeliveryFilter),
        page: PageArgs,
    ) -> Result<Page<Model>> {
        Ok(page.fetch(filtered(actor, webhook_id, filter), Column::Id, &self.db).await?)
    }

    /// How many deliveries [`deliveries`](Self::deliveries) has on all its pages.
    ///
    /// # Errors
    /// Only faults.
    pub async fn count_deliveries(
        &self,
        actor: &Actor,
        (webhook_id, filter): (Uuid, DeliveryFilter),
    ) -> Result<u64> {
        Ok(filtered(actor, webhook_id, filter).count(&self.db).await?)
    }

    /// Counts what somebody asks for by hand, unless it was done before.
    async fn grant(
        &self,
        (actor, origin): (&Actor, &Origin),
        (operation, id): (&'static str, Uuid),
        key: Option<&str>,
    ) -> Result<Granted> {
        let (therapist_id, now) = (actor.therapist_or(Scope::WebhooksManage)?, self.clock.now());
        let txn = database::begin(&self.db).await?;
        let claim = match key {
            None => None,
            Some(key) => match idempotency::ask(&txn, therapist_id, operation, key, now).await? {
                Asked::Claimed(claim) => Some(claim),
                Asked::Done(done) => {
                    let delivery = of(actor, done.replay(&hash(id))?).one(&txn).await?;
                    return Ok(Granted::Before(delivery.ok_or_else(no_such_delivery)?));
                }
            },
        };
        if let Err(error) = self.limits.webhook(&txn, actor, origin).await {
            if let (Error::RateLimited(_), Some(claim)) = (&error, &claim) {
                idempotency::release(&txn, claim).await?;
            }
            // The refusal stays on record; after a fault there is nothing that could be committed.
            txn.commit().await?;
            return Err(error);
        }
        Ok(Granted::Now(txn, claim))
    }

    async fn fulfil(
        &self,
        txn: DatabaseTransaction,
        ((_, asked), claim): ((&'static str, Uuid), Option<Claim>),
        delivery: &Model,
    ) -> Result<()> {
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &hash(asked), delivery.id, self.clock.now()).await?;
        }
        txn.commit().await?;
        self.notifier.nudge();
        Ok(())
    }

    /// Begins a delivery anew, under the same id of its event.
    async fn again(&self, txn: &impl ConnectionTrait, delivery: Model) -> Result<Model> {
        let (now, series) = (self.clock.now(), delivery.series + 1);
        queue::withdraw_waiting(txn, delivery.job_id.into_iter().collect()).await?;
        let job = DeliverWebhook { delivery_id: delivery.id, series, attempt: 1 };
        let row = ActiveModel {
            id: Set(delivery.id),
            state: Set(State::Pending),
            series: Set(series),
            first_failed_at: Set(None),
            job_id: Set(Some(request(txn, job, Duration::ZERO).await?)),
            parked: Set(false),
            next_attempt_at: Set(Some(now)),
            updated_at: Set(now),
            ..Default::default()
        };
        Ok(row.update(txn).await?)
    }
}

/// There is no such delivery, or it is not the asker's.
#[must_use]
pub fn no_such_delivery() -> Error {
    UserError::not_found("delivery").on("deliveryId").into()
}

fn invalid_state(message: &str) -> Error {
    UserError::new(Code::InvalidState, message).on("deliveryId").into()
}

fn hash(id: Uuid) -> String {
    idempotency::input_hash(&[&id.to_string()])
}

fn of(actor: &Actor, id: Uuid) -> Select<Entity> {
    webhook_delivery::visible_to(actor).filter(Column::Id.eq(id))
}

fn filtered(actor: &Actor, webhook_id: Uuid, filter: DeliveryFilter) -> Select<Entity> {
    let mut select = webhook_delivery::visible_to(actor).filter(Column::WebhookId.eq(webhook_id));
    if let Some(state) = filter.state {
        select = select.filter(Column::State.eq(state));
    }
    if let Some(event) = filter.event {
        select = select.filter(Column::Event.eq(event));
    }
    select
}
