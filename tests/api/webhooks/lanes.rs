//! How much is on its way at a time: a slow receiver holds up itself.

use std::collections::BTreeSet;

use serde_json::json;
use therapybridge::webhooks::{OF_A_THERAPIST, OF_A_WEBHOOK};

use super::{act, practice, schedule, subscribed};
use crate::support::TestApp;
use crate::support::receiver::{Receiver, Told};

/// Waits until so many deliveries are parked.
async fn parked(app: &TestApp, count: i64) {
    let parked = "SELECT count(*) FROM webhook_deliveries WHERE parked";
    let wait = async {
        while app.count(parked).await != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("they are parked");
}

fn lanes(count: i64) -> usize {
    usize::try_from(count).unwrap()
}

#[tokio::test]
async fn a_slow_receiver_has_two_requests_at_a_time_holds_up_nobody_else_and_is_told_of_everything() {
    let (app, jane, slow) = practice().await;
    let app = app.with_worker();
    let eve = app.therapist("eve").await;
    let (quick, other) = (Receiver::start().await, Receiver::start().await);
    subscribed(&jane, &slow, &["SESSION_SCHEDULED"]).await;
    let (test, _) = subscribed(&jane, &quick, &["EXPORT_READY"]).await;
    subscribed(&eve, &other, &["SESSION_SCHEDULED"]).await;
    let closed = slow.close();
    let patient = jane.patient("Daniel").await;
    for _ in 0..10 {
        schedule(&jane, &patient).await;
    }
    slow.reached(lanes(OF_A_WEBHOOK)).await;
    parked(&app, 10 - OF_A_WEBHOOK).await;
    schedule(&eve, &eve.patient("Maria").await).await;
    act(&jane, "sendTestWebhook", &test).await;
    other.reached(1).await;
    quick.reached(1).await;
    assert_eq!(slow.told().len(), lanes(OF_A_WEBHOOK), "no more of them at a time");
    drop(closed);
    slow.reached(10).await;
    // Each hands on to the next: nobody waits for the minute after which they would look by themselves.
    let told = slow.told();
    let ids: BTreeSet<&str> = told.iter().map(Told::id).collect();
    assert_eq!((told.len(), ids.len()), (10, 10));
}

#[tokio::test]
async fn all_webhooks_of_a_therapist_have_four_requests_at_a_time() {
    let (app, jane, slow) = practice().await;
    let app = app.with_worker();
    for _ in 0..5 {
        subscribed(&jane, &slow, &["SESSION_SCHEDULED"]).await;
    }
    let closed = slow.close();
    let patient = jane.patient("Daniel").await;
    schedule(&jane, &patient).await;
    schedule(&jane, &patient).await;
    slow.reached(lanes(OF_A_THERAPIST)).await;
    parked(&app, 10 - OF_A_THERAPIST).await;
    assert_eq!(slow.told().len(), lanes(OF_A_THERAPIST));
    drop(closed);
    slow.reached(10).await;
    parked(&app, 0).await;
    let query = "{ queueStatus { jobs { kind delayed } } }";
    let jobs = app.admin("root").await.call(query, json!({})).await["queueStatus"]["jobs"].clone();
    let kind = jobs.as_array().unwrap().iter().find(|job| job["kind"] == "deliver_webhook").unwrap();
    assert_eq!(kind["delayed"], 0, "{jobs}");
}
