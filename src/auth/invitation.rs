//! Invitations: a therapist gives a patient a one-time code; the account that presents it is tied to the record.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    QuerySelect, SqlErr,
};
use uuid::Uuid;

use super::typed_code;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::database;
use crate::entity::patient_invitation::{self, ActiveModel, Column, Entity, Model};
use crate::entity::{patient, user::Role};
use crate::error::{Code, Error, Result, UserError};
use crate::idempotency::{self, Asked, Claim};

/// Lets people and scanners recognise a leaked code.
const PREFIX: &str = "TBP-";
/// Life of an invitation.
const TTL: TimeDelta = TimeDelta::days(7);

/// The invitations of the practice.
#[derive(Clone)]
pub struct Invitations {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
}

/// An invitation, to whom, and, when it has just been made, its code.
#[derive(Clone, Debug)]
pub struct Invited {
    /// The invitation.
    pub invitation: Model,
    /// The record.
    pub patient: patient::Model,
    /// Shown once: only its hash is kept.
    pub code: Option<String>,
}

/// What asking for an idempotency key led to.
enum Start {
    /// Do the work, and put down its result.
    Fresh(Option<Claim>),
    /// The work was done before; its result.
    Replayed(Uuid),
}

impl Invitations {
    /// Invitations in this database.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Invites a patient; an earlier invitation that was not accepted is taken back. A replay has no code.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE` for a record that was put away or has an account, `IDEMPOTENCY_KEY_REUSED`,
    /// `IDEMPOTENCY_IN_PROGRESS`, `INVALID_INPUT` for a key that cannot be one.
    pub async fn invite(
        &self,
        actor: &Actor,
        origin: &Origin,
        patient_id: Uuid,
        key: Option<&str>,
    ) -> Result<Invited> {
        let witness = Witness { actor, origin, at: self.clock.now() };
        let txn = database::begin(&self.db).await?;
        let input = idempotency::input_hash(&[&patient_id.to_string()]);
        let claim = match start(&txn, witness, key, &input).await? {
            Start::Fresh(claim) => claim,
            Start::Replayed(id) => {
                // Whoever waits for a connection must not hold one.
                txn.rollback().await?;
                return self.get(actor, id).await;
            }
        };
        let patient = hold_patient(&txn, actor, patient_id).await?;
        may_be_invited(&patient)?;
        take_back_open(&txn, patient.id, witness.at).await?;
        let code = format!("{PREFIX}{}", typed_code::generate());
        let invitation =
            Entity::insert(new_row(&patient, &code, witness.at)).exec_with_returning(&txn).await?;
        record(&txn, witness, "patient.invite", &patient).await?;
        if let Some(claim) = claim {
            idempotency::complete(&txn, &claim, &input, invitation.id, witness.at).await?;
        }
        txn.commit().await?;
        Ok(Invited { invitation, patient, code: Some(code) })
    }

    /// Takes an invitation back. Doing it twice is fine.
    ///
    /// # Errors
    /// `NOT_FOUND`; `INVALID_STATE` for one that was accepted.
    pub async fn revoke(&self, actor: &Actor, origin: &Origin, id: Uuid) -> Result<Invited> {
        actor.therapist_id()?;
        let witness = Witness { actor, origin, at: self.clock.now() };
        let patient_id = self.get(actor, id).await?.patient.id;
        let txn = database::begin(&self.db).await?;
        let patient = hold_patient(&txn, actor, patient_id).await?;
        let found = patient_invitation::visible_to(actor).filter(Column::Id.eq(id)).one(&txn).await?;
        let mut invitation = found.ok_or_else(not_found)?;
        if invitation.accepted_at.is_some() {
            return Err(UserError::new(Code::InvalidState, "This invitation was accepted already.").into());
        }
        if invitation.revoked_at.is_none() {
            take_back_open(&txn, patient.id, witness.at).await?;
            record(&txn, witness, "patient.revoke_invitation", &patient).await?;
            (invitation.revoked_at, invitation.updated_at) = (Some(witness.at), witness.at);
        }
        txn.commit().await?;
        Ok(Invited { invitation, patient, code: None })
    }

    /// Ties the account of the asker, a patient, to the record the code was made for.
    ///
    /// # Errors
    /// `INVALID_TOKEN`; `CONFLICT` for an account that is tied to a record already.
    pub async fn accept(&self, actor: &Actor, origin: &Origin, code: &str) -> Result<patient::Model> {
        actor.patient_user_id()?;
        let txn = database::begin(&self.db).await?;
        let witness = Witness { actor, origin, at: self.clock.now() };
        match accept(&txn, witness, ("code", code)).await {
            Ok(patient) => {
                txn.commit().await?;
                Ok(patient)
            }
            Err(error @ Error::User(_)) => {
                txn.rollback().await?;
                let action = "patient.accept_invitation";
                let refused =
                    audit::Event { action, subject_type: "patient", refused: true, ..Default::default() };
                audit::record(&self.db, witness, refused).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The invitations to these patients that can still be accepted.
    ///
    /// # Errors
    /// Only faults.
    pub async fn open_of(&self, actor: &Actor, patients: &[Uuid]) -> Result<Vec<Model>> {
        let open = patient_invitation::visible_to(actor).filter(patient_invitation::open());
        let of_these = open.filter(Column::PatientId.is_in(patients.iter().copied()));
        Ok(of_these.filter(Column::ExpiresAt.gt(self.clock.now())).all(&self.db).await?)
    }

    async fn get(&self, actor: &Actor, id: Uuid) -> Result<Invited> {
        let found = patient_invitation::visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?;
        let invitation = found.ok_or_else(not_found)?;
        let patient = patient::visible_to(actor).filter(patient::Column::Id.eq(invitation.patient_id));
        let patient = patient.one(&self.db).await?.ok_or_else(not_found)?;
        Ok(Invited { invitation, patient, code: None })
    }
}

/// The invitation code of a sign-up, which only a patient can have.
pub(super) fn code_for(role: Role, code: Option<String>) -> Result<Option<String>, UserError> {
    if code.is_some() && role != Role::Patient {
        let message = "An invitation is for a patient. Sign up as PATIENT, or without the code.";
        return Err(UserError::invalid("invitationCode", message));
    }
    Ok(code)
}

/// Spends a code for the user in `witness`, and ties the record to them. The code is named by the input `field`.
///
/// # Errors
/// `INVALID_TOKEN`; `CONFLICT` for an account that is tied to a record already. Roll back then.
pub(super) async fn accept(
    txn: &impl ConnectionTrait,
    witness: Witness<'_>,
    (field, code): (&'static str, &str),
) -> Result<patient::Model> {
    let user_id = witness.actor.patient_user_id()?;
    let hash = typed_code::hash(code);
    let unusable = || invalid_code(field);
    let open = patient_invitation::open_with_code(&hash).one(txn).await?.ok_or_else(unusable)?;
    // The record is locked before its invitations, here as in `invite` and `revoke`: no two wait for each other.
    let server = Actor::System { job: "accept_invitation" };
    hold_patient(txn, &server, open.patient_id).await?;
    if !spend(txn, &hash, user_id, witness.at).await? {
        return Err(unusable());
    }
    let patient = bind(txn, open.patient_id, user_id, witness.at).await?.ok_or_else(unusable)?;
    record(txn, witness, "patient.accept_invitation", &patient).await?;
    Ok(patient)
}

async fn start(
    txn: &impl ConnectionTrait,
    witness: Witness<'_>,
    key: Option<&str>,
    input: &str,
) -> Result<Start> {
    let therapist_id = witness.actor.therapist_id()?;
    let Some(key) = key else { return Ok(Start::Fresh(None)) };
    match idempotency::ask(txn, therapist_id, "invitePatient", key, witness.at).await? {
        Asked::Claimed(claim) => Ok(Start::Fresh(Some(claim))),
        Asked::Done(done) => Ok(Start::Replayed(done.replay(input)?)),
    }
}

/// A record; until the transaction ends nobody else invites to it or accepts.
async fn hold_patient(txn: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<patient::Model> {
    let found = patient::visible_to(actor).filter(patient::Column::Id.eq(id));
    let found = found.lock(LockType::Update).one(txn).await?;
    found.ok_or_else(|| UserError::not_found("patient").on("patientId").into())
}

fn may_be_invited(patient: &patient::Model) -> Result<(), UserError> {
    let refused = |message: &str| Err(UserError::new(Code::InvalidState, message).on("patientId"));
    if patient.archived_at.is_some() {
        return refused("This patient's record is archived; nobody can be invited to it.");
    }
    if patient.user_id.is_some() {
        return refused("This patient has an account already.");
    }
    Ok(())
}

fn new_row(patient: &patient::Model, code: &str, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        id: Set(Uuid::now_v7()),
        patient_id: Set(patient.id),
        therapist_id: Set(patient.therapist_id),
        code: Set(typed_code::hash(code)),
        expires_at: Set(now + TTL),
        accepted_at: Set(None),
        accepted_by: Set(None),
        revoked_at: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    }
}

async fn take_back_open(
    txn: &impl ConnectionTrait,
    patient_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(patient_invitation::open())
        .filter(Column::PatientId.eq(patient_id))
        .exec(txn)
        .await?;
    Ok(())
}

/// One atomic statement: of two at once exactly one gets true.
async fn spend(
    txn: &impl ConnectionTrait,
    hash: &str,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let spent = Entity::update_many()
        .col_expr(Column::AcceptedAt, Expr::value(now))
        .col_expr(Column::AcceptedBy, Expr::value(user_id))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(patient_invitation::open())
        .filter(Column::Code.eq(hash))
        .filter(Column::ExpiresAt.gt(now))
        .exec(txn)
        .await?;
    Ok(spent.rows_affected == 1)
}

/// Ties a record to an account; `None` when the record has one, or was put away meanwhile.
async fn bind(
    txn: &impl ConnectionTrait,
    patient_id: Uuid,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<patient::Model>> {
    let bound = patient::Entity::update_many()
        .col_expr(patient::Column::UserId, Expr::value(user_id))
        .col_expr(patient::Column::UpdatedAt, Expr::value(now))
        .filter(patient::Column::Id.eq(patient_id))
        .filter(patient::Column::UserId.is_null())
        .filter(patient::Column::ArchivedAt.is_null())
        .exec_with_returning(txn)
        .await;
    Ok(bound.map_err(already_bound)?.into_iter().next())
}

async fn record(
    txn: &impl ConnectionTrait,
    witness: Witness<'_>,
    action: &'static str,
    patient: &patient::Model,
) -> Result<(), DbErr> {
    let event = audit::Event {
        action,
        subject_type: "patient",
        subject_id: Some(patient.id),
        patient_id: Some(patient.id),
        ..Default::default()
    };
    audit::record(txn, witness, event).await
}

fn already_bound(error: DbErr) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => {
            UserError::new(Code::Conflict, "Your account belongs to a patient record already.").into()
        }
        _ => error.into(),
    }
}

fn invalid_code(field: &'static str) -> Error {
    let message = "This invitation is no longer good. Ask your therapist for a new one.";
    UserError::new(Code::InvalidToken, message).on(field).into()
}

fn not_found() -> Error {
    UserError::not_found("invitation").into()
}
