//! Who gets what: a line an operation, a line a field. What has no line fails the tests in [`super`].

/// What an operation answers: the thing itself, …
pub(super) const DATA: &str = "data";
/// … null or a list without anything, …
pub(super) const NOTHING: &str = "nothing";
/// … or a code, of a top-level error or of `userErrors`.
const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
const FORBIDDEN: &str = "FORBIDDEN";
const NOT_FOUND: &str = "NOT_FOUND";

/// An operation asked for with these arguments, and what each asker gets.
pub(super) struct Operation {
    /// `Query.patient`.
    pub(super) name: &'static str,
    /// As in a document; `$name` stands for an id of the practice, `$file` for a recording, `#n` for a fresh number.
    pub(super) arguments: &'static str,
    /// Anonymous, patient, other patient, therapist, other therapist, admin; everybody with a token that was good once
    /// is asked to log in.
    pub(super) expected: [&'static str; 6],
    /// Whether it changes what other lines stand on, and gets a practice of its own.
    pub(super) alone: bool,
}

const fn op(name: &'static str, arguments: &'static str, expected: [&'static str; 6]) -> Operation {
    Operation { name, arguments, expected, alone: false }
}

/// An operation that changes what other lines stand on.
const fn alone(name: &'static str, arguments: &'static str, expected: [&'static str; 6]) -> Operation {
    Operation { name, arguments, expected, alone: true }
}

const EVERYBODY: [&str; 6] = [DATA; 6];
const ANY_USER: [&str; 6] = [UNAUTHENTICATED, DATA, DATA, DATA, DATA, DATA];
const ADMINS: [&str; 6] = [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, DATA];
/// Anybody may ask, and what stands in the line is not there.
const fn no_user(code: &'static str) -> [&'static str; 6] {
    [UNAUTHENTICATED, code, code, code, code, code]
}
/// Of a thing that its patient, its therapist and admins know of.
const KNOWN_TO: [&str; 6] = [UNAUTHENTICATED, DATA, NOTHING, DATA, NOTHING, DATA];
/// Of a document or an API key, which only the therapist knows of who asked for it.
const OWN_EXPORT_OR_NOTHING: [&str; 6] = [UNAUTHENTICATED, NOTHING, NOTHING, DATA, NOTHING, NOTHING];
const WATCHED_BY: [&str; 6] = [UNAUTHENTICATED, DATA, NOT_FOUND, DATA, NOT_FOUND, DATA];
const THERAPISTS: [&str; 6] = [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, DATA, FORBIDDEN];
const OWN_THERAPIST: [&str; 6] = [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOT_FOUND, FORBIDDEN];

const CLEANERS: [&str; 6] = [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, DATA, DATA];

pub(super) const OPERATIONS: &[Operation] = &[
    op("Query.cleanupStatus", "", CLEANERS),
    op("Query.cleanupConfig", "", CLEANERS),
    op("Mutation.cleanUpOrphanedFiles", "dryRun: true", CLEANERS),
    op("Mutation.cleanUpOrphanedFiles", "", CLEANERS),
    op("Mutation.cleanUpFailedSessions", "dryRun: true", CLEANERS),
    op("Mutation.cleanUpFailedSessions", "", CLEANERS),
    op("Mutation.cleanUpAll", "dryRun: true", CLEANERS),
    op("Mutation.cleanUpAll", "", CLEANERS),
    op("Query.viewer", "", ANY_USER),
    op("Query.node", "id: $patient", KNOWN_TO),
    op("Query.nodes", "ids: [$patient]", KNOWN_TO),
    op("Query.node", "id: $session", KNOWN_TO),
    op("Query.nodes", "ids: [$session]", KNOWN_TO),
    op("Query.node", "id: $therapist", KNOWN_TO),
    op("Query.nodes", "ids: [$therapist]", KNOWN_TO),
    op("Query.user", "id: $therapist", ADMINS),
    op("Query.users", "", ADMINS),
    op("Query.auditEvents", "", ANY_USER),
    op("Query.auditEvents", "filter: { patientId: $patient }", KNOWN_TO),
    op("Query.verifyAuditChain", "", ADMINS),
    op("Query.queueStatus", "", ADMINS),
    // There is no limit in the practice of these lines.
    op("Query.rateLimit", "", [NOTHING; 6]),
    op("Query.costSummary", "", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, DATA, DATA]),
    op("Query.providerCircuits", "", ADMINS),
    op("Query.practiceOverview", "", THERAPISTS),
    op(
        "Query.patientProgress",
        "patientId: $patient",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN],
    ),
    op("Query.sessionTrends", "", THERAPISTS),
    op("Query.commonTopics", "", THERAPISTS),
    op("Query.aggregationRuns", "", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, DATA, DATA]),
    op("Query.node", "id: $export", OWN_EXPORT_OR_NOTHING),
    op("Query.nodes", "ids: [$export]", OWN_EXPORT_OR_NOTHING),
    op("Query.exportJobs", "", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN]),
    op(
        "Query.exportJobs",
        "filter: { patientId: $patient }",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN],
    ),
    op("Query.exportJob", "id: $export", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN]),
    op("Query.node", "id: $key", OWN_EXPORT_OR_NOTHING),
    op("Query.nodes", "ids: [$key]", OWN_EXPORT_OR_NOTHING),
    op("Query.apiKeys", "", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN]),
    op("Query.apiKey", "id: $key", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN]),
    op(
        "Mutation.createApiKey",
        "input: { name: \"New\", scopes: [AUDIT_READ], expiresAt: \"2026-06-01T00:00:00Z\",
        password: \"correct horse battery\" }",
        THERAPISTS,
    ),
    alone("Mutation.revokeApiKey", "id: $key", OWN_THERAPIST),
    op("Query.node", "id: $webhook", OWN_EXPORT_OR_NOTHING),
    op("Query.nodes", "ids: [$webhook]", OWN_EXPORT_OR_NOTHING),
    op("Query.node", "id: $delivery", OWN_EXPORT_OR_NOTHING),
    op("Query.nodes", "ids: [$delivery]", OWN_EXPORT_OR_NOTHING),
    op("Query.webhooks", "", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN]),
    op("Query.webhook", "id: $webhook", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, NOTHING, FORBIDDEN]),
    op(
        "Mutation.createWebhook",
        "input: { url: \"https://93.184.216.34/hook\", events: [EXPORT_READY] }",
        THERAPISTS,
    ),
    op("Mutation.updateWebhook", "input: { id: $webhook, description: \"#n\" }", OWN_THERAPIST),
    op("Mutation.enableWebhook", "id: $webhook", OWN_THERAPIST),
    op("Mutation.rotateWebhookSecret", "id: $webhook", OWN_THERAPIST),
    op("Mutation.sendTestWebhook", "id: $webhook", OWN_THERAPIST),
    op("Mutation.redeliverWebhook", "deliveryId: $delivery", OWN_THERAPIST),
    alone("Mutation.deleteWebhook", "id: $webhook", OWN_THERAPIST),
    op("Query.users", "search: \"jane\"", ADMINS),
    op(
        "Query.users",
        "search: \"zauberflu\"",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOTHING],
    ),
    op("Query.patient", "id: $patient", KNOWN_TO),
    op("Query.patients", "", ANY_USER),
    op("Query.patients", "search: \"zauberflu\"", [UNAUTHENTICATED, DATA, NOTHING, DATA, NOTHING, FORBIDDEN]),
    op("Query.session", "id: $session", KNOWN_TO),
    op("Query.session", "id: $planned", KNOWN_TO),
    op("Query.sessions", "", KNOWN_TO),
    op("Query.sessions", "filter: { patientId: $patient }", KNOWN_TO),
    op("Query.sessions", "after: $cursor", KNOWN_TO),
    op(
        "Mutation.signUp",
        "input: { email: \"new#n@example.com\", password: \"correct horse battery\",
        fullName: \"New\", role: PATIENT }",
        EVERYBODY,
    ),
    op(
        "Mutation.logIn",
        "input: { email: \"jane@example.com\", password: \"correct horse battery\" }",
        EVERYBODY,
    ),
    op("Mutation.refreshToken", "input: { refreshToken: \"unknown\" }", ["INVALID_TOKEN"; 6]),
    op("Mutation.logOut", "input: { refreshToken: \"unknown\" }", EVERYBODY),
    op("Mutation.confirmLogIn", "input: { challenge: \"unknown\", code: \"123456\" }", ["INVALID_TOKEN"; 6]),
    alone(
        "Mutation.changePassword",
        "input: { currentPassword: \"correct horse battery\", newPassword: \"another horse battery\" }",
        ANY_USER,
    ),
    alone("Mutation.logOutEverywhere", "", ANY_USER),
    op("Mutation.revokeAuthSession", "id: $session", no_user("NOT_FOUND")),
    alone("Mutation.enrolTotp", "input: { password: \"correct horse battery\" }", ANY_USER),
    op("Mutation.confirmTotp", "input: { code: \"123456\" }", no_user("INVALID_STATE")),
    op(
        "Mutation.disableTotp",
        "input: { password: \"correct horse battery\", code: \"123456\" }",
        no_user("INVALID_STATE"),
    ),
    op(
        "Mutation.regenerateRecoveryCodes",
        "input: { password: \"correct horse battery\", code: \"123456\" }",
        no_user("INVALID_STATE"),
    ),
    alone("Mutation.deactivateUser", "userId: $therapist", ADMINS),
    op("Mutation.reactivateUser", "userId: $therapist", ADMINS),
    op(
        "Mutation.invitePatient",
        "input: { patientId: $patient }",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, "INVALID_STATE", NOT_FOUND, FORBIDDEN],
    ),
    op(
        "Mutation.revokeInvitation",
        "invitationId: $session",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN],
    ),
    op(
        "Mutation.acceptInvitation",
        "code: \"unknown\"",
        [UNAUTHENTICATED, "INVALID_TOKEN", "INVALID_TOKEN", FORBIDDEN, FORBIDDEN, FORBIDDEN],
    ),
    op("Mutation.createPatient", "input: { name: \"New\" }", THERAPISTS),
    op("Mutation.updatePatient", "input: { patientId: $patient, phone: \"+49 221 5550199\" }", OWN_THERAPIST),
    alone("Mutation.archivePatient", "patientId: $patient", OWN_THERAPIST),
    op("Mutation.uploadSession", "input: { patientId: $patient, audio: $file }", OWN_THERAPIST),
    op(
        "Mutation.uploadSession",
        "input: { patientId: $patient, uploadId: $session }",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN],
    ),
    op(
        "Mutation.retrySession",
        "sessionId: $session",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, "INVALID_STATE", NOT_FOUND, FORBIDDEN],
    ),
    alone("Mutation.extractNotes", "sessionId: $session", OWN_THERAPIST),
    alone("Mutation.correctSegment", "input: { segmentId: $segment, text: \"Put right.\" }", OWN_THERAPIST),
    op(
        "Mutation.assignSpeaker",
        "input: { sessionId: $session, speaker: \"nobody\", role: PATIENT }",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, "INVALID_INPUT", NOT_FOUND, FORBIDDEN],
    ),
    alone("Mutation.cancelProcessing", "sessionId: $waiting", OWN_THERAPIST),
    op(
        "Mutation.scheduleSession",
        "input: { patientId: $patient, scheduledStart: \"2026-03-11T09:00:00Z\", durationMinutes: 50 }",
        OWN_THERAPIST,
    ),
    op(
        "Mutation.rescheduleSession",
        "input: { sessionId: $planned, scheduledStart: \"2026-03-10T08:00:00Z\" }",
        OWN_THERAPIST,
    ),
    alone("Mutation.cancelSession", "sessionId: $planned", OWN_THERAPIST),
    alone("Mutation.markNoShow", "sessionId: $planned", OWN_THERAPIST),
    alone("Mutation.completeSession", "sessionId: $planned, durationMinutes: 45", OWN_THERAPIST),
    op("Mutation.updateSession", "input: { sessionId: $session, durationMinutes: 45 }", OWN_THERAPIST),
    alone("Mutation.attachRecording", "input: { sessionId: $planned, audio: $file }", OWN_THERAPIST),
    op(
        "Mutation.attachRecording",
        "input: { sessionId: $planned, uploadId: $session }",
        [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, NOT_FOUND, NOT_FOUND, FORBIDDEN],
    ),
    op("Mutation.releaseSummary", "sessionId: $session", OWN_THERAPIST),
    alone("Mutation.withdrawSummary", "sessionId: $session", OWN_THERAPIST),
    op("Mutation.exportSessionNotes", "input: { sessionIds: [$session], format: PDF }", OWN_THERAPIST),
    op("Mutation.exportProgressReport", "input: { patientId: $patient, format: DOCX }", OWN_THERAPIST),
    alone("Mutation.deleteExportJob", "id: $export", OWN_THERAPIST),
    op("Subscription.exportJobUpdated", "id: $export", OWN_THERAPIST),
    op("Subscription.sessionUpdated", "id: $session", WATCHED_BY),
    op("Subscription.sessionUpdated", "id: $planned", WATCHED_BY),
    op("Subscription.sessionsUpdated", "patientId: $patient", WATCHED_BY),
    op("Subscription.transcriptSegmentAdded", "sessionId: $session", OWN_THERAPIST),
    op("Subscription.practiceOverviewUpdated", "", THERAPISTS),
    // The other therapist has no run that has not ended.
    op("Subscription.aggregationUpdated", "", [UNAUTHENTICATED, FORBIDDEN, FORBIDDEN, DATA, "silence", DATA]),
];

/// A type, a way to one of its objects, and who sees which fields of it; for everybody else they are null, empty or
/// not there.
pub(super) struct Type {
    pub(super) name: &'static str,
    /// A query with `%` where the field goes.
    pub(super) door: &'static str,
    /// Who, and the fields.
    pub(super) shown: &'static [(&'static str, &'static str)],
}

const NOBODY: &str = "nobody";
const ADMIN: &str = "admin";
const THERAPIST: &str = "therapist";
const TREATMENT: &str = "therapist patient";
const TREATMENT_AND_ADMIN: &str = "therapist patient admin";
/// Those who are paid for, or pay.
const COUNTED: &str = "therapist other_therapist admin";
const THERAPISTS_BOTH: &str = "therapist other_therapist";
const USERS: &str = "therapist other_therapist patient other_patient admin";

pub(super) const TYPES: &[Type] = &[
    Type {
        name: "Patient",
        door: "patient(id: $patient) { % }",
        shown: &[
            (TREATMENT_AND_ADMIN, "id archivedAt createdAt therapist sessions hasAccount"),
            (TREATMENT, "name email phone"),
            (THERAPIST, "invitation"),
        ],
    },
    Type {
        name: "Session",
        door: "session(id: $session) { % }",
        shown: &[
            (
                TREATMENT_AND_ADMIN,
                "id patient therapist status attendance scheduledStart sessionDate durationMinutes",
            ),
            (TREATMENT_AND_ADMIN, "progress version createdAt updatedAt"),
            (TREATMENT, "notes release"),
            (
                THERAPIST,
                "errorMessage audioFilename recordingIsPartial transcriptText transcriptSegments riskScreen cost",
            ),
            (THERAPIST, "transcription audioRemovedAt"),
        ],
    },
    Type {
        name: "SummaryRelease",
        door: "session(id: $session) { release { % } }",
        shown: &[(TREATMENT, "releasedAt"), (THERAPIST, "isCurrent")],
    },
    Type {
        name: "SessionNotes",
        door: "session(id: $session) { notes { % } }",
        shown: &[
            (TREATMENT, "patientSummary strategies actionItems"),
            (
                THERAPIST,
                "keyTopics topicSummary sessionMood moodScore moodTrajectory therapistNotes riskFlags",
            ),
            (THERAPIST, "riskScreens isStale run"),
        ],
    },
    Type {
        name: "NoteItem",
        door: "session(id: $session) { notes { strategies { % } } }",
        shown: &[(TREATMENT, "text"), (THERAPIST, "evidence")],
    },
    Type {
        name: "Evidence",
        door: "session(id: $session) { notes { actionItems { evidence { % } } } }",
        shown: &[(THERAPIST, "quote segmentId segmentIds startMs endMs verdict match")],
    },
    Type {
        name: "RiskFlag",
        door: "session(id: $session) { notes { riskFlags { % } } }",
        shown: &[(THERAPIST, "kind severity source text evidence")],
    },
    Type {
        name: "RiskScreen",
        door: "session(id: $session) { riskScreen { % } }",
        shown: &[(THERAPIST, "version flags")],
    },
    Type {
        name: "ExtractionRun",
        door: "session(id: $session) { notes { run { % } } }",
        shown: &[
            (
                THERAPIST,
                "id kind provider model promptVersion promptTokens completionTokens costUsd durationMs",
            ),
            (THERAPIST, "warnings createdAt"),
        ],
    },
    Type {
        name: "SessionCost",
        door: "session(id: $session) { cost { % } }",
        shown: &[(THERAPIST, "audioSeconds promptTokens completionTokens usd unpriced byProvider")],
    },
    Type {
        name: "CostLine",
        door: "session(id: $session) { cost { byProvider { % } } }",
        shown: &[(THERAPIST, "work provider model audioSeconds promptTokens completionTokens usd")],
    },
    Type {
        name: "CostSummary",
        door: "costSummary { % }",
        shown: &[
            (COUNTED, "month usd audioSeconds promptTokens completionTokens sessions unpriced"),
            // The other therapist has spent nothing.
            ("therapist admin", "byProvider"),
            // There is no budget unless it is set.
            (NOBODY, "budgetUsd budgetUsed budgetState"),
        ],
    },
    Type {
        name: "RateLimit",
        door: "viewer { id } rateLimit { % }",
        shown: &[(NOBODY, "limit remaining resetAt cost")],
    },
    Type {
        name: "PracticeOverview",
        door: "practiceOverview { % }",
        shown: &[
            (
                THERAPISTS_BOTH,
                "totalPatients activePatients sessionsThisWeek sessionsThisMonth upcomingSessions",
            ),
            // The other therapist has had no session.
            (THERAPIST, "completionRate"),
        ],
    },
    Type {
        name: "PatientProgress",
        door: "patientProgress(patientId: $patient) { % }",
        shown: &[
            (THERAPIST, "patientId patientName from to totalSessions recentSessions moodTrend commonTopics"),
            (THERAPIST, "attendanceRate dataPoints"),
        ],
    },
    Type {
        name: "ProgressSession",
        door: "patientProgress(patientId: $patient) { recentSessions { % } }",
        shown: &[(THERAPIST, "sessionId date mood keyTopics progressNotes")],
    },
    Type {
        name: "MoodTrend",
        door: "patientProgress(patientId: $patient) { moodTrend { % } }",
        // One score goes nowhere.
        shown: &[(THERAPIST, "current dataPoints"), (NOBODY, "trajectory changePercent")],
    },
    Type {
        name: "MoodPoint",
        door: "patientProgress(patientId: $patient) { moodTrend { dataPoints { % } } }",
        shown: &[(THERAPIST, "date moodScore")],
    },
    Type {
        name: "TopicFrequency",
        door: "patientProgress(patientId: $patient) { commonTopics { % } }",
        shown: &[(THERAPIST, "topic frequency")],
    },
    Type {
        name: "ProgressWeek",
        door: "patientProgress(patientId: $patient) { dataPoints { % } }",
        shown: &[
            (THERAPIST, "weekStart sessionsCount avgMoodScore commonTopics attendanceRate"),
            (NOBODY, "moodTrajectory"),
        ],
    },
    Type {
        name: "SessionTrends",
        door: "sessionTrends { % }",
        shown: &[(THERAPISTS_BOTH, "period granularity from to dataPoints summary")],
    },
    Type {
        name: "TrendPoint",
        door: "sessionTrends { dataPoints { % } }",
        shown: &[
            (THERAPISTS_BOTH, "date sessionsCompleted sessionsCancelled sessionsNoShow"),
            (THERAPIST, "avgSessionDurationMin completionRate"),
        ],
    },
    Type {
        name: "TrendSummary",
        door: "sessionTrends { summary { % } }",
        shown: &[(THERAPISTS_BOTH, "totalSessions avgPerDay"), (THERAPIST, "peakDay completionRate")],
    },
    Type {
        name: "CommonTopics",
        door: "commonTopics { % }",
        shown: &[(THERAPISTS_BOTH, "timePeriodWeeks"), (THERAPIST, "topics")],
    },
    Type {
        name: "CommonTopic",
        door: "commonTopics { topics { % } }",
        shown: &[(THERAPIST, "topic frequency patientsAffected trend")],
    },
    Type {
        name: "AggregationRun",
        door: "aggregationRuns(first: 100) { nodes { % } }",
        shown: &[
            (
                COUNTED,
                "id kind status progress version therapists days changes createdAt startedAt finishedAt",
            ),
            // Runs of the other therapist concern no day.
            ("therapist admin", "from to"),
            // None was scheduled, and none was given up.
            (NOBODY, "dueAt errorMessage"),
        ],
    },
    Type {
        name: "ExportJob",
        door: "exportJob(id: $export) { % }",
        shown: &[
            (
                THERAPIST,
                "id kind format status progress version patient sessionCount fileName sizeBytes sha256",
            ),
            (THERAPIST, "warnings expiresAt downloadUrl createdAt"),
            // It holds notes, and did not fail.
            (NOBODY, "weeks errorMessage"),
        ],
    },
    Type {
        name: "ApiKey",
        door: "apiKey(id: $key) { % }",
        shown: &[
            (THERAPIST, "id name prefix scopes allowedIps createdAt expiresAt lastUsedAt"),
            // It is still good.
            (NOBODY, "revokedAt"),
        ],
    },
    Type {
        name: "ProviderCircuit",
        door: "providerCircuits { % }",
        // None of them rests.
        shown: &[(ADMIN, "provider work phase since"), (NOBODY, "reason until")],
    },
    Type {
        name: "TranscriptSegment",
        door: "session(id: $session) { transcriptSegments(first: 1) { nodes { % } } }",
        shown: &[
            (THERAPIST, "id index startMs endMs speaker role roleConfidence text originalText correctedAt"),
            (THERAPIST, "confidence"),
        ],
    },
    Type {
        name: "Transcription",
        door: "session(id: $session) { transcription { % } }",
        shown: &[(
            THERAPIST,
            "recognisers pieces silentPieces reusedPieces droppedSegments tracks durationMs",
        )],
    },
    Type {
        name: "Recogniser",
        door: "session(id: $session) { transcription { recognisers { % } } }",
        shown: &[(THERAPIST, "provider model audioSeconds")],
    },
    Type {
        name: "User",
        door: "session(id: $session) { therapist { % } }",
        shown: &[
            (TREATMENT_AND_ADMIN, "id fullName role timezone isActive"),
            ("therapist admin", "email"),
            // One's own only.
            (THERAPIST, "authSessions secondFactor disabledWebhooks"),
        ],
    },
    Type {
        name: "AuthSession",
        door: "viewer { authSessions { % } }",
        shown: &[(USERS, "id createdAt lastUsedAt expiresAt isCurrent ip userAgent")],
    },
    Type {
        name: "AuditEvent",
        // What the therapist did.
        door: "auditEvents(filter: { patientId: $patient, action: \"patient.update\" }) { nodes { % } }",
        shown: &[
            (TREATMENT_AND_ADMIN, "id at action outcome actorName actorRole subjectType subjectId patientId"),
            (TREATMENT_AND_ADMIN, "changedFields"),
            ("therapist admin", "actor requestId authSessionId ip"),
            // The tests' clients do not say what they are; and the therapist did it, not a key.
            (NOBODY, "userAgent apiKeyId"),
        ],
    },
    Type {
        name: "AuditVerification",
        door: "verifyAuditChain { % }",
        // A trail that is whole has no findings.
        shown: &[
            (ADMIN, "isIntact eventsChecked chainedUpTo findingCount headPosition"),
            (NOBODY, "findings"),
        ],
    },
    Type {
        name: "AuditFinding",
        door: "verifyAuditChain { findings { % } }",
        shown: &[(NOBODY, "kind position eventId message")],
    },
    Type {
        name: "QueueStatus",
        // Nobody works in these tests.
        door: "queueStatus { % }",
        shown: &[(ADMIN, "jobs workersAlive"), (NOBODY, "workers")],
    },
    Type {
        name: "QueuedJobs",
        door: "queueStatus { jobs { % } }",
        shown: &[
            (ADMIN, "kind waiting running delayed dead oldestWaitingSeconds"),
            (NOBODY, "oldestRunningSeconds"),
        ],
    },
    Type {
        name: "QueueWorker",
        door: "queueStatus { workers { % } }",
        shown: &[(NOBODY, "name lastSeenAt jobsHeld")],
    },
    Type {
        name: "CleanupStatus",
        door: "cleanupStatus { % }",
        shown: &[
            (COUNTED, "orphanedFiles orphanedBytes failedSessions failedSessionBytes expiredRecordings"),
            (COUNTED, "expiredRecordingBytes reclaimableBytes reclaimableMb preview"),
        ],
    },
    Type {
        name: "Cleanup",
        door: "cleanupStatus { preview { % } }",
        shown: &[
            (COUNTED, "dryRun filesDeleted sessionsCleaned bytesFreed mbFreed errorCount unknownFiles"),
            (COUNTED, "isComplete"),
            // Nothing goes wrong.
            (NOBODY, "errors"),
        ],
    },
    Type {
        name: "CleanupConfig",
        door: "cleanupConfig { % }",
        shown: &[
            (COUNTED, "orphanedFileRetentionHours failedSessionRetentionDays autoCleanupOnStartup"),
            (COUNTED, "isScheduled nextRunAt"),
            // Recordings are kept unless it is set.
            (NOBODY, "audioRetentionDays"),
        ],
    },
    Type {
        name: "Webhook",
        door: "webhook(id: $webhook) { % }",
        shown: &[
            (THERAPIST, "id url description events isActive disabledAt disabledReason failingSince"),
            (THERAPIST, "previousSecretExpiresAt createdAt updatedAt deliveries"),
        ],
    },
    Type {
        name: "WebhookDelivery",
        door: "webhook(id: $webhook) { deliveries { nodes { % } } }",
        shown: &[
            (THERAPIST, "id webhook eventId event body state attempts lastStatus lastError lastAttemptAt"),
            (THERAPIST, "nextAttemptAt deliveredAt createdAt"),
        ],
    },
    Type {
        name: "SecondFactor",
        door: "viewer { secondFactor { % } }",
        shown: &[(THERAPIST, "enabledAt recoveryCodesLeft")],
    },
    Type {
        name: "Invitation",
        door: "patient(id: $patient) { invitation { % } }",
        // The code is shown once, by the mutation that makes it; one that was revoked is no longer shown.
        shown: &[(THERAPIST, "id createdAt expiresAt patient"), (NOBODY, "code revokedAt")],
    },
];
