//! Sessions.

use std::sync::Arc;

use async_graphql::{Context, Description, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt};
use uuid::Uuid;

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, uuid};
use super::cost::Cost;
use super::date::Date;
use super::error::{ApiError, ApiResult, UserErrorView, payload};
use super::notes::{Notes, RiskScreen};
use super::patient::Patient;
use super::release::SummaryRelease;
use super::session_loader::{CostOf, PiecesOf, RiskScreenOf, Run, SessionCountOf, SessionsOf, TranscriptOf};
use super::transcript::{self, TranscriptSegment, Transcription};
use super::upload::Upload;
use super::user::User;
use crate::actor::NotesView;
use crate::actor::scope::Scope;
use crate::entity::session::{Attendance, Model, Status};
use crate::entity::summary_release;
use crate::error::{Error, UserError};
use crate::events::Event;
use crate::page::{Page, PageArgs};
use crate::sessions::SessionFilter;
use crate::sessions::upload::{Interrupted, NewRecording, NewSession, Place};
use crate::sessions::wish::Wish;

/// A therapy session: the appointment, its recording, and how far that is processed.
#[derive(Clone, Description)]
pub(super) struct Session(pub(super) Model);

impl Session {
    /// The session as of an event: with the event's own status, version and progress.
    pub(super) fn at(row: Model, event: &Event) -> ApiResult<Self> {
        let status = event.status()?;
        Ok(Self(Model { status, version: event.version, progress: event.progress, ..row }))
    }

    /// What the risk screen found: lists are read without it.
    async fn screen(&self, ctx: &Context<'_>) -> ApiResult<Option<serde_json::Value>> {
        if self.0.risk_screen.is_some() {
            return Ok(self.0.risk_screen.clone());
        }
        let screen = ctx.loaders().sessions.load_one(RiskScreenOf(self.0.id)).await;
        Ok(screen.map_err(ApiError::shared)?.map(Arc::unwrap_or_clone))
    }

    async fn released(&self, ctx: &Context<'_>) -> ApiResult<Option<summary_release::Model>> {
        ctx.loaders().releases.load_one(self.0.id).await.map_err(ApiError::shared)
    }
}

#[Object(use_type_description)]
impl Session {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// With whom.
    async fn patient(&self, ctx: &Context<'_>) -> ApiResult<Option<Patient>> {
        let loaded = ctx.loaders().patients.load_one(self.0.patient_id).await;
        Ok(loaded.map_err(ApiError::shared)?.map(Patient))
    }

    /// Whose session.
    async fn therapist(&self, ctx: &Context<'_>) -> ApiResult<Option<User>> {
        let loaded = ctx.loaders().therapists.load_one(self.0.therapist_id).await;
        Ok(loaded.map_err(ApiError::shared)?.map(User::from))
    }

    /// How far the recording is processed; null until there is one.
    async fn status(&self) -> Option<Status> {
        self.0.status
    }

    /// What became of the appointment.
    async fn attendance(&self) -> Attendance {
        self.0.attendance
    }

    /// When it was to start; null when it was not scheduled here.
    async fn scheduled_start(&self) -> Option<DateTime<Utc>> {
        self.0.scheduled_start
    }

    /// The therapist's day.
    async fn session_date(&self) -> Date {
        Date(self.0.session_date)
    }

    /// Length of the session, in minutes.
    async fn duration_minutes(&self) -> Option<i32> {
        self.0.duration_minutes
    }

    /// Percent of the present stage, 0 to 100.
    async fn progress(&self) -> i32 {
        self.0.progress
    }

    /// Grows with every change that subscribers hear of: of status and progress, attendance, day, start and length.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// Why processing failed, and what to do about it. For the therapist; null for others.
    async fn error_message(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.error_message.as_deref().filter(|_| ctx.actor().reads_clinical_content(Scope::SessionsRead))
    }

    /// What the uploader called the recording. For the therapist; null for others.
    async fn audio_filename(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.audio_filename.as_deref().filter(|_| ctx.actor().reads_clinical_content(Scope::PatientsRead))
    }

    /// When the recording was removed, because it was kept for its time; null while it is there, and where there was none. What
    /// was made of it stays. For the therapist; null for others.
    async fn audio_removed_at(&self, ctx: &Context<'_>) -> Option<DateTime<Utc>> {
        self.0.audio_removed_at.filter(|_| ctx.actor().reads_clinical_content(Scope::SessionsRead))
    }

    /// Whether the recording was damaged or cut off, and this is what could be read of it (`allowPartial`). For the
    /// therapist; null for others.
    async fn recording_is_partial(&self, ctx: &Context<'_>) -> Option<bool> {
        ctx.actor().reads_clinical_content(Scope::SessionsRead).then_some(self.0.recording_is_partial)
    }

    /// The transcript as text, a line an utterance; null until the first piece is recognised. For the therapist; null
    /// for others. Reading it is audited.
    async fn transcript_text(&self, ctx: &Context<'_>) -> ApiResult<Option<Arc<String>>> {
        if !ctx.actor().reads_clinical_content(Scope::TranscriptsRead) {
            return Ok(None);
        }
        let loaded = ctx.loaders().sessions.load_one(TranscriptOf(self.0.id)).await;
        let Some(text) = loaded.map_err(ApiError::shared)? else { return Ok(None) };
        ctx.witness_read("session.read_transcript", &self.0)?;
        Ok(Some(text))
    }

    /// The transcript, an utterance a node, in order; pieces appear while the recording is recognised. For the
    /// therapist; null for others. Reading it is audited.
    async fn transcript_segments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
    ) -> ApiResult<Option<ConnectionOf<TranscriptSegment>>> {
        if !ctx.actor().reads_clinical_content(Scope::TranscriptsRead) {
            return Ok(None);
        }
        let page = transcript::connection(ctx, &self.0, first, after).boxed().await?;
        if !page.edges.is_empty() {
            ctx.witness_read("session.read_transcript", &self.0)?;
        }
        Ok(Some(page))
    }

    /// How the transcript came about; null until the first piece is recognised. For the therapist; null for others.
    async fn transcription(&self, ctx: &Context<'_>) -> ApiResult<Option<Transcription>> {
        if !ctx.actor().reads_clinical_content(Scope::SessionsRead) {
            return Ok(None);
        }
        let pieces = ctx.loaders().sessions.load_one(PiecesOf(self.0.id)).await.map_err(ApiError::shared)?;
        Ok(pieces.map(|pieces| Transcription::new(&self.0, &pieces)))
    }

    /// The clinical notes; null until they are written. For the therapist; the patient reads summary, strategies and
    /// action items of the version that was released, and null before; null for others. Reading them is audited.
    async fn notes(&self, ctx: &Context<'_>) -> ApiResult<Option<Notes>> {
        let Some(view) = ctx.actor().notes_view() else { return Ok(None) };
        let id = match view {
            NotesView::Latest => self.0.extraction_run_id,
            NotesView::Released => self.released(ctx).await?.map(|release| release.extraction_run_id),
        };
        let Some(id) = id else { return Ok(None) };
        let run = ctx.loaders().sessions.load_one(Run(id)).await.map_err(ApiError::shared)?;
        let Some(run) = run else { return Ok(None) };
        ctx.witness_read("session.read_notes", &self.0)?;
        Ok(Some(Notes::new(Arc::unwrap_or_clone(run), view, &self.0)?))
    }

    /// What the patient may read of the notes; null while nothing is released. For the therapist and the patient; null
    /// for others.
    async fn release(&self, ctx: &Context<'_>) -> ApiResult<Option<SummaryRelease>> {
        if ctx.actor().notes_view().is_none() {
            return Ok(None);
        }
        Ok(self.released(ctx).await?.map(|release| SummaryRelease::new(&release, &self.0, ctx.actor())))
    }

    /// What the lexical risk screen of the transcript found, also when no notes could be written; null until the
    /// transcript is complete. For the therapist; null for others. Reading it is audited.
    async fn risk_screen(&self, ctx: &Context<'_>) -> ApiResult<Option<RiskScreen>> {
        if !ctx.actor().reads_clinical_content(Scope::NotesRead) {
            return Ok(None);
        }
        let Some(screen) = self.screen(ctx).await? else { return Ok(None) };
        ctx.witness_read("session.read_notes", &self.0)?;
        Ok(Some(RiskScreen::new(screen)?))
    }

    /// What recognition and extraction have consumed so far, every stored result counted, at the prices of its day. For the
    /// therapist; null for others.
    async fn cost(&self, ctx: &Context<'_>) -> ApiResult<Option<Cost>> {
        if !ctx.actor().knows_costs() {
            return Ok(None);
        }
        let lines = ctx.loaders().sessions.load_one(CostOf(self.0.id)).await.map_err(ApiError::shared)?;
        Ok(Some(lines.map(|lines| lines.to_vec()).unwrap_or_default().into()))
    }

    /// When the session was entered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }
}

/// Which sessions; what is left out does not matter.
#[derive(InputObject, Default)]
pub(super) struct SessionFilterInput {
    /// With whom.
    patient_id: Option<ID>,
    /// How far processed.
    status: Option<Status>,
    /// What became of the appointment.
    attendance: Option<Attendance>,
    /// First day.
    from: Option<Date>,
    /// Last day.
    to: Option<Date>,
}

impl From<SessionFilterInput> for SessionFilter {
    fn from(input: SessionFilterInput) -> Self {
        let SessionFilterInput { patient_id, status, attendance, from, to } = input;
        // An id that is none is nobody's: no session is with nobody.
        let patient_id = patient_id.map(|id| uuid(&id).unwrap_or_default());
        Self { patient_id, status, attendance, from: from.map(|day| day.0), to: to.map(|day| day.0) }
    }
}

async fn sessions_connection(
    ctx: &Context<'_>,
    filter: &SessionFilter,
    first: Option<i32>,
    after: Option<String>,
) -> ApiResult<ConnectionOf<Session>> {
    let (app, actor) = (ctx.app(), ctx.actor());
    let page = PageArgs::new(first, after.as_deref())?;
    let rows = app.sessions.list(actor, filter, page).await?;
    let total = if wants_total(ctx) { app.sessions.count(actor, filter).await? } else { 0 };
    Ok(connection(rows, after.is_some(), total, |row| row.id, Session))
}

/// A patient's sessions; those of all patients of an answer are read together.
pub(super) async fn sessions_of(
    ctx: &Context<'_>,
    patient_id: Uuid,
    first: Option<i32>,
    after: Option<String>,
) -> ApiResult<ConnectionOf<Session>> {
    let loader = &ctx.loaders().sessions;
    let page = SessionsOf(patient_id, PageArgs::new(first, after.as_deref())?);
    let page = loader.load_one(page).await.map_err(ApiError::shared)?;
    let total = if wants_total(ctx) {
        loader.load_one(SessionCountOf(patient_id)).await.map_err(ApiError::shared)?
    } else {
        None
    };
    let page = page.map_or(Page { rows: Vec::new(), has_next: false }, Arc::unwrap_or_clone);
    Ok(connection(page, after.is_some(), total.map_or(0, |total| *total), |row| row.id, Session))
}

#[derive(Default)]
pub(super) struct SessionQuery;

#[Object]
impl SessionQuery {
    /// Your sessions, newest first. For therapists; a patient sees date and status of the own ones; admins see those of
    /// all.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
        #[graphql(desc = "Which ones; all if missing.")] filter: Option<SessionFilterInput>,
    ) -> ApiResult<ConnectionOf<Session>> {
        ctx.actor().logged_in_or(Scope::SessionsRead)?;
        sessions_connection(ctx, &filter.unwrap_or_default().into(), first, after).await
    }

    /// One session; null when there is none with this id, or it is not yours. For the therapist and the patient;
    /// admins see its operational fields.
    async fn session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] id: ID,
    ) -> ApiResult<Option<Session>> {
        ctx.actor().logged_in_or(Scope::SessionsRead)?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        Ok(ctx.app().sessions.get(ctx.actor(), id).await?.map(Session))
    }
}

/// A recording of a session that took place.
#[derive(InputObject)]
pub(super) struct UploadSessionInput {
    /// Whose session.
    patient_id: ID,
    /// The recording: mp3, m4a (AAC), wav, flac, ogg (Vorbis, Opus) or webm (Opus), as a part of a multipart request.
    /// Either this or `uploadId`.
    audio: Option<Upload>,
    /// The recording, if it was sent to `/uploads` (tus 1.0): the last part of that upload's address. It must be complete,
    /// and can be used once.
    upload_id: Option<ID>,
    /// Takes what can be read of a recording that is damaged or cut off, if that is a second at least; without it such a
    /// recording is refused, with DAMAGED_MEDIA and how much of it can be read.
    #[graphql(default)]
    allow_partial: bool,
    /// The therapist's day; today if missing.
    session_date: Option<Date>,
    /// Length of the session, 1 to 1440 minutes; that of the recording if missing.
    duration_minutes: Option<i32>,
    /// Makes the request safe to send again: for 24 hours the same key, input and file give the first result.
    idempotency_key: Option<String>,
}

/// A session, or why not.
#[derive(SimpleObject)]
pub(super) struct SessionPayload {
    /// The session as it is now.
    session: Option<Session>,
    /// Why nothing was changed.
    user_errors: Vec<UserErrorView>,
}

impl SessionPayload {
    pub(super) fn new(result: Result<Model, Error>) -> ApiResult<Self> {
        let (session, user_errors) = payload(result)?;
        Ok(Self { session: session.map(Session), user_errors })
    }
}

#[derive(Default)]
pub(super) struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Takes in the recording of a session, and starts to process it; follow it with `sessionUpdated`. The recording is
    /// decoded while it arrives, and kept only if it is complete and good. For the patient's therapist.
    /// Codes: INVALID_INPUT, NOT_FOUND, INVALID_STATE, UNSUPPORTED_MEDIA, DAMAGED_MEDIA, SILENT_MEDIA, FILE_TOO_LARGE,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS, BUDGET_EXCEEDED. INVALID_STATE also for an upload that is
    /// incomplete, or was used.
    async fn upload_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The recording.")] input: UploadSessionInput,
    ) -> ApiResult<SessionPayload> {
        ctx.actor().therapist_or(Scope::SessionsWrite)?;
        let Some(patient_id) = uuid(&input.patient_id) else {
            return SessionPayload::new(Err(UserError::not_found("patient").on("patientId").into()));
        };
        let new = NewRecording {
            place: Place::New(NewSession {
                patient_id,
                date: input.session_date.map(|day| day.0),
                minutes: input.duration_minutes,
            }),
            file_name: None,
            idempotency_key: input.idempotency_key,
            upload_id: None,
            allow_partial: input.allow_partial,
        };
        SessionPayload::new(Box::pin(take_in(ctx, new, (input.audio, input.upload_id))).await)
    }

    /// Processes a FAILED session again, also one that was cancelled; what was recognised before is kept, and not paid
    /// for twice. INVALID_STATE also where that takes a recording that was removed (FAILED_SESSION_RETENTION_DAYS): upload it
    /// again. For its therapist. Codes: NOT_FOUND, INVALID_STATE, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS,
    /// BUDGET_EXCEEDED.
    async fn retry_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key gives the same session, as it is then."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<SessionPayload> {
        let Some(wish) = wish(ctx, &session_id, idempotency_key.as_deref())? else {
            return SessionPayload::new(Err(no_such_session()));
        };
        SessionPayload::new(ctx.app().pipeline.retry(wish).await)
    }

    /// Writes the notes of a transcribed session again. An unchanged transcript read by an unchanged extractor gives the
    /// notes there are, unless `force` is set. For its therapist. Codes: NOT_FOUND, INVALID_STATE,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS, BUDGET_EXCEEDED.
    async fn extract_notes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
        #[graphql(desc = "Pay again even if nothing has changed.", default)] force: bool,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key and `force` give the same session, as it is then."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<SessionPayload> {
        let Some(wish) = wish(ctx, &session_id, idempotency_key.as_deref())? else {
            return SessionPayload::new(Err(no_such_session()));
        };
        SessionPayload::new(ctx.app().pipeline.extract_again(wish, force).await)
    }

    /// Stops the processing of a session, whoever works on it: it becomes FAILED at once, and no further call to a
    /// provider is made. What was done so far is kept: `retrySession` goes on from there. For its therapist.
    /// Codes: NOT_FOUND, INVALID_STATE, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn cancel_processing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key gives the same session, as it is then."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<SessionPayload> {
        let Some(wish) = wish(ctx, &session_id, idempotency_key.as_deref())? else {
            return SessionPayload::new(Err(no_such_session()));
        };
        SessionPayload::new(ctx.app().pipeline.cancel(wish).await)
    }
}

/// What a therapist asks of a session; `None` if the id is none of ours.
pub(super) fn wish<'a>(
    ctx: &'a Context<'_>,
    session_id: &ID,
    idempotency_key: Option<&'a str>,
) -> ApiResult<Option<Wish<'a>>> {
    ctx.actor().therapist_or(Scope::SessionsWrite)?;
    let wish = |session_id| Wish { actor: ctx.actor(), origin: ctx.origin(), session_id, idempotency_key };
    Ok(uuid(session_id).map(wish))
}

/// Takes in a recording that comes with the request, or came in parts before it.
pub(super) async fn take_in(
    ctx: &Context<'_>,
    new: NewRecording,
    source: (Option<Upload>, Option<ID>),
) -> Result<Model, Error> {
    let (uploads, actor, origin) = (&ctx.app().uploads, ctx.actor(), ctx.origin());
    match source {
        (Some(audio), None) => {
            let file = audio.value(ctx)?;
            let new = NewRecording { file_name: file.filename, ..new };
            let chunks = file.chunks.map(|chunk| chunk.map_err(|_| Interrupted));
            uploads.upload(actor, origin, new, chunks).await
        }
        (None, Some(id)) => {
            let id = uuid(&id).ok_or_else(|| UserError::not_found("upload").on("uploadId"))?;
            Box::pin(uploads.finish(actor, origin, new, id)).await
        }
        _ => Err(UserError::invalid("audio", "Send either `audio` or `uploadId`, and not both.").into()),
    }
}

pub(super) fn no_such_session() -> Error {
    UserError::not_found("session").on("sessionId").into()
}
