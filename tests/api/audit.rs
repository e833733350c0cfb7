//! The audit trail through the API: what every request leaves in it, and who may read it.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::support::client::Client;
use super::support::socket::{News, Watch};
use super::support::{TestApp, recording};

const NOWHERE: &str = "01890000-0000-7000-8000-000000000000";
const TRAIL: &str = "query ($first: Int, $after: String, $filter: AuditEventFilterInput) {
    auditEvents(first: $first, after: $after, filter: $filter) {
        totalCount pageInfo { hasNextPage endCursor }
        nodes { id at action outcome actor { id } actorName actorRole subjectType subjectId patientId requestId
            authSessionId ip userAgent changedFields } } }";
const VERIFY: &str = "{ verifyAuditChain { isIntact eventsChecked chainedUpTo headPosition findingCount
        findings { kind position eventId message } } }";
const READ: &str =
    "query ($id: ID!) { session(id: $id) { transcriptText riskScreen { version } notes { topicSummary } } }";

/// A therapist with a processed session: client, patient, session.
async fn processed(app: &TestApp, name: &str) -> (Client, String, String) {
    let client = app.therapist(name).await;
    let patient = client.patient("Noah").await;
    let session = client.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    (client, patient, session)
}

/// A new admin, logged in.
async fn admin(app: &TestApp) -> Client {
    let client = app.therapist("admin").await;
    run(app, "UPDATE users SET role = 'ADMIN' WHERE email = 'admin@example.com'").await;
    client
}

/// The account of a patient, logged in.
async fn patient_user(app: &TestApp, name: &str, record: &str) -> Client {
    let client = app.user(name, "PATIENT").await;
    let bind = format!(
        "UPDATE patients SET user_id = (SELECT id FROM users WHERE email = '{name}@example.com') WHERE id = '{record}'"
    );
    run(app, &bind).await;
    client
}

async fn run(app: &TestApp, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(app.app.pool()).await.unwrap();
}

/// The events since the last log-in or sign-up, oldest first: action, subject type, subject.
async fn events(app: &TestApp, which: &str) -> Vec<(String, String, Option<uuid::Uuid>)> {
    let query =
        format!("SELECT action, subject_type, subject_id FROM audit_events WHERE {which} ORDER BY seq");
    sqlx::query_as(AssertSqlSafe(query)).fetch_all(app.app.pool()).await.unwrap()
}

fn actions(trail: &Value) -> Vec<&str> {
    trail["auditEvents"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["action"].as_str().unwrap())
        .collect()
}

fn told(action: &str, subject: &str, id: &str) -> (String, String, Option<uuid::Uuid>) {
    (action.into(), subject.into(), id.parse().ok())
}

#[tokio::test]
async fn a_request_leaves_one_event_for_each_patient_and_kind_it_reads() {
    let app = TestApp::new().await;
    let (jane, patient, session) = processed(&app, "jane").await;
    jane.call(READ, json!({ "id": session })).await;
    jane.call(READ, json!({ "id": session })).await;
    let reads = "action LIKE 'session.read%' AND patient_id IS NOT NULL";
    let once = [
        told("session.read_notes", "session", &session),
        told("session.read_transcript", "session", &session),
    ];
    assert_eq!(events(&app, reads).await, [once.clone(), once].concat());
    let second = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    jane.call("{ sessions { nodes { transcriptText } } }", json!({})).await;
    assert_eq!(events(&app, reads).await[4..], [told("session.read_transcript", "patient", &patient)]);
    let third = jane.patient("Mia").await;
    let third = jane.session(&third, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let query = format!(
        "{{ a: session(id: \"{second}\") {{ transcriptText }} b: session(id: \"{third}\") {{ transcriptText }} }}"
    );
    jane.call(&query, json!({})).await;
    assert_eq!(events(&app, reads).await[5..].len(), 2);
}

#[tokio::test]
async fn an_event_of_a_subscription_is_witnessed_before_it_is_sent() {
    let app = TestApp::new().await;
    let (jane, _, session) = processed(&app, "jane").await;
    let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { transcriptText } }";
    let mut watch = Watch::start(&jane, query, json!({ "id": session })).await;
    assert!(matches!(watch.next().await, News::Data(_)));
    let reads = events(&app, "action LIKE 'session.read%'").await;
    assert_eq!(reads, [told("session.read_transcript", "session", &session)]);
}

#[tokio::test]
async fn what_cannot_be_witnessed_is_not_shown() {
    let app = TestApp::new().await;
    let (jane, _, session) = processed(&app, "jane").await;
    let refuse =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$full$$; END';
        CREATE TRIGGER refuse BEFORE INSERT ON audit_events EXECUTE FUNCTION refuse()";
    run(&app, refuse).await;
    let answer = jane.answer(READ, json!({ "id": session })).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL");
    assert_eq!(answer["errors"][0]["path"], json!(["session"]), "the fault is not the request's");
    assert!(answer["data"].is_null() && !answer.to_string().contains("full"), "{answer}");
    let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { transcriptText } }";
    let mut watch = Watch::start(&jane, query, json!({ "id": session })).await;
    assert!(matches!(watch.next().await, News::Refused(_)));
    let plain = jane.call("query ($id: ID!) { session(id: $id) { status } }", json!({ "id": session })).await;
    assert_eq!(plain["session"]["status"], "PROCESSED", "what needs no witness is shown");
}

#[tokio::test]
async fn every_kind_of_refusal_is_recorded_with_what_was_asked_for() {
    let app = TestApp::new().await;
    let (_, patient, session) = processed(&app, "jane").await;
    let john = app.therapist("john").await;
    let maria = app.user("maria", "PATIENT").await;
    john.call("query ($id: ID!) { patient(id: $id) { name } }", json!({ "id": patient })).await;
    john.call(
        "query ($id: ID!) { a: session(id: $id) { id } b: node(id: $id) { id } }",
        json!({ "id": session }),
    )
    .await;
    john.call("query ($id: ID!) { session(id: $id) { id } }", json!({ "id": NOWHERE })).await;
    // Who does not ask for the errors is recorded too.
    let update = "mutation ($input: UpdatePatientInput!) { updatePatient(input: $input) { patient { id } } }";
    john.call(update, json!({ "input": { "patientId": patient, "name": "x" } })).await;
    let retry = "mutation ($id: ID!) { retrySession(sessionId: $id) { session { id } } }";
    assert_eq!(maria.refusal(retry, json!({ "id": session })).await, "FORBIDDEN");
    let found = events(&app, "outcome = 'REFUSED'").await;
    let expected = [
        told("refused.node", "node", &session),
        told("refused.patient", "patient", &patient),
        told("refused.retrySession", "session", &session),
        told("refused.session", "session", &session),
        told("refused.session", "session", NOWHERE),
        told("refused.updatePatient", "patient", &patient),
    ];
    let sorted = |mut list: Vec<_>| {
        list.sort();
        list
    };
    assert_eq!(sorted(found), sorted(expected.to_vec()));
    let owned =
        format!("SELECT count(*) FROM audit_events WHERE outcome = 'REFUSED' AND patient_id = '{patient}'");
    assert_eq!(app.count(&owned).await, 5, "a record that is not there has no trail");
}

#[tokio::test]
async fn a_refused_subscription_is_recorded_once() {
    let app = TestApp::new().await;
    let (_, patient, session) = processed(&app, "jane").await;
    let john = app.therapist("john").await;
    let mut watch = Watch::session(&john, &session).await;
    assert!(matches!(watch.next().await, News::Refused(_)));
    let mut watch = Watch::patient(&john, &patient).await;
    assert!(matches!(watch.next().await, News::Refused(_)));
    let expected = [
        told("refused.sessionUpdated", "session", &session),
        told("refused.sessionsUpdated", "patient", &patient),
    ];
    assert_eq!(events(&app, "outcome = 'REFUSED'").await, expected);
}

#[tokio::test]
async fn a_stranger_leaves_one_event_a_request() {
    let app = TestApp::new().await;
    let asked: Vec<String> = (0..20).map(|n| format!("a{n}: patient(id: \"{NOWHERE}\") {{ id }}")).collect();
    let query = format!("{{ viewer {{ id }} {} }}", asked.join(" "));
    assert_eq!(app.anonymous().refusal(&query, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE actor_role = 'ANONYMOUS'").await, 1);
}

#[tokio::test]
async fn what_is_found_or_fails_otherwise_is_no_refusal() {
    let app = TestApp::new().await;
    let (jane, patient, session) = processed(&app, "jane").await;
    jane.call(
        "query ($id: ID!) { patient(id: $id) { email archivedAt } node(id: $id) { id } }",
        json!({ "id": patient }),
    )
    .await;
    jane.call("query ($id: ID!) { session(id: $id) { errorMessage } }", json!({ "id": session })).await;
    assert_eq!(jane.refusal("{ patients(first: 1000) { totalCount } }", json!({})).await, "BAD_REQUEST");
    jane.call("mutation { createPatient(input: { name: \"\" }) { patient { id } } }", json!({})).await;
    assert_eq!(events(&app, "outcome = 'REFUSED'").await, []);
}

#[tokio::test]
async fn an_admin_reads_everything_by_any_filter_and_leaves_a_trace() {
    let app = TestApp::new().await;
    let (jane, patient, session) = processed(&app, "jane").await;
    jane.call(READ, json!({ "id": session })).await;
    let admin = admin(&app).await;
    let all = admin.call(TRAIL, json!({ "first": 100 })).await;
    assert_eq!(actions(&all)[0], "audit.read");
    assert_eq!(all["auditEvents"]["totalCount"], app.count("SELECT count(*) FROM audit_events").await);
    let who = jane.call("{ viewer { id } }", json!({})).await["viewer"]["id"].clone();
    let by = async |filter: Value| admin.call(TRAIL, json!({ "filter": filter })).await;
    let found = by(json!({ "action": "session.read_notes" })).await;
    let event = &found["auditEvents"]["nodes"][0];
    assert_eq!(
        (&event["actor"]["id"], &event["actorName"], &event["actorRole"]),
        (&who, &json!("jane"), &json!("THERAPIST"))
    );
    assert_eq!(
        (&event["patientId"], &event["subjectId"], &event["outcome"]),
        (&json!(patient), &json!(session), &json!("OK"))
    );
    assert_eq!(event["ip"], "127.0.0.1");
    assert!(event["requestId"].is_string() && event["authSessionId"].is_string());
    assert_eq!(
        by(json!({ "actorId": who, "action": "session.read_notes" })).await["auditEvents"]["totalCount"],
        1
    );
    assert!(actions(&by(json!({ "patientId": patient })).await).contains(&"session.upload"));
    for nobodys in [
        json!({ "actorId": NOWHERE }),
        json!({ "patientId": "x" }),
        json!({ "action": "a\u{0}" }),
        json!({ "from": "2026-03-10T09:00:01Z" }),
        json!({ "to": "2026-03-10T09:00:00Z" }),
    ] {
        assert_eq!(by(nobodys.clone()).await["auditEvents"]["totalCount"], 0, "{nobodys}");
    }
    assert!(by(json!({ "from": "2026-03-10T09:00:00Z", "to": "2026-03-10T09:00:01Z" })).await["auditEvents"]["totalCount"].as_i64() > Some(5));
}

#[tokio::test]
async fn the_trail_comes_in_pages_newest_first_also_within_one_instant() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for n in 0..4 {
        app.clock.advance(chrono::TimeDelta::seconds(n % 2));
        jane.patient("Noah").await;
    }
    let (mut pages, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = jane.call(TRAIL, json!({ "first": 2, "after": after })).await["auditEvents"].clone();
        pages.extend(page["nodes"].as_array().unwrap().clone());
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(pages.len(), 5);
    let keys: Vec<_> = pages.iter().map(|node| (node["at"].to_string(), node["id"].to_string())).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    sorted.reverse();
    assert_eq!(keys, sorted);
    assert_eq!(jane.refusal(TRAIL, json!({ "first": 101 })).await, "BAD_REQUEST");
    assert_eq!(jane.refusal(TRAIL, json!({ "after": "mine" })).await, "BAD_REQUEST");
}

#[tokio::test]
async fn a_therapist_sees_own_deeds_and_what_others_did_with_own_patients_records() {
    let app = TestApp::new().await;
    let (jane, patient, session) = processed(&app, "jane").await;
    let (john, _, _) = processed(&app, "john").await;
    john.call("query ($id: ID!) { session(id: $id) { id } }", json!({ "id": session })).await;
    let trail = jane.call(TRAIL, json!({ "first": 100 })).await;
    let nodes = trail["auditEvents"]["nodes"].as_array().unwrap();
    let johns: Vec<_> = nodes.iter().filter(|node| node["actorName"] == "john").collect();
    assert_eq!(johns.len(), 1);
    assert_eq!((&johns[0]["action"], &johns[0]["patientId"]), (&json!("refused.session"), &json!(patient)));
    for hidden in ["actor", "ip", "userAgent", "requestId", "authSessionId"] {
        assert!(johns[0][hidden].is_null(), "{hidden}");
    }
    let own = nodes.iter().find(|node| node["action"] == "session.upload").unwrap();
    assert!(own["ip"].is_string() && own["actor"]["id"].is_string());
    let everybody = jane.call(TRAIL, json!({ "filter": { "patientId": NOWHERE } })).await;
    assert_eq!(everybody["auditEvents"]["totalCount"], 0);
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE action = 'audit.read'").await, 0);
}

#[tokio::test]
async fn a_patient_sees_who_read_or_changed_the_own_record_and_nothing_else() {
    let app = TestApp::new().await;
    let (jane, patient, session) = processed(&app, "jane").await;
    processed(&app, "john").await;
    jane.call(READ, json!({ "id": session })).await;
    let noah = patient_user(&app, "noah", &patient).await;
    let stranger = app.therapist("eve").await;
    stranger.call("query ($id: ID!) { patient(id: $id) { id } }", json!({ "id": patient })).await;
    let trail = noah.call(TRAIL, json!({ "first": 100 })).await;
    let nodes = trail["auditEvents"]["nodes"].as_array().unwrap();
    assert!(actions(&trail).contains(&"session.read_notes") && actions(&trail).contains(&"patient.create"));
    for node in nodes {
        assert_eq!((&node["patientId"], &node["outcome"]), (&json!(patient), &json!("OK")));
        let by_therapist = node["actorRole"] == "THERAPIST";
        assert_eq!(node["actorName"], if by_therapist { json!("jane") } else { Value::Null });
        for hidden in ["actor", "ip", "userAgent", "requestId", "authSessionId"] {
            assert!(node[hidden].is_null(), "{hidden}");
        }
    }
    let other = app.user("mia", "PATIENT").await;
    assert_eq!(other.call(TRAIL, json!({})).await["auditEvents"]["totalCount"], 0);
    assert_eq!(app.anonymous().refusal(TRAIL, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_running_server_chains_and_an_admin_finds_what_was_tampered_with() {
    let app = TestApp::new().await;
    let (jane, _, _) = processed(&app, "jane").await;
    assert_eq!(jane.refusal(VERIFY, json!({})).await, "FORBIDDEN");
    assert_eq!(app.anonymous().refusal(VERIFY, json!({})).await, "UNAUTHENTICATED");
    let admin = admin(&app).await;
    let chained = async {
        loop {
            let report = admin.call(VERIFY, json!({})).await["verifyAuditChain"].clone();
            assert_eq!(report["isIntact"], true, "{report}");
            if report["chainedUpTo"].as_i64() > Some(5) {
                assert_eq!(report["eventsChecked"], report["chainedUpTo"]);
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), chained).await.expect("chained in time");
    run(
        &app,
        "ALTER TABLE audit_events DISABLE TRIGGER ALL; UPDATE audit_events SET action = 'x' WHERE seq = 2;
        ALTER TABLE audit_events ENABLE TRIGGER ALL",
    )
    .await;
    let report = admin.call(VERIFY, json!({})).await["verifyAuditChain"].clone();
    assert_eq!((&report["isIntact"], &report["findingCount"]), (&json!(false), &json!(1)));
    let finding = &report["findings"][0];
    assert_eq!((&finding["kind"], &finding["position"]), (&json!("EDITED"), &json!(2)));
    assert!(finding["eventId"].is_string() && finding["message"].is_string());
}
