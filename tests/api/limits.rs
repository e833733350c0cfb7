//! How often one may ask: exact across processes for log-ins, sign-ups and exports, by budget for everything else.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use futures::future::join_all;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use therapybridge::actor::{Actor, Origin};
use therapybridge::app::App;
use therapybridge::auth::rate_limit::RateLimits;
use therapybridge::auth::sliding_window::{self, Outcome};
use therapybridge::config::{LimitsConfig, Rate};
use therapybridge::entity::user::Role;
use therapybridge::error::Error;
use therapybridge::server::Server;
use uuid::Uuid;

use super::support::client::Client;
use super::support::socket::{News, Watch};
use super::support::{PASSWORD, TestApp, code};

const LOG_IN: &str = "mutation ($email: String!, $password: String!) {
    logIn(input: { email: $email, password: $password }) { accessToken userErrors { code message } } }";
const PING: &str = "{ __typename }";
/// The server believes whoever connects from this machine about where requests come from.
const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

async fn with(limits: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[limits, &[BEHIND_A_PROXY]].concat()).await
}

/// A request as from elsewhere.
fn from(client: &Client, ip: &str, query: &str, variables: &Value) -> RequestBuilder {
    let body = json!({ "query": query, "variables": variables });
    client.post("/graphql").header("x-forwarded-for", ip).json(&body)
}

/// Tries to log in from an address; `RATE_LIMITED`, `INVALID_CREDENTIALS` or `OK`.
async fn log_in(client: &Client, ip: &str, email: &str, password: &str) -> String {
    let variables = json!({ "email": email, "password": password });
    let answer: Value = from(client, ip, LOG_IN, &variables).send().await.unwrap().json().await.unwrap();
    if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
        return code.to_owned();
    }
    let payload = &answer["data"]["logIn"];
    if payload["accessToken"].is_null() { code(payload).to_owned() } else { "OK".to_owned() }
}

async fn refused(app: &TestApp, action: &str) -> i64 {
    let query = "SELECT count(*) FROM audit_events WHERE outcome = 'REFUSED' AND action = ";
    app.count(&format!("{query}'{action}'")).await
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_sixth_log_in_of_a_minute_is_refused_and_the_window_slides() {
    let app = with(&[("RATE_LIMIT_LOGIN", "5/1m")]).await;
    app.user("jane", "THERAPIST").await;
    let client = app.anonymous();
    for attempt in 0..5 {
        assert_eq!(log_in(&client, "192.0.2.1", "jane@example.com", "wrong").await, "INVALID_CREDENTIALS");
        if attempt == 0 {
            app.clock.advance(TimeDelta::seconds(20));
        }
    }
    // Also with the right password: a limit that told them apart would be no limit for guessing.
    assert_eq!(log_in(&client, "192.0.2.1", "jane@example.com", PASSWORD).await, "RATE_LIMITED");
    app.clock.advance(TimeDelta::seconds(40));
    assert_eq!(log_in(&client, "192.0.2.1", "jane@example.com", PASSWORD).await, "OK", "the first has left");
    assert_eq!(log_in(&client, "192.0.2.1", "jane@example.com", PASSWORD).await, "RATE_LIMITED");
    app.clock.advance(TimeDelta::seconds(20));
    assert_eq!(log_in(&client, "192.0.2.1", "jane@example.com", PASSWORD).await, "OK");
}

#[tokio::test]
async fn a_refused_log_in_says_when_to_come_back() {
    let app = with(&[("RATE_LIMIT_LOGIN", "1/1m")]).await;
    let variables = json!({ "email": "jane@example.com", "password": "wrong" });
    for media in ["application/json", "application/graphql-response+json"] {
        let request = || from(&app.anonymous(), "192.0.2.1", LOG_IN, &variables).header("accept", media);
        request().send().await.unwrap();
        app.clock.advance(TimeDelta::milliseconds(12_500));
        let answer = request().send().await.unwrap();
        assert_eq!(answer.status(), 429, "{media}");
        assert_eq!(answer.headers()["retry-after"], "48");
        let error = answer.json::<Value>().await.unwrap()["errors"][0]["extensions"].clone();
        assert_eq!((&error["code"], &error["retryAfter"]), (&json!("RATE_LIMITED"), &json!(48)), "{error}");
        assert_eq!(error["retryable"], true);
        app.clock.advance(TimeDelta::seconds(60));
    }
}

#[tokio::test]
async fn of_a_hundred_aliased_log_ins_five_are_tried() {
    let app = with(&[("RATE_LIMIT_LOGIN", "5/1m")]).await;
    let fields = (0..100).map(|n| {
        format!(r#"a{n}: logIn(input: {{ email: "jane@example.com", password: "{n}" }}) {{ expiresIn }}"#)
    });
    let query = format!("mutation {{ {} }}", fields.collect::<Vec<_>>().join(" "));
    let answer = from(&app.anonymous(), "192.0.2.1", &query, &json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json::<Value>().await.unwrap()["errors"][0]["extensions"]["code"], "RATE_LIMITED");
    assert_eq!(refused(&app, "user.log_in").await, 5);
}

#[tokio::test]
async fn of_forty_log_ins_at_once_on_two_servers_five_are_tried() {
    let app = with(&[("RATE_LIMIT_LOGIN", "5/1m")]).await;
    let second = App::start(app.app.config.clone(), app.clock.clone()).await.unwrap();
    let server = Server::bind(second.clone(), None).await.unwrap();
    let clients = [app.anonymous(), Client::new(server.address().unwrap())];
    tokio::spawn(server.run());
    let attempts = (0..40).map(|n| {
        let client = clients[n % 2].clone();
        async move { log_in(&client, "192.0.2.1", "jane@example.com", "wrong").await }
    });
    let mut heard = BTreeMap::new();
    for answer in join_all(attempts).await {
        *heard.entry(answer).or_insert(0) += 1;
    }
    let expected = [("INVALID_CREDENTIALS".to_owned(), 5), ("RATE_LIMITED".to_owned(), 35)];
    assert_eq!(heard, BTreeMap::from(expected));
    assert_eq!(refused(&app, "rate_limit.log_in").await, 1, "one event a window");
    second.stop.cancel();
}

#[tokio::test]
async fn nobody_can_lock_a_stranger_out() {
    let app = with(&[("RATE_LIMIT_LOGIN", "2/1m")]).await;
    app.user("jane", "THERAPIST").await;
    let client = app.anonymous();
    assert_eq!(log_in(&client, "198.51.100.7", "jane@example.com", PASSWORD).await, "OK");
    app.clock.advance(TimeDelta::minutes(2));
    // 40 = 20 times 2 from strange networks, and then no more.
    for network in 0..20 {
        for host in 1..=2 {
            let ip = format!("203.0.{network}.{host}");
            assert_eq!(
                log_in(&client, &ip, "jane@example.com", "wrong").await,
                "INVALID_CREDENTIALS",
                "{ip}"
            );
        }
    }
    assert_eq!(log_in(&client, "203.0.99.1", "Jane@Example.com ", "wrong").await, "RATE_LIMITED");
    assert_eq!(log_in(&client, "203.0.98.1", "john@example.com", "wrong").await, "INVALID_CREDENTIALS");
    let near_home = "198.51.100.200";
    assert_eq!(log_in(&client, near_home, "jane@example.com", PASSWORD).await, "OK", "where jane was before");
}

#[tokio::test]
async fn an_account_is_counted_by_network_and_whether_it_exists_or_not() {
    for email in ["jane@example.com", "nobody@example.com", "no address"] {
        let app = with(&[("RATE_LIMIT_LOGIN", "2/1m")]).await;
        app.user("jane", "THERAPIST").await;
        let client = app.anonymous();
        for (ip, expected) in [
            ("203.0.113.1", "INVALID_CREDENTIALS"),
            ("203.0.113.2", "INVALID_CREDENTIALS"),
            ("203.0.113.3", "RATE_LIMITED"),
            ("203.0.114.1", "INVALID_CREDENTIALS"),
            ("2001:db8::1", "INVALID_CREDENTIALS"),
            ("2001:db8::ffff:2", "INVALID_CREDENTIALS"),
            ("2001:db8::3", "RATE_LIMITED"),
            ("2001:db8:0:1::1", "INVALID_CREDENTIALS"),
        ] {
            assert_eq!(log_in(&client, ip, email, "wrong").await, expected, "{email} from {ip}");
        }
    }
}

#[tokio::test]
async fn limits_keep_no_email() {
    let app = with(&[("RATE_LIMIT_LOGIN", "2/1m")]).await;
    log_in(&app.anonymous(), "203.0.113.1", "jane@example.com", "wrong").await;
    assert_eq!(app.count("SELECT count(*) FROM rate_limits").await, 3);
    assert_eq!(app.count("SELECT count(*) FROM rate_limits WHERE key LIKE '%jane%'").await, 0);
}

#[tokio::test]
async fn a_second_factor_is_counted_apart_from_the_log_in() {
    let app = with(&[("RATE_LIMIT_LOGIN", "2/1m")]).await;
    let origin = Origin { ip: Some("203.0.113.1".into()), ..Origin::default() };
    let confirm = || app.app.limits.confirm_log_in("jane@example.com", &origin);
    confirm().await.unwrap();
    confirm().await.unwrap();
    assert!(matches!(confirm().await, Err(Error::RateLimited(wait)) if wait.as_secs() == 60));
    app.app.limits.log_in("jane@example.com", &origin).await.unwrap();
}

#[tokio::test]
async fn an_address_is_one_however_it_is_spelled() {
    let app = with(&[("RATE_LIMIT_LOGIN", "2/1m")]).await;
    let client = app.anonymous();
    // Fullwidth letters and an ideographic full stop name the same domain.
    let spellings = ["jane@example.com", "Jane@\u{ff45}xample.com", "jane@example\u{3002}com"];
    let outcomes = [("198.51.100.1", 0), ("198.51.100.2", 1), ("198.51.100.3", 2)];
    for (address, spelling) in outcomes {
        let expected = if spelling < 2 { "INVALID_CREDENTIALS" } else { "RATE_LIMITED" };
        assert_eq!(
            log_in(&client, address, spellings[spelling], "wrong wrong").await,
            expected,
            "{spelling}"
        );
    }
    assert_eq!(log_in(&client, "203.0.113.9", "a\0@example.com", "wrong wrong").await, "INVALID_CREDENTIALS");
}

/// Whoever holds a stolen access token must not get at the account by guessing its password.
#[tokio::test]
async fn proofs_of_somebody_who_is_logged_in_are_counted_too() {
    let app = with(&[("RATE_LIMIT_LOGIN", "2/1m")]).await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let change = "mutation ($current: String!) {
        changePassword(input: { currentPassword: $current, newPassword: \"another horse battery\" }) { userErrors { code } } }";
    let enrol =
        "mutation ($current: String!) { enrolTotp(input: { password: $current }) { userErrors { code } } }";
    let guess = json!({ "current": "not the password" });
    for proof in [change, enrol] {
        jane.call(proof, guess.clone()).await;
    }
    for proof in [change, enrol] {
        assert_eq!(jane.refusal(proof, json!({ "current": PASSWORD })).await, "RATE_LIMITED");
    }
    eve.call(change, json!({ "current": PASSWORD })).await;
    assert_eq!(refused(&app, "rate_limit.proof").await, 1, "the first of a window");
    app.clock.advance(TimeDelta::minutes(1));
    jane.call(change, json!({ "current": PASSWORD })).await;
}

#[tokio::test]
async fn the_fourth_sign_up_of_an_hour_is_refused() {
    let app = with(&[("RATE_LIMIT_SIGNUP", "3/1h")]).await;
    let sign_up = async |ip: &str, name: &str| {
        let query = "mutation ($email: String!, $password: String!) { signUp(input: { email: $email,
            password: $password, fullName: \"Jane\", role: THERAPIST }) { userErrors { code } } }";
        let variables = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        from(&app.anonymous(), ip, query, &variables).send().await.unwrap()
    };
    for (ip, name, status) in [
        ("192.0.2.1", "not an address", 200),
        ("192.0.2.1", "a", 200),
        ("192.0.2.1", "b", 200),
        ("192.0.2.1", "a", 200),
        ("192.0.2.1", "c", 429),
        ("192.0.2.2", "c", 200),
        ("2001:db8::1", "d", 200),
        ("2001:db8::2", "e", 200),
        ("2001:db8::3", "f", 200),
        ("2001:db8::4", "g", 429),
    ] {
        assert_eq!(sign_up(ip, name).await.status(), status, "{name} from {ip}");
    }
    let refusal = sign_up("192.0.2.1", "c").await;
    assert_eq!(refusal.headers()["retry-after"], "3600");
    assert_eq!(refused(&app, "rate_limit.sign_up").await, 2, "one event for each address");
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(sign_up("192.0.2.1", "h").await.status(), 200);
}

#[tokio::test]
async fn exports_are_counted_for_each_user() {
    let app = TestApp::new().await;
    let limits = LimitsConfig { exports: Some(rate("2/1h")), ..app.app.config.limits };
    let limits = RateLimits::new(app.app.db.clone(), app.clock.clone(), limits);
    let (jane, john) = (therapist(&app, "jane").await, therapist(&app, "john").await);
    let origin = Origin::default();
    limits.export(&app.app.db, &jane, &origin).await.unwrap();
    limits.export(&app.app.db, &jane, &origin).await.unwrap();
    assert!(matches!(limits.export(&app.app.db, &jane, &origin).await, Err(Error::RateLimited(_))));
    assert!(matches!(
        limits.export(&app.app.db, &Actor::Anonymous, &origin).await,
        Err(Error::Unauthenticated)
    ));
    limits.export(&app.app.db, &john, &origin).await.unwrap();
    assert_eq!(refused(&app, "rate_limit.export").await, 1);
}

async fn therapist(app: &TestApp, name: &str) -> Actor {
    let client = app.therapist(name).await;
    let viewer = client.call("{ viewer { id } }", json!({})).await;
    let id = viewer["viewer"]["id"].as_str().unwrap().parse().unwrap();
    Actor::User { id, role: Role::Therapist, auth_session: Uuid::nil(), zone: Tz::UTC }
}

#[tokio::test]
async fn a_window_admits_what_fits_and_reports_its_first_refusal() {
    let app = TestApp::new().await;
    let rate = rate("2/30s");
    let attempt = async |seconds: i64| {
        let at = super::support::today() + TimeDelta::seconds(seconds);
        sliding_window::attempt(&app.app.db, "a key", rate, at).await.unwrap()
    };
    let refused = |wait: u64, first| Outcome::Refused { wait: std::time::Duration::from_secs(wait), first };
    assert_eq!(attempt(0).await, Outcome::Admitted { remaining: 1 });
    assert_eq!(attempt(10).await, Outcome::Admitted { remaining: 0 });
    assert_eq!(attempt(11).await, refused(19, true));
    assert_eq!(attempt(29).await, refused(1, false));
    assert_eq!(attempt(30).await, Outcome::Admitted { remaining: 0 });
    assert_eq!(attempt(31).await, refused(9, false), "reported at 11, less than a window ago");
    assert_eq!(attempt(41).await, Outcome::Admitted { remaining: 0 });
    assert_eq!(attempt(42).await, refused(18, true));
    assert_eq!(app.count("SELECT cardinality(hits)::bigint FROM rate_limits").await, 2);
}

#[tokio::test]
async fn windows_that_have_passed_are_purged() {
    let app = TestApp::new().await;
    let long_ago = super::support::today() - TimeDelta::days(1000);
    sliding_window::attempt(&app.app.db, "old", rate("2/30s"), long_ago).await.unwrap();
    let far_ahead = super::support::today() + TimeDelta::days(10_000);
    sliding_window::attempt(&app.app.db, "new", rate("2/30s"), far_ahead).await.unwrap();
    let due = therapybridge::queue::jobs::PurgeExpired { due: 1 };
    therapybridge::queue::enqueue(&app.app.db, &due).await.unwrap();
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM rate_limits WHERE key = 'new'").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM rate_limits").await, 1);
}

#[tokio::test]
async fn what_has_not_expired_by_the_clock_that_wrote_it_is_kept() {
    let app = TestApp::new().await;
    // The tests' day is long past by any other clock.
    let jane = app.therapist("jane").await;
    therapybridge::queue::enqueue(&app.app.db, &therapybridge::queue::jobs::PurgeExpired { due: 1 })
        .await
        .unwrap();
    app.run_jobs().await;
    assert_eq!(
        app.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'purge_expired' AND status = 'Done'")
            .await,
        1
    );
    jane.patient("Maria").await;
}

async fn ask(client: &Client, query: &str) -> Response {
    client.post("/graphql").json(&json!({ "query": query })).send().await.unwrap()
}

/// Aliases of one root field.
fn fields(number: usize) -> String {
    let fields: Vec<String> = (0..number).map(|n| format!("a{n}: __typename")).collect();
    format!("{{ {} }}", fields.join(" "))
}

fn left(answer: &Response) -> &str {
    answer.headers()["ratelimit"].to_str().unwrap()
}

#[tokio::test]
async fn every_root_field_counts_all_or_nothing_and_answers_tell_what_is_left() {
    let app = TestApp::with(&[("RATE_LIMIT_REQUESTS", "100/1m")]).await;
    let client = app.anonymous();
    let answer = ask(&client, &fields(43)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["ratelimit-policy"], "\"requests\";q=100;w=60");
    assert_eq!(left(&answer), "\"requests\";r=57;t=26");
    let answer =
        ask(&client, "{ ...f ... on Query { ...f } } fragment f on Query { a: __typename b: __typename }")
            .await;
    assert_eq!(left(&answer), "\"requests\";r=53;t=29");
    let answer = ask(&client, &fields(54)).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(left(&answer), "\"requests\";r=53;t=29");
    assert_eq!(answer.headers()["retry-after"], "1");
    let error = answer.json::<Value>().await.unwrap()["errors"][0]["extensions"].clone();
    assert_eq!((&error["code"], &error["retryAfter"]), (&json!("RATE_LIMITED"), &json!(1)));
    assert_eq!(ask(&client, &fields(53)).await.status(), 200);
    app.clock.advance(TimeDelta::milliseconds(600));
    assert_eq!(ask(&client, PING).await.status(), 200);
    assert_eq!(ask(&client, PING).await.status(), 429);
    assert_eq!(refused(&app, "rate_limit.requests").await, 1, "one event a window");
    app.clock.advance(TimeDelta::seconds(60));
    ask(&client, &fields(100)).await;
    assert_eq!(ask(&client, PING).await.status(), 429);
    assert_eq!(refused(&app, "rate_limit.requests").await, 2);
}

#[tokio::test]
async fn what_can_never_pass_is_told_so() {
    let app = TestApp::with(&[("RATE_LIMIT_REQUESTS", "5/1m")]).await;
    let error = app.anonymous().answer(&fields(6), json!({})).await["errors"][0].clone();
    assert_eq!(error["extensions"]["code"], "LIMIT_EXCEEDED");
    assert!(error["message"].as_str().unwrap().contains("more than 5 root fields"), "{error}");
    assert_eq!(ask(&app.anonymous(), &fields(5)).await.status(), 200, "it cost nothing");
}

#[tokio::test]
async fn users_have_budgets_of_their_own_wherever_they_are() {
    let app = with(&[("RATE_LIMIT_REQUESTS", "4/1m")]).await;
    let (jane, john) = (app.therapist("jane").await, app.therapist("john").await);
    let ping = async |client: &Client, ip: &str| {
        from(client, ip, PING, &json!({})).send().await.unwrap().status().as_u16()
    };
    for n in 0..4 {
        assert_eq!(ping(&jane, &format!("192.0.2.{n}")).await, 200);
    }
    assert_eq!(ping(&jane, "192.0.2.9").await, 429);
    assert_eq!(ping(&john, "192.0.2.9").await, 200);
    for n in 0..4 {
        assert_eq!(ping(&app.anonymous(), &format!("2001:db8::{n}")).await, 200);
    }
    assert_eq!(ping(&app.anonymous(), "2001:db8::9").await, 429, "an IPv6 customer is a /64");
    assert_eq!(ping(&app.anonymous(), "2001:db8:0:1::9").await, 200);
}

#[tokio::test]
async fn the_budget_is_one_for_all_transports() {
    let app = TestApp::with(&[("RATE_LIMIT_REQUESTS", "4/1m")]).await;
    let jane = app.therapist("jane").await;
    let stream = |accept: &'static str| jane.post("/graphql").header("accept", accept);
    let answer = stream("text/event-stream").json(&json!({ "query": PING })).send().await.unwrap();
    assert!(left(&answer).starts_with("\"requests\";r=3;"));
    let form = || {
        let operations = json!({ "query": PING, "variables": { "file": null } }).to_string();
        let form = reqwest::multipart::Form::new().text("operations", operations);
        form.text("map", r#"{"0":["variables.file"]}"#).text("0", "content")
    };
    let upload = || jane.post("/graphql").header("apollo-require-preflight", "1").multipart(form());
    assert!(left(&upload().send().await.unwrap()).starts_with("\"requests\";r=2;"));
    let mut watch = Watch::start(&jane, PING, json!({})).await;
    assert!(matches!(watch.next().await, News::Data(_)));
    assert_eq!(watch.next().await, News::Complete);
    watch.ask("{ a: __typename b: __typename }").await;
    let News::Refused(errors) = watch.next().await else { panic!("one is left, two were asked for") };
    let extensions = &errors[0]["extensions"];
    assert_eq!((&extensions["code"], &extensions["retryAfter"]), (&json!("RATE_LIMITED"), &json!(15)));
    // The socket stays open.
    watch.ask(PING).await;
    assert!(matches!(watch.next().await, News::Data(_)));

    assert_eq!(ask(&jane, PING).await.status(), 429);
    assert_eq!(upload().send().await.unwrap().status(), 429);
    for accept in ["text/event-stream", "application/graphql-response+json"] {
        let answer = stream(accept).json(&json!({ "query": PING })).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), left(&answer)), (429, "\"requests\";r=0;t=60"), "{accept}");
    }
}

#[tokio::test]
async fn guessing_tokens_is_slow_and_is_reported_once_a_window() {
    let app = with(&[("RATE_LIMIT_REQUESTS", "3/1m")]).await;
    let jane = app.therapist("jane").await;
    let ping = async |token: &str, ip: &str| {
        let client = app.anonymous().with_token(token);
        from(&client, ip, PING, &json!({})).send().await.unwrap().status().as_u16()
    };
    let token = jane.token.clone().unwrap();
    let tampered = format!("{}x", &token[..token.len() - 1]);
    for guess in ["nonsense", &tampered, "a.b.c"] {
        assert_eq!(ping(guess, "192.0.2.1").await, 401, "{guess}");
    }
    assert_eq!(ping("nonsense", "192.0.2.1").await, 429);
    assert_eq!(ping("nonsense", "192.0.2.2").await, 401, "from elsewhere");
    assert_eq!(ping(&token, "192.0.2.1").await, 200, "who has a good one does not suffer");
    assert_eq!(refused(&app, "token.refused").await, 2, "one for each address");
    assert_eq!(refused(&app, "rate_limit.requests").await, 1);
}

#[tokio::test]
async fn a_revoked_token_is_reported_and_an_expired_one_is_not() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let tokens = app.anonymous().log_in("jane@example.com", PASSWORD).await;
    app.clock.advance(TimeDelta::minutes(31));
    assert_eq!(ask(&jane, PING).await.status(), 401);
    assert_eq!(refused(&app, "token.refused").await, 0);
    let tokens = app.anonymous().refresh(tokens["refreshToken"].as_str().unwrap()).await;
    let query = "mutation ($token: String!) { logOut(input: { refreshToken: $token }) { loggedOut } }";
    app.anonymous().call(query, json!({ "token": tokens["refreshToken"] })).await;
    let revoked = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    assert_eq!(ask(&revoked, PING).await.status(), 401);
    assert_eq!(refused(&app, "token.refused").await, 1);
}

#[tokio::test]
async fn limits_are_off_where_they_are_set_so() {
    let app = TestApp::new().await;
    let answer = ask(&app.anonymous(), &fields(90)).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("ratelimit"));
    for _ in 0..8 {
        let answer = app.anonymous().log_in("jane@example.com", "wrong").await;
        assert_eq!(code(&answer), "INVALID_CREDENTIALS");
    }
    assert_eq!(app.count("SELECT count(*) FROM rate_limits").await, 0);
}

/// Everybody's budget, as a field of the API.
const RATE_LIMIT: &str = "{ rateLimit { limit remaining resetAt cost } a: __typename b: __typename }";

#[tokio::test]
async fn what_is_left_is_a_field_too_on_every_transport() {
    let app = TestApp::with(&[("RATE_LIMIT_REQUESTS", "12/1m")]).await;
    let jane = app.therapist("jane").await;
    let expected = |remaining: u32, reset: &str| json!({ "limit": 12, "remaining": remaining, "resetAt": reset, "cost": 3 });
    let answer = jane.call(RATE_LIMIT, json!({})).await;
    assert_eq!(answer["rateLimit"], expected(9, "2026-03-10T09:00:15+00:00"));
    let answer =
        jane.post("/graphql").header("accept", "text/event-stream").json(&json!({ "query": RATE_LIMIT }));
    let text = answer.send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#""remaining":6"#), "{text}");
    let mut watch = Watch::start(&jane, RATE_LIMIT, json!({})).await;
    let News::Data(data) = watch.next().await else { panic!("data") };
    assert_eq!(data["rateLimit"], expected(3, "2026-03-10T09:00:45+00:00"));
    assert_eq!(TestApp::new().await.anonymous().call(RATE_LIMIT, json!({})).await["rateLimit"], Value::Null);
}

/// Pages of a hundred in pages of a hundred in pages of a hundred.
const DEAR: &str =
    "{ patients(first: 100) { nodes { sessions(first: 100) { nodes { patient { sessions(first: 100) {
    nodes { id status progress } } } } } } } }";

#[tokio::test]
async fn what_costs_too_much_is_refused_before_it_is_executed_with_both_numbers() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    for accept in ["application/json", "application/graphql-response+json", "text/event-stream"] {
        let request = jane.post("/graphql").header("accept", accept).json(&json!({ "query": DEAR }));
        let text = request.send().await.unwrap().text().await.unwrap();
        // An event stream has it in its first event.
        let first =
            text.lines().map(|line| line.trim_start_matches("data: ")).find(|line| line.starts_with('{'));
        let answer: Value = serde_json::from_str(first.unwrap_or_else(|| panic!("{text}"))).unwrap();
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "LIMIT_EXCEEDED", "{accept}: {answer}");
        let [requested, limit] =
            ["requested", "limit"].map(|name| extensions["cost"][name].as_u64().unwrap());
        assert!(requested > 3_000_000 && limit < requested, "{answer}");
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("costs {requested} points, and may cost {limit}")), "{message}");
    }
    let News::Refused(errors) = Watch::start(&jane, DEAR, json!({})).await.next().await else {
        panic!("refused")
    };
    assert!(errors[0]["extensions"]["cost"]["requested"].as_u64().unwrap() > 3_000_000, "{errors}");
}

#[tokio::test]
async fn every_answer_tells_what_it_cost_and_the_limit_can_be_set() {
    let app = TestApp::with(&[("QUERY_COST_LIMIT", "100")]).await;
    let jane = app.therapist("jane").await;
    let query = "query ($first: Int) { patients(first: $first) { nodes { id name } } }";
    let answer = jane.answer(query, json!({ "first": 10 })).await;
    let cost = json!({ "requested": 92, "limit": 100, "remaining": 8 });
    assert_eq!(answer["extensions"]["cost"], cost, "{answer}");
    let answer = jane.answer(query, json!({ "first": 30 })).await;
    let refused = json!({ "requested": 252, "limit": 100, "remaining": 0 });
    assert_eq!(answer["errors"][0]["extensions"]["cost"], refused, "{answer}");
}
