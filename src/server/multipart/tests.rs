use axum::http::Request as HttpRequest;
use reqwest::multipart::{Form as Parts, Part};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::super::seam::Limits;
use super::super::test_server::TestServer;
use super::*;

const MEASURE: &str = "mutation($file: Upload!) { measure(file: $file) }";

fn operations(query: &str) -> String {
    json!({"query": query, "variables": {"file": null}}).to_string()
}

fn parts(query: &str, bytes: Vec<u8>) -> Parts {
    Parts::new()
        .text("operations", operations(query))
        .text("map", r#"{"0": ["variables.file"]}"#)
        .part("0", Part::bytes(bytes).file_name("a.wav").mime_str("audio/wav").unwrap())
}

async fn send(server: &TestServer, parts: Parts) -> (u16, Json) {
    let request = reqwest::Client::new().post(server.url()).bearer_auth("good").header(PREFLIGHT, "true");
    let response = request.multipart(parts).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_file_reaches_its_resolver_whole() {
    let server = TestServer::start().await;
    for size in [0, 1, 32 << 10, 5 << 20] {
        let bytes: Vec<u8> = b"\r\n--x\r".iter().copied().cycle().take(size).collect();
        let (status, answer) = send(&server, parts(MEASURE, bytes)).await;
        assert_eq!((status, &answer["data"]), (200, &json!({"measure": format!("a.wav {size}")})));
        assert_eq!(answer["extensions"]["cost"]["requested"], 51, "a mutation");
    }
}

#[tokio::test]
async fn uploads_need_the_preflight_header() {
    let server = TestServer::start().await;
    let request = reqwest::Client::new().post(server.url()).bearer_auth("good");
    let response = request.multipart(parts(MEASURE, vec![0])).send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn strangers_are_refused_before_a_byte_is_there() {
    let server = TestServer::start().await;
    let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let request = HttpRequest::post("/graphql").header(PREFLIGHT, "true");
    let request = request.header("content-type", "multipart/form-data; boundary=x").body(body).unwrap();
    assert_eq!(server.router.clone().oneshot(request).await.unwrap().status(), 401);
}

#[tokio::test]
async fn more_or_less_than_one_file_is_refused() {
    let server = TestServer::start().await;
    let file = || Part::bytes(vec![0; 9]);
    let start = |map: &'static str| Parts::new().text("operations", operations(MEASURE)).text("map", map);
    for parts in [
        start(r#"{"0": ["variables.file"]}"#),
        start(r#"{"0": ["variables.file"]}"#).part("1", file()),
        start(r#"{"0": ["variables.file"]}"#).part("0", file()).part("1", file()),
        start(r#"{"0": ["variables.file"], "1": ["variables.file"]}"#).part("0", file()).part("1", file()),
        start(r#"{"0": ["variables.file", "variables.file"]}"#).part("0", file()),
        start(r#"{"0": ["variables.other"]}"#).part("0", file()),
        start(r#"{"0": ["file"]}"#).part("0", file()),
        start(r#"{"0": []}"#).part("0", file()),
        start("{}").part("0", file()),
        start("[").part("0", file()),
        Parts::new().text("map", "{}").text("operations", operations(MEASURE)),
        Parts::new(),
    ] {
        let (status, answer) = send(&server, parts).await;
        assert_eq!(
            (status, &answer["errors"][0]["extensions"]["code"]),
            (400, &json!("BAD_REQUEST")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_second_file_breaks_the_first() {
    let mut server = TestServer::start().await;
    let (status, _) = send(&server, parts(MEASURE, vec![0; 9]).part("1", Part::bytes(vec![0; 9]))).await;
    assert_eq!(status, 400);
    assert_eq!(server.told.recv().await.unwrap(), UploadError::MoreThanOne.to_string());
}

#[tokio::test]
async fn a_file_nobody_reads_does_not_hold_the_answer() {
    let server = TestServer::start().await;
    let query = "mutation($file: Upload!) { ignore(file: $file) }";
    let (status, answer) = send(&server, parts(query, vec![0; 5 << 20])).await;
    assert_eq!((status, &answer["data"]), (200, &json!({"ignore": true})));
}

#[tokio::test]
async fn a_file_can_stand_in_a_list() {
    let server = TestServer::start().await;
    let query = "mutation($files: [Upload]!, $file: Upload!) { ignore(file: $file, nested: $files) }";
    let operations = json!({"query": query, "variables": {"file": null, "files": [null]}}).to_string();
    let parts = Parts::new().text("operations", operations).text("map", r#"{"0": ["variables.files.0"]}"#);
    let (_, answer) = send(&server, parts.part("0", Part::bytes(vec![0]))).await;
    // The list's spot took the file, so the other variable is still null, which its type forbids.
    assert_eq!(answer["errors"][0]["extensions"]["code"], "VALIDATION_FAILED", "{answer}");
}

#[tokio::test]
async fn a_file_for_several_variables_is_a_copy_for_each() {
    let server = TestServer::start().await;
    let query = "mutation($a: Upload!, $b: [Upload!]!) { a: measure(file: $a) b: all(files: $b) ignore(file: $a, nested: $b) }";
    let operations = json!({"query": query, "variables": {"a": null, "b": [null, null]}}).to_string();
    let map = r#"{"0": ["variables.a", "variables.b.0", "variables.b.1"]}"#;
    let parts = Parts::new().text("operations", operations).text("map", map);
    let file = Part::bytes(vec![7; 5 << 20]).file_name("a.wav");
    let (status, answer) = send(&server, parts.part("0", file)).await;
    let whole = "a.wav 5242880";
    let data = json!({"a": whole, "b": [whole, whole], "ignore": true});
    assert_eq!((status, &answer["data"]), (200, &data), "{answer}");
}

#[tokio::test]
async fn a_part_that_says_it_is_made_of_parts_is_read_as_what_it_is() {
    let server = TestServer::start().await;
    let part = |media: &str| Part::text(operations(MEASURE)).mime_str(media).unwrap();
    for media in ["multipart/mixed", "multipart/mixed; boundary=y", "multipart/form-data; boundary=x"] {
        let parts = Parts::new().part("operations", part(media)).text("map", r#"{"0": ["variables.file"]}"#);
        let (status, answer) = send(&server, parts.part("0", Part::bytes(vec![0; 9]))).await;
        assert_eq!((status, &answer["data"]["measure"]), (200, &json!(" 9")), "{media}: {answer}");
    }
}

#[tokio::test]
async fn a_file_that_is_used_twice_is_an_error() {
    let server = TestServer::start().await;
    let query = "mutation($file: Upload!) { a: measure(file: $file) b: measure(file: $file) }";
    let (_, answer) = send(&server, parts(query, vec![0; 9])).await;
    assert!(answer["errors"][0].is_object(), "{answer}");
}

#[tokio::test]
async fn large_parts_and_bodies_are_refused() {
    let limits = Limits { upload_bytes: 1 << 20, ..Limits::default() };
    let mut server = TestServer::with_limits(limits).await;
    let (status, _) = send(&server, Parts::new().text("operations", " ".repeat(2 << 20))).await;
    assert_eq!(status, 413);
    let long_map = Parts::new().text("operations", operations(MEASURE)).text("map", " ".repeat(20 << 10));
    assert_eq!(send(&server, long_map).await.0, 413);
    assert_eq!(send(&server, parts(MEASURE, vec![0; 4 << 20])).await.0, 413);
    // Without a length the body is cut off while it arrives.
    let chunks = futures::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1 << 16])));
    let part = Part::stream(reqwest::Body::wrap_stream(chunks));
    let _ = send_any(&server, parts_with(part)).await;
    assert_eq!(server.told.recv().await.unwrap(), UploadError::TooLarge.to_string());
}

fn parts_with(part: Part) -> Parts {
    Parts::new()
        .text("operations", operations(MEASURE))
        .text("map", r#"{"0": ["variables.file"]}"#)
        .part("0", part)
}

async fn send_any(server: &TestServer, parts: Parts) -> reqwest::Result<reqwest::Response> {
    let request = reqwest::Client::new().post(server.url()).bearer_auth("good").header(PREFLIGHT, "true");
    request.multipart(parts).send().await
}

#[tokio::test]
async fn endless_headers_of_a_part_are_refused() {
    let server = TestServer::start().await;
    let body = Body::from(format!("--x\r\nA: {}", "a".repeat(3 << 20)));
    let response = server.router.clone().oneshot(upload(body)).await.unwrap();
    assert_eq!(response.status(), 413);
}

fn upload(body: Body) -> HttpRequest<Body> {
    let request =
        HttpRequest::post("/graphql").header(PREFLIGHT, "true").header("authorization", "Bearer good");
    request.header("content-type", "multipart/form-data; boundary=x").body(body).unwrap()
}

fn opening(query: &str) -> String {
    format!(
        "--x\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{}\r\n\
         --x\r\nContent-Disposition: form-data; name=\"map\"\r\n\r\n{{\"0\": [\"variables.file\"]}}\r\n\
         --x\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a\"\r\n\r\n",
        operations(query)
    )
}

#[tokio::test]
async fn a_resolver_learns_that_the_client_went_away() {
    let mut server = TestServer::start().await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let start = opening(MEASURE);
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\n{PREFLIGHT}: 1\r\nContent-Length: 999999\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n{start}some bytes"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    drop(client);
    assert_eq!(server.told.recv().await.unwrap(), UploadError::Aborted.to_string());
}

#[tokio::test]
async fn a_body_without_its_closing_boundary_is_a_broken_upload() {
    let mut server = TestServer::start().await;
    let body = Body::from(opening(MEASURE) + "some bytes");
    server.router.clone().oneshot(upload(body)).await.unwrap();
    assert_eq!(server.told.recv().await.unwrap(), UploadError::Aborted.to_string());
}

#[tokio::test]
async fn a_slow_resolver_slows_the_client() {
    let server = TestServer::start().await;
    let pulled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&pulled);
    let start = futures::stream::once(async {
        Bytes::from(opening("mutation($file: Upload!) { hold(file: $file) }"))
    });
    let chunks = start.chain(futures::stream::repeat(Bytes::from(vec![0; 64 << 10])));
    let chunks = chunks.map(move |chunk| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(chunk)
    });
    let answer = tokio::spawn(server.router.clone().oneshot(upload(Body::from_stream(chunks))));
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!answer.is_finished());
    assert!(pulled.load(Ordering::SeqCst) < 10, "{} chunks", pulled.load(Ordering::SeqCst));
    answer.abort();
}

#[tokio::test]
async fn no_json_request_can_pretend_a_file() {
    let server = TestServer::start().await;
    for file in [json!(null), json!("#__graphql_file__:0"), json!({})] {
        let response =
            server.post(&json!({"query": MEASURE, "variables": {"file": file}})).send().await.unwrap();
        let answer: Json = response.json().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "VALIDATION_FAILED", "{answer}");
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let server = TestServer::start().await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let start = opening("mutation($file: Upload!) { ignore(file: $file) }");
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer good\r\n{PREFLIGHT}: 1\r\n\
         Content-Length: {}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n{start}",
        start.len() + (8 << 20)
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![0; 8 << 20]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(r#"{"data":{"ignore":true},"#), "{answer}");
}
