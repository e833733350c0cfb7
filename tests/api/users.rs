//! Users, as admins and others see them; and the command that makes the first admin.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use futures::future::join;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::log_ins::deactivate;
use crate::support::client::Client;
use crate::support::{PASSWORD, TestApp, code, recording};

const USERS: &str = "query ($first: Int, $after: String, $search: String) {
    users(first: $first, after: $after, search: $search) {
        totalCount nodes { email } pageInfo { endCursor hasNextPage } } }";
const USER: &str = "query ($id: ID!) { user(id: $id) { id email fullName isActive } }";
const NODE: &str = "query ($id: ID!) { node(id: $id) { id ... on User { email fullName } } }";

#[tokio::test]
async fn an_admin_is_made_by_whoever_runs_the_server_and_that_is_audited() {
    let app = TestApp::new().await;
    let viewer = app.admin("root").await.call("{ viewer { role } }", json!({})).await;
    assert_eq!(viewer["viewer"]["role"], "ADMIN");
    let made = "SELECT count(*) FROM audit_events WHERE action = 'user.create' AND actor_role = 'SYSTEM'
        AND subject_id = (SELECT id FROM users)";
    assert_eq!(app.count(made).await, 1);
}

#[tokio::test]
async fn admins_page_through_all_users_and_search_them() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    for name in ["jane", "john", "50%_off"] {
        app.therapist(name).await;
    }
    let first = admin.call(USERS, json!({ "first": 3 })).await["users"].clone();
    assert_eq!(emails(&first), ["50%_off@example.com", "john@example.com", "jane@example.com"]);
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&json!(4), &json!(true)));
    let rest = admin.call(USERS, json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(emails(&rest["users"]), ["root@example.com"]);
    for (search, found) in
        [("JO", "john@example.com"), ("0%_", "50%_off@example.com"), ("root@", "root@example.com")]
    {
        assert_eq!(emails(&admin.call(USERS, json!({ "search": search })).await["users"]), [found]);
    }
    assert_eq!(admin.refusal(USERS, json!({ "first": 101 })).await, "BAD_REQUEST");
}

#[tokio::test]
async fn only_admins_see_and_deactivate_users() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = id(&jane).await;
    for (client, expected) in [
        (jane, "FORBIDDEN"),
        (app.user("pat", "PATIENT").await, "FORBIDDEN"),
        (app.anonymous(), "UNAUTHENTICATED"),
    ] {
        assert_eq!(client.refusal(USERS, json!({})).await, expected);
        assert_eq!(client.refusal(USER, json!({ "id": id })).await, expected);
        for mutation in ["deactivateUser", "reactivateUser"] {
            let query = format!("mutation ($id: ID!) {{ {mutation}(userId: $id) {{ user {{ id }} }} }}");
            assert_eq!(client.refusal(&query, json!({ "id": id })).await, expected, "{mutation}");
        }
    }
}

#[tokio::test]
async fn an_admin_finds_any_user_by_id() {
    let app = TestApp::new().await;
    let (admin, jane) = (app.admin("root").await, app.therapist("jane").await);
    let id = id(&jane).await;
    let user = admin.call(USER, json!({ "id": id })).await["user"].clone();
    assert_eq!(user, json!({ "id": id, "email": "jane@example.com", "fullName": "jane", "isActive": true }));
    assert_eq!(admin.call(NODE, json!({ "id": id })).await["node"]["email"], "jane@example.com");
    for unknown in [json!(Uuid::now_v7()), json!("nothing")] {
        assert_eq!(admin.call(USER, json!({ "id": unknown })).await["user"], Value::Null);
        assert_eq!(admin.call(NODE, json!({ "id": unknown })).await["node"], Value::Null);
    }
}

#[tokio::test]
async fn therapist_and_patient_know_of_each_other_but_not_how_the_other_logs_in() {
    let app = TestApp::new().await;
    let (jane, eve, pat) =
        (app.therapist("jane").await, app.therapist("eve").await, app.user("pat", "PATIENT").await);
    let (jane_id, pat_id) = (id(&jane).await, id(&pat).await);
    for (asker, of) in [(&jane, &pat_id), (&pat, &jane_id), (&eve, &jane_id), (&eve, &pat_id)] {
        assert_eq!(asker.call(NODE, json!({ "id": of })).await["node"], Value::Null, "not bound yet");
    }
    let patient = jane.patient("Pat").await;
    jane.session(&patient, recording("cbr.mp3")).await;
    app.run(&format!("UPDATE patients SET user_id = '{pat_id}'")).await;
    let seen = |id: &str, name: &str| json!({ "id": id, "email": null, "fullName": name });
    assert_eq!(pat.call(NODE, json!({ "id": jane_id })).await["node"], seen(&jane_id, "jane"));
    assert_eq!(jane.call(NODE, json!({ "id": pat_id })).await["node"], seen(&pat_id, "pat"));
    assert_eq!(eve.call(NODE, json!({ "id": pat_id })).await["node"], Value::Null);
    let sessions = "{ sessions { nodes { therapist { id email fullName } } } }";
    let therapist = |data: Value| data["sessions"]["nodes"][0]["therapist"].clone();
    assert_eq!(therapist(pat.call(sessions, json!({})).await), seen(&jane_id, "jane"));
    assert_eq!(therapist(jane.call(sessions, json!({})).await)["email"], "jane@example.com");
}

#[tokio::test]
async fn a_deactivated_user_is_out_until_reactivated_and_old_log_ins_stay_ended() {
    let app = TestApp::new().await;
    let (admin, jane) = (app.admin("root").await, app.therapist("jane").await);
    let jane_id = id(&jane).await;
    for _ in 0..2 {
        let payload = deactivate(&admin, jane_id.parse().unwrap()).await;
        assert_eq!(payload, json!({ "user": { "id": jane_id, "isActive": false }, "userErrors": [] }));
    }
    assert_eq!(jane.refusal("{ viewer { id } }", json!({})).await, "UNAUTHENTICATED");
    assert_eq!(code(&app.anonymous().log_in("jane@example.com", PASSWORD).await), "INVALID_CREDENTIALS");
    let reactivate =
        "mutation ($id: ID!) { reactivateUser(userId: $id) { user { isActive } userErrors { code } } }";
    let payload = admin.call(reactivate, json!({ "id": jane_id })).await["reactivateUser"].clone();
    assert_eq!(payload, json!({ "user": { "isActive": true }, "userErrors": [] }));
    assert_eq!(app.anonymous().log_in("jane@example.com", PASSWORD).await["userErrors"], json!([]));
    assert_eq!(jane.refusal("{ viewer { id } }", json!({})).await, "UNAUTHENTICATED");
    let told = "SELECT count(*) FROM audit_events WHERE action IN ('user.deactivate', 'user.reactivate')
        AND changed_fields = '{isActive}' AND actor_role = 'ADMIN'";
    assert_eq!(app.count(told).await, 2, "what was so already is no event");
}

#[tokio::test]
async fn an_admin_deactivates_neither_itself_nor_nobody() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    assert_eq!(code(&deactivate(&admin, id(&admin).await.parse().unwrap()).await), "INVALID_STATE");
    assert_eq!(code(&deactivate(&admin, Uuid::now_v7()).await), "NOT_FOUND");
    assert_eq!(id(&admin).await.len(), 36, "still here");
}

#[tokio::test]
async fn of_two_admins_who_deactivate_each_other_one_is_left() {
    let app = TestApp::new().await;
    let (one, other) = (app.admin("one").await, app.admin("other").await);
    let (one_id, other_id) = (id(&one).await, id(&other).await);
    let query = "mutation ($id: ID!) { deactivateUser(userId: $id) { user { id } userErrors { code } } }";
    join(one.answer(query, json!({ "id": other_id })), other.answer(query, json!({ "id": one_id }))).await;
    assert_eq!(app.count("SELECT count(*) FROM users WHERE is_active").await, 1);
}

#[tokio::test]
async fn the_first_admin_is_made_by_the_command_line() {
    let app = TestApp::new().await;
    let output =
        create_user(&app, &["--email", "Root@Example.com", "--full-name", "Root"], "a fine password\nmore\n")
            .await;
    assert!(output.status.success(), "{output:?}");
    let tokens = app.anonymous().log_in("root@example.com", "a fine password").await;
    let admin = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    let viewer = admin.call("{ viewer { id role timezone } }", json!({})).await["viewer"].clone();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(viewer, json!({ "id": printed.trim(), "role": "ADMIN", "timezone": "UTC" }));
}

#[tokio::test]
async fn the_command_line_makes_other_users_too_and_says_what_is_wrong() {
    let app = TestApp::new().await;
    let jane = [
        "--email",
        "jane@example.com",
        "--full-name",
        "Jane",
        "--role",
        "therapist",
        "--timezone",
        "Europe/Berlin",
    ];
    assert!(create_user(&app, &jane, PASSWORD).await.status.success());
    let made = "SELECT count(*) FROM users WHERE role = 'THERAPIST' AND timezone = 'Europe/Berlin'";
    assert_eq!(app.count(made).await, 1);
    for (args, password, problem) in [
        (&jane[..], PASSWORD, "jane@example.com already"),
        (&["--email", "new@example.com", "--full-name", "New"], "short", "8 to 128 characters"),
        (&["--email", "new@example.com", "--full-name", "New"], "", "standard input"),
        (&["--email", "nowhere", "--full-name", "New"], PASSWORD, "not an e-mail address"),
        (
            &["--email", "new@example.com", "--full-name", "New", "--role", "king"],
            PASSWORD,
            "admin, therapist or patient",
        ),
        (&["--email", "new@example.com", "--full-name", "New", "--timezone", "Mars"], PASSWORD, "--timezone"),
    ] {
        let output = create_user(&app, args, password).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(problem) && !said.contains(PASSWORD), "{said}");
    }
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
}

/// Runs `therapybridge admin create-user` on the database of `app`.
async fn create_user(app: &TestApp, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
    command.args(["admin", "create-user"]).args(args).env_clear();
    command.env("DATABASE_URL", app.app.config.database.url.as_ref().unwrap().expose_secret());
    for (variable, key) in
        [("JWT_SECRET", &app.app.config.auth.jwt_secret), ("AUDIT_KEY", &app.app.config.audit.key)]
    {
        command.env(variable, key.as_ref().unwrap().expose_secret());
    }
    command.env("DATA_DIR", &app.app.config.database.data_dir).current_dir(&app.app.config.database.data_dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that has said what is wrong may not read any more.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap()
}

async fn id(client: &Client) -> String {
    client.call("{ viewer { id } }", json!({})).await["viewer"]["id"].as_str().unwrap().to_owned()
}

fn emails(users: &Value) -> Vec<&str> {
    users["nodes"].as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap()).collect()
}
