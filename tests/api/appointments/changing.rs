//! What becomes of an appointment, what is put right afterwards, and who hears of it.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    EARLIER, FIELDS, TOMORROW, attach, message, refused, say, say_with, scheduled, therapist_in, trail,
    update, versions,
};
use crate::support::socket::Watch;
use crate::support::{PASSWORD, TestApp, recording};

/// The three ends of an appointment that need no recording.
const ENDS: [(&str, &str, &str); 3] = [
    ("cancelSession", "CANCELLED", "session.cancel attendance"),
    ("markNoShow", "NO_SHOW", "session.no_show attendance"),
    ("completeSession", "COMPLETED", "session.complete attendance"),
];

#[tokio::test]
async fn an_appointment_ends_once_and_says_afterwards_what_it_is() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    for (mutation, attendance, event) in ENDS {
        let id = scheduled(&jane, &patient, EARLIER).await;
        let session = say(&jane, mutation, &id).await["session"].clone();
        assert_eq!((&session["attendance"], &session["status"]), (&json!(attendance), &Value::Null));
        assert_eq!((&session["version"], &session["sessionDate"]), (&json!(2), &json!("2026-03-10")));
        assert_eq!(trail(&app).await.last().unwrap(), event);
        for (again, ..) in ENDS {
            let payload = say(&jane, again, &id).await;
            assert_eq!(refused(&payload), ("INVALID_STATE", "sessionId"), "{again} after {mutation}");
            assert!(message(&payload).contains(attendance), "{payload}");
        }
    }
    assert_eq!(versions(&app).await, [1, 2, 1, 2, 1, 2]);
}

#[tokio::test]
async fn what_became_of_an_appointment_is_said_from_its_day_on() {
    let app = TestApp::new().await;
    // It is 10 March, 23:00 there: the appointment is in the first minute of the 11th.
    let jane = therapist_in(&app, "Pacific/Kiritimati").await;
    let patient = jane.patient("Daniel").await;
    let (missed, held, off) = (
        scheduled(&jane, &patient, "2026-03-10T10:00:30Z").await,
        scheduled(&jane, &patient, "2026-03-11T09:59:00Z").await,
        scheduled(&jane, &patient, "2026-03-10T10:00:30Z").await,
    );
    for (mutation, id) in [("markNoShow", &missed), ("completeSession", &held)] {
        let early = say(&jane, mutation, id).await;
        assert_eq!(refused(&early), ("INVALID_STATE", "sessionId"), "{mutation}");
        assert!(message(&early).contains("2026-03-11"), "{early}");
    }
    assert_eq!(say(&jane, "cancelSession", &off).await["session"]["attendance"], "CANCELLED", "at any time");
    // A tick before midnight, and midnight: the whole day counts, also before the start.
    app.clock.advance(TimeDelta::milliseconds(3_599_999));
    let tokens = app.anonymous().log_in("jane@example.com", PASSWORD).await;
    let jane = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    assert_eq!(refused(&say(&jane, "markNoShow", &missed).await).0, "INVALID_STATE");
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(say(&jane, "markNoShow", &missed).await["session"]["attendance"], "NO_SHOW");
    assert_eq!(say(&jane, "completeSession", &held).await["session"]["attendance"], "COMPLETED");
}

#[tokio::test]
async fn a_session_is_completed_with_the_length_it_had() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    let query = format!(
        "mutation ($id: ID!, $minutes: Int) {{ completeSession(sessionId: $id, durationMinutes: $minutes) {{ {FIELDS} }} }}"
    );
    let complete = async |minutes: i32| {
        jane.call(&query, json!({ "id": id, "minutes": minutes })).await["completeSession"].clone()
    };
    assert_eq!(refused(&complete(0).await), ("INVALID_INPUT", "durationMinutes"));
    let session = complete(45).await["session"].clone();
    assert_eq!((&session["attendance"], &session["durationMinutes"]), (&json!("COMPLETED"), &json!(45)));
    assert_eq!(trail(&app).await.last().unwrap(), "session.complete attendance,durationMinutes");
}

#[tokio::test]
async fn asking_twice_with_the_same_key_happens_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    for (mutation, attendance, _) in ENDS {
        let id = scheduled(&jane, &patient, EARLIER).await;
        let key = json!(mutation);
        let (one, two) = tokio::join!(
            say_with(&jane, mutation, &id, key.clone()),
            say_with(&jane, mutation, &id, key.clone())
        );
        assert_eq!((&one, &one["session"]["attendance"]), (&two, &json!(attendance)));
        assert_eq!(say_with(&jane, mutation, &id, key.clone()).await, one);
        let other = scheduled(&jane, &patient, EARLIER).await;
        let reused = say_with(&jane, mutation, &other, key).await;
        assert_eq!(refused(&reused), ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey"));
    }
}

#[tokio::test]
async fn a_refused_request_lets_go_of_its_key() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, TOMORROW).await;
    assert_eq!(refused(&say_with(&jane, "completeSession", &id, json!("k")).await).0, "INVALID_STATE");
    assert_eq!(say_with(&jane, "cancelSession", &id, json!("k")).await["userErrors"], json!([]));
}

#[tokio::test]
async fn day_and_length_of_a_completed_session_are_put_right() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let before = app.count("SELECT version FROM sessions").await;
    let payload = update(&jane, json!({ "sessionId": id, "sessionDate": "2026-02-28" })).await;
    let session = payload["session"].clone();
    assert_eq!((&session["sessionDate"], &session["durationMinutes"]), (&json!("2026-02-28"), &json!(1)));
    assert_eq!((&session["status"], &session["version"]), (&json!("PROCESSED"), &json!(before + 1)));
    let both = json!({ "sessionId": id, "sessionDate": "2026-03-10", "durationMinutes": 50 });
    let session = update(&jane, both.clone()).await["session"].clone();
    assert_eq!((&session["sessionDate"], &session["durationMinutes"]), (&json!("2026-03-10"), &json!(50)));
    assert_eq!(update(&jane, both).await["session"], session, "what is so already is no new version");
    let events = trail(&app).await;
    let expected = ["session.update sessionDate", "session.update sessionDate,durationMinutes"];
    assert_eq!(events[events.len() - 2..], expected);
    assert_eq!(*versions(&app).await.last().unwrap(), before + 2);
}

#[tokio::test]
async fn a_session_that_is_being_processed_can_be_put_right_and_goes_on() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
    let session = update(&jane, json!({ "sessionId": id, "durationMinutes": 50 })).await["session"].clone();
    assert_eq!((&session["status"], &session["version"]), (&json!("UPLOADING"), &json!(2)));
    app.run_jobs().await;
    let query = "query ($id: ID!) { session(id: $id) { status durationMinutes } }";
    let session = jane.call(query, json!({ "id": id })).await["session"].clone();
    assert_eq!(session, json!({ "status": "PROCESSED", "durationMinutes": 50 }));
}

#[tokio::test]
async fn what_cannot_be_put_right_is_refused() {
    let app = TestApp::new().await;
    // It is the 9th there, and tomorrow is the 10th.
    let jane = therapist_in(&app, "Pacific/Niue").await;
    let eve = app.therapist("eve").await;
    let patient = jane.patient("Daniel").await;
    let planned = scheduled(&jane, &patient, EARLIER).await;
    let off = scheduled(&jane, &patient, EARLIER).await;
    say(&jane, "cancelSession", &off).await;
    let held = scheduled(&jane, &patient, EARLIER).await;
    say(&jane, "completeSession", &held).await;
    let day = |id: &str, day: &str| json!({ "sessionId": id, "sessionDate": day });
    for (client, input, expected) in [
        (&jane, day(&planned, "2026-03-01"), ("INVALID_STATE", "sessionId")),
        (&jane, day(&off, "2026-03-01"), ("INVALID_STATE", "sessionId")),
        (&jane, day(&held, "2026-03-10"), ("INVALID_INPUT", "sessionDate")),
        (&jane, day(&held, "1969-12-31"), ("INVALID_INPUT", "sessionDate")),
        (&jane, json!({ "sessionId": held, "durationMinutes": 0 }), ("INVALID_INPUT", "durationMinutes")),
        (&jane, json!({ "sessionId": held }), ("INVALID_INPUT", "sessionDate")),
        (&jane, day("nothing", "2026-03-01"), ("NOT_FOUND", "sessionId")),
        (&eve, day(&held, "2026-03-01"), ("NOT_FOUND", "sessionId")),
    ] {
        assert_eq!(refused(&update(client, input.clone()).await), expected, "{input}");
    }
    assert_eq!(
        update(&jane, day(&held, "2026-03-09")).await["session"]["version"],
        2,
        "today is not the future"
    );
}

#[tokio::test]
async fn nobody_else_changes_an_appointment() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let (maria, patient) = app.patient_user(&jane, "maria").await;
    let id = scheduled(&jane, &patient, EARLIER).await;
    for (mutation, ..) in ENDS {
        for (client, id) in [(&eve, id.as_str()), (&jane, "nothing"), (&jane, patient.as_str())] {
            assert_eq!(refused(&say(client, mutation, id).await), ("NOT_FOUND", "sessionId"), "{mutation}");
        }
        let query =
            format!("mutation ($id: ID!) {{ {mutation}(sessionId: $id) {{ userErrors {{ code }} }} }}");
        for (client, expected) in [(&maria, "FORBIDDEN"), (&app.anonymous(), "UNAUTHENTICATED")] {
            assert_eq!(client.refusal(&query, json!({ "id": id })).await, expected, "{mutation}");
        }
    }
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE version > 1").await, 0);
}

#[tokio::test]
async fn a_watch_on_an_appointment_stays_open_and_hears_everything_that_becomes_of_it() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, TOMORROW).await;
    let query =
        "subscription ($id: ID!) { sessionUpdated(id: $id) { version status attendance sessionDate } }";
    let mut watch = Watch::start(&jane, query, json!({ "id": id })).await;
    assert_eq!(
        watch.value().await,
        json!({ "version": 1, "status": null, "attendance": "SCHEDULED", "sessionDate": "2026-03-11" })
    );
    super::reschedule(&jane, json!({ "sessionId": id, "scheduledStart": EARLIER })).await;
    assert_eq!(
        watch.value().await,
        json!({ "version": 2, "status": null, "attendance": "SCHEDULED", "sessionDate": "2026-03-10" })
    );
    say(&jane, "completeSession", &id).await;
    assert_eq!(watch.value().await["attendance"], "COMPLETED");
    attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")).await;
    let uploaded = watch.value().await;
    assert_eq!((&uploaded["version"], &uploaded["status"]), (&json!(4), &json!("UPLOADING")));
    app.run_jobs().await;
    assert_eq!(watch.until_end().await.last().unwrap()["status"], "PROCESSED");
}

#[tokio::test]
async fn a_patients_watch_hears_of_appointments_too() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (maria, patient) = app.patient_user(&jane, "maria").await;
    let old = scheduled(&jane, &patient, EARLIER).await;
    let running = jane.session(&patient, recording("cbr.mp3")).await;
    let query = "subscription ($id: ID!) { sessionsUpdated(patientId: $id) { id version attendance } }";
    let mut watch = Watch::start(&maria, query, json!({ "id": patient })).await;
    assert_eq!(watch.value().await["id"], json!(running), "what is in progress, and no appointment");
    say(&jane, "markNoShow", &old).await;
    assert_eq!(watch.value().await, json!({ "id": old, "version": 2, "attendance": "NO_SHOW" }));
    let new = scheduled(&jane, &patient, TOMORROW).await;
    assert_eq!(watch.value().await, json!({ "id": new, "version": 1, "attendance": "SCHEDULED" }));
}

#[tokio::test]
async fn what_needs_a_recording_is_refused_without_one() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (planned, held) =
        (scheduled(&jane, &patient, EARLIER).await, scheduled(&jane, &patient, EARLIER).await);
    say(&jane, "completeSession", &held).await;
    for id in [&planned, &held] {
        for mutation in ["retrySession", "extractNotes", "cancelProcessing", "releaseSummary"] {
            assert_eq!(
                refused(&say(&jane, mutation, id).await),
                ("INVALID_STATE", "sessionId"),
                "{mutation}"
            );
        }
    }
    let speaker =
        "mutation ($id: ID!) { assignSpeaker(input: { sessionId: $id, speaker: \"A\", role: PATIENT }) {
        userErrors { code } } }";
    let payload = jane.call(speaker, json!({ "id": planned })).await["assignSpeaker"].clone();
    assert_eq!(payload["userErrors"][0]["code"], "INVALID_STATE");
    assert_eq!(super::processing(&app).await, 0);
}
