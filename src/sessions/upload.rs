//! How a recording gets in: its bytes are hashed, measured and decoded while they arrive, kept under their key when
//! they are complete and good, and only then does the session exist, in one transaction with its job and its event.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use futures::{Stream, StreamExt, pin_mut};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter,
    TransactionTrait,
};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::pipeline::Pipeline;
use crate::actor::{Actor, Origin};
use crate::audio::{AudioError, AudioInfo, Inspector, Limits};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::costs::{Costs, Work};
use crate::entity::session::{self, Attendance, Model, Status};
use crate::entity::{patient, user};
use crate::error::{Code, Error, Result, UserError};
use crate::failpoint;
use crate::idempotency::{self, Asked, Claim, Done};
use crate::patients;
use crate::storage::{Intake, Storage};
use crate::text;
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
    /// Whose session.
    pub patient_id: Uuid,
    /// The uploader's name for the file.
    pub file_name: Option<String>,
    /// The therapist's day; today if missing.
    pub session_date: Option<NaiveDate>,
    /// Length of the session; that of the recording if missing.
    pub duration_minutes: Option<i32>,
    /// So that it can be sent twice.
    pub idempotency_key: Option<String>,
    /// The upload it arrived by, if it came in parts.
    pub upload_id: Option<Uuid>,
    /// Take what can be read, if it is damaged or cut off.
    pub allow_partial: bool,
}

/// A recording that has arrived, is complete and can be decoded.
struct Received {
    file: NamedTempFile,
    sha256: String,
    bytes: u64,
    info: AudioInfo,
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
        let therapist_id = actor.therapist_id()?;
        self.check(new)?;
        let Some(key) = &new.idempotency_key else { return Ok(None) };
        idempotency::ask(&self.db, therapist_id, "uploadSession", key, self.clock.now()).await.map(Some)
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
        self.admit(actor, new.patient_id).await?;
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
    async fn admit(&self, actor: &Actor, patient_id: Uuid) -> Result<()> {
        patients::open_for_sessions(&self.db, actor, patient_id).await?;
        self.costs.admit(actor.therapist_id()?, &[Work::Speech, Work::Notes]).await
    }

    /// Refuses what can be refused before the first byte is read.
    fn check(&self, new: &NewRecording) -> Result<(), UserError> {
        if new.duration_minutes.is_some_and(|minutes| !(1..=1440).contains(&minutes)) {
            return Err(UserError::invalid("durationMinutes", "A session lasts 1 to 1440 minutes."));
        }
        if let Some(date) = new.session_date {
            check_date(date, self.clock.now())?;
        }
        Ok(())
    }

    async fn receive(
        &self,
        chunks: impl Stream<Item = Result<Bytes>> + Send,
        allow_partial: bool,
    ) -> Result<Received> {
        let file = self.storage.spool()?;
        let mut out = tokio::fs::File::from_std(file.reopen()?);
        let mut inspector =
            Inspector::start(Limits { max_duration: self.limits.max_duration, allow_partial });
        let mut meter = Meter::new(self.limits.max_bytes);
        pin_mut!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = meter.take(chunk)?;
            out.write_all(&chunk).await.map_err(full)?;
            inspector.write(chunk).await.map_err(refuse)?;
        }
        out.flush().await.map_err(full)?;
        let info = inspector.finish(file.path()).await.map_err(refuse)?;
        Ok(Received { file, bytes: meter.bytes, sha256: meter.sha256(), info })
    }

    async fn hash_only(&self, chunks: impl Stream<Item = Result<Bytes>> + Send) -> Result<String> {
        let mut meter = Meter::new(self.limits.max_bytes);
        pin_mut!(chunks);
        while let Some(chunk) = chunks.next().await {
            meter.take(chunk)?;
        }
        Ok(meter.sha256())
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
        let session_id = Uuid::now_v7();
        let extension = received.info.container.extension();
        let (therapist_id, intake) = (actor.therapist_id()?, self.storage.intake(&self.db));
        let key = format!("{therapist_id}/{session_id}/audio.{extension}");
        let Received { file, sha256, bytes, info } = received;
        failpoint::reach("upload.received");
        intake.put(therapist_id, &key, file).await?;
        failpoint::reach("upload.renamed");
        let audio = Audio { key: key.clone(), sha256, bytes, info };
        let (txn, session) = match self.insert(actor, origin, new, (session_id, audio), claim).await {
            Ok(inserted) => inserted,
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

    async fn insert(
        &self,
        actor: &Actor,
        origin: &Origin,
        new: &NewRecording,
        (session_id, audio): (Uuid, Audio),
        claim: Option<&Claim>,
    ) -> Result<(DatabaseTransaction, Model)> {
        let now = self.clock.now();
        let input_hash = input_hash(new, &audio.sha256);
        let txn = self.db.begin().await?;
        Intake::confirm(&txn, &audio.key).await?;
        let patient = patients::open_for_sessions(&txn, actor, new.patient_id).await?;
        let today = self.today(&txn, &patient, now).await?;
        let row = session_row(session_id, &patient, new, (today, now), audio);
        let session = session::Entity::insert(row).exec_with_returning(&txn).await?;
        self.pipeline.start(&txn, &session).await?;
        let event = audit::Event {
            action: "session.upload",
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            ..Default::default()
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

    async fn today(
        &self,
        txn: &impl sea_orm::ConnectionTrait,
        patient: &patient::Model,
        now: DateTime<Utc>,
    ) -> Result<NaiveDate> {
        let therapist = user::Entity::find_by_id(patient.therapist_id).one(txn).await?;
        let zone = therapist.and_then(|therapist| therapist.timezone.parse::<Tz>().ok()).unwrap_or(Tz::UTC);
        Ok(now.with_timezone(&zone).date_naive())
    }
}

/// Counts and hashes bytes as they pass.
struct Meter {
    hash: Sha256,
    bytes: u64,
    max_bytes: u64,
}

impl Meter {
    fn new(max_bytes: u64) -> Self {
        Self { hash: Sha256::new(), bytes: 0, max_bytes }
    }

    fn take(&mut self, chunk: Result<Bytes>) -> Result<Bytes> {
        let chunk = chunk?;
        self.bytes += chunk.len() as u64;
        if self.bytes > self.max_bytes {
            let message = format!("The file is larger than {} MB.", self.max_bytes / 1024 / 1024);
            return Err(UserError::new(Code::FileTooLarge, message).on("audio").into());
        }
        self.hash.update(&chunk);
        Ok(chunk)
    }

    fn sha256(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

/// A recording in the store.
struct Audio {
    key: String,
    sha256: String,
    bytes: u64,
    info: AudioInfo,
}

fn session_row(
    id: Uuid,
    patient: &patient::Model,
    new: &NewRecording,
    (today, now): (NaiveDate, DateTime<Utc>),
    audio: Audio,
) -> session::ActiveModel {
    let minutes =
        i32::try_from((audio.info.duration_ms + 59_999) / 60_000).unwrap_or(i32::MAX).clamp(1, 1440);
    session::ActiveModel {
        id: Set(id),
        patient_id: Set(patient.id),
        therapist_id: Set(patient.therapist_id),
        attendance: Set(Attendance::Completed),
        scheduled_start: Set(None),
        session_date: Set(new.session_date.unwrap_or(today)),
        duration_minutes: Set(Some(new.duration_minutes.unwrap_or(minutes))),
        status: Set(Some(Status::Uploading)),
        progress: Set(100),
        version: Set(1),
        generation: Set(0),
        error_message: Set(None),
        audio_filename: Set(Some(file_name(new.file_name.as_deref(), &audio))),
        audio_key: Set(Some(audio.key)),
        audio_sha256: Set(Some(audio.sha256)),
        audio_bytes: Set(Some(i64::try_from(audio.bytes).unwrap_or(i64::MAX))),
        audio_ms: Set(Some(audio.info.duration_ms)),
        audio_tracks: Set(audio.info.tracks()),
        audio_format: Set(Some(audio.info.codec)),
        recording_is_partial: Set(audio.info.partial.is_some()),
        extraction_run_id: Set(None),
        risk_screen: Set(None),
        transcript_sha256: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    }
}

/// The last part of the uploader's name, if it is a name that can be shown; it names nothing on our disk.
fn file_name(name: Option<&str>, audio: &Audio) -> String {
    let last = name.and_then(|name| name.rsplit(['/', '\\']).next());
    let shown = last.and_then(|last| text::line("audio", last, 255).ok());
    shown.unwrap_or_else(|| format!("recording.{}", audio.info.container.extension()))
}

fn check_date(date: NaiveDate, now: DateTime<Utc>) -> Result<(), UserError> {
    // Somewhere on Earth it is tomorrow already.
    let tomorrow = now.date_naive().succ_opt().unwrap_or(NaiveDate::MAX);
    let first = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or(NaiveDate::MIN);
    if date > tomorrow {
        return Err(UserError::invalid("sessionDate", "A recorded session cannot lie in the future."));
    }
    if date < first {
        return Err(UserError::invalid("sessionDate", "A recorded session cannot lie before 1970."));
    }
    Ok(())
}

/// The file counts by its content; one that came in parts by its upload, for its parts may be gone already.
fn input_hash(new: &NewRecording, sha256: &str) -> String {
    let upload = new.upload_id.map(|id| format!("upload {id}"));
    idempotency::input_hash(&[
        &new.patient_id.to_string(),
        &new.session_date.map(|date| date.to_string()).unwrap_or_default(),
        &new.duration_minutes.map(|minutes| minutes.to_string()).unwrap_or_default(),
        upload.as_deref().unwrap_or(sha256),
        if new.allow_partial { "allowPartial" } else { "" },
    ])
}

/// Whether what arrived is nothing that anybody would ask for again.
fn is_useless(error: &Error) -> bool {
    let useless = [Code::UnsupportedMedia, Code::SilentMedia, Code::FileTooLarge];
    matches!(error, Error::User(error) if useless.contains(&error.code))
}

/// What is on its way cannot be written down.
fn full(error: std::io::Error) -> Error {
    Error::Storage(error.into())
}

fn interrupted() -> Error {
    let message = "The upload broke off before the file was complete. Send it again.";
    UserError::new(Code::DamagedMedia, message).on("audio").into()
}

fn refuse(error: AudioError) -> Error {
    let code = match &error {
        AudioError::Empty | AudioError::Unsupported { .. } => Code::UnsupportedMedia,
        AudioError::Damaged { .. } => Code::DamagedMedia,
        AudioError::Silent => Code::SilentMedia,
        AudioError::TooLong { .. } => Code::FileTooLarge,
        AudioError::Io(_) => return Error::Internal(anyhow::Error::new(error)),
    };
    UserError::new(code, error.to_string()).on("audio").into()
}
