//! API keys, held against tables of their own: every operation asked for with every scope alone, every field with all scopes
//! and with all but one. What is added to the schema is closed to keys; whoever opens it says so here, too.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use therapybridge::actor::scope::Scope;

use super::introspection::Schema;
use super::rules::{OPERATIONS, Operation, TYPES, Type};
use super::{ask, shows, with_ids};
use crate::support::client::Client;
use crate::support::practice::{EMAIL, NAME, PHONE, Practice};

/// The operations that are open to keys, and with which scope: with any at all, where it is empty. All others are open to none.
const OPEN: &[(&str, &str)] = &[
    ("", "Query.viewer Query.node Query.nodes Query.rateLimit"),
    ("patients:read", "Query.patient Query.patients"),
    (
        "sessions:read",
        "Query.session Query.sessions Subscription.sessionUpdated Subscription.sessionsUpdated",
    ),
    ("transcripts:read", "Subscription.transcriptSegmentAdded"),
    ("analytics:read", "Query.practiceOverview Query.patientProgress Query.sessionTrends Query.commonTopics"),
    (
        "analytics:read",
        "Query.aggregationRuns Subscription.practiceOverviewUpdated Subscription.aggregationUpdated",
    ),
    ("exports:read", "Query.exportJob Query.exportJobs Subscription.exportJobUpdated"),
    ("exports:write", "Mutation.exportSessionNotes Mutation.exportProgressReport Mutation.deleteExportJob"),
    ("sessions:write", "Mutation.scheduleSession Mutation.rescheduleSession Mutation.cancelSession"),
    ("sessions:write", "Mutation.markNoShow Mutation.completeSession Mutation.updateSession"),
    ("sessions:write", "Mutation.uploadSession Mutation.attachRecording Mutation.retrySession"),
    ("sessions:write", "Mutation.extractNotes Mutation.cancelProcessing"),
    ("audit:read", "Query.auditEvents"),
    ("webhooks:manage", "Query.webhook Query.webhooks Mutation.createWebhook Mutation.updateWebhook"),
    ("webhooks:manage", "Mutation.deleteWebhook Mutation.enableWebhook Mutation.rotateWebhookSecret"),
    ("webhooks:manage", "Mutation.sendTestWebhook Mutation.redeliverWebhook"),
];

/// The types that keys see anything of, and the scopes that it takes to get to their fields. Of all others they see nothing.
const SEEN: &[(&str, &str)] = &[
    ("RateLimit", ""),
    ("Patient", "patients:read"),
    ("Session", "sessions:read"),
    ("Transcription", "sessions:read"),
    ("Recogniser", "sessions:read"),
    ("User", "sessions:read"),
    ("TranscriptSegment", "sessions:read transcripts:read"),
    ("SessionNotes", "sessions:read notes:read"),
    ("NoteItem", "sessions:read notes:read"),
    ("Evidence", "sessions:read notes:read"),
    ("RiskFlag", "sessions:read notes:read"),
    ("RiskScreen", "sessions:read notes:read"),
    ("SummaryRelease", "sessions:read notes:read"),
    ("ExtractionRun", "sessions:read notes:read"),
    ("PracticeOverview", "analytics:read"),
    ("PatientProgress", "analytics:read"),
    ("ProgressSession", "analytics:read"),
    ("MoodTrend", "analytics:read"),
    ("MoodPoint", "analytics:read"),
    ("TopicFrequency", "analytics:read"),
    ("ProgressWeek", "analytics:read"),
    ("SessionTrends", "analytics:read"),
    ("TrendPoint", "analytics:read"),
    ("TrendSummary", "analytics:read"),
    ("CommonTopics", "analytics:read"),
    ("CommonTopic", "analytics:read"),
    ("AggregationRun", "analytics:read"),
    ("ExportJob", "exports:read"),
    ("AuditEvent", "audit:read"),
    ("Webhook", "webhooks:manage"),
    ("WebhookDelivery", "webhooks:manage"),
];

/// What a field takes beyond its type.
const BEYOND: &[(&str, &str)] = &[
    ("Patient.sessions", "sessions:read"),
    ("Session.patient", "patients:read"),
    ("Session.audioFilename", "patients:read"),
    ("Session.transcriptText", "transcripts:read"),
    ("Session.transcriptSegments", "transcripts:read"),
    ("Session.notes", "notes:read"),
    ("Session.release", "notes:read"),
    ("Session.riskScreen", "notes:read"),
    ("PatientProgress.patientName", "patients:read"),
    ("ProgressSession.mood", "notes:read"),
    ("ProgressSession.keyTopics", "notes:read"),
    ("ProgressSession.progressNotes", "notes:read"),
    ("ExportJob.patient", "patients:read"),
    ("ExportJob.fileName", "patients:read"),
];

/// What no key sees of a type of which keys see something.
const UNSEEN: &[&str] = &[
    "Patient.invitation",
    "Session.cost",
    "User.email",
    "User.authSessions",
    "User.secondFactor",
    "User.disabledWebhooks",
    // What was paid is between the therapist and the server.
    "ExtractionRun.promptTokens",
    "ExtractionRun.completionTokens",
    "ExtractionRun.costUsd",
];

/// A key of the practice's therapist with some scopes.
struct Holder {
    scopes: BTreeSet<&'static str>,
    client: Client,
}

impl Holder {
    async fn new(practice: &Practice, scopes: impl Iterator<Item = Scope>) -> Self {
        let scopes: BTreeSet<&str> = scopes.map(Scope::as_str).collect();
        let names: Vec<_> = scopes.iter().map(|name| name.replace(':', "_").to_uppercase()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (_, client) = practice.actor("therapist").api_key(&names).await;
        Self { scopes, client }
    }

    fn has(&self, scopes: &str) -> bool {
        scopes.split_whitespace().all(|scope| self.scopes.contains(scope))
    }

    /// What must not be told, whatever is asked: by no key without one of these scopes.
    fn secrets(&self) -> Vec<&'static str> {
        const NOTES: [&str; 3] =
            ["describes little rest", "that takes courage", "breathing exercise was practised"];
        let kept = [
            ("patients:read", &[NAME, EMAIL, PHONE, "zauberfluss-recording"][..]),
            ("notes:read transcripts:read", &["Wolkenkratzer", "kill myself"][..]),
            ("notes:read", &NOTES[..]),
            ("notes:read analytics:read", &["worries about work", "poor sleep"][..]),
            ("sessions:read sessions:write", &["recogniser gave up"][..]),
        ];
        let untold = kept.into_iter().filter(|(scopes, _)| !scopes.split(' ').any(|scope| self.has(scope)));
        untold.flat_map(|(_, secrets)| secrets.iter().copied()).collect()
    }

    fn leaks(&self, asked: &str, answer: &Value) -> Vec<String> {
        let text = answer.to_string();
        let told = self.secrets().into_iter().filter(|secret| text.contains(secret));
        told.map(|secret| format!("{asked} with {:?} tells {secret:?}", self.scopes)).collect()
    }
}

async fn holders_of_one(practice: &Practice) -> Vec<Holder> {
    let mut holders = Vec::new();
    for scope in Scope::ALL {
        holders.push(Holder::new(practice, [scope].into_iter()).await);
    }
    used(practice).await;
    holders
}

/// With all scopes first, then with all but one.
async fn holders_of_many(practice: &Practice) -> Vec<Holder> {
    let mut holders = vec![Holder::new(practice, Scope::ALL.into_iter()).await];
    for without in Scope::ALL {
        holders.push(Holder::new(practice, Scope::ALL.into_iter().filter(|scope| *scope != without)).await);
    }
    used(practice).await;
    holders
}

/// As if every key had just been used: so that a use changes nothing.
async fn used(practice: &Practice) {
    practice.run("UPDATE api_keys SET last_used_at = created_at").await;
}

/// The scope that opens an operation; `None` if none does.
fn opened_by(operation: &str) -> Option<&'static str> {
    OPEN.iter().find(|(_, names)| names.split(' ').any(|name| name == operation)).map(|(scope, _)| *scope)
}

/// Whether the whole request was refused for want of a scope.
fn is_refused(answer: &Value) -> bool {
    let root = |error: &Value| {
        error["path"].as_array().is_some_and(|path| path.len() == 1)
            && error["extensions"]["code"] == "FORBIDDEN"
    };
    answer["errors"].as_array().is_some_and(|errors| errors.iter().any(root))
}

#[tokio::test]
async fn every_operation_is_open_to_the_keys_it_is_for_and_to_no_others() {
    let (schema, practice) = (Schema::load().await, Practice::new().await);
    let holders = holders_of_one(&practice).await;
    let may = |holder: &Holder, operation: &Operation| {
        opened_by(operation.name).is_some_and(|scope| holder.has(scope))
    };
    let mut wrong = Vec::new();
    let before = practice.fingerprint().await;
    for holder in &holders {
        for operation in OPERATIONS.iter().filter(|operation| !may(holder, operation)) {
            let answer = ask(&holder.client, operation, &operation.document(&schema, &practice)).await;
            if !is_refused(&answer) || answer["errors"].as_array().map(Vec::len) != Some(1) {
                wrong.push(format!(
                    "{} with {:?}: {:.300}",
                    operation.name,
                    holder.scopes,
                    answer.to_string()
                ));
            }
            wrong.extend(holder.leaks(operation.name, &answer));
        }
    }
    assert_eq!(practice.fingerprint().await, before, "what was refused has changed something");
    for holder in &holders {
        for operation in OPERATIONS.iter().filter(|operation| may(holder, operation)) {
            let answer = ask(&holder.client, operation, &operation.document(&schema, &practice)).await;
            if is_refused(&answer) {
                wrong.push(format!(
                    "{} with {:?}: {:.300}",
                    operation.name,
                    holder.scopes,
                    answer.to_string()
                ));
            }
            wrong.extend(holder.leaks(operation.name, &answer));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_field_is_shown_to_the_keys_it_is_for_and_to_no_others() {
    let (schema, practice) = (Schema::load().await, Practice::new().await);
    let holders = holders_of_many(&practice).await;
    practice.fill().await;
    let mut wrong = Vec::new();
    for ty in TYPES {
        for (audience, field) in ty.fields() {
            let is_there = audience.split(' ').any(|member| member == "therapist");
            for holder in &holders {
                wrong.extend(try_field(&schema, &practice, (ty, field, is_there), holder).await);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn try_field(
    schema: &Schema,
    practice: &Practice,
    (ty, field, is_there): (&Type, &str, bool),
    holder: &Holder,
) -> Option<String> {
    let name = format!("{}.{field}", ty.name);
    let is_thing = !schema.everything_of(&name).is_empty();
    let probe = format!("probe: {field} {}", if is_thing { "{ __typename }" } else { "" });
    let document = with_ids(&format!("{{ {} }}", ty.door.replace('%', &probe)), practice);
    let answer = holder.client.answer(&document, json!({})).await;
    let may = needs(ty, &name).is_some_and(|scopes| holder.has(&scopes));
    // A link is for whoever has a log-in: for keys it is null, as it is where there is no file.
    let expected = may && is_there && name != "ExportJob.downloadUrl";
    // Whatever is not for a key says so; nothing is just missing.
    let refused = answer["errors"][0]["extensions"]["code"] == "FORBIDDEN";
    (shows(&answer, "probe") != expected || refused == may)
        .then(|| format!("{name} with {:?}: {:.300}", holder.scopes, answer.to_string()))
}

/// The scopes a field takes; `None` for what no key sees.
fn needs(ty: &Type, name: &str) -> Option<String> {
    let (_, scopes) = SEEN.iter().find(|(seen, _)| *seen == ty.name)?;
    let beyond = BEYOND.iter().find(|(field, _)| *field == name).map_or("", |(_, scopes)| *scopes);
    (!UNSEEN.contains(&name)).then(|| format!("{scopes} {beyond}"))
}

#[tokio::test]
async fn no_scopes_together_tell_what_each_keeps_to_itself() {
    let (schema, practice) = (Schema::load().await, Practice::new().await);
    let holders = holders_of_many(&practice).await;
    practice.fill().await;
    let mut wrong = Vec::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.name.starts_with("Query.")) {
        let document = operation.document(&schema, &practice);
        for holder in &holders {
            let answer = ask(&holder.client, operation, &document).await;
            wrong.extend(holder.leaks(operation.name, &answer));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(holders[0].secrets().is_empty(), "a key with every scope is told everything");
}
