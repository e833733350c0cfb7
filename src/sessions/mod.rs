//! Sessions: what there is ([`Sessions`]), what is planned and what became of it ([`appointments`]), how a recording gets
//! in ([`upload`]), what becomes of that ([`pipeline`], [`pieces`]), how long it is kept ([`recording`]), what the therapist puts right in its transcript
//! ([`correction`]), and what of it the patient may read ([`release`]).

mod answers;
pub mod appointments;
mod batches;
mod calendar;
pub mod correction;
pub mod pieces;
pub mod pipeline;
pub mod recording;
pub mod release;
mod risk;
pub mod status;
pub mod upload;
pub mod wish;

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, Iterable,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use crate::actor::Actor;
use crate::analytics::runs::{Change, request_refresh};
use crate::entity::session::{self, Attendance, Column, Entity, Model, Status};
use crate::entity::webhook_delivery::Event;
use crate::entity::{extraction_run, patient, summary_release, transcript_segment, user};
use crate::error::{Error, Result};
use crate::events;
use crate::page::{Page, PageArgs};
use crate::patients;
use crate::webhooks::{self, News};

use self::correction::Line;

/// The sessions of the practice, for reading.
#[derive(Clone)]
pub struct Sessions {
    db: DatabaseConnection,
}

/// Which sessions; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// With whom.
    pub patient_id: Option<Uuid>,
    /// How far processed.
    pub status: Option<Status>,
    /// What became of the appointment.
    pub attendance: Option<Attendance>,
    /// First day.
    pub from: Option<NaiveDate>,
    /// Last day.
    pub to: Option<NaiveDate>,
}

impl Sessions {
    /// Sessions in this database.
    #[must_use]
    pub fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }

    /// One session, if the actor may know of it.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        Ok(session::visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?)
    }

    /// The same, asked together with whether the user's log-in has ended: for streams, where many ask at once. `None` says that
    /// one of both is so, or that the actor is no user.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get_in_log_in(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        let Actor::User { id: user_id, auth_session, role, .. } = actor else { return Ok(None) };
        let alive = user::is_in_log_in(*user_id, *role, *auth_session);
        Ok(session::visible_to(actor).filter(Column::Id.eq(id)).filter(alive).one(&self.db).await?)
    }

    /// Those of the sessions that the actor may know of; without what their risk screens found (see
    /// [`risk_screens`](Self::risk_screens)).
    ///
    /// # Errors
    /// Only faults.
    pub async fn get_many(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        let those = session::visible_to(actor).filter(Column::Id.is_in(ids.iter().copied()));
        Ok(without_screen(those).all(&self.db).await?)
    }

    /// A page of sessions, newest first; without what their risk screens found (see
    /// [`risk_screens`](Self::risk_screens)).
    ///
    /// # Errors
    /// Only faults.
    pub async fn list(&self, actor: &Actor, filter: &SessionFilter, page: PageArgs) -> Result<Page<Model>> {
        Ok(page.fetch(without_screen(filtered(actor, filter)), Column::Id, &self.db).await?)
    }

    /// How many sessions [`list`](Self::list) has on all its pages.
    ///
    /// # Errors
    /// Only faults.
    pub async fn count(&self, actor: &Actor, filter: &SessionFilter) -> Result<u64> {
        Ok(filtered(actor, filter).count(&self.db).await?)
    }

    /// Every session of a patient that the actor may know of, oldest first.
    ///
    /// # Errors
    /// Only faults.
    pub async fn of_patient(&self, actor: &Actor, patient_id: Uuid) -> Result<Vec<Model>> {
        let filter = SessionFilter { patient_id: Some(patient_id), ..SessionFilter::default() };
        Ok(filtered(actor, &filter).order_by_asc(Column::Id).all(&self.db).await?)
    }

    /// The transcript in order, as corrected; of a session that the actor has been shown, and may read.
    ///
    /// # Errors
    /// Only faults.
    pub async fn transcript(&self, session: &Model) -> Result<Vec<transcript_segment::Model>> {
        Ok(correction::corrected(&self.db, session.id).await?.into_iter().map(Line::effective).collect())
    }

    /// A page of the transcript: at most `first` utterances after the one with index `after`.
    ///
    /// # Errors
    /// Only faults.
    pub async fn transcript_page(
        &self,
        session: &Model,
        first: u64,
        after: Option<i32>,
    ) -> Result<Vec<Line>> {
        let page =
            segments_of(session.id).filter(transcript_segment::Column::SegmentIndex.gt(after.unwrap_or(-1)));
        Ok(correction::overlay(&self.db, &[session.id], page.limit(first).all(&self.db).await?).await?)
    }

    /// The releases in force of these sessions, at most one each.
    ///
    /// # Errors
    /// Only faults.
    pub async fn releases(&self, session_ids: &[Uuid]) -> Result<Vec<summary_release::Model>> {
        let in_force = summary_release::Entity::find().filter(summary_release::Column::WithdrawnAt.is_null());
        let of_sessions = summary_release::Column::SessionId.is_in(session_ids.iter().copied());
        Ok(in_force.filter(of_sessions).all(&self.db).await?)
    }

    /// Every extraction made of a session, oldest first: each was paid for.
    ///
    /// # Errors
    /// Only faults.
    pub async fn extraction_runs(&self, session: &Model) -> Result<Vec<extraction_run::Model>> {
        let of_session =
            extraction_run::Entity::find().filter(extraction_run::Column::SessionId.eq(session.id));
        Ok(of_session.order_by_asc(extraction_run::Column::CreatedAt).all(&self.db).await?)
    }
}

/// Whatever must follow, in the same transaction, when a session has come to be or its attendance, day or length was
/// written: `before` is how it was, if it was there. The caller holds the session's row lock, and has raised the version.
async fn changed(
    txn: &DatabaseTransaction,
    before: Option<&Model>,
    after: &Model,
    now: DateTime<Utc>,
) -> Result<()> {
    debug_assert!(before.is_none_or(|before| before.version + 1 == after.version), "versions grow by one");
    events::record(txn, after, now).await?;
    let days = before.into_iter().chain([after]).map(|session| session.session_date).collect();
    let &Model { patient_id, therapist_id, .. } = after;
    request_refresh(txn, Change { patient_id, therapist_id, days }, now).await?;
    let news = News::of_session(event_of(before, after), after, &changed_fields(before, after));
    webhooks::tell(txn, news, now).await
}

/// What webhooks are told when attendance, day or length of a session were written.
fn event_of(before: Option<&Model>, after: &Model) -> Event {
    let is_as_it_was = before.is_some_and(|before| before.attendance == after.attendance);
    match after.attendance {
        Attendance::Scheduled if is_as_it_was => Event::SessionRescheduled,
        Attendance::Scheduled => Event::SessionScheduled,
        Attendance::Completed if is_as_it_was => Event::SessionUpdated,
        Attendance::Completed => Event::SessionCompleted,
        Attendance::Cancelled => Event::SessionCancelled,
        Attendance::NoShow => Event::SessionNoShow,
    }
}

/// The names, as the API spells them, of what is written otherwise than before; of a new session, of what it has.
fn changed_fields(before: Option<&Model>, after: &Model) -> Vec<&'static str> {
    let (before, after) = (before.map(written).unwrap_or_default(), written(after));
    after.into_iter().zip(before).filter(|(new, old)| new.1 != old.1).map(|(new, _)| new.0).collect()
}

/// What people write of a session, by its name in the API.
fn written(session: &Model) -> [(&'static str, Option<String>); 6] {
    [
        ("attendance", Some(session.attendance.to_value())),
        ("scheduledStart", session.scheduled_start.map(|start| start.to_rfc3339())),
        ("sessionDate", Some(session.session_date.to_string())),
        ("durationMinutes", session.duration_minutes.map(|minutes| minutes.to_string())),
        ("status", session.status.map(|status| status.to_value())),
        ("audioFilename", session.audio_filename.clone()),
    ]
}

/// The session's patient, whose record takes new sessions, locked against being put away until the transaction ends.
async fn still_open(db: &impl ConnectionTrait, actor: &Actor, session: &Model) -> Result<patient::Model> {
    let open = patients::open_for_sessions(db, actor, session.patient_id).await;
    open.map_err(|error| match error {
        Error::User(error) => error.on("sessionId").into(),
        other => other,
    })
}

fn segments_of(session_id: Uuid) -> Select<transcript_segment::Entity> {
    transcript_segment::Entity::find()
        .filter(transcript_segment::Column::SessionId.eq(session_id))
        .order_by_asc(transcript_segment::Column::SegmentIndex)
}

/// Rows without what the risk screen found: that is long, and in lists seldom asked for.
fn without_screen(select: Select<Entity>) -> Select<Entity> {
    let columns = Column::iter().filter(|column| !matches!(column, Column::RiskScreen));
    select.select_only().columns(columns).expr_as(Expr::cust("NULL::jsonb"), "risk_screen")
}

fn filtered(actor: &Actor, filter: &SessionFilter) -> Select<Entity> {
    let mut select = session::visible_to(actor);
    if let Some(patient_id) = filter.patient_id {
        select = select.filter(Column::PatientId.eq(patient_id));
    }
    if let Some(status) = filter.status {
        select = select.filter(Column::Status.eq(status));
    }
    if let Some(attendance) = filter.attendance {
        select = select.filter(Column::Attendance.eq(attendance));
    }
    if let Some(from) = filter.from {
        select = select.filter(Column::SessionDate.gte(from));
    }
    if let Some(to) = filter.to {
        select = select.filter(Column::SessionDate.lte(to));
    }
    select
}
