//! Documents for download: asked for, followed, fetched, deleted.

use std::collections::BTreeSet;

use async_graphql::{Context, Description, ID, InputObject, Object, SimpleObject};
use async_stream::try_stream;
use chrono::{DateTime, Utc};
use futures::Stream;
use uuid::Uuid;

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{Asker, ContextExt, asker, uuid};
use super::error::{ApiError, ApiResult, UserErrorView, payload};
use super::patient::{Patient, no_such_patient};
use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::entity::export_job::{Format, Kind, Model, Status};
use crate::error::{Error, UserError};
use crate::events::Event;
use crate::exports::jobs::{ExportFilter, NewExport, Wanted, download_path, no_such_export};
use crate::page::PageArgs;

/// A document that was asked for, and its file. Files are kept for some days; then the job is EXPIRED.
#[derive(Clone, Description)]
pub(super) struct ExportJob(pub(super) Model);

impl ExportJob {
    /// The job as of an event: with the event's own status, version and progress.
    fn at(row: Model, event: &Event) -> ApiResult<Self> {
        let status = event.status()?.unwrap_or(row.status);
        Ok(Self(Model { status, version: event.version, progress: event.progress, ..row }))
    }
}

#[Object(use_type_description)]
impl ExportJob {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// What the document is about.
    async fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What kind of file it becomes.
    async fn format(&self) -> Format {
        self.0.format
    }

    /// How far it is.
    async fn status(&self) -> Status {
        self.0.status
    }

    /// Percent.
    async fn progress(&self) -> i32 {
        self.0.progress
    }

    /// Counts every change that subscribers see.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// Whom the document is about.
    async fn patient(&self, ctx: &Context<'_>) -> ApiResult<Option<Patient>> {
        let loaded = ctx.loaders().patients.load_one(self.0.patient_id).await;
        Ok(loaded.map_err(ApiError::shared)?.map(Patient))
    }

    /// How many sessions the document holds; null for a PROGRESS_REPORT.
    async fn session_count(&self) -> Option<usize> {
        (self.0.kind == Kind::SessionNotes).then_some(self.0.session_ids.len())
    }

    /// How many weeks of 7 days the document looks at, of which the last ended when it was asked for; null for SESSION_NOTES.
    async fn weeks(&self) -> Option<i32> {
        self.0.weeks
    }

    /// What the file is called; it holds the patient's name. Null until there is one.
    async fn file_name(&self) -> Option<&str> {
        self.0.file_name.as_deref()
    }

    /// Size of the file; null until there is one.
    async fn size_bytes(&self) -> Option<i64> {
        self.0.size_bytes
    }

    /// SHA-256 of the file's bytes, in hexadecimal; null until there is one.
    async fn sha256(&self) -> Option<&str> {
        self.0.sha256.as_deref()
    }

    /// What could not be shown as it was written (a character that no font has), a sentence each. The file is complete all
    /// the same.
    async fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Why it was given up; null unless it FAILED.
    async fn error_message(&self) -> Option<&str> {
        self.0.error_message.as_deref()
    }

    /// When the file is removed, or was; null until there is one.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// Where the file can be fetched by GET without an access token: a path of this server, with a ticket that is good for 15
    /// minutes, for you alone, and no longer than your present log-in. Ask again for a new one. Null unless COMPLETED.
    /// With an access token, or an API key with exports:read, in `Authorization` the path alone is enough:
    /// `/exports/{id}/download`; API keys get no tickets, and null here.
    async fn download_url(&self, ctx: &Context<'_>) -> ApiResult<Option<String>> {
        if self.0.status != Status::Completed || !ctx.app().exports.is_available(&self.0) {
            return Ok(None);
        }
        if matches!(ctx.actor(), Actor::ApiKey { .. }) {
            return Ok(None);
        }
        Ok(Some(ctx.app().auth.signed_address(ctx.actor(), &download_path(self.0.id))?))
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// An export job, or why there is none.
#[derive(SimpleObject)]
pub(super) struct ExportJobPayload {
    /// The job; one that was deleted, as it was.
    export_job: Option<ExportJob>,
    /// Why nothing was done.
    user_errors: Vec<UserErrorView>,
}

impl ExportJobPayload {
    fn new(result: Result<Model, Error>) -> ApiResult<Self> {
        let (job, user_errors) = payload(result)?;
        Ok(Self { export_job: job.map(ExportJob), user_errors })
    }
}

/// Sessions whose notes are to become a document.
#[derive(InputObject)]
pub(super) struct ExportSessionNotesInput {
    /// Which sessions, 1 to 500, all of one patient; each must have notes and not be in processing. One that is named twice counts
    /// once. They come in the order of their days.
    session_ids: Vec<ID>,
    /// What kind of file.
    format: Format,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result.
    idempotency_key: Option<String>,
}

/// A patient of whom a report is wanted.
#[derive(InputObject)]
pub(super) struct ExportProgressReportInput {
    /// Which patient.
    patient_id: ID,
    /// How many weeks of 7 days, ending today: 1 to 104.
    #[graphql(default = 12)]
    weeks: i32,
    /// What kind of file.
    format: Format,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result.
    idempotency_key: Option<String>,
}

/// Which export jobs; what is left out does not matter.
#[derive(InputObject, Default)]
pub(super) struct ExportJobFilter {
    /// About whom.
    patient_id: Option<ID>,
    /// About what.
    kind: Option<Kind>,
    /// How far.
    status: Option<Status>,
}

impl ExportJobFilter {
    /// `None` for an id that is none of ours: nothing is about it.
    fn read(self) -> Option<ExportFilter> {
        let patient_id = self.patient_id.map(|id| uuid(&id).ok_or(())).transpose().ok()?;
        Some(ExportFilter { patient_id, kind: self.kind, status: self.status })
    }
}

#[derive(Default)]
pub(super) struct ExportQuery;

#[Object]
impl ExportQuery {
    /// The documents you asked for, newest first. For therapists.
    async fn export_jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
        #[graphql(desc = "Which; all if missing.")] filter: Option<ExportJobFilter>,
    ) -> ApiResult<ConnectionOf<ExportJob>> {
        let (exports, actor) = (&ctx.app().exports, ctx.actor());
        actor.therapist_or(Scope::ExportsRead)?;
        let page = PageArgs::new(first, after.as_deref())?;
        // An id that is none of ours is nobody's.
        let filter = filter.unwrap_or_default().read();
        let filter =
            filter.unwrap_or(ExportFilter { patient_id: Some(Uuid::nil()), ..ExportFilter::default() });
        let rows = exports.list(actor, filter, page).await?;
        let total = if wants_total(ctx) { exports.count(actor, filter).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, ExportJob))
    }

    /// A document you asked for; null when there is no such job, or it is not yours. For therapists.
    async fn export_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which job.")] id: ID,
    ) -> ApiResult<Option<ExportJob>> {
        ctx.actor().therapist_or(Scope::ExportsRead)?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        Ok(ctx.app().exports.get(ctx.actor(), id).await?.map(ExportJob))
    }
}

#[derive(Default)]
pub(super) struct ExportMutation;

#[Object]
impl ExportMutation {
    /// Asks for the notes of sessions as a document; follow it with `exportJobUpdated`. It holds everything you see of the
    /// notes, with the quotes they rest on, whether these were found in the transcript, and how the notes came about. For the
    /// patient's therapist; audited. Counted: 20 documents an hour, if not set otherwise. Codes: INVALID_INPUT (no session, more
    /// than 500, or of several patients), NOT_FOUND, INVALID_STATE (a session without notes, or in processing),
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn export_session_notes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which sessions, and how.")] input: ExportSessionNotesInput,
    ) -> ApiResult<ExportJobPayload> {
        ctx.actor().therapist_or(Scope::ExportsWrite)?;
        let ids: Option<BTreeSet<Uuid>> = input.session_ids.iter().map(uuid).collect();
        let Some(session_ids) = ids else {
            return ExportJobPayload::new(Err(UserError::not_found("session").on("sessionIds").into()));
        };
        let wanted = Wanted::SessionNotes { session_ids };
        let new = NewExport { wanted, format: input.format, idempotency_key: input.idempotency_key };
        ExportJobPayload::new(ctx.app().exports.request(ctx.actor(), ctx.origin(), new).await)
    }

    /// Asks for a report of how a patient fared in the last weeks, with the figures of `patientProgress`, drawn; follow it with
    /// `exportJobUpdated`. For the patient's therapist; audited. Counted: 20 documents an hour, if not set otherwise. Codes:
    /// INVALID_INPUT, NOT_FOUND, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn export_progress_report(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom it is about, and how.")] input: ExportProgressReportInput,
    ) -> ApiResult<ExportJobPayload> {
        ctx.actor().therapist_or(Scope::ExportsWrite)?;
        let Some(patient_id) = uuid(&input.patient_id) else {
            return ExportJobPayload::new(Err(no_such_patient()));
        };
        let wanted = Wanted::ProgressReport { patient_id, weeks: input.weeks };
        let new = NewExport { wanted, format: input.format, idempotency_key: input.idempotency_key };
        ExportJobPayload::new(ctx.app().exports.request(ctx.actor(), ctx.origin(), new).await)
    }

    /// Removes a document you asked for: its file, at once, and the job from the list. One that is under way is stopped. For the
    /// therapist who asked for it; audited. Codes: NOT_FOUND.
    async fn delete_export_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which job.")] id: ID,
    ) -> ApiResult<ExportJobPayload> {
        ctx.actor().therapist_or(Scope::ExportsWrite)?;
        let Some(id) = uuid(&id) else { return ExportJobPayload::new(Err(no_such_export())) };
        ExportJobPayload::new(ctx.app().exports.delete(ctx.actor(), ctx.origin(), id).await)
    }
}

/// What of exports can be watched.
#[derive(Default)]
pub(super) struct ExportSubscription;

#[async_graphql::Subscription]
impl ExportSubscription {
    /// A document you asked for: first as it is, then at every change of status, each once and in order; progress comes in
    /// between. Ends after COMPLETED, FAILED or EXPIRED, and with NOT_FOUND when the job is deleted. For the therapist who
    /// asked for it.
    async fn export_job_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which job.")] id: ID,
    ) -> Result<impl Stream<Item = ApiResult<ExportJob>>, ApiError> {
        let asker = asker(ctx).clone();
        asker.actor().therapist_or(Scope::ExportsRead)?;
        let id = uuid(&id).ok_or(Error::NotFound("export"))?;
        let mut news = asker.app().feed.join(id);
        let current = job(&asker, id).await?;
        Ok(try_stream! {
            news.seen(id, current.version);
            let mut running = !current.status.is_terminal();
            yield ExportJob(current);
            while running {
                let Some(event) = news.next().await? else { return };
                let row = job(&asker, id).await?;
                running = !event.status::<Status>()?.is_some_and(Status::is_terminal);
                yield ExportJob::at(row, &event)?;
            }
        })
    }
}

/// The job, if the asker is still welcome, and may still see it.
async fn job(asker: &Asker, id: Uuid) -> Result<Model, ApiError> {
    asker.app().auth.still_welcome(asker.actor()).await?;
    Ok(asker.app().exports.get(asker.actor(), id).await?.ok_or(Error::NotFound("export"))?)
}
