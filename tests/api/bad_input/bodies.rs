//! Bodies that are no request, and those that are far too long.

use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{Bystander, code};
use crate::processes::Fleet;
use crate::support::TestApp;
use crate::support::client::Client;

const ACCEPTED: [&str; 3] = ["application/json", "application/graphql-response+json", "text/event-stream"];

#[tokio::test]
async fn what_is_no_request_is_refused_whatever_answer_is_wanted() {
    let app = TestApp::new().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let good = br#"{"query":"{__typename}"}"#.to_vec();
    let deep = format!(
        r#"{{"query":"{{__typename}}","variables":{{"a":{}{}}}}}"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    let json = "application/json";
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("nothing", json, vec![], 400, "BAD_REQUEST"),
        ("spaces", json, b"  \n ".to_vec(), 400, "BAD_REQUEST"),
        ("half of it", json, b"{\"query\":\"{__type".to_vec(), 400, "BAD_REQUEST"),
        ("something behind it", json, [good.clone(), b"x".to_vec()].concat(), 400, "BAD_REQUEST"),
        ("a list", json, [b"[".to_vec(), good.clone(), b"]".to_vec()].concat(), 400, "BAD_REQUEST"),
        ("a text", json, b"\"{__typename}\"".to_vec(), 400, "BAD_REQUEST"),
        ("no UTF-8", json, b"{\"query\":\"{__typename} # \xff\xfe\"}".to_vec(), 400, "BAD_REQUEST"),
        ("half of a character", json, b"{\"query\":\"{__typename} # \xc3\"}".to_vec(), 400, "BAD_REQUEST"),
        ("half of a surrogate", json, br#"{"query":"{__typename} # \ud800"}"#.to_vec(), 400, "BAD_REQUEST"),
        ("NUL", json, vec![0; 100], 400, "BAD_REQUEST"),
        (
            "variables that are a list",
            json,
            br#"{"query":"{__typename}","variables":[1]}"#.to_vec(),
            400,
            "BAD_REQUEST",
        ),
        ("a query that is a number", json, br#"{"query":1}"#.to_vec(), 400, "BAD_REQUEST"),
        ("no query", json, b"{}".to_vec(), 400, "BAD_REQUEST"),
        ("brackets in brackets", json, deep.into_bytes(), 400, "LIMIT_EXCEEDED"),
        ("plain text", "text/plain", good.clone(), 415, "BAD_REQUEST"),
        ("a form", "application/x-www-form-urlencoded", good.clone(), 415, "BAD_REQUEST"),
        ("other parts", "multipart/mixed; boundary=x", good.clone(), 415, "BAD_REQUEST"),
        ("another encoding", "application/json; charset=utf-16", good.clone(), 415, "BAD_REQUEST"),
        ("GraphQL itself", "application/graphql", b"{__typename}".to_vec(), 415, "BAD_REQUEST"),
        ("parts without a boundary", "multipart/form-data", good, 400, "BAD_REQUEST"),
    ];
    for (what, content_type, body, status, expected) in cases {
        for accept in ACCEPTED {
            let request = jane.post("/graphql").header("content-type", content_type).header("accept", accept);
            let answer =
                request.header("apollo-require-preflight", "1").body(body.clone()).send().await.unwrap();
            assert_eq!(answer.status(), status, "{what}, {accept}");
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(code(&answer), expected, "{what}, {accept}");
            assert!(answer["errors"][0]["extensions"]["requestId"].is_string());
        }
    }
    bystander.goes_on(&app).await;
}

const HUGE: usize = 100 << 20;

/// A body that is sent piece by piece, and not held by the test either.
fn pieces(start: &'static str) -> reqwest::Body {
    let piece = bytes::Bytes::from(vec![b' '; 1 << 16]);
    let rest = stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())).take(HUGE >> 16);
    reqwest::Body::wrap_stream(stream::iter([Ok(bytes::Bytes::from_static(start.as_bytes()))]).chain(rest))
}

async fn refused(
    client: &Client,
    change: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> (u16, Value) {
    let request = change(client.post("/graphql").timeout(Duration::from_mins(1)));
    let answer = request.send().await.expect("it may be sent, and the answer read");
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hundred_megabytes_are_refused_before_anybody_has_logged_in_and_take_no_memory() {
    let fleet = Fleet::new().await;
    let server = fleet.start_with(&["serve", "--no-worker"], &[("DATABASE_URL", &fleet.database)]).await;
    let jane = server.therapist().await;
    let stranger = Client::new(jane.address);
    jane.call("{ viewer { id } }", json!({})).await;
    let before = server.peak();
    let operations = "--x\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n";
    for client in [&stranger, &jane] {
        for accept in ["application/json", "text/event-stream"] {
            for length in [None, Some(HUGE)] {
                let (status, answer) = refused(client, |request| {
                    let request = request.header("content-type", "application/json").header("accept", accept);
                    match length {
                        Some(length) => request.header("content-length", length).body(vec![b' '; length]),
                        None => request.body(pieces("{")),
                    }
                })
                .await;
                assert_eq!((status, code(&answer)), (413, "LIMIT_EXCEEDED"), "{accept}, {length:?}");
            }
        }
        let (status, answer) = refused(client, |request| {
            let request = request.header("content-type", "multipart/form-data; boundary=x");
            request.header("apollo-require-preflight", "1").body(pieces(operations))
        })
        .await;
        let expected =
            if client.token.is_some() { (413, "LIMIT_EXCEEDED") } else { (401, "UNAUTHENTICATED") };
        assert_eq!((status, code(&answer)), expected);
    }
    assert_eq!(long_message(&jane).await, 1009);
    let grown = server.peak() - before;
    assert!(grown < 50 << 20, "{} MiB more", grown >> 20);
    jane.call("{ viewer { id } }", json!({})).await;
}

/// Sends it over a socket, to be told so; the code.
async fn long_message(client: &Client) -> u16 {
    let mut request = format!("ws://{}/graphql", client.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let (mut sending, mut hearing) = socket.split();
    // It may be cut off in the middle.
    let sent = tokio::spawn(async move { sending.send(Message::text(" ".repeat(HUGE))).await });
    let code = loop {
        match hearing.next().await.expect("a close frame") {
            Ok(Message::Close(frame)) => break frame.unwrap().code.into(),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    sent.abort();
    code
}
