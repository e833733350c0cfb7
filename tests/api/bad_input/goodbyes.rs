//! What is open ends with what it was opened with: a token that runs out, a record that goes to somebody else; over sockets and
//! event streams.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::socket::{News, Watch};
use crate::support::{TestApp, recording};

/// An event stream, and what it says next.
struct Events {
    answer: reqwest::Response,
    read: String,
}

impl Events {
    async fn open(client: &Client, query: &str, id: &str) -> Self {
        let body = json!({ "query": query, "variables": { "id": id } });
        let request = client.post("/graphql").header("accept", "text/event-stream").json(&body);
        Self { answer: request.send().await.unwrap(), read: String::new() }
    }

    /// The next event's data; `None` for `complete`.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                match event.split_once('\n') {
                    Some(("event: next", data)) => {
                        return Some(serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap());
                    }
                    Some(("event: complete", _)) => return None,
                    _ => continue,
                }
            }
            let chunk = tokio::time::timeout(std::time::Duration::from_mins(2), self.answer.chunk());
            let chunk = chunk.await.expect("news in time").unwrap().expect("more before its end");
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

const OF_A_SESSION: [&str; 2] = [
    "subscription ($id: ID!) { sessionUpdated(id: $id) { version status } }",
    "subscription ($id: ID!) { transcriptSegmentAdded(sessionId: $id) { text } }",
];
const OF_A_PATIENT: &str = "subscription ($id: ID!) { sessionsUpdated(patientId: $id) { version status } }";
const OF_A_DOCUMENT: &str = "subscription ($id: ID!) { exportJobUpdated(id: $id) { status } }";

#[tokio::test]
async fn whoever_loses_a_record_hears_no_more_of_it_over_any_transport() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    app.therapist("eve").await;
    let patient = jane.patient("Daniel").await;
    let told = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let export = "mutation ($id: ID!) { exportSessionNotes(input: { sessionIds: [$id], format: PDF }) { exportJob { id } } }";
    let job = jane.call(export, json!({ "id": told })).await["exportSessionNotes"]["exportJob"]["id"].clone();
    let session = jane.session(&patient, recording("stereo.mp3")).await;
    let (session, patient, job) = (session.as_str(), patient.as_str(), job.as_str().unwrap());
    let followed = [
        (OF_A_SESSION[0], session),
        (OF_A_SESSION[1], session),
        (OF_A_PATIENT, patient),
        (OF_A_DOCUMENT, job),
    ];
    let (mut sockets, mut streams) = (Vec::new(), Vec::new());
    for (query, id) in followed {
        let mut socket = Watch::start(&jane, query, json!({ "id": id })).await;
        let mut events = Events::open(&jane, query, id).await;
        // An utterance comes when there is one; everything else begins with what is.
        if query != OF_A_SESSION[1] {
            assert!(matches!(socket.next().await, News::Data(_)), "{query}");
            assert!(events.next().await.unwrap()["data"].is_object(), "{query}");
        }
        sockets.push((query, socket));
        streams.push((query, events));
    }
    app.run(
        "ALTER TABLE sessions ALTER CONSTRAINT sessions_patient_id_therapist_id_fkey DEFERRABLE INITIALLY DEFERRED;
         BEGIN;
         UPDATE sessions SET therapist_id = (SELECT id FROM users WHERE email = 'eve@example.com');
         UPDATE export_jobs SET therapist_id = (SELECT id FROM users WHERE email = 'eve@example.com');
         UPDATE patients SET therapist_id = (SELECT id FROM users WHERE email = 'eve@example.com');
         COMMIT",
    )
    .await;
    app.run_jobs().await;
    for (query, mut socket) in sockets {
        let News::Refused(errors) = socket.next().await else { panic!("{query}: a refusal") };
        assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{query}");
    }
    for (query, mut events) in streams {
        let last = events.next().await.expect("the reason");
        assert_eq!(last["errors"][0]["extensions"]["code"], "NOT_FOUND", "{query}: {last}");
        assert!(last["data"].is_null(), "{query}: {last}");
        assert_eq!(events.next().await, None, "{query}");
    }
}

#[tokio::test]
async fn an_access_token_that_runs_out_closes_its_socket_and_ends_its_stream() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    // Three seconds before its end, by the server's clock.
    app.clock.advance(TimeDelta::minutes(30) - TimeDelta::seconds(3));
    let mut socket = Watch::session(&jane, &session).await;
    socket.value().await;
    let mut events = Events::open(&jane, OF_A_SESSION[0], &session).await;
    assert!(events.next().await.unwrap()["data"].is_object());
    assert_eq!(socket.next().await, News::Closed(Some(4403)));
    let last = events.next().await.expect("the reason");
    assert_eq!(last["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    assert_eq!(events.next().await, None);
}
