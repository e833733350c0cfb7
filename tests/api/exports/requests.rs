//! What can be asked for, by whom, and how often.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{JOB, export_notes, export_report, id_of, job, practice, processed};
use crate::support::{TestApp, code, recording};

const JOBS: &str = "SELECT count(*) FROM export_jobs";

#[tokio::test]
async fn a_document_is_asked_for_with_all_that_is_known_of_it() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    let payload = export_notes(&jane, json!({ "sessionIds": [session, session], "format": "PDF" })).await;
    let asked = &payload["exportJob"];
    let expected = json!({ "kind": "SESSION_NOTES", "format": "PDF", "status": "QUEUED", "progress": 0, "version": 1,
        "fileName": null, "sizeBytes": null, "sha256": null, "errorMessage": null, "warnings": [], "expiresAt": null,
        "downloadUrl": null, "sessionCount": 1, "weeks": null, "patient": { "id": patient },
        "id": asked["id"], "createdAt": asked["createdAt"] });
    assert_eq!(asked, &expected, "one that is named twice counts once");
    let report = export_report(&jane, json!({ "patientId": patient, "format": "DOCX" })).await;
    let report = &report["exportJob"];
    assert_eq!((&report["weeks"], &report["sessionCount"]), (&json!(12), &Value::Null));
    assert_eq!((&report["kind"], &report["format"]), (&json!("PROGRESS_REPORT"), &json!("DOCX")));
}

#[tokio::test]
async fn what_cannot_be_exported_is_refused_and_nothing_comes_of_it() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    let (eve, other) = (app.therapist("eve").await, jane.patient("Daniel").await);
    let of_another = processed(&app, &jane, &other).await;
    let foreign = eve.patient("Noah").await;
    let foreign_session = processed(&app, &eve, &foreign).await;
    let waiting = jane.session(&patient, recording("cbr.mp3")).await;
    let many: Vec<Uuid> = (0..501).map(|_| Uuid::now_v7()).collect();
    let jobs = app.count("SELECT count(*) FROM apalis.jobs").await;
    for (sessions, expected) in [
        (json!([]), "INVALID_INPUT"),
        (json!(many), "INVALID_INPUT"),
        (json!([session, of_another]), "INVALID_INPUT"),
        (json!([session, foreign_session]), "NOT_FOUND"),
        (json!([foreign_session]), "NOT_FOUND"),
        (json!([Uuid::now_v7()]), "NOT_FOUND"),
        (json!([session, "none of ours"]), "NOT_FOUND"),
        (json!([session, waiting]), "INVALID_STATE"),
    ] {
        let payload = export_notes(&jane, json!({ "sessionIds": sessions, "format": "PDF" })).await;
        assert_eq!((code(&payload), &payload["exportJob"]), (expected, &Value::Null), "{sessions}");
        assert_eq!(payload["userErrors"][0]["field"], "sessionIds");
    }
    for (input, expected, field) in [
        (json!({ "patientId": patient, "weeks": 0 }), "INVALID_INPUT", "weeks"),
        (json!({ "patientId": patient, "weeks": 105 }), "INVALID_INPUT", "weeks"),
        (json!({ "patientId": patient, "weeks": -1 }), "INVALID_INPUT", "weeks"),
        (json!({ "patientId": foreign }), "NOT_FOUND", "patientId"),
        (json!({ "patientId": Uuid::now_v7() }), "NOT_FOUND", "patientId"),
        (json!({ "patientId": "none of ours" }), "NOT_FOUND", "patientId"),
    ] {
        let mut input = input;
        input["format"] = json!("DOCX");
        let payload = export_report(&jane, input.clone()).await;
        assert_eq!(
            (code(&payload), &payload["userErrors"][0]["field"]),
            (expected, &json!(field)),
            "{input}"
        );
    }
    for format in ["RTF", "pdf", ""] {
        let query = "mutation ($input: ExportProgressReportInput!) { exportProgressReport(input: $input) { exportJob { id } } }";
        let input = json!({ "input": { "patientId": patient, "format": format } });
        assert_eq!(jane.refusal(query, input).await, "VALIDATION_FAILED", "{format}");
    }
    assert_eq!(app.count(JOBS).await, 0);
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs").await, jobs);
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE action = 'export.request'").await, 0);
}

#[tokio::test]
async fn the_record_of_a_therapy_that_has_ended_can_still_be_handed_on() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    let archive = "mutation ($id: ID!) { archivePatient(patientId: $id) { userErrors { code } } }";
    jane.call(archive, json!({ "id": patient })).await;
    id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
    id_of(&export_report(&jane, json!({ "patientId": patient, "format": "PDF" })).await);
}

#[tokio::test]
async fn a_double_click_makes_one_document() {
    let app = TestApp::with(&[("RATE_LIMIT_EXPORTS", "2/1h")]).await;
    let (jane, patient, session) = practice(&app).await;
    let input = json!({ "sessionIds": [session], "format": "PDF", "idempotencyKey": "click" });
    let clicks = join_all((0..8).map(|_| export_notes(&jane, input.clone()))).await;
    let ids: BTreeSet<String> = clicks.iter().map(id_of).collect();
    assert_eq!((ids.len(), app.count(JOBS).await), (1, 1), "{ids:?}");
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'export_document'").await, 1);
    for input in [
        json!({ "sessionIds": [session], "format": "DOCX", "idempotencyKey": "click" }),
        json!({ "sessionIds": [Uuid::now_v7()], "format": "PDF", "idempotencyKey": "click" }),
    ] {
        assert_eq!(code(&export_notes(&jane, input).await), "IDEMPOTENCY_KEY_REUSED");
    }
    let report = json!({ "patientId": patient, "format": "PDF", "idempotencyKey": "click" });
    assert_eq!(code(&export_report(&jane, report).await), "IDEMPOTENCY_KEY_REUSED");
    // All of these clicks were one of the two that are let through.
    id_of(&export_report(&jane, json!({ "patientId": patient, "format": "PDF" })).await);
    app.run_jobs().await;
    let again = export_notes(&jane, input).await;
    assert_eq!(again["exportJob"]["status"], "COMPLETED", "what it has become is read again");
}

#[tokio::test]
async fn one_more_than_an_hour_allows_is_refused_on_every_server_and_says_when_to_come_back() {
    let limit = [("RATE_LIMIT_EXPORTS", "3/1h")];
    let app = TestApp::with(&limit).await;
    let other = app.sibling(&limit).await;
    let (jane, patient, session) = practice(&app).await;
    let elsewhere = other.anonymous().with_token(jane.token.as_ref().unwrap());
    let report = |key: &str| json!({ "patientId": patient, "format": "PDF", "idempotencyKey": key });
    // What is refused for another reason is not counted.
    for _ in 0..5 {
        export_notes(&jane, json!({ "sessionIds": [], "format": "PDF" })).await;
        export_notes(&jane, json!({ "sessionIds": [Uuid::now_v7()], "format": "PDF" })).await;
    }
    let query = format!(
        "mutation ($input: ExportProgressReportInput!) {{ exportProgressReport(input: $input) {{ exportJob {{ {JOB} }} }} }}"
    );
    let asks = (0..10).map(|number| {
        let (client, key) = (if number % 2 == 0 { &jane } else { &elsewhere }, format!("key {number}"));
        let body = json!({ "query": query, "variables": { "input": report(&key) } });
        async move { (client.post("/graphql").json(&body).send().await.unwrap(), key) }
    });
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for (answer, key) in join_all(asks).await {
        if answer.status() == 429 {
            assert_eq!(answer.headers()["retry-after"], "3600");
            refused.push(key);
        } else {
            assert_eq!(answer.status(), 200);
            made.push(key);
        }
    }
    assert_eq!((made.len(), refused.len(), app.count(JOBS).await), (3, 7, 3));
    let refusals =
        "SELECT count(*) FROM audit_events WHERE action = 'rate_limit.export' AND outcome = 'REFUSED'";
    assert_eq!(app.count(refusals).await, 1, "the first of a window");
    id_of(&export_report(&jane, report(&made[0])).await);
    app.clock.advance(chrono::TimeDelta::hours(1));
    let jane = app.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await;
    let jane = app.anonymous().with_token(jane["accessToken"].as_str().unwrap());
    id_of(&export_report(&jane, report(&refused[0])).await);
    id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
}

#[tokio::test]
async fn documents_are_listed_newest_first_in_pages_and_by_what_they_are() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    let other = jane.patient("Daniel").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await));
    }
    app.run_jobs().await;
    ids.push(id_of(&export_report(&jane, json!({ "patientId": other, "format": "PDF" })).await));
    ids.reverse();
    let query = "query ($first: Int, $after: String, $filter: ExportJobFilter) {
        exportJobs(first: $first, after: $after, filter: $filter) {
            totalCount nodes { id } pageInfo { hasNextPage endCursor } } }";
    let list = async |variables: Value| jane.call(query, variables).await["exportJobs"].clone();
    let first = list(json!({ "first": 3 })).await;
    let rest = list(json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    let nodes = |page: &Value| page["nodes"].as_array().unwrap().clone();
    let listed: Vec<Value> = [nodes(&first), nodes(&rest)].concat();
    assert_eq!(listed, ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>());
    assert_eq!((&first["totalCount"], &rest["pageInfo"]["hasNextPage"]), (&json!(4), &json!(false)));
    for (filter, expected) in [
        (json!({ "patientId": other }), &ids[..1]),
        (json!({ "kind": "PROGRESS_REPORT" }), &ids[..1]),
        (json!({ "status": "QUEUED" }), &ids[..1]),
        (json!({ "status": "COMPLETED", "patientId": patient, "kind": "SESSION_NOTES" }), &ids[1..]),
        (json!({ "patientId": "none of ours" }), &ids[..0]),
    ] {
        let page = list(json!({ "filter": filter })).await;
        let expected: Vec<Value> = expected.iter().map(|id| json!({ "id": id })).collect();
        assert_eq!(
            (nodes(&page), &page["totalCount"]),
            (expected.clone(), &json!(expected.len())),
            "{filter}"
        );
    }
    assert_eq!(jane.refusal(query, json!({ "first": 101 })).await, "BAD_REQUEST");
    let node =
        jane.call("query ($id: ID!) { node(id: $id) { id __typename } }", json!({ "id": ids[0] })).await;
    assert_eq!(node["node"], json!({ "id": ids[0], "__typename": "ExportJob" }));
    assert_eq!(job(&app.therapist("eve").await, &ids[0]).await, Value::Null);
}
