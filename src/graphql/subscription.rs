//! Sessions, watched live.
//!
//! A stream first joins the feed, then reads and sends the current state: nothing is missed in between. Every event
//! is authorised anew (once for all sockets of a log-in), and sent with its own status, version and progress; other fields are read fresh.

use std::sync::Arc;

use async_graphql::{Context, ID, Subscription};
use async_stream::try_stream;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use uuid::Uuid;

use super::context::{Asker, asker, uuid};
use super::error::{ApiError, ApiResult};
use super::session::Session;
use super::telling::Told;
use super::transcript::TranscriptSegment;
use crate::actor::scope::Scope;
use crate::audit;
use crate::entity::session::{Model, Status};
use crate::error::Error;
use crate::events::{Event, SUBJECT};

/// Utterances that are read at a time.
const BATCH: u64 = 100;

/// What of sessions can be watched.
#[derive(Default)]
pub(super) struct SessionSubscription;

#[Subscription]
impl SessionSubscription {
    /// One session: first as it is, then at every change of status, each once and in order; progress comes in between.
    /// Ends after PROCESSED or FAILED. For the session's therapist and patient, and admins.
    async fn session_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] id: ID,
    ) -> Result<impl Stream<Item = ApiResult<Told<Session>>>, ApiError> {
        let asker = asker(ctx).clone();
        asker.actor().logged_in_or(Scope::SessionsRead)?;
        let id = uuid(&id).ok_or(Error::NotFound("session"))?;
        let mut news = asker.app().feed.join(id);
        let current = session(&asker, id).await?;
        Ok(try_stream! {
            news.seen(id, current.version);
            let mut running = !ended(current.status);
            yield Told::alone(Session(*current));
            while running {
                let Some(event) = news.next().await? else { return };
                let row = session_of(&asker, &event).await?;
                running = !ended(event.status()?);
                yield told(&asker, event, &row)?;
            }
        })
    }

    /// All sessions of a patient: first those in progress as they are, then every session that appears or changes, each
    /// version once and in order. Never ends by itself. For the patient's therapist and the patient, and admins.
    async fn sessions_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which patient.")] patient_id: ID,
    ) -> Result<impl Stream<Item = ApiResult<Told<Session>>>, ApiError> {
        let asker = asker(ctx).clone();
        asker.actor().logged_in_or(Scope::SessionsRead)?;
        let id = uuid(&patient_id).ok_or(Error::NotFound("patient"))?;
        let mut news = asker.app().feed.join(id);
        Box::pin(asker.app().patients.get(asker.actor(), id)).await?.ok_or(Error::NotFound("patient"))?;
        let current = Box::pin(asker.app().sessions.of_patient(asker.actor(), id)).await?;
        Ok(try_stream! {
            for session in &current {
                news.seen(session.id, session.version);
            }
            for session in current.into_iter().filter(|session| in_progress(session.status)) {
                yield Told::alone(Session(session));
            }
            while let Some(event) = news.next().await? {
                let row = session_of(&asker, &event).await?;
                yield told(&asker, event, &row)?;
            }
        })
    }

    /// The transcript of a session as it grows: every utterance once and in order, first those that are there. Ends when
    /// the transcript is complete, or processing has FAILED. For the session's therapist. Audited once.
    async fn transcript_segment_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] session_id: ID,
    ) -> Result<impl Stream<Item = ApiResult<TranscriptSegment>>, ApiError> {
        let asker = asker(ctx).clone();
        asker.actor().therapist_or(Scope::TranscriptsRead)?;
        let id = uuid(&session_id).ok_or(Error::NotFound("session"))?;
        let mut news = asker.app().feed.join(id);
        let mut current = session(&asker, id).await?;
        Ok(try_stream! {
            let mut last = None;
            loop {
                // Read before the rows: of a transcript that was complete then, they are all there is.
                let complete = !may_grow(current.status);
                loop {
                    let rows = asker.app().sessions.transcript_page(&current, BATCH, last).await?;
                    let is_end = (rows.len() as u64) < BATCH;
                    if last.is_none() && !rows.is_empty() {
                        witness_transcript(&asker, &current).await?;
                    }
                    for row in rows {
                        last = Some(row.segment.segment_index);
                        yield TranscriptSegment(row);
                    }
                    if is_end {
                        break;
                    }
                    session(&asker, id).await?;
                }
                if complete || news.next().await?.is_none() {
                    return;
                }
                current = session(&asker, id).await?;
            }
        })
    }
}

/// Says in the audit trail that a transcript is being read: before the first utterance leaves.
async fn witness_transcript(asker: &Asker, session: &Model) -> Result<(), ApiError> {
    let event = audit::Event {
        action: "session.read_transcript",
        subject_type: "session",
        subject_id: Some(session.id),
        patient_id: Some(session.patient_id),
        ..Default::default()
    };
    Ok(audit::record(&asker.app().db, asker.witness(), event).await?)
}

/// The session that an event is about, as [`session`] gives it. However many sockets of one log-in hear of the event, rights
/// and row are looked at once for all of them.
async fn session_of(asker: &Asker, event: &Event) -> Result<Arc<Model>, ApiError> {
    let look = async { Ok(Arc::new(*session(asker, event.subject.id()).await?)) };
    event.looks.share((asker.actor(), SUBJECT), look).await
}

/// What is told of an event to everybody who asks the same.
fn told(asker: &Asker, event: Arc<Event>, row: &Model) -> ApiResult<Told<Session>> {
    let session = Session::at(row.clone(), &event)?;
    Ok(Told::of(event, asker.actor(), session))
}

/// The session, if the asker is still welcome, and may still see it. All that is boxed here, streams would keep room for as long
/// as they wait.
fn session(asker: &Asker, id: Uuid) -> BoxFuture<'_, Result<Box<Model>, ApiError>> {
    let look = async move {
        if let Some(session) = asker.app().sessions.get_in_log_in(asker.actor(), id).await? {
            return Ok(Box::new(session));
        }
        // What is wrong?
        asker.app().auth.still_welcome(asker.actor()).await?;
        let session = asker.app().sessions.get(asker.actor(), id).await?;
        Ok(Box::new(session.ok_or(Error::NotFound("session"))?))
    };
    look.boxed()
}

/// A session without a recording has not ended: one may come.
fn ended(status: Option<Status>) -> bool {
    status.is_some_and(Status::is_terminal)
}

fn in_progress(status: Option<Status>) -> bool {
    status.is_some_and(|status| !status.is_terminal())
}

/// Whether utterances may still come: also into a session without a recording, for one may be attached.
fn may_grow(status: Option<Status>) -> bool {
    status.is_none_or(|status| matches!(status, Status::Uploading | Status::Transcribing))
}
