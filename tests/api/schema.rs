//! The schema is the contract: it is committed, documented, and spelled as promised.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use therapybridge::graphql;

use super::support::root;

/// Names that clients rely on: a type, and what it has.
const FIXED: [(&str, &str); 32] = [
    ("Query", "node viewer patients patient sessions session"),
    ("Mutation", "signUp logIn refreshToken logOut createPatient updatePatient archivePatient"),
    ("Mutation", "uploadSession retrySession extractNotes invitePatient revokeInvitation acceptInvitation"),
    ("Mutation", "releaseSummary withdrawSummary"),
    ("Mutation", "confirmLogIn enrolTotp confirmTotp disableTotp regenerateRecoveryCodes"),
    ("Subscription", "sessionUpdated sessionsUpdated"),
    ("SignUpInput", "email password fullName role timezone invitationCode"),
    ("CreatePatientInput", "name email phone idempotencyKey"),
    ("UploadSessionInput", "patientId audio sessionDate durationMinutes idempotencyKey"),
    ("TokensPayload", "accessToken refreshToken expiresIn user challenge userErrors"),
    ("User", "id email fullName role timezone isActive authSessions secondFactor"),
    ("Patient", "id name email phone archivedAt hasAccount invitation sessions createdAt"),
    (
        "Session",
        "id patient therapist status attendance scheduledStart sessionDate durationMinutes progress version",
    ),
    (
        "Session",
        "errorMessage audioFilename transcriptText transcriptSegments notes cost createdAt updatedAt",
    ),
    (
        "SessionNotes",
        "keyTopics topicSummary strategies actionItems sessionMood moodScore moodTrajectory therapistNotes",
    ),
    ("SessionNotes", "patientSummary riskFlags run"),
    ("Session", "release"),
    ("SummaryRelease", "releasedAt isCurrent"),
    ("TranscriptSegment", "id index startMs endMs speaker role text confidence"),
    ("RiskFlag", "text evidence kind severity source"),
    ("Query", "exportJobs exportJob"),
    ("Mutation", "exportSessionNotes exportProgressReport deleteExportJob"),
    ("Subscription", "exportJobUpdated"),
    (
        "ExportJob",
        "id kind format status progress fileName sizeBytes sha256 errorMessage expiresAt downloadUrl createdAt",
    ),
    ("ExportSessionNotesInput", "sessionIds format idempotencyKey"),
    ("Query", "webhooks webhook"),
    (
        "Mutation",
        "createWebhook updateWebhook deleteWebhook enableWebhook rotateWebhookSecret sendTestWebhook",
    ),
    ("Mutation", "redeliverWebhook"),
    ("CreateWebhookInput", "url description events idempotencyKey"),
    ("Webhook", "id url description events isActive disabledAt disabledReason failingSince deliveries"),
    (
        "WebhookDelivery",
        "id eventId event body state attempts lastStatus lastError nextAttemptAt deliveredAt",
    ),
    ("ExportProgressReportInput", "patientId weeks format idempotencyKey"),
];

/// Arguments that clients rely on.
const FIXED_ARGUMENTS: [(&str, &str, &str); 11] = [
    ("Query", "patients", "first after search"),
    ("Query", "patient", "id"),
    ("Query", "sessions", "first after filter"),
    ("Query", "session", "id"),
    ("Mutation", "retrySession", "sessionId"),
    ("Mutation", "extractNotes", "sessionId force"),
    ("Mutation", "releaseSummary", "sessionId idempotencyKey"),
    ("Mutation", "withdrawSummary", "sessionId"),
    ("Subscription", "sessionUpdated", "id"),
    ("Subscription", "sessionsUpdated", "patientId"),
    ("Session", "transcriptSegments", "first after"),
];

/// Enums whose values are the contract's.
const FIXED_ENUMS: [(&str, &str); 16] = [
    ("Role", "THERAPIST PATIENT ADMIN"),
    ("SessionStatus", "UPLOADING TRANSCRIBING TRANSCRIBED EXTRACTING_NOTES PROCESSED FAILED"),
    ("Attendance", "SCHEDULED COMPLETED CANCELLED NO_SHOW"),
    ("Mood", "VERY_LOW LOW NEUTRAL POSITIVE VERY_POSITIVE"),
    ("MoodTrajectory", "IMPROVING DECLINING STABLE FLUCTUATING"),
    (
        "UserErrorCode",
        "INVALID_INPUT NOT_FOUND CONFLICT ALREADY_EXISTS INVALID_CREDENTIALS INVALID_TOKEN WEAK_PASSWORD",
    ),
    (
        "UserErrorCode",
        "FORBIDDEN_ROLE UNSUPPORTED_MEDIA DAMAGED_MEDIA SILENT_MEDIA FILE_TOO_LARGE INVALID_STATE",
    ),
    ("UserErrorCode", "CONSENT_REQUIRED IDEMPOTENCY_KEY_REUSED IDEMPOTENCY_IN_PROGRESS BUDGET_EXCEEDED"),
    ("SpeakerRole", "THERAPIST PATIENT"),
    ("ExportKind", "SESSION_NOTES PROGRESS_REPORT"),
    ("ExportFormat", "PDF DOCX"),
    ("ExportStatus", "QUEUED RUNNING COMPLETED FAILED EXPIRED"),
    (
        "WebhookEvent",
        "SESSION_SCHEDULED SESSION_RESCHEDULED SESSION_CANCELLED SESSION_NO_SHOW SESSION_COMPLETED",
    ),
    (
        "WebhookEvent",
        "SESSION_UPDATED SESSION_TRANSCRIBED SESSION_PROCESSED SESSION_FAILED RISK_FLAG_OPENED EXPORT_READY",
    ),
    ("WebhookEvent", "EXPORT_FAILED WEBHOOK_TEST"),
    ("WebhookDeliveryState", "PENDING DELIVERED FAILED"),
];

#[test]
fn the_committed_schema_is_the_one_that_is_served() {
    let committed = std::fs::read_to_string(root().join("schema.graphql")).unwrap_or_default();
    assert!(
        committed == graphql::sdl(),
        "schema.graphql is out of date: run `cargo run -- schema > schema.graphql`"
    );
}

#[tokio::test]
async fn everything_in_the_schema_is_described() {
    let schema = Schema::load().await;
    // The library takes no description for a connection itself; its fields have theirs.
    let ours = schema.parts().filter(|part| !part.path.ends_with("Connection"));
    let undescribed: Vec<String> = ours.filter(|part| !part.is_described()).map(|part| part.path).collect();
    assert!(undescribed.is_empty(), "without a description: {undescribed:#?}");
}

#[tokio::test]
async fn every_mutation_says_who_may_call_it_and_which_codes_it_gives() {
    let schema = Schema::load().await;
    let known = schema.names("UserErrorCode");
    for mutation in schema.fields("Mutation") {
        let (name, description) = (text(&mutation, "name"), text(&mutation, "description"));
        assert!(description.contains(" For "), "{name} does not say for whom it is: {description}");
        let Some((_, codes)) = description.split_once("Codes:") else {
            assert!(description.contains("Gives no codes"), "{name} names no codes: {description}");
            continue;
        };
        let codes: Vec<&str> =
            codes.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|c| c.len() > 1).collect();
        assert!(!codes.is_empty(), "{name}");
        assert!(codes.iter().all(|code| known.iter().any(|known| known == code)), "{name}: {codes:?}");
    }
}

#[tokio::test]
async fn every_mutation_answers_with_user_errors() {
    let schema = Schema::load().await;
    for mutation in schema.fields("Mutation") {
        let payload = inner(&mutation["type"]);
        let errors = schema.fields(payload).into_iter().find(|field| field["name"] == "userErrors");
        let errors = errors.unwrap_or_else(|| panic!("{payload} has no userErrors"));
        assert_eq!(spelled(&errors["type"]), "[UserError!]!", "{payload}");
    }
}

#[tokio::test]
async fn what_a_mutation_changes_may_be_missing_from_its_payload() {
    let schema = Schema::load().await;
    for (payload, field) in
        [("TokensPayload", "user"), ("PatientPayload", "patient"), ("SessionPayload", "session")]
    {
        let fields = schema.fields(payload);
        let field = fields.iter().find(|candidate| candidate["name"] == field).unwrap();
        assert!(field["type"]["kind"] != "NON_NULL", "{payload} cannot say no");
    }
}

#[tokio::test]
async fn names_that_clients_rely_on_are_there() {
    let schema = Schema::load().await;
    for (name, wanted) in FIXED.iter().chain(&FIXED_ENUMS) {
        has_all(name, &schema.names(name), wanted);
    }
    for (name, field, wanted) in FIXED_ARGUMENTS {
        let fields = schema.fields(name);
        let found = fields
            .iter()
            .find(|candidate| candidate["name"] == field)
            .unwrap_or_else(|| panic!("{name}.{field}"));
        has_all(&format!("{name}.{field}"), &names(&found["args"]), wanted);
    }
}

#[tokio::test]
async fn every_connection_has_edges_nodes_page_info_and_a_total() {
    let schema = Schema::load().await;
    let connections: Vec<&String> = schema.types.keys().filter(|name| name.ends_with("Connection")).collect();
    assert!(connections.len() >= 3, "{connections:?}");
    for connection in connections {
        has_all(connection, &schema.names(connection), "edges nodes pageInfo totalCount");
    }
}

#[tokio::test]
async fn without_introspection_the_schema_is_not_told() {
    let answer = graphql::schema(false).execute(INTROSPECTION).await.into_result();
    assert!(answer.is_err() || json!(answer.unwrap().data)["__schema"].is_null());
}

fn has_all(of: &str, present: &[String], wanted: &str) {
    let missing: Vec<&str> =
        wanted.split(' ').filter(|name| !present.iter().any(|present| present == name)).collect();
    assert!(missing.is_empty(), "{of} lacks {missing:?}; it has {present:?}");
}

/// The schema as it tells of itself, without what belongs to GraphQL.
struct Schema {
    types: BTreeMap<String, Value>,
}

/// Something that can have a description.
struct Part {
    path: String,
    description: Value,
}

impl Part {
    fn new(path: String, value: &Value) -> Self {
        Self { path, description: value["description"].clone() }
    }

    fn is_described(&self) -> bool {
        self.description.as_str().is_some_and(|description| !description.trim().is_empty())
    }
}

impl Schema {
    async fn load() -> Self {
        let answer = graphql::schema(true).execute(INTROSPECTION).await;
        let data = serde_json::to_value(answer.into_result().unwrap().data).unwrap();
        let types = list(&data["__schema"]["types"]).into_iter().map(|ty| (text(&ty, "name").to_owned(), ty));
        let foreign = |name: &str| {
            name.starts_with("__") || ["Boolean", "Float", "ID", "Int", "String"].contains(&name)
        };
        Self { types: types.filter(|(name, _)| !foreign(name)).collect() }
    }

    fn fields(&self, name: &str) -> Vec<Value> {
        list(&self.types.get(name).unwrap_or_else(|| panic!("there is no type {name}"))["fields"])
    }

    /// Fields, input fields or values of a type.
    fn names(&self, name: &str) -> Vec<String> {
        let ty = self.types.get(name).unwrap_or_else(|| panic!("there is no type {name}"));
        ["fields", "inputFields", "enumValues"].iter().flat_map(|members| names(&ty[members])).collect()
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        self.types.iter().flat_map(|(name, ty)| {
            let mut parts = vec![Part::new(name.clone(), ty)];
            for member in
                ["fields", "inputFields", "enumValues"].iter().flat_map(|members| list(&ty[members]))
            {
                let path = format!("{name}.{}", text(&member, "name"));
                let arguments = list(&member["args"]);
                parts.extend(
                    arguments.iter().map(|arg| Part::new(format!("{path}({})", text(arg, "name")), arg)),
                );
                parts.push(Part::new(path, &member));
            }
            parts
        })
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn names(members: &Value) -> Vec<String> {
    list(members).iter().map(|member| text(member, "name").to_owned()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The name inside lists and non-nulls.
fn inner(ty: &Value) -> &str {
    if ty["ofType"].is_null() { text(ty, "name") } else { inner(&ty["ofType"]) }
}

/// A type as the schema language spells it.
fn spelled(ty: &Value) -> String {
    match text(ty, "kind") {
        "NON_NULL" => format!("{}!", spelled(&ty["ofType"])),
        "LIST" => format!("[{}]", spelled(&ty["ofType"])),
        _ => text(ty, "name").to_owned(),
    }
}

const INTROSPECTION: &str = "{ __schema { types {
    name kind description
    fields(includeDeprecated: true) {
        name description args(includeDeprecated: true) { name description type { ...Ref } } type { ...Ref }
    }
    inputFields(includeDeprecated: true) { name description type { ...Ref } }
    enumValues(includeDeprecated: true) { name description }
} } }
fragment Ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
