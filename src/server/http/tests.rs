use serde_json::{Value, json};

use super::super::test_server::TestServer;

const NEW: &str = "application/graphql-response+json";

async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn ask(server: &TestServer, accept: &str, query: &str) -> (u16, Value) {
    let request = server.post(&json!({ "query": query })).header("accept", accept);
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_query_is_answered_in_the_media_type_asked_for() {
    let server = TestServer::start().await;
    for (accept, content_type) in [
        (NEW, "application/graphql-response+json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        (
            "text/html, application/json;q=0.4, application/graphql-response+json;q=0.9",
            "application/graphql-response+json; charset=utf-8",
        ),
    ] {
        let body = json!({"query": "query A($n: String) {b: hello(name: $n) a: who}", "variables": {"n": "Ä"}, "operationName": "A"});
        let response = server.post(&body).header("accept", accept).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let cost = r#""extensions":{"cost":{"requested":2,"limit":50000,"remaining":49998}}"#;
        let expected = format!(r#"{{"data":{{"b":"Hello, Ä!","a":"nobody"}},{cost}}}"#);
        assert_eq!(response.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn statuses_follow_the_draft() {
    let server = TestServer::start().await;
    for (query, code, new_status) in [
        ("{", "BAD_REQUEST", 400),
        ("{nothing}", "VALIDATION_FAILED", 400),
        ("{secret}", "UNAUTHENTICATED", 401),
    ] {
        let (status, body) = ask(&server, NEW, query).await;
        assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (new_status, &json!(code)), "{query}");
        assert_eq!(body["errors"][0]["extensions"]["requestId"], "r1");
        assert_eq!(body["errors"][0]["extensions"]["retryable"], false);
    }
    assert_eq!(ask(&server, "application/json", "{nothing}").await.0, 200);
    assert_eq!(ask(&server, "application/json", "{").await.0, 200);
    let (status, body) = ask(&server, NEW, "{maybeSecret}").await;
    assert_eq!((status, &body["data"]), (200, &json!({"maybeSecret": null})));
    assert_eq!(ask(&server, "text/html", "{hello}").await.0, 406);
}

#[tokio::test]
async fn a_rate_limit_is_429_with_retry_after() {
    let server = TestServer::start().await;
    let response = server.post(&json!({"query": "{limited}"})).send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["retryable"], true);
}

#[tokio::test]
async fn malformed_requests_are_400_in_graphql_form() {
    let server = TestServer::start().await;
    for body in [
        &b"{"[..],
        b"",
        b"null",
        b"\xff\xfe",
        b"\"x\"",
        br#"{"query": 1}"#,
        br#"{"variables": {}}"#,
        br#"[{"query": "{hello}"}]"#,
        br#"{"query": "{hello}", "variables": [1]}"#,
        br#"{"query": "{hello}", "operationName": 1}"#,
        br#"{"query": "{hello}", "extensions": "x"}"#,
    ] {
        let request = reqwest::Client::new().post(server.url()).header("content-type", "application/json");
        let (status, answer) = read(request.body(body.to_vec()).send().await.unwrap()).await;
        assert_eq!(status, 400, "{}", String::from_utf8_lossy(body));
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    }
    let body = json!({"query": "{hello}", "variables": null, "operationName": null, "extensions": {}});
    assert_eq!(read(server.post(&body).send().await.unwrap()).await.0, 200);
}

#[tokio::test]
async fn variables_nested_too_deep_are_refused() {
    let server = TestServer::start().await;
    let body = format!(
        r#"{{"query":"{{hello}}","variables":{{"a":{}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let request = reqwest::Client::new().post(server.url()).header("content-type", "application/json");
    let (status, answer) = read(request.body(body).send().await.unwrap()).await;
    assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (400, &json!("LIMIT_EXCEEDED")));
}

#[tokio::test]
async fn killer_queries_are_refused_and_the_server_lives() {
    let server = TestServer::start().await;
    for killer in [
        format!("{{__typename(x:{}1{})}}", "[".repeat(2_000), "]".repeat(2_000)),
        format!("{}{}", "{a".repeat(2_000), "}".repeat(2_000)),
        format!("query($a:{}Int{}){{a}}", "[".repeat(2_000), "]".repeat(2_000)),
    ] {
        let (status, body) = ask(&server, NEW, &killer).await;
        assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (400, &json!("LIMIT_EXCEEDED")));
    }
    assert_eq!(ask(&server, NEW, "{hello}").await.0, 200);
}

#[tokio::test]
async fn many_errors_make_a_small_answer() {
    let server = TestServer::start().await;
    let (_, body) = ask(&server, NEW, &format!("{{{}}}", "a ".repeat(4_000))).await;
    assert_eq!(body["errors"].as_array().unwrap().len(), 20);
    assert!(body.to_string().len() < 10_000);
}

#[tokio::test]
async fn nothing_but_a_json_post_runs_anything() {
    let server = TestServer::start().await;
    let client = reqwest::Client::new();
    let body = r#"{"query":"mutation{bump}"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=x",
        "application/json; charset=utf-16",
    ] {
        let response =
            client.post(server.url()).header("content-type", content_type).body(body).send().await.unwrap();
        assert_eq!(response.status(), 415, "{content_type}");
    }
    let response = client.post(server.url()).body(body).send().await.unwrap();
    assert_eq!(response.status(), 415);
    let response = client.get(format!("{}?query=mutation{{bump}}", server.url())).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST".parse().unwrap()));
    let response = client.put(server.url()).body(body).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(ask(&server, NEW, "{bumps}").await.1["data"], json!({"bumps": 0}));
}

#[tokio::test]
async fn a_bad_token_is_401_and_an_unreachable_check_503() {
    let server = TestServer::start().await;
    for (token, status, code) in [("bad", 401, "UNAUTHENTICATED"), ("later", 503, "UNAVAILABLE")] {
        let request = server.post(&json!({"query": "{who}"})).bearer_auth(token);
        let (got, body) = read(request.send().await.unwrap()).await;
        assert_eq!((got, &body["errors"][0]["extensions"]["code"]), (status, &json!(code)));
    }
    let request = server.post(&json!({"query": "{who}"})).bearer_auth("good");
    assert_eq!(read(request.send().await.unwrap()).await.1["data"], json!({"who": "somebody"}));
}

#[tokio::test]
async fn a_large_body_is_413_with_and_without_its_length() {
    let server = TestServer::start().await;
    let large = vec![b' '; 2 << 20];
    let chunks = futures::stream::iter(
        large.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
    );
    for body in [reqwest::Body::from(large.clone()), reqwest::Body::wrap_stream(chunks)] {
        let request = reqwest::Client::new().post(server.url()).header("content-type", "application/json");
        assert_eq!(request.body(body).send().await.unwrap().status(), 413);
    }
}

#[tokio::test]
async fn an_error_without_a_code_leaks_nothing() {
    let server = TestServer::start().await;
    let (_, body) = ask(&server, NEW, "{leak}").await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL");
    assert!(!body.to_string().contains("SELECT"));
}

#[tokio::test]
async fn who_is_refused_before_the_body_may_send_it_and_reads_why() {
    let server = TestServer::start().await;
    // More than what lies between a client and a server that reads nothing.
    let long = json!({"query": "{who}", "extensions": {"a": "a".repeat(8 << 20)}});
    let (status, body) = read(server.post(&long).bearer_auth("bad").send().await.unwrap()).await;
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")));
}

#[tokio::test]
async fn a_subscription_needs_a_stream() {
    let server = TestServer::start().await;
    assert_eq!(ask(&server, NEW, "subscription{count(to: 1)}").await.0, 406);
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let server = TestServer::start().await;
    let (status, body) = ask(&server, NEW, "{explode}").await;
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (500, &json!("INTERNAL")));
}
