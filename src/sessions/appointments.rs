//! Appointments: planned, moved, called off, missed, held. Each change is one transaction: the row, locked, and its next
//! version; the event; the audit row.
//!
//! ```text
//! schedule ─▶ SCHEDULED ─┬─ complete, a recording ─▶ COMPLETED ──┐
//!              ▲ │       ├─ cancel ────────────────▶ CANCELLED   │ update (day, length)
//!              └─┘       └─ mark_no_show ──────────▶ NO_SHOW     └──▶ COMPLETED
//!           reschedule
//! ```

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use sea_orm::{
    ActiveEnum, ActiveModelTrait, ActiveValue::Set, DatabaseConnection, DatabaseTransaction, EntityTrait,
};
use uuid::Uuid;

use super::calendar::{check_minutes, check_past, check_start, day};
use super::pipeline::Pipeline;
use super::wish::{Grant, Granted, Wish, invalid_state, locked_for};
use super::{changed, changed_fields, still_open};
use crate::actor::scope::Scope;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::database;
use crate::entity::session::{ActiveModel, Attendance, Entity, Model};
use crate::entity::{patient, user};
use crate::error::{Result, UserError};
use crate::idempotency::{self, Asked, Claim};
use crate::patients;

/// Plans sessions, and says what became of them.
#[derive(Clone)]
pub struct Appointments {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    pipeline: Pipeline,
}

/// An appointment that is to be made.
#[derive(Clone, Debug)]
pub struct NewAppointment {
    /// With whom.
    pub patient_id: Uuid,
    /// When and how long.
    pub time: Time,
    /// So that it can be asked for twice.
    pub idempotency_key: Option<String>,
}

/// When an appointment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Its start.
    pub start: DateTime<Utc>,
    /// Its length; `None` is not known, or as it was.
    pub minutes: Option<i32>,
}

/// What is to be put right of a session that took place; `None` leaves as is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The therapist's day.
    pub date: Option<NaiveDate>,
    /// Its length.
    pub minutes: Option<i32>,
}

/// A kind of change, by its names.
struct Step {
    /// The mutation.
    operation: &'static str,
    /// The audit event.
    action: &'static str,
    /// What was asked besides the session.
    input: String,
}

/// The moment of a change, and where the therapist is.
#[derive(Clone, Copy)]
struct Present {
    now: DateTime<Utc>,
    zone: Tz,
}

impl Appointments {
    /// Appointments in this database; the pipeline tells everybody what is new.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, pipeline: Pipeline) -> Self {
        Self { db, clock, pipeline }
    }

    /// Makes an appointment.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn schedule(&self, actor: &Actor, origin: &Origin, new: NewAppointment) -> Result<Model> {
        let (therapist_id, now) = (actor.therapist_or(Scope::SessionsWrite)?, self.clock.now());
        let time = check_time(new.time, now)?;
        let hash = idempotency::input_hash(&[&new.patient_id.to_string(), &time.spelled()]);
        let txn = database::begin(&self.db).await?;
        let claim = match &new.idempotency_key {
            None => None,
            Some(key) => match idempotency::ask(&txn, therapist_id, "scheduleSession", key, now).await? {
                Asked::Claimed(claim) => Some((claim, hash)),
                Asked::Done(done) => return locked_for(&txn, actor, done.replay(&hash)?).await,
            },
        };
        let patient = patients::open_for_sessions(&txn, actor, new.patient_id).await?;
        let zone = user::zone(&txn, therapist_id).await?;
        let row = scheduled(&patient, time, Present { now, zone });
        let session = Entity::insert(row).exec_with_returning(&txn).await?;
        self.settle(&txn, (actor, origin), "session.schedule", (None, &session)).await?;
        self.commit(txn, claim, &session).await?;
        Ok(session)
    }

    /// Moves an appointment that has not been held.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn reschedule(&self, wish: Wish<'_>, time: Time) -> Result<Model> {
        let time = check_time(time, self.clock.now())?;
        let step = Step::new("rescheduleSession", "session.reschedule", time.spelled());
        self.change(wish, step, |session, present| {
            expect(session, Attendance::Scheduled, "moved to another time")?;
            session.scheduled_start = Some(time.start);
            session.session_date = day(time.start, present.zone);
            session.duration_minutes = time.minutes.or(session.duration_minutes);
            Ok(())
        })
        .await
    }

    /// Calls an appointment off.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn cancel(&self, wish: Wish<'_>) -> Result<Model> {
        let step = Step::new("cancelSession", "session.cancel", String::new());
        self.change(wish, step, |session, _| {
            expect(session, Attendance::Scheduled, "called off")?;
            session.attendance = Attendance::Cancelled;
            Ok(())
        })
        .await
    }

    /// The patient did not come.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, also before the day of the appointment; `IDEMPOTENCY_KEY_REUSED`,
    /// `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn mark_no_show(&self, wish: Wish<'_>) -> Result<Model> {
        let step = Step::new("markNoShow", "session.no_show", String::new());
        self.change(wish, step, |session, present| {
            expect(session, Attendance::Scheduled, "marked as missed")?;
            expect_its_day(session, present)?;
            session.attendance = Attendance::NoShow;
            Ok(())
        })
        .await
    }

    /// The session took place, and there is no recording (yet).
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `INVALID_STATE`, also before the day of the appointment; `IDEMPOTENCY_KEY_REUSED`,
    /// `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn complete(&self, wish: Wish<'_>, minutes: Option<i32>) -> Result<Model> {
        check_minutes(minutes)?;
        let step = Step::new("completeSession", "session.complete", spelled(minutes));
        self.change(wish, step, |session, present| {
            expect(session, Attendance::Scheduled, "completed")?;
            expect_its_day(session, present)?;
            session.attendance = Attendance::Completed;
            session.duration_minutes = minutes.or(session.duration_minutes);
            Ok(())
        })
        .await
    }

    /// Puts day or length of a session right that took place. What is so already stays, without a new version.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn update(&self, wish: Wish<'_>, right: Correction) -> Result<Model> {
        if right == (Correction { date: None, minutes: None }) {
            let message = "Send what is to be put right: the day, the length, or both.";
            return Err(UserError::invalid("sessionDate", message).into());
        }
        check_minutes(right.minutes)?;
        let step = Step::new("updateSession", "session.update", right.spelled());
        self.change(wish, step, |session, present| {
            expect(session, Attendance::Completed, "edited; an appointment is moved with rescheduleSession")?;
            if let Some(date) = right.date {
                check_past(date, day(present.now, present.zone))?;
                session.session_date = date;
            }
            session.duration_minutes = right.minutes.or(session.duration_minutes);
            Ok(())
        })
        .await
    }

    /// Changes a locked session, if that changes anything.
    async fn change(
        &self,
        wish: Wish<'_>,
        step: Step,
        alter: impl FnOnce(&mut Model, Present) -> Result<()>,
    ) -> Result<Model> {
        let now = self.clock.now();
        let granted = wish.grant(&self.db, now, step.operation, &step.input).await?;
        let Grant { txn, session, claim } = match granted {
            Granted::Before(session) => return Ok(session),
            Granted::Now(grant) => grant,
        };
        let zone = user::zone(&txn, session.therapist_id).await?;
        let mut next = session.clone();
        alter(&mut next, Present { now, zone })?;
        if next.attendance == Attendance::Scheduled {
            still_open(&txn, wish.actor, &next).await?;
        }
        if !changed_fields(Some(&session), &next).is_empty() {
            next = write(&txn, next, now).await?;
            self.settle(&txn, (wish.actor, wish.origin), step.action, (Some(&session), &next)).await?;
        }
        self.commit(txn, claim, &next).await?;
        Ok(next)
    }

    /// What belongs to a written row, in its transaction: event and audit row.
    async fn settle(
        &self,
        txn: &DatabaseTransaction,
        (actor, origin): (&Actor, &Origin),
        action: &'static str,
        (before, after): (Option<&Model>, &Model),
    ) -> Result<()> {
        let now = self.clock.now();
        changed(txn, before, after, now).await?;
        let event = audit::Event {
            action,
            subject_type: "session",
            subject_id: Some(after.id),
            patient_id: Some(after.patient_id),
            changed_fields: changed_fields(before, after),
            refused: false,
        };
        Ok(audit::record(txn, Witness { actor, origin, at: now }, event).await?)
    }

    async fn commit(
        &self,
        txn: DatabaseTransaction,
        claim: Option<(Claim, String)>,
        session: &Model,
    ) -> Result<()> {
        if let Some((claim, hash)) = claim {
            idempotency::complete(&txn, &claim, &hash, session.id, self.clock.now()).await?;
        }
        txn.commit().await?;
        self.pipeline.committed();
        Ok(())
    }
}

impl Step {
    fn new(operation: &'static str, action: &'static str, input: String) -> Self {
        Self { operation, action, input }
    }
}

impl Time {
    /// For comparing it with another one.
    fn spelled(&self) -> String {
        format!("{} {}", self.start.to_rfc3339(), spelled(self.minutes))
    }
}

impl Correction {
    /// For comparing it with another one.
    fn spelled(&self) -> String {
        format!("{:?} {}", self.date, spelled(self.minutes))
    }
}

fn spelled(minutes: Option<i32>) -> String {
    minutes.map(|minutes| minutes.to_string()).unwrap_or_default()
}

/// The time as it is stored, if an appointment can have it.
fn check_time(time: Time, now: DateTime<Utc>) -> Result<Time> {
    check_minutes(time.minutes)?;
    Ok(Time { start: check_start(time.start, now)?, ..time })
}

/// Refuses what a session that was decided otherwise does not allow, and says what it is.
fn expect(session: &Model, attendance: Attendance, what: &str) -> Result<()> {
    if session.attendance == attendance {
        return Ok(());
    }
    let (is, expected) = (session.attendance.to_value(), attendance.to_value());
    Err(invalid_state(format!("This session is {is}. Only one that is {expected} can be {what}.")))
}

/// Refuses to say what became of an appointment before its day.
fn expect_its_day(session: &Model, present: Present) -> Result<()> {
    let has_begun = session.scheduled_start.is_some_and(|start| start <= present.now);
    if has_begun || session.session_date <= day(present.now, present.zone) {
        return Ok(());
    }
    let message = format!(
        "This appointment is on {}. Say what became of it on that day or later, or call it off with cancelSession.",
        session.session_date
    );
    Err(invalid_state(message))
}

/// Writes a locked session as its next version.
async fn write(txn: &DatabaseTransaction, next: Model, now: DateTime<Utc>) -> Result<Model> {
    let row = ActiveModel {
        id: Set(next.id),
        attendance: Set(next.attendance),
        scheduled_start: Set(next.scheduled_start),
        session_date: Set(next.session_date),
        duration_minutes: Set(next.duration_minutes),
        version: Set(next.version + 1),
        updated_at: Set(now),
        ..Default::default()
    };
    Ok(row.update(txn).await?)
}

/// The row of an appointment. Whatever belongs to a recording is empty.
fn scheduled(patient: &patient::Model, time: Time, present: Present) -> ActiveModel {
    ActiveModel {
        id: Set(Uuid::now_v7()),
        patient_id: Set(patient.id),
        therapist_id: Set(patient.therapist_id),
        attendance: Set(Attendance::Scheduled),
        scheduled_start: Set(Some(time.start)),
        session_date: Set(day(time.start, present.zone)),
        duration_minutes: Set(time.minutes),
        created_at: Set(present.now),
        updated_at: Set(present.now),
        ..Default::default()
    }
}
