//! Accounts over HTTP: sign-up, log-in, refresh, log-out, and who a token belongs to.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::{join, join_all};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use therapybridge::actor::Origin;
use therapybridge::auth::access_token::{AccessTokens, Claims};
use therapybridge::auth::refresh_token::{RefreshTokens, Rotation};
use therapybridge::clock::Clock;
use therapybridge::database;
use uuid::Uuid;

use super::support::client::Client;
use super::support::{PASSWORD, TestApp, code};

const EMAIL: &str = "jane@example.com";
const VIEWER: &str = "{ viewer { id email fullName role timezone isActive } }";
const SESSIONS: &str = "{ viewer { authSessions { id ip userAgent lastUsedAt expiresAt } } }";
/// `JWT_SECRET` of the tests.
const SECRET: &str = "a secret of the tests, and of nobody else";

#[tokio::test]
async fn a_new_therapist_is_logged_in_at_once() {
    let app = TestApp::new().await;
    let mut input = jane();
    input["email"] = json!(" Jane@Example.COM ");
    input["timezone"] = json!("Europe/Berlin");
    let tokens = app.anonymous().sign_up(input).await;
    assert_eq!(tokens["userErrors"], json!([]));
    assert_eq!(tokens["expiresIn"], 1800);
    let viewer = bearer(&app, &tokens).call(VIEWER, json!({})).await["viewer"].clone();
    assert_eq!(viewer, tokens["user"]);
    assert_eq!(viewer["email"], EMAIL, "lower case, trimmed");
    assert_eq!(viewer["role"], "THERAPIST");
    assert_eq!(viewer["timezone"], "Europe/Berlin");
    assert_eq!(viewer["isActive"], true);
}

#[tokio::test]
async fn a_time_zone_that_was_not_given_is_utc() {
    let app = TestApp::new().await;
    assert_eq!(app.anonymous().sign_up(jane()).await["user"]["timezone"], "UTC");
}

#[tokio::test]
async fn values_that_cannot_be_are_refused_with_their_field() {
    let app = TestApp::new().await;
    let long = "x".repeat(201);
    let long_email = format!("{}@example.com", "x".repeat(250));
    for (field, value) in [
        ("email", "jane"),
        ("email", "jane@example"),
        ("email", ""),
        ("email", "jane doe@example.com"),
        ("email", "jane\0@example.com"),
        ("email", &long_email),
        ("fullName", "   "),
        ("fullName", "Ja\0ne"),
        ("fullName", &long),
        ("timezone", "Mars/Olympus"),
        ("timezone", ""),
        ("timezone", "UTC\0"),
    ] {
        refused_sign_up(&app, field, value, "INVALID_INPUT").await;
    }
    assert_eq!(app.count("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn weak_passwords_are_refused() {
    let app = TestApp::new().await;
    let long = "x".repeat(129);
    for weak in ["seven77", "", "password1", "PASSWORD123", EMAIL, "Jane Smith", &long] {
        refused_sign_up(&app, "password", weak, "WEAK_PASSWORD").await;
    }
    assert_eq!(app.count("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn passwords_may_be_as_long_as_promised_and_in_any_script() {
    let app = TestApp::new().await;
    for (n, password) in
        ["8 Zeichn".to_owned(), "ж".repeat(128), "Grüße 🌻 aus Köln".to_owned()].iter().enumerate()
    {
        let email = format!("user{n}@example.com");
        let input =
            json!({ "email": email, "password": password, "fullName": "Jane Smith", "role": "THERAPIST" });
        assert_eq!(app.anonymous().sign_up(input).await["userErrors"], json!([]), "{password}");
        assert_eq!(app.anonymous().log_in(&email, password).await["userErrors"], json!([]), "{password}");
    }
}

#[tokio::test]
async fn nobody_signs_up_as_an_admin() {
    let app = TestApp::new().await;
    refused_sign_up(&app, "role", "ADMIN", "FORBIDDEN_ROLE").await;
    assert_eq!(app.count("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn an_email_has_one_account_whatever_its_case() {
    let app = TestApp::new().await;
    app.anonymous().sign_up(jane()).await;
    refused_sign_up(&app, "email", "JANE@example.com", "ALREADY_EXISTS").await;
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn of_many_sign_ups_at_once_with_one_email_one_succeeds() {
    let app = TestApp::new().await;
    let client = app.anonymous();
    let answers = join_all((0..4).map(|_| client.sign_up(jane()))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer["userErrors"] == json!([]));
    assert_eq!((made.len(), refused.len()), (1, 3));
    assert!(refused.iter().all(|answer| code(answer) == "ALREADY_EXISTS"));
}

#[tokio::test]
async fn log_in_takes_the_email_in_any_case() {
    let app = TestApp::new().await;
    let user = app.anonymous().sign_up(jane()).await["user"]["id"].clone();
    let tokens = app.anonymous().log_in(" JANE@EXAMPLE.com ", PASSWORD).await;
    assert_eq!(tokens["user"]["id"], user);
}

#[tokio::test]
async fn unknown_email_wrong_password_and_deactivated_user_get_the_same_answer() {
    let app = TestApp::new().await;
    app.anonymous().sign_up(jane()).await;
    let unknown = app.anonymous().log_in("john@example.com", PASSWORD).await;
    let wrong = app.anonymous().log_in(EMAIL, "wrong password").await;
    deactivate(&app).await;
    let deactivated = app.anonymous().log_in(EMAIL, PASSWORD).await;
    assert_eq!(code(&unknown), "INVALID_CREDENTIALS");
    assert_eq!(unknown, wrong);
    assert_eq!(unknown, deactivated);
    assert!(
        unknown["accessToken"].is_null() && unknown["refreshToken"].is_null() && unknown["user"].is_null()
    );
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_for_new_tokens() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    let second = app.anonymous().refresh(refresh_token(&first)).await;
    assert_eq!(second["userErrors"], json!([]));
    assert_ne!(second["refreshToken"], first["refreshToken"]);
    assert_ne!(second["accessToken"], first["accessToken"]);
    assert_eq!(second["user"]["id"], first["user"]["id"]);
    for tokens in [&first, &second] {
        assert!(
            is_known(&bearer(&app, tokens)).await,
            "one log-in: its access tokens live as long as they say"
        );
    }
}

#[tokio::test]
async fn a_spent_refresh_token_ends_its_whole_log_in() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    let second = app.anonymous().refresh(refresh_token(&first)).await;
    let third = app.anonymous().refresh(refresh_token(&second)).await;
    let elsewhere = app.anonymous().log_in(EMAIL, PASSWORD).await;
    assert_eq!(code(&app.anonymous().refresh(refresh_token(&first)).await), "INVALID_TOKEN");
    for tokens in [&first, &second, &third] {
        assert!(!is_known(&bearer(&app, tokens)).await);
        assert_eq!(code(&app.anonymous().refresh(refresh_token(tokens)).await), "INVALID_TOKEN");
    }
    assert!(is_known(&bearer(&app, &elsewhere)).await, "another log-in goes on");
    assert_eq!(app.anonymous().refresh(refresh_token(&elsewhere)).await["userErrors"], json!([]));
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_wins_and_the_log_in_ends() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    let client = app.anonymous();
    let (one, other) =
        join(client.refresh(refresh_token(&first)), client.refresh(refresh_token(&first))).await;
    let (won, lost): (Vec<_>, Vec<_>) =
        [one, other].into_iter().partition(|tokens| tokens["userErrors"] == json!([]));
    assert_eq!((won.len(), lost.len()), (1, 1));
    assert_eq!(code(&lost[0]), "INVALID_TOKEN");
    assert!(!is_known(&bearer(&app, &won[0])).await);
    assert_eq!(code(&app.anonymous().refresh(refresh_token(&won[0])).await), "INVALID_TOKEN");
    assert_eq!(app.count("SELECT count(*) FROM auth_sessions WHERE NOT is_revoked").await, 0);
}

#[tokio::test]
async fn a_token_that_is_being_exchanged_while_its_log_in_ends_gives_nothing() {
    for mutation in ["refreshToken", "logOut"] {
        let app = TestApp::new().await;
        let spent = app.anonymous().sign_up(jane()).await;
        let current = app.anonymous().refresh(refresh_token(&spent)).await;
        // An exchange that is not committed yet: what it issues, nobody else can see.
        let (refresh, txn) =
            (RefreshTokens::new(Duration::from_mins(1)), database::begin(&app.app.db).await.unwrap());
        let rotation = refresh.spend(&txn, refresh_token(&current), app.clock.now()).await.unwrap();
        let Rotation::Spent(log_in) = rotation else { panic!("{rotation:?}") };
        let next = refresh.issue(&txn, log_in, &Origin::default(), app.clock.now()).await.unwrap();
        let query = format!(
            "mutation ($token: String!) {{ {mutation}(input: {{ refreshToken: $token }}) {{ userErrors {{ code }} }} }}"
        );
        let (client, variables) = (app.anonymous(), json!({ "token": spent["refreshToken"] }));
        let end = tokio::spawn(async move { client.call(&query, variables).await });
        app.somebody_waits_for_a_lock().await;
        txn.commit().await.unwrap();
        end.await.unwrap();
        assert_eq!(
            app.count("SELECT count(*) FROM auth_sessions WHERE NOT is_revoked").await,
            0,
            "{mutation}"
        );
        assert_eq!(code(&app.anonymous().refresh(&next).await), "INVALID_TOKEN", "{mutation}");
    }
}

#[tokio::test]
async fn what_was_never_a_refresh_token_gives_nothing_and_ends_nothing() {
    let app = TestApp::new().await;
    let tokens = app.anonymous().sign_up(jane()).await;
    let access_token = tokens["accessToken"].as_str().unwrap();
    for token in ["", "tbr_", "tbr_0000", access_token, "'; DROP TABLE auth_sessions; --", "\0"] {
        assert_eq!(code(&app.anonymous().refresh(token).await), "INVALID_TOKEN", "{token:?}");
    }
    assert!(is_known(&bearer(&app, &tokens)).await);
}

#[tokio::test]
async fn an_access_token_lives_thirty_minutes() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    app.clock.advance(TimeDelta::seconds(1799));
    assert!(is_known(&jane).await);
    app.clock.advance(TimeDelta::seconds(1));
    assert!(!is_known(&jane).await);
}

#[tokio::test]
async fn a_refresh_token_lives_seven_days_from_its_issue() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    app.clock.advance(TimeDelta::days(7) - TimeDelta::seconds(1));
    let second = app.anonymous().refresh(refresh_token(&first)).await;
    assert_eq!(second["userErrors"], json!([]));
    app.clock.advance(TimeDelta::days(7));
    assert_eq!(code(&app.anonymous().refresh(refresh_token(&second)).await), "INVALID_TOKEN");
}

#[tokio::test]
async fn log_out_ends_the_log_in_and_no_other() {
    let app = TestApp::new().await;
    let here = app.anonymous().sign_up(jane()).await;
    let elsewhere = app.anonymous().log_in(EMAIL, PASSWORD).await;
    assert_eq!(log_out(&app, refresh_token(&here)).await, json!({ "loggedOut": true, "userErrors": [] }));
    assert!(!is_known(&bearer(&app, &here)).await);
    assert_eq!(code(&app.anonymous().refresh(refresh_token(&here)).await), "INVALID_TOKEN");
    assert!(is_known(&bearer(&app, &elsewhere)).await);
}

#[tokio::test]
async fn log_out_takes_any_token_of_the_log_in_and_minds_no_unknown_one() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    let second = app.anonymous().refresh(refresh_token(&first)).await;
    for token in [refresh_token(&first), refresh_token(&first), "unknown"] {
        assert_eq!(log_out(&app, token).await, json!({ "loggedOut": true, "userErrors": [] }));
    }
    assert!(!is_known(&bearer(&app, &second)).await);
}

#[tokio::test]
async fn tokens_that_we_did_not_sign_as_they_are_belong_to_nobody() {
    let app = TestApp::new().await;
    let tokens = app.anonymous().sign_up(jane()).await;
    let good = tokens["accessToken"].as_str().unwrap();
    let claims = claims(&app, good);
    let signed = |algorithm, secret: &str, claims: &Claims| {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap()
    };
    assert!(
        is_known(&app.anonymous().with_token(&signed(Algorithm::HS256, SECRET, &claims))).await,
        "the forger's tools work"
    );
    let parts: Vec<&str> = good.split('.').collect();
    let (none, admin) =
        ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", Claims { role: "ADMIN".into(), ..claims.clone() });
    let foreign_admin = signed(Algorithm::HS256, &"x".repeat(32), &admin);
    for (what, token) in [
        ("a foreign key", signed(Algorithm::HS256, &"x".repeat(32), &claims)),
        ("another algorithm", signed(Algorithm::HS512, SECRET, &claims)),
        (
            "another audience",
            signed(Algorithm::HS256, SECRET, &Claims { aud: "elsewhere".into(), ..claims.clone() }),
        ),
        (
            "another issuer",
            signed(Algorithm::HS256, SECRET, &Claims { iss: "elsewhere".into(), ..claims.clone() }),
        ),
        (
            "an unknown user",
            signed(Algorithm::HS256, SECRET, &Claims { sub: Uuid::now_v7(), ..claims.clone() }),
        ),
        (
            "an unknown log-in",
            signed(Algorithm::HS256, SECRET, &Claims { sid: Uuid::now_v7(), ..claims.clone() }),
        ),
        ("no algorithm", format!("{none}.{}.", parts[1])),
        ("no algorithm, but a signature", format!("{none}.{}.{}", parts[1], parts[2])),
        (
            "another content",
            format!("{}.{}.{}", parts[0], foreign_admin.split('.').nth(1).unwrap(), parts[2]),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("a refresh token", refresh_token(&tokens).to_owned()),
        ("nothing", String::new()),
    ] {
        assert!(!is_known(&app.anonymous().with_token(&token)).await, "{what}");
    }
}

#[tokio::test]
async fn only_bearer_tokens_are_taken() {
    let app = TestApp::new().await;
    let tokens = app.anonymous().sign_up(jane()).await;
    let token = tokens["accessToken"].as_str().unwrap();
    for (authorization, status) in [
        (format!("Bearer {token}"), 200),
        (format!("bearer {token}"), 200),
        (format!("Basic {token}"), 401),
        (token.to_owned(), 401),
    ] {
        let request = app.anonymous().post("/graphql").header("authorization", &authorization);
        let answer = request.json(&json!({ "query": VIEWER })).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{}", &authorization[..8]);
    }
}

#[tokio::test]
async fn rights_follow_the_account_not_the_token() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    run(&app, "UPDATE users SET role = 'PATIENT'").await;
    assert_eq!(jane.call(VIEWER, json!({})).await["viewer"]["role"], "PATIENT");
    let create = r#"mutation { createPatient(input: { name: "Noah" }) { patient { id } } }"#;
    assert_eq!(jane.refusal(create, json!({})).await, "FORBIDDEN");
}

#[tokio::test]
async fn a_deactivated_user_is_nobody_at_once() {
    let app = TestApp::new().await;
    let tokens = app.anonymous().sign_up(jane()).await;
    deactivate(&app).await;
    assert!(!is_known(&bearer(&app, &tokens)).await);
    assert_eq!(code(&app.anonymous().refresh(refresh_token(&tokens)).await), "INVALID_TOKEN");
}

#[tokio::test]
async fn neither_passwords_nor_tokens_are_stored() {
    let app = TestApp::new().await;
    let tokens = app.anonymous().sign_up(jane()).await;
    app.anonymous().log_in(EMAIL, "a wrong password").await;
    let stored = dump(&app).await;
    assert!(stored.contains(EMAIL) && stored.contains("$argon2id$v=19$m=19456,t=2,p=1$"));
    let token = refresh_token(&tokens);
    for secret in [
        PASSWORD,
        "a wrong password",
        token,
        token.trim_start_matches("tbr_"),
        tokens["accessToken"].as_str().unwrap(),
    ] {
        assert!(!stored.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn strange_and_huge_texts_are_refused_and_never_a_fault() {
    let app = TestApp::new().await;
    let (huge, larger) = ("x".repeat(900_000), "x".repeat(1 << 20));
    let queries = [
        "mutation ($text: String!) { logIn(input: { email: $text, password: \"correct horse\" }) { userErrors { code } } }",
        "mutation ($text: String!) { logIn(input: { email: \"jane@example.com\", password: $text }) { userErrors { code } } }",
        "mutation ($text: String!) { refreshToken(input: { refreshToken: $text }) { userErrors { code } } }",
        "mutation ($text: String!) { logOut(input: { refreshToken: $text }) { userErrors { code } } }",
    ];
    for query in queries {
        for text in ["\0", "a\0b@example.com", "\u{202e}", "\u{feff}\u{1f469}\u{200d}", "' OR 1=1 --", &huge]
        {
            let answer = app.anonymous().answer(query, json!({ "text": text })).await;
            assert!(answer["errors"].is_null(), "{query} {text:.20?}: {answer}");
        }
        assert_eq!(
            app.anonymous().refusal(query, json!({ "text": larger })).await,
            "LIMIT_EXCEEDED",
            "{query}"
        );
    }
    for field in ["email", "fullName", "timezone"] {
        refused_sign_up(&app, field, &huge, "INVALID_INPUT").await;
    }
    refused_sign_up(&app, "password", &huge, "WEAK_PASSWORD").await;
    assert_eq!(app.count("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn a_viewer_sees_the_own_log_ins() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    app.therapist("john").await;
    app.clock.advance(TimeDelta::minutes(5));
    let second = app.anonymous().log_in(EMAIL, PASSWORD).await;
    let second = app.anonymous().refresh(refresh_token(&second)).await;
    let sessions = auth_sessions(&bearer(&app, &second)).await;
    assert_eq!(sessions.len(), 2, "one a log-in, however often refreshed");
    assert_eq!(
        sessions[0]["id"],
        claims(&app, second["accessToken"].as_str().unwrap()).sid.to_string(),
        "newest first"
    );
    assert_eq!(sessions[0]["lastUsedAt"], "2026-03-10T09:05:00+00:00");
    assert_eq!(sessions[0]["expiresAt"], "2026-03-17T09:05:00+00:00");
    assert_eq!(sessions[0]["ip"], "127.0.0.1");
    log_out(&app, refresh_token(&first)).await;
    assert_eq!(auth_sessions(&bearer(&app, &second)).await.len(), 1);
}

#[tokio::test]
async fn a_stranger_has_no_viewer() {
    let app = TestApp::new().await;
    assert_eq!(app.anonymous().refusal(VIEWER, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn what_happens_to_an_account_is_audited() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    let second = app.anonymous().log_in(EMAIL, PASSWORD).await;
    app.anonymous().log_in(EMAIL, "wrong password").await;
    app.anonymous().refresh(refresh_token(&first)).await;
    app.anonymous().refresh(refresh_token(&first)).await;
    for ended in [&first, &second, &second] {
        log_out(&app, refresh_token(ended)).await;
    }
    let expected = [
        ["user.sign_up", "OK", "THERAPIST"],
        ["user.log_in", "OK", "THERAPIST"],
        ["user.log_in", "REFUSED", "ANONYMOUS"],
        ["user.refresh_token_reuse", "OK", "THERAPIST"],
        ["user.log_out", "OK", "THERAPIST"],
    ];
    let found: Vec<(String, String, String)> =
        sqlx::query_as("SELECT action, outcome, actor_role FROM audit_events ORDER BY id")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    assert_eq!(found.iter().map(|(a, o, r)| [a.as_str(), o, r]).collect::<Vec<_>>(), expected);
    let untold =
        "SELECT count(*) FROM audit_events WHERE ip IS DISTINCT FROM '127.0.0.1' OR request_id IS NULL";
    assert_eq!(app.count(untold).await, 0);
}

#[tokio::test]
async fn an_audit_event_names_the_log_in_it_belongs_to() {
    let app = TestApp::new().await;
    let first = app.anonymous().sign_up(jane()).await;
    app.anonymous().refresh(refresh_token(&first)).await;
    log_out(&app, refresh_token(&first)).await;
    app.anonymous().refresh(refresh_token(&first)).await;
    let log_in = claims(&app, first["accessToken"].as_str().unwrap()).sid;
    let named = format!("SELECT count(*) FROM audit_events WHERE auth_session_id = '{log_in}'");
    assert_eq!(app.count(&named).await, 3, "sign-up, log-out, reuse");
    assert_eq!(app.count("SELECT count(*) FROM audit_events").await, 3);
}

fn jane() -> Value {
    json!({ "email": EMAIL, "password": PASSWORD, "fullName": "Jane Smith", "role": "THERAPIST" })
}

async fn refused_sign_up(app: &TestApp, field: &str, value: &str, expected: &str) {
    let mut input = jane();
    input[field] = json!(value);
    let answer = app.anonymous().sign_up(input).await;
    assert_eq!(code(&answer), expected, "{field}: {value:.40?}");
    assert_eq!(answer["userErrors"][0]["field"], field, "{value:.40?}");
    assert!(answer["accessToken"].is_null() && answer["user"].is_null());
}

fn refresh_token(tokens: &Value) -> &str {
    tokens["refreshToken"].as_str().unwrap_or_else(|| panic!("no tokens: {tokens}"))
}

fn bearer(app: &TestApp, tokens: &Value) -> Client {
    app.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
}

/// Whether the server knows who this is; when not, it says so with 401 and nothing else.
async fn is_known(client: &Client) -> bool {
    let answer = client.post("/graphql").json(&json!({ "query": VIEWER })).send().await.unwrap();
    let status = answer.status().as_u16();
    let answer: Value = answer.json().await.unwrap();
    if status == 401 {
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert!(answer["data"].is_null());
        return false;
    }
    assert!(status == 200 && answer["data"]["viewer"]["id"].is_string(), "{status} {answer}");
    true
}

fn claims(app: &TestApp, token: &str) -> Claims {
    AccessTokens::new(&app.app.config.auth).unwrap().verify(token, app.clock.now()).unwrap()
}

async fn log_out(app: &TestApp, token: &str) -> Value {
    let query =
        "mutation ($input: RefreshTokenInput!) { logOut(input: $input) { loggedOut userErrors { code } } }";
    app.anonymous().call(query, json!({ "input": { "refreshToken": token } })).await["logOut"].clone()
}

async fn auth_sessions(client: &Client) -> Vec<Value> {
    client.call(SESSIONS, json!({})).await["viewer"]["authSessions"].as_array().unwrap().clone()
}

async fn run(app: &TestApp, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(app.app.pool()).await.unwrap();
}

async fn deactivate(app: &TestApp) {
    run(app, "UPDATE users SET is_active = false").await;
}

/// Every row of every table, as text.
async fn dump(app: &TestApp) -> String {
    let query = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
        WHERE table_schema IN ('public', 'apalis') AND table_type = 'BASE TABLE'";
    let tables: Vec<String> = sqlx::query_scalar(query).fetch_all(app.app.pool()).await.unwrap();
    let mut dump = String::new();
    for table in tables {
        let rows = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        dump +=
            &sqlx::query_scalar::<_, String>(AssertSqlSafe(rows)).fetch_one(app.app.pool()).await.unwrap();
    }
    dump
}
