//! One attempt at a delivery: begun in a transaction, made without one, put down in another. What is written is fenced by the
//! lease of the job, like everything a worker writes; the next attempt is a job that is written with it.
//!
//! Locks are taken in one order: the therapist's lanes, the webhook, the delivery, the job.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, DatabaseTransaction, EntityTrait, QuerySelect, sea_query::LockType,
};
use uuid::Uuid;

use super::news::request;
use super::sender::{Answer, Message};
use super::{Webhooks, about, end_waiting, lanes, schedule, secret};
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::database;
use crate::entity::user;
use crate::entity::webhook::{self, DisabledReason};
use crate::entity::webhook_delivery::{self, ActiveModel, Event, State};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::queue::jobs::DeliverWebhook;
use crate::queue::{Job, Lease};

/// What an attempt came to, as far as its job is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The job is done: the attempt was made, or is not wanted any more.
    Ended,
    /// The lanes are taken: the job was put off.
    PutOff,
}

/// A webhook and a delivery to it, both locked.
struct Pair {
    webhook: webhook::Model,
    delivery: webhook_delivery::Model,
}

/// What the beginning of an attempt leads to.
enum Begun {
    /// It goes out.
    Out(Box<Pair>),
    /// It does not.
    Not(Attempted),
}

/// How a request ended.
struct Verdict {
    status: Option<u16>,
    /// Why it does not count; `None` if the webhook has it.
    error: Option<String>,
    /// When the webhook wants to be asked again.
    wish: Option<Duration>,
}

impl Verdict {
    fn of(answer: Answer, now: DateTime<Utc>) -> Self {
        match answer {
            Answer::None(trouble) => Self { status: None, error: Some(trouble.to_string()), wish: None },
            Answer::Status(status, retry_after) => Self {
                status: Some(status),
                error: (!(200..300).contains(&status)).then(|| complaint(status)),
                wish: retry_after.and_then(|header| schedule::wish(&header, now)),
            },
        }
    }

    /// The webhook wants no more.
    fn is_gone(&self) -> bool {
        self.status == Some(410)
    }
}

fn complaint(status: u16) -> String {
    match status {
        300..400 => format!("It answered {status}: redirects are not followed. Set the address it leads to."),
        410 => "It answered 410: it wants no more.".to_owned(),
        _ => format!("It answered {status}."),
    }
}

impl Webhooks {
    /// Makes an attempt, as a job. Twice is fine for the webhook: it knows by the id that it has been told before.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost; else only faults.
    pub async fn attempt(&self, lease: &Lease, job: &DeliverWebhook) -> Result<Attempted> {
        let Pair { webhook, delivery } = match self.begin(lease, job).await? {
            Begun::Out(pair) => *pair,
            Begun::Not(why) => return Ok(why),
        };
        failpoint::reach("webhook.begun");
        let (at, id) = (self.clock.now(), delivery.event_id.to_string());
        let signatures = secret::signatures(&self.seal, &webhook, (&id, at, &delivery.body))?;
        let message = Message {
            url: &webhook.url,
            id,
            timestamp: at.timestamp(),
            signatures,
            body: delivery.body.clone(),
        };
        // A process that was stopped and wakes up asks once more whether this is still its to do.
        lease.check(&self.db).await?;
        let answer = self.sender.send(message).await?;
        failpoint::reach("webhook.sent");
        self.put_down(lease, job, Verdict::of(answer, self.clock.now())).await?;
        Ok(Attempted::Ended)
    }

    /// Puts down that an attempt came to nothing, although it was begun again and again.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost; else only faults.
    pub async fn give_up_attempt(&self, lease: &Lease, job: &DeliverWebhook) -> Result<()> {
        let error = "The server was interrupted while it was at it.".to_owned();
        self.put_down(lease, job, Verdict { status: None, error: Some(error), wish: None }).await
    }

    async fn begin(&self, lease: &Lease, job: &DeliverWebhook) -> Result<Begun> {
        let txn = database::begin(&self.db).await?;
        let Some(Pair { webhook, delivery }) = self.locked(&txn, lease, job).await? else {
            return Ok(Begun::Not(Attempted::Ended));
        };
        let therapist_id = delivery.therapist_id;
        if let Some(reason) = unwanted(&txn, &webhook, &delivery).await? {
            self.end(&txn, &delivery, (None, reason)).await?;
            lanes::wake(&txn, therapist_id).await?;
            self.commit(txn).await?;
            return Ok(Begun::Not(Attempted::Ended));
        }
        if !lanes::is_free(&txn, therapist_id, (webhook.id, delivery.id)).await? {
            let parked = ActiveModel { parked: Set(true), claim: Set(None), ..self.change(&delivery) };
            parked.update(&txn).await?;
            lease.postpone(&txn, lanes::LONGEST_PARKED).await?;
            txn.commit().await?;
            return Ok(Begun::Not(Attempted::PutOff));
        }
        let begun = ActiveModel {
            parked: Set(false),
            claim: Set(Some(lease.attempts)),
            attempts: Set(delivery.attempts + 1),
            last_attempt_at: Set(Some(self.clock.now())),
            ..self.change(&delivery)
        };
        let delivery = begun.update(&txn).await?;
        txn.commit().await?;
        Ok(Begun::Out(Box::new(Pair { webhook, delivery })))
    }

    /// Writes down how an attempt ended, and asks for the next one where there is to be one.
    async fn put_down(&self, lease: &Lease, job: &DeliverWebhook, verdict: Verdict) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let Some(pair) = self.locked(&txn, lease, job).await? else { return Ok(()) };
        let outcome = match &verdict.error {
            None => self.arrived(&txn, &pair, verdict.status).await?,
            Some(error) => self.failed(&txn, (&pair, job), (&verdict, error)).await?,
        };
        lanes::wake(&txn, pair.delivery.therapist_id).await?;
        self.commit(txn).await?;
        metrics::counter!("webhook_attempts_total", "outcome" => outcome).increment(1);
        tracing::info!(delivery_id = %job.delivery_id, webhook_id = %pair.webhook.id, status = verdict.status,
            outcome, "webhook");
        Ok(())
    }

    async fn arrived(
        &self,
        txn: &DatabaseTransaction,
        pair: &Pair,
        status: Option<u16>,
    ) -> Result<&'static str> {
        let now = self.clock.now();
        let arrived = ActiveModel {
            state: Set(State::Delivered),
            delivered_at: Set(Some(now)),
            ..self.ending(&pair.delivery, status, None)
        };
        arrived.update(txn).await?;
        if pair.webhook.failing_since.is_some() {
            let works =
                webhook::ActiveModel { failing_since: Set(None), ..self.change_webhook(&pair.webhook) };
            works.update(txn).await?;
        }
        Ok("delivered")
    }

    async fn failed(
        &self,
        txn: &DatabaseTransaction,
        (pair, job): (&Pair, &DeliverWebhook),
        (verdict, error): (&Verdict, &str),
    ) -> Result<&'static str> {
        let Pair { webhook, delivery } = pair;
        let is_test = delivery.event == Event::WebhookTest;
        if verdict.is_gone() {
            self.end(txn, delivery, (verdict.status, error)).await?;
            self.disable(txn, webhook, DisabledReason::Gone).await?;
            return Ok("gone");
        }
        let failing_since = webhook.failing_since.unwrap_or_else(|| self.clock.now());
        let first_failed_at = delivery.first_failed_at.unwrap_or_else(|| self.clock.now());
        if webhook.failing_since.is_none() && !is_test {
            let fails = webhook::ActiveModel {
                failing_since: Set(Some(failing_since)),
                ..self.change_webhook(webhook)
            };
            fails.update(txn).await?;
        }
        let wanted = !is_test && is_open(webhook);
        let wait = schedule::wait(&self.waits, job.attempt, verdict.wish).filter(|_| wanted);
        if let Some(wait) = wait {
            let delivery =
                webhook_delivery::Model { first_failed_at: Some(first_failed_at), ..delivery.clone() };
            self.try_again(txn, (&delivery, job), (verdict.status, error), wait).await?;
            return Ok("failed");
        }
        self.end(txn, delivery, (verdict.status, error)).await?;
        // Where something has arrived meanwhile, it is this delivery that is the trouble, and not the webhook.
        if wanted && failing_since <= first_failed_at {
            self.disable(txn, webhook, DisabledReason::Failing).await?;
        }
        Ok("given_up")
    }

    async fn try_again(
        &self,
        txn: &DatabaseTransaction,
        (delivery, job): (&webhook_delivery::Model, &DeliverWebhook),
        (status, error): (Option<u16>, &str),
        wait: Duration,
    ) -> Result<()> {
        let next = DeliverWebhook { attempt: job.attempt + 1, ..job.clone() };
        let waits = ActiveModel {
            state: Set(State::Pending),
            job_id: Set(Some(request(txn, next, wait).await?)),
            next_attempt_at: Set(Some(self.clock.now() + wait)),
            first_failed_at: Set(delivery.first_failed_at),
            ..self.ending(delivery, status, Some(error))
        };
        waits.update(txn).await?;
        Ok(())
    }

    /// Gives a delivery up.
    async fn end(
        &self,
        txn: &DatabaseTransaction,
        delivery: &webhook_delivery::Model,
        (status, error): (Option<u16>, &str),
    ) -> Result<()> {
        let ended = ActiveModel { state: Set(State::Failed), ..self.ending(delivery, status, Some(error)) };
        ended.update(txn).await?;
        Ok(())
    }

    /// Stops to deliver to a webhook, and gives up what waits for it.
    async fn disable(
        &self,
        txn: &DatabaseTransaction,
        webhook: &webhook::Model,
        reason: DisabledReason,
    ) -> Result<()> {
        if !is_open(webhook) {
            return Ok(());
        }
        let now = self.clock.now();
        let disabled = webhook::ActiveModel {
            disabled_at: Set(Some(now)),
            disabled_reason: Set(Some(reason)),
            ..self.change_webhook(webhook)
        };
        disabled.update(txn).await?;
        end_waiting(txn, webhook.id, (DISABLED, now)).await?;
        let (actor, origin) = (Actor::System { job: DeliverWebhook::KIND }, Origin::default());
        let witness = Witness { actor: &actor, origin: &origin, at: now };
        audit::record(txn, witness, about(webhook, "webhook.disable")).await?;
        metrics::counter!("webhooks_disabled_total").increment(1);
        tracing::warn!(webhook_id = %webhook.id, therapist_id = %webhook.therapist_id, ?reason,
            "a webhook was disabled");
        Ok(())
    }

    /// Webhook and delivery, locked, if the job is still ours, and still the one that the delivery waits for.
    async fn locked(
        &self,
        txn: &DatabaseTransaction,
        lease: &Lease,
        job: &DeliverWebhook,
    ) -> Result<Option<Pair>> {
        let Some(found) = find(txn, job.delivery_id).await? else { return Ok(None) };
        lanes::lock(txn, found.therapist_id).await?;
        let webhook = webhook::Entity::find_by_id(found.webhook_id);
        let webhook = webhook.lock(LockType::NoKeyUpdate).one(txn).await?;
        let delivery = webhook_delivery::Entity::find_by_id(found.id).lock_exclusive().one(txn).await?;
        lease.hold(txn).await?;
        let delivery = delivery.filter(|delivery| {
            delivery.series == job.series && delivery.job_id.as_deref() == Some(lease.id.as_str())
        });
        Ok(webhook.zip(delivery).map(|(webhook, delivery)| Pair { webhook, delivery }))
    }

    /// The row of a delivery after an attempt; its state is still to be set.
    fn ending(
        &self,
        delivery: &webhook_delivery::Model,
        status: Option<u16>,
        error: Option<&str>,
    ) -> ActiveModel {
        ActiveModel {
            job_id: Set(None),
            claim: Set(None),
            parked: Set(false),
            next_attempt_at: Set(None),
            last_status: Set(status.map(i32::from)),
            last_error: Set(error.map(ToOwned::to_owned)),
            ..self.change(delivery)
        }
    }

    fn change(&self, delivery: &webhook_delivery::Model) -> ActiveModel {
        ActiveModel { id: Set(delivery.id), updated_at: Set(self.clock.now()), ..Default::default() }
    }

    fn change_webhook(&self, webhook: &webhook::Model) -> webhook::ActiveModel {
        webhook::ActiveModel { id: Set(webhook.id), updated_at: Set(self.clock.now()), ..Default::default() }
    }

    async fn commit(&self, txn: DatabaseTransaction) -> Result<()> {
        txn.commit().await?;
        self.notifier.nudge();
        Ok(())
    }
}

const DISABLED: &str = "The webhook is disabled.";

/// Why a delivery need not go out any more.
async fn unwanted(
    txn: &DatabaseTransaction,
    webhook: &webhook::Model,
    delivery: &webhook_delivery::Model,
) -> Result<Option<&'static str>> {
    if webhook.deleted_at.is_some() {
        return Ok(Some("The webhook was deleted."));
    }
    if webhook.disabled_at.is_some() && delivery.event != Event::WebhookTest {
        return Ok(Some(DISABLED));
    }
    let owner = user::Entity::find_by_id(webhook.therapist_id).one(txn).await?;
    if owner.is_none_or(|owner| !owner.is_active) {
        return Ok(Some("The account is deactivated."));
    }
    Ok(None)
}

/// Whether anything is delivered to it.
fn is_open(webhook: &webhook::Model) -> bool {
    webhook.deleted_at.is_none() && webhook.disabled_at.is_none()
}

async fn find(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<webhook_delivery::Model>, Error> {
    Ok(webhook_delivery::Entity::find_by_id(id).one(txn).await?)
}
