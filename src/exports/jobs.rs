//! Export jobs: asked for, looked at, deleted. How they are done stands in `work`, when their files go in
//! `expiry`.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection,
    DatabaseTransaction, EntityTrait, FromQueryResult, IntoActiveModel, PaginatorTrait, QueryFilter,
    QuerySelect, Select,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Fonts;
use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::analytics::Analytics;
use crate::audit::{self, Witness};
use crate::auth::rate_limit::RateLimits;
use crate::clock::Clock;
use crate::config::ExportsConfig;
use crate::database;
use crate::entity::export_job::{self, ActiveModel, Column, Entity, Format, Kind, Model, Status};
use crate::entity::webhook_delivery::Event;
use crate::entity::{patient, session};
use crate::error::{Code, Error, Result, UserError};
use crate::events::{self, Notifier};
use crate::idempotency::{self, Asked};
use crate::page::{Page, PageArgs};
use crate::queue;
use crate::queue::jobs::ExportDocument;
use crate::storage::{Intake, Storage};
use crate::webhooks::{self, News};

/// Sessions of one document.
pub const MOST_SESSIONS: usize = 500;
/// Documents that are rendered at a time in this process: each takes memory for all of its pages.
const RENDERINGS: usize = 2;

/// The documents of the practice.
#[derive(Clone)]
pub struct Exports {
    pub(super) db: DatabaseConnection,
    pub(super) storage: Storage,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notifier: Notifier,
    pub(super) analytics: Analytics,
    pub(super) limits: RateLimits,
    pub(super) fonts: Fonts,
    pub(super) retention: TimeDelta,
    pub(super) renderings: Arc<Semaphore>,
}

/// What exports stand on.
pub struct Means {
    /// Where rows go.
    pub db: DatabaseConnection,
    /// Where files go.
    pub storage: Storage,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Tells everybody what is new.
    pub notifier: Notifier,
    /// The figures of reports.
    pub analytics: Analytics,
    /// How often may be asked.
    pub limits: RateLimits,
    /// What documents are set in.
    pub fonts: Fonts,
}

/// A document that is asked for.
#[derive(Clone, Debug)]
pub struct NewExport {
    /// What it is about.
    pub wanted: Wanted,
    /// What kind of file.
    pub format: Format,
    /// So that it can be asked for twice.
    pub idempotency_key: Option<String>,
}

/// What a document is to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The notes of these sessions, all of one patient.
    SessionNotes {
        /// Which.
        session_ids: BTreeSet<Uuid>,
    },
    /// How a patient fared in the last weeks.
    ProgressReport {
        /// Who.
        patient_id: Uuid,
        /// How many weeks of 7 days.
        weeks: i32,
    },
}

/// Which jobs; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportFilter {
    /// About whom.
    pub patient_id: Option<Uuid>,
    /// About what.
    pub kind: Option<Kind>,
    /// How far.
    pub status: Option<Status>,
}

/// A file that can be had.
#[derive(Clone, Debug)]
pub struct File {
    /// The job that made it.
    pub job_id: Uuid,
    /// Whom it is about.
    pub patient_id: Uuid,
    /// What kind of file.
    pub format: Format,
    /// Where it lies in the store.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// What asking for the file of a job leads to.
#[derive(Clone, Debug)]
pub enum Download {
    /// Here it is.
    Ready(File),
    /// There is none: the job has this status.
    None(Status),
    /// It was kept for its time.
    Expired,
}

impl Exports {
    /// Exports with these means.
    #[must_use]
    pub fn new(means: Means, config: ExportsConfig) -> Self {
        let Means { db, storage, clock, notifier, analytics, limits, fonts } = means;
        let retention = TimeDelta::from_std(config.retention).unwrap_or(TimeDelta::MAX);
        let renderings = Arc::new(Semaphore::new(RENDERINGS));
        Self { db, storage, clock, notifier, analytics, limits, fonts, retention, renderings }
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`;
    /// [`Error::RateLimited`].
    pub async fn request(&self, actor: &Actor, origin: &Origin, new: NewExport) -> Result<Model> {
        let (therapist_id, now) = (actor.therapist_or(Scope::ExportsWrite)?, self.clock.now());
        new.wanted.check()?;
        let hash = new.wanted.hash(new.format);
        let txn = database::begin(&self.db).await?;
        let claim = match &new.idempotency_key {
            None => None,
            Some(key) => {
                match idempotency::ask(&txn, therapist_id, new.wanted.operation(), key, now).await? {
                    Asked::Claimed(claim) => Some(claim),
                    Asked::Done(done) => return found(&txn, actor, done.replay(&hash)?).await,
                }
            }
        };
        let patient_id = new.wanted.patient(&txn, actor).await?;
        if let Err(error) = self.limits.export(&txn, actor, origin).await {
            if let (Error::RateLimited(_), Some(claim)) = (&error, &claim) {
                idempotency::release(&txn, claim).await?;
            }
            // The refusal stays on record; after a fault there is nothing that could be committed.
            txn.commit().await?;
            return Err(error);
        }
        let row = row((therapist_id, patient_id), &new, now);
        let job = Entity::insert(row).exec_with_returning(&txn).await?;
        events::record_export(&txn, &job, now).await?;
        queue::enqueue(&txn, &ExportDocument { job_id: job.id }).await?;
        audit::record(&txn, Witness { actor, origin, at: now }, about(&job, "export.request")).await?;
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &hash, job.id, now).await?;
        }
        txn.commit().await?;
        self.notifier.nudge();
        Ok(job)
    }

    /// One job, if the actor may know of it.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        Ok(export_job::visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?)
    }

    /// Those of the jobs that the actor may know of.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get_many(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(export_job::visible_to(actor).filter(Column::Id.is_in(ids.iter().copied())).all(&self.db).await?)
    }

    /// A page of the jobs, newest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for others than therapists.
    pub async fn list(&self, actor: &Actor, filter: ExportFilter, page: PageArgs) -> Result<Page<Model>> {
        actor.therapist_or(Scope::ExportsRead)?;
        Ok(page.fetch(filtered(actor, filter), Column::Id, &self.db).await?)
    }

    /// How many jobs [`list`](Self::list) has on all its pages.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn count(&self, actor: &Actor, filter: ExportFilter) -> Result<u64> {
        actor.therapist_or(Scope::ExportsRead)?;
        Ok(filtered(actor, filter).count(&self.db).await?)
    }

    /// Whether the file of a job can be had at this moment.
    #[must_use]
    pub fn is_available(&self, job: &Model) -> bool {
        job.file_key.is_some() && job.expires_at.is_some_and(|until| self.clock.now() < until)
    }

    /// The file of a job.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a job that is not there or not the actor's.
    pub async fn file(&self, actor: &Actor, id: Uuid) -> Result<Download> {
        let job = self.get(actor, id).await?.ok_or(Error::NotFound("export"))?;
        let is_available = self.is_available(&job);
        Ok(match (job.status, job.file_key, job.file_name, job.size_bytes, job.sha256) {
            (Status::Completed, Some(key), Some(name), Some(bytes), Some(sha256)) if is_available => {
                Download::Ready(File {
                    job_id: job.id,
                    patient_id: job.patient_id,
                    format: job.format,
                    key,
                    name,
                    bytes: u64::try_from(bytes).unwrap_or(0),
                    sha256,
                })
            }
            (Status::Completed | Status::Expired, ..) => Download::Expired,
            (status, ..) => Download::None(status),
        })
    }

    /// Writes down that somebody gets a file, before its first byte leaves.
    ///
    /// # Errors
    /// When it cannot be written down: the file must not be given then.
    pub async fn witness_download(&self, actor: &Actor, origin: &Origin, file: &File) -> Result<()> {
        let event = audit::Event {
            action: "export.download",
            subject_type: "export_job",
            subject_id: Some(file.job_id),
            patient_id: Some(file.patient_id),
            ..Default::default()
        };
        let witness = Witness { actor, origin, at: self.clock.now() };
        Ok(audit::record(&self.db, witness, event).await?)
    }

    /// Removes a job with its file; one that is under way is stopped. Gives it as it was.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn delete(&self, actor: &Actor, origin: &Origin, id: Uuid) -> Result<Model> {
        actor.therapist_or(Scope::ExportsWrite)?;
        let now = self.clock.now();
        let txn = database::begin(&self.db).await?;
        let own = export_job::visible_to(actor).filter(Column::Id.eq(id));
        let job = own.lock_exclusive().one(&txn).await?.ok_or_else(no_such_export)?;
        if !job.status.is_terminal() {
            queue::withdraw(&txn, &ExportDocument { job_id: id }).await?;
        }
        let key = job.file_key.clone();
        let job = self
            .write(&txn, job, |job| {
                job.deleted_at = Some(now);
                job.file_key = None;
            })
            .await?;
        audit::record(&txn, Witness { actor, origin, at: now }, about(&job, "export.delete")).await?;
        self.let_go(txn, (job.therapist_id, key)).await?;
        Ok(job)
    }

    /// Commits what takes a file from its job, and removes the file.
    pub(super) async fn let_go(
        &self,
        txn: DatabaseTransaction,
        (therapist_id, key): (Uuid, Option<String>),
    ) -> Result<()> {
        if let Some(key) = &key {
            Intake::condemn(&txn, therapist_id, key).await?;
        }
        txn.commit().await?;
        self.notifier.nudge();
        if let Some(key) = &key {
            self.storage.intake(&self.db).abandon(key).await;
        }
        Ok(())
    }

    /// Writes a locked job as its next version, and the event that tells of it.
    pub(super) async fn write(
        &self,
        txn: &DatabaseTransaction,
        mut job: Model,
        change: impl FnOnce(&mut Model),
    ) -> Result<Model> {
        let before = job.status;
        change(&mut job);
        job.version += 1;
        job.updated_at = self.clock.now();
        let job = job.into_active_model().reset_all().update(txn).await?;
        events::record_export(txn, &job, job.updated_at).await?;
        if let (true, Some(event)) = (job.status != before, end_of(job.status)) {
            webhooks::tell(txn, News::of_export(event, &job), job.updated_at).await?;
        }
        Ok(job)
    }
}

impl Wanted {
    /// The mutation that asks for it.
    fn operation(&self) -> &'static str {
        match self {
            Self::SessionNotes { .. } => "exportSessionNotes",
            Self::ProgressReport { .. } => "exportProgressReport",
        }
    }

    /// For comparing it with another one.
    fn hash(&self, format: Format) -> String {
        let spelled = match self {
            Self::SessionNotes { session_ids } => {
                session_ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" ")
            }
            Self::ProgressReport { patient_id, weeks } => format!("{patient_id} {weeks}"),
        };
        idempotency::input_hash(&[&spelled, format.extension()])
    }

    fn check(&self) -> Result<(), UserError> {
        match self {
            Self::SessionNotes { session_ids } if session_ids.is_empty() => {
                Err(UserError::invalid("sessionIds", "Name at least one session."))
            }
            Self::SessionNotes { session_ids } if session_ids.len() > MOST_SESSIONS => {
                let message = format!(
                    "These are {} sessions; one document holds at most {MOST_SESSIONS}. Ask for several.",
                    session_ids.len()
                );
                Err(UserError::invalid("sessionIds", message))
            }
            Self::ProgressReport { weeks, .. } if !(1..=104).contains(weeks) => {
                Err(UserError::invalid("weeks", format!("`weeks` is {weeks}; it must be 1 to 104.")))
            }
            _ => Ok(()),
        }
    }

    /// Whom it is about, if the actor may have it, and there is something to hold.
    async fn patient(&self, db: &impl ConnectionTrait, actor: &Actor) -> Result<Uuid> {
        match self {
            Self::SessionNotes { session_ids } => patient_of(db, actor, session_ids).await,
            Self::ProgressReport { patient_id, .. } => {
                let own = patient::visible_to(actor).filter(patient::Column::Id.eq(*patient_id));
                let found = own.one(db).await?.map(|patient| patient.id);
                found.ok_or_else(|| UserError::not_found("patient").on("patientId").into())
            }
        }
    }
}

/// What is looked at of a session before its notes are exported.
#[derive(FromQueryResult)]
struct Exportable {
    patient_id: Uuid,
    status: Option<session::Status>,
    extraction_run_id: Option<Uuid>,
}

impl Exportable {
    /// It has notes, and nobody is about to write others. Where a later attempt FAILED the notes of the earlier one stand.
    fn is_ready(&self) -> bool {
        self.extraction_run_id.is_some() && self.status.is_none_or(session::Status::is_terminal)
    }
}

async fn patient_of(db: &impl ConnectionTrait, actor: &Actor, session_ids: &BTreeSet<Uuid>) -> Result<Uuid> {
    let columns = [session::Column::PatientId, session::Column::Status, session::Column::ExtractionRunId];
    let sessions: Vec<Exportable> = session::visible_to(actor)
        .filter(session::Column::Id.is_in(session_ids.iter().copied()))
        .select_only()
        .columns(columns)
        .into_model()
        .all(db)
        .await?;
    let (true, Some(first)) = (sessions.len() == session_ids.len(), sessions.first()) else {
        return Err(UserError::not_found("session").on("sessionIds").into());
    };
    if sessions.iter().any(|session| session.patient_id != first.patient_id) {
        let message = "These sessions are of several patients. A document is about one: ask for one each.";
        return Err(UserError::invalid("sessionIds", message).into());
    }
    let waiting = sessions.iter().filter(|session| !session.is_ready()).count();
    if waiting > 0 {
        let message = format!(
            "{waiting} of these {} sessions cannot be exported: they have no notes yet, or are being processed. Wait until \
             they are PROCESSED, or leave them out.",
            sessions.len()
        );
        return Err(UserError::new(Code::InvalidState, message).on("sessionIds").into());
    }
    Ok(first.patient_id)
}

fn row((therapist_id, patient_id): (Uuid, Uuid), new: &NewExport, now: DateTime<Utc>) -> ActiveModel {
    let (kind, session_ids, weeks) = match &new.wanted {
        Wanted::SessionNotes { session_ids } => {
            (Kind::SessionNotes, session_ids.iter().copied().collect(), None)
        }
        Wanted::ProgressReport { weeks, .. } => (Kind::ProgressReport, Vec::new(), Some(*weeks)),
    };
    ActiveModel {
        id: Set(Uuid::now_v7()),
        therapist_id: Set(therapist_id),
        patient_id: Set(patient_id),
        kind: Set(kind),
        format: Set(new.format),
        status: Set(Status::Queued),
        session_ids: Set(session_ids),
        weeks: Set(weeks),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    }
}

/// What webhooks are told when a job has ended.
fn end_of(status: Status) -> Option<Event> {
    match status {
        Status::Completed => Some(Event::ExportReady),
        Status::Failed => Some(Event::ExportFailed),
        Status::Queued | Status::Running | Status::Expired => None,
    }
}

/// Something that happened to a job.
pub(super) fn about(job: &Model, action: &'static str) -> audit::Event {
    audit::Event {
        action,
        subject_type: "export_job",
        subject_id: Some(job.id),
        patient_id: Some(job.patient_id),
        ..Default::default()
    }
}

/// Where the file of a job can be fetched.
#[must_use]
pub fn download_path(id: Uuid) -> String {
    format!("/exports/{id}/download")
}

/// There is no such job, or it is not the asker's.
#[must_use]
pub fn no_such_export() -> Error {
    UserError::not_found("export").on("id").into()
}

async fn found(db: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<Model> {
    let job = export_job::visible_to(actor).filter(Column::Id.eq(id)).one(db).await?;
    job.ok_or_else(no_such_export)
}

fn filtered(actor: &Actor, filter: ExportFilter) -> Select<Entity> {
    let mut select = export_job::visible_to(actor);
    if let Some(patient_id) = filter.patient_id {
        select = select.filter(Column::PatientId.eq(patient_id));
    }
    if let Some(kind) = filter.kind {
        select = select.filter(Column::Kind.eq(kind));
    }
    if let Some(status) = filter.status {
        select = select.filter(Column::Status.eq(status));
    }
    select
}
