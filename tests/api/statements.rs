//! How many statements an answer takes: as many for thirty rows as for three.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::support::client::Client;
use super::support::socket::Watch;
use super::support::{TestApp, recording};

/// Hears of every statement of this thread: a test's server runs on the test's own.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    fn listen() -> (Self, DefaultGuard) {
        let statements = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(statements.clone()));
        (statements, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = Text::default();
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

/// The statement of an event: the whole of it, where the summary is not that already.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_whole = field.name() == "db.statement" && !value.is_empty();
        if is_whole || (field.name() == "summary" && self.0.is_empty()) {
            self.0 = value.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// What goes on beside the request: other tasks look for news, and keep the trail.
const BESIDE: [&str; 13] = [
    "FROM outbox_events",
    "pg_notify",
    "LISTEN ",
    "audit_chain",
    "unnest($1::uuid[], $2::uuid[]) AS open",
    "pg_try_advisory",
    "pg_advisory",
    "SELECT 1",
    // A connection is looked at when it comes back.
    "transaction_timestamp()",
    "pg_current_snapshot",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
];

/// The statements of one answer, without what goes on beside it.
async fn statements_of(
    heard: &Statements,
    client: &Client,
    (query, variables): (&str, &Value),
) -> Vec<String> {
    heard.take();
    // Tests beside this one hear of nothing, and may have settled that for all.
    tracing::callsite::rebuild_interest_cache();
    client.call(query, variables.clone()).await;
    heard.take().into_iter().filter(|statement| !is_beside(statement)).collect()
}

fn is_beside(statement: &str) -> bool {
    BESIDE.iter().any(|beside| statement.contains(beside))
}

const SESSION: &str = "id version status attendance sessionDate progress errorMessage audioFilename
    patient { id name invitation { id } therapist { id fullName authSessions { id } secondFactor { enabledAt } } }
    therapist { id fullName }
    transcriptText transcription { pieces recognisers { provider } }
    transcriptSegments(first: 5) { totalCount nodes { id text role originalText speaker } }
    notes { keyTopics therapistNotes strategies { text evidence { quote } } riskFlags { text } run { id model } }
    riskScreen { flags { text } } release { releasedAt } cost { usd byProvider { usd } }";

/// The deepest useful queries: a query with what it wants to know.
fn queries() -> Vec<(&'static str, String)> {
    let connection = format!("totalCount pageInfo {{ hasNextPage }} nodes {{ {SESSION} }}");
    vec![
        ("sessions", format!("{{ sessions(first: 100) {{ {connection} }} }}")),
        ("patients with their sessions", format!("{{ patients(first: 100) {{ totalCount nodes {{
            id name therapist {{ id }} invitation {{ id code }} sessions(first: 50) {{ {connection} }} }} }} }}")),
        ("sessions with their patient's sessions", format!("{{ sessions(first: 100) {{ nodes {{ patient {{
            sessions(first: 50) {{ {connection} }} }} }} }} }}")),
        ("documents", "{ exportJobs(first: 100) { totalCount nodes { id status fileName downloadUrl patient { name therapist { id } } } } }".into()),
        ("the trail", "{ auditEvents(first: 100) { totalCount nodes { id action actor { id fullName } actorName } } }".into()),
    ]
}

#[tokio::test]
async fn an_answer_takes_as_many_statements_for_thirty_rows_as_for_three() {
    let (heard, _guard) = Statements::listen();
    let app = TestApp::with(&[("QUERY_COST_LIMIT", "10000000")]).await;
    let jane = app.therapist("jane").await;
    grow(&app, &jane, 3).await;
    let mut few = Vec::new();
    for (name, query) in queries() {
        few.push((name, statements_of(&heard, &jane, (&query, &json!({}))).await));
    }
    grow(&app, &jane, 27).await;
    for ((name, query), (_, few)) in queries().into_iter().zip(few) {
        let many = statements_of(&heard, &jane, (&query, &json!({}))).await;
        assert!(few.len() > 3, "{name}: statements are heard: {few:#?}");
        assert_eq!(
            many.len(),
            few.len(),
            "{name}\n3 rows:\n{}\n30 rows:\n{}",
            few.join("\n"),
            many.join("\n")
        );
    }
    // What they are counted for is there.
    let (_, query) = &queries()[1];
    let answer = jane.call(query, json!({})).await;
    let patients = answer["patients"]["nodes"].as_array().unwrap();
    assert_eq!(patients.len(), 30);
    nodes(&heard, &jane, patients).await;
    for patient in patients {
        let session = &patient["sessions"]["nodes"][0];
        assert_eq!(patient["sessions"]["totalCount"], 1, "{patient}");
        assert_eq!(session["transcriptText"].as_str().unwrap().lines().next(), Some("Corrected words."));
        assert_eq!(session["transcriptSegments"]["nodes"][0]["text"], "Corrected words.");
        let lines = session["transcriptText"].as_str().unwrap().lines().count();
        assert_eq!(session["transcriptSegments"]["totalCount"], lines, "{session}");
        assert!(session["notes"]["therapistNotes"].is_string() && session["transcription"]["pieces"] == 1);
        assert!(session["release"]["releasedAt"].is_string() && !session["cost"]["byProvider"].is_null());
    }
}

/// What is found by its id is looked for once, however many ids there are.
async fn nodes(heard: &Statements, jane: &Client, patients: &[Value]) {
    let ids: Vec<&Value> =
        patients.iter().flat_map(|one| [&one["id"], &one["sessions"]["nodes"][0]["id"]]).collect();
    let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Session { patient { name } notes { keyTopics } } } }";
    let few = statements_of(heard, jane, (query, &json!({ "ids": ids[..4] }))).await;
    let many = statements_of(heard, jane, (query, &json!({ "ids": ids }))).await;
    assert!(ids.len() == 60 && few.len() > 3);
    assert_eq!(many.len(), few.len(), "4 ids:\n{}\n60 ids:\n{}", few.join("\n"), many.join("\n"));
}

/// Adds patients with a processed session each, invited, released, corrected and exported.
async fn grow(app: &TestApp, jane: &Client, count: usize) {
    let mut sessions = Vec::new();
    for number in 0..count {
        let patient = jane.patient(&format!("Patient {number}")).await;
        jane.invite(json!({ "patientId": patient })).await;
        sessions.push(jane.session(&patient, recording("cbr.mp3")).await);
    }
    app.run_jobs().await;
    for session in sessions {
        let segments = "query ($id: ID!) { session(id: $id) { transcriptSegments { nodes { id } } } }";
        let found = jane.call(segments, json!({ "id": session })).await;
        let segment = found["session"]["transcriptSegments"]["nodes"][0]["id"].clone();
        let change = "mutation ($id: ID!, $segment: ID!) {
            correctSegment(input: { segmentId: $segment, text: \"Corrected words.\" }) { userErrors { code } }
            releaseSummary(sessionId: $id) { userErrors { code } }
            exportSessionNotes(input: { sessionIds: [$id], format: PDF }) { userErrors { code } } }";
        let changed = jane.call(change, json!({ "id": session, "segment": segment })).await;
        for payload in changed.as_object().unwrap().values() {
            assert_eq!(payload["userErrors"], json!([]), "{changed}");
        }
    }
}

/// Sockets of one log-in that ask the same.
struct Crowd<'a> {
    app: &'a TestApp,
    heard: &'a Statements,
    session: String,
    watches: Vec<Watch>,
    version: i64,
}

impl Crowd<'_> {
    async fn join(&mut self, jane: &Client, count: usize) {
        let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { version patient { name } } }";
        for _ in 0..count {
            let mut watch = Watch::start(jane, query, json!({ "id": self.session })).await;
            watch.value().await;
            self.watches.push(watch);
        }
    }

    /// The statements that one event takes until all have heard of it.
    async fn hear(&mut self) -> Vec<String> {
        self.heard.take();
        tracing::callsite::rebuild_interest_cache();
        self.version += 1;
        self.app.record(&self.session, self.version).await;
        for watch in &mut self.watches {
            let value = watch.value().await;
            assert_eq!(value, json!({ "version": self.version, "patient": { "name": "Daniel" } }));
        }
        self.heard.take().into_iter().filter(|statement| !is_beside(statement)).collect()
    }
}

#[tokio::test]
async fn an_event_is_looked_at_and_answered_once_for_all_who_ask_the_same_in_one_log_in() {
    let (heard, _guard) = Statements::listen();
    let app = TestApp::with(&[("MAX_SOCKETS_PER_USER", "100")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    let mut crowd = Crowd { app: &app, heard: &heard, session, watches: Vec::new(), version: 1 };
    crowd.join(&jane, 1).await;
    let one = crowd.hear().await;
    assert!(one.len() >= 3, "the event, the session, the patient: {one:#?}");
    crowd.join(&jane, 29).await;
    let all = crowd.hear().await;
    // Those who come late, on a busy machine, look for themselves.
    assert!(all.len() < 2 * one.len(), "one: {one:#?}\nthirty: {all:#?}");
}

/// What is asked for the whole process every few seconds, or never, however many follow.
#[tokio::test]
async fn who_waits_for_news_asks_for_nothing() {
    let (heard, _guard) = Statements::listen();
    let app = TestApp::with(&[("MAX_SOCKETS_PER_USER", "100")]).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    let mut crowd = Crowd { app: &app, heard: &heard, session, watches: Vec::new(), version: 1 };
    crowd.join(&jane, 60).await;
    crowd.hear().await;
    let mut while_idle = Vec::new();
    let looks = |statements: &[String]| {
        statements.iter().filter(|statement| *statement == "SELECT pg_current_snapshot()::text").count()
    };
    let wait = async {
        // The process asks so for news every three seconds, and the leader of the audit chain every second.
        while looks(&while_idle) < 6 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            while_idle.extend(heard.take());
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("somebody asks for news");
    let others: Vec<_> = while_idle.iter().filter(|statement| !is_beside(statement)).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(while_idle.len() < crowd.watches.len(), "{while_idle:#?}");
}
