//! A made-up practice: patients, appointments and notes as a therapist's months might leave them behind, for the demo and for
//! benchmarks. The same seed, day and time zone give the same practice. Nobody in it exists, and nobody said any of it.
//!
//! [`Wanted::plan`] makes it up without touching anything, [`Plan::write`] puts it into the database. Figures are not part of it:
//! they are worked out from these rows as from all others.

mod course;
mod dice;
mod notes;
mod words;
mod write;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::entity::session::Attendance;
use crate::notes::Notes;

pub use self::write::{PROVIDER, is_there};

/// Hours of a week in which patients can be seen: eight on each of five days.
pub const HOURS_A_WEEK: usize = 40;

/// What a practice is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Another seed, another practice.
    pub seed: u64,
    /// What time it is: earlier appointments were kept or not, later ones are planned.
    pub now: DateTime<Utc>,
    /// Where the therapist works.
    pub zone: Tz,
    /// How many weeks back it reaches, before the present one.
    pub weeks: u32,
    /// How many hours of a week are taken, at most [`HOURS_A_WEEK`].
    pub hours: usize,
    /// How many patients come all the time; they are the first ones. The others come for some months, one after the other.
    pub regulars: usize,
}

/// A practice that is not written yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Everybody who ever came.
    pub patients: Vec<Patient>,
    /// All appointments, by their start.
    pub sessions: Vec<Session>,
}

/// Somebody who does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// The record to use, where there is one; a new one is made otherwise.
    pub id: Option<Uuid>,
    /// Name of a new record.
    pub name: String,
    /// When the record was made.
    pub since: DateTime<Utc>,
    /// When it was put away.
    pub archived_at: Option<DateTime<Utc>>,
}

/// An appointment.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Which of the patients.
    pub patient: usize,
    /// What became of it.
    pub attendance: Attendance,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// The therapist's day.
    pub date: NaiveDate,
    /// Its length.
    pub minutes: i32,
    /// When it was planned.
    pub planned_at: DateTime<Utc>,
    /// When it was over, or was known not to take place; when it was planned, where that is still to come.
    pub settled_at: DateTime<Utc>,
    /// Of a session that took place.
    pub notes: Option<Notes>,
}
