//! Appointments: planned, moved, called off, missed, held, and given their recording.

use async_graphql::{Context, ID, InputObject, Object};
use chrono::{DateTime, Utc};

use super::context::{ContextExt, uuid};
use super::date::Date;
use super::error::ApiResult;
use super::patient::no_such_patient;
use super::session::{SessionPayload, no_such_session, take_in, wish};
use super::upload::Upload;
use crate::actor::scope::Scope;
use crate::sessions::appointments::{Correction, NewAppointment, Time};
use crate::sessions::upload::{NewRecording, Place};

/// A session that is planned.
#[derive(InputObject)]
pub(super) struct ScheduleSessionInput {
    /// With whom.
    patient_id: ID,
    /// When it starts: at most 366 days back and at most 5 years ahead. Its day in the therapist's time zone becomes the
    /// `sessionDate`.
    scheduled_start: DateTime<Utc>,
    /// Length of the session, 1 to 1440 minutes; not known if missing.
    duration_minutes: Option<i32>,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result.
    idempotency_key: Option<String>,
}

/// Another time for a session that is planned.
#[derive(InputObject)]
pub(super) struct RescheduleSessionInput {
    /// Which session; it must be SCHEDULED.
    session_id: ID,
    /// When it starts now: at most 366 days back and at most 5 years ahead. Its day in the therapist's time zone becomes the
    /// `sessionDate`.
    scheduled_start: DateTime<Utc>,
    /// Length of the session, 1 to 1440 minutes; as it was if missing.
    duration_minutes: Option<i32>,
    /// Makes the request safe to send again: for 24 hours the same key and input give the same session, as it is then.
    idempotency_key: Option<String>,
}

/// What is to be put right of a session that took place; what is left out stays.
#[derive(InputObject)]
pub(super) struct UpdateSessionInput {
    /// Which session; it must be COMPLETED.
    session_id: ID,
    /// The therapist's day; from 1970 on, and not in the future.
    session_date: Option<Date>,
    /// Length of the session, 1 to 1440 minutes.
    duration_minutes: Option<i32>,
    /// Makes the request safe to send again: for 24 hours the same key and input give the same session, as it is then.
    idempotency_key: Option<String>,
}

/// The recording of a session that is there already.
#[derive(InputObject)]
pub(super) struct AttachRecordingInput {
    /// Which session; it must be SCHEDULED or COMPLETED, and have no recording.
    session_id: ID,
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
    /// Makes the request safe to send again: for 24 hours the same key, session and file give the first result.
    idempotency_key: Option<String>,
}

#[derive(Default)]
pub(super) struct AppointmentMutation;

#[Object]
impl AppointmentMutation {
    /// Plans a session: its attendance is SCHEDULED, and it has no status until there is a recording. Refused
    /// for an archived record. For the patient's therapist. Codes: INVALID_INPUT, NOT_FOUND, INVALID_STATE,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn schedule_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The appointment.")] input: ScheduleSessionInput,
    ) -> ApiResult<SessionPayload> {
        ctx.actor().therapist_or(Scope::SessionsWrite)?;
        let Some(patient_id) = uuid(&input.patient_id) else {
            return SessionPayload::new(Err(no_such_patient()));
        };
        let time = Time { start: input.scheduled_start, minutes: input.duration_minutes };
        let new = NewAppointment { patient_id, time, idempotency_key: input.idempotency_key };
        SessionPayload::new(ctx.app().appointments.schedule(ctx.actor(), ctx.origin(), new).await)
    }

    /// Moves a SCHEDULED session to another time, ahead or past. Refused for a session that is anything else,
    /// and for an archived record. For its therapist. Codes: INVALID_INPUT, NOT_FOUND, INVALID_STATE,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn reschedule_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session, and its new time.")] input: RescheduleSessionInput,
    ) -> ApiResult<SessionPayload> {
        let Some(wish) = wish(ctx, &input.session_id, input.idempotency_key.as_deref())? else {
            return SessionPayload::new(Err(no_such_session()));
        };
        let time = Time { start: input.scheduled_start, minutes: input.duration_minutes };
        SessionPayload::new(ctx.app().appointments.reschedule(wish, time).await)
    }

    /// Calls a SCHEDULED session off: CANCELLED. Refused for a session that is anything else. For its
    /// therapist. Codes: NOT_FOUND, INVALID_INPUT, INVALID_STATE, IDEMPOTENCY_KEY_REUSED,
    /// IDEMPOTENCY_IN_PROGRESS.
    async fn cancel_session(
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
        SessionPayload::new(ctx.app().appointments.cancel(wish).await)
    }

    /// Says that the patient did not come to a SCHEDULED session: NO_SHOW. Can be said from the session's day
    /// on, in the therapist's time zone; refused before, and for a session that is anything else. For its
    /// therapist. Codes: NOT_FOUND, INVALID_INPUT, INVALID_STATE, IDEMPOTENCY_KEY_REUSED,
    /// IDEMPOTENCY_IN_PROGRESS.
    async fn mark_no_show(
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
        SessionPayload::new(ctx.app().appointments.mark_no_show(wish).await)
    }

    /// Says that a SCHEDULED session took place, without a recording: COMPLETED; `attachRecording` may
    /// follow. Can be said from the session's day on, in the therapist's time zone; refused before, and for a
    /// session that is anything else. For its therapist. Codes: INVALID_INPUT, NOT_FOUND, INVALID_STATE,
    /// IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn complete_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
        #[graphql(desc = "How long it was, 1 to 1440 minutes; as planned if missing.")]
        duration_minutes: Option<i32>,
        #[graphql(
            desc = "Makes the request safe to send again: for 24 hours the same key and length give the same session, as it is then."
        )]
        idempotency_key: Option<String>,
    ) -> ApiResult<SessionPayload> {
        let Some(wish) = wish(ctx, &session_id, idempotency_key.as_deref())? else {
            return SessionPayload::new(Err(no_such_session()));
        };
        SessionPayload::new(ctx.app().appointments.complete(wish, duration_minutes).await)
    }

    /// Puts the day or the length of a COMPLETED session right, whether it has a recording or not. Refused
    /// for a session that is anything else. For its therapist. Codes: INVALID_INPUT, NOT_FOUND,
    /// INVALID_STATE, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn update_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session, and what is to be put right.")] input: UpdateSessionInput,
    ) -> ApiResult<SessionPayload> {
        let Some(wish) = wish(ctx, &input.session_id, input.idempotency_key.as_deref())? else {
            return SessionPayload::new(Err(no_such_session()));
        };
        let right = Correction { date: input.session_date.map(|day| day.0), minutes: input.duration_minutes };
        SessionPayload::new(ctx.app().appointments.update(wish, right).await)
    }

    /// Takes in the recording of a session that is SCHEDULED or COMPLETED and has none, as `uploadSession`
    /// does, and starts to process it; the session is COMPLETED then. One that lay ahead took place today; a
    /// length that was not known becomes that of the recording. For its therapist; refused for a session that
    /// is CANCELLED or NO_SHOW or has a recording, for an archived record, and for an upload that is
    /// incomplete or was used. Codes: INVALID_INPUT, NOT_FOUND, INVALID_STATE, UNSUPPORTED_MEDIA,
    /// DAMAGED_MEDIA, SILENT_MEDIA, FILE_TOO_LARGE, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS,
    /// BUDGET_EXCEEDED.
    async fn attach_recording(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session, and its recording.")] input: AttachRecordingInput,
    ) -> ApiResult<SessionPayload> {
        ctx.actor().therapist_or(Scope::SessionsWrite)?;
        let Some(session_id) = uuid(&input.session_id) else {
            return SessionPayload::new(Err(no_such_session()));
        };
        let new = NewRecording {
            place: Place::Session(session_id),
            file_name: None,
            idempotency_key: input.idempotency_key,
            upload_id: None,
            allow_partial: input.allow_partial,
        };
        SessionPayload::new(Box::pin(take_in(ctx, new, (input.audio, input.upload_id))).await)
    }
}
