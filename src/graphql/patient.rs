//! Patient records.

use async_graphql::{Context, Description, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, uuid};
use super::error::{ApiError, ApiResult, UserErrorView, payload};
use super::invitation::Invitation;
use super::session::{Session, sessions_of};
use super::user::User;
use crate::actor::scope::Scope;
use crate::entity::patient::Model;
use crate::error::{Error, UserError};
use crate::page::PageArgs;
use crate::patients::{PatientChange, PatientInput};

/// A patient record of a therapist.
#[derive(Clone, Description)]
pub(super) struct Patient(pub(super) Model);

#[Object(use_type_description)]
impl Patient {
    /// UUID, version 7.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Name. For the therapist and the patient; null for admins.
    async fn name(&self, ctx: &Context<'_>) -> Option<&str> {
        Some(self.0.name.as_str()).filter(|_| ctx.actor().knows_patients_by_name())
    }

    /// E-mail address, if known. For the therapist and the patient; null for admins.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.email.as_deref().filter(|_| ctx.actor().knows_patients_by_name())
    }

    /// Phone number, if known. For the therapist and the patient; null for admins.
    async fn phone(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.phone.as_deref().filter(|_| ctx.actor().knows_patients_by_name())
    }

    /// Whose patient.
    async fn therapist(&self, ctx: &Context<'_>) -> ApiResult<Option<User>> {
        let loaded = ctx.loaders().therapists.load_one(self.0.therapist_id).await;
        Ok(loaded.map_err(ApiError::shared)?.map(User::from))
    }

    /// When the record was put away; null while it is in use.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }

    /// Whether an account of the patient is tied to this record.
    async fn has_account(&self) -> bool {
        self.0.user_id.is_some()
    }

    /// The invitation that can still be accepted; for the therapist, null for others.
    async fn invitation(&self, ctx: &Context<'_>) -> ApiResult<Option<Invitation>> {
        let open = ctx.loaders().invitations.load_one(self.0.id).await.map_err(ApiError::shared)?;
        Ok(open.map(|row| Invitation::of(row, self.0.clone())))
    }

    /// The patient's sessions, newest first.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
    ) -> ApiResult<ConnectionOf<Session>> {
        sessions_of(ctx, self.0.id, first, after).boxed().await
    }

    /// When the record was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

#[derive(Default)]
pub(super) struct PatientQuery;

#[Object]
impl PatientQuery {
    /// Your patients, newest first. For therapists; a patient sees the own record; admins see that records exist, not
    /// whose they are.
    async fn patients(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
        #[graphql(desc = "Part of the name, e-mail or phone; its case does not matter. Refused to admins.")]
        search: Option<String>,
    ) -> ApiResult<ConnectionOf<Patient>> {
        let (app, actor) = (ctx.app(), ctx.actor());
        actor.logged_in_or(Scope::PatientsRead)?;
        let page = PageArgs::new(first, after.as_deref())?;
        let rows = app.patients.list(actor, search.as_deref(), page).await?;
        let total = if wants_total(ctx) { app.patients.count(actor, search.as_deref()).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, Patient))
    }

    /// One patient; null when there is none with this id, or it is not yours. For therapists and the patient;
    /// admins see its operational fields.
    async fn patient(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The patient's id.")] id: ID,
    ) -> ApiResult<Option<Patient>> {
        ctx.actor().logged_in_or(Scope::PatientsRead)?;
        let Some(id) = uuid(&id) else { return Ok(None) };
        Ok(ctx.app().patients.get(ctx.actor(), id).await?.map(Patient))
    }
}

/// A new patient.
#[derive(InputObject)]
pub(super) struct CreatePatientInput {
    /// Name, at most 200 characters.
    name: String,
    /// E-mail address.
    email: Option<String>,
    /// Phone number.
    phone: Option<String>,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result.
    idempotency_key: Option<String>,
}

/// What is to be changed; what is left out stays, null empties.
#[derive(InputObject)]
pub(super) struct UpdatePatientInput {
    /// Which patient.
    patient_id: ID,
    /// Name, at most 200 characters; cannot be emptied.
    name: Option<String>,
    /// E-mail address.
    email: MaybeUndefined<String>,
    /// Phone number.
    phone: MaybeUndefined<String>,
}

/// A patient, or why not.
#[derive(SimpleObject)]
pub(super) struct PatientPayload {
    /// The patient as it is now.
    patient: Option<Patient>,
    /// Why nothing was changed.
    user_errors: Vec<UserErrorView>,
}

impl PatientPayload {
    pub(super) fn new(result: Result<Model, Error>) -> ApiResult<Self> {
        let (patient, user_errors) = payload(result)?;
        Ok(Self { patient: patient.map(Patient), user_errors })
    }
}

#[derive(Default)]
pub(super) struct PatientMutation;

#[Object]
impl PatientMutation {
    /// Makes a patient record. For therapists. Codes: INVALID_INPUT, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn create_patient(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The patient.")] input: CreatePatientInput,
    ) -> ApiResult<PatientPayload> {
        let CreatePatientInput { name, email, phone, idempotency_key } = input;
        let new = PatientInput { name, email, phone };
        let patients = &ctx.app().patients;
        PatientPayload::new(patients.create(ctx.actor(), ctx.origin(), new, idempotency_key.as_deref()).await)
    }

    /// Changes a patient record. For its therapist. Codes: NOT_FOUND, INVALID_INPUT.
    async fn update_patient(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be changed.")] input: UpdatePatientInput,
    ) -> ApiResult<PatientPayload> {
        ctx.actor().therapist_id()?;
        let change = PatientChange {
            name: input.name,
            email: input.email.as_opt_ref().map(Option::<&String>::cloned),
            phone: input.phone.as_opt_ref().map(Option::<&String>::cloned),
        };
        let Some(id) = uuid(&input.patient_id) else { return PatientPayload::new(Err(no_such_patient())) };
        PatientPayload::new(ctx.app().patients.update(ctx.actor(), ctx.origin(), id, change).await)
    }

    /// Puts a patient record away: it stays readable, and takes no new sessions. For its therapist.
    /// Codes: NOT_FOUND.
    async fn archive_patient(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which patient.")] patient_id: ID,
    ) -> ApiResult<PatientPayload> {
        ctx.actor().therapist_id()?;
        let Some(id) = uuid(&patient_id) else { return PatientPayload::new(Err(no_such_patient())) };
        PatientPayload::new(ctx.app().patients.archive(ctx.actor(), ctx.origin(), id).await)
    }
}

pub(super) fn no_such_patient() -> Error {
    UserError::not_found("patient").on("patientId").into()
}
