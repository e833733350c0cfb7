//! The runs that keep the figures of analytics right.

use async_graphql::{Context, Description, ID, Object};
use async_stream::try_stream;
use chrono::{DateTime, Utc};
use futures::Stream;

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, asker};
use super::date::Date;
use super::error::{ApiError, ApiResult};
use crate::entity::aggregation_run::{Kind, Model, Status};
use crate::events::{ALL_RUNS, Event};
use crate::page::PageArgs;

/// A run that works out the figures of analytics, or is to.
#[derive(Clone, Description)]
pub(super) struct AggregationRun(Model);

impl AggregationRun {
    /// The run as of an event: with the event's own status, version and progress.
    fn at(row: Model, event: &Event) -> ApiResult<Self> {
        let status = event.status()?.unwrap_or(row.status);
        Ok(Self(Model { status, version: event.version, progress: event.progress, ..row }))
    }
}

#[Object(use_type_description)]
impl AggregationRun {
    /// UUID, version 7.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Why.
    async fn kind(&self) -> Kind {
        self.0.kind
    }

    /// How far it is.
    async fn status(&self) -> Status {
        self.0.status
    }

    /// Percent of the therapists whose figures are done.
    async fn progress(&self) -> i32 {
        self.0.progress
    }

    /// Counts every change that subscribers see.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// First day whose figures are worked out; null from the beginning, or where no day is concerned.
    async fn from(&self) -> Option<Date> {
        self.0.from_date.map(Date)
    }

    /// Last day whose figures are worked out; null to the end, or where no day is concerned.
    async fn to(&self) -> Option<Date> {
        self.0.to_date.map(Date)
    }

    /// How many therapists are done.
    async fn therapists(&self) -> i32 {
        self.0.therapists
    }

    /// How many days with sessions were worked out; in a WEEKLY run weeks, of each patient.
    async fn days(&self) -> i64 {
        self.0.days
    }

    /// How many rows were not as they should be, and are now.
    async fn changes(&self) -> i64 {
        self.0.changes
    }

    /// When it was due; null unless it was scheduled.
    async fn due_at(&self) -> Option<DateTime<Utc>> {
        self.0.due_at
    }

    /// Why it was given up; null unless it FAILED.
    async fn error_message(&self) -> Option<&str> {
        self.0.error_message.as_deref()
    }

    /// Begin of work; null before.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// End of work; null before.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

#[derive(Default)]
pub(super) struct AggregationQuery;

#[Object]
impl AggregationQuery {
    /// The runs that work out the figures of analytics, newest first. For therapists, those of their own figures; for
    /// admins all.
    async fn aggregation_runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
    ) -> ApiResult<ConnectionOf<AggregationRun>> {
        let (app, actor) = (ctx.app(), ctx.actor());
        let page = PageArgs::new(first, after.as_deref())?;
        let rows = app.analytics.runs(actor, page).await?;
        let total = if wants_total(ctx) { app.analytics.count_runs(actor).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, AggregationRun))
    }
}

/// What of aggregation can be watched.
#[derive(Default)]
pub(super) struct AggregationSubscription;

#[async_graphql::Subscription]
impl AggregationSubscription {
    /// The runs that work out the figures of analytics: first those that have not ended, as they are, then every run that
    /// appears or changes, each version once and in order. Never ends by itself. For therapists, those of their own figures; for
    /// admins all.
    async fn aggregation_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = ApiResult<AggregationRun>>, ApiError> {
        let asker = asker(ctx).clone();
        let whose = asker.actor().follows_aggregation()?.unwrap_or(ALL_RUNS);
        let mut news = asker.app().feed.join(whose);
        let current = asker.app().analytics.running(asker.actor()).await?;
        Ok(try_stream! {
            for run in current {
                news.seen(run.id, run.version);
                yield AggregationRun(run);
            }
            while let Some(event) = news.next().await? {
                asker.app().auth.still_welcome(asker.actor()).await?;
                // One that was purged meanwhile has nothing to tell.
                if let Some(run) = asker.app().analytics.run(asker.actor(), event.subject.id()).await? {
                    yield AggregationRun::at(run, &event)?;
                }
            }
        })
    }
}
