//! `therapybridge aggregate`: works the figures of analytics out by hand, and shows how far it is.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use chrono::NaiveDate;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::actor::Actor;
use crate::analytics::runs::Wanted;
use crate::app::App;
use crate::entity::aggregation_run::{Model, Status};
use crate::entity::user::{self, Role};
use crate::worker;

/// Which figures are to be worked out.
#[derive(Clone, Debug, clap::Args)]
pub struct Aggregate {
    /// First day, YYYY-MM-DD; from the beginning if missing.
    #[arg(long)]
    from: Option<NaiveDate>,
    /// Last day, YYYY-MM-DD; to the end if missing.
    #[arg(long)]
    to: Option<NaiveDate>,
    /// Id or e-mail address of a therapist; everybody if missing.
    #[arg(long)]
    therapist: Option<String>,
}

/// Works them out, every one anew, whoever's worker does it: one is started here, and those that run help as they always do.
///
/// # Errors
/// When something is wrong with what is wanted, or the run is given up; the message says what.
pub async fn run(app: &Arc<App>, wanted: Aggregate) -> anyhow::Result<()> {
    let Aggregate { from, to, therapist } = wanted;
    ensure!(from.zip(to).is_none_or(|(from, to)| from <= to), "--from must not be after --to");
    let therapist_id = match therapist {
        Some(therapist) => Some(find(app, &therapist).await?),
        None => None,
    };
    let run = app.analytics.request(Wanted { from, to, therapist_id }).await?;
    let work = tokio::spawn(worker::aggregate(app.clone()));
    let ended = follow(app, run.id).await;
    app.stop.cancel();
    work.await??;
    let Model { therapists, days, changes, .. } = ended?;
    let mut out = std::io::stdout();
    Ok(writeln!(out, "{therapists} therapists, {days} days with sessions, {changes} rows put right")?)
}

async fn find(app: &App, therapist: &str) -> anyhow::Result<Uuid> {
    let known = match Uuid::try_parse(therapist) {
        Ok(id) => user::Column::Id.eq(id),
        Err(_) => user::Column::Email.eq(therapist.to_lowercase()),
    };
    let found = user::Entity::find().filter(known).filter(user::Column::Role.eq(Role::Therapist));
    let found = found.one(&app.db).await?;
    Ok(found.with_context(|| format!("there is no therapist {therapist}"))?.id)
}

/// Prints how far the run is until it has ended.
async fn follow(app: &App, id: Uuid) -> anyhow::Result<Model> {
    let mut news = app.feed.join(id);
    let mut out = std::io::stdout();
    loop {
        let run = app.analytics.run(&Actor::System { job: "aggregate" }, id).await?;
        let run = run.context("the run was removed")?;
        match (run.status, &run.error_message) {
            (Status::Completed, _) => return Ok(run),
            (Status::Failed, Some(reason)) => bail!("the aggregation was given up: {reason}"),
            _ => writeln!(out, "{:3} %  {} therapists", run.progress, run.therapists)?,
        }
        tokio::select! {
            event = news.next() => ensure!(event?.is_some(), "stopped; the run goes on as soon as there is a worker"),
            () = app.stop.cancelled() => bail!("stopped; the run goes on as soon as there is a worker"),
        }
    }
}
