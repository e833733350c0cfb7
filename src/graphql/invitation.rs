//! Invitations of patients.

use async_graphql::{Context, Description, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::{ContextExt, uuid};
use super::error::{ApiResult, UserErrorView, payload};
use super::patient::{Patient, PatientPayload, no_such_patient};
use crate::auth::invitation::Invited;
use crate::entity::{patient, patient_invitation};
use crate::error::{Error, UserError};

/// A one-time code for a patient, which ties the account that presents it to the record.
#[derive(Description)]
pub(super) struct Invitation(Invited);

impl Invitation {
    /// An invitation that was made before: its code is known no longer.
    pub(super) fn of(invitation: patient_invitation::Model, patient: patient::Model) -> Self {
        Self(Invited { invitation, patient, code: None })
    }
}

#[Object(use_type_description)]
impl Invitation {
    /// UUID, version 7.
    async fn id(&self) -> ID {
        self.0.invitation.id.into()
    }

    /// The code, for `signUp` or `acceptInvitation`: shown once, by the `invitePatient` that made it, null afterwards. Case
    /// and hyphens do not matter.
    async fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// When it ends: 7 days after it was made.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.invitation.expires_at
    }

    /// When it was taken back, or replaced by a newer one.
    async fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.invitation.revoked_at
    }

    /// To which record.
    async fn patient(&self) -> Patient {
        Patient(self.0.patient.clone())
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.invitation.created_at
    }
}

/// Who is to be invited.
#[derive(InputObject)]
pub(super) struct InvitePatientInput {
    /// Which patient.
    patient_id: ID,
    /// Makes the request safe to send again: for 24 hours the same key and input give the first result, without its code.
    idempotency_key: Option<String>,
}

/// An invitation, or why not.
#[derive(SimpleObject)]
pub(super) struct InvitationPayload {
    /// The invitation as it is now.
    invitation: Option<Invitation>,
    /// Why nothing was changed.
    user_errors: Vec<UserErrorView>,
}

impl InvitationPayload {
    fn new(result: Result<Invited, Error>) -> ApiResult<Self> {
        let (invited, user_errors) = payload(result)?;
        Ok(Self { invitation: invited.map(Invitation), user_errors })
    }
}

#[derive(Default)]
pub(super) struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Makes a one-time code that ties a patient's account to the record; an earlier one that was not accepted is taken
    /// back. For the patient's therapist.
    /// Codes: NOT_FOUND, INVALID_STATE, INVALID_INPUT, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS.
    async fn invite_patient(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is to be invited.")] input: InvitePatientInput,
    ) -> ApiResult<InvitationPayload> {
        ctx.actor().therapist_id()?;
        let InvitePatientInput { patient_id, idempotency_key: key } = input;
        let Some(id) = uuid(&patient_id) else { return InvitationPayload::new(Err(no_such_patient())) };
        let invitations = &ctx.app().invitations;
        InvitationPayload::new(invitations.invite(ctx.actor(), ctx.origin(), id, key.as_deref()).await)
    }

    /// Takes an invitation back; twice is fine. For the patient's therapist. Codes: NOT_FOUND, INVALID_STATE.
    async fn revoke_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which invitation.")] invitation_id: ID,
    ) -> ApiResult<InvitationPayload> {
        ctx.actor().therapist_id()?;
        let Some(id) = uuid(&invitation_id) else {
            return InvitationPayload::new(Err(UserError::not_found("invitation").into()));
        };
        InvitationPayload::new(ctx.app().invitations.revoke(ctx.actor(), ctx.origin(), id).await)
    }

    /// Ties your account to the record a therapist keeps of you. For patients who are logged in; who has no account yet
    /// gives the code to `signUp`. Codes: INVALID_TOKEN, CONFLICT.
    async fn accept_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code your therapist gave you.", secret)] code: String,
    ) -> ApiResult<PatientPayload> {
        PatientPayload::new(ctx.app().invitations.accept(ctx.actor(), ctx.origin(), &code).await)
    }
}
