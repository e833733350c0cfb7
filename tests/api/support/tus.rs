//! A client of tus 1.0: whole requests, and requests that break off or never end.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Client;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a body of bytes is called.
pub(crate) const BYTES: &str = "application/offset+octet-stream";

impl Client {
    /// A request of the protocol.
    pub(crate) fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("tus-resumable", "1.0.0")
    }

    /// Asks for a new upload.
    pub(crate) async fn begin(&self, length: usize) -> Response {
        self.tus(Method::POST, "/uploads").header("upload-length", length).send().await.unwrap()
    }

    /// Begins an upload; its path.
    pub(crate) async fn begun(&self, length: usize) -> String {
        let answer = self.begin(length).await;
        assert_eq!(answer.status(), 201);
        header(&answer, "location").unwrap().to_owned()
    }

    /// A PATCH that is yet to be sent.
    pub(crate) fn patch(&self, path: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
        let request = self.tus(Method::PATCH, path).header("upload-offset", offset);
        request.header("content-type", BYTES).body(bytes.to_vec())
    }

    /// Sends bytes; the status.
    pub(crate) async fn send(&self, path: &str, offset: usize, bytes: &[u8]) -> StatusCode {
        self.patch(path, offset, bytes).send().await.unwrap().status()
    }

    /// Begins an upload and sends all of it; its path.
    pub(crate) async fn sent(&self, bytes: &[u8]) -> String {
        let path = self.begun(bytes.len()).await;
        assert_eq!(self.send(&path, 0, bytes).await, 204);
        path
    }

    /// Where an upload ends.
    pub(crate) async fn offset(&self, path: &str) -> usize {
        let answer = self.tus(Method::HEAD, path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        header(&answer, "upload-offset").unwrap().parse().unwrap()
    }

    /// The status of a HEAD.
    pub(crate) async fn head_status(&self, path: &str) -> StatusCode {
        let answer = self.tus(Method::HEAD, path).send().await.unwrap();
        assert_eq!(header(&answer, "upload-offset").is_some(), answer.status() == 200);
        answer.status()
    }

    /// Makes an upload a session; the payload.
    pub(crate) async fn finish(&self, path: &str, mut input: Value) -> Value {
        input["uploadId"] = json!(id_of(path));
        self.upload_session(input).await
    }

    /// `uploadSession` without a file; the payload.
    pub(crate) async fn upload_session(&self, input: Value) -> Value {
        let query = "mutation ($input: UploadSessionInput!) { uploadSession(input: $input) {
            session { id status durationMinutes audioFilename } userErrors { code message field } } }";
        self.call(query, json!({ "input": input })).await["uploadSession"].clone()
    }

    /// A PATCH on a connection of its own, of which only a part is sent.
    pub(crate) async fn start_patch(&self, path: &str, offset: usize, length: usize, part: &[u8]) -> Raw {
        self.start_patch_with(path, offset, &length.to_string(), part).await
    }

    /// The same; more headers may follow the length.
    pub(crate) async fn start_patch_with(&self, path: &str, offset: usize, length: &str, part: &[u8]) -> Raw {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nContent-Type: {BYTES}\r\n\
             Upload-Offset: {offset}\r\nContent-Length: {length}\r\n{}\r\n",
            token.unwrap_or_default()
        );
        let mut raw = Raw::connect(self).await;
        raw.write(head.as_bytes()).await;
        raw.write(part).await;
        raw
    }
}

/// The last part of an upload's path.
pub(crate) fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

/// A connection, as bytes.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(client: &Client) -> Self {
        Self(TcpStream::connect(client.address).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The head of the next answer, in lower case; its body, where it has one, is read and left out.
    pub(crate) async fn answer(&mut self) -> String {
        let head = tokio::time::timeout(PATIENCE, self.head()).await.expect("an answer in time");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).await.unwrap();
        head
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("the connection is closed without an answer"));
        }
        String::from_utf8(head).unwrap().to_lowercase()
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read =
            tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("an end in time");
        assert!(read.is_err() || rest.is_empty(), "{rest:?}");
    }
}
