//! Sockets and streams that were opened with a key end with it, idle ones too, in every process.

use std::time::Duration;

use serde_json::json;

use crate::log_ins::deactivate;
use crate::support::client::Client;
use crate::support::socket::{News, Watch};
use crate::support::{TestApp, recording};

/// Longer than anything takes on a busy machine, and than any poll.
const PATIENCE: Duration = Duration::from_mins(2);

/// An integration with an idle socket, a stream that waits for news, and one that watches a patient.
struct Integration {
    socket: Watch,
    watch: Watch,
    stream: reqwest::Response,
}

impl Integration {
    /// At `server`, with a key of `owner`.
    async fn open(server: &TestApp, owner: &Client, key: &Client) -> Self {
        let client = server.anonymous().with_token(key.token.as_ref().unwrap());
        let mut socket = Watch::start(&client, "{ viewer { id } }", json!({})).await;
        assert!(matches!(socket.next().await, News::Data(_)));
        assert_eq!(socket.next().await, News::Complete);
        let patient = owner.patient("Daniel").await;
        let session = owner.session(&patient, recording("cbr.mp3")).await;
        let mut watch = Watch::patient(&client, &patient).await;
        assert_eq!(watch.value().await["id"], json!(session));
        let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { id } }";
        let body = json!({ "query": query, "variables": { "id": session } });
        let request = client.post("/graphql").header("accept", "text/event-stream").json(&body);
        let mut stream = request.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"event: next"));
        Self { socket, watch, stream }
    }

    async fn ends(mut self, why: &str) {
        assert_eq!(self.socket.next().await, News::Closed(Some(4403)), "{why}");
        assert_eq!(self.watch.next().await, News::Closed(Some(4403)), "{why}");
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

#[tokio::test]
async fn what_is_open_with_a_key_ends_with_it_in_every_process() {
    let app = TestApp::new().await;
    let other = app.sibling(&[]).await;
    let admin = app.admin("root").await;
    for ending in ["revoked", "owner deactivated"] {
        let tokens = app.tokens(&ending.replace(' ', "-")).await;
        let owner = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
        let (id, key) = owner.api_key(&["SESSIONS_READ"]).await;
        let (_, bystander) =
            app.therapist(&format!("by-{}", &ending[..3])).await.api_key(&["SESSIONS_READ"]).await;
        let mut bystander = Watch::start(&bystander, "{ viewer { id } }", json!({})).await;
        assert!(matches!(bystander.next().await, News::Data(_)));
        assert_eq!(bystander.next().await, News::Complete);
        let here = Integration::open(&app, &owner, &key).await;
        let there = Integration::open(&other, &owner, &key).await;
        if ending == "revoked" {
            owner.revoke_api_key(&id).await;
        } else {
            deactivate(&admin, tokens["user"]["id"].as_str().unwrap().parse().unwrap()).await;
        }
        here.ends(ending).await;
        there.ends(ending).await;
        bystander.ask("{ viewer { id } }").await;
        assert!(matches!(bystander.next().await, News::Data(_)), "others go on");
    }
}

#[tokio::test]
async fn one_key_ends_and_the_owner_and_the_other_keys_go_on() {
    let app = TestApp::new().await;
    let owner = app.therapist("jane").await;
    let (id, key) = owner.api_key(&["SESSIONS_READ"]).await;
    let (_, other) = owner.api_key(&["SESSIONS_READ"]).await;
    let ending = Integration::open(&app, &owner, &key).await;
    let mut others = Integration::open(&app, &owner, &other).await;
    let mut own = Integration::open(&app, &owner, &owner).await;
    owner.revoke_api_key(&id).await;
    ending.ends("revoked").await;
    others.goes_on().await;
    own.goes_on().await;
}

#[tokio::test]
async fn what_is_open_with_a_key_ends_with_its_time() {
    let app = TestApp::new().await;
    let owner = app.therapist("jane").await;
    let (_, key) = owner.api_key(&["SESSIONS_READ"]).await;
    app.run("UPDATE api_keys SET expires_at = '2026-03-10T09:00:08Z'").await;
    let open = Integration::open(&app, &owner, &key).await;
    open.ends("expired").await;
}

#[tokio::test]
async fn without_a_hint_the_end_of_a_key_is_found_by_looking() {
    let app = TestApp::new().await;
    let owner = app.therapist("jane").await;
    let (_, key) = owner.api_key(&["SESSIONS_READ"]).await;
    let open = Integration::open(&app, &owner, &key).await;
    // Nobody sends a hint for what is changed by hand.
    app.run("UPDATE api_keys SET revoked_at = now()").await;
    open.ends("by hand").await;
}

#[tokio::test]
async fn a_subscription_without_its_scope_is_refused_and_the_socket_goes_on() {
    let app = TestApp::new().await;
    let owner = app.therapist("jane").await;
    let session = owner.session(&owner.patient("Daniel").await, recording("cbr.mp3")).await;
    let (_, key) = owner.api_key(&["SESSIONS_READ"]).await;
    let query = "subscription ($id: ID!) { transcriptSegmentAdded(sessionId: $id) { text } }";
    let mut socket = Watch::start(&key, query, json!({ "id": session })).await;
    let News::Refused(errors) = socket.next().await else { panic!("a refusal") };
    assert_eq!(errors[0]["extensions"]["code"], "FORBIDDEN");
    socket.ask("{ viewer { id } }").await;
    assert!(matches!(socket.next().await, News::Data(_)));
    let query = json!({ "query": "subscription { practiceOverviewUpdated { totalPatients } }" });
    let request = key.post("/graphql").header("accept", "text/event-stream").json(&query);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("FORBIDDEN") && text.ends_with("event: complete\ndata:\n\n"), "{text}");
    let refused = "SELECT count(*) FROM audit_events WHERE outcome = 'REFUSED' AND api_key_id IS NOT NULL
        AND action IN ('refused.transcriptSegmentAdded', 'refused.practiceOverviewUpdated')";
    assert_eq!(app.count(refused).await, 2);
}
