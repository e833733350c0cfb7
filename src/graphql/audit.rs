//! The audit trail: who did what to which record.

use async_graphql::{Context, Description, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{ConnectionOf, connection, wants_total};
use super::context::{ContextExt, asker, uuid};
use super::error::{ApiError, ApiResult};
use super::user::User;
use crate::actor::scope::Scope;
use crate::audit;
use crate::audit::trail::EventFilter;
use crate::audit::verify::{self, Report};
use crate::entity::audit_event::{Model, Outcome};
use crate::page::PageArgs;

/// Something that was done, or asked for and refused.
#[derive(Clone, Description)]
pub(super) struct AuditEvent(Model);

impl AuditEvent {
    /// From where, and in which log-in, is for admins and for those who did it.
    fn is_told_in_full(&self, ctx: &Context<'_>) -> bool {
        ctx.actor().knows_whereabouts_of(self.0.actor_id)
    }
}

#[Object(use_type_description)]
impl AuditEvent {
    /// UUID, version 7.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// When.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// What: the noun and the verb, `session.upload`; `refused.` and the operation, where something was asked for that is
    /// not there, or not for the one who asked.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// How it went.
    async fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Who; null for strangers and for the server itself. For admins and for those who did it; null for others.
    async fn actor(&self, ctx: &Context<'_>) -> ApiResult<Option<User>> {
        let Some(id) = self.0.actor_id.filter(|_| self.is_told_in_full(ctx)) else { return Ok(None) };
        Ok(ctx.loaders().therapists.load_one(id).await.map_err(ApiError::shared)?.map(User::from))
    }

    /// Name of who did it; null for strangers and for the server itself. Patients see therapists' names and their own.
    async fn actor_name(&self, ctx: &Context<'_>) -> ApiResult<Option<String>> {
        let Some(id) = self.0.actor_id else { return Ok(None) };
        let doer = ctx.loaders().doers.load_one(id).await.map_err(ApiError::shared)?;
        Ok(doer.filter(|doer| ctx.actor().knows_doer_by_name(doer)).map(|doer| doer.full_name))
    }

    /// As what: THERAPIST, PATIENT, ADMIN, API_KEY (of the therapist who is the actor), ANONYMOUS or SYSTEM.
    async fn actor_role(&self) -> &str {
        &self.0.actor_role
    }

    /// To what kind of thing: `patient`, `session`.
    async fn subject_type(&self) -> &str {
        &self.0.subject_type
    }

    /// To which thing. Where it was refused there need not be one.
    async fn subject_id(&self) -> Option<ID> {
        self.0.subject_id.map(ID::from)
    }

    /// Whose record it belongs to, if to one. Null where you asked for it and were refused.
    async fn patient_id(&self, ctx: &Context<'_>) -> Option<ID> {
        let refused = self.0.outcome == Outcome::Refused;
        let told = !refused || ctx.actor().knows_whose_record_was_refused_to(self.0.actor_id);
        self.0.patient_id.map(ID::from).filter(|_| told)
    }

    /// In which request or job. For admins and for those who did it; null for others.
    async fn request_id(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.request_id.as_deref().filter(|_| self.is_told_in_full(ctx))
    }

    /// In which log-in. For admins and for those who did it; null for others.
    async fn auth_session_id(&self, ctx: &Context<'_>) -> Option<ID> {
        self.0.auth_session_id.map(ID::from).filter(|_| self.is_told_in_full(ctx))
    }

    /// With which API key; null where it was none. For admins and for those who did it; null for others.
    async fn api_key_id(&self, ctx: &Context<'_>) -> Option<ID> {
        self.0.api_key_id.map(ID::from).filter(|_| self.is_told_in_full(ctx))
    }

    /// From which address. For admins and for those who did it; null for others.
    async fn ip(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.ip.as_deref().filter(|_| self.is_told_in_full(ctx))
    }

    /// What the client called itself. For admins and for those who did it; null for others.
    async fn user_agent(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.user_agent.as_deref().filter(|_| self.is_told_in_full(ctx))
    }

    /// Names, never values, of what was changed.
    async fn changed_fields(&self) -> &[String] {
        &self.0.changed_fields
    }
}

/// Which events; what is left out does not matter.
#[derive(InputObject, Default)]
pub(super) struct AuditEventFilterInput {
    /// By whom.
    actor_id: Option<ID>,
    /// Whose record.
    patient_id: Option<ID>,
    /// What: `session.read_notes`.
    action: Option<String>,
    /// Not before.
    from: Option<DateTime<Utc>>,
    /// Before.
    to: Option<DateTime<Utc>>,
}

impl From<AuditEventFilterInput> for EventFilter {
    fn from(input: AuditEventFilterInput) -> Self {
        let AuditEventFilterInput { actor_id, patient_id, action, from, to } = input;
        // An id that is none is nobody's.
        let id = |id: Option<ID>| id.map(|id| uuid(&id).unwrap_or_default());
        // The database cannot hold a NUL: nothing is called so.
        let action = action.map(|action| action.replace('\0', "?"));
        Self { actor_id: id(actor_id), patient_id: id(patient_id), action, from, to }
    }
}

/// What a verification of the audit trail found.
#[derive(Clone, Description)]
pub(super) struct AuditVerification(Report);

#[Object(use_type_description)]
impl AuditVerification {
    /// Whether everything is as it was written.
    async fn is_intact(&self) -> bool {
        self.0.is_intact()
    }

    /// How many events were held against the chain.
    async fn events_checked(&self) -> u64 {
        self.0.events_checked
    }

    /// Place of the last link of the chain; 0 if there is none.
    async fn chained_up_to(&self) -> i64 {
        self.0.chained_up_to
    }

    /// Place of the signed head that is kept outside the database; null if there is no good one.
    async fn head_position(&self) -> Option<i64> {
        self.0.head_position
    }

    /// What is wrong; the first hundred things.
    async fn findings(&self) -> Vec<AuditFinding> {
        self.0.findings.iter().cloned().map(AuditFinding::from).collect()
    }

    /// How many things are wrong.
    async fn finding_count(&self) -> u64 {
        self.0.finding_count
    }
}

/// Something that is wrong with the audit trail.
#[derive(SimpleObject)]
pub(super) struct AuditFinding {
    /// What.
    kind: verify::Kind,
    /// At which place of the chain, if at one.
    position: Option<i64>,
    /// With which event, if with one.
    event_id: Option<ID>,
    /// The same in words.
    message: String,
}

impl From<verify::Finding> for AuditFinding {
    fn from(verify::Finding { kind, position, event_id, message }: verify::Finding) -> Self {
        Self { kind, position, event_id: event_id.map(ID::from), message }
    }
}

#[derive(Default)]
pub(super) struct AuditQuery;

#[Object]
impl AuditQuery {
    /// The audit trail, newest first. For admins, who see everything, and whose reading is audited; for therapists, who see
    /// what they did and what was done with their patients' records; for API keys with audit:read, which see what their owner
    /// sees; for patients, who see who read or changed their own.
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 25 if missing.")] first: Option<i32>,
        #[graphql(desc = "Cursor of the last one of the page before.")] after: Option<String>,
        #[graphql(desc = "Which ones; all if missing.")] filter: Option<AuditEventFilterInput>,
    ) -> ApiResult<ConnectionOf<AuditEvent>> {
        let (app, actor) = (ctx.app(), ctx.actor());
        actor.logged_in_or(Scope::AuditRead)?;
        let page = PageArgs::new(first, after.as_deref())?;
        let filter: EventFilter = filter.unwrap_or_default().into();
        if actor.admin_id().is_ok() {
            witness(ctx, "audit.read").await?;
        }
        let rows = app.trail.list(actor, &filter, page).await?;
        let total = if wants_total(ctx) { app.trail.count(actor, &filter).await? } else { 0 };
        Ok(connection(rows, after.is_some(), total, |row| row.id, AuditEvent))
    }

    /// Holds every event against the chain, and the chain against its signed head. Takes time in proportion to the length
    /// of the trail. For admins; audited.
    async fn verify_audit_chain(&self, ctx: &Context<'_>) -> ApiResult<AuditVerification> {
        ctx.actor().admin_id()?;
        witness(ctx, "audit.verify").await?;
        Ok(AuditVerification(ctx.app().trail.verify(ctx.app().clock.now()).await?))
    }
}

async fn witness(ctx: &Context<'_>, action: &'static str) -> ApiResult<()> {
    let event = audit::Event { action, subject_type: "audit_event", ..Default::default() };
    Ok(audit::record(&ctx.app().db, asker(ctx).witness(), event).await?)
}
