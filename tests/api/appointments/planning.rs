//! Making and moving appointments: their times, and the therapist's days.

use serde_json::{Value, json};

use super::{
    EARLIER, TOMORROW, archive, message, refused, reschedule, say, schedule, scheduled, therapist_in, trail,
    update, versions,
};
use crate::support::TestApp;

async fn assert_no_session(app: &TestApp) {
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 0);
    assert_eq!((versions(app).await, trail(app).await), (vec![], vec![]));
}

#[tokio::test]
async fn an_appointment_is_a_session_without_a_status() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input =
        json!({ "patientId": patient, "scheduledStart": "2026-03-11T10:00:00+01:00", "durationMinutes": 50 });
    let payload = schedule(&jane, input).await;
    let mut session = payload["session"].clone();
    assert!(session["id"].take().is_string(), "{payload}");
    let expected = json!({ "id": null, "attendance": "SCHEDULED", "status": null, "version": 1, "progress": 0,
        "scheduledStart": "2026-03-11T09:00:00+00:00", "sessionDate": "2026-03-11", "durationMinutes": 50,
        "audioFilename": null, "recordingIsPartial": false });
    assert_eq!((session, &payload["userErrors"]), (expected, &json!([])));
    assert_eq!(versions(&app).await, [1]);
    assert_eq!(trail(&app).await, ["session.schedule attendance,scheduledStart,sessionDate,durationMinutes"]);
    assert_eq!(super::processing(&app).await, 0, "there is nothing to process");
}

#[tokio::test]
async fn the_length_need_not_be_known() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let payload = schedule(&jane, json!({ "patientId": patient, "scheduledStart": TOMORROW })).await;
    assert_eq!(payload["session"]["durationMinutes"], Value::Null);
    assert_eq!(trail(&app).await, ["session.schedule attendance,scheduledStart,sessionDate"]);
}

#[tokio::test]
async fn what_cannot_be_an_appointment_is_refused_and_leaves_nothing() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let (mine, hers, archived) =
        (jane.patient("Daniel").await, eve.patient("Maria").await, jane.patient("Noah").await);
    archive(&jane, &archived).await;
    let input = |patient: &str, start: &str, minutes: i32| json!({ "patientId": patient, "scheduledStart": start, "durationMinutes": minutes });
    for (input, expected) in [
        (input("nobody", TOMORROW, 50), ("NOT_FOUND", "patientId")),
        (input("01890000-0000-7000-8000-000000000000", TOMORROW, 50), ("NOT_FOUND", "patientId")),
        (input(&hers, TOMORROW, 50), ("NOT_FOUND", "patientId")),
        (input(&archived, TOMORROW, 50), ("INVALID_STATE", "patientId")),
        (input(&mine, TOMORROW, 0), ("INVALID_INPUT", "durationMinutes")),
        (input(&mine, TOMORROW, 1441), ("INVALID_INPUT", "durationMinutes")),
        (input(&mine, "2025-03-09T08:59:59Z", 50), ("INVALID_INPUT", "scheduledStart")),
        (input(&mine, "2031-03-10T09:00:01Z", 50), ("INVALID_INPUT", "scheduledStart")),
    ] {
        assert_eq!(refused(&schedule(&jane, input.clone()).await), expected, "{input}");
    }
    let late = schedule(&jane, input(&mine, "2226-03-10T09:00:00Z", 50)).await;
    assert!(message(&late).contains("366 days back") && message(&late).contains("5 years ahead"), "{late}");
    assert_no_session(&app).await;
    for start in ["2025-03-09T09:00:00Z", EARLIER, "2031-03-10T09:00:00Z"] {
        assert_eq!(schedule(&jane, input(&mine, start, 1440)).await["userErrors"], json!([]), "{start}");
    }
}

#[tokio::test]
async fn a_time_without_a_zone_is_no_time() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let query =
        "mutation ($input: ScheduleSessionInput!) { scheduleSession(input: $input) { userErrors { code } } }";
    let input = json!({ "patientId": jane.patient("Daniel").await, "scheduledStart": "2026-03-11T09:00:00" });
    let refusal = jane.refusal(query, json!({ "input": input })).await;
    assert!(["BAD_REQUEST", "VALIDATION_FAILED"].contains(&refusal.as_str()), "{refusal}");
    assert_no_session(&app).await;
}

#[tokio::test]
async fn the_day_of_an_appointment_is_the_therapists() {
    for (zone, days) in [
        // Fourteen hours ahead of UTC, and eleven behind it: two days at the same time.
        (
            "Pacific/Kiritimati",
            [("2026-03-10T09:59:59Z", "2026-03-10"), ("2026-03-10T10:00:00Z", "2026-03-11")],
        ),
        ("Pacific/Niue", [("2026-03-11T10:59:59Z", "2026-03-10"), ("2026-03-11T11:00:00Z", "2026-03-11")]),
        // The night to the 29th, in which the clocks go forward, and the night after it.
        ("Europe/Berlin", [("2026-03-28T23:00:00Z", "2026-03-29"), ("2026-03-29T22:00:00Z", "2026-03-30")]),
        ("Europe/Berlin", [("2026-03-28T22:59:59Z", "2026-03-28"), ("2026-03-29T21:59:59Z", "2026-03-29")]),
        // And the one of 25 October, in which they go back.
        ("Europe/Berlin", [("2026-10-24T22:00:00Z", "2026-10-25"), ("2026-10-25T22:59:59Z", "2026-10-25")]),
        // Here they change at midnight: 6 September has no hour from 0 to 1.
        (
            "America/Santiago",
            [("2026-09-06T03:59:59Z", "2026-09-05"), ("2026-09-06T04:00:00Z", "2026-09-06")],
        ),
    ] {
        let app = TestApp::new().await;
        let jane = therapist_in(&app, zone).await;
        let patient = jane.patient("Daniel").await;
        let session = scheduled(&jane, &patient, EARLIER).await;
        for (start, day) in days {
            let made = schedule(&jane, json!({ "patientId": patient, "scheduledStart": start })).await;
            assert_eq!(made["session"]["sessionDate"], day, "{zone} {start}");
            let moved = reschedule(&jane, json!({ "sessionId": session, "scheduledStart": start })).await;
            assert_eq!(moved["session"]["sessionDate"], day, "moved: {zone} {start}");
        }
    }
}

#[tokio::test]
async fn an_appointment_is_moved_with_its_day_and_length() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient, "scheduledStart": TOMORROW, "durationMinutes": 50 });
    let id = schedule(&jane, input).await["session"]["id"].clone();
    let to = |start: &str| json!({ "sessionId": id, "scheduledStart": start });
    let moved = reschedule(&jane, to("2026-03-20T14:00:00Z")).await["session"].clone();
    assert_eq!((&moved["sessionDate"], &moved["durationMinutes"]), (&json!("2026-03-20"), &json!(50)));
    assert_eq!(moved["version"], 2);
    let mut longer = to("2026-03-20T15:00:00Z");
    longer["durationMinutes"] = json!(90);
    let moved = reschedule(&jane, longer.clone()).await["session"].clone();
    assert_eq!((&moved["durationMinutes"], &moved["version"]), (&json!(90), &json!(3)));
    let again = reschedule(&jane, longer).await["session"].clone();
    assert_eq!(again, moved, "what is so already is no new version");
    assert_eq!(versions(&app).await, [1, 2, 3]);
    let expected = [
        "session.reschedule scheduledStart,sessionDate",
        "session.reschedule scheduledStart,durationMinutes",
    ];
    assert_eq!(trail(&app).await[1..], expected);
    assert_eq!(
        refused(&reschedule(&jane, to("2036-01-01T00:00:00Z")).await),
        ("INVALID_INPUT", "scheduledStart")
    );
}

#[tokio::test]
async fn of_a_session_that_moves_both_days_are_counted_anew() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, TOMORROW).await;
    reschedule(&jane, json!({ "sessionId": id, "scheduledStart": EARLIER })).await;
    say(&jane, "completeSession", &id).await;
    update(&jane, json!({ "sessionId": id, "sessionDate": "2026-02-28" })).await;
    let query = "SELECT array_to_string(changed_days, ' ') FROM aggregation_runs
        WHERE kind = 'REFRESH' AND from_date IS NOT NULL ORDER BY created_at, id";
    let days: Vec<String> = sqlx::query_scalar(query).fetch_all(app.app.pool()).await.unwrap();
    assert_eq!(days, ["2026-03-11", "2026-03-10 2026-03-11", "2026-03-10", "2026-02-28 2026-03-10"]);
}

#[tokio::test]
async fn only_what_is_still_planned_is_moved_and_only_while_the_record_is_in_use() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let patient = jane.patient("Daniel").await;
    for mutation in ["cancelSession", "markNoShow", "completeSession"] {
        let id = scheduled(&jane, &patient, EARLIER).await;
        say(&jane, mutation, &id).await;
        let payload = reschedule(&jane, json!({ "sessionId": id, "scheduledStart": TOMORROW })).await;
        assert_eq!(refused(&payload), ("INVALID_STATE", "sessionId"), "{mutation}");
    }
    let id = scheduled(&jane, &patient, EARLIER).await;
    for (client, id) in [(&eve, id.as_str()), (&jane, "nothing"), (&jane, patient.as_str())] {
        let payload = reschedule(client, json!({ "sessionId": id, "scheduledStart": TOMORROW })).await;
        assert_eq!(refused(&payload), ("NOT_FOUND", "sessionId"));
    }
    archive(&jane, &patient).await;
    let payload = reschedule(&jane, json!({ "sessionId": id, "scheduledStart": TOMORROW })).await;
    assert_eq!(refused(&payload), ("INVALID_STATE", "sessionId"), "archived");
    let cancelled = say(&jane, "cancelSession", &id).await;
    assert_eq!(cancelled["session"]["attendance"], "CANCELLED", "what is left can be called off");
}

#[tokio::test]
async fn an_appointment_asked_for_twice_with_one_key_is_made_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let input = json!({ "patientId": patient, "scheduledStart": TOMORROW, "idempotencyKey": "k" });
    let (one, two) = tokio::join!(schedule(&jane, input.clone()), schedule(&jane, input.clone()));
    assert_eq!(one, two);
    archive(&jane, &patient).await;
    assert_eq!(schedule(&jane, input.clone()).await, one, "also when it could not be made any more");
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);
    let other = json!({ "patientId": patient, "scheduledStart": EARLIER, "idempotencyKey": "k" });
    assert_eq!(refused(&schedule(&jane, other).await), ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey"));
    let moving =
        json!({ "sessionId": one["session"]["id"], "scheduledStart": EARLIER, "idempotencyKey": "k" });
    assert_eq!(refused(&reschedule(&jane, moving).await), ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey"));
}

#[tokio::test]
async fn the_same_move_with_one_key_is_made_once_and_another_one_is_refused() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, TOMORROW).await;
    let input = |start: &str| json!({ "sessionId": id, "scheduledStart": start, "idempotencyKey": "k" });
    let moved = reschedule(&jane, input("2026-03-20T14:00:00Z")).await;
    say(&jane, "cancelSession", &id).await;
    let again = reschedule(&jane, input("2026-03-20T14:00:00Z")).await;
    assert_eq!((&again["session"]["attendance"], &again["userErrors"]), (&json!("CANCELLED"), &json!([])));
    assert_eq!(moved["session"]["version"], 2);
    assert_eq!(refused(&reschedule(&jane, input(TOMORROW)).await).0, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_patient_sees_the_appointment_and_the_lists_have_it() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (maria, patient) = app.patient_user(&jane, "maria").await;
    let id = scheduled(&jane, &patient, TOMORROW).await;
    let query = "query ($filter: SessionFilterInput) { sessions(filter: $filter) {
        totalCount nodes { id status attendance scheduledStart sessionDate audioFilename transcriptText
            transcription { pieces } notes { patientSummary } release { releasedAt } riskScreen { version } } } }";
    for client in [&jane, &maria, &app.admin("root").await] {
        let page =
            client.call(query, json!({ "filter": { "attendance": "SCHEDULED" } })).await["sessions"].clone();
        let expected = json!({ "id": id, "status": null, "attendance": "SCHEDULED",
            "scheduledStart": "2026-03-11T09:00:00+00:00", "sessionDate": "2026-03-11", "audioFilename": null,
            "transcriptText": null, "transcription": null, "notes": null, "release": null, "riskScreen": null });
        assert_eq!((&page["totalCount"], &page["nodes"][0]), (&json!(1), &expected));
    }
    for filter in [json!({ "attendance": "COMPLETED" }), json!({ "status": "UPLOADING" })] {
        assert_eq!(jane.call(query, json!({ "filter": filter })).await["sessions"]["totalCount"], 0);
    }
}
