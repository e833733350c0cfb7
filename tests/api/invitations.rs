//! Invitations: a code from the therapist ties a patient's account to the record, once.

use chrono::TimeDelta;
use futures::future::{join, join_all};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::support::client::Client;
use super::support::{PASSWORD, TestApp, code};

const ACCEPT: &str = "mutation ($code: String!) { acceptInvitation(code: $code) {
    patient { id name hasAccount invitation { id } } userErrors { code message field } } }";
const REVOKE: &str = "mutation ($id: ID!) { revokeInvitation(invitationId: $id) {
    invitation { id code revokedAt patient { invitation { id } } } userErrors { code message field } } }";
const PATIENT: &str = "query ($id: ID!) { patient(id: $id) { hasAccount invitation { id code expiresAt } } }";

#[tokio::test]
async fn an_invitation_is_shown_once_with_its_code_and_lives_a_week() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let made = jane.invite(json!({ "patientId": id })).await["invitation"].clone();
    let typed = made["code"].as_str().unwrap();
    assert!(typed.starts_with("TBP-") && typed.len() == 23, "{typed}");
    assert_eq!(made["expiresAt"], "2026-03-17T09:00:00+00:00");
    assert_eq!(made["patient"]["id"], json!(id));
    let patient = jane.call(PATIENT, json!({ "id": id })).await["patient"].clone();
    let open = json!({ "id": made["id"], "code": null, "expiresAt": made["expiresAt"] });
    assert_eq!(patient, json!({ "hasAccount": false, "invitation": open }));
    app.clock.advance(TimeDelta::days(7));
    let jane = log_in_again(&app, &jane, "jane").await;
    assert!(invitation_of(&jane, &id).await.is_null(), "it has ended");
}

#[tokio::test]
async fn only_a_hash_of_the_code_is_kept() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let typed = jane.invitation_code(&jane.patient("Noah").await).await;
    let rows = "SELECT string_agg(i::text, ' ') FROM patient_invitations i";
    let kept: String = sqlx::query_scalar(rows).fetch_one(app.app.pool()).await.unwrap();
    assert!(!kept.to_uppercase().contains(typed.strip_prefix("TBP-").unwrap()), "{kept}");
    assert!(!kept.to_uppercase().contains(&typed.replace('-', "")[3..]), "{kept}");
    assert_eq!(app.count("SELECT count(*) FROM patient_invitations WHERE length(code) = 64").await, 1);
}

#[tokio::test]
async fn signing_up_with_the_code_ties_the_account_to_the_record() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (noah, id) = app.patient_user(&jane, "noah").await;
    let query = "{ patients { nodes { id name hasAccount } } }";
    let seen = noah.call(query, json!({})).await["patients"]["nodes"].clone();
    assert_eq!(seen, json!([{ "id": id, "name": "noah", "hasAccount": true }]));
    let patient = jane.call(PATIENT, json!({ "id": id })).await["patient"].clone();
    assert_eq!(patient, json!({ "hasAccount": true, "invitation": null }));
}

#[tokio::test]
async fn a_logged_in_patient_accepts_with_the_code_however_it_is_typed() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let noah = app.user("noah", "PATIENT").await;
    let typed = jane.invitation_code(&id).await.to_lowercase().replace('-', " ");
    let accepted = accept(&noah, &typed).await;
    let expected = json!({ "id": id, "name": "Noah", "hasAccount": true, "invitation": null });
    assert_eq!(accepted, json!({ "patient": expected, "userErrors": [] }));
}

#[tokio::test]
async fn a_code_that_is_not_good_makes_no_account_and_ties_nothing() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let noah = app.user("noah", "PATIENT").await;
    let replaced = jane.invitation_code(&id).await;
    let revoked = jane.invite(json!({ "patientId": id })).await["invitation"].clone();
    revoke(&jane, &revoked["id"]).await;
    let revoked = revoked["code"].as_str().unwrap().to_owned();
    let expired = jane.invitation_code(&id).await;
    app.clock.advance(TimeDelta::days(7));
    let noah = log_in_again(&app, &noah, "noah").await;
    let huge = "TBP-".repeat(100_000);
    for bad in [
        "",
        "TBP-0000-0000-0000-0000",
        "'; DROP TABLE users; --",
        "a\0b",
        &huge,
        &replaced,
        &revoked,
        &expired,
    ] {
        let refused = app.anonymous().sign_up(sign_up("eve", "PATIENT", bad)).await;
        assert_eq!(code(&refused), "INVALID_TOKEN", "{bad:.40}");
        assert_eq!(refused["userErrors"][0]["field"], "invitationCode");
        assert!(refused["accessToken"].is_null());
        let refused = accept(&noah, bad).await;
        assert_eq!((code(&refused), &refused["userErrors"][0]["field"]), ("INVALID_TOKEN", &json!("code")));
    }
    assert_eq!(app.count("SELECT count(*) FROM users").await, 2, "jane and noah");
    assert_eq!(app.count("SELECT count(*) FROM patients WHERE user_id IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_code_is_good_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let typed = jane.invitation_code(&jane.patient("Noah").await).await;
    let (noah, eve) = (app.user("noah", "PATIENT").await, app.user("eve", "PATIENT").await);
    assert_eq!(accept(&noah, &typed).await["userErrors"], json!([]));
    for late in [&noah, &eve] {
        assert_eq!(code(&accept(late, &typed).await), "INVALID_TOKEN");
    }
    let refused = app.anonymous().sign_up(sign_up("mallory", "PATIENT", &typed)).await;
    assert_eq!(code(&refused), "INVALID_TOKEN");
}

#[tokio::test]
async fn a_sign_up_that_fails_for_another_reason_leaves_the_code_good() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let typed = jane.invitation_code(&jane.patient("Noah").await).await;
    let refused = app.anonymous().sign_up(sign_up("jane", "PATIENT", &typed)).await;
    assert_eq!(code(&refused), "ALREADY_EXISTS");
    let made = app.anonymous().sign_up(sign_up("noah", "PATIENT", &typed)).await;
    assert_eq!(made["userErrors"], json!([]));
}

#[tokio::test]
async fn of_many_acceptances_at_once_exactly_one_wins() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let typed = jane.invitation_code(&jane.patient("Noah").await).await;
    let users = join_all(["ann", "bob", "cem", "dan"].map(|name| app.user(name, "PATIENT"))).await;
    let answers = join_all(users.iter().map(|user| accept(user, &typed))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer["userErrors"] == json!([]));
    assert_eq!((won.len(), lost.len()), (1, 3));
    assert!(lost.iter().all(|answer| code(answer) == "INVALID_TOKEN"));
    assert_eq!(app.count("SELECT count(*) FROM patients WHERE user_id IS NOT NULL").await, 1);
}

#[tokio::test]
async fn an_account_belongs_to_one_record_and_what_it_could_not_accept_stays_good() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (noah, _) = app.patient_user(&jane, "noah").await;
    let other = jane.invitation_code(&jane.patient("Mia").await).await;
    assert_eq!(code(&accept(&noah, &other).await), "CONFLICT");
    let mia = app.user("mia", "PATIENT").await;
    assert_eq!(accept(&mia, &other).await["userErrors"], json!([]));
}

#[tokio::test]
async fn one_account_that_accepts_two_invitations_at_once_gets_one_record() {
    let app = TestApp::new().await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    let ours = jane.invitation_code(&jane.patient("Noah").await).await;
    let theirs = john.invitation_code(&john.patient("Noah").await).await;
    let noah = app.user("noah", "PATIENT").await;
    let (one, other) = join(accept(&noah, &ours), accept(&noah, &theirs)).await;
    let refused: Vec<&Value> =
        [&one, &other].into_iter().filter(|answer| answer["patient"].is_null()).collect();
    assert_eq!(refused.len(), 1, "{one} {other}");
    assert_eq!(code(refused[0]), "CONFLICT");
}

#[tokio::test]
async fn only_patients_sign_up_with_a_code_or_accept_one() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let typed = jane.invitation_code(&jane.patient("Noah").await).await;
    let refused = app.anonymous().sign_up(sign_up("john", "THERAPIST", &typed)).await;
    assert_eq!(
        (code(&refused), &refused["userErrors"][0]["field"]),
        ("INVALID_INPUT", &json!("invitationCode"))
    );
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(jane.refusal(ACCEPT, json!({ "code": typed })).await, "FORBIDDEN");
    assert_eq!(app.anonymous().refusal(ACCEPT, json!({ "code": typed })).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn only_the_therapist_of_a_patient_invites_revokes_and_sees_invitations() {
    let app = TestApp::new().await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    let (noah, bound) = app.patient_user(&jane, "noah").await;
    let id = jane.patient("Mia").await;
    let invitation = jane.invite(json!({ "patientId": id })).await["invitation"].clone();
    let missing = john.invite(json!({ "patientId": Uuid::now_v7() })).await;
    assert_eq!(code(&missing), "NOT_FOUND");
    assert_eq!(john.invite(json!({ "patientId": id })).await, missing, "foreign looks like missing");
    assert_eq!(john.invite(json!({ "patientId": "no id" })).await, missing);
    let missing = revoke(&john, &json!(Uuid::now_v7())).await;
    assert_eq!(code(&missing), "NOT_FOUND");
    assert_eq!(revoke(&john, &invitation["id"]).await, missing, "foreign looks like missing");
    assert_eq!(revoke(&john, &json!("no id")).await, missing);
    let invite = "mutation ($id: ID!) { invitePatient(input: { patientId: $id }) { userErrors { code } } }";
    for (client, expected) in [(&noah, "FORBIDDEN"), (&app.anonymous(), "UNAUTHENTICATED")] {
        assert_eq!(client.refusal(invite, json!({ "id": bound })).await, expected);
        assert_eq!(client.refusal(REVOKE, json!({ "id": invitation["id"] })).await, expected);
    }
    assert_eq!(invitation_of(&jane, &id).await["id"], invitation["id"], "nothing happened to it");
}

#[tokio::test]
async fn a_record_that_was_put_away_or_has_an_account_takes_no_invitation() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (_, bound) = app.patient_user(&jane, "noah").await;
    let archived = jane.patient("Mia").await;
    let early = jane.invitation_code(&archived).await;
    let archive = "mutation ($id: ID!) { archivePatient(patientId: $id) { userErrors { code } } }";
    jane.call(archive, json!({ "id": archived })).await;
    for id in [bound, archived] {
        let refused = jane.invite(json!({ "patientId": id })).await;
        assert_eq!(
            (code(&refused), &refused["userErrors"][0]["field"]),
            ("INVALID_STATE", &json!("patientId"))
        );
    }
    let mia = app.user("mia", "PATIENT").await;
    assert_eq!(code(&accept(&mia, &early).await), "INVALID_TOKEN", "put away after the invitation");
}

#[tokio::test]
async fn an_invitation_taken_back_is_gone_and_an_accepted_one_stays() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let invitation = jane.invite(json!({ "patientId": id })).await["invitation"].clone();
    let revoked = revoke(&jane, &invitation["id"]).await;
    let now = "2026-03-10T09:00:00+00:00";
    let gone =
        json!({ "id": invitation["id"], "code": null, "revokedAt": now, "patient": { "invitation": null } });
    assert_eq!(revoked, json!({ "invitation": gone, "userErrors": [] }));
    app.clock.advance(TimeDelta::minutes(5));
    assert_eq!(revoke(&jane, &invitation["id"]).await, revoked, "twice is fine");
    let invitation = jane.invite(json!({ "patientId": id })).await["invitation"].clone();
    accept(&app.user("noah", "PATIENT").await, invitation["code"].as_str().unwrap()).await;
    assert_eq!(code(&revoke(&jane, &invitation["id"]).await), "INVALID_STATE");
}

#[tokio::test]
async fn a_request_sent_again_invites_once_and_tells_the_code_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (id, other) = (jane.patient("Noah").await, jane.patient("Mia").await);
    let first = jane.invite(json!({ "patientId": id, "idempotencyKey": "k" })).await;
    let mut expected = first.clone();
    expected["invitation"]["code"] = Value::Null;
    assert_eq!(jane.invite(json!({ "patientId": id, "idempotencyKey": "k" })).await, expected);
    let reused = jane.invite(json!({ "patientId": other, "idempotencyKey": "k" })).await;
    assert_eq!(code(&reused), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(code(&jane.invite(json!({ "patientId": id, "idempotencyKey": "" })).await), "INVALID_INPUT");
    assert_eq!(app.count("SELECT count(*) FROM patient_invitations").await, 1);
    let answers =
        join_all((0..4).map(|_| jane.invite(json!({ "patientId": other, "idempotencyKey": "l" })))).await;
    let codes = answers.iter().filter(|answer| answer["invitation"]["code"].is_string()).count();
    assert_eq!((codes, app.count("SELECT count(*) FROM patient_invitations").await), (1, 2), "{answers:?}");
}

#[tokio::test]
async fn invitations_made_at_once_leave_one_open() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.patient("Noah").await;
    let answers = join_all((0..4).map(|_| jane.invite(json!({ "patientId": id })))).await;
    assert!(answers.iter().all(|answer| answer["userErrors"] == json!([])));
    let open = "SELECT count(*) FROM patient_invitations WHERE revoked_at IS NULL";
    assert_eq!(app.count(open).await, 1);
}

#[tokio::test]
async fn inviting_and_accepting_stand_in_the_trail_of_the_record() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (noah, id) = app.patient_user(&jane, "noah").await;
    accept(&noah, "TBP-0000-0000-0000-0000").await;
    let events: Vec<String> = sqlx::query_scalar(AssertSqlSafe(
        "SELECT concat_ws(' ', action, actor_role, outcome, patient_id::text) FROM audit_events
         WHERE action LIKE 'patient.%' AND action <> 'patient.create' ORDER BY id",
    ))
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let expected = [
        format!("patient.invite THERAPIST OK {id}"),
        format!("patient.accept_invitation PATIENT OK {id}"),
        "patient.accept_invitation PATIENT REFUSED".to_owned(),
    ];
    assert_eq!(events, expected);
}

fn sign_up(name: &str, role: &str, invitation_code: &str) -> Value {
    json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "fullName": name, "role": role,
        "invitationCode": invitation_code })
}

async fn log_in_again(app: &TestApp, client: &Client, name: &str) -> Client {
    let tokens = app.anonymous().log_in(&format!("{name}@example.com"), PASSWORD).await;
    client.with_token(tokens["accessToken"].as_str().unwrap())
}

async fn accept(client: &Client, code: &str) -> Value {
    client.call(ACCEPT, json!({ "code": code })).await["acceptInvitation"].clone()
}

async fn revoke(client: &Client, id: &Value) -> Value {
    client.call(REVOKE, json!({ "id": id })).await["revokeInvitation"].clone()
}

async fn invitation_of(client: &Client, patient_id: &str) -> Value {
    client.call(PATIENT, json!({ "id": patient_id })).await["patient"]["invitation"].clone()
}
