//! What stands at the head of every document: who issues it, about whom, on which day.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter};

use super::document::Document;
use super::work::{gone, system};
use crate::analytics::window::today;
use crate::entity::{patient, user};
use crate::error::Result;

/// Who issues a document, about whom, and when.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// The therapist's name.
    pub therapist: String,
    /// Where the therapist is: days and times are those there.
    pub zone: Tz,
    /// The patient's name.
    pub patient: String,
    /// The patient's record.
    pub record: patient::Model,
    /// The day it is issued.
    pub issued: NaiveDate,
}

impl Letterhead {
    /// The letterhead of the patient's therapist.
    ///
    /// # Errors
    /// When there is no such therapist, or the database does not answer.
    pub(super) async fn of(
        db: &impl ConnectionTrait,
        record: patient::Model,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let therapist = user::visible_to(&system()).filter(user::Column::Id.eq(record.therapist_id));
        let therapist = therapist.one(db).await?.ok_or_else(|| gone("The therapist's account"))?;
        let zone = therapist.zone();
        Ok(Self {
            therapist: therapist.full_name,
            zone,
            patient: record.name.clone(),
            record,
            issued: today(now, zone),
        })
    }

    /// An empty document under this head.
    pub(super) fn document(&self, title: &str) -> Document {
        let mut document = Document::new(title, self.issued);
        document.practice.clone_from(&self.therapist);
        document.subject.clone_from(&self.patient);
        document
    }
}
