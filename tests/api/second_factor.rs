//! The second factor: set up, asked for at log-in, used once, lost and removed.

use std::io::Write;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use futures::future::{join, join_all};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use therapybridge::clock::Clock;
use totp_rs::{Builder, Secret};

use super::support::client::Client;
use super::support::{PASSWORD, TestApp, code};

const LOG_IN: &str = "mutation ($input: LogInInput!) { logIn(input: $input) {
    accessToken refreshToken expiresIn challenge user { id } userErrors { code message field } } }";
const CONFIRM_LOG_IN: &str = "mutation ($input: ConfirmLogInInput!) { confirmLogIn(input: $input) {
    accessToken refreshToken expiresIn challenge user { email } userErrors { code message field } } }";
const ENROL: &str = "mutation ($input: EnrolTotpInput!) { enrolTotp(input: $input) {
    secret otpauthUri userErrors { code message field } } }";
const CONFIRM: &str = "mutation ($input: ConfirmTotpInput!) { confirmTotp(input: $input) {
    recoveryCodes userErrors { code message field } } }";
const DISABLE: &str = "mutation ($input: BothFactorsInput!) { disableTotp(input: $input) {
    disabled userErrors { code message field } } }";
const REGENERATE: &str = "mutation ($input: BothFactorsInput!) { regenerateRecoveryCodes(input: $input) {
    recoveryCodes userErrors { code message field } } }";
const STATE: &str = "{ viewer { secondFactor { enabledAt recoveryCodesLeft } } }";

/// Somebody with a second factor, and what only they know.
pub(crate) struct Holder<'a> {
    app: &'a TestApp,
    pub(crate) client: Client,
    email: String,
    secret: String,
    recovery: Vec<String>,
}

impl<'a> Holder<'a> {
    /// A new therapist with a second factor, whose next code is fresh.
    pub(crate) async fn new(app: &'a TestApp, name: &str) -> Self {
        let client = app.therapist(name).await;
        let secret = enrol(&client).await;
        let answer = confirm(&client, &digits(app, &secret)).await;
        assert_eq!(answer["userErrors"], json!([]));
        let recovery = strings(&answer["recoveryCodes"]);
        app.clock.advance(TimeDelta::seconds(30));
        Self { app, client, email: format!("{name}@example.com"), secret, recovery }
    }

    /// The code the app shows now.
    pub(crate) fn code(&self) -> String {
        digits(self.app, &self.secret)
    }

    /// Gives the right password; the challenge.
    async fn challenge(&self) -> String {
        let answer = log_in(self.app, &self.email).await;
        answer["challenge"].as_str().unwrap_or_else(|| panic!("no challenge: {answer}")).to_owned()
    }

    async fn state(&self) -> Value {
        self.client.call(STATE, json!({})).await["viewer"]["secondFactor"].clone()
    }

    async fn left(&self) -> Value {
        self.state().await["recoveryCodesLeft"].clone()
    }
}

#[tokio::test]
async fn a_second_factor_is_set_up_asked_for_and_removed() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let secret = enrol(&jane).await;
    assert!(log_in(&app, "jane@example.com").await["accessToken"].is_string(), "pending asks for nothing");
    let answer = confirm(&jane, &digits(&app, &secret)).await;
    assert_eq!(strings(&answer["recoveryCodes"]).len(), 10);
    let state = jane.call(STATE, json!({})).await["viewer"]["secondFactor"].clone();
    assert_eq!(state, json!({ "enabledAt": "2026-03-10T09:00:00+00:00", "recoveryCodesLeft": 10 }));

    app.clock.advance(TimeDelta::seconds(30));
    let challenged = log_in(&app, "jane@example.com").await;
    let challenge = challenged["challenge"].as_str().unwrap();
    assert!(challenge.starts_with("tbc_"), "{challenge}");
    for missing in ["accessToken", "refreshToken", "expiresIn", "user"] {
        assert!(challenged[missing].is_null(), "{missing}");
    }
    let tokens = confirm_log_in(&app, challenge, &digits(&app, &secret)).await;
    assert_eq!(tokens["user"]["email"], "jane@example.com");
    assert_eq!((&tokens["expiresIn"], &tokens["challenge"]), (&json!(1800), &Value::Null));
    let again = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    assert_eq!(again.call(STATE, json!({})).await["viewer"]["secondFactor"], state);

    app.clock.advance(TimeDelta::seconds(30));
    let gone = disable(&again, PASSWORD, &digits(&app, &secret)).await;
    assert_eq!(gone, json!({ "disabled": true, "userErrors": [] }));
    assert!(log_in(&app, "jane@example.com").await["accessToken"].is_string());
    assert!(again.call(STATE, json!({})).await["viewer"]["secondFactor"].is_null());
    assert_eq!(app.count("SELECT count(*) FROM recovery_codes").await, 0);
}

#[tokio::test]
async fn apps_are_told_issuer_account_and_secret() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let answer = jane.call(ENROL, json!({ "input": { "password": PASSWORD } })).await["enrolTotp"].clone();
    let (secret, uri) = (answer["secret"].as_str().unwrap(), answer["otpauthUri"].as_str().unwrap());
    assert_eq!(Secret::try_from_base32(secret).unwrap().as_bytes().len(), 20);
    let parsed = totp_rs::Totp::from_url(uri).unwrap();
    assert_eq!((parsed.secret().to_base32().as_str(), parsed.issuer()), (secret, Some("TherapyBridge")));
    assert!(uri.contains("jane%40example.com"), "{uri}");
}

#[tokio::test]
async fn setting_up_needs_the_password_and_a_right_code_and_happens_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let refused =
        jane.call(ENROL, json!({ "input": { "password": "wrong password" } })).await["enrolTotp"].clone();
    assert_eq!(refusal(&refused), ("INVALID_CREDENTIALS", "password"));
    assert!(refused["secret"].is_null() && refused["otpauthUri"].is_null());
    assert_eq!(code(&confirm(&jane, "123456").await), "INVALID_STATE", "nothing was begun");
    let first = enrol(&jane).await;
    let second = enrol(&jane).await;
    assert_ne!(first, second);
    for wrong in [digits(&app, &first), String::new(), "abcdef".into(), "1".repeat(100_000), "\0".into()] {
        assert_eq!(refusal(&confirm(&jane, &wrong).await), ("INVALID_CREDENTIALS", "code"), "{wrong:.20}");
    }
    assert!(jane.call(STATE, json!({})).await["viewer"]["secondFactor"].is_null());
    assert_eq!(confirm(&jane, &digits(&app, &second)).await["userErrors"], json!([]));
    app.clock.advance(TimeDelta::seconds(30));
    assert_eq!(code(&confirm(&jane, &digits(&app, &second)).await), "INVALID_STATE", "it is set up");
    let again = jane.call(ENROL, json!({ "input": { "password": PASSWORD } })).await["enrolTotp"].clone();
    assert_eq!(code(&again), "INVALID_STATE");
    assert!(again["secret"].is_null(), "the secret in use is replaced by nobody");
}

#[tokio::test]
async fn a_wrong_code_gives_no_tokens_and_five_end_the_challenge() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let challenge = jane.challenge().await;
    for _ in 0..5 {
        let refused = confirm_log_in(&app, &challenge, "not it").await;
        assert_eq!(refusal(&refused), ("INVALID_CREDENTIALS", "code"));
        assert!(refused["accessToken"].is_null() && refused["refreshToken"].is_null());
    }
    let late = confirm_log_in(&app, &challenge, &jane.code()).await;
    assert_eq!(refusal(&late), ("INVALID_TOKEN", "challenge"));
    let next = jane.challenge().await;
    assert_eq!(
        confirm_log_in(&app, &next, &jane.code()).await["userErrors"],
        json!([]),
        "nobody is locked out"
    );
}

#[tokio::test]
async fn tries_made_at_once_are_all_counted() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let challenge = jane.challenge().await;
    let answers = join_all((0..12).map(|_| confirm_log_in(&app, &challenge, "not it"))).await;
    let looked_at = answers.iter().filter(|answer| code(answer) == "INVALID_CREDENTIALS").count();
    let turned_away = answers.iter().filter(|answer| code(answer) == "INVALID_TOKEN").count();
    assert_eq!((looked_at, turned_away), (5, 7));
}

#[tokio::test]
async fn a_challenge_ends_after_five_minutes_and_after_its_log_in() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let (old, used) = (jane.challenge().await, jane.challenge().await);
    app.clock.advance(TimeDelta::seconds(299));
    assert_eq!(confirm_log_in(&app, &used, &jane.code()).await["userErrors"], json!([]));
    app.clock.advance(TimeDelta::seconds(1));
    for gone in [old.as_str(), &used, "tbc_unknown", "", "a\0b", &"x".repeat(100_000)] {
        let refused = confirm_log_in(&app, gone, &jane.recovery[0]).await;
        assert_eq!(refusal(&refused), ("INVALID_TOKEN", "challenge"), "{gone:.20}");
    }
    assert_eq!(jane.left().await, 10, "no recovery code was used up");
}

#[tokio::test]
async fn a_code_is_taken_once_and_none_older_than_it() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let older = jane.code();
    app.clock.advance(TimeDelta::seconds(30));
    let used = jane.code();
    assert_eq!(confirm_log_in(&app, &jane.challenge().await, &used).await["userErrors"], json!([]));
    let challenge = jane.challenge().await;
    for replayed in [&used, &older] {
        assert_eq!(code(&confirm_log_in(&app, &challenge, replayed).await), "INVALID_CREDENTIALS");
    }
    assert_eq!(code(&disable(&jane.client, PASSWORD, &used).await), "INVALID_CREDENTIALS", "nor elsewhere");
    app.clock.advance(TimeDelta::seconds(30));
    assert_eq!(confirm_log_in(&app, &challenge, &jane.code()).await["userErrors"], json!([]));
}

#[tokio::test]
async fn the_code_that_ended_the_setting_up_is_not_taken_at_log_in() {
    let app = TestApp::new().await;
    let client = app.therapist("jane").await;
    let secret = enrol(&client).await;
    let used = digits(&app, &secret);
    confirm(&client, &used).await;
    let challenge = log_in(&app, "jane@example.com").await["challenge"].as_str().unwrap().to_owned();
    assert_eq!(code(&confirm_log_in(&app, &challenge, &used).await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn of_confirmations_at_once_with_one_code_exactly_one_wins() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let (one, other, typed) = (jane.challenge().await, jane.challenge().await, jane.code());
    assert_eq!(wins(&app, [&one, &other], &typed).await, 1, "two challenges");
    app.clock.advance(TimeDelta::seconds(30));
    let (one, typed) = (jane.challenge().await, jane.code());
    assert_eq!(wins(&app, [&one, &one], &typed).await, 1, "one challenge");
}

#[tokio::test]
async fn a_recovery_code_logs_in_once_however_it_is_typed() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let typed = jane.recovery[3].to_lowercase().replace('-', " ");
    assert_eq!(confirm_log_in(&app, &jane.challenge().await, &typed).await["userErrors"], json!([]));
    assert_eq!(jane.left().await, 9);
    let again = confirm_log_in(&app, &jane.challenge().await, &jane.recovery[3]).await;
    assert_eq!(code(&again), "INVALID_CREDENTIALS");
    let (one, other) = (jane.challenge().await, jane.challenge().await);
    let racing = &jane.recovery[4];
    assert_eq!(wins(&app, [&one, &other], racing).await, 1);
    assert_eq!(jane.left().await, 8);
}

#[tokio::test]
async fn new_recovery_codes_end_those_of_before() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    for (password, typed, field) in
        [("wrong password", jane.code(), "password"), (PASSWORD, "000000x".into(), "code")]
    {
        let refused =
            both(&jane.client, REGENERATE, password, &typed).await["regenerateRecoveryCodes"].clone();
        assert_eq!(refusal(&refused), ("INVALID_CREDENTIALS", field));
        assert!(refused["recoveryCodes"].is_null());
    }
    let made =
        both(&jane.client, REGENERATE, PASSWORD, &jane.recovery[0]).await["regenerateRecoveryCodes"].clone();
    let new = strings(&made["recoveryCodes"]);
    assert_eq!((new.len(), jane.left().await), (10, json!(10)));
    let challenge = jane.challenge().await;
    assert_eq!(code(&confirm_log_in(&app, &challenge, &jane.recovery[1]).await), "INVALID_CREDENTIALS");
    assert_eq!(confirm_log_in(&app, &challenge, &new[1]).await["userErrors"], json!([]));
}

#[tokio::test]
async fn removing_it_needs_password_and_code() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    assert_eq!(
        refusal(&disable(&jane.client, "wrong password", &jane.code()).await),
        ("INVALID_CREDENTIALS", "password")
    );
    let refused = disable(&jane.client, PASSWORD, "000000x").await;
    assert_eq!(refusal(&refused), ("INVALID_CREDENTIALS", "code"));
    assert_eq!(refused["disabled"], false);
    assert!(log_in(&app, &jane.email).await["challenge"].is_string(), "it is still there");
    assert_eq!(disable(&jane.client, PASSWORD, &jane.recovery[0]).await["disabled"], true);
    assert_eq!(code(&disable(&jane.client, PASSWORD, &jane.recovery[1]).await), "INVALID_STATE");
}

#[tokio::test]
async fn codes_of_one_user_are_nothing_to_the_challenge_of_another() {
    let app = TestApp::new().await;
    let (jane, eve) = (Holder::new(&app, "jane").await, Holder::new(&app, "eve").await);
    let stolen = jane.challenge().await;
    for typed in [eve.code(), eve.recovery[0].clone()] {
        assert_eq!(code(&confirm_log_in(&app, &stolen, &typed).await), "INVALID_CREDENTIALS");
    }
    assert_eq!(eve.left().await, 10, "nor used up");
}

#[tokio::test]
async fn a_secret_moved_to_another_user_does_not_open() {
    let app = TestApp::new().await;
    let (jane, eve) = (Holder::new(&app, "jane").await, Holder::new(&app, "eve").await);
    run(
        &app,
        "UPDATE second_factors SET secret = (SELECT f.secret FROM second_factors f JOIN users u ON u.id = f.user_id
         WHERE u.email = 'eve@example.com')",
    )
    .await;
    assert_eq!(
        code(&confirm_log_in(&app, &jane.challenge().await, &eve.code()).await),
        "INVALID_CREDENTIALS"
    );
    let recovered = confirm_log_in(&app, &jane.challenge().await, &jane.recovery[0]).await;
    assert_eq!(recovered["userErrors"], json!([]), "recovery codes do not depend on it");
}

#[tokio::test]
async fn a_second_factor_outlives_the_rotation_of_the_key_and_moves_to_the_new_one_when_used() {
    let [old, new] =
        ["an old secret of the tests and of nobody else", "a new secret of the tests and of nobody else"];
    let app = TestApp::with(&[("JWT_SECRET", old)]).await;
    let jane = Holder::new(&app, "jane").await;
    for (secret, previous, good) in [(new, "", false), (new, old, true), (new, "", true)] {
        let url = app.app.config.database.url.as_ref().unwrap().expose_secret();
        let vars = [("DATABASE_URL", url), ("JWT_SECRET", secret), ("JWT_PREVIOUS_SECRETS", previous)];
        let restarted = TestApp::with(&vars).await;
        app.clock.advance(TimeDelta::seconds(30));
        restarted.clock.advance(app.clock.now() - restarted.clock.now());
        let challenge = log_in(&restarted, &jane.email).await["challenge"].as_str().unwrap().to_owned();
        let answer = confirm_log_in(&restarted, &challenge, &jane.code()).await;
        assert_eq!(answer["accessToken"].is_string(), good, "{previous:?}: {answer}");
    }
}

#[tokio::test]
async fn one_start_with_the_old_key_beside_the_new_one_moves_every_second_factor() {
    let [old, new] =
        ["an old secret of the tests and of nobody else", "a new secret of the tests and of nobody else"];
    let app = TestApp::with(&[("JWT_SECRET", old)]).await;
    let jane = Holder::new(&app, "jane").await;
    let url = app.app.config.database.url.as_ref().unwrap().expose_secret();
    let start = async |previous: &str| {
        let vars = [("DATABASE_URL", url), ("JWT_SECRET", new), ("JWT_PREVIOUS_SECRETS", previous)];
        TestApp::with(&vars).await
    };
    drop(start(old).await);
    let restarted = start("").await;
    app.clock.advance(TimeDelta::seconds(30));
    restarted.clock.advance(app.clock.now() - restarted.clock.now());
    let challenge = log_in(&restarted, &jane.email).await["challenge"].as_str().unwrap().to_owned();
    assert!(confirm_log_in(&restarted, &challenge, &jane.code()).await["accessToken"].is_string());
}

/// Whoever ends a log-in, because somebody else may hold it, means what that one is just doing, too.
#[tokio::test]
async fn what_is_under_way_survives_no_end_of_its_log_in() {
    for change in
        ["UPDATE auth_sessions SET is_revoked = true", "UPDATE users SET hashed_password = 'another'"]
    {
        let app = TestApp::new().await;
        let jane = app.therapist("jane").await;
        let mut txn = app.begin().await;
        sqlx::query("SELECT FROM users FOR NO KEY UPDATE").execute(&mut *txn).await.unwrap();
        let thief = jane.clone();
        let enrol = "mutation ($password: String!) { enrolTotp(input: { password: $password }) { secret userErrors { code } } }";
        let enrolling =
            tokio::spawn(async move { thief.refusal(enrol, json!({ "password": PASSWORD })).await });
        app.somebody_waits_for_a_lock().await;
        sqlx::query(change).execute(&mut *txn).await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(enrolling.await.unwrap(), "UNAUTHENTICATED", "{change}");
        assert_eq!(app.count("SELECT count(*) FROM second_factors").await, 0, "{change}");
    }
}

/// Whoever knows the password gets a fresh challenge at every log-in; the codes of an account are counted over all.
#[tokio::test]
async fn codes_are_counted_over_all_challenges_of_an_account() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    for _ in 0..4 {
        let challenge = jane.challenge().await;
        for _ in 0..5 {
            assert_eq!(refusal(&confirm_log_in(&app, &challenge, "000000").await).0, "INVALID_CREDENTIALS");
        }
    }
    let query = "mutation ($challenge: String!, $code: String!) {
        confirmLogIn(input: { challenge: $challenge, code: $code }) { accessToken userErrors { code } } }";
    let guess = json!({ "challenge": jane.challenge().await, "code": jane.code() });
    assert_eq!(app.anonymous().refusal(query, guess).await, "RATE_LIMITED");
}

#[tokio::test]
async fn who_was_deactivated_or_changed_the_password_meanwhile_gets_no_tokens() {
    let app = TestApp::new().await;
    for change in ["is_active = false", "hashed_password = 'another'"] {
        let name = if change.starts_with("is") { "jane" } else { "eve" };
        let holder = Holder::new(&app, name).await;
        let challenge = holder.challenge().await;
        run(&app, &format!("UPDATE users SET {change} WHERE email = '{}'", holder.email)).await;
        let refused = confirm_log_in(&app, &challenge, &holder.code()).await;
        assert_eq!(refusal(&refused), ("INVALID_TOKEN", "challenge"), "{change}");
    }
}

#[tokio::test]
async fn the_last_log_in_is_the_completed_one() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    app.clock.advance(TimeDelta::minutes(1));
    let late = format!("SELECT count(*) FROM users WHERE last_login_at = '{}'", app.clock.now().to_rfc3339());
    let challenge = jane.challenge().await;
    assert_eq!(app.count(&late).await, 0, "half a log-in is none");
    confirm_log_in(&app, &challenge, &jane.code()).await;
    assert_eq!(app.count(&late).await, 1);
}

#[tokio::test]
async fn strangers_have_no_second_factor_to_change_or_to_see() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let input = json!({ "input": { "password": PASSWORD, "code": jane.recovery[0] } });
    for mutation in [DISABLE, REGENERATE] {
        assert_eq!(app.anonymous().refusal(mutation, input.clone()).await, "UNAUTHENTICATED");
    }
    assert_eq!(
        app.anonymous().refusal(ENROL, json!({ "input": { "password": PASSWORD } })).await,
        "UNAUTHENTICATED"
    );
    assert_eq!(
        app.anonymous().refusal(CONFIRM, json!({ "input": { "code": "1" } })).await,
        "UNAUTHENTICATED"
    );
    let (noah, patient) = app.patient_user(&jane.client, "noah").await;
    jane.client.session(&patient, super::support::recording("speech.flac")).await;
    let query = "{ sessions { nodes { therapist { secondFactor { enabledAt } } } } }";
    let seen = noah.call(query, json!({})).await["sessions"]["nodes"].clone();
    assert_eq!(seen, json!([{ "therapist": { "secondFactor": null } }]));
}

#[tokio::test]
async fn neither_database_nor_log_holds_a_secret_in_clear() {
    let log = Log::default();
    let _guard = log.listen();
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let (challenge, typed) = (jane.challenge().await, jane.code());
    confirm_log_in(&app, &challenge, "not it").await;
    confirm_log_in(&app, &challenge, &typed).await;
    confirm_log_in(&app, &jane.challenge().await, &jane.recovery[0]).await;
    let raw = Secret::try_from_base32(&jane.secret).unwrap();
    let (kept, logged) = (dump(&app).await, log.text());
    assert!(logged.contains("therapybridge"), "the log was heard");
    let bare = jane.recovery[0].replace('-', "");
    let hex = hex::encode(raw.as_bytes());
    for secret in [&jane.secret, &hex, &challenge, &jane.recovery[0], &bare] {
        for place in [&kept, &logged] {
            assert!(!place.to_uppercase().contains(&secret.to_uppercase()), "{secret}");
        }
    }
}

#[tokio::test]
async fn every_step_stands_in_the_trail() {
    let app = TestApp::new().await;
    let jane = Holder::new(&app, "jane").await;
    let challenge = jane.challenge().await;
    confirm_log_in(&app, &challenge, "not it").await;
    confirm_log_in(&app, &challenge, &jane.code()).await;
    both(&jane.client, REGENERATE, "wrong password", &jane.recovery[0]).await;
    disable(&jane.client, PASSWORD, "not it").await;
    disable(&jane.client, PASSWORD, &jane.recovery[0]).await;
    let events: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', action, actor_role, outcome) FROM audit_events
         WHERE subject_id = (SELECT id FROM users) AND action <> 'user.sign_up' ORDER BY id",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let expected = [
        "user.enrol_totp THERAPIST OK",
        "user.enable_totp THERAPIST OK",
        "user.log_in_challenge ANONYMOUS OK",
        "user.confirm_log_in ANONYMOUS REFUSED",
        "user.confirm_log_in THERAPIST OK",
        "user.regenerate_recovery_codes THERAPIST REFUSED",
        "user.disable_totp THERAPIST REFUSED",
        "user.disable_totp THERAPIST OK",
    ];
    assert_eq!(events, expected);
}

/// Keeps a log heard.
pub(crate) struct Listening {
    _guard: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Hears what this thread logs, for as long as the guard is kept.
    pub(crate) fn listen(&self) -> Listening {
        // With a single subscriber, what a thread without one logs first is silent for all: another test's server. So two.
        let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let logging = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer({
            let log = self.clone();
            move || log.clone()
        });
        Listening { _guard: tracing::subscriber::set_default(logging.finish()), _second: second }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What an authenticator app shows now.
fn digits(app: &TestApp, secret: &str) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate(app.clock.now().timestamp().try_into().unwrap()).to_string()
}

async fn enrol(client: &Client) -> String {
    let answer = client.call(ENROL, json!({ "input": { "password": PASSWORD } })).await["enrolTotp"].clone();
    answer["secret"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn confirm(client: &Client, code: &str) -> Value {
    client.call(CONFIRM, json!({ "input": { "code": code } })).await["confirmTotp"].clone()
}

async fn both(client: &Client, mutation: &str, password: &str, code: &str) -> Value {
    client.call(mutation, json!({ "input": { "password": password, "code": code } })).await
}

async fn disable(client: &Client, password: &str, code: &str) -> Value {
    both(client, DISABLE, password, code).await["disableTotp"].clone()
}

async fn log_in(app: &TestApp, email: &str) -> Value {
    let input = json!({ "input": { "email": email, "password": PASSWORD } });
    app.anonymous().call(LOG_IN, input).await["logIn"].clone()
}

async fn confirm_log_in(app: &TestApp, challenge: &str, code: &str) -> Value {
    let input = json!({ "input": { "challenge": challenge, "code": code } });
    app.anonymous().call(CONFIRM_LOG_IN, input).await["confirmLogIn"].clone()
}

/// How many of two confirmations at once give tokens.
async fn wins(app: &TestApp, [one, other]: [&str; 2], code: &str) -> usize {
    let (one, other) = join(confirm_log_in(app, one, code), confirm_log_in(app, other, code)).await;
    [one, other].iter().filter(|answer| answer["accessToken"].is_string()).count()
}

/// The only code of `userErrors`, and its field.
fn refusal(payload: &Value) -> (&str, &str) {
    (code(payload), payload["userErrors"][0]["field"].as_str().unwrap_or_default())
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

async fn run(app: &TestApp, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(app.app.pool()).await.unwrap();
}

/// Every row of every table, as text.
pub(crate) async fn dump(app: &TestApp) -> String {
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
