//! How a key is used: from where, how often, by which door, and what the trail and its owner learn of it.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use super::{input, keys, patients};
use crate::support::client::Client;
use crate::support::{PASSWORD, TestApp, recording};

const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

/// `data`, or the whole refusal, of a request as from elsewhere.
async fn patients_from(client: &Client, ip: &str) -> Value {
    let body = json!({ "query": "{ patients { totalCount } }" });
    let request =
        client.post("/graphql").header("x-forwarded-for", ip).header("x-request-id", "r1").json(&body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    if answer["errors"].is_null() { json!("data") } else { answer }
}

/// What the owner reads of a kind of event: outcome, role, key, address.
async fn told(client: &Client, action: &str) -> Vec<Value> {
    let query = "query ($action: String!) { auditEvents(filter: { action: $action }) { nodes {
        outcome actorRole actorName subjectType subjectId apiKeyId authSessionId ip } } }";
    let events = client.call(query, json!({ "action": action })).await["auditEvents"]["nodes"].clone();
    events.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_key_is_good_where_its_list_says_and_elsewhere_looks_like_none() {
    let app = TestApp::with(&[BEHIND_A_PROXY]).await;
    let jane = app.therapist("jane").await;
    let networks = json!({ "allowedIps": ["198.51.100.0/24", "2001:db8::/48"] });
    let made = jane.create_api_key(input(networks)).await;
    let integration = app.anonymous().with_token(made["secret"].as_str().unwrap());
    for ip in ["198.51.100.7", "2001:db8:0:9::1"] {
        assert_eq!(patients_from(&integration, ip).await, "data", "{ip}");
    }
    let nonsense = app.anonymous().with_token("tbk_0123");
    for ip in ["198.51.101.7", "2001:db8:1::1"] {
        let refused = patients_from(&integration, ip).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert_eq!(refused, patients_from(&nonsense, ip).await, "it looks like any bad token");
    }
    let events = told(&jane, "api_key.refused").await;
    let expected = |ip: &str| {
        json!({ "outcome": "REFUSED", "actorRole": "API_KEY", "actorName": "jane", "subjectType": "api_key",
            "subjectId": made["apiKey"]["id"], "apiKeyId": made["apiKey"]["id"], "authSessionId": null, "ip": ip })
    };
    assert_eq!(events, [expected("2001:db8:1::1"), expected("198.51.101.7")]);
}

#[tokio::test]
async fn who_uses_a_revoked_key_is_seen_by_its_owner() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (id, integration) = jane.api_key(&["PATIENTS_READ"]).await;
    jane.revoke_api_key(&id).await;
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
    let events = told(&jane, "api_key.refused").await;
    assert_eq!(events.len(), 1, "once a window: {events:?}");
    assert_eq!(events[0]["apiKeyId"], json!(id));
}

#[tokio::test]
async fn the_trail_names_the_owner_and_the_key() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (id, integration) = jane.api_key(&["SESSIONS_WRITE", "AUDIT_READ"]).await;
    let schedule = "mutation ($input: ScheduleSessionInput!) {
        scheduleSession(input: $input) { session { id } userErrors { code } } }";
    let appointment = json!({ "patientId": patient, "scheduledStart": "2026-03-11T09:00:00Z" });
    let made = integration.call(schedule, json!({ "input": appointment })).await["scheduleSession"].clone();
    assert_eq!(made["userErrors"], json!([]));
    let events = told(&jane, "session.schedule").await;
    assert_eq!(events, told(&integration, "session.schedule").await, "the key sees what its owner sees");
    assert_eq!(
        events,
        [json!({ "outcome": "OK", "actorRole": "API_KEY", "actorName": "jane", "subjectType": "session",
            "subjectId": made["session"]["id"], "apiKeyId": id, "authSessionId": null, "ip": "127.0.0.1" })]
    );
    let refused =
        integration.answer("query ($id: ID!) { patient(id: $id) { id } }", json!({ "id": patient })).await;
    let error = &refused["errors"][0];
    assert_eq!((&error["path"], &error["extensions"]["code"]), (&json!(["patient"]), &json!("FORBIDDEN")));
    assert!(error["message"].as_str().unwrap().contains("`patients:read`"), "{error}");
    let events = told(&jane, "refused.patient").await;
    assert_eq!((events.len(), &events[0]["apiKeyId"]), (1, &json!(id)), "{events:?}");
    let chain = app.admin("root").await;
    let chain = chain.call("{ verifyAuditChain { findings { kind } } }", json!({})).await;
    let findings = chain["verifyAuditChain"]["findings"].as_array().unwrap().clone();
    assert!(findings.iter().all(|finding| finding["kind"] != "EDITED"), "{findings:?}");
}

#[tokio::test]
async fn the_trail_names_no_patient_to_a_key_that_may_not_know_them() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (maria, record) = app.patient_user(&jane, "maria").await;
    let session = jane.session(&record, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let release = "mutation ($id: ID!) { releaseSummary(sessionId: $id) { userErrors { code } } }";
    jane.call(release, json!({ "id": session })).await;
    let read = "query ($id: ID!) { session(id: $id) { notes { patientSummary } } }";
    maria.call(read, json!({ "id": session })).await;
    let (_, auditor) = jane.api_key(&["AUDIT_READ"]).await;
    let (_, knowing) = jane.api_key(&["AUDIT_READ", "PATIENTS_READ"]).await;
    for (client, name) in [(&jane, json!("maria")), (&knowing, json!("maria")), (&auditor, Value::Null)] {
        let events = told(client, "session.read_notes").await;
        assert_eq!((&events[0]["actorRole"], &events[0]["actorName"]), (&json!("PATIENT"), &name));
        assert_eq!((&events[0]["ip"], &events[0]["apiKeyId"]), (&Value::Null, &Value::Null));
    }
}

#[tokio::test]
async fn what_is_not_for_the_key_is_null_with_a_reason_and_the_rest_is_there() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let session = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let (_, integration) = jane.api_key(&["SESSIONS_READ"]).await;
    let query = "query ($id: ID!) { session(id: $id) { status patient { name } notes { patientSummary } transcriptText } }";
    let answer = integration.answer(query, json!({ "id": session })).await;
    assert_eq!(
        answer["data"]["session"],
        json!({ "status": "PROCESSED", "patient": null, "notes": null, "transcriptText": null })
    );
    let lacking: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| &error["path"][1]).collect();
    assert_eq!(lacking, ["patient", "notes", "transcriptText"]);
    let read = "SELECT count(*) FROM audit_events WHERE action LIKE 'session.read_%'";
    assert_eq!(app.count(read).await, 0, "nothing was read");
    let refused =
        "SELECT count(*) FROM audit_events WHERE action = 'refused.session' AND api_key_id IS NOT NULL";
    assert_eq!(app.count(refused).await, 1);

    let (_, reader) =
        jane.api_key(&["SESSIONS_READ", "NOTES_READ", "TRANSCRIPTS_READ", "PATIENTS_READ"]).await;
    let seen = reader.call(query, json!({ "id": session })).await["session"].clone();
    assert_eq!(seen["patient"]["name"], "Daniel");
    assert!(seen["notes"]["patientSummary"].is_string() && seen["transcriptText"].is_string(), "{seen}");
    assert_eq!(app.count(read).await, 2, "what a key reads is written down");
}

#[tokio::test]
async fn a_node_is_found_by_the_keys_that_may_read_its_kind() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    let query = "query ($id: ID!) { node(id: $id) { __typename id } }";
    for (scope, id, ty) in [
        ("PATIENTS_READ", &patient, Some("Patient")),
        ("SESSIONS_READ", &session, Some("Session")),
        ("SESSIONS_READ", &patient, None),
        ("PATIENTS_READ", &session, None),
        ("SESSIONS_WRITE", &session, None),
        ("ANALYTICS_READ", &patient, None),
    ] {
        let (_, integration) = jane.api_key(&[scope]).await;
        let node = integration.call(query, json!({ "id": id })).await["node"].clone();
        assert_eq!(node["__typename"].as_str(), ty, "{scope}");
    }
}

#[tokio::test]
async fn uploads_and_downloads_take_their_scopes_too() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    // The helper asks for the name of the file, which takes `patients:read`.
    let (_, writer) = jane.api_key(&["SESSIONS_WRITE", "PATIENTS_READ"]).await;
    let (_, exporter) = jane.api_key(&["EXPORTS_WRITE"]).await;
    let (_, reader) = jane.api_key(&["EXPORTS_READ"]).await;
    assert_eq!(exporter.begin(10).await.status(), 403);
    let upload = writer.sent(&recording("cbr.mp3")).await;
    assert_eq!(reader.head_status(&upload).await, 403);
    let session = writer.finish(&upload, json!({ "patientId": patient })).await;
    assert_eq!(session["userErrors"], json!([]), "{session}");
    app.run_jobs().await;
    let ask = "mutation ($id: ID!) { exportSessionNotes(input: { sessionIds: [$id], format: PDF }) {
        exportJob { id status downloadUrl } userErrors { code } } }";
    let id = json!({ "id": session["session"]["id"] });
    let job = exporter.call(ask, id).await["exportSessionNotes"]["exportJob"].clone();
    app.run_jobs().await;
    let path = format!("/exports/{}/download", job["id"].as_str().unwrap());
    for (client, status) in [(&reader, 200), (&exporter, 403), (&writer, 403)] {
        assert_eq!(client.request(Method::GET, &path).send().await.unwrap().status(), status);
    }
    let link = "query ($id: ID!) { exportJob(id: $id) { status downloadUrl } }";
    let seen = reader.call(link, json!({ "id": job["id"] })).await["exportJob"].clone();
    assert_eq!(seen, json!({ "status": "COMPLETED", "downloadUrl": null }), "links are for log-ins");
    let refused = "SELECT count(*) FROM audit_events WHERE outcome = 'REFUSED' AND actor_role = 'API_KEY'
        AND action IN ('refused.download', 'refused.uploads')";
    assert_eq!(app.count(refused).await, 4);
    let done =
        "SELECT count(*) FROM audit_events WHERE action = 'export.download' AND api_key_id IS NOT NULL";
    assert_eq!(app.count(done).await, 1);
}

#[tokio::test]
async fn a_key_spends_its_own_budget_and_documents_count_for_its_owner() {
    let limits = [("RATE_LIMIT_REQUESTS", "3/1m"), ("RATE_LIMIT_EXPORTS", "1/1h")];
    let app = TestApp::with(&limits).await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (_, integration) = jane.api_key(&["PATIENTS_READ", "EXPORTS_WRITE"]).await;
    let ask = "mutation ($id: ID!) {
        exportProgressReport(input: { patientId: $id, format: PDF }) { exportJob { id } } }";
    integration.call(ask, json!({ "id": patient })).await;
    for expected in ["data", "data", "RATE_LIMITED"] {
        assert_eq!(patients(&integration).await, expected);
    }
    assert_eq!(patients(&jane).await, "data", "the owner is not locked out");
    app.clock.advance(TimeDelta::minutes(2));
    assert_eq!(
        jane.refusal(ask, json!({ "id": patient })).await,
        "RATE_LIMITED",
        "documents are counted together"
    );
}

#[tokio::test]
async fn the_last_use_is_known_to_the_minute() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (_, integration) = jane.api_key(&["PATIENTS_READ"]).await;
    assert!(keys(&jane).await[0]["lastUsedAt"].is_null());
    for (seconds, expected) in [(0, "09:00:00"), (59, "09:00:00"), (1, "09:01:00")] {
        app.clock.advance(TimeDelta::seconds(seconds));
        assert_eq!(patients(&integration).await, "data");
        until_used_at(&jane, expected).await;
    }
}

/// The use is written down beside the request: it may take a moment.
async fn until_used_at(jane: &Client, time: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let expected = json!(format!("2026-03-10T{time}+00:00"));
    while keys(jane).await[0]["lastUsedAt"] != expected {
        assert!(Instant::now() < deadline, "never used at {time}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_is_no_access_token_and_no_refresh_token() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (_, integration) = jane.api_key(&["PATIENTS_READ"]).await;
    let secret = integration.token.clone().unwrap();
    let tokens = app.anonymous().refresh(&secret).await;
    assert_eq!(tokens["userErrors"][0]["code"], "INVALID_TOKEN");
    for mutation in [
        format!(
            "mutation {{ changePassword(input: {{ currentPassword: \"{PASSWORD}\", newPassword: \"another horse\" }}) {{ user {{ id }} }} }}"
        ),
        "mutation { logOutEverywhere { loggedOut } }".to_owned(),
        format!("mutation {{ enrolTotp(input: {{ password: \"{PASSWORD}\" }}) {{ secret }} }}"),
        "mutation { createPatient(input: { name: \"New\" }) { patient { id } } }".to_owned(),
    ] {
        assert_eq!(integration.refusal(&mutation, json!({})).await, "FORBIDDEN", "{mutation}");
    }
}
