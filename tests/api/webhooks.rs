//! Webhooks: made and changed, told of what happens, tried again, given up; where they may lead.

mod delivering;
mod failing;
mod lanes;
mod managing;
mod processes;
mod samples;

use serde_json::{Value, json};

use super::support::TestApp;
use super::support::client::Client;
use super::support::receiver::Receiver;

/// All of a webhook.
const WEBHOOK: &str =
    "id url description events isActive disabledAt disabledReason failingSince previousSecretExpiresAt
    createdAt updatedAt";
/// All of a delivery.
const DELIVERY: &str =
    "id eventId event body state attempts lastStatus lastError lastAttemptAt nextAttemptAt deliveredAt
    createdAt webhook { id }";
/// Whatever can be subscribed to.
const EVENTS: [&str; 12] = [
    "SESSION_SCHEDULED",
    "SESSION_RESCHEDULED",
    "SESSION_CANCELLED",
    "SESSION_NO_SHOW",
    "SESSION_COMPLETED",
    "SESSION_UPDATED",
    "SESSION_TRANSCRIBED",
    "SESSION_PROCESSED",
    "SESSION_FAILED",
    "RISK_FLAG_OPENED",
    "EXPORT_READY",
    "EXPORT_FAILED",
];
/// Lets receivers be on this machine.
const DEVELOPMENT: (&str, &str) = ("WEBHOOK_ALLOW_PRIVATE", "true");

/// A server whose webhooks may be on this machine, a therapist, a receiver.
async fn practice() -> (TestApp, Client, Receiver) {
    let app = TestApp::with(&[DEVELOPMENT]).await;
    let jane = app.therapist("jane").await;
    (app, jane, Receiver::start().await)
}

/// Makes a webhook; the payload.
async fn create(client: &Client, input: Value) -> Value {
    let query = format!(
        "mutation ($input: CreateWebhookInput!) {{ createWebhook(input: $input) {{
            webhook {{ {WEBHOOK} }} secret userErrors {{ code message field }} }} }}"
    );
    client.call(&query, json!({ "input": input })).await["createWebhook"].clone()
}

/// Makes a webhook that is told of these events; its id and secret.
async fn subscribed(client: &Client, receiver: &Receiver, events: &[&str]) -> (String, String) {
    let payload = create(client, json!({ "url": receiver.url(), "events": events })).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
    (text(&payload["webhook"]["id"]), text(&payload["secret"]))
}

/// Runs a mutation on one thing, by its id; the payload.
async fn act(client: &Client, mutation: &str, id: &str) -> Value {
    let (argument, gives) = match mutation {
        "redeliverWebhook" => ("deliveryId", format!("webhookDelivery {{ {DELIVERY} }}")),
        "sendTestWebhook" => ("id", format!("webhookDelivery {{ {DELIVERY} }}")),
        "rotateWebhookSecret" => ("id", format!("webhook {{ {WEBHOOK} }} secret")),
        _ => ("id", format!("webhook {{ {WEBHOOK} }}")),
    };
    let query = format!(
        "mutation ($id: ID!) {{ {mutation}({argument}: $id) {{ {gives} userErrors {{ code message field }} }} }}"
    );
    client.call(&query, json!({ "id": id })).await[mutation].clone()
}

/// A webhook as it is now.
async fn webhook(client: &Client, id: &str) -> Value {
    let query = format!("query ($id: ID!) {{ webhook(id: $id) {{ {WEBHOOK} }} }}");
    client.call(&query, json!({ "id": id })).await["webhook"].clone()
}

/// The log of a webhook, newest first.
async fn deliveries(client: &Client, id: &str) -> Vec<Value> {
    let query = format!(
        "query ($id: ID!) {{ webhook(id: $id) {{ deliveries(first: 100) {{ nodes {{ {DELIVERY} }} }} }} }}"
    );
    let answer = client.call(&query, json!({ "id": id })).await;
    answer["webhook"]["deliveries"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

/// Plans a session with somebody; its id.
async fn schedule(client: &Client, patient: &str) -> String {
    let query = "mutation ($id: ID!) { scheduleSession(input: { patientId: $id, scheduledStart: \"2026-03-10T07:00:00Z\" }) {
        session { id } userErrors { code message } } }";
    let answer = client.call(query, json!({ "id": patient })).await;
    answer["scheduleSession"]["session"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The actions of the audit trail on webhooks, oldest first.
async fn audited(app: &TestApp) -> Vec<String> {
    let actions = "SELECT action FROM audit_events WHERE action LIKE 'webhook.%' ORDER BY id";
    sqlx::query_scalar(actions).fetch_all(app.app.pool()).await.unwrap()
}
