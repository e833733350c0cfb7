//! Automatic persisted queries, as Apollo Client makes them: a hash instead of a document, on every transport.

use reqwest::multipart::Part;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::client::Client;
use super::support::socket::{News, Watch};
use super::support::{TestApp, recording};

const VIEWER: &str = "{ viewer { email } }";

fn extensions(document: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hex::encode(Sha256::digest(document)) } })
}

async fn send(client: &Client, body: &Value) -> (u16, Value) {
    let response = client.post("/graphql").json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_document_is_asked_for_once_and_then_known_by_its_hash() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let by_hash = json!({ "extensions": extensions(VIEWER) });
    let (status, answer) = send(&jane, &by_hash).await;
    assert_eq!(
        (status, &answer["errors"][0]["message"]),
        (200, &json!("PersistedQueryNotFound")),
        "{answer}"
    );
    assert_eq!(answer["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    let (_, answer) = send(&jane, &json!({ "query": VIEWER, "extensions": extensions(VIEWER) })).await;
    assert_eq!(answer["data"]["viewer"]["email"], "jane@example.com");
    let (_, answer) = send(&jane, &by_hash).await;
    assert_eq!(answer["data"]["viewer"]["email"], "jane@example.com");
    // Who asks is another matter.
    assert_eq!(
        send(&app.anonymous(), &by_hash).await.1["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    // Another process knows nothing of it, and says so.
    let sibling = app.sibling(&[]).await;
    let there = Client::new(sibling.address).with_token(jane.token.as_ref().unwrap());
    assert_eq!(
        send(&there, &by_hash).await.1["errors"][0]["extensions"]["code"],
        "PERSISTED_QUERY_NOT_FOUND"
    );
}

#[tokio::test]
async fn hashes_work_over_sockets_and_event_streams_with_names_and_variables() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let document = "query A { viewer { id } } query B($id: ID!) { patient(id: $id) { name } }";
    let payload = |query: Value| json!({ "query": query, "extensions": extensions(document), "operationName": "B", "variables": { "id": patient } });
    let mut socket = Watch::ask_for(&jane, payload(Value::Null)).await;
    let News::Refused(errors) = socket.next().await else { panic!("it is not known yet") };
    assert_eq!(errors[0]["message"], "PersistedQueryNotFound");
    let mut socket = Watch::ask_for(&jane, payload(json!(document))).await;
    assert_eq!(socket.value().await["name"], "Daniel");
    let mut socket = Watch::ask_for(&jane, payload(Value::Null)).await;
    assert_eq!(socket.value().await["name"], "Daniel");
    let stream = jane.post("/graphql").header("accept", "text/event-stream").json(&payload(Value::Null));
    let text = stream.send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"{"patient":{"name":"Daniel"}}"#), "{text}");
}

#[tokio::test]
async fn a_recording_is_uploaded_by_the_hash_of_its_mutation() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let document = "mutation ($input: UploadSessionInput!) { uploadSession(input: $input) {
        session { audioFilename } userErrors { code } } }";
    let variables = json!({ "input": { "patientId": patient, "audio": null } });
    let upload = async |query: Value, extensions: Value| {
        let operations = json!({ "query": query, "variables": variables, "extensions": extensions });
        let file = Part::bytes(recording("cbr.mp3")).file_name("monday.mp3");
        jane.multipart_of(&operations, "variables.input.audio", file).await
    };
    let answer = upload(Value::Null, extensions(document)).await;
    assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound", "{answer}");
    let answer = upload(json!(document), extensions(VIEWER)).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
    assert_eq!(jane.call("{ sessions { totalCount } }", json!({})).await["sessions"]["totalCount"], 0);
    for (query, sessions) in [(json!(document), 1), (Value::Null, 2)] {
        let answer = upload(query, extensions(document)).await;
        let payload = &answer["data"]["uploadSession"];
        assert_eq!(payload["session"]["audioFilename"], "monday.mp3", "{answer}");
        let counted = jane.call("{ sessions { totalCount } }", json!({})).await;
        assert_eq!(counted["sessions"]["totalCount"], sessions);
    }
}

#[tokio::test]
async fn a_wrong_hash_or_version_is_malformed_and_teaches_nothing() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let other = "{ viewer { id } }";
    let mut future = extensions(VIEWER);
    future["persistedQuery"]["version"] = json!(2);
    for (body, said) in [
        (json!({ "query": VIEWER, "extensions": extensions(other) }), "hash of another document"),
        (json!({ "query": VIEWER, "extensions": future }), "version 1"),
        (json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "beef" } } }), "no SHA-256"),
        (json!({ "extensions": { "persistedQuery": { "version": 1 } } }), "sha256Hash"),
        (json!({ "extensions": {} }), "missing field `query`"),
    ] {
        let (status, answer) = send(&jane, &body).await;
        assert_eq!(
            (status, &answer["errors"][0]["extensions"]["code"]),
            (400, &json!("BAD_REQUEST")),
            "{body}"
        );
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(said), "{answer}");
    }
    for document in [VIEWER, other] {
        let (_, answer) = send(&jane, &json!({ "extensions": extensions(document) })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    }
}

#[tokio::test]
async fn what_the_guard_or_the_budget_refuses_is_not_remembered() {
    let app = TestApp::with(&[("RATE_LIMIT_REQUESTS", "4/1m")]).await;
    let jane = app.therapist("jane").await;
    let deep = format!("{}{}", "{a".repeat(30), "}".repeat(30));
    let wide = "{ a: __typename b: __typename c: __typename d: __typename e: __typename }".to_owned();
    for document in [deep, wide] {
        let (_, answer) =
            send(&jane, &json!({ "query": document, "extensions": extensions(&document) })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
        let (_, answer) = send(&jane, &json!({ "extensions": extensions(&document) })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    }
}
