//! Table `webhook_deliveries`: what a webhook is told, and whether it has arrived.

use async_graphql::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::{QueryFilter, QuerySelect, Select};

use super::webhook;
use crate::actor::Actor;

/// What a webhook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "WebhookEvent")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Event {
    /// `session.scheduled`: a session was planned.
    #[sea_orm(string_value = "session.scheduled")]
    SessionScheduled,
    /// `session.rescheduled`: a planned session has another time or length.
    #[sea_orm(string_value = "session.rescheduled")]
    SessionRescheduled,
    /// `session.cancelled`: a planned session was called off.
    #[sea_orm(string_value = "session.cancelled")]
    SessionCancelled,
    /// `session.no_show`: the patient did not come.
    #[sea_orm(string_value = "session.no_show")]
    SessionNoShow,
    /// `session.completed`: a session took place, with a recording or without.
    #[sea_orm(string_value = "session.completed")]
    SessionCompleted,
    /// `session.updated`: the day or length of a session that took place was put right, or its recording came.
    #[sea_orm(string_value = "session.updated")]
    SessionUpdated,
    /// `session.transcribed`: the transcript of a recording is complete.
    #[sea_orm(string_value = "session.transcribed")]
    SessionTranscribed,
    /// `session.processed`: a session's notes are there.
    #[sea_orm(string_value = "session.processed")]
    SessionProcessed,
    /// `session.failed`: the processing of a recording has ended without notes.
    #[sea_orm(string_value = "session.failed")]
    SessionFailed,
    /// `risk_flag.opened`: a session has risk flags that it did not have before.
    #[sea_orm(string_value = "risk_flag.opened")]
    RiskFlagOpened,
    /// `export.ready`: a document can be downloaded.
    #[sea_orm(string_value = "export.ready")]
    ExportReady,
    /// `export.failed`: a document was given up.
    #[sea_orm(string_value = "export.failed")]
    ExportFailed,
    /// `webhook.test`: what `sendTestWebhook` sends; nobody subscribes to it.
    #[sea_orm(string_value = "webhook.test")]
    WebhookTest,
}

/// Whether it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, EnumIter, DeriveActiveEnum)]
#[graphql(name = "WebhookDeliveryState")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    /// It is on its way, or waits for its next attempt.
    #[sea_orm(string_value = "PENDING")]
    Pending,
    /// The webhook has answered that it has it.
    #[sea_orm(string_value = "DELIVERED")]
    Delivered,
    /// It was given up; `redeliverWebhook` sends it again.
    #[sea_orm(string_value = "FAILED")]
    Failed,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_deliveries")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// To which webhook.
    pub webhook_id: Uuid,
    /// Whose.
    pub therapist_id: Uuid,
    /// What it tells of: the same for every webhook and at every attempt.
    pub event_id: Uuid,
    /// What kind of event.
    pub event: Event,
    /// The bytes that are sent.
    pub body: String,
    /// Whether it has arrived.
    pub state: State,
    /// Which time it was asked for.
    pub series: i32,
    /// When the first attempt of this time failed.
    pub first_failed_at: Option<ChronoDateTimeUtc>,
    /// How many attempts have begun.
    pub attempts: i32,
    /// The job of the next attempt, or of the one that is being made.
    pub job_id: Option<String>,
    /// Which claim of that job is on its way.
    pub claim: Option<i32>,
    /// It waits for others of its webhook to come back.
    pub parked: bool,
    /// What the webhook answered last.
    pub last_status: Option<i32>,
    /// Why the last attempt did not count.
    pub last_error: Option<String>,
    /// When that was.
    pub last_attempt_at: Option<ChronoDateTimeUtc>,
    /// When it is tried next.
    pub next_attempt_at: Option<ChronoDateTimeUtc>,
    /// When it arrived.
    pub delivered_at: Option<ChronoDateTimeUtc>,
    /// Creation.
    pub created_at: ChronoDateTimeUtc,
    /// Last change.
    pub updated_at: ChronoDateTimeUtc,
}

/// Relations are followed by the API's loaders, by id.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The deliveries the actor may know of: those to webhooks the actor may know of.
pub fn visible_to(actor: &Actor) -> Select<Entity> {
    let webhooks = webhook::visible_to(actor).select_only().column(webhook::Column::Id);
    Entity::find().filter(Column::WebhookId.in_subquery(sea_orm::QueryTrait::into_query(webhooks)))
}
