//! Patient records: create, change, put away, find.

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::sea_query::Expr;
use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection,
    EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
};
use uuid::Uuid;

use crate::actor::{Actor, Origin};
use crate::analytics::runs::{Change, request_refresh};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::database;
use crate::entity::patient::{self, ActiveModel, Column, Entity, Model};
use crate::error::{Code, Result, UserError};
use crate::events::Notifier;
use crate::idempotency::{self, Asked};
use crate::page::{Page, PageArgs};
use crate::text;

/// The records of the practice.
#[derive(Clone)]
pub struct Patients {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    notifier: Notifier,
}

/// What a therapist knows of a patient.
#[derive(Clone, Debug, Default)]
pub struct PatientInput {
    /// Name.
    pub name: String,
    /// Contact.
    pub email: Option<String>,
    /// Contact.
    pub phone: Option<String>,
}

/// What is to be changed; `None` leaves as is, `Some(None)` empties.
#[derive(Clone, Debug, Default)]
pub struct PatientChange {
    /// Name.
    pub name: Option<String>,
    /// Contact.
    pub email: Option<Option<String>>,
    /// Contact.
    pub phone: Option<Option<String>>,
}

impl Patients {
    /// Records in this database.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, notifier: Notifier) -> Self {
        Self { db, clock, notifier }
    }

    /// Makes a record.
    ///
    /// # Errors
    /// `INVALID_INPUT`, `IDEMPOTENCY_KEY_REUSED`.
    pub async fn create(
        &self,
        actor: &Actor,
        origin: &Origin,
        input: PatientInput,
        key: Option<&str>,
    ) -> Result<Model> {
        let therapist_id = actor.therapist_id()?;
        let (name, email, phone) =
            (valid_name(&input.name)?, valid_email(input.email)?, valid_phone(input.phone)?);
        let now = self.clock.now();
        let txn = database::begin(&self.db).await?;
        let claim = match key {
            None => None,
            Some(key) => match idempotency::ask(&txn, therapist_id, "createPatient", key, now).await? {
                Asked::Claimed(claim) => Some(claim),
                Asked::Done(done) => {
                    let id = done.replay(&hash(&name, email.as_deref(), phone.as_deref()))?;
                    return get(&txn, actor, id).await?.ok_or_else(|| UserError::not_found("patient").into());
                }
            },
        };
        let hash = hash(&name, email.as_deref(), phone.as_deref());
        let row = ActiveModel {
            id: Set(Uuid::now_v7()),
            therapist_id: Set(therapist_id),
            user_id: Set(None),
            name: Set(name),
            email: Set(email),
            phone: Set(phone),
            archived_at: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        };
        let patient = Entity::insert(row).exec_with_returning(&txn).await?;
        self.counted_anew(&txn, &patient).await?;
        self.witness(&txn, (actor, origin), &patient, "patient.create", vec![]).await?;
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &hash, patient.id, now).await?;
        }
        txn.commit().await?;
        self.notifier.nudge();
        Ok(patient)
    }

    /// Changes a record.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_INPUT`.
    pub async fn update(
        &self,
        actor: &Actor,
        origin: &Origin,
        id: Uuid,
        change: PatientChange,
    ) -> Result<Model> {
        actor.therapist_id()?;
        let mut row = ActiveModel { ..Default::default() };
        let mut changed = Vec::new();
        if let Some(name) = change.name {
            row.name = Set(valid_name(&name)?);
            changed.push("name");
        }
        if let Some(email) = change.email {
            row.email = Set(valid_email(email)?);
            changed.push("email");
        }
        if let Some(phone) = change.phone {
            row.phone = Set(valid_phone(phone)?);
            changed.push("phone");
        }
        self.change((actor, origin), id, row, "patient.update", changed).await
    }

    /// Puts a record away: it stays readable, and takes no new sessions. Doing it twice is fine.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn archive(&self, actor: &Actor, origin: &Origin, id: Uuid) -> Result<Model> {
        actor.therapist_id()?;
        let found = get(&self.db, actor, id).await?.ok_or_else(|| UserError::not_found("patient"))?;
        if found.archived_at.is_some() {
            return Ok(found);
        }
        let row = ActiveModel { archived_at: Set(Some(self.clock.now())), ..Default::default() };
        self.change((actor, origin), id, row, "patient.archive", vec!["archivedAt"]).await
    }

    /// One record, if the actor may know of it.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        get(&self.db, actor, id).await
    }

    /// Those of the records that the actor may know of.
    ///
    /// # Errors
    /// Only faults.
    pub async fn get_many(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(patient::visible_to(actor).filter(Column::Id.is_in(ids.iter().copied())).all(&self.db).await?)
    }

    /// A page of the records, newest first; `search` looks in name, e-mail and phone.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for a search by somebody who may not see these.
    pub async fn list(&self, actor: &Actor, search: Option<&str>, page: PageArgs) -> Result<Page<Model>> {
        Ok(page.fetch(searched(actor, search)?, Column::Id, &self.db).await?)
    }

    /// How many records [`list`](Self::list) has on all its pages.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn count(&self, actor: &Actor, search: Option<&str>) -> Result<u64> {
        Ok(searched(actor, search)?.count(&self.db).await?)
    }

    async fn change(
        &self,
        (actor, origin): (&Actor, &Origin),
        id: Uuid,
        mut row: ActiveModel,
        action: &'static str,
        changed: Vec<&'static str>,
    ) -> Result<Model> {
        let txn = database::begin(&self.db).await?;
        let found = patient::visible_to(actor).filter(Column::Id.eq(id)).lock_exclusive().one(&txn).await?;
        let found = found.ok_or_else(|| UserError::not_found("patient"))?;
        row.id = Set(found.id);
        row.updated_at = Set(self.clock.now());
        let patient = row.update(&txn).await?;
        if patient.archived_at != found.archived_at {
            self.counted_anew(&txn, &patient).await?;
        }
        self.witness(&txn, (actor, origin), &patient, action, changed).await?;
        txn.commit().await?;
        self.notifier.nudge();
        Ok(patient)
    }

    /// Has the practice's figures looked at again. No day is concerned: archived patients' sessions have taken place.
    async fn counted_anew(&self, txn: &impl ConnectionTrait, patient: &Model) -> Result<()> {
        let change =
            Change { patient_id: patient.id, therapist_id: patient.therapist_id, days: BTreeSet::new() };
        Ok(request_refresh(txn, change, self.clock.now()).await?)
    }

    async fn witness(
        &self,
        txn: &impl ConnectionTrait,
        (actor, origin): (&Actor, &Origin),
        patient: &Model,
        action: &'static str,
        changed_fields: Vec<&'static str>,
    ) -> Result<()> {
        let event = audit::Event {
            action,
            subject_type: "patient",
            subject_id: Some(patient.id),
            patient_id: Some(patient.id),
            changed_fields,
            refused: false,
        };
        Ok(audit::record(txn, Witness { actor, origin, at: self.clock.now() }, event).await?)
    }
}

/// A record that takes new sessions, locked against being put away until the transaction ends.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_STATE` for one that was put away.
pub async fn open_for_sessions(db: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<Model> {
    let found = patient::visible_to(actor).filter(Column::Id.eq(id)).lock_shared().one(db).await?;
    let patient = found.ok_or_else(|| UserError::not_found("patient").on("patientId"))?;
    if patient.archived_at.is_some() {
        let message = "This patient's record is archived; it takes no new sessions.";
        return Err(UserError::new(Code::InvalidState, message).on("patientId").into());
    }
    Ok(patient)
}

async fn get(db: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
    Ok(patient::visible_to(actor).filter(Column::Id.eq(id)).one(db).await?)
}

fn searched(actor: &Actor, search: Option<&str>) -> Result<Select<Entity>> {
    let select = patient::visible_to(actor);
    if search.is_some() {
        actor.may_search_patients()?;
    }
    let Some(words) = search.map(str::trim).filter(|words| !words.is_empty()) else { return Ok(select) };
    let pattern = text::pattern(words);
    Ok(select.filter(
        [Column::Name, Column::Email, Column::Phone]
            .into_iter()
            .fold(Condition::any(), |any, column| any.add(Expr::col(column).ilike(pattern.clone()))),
    ))
}

fn hash(name: &str, email: Option<&str>, phone: Option<&str>) -> String {
    idempotency::input_hash(&[name, email.unwrap_or_default(), phone.unwrap_or_default()])
}

fn valid_name(name: &str) -> Result<String, UserError> {
    text::line("name", name, 200)
}

fn valid_email(email: Option<String>) -> Result<Option<String>, UserError> {
    let email = email.map(|email| text::line("email", &email, 254)).transpose()?;
    match email {
        Some(email) if !is_address(&email) => {
            Err(UserError::invalid("email", "This is not an e-mail address."))
        }
        email => Ok(email),
    }
}

fn is_address(text: &str) -> bool {
    text.contains('@') && text.chars().count() >= 3 && !text.contains(' ')
}

fn valid_phone(phone: Option<String>) -> Result<Option<String>, UserError> {
    let phone = phone.map(|phone| text::line("phone", &phone, 40)).transpose()?;
    match phone {
        Some(phone) if phone.chars().filter(char::is_ascii_digit).count() < 3 => {
            Err(UserError::invalid("phone", "A phone number has at least three digits."))
        }
        phone => Ok(phone),
    }
}
