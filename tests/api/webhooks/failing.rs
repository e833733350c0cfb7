//! What does not arrive: tried again over three days, then given up; and what ends at once.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{act, audited, deliveries, practice, schedule, subscribed, webhook};
use crate::support::client::Client;
use crate::support::receiver::{Reaction, Receiver};
use crate::support::{PASSWORD, TestApp, code};

/// As Standard Webhooks recommends, in seconds.
const WAITS: [i64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Seconds until the only delivery that waits is due.
async fn wait(app: &TestApp) -> i64 {
    let until = "SELECT round(extract(epoch FROM run_at - now()))::bigint FROM apalis.jobs
        WHERE job_type = 'deliver_webhook' AND status = 'Pending'";
    app.count(until).await
}

/// Whatever waits is due now.
async fn hurry(app: &TestApp) {
    app.run(
        "UPDATE apalis.jobs SET run_at = now() WHERE job_type = 'deliver_webhook' AND status = 'Pending'",
    )
    .await;
    app.run_jobs().await;
}

async fn again(app: &TestApp) -> Client {
    let tokens = app.anonymous().log_in("jane@example.com", PASSWORD).await;
    app.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
}

#[tokio::test]
async fn attempts_go_on_for_three_days_then_the_webhook_is_disabled_and_its_therapist_told() {
    let (app, jane, receiver) = practice().await;
    let (id, secret) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    receiver.always(Reaction::status(503));
    let patient = jane.patient("Daniel").await;
    schedule(&jane, &patient).await;
    app.run_jobs().await;
    for (made, seconds) in (1..).zip(WAITS) {
        let wait = wait(&app).await;
        assert!((seconds - 2..=seconds * 11 / 10 + 1).contains(&wait), "{seconds} became {wait}");
        let row = "SELECT round(extract(epoch FROM next_attempt_at - last_attempt_at))::bigint FROM webhook_deliveries";
        assert!((app.count(row).await - wait).abs() <= 2, "the log says the same");
        assert_eq!(receiver.told().len(), made, "no attempt before its time");
        app.clock.advance(TimeDelta::seconds(wait));
        hurry(&app).await;
    }
    let told = receiver.told();
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(|one| one.id() == told[0].id() && one.is_signed_by(&secret)));
    let times: std::collections::BTreeSet<_> =
        told.iter().map(|one| one.header("webhook-timestamp")).collect();
    assert_eq!(times.len(), 10, "each is signed with its own time");
    let jane = again(&app).await;
    let disabled = webhook(&jane, &id).await;
    assert_eq!((&disabled["isActive"], &disabled["disabledReason"]), (&json!(false), &json!("FAILING")));
    assert_eq!(disabled["failingSince"], "2026-03-10T09:00:00+00:00");
    assert!(disabled["disabledAt"].as_str().unwrap() > "2026-03-13T12:", "{disabled}");
    let viewer = jane.call("{ viewer { disabledWebhooks } }", json!({})).await;
    assert_eq!(viewer["viewer"]["disabledWebhooks"], 1);
    assert_eq!(audited(&app).await, ["webhook.create", "webhook.disable"]);
    let log = deliveries(&jane, &id).await.remove(0);
    assert_eq!((&log["state"], &log["attempts"]), (&json!("FAILED"), &json!(10)));
    assert_eq!((&log["lastStatus"], &log["lastError"]), (&json!(503), &json!("It answered 503.")));
    // Nothing happens for it until it is switched on again.
    schedule(&jane, &patient).await;
    let delivery = log["id"].as_str().unwrap();
    assert_eq!(code(&act(&jane, "redeliverWebhook", delivery).await), "INVALID_STATE");
    receiver.always(Reaction::status(200));
    let enabled = act(&jane, "enableWebhook", &id).await;
    assert_eq!(
        (&enabled["webhook"]["isActive"], &enabled["webhook"]["failingSince"]),
        (&json!(true), &Value::Null)
    );
    act(&jane, "redeliverWebhook", delivery).await;
    schedule(&jane, &patient).await;
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 12);
    assert_eq!(
        jane.call("{ viewer { disabledWebhooks } }", json!({})).await["viewer"]["disabledWebhooks"],
        0
    );
    assert_eq!(audited(&app).await[2..], ["webhook.enable", "webhook.redeliver"]);
}

/// A server that tries twice, at once.
async fn hasty() -> (TestApp, Client, Receiver) {
    let app =
        TestApp::configured(&[super::DEVELOPMENT], |config| config.webhooks.waits = vec![Duration::ZERO])
            .await;
    let jane = app.therapist("jane").await;
    (app, jane, Receiver::start().await)
}

#[tokio::test]
async fn one_delivery_that_always_fails_disables_no_webhook_that_has_others() {
    let (app, jane, receiver) = hasty().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let patient = jane.patient("Daniel").await;
    // The first of the one, then the other, then the last of the one.
    receiver.script([500, 200, 500].map(Reaction::status));
    app.run("CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF convert_from(NEW.job, 'UTF8') LIKE '%\"attempt\":2%' THEN NEW.run_at := now() + interval '1 hour'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER later BEFORE INSERT ON apalis.jobs FOR EACH ROW EXECUTE FUNCTION later()").await;
    schedule(&jane, &patient).await;
    app.run_jobs().await;
    assert!(webhook(&jane, &id).await["failingSince"].is_string());
    app.clock.advance(TimeDelta::minutes(1));
    schedule(&jane, &patient).await;
    app.run_jobs().await;
    assert_eq!(webhook(&jane, &id).await["failingSince"], Value::Null, "something has arrived");
    app.clock.advance(TimeDelta::minutes(1));
    hurry(&app).await;
    let states: Vec<_> = deliveries(&jane, &id).await.iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["DELIVERED", "FAILED"]);
    assert_eq!(webhook(&jane, &id).await["isActive"], true);
}

#[tokio::test]
async fn what_waits_for_a_webhook_ends_with_it() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let patient = jane.patient("Daniel").await;
    receiver.script([500, 500, 410].map(Reaction::status));
    for _ in 0..3 {
        schedule(&jane, &patient).await;
        app.run_jobs().await;
    }
    let gone = webhook(&jane, &id).await;
    assert_eq!((&gone["isActive"], &gone["disabledReason"]), (&json!(false), &json!("GONE")));
    let log = deliveries(&jane, &id).await;
    let errors: Vec<_> =
        log.iter().map(|one| (one["state"].as_str().unwrap(), one["lastError"].as_str().unwrap())).collect();
    let disabled = ("FAILED", "The webhook is disabled.");
    assert_eq!(errors, [("FAILED", "It answered 410: it wants no more."), disabled, disabled]);
    let open = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'deliver_webhook' AND status <> 'Done'";
    assert_eq!(app.count(open).await, 0);
    assert_eq!(receiver.told().len(), 3, "410 ends it at once");
    receiver.script([Reaction::status(410)]);
    act(&jane, "sendTestWebhook", &id).await;
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 4, "a test goes out all the same");
    assert_eq!(
        audited(&app).await,
        ["webhook.create", "webhook.disable", "webhook.test"],
        "it is disabled once"
    );
}

#[tokio::test]
async fn a_receivers_wish_puts_the_next_attempt_off_for_a_day_at_most() {
    for (wish, from, to) in [("600", 598, 601), ("999999999", 86_398, 86_401), ("1", 3, 7), ("soon", 3, 7)] {
        let (app, jane, receiver) = practice().await;
        subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
        receiver.script([Reaction::status(429).with("retry-after", wish)]);
        schedule(&jane, &jane.patient("Daniel").await).await;
        app.run_jobs().await;
        let wait = wait(&app).await;
        assert!((from..=to).contains(&wait), "{wish}: {wait}");
    }
}

#[tokio::test]
async fn redirects_are_failures_and_nobody_else_is_told() {
    let (app, jane, receiver) = hasty().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let elsewhere = Receiver::start().await;
    receiver.always(Reaction::status(307).with("location", elsewhere.url()));
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    let log = deliveries(&jane, &id).await.remove(0);
    assert_eq!((&log["state"], &log["lastStatus"]), (&json!("FAILED"), &json!(307)));
    assert!(log["lastError"].as_str().unwrap().contains("not followed"), "{log}");
    assert_eq!((receiver.told().len(), elsewhere.told().len()), (2, 0));
}

#[tokio::test]
async fn nothing_of_an_answer_is_kept_or_shown() {
    let (app, jane, receiver) = hasty().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    receiver.always(Reaction::status(500).with("x-leak", "an inner secret"));
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    assert_eq!(deliveries(&jane, &id).await[0]["lastError"], "It answered 500.");
    let kept = "SELECT count(*) FROM webhook_deliveries d WHERE d::text LIKE '%secret%'";
    assert_eq!(app.count(kept).await, 0);
}

#[tokio::test]
async fn a_webhook_of_development_is_told_nothing_by_a_server_that_is_none() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let sibling = app.sibling(&[]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    sibling.run_jobs().await;
    let log = deliveries(&jane, &id).await.remove(0);
    assert_eq!((&log["state"], &log["lastStatus"]), (&json!("PENDING"), &Value::Null));
    assert!(log["lastError"].as_str().unwrap().contains("public internet"), "{log}");
    assert_eq!(receiver.told().len(), 0);
}
