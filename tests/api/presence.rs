//! Open sockets and streams end with their log-in, idle ones too, in every process.

use std::time::Duration;

use futures::{StreamExt, stream};
use reqwest::Body;
use reqwest::multipart::Part;
use serde_json::{Value, json};

use crate::log_ins::{change_password, deactivate};
use crate::support::client::Client;
use crate::support::socket::{News, Watch};
use crate::support::{PASSWORD, TestApp, recording};

/// Longer than anything takes on a busy machine, and than any poll.
const PATIENCE: Duration = Duration::from_mins(2);
const ENDINGS: [&str; 6] = ["log-out", "revoke", "everywhere", "password", "reuse", "deactivate"];

/// A device of a user, with an idle socket and a stream that has said all it has to say.
struct Device {
    tokens: Value,
    client: Client,
    socket: Watch,
    stream: reqwest::Response,
}

impl Device {
    async fn open(server: &TestApp, tokens: Value) -> Self {
        let client = server.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
        let mut socket = Watch::start(&client, "{ viewer { id } }", json!({})).await;
        assert!(matches!(socket.next().await, News::Data(_)));
        assert_eq!(socket.next().await, News::Complete);
        let patient = client.patient("Daniel").await;
        let session = client.session(&patient, recording("cbr.mp3")).await;
        let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { id } }";
        let body = json!({ "query": query, "variables": { "id": session } });
        let request = client.post("/graphql").header("accept", "text/event-stream").json(&body);
        let mut stream = request.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"event: next"));
        Self { tokens, client, socket, stream }
    }

    fn refresh_token(&self) -> &str {
        self.tokens["refreshToken"].as_str().unwrap()
    }

    async fn ends(mut self, why: &str) {
        assert_eq!(self.socket.next().await, News::Closed(Some(4403)), "{why}");
        let rest = tokio::time::timeout(PATIENCE, self.stream.text()).await.expect("an end in time").unwrap();
        assert!(
            rest.contains("UNAUTHENTICATED") && rest.ends_with("event: complete\ndata:\n\n"),
            "{why}: {rest}"
        );
    }

    async fn goes_on(&mut self) {
        self.socket.ask("{ viewer { id } }").await;
        assert!(matches!(self.socket.next().await, News::Data(_)));
        assert_eq!(self.socket.next().await, News::Complete);
    }
}

/// Ends the log-in of a device, from another one of the same user.
async fn end(app: &TestApp, ending: &str, email: &str, device: &Device, admin: &Client) {
    let tokens = app.anonymous().log_in(email, PASSWORD).await;
    let other = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    let user_id = device.tokens["user"]["id"].as_str().unwrap();
    match ending {
        "log-out" => {
            let query = "mutation ($input: RefreshTokenInput!) { logOut(input: $input) { loggedOut } }";
            other.call(query, json!({ "input": { "refreshToken": device.refresh_token() } })).await;
        }
        "revoke" => {
            let query = "{ viewer { authSessions { id isCurrent } } }";
            let devices = device.client.call(query, json!({})).await["viewer"]["authSessions"].clone();
            let devices = devices.as_array().unwrap();
            let id = &devices.iter().find(|device| device["isCurrent"] == true).unwrap()["id"];
            let query = "mutation ($id: ID!) { revokeAuthSession(id: $id) { userErrors { code } } }";
            other.call(query, json!({ "id": id })).await;
        }
        "everywhere" => {
            other.call("mutation { logOutEverywhere { loggedOut } }", json!({})).await;
        }
        "password" => {
            change_password(&other, PASSWORD, "another horse entirely").await;
        }
        "reuse" => {
            app.anonymous().refresh(device.refresh_token()).await;
            app.anonymous().refresh(device.refresh_token()).await;
        }
        _ => {
            deactivate(admin, user_id.parse().unwrap()).await;
        }
    }
}

#[tokio::test]
async fn an_idle_socket_and_a_stream_end_with_their_log_in_however_it_ends() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let mut bystander = Device::open(&app, app.tokens("bystander").await).await;
    for ending in ENDINGS {
        let device = Device::open(&app, app.tokens(ending).await).await;
        end(&app, ending, &format!("{ending}@example.com"), &device, &admin).await;
        device.ends(ending).await;
        bystander.goes_on().await;
    }
}

#[tokio::test]
async fn they_end_in_other_processes_too() {
    let app = TestApp::new().await;
    let other = app.sibling(&[]).await;
    let admin = app.admin("root").await;
    let mut bystander = Device::open(&other, app.tokens("bystander").await).await;
    for ending in ["everywhere", "deactivate"] {
        let device = Device::open(&other, app.tokens(ending).await).await;
        end(&app, ending, &format!("{ending}@example.com"), &device, &admin).await;
        device.ends(ending).await;
        bystander.goes_on().await;
    }
}

#[tokio::test]
async fn without_a_hint_the_end_is_found_by_looking() {
    let app = TestApp::new().await;
    let device = Device::open(&app, app.tokens("jane").await).await;
    // Nobody sends a hint for what is changed by hand.
    app.run("UPDATE users SET is_active = false").await;
    device.ends("by hand").await;
}

#[tokio::test]
async fn what_is_closed_is_forgotten() {
    let app = TestApp::new().await;
    let device = Device::open(&app, app.tokens("jane").await).await;
    assert_eq!(app.app.auth.presence.count(), 1, "socket and stream are of one log-in");
    drop(device);
    let forgotten = async {
        while app.app.auth.presence.count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("forgotten in time");
}

#[tokio::test]
async fn an_upload_ends_with_its_log_in_and_leaves_nothing() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let mut beginning = recording("cbr.mp3");
    beginning.truncate(beginning.len() / 2);
    // The rest never comes.
    let chunks = stream::iter([Ok::<_, std::io::Error>(beginning)]).chain(stream::pending());
    let file = Part::stream(Body::wrap_stream(chunks)).file_name("session.mp3");
    let query = "mutation ($patient: ID!, $audio: Upload!) {
        uploadSession(input: { patientId: $patient, audio: $audio }) { session { id } userErrors { code } } }";
    let (uploader, variables) = (jane.clone(), json!({ "patient": patient, "audio": null }));
    let upload =
        tokio::spawn(async move { uploader.multipart(query, variables, "variables.audio", file).await });
    let begun = async {
        while app.files().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("an upload that begins");
    jane.call("mutation { logOutEverywhere { loggedOut } }", json!({})).await;
    // Sooner than an upload that stalls would be given up.
    let answer = tokio::time::timeout(Duration::from_secs(25), upload).await.expect("an end").unwrap();
    assert!(answer["data"]["uploadSession"]["session"].is_null(), "{answer}");
    app.assert_nothing_left().await;
}

const EVER: &str = "subscription ($id: ID!) { sessionsUpdated(patientId: $id) { id } }";

/// A stream that is seen to be open, or the answer that says why not.
async fn stream(client: &Client, patient: &str) -> (u16, reqwest::Response) {
    let body = json!({ "query": EVER, "variables": { "id": patient } });
    let request = client.post("/graphql").header("accept", "text/event-stream").json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer)
}

#[tokio::test]
async fn sockets_and_event_streams_of_a_user_are_counted_together() {
    let app = TestApp::with(&[("MAX_SOCKETS_PER_USER", "3")]).await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let patient = jane.patient("Daniel").await;
    jane.session(&patient, recording("cbr.mp3")).await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut watch = Watch::patient(&jane, &patient).await;
        watch.value().await;
        sockets.push(watch);
    }
    let (status, open) = stream(&jane, &patient).await;
    assert_eq!(status, 200);
    assert_eq!(Watch::patient(&jane, &patient).await.next().await, News::Closed(Some(1013)));
    let (status, refused) = stream(&jane, &patient).await;
    assert_eq!((status, refused.headers()["retry-after"].to_str().unwrap()), (429, "10"));
    let error = refused.json::<Value>().await.unwrap()["errors"][0].clone();
    assert_eq!(error["extensions"]["code"], "RATE_LIMITED");
    assert!(error["message"].as_str().unwrap().contains("3 sockets and event streams"), "{error}");
    // Questions have their answer all the same, and others their own.
    jane.call("{ viewer { id } }", json!({})).await;
    let his = eve.patient("Maria").await;
    assert_eq!(stream(&eve, &his).await.0, 200);
    // What is closed makes room.
    drop(open);
    let wait = async { while stream(&jane, &patient).await.0 != 200 {} };
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("room again");
}
