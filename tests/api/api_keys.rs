//! API keys: made, used, watched over, ended. What each scope opens is held against the schema in `matrix::keys`.

mod streams;
mod use_of_keys;

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use therapybridge::entity::api_key::with_secret;

use super::log_ins::{change_password, deactivate};
use super::second_factor::{Holder, Log, dump};
use super::support::client::Client;
use super::support::{PASSWORD, TestApp, code};

const LIST: &str = "{ apiKeys { totalCount nodes {
    id name prefix scopes allowedIps createdAt expiresAt lastUsedAt revokedAt } } }";

/// What a key is asked for with; `change` says what is different.
fn input(change: Value) -> Value {
    let mut input = json!({ "name": "Dashboard", "scopes": ["PATIENTS_READ"], "password": PASSWORD,
        "expiresAt": "2026-04-01T00:00:00Z" });
    let Value::Object(change) = change else { panic!("not an input: {change}") };
    input.as_object_mut().unwrap().extend(change);
    input
}

/// Code and field of the only user error.
fn refusal(payload: &Value) -> (&str, &str) {
    assert!(payload["apiKey"].is_null() && payload["secret"].is_null(), "{payload}");
    (code(payload), payload["userErrors"][0]["field"].as_str().unwrap_or_default())
}

async fn keys(client: &Client) -> Vec<Value> {
    client.call(LIST, json!({})).await["apiKeys"]["nodes"].as_array().unwrap().clone()
}

/// `data`, or the code of the refusal.
async fn patients(client: &Client) -> String {
    let answer = client.answer("{ patients { nodes { name } } }", json!({})).await;
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("data").to_owned()
}

#[tokio::test]
async fn a_key_is_shown_once_and_asks_for_its_owner() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    jane.patient("Daniel").await;
    eve.patient("Maria").await;
    let made = jane.create_api_key(input(json!({ "scopes": ["SESSIONS_READ", "PATIENTS_READ"] }))).await;
    let (key, secret) = (&made["apiKey"], made["secret"].as_str().unwrap());
    assert!(secret.starts_with(key["prefix"].as_str().unwrap()) && secret.starts_with("tbk_"));
    let expected = json!({
        "id": key["id"], "name": "Dashboard", "prefix": key["prefix"], "allowedIps": [],
        "scopes": ["PATIENTS_READ", "SESSIONS_READ"], "createdAt": "2026-03-10T09:00:00+00:00",
        "expiresAt": "2026-04-01T00:00:00+00:00", "lastUsedAt": null, "revokedAt": null
    });
    assert_eq!((key, keys(&jane).await), (&expected, vec![expected.clone()]));
    assert!(keys(&eve).await.is_empty());
    let one = "query ($id: ID!) { apiKey(id: $id) { name } node(id: $id) { ... on ApiKey { name } } }";
    let id = json!({ "id": key["id"] });
    let own = json!({ "apiKey": { "name": "Dashboard" }, "node": { "name": "Dashboard" } });
    assert_eq!(jane.call(one, id.clone()).await, own);
    assert_eq!(eve.call(one, id).await, json!({ "apiKey": null, "node": null }));

    let integration = app.anonymous().with_token(secret);
    let seen = integration.call("{ viewer { fullName role } patients { nodes { name } } }", json!({})).await;
    assert_eq!(seen["viewer"], json!({ "fullName": "jane", "role": "THERAPIST" }));
    assert_eq!(seen["patients"]["nodes"], json!([{ "name": "Daniel" }]));
}

#[tokio::test]
async fn what_a_key_may_be_is_checked() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for (change, field) in [
        (json!({ "name": " " }), "name"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "expiresAt": "2026-03-10T09:00:59Z" }), "expiresAt"),
        (json!({ "expiresAt": "2025-03-10T09:00:00Z" }), "expiresAt"),
        (json!({ "expiresAt": "2027-03-11T09:00:01Z" }), "expiresAt"),
        (json!({ "allowedIps": ["example.com"] }), "allowedIps"),
        (json!({ "allowedIps": ["192.0.2.0/33"] }), "allowedIps"),
    ] {
        let payload = jane.create_api_key(input(change.clone())).await;
        assert_eq!(refusal(&payload), ("INVALID_INPUT", field), "{change}");
    }
    let longest = json!({ "expiresAt": "2027-03-11T09:00:00Z", "scopes": ["AUDIT_READ", "AUDIT_READ"],
        "allowedIps": ["192.0.2.7", "198.51.100.9/24", "192.0.2.7/32"] });
    let made = jane.create_api_key(input(longest)).await;
    assert_eq!(made["apiKey"]["scopes"], json!(["AUDIT_READ"]));
    assert_eq!(made["apiKey"]["allowedIps"], json!(["192.0.2.7/32", "198.51.100.0/24"]));
    assert_eq!(keys(&jane).await.len(), 1);
}

#[tokio::test]
async fn a_log_in_alone_makes_no_key() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let wrong = jane.create_api_key(input(json!({ "password": "not it at all" }))).await;
    assert_eq!(refusal(&wrong), ("INVALID_CREDENTIALS", "password"));

    let holder = Holder::new(&app, "hanna").await;
    let without = holder.client.create_api_key(input(json!({}))).await;
    assert_eq!(refusal(&without), ("INVALID_CREDENTIALS", "code"));
    let wrong = holder.client.create_api_key(input(json!({ "code": "not it" }))).await;
    assert_eq!(refusal(&wrong), ("INVALID_CREDENTIALS", "code"));
    assert_eq!(app.count("SELECT count(*) FROM api_keys").await, 0);

    let with_code = input(json!({ "code": holder.code(), "idempotencyKey": "once" }));
    let made = holder.client.create_api_key(with_code.clone()).await;
    assert!(made["secret"].is_string(), "{made}");
    let again = holder.client.create_api_key(with_code).await;
    assert_eq!((&again["apiKey"], &again["secret"]), (&made["apiKey"], &Value::Null), "a used code replays");
    let refused = "SELECT count(*) FROM audit_events WHERE action = 'api_key.create' AND outcome = 'REFUSED'";
    assert_eq!(app.count(refused).await, 2, "a missing code was not guessed");
}

#[tokio::test]
async fn a_repeated_request_makes_one_key_and_shows_no_secret_again() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let wanted = input(json!({ "idempotencyKey": "k" }));
    let made = join_all((0..4).map(|_| jane.create_api_key(wanted.clone()))).await;
    assert!(made.iter().all(|payload| payload["apiKey"]["id"] == made[0]["apiKey"]["id"]), "{made:?}");
    assert_eq!(made.iter().filter(|payload| payload["secret"].is_string()).count(), 1);
    let other = jane.create_api_key(input(json!({ "idempotencyKey": "k", "scopes": ["AUDIT_READ"] }))).await;
    assert_eq!(refusal(&other), ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey"));
    let unproven = input(json!({ "idempotencyKey": "k", "password": "not it at all" }));
    assert_eq!(refusal(&jane.create_api_key(unproven).await).0, "INVALID_CREDENTIALS");
    assert_eq!(app.count("SELECT count(*) FROM api_keys").await, 1);
}

#[tokio::test]
async fn a_therapist_has_fifty_good_keys_at_most() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (first, _) = jane.api_key(&["AUDIT_READ"]).await;
    app.run(
        "INSERT INTO api_keys (id, owner_id, name, prefix, secret_hash, scopes, allowed_ips, expires_at, created_at, updated_at)
        SELECT gen_random_uuid(), owner_id, name, prefix, n::text, scopes, allowed_ips, expires_at, created_at, updated_at
        FROM api_keys, generate_series(1, 48) AS n",
    )
    .await;
    let made = join_all((0..3).map(|_| jane.create_api_key(input(json!({}))))).await;
    assert_eq!(made.iter().filter(|payload| payload["secret"].is_string()).count(), 1, "{made:?}");
    assert_eq!(refusal(&jane.create_api_key(input(json!({}))).await).0, "INVALID_STATE");
    jane.revoke_api_key(&first).await;
    assert!(jane.create_api_key(input(json!({}))).await["secret"].is_string());
    app.clock.advance(TimeDelta::days(300));
    let jane = app.anonymous().log_in("jane@example.com", PASSWORD).await;
    let jane = app.anonymous().with_token(jane["accessToken"].as_str().unwrap());
    let later = input(json!({ "expiresAt": "2027-02-01T00:00:00Z" }));
    assert!(jane.create_api_key(later).await["secret"].is_string(), "expired ones do not count");
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_revoking_again_is_fine() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let (id, integration) = jane.api_key(&["PATIENTS_READ"]).await;
    for other in [&id, "none of ours"] {
        assert_eq!(code(&eve.revoke_api_key(other).await), "NOT_FOUND");
    }
    assert_eq!(patients(&integration).await, "data");
    let revoked = jane.revoke_api_key(&id).await;
    assert_eq!(revoked["apiKey"]["revokedAt"], "2026-03-10T09:00:00+00:00");
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
    app.clock.advance(TimeDelta::minutes(1));
    assert_eq!(jane.revoke_api_key(&id).await, revoked);
    let events = "SELECT count(*) FROM audit_events WHERE action = 'api_key.revoke' AND outcome = 'OK'";
    assert_eq!(app.count(events).await, 1);
}

#[tokio::test]
async fn a_key_ends_with_its_time_and_that_is_no_news() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let made = jane.create_api_key(input(json!({ "expiresAt": "2026-03-10T09:01:00Z" }))).await;
    let integration = app.anonymous().with_token(made["secret"].as_str().unwrap());
    app.clock.advance(TimeDelta::seconds(59));
    assert_eq!(patients(&integration).await, "data");
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE outcome = 'REFUSED'").await, 0);
}

#[tokio::test]
async fn keys_outlive_log_ins_and_passwords_and_end_for_good_with_the_account() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let tokens = app.tokens("jane").await;
    let jane = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    let (id, integration) = jane.api_key(&["PATIENTS_READ"]).await;
    change_password(&jane, PASSWORD, "another horse entirely").await;
    assert_eq!(patients(&integration).await, "data");
    jane.call("mutation { logOutEverywhere { loggedOut } }", json!({})).await;
    assert_eq!(
        (patients(&jane).await.as_str(), patients(&integration).await.as_str()),
        ("UNAUTHENTICATED", "data")
    );

    let user: uuid::Uuid = tokens["user"]["id"].as_str().unwrap().parse().unwrap();
    deactivate(&admin, user).await;
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
    let back = "mutation ($id: ID!) { reactivateUser(userId: $id) { user { isActive } } }";
    admin.call(back, json!({ "id": user })).await;
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED", "what ended stays ended");
    let revoked = format!("SELECT count(*) FROM api_keys WHERE id = '{id}' AND revoked_at IS NOT NULL");
    assert_eq!(app.count(&revoked).await, 1);
}

#[tokio::test]
async fn keys_end_with_a_password_that_somebody_knew() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (_, integration) = jane.api_key(&["PATIENTS_READ"]).await;
    let (_, of_eve) = app.therapist("eve").await.api_key(&["PATIENTS_READ"]).await;
    let change = "mutation ($current: String!) { changePassword(input: {
        currentPassword: $current, newPassword: \"another horse entirely\", revokeApiKeys: true }) { userErrors { code message } } }";
    let wrong = jane.call(change, json!({ "current": "not it at all" })).await["changePassword"].clone();
    assert_eq!((code(&wrong), patients(&integration).await.as_str()), ("INVALID_CREDENTIALS", "data"));
    let changed = jane.call(change, json!({ "current": PASSWORD })).await["changePassword"].clone();
    assert_eq!(changed["userErrors"], json!([]));
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
    assert_eq!((patients(&jane).await.as_str(), patients(&of_eve).await.as_str()), ("data", "data"));
    let told = "SELECT count(*) FROM audit_events WHERE action = 'user.change_password'
        AND changed_fields = '{password,apiKeys}'";
    assert_eq!(app.count(told).await, 1);
}

#[tokio::test]
async fn a_key_is_checked_in_one_read_of_two_indexes() {
    let app = TestApp::new().await;
    app.run(
        "INSERT INTO users (id, email, hashed_password, full_name, role, created_at, updated_at)
            SELECT gen_random_uuid(), n || '@example.com', 'x', 'x', 'THERAPIST', now(), now()
            FROM generate_series(1, 20000) n;
        INSERT INTO api_keys
            (id, owner_id, name, prefix, secret_hash, scopes, allowed_ips, expires_at, created_at, updated_at)
            SELECT gen_random_uuid(), id, 'x', 'x', rpad(id::text, 64, 'x'), '{audit:read}', '{}', now() + interval '1 day',
                now(), now() FROM users;
        ANALYZE",
    )
    .await;
    let read = with_secret(&"0".repeat(64)).to_string();
    let plan: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {read}"))).fetch_all(app.app.pool()).await.unwrap();
    let plan = plan.join("\n");
    for index in ["users_pkey", "api_keys_secret_hash_key"] {
        assert!(plan.contains(index), "{plan}");
    }
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn a_key_of_somebody_who_is_no_therapist_any_more_is_refused() {
    let app = TestApp::new().await;
    let (_, integration) = app.therapist("jane").await.api_key(&["PATIENTS_READ"]).await;
    app.run("UPDATE users SET role = 'ADMIN'").await;
    assert_eq!(patients(&integration).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn neither_database_nor_log_holds_the_secret_of_a_key() {
    let log = Log::default();
    let _guard = log.listen();
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (id, integration) = jane.api_key(&["PATIENTS_READ", "EXPORTS_READ", "SESSIONS_WRITE"]).await;
    let secret = integration.token.clone().unwrap();
    for path in ["/uploads", "/exports/none/download"] {
        integration.request(reqwest::Method::GET, path).send().await.unwrap();
    }
    patients(&integration).await;
    integration.answer("{ nonsense }", json!({})).await;
    jane.revoke_api_key(&id).await;
    patients(&integration).await;
    let (kept, logged) = (dump(&app).await, log.text());
    assert!(logged.contains("therapybridge"), "the log was heard");
    let prefix_and_more = &secret[..20];
    for place in [&kept, &logged] {
        assert!(!place.contains(prefix_and_more), "the secret is told");
    }
    assert!(kept.contains(&secret[..12]), "the prefix is kept");
}
