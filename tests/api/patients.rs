//! Patient records: made, changed, put away, found; and seen by nobody but their therapist and the patient.

use std::collections::HashSet;

use chrono::TimeDelta;
use futures::future::join;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::support::client::Client;
use super::support::{PASSWORD, TestApp, code};

const PATIENT: &str = "query ($id: ID!) { patient(id: $id) { id name email phone archivedAt createdAt } }";
const NODE: &str = "query ($id: ID!) { node(id: $id) { __typename id ... on Patient { name } } }";
const UPDATE: &str = "mutation ($input: UpdatePatientInput!) { updatePatient(input: $input) {
    patient { id name email phone archivedAt } userErrors { code message field } } }";
const ARCHIVE: &str = "mutation ($id: ID!) { archivePatient(patientId: $id) {
    patient { id name archivedAt } userErrors { code message field } } }";
const LIST: &str = "query ($first: Int, $after: String, $search: String) {
    patients(first: $first, after: $after, search: $search) {
        totalCount nodes { id name } edges { cursor node { id } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

#[tokio::test]
async fn a_new_patient_is_as_it_was_entered() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let input = json!({ "name": "  Zoë 李 ", "email": "zoe@example.com", "phone": "+49 221 123" });
    let patient = jane.create_patient(input).await["patient"].clone();
    let id = patient["id"].as_str().unwrap();
    assert_eq!(Uuid::parse_str(id).unwrap().get_version_num(), 7);
    assert_eq!(
        patient,
        json!({ "id": id, "name": "Zoë 李", "email": "zoe@example.com", "phone": "+49 221 123",
            "archivedAt": null, "createdAt": "2026-03-10T09:00:00+00:00" })
    );
    assert_eq!(jane.call(PATIENT, json!({ "id": id })).await["patient"], patient);
    assert_eq!(
        jane.call(NODE, json!({ "id": id })).await["node"],
        json!({ "__typename": "Patient", "id": id, "name": "Zoë 李" })
    );
}

#[tokio::test]
async fn values_that_cannot_be_are_refused_with_their_field() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let (long, huge) = ("x".repeat(201), "x".repeat(900_000));
    for (field, value) in [
        ("name", ""),
        ("name", "  "),
        ("name", "No\0ah"),
        ("name", "No\nah"),
        ("name", &long),
        ("name", &huge),
        ("email", "noah"),
        ("email", "é@"),
        ("email", "no\0ah@example.com"),
        ("email", &huge),
        ("phone", "none"),
        ("phone", "12\u{0}345"),
        ("phone", &huge),
    ] {
        let mut input = json!({ "name": "Noah" });
        input[field] = json!(value);
        let made = jane.create_patient(input).await;
        let changed = update(&jane, json!({ "patientId": id, field: value })).await;
        for payload in [made, changed] {
            assert_eq!(code(&payload), "INVALID_INPUT", "{field}: {value:.40?}");
            assert_eq!(payload["userErrors"][0]["field"], field, "{value:.40?}");
            assert!(payload["patient"].is_null());
        }
    }
    assert_eq!(app.count("SELECT count(*) FROM patients").await, 1);
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name_and_empties_what_it_nulls() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let made =
        jane.create_patient(json!({ "name": "Noah", "email": "noah@example.com", "phone": "12345" })).await;
    let id = made["patient"]["id"].clone();
    let renamed = update(&jane, json!({ "patientId": id, "name": "Noah Okafor" })).await["patient"].clone();
    assert_eq!(
        renamed,
        json!({ "id": id, "name": "Noah Okafor", "email": "noah@example.com", "phone": "12345", "archivedAt": null })
    );
    let emptied =
        update(&jane, json!({ "patientId": id, "name": null, "email": null })).await["patient"].clone();
    assert_eq!(
        emptied,
        json!({ "id": id, "name": "Noah Okafor", "email": null, "phone": "12345", "archivedAt": null }),
        "a name cannot be emptied"
    );
}

#[tokio::test]
async fn a_record_that_was_put_away_stays_readable_and_twice_is_fine() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let first = archive(&jane, &id).await;
    assert_eq!(first["patient"]["archivedAt"], "2026-03-10T09:00:00+00:00");
    app.clock.advance(TimeDelta::minutes(5));
    assert_eq!(archive(&jane, &id).await, first, "nothing changes");
    assert_eq!(jane.call(PATIENT, json!({ "id": id })).await["patient"]["name"], "Noah");
    assert_eq!(list(&jane, json!({})).await["totalCount"], 1);
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE action = 'patient.archive'").await, 1);
}

#[tokio::test]
async fn pages_follow_each_other_newest_first_without_gap_or_repetition() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let names: Vec<String> = (0..103).map(|n| format!("Patient {n:03}")).collect();
    for name in &names {
        jane.patient(name).await;
    }
    let default = list(&jane, json!({})).await;
    assert_eq!(default["nodes"].as_array().unwrap().len(), 25);
    let first = list(&jane, json!({ "first": 100 })).await;
    assert_eq!(first["totalCount"], 103);
    assert_eq!(
        (&first["pageInfo"]["hasNextPage"], &first["pageInfo"]["hasPreviousPage"]),
        (&json!(true), &json!(false))
    );
    // One that comes meanwhile moves nobody to another page.
    jane.patient("Latecomer").await;
    let last = list(&jane, json!({ "first": 100, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(
        (&last["pageInfo"]["hasNextPage"], &last["pageInfo"]["hasPreviousPage"]),
        (&json!(false), &json!(true))
    );
    let seen: Vec<&str> = [&first, &last].into_iter().flat_map(|page| names_of(page)).collect();
    assert_eq!(seen, names.iter().rev().map(String::as_str).collect::<Vec<_>>());
    let empty = list(&jane, json!({ "after": last["pageInfo"]["endCursor"] })).await;
    assert_eq!(empty["nodes"], json!([]));
    assert_eq!(empty["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn an_exactly_full_page_has_no_next_one() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for name in ["Noah", "Maria"] {
        jane.patient(name).await;
    }
    let page = list(&jane, json!({ "first": 2 })).await;
    assert_eq!(page["pageInfo"]["hasNextPage"], false);
    assert_eq!(page["edges"][1]["cursor"], page["pageInfo"]["endCursor"]);
}

#[tokio::test]
async fn a_page_that_cannot_be_is_an_error_and_never_a_silent_cut() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for variables in [
        json!({ "first": 0 }),
        json!({ "first": -1 }),
        json!({ "first": 101 }),
        json!({ "after": "" }),
        json!({ "after": "no cursor" }),
        json!({ "after": "s5" }),
        json!({ "after": "c'; DROP TABLE patients; --" }),
        json!({ "after": "c\0" }),
    ] {
        assert_eq!(jane.refusal(LIST, variables.clone()).await, "BAD_REQUEST", "{variables}");
    }
}

#[tokio::test]
async fn a_cursor_of_somebody_else_shows_nothing_of_theirs() {
    let app = TestApp::new().await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    jane.patient("Noah").await;
    for name in ["Maria", "Aylin"] {
        john.patient(name).await;
    }
    let cursor = list(&john, json!({ "first": 1 })).await["pageInfo"]["endCursor"].clone();
    let page = list(&jane, json!({ "after": cursor })).await;
    assert_eq!(names_of(&page), ["Noah"]);
    assert_eq!(page["totalCount"], 1);
}

#[tokio::test]
async fn search_looks_in_name_email_and_phone_and_takes_every_sign_as_itself() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for (name, email, phone) in [
        ("Noah 100% Okafor", "noah@example.com", "0221 555"),
        ("Maria_Santos", "maria@example.org", "0221 777"),
        (r"Aylin \ Yıldız", "aylin@example.com", "+90 (1)"),
    ] {
        let phone =
            if phone.chars().filter(char::is_ascii_digit).count() < 3 { Value::Null } else { json!(phone) };
        let made = jane.create_patient(json!({ "name": name, "email": email, "phone": phone })).await;
        assert_eq!(made["userErrors"], json!([]));
    }
    let (noah, maria, aylin) = ("Noah 100% Okafor", "Maria_Santos", r"Aylin \ Yıldız");
    for (search, expected) in [
        ("okafor", vec![noah]),
        ("EXAMPLE.ORG", vec![maria]),
        ("0221", vec![maria, noah]),
        ("%", vec![noah]),
        ("_", vec![maria]),
        (r"\", vec![aylin]),
        (r"\%", vec![]),
        ("yıldız", vec![aylin]),
        ("  ", vec![aylin, maria, noah]),
        ("", vec![aylin, maria, noah]),
        ("oka\0for", vec![noah]),
        ("' OR 'a' = 'a", vec![]),
        ("nobody", vec![]),
    ] {
        let found = list(&jane, json!({ "search": search })).await;
        assert_eq!(names_of(&found), expected, "{search:?}");
        assert_eq!(found["totalCount"], expected.len(), "{search:?}");
    }
    assert_eq!(list(&jane, json!({ "search": "x".repeat(900_000) })).await["totalCount"], 0);
}

#[tokio::test]
async fn search_finds_nobody_elses_patients() {
    let app = TestApp::new().await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    jane.patient("Noah").await;
    assert_eq!(
        list(&john, json!({ "search": "Noah" })).await,
        list(&john, json!({ "search": "nobody" })).await
    );
}

#[tokio::test]
async fn another_therapists_patient_reads_like_one_that_does_not_exist() {
    let app = TestApp::new().await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    let (theirs, missing) = (jane.patient("Noah").await, Uuid::now_v7().to_string());
    for query in [PATIENT, NODE, ARCHIVE] {
        let (one, other) = (
            john.call(query, json!({ "id": theirs })).await,
            john.call(query, json!({ "id": missing })).await,
        );
        assert_eq!(one, other, "{query}");
    }
    let change = |id: &str| json!({ "patientId": id, "name": "Mine now" });
    assert_eq!(update(&john, change(&theirs)).await, update(&john, change(&missing)).await);
    assert_eq!(code(&update(&john, change(&theirs)).await), "NOT_FOUND");
    assert_eq!(code(&archive(&john, &theirs).await), "NOT_FOUND");
    assert!(john.call(PATIENT, json!({ "id": theirs })).await["patient"].is_null());
    assert!(john.call(NODE, json!({ "id": theirs })).await["node"].is_null());
    assert_eq!(list(&john, json!({})).await["totalCount"], 0);
    let sessions = "query ($id: ID!) { sessions(filter: { patientId: $id }) { totalCount } }";
    assert_eq!(john.call(sessions, json!({ "id": theirs })).await["sessions"]["totalCount"], 0);
    let kept = jane.call(PATIENT, json!({ "id": theirs })).await["patient"].clone();
    assert_eq!((&kept["name"], &kept["archivedAt"]), (&json!("Noah"), &Value::Null));
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for id in ["", "1", "not an id", "\0", "00000000-0000-0000-0000-000000000000"] {
        assert!(jane.call(PATIENT, json!({ "id": id })).await["patient"].is_null(), "{id:?}");
        assert!(jane.call(NODE, json!({ "id": id })).await["node"].is_null(), "{id:?}");
        assert_eq!(code(&archive(&jane, id).await), "NOT_FOUND", "{id:?}");
        assert_eq!(code(&update(&jane, json!({ "patientId": id })).await), "NOT_FOUND", "{id:?}");
    }
}

#[tokio::test]
async fn a_patient_sees_the_own_record_and_changes_nothing() {
    let app = TestApp::new().await;
    let (jane, noah) = (app.therapist("jane").await, app.user("noah", "PATIENT").await);
    let (own, others) = (jane.patient("Noah").await, jane.patient("Maria").await);
    assert_eq!(list(&noah, json!({})).await["totalCount"], 0, "not before an invitation was accepted");
    run(&app, &format!("UPDATE patients SET user_id = (SELECT id FROM users WHERE email = 'noah@example.com') WHERE id = '{own}'")).await;
    assert_eq!(names_of(&list(&noah, json!({})).await), ["Noah"]);
    assert_eq!(noah.call(PATIENT, json!({ "id": own })).await["patient"]["name"], "Noah");
    assert!(noah.call(PATIENT, json!({ "id": others })).await["patient"].is_null());
    assert!(noah.call(NODE, json!({ "id": others })).await["node"].is_null());
    assert_eq!(list(&noah, json!({ "search": "Maria" })).await["totalCount"], 0);
    for id in [&own, &others] {
        may_change_nothing(&noah, id, "FORBIDDEN").await;
    }
}

#[tokio::test]
async fn an_admin_sees_that_a_record_exists_and_not_whose_it_is() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let made =
        jane.create_patient(json!({ "name": "Noah", "email": "noah@example.com", "phone": "12345" })).await;
    let id = made["patient"]["id"].clone();
    app.therapist("root").await;
    run(&app, "UPDATE users SET role = 'ADMIN' WHERE email = 'root@example.com'").await;
    let tokens = app.anonymous().log_in("root@example.com", PASSWORD).await;
    let admin = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    let nameless = json!({ "id": id, "name": null, "email": null, "phone": null, "archivedAt": null,
        "createdAt": "2026-03-10T09:00:00+00:00" });
    assert_eq!(admin.call(PATIENT, json!({ "id": id })).await["patient"], nameless);
    assert_eq!(
        admin.call(NODE, json!({ "id": id })).await["node"],
        json!({ "__typename": "Patient", "id": id, "name": null })
    );
    assert_eq!(list(&admin, json!({})).await["totalCount"], 1);
    may_change_nothing(&admin, id.as_str().unwrap(), "FORBIDDEN").await;
}

#[tokio::test]
async fn an_admin_cannot_find_out_a_name_by_searching_for_it() {
    let app = TestApp::new().await;
    app.therapist("jane").await.patient("Noah").await;
    app.therapist("root").await;
    run(&app, "UPDATE users SET role = 'ADMIN' WHERE email = 'root@example.com'").await;
    let tokens = app.anonymous().log_in("root@example.com", PASSWORD).await;
    let admin = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    let counted = "query ($search: String) { patients(search: $search) { totalCount } }";
    for search in ["Noah", "nobody", "", " "] {
        for query in [LIST, counted] {
            assert_eq!(admin.refusal(query, json!({ "search": search })).await, "FORBIDDEN", "{search:?}");
        }
    }
}

#[tokio::test]
async fn a_stranger_is_asked_to_log_in() {
    let app = TestApp::new().await;
    let id = app.therapist("jane").await.patient("Noah").await;
    let stranger = app.anonymous();
    for (query, variables) in [(PATIENT, json!({ "id": id })), (NODE, json!({ "id": id })), (LIST, json!({}))]
    {
        assert_eq!(stranger.refusal(query, variables).await, "UNAUTHENTICATED", "{query}");
    }
    may_change_nothing(&stranger, &id, "UNAUTHENTICATED").await;
}

#[tokio::test]
async fn a_repeated_request_gives_the_first_patient() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let input = json!({ "name": "Noah", "email": "noah@example.com", "idempotencyKey": "k1" });
    let first = jane.create_patient(input.clone()).await;
    assert_eq!(first["userErrors"], json!([]));
    assert_eq!(jane.create_patient(input).await, first);
    assert_eq!(app.count("SELECT count(*) FROM patients").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE action = 'patient.create'").await, 1);
}

#[tokio::test]
async fn a_key_is_for_one_input() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    jane.create_patient(json!({ "name": "Noah", "idempotencyKey": "k1" })).await;
    for other in [
        json!({ "name": "Maria" }),
        json!({ "name": "Noah", "email": "n@example.com" }),
        json!({ "name": "Noah", "phone": "123" }),
    ] {
        let mut input = other;
        input["idempotencyKey"] = json!("k1");
        let answer = jane.create_patient(input).await;
        assert_eq!(code(&answer), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(answer["userErrors"][0]["field"], "idempotencyKey");
    }
    assert_eq!(app.count("SELECT count(*) FROM patients").await, 1);
}

#[tokio::test]
async fn of_two_requests_at_once_with_one_key_one_makes_the_patient() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let input = json!({ "name": "Noah", "idempotencyKey": "k1" });
    let (one, other) = join(jane.create_patient(input.clone()), jane.create_patient(input)).await;
    let ids: HashSet<&str> =
        [&one, &other].iter().filter_map(|payload| payload["patient"]["id"].as_str()).collect();
    assert_eq!(ids.len(), 1, "{one} {other}");
    for payload in [&one, &other] {
        assert!(payload["patient"].is_object() || code(payload) == "IDEMPOTENCY_IN_PROGRESS", "{payload}");
    }
    assert_eq!(app.count("SELECT count(*) FROM patients").await, 1);
}

#[tokio::test]
async fn a_key_is_its_owners_and_lasts_a_day() {
    let app = TestApp::new().await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    let input = json!({ "name": "Noah", "idempotencyKey": "k1" });
    let first = jane.create_patient(input.clone()).await;
    assert_ne!(john.create_patient(input.clone()).await["patient"]["id"], first["patient"]["id"]);
    app.clock.advance(TimeDelta::hours(24) + TimeDelta::seconds(1));
    let tokens = app.anonymous().log_in("jane@example.com", PASSWORD).await;
    let jane = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    assert_ne!(jane.create_patient(input).await["patient"]["id"], first["patient"]["id"]);
}

#[tokio::test]
async fn a_refused_request_keeps_no_key() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    assert_eq!(
        code(&jane.create_patient(json!({ "name": "", "idempotencyKey": "k1" })).await),
        "INVALID_INPUT"
    );
    let made = jane.create_patient(json!({ "name": "Noah", "idempotencyKey": "k1" })).await;
    assert_eq!(made["userErrors"], json!([]));
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for key in ["", "a\0b", &"x".repeat(201)] {
        let answer = jane.create_patient(json!({ "name": "Noah", "idempotencyKey": key })).await;
        assert_eq!(code(&answer), "INVALID_INPUT", "{key:?}");
        assert_eq!(answer["userErrors"][0]["field"], "idempotencyKey");
    }
    assert_eq!(app.count("SELECT count(*) FROM patients").await, 0);
}

#[tokio::test]
async fn every_write_is_audited_with_names_and_without_values() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let made = jane.create_patient(json!({ "name": "Noah Okafor", "email": "noah@example.org" })).await;
    let id = made["patient"]["id"].as_str().unwrap();
    update(&jane, json!({ "patientId": id, "name": "Noah Weber", "phone": "0221 98765" })).await;
    update(&jane, json!({ "patientId": id, "email": null })).await;
    archive(&jane, id).await;
    let query = "SELECT action || ' ' || array_to_string(changed_fields, ',') FROM audit_events
        WHERE patient_id::text = $1 AND subject_id = patient_id AND actor_role = 'THERAPIST' AND outcome = 'OK'
        AND auth_session_id IN (SELECT family_id FROM auth_sessions) ORDER BY id";
    let events: Vec<String> = sqlx::query_scalar(query).bind(id).fetch_all(app.app.pool()).await.unwrap();
    assert_eq!(
        events,
        [
            "patient.create ",
            "patient.update name,phone",
            "patient.update email",
            "patient.archive archivedAt"
        ]
    );
    for value in ["Noah", "noah@", "98765"] {
        let naming = format!("SELECT count(*) FROM audit_events e WHERE e::text LIKE '%{value}%'");
        assert_eq!(app.count(&naming).await, 0, "{value}");
    }
}

#[tokio::test]
async fn a_refused_change_leaves_record_and_trail_as_they_were() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let before = app.count("SELECT count(*) FROM audit_events").await;
    update(&jane, json!({ "patientId": id, "name": "Weber", "phone": "none" })).await;
    assert_eq!(jane.call(PATIENT, json!({ "id": id })).await["patient"]["name"], "Noah");
    assert_eq!(app.count("SELECT count(*) FROM audit_events").await, before);
}

#[tokio::test]
async fn a_patient_has_sessions_in_pages() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (noah, maria) = (jane.patient("Noah").await, jane.patient("Maria").await);
    for (patient, day) in [(&noah, 1), (&noah, 2), (&noah, 3), (&maria, 4)] {
        insert_session(&app, patient, day).await;
    }
    let query = "query ($id: ID!, $after: String) { patient(id: $id) { sessions(first: 2, after: $after) {
        totalCount nodes { sessionDate patient { id name } } pageInfo { hasNextPage endCursor } } } }";
    let first = jane.call(query, json!({ "id": noah })).await["patient"]["sessions"].clone();
    assert_eq!(first["totalCount"], 3);
    assert_eq!(days(&first), ["2026-03-03", "2026-03-02"]);
    assert_eq!(first["nodes"][0]["patient"], json!({ "id": noah, "name": "Noah" }));
    let variables = json!({ "id": noah, "after": first["pageInfo"]["endCursor"] });
    let last = jane.call(query, variables).await["patient"]["sessions"].clone();
    assert_eq!(days(&last), ["2026-03-01"]);
    assert_eq!(last["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn pages_of_a_patients_sessions_are_bounded() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let query =
        "query ($id: ID!, $first: Int) { patient(id: $id) { sessions(first: $first) { totalCount } } }";
    for first in [0, 101] {
        assert_eq!(jane.refusal(query, json!({ "id": id, "first": first })).await, "BAD_REQUEST", "{first}");
    }
}

async fn update(client: &Client, input: Value) -> Value {
    client.call(UPDATE, json!({ "input": input })).await["updatePatient"].clone()
}

async fn archive(client: &Client, id: &str) -> Value {
    client.call(ARCHIVE, json!({ "id": id })).await["archivePatient"].clone()
}

async fn list(client: &Client, variables: Value) -> Value {
    client.call(LIST, variables).await["patients"].clone()
}

fn names_of(page: &Value) -> Vec<&str> {
    page["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect()
}

fn days(page: &Value) -> Vec<&str> {
    page["nodes"].as_array().unwrap().iter().map(|node| node["sessionDate"].as_str().unwrap()).collect()
}

async fn may_change_nothing(client: &Client, id: &str, expected: &str) {
    let create = r#"mutation { createPatient(input: { name: "Somebody" }) { patient { id } } }"#;
    assert_eq!(client.refusal(create, json!({})).await, expected);
    assert_eq!(client.refusal(UPDATE, json!({ "input": { "patientId": id, "name": "X" } })).await, expected);
    assert_eq!(client.refusal(ARCHIVE, json!({ "id": id })).await, expected);
}

async fn run(app: &TestApp, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(app.app.pool()).await.unwrap();
}

/// A session that took place, without a recording.
async fn insert_session(app: &TestApp, patient_id: &str, day: u32) {
    let id = Uuid::now_v7();
    run(
        app,
        &format!(
            "INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, created_at, updated_at)
             SELECT '{id}', id, therapist_id, 'COMPLETED', '2026-03-{day:02}', now(), now()
             FROM patients WHERE id = '{patient_id}'"
        ),
    )
    .await;
}
