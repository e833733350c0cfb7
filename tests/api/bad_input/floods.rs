//! More than anybody needs: subscriptions, messages, uploads that are begun and dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use reqwest::Body;
use reqwest::multipart::Part;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::Bystander;
use crate::support::client::Client;
use crate::support::{TestApp, recording};

const PATIENCE: Duration = Duration::from_mins(2);
/// As docs/api.md has it.
const MOST: usize = 100;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn open(client: &Client) -> Socket {
    let mut request = format!("ws://{}/graphql", client.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let authorization = format!("Bearer {}", client.token.as_ref().unwrap());
    say(&mut socket, json!({ "type": "connection_init", "payload": { "authorization": authorization } }))
        .await;
    assert_eq!(hear(&mut socket).await["type"], "connection_ack");
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn hear(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("news in time");
        match message.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn subscribe(id: usize) -> Value {
    let query = "subscription { practiceOverviewUpdated { totalPatients } }";
    json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": query } })
}

#[tokio::test]
async fn a_flood_of_subscriptions_has_what_a_socket_may_have_and_the_rest_is_refused() {
    let app = TestApp::new().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let mut socket = open(&jane).await;
    let mut heard: BTreeMap<String, Value> = BTreeMap::new();
    for id in 0..3 * MOST {
        say(&mut socket, subscribe(id)).await;
    }
    while heard.len() < 3 * MOST {
        let message = hear(&mut socket).await;
        heard.insert(message["id"].as_str().unwrap().to_owned(), message);
    }
    let refused: Vec<&Value> = heard.values().filter(|message| message["type"] == "error").collect();
    assert_eq!(refused.len(), 2 * MOST);
    for message in refused {
        assert_eq!(message["payload"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
    }
    // What ends makes room.
    let open = heard.iter().find(|(_, message)| message["type"] == "next").unwrap().0;
    say(&mut socket, json!({ "type": "complete", "id": open })).await;
    say(&mut socket, subscribe(1_000)).await;
    loop {
        let message = hear(&mut socket).await;
        if message["id"] == "1000" {
            assert_eq!(message["type"], "next", "{message}");
            break;
        }
    }
    bystander.goes_on(&app).await;
}

#[tokio::test]
async fn a_flood_of_messages_is_worked_off_or_slowed_down_and_holds_up_nobody() {
    let app = TestApp::new().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let (mut sending, mut hearing) = open(&jane).await.split();
    // Begun and ended at once, again and again, and pings: nobody reads the answers yet.
    let flood = tokio::spawn(async move {
        for id in 0..2_000 {
            let end = json!({ "type": "complete", "id": id.to_string() });
            for message in [subscribe(id), end, json!({ "type": "ping", "payload": { "number": id } })] {
                if sending.send(Message::text(message.to_string())).await.is_err() {
                    return;
                }
            }
        }
    });
    jane.call("{ viewer { id } }", json!({})).await;
    bystander.goes_on(&app).await;
    // Every ping is answered in the end, in order.
    let mut next = 0;
    while next < 2_000 {
        let message =
            tokio::time::timeout(PATIENCE, hearing.next()).await.expect("in time").unwrap().unwrap();
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "pong" {
            assert_eq!(message["payload"]["number"], next);
            next += 1;
        }
    }
    flood.await.unwrap();
}

#[tokio::test]
async fn uploads_that_are_dropped_half_way_leave_nothing_and_hold_up_nobody() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let mut beginning = recording("cbr.mp3");
    beginning.truncate(beginning.len() / 2);
    let query = "mutation ($patient: ID!, $audio: Upload!) {
        uploadSession(input: { patientId: $patient, audio: $audio }) { session { id } userErrors { code } } }";
    let begun: Vec<_> = (0..8)
        .map(|_| {
            let chunks = stream::iter([Ok::<_, std::io::Error>(beginning.clone())]).chain(stream::pending());
            let file = Part::stream(Body::wrap_stream(chunks)).file_name("session.mp3");
            let (client, variables) = (jane.clone(), json!({ "patient": patient, "audio": null }));
            tokio::spawn(async move { client.multipart(query, variables, "variables.audio", file).await })
        })
        .collect();
    files(&app, |count| count >= 8).await;
    for upload in begun {
        upload.abort();
    }
    files(&app, |count| count == 0).await;
    app.assert_nothing_left().await;
    jane.session(&patient, recording("cbr.mp3")).await;
}

/// Waits until there are so many files, in the store and on their way into it.
async fn files(app: &TestApp, enough: impl Fn(usize) -> bool) {
    let wait = async {
        while !enough(app.files().len()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?}", app.files()));
}

#[tokio::test]
async fn a_recording_for_two_patients_is_two_sessions() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (daniel, maria) = (jane.patient("Daniel").await, jane.patient("Maria").await);
    let query = "mutation ($daniel: ID!, $maria: ID!, $a: Upload!, $b: Upload!) {
        a: uploadSession(input: { patientId: $daniel, audio: $a }) { session { id durationMinutes audioFilename } userErrors { code } }
        b: uploadSession(input: { patientId: $maria, audio: $b }) { session { id durationMinutes audioFilename } userErrors { code } } }";
    let operations =
        json!({ "query": query, "variables": { "daniel": daniel, "maria": maria, "a": null, "b": null } });
    let form = reqwest::multipart::Form::new()
        .text("operations", operations.to_string())
        .text("map", r#"{"0": ["variables.a", "variables.b"]}"#)
        .part("0", Part::bytes(recording("cbr.mp3")).file_name("both.mp3"));
    let request = jane.post("/graphql").header("apollo-require-preflight", "1").multipart(form);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let (a, b) = (&answer["data"]["a"]["session"], &answer["data"]["b"]["session"]);
    assert!(a["id"].is_string() && b["id"].is_string() && a["id"] != b["id"], "{answer}");
    assert_eq!((&a["audioFilename"], &a["durationMinutes"]), (&b["audioFilename"], &b["durationMinutes"]));
    app.run_jobs().await;
    let done = "SELECT count(*) FROM sessions WHERE status = 'PROCESSED'";
    assert_eq!(app.count(done).await, 2);
}
