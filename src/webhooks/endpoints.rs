//! Webhooks as therapists see them: made, changed, given another secret, switched on again, deleted.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveEnum, ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, Iterable, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::secret::{OVERLAP, Secret};
use super::{MOST_WEBHOOKS, Webhooks, about, end_waiting, lanes, locked_for, no_such_webhook};
use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::database;
use crate::entity::webhook::{self, ActiveModel, Column, Entity, Model};
use crate::entity::webhook_delivery::Event;
use crate::error::{Code, Error, Result, UserError};
use crate::idempotency::{self, Asked, Claim};
use crate::page::{Page, PageArgs};
use crate::text;

/// Secrets that are read at a time when all are looked at.
const RESEALED_AT_ONCE: u64 = 500;
/// The longest description.
const LONGEST_DESCRIPTION: usize = 200;

/// A webhook that is asked for.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Where.
    pub url: String,
    /// What for.
    pub description: Option<String>,
    /// Of what it is to be told.
    pub events: Vec<Event>,
    /// So that it can be asked for twice.
    pub idempotency_key: Option<String>,
}

/// What is to be another; `None` leaves as is.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// Where.
    pub url: Option<String>,
    /// What for; the inner `None` takes the description away.
    pub description: Option<Option<String>>,
    /// Of what it is to be told.
    pub events: Option<Vec<Event>>,
}

/// Another secret that is asked for.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Of which webhook.
    pub webhook_id: Uuid,
    /// Whether the one of before ends at once.
    pub expire_previous_now: bool,
    /// So that it can be asked for twice.
    pub idempotency_key: Option<String>,
}

/// A webhook with its new secret, which is shown this once; `None` where it was shown before.
#[derive(Clone)]
pub struct WithSecret {
    /// The webhook.
    pub webhook: Model,
    /// The secret.
    pub secret: Option<String>,
}

impl Webhooks {
    /// Makes a webhook.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn create(&self, actor: &Actor, origin: &Origin, new: NewWebhook) -> Result<WithSecret> {
        let therapist_id = actor.therapist_or(Scope::WebhooksManage)?;
        let events = event_names(&new.events)?;
        let description = new.description.as_deref().map(check_description).transpose()?;
        let spelled = (description.as_deref().unwrap_or_default(), events.join(" "));
        let hash = idempotency::input_hash(&[&new.url, spelled.0, &spelled.1]);
        let claim = match &new.idempotency_key {
            None => None,
            Some(key) => {
                let now = self.clock.now();
                match idempotency::ask(&self.db, therapist_id, "createWebhook", key, now).await? {
                    Asked::Claimed(claim) => Some((claim, hash)),
                    Asked::Done(done) => return self.shown_before(actor, done.replay(&hash)?).await,
                }
            }
        };
        let row = ActiveModel { description: Set(description), events: Set(events), ..Default::default() };
        let made = self.make((actor, origin), (row, &new.url), claim.as_ref()).await;
        if let (Err(_), Some((claim, _))) = (&made, &claim) {
            idempotency::release(&self.db, claim).await?;
        }
        made
    }

    async fn make(
        &self,
        (actor, origin): (&Actor, &Origin),
        (row, url): (ActiveModel, &str),
        claim: Option<&(Claim, String)>,
    ) -> Result<WithSecret> {
        let therapist_id = actor.therapist_or(Scope::WebhooksManage)?;
        let url = self.admitted(url).await?;
        let (id, secret, now) = (Uuid::now_v7(), Secret::new(), self.clock.now());
        let row = ActiveModel {
            id: Set(id),
            therapist_id: Set(therapist_id),
            url: Set(url),
            secret: Set(secret.sealed(&self.seal, id)?),
            created_at: Set(now),
            updated_at: Set(now),
            ..row
        };
        let txn = database::begin(&self.db).await?;
        lanes::lock(&txn, therapist_id).await?;
        if webhook::visible_to(actor).count(&txn).await? >= MOST_WEBHOOKS {
            let message =
                format!("You have {MOST_WEBHOOKS} webhooks already. Delete one that is not needed.");
            return Err(UserError::new(Code::InvalidState, message).into());
        }
        let webhook = Entity::insert(row).exec_with_returning(&txn).await?;
        self.witness(&txn, (actor, origin), about(&webhook, "webhook.create")).await?;
        if let Some((claim, hash)) = claim {
            idempotency::complete(&txn, claim, hash, webhook.id, now).await?;
        }
        txn.commit().await?;
        Ok(WithSecret { webhook, secret: Some(secret.shown()) })
    }

    /// Changes a webhook. What it was to be told already still comes, to the address as it is then.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`.
    pub async fn update(
        &self,
        actor: &Actor,
        origin: &Origin,
        (id, change): (Uuid, WebhookChange),
    ) -> Result<Model> {
        actor.therapist_or(Scope::WebhooksManage)?;
        let events = change.events.as_deref().map(event_names).transpose()?;
        let description = match change.description {
            Some(Some(text)) => Some(Some(check_description(&text)?)),
            other => other,
        };
        if self.get(actor, id).await?.is_none() {
            return Err(no_such_webhook());
        }
        let url = match &change.url {
            Some(url) => Some(self.admitted(url).await?),
            None => None,
        };
        let txn = database::begin(&self.db).await?;
        let before = locked_for(&txn, actor, id).await?;
        let next = Model {
            url: url.unwrap_or_else(|| before.url.clone()),
            description: description.unwrap_or_else(|| before.description.clone()),
            events: events.unwrap_or_else(|| before.events.clone()),
            ..before.clone()
        };
        let changed_fields = changed_fields(&before, &next);
        if changed_fields.is_empty() {
            return Ok(before);
        }
        let webhook = self.write(&txn, next).await?;
        let event = audit::Event { changed_fields, ..about(&webhook, "webhook.update") };
        self.witness(&txn, (actor, origin), event).await?;
        txn.commit().await?;
        Ok(webhook)
    }

    /// Deletes a webhook: nothing is delivered to it from then on. Gives it as it was.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn delete(&self, actor: &Actor, origin: &Origin, id: Uuid) -> Result<Model> {
        actor.therapist_or(Scope::WebhooksManage)?;
        let now = self.clock.now();
        let txn = database::begin(&self.db).await?;
        let before = locked_for(&txn, actor, id).await?;
        end_waiting(&txn, id, ("The webhook was deleted.", now)).await?;
        // Address and secrets are needed by nobody any more.
        let gone = Model {
            url: String::new(),
            secret: Vec::new(),
            previous_secret: None,
            previous_secret_expires_at: None,
            deleted_at: Some(now),
            ..before.clone()
        };
        self.write(&txn, gone).await?;
        self.witness(&txn, (actor, origin), about(&before, "webhook.delete")).await?;
        txn.commit().await?;
        Ok(before)
    }

    /// Delivers again to a webhook that the server had stopped to deliver to.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn enable(&self, actor: &Actor, origin: &Origin, id: Uuid) -> Result<Model> {
        actor.therapist_or(Scope::WebhooksManage)?;
        let txn = database::begin(&self.db).await?;
        let before = locked_for(&txn, actor, id).await?;
        if before.disabled_at.is_none() {
            return Ok(before);
        }
        let next = Model { disabled_at: None, disabled_reason: None, failing_since: None, ..before };
        let webhook = self.write(&txn, next).await?;
        self.witness(&txn, (actor, origin), about(&webhook, "webhook.enable")).await?;
        txn.commit().await?;
        Ok(webhook)
    }

    /// Makes another secret; the one of before signs beside it for 24 hours, unless it is to end at once.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`, `INVALID_INPUT`.
    pub async fn rotate(&self, actor: &Actor, origin: &Origin, wanted: Rotation) -> Result<WithSecret> {
        let (therapist_id, now) = (actor.therapist_or(Scope::WebhooksManage)?, self.clock.now());
        let (id, at_once) = (wanted.webhook_id, wanted.expire_previous_now);
        let hash = idempotency::input_hash(&[&id.to_string(), if at_once { "at once" } else { "" }]);
        let txn = database::begin(&self.db).await?;
        let claim = match &wanted.idempotency_key {
            None => None,
            Some(key) => match idempotency::ask(&txn, therapist_id, "rotateWebhookSecret", key, now).await? {
                Asked::Claimed(claim) => Some(claim),
                Asked::Done(done) => return self.shown_before(actor, done.replay(&hash)?).await,
            },
        };
        let before = locked_for(&txn, actor, id).await?;
        let still = before.previous_secret_expires_at.filter(|until| now < *until && !at_once);
        if let Some(until) = still {
            return Err(rotated_already(until));
        }
        let secret = Secret::new();
        let next = Model {
            secret: secret.sealed(&self.seal, id)?,
            previous_secret: (!at_once).then_some(before.secret.clone()),
            previous_secret_expires_at: (!at_once).then_some(now + OVERLAP),
            ..before
        };
        let webhook = self.write(&txn, next).await?;
        self.witness(&txn, (actor, origin), about(&webhook, "webhook.rotate_secret")).await?;
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &hash, id, now).await?;
        }
        txn.commit().await?;
        Ok(WithSecret { webhook, secret: Some(secret.shown()) })
    }

    /// One webhook, if the actor may know of it.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        Ok(webhook::visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?)
    }

    /// Those of the webhooks that the actor may know of.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get_many(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(webhook::visible_to(actor).filter(Column::Id.is_in(ids.iter().copied())).all(&self.db).await?)
    }

    /// A page of the webhooks, newest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for others than therapists.
    pub async fn list(&self, actor: &Actor, page: PageArgs) -> Result<Page<Model>> {
        actor.therapist_or(Scope::WebhooksManage)?;
        Ok(page.fetch(webhook::visible_to(actor), Column::Id, &self.db).await?)
    }

    /// How many webhooks [`list`](Self::list) has on all its pages.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn count(&self, actor: &Actor) -> Result<u64> {
        actor.therapist_or(Scope::WebhooksManage)?;
        Ok(webhook::visible_to(actor).count(&self.db).await?)
    }

    /// How many of the actor's webhooks the server has stopped to deliver to.
    ///
    /// # Errors
    /// Only faults.
    pub async fn disabled(&self, actor: &Actor) -> Result<u64> {
        let disabled = webhook::visible_to(actor).filter(Column::DisabledAt.is_not_null());
        Ok(disabled.count(&self.db).await?)
    }

    /// Seals every secret under the present key, so that the keys of before can be dropped. At every start: there is nothing to
    /// do but after a change of `JWT_SECRET`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reseal(&self) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let page = Entity::find().filter(Column::DeletedAt.is_null()).filter(Column::Id.gt(after));
            let webhooks = page.order_by_asc(Column::Id).limit(RESEALED_AT_ONCE).all(&self.db).await?;
            let Some(last) = webhooks.last() else { return Ok(()) };
            after = last.id;
            for webhook in &webhooks {
                self.reseal_one(webhook).await?;
            }
        }
    }

    async fn reseal_one(&self, webhook: &Model) -> Result<()> {
        let sealed = [
            (Column::Secret, Some(&webhook.secret)),
            (Column::PreviousSecret, webhook.previous_secret.as_ref()),
        ];
        for (column, sealed) in sealed.into_iter().filter_map(|(column, sealed)| Some((column, sealed?))) {
            if self.seal.is_current(webhook.id, sealed) {
                continue;
            }
            let Some(secret) = self.seal.open(webhook.id, sealed) else {
                tracing::error!(webhook_id = %webhook.id,
                    "a webhook's secret cannot be opened: was JWT_SECRET replaced and not kept as a previous one?");
                continue;
            };
            Entity::update_many()
                .col_expr(column, Expr::value(self.seal.seal(webhook.id, &secret)?))
                .filter(Column::Id.eq(webhook.id))
                .filter(column.eq(sealed.clone()))
                .exec(&self.db)
                .await?;
        }
        Ok(())
    }

    /// An address that a webhook may have, as it is kept.
    async fn admitted(&self, url: &str) -> Result<String> {
        let admitted = self.sender.admit(url).await;
        Ok(admitted.map_err(|refusal| UserError::invalid("url", refusal.to_string()))?.to_string())
    }

    async fn shown_before(&self, actor: &Actor, id: Uuid) -> Result<WithSecret> {
        let webhook = self.get(actor, id).await?.ok_or_else(no_such_webhook)?;
        Ok(WithSecret { webhook, secret: None })
    }

    async fn write(&self, txn: &DatabaseTransaction, next: Model) -> Result<Model> {
        let row = Model { updated_at: self.clock.now(), ..next };
        Ok(row.into_active_model().reset_all().update(txn).await?)
    }

    pub(super) async fn witness(
        &self,
        txn: &DatabaseTransaction,
        (actor, origin): (&Actor, &Origin),
        event: audit::Event,
    ) -> Result<()> {
        Ok(audit::record(txn, Witness { actor, origin, at: self.clock.now() }, event).await?)
    }
}

/// The names of events that can be subscribed to, each once and in their own order.
fn event_names(events: &[Event]) -> Result<Vec<String>, UserError> {
    if events.is_empty() {
        return Err(UserError::invalid("events", "Name at least one event."));
    }
    if events.contains(&Event::WebhookTest) {
        let message = "WEBHOOK_TEST is sent by sendTestWebhook, to every webhook. Leave it out.";
        return Err(UserError::invalid("events", message));
    }
    let wanted = Event::iter().filter(|event| events.contains(event));
    Ok(wanted.map(|event| event.to_value()).collect())
}

fn check_description(description: &str) -> Result<String, UserError> {
    text::line("description", description, LONGEST_DESCRIPTION)
}

fn changed_fields(before: &Model, after: &Model) -> Vec<&'static str> {
    let fields = [
        ("url", before.url != after.url),
        ("description", before.description != after.description),
        ("events", before.events != after.events),
    ];
    fields.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}

fn rotated_already(until: DateTime<Utc>) -> Error {
    let message = format!(
        "The secret was changed a short while ago, and the one of before signs until {}. Wait until then, or send \
         expirePreviousNow: true to end both.",
        until.format("%Y-%m-%d %H:%M UTC")
    );
    UserError::new(Code::InvalidState, message).into()
}
