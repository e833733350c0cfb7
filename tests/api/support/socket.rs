//! A subscription client: `graphql-transport-ws` over a real socket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::client::Client;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// One subscription on a socket of its own.
pub(crate) struct Watch {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a watch hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// The data of a `next` message.
    Data(Value),
    /// The errors of an `error` or `next` message.
    Refused(Value),
    /// `complete`.
    Complete,
    /// The socket was closed, with this code.
    Closed(Option<u16>),
}

impl Watch {
    /// Subscribes as `client`.
    pub(crate) async fn start(client: &Client, query: &str, variables: Value) -> Self {
        Self::ask_for(client, json!({ "query": query, "variables": variables })).await
    }

    /// Asks as `client`.
    pub(crate) async fn ask_for(client: &Client, payload: Value) -> Self {
        let mut request = format!("ws://{}/graphql", client.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut watch = Self { socket };
        let authorization = client.token.as_ref().map(|token| format!("Bearer {token}"));
        watch.send(json!({ "type": "connection_init", "payload": { "authorization": authorization } })).await;
        watch.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
        watch
    }

    /// Follows one session: `version status progress`.
    pub(crate) async fn session(client: &Client, id: &str) -> Self {
        let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { id version status progress } }";
        Self::start(client, query, json!({ "id": id })).await
    }

    /// Follows the sessions of a patient.
    pub(crate) async fn patient(client: &Client, id: &str) -> Self {
        let query =
            "subscription ($id: ID!) { sessionsUpdated(patientId: $id) { id version status progress } }";
        Self::start(client, query, json!({ "id": id })).await
    }

    /// Asks something else on the same socket.
    pub(crate) async fn ask(&mut self, query: &str) {
        self.send(json!({ "id": "2", "type": "subscribe", "payload": { "query": query } })).await;
    }

    /// The next thing that is heard.
    pub(crate) async fn next(&mut self) -> News {
        // Over all messages: the server's pings must not keep a silent test waiting for ever.
        tokio::time::timeout(PATIENCE, self.hear()).await.expect("news in time")
    }

    async fn hear(&mut self) -> News {
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => return News::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => continue,
                None | Some(Err(_)) => return News::Closed(None),
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            let payload = &message["payload"];
            match message["type"].as_str().unwrap() {
                "next" if payload["errors"].is_null() => return News::Data(payload["data"].clone()),
                "next" => return News::Refused(payload["errors"].clone()),
                "error" => return News::Refused(payload.clone()),
                "complete" => return News::Complete,
                "ping" => self.send(json!({ "type": "pong" })).await,
                _ => {}
            }
        }
    }

    /// The next value of the subscription's field.
    pub(crate) async fn value(&mut self) -> Value {
        match self.next().await {
            News::Data(data) => data.as_object().unwrap().values().next().unwrap().clone(),
            other => panic!("expected a value, heard {other:?}"),
        }
    }

    /// All values up to the end.
    pub(crate) async fn until_end(mut self) -> Vec<Value> {
        let mut values = Vec::new();
        loop {
            match self.next().await {
                News::Data(data) => values.push(data.as_object().unwrap().values().next().unwrap().clone()),
                News::Complete => return values,
                other => panic!("expected values and an end, heard {other:?} after {values:?}"),
            }
        }
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }
}

/// The statuses of a history, each once, in the order they came; checks that versions only grow.
pub(crate) fn statuses(history: &[Value]) -> Vec<String> {
    let versions: Vec<i64> = history.iter().map(|value| value["version"].as_i64().unwrap()).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "versions only grow: {versions:?}");
    let mut statuses: Vec<String> =
        history.iter().map(|value| value["status"].as_str().unwrap().to_owned()).collect();
    statuses.dedup();
    statuses
}
