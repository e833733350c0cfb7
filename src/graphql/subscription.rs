//! Sessions, watched live.
//!
//! A stream first joins the feed, then reads and sends the current state: nothing is missed in between. Every event
//! is authorised anew, and sent with its own status, version and progress; other fields are read fresh.

use async_graphql::{Context, Description, ID};
use async_stream::try_stream;
use futures::Stream;
use uuid::Uuid;

use super::context::{Asker, asker, uuid};
use super::error::{ApiError, ApiResult};
use super::session::Session;
use crate::entity::session::{Model, Status};
use crate::error::Error;

/// What can be watched. Streams come over WebSocket (`graphql-transport-ws`) and SSE.
#[derive(Description)]
pub struct Subscription;

#[async_graphql::Subscription(use_type_description)]
impl Subscription {
    /// One session: first as it is, then at every change of status, each once and in order; progress comes in between.
    /// Ends after PROCESSED or FAILED. For the session's therapist and patient, and admins.
    async fn session_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] id: ID,
    ) -> Result<impl Stream<Item = ApiResult<Session>>, ApiError> {
        let asker = asker(ctx).clone();
        asker.actor().user_id()?;
        let id = uuid(&id).ok_or(Error::NotFound("session"))?;
        let mut news = asker.app().feed.join(id);
        let current = session(&asker, id).await?;
        Ok(try_stream! {
            news.seen(id, current.version);
            let mut running = !ended(current.status);
            yield Session(current);
            while running {
                let Some(event) = news.next().await? else { return };
                let row = session(&asker, id).await?;
                running = !ended(event.status);
                yield Session::at(row, event);
            }
        })
    }

    /// All sessions of a patient: first those in progress as they are, then every session that appears or changes, each
    /// version once and in order. Never ends by itself. For the patient's therapist and the patient, and admins.
    async fn sessions_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which patient.")] patient_id: ID,
    ) -> Result<impl Stream<Item = ApiResult<Session>>, ApiError> {
        let asker = asker(ctx).clone();
        asker.actor().user_id()?;
        let id = uuid(&patient_id).ok_or(Error::NotFound("patient"))?;
        let mut news = asker.app().feed.join(id);
        asker.app().patients.get(asker.actor(), id).await?.ok_or(Error::NotFound("patient"))?;
        let current = asker.app().sessions.of_patient(asker.actor(), id).await?;
        Ok(try_stream! {
            for session in &current {
                news.seen(session.id, session.version);
            }
            for session in current.into_iter().filter(|session| in_progress(session.status)) {
                yield Session(session);
            }
            while let Some(event) = news.next().await? {
                let row = session(&asker, event.session_id).await?;
                yield Session::at(row, event);
            }
        })
    }
}

/// The session, if the asker is still welcome, and may still see it.
async fn session(asker: &Asker, id: Uuid) -> Result<Model, ApiError> {
    asker.app().auth.still_welcome(asker.actor()).await?;
    Ok(asker.app().sessions.get(asker.actor(), id).await?.ok_or(Error::NotFound("session"))?)
}

/// A session without a recording has not ended: one may come.
fn ended(status: Option<Status>) -> bool {
    status.is_some_and(Status::is_terminal)
}

fn in_progress(status: Option<Status>) -> bool {
    status.is_some_and(|status| !status.is_terminal())
}
