//! What arrives, of what happens.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{EVENTS, act, audited, deliveries, practice, schedule, subscribed};
use crate::notes::notes_on;
use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::receiver::{Reaction, Told};
use crate::support::socket::Watch;
use crate::support::{TestApp, code, recording};

const RISKY: [&str; 3] = [
    "How have you been since the Wolkenkratzer last week?",
    "I want to kill myself when I see the Wolkenkratzer.",
    "Let us breathe slowly, and leave the Wolkenkratzer where it stands.",
];

/// Changes a session by a mutation that takes its id.
async fn change(client: &Client, mutation: &str, session: &str) {
    let query = format!(
        "mutation ($id: ID!) {{ {mutation}(sessionId: $id) {{ session {{ id }} userErrors {{ code message }} }} }}"
    );
    let payload = client.call(&query, json!({ "id": session })).await[mutation].clone();
    assert_eq!(payload["userErrors"], json!([]), "{mutation}");
}

async fn edit(client: &Client, mutation: &str, input: &str) {
    let query =
        format!("mutation {{ {mutation}(input: {{ {input} }}) {{ userErrors {{ code message }} }} }}");
    let payload = client.call(&query, json!({})).await[mutation].clone();
    assert_eq!(payload["userErrors"], json!([]), "{mutation}");
}

/// A life of a practice in which everything happens that webhooks hear of; sessions and patient.
async fn everything(app: &TestApp, jane: &Client) -> (String, Vec<String>) {
    let patient = jane
        .create_patient(json!({ "name": "Maria Zauberfluss", "email": "maria@posteingang.example",
        "phone": "+49 221 5550199" }))
        .await;
    let patient = patient["patient"]["id"].as_str().unwrap().to_owned();
    let [moved, missed, held] =
        [schedule(jane, &patient).await, schedule(jane, &patient).await, schedule(jane, &patient).await];
    edit(
        jane,
        "rescheduleSession",
        &format!("sessionId: \"{moved}\", scheduledStart: \"2026-03-10T08:00:00Z\""),
    )
    .await;
    change(jane, "cancelSession", &moved).await;
    change(jane, "markNoShow", &missed).await;
    change(jane, "completeSession", &held).await;
    edit(jane, "updateSession", &format!("sessionId: \"{held}\", durationMinutes: 45")).await;
    app.provider.set_transcript(&RISKY);
    let recorded =
        jane.upload(json!({ "patientId": patient }), "zauberfluss.mp3", recording("cbr.mp3")).await;
    let recorded = recorded["session"]["id"].as_str().unwrap().to_owned();
    app.run_jobs().await;
    app.provider.script(Endpoint::Speech, [Behaviour::status(401)]);
    let failed = jane.session(&patient, recording("stereo.mp3")).await;
    app.run_jobs().await;
    let export = format!("sessionIds: [\"{recorded}\"], format: PDF");
    edit(jane, "exportSessionNotes", &export).await;
    app.run_jobs().await;
    edit(jane, "exportSessionNotes", &export).await;
    app.run("UPDATE export_jobs SET patient_id = (SELECT id FROM patients WHERE name = 'Nobody') WHERE status = 'QUEUED'").await;
    app.run_jobs().await;
    (patient, vec![moved, missed, held, recorded, failed])
}

#[tokio::test]
async fn whatever_happens_arrives_signed_with_ids_and_names_of_fields_and_nothing_about_the_patient() {
    let (app, jane, receiver) = practice().await;
    app.therapist("eve").await.patient("Nobody").await;
    let (_, secret) = subscribed(&jane, &receiver, &EVENTS).await;
    let (patient, sessions) = everything(&app, &jane).await;
    let told = receiver.told();
    let events: BTreeSet<String> =
        told.iter().map(|told| told.event().to_uppercase().replace('.', "_")).collect();
    assert_eq!(events, EVENTS.iter().map(ToString::to_string).collect(), "each of them happened");
    for told in &told {
        assert!(told.is_signed_by(&secret), "{told:?}");
        assert_eq!(told.header("content-type"), "application/json");
        assert_eq!(told.path, "/hooks/a?token=geheimnis");
        assert_bare(told, &patient, &sessions);
        let all = format!("{} {:?}", told.body, told.headers);
        for secret in
            ["Zauberfluss", "zauberfluss", "maria", "5550199", "Wolkenkratzer", "kill", "SELF_HARM", "SUICID"]
        {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
    }
    let ids: BTreeSet<&str> = told.iter().map(Told::id).collect();
    assert_eq!(ids.len(), told.len(), "each event has its own id, and arrives once");
}

/// A body has ids, a version and names of fields, and no other member.
fn assert_bare(told: &Told, patient: &str, sessions: &[String]) {
    let body = told.json();
    let mut members: Vec<&String> = body.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["data", "timestamp", "type"], "{body}");
    for (name, value) in body["data"].as_object().unwrap() {
        let is_right = match name.as_str() {
            "sessionId" => sessions.iter().any(|id| value == id),
            // That of the document that cannot be made was taken away.
            "patientId" => value == patient || told.event() == "export.failed",
            "exportJobId" => value.as_str().is_some_and(|id| id.len() == 36),
            "version" => value.is_i64(),
            "changedFields" => {
                let camel =
                    |name: &Value| name.as_str().is_some_and(|name| name.chars().all(char::is_alphabetic));
                value.as_array().is_some_and(|names| !names.is_empty() && names.iter().all(camel))
            }
            _ => false,
        };
        assert!(is_right, "{name}: {body}");
    }
}

#[tokio::test]
async fn a_webhook_is_told_of_what_it_asked_for_and_of_its_own_therapists_practice() {
    let (app, jane, receiver) = practice().await;
    subscribed(&jane, &receiver, &["SESSION_CANCELLED"]).await;
    let patient = jane.patient("Daniel").await;
    let session = schedule(&jane, &patient).await;
    change(&jane, "cancelSession", &session).await;
    let eve = app.therapist("eve").await;
    let other = schedule(&eve, &eve.patient("Maria").await).await;
    change(&eve, "cancelSession", &other).await;
    app.run_jobs().await;
    assert_eq!(receiver.events(), ["session.cancelled"]);
    let data = receiver.told()[0].json()["data"].clone();
    let expected =
        json!({ "sessionId": session, "patientId": patient, "version": 2, "changedFields": ["attendance"] });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn two_webhooks_are_told_of_one_event_under_one_id() {
    let (app, jane, receiver) = practice().await;
    subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    subscribed(&jane, &receiver, &["SESSION_SCHEDULED", "EXPORT_READY"]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    let told = receiver.told();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].id(), &told[0].body), (told[1].id(), &told[1].body));
    assert_ne!(told[0].signatures(), told[1].signatures(), "each has its own secret");
}

#[tokio::test]
async fn the_log_tells_what_was_sent_and_how_it_went() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    let waiting = deliveries(&jane, &id).await.remove(0);
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("PENDING"), &json!(0)));
    assert_eq!(waiting["nextAttemptAt"], "2026-03-10T09:00:00+00:00");
    app.run_jobs().await;
    let told = receiver.told().remove(0);
    let sent = deliveries(&jane, &id).await.remove(0);
    assert_eq!((&sent["state"], &sent["attempts"]), (&json!("DELIVERED"), &json!(1)));
    assert_eq!((&sent["lastStatus"], &sent["lastError"]), (&json!(204), &Value::Null));
    assert_eq!((&sent["body"], &sent["eventId"]), (&json!(told.body), &json!(told.id())));
    assert_eq!(sent["deliveredAt"], "2026-03-10T09:00:00+00:00");
    assert_eq!((&sent["nextAttemptAt"], &sent["webhook"]["id"]), (&Value::Null, &json!(id)));
    let count = "query ($id: ID!, $state: WebhookDeliveryState) { webhook(id: $id) {
        deliveries(filter: { state: $state, event: SESSION_SCHEDULED }) { totalCount nodes { state } } } }";
    for (state, expected) in [("DELIVERED", 1), ("FAILED", 0)] {
        let answer = jane.call(count, json!({ "id": id, "state": state })).await;
        assert_eq!(answer["webhook"]["deliveries"]["totalCount"], expected, "{state}");
    }
}

#[tokio::test]
async fn what_is_sent_again_has_the_same_id_and_body_and_a_signature_of_its_own() {
    let (app, jane, receiver) = practice().await;
    let (id, secret) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    let delivery = deliveries(&jane, &id).await[0]["id"].as_str().unwrap().to_owned();
    app.clock.advance(TimeDelta::minutes(10));
    let payload = act(&jane, "redeliverWebhook", &delivery).await;
    assert_eq!(payload["webhookDelivery"]["state"], "PENDING");
    app.run_jobs().await;
    let told = receiver.told();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].id(), &told[0].body), (told[1].id(), &told[1].body));
    assert_ne!(told[0].header("webhook-timestamp"), told[1].header("webhook-timestamp"));
    assert_ne!(told[0].signatures(), told[1].signatures());
    assert!(told.iter().all(|told| told.is_signed_by(&secret)));
    let sent = deliveries(&jane, &id).await;
    assert_eq!((sent.len(), &sent[0]["state"], &sent[0]["attempts"]), (1, &json!("DELIVERED"), &json!(2)));
    assert_eq!(audited(&app).await, ["webhook.create", "webhook.redeliver"]);
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_can_be_sent_at_once_and_goes_out_once() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    receiver.script([Reaction::status(500)]);
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run_jobs().await;
    let waiting = deliveries(&jane, &id).await.remove(0);
    assert_eq!((&waiting["state"], &waiting["lastStatus"]), (&json!("PENDING"), &json!(500)));
    act(&jane, "redeliverWebhook", waiting["id"].as_str().unwrap()).await;
    app.run("UPDATE apalis.jobs SET run_at = now() WHERE status = 'Pending'").await;
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 2, "the attempt that was planned is not made, too");
    assert_eq!(deliveries(&jane, &id).await[0]["state"], "DELIVERED");
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told_and_what_cannot_be_told_does_not_happen() {
    let (app, jane, receiver) = practice().await;
    subscribed(&jane, &receiver, &["SESSION_SCHEDULED", "SESSION_CANCELLED", "SESSION_PROCESSED"]).await;
    let patient = jane.patient("Daniel").await;
    let session = schedule(&jane, &patient).await;
    app.run_jobs().await;
    let refuse = |table: &str, condition: &str| {
        format!(
            "CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF {condition} THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
        )
    };
    // The audit row comes after the delivery, in the same transaction.
    app.run(&refuse("audit_events", "NEW.action = 'session.cancel'")).await;
    let query = "mutation ($id: ID!) { cancelSession(sessionId: $id) { session { id } } }";
    assert_eq!(jane.refusal(query, json!({ "id": session })).await, "INTERNAL");
    let told = "SELECT count(*) FROM webhook_deliveries WHERE event = 'session.cancelled'";
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'deliver_webhook'";
    assert_eq!((app.count(told).await, app.count(jobs).await), (0, 1), "neither delivery nor job");
    app.run("DROP TRIGGER refuse ON audit_events").await;
    app.run(&refuse("webhook_deliveries", "true")).await;
    assert_eq!(jane.refusal(query, json!({ "id": session })).await, "INTERNAL");
    let scheduled = "SELECT count(*) FROM sessions WHERE attendance = 'SCHEDULED'";
    assert_eq!((app.count(scheduled).await, app.count(jobs).await), (1, 1), "neither the change nor a job");
    app.run("DROP TRIGGER refuse ON webhook_deliveries").await;
    change(&jane, "cancelSession", &session).await;
    app.run_jobs().await;
    assert_eq!(receiver.events(), ["session.scheduled", "session.cancelled"]);
}

#[tokio::test]
async fn whoever_is_deactivated_is_told_nothing_any_more() {
    let (app, jane, receiver) = practice().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    app.run("UPDATE users SET is_active = false WHERE email = 'jane@example.com'").await;
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 0, "what waited");
    let failed =
        "SELECT count(*) FROM webhook_deliveries WHERE state = 'FAILED' AND last_error LIKE '%deactivated%'";
    assert_eq!(app.count(failed).await, 1);
    app.run("UPDATE users SET is_active = true WHERE email = 'jane@example.com'").await;
    let delivery = deliveries(&jane, &id).await[0]["id"].as_str().unwrap().to_owned();
    act(&jane, "redeliverWebhook", &delivery).await;
    app.run_jobs().await;
    assert_eq!(receiver.told().len(), 1, "and whoever is back asks for it");
}

#[tokio::test]
async fn a_risk_is_opened_once_by_the_screen_and_again_only_by_what_is_new() {
    let (app, jane, receiver) = practice().await;
    subscribed(&jane, &receiver, &["RISK_FLAG_OPENED"]).await;
    app.provider.set_transcript(&["The weather was good.", "We spoke about the garden and its roses."]);
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let before = receiver.told().len();
    let segment: String =
        sqlx::query_scalar("SELECT id::text FROM transcript_segments WHERE segment_index = 0")
            .fetch_one(app.app.pool())
            .await
            .unwrap();
    let correct = "mutation ($id: ID!, $text: String!) { correctSegment(input: { segmentId: $id, text: $text }) { userErrors { code } } }";
    for text in ["I want to kill myself.", "I want to kill myself, really."] {
        let payload = jane.call(correct, json!({ "id": segment, "text": text })).await;
        assert_eq!(payload["correctSegment"]["userErrors"], json!([]));
    }
    app.run_jobs().await;
    let told = receiver.told();
    assert_eq!(told.len(), before + 1, "{told:?}");
    assert_eq!(told[before].json()["data"]["sessionId"], json!(session));
}

const QUIET: [&str; 3] = ["How was the week?", "She has given the Wolkenkratzer away.", "She said goodbye."];

/// What a model raises, at these lines of a transcript in which no word is one of risk.
fn flagged(lines: &[usize]) -> Behaviour {
    let mut notes = notes_on(&[]);
    let flag = |line: &usize| {
        json!({ "kind": "OTHER", "severity": "HIGH", "text": "She parts with what is dear to her.",
            "quote": QUIET[*line], "segment": line })
    };
    notes["riskFlags"] = lines.iter().map(flag).collect();
    Behaviour::Content(notes.to_string())
}

#[tokio::test]
async fn a_risk_that_only_the_model_sees_arrives_and_again_only_what_was_not_there_before() {
    let (app, jane, receiver) = practice().await;
    let app = app.with_worker();
    let (_, secret) = subscribed(&jane, &receiver, &["RISK_FLAG_OPENED"]).await;
    app.provider.set_transcript(&QUIET);
    app.provider.always(Endpoint::Chat, flagged(&[1]));
    let patient = jane.patient("Maria Zauberfluss").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    Watch::session(&jane, &session).await.until_end().await;
    let told = receiver.reached(1).await.remove(0);
    assert!(told.event() == "risk_flag.opened" && told.is_signed_by(&secret), "{told:?}");
    assert_bare(&told, &patient, std::slice::from_ref(&session));
    assert!(!told.body.contains("Wolkenkratzer") && !told.body.contains("dear"), "{told:?}");
    let query = "query ($id: ID!) { session(id: $id) {
        riskScreen { flags { text } } notes { riskFlags { source text } } } }";
    let seen = jane.call(query, json!({ "id": session })).await["session"].clone();
    let flags = json!([{ "source": "MODEL", "text": "She parts with what is dear to her." }]);
    assert_eq!((&seen["riskScreen"]["flags"], &seen["notes"]["riskFlags"]), (&json!([]), &flags));
    // The same again is no news; another one is.
    let again = "mutation ($id: ID!) { extractNotes(sessionId: $id, force: true) { userErrors { code } } }";
    for (lines, count) in [(&[1][..], 1), (&[1, 2], 2)] {
        app.provider.always(Endpoint::Chat, flagged(lines));
        let asked = jane.call(again, json!({ "id": session })).await["extractNotes"].clone();
        assert_eq!(asked["userErrors"], json!([]));
        let mut watch = Watch::session(&jane, &session).await;
        while watch.value().await["status"] != "PROCESSED" {}
        assert_eq!(receiver.reached(count).await.len(), count);
    }
}

#[tokio::test]
async fn a_test_arrives_also_where_nothing_was_asked_for_and_is_sent_once() {
    let (app, jane, receiver) = practice().await;
    let (id, secret) = subscribed(&jane, &receiver, &["EXPORT_READY"]).await;
    receiver.script([Reaction::status(204), Reaction::status(500)]);
    let payload = act(&jane, "sendTestWebhook", &id).await;
    assert_eq!(payload["webhookDelivery"]["event"], "WEBHOOK_TEST");
    app.run_jobs().await;
    let told = receiver.told().remove(0);
    assert_eq!((told.event(), &told.json()["data"]), ("webhook.test".into(), &json!({ "webhookId": id })));
    assert!(told.is_signed_by(&secret));
    act(&jane, "sendTestWebhook", &id).await;
    app.run_jobs().await;
    let log = deliveries(&jane, &id).await;
    assert_eq!((&log[0]["state"], &log[0]["lastError"]), (&json!("FAILED"), &json!("It answered 500.")));
    let open = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'deliver_webhook' AND status <> 'Done'";
    assert_eq!(app.count(open).await, 0, "not tried again");
    assert_eq!(super::webhook(&jane, &id).await["failingSince"], Value::Null);
    assert_eq!(code(&act(&jane, "sendTestWebhook", "nothing").await), "NOT_FOUND");
}
