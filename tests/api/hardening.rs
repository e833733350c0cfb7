//! What the transport does for its clients' safety: headers, addresses behind proxies, and logs without secrets.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, RequestBuilder, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::client::Client;
use super::support::provider::ScriptedProvider;
use super::support::socket::{News, Watch};
use super::support::{PASSWORD, TestApp, variables};

const APP: &str = "https://app.example.com";
const HSTS: &str = "strict-transport-security";

fn request(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    http.build().unwrap().request(method, format!("http://{}{path}", app.address))
}

fn query(app: &TestApp, query: &str) -> RequestBuilder {
    request(app, Method::POST, "/graphql").json(&json!({ "query": query }))
}

fn assert_protected(answer: &Response) {
    let headers = answer.headers();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name} of {}", answer.url());
    }
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(headers["permissions-policy"].to_str().unwrap().contains("microphone=()"));
    assert!(headers.contains_key("x-request-id") && headers.contains_key("cache-control"));
    assert!(!headers.contains_key("set-cookie"), "no cookies");
    assert!(!headers.contains_key("server") && !headers.contains_key("x-powered-by"));
    assert!(!headers.contains_key(HSTS), "not behind TLS");
}

#[tokio::test]
async fn every_answer_is_protected_and_sets_no_cookie() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", APP), ("RATE_LIMIT_REQUESTS", "2/1m")]).await;
    let preflight = request(&app, Method::OPTIONS, "/graphql")
        .header("origin", APP)
        .header("access-control-request-method", "POST");
    for (request, status) in [
        (request(&app, Method::GET, "/"), 200),
        (request(&app, Method::GET, "/").header("accept", "text/html"), 307),
        (request(&app, Method::GET, "/health"), 200),
        (request(&app, Method::GET, "/metrics"), 404),
        (request(&app, Method::GET, "/nowhere"), 404),
        (request(&app, Method::GET, "/graphiql/assets/nothing.js"), 404),
        (request(&app, Method::TRACE, "/graphql"), 405),
        (request(&app, Method::DELETE, "/health"), 405),
        (request(&app, Method::POST, "/graphql").body("{}"), 415),
        (query(&app, "{ viewer { id } }"), 401),
        (query(&app, "{ __typename }").header("accept", "text/event-stream"), 200),
        (query(&app, "{ __typename }"), 429),
        (query(&app, "{ __typename }").bearer_auth("bad"), 429),
        (preflight, 200),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{}", answer.url());
        assert_protected(&answer);
    }
    assert_protected(&request(&app, Method::GET, "/graphiql").send().await.unwrap());
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_asks_and_streams_are_not() {
    let app = TestApp::new().await;
    let long = "{ __schema { types { name } } }";
    let asked = |text| query(&app, text).header("accept-encoding", "gzip, br");
    let plain = query(&app, long).send().await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.unwrap();

    let answer = asked(long).send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.headers()["vary"].to_str().unwrap().contains("accept-encoding"));
    let packed = answer.bytes().await.unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_ref()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain && packed.len() < plain.len() / 2, "{} of {}", packed.len(), plain.len());

    let short = asked("{ __typename }").send().await.unwrap();
    let stream = asked(long).header("accept", "text/event-stream").send().await.unwrap();
    for answer in [short, stream] {
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("content-encoding"));
    }
}

#[tokio::test]
async fn tls_is_made_to_last_where_a_trusted_proxy_says_there_is_some() {
    let behind = TestApp::with(&[("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let direct = TestApp::new().await;
    for (name, value, path) in [
        ("x-forwarded-proto", "https", "/"),
        ("x-forwarded-proto", "https", "/nowhere"),
        ("forwarded", "for=192.0.2.1;proto=https", "/health"),
    ] {
        let ask = |app| request(app, Method::GET, path).header(name, value).send();
        let answer = ask(&behind).await.unwrap();
        assert_eq!(answer.headers()[HSTS], "max-age=31536000; includeSubDomains", "{path}");
        assert!(!ask(&direct).await.unwrap().headers().contains_key(HSTS), "{path}");
    }
    let answer = request(&behind, Method::GET, "/").header("x-forwarded-proto", "http").send().await.unwrap();
    assert!(!answer.headers().contains_key(HSTS));
}

#[tokio::test]
async fn the_audit_trail_knows_the_client_behind_a_trusted_proxy_only() {
    for (proxies, expected) in [("127.0.0.1", "192.0.2.1"), ("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1")] {
        let app = TestApp::with(&[("TRUSTED_PROXIES", proxies)]).await;
        let log_in = r#"mutation { logIn(input: { email: "a@b.de", password: "x" }) { expiresIn } }"#;
        let sent = query(&app, log_in).header("x-forwarded-for", "198.51.100.9, 192.0.2.1").send().await;
        assert_eq!(sent.unwrap().status(), 200);
        let query = "SELECT ip FROM audit_events WHERE action = 'user.log_in'";
        let ip: String = sqlx::query_scalar(query).fetch_one(app.app.pool()).await.unwrap();
        assert_eq!(ip, expected, "TRUSTED_PROXIES={proxies}");
    }
}

#[tokio::test]
async fn what_a_proxy_forwards_is_not_this_machines() {
    for proxies in ["127.0.0.1", ""] {
        let app = TestApp::with(&[("TRUSTED_PROXIES", proxies), ("OPS_TOKEN", "the operators' own")]).await;
        let health = async |forwarded: Option<&str>, token: Option<&str>| {
            let mut request = request(&app, Method::GET, "/health");
            if let Some(ip) = forwarded {
                request = request.header("x-forwarded-for", ip);
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            request.send().await.unwrap().json::<Value>().await.unwrap()["parts"].is_object()
        };
        assert!(health(None, None).await, "this machine");
        for ip in ["192.0.2.1", "127.0.0.1", "nonsense", ""] {
            assert!(!health(Some(ip), None).await, "{ip}");
            assert!(!health(Some(ip), Some("the operators'")).await, "{ip}");
            assert!(health(Some(ip), Some("the operators' own")).await, "{ip}");
        }
    }
}

#[tokio::test]
async fn many_who_ask_for_the_servers_health_get_one_look() {
    let app = TestApp::new().await;
    let ask = || async { request(&app, Method::GET, "/health").send().await.unwrap().status().as_u16() };
    // More than there are connections to the database: each look takes one.
    let answers = join_all((0..64).map(|_| ask())).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    std::fs::remove_dir_all(&app.app.config.storage.spool_dir).unwrap();
    assert_eq!(ask().await, 503, "the next look is a new one");
}

#[tokio::test]
async fn scripts_may_read_the_headers_that_tell_of_limits() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", APP)]).await;
    let answer = query(&app, "{ __typename }").header("origin", APP).send().await.unwrap();
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_lowercase();
    for name in ["retry-after", "ratelimit", "ratelimit-policy", "x-request-id"] {
        assert!(exposed.split(',').any(|header| header.trim() == name), "{name}: {exposed}");
    }
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
}

/// The program itself, logging all it can at `debug`.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: mpsc::Receiver<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start(data: &tempfile::TempDir, provider: &ScriptedProvider) -> Self {
        Self::with(data, provider, &[]).await
    }

    pub(crate) async fn with(
        data: &tempfile::TempDir,
        provider: &ScriptedProvider,
        settings: &[(&str, &str)],
    ) -> Self {
        let log = [("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")];
        let mut vars = variables(provider, data.path(), &[&log[..], settings].concat()).await;
        vars.insert("OPS_TOKEN".into(), "the operators' own token".into());
        let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
        command.arg("serve").env_clear().envs(vars).current_dir(data.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let (address, log) = tokio::task::spawn_blocking(move || until_it_listens(log)).await.unwrap();
        Self { child, address, log }
    }

    /// Stops it; everything it has logged since it listened.
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.log.iter().collect::<Vec<_>>().join("\n")
    }
}

/// Where it listens, and the rest of the log.
fn until_it_listens(log: mpsc::Receiver<String>) -> (SocketAddr, mpsc::Receiver<String>) {
    loop {
        let line = log.recv_timeout(Duration::from_mins(2)).expect("it starts");
        let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].clone();
        if fields["message"] == "listening" {
            return (fields["address"].as_str().unwrap().parse().unwrap(), log);
        }
    }
}

#[tokio::test]
async fn no_password_and_no_token_is_ever_logged() {
    let (data, provider) = (tempfile::tempdir().unwrap(), ScriptedProvider::start().await);
    let server = Server::start(&data, &provider).await;
    let client = Client::new(server.address);
    let input = json!({ "email": "jane@example.com", "password": PASSWORD, "fullName": "Jane Doe", "role": "THERAPIST" });
    let signed_up = client.sign_up(input).await;
    let logged_in = client.log_in("jane@example.com", PASSWORD).await;
    client.log_in("jane@example.com", "a wrong password").await;
    let refreshed = client.refresh(logged_in["refreshToken"].as_str().unwrap()).await;
    client.refresh(logged_in["refreshToken"].as_str().unwrap()).await;
    let bad = client.with_token("a-bad.access.token");
    assert_eq!(bad.refusal("{ viewer { id } }", json!({})).await, "UNAUTHENTICATED");
    let mut watch = Watch::start(&bad, "{ __typename }", json!({})).await;
    assert_eq!(watch.next().await, News::Closed(Some(4403)));
    let jane = client.with_token(signed_up["accessToken"].as_str().unwrap());
    jane.patient("Daniel Fernandez").await;
    let health = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = health.get(format!("http://{}/health?token=in-the-query", server.address));
    health.bearer_auth("the operators' own token").send().await.unwrap();

    let log = server.stop();
    assert!(
        log.contains("/graphql") && log.contains("INSERT INTO"),
        "requests and statements are logged: {log}"
    );
    let mut secrets = vec![PASSWORD, "a wrong password", "a-bad.access.token", "the operators' own token"];
    secrets.extend([
        "a secret of the tests",
        "sk-test",
        "in-the-query",
        "jane@example.com",
        "Daniel Fernandez",
    ]);
    for tokens in [&signed_up, &logged_in, &refreshed] {
        secrets.extend(["accessToken", "refreshToken"].iter().map(|name| tokens[*name].as_str().unwrap()));
    }
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
