//! How a recording gets in: its bytes are hashed, measured and decoded while they arrive (`arrival`), kept under their
//! key when they are complete and good, and only then does its session come to be, or get it (`place`), in
//! one transaction with its job and its event.

mod arrival;
mod place;

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use sea_orm::{ColumnTrait, DatabaseConnection, DatabaseTransaction, QueryFilter};
use uuid::Uuid;

use self::arrival::Received;
use self::place::Kept;
pub use self::place::{NewSession, Place};
use super::changed_fields;
use super::pipeline::Pipeline;
use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::costs::{Costs, Work};
use crate::database;
use crate::entity::session::{self, Model};
use crate::error::{Code, Error, Result, UserError};
use crate::failpoint;
use crate::idempotency::{self, Asked, Claim, Done};
use crate::storage::{Intake, Storage};
use crate::uploads::{self, Unfinished};

/// Takes recordings in.
#[derive(Clone)]
pub struct Uploads {
    /// Where rows go.
    pub db: DatabaseConnection,
    /// Where files go.
    pub storage: Storage,
    /// What comes next.
    pub pipeline: Pipeline,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Recordings that arrived in parts.
    pub unfinished: Unfinished,
    /// What may still be spent.
    pub costs: Costs,
    /// How much is too much.
    pub limits: UploadConfig,
}

/// What is known of a recording besides its bytes.
#[derive(Clone, Debug)]
pub struct NewRecording {
    /// Which session it belongs to.
    pub place: Place,
    /// The uploader's name for the file.
    pub file_name: Option<String>,
    /// So that it can be sent twice.
    pub idempotency_key: Option<String>,
    /// The upload it arrived by, if it came in parts.
    pub upload_id: Option<Uuid>,
    /// Take what can be read, if it is damaged or cut off.
    pub allow_partial: bool,
}

/// The client went away, or what it sent cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the upload broke off")]
pub struct Interrupted;

impl Uploads {
    /// Takes a recording in, and puts its session on the way.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_INPUT`, `INVALID_STATE`, `UNSUPPORTED_MEDIA`, `DAMAGED_MEDIA`, `SILENT_MEDIA`,
    /// `FILE_TOO_LARGE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`, `BUDGET_EXCEEDED`. No row, file or job is left then.
    pub async fn upload(
        &self,
        actor: &Actor,
        origin: &Origin,
        new: NewRecording,
        chunks: impl Stream<Item = Result<Bytes, Interrupted>> + Send,
    ) -> Result<Model> {
        let chunks = chunks.map(|chunk| chunk.map_err(|_| interrupted()));
        match self.ask(actor, &new).await? {
            Some(Asked::Done(done)) => {
                let sha256 = self.hash_only(chunks).await?;
                self.replay(actor, &done, &input_hash(&new, &sha256)).await
            }
            Some(Asked::Claimed(claim)) => {
                let work = self.receive_and_take_in(actor, origin, &new, chunks, Some(&claim));
                let taken_in = idempotency::hold(&self.db, &claim, self.clock.as_ref(), Box::pin(work)).await;
                self.release_after(taken_in, &claim).await
            }
            None => self.receive_and_take_in(actor, origin, &new, chunks, None).await,
        }
    }

    /// Takes in a recording that has arrived in parts (`new.upload_id`), and puts its session on the way.
    ///
    /// # Errors
    /// As [`Self::upload`]; `NOT_FOUND` and `INVALID_STATE` also for the upload. One that is no recording is removed; one
    /// that is damaged stays until it expires, so that the readable part can be asked for.
    pub async fn finish(
        &self,
        actor: &Actor,
        origin: &Origin,
        new: NewRecording,
        upload_id: Uuid,
    ) -> Result<Model> {
        let new = NewRecording { upload_id: Some(upload_id), ..new };
        match self.ask(actor, &new).await? {
            Some(Asked::Done(done)) => self.replay(actor, &done, &input_hash(&new, "")).await,
            Some(Asked::Claimed(claim)) => {
                let work = self.assemble_and_take_in(actor, origin, new, upload_id, Some(&claim));
                let taken_in = idempotency::hold(&self.db, &claim, self.clock.as_ref(), Box::pin(work)).await;
                self.release_after(taken_in, &claim).await
            }
            None => self.assemble_and_take_in(actor, origin, new, upload_id, None).await,
        }
    }

    /// Checks what can be checked before the first byte is read, and asks for the key, if there is one.
    async fn ask(&self, actor: &Actor, new: &NewRecording) -> Result<Option<Asked>> {
        let therapist_id = actor.therapist_or(Scope::SessionsWrite)?;
        let now = self.clock.now();
        new.place.check(now)?;
        let Some(key) = &new.idempotency_key else { return Ok(None) };
        idempotency::ask(&self.db, therapist_id, new.place.operation(), key, now).await.map(Some)
    }

    async fn replay(&self, actor: &Actor, done: &Done, input_hash: &str) -> Result<Model> {
        let id = done.replay(input_hash)?;
        let found = session::visible_to(actor).filter(session::Column::Id.eq(id)).one(&self.db).await?;
        found.ok_or_else(|| UserError::not_found("session").into())
    }

    /// A request that failed lets go of its key.
    async fn release_after(&self, taken_in: Result<Model>, claim: &Claim) -> Result<Model> {
        if taken_in.is_err()
            && let Err(error) = idempotency::release(&self.db, claim).await
        {
            tracing::warn!(%error, "an idempotency key was not released; it goes stale");
        }
        taken_in
    }

    async fn receive_and_take_in(
        &self,
        actor: &Actor,
        origin: &Origin,
        new: &NewRecording,
        chunks: impl Stream<Item = Result<Bytes>> + Send,
        claim: Option<&Claim>,
    ) -> Result<Model> {
        self.admit(actor, &new.place).await?;
        let received = self.receive(chunks, new.allow_partial).await?;
        self.take_in(actor, origin, new, received, claim).await
    }

    async fn assemble_and_take_in(
        &self,
        actor: &Actor,
        origin: &Origin,
        mut new: NewRecording,
        upload_id: Uuid,
        claim: Option<&Claim>,
    ) -> Result<Model> {
        let upload = self.unfinished.complete(actor, upload_id).await?;
        new.file_name = new.file_name.or_else(|| uploads::file_name(&upload));
        let bytes = self.unfinished.bytes(&upload).await?;
        let taken_in = self.receive_and_take_in(actor, origin, &new, bytes, claim).await;
        match &taken_in {
            Ok(_) => self.unfinished.clear(&upload).await,
            Err(error) if is_useless(error) => self.unfinished.refuse(&upload).await,
            // Another request was faster, and has cleared the parts away: that is what is told.
            Err(Error::NotFound(_)) => drop(self.unfinished.complete(actor, upload_id).await?),
            Err(_) => {}
        }
        taken_in
    }

    /// Refuses what would not be processed, before the first byte is read.
    async fn admit(&self, actor: &Actor, place: &Place) -> Result<()> {
        place.admit(&self.db, actor).await?;
        self.costs.admit(actor.therapist_or(Scope::SessionsWrite)?, &[Work::Speech, Work::Notes]).await
    }

    /// Keeps the file, then the rows. A crash in between leaves an intent, by which the file is swept; there is never a
    /// row without its file.
    async fn take_in(
        &self,
        actor: &Actor,
        origin: &Origin,
        new: &NewRecording,
        received: Received,
        claim: Option<&Claim>,
    ) -> Result<Model> {
        let (therapist_id, intake) =
            (actor.therapist_or(Scope::SessionsWrite)?, self.storage.intake(&self.db));
        let Received { file, sha256, bytes, info } = received;
        let (session_id, key) = new.place.key(therapist_id, info.container.extension());
        failpoint::reach("upload.received");
        intake.put(therapist_id, &key, file).await?;
        failpoint::reach("upload.renamed");
        let kept = Kept { session_id, key: key.clone(), name: new.file_name.clone(), sha256, bytes, info };
        let (txn, session) = match self.write(actor, origin, new, kept, claim).await {
            Ok(written) => written,
            Err(error) => {
                intake.abandon(&key).await;
                return Err(error);
            }
        };
        // Whether a commit that failed has happened, nobody knows: the file stays then, and goes with the intent if not.
        failpoint::reach("upload.commit");
        txn.commit().await?;
        failpoint::reach("upload.committed");
        self.pipeline.committed();
        Ok(session)
    }

    /// The rows, in a transaction that is still to be committed.
    async fn write(
        &self,
        actor: &Actor,
        origin: &Origin,
        new: &NewRecording,
        kept: Kept,
        claim: Option<&Claim>,
    ) -> Result<(DatabaseTransaction, Model)> {
        let now = self.clock.now();
        let input_hash = input_hash(new, &kept.sha256);
        let txn = database::begin(&self.db).await?;
        Intake::confirm(&txn, &kept.key).await?;
        let (before, session) = new.place.write(&txn, actor, kept, now).await?;
        self.pipeline.start(&txn, before.as_ref(), &session).await?;
        let event = audit::Event {
            action: new.place.action(),
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            changed_fields: changed_fields(before.as_ref(), &session),
            refused: false,
        };
        audit::record(&txn, Witness { actor, origin, at: now }, event).await?;
        if let Some(upload_id) = new.upload_id {
            self.unfinished.consume(&txn, upload_id).await?;
        }
        if let Some(claim) = claim {
            idempotency::complete(&txn, claim, &input_hash, session.id, now).await?;
        }
        Ok((txn, session))
    }
}

/// The file counts by its content; one that came in parts by its upload, for its parts may be gone already.
fn input_hash(new: &NewRecording, sha256: &str) -> String {
    let upload = new.upload_id.map(|id| format!("upload {id}"));
    let [whose, date, minutes] = new.place.spelled();
    let partial = if new.allow_partial { "allowPartial" } else { "" };
    idempotency::input_hash(&[&whose, &date, &minutes, upload.as_deref().unwrap_or(sha256), partial])
}

/// Whether what arrived is nothing that anybody would ask for again.
fn is_useless(error: &Error) -> bool {
    let useless = [Code::UnsupportedMedia, Code::SilentMedia, Code::FileTooLarge];
    matches!(error, Error::User(error) if useless.contains(&error.code))
}

fn interrupted() -> Error {
    let message = "The upload broke off before the file was complete. Send it again.";
    UserError::new(Code::DamagedMedia, message).on("audio").into()
}
