//! What webhooks are told: which things, and what of them has changed. Ids, a version and names of fields: never what stands in
//! them. Whoever is told asks the API for the rest, as somebody who may have it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{
    ActiveEnum, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::entity::webhook_delivery::{self, Event, State};
use crate::entity::{export_job, session, user, webhook};
use crate::error::Result;
use crate::queue;
use crate::queue::jobs::DeliverWebhook;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct News {
    therapist_id: Uuid,
    event: Event,
    data: Value,
}

impl News {
    /// Something happened to a session; `changed` names fields, as the API does.
    #[must_use]
    pub fn of_session(event: Event, session: &session::Model, changed: &[&'static str]) -> Self {
        let data = json!({
            "sessionId": session.id,
            "patientId": session.patient_id,
            "version": session.version,
            "changedFields": changed,
        });
        Self { therapist_id: session.therapist_id, event, data }
    }

    /// Something happened to a document.
    #[must_use]
    pub fn of_export(event: Event, job: &export_job::Model) -> Self {
        let data = json!({
            "exportJobId": job.id,
            "patientId": job.patient_id,
            "version": job.version,
            "changedFields": ["status"],
        });
        Self { therapist_id: job.therapist_id, event, data }
    }

    /// Nothing has happened: the webhook is tried out.
    pub(super) fn test(webhook: &webhook::Model) -> Self {
        let data = json!({ "webhookId": webhook.id });
        Self { therapist_id: webhook.therapist_id, event: Event::WebhookTest, data }
    }

    /// The bytes that are sent, at every attempt the same.
    fn body(&self, at: DateTime<Utc>) -> String {
        let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        json!({ "type": self.event.to_value(), "timestamp": timestamp, "data": self.data }).to_string()
    }
}

/// Writes down, in the transaction of what happened, a delivery for every webhook that wants to hear of it, and its job. Whoever
/// commits tells the workers.
///
/// # Errors
/// When the database does not take it: what happened must not be committed then.
pub async fn tell(txn: &DatabaseTransaction, news: News, at: DateTime<Utc>) -> Result<()> {
    let ids = listeners(txn, &news).await?;
    let event_id = Uuid::now_v7();
    for webhook_id in ids {
        deliver(txn, (webhook_id, event_id), &news, at).await?;
    }
    Ok(())
}

/// Webhooks that are told of this: those that deliver, of somebody who has an account.
async fn listeners(db: &impl ConnectionTrait, news: &News) -> Result<Vec<Uuid>, DbErr> {
    let is_active = user::Entity::find_by_id(news.therapist_id)
        .filter(user::Column::IsActive.eq(true))
        .select_only()
        .column(user::Column::Id);
    webhook::Entity::find()
        .filter(webhook::Column::TherapistId.in_subquery(sea_orm::QueryTrait::into_query(is_active)))
        .filter(webhook::Column::DeletedAt.is_null())
        .filter(webhook::Column::DisabledAt.is_null())
        .filter(sea_orm::sea_query::Expr::cust_with_values(
            "$1 = ANY (webhooks.events)",
            [news.event.to_value()],
        ))
        .order_by_asc(webhook::Column::Id)
        .select_only()
        .column(webhook::Column::Id)
        .into_tuple()
        .all(db)
        .await
}

/// A delivery, with the job of its first attempt.
pub(super) async fn deliver(
    txn: &impl ConnectionTrait,
    (webhook_id, event_id): (Uuid, Uuid),
    news: &News,
    at: DateTime<Utc>,
) -> Result<webhook_delivery::Model> {
    let delivery_id = Uuid::now_v7();
    let job_id = request(txn, DeliverWebhook { delivery_id, series: 1, attempt: 1 }, Duration::ZERO).await?;
    let row = webhook_delivery::ActiveModel {
        id: Set(delivery_id),
        webhook_id: Set(webhook_id),
        therapist_id: Set(news.therapist_id),
        event_id: Set(event_id),
        event: Set(news.event),
        body: Set(news.body(at)),
        state: Set(State::Pending),
        job_id: Set(Some(job_id)),
        next_attempt_at: Set(Some(at)),
        created_at: Set(at),
        updated_at: Set(at),
        ..Default::default()
    };
    Ok(webhook_delivery::Entity::insert(row).exec_with_returning(txn).await?)
}

/// Asks for an attempt; gives the id of its job.
pub(super) async fn request(
    txn: &impl ConnectionTrait,
    job: DeliverWebhook,
    wait: Duration,
) -> Result<String> {
    let added = queue::enqueue_after(txn, &job, wait).await?;
    Ok(added.ok_or_else(|| anyhow::anyhow!("delivery {} was asked for before", job.delivery_id))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_shape_that_standard_webhooks_recommends() {
        let news = News {
            therapist_id: Uuid::nil(),
            event: Event::ExportReady,
            data: json!({ "exportJobId": Uuid::nil() }),
        };
        let body: Value = serde_json::from_str(&news.body("2026-03-10T09:00:00Z".parse().unwrap())).unwrap();
        let expected = json!({
            "type": "export.ready",
            "timestamp": "2026-03-10T09:00:00.000Z",
            "data": { "exportJobId": "00000000-0000-0000-0000-000000000000" },
        });
        assert_eq!(body, expected);
    }
}
