//! A GraphQL client as any web page would be one.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

pub(super) struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap_or_default(), address, token: None }
    }

    pub(super) fn authorize(&mut self, token: &str) {
        self.token = Some(format!("Bearer {token}"));
    }

    /// Runs an operation; gives its data.
    pub(super) async fn call(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let request = self.post().json(&json!({ "query": query, "variables": variables }));
        data(request.send().await?.json().await?)
    }

    /// Uploads a recording, by the GraphQL multipart request specification.
    pub(super) async fn upload(&self, patient_id: &str, recording: Vec<u8>) -> anyhow::Result<Value> {
        let query = "mutation ($input: UploadSessionInput!) {
            uploadSession(input: $input) { session { id } userErrors { message } } }";
        let input = json!({ "patientId": patient_id, "audio": null, "idempotencyKey": "demo-recording" });
        let operations = json!({ "query": query, "variables": { "input": input } });
        let form = Form::new()
            .text("operations", operations.to_string())
            .text("map", r#"{"0":["variables.input.audio"]}"#)
            .part("0", Part::bytes(recording).file_name("session_anxiety.mp3").mime_str("audio/mpeg")?);
        let request = self.post().header("apollo-require-preflight", "1").multipart(form);
        data(request.send().await?.json().await?)
    }

    /// Fetches a file by its link, as a browser would: without a token.
    pub(super) async fn fetch(&self, link: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.http.get(format!("http://{}{link}", self.address)).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Watches a session or a document over a WebSocket until it has ended.
    pub(super) async fn watch(
        &self,
        (subscription, id): (&str, &str),
        show: impl Fn(&Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request()?;
        request
            .headers_mut()
            .insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let send = |message: Value| Message::text(message.to_string());
        let init = json!({ "type": "connection_init", "payload": { "authorization": self.token } });
        socket.send(send(init)).await?;
        let query =
            format!("subscription ($id: ID!) {{ {subscription}(id: $id) {{ version status progress }} }}");
        let payload = json!({ "query": query, "variables": { "id": id } });
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let message: Value = serde_json::from_str(&text)?;
            match message["type"].as_str() {
                Some("connection_ack") => {
                    socket.send(send(json!({ "id": "1", "type": "subscribe", "payload": payload }))).await?;
                }
                Some("next") => show(&data(message["payload"].clone())?[subscription])?,
                Some("complete") => return Ok(()),
                Some("error") => bail!("{}", message["payload"]),
                _ => {}
            }
        }
        bail!("the socket was closed before the end")
    }

    fn post(&self) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("http://{}/graphql", self.address));
        match &self.token {
            Some(token) => request.header("authorization", token),
            None => request,
        }
    }
}

fn data(mut answer: Value) -> anyhow::Result<Value> {
    ensure!(answer["errors"].is_null(), "{}", answer["errors"]);
    answer.get_mut("data").map(Value::take).context("an answer without data")
}
