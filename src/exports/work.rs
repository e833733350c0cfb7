//! How an export job is done: the document is put together from rows, rendered off the runtime, put into the store, and
//! only then does the job say that there is a file.
//!
//! ```text
//! QUEUED ─begin─▶ RUNNING ─ rows ─ Document ─ render ─ put (intent) ─┬─▶ COMPLETED ─ time ─▶ EXPIRED
//!                                                                    └─▶ FAILED
//! ```

use std::time::Duration;

use sea_orm::{ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QuerySelect};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::document::Document;
use super::file_name::file_name;
use super::jobs::{Exports, about};
use super::letterhead::Letterhead;
use super::render::render;
use super::{Fonts, Rendered, progress_report, session_notes};
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::database;
use crate::entity::export_job::{Column, Entity, Format, Kind, Model, Status};
use crate::entity::patient;
use crate::error::{Code, Error, Result, UserError};
use crate::failpoint;
use crate::queue::Lease;
use crate::storage::Intake;

/// How far a job is, in percent, when its rows are read.
const READ: i32 = 40;
/// And when its pages are there.
const RENDERED: i32 = 95;
/// A job tells how far it is no more often than this.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// A finished file on its way into the store.
struct Made {
    spooled: NamedTempFile,
    bytes: u64,
    sha256: String,
    warnings: Vec<String>,
}

/// What the store has, before the job's row knows.
struct Put {
    key: String,
    name: String,
    bytes: u64,
    sha256: String,
    warnings: Vec<String>,
}

/// Tells how far a job is, and makes sure each time that it is still wanted.
pub(super) struct Teller<'a> {
    exports: &'a Exports,
    lease: &'a Lease,
    job_id: Uuid,
    told: Instant,
}

impl Exports {
    /// Makes a document, as a job. Twice is fine: the second time finds it made.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the job was deleted or the lease is lost, [`Error::User`] when what was to be exported is not
    /// there any more; else only faults.
    pub async fn produce(&self, lease: &Lease, job_id: Uuid) -> Result<()> {
        let Some(job) = self.begin(lease, job_id).await? else { return Ok(()) };
        let mut teller = Teller { exports: self, lease, job_id, told: Instant::now() };
        let letterhead = self.letterhead(&job).await?;
        let document = self.document(&job, &letterhead, &mut teller).await?;
        teller.tell(READ).await?;
        let made = self.rendered(document, job.format, &mut teller).await?;
        teller.tell(RENDERED).await?;
        failpoint::reach("export.rendered");
        let name = file_name(job.kind, &letterhead.patient, letterhead.issued, job.format);
        self.keep(lease, &job, made, name).await
    }

    /// Gives a job up.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost; else only faults.
    pub async fn fail(&self, lease: &Lease, job_id: Uuid, message: &str) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let Some(job) = wanted(&txn, job_id).await? else { return Ok(()) };
        lease.hold(&txn).await?;
        let job = self
            .write(&txn, job, |job| {
                job.status = Status::Failed;
                job.error_message = Some(message.to_owned());
            })
            .await?;
        self.witness(&txn, &job, "export.fail").await?;
        self.commit(txn).await
    }

    /// The job, if it has not ended. One that an attempt before has begun is begun again: nothing of that attempt counts.
    async fn begin(&self, lease: &Lease, job_id: Uuid) -> Result<Option<Model>> {
        let txn = database::begin(&self.db).await?;
        let Some(job) = wanted(&txn, job_id).await? else { return Ok(None) };
        lease.hold(&txn).await?;
        if job.status == Status::Running {
            return Ok(Some(job));
        }
        let job = self.write(&txn, job, |job| job.status = Status::Running).await?;
        self.commit(txn).await?;
        Ok(Some(job))
    }

    async fn letterhead(&self, job: &Model) -> Result<Letterhead> {
        let patient = patient::visible_to(&system()).filter(patient::Column::Id.eq(job.patient_id));
        let own = patient.filter(patient::Column::TherapistId.eq(job.therapist_id));
        let patient = own.one(&self.db).await?.ok_or_else(|| gone("The patient's record"))?;
        Letterhead::of(&self.db, patient, self.clock.now()).await
    }

    async fn document(
        &self,
        job: &Model,
        letterhead: &Letterhead,
        teller: &mut Teller<'_>,
    ) -> Result<Document> {
        match (job.kind, job.weeks) {
            (Kind::SessionNotes, _) => session_notes::read(&self.db, job, letterhead, teller, READ).await,
            (Kind::ProgressReport, weeks) => {
                let weeks = (weeks.unwrap_or(1), job.created_at);
                progress_report::read(&self.db, &self.analytics, letterhead, weeks).await
            }
        }
    }

    /// Renders a document on a thread of its own, when there is room, and tells how far it is.
    async fn rendered(&self, document: Document, format: Format, teller: &mut Teller<'_>) -> Result<Made> {
        let place = self.renderings.clone().acquire_owned().await.map_err(anyhow::Error::new)?;
        let spooled = self.storage.spool()?;
        let (fonts, (progress, mut heard)) = (self.fonts.clone(), watch::channel(0.0));
        let mut rendering = tokio::task::spawn_blocking(move || {
            // Held by the thread: a job that is dropped meanwhile goes on taking its memory.
            let _place = place;
            let mut tell = |share: f32| {
                progress.send_replace(share);
            };
            made(&document, format, (&fonts, &mut tell), spooled)
        });
        loop {
            tokio::select! {
                made = &mut rendering => return made.map_err(anyhow::Error::new)?,
                Ok(()) = heard.changed() => {
                    let share = *heard.borrow_and_update();
                    teller.tell_sometimes(between(READ, RENDERED, share)).await?;
                }
            }
        }
    }

    /// Keeps the file, then says so. A crash in between leaves an intent, by which the file is swept; there is never a job with
    /// a file that is not there, and no two attempts use one key.
    async fn keep(&self, lease: &Lease, job: &Model, made: Made, name: String) -> Result<()> {
        let intake = self.storage.intake(&self.db);
        let (therapist_id, extension) = (job.therapist_id, job.format.extension());
        let key = format!("{therapist_id}/exports/{}/{}.{extension}", job.id, Uuid::now_v7());
        let Made { spooled, bytes, sha256, warnings } = made;
        intake.put(therapist_id, &key, spooled).await?;
        failpoint::reach("export.put");
        let put = Put { key: key.clone(), name, bytes, sha256, warnings };
        let txn = match self.complete(lease, job.id, put).await {
            Ok(txn) => txn,
            Err(error) => {
                intake.abandon(&key).await;
                return Err(error);
            }
        };
        // Whether a commit that failed has happened, nobody knows: the file stays then, and goes with the intent if not.
        self.commit(txn).await
    }

    /// The job with its file, in a transaction that is still to be committed.
    async fn complete(&self, lease: &Lease, job_id: Uuid, put: Put) -> Result<DatabaseTransaction> {
        let txn = database::begin(&self.db).await?;
        let job = wanted(&txn, job_id).await?.ok_or(Error::MovedOn)?;
        lease.hold(&txn).await?;
        Intake::confirm(&txn, &put.key).await?;
        let expires_at = self.clock.now().checked_add_signed(self.retention);
        let job = self
            .write(&txn, job, |job| {
                (job.status, job.progress) = (Status::Completed, 100);
                (job.file_key, job.file_name) = (Some(put.key), Some(put.name));
                (job.size_bytes, job.sha256) = (i64::try_from(put.bytes).ok(), Some(put.sha256));
                (job.warnings, job.expires_at) = (put.warnings, expires_at);
            })
            .await?;
        self.witness(&txn, &job, "export.complete").await?;
        Ok(txn)
    }

    async fn witness(&self, txn: &DatabaseTransaction, job: &Model, action: &'static str) -> Result<()> {
        let origin = Origin { request_id: job.id.to_string(), ..Origin::default() };
        let witness = Witness { actor: &system(), origin: &origin, at: self.clock.now() };
        Ok(audit::record(txn, witness, about(job, action)).await?)
    }

    async fn commit(&self, txn: DatabaseTransaction) -> Result<()> {
        txn.commit().await?;
        self.notifier.nudge();
        Ok(())
    }
}

impl Teller<'_> {
    /// Tells how far the job is, unless that was told a moment ago.
    pub(super) async fn tell_sometimes(&mut self, percent: i32) -> Result<()> {
        if self.told.elapsed() < TELL_EVERY {
            return Ok(());
        }
        self.tell(percent).await
    }

    async fn tell(&mut self, percent: i32) -> Result<()> {
        let txn = database::begin(&self.exports.db).await?;
        let job = wanted(&txn, self.job_id).await?.ok_or(Error::MovedOn)?;
        self.lease.hold(&txn).await?;
        self.told = Instant::now();
        // What an attempt before has told is not taken back.
        if percent > job.progress {
            self.exports.write(&txn, job, |job| job.progress = percent).await?;
            self.exports.commit(txn).await?;
        }
        Ok(())
    }
}

/// Renders a document into a spool file.
fn made(
    document: &Document,
    format: Format,
    (fonts, tell): (&Fonts, &mut dyn FnMut(f32)),
    mut spooled: NamedTempFile,
) -> Result<Made> {
    let rendered = render(document, format, fonts, tell).map_err(anyhow::Error::new)?;
    let Rendered { bytes, warnings, .. } = rendered;
    std::io::Write::write_all(&mut spooled, &bytes).map_err(|error| Error::Storage(error.into()))?;
    Ok(Made {
        spooled,
        bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(&bytes)),
        warnings: warnings.iter().map(ToString::to_string).collect(),
    })
}

/// A share of the way from one percentage to another.
pub(super) fn between(from: i32, to: i32, share: f32) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "0 to 100")]
    let done = (f64::from(to - from) * f64::from(share.clamp(0.0, 1.0))) as i32;
    from + done
}

/// Who works here.
pub(super) fn system() -> Actor {
    Actor::System { job: "export_document" }
}

/// What was there when the export was asked for.
pub(super) fn gone(what: &str) -> Error {
    let message = format!("{what} is no longer there. Ask for a new export of what is.");
    UserError::new(Code::NotFound, message).into()
}

/// A job that is still to be done, locked.
async fn wanted(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Model>, DbErr> {
    let job = Entity::find_by_id(id).filter(Column::DeletedAt.is_null()).lock_exclusive().one(txn).await?;
    Ok(job.filter(|job| !job.status.is_terminal()))
}
