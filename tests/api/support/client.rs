//! A GraphQL client over HTTP.

use std::net::SocketAddr;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::PASSWORD;

/// Somebody at the API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), address, token: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Runs an operation; its data. Fails the test on a top-level error.
    pub(crate) async fn call(&self, query: &str, variables: Value) -> Value {
        let answer = self.answer(query, variables).await;
        assert!(answer["errors"].is_null(), "{query}: {answer}");
        answer["data"].clone()
    }

    /// Runs an operation; the code of its first top-level error.
    pub(crate) async fn refusal(&self, query: &str, variables: Value) -> String {
        let answer = self.answer(query, variables).await;
        answer["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no refusal: {answer}"))
            .to_owned()
    }

    /// Runs an operation; the whole answer.
    pub(crate) async fn answer(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        self.post("/graphql").json(&body).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn sign_up(&self, input: Value) -> Value {
        let query = "mutation ($input: SignUpInput!) { signUp(input: $input) {
            accessToken refreshToken expiresIn user { id email fullName role timezone isActive }
            userErrors { code message field } } }";
        self.call(query, json!({ "input": input })).await["signUp"].clone()
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Value {
        let query = "mutation ($input: LogInInput!) { logIn(input: $input) {
            accessToken refreshToken expiresIn user { id } userErrors { code message field } } }";
        self.call(query, json!({ "input": { "email": email, "password": password } })).await["logIn"].clone()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Value {
        let query = "mutation ($input: RefreshTokenInput!) { refreshToken(input: $input) {
            accessToken refreshToken expiresIn user { id } userErrors { code message field } } }";
        self.call(query, json!({ "input": { "refreshToken": token } })).await["refreshToken"].clone()
    }

    /// Makes a patient; the payload.
    pub(crate) async fn create_patient(&self, input: Value) -> Value {
        let query = "mutation ($input: CreatePatientInput!) { createPatient(input: $input) {
            patient { id name email phone archivedAt createdAt } userErrors { code message field } } }";
        self.call(query, json!({ "input": input })).await["createPatient"].clone()
    }

    /// Makes a patient; the id.
    pub(crate) async fn patient(&self, name: &str) -> String {
        let payload = self.create_patient(json!({ "name": name })).await;
        payload["patient"]["id"].as_str().unwrap().to_owned()
    }

    /// Invites a patient; the payload.
    pub(crate) async fn invite(&self, input: Value) -> Value {
        let query = "mutation ($input: InvitePatientInput!) { invitePatient(input: $input) {
            invitation { id code expiresAt revokedAt createdAt patient { id } }
            userErrors { code message field } } }";
        self.call(query, json!({ "input": input })).await["invitePatient"].clone()
    }

    /// Invites a patient; the code.
    pub(crate) async fn invitation_code(&self, patient_id: &str) -> String {
        let payload = self.invite(json!({ "patientId": patient_id })).await;
        payload["invitation"]["code"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
    }

    /// Makes an API key; the payload.
    pub(crate) async fn create_api_key(&self, input: Value) -> Value {
        let query = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) {
            apiKey { id name prefix scopes allowedIps createdAt expiresAt lastUsedAt revokedAt }
            secret userErrors { code message field } } }";
        self.call(query, json!({ "input": input })).await["createApiKey"].clone()
    }

    /// Makes an API key with these scopes, good for months; its id, and somebody who holds it.
    pub(crate) async fn api_key(&self, scopes: &[&str]) -> (String, Self) {
        let input = json!({ "name": format!("{} scopes", scopes.len()), "scopes": scopes, "expiresAt": "2026-09-01T00:00:00Z",
            "password": PASSWORD });
        let payload = self.create_api_key(input).await;
        let secret = payload["secret"].as_str().unwrap_or_else(|| panic!("{payload}"));
        (payload["apiKey"]["id"].as_str().unwrap().to_owned(), self.with_token(secret))
    }

    /// Revokes an API key; the payload.
    pub(crate) async fn revoke_api_key(&self, id: &str) -> Value {
        let query = "mutation ($id: ID!) { revokeApiKey(id: $id) {
            apiKey { id revokedAt } userErrors { code message field } } }";
        self.call(query, json!({ "id": id })).await["revokeApiKey"].clone()
    }

    /// Uploads a recording; the payload.
    pub(crate) async fn upload(&self, input: Value, name: &str, bytes: Vec<u8>) -> Value {
        let answer = self.upload_answer(input, name, bytes).await;
        assert!(answer["errors"].is_null(), "{answer}");
        answer["data"]["uploadSession"].clone()
    }

    /// Uploads a recording; the whole answer.
    pub(crate) async fn upload_answer(&self, mut input: Value, name: &str, bytes: Vec<u8>) -> Value {
        input["audio"] = Value::Null;
        let query = "mutation ($input: UploadSessionInput!) { uploadSession(input: $input) {
            session { id status version progress attendance sessionDate durationMinutes audioFilename }
            userErrors { code message field } } }";
        let file = Part::bytes(bytes).file_name(name.to_owned());
        self.multipart(query, json!({ "input": input }), "variables.input.audio", file).await
    }

    /// Runs an operation with a file, in the place of the variable named by `path`; the whole answer.
    pub(crate) async fn send_file(&self, query: &str, variables: Value, path: &str, bytes: Vec<u8>) -> Value {
        self.multipart(query, variables, path, Part::bytes(bytes).file_name("session.mp3")).await
    }

    pub(crate) async fn multipart(&self, query: &str, variables: Value, path: &str, file: Part) -> Value {
        self.multipart_of(&json!({ "query": query, "variables": variables }), path, file).await
    }

    /// The same of a request that is more than query and variables.
    pub(crate) async fn multipart_of(&self, operations: &Value, path: &str, file: Part) -> Value {
        let form = Form::new()
            .text("operations", operations.to_string())
            .text("map", json!({ "0": [path] }).to_string())
            .part("0", file);
        let request = self.post("/graphql").header("apollo-require-preflight", "1").multipart(form);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Uploads a recording of a patient; the session's id.
    pub(crate) async fn session(&self, patient_id: &str, bytes: Vec<u8>) -> String {
        let payload = self.upload(json!({ "patientId": patient_id }), "session.mp3", bytes).await;
        payload["session"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
    }

    /// A request with the client's token.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.authorized(self.http.request(method, format!("http://{}{path}", self.address)))
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.authorized(self.http.post(format!("http://{}{path}", self.address)))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}
