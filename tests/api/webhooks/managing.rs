//! Webhooks as therapists make and change them.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{DEVELOPMENT, act, audited, create, deliveries, practice, schedule, subscribed, webhook};
use crate::support::client::Client;
use crate::support::receiver::Receiver;
use crate::support::{TestApp, code};

async fn update(client: &Client, input: Value) -> Value {
    let query = "mutation ($input: UpdateWebhookInput!) { updateWebhook(input: $input) {
        webhook { id url description events } userErrors { code message field } } }";
    client.call(query, json!({ "input": input })).await["updateWebhook"].clone()
}

#[tokio::test]
async fn a_webhook_is_made_once_for_a_key_and_its_secret_is_shown_once() {
    let (app, jane, receiver) = practice().await;
    let input = json!({ "url": receiver.url(), "description": "Calendar", "idempotencyKey": "k",
        "events": ["SESSION_FAILED", "SESSION_SCHEDULED", "SESSION_SCHEDULED"] });
    let made = create(&jane, input.clone()).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{made}");
    let shown = &made["webhook"];
    assert_eq!((&shown["url"], &shown["description"]), (&json!(receiver.url()), &json!("Calendar")));
    assert_eq!(
        shown["events"],
        json!(["SESSION_SCHEDULED", "SESSION_FAILED"]),
        "each once, in their own order"
    );
    assert_eq!((&shown["isActive"], &shown["disabledAt"]), (&json!(true), &Value::Null));
    let again = create(&jane, input.clone()).await;
    assert_eq!((&again["webhook"]["id"], &again["secret"]), (&shown["id"], &Value::Null));
    let mut other = input;
    other["description"] = json!("Another");
    assert_eq!(code(&create(&jane, other).await), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(app.count("SELECT count(*) FROM webhooks").await, 1);
    assert_eq!(audited(&app).await, ["webhook.create"]);
}

#[tokio::test]
async fn a_key_whose_request_failed_can_be_used_again() {
    let (_app, jane, receiver) = practice().await;
    let bad = json!({ "url": "ftp://x", "events": ["EXPORT_READY"], "idempotencyKey": "k" });
    assert_eq!(code(&create(&jane, bad).await), "INVALID_INPUT");
    let good = json!({ "url": receiver.url(), "events": ["EXPORT_READY"], "idempotencyKey": "k" });
    assert!(create(&jane, good).await["secret"].is_string());
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused_and_the_field_named() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let good = "https://93.184.216.34/hook";
    let long = "x".repeat(201);
    for (field, input) in [
        ("url", json!({ "url": "", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "http://93.184.216.34/hook", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://127.0.0.1:8443/hook", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://[::ffff:10.0.0.1]/hook", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://169.254.169.254/latest/meta-data", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://localhost/hook", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://user:word@93.184.216.34/", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://93.184.216.34/#x", "events": ["EXPORT_READY"] })),
        ("url", json!({ "url": "https://93.184.216.34:22/", "events": ["EXPORT_READY"] })),
        ("events", json!({ "url": good, "events": [] })),
        ("events", json!({ "url": good, "events": ["EXPORT_READY", "WEBHOOK_TEST"] })),
        ("description", json!({ "url": good, "events": ["EXPORT_READY"], "description": long })),
        ("description", json!({ "url": good, "events": ["EXPORT_READY"], "description": "a\nb" })),
    ] {
        let payload = create(&jane, input.clone()).await;
        assert_eq!(code(&payload), "INVALID_INPUT", "{input}");
        assert_eq!(payload["userErrors"][0]["field"], field, "{input}");
    }
    assert_eq!(app.count("SELECT count(*) FROM webhooks").await, 0);
    let made = create(&jane, json!({ "url": good, "events": ["EXPORT_READY"] })).await;
    let id = made["webhook"]["id"].as_str().unwrap();
    let changed = update(&jane, json!({ "id": id, "url": "https://10.0.0.1/" })).await;
    assert_eq!((code(&changed), &changed["userErrors"][0]["field"]), ("INVALID_INPUT", &json!("url")));
    assert_eq!(webhook(&jane, id).await["url"], good);
}

#[tokio::test]
async fn twenty_webhooks_are_the_most_also_when_many_are_asked_for_at_once() {
    let (app, jane, receiver) = practice().await;
    let ask = |_| create(&jane, json!({ "url": receiver.url(), "events": ["EXPORT_READY"] }));
    let made = futures::future::join_all((0..25).map(ask)).await;
    let refused: Vec<_> = made.iter().filter(|payload| payload["webhook"].is_null()).collect();
    assert_eq!(refused.len(), 5);
    assert!(refused.into_iter().all(|payload| code(payload) == "INVALID_STATE"));
    assert_eq!(app.count("SELECT count(*) FROM webhooks").await, 20);
    let id = made.iter().find_map(|payload| payload["webhook"]["id"].as_str()).unwrap();
    act(&jane, "deleteWebhook", id).await;
    assert!(
        create(&jane, json!({ "url": receiver.url(), "events": ["EXPORT_READY"] })).await["secret"]
            .is_string()
    );
}

#[tokio::test]
async fn a_webhook_is_changed_field_by_field_and_the_trail_names_the_fields() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["EXPORT_READY"]).await;
    let other = Receiver::start().await;
    let payload = update(&jane, json!({ "id": id, "url": other.url(), "description": "Billing" })).await;
    assert_eq!(payload["webhook"]["url"], other.url());
    let payload =
        update(&jane, json!({ "id": id, "description": null, "events": ["SESSION_SCHEDULED"] })).await;
    let expected =
        json!({ "id": id, "url": other.url(), "description": null, "events": ["SESSION_SCHEDULED"] });
    assert_eq!(payload["webhook"], expected);
    update(&jane, json!({ "id": id, "events": ["SESSION_SCHEDULED"] })).await;
    let fields = "SELECT count(*) FROM audit_events WHERE action = 'webhook.update'
        AND changed_fields::text IN ('{url,description}', '{description,events}')";
    assert_eq!(app.count(fields).await, 2, "what is so already is no change");
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    assert_eq!((other.events().len(), receiver.told().len()), (1, 0));
}

#[tokio::test]
async fn a_deleted_webhook_is_told_nothing_more_and_leaves_neither_address_nor_secret() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let patient = jane.patient("Daniel").await;
    schedule(&jane, &patient).await;
    let payload = act(&jane, "deleteWebhook", &id).await;
    assert_eq!(payload["webhook"]["url"], receiver.url(), "as it was");
    schedule(&jane, &patient).await;
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 0);
    assert_eq!(webhook(&jane, &id).await, Value::Null);
    assert_eq!(code(&act(&jane, "deleteWebhook", &id).await), "NOT_FOUND", "once");
    let open = "SELECT count(*) FROM webhook_deliveries WHERE state = 'PENDING'";
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'deliver_webhook' AND status <> 'Done'";
    let kept = "SELECT count(*) FROM webhooks WHERE url <> '' OR octet_length(secret) > 0";
    assert_eq!((app.count(open).await, app.count(jobs).await, app.count(kept).await), (0, 0, 0));
    assert_eq!(audited(&app).await, ["webhook.create", "webhook.delete"]);
}

#[tokio::test]
async fn webhooks_and_deliveries_are_their_therapists_alone_and_nodes() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    let delivery = deliveries(&jane, &id).await[0]["id"].as_str().unwrap().to_owned();
    let (eve, admin) = (app.therapist("eve").await, app.admin("root").await);
    let node = "query ($id: ID!) { node(id: $id) { __typename id } }";
    for (id, name) in [(&id, "Webhook"), (&delivery, "WebhookDelivery")] {
        let own = jane.call(node, json!({ "id": id })).await;
        assert_eq!(own["node"], json!({ "__typename": name, "id": id }));
        for stranger in [&eve, &admin] {
            assert_eq!(stranger.call(node, json!({ "id": id })).await["node"], Value::Null);
        }
    }
    assert_eq!(webhook(&eve, &id).await, Value::Null);
    for mutation in ["deleteWebhook", "enableWebhook", "rotateWebhookSecret", "sendTestWebhook"] {
        assert_eq!(code(&act(&eve, mutation, &id).await), "NOT_FOUND", "{mutation}");
    }
    assert_eq!(code(&act(&eve, "redeliverWebhook", &delivery).await), "NOT_FOUND");
    assert_eq!(code(&update(&eve, json!({ "id": id, "url": receiver.url() })).await), "NOT_FOUND");
    assert_eq!(eve.call("{ webhooks { totalCount } }", json!({})).await["webhooks"]["totalCount"], 0);
    assert_eq!(admin.refusal("{ webhooks { totalCount } }", json!({})).await, "FORBIDDEN");
    assert_eq!(receiver.told().len(), 1);
}

#[tokio::test]
async fn for_a_day_after_a_change_both_secrets_sign_and_then_the_new_one_alone() {
    let (app, jane, receiver) = practice().await;
    let (id, old) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let rotated = act(&jane, "rotateWebhookSecret", &id).await;
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(rotated["webhook"]["previousSecretExpiresAt"], "2026-03-11T09:00:00+00:00");
    assert_eq!(code(&act(&jane, "rotateWebhookSecret", &id).await), "INVALID_STATE", "not both at once");
    act(&jane, "sendTestWebhook", &id).await;
    app.run_jobs().await;
    let told = receiver.reached(1).await.remove(0);
    assert_eq!(told.signatures().len(), 2);
    assert!(told.is_signed_by(&old) && told.is_signed_by(new));
    app.clock.advance(TimeDelta::hours(24));
    let tokens = app.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await;
    let jane = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    act(&jane, "sendTestWebhook", &id).await;
    app.run_jobs().await;
    let told = receiver.reached(2).await.remove(1);
    assert_eq!(told.signatures().len(), 1);
    assert!(!told.is_signed_by(&old) && told.is_signed_by(new));
}

#[tokio::test]
async fn a_secret_that_others_know_ends_at_once_where_that_is_asked() {
    let (app, jane, receiver) = practice().await;
    let (id, first) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let second = act(&jane, "rotateWebhookSecret", &id).await["secret"].as_str().unwrap().to_owned();
    let query = "mutation ($id: ID!, $key: String) {
        rotateWebhookSecret(id: $id, expirePreviousNow: true, idempotencyKey: $key) {
            webhook { previousSecretExpiresAt } secret userErrors { code } } }";
    let variables = json!({ "id": id, "key": "k" });
    let rotated = jane.call(query, variables.clone()).await["rotateWebhookSecret"].clone();
    let third = rotated["secret"].as_str().unwrap();
    assert_eq!(rotated["webhook"]["previousSecretExpiresAt"], Value::Null);
    let again = jane.call(query, variables).await["rotateWebhookSecret"].clone();
    assert_eq!(
        (&again["secret"], &again["userErrors"]),
        (&Value::Null, &json!([])),
        "no further one for the same key"
    );
    act(&jane, "sendTestWebhook", &id).await;
    app.run_jobs().await;
    let told = receiver.reached(1).await.remove(0);
    assert_eq!(told.signatures().len(), 1);
    assert!(told.is_signed_by(third) && !told.is_signed_by(&second) && !told.is_signed_by(&first));
}

#[tokio::test]
async fn secrets_are_sealed_at_rest_and_move_to_the_present_key_at_the_start() {
    let (old, new) = ("the key of the tests before today", "the key of the tests from today on");
    let app = TestApp::with(&[DEVELOPMENT, ("JWT_SECRET", old)]).await;
    let (jane, receiver) = (app.therapist("jane").await, Receiver::start().await);
    let (id, secret) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let base64 = secret.strip_prefix("whsec_").unwrap();
    let clear =
        format!("SELECT count(*) FROM webhooks WHERE position(decode('{base64}', 'base64') IN secret) > 0");
    assert_eq!(app.count(&clear).await, 0);
    let sealed = "SELECT hashtext(secret::text)::bigint FROM webhooks";
    let before = app.count(sealed).await;
    let sibling = app.sibling(&[DEVELOPMENT, ("JWT_SECRET", new), ("JWT_PREVIOUS_SECRETS", old)]).await;
    assert_ne!(app.count(sealed).await, before, "sealed anew");
    let latest = sibling.sibling(&[DEVELOPMENT, ("JWT_SECRET", new)]).await;
    let tokens = latest.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await;
    let jane = latest.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    act(&jane, "sendTestWebhook", &id).await;
    latest.run_jobs().await;
    assert!(receiver.reached(1).await[0].is_signed_by(&secret), "it opens without the key of before");
}

#[tokio::test]
async fn what_is_asked_for_by_hand_is_counted_and_once_for_a_key() {
    let app = TestApp::with(&[DEVELOPMENT, ("RATE_LIMIT_WEBHOOKS", "3/1h")]).await;
    let (jane, receiver) = (app.therapist("jane").await, Receiver::start().await);
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let query = "mutation ($id: ID!) { sendTestWebhook(id: $id, idempotencyKey: \"k\") { webhookDelivery { id } userErrors { code } } }";
    let first = jane.call(query, json!({ "id": id })).await;
    assert_eq!(jane.call(query, json!({ "id": id })).await, first, "the same delivery");
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 1);
    let delivery = deliveries(&jane, &id).await[0]["id"].as_str().unwrap().to_owned();
    act(&jane, "redeliverWebhook", &delivery).await;
    app.run_jobs().await;
    act(&jane, "sendTestWebhook", &id).await;
    let query = "mutation ($id: ID!) { redeliverWebhook(deliveryId: $id) { webhookDelivery { id } } }";
    assert_eq!(jane.refusal(query, json!({ "id": delivery })).await, "RATE_LIMITED");
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 3);
    let refused = "SELECT count(*) FROM audit_events WHERE action = 'rate_limit.webhook'";
    assert_eq!(app.count(refused).await, 1);
}
