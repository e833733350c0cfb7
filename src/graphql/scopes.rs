//! What of the API is open to API keys, and with which scope. What has no line here is closed to them: a new field, a new
//! operation, a new type stays closed until somebody opens it.
//!
//! The scope of an operation is asked for before anything of a request is executed. The scope of a field below it is asked for
//! when the field is reached: what a key may not see is an error at its place, and null. A field asks for what it adds to the
//! thing it stands in: whoever gets to see a session has shown the scope for sessions before.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql::parser::types::OperationType;
use async_graphql::registry::Registry;

use super::roots::Root;
use crate::actor::Actor;
use crate::actor::scope::Scope;
use crate::error::{Error, Result};

use Scope::{
    AnalyticsRead, AuditRead, ExportsRead, ExportsWrite, NotesRead, PatientsRead, SessionsRead,
    SessionsWrite, TranscriptsRead, WebhooksManage,
};

/// A type, some of its fields, and the scopes of which a key needs one; none means that every key will do.
type Line = (&'static str, &'static str, &'static [Scope]);

const SESSIONS: &[Scope] = &[SessionsRead, SessionsWrite];
const EXPORTS: &[Scope] = &[ExportsRead, ExportsWrite];

const OPEN: &[Line] = &[
    ("Query", "viewer node nodes rateLimit", &[]),
    ("Query", "patient patients", &[PatientsRead]),
    ("Query", "session sessions", &[SessionsRead]),
    (
        "Query",
        "practiceOverview patientProgress sessionTrends commonTopics aggregationRuns",
        &[AnalyticsRead],
    ),
    ("Query", "exportJob exportJobs", &[ExportsRead]),
    ("Query", "auditEvents", &[AuditRead]),
    ("Query", "webhook webhooks", &[WebhooksManage]),
    (
        "Mutation",
        "scheduleSession rescheduleSession cancelSession markNoShow completeSession",
        &[SessionsWrite],
    ),
    ("Mutation", "updateSession uploadSession attachRecording", &[SessionsWrite]),
    ("Mutation", "retrySession extractNotes cancelProcessing", &[SessionsWrite]),
    ("Mutation", "exportSessionNotes exportProgressReport deleteExportJob", &[ExportsWrite]),
    ("Mutation", "createWebhook updateWebhook deleteWebhook enableWebhook", &[WebhooksManage]),
    ("Mutation", "rotateWebhookSecret sendTestWebhook redeliverWebhook", &[WebhooksManage]),
    ("Subscription", "sessionUpdated sessionsUpdated", &[SessionsRead]),
    ("Subscription", "transcriptSegmentAdded", &[TranscriptsRead]),
    ("Subscription", "practiceOverviewUpdated aggregationUpdated", &[AnalyticsRead]),
    ("Subscription", "exportJobUpdated", &[ExportsRead]),
    ("RateLimit", "limit remaining resetAt cost", &[]),
    // Which thing it is was asked for where it was looked up.
    ("Node", "id", &[]),
    ("User", "id fullName role timezone isActive", &[]),
    ("Patient", "id name email phone archivedAt createdAt therapist hasAccount", &[PatientsRead]),
    ("Patient", "sessions", &[SessionsRead]),
    (
        "Session",
        "id therapist status attendance scheduledStart sessionDate durationMinutes progress",
        SESSIONS,
    ),
    (
        "Session",
        "version errorMessage audioRemovedAt recordingIsPartial transcription createdAt updatedAt",
        SESSIONS,
    ),
    // People call their files by the names of their patients.
    ("Session", "patient audioFilename", &[PatientsRead]),
    ("Session", "transcriptText transcriptSegments", &[TranscriptsRead]),
    ("Session", "notes release riskScreen", &[NotesRead]),
    (
        "Transcription",
        "recognisers pieces silentPieces reusedPieces droppedSegments tracks durationMs",
        SESSIONS,
    ),
    ("Recogniser", "provider model audioSeconds", SESSIONS),
    ("TranscriptSegment", "id index startMs endMs speaker role roleConfidence text", &[TranscriptsRead]),
    ("TranscriptSegment", "originalText correctedAt confidence", &[TranscriptsRead]),
    ("SessionNotes", "keyTopics topicSummary strategies actionItems sessionMood moodScore", &[NotesRead]),
    ("SessionNotes", "moodTrajectory therapistNotes patientSummary riskFlags riskScreens", &[NotesRead]),
    ("SessionNotes", "isStale run", &[NotesRead]),
    ("NoteItem", "text evidence", &[NotesRead]),
    ("Evidence", "quote segmentId segmentIds startMs endMs verdict match", &[NotesRead]),
    ("RiskFlag", "kind severity source text evidence", &[NotesRead]),
    ("RiskScreen", "version flags", &[NotesRead]),
    ("SummaryRelease", "releasedAt isCurrent", &[NotesRead]),
    // What was paid is between the therapist and the server.
    ("ExtractionRun", "id kind provider model promptVersion durationMs warnings createdAt", &[NotesRead]),
    ("PracticeOverview", "totalPatients activePatients sessionsThisWeek sessionsThisMonth", &[AnalyticsRead]),
    ("PracticeOverview", "upcomingSessions completionRate", &[AnalyticsRead]),
    ("PatientProgress", "patientId from to totalSessions recentSessions moodTrend", &[AnalyticsRead]),
    ("PatientProgress", "commonTopics attendanceRate dataPoints", &[AnalyticsRead]),
    ("PatientProgress", "patientName", &[PatientsRead]),
    ("ProgressSession", "sessionId date", &[AnalyticsRead]),
    // These are the notes of one session.
    ("ProgressSession", "mood keyTopics progressNotes", &[NotesRead]),
    ("MoodTrend", "current trajectory changePercent dataPoints", &[AnalyticsRead]),
    ("MoodPoint", "date moodScore", &[AnalyticsRead]),
    ("TopicFrequency", "topic frequency", &[AnalyticsRead]),
    ("ProgressWeek", "weekStart sessionsCount avgMoodScore commonTopics", &[AnalyticsRead]),
    ("ProgressWeek", "attendanceRate moodTrajectory", &[AnalyticsRead]),
    ("SessionTrends", "period granularity from to dataPoints summary", &[AnalyticsRead]),
    ("TrendPoint", "date sessionsCompleted sessionsCancelled sessionsNoShow", &[AnalyticsRead]),
    ("TrendPoint", "avgSessionDurationMin completionRate", &[AnalyticsRead]),
    ("TrendSummary", "totalSessions avgPerDay peakDay completionRate", &[AnalyticsRead]),
    ("CommonTopics", "timePeriodWeeks topics", &[AnalyticsRead]),
    ("CommonTopic", "topic frequency patientsAffected trend", &[AnalyticsRead]),
    ("AggregationRun", "id kind status progress version therapists days changes createdAt", &[AnalyticsRead]),
    ("AggregationRun", "startedAt finishedAt from to dueAt errorMessage", &[AnalyticsRead]),
    ("ExportJob", "id kind format status progress version sessionCount weeks sizeBytes sha256", EXPORTS),
    ("ExportJob", "warnings errorMessage expiresAt downloadUrl createdAt", EXPORTS),
    // The name of the file holds the patient's.
    ("ExportJob", "patient fileName", &[PatientsRead]),
    (
        "Webhook",
        "id url description events isActive disabledAt disabledReason failingSince",
        &[WebhooksManage],
    ),
    ("Webhook", "previousSecretExpiresAt createdAt updatedAt deliveries", &[WebhooksManage]),
    (
        "WebhookDelivery",
        "id webhook eventId event body state attempts lastStatus lastError",
        &[WebhooksManage],
    ),
    ("WebhookDelivery", "lastAttemptAt nextAttemptAt deliveredAt createdAt", &[WebhooksManage]),
    ("AuditEvent", "id at action outcome actor actorName actorRole subjectType subjectId", &[AuditRead]),
    ("AuditEvent", "patientId changedFields requestId authSessionId apiKeyId ip userAgent", &[AuditRead]),
];

/// The same, for looking up.
static SCOPES: LazyLock<HashMap<(&str, &str), &[Scope]>> = LazyLock::new(|| {
    let fields = |(ty, fields, scopes): &'static Line| fields.split(' ').map(|field| ((*ty, field), *scopes));
    OPEN.iter().flat_map(fields).collect()
});

/// What carries things of other types, which have lines of their own; and the schema's own description.
const CARRIERS: [&str; 5] = ["Connection", "Edge", "Payload", "PageInfo", "UserError"];

/// Lets an asker reach a field of a type. Keys alone have scopes.
///
/// # Errors
/// [`Error::LacksScope`], and [`Error::NotForKeys`] for what is closed to every key.
pub(super) fn admit(actor: &Actor, ty: &str, field: &str) -> Result<()> {
    let Actor::ApiKey { scopes, .. } = actor else { return Ok(()) };
    match SCOPES.get(&(ty, field)) {
        Some([]) => Ok(()),
        Some(one_of) if scopes.has_any(one_of) => Ok(()),
        Some([first, ..]) => Err(Error::LacksScope(*first)),
        None if carries(ty) || field.starts_with("__") => Ok(()),
        None => Err(Error::NotForKeys),
    }
}

fn carries(ty: &str) -> bool {
    ty.starts_with("__") || CARRIERS.iter().any(|end| ty.ends_with(end))
}

/// Those of the root fields that the asker may not ask for, and why. What is not in the schema is left to its validation.
pub(super) fn refused<'a>(
    actor: &Actor,
    registry: &Registry,
    (operation, roots): (OperationType, &'a [Root]),
) -> Vec<(&'a Root, Error)> {
    let name = match operation {
        OperationType::Query => Some(registry.query_type.as_str()),
        OperationType::Mutation => registry.mutation_type.as_deref(),
        OperationType::Subscription => registry.subscription_type.as_deref(),
    };
    let ty = name.and_then(|name| registry.types.get(name));
    let known = |root: &&Root| ty.is_some_and(|ty| ty.field_by_name(root.field()).is_some());
    let refusal = |root| Some((root, admit(actor, name?, Root::field(root)).err()?));
    roots.iter().filter(known).filter_map(refusal).collect()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use uuid::Uuid;

    use super::*;

    fn key(scopes: &[Scope]) -> Actor {
        let scopes = scopes.iter().copied().collect();
        Actor::ApiKey { id: Uuid::nil(), owner: Uuid::nil(), scopes, zone: Tz::UTC }
    }

    #[test]
    fn no_line_stands_there_twice() {
        let lines: usize = OPEN.iter().map(|(_, fields, _)| fields.split(' ').count()).sum();
        assert_eq!(SCOPES.len(), lines);
    }

    #[test]
    fn what_has_no_line_is_closed_to_every_key_and_to_nobody_else() {
        for (ty, field) in [("Mutation", "createPatient"), ("Session", "cost"), ("Secrets", "all"), ("", "")]
        {
            assert!(matches!(admit(&key(&Scope::ALL), ty, field), Err(Error::NotForKeys)), "{ty}.{field}");
            assert!(admit(&Actor::Anonymous, ty, field).is_ok());
        }
    }

    #[test]
    fn a_field_asks_for_its_scope() {
        assert!(admit(&key(&[SessionsRead]), "Session", "status").is_ok());
        assert!(admit(&key(&[SessionsWrite]), "Session", "status").is_ok());
        let refused = admit(&key(&[SessionsRead]), "Session", "notes");
        assert!(matches!(refused, Err(Error::LacksScope(NotesRead))));
        assert!(admit(&key(&[Scope::WebhooksManage]), "Query", "viewer").is_ok());
        assert!(admit(&key(&[]), "SessionConnection", "nodes").is_ok());
        assert!(admit(&key(&[]), "__Schema", "types").is_ok());
    }
}
