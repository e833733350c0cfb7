//! Signs of life, and what every answer carries.

use reqwest::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, LOCATION, ORIGIN};
use reqwest::{Client as Http, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::{Value, json};
use therapybridge::server::Server;
use therapybridge::telemetry;

use super::support::TestApp;

const APP: &str = "https://app.example.com";
const STRANGER: &str = "https://evil.example.com";

#[tokio::test]
async fn the_root_is_a_sign_of_life_for_machines() {
    let app = TestApp::new().await;
    for accept in ["application/json", "*/*", "application/json, text/html"] {
        let answer = request(&app, Method::GET, "/").header(ACCEPT, accept).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{accept}");
        assert_eq!(json_of(answer).await, json!({ "service": "therapybridge", "status": "ok" }));
    }
}

#[tokio::test]
async fn the_root_sends_browsers_to_the_console() {
    let app = TestApp::new().await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let answer = request(&app, Method::GET, "/").header(ACCEPT, browser).send().await.unwrap();
    assert!(answer.status().is_redirection());
    assert_eq!(answer.headers()[LOCATION], "/graphiql");
    let console = request(&app, Method::GET, "/graphiql").header(ACCEPT, browser).send().await.unwrap();
    assert!(console.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn without_the_console_browsers_get_the_sign_of_life() {
    let app = TestApp::with(&[("GRAPHIQL", "false")]).await;
    let answer = request(&app, Method::GET, "/").header(ACCEPT, "text/html").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(get(&app, "/graphiql").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_healthy_server_says_so_and_tells_this_machine_of_its_parts() {
    let app = TestApp::new().await;
    let answer = get(&app, "/health").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let health = json_of(answer).await;
    assert_eq!(health["status"], "ok");
    let parts = &health["parts"];
    assert_eq!((&parts["database"], &parts["storage"]), (&json!("ok"), &json!("ok")));
    assert_eq!(parts["queue"]["waiting"], 0);
    assert!(parts["queue"]["oldestWaitingSeconds"].is_null());
    assert_eq!(parts["providers"]["speech"][0]["model"], "whisper-1");
    assert_eq!(parts["providers"]["notes"][0]["model"], "gpt-4o");
    assert_eq!(parts["providers"]["notes"][0]["circuit"], "closed");
    for path in ["/health/live", "/health/ready"] {
        let answer = get(&app, path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(json_of(answer).await, json!({ "status": "ok" }), "{path}");
    }
}

#[tokio::test]
async fn health_tells_no_secret() {
    let app = TestApp::with(&[("OPS_TOKEN", "the operators' own token")]).await;
    let health = get(&app, "/health").await.text().await.unwrap();
    for secret in ["sk-test", "the operators' own token", "a secret of the tests", "postgres://"] {
        assert!(!health.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_server_that_has_lost_its_database_lives_but_cannot_serve() {
    let app = TestApp::new().await;
    app.app.pool().close().await;
    let answer = get(&app, "/health").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let health = json_of(answer).await;
    assert_eq!(health["status"], "unavailable");
    assert_eq!(health["parts"]["database"], "does not answer");
    assert!(health["parts"]["queue"].is_null());
    assert_eq!(get(&app, "/health/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&app, "/health/live").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_cannot_write_files_cannot_serve() {
    let app = TestApp::new().await;
    let spool = &app.app.config.storage.spool_dir;
    std::fs::remove_dir_all(spool).unwrap();
    std::fs::write(spool, "not a folder").unwrap();
    let answer = get(&app, "/health").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(answer).await["parts"]["storage"], "cannot be written to");
}

#[tokio::test]
async fn without_a_database_the_api_asks_to_try_again() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    app.app.pool().close().await;
    assert_eq!(jane.refusal("{ viewer { id } }", json!({})).await, "UNAVAILABLE");
    let log_in = r#"mutation { logIn(input: { email: "a@b.de", password: "x" }) { expiresIn } }"#;
    let answer = app.anonymous().answer(log_in, json!({})).await;
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["retryable"]),
        (&json!("UNAVAILABLE"), &json!(true)),
        "{answer}"
    );
}

#[tokio::test]
async fn metrics_are_rendered_for_this_machine() {
    let app = TestApp::new().await;
    assert_eq!(get(&app, "/metrics").await.status(), StatusCode::NOT_FOUND, "nothing is collected");
    let server = Server::bind(app.app.clone(), Some(telemetry::init_metrics().unwrap())).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.run());
    let metrics = |path| http().get(format!("http://{address}{path}")).send();
    metrics("/health").await.unwrap();
    let answer = metrics("/metrics").await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = answer.text().await.unwrap();
    for line in [
        r#"jobs{state="waiting"} 0"#,
        "oldest_waiting_job_seconds 0",
        r#"http_request_seconds_count{status="200"}"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn every_answer_is_accompanied() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", APP)]).await;
    let oversized = "x".repeat((1 << 20) + 1);
    let requests = [
        (request(&app, Method::GET, "/"), 200),
        (request(&app, Method::GET, "/").header(ACCEPT, "text/html"), 307),
        (request(&app, Method::GET, "/health"), 200),
        (request(&app, Method::GET, "/nowhere"), 404),
        (request(&app, Method::GET, "/graphql"), 405),
        (request(&app, Method::PUT, "/graphql"), 405),
        (request(&app, Method::POST, "/graphql").body("{}"), 415),
        (request(&app, Method::POST, "/graphql").json(&json!({ "query": "{ __typename }" })), 200),
        (request(&app, Method::POST, "/graphql").json(&json!({ "query": "{ viewer { id } }" })), 401),
        (request(&app, Method::POST, "/graphql").json(&json!({ "query": oversized })), 413),
        (preflight(&app, APP), 200),
        (preflight(&app, STRANGER), 200),
    ];
    for (request, status) in requests {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{}", answer.url());
        accompanied(answer.headers());
    }
}

#[tokio::test]
async fn an_answer_about_somebody_is_kept_in_no_cache() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let answer =
        jane.post("/graphql").json(&json!({ "query": "{ viewer { email } }" })).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn a_request_keeps_the_id_it_came_with_if_it_is_a_sane_one() {
    let app = TestApp::new().await;
    let ask = |id: String| request(&app, Method::GET, "/health/live").header("x-request-id", id).send();
    assert_eq!(ask("abc-123".into()).await.unwrap().headers()["x-request-id"], "abc-123");
    for strange in ["", "a b", "a;b", &"x".repeat(65)] {
        let answer = ask(strange.into()).await.unwrap();
        assert_ne!(answer.headers()["x-request-id"], strange, "{strange:?}");
        assert_eq!(answer.headers()["x-request-id"].len(), 36);
    }
}

#[tokio::test]
async fn an_error_carries_the_id_of_its_request() {
    let app = TestApp::new().await;
    let body = json!({ "query": "{ viewer { id } }" });
    let answer = request(&app, Method::POST, "/graphql").json(&body).send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(json_of(answer).await["errors"][0]["extensions"]["requestId"], id);
}

#[tokio::test]
async fn scripts_of_listed_origins_may_read_answers_and_no_others() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", &format!("{APP}, http://localhost:5173"))]).await;
    for (origin, allowed) in
        [(APP, true), ("http://localhost:5173", true), (STRANGER, false), ("null", false)]
    {
        let direct = request(&app, Method::GET, "/").header(ORIGIN, origin).send().await.unwrap();
        let asked = preflight(&app, origin).send().await.unwrap();
        for answer in [&direct, &asked] {
            let echoed =
                answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(echoed, allowed.then_some(origin), "{origin}");
            assert!(!answer.headers().contains_key("access-control-allow-credentials"), "{origin}");
        }
    }
    let asked = preflight(&app, APP).send().await.unwrap();
    let allowed = asked.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    for header in ["authorization", "content-type", "apollo-require-preflight"] {
        assert!(allowed.contains(header), "{header}: {allowed}");
    }
}

#[tokio::test]
async fn no_origin_is_allowed_unless_one_is_listed() {
    let app = TestApp::new().await;
    let answer = preflight(&app, APP).send().await.unwrap();
    assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::new().await;
    for path in
        ["/nowhere", "/health/nothing", "/graphql/", "/.env", "/graphiql/assets/..%2f..%2f..%2fCargo.toml"]
    {
        assert_eq!(get(&app, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

fn accompanied(headers: &HeaderMap) {
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert!(headers.contains_key("cache-control"));
    assert!(!headers["x-request-id"].is_empty());
}

fn http() -> Http {
    Http::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

fn request(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    http().request(method, format!("http://{}{path}", app.address))
}

/// What a browser asks before it sends a script's request to another origin.
fn preflight(app: &TestApp, origin: &str) -> RequestBuilder {
    request(app, Method::OPTIONS, "/graphql")
        .header(ORIGIN, origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
}

async fn get(app: &TestApp, path: &str) -> Response {
    request(app, Method::GET, path).send().await.unwrap()
}

async fn json_of(answer: Response) -> Value {
    answer.json().await.unwrap()
}
