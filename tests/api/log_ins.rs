//! Log-ins as their owners look after them: devices, passwords, keys; and what is tried against them.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use chrono::TimeDelta;
use futures::future::join;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use therapybridge::actor::Origin;
use therapybridge::auth::refresh_token::{RefreshTokens, Rotation};
use therapybridge::clock::Clock;
use therapybridge::database;
use therapybridge::entity::user;
use uuid::Uuid;

use crate::support::client::Client;
use crate::support::{PASSWORD, TestApp, code};

const EMAIL: &str = "jane@example.com";
const SESSIONS: &str =
    "{ viewer { authSessions { id createdAt lastUsedAt expiresAt ip userAgent isCurrent } } }";
const REVOKE: &str = "mutation ($id: ID!) { revokeAuthSession(id: $id) {
    authSession { id isCurrent } userErrors { code message field } } }";
const LOG_OUT_EVERYWHERE: &str = "mutation { logOutEverywhere { loggedOut userErrors { code } } }";
const NEW_PASSWORD: &str = "another horse entirely";

#[tokio::test]
async fn devices_are_listed_with_their_log_in_their_last_use_and_which_one_asks() {
    let app = TestApp::new().await;
    app.therapist("jane").await;
    app.clock.advance(TimeDelta::minutes(5));
    let tokens = app.anonymous().log_in(EMAIL, PASSWORD).await;
    app.clock.advance(TimeDelta::minutes(7));
    let tokens = app.anonymous().refresh(tokens["refreshToken"].as_str().unwrap()).await;
    let devices = devices(&bearer(&app, &tokens)).await;
    let told = |name: &str| devices.iter().map(|device| device[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("createdAt"), ["2026-03-10T09:05:00+00:00", "2026-03-10T09:00:00+00:00"]);
    assert_eq!(told("lastUsedAt"), ["2026-03-10T09:12:00+00:00", "2026-03-10T09:00:00+00:00"]);
    assert_eq!(told("expiresAt"), ["2026-03-17T09:12:00+00:00", "2026-03-17T09:00:00+00:00"]);
    assert_eq!(told("isCurrent"), [true, false]);
    assert_eq!(told("ip"), ["127.0.0.1", "127.0.0.1"]);
}

#[tokio::test]
async fn a_device_is_logged_out_from_another() {
    let app = TestApp::new().await;
    let lost = app.therapist("jane").await;
    let tokens = app.anonymous().log_in(EMAIL, PASSWORD).await;
    let here = bearer(&app, &tokens);
    let device = devices(&here).await.into_iter().find(|device| device["isCurrent"] == false).unwrap();
    let revoked = here.call(REVOKE, json!({ "id": device["id"] })).await["revokeAuthSession"].clone();
    assert_eq!(revoked["authSession"], json!({ "id": device["id"], "isCurrent": false }));
    assert!(!is_known(&lost).await && is_known(&here).await);
    let again = here.call(REVOKE, json!({ "id": device["id"] })).await["revokeAuthSession"].clone();
    assert_eq!(code(&again), "NOT_FOUND", "it has ended");
    let told = "SELECT count(*) FROM audit_events WHERE action = 'auth_session.revoke' AND outcome = 'OK'
        AND subject_id <> auth_session_id";
    assert_eq!(app.count(told).await, 1);
}

#[tokio::test]
async fn nobody_ends_the_log_ins_of_others() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let id = devices(&jane).await[0]["id"].clone();
    for id in [id, json!(Uuid::now_v7()), json!("nothing"), json!("\0")] {
        let payload = eve.call(REVOKE, json!({ "id": id })).await["revokeAuthSession"].clone();
        assert_eq!(code(&payload), "NOT_FOUND");
        assert!(payload["authSession"].is_null());
    }
    assert!(is_known(&jane).await);
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_log_in_of_the_asker_and_of_nobody_else() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let tokens = app.anonymous().log_in(EMAIL, PASSWORD).await;
    let payload = jane.call(LOG_OUT_EVERYWHERE, json!({})).await["logOutEverywhere"].clone();
    assert_eq!(payload, json!({ "loggedOut": true, "userErrors": [] }));
    assert!(!is_known(&jane).await && !is_known(&bearer(&app, &tokens)).await && is_known(&eve).await);
    let refreshed = app.anonymous().refresh(tokens["refreshToken"].as_str().unwrap()).await;
    assert_eq!(code(&refreshed), "INVALID_TOKEN");
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_ends_all_other_log_ins() {
    let app = TestApp::new().await;
    let other = app.therapist("jane").await;
    let here = bearer(&app, &app.anonymous().log_in(EMAIL, PASSWORD).await);
    let payload = change_password(&here, PASSWORD, NEW_PASSWORD).await;
    assert_eq!((&payload["user"]["email"], &payload["userErrors"]), (&json!(EMAIL), &json!([])));
    assert!(is_known(&here).await && !is_known(&other).await);
    assert_eq!(code(&app.anonymous().log_in(EMAIL, PASSWORD).await), "INVALID_CREDENTIALS");
    assert_eq!(app.anonymous().log_in(EMAIL, NEW_PASSWORD).await["userErrors"], json!([]));
    let told = "SELECT count(*) FROM audit_events WHERE action = 'user.change_password' AND outcome = 'OK'
        AND changed_fields = '{password}' AND subject_id = actor_id";
    assert_eq!(app.count(told).await, 1);
}

#[tokio::test]
async fn a_password_is_not_changed_without_the_present_one_or_to_a_weak_one() {
    let app = TestApp::new().await;
    let (jane, huge) = (app.therapist("jane.smith").await, "x".repeat(900_000));
    for (current, new, expected, field) in [
        ("wrong password", NEW_PASSWORD, "INVALID_CREDENTIALS", "currentPassword"),
        (&huge, NEW_PASSWORD, "INVALID_CREDENTIALS", "currentPassword"),
        ("\0", NEW_PASSWORD, "INVALID_CREDENTIALS", "currentPassword"),
        (PASSWORD, "short", "WEAK_PASSWORD", "newPassword"),
        (PASSWORD, "jane.smith", "WEAK_PASSWORD", "newPassword"),
        (PASSWORD, &huge, "WEAK_PASSWORD", "newPassword"),
    ] {
        let payload = change_password(&jane, current, new).await;
        assert_eq!(code(&payload), expected, "{current:.20?} {new:.20?}");
        assert_eq!(payload["userErrors"][0]["field"], field);
    }
    assert!(is_known(&jane).await);
    let refused =
        "SELECT count(*) FROM audit_events WHERE action = 'user.change_password' AND outcome = 'REFUSED'";
    assert_eq!(app.count(refused).await, 3);
}

#[tokio::test]
async fn strangers_have_no_log_ins_to_look_after() {
    let app = TestApp::new().await;
    let stranger = app.anonymous();
    assert_eq!(stranger.refusal(REVOKE, json!({ "id": Uuid::now_v7() })).await, "UNAUTHENTICATED");
    assert_eq!(stranger.refusal(LOG_OUT_EVERYWHERE, json!({})).await, "UNAUTHENTICATED");
    let change =
        r#"mutation { changePassword(input: { currentPassword: "a", newPassword: "b" }) { user { id } } }"#;
    assert_eq!(stranger.refusal(change, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_exchange_that_is_under_way_survives_no_end_of_its_log_in() {
    for ending in ["revoke", "everywhere", "password", "deactivate"] {
        let app = TestApp::new().await;
        let tokens = app.tokens("jane").await;
        let (admin, here) = (app.admin("root").await, app.anonymous().log_in(EMAIL, PASSWORD).await);
        let here = bearer(&app, &here);
        // What an exchange that is not committed yet issues, nobody else can see.
        let refresh = RefreshTokens::new(std::time::Duration::from_mins(1));
        let txn = database::begin(&app.app.db).await.unwrap();
        let token = tokens["refreshToken"].as_str().unwrap();
        let rotation = refresh.spend(&txn, token, app.clock.now()).await.unwrap();
        let Rotation::Spent(log_in) = rotation else { panic!("{rotation:?}") };
        let next = refresh.issue(&txn, log_in, &Origin::default(), app.clock.now()).await.unwrap();
        let (family, user) = (log_in.family_id, log_in.user_id);
        let end = tokio::spawn(async move {
            match ending {
                "revoke" => here.call(REVOKE, json!({ "id": family })).await,
                "everywhere" => here.call(LOG_OUT_EVERYWHERE, json!({})).await,
                "password" => change_password(&here, PASSWORD, NEW_PASSWORD).await,
                _ => deactivate(&admin, user).await,
            }
        });
        app.somebody_waits_for_a_lock().await;
        txn.commit().await.unwrap();
        end.await.unwrap();
        assert_eq!(code(&app.anonymous().refresh(&next).await), "INVALID_TOKEN", "{ending}");
        let alive =
            format!("SELECT count(*) FROM auth_sessions WHERE family_id = '{family}' AND NOT is_revoked");
        assert_eq!(app.count(&alive).await, 0, "{ending}");
    }
}

#[tokio::test]
async fn a_log_in_with_the_old_password_does_not_slip_past_its_change() {
    let app = TestApp::new().await;
    app.therapist("jane").await;
    let mut txn = app.begin().await;
    // Any other hash; nobody sees it before the commit.
    sqlx::query(AssertSqlSafe(format!("UPDATE users SET hashed_password = '{}'", old_hash(NEW_PASSWORD))))
        .execute(&mut *txn)
        .await
        .unwrap();
    let client = app.anonymous();
    let late = tokio::spawn(async move { client.log_in(EMAIL, PASSWORD).await });
    app.somebody_waits_for_a_lock().await;
    txn.commit().await.unwrap();
    assert_eq!(code(&late.await.unwrap()), "INVALID_CREDENTIALS");
    assert_eq!(app.anonymous().log_in(EMAIL, NEW_PASSWORD).await["userErrors"], json!([]));
}

#[tokio::test]
async fn a_hash_of_older_parameters_is_made_anew_by_a_log_in() {
    let app = TestApp::new().await;
    app.therapist("jane").await;
    app.run(&format!("UPDATE users SET hashed_password = '{}'", old_hash(PASSWORD))).await;
    assert_eq!(code(&app.anonymous().log_in(EMAIL, "wrong password").await), "INVALID_CREDENTIALS");
    let present = "SELECT count(*) FROM users WHERE hashed_password LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!(app.count(present).await, 0);
    let client = app.anonymous();
    let (one, other) = join(client.log_in(EMAIL, PASSWORD), client.log_in(EMAIL, PASSWORD)).await;
    assert_eq!((&one["userErrors"], &other["userErrors"]), (&json!([]), &json!([])));
    assert_eq!(app.count(present).await, 1);
    assert_eq!(app.anonymous().log_in(EMAIL, PASSWORD).await["userErrors"], json!([]));
}

#[tokio::test]
async fn emails_of_other_scripts_are_kept_in_ascii_or_refused_and_never_a_fault() {
    let app = TestApp::new().await;
    app.therapist("kate").await;
    for name in
        ["İpek", "straẞe", "\u{212a}ate", "kаte", "k\u{200b}ate", "\u{202e}etak", "ka\u{ad}te", "ｋａｔｅ"]
    {
        let email = format!("{name}@example.com");
        let input = json!({ "email": email, "password": PASSWORD, "fullName": "Kate", "role": "THERAPIST" });
        assert_eq!(code(&app.anonymous().sign_up(input).await), "INVALID_INPUT", "{name:?}");
        assert_eq!(code(&app.anonymous().log_in(&email, PASSWORD).await), "INVALID_CREDENTIALS", "{name:?}");
    }
    let input =
        json!({ "email": "Jörg@PRAXIS.de", "password": PASSWORD, "fullName": "Jörg", "role": "THERAPIST" });
    assert_eq!(code(&app.anonymous().sign_up(input).await), "INVALID_INPUT");
    let input = json!({ "email": "joerg@Praxis-Müller.de", "password": PASSWORD, "fullName": "Jörg", "role": "THERAPIST" });
    let tokens = app.anonymous().sign_up(input).await;
    assert_eq!(tokens["user"]["email"], "joerg@xn--praxis-mller-klb.de");
    let again = app.anonymous().log_in("JOERG@PRAXIS-MÜLLER.DE", PASSWORD).await;
    assert_eq!(again["user"]["id"], tokens["user"]["id"]);
}

#[tokio::test]
async fn refusals_name_the_account_in_the_trail_only() {
    let app = TestApp::new().await;
    let tokens = app.tokens("jane").await;
    app.anonymous().log_in(EMAIL, "wrong password").await;
    app.anonymous().log_in("nobody@example.com", "wrong password").await;
    app.clock.advance(TimeDelta::days(8));
    app.anonymous().refresh(tokens["refreshToken"].as_str().unwrap()).await;
    app.anonymous().refresh("tbr_unknown").await;
    app.run("UPDATE users SET is_active = false").await;
    app.anonymous().log_in(EMAIL, PASSWORD).await;
    let found: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT action, actor_role, subject_id = (SELECT id FROM users) IS TRUE FROM audit_events
            WHERE outcome = 'REFUSED' ORDER BY id",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let expected =
        [("user.log_in", true), ("user.log_in", false), ("user.refresh", true), ("user.log_in", true)];
    let expected = expected.map(|(action, known)| (action.to_owned(), "ANONYMOUS".to_owned(), known));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn access_tokens_outlive_the_rotation_of_the_key_until_it_is_dropped() {
    let old = "an older secret of the tests - nobody's";
    let new = "a newer secret of the tests - also nobody's";
    let app = TestApp::with(&[("JWT_SECRET", old)]).await;
    let jane = app.therapist("jane").await;
    let rotated = app.sibling(&[("JWT_SECRET", new), ("JWT_PREVIOUS_SECRETS", old)]).await;
    let dropped = app.sibling(&[("JWT_SECRET", new)]).await;
    let at =
        |server: &TestApp, client: &Client| server.anonymous().with_token(client.token.as_ref().unwrap());
    assert!(is_known(&at(&rotated, &jane)).await && !is_known(&at(&dropped, &jane)).await);
    let fresh = bearer(&rotated, &rotated.anonymous().log_in(EMAIL, PASSWORD).await);
    assert!(is_known(&at(&dropped, &fresh)).await && !is_known(&at(&app, &fresh)).await);
}

#[tokio::test]
async fn a_bearer_is_checked_in_one_read_of_two_indexes() {
    let app = TestApp::new().await;
    app.run(
        "INSERT INTO users (id, email, hashed_password, full_name, role, created_at, updated_at)
            SELECT gen_random_uuid(), n || '@example.com', 'x', 'x', 'THERAPIST', now(), now()
            FROM generate_series(1, 20000) n;
        INSERT INTO auth_sessions
            (id, user_id, family_id, logged_in_at, refresh_token, expires_at, created_at, updated_at)
            SELECT gen_random_uuid(), id, gen_random_uuid(), now(), rpad(id::text, 64, 'x'), now(), now(), now() FROM users;
        ANALYZE",
    )
    .await;
    let id = format!("'{}'", Uuid::now_v7());
    let read = user::IN_LOG_IN.replace("$1", &id).replace("$2", &id);
    let plan: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {read}"))).fetch_all(app.app.pool()).await.unwrap();
    let plan = plan.join("\n");
    for index in ["users_pkey", "auth_sessions_family"] {
        assert!(plan.contains(index), "{plan}");
    }
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

/// A hash of the tests' password by parameters of another time.
fn old_hash(password: &str) -> String {
    let params = Params::new(8_192, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2i, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

fn bearer(app: &TestApp, tokens: &Value) -> Client {
    app.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
}

async fn is_known(client: &Client) -> bool {
    let answer = client.answer("{ viewer { id } }", json!({})).await;
    if answer["errors"].is_null() {
        return true;
    }
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{answer}");
    false
}

async fn devices(client: &Client) -> Vec<Value> {
    client.call(SESSIONS, json!({})).await["viewer"]["authSessions"].as_array().unwrap().clone()
}

pub(crate) async fn change_password(client: &Client, current: &str, new: &str) -> Value {
    let query = "mutation ($input: ChangePasswordInput!) { changePassword(input: $input) {
        user { id email } userErrors { code message field } } }";
    let input = json!({ "currentPassword": current, "newPassword": new });
    client.call(query, json!({ "input": input })).await["changePassword"].clone()
}

pub(crate) async fn deactivate(client: &Client, user_id: Uuid) -> Value {
    let query = "mutation ($id: ID!) { deactivateUser(userId: $id) {
        user { id isActive } userErrors { code message field } } }";
    client.call(query, json!({ "id": user_id })).await["deactivateUser"].clone()
}
