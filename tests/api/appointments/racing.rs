//! Who wins when several things are asked of one appointment at once.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{EARLIER, attach, refused, reschedule, say, scheduled, trail, versions, with_input};
use crate::support::client::Client;
use crate::support::tus::id_of;
use crate::support::{TestApp, recording};

/// The only payload with a session; every other one was refused because of the state.
fn winner(payloads: &[Value]) -> &Value {
    let (won, lost): (Vec<_>, _) = payloads.iter().partition(|payload| payload["session"].is_object());
    assert_eq!(won.len(), 1, "{payloads:?}");
    for payload in lost {
        assert_eq!(refused(payload), ("INVALID_STATE", "sessionId"), "{payload}");
    }
    won[0]
}

/// One file, which is that of the session's row; no intent, and one job.
async fn assert_whole(app: &TestApp, bytes: &[u8]) {
    let key: String = sqlx::query_scalar("SELECT audio_key FROM sessions WHERE audio_key IS NOT NULL")
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    let files = app.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with(&key), "{files:?} {key}");
    assert_eq!(std::fs::read(&files[0]).unwrap(), bytes);
    assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0, "intents");
    assert_eq!(super::processing(app).await, 1, "jobs");
}

#[tokio::test]
async fn of_recordings_attached_at_once_one_wins_and_the_others_leave_no_file() {
    for _ in 0..4 {
        let app = TestApp::new().await;
        let jane = app.therapist("jane").await;
        let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
        let names = ["cbr.mp3", "vbr.mp3", "speech.flac", "cbr.mp3"];
        let tries = names.map(|name| attach(&jane, json!({ "sessionId": id }), recording(name)));
        let payloads = join_all(tries).await;
        let at = payloads.iter().position(|payload| payload["session"].is_object()).unwrap();
        assert_eq!(winner(&payloads)["session"]["version"], 2);
        assert_whole(&app, &recording(names[at])).await;
        assert_eq!((versions(&app).await, trail(&app).await.len()), (vec![1, 2], 2));
        app.run_jobs().await;
        let processed = "SELECT count(*) FROM sessions WHERE status = 'PROCESSED'";
        assert_eq!(app.count(processed).await, 1);
    }
}

/// The race that luck seldom makes: both have been admitted, and have put their file, before one of them commits.
#[tokio::test]
async fn whoever_comes_second_to_the_locked_session_clears_only_its_own_file_away() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    let mut block = app.begin().await;
    sqlx::query("SELECT 1 FROM sessions FOR UPDATE").execute(&mut *block).await.unwrap();
    let start = |name: &'static str| {
        let (client, input) = (jane.clone(), json!({ "sessionId": id }));
        tokio::spawn(async move { attach(&client, input, recording(name)).await })
    };
    let tries = [start("cbr.mp3"), start("cbr.mp3"), start("cbr.mp3")];
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all_wait = async {
        while app.count(waiting).await < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), all_wait)
        .await
        .expect("three wait for the session");
    assert_eq!(app.files().len(), 3, "each has a file of its own");
    block.commit().await.unwrap();
    let payloads: Vec<Value> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    winner(&payloads);
    assert_whole(&app, &recording("cbr.mp3")).await;
}

#[tokio::test]
async fn of_two_sessions_that_want_one_upload_one_gets_it() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (one, two) = (scheduled(&jane, &patient, EARLIER).await, scheduled(&jane, &patient, EARLIER).await);
    let path = jane.sent(&recording("cbr.mp3")).await;
    let finish =
        |id: &str| with_input(&jane, "attachRecording", json!({ "sessionId": id, "uploadId": id_of(&path) }));
    // The same session twice, and another one.
    let (a, b, c) = tokio::join!(finish(&one), finish(&one), finish(&two));
    let won = [&a, &b, &c].iter().filter(|payload| payload["session"].is_object()).count();
    assert_eq!(won, 1, "{a} {b} {c}");
    for payload in [&a, &b, &c].iter().filter(|payload| payload["session"].is_null()) {
        assert_eq!(super::code(payload), "INVALID_STATE", "{payload}");
    }
    assert_whole(&app, &recording("cbr.mp3")).await;
}

#[tokio::test]
async fn of_all_ends_of_an_appointment_asked_for_at_once_one_wins() {
    async fn ends(jane: &Client, id: &str) -> Vec<Value> {
        let (a, b, c, d) = tokio::join!(
            say(jane, "cancelSession", id),
            say(jane, "markNoShow", id),
            say(jane, "completeSession", id),
            say(jane, "cancelSession", id),
        );
        vec![a, b, c, d]
    }
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    for _ in 0..6 {
        let id = scheduled(&jane, &patient, EARLIER).await;
        winner(&ends(&jane, &id).await);
        let events = format!("SELECT count(*) FROM outbox_events WHERE session_id = '{id}'");
        assert_eq!(app.count(&events).await, 2);
    }
    assert_eq!(trail(&app).await.len(), 12);
}

#[tokio::test]
async fn a_session_that_is_called_off_while_its_recording_arrives_takes_none() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    for _ in 0..4 {
        let id = scheduled(&jane, &patient, EARLIER).await;
        let (attached, cancelled) = tokio::join!(
            attach(&jane, json!({ "sessionId": id }), recording("cbr.mp3")),
            say(&jane, "cancelSession", &id)
        );
        winner(&[attached, cancelled]);
        let torn =
            "SELECT count(*) FROM sessions WHERE (attendance = 'COMPLETED') <> (audio_key IS NOT NULL)";
        assert_eq!(app.count(torn).await, 0);
    }
    let recorded = app.count("SELECT count(*) FROM sessions WHERE audio_key IS NOT NULL").await;
    assert_eq!(i64::try_from(app.files().len()).unwrap(), recorded);
}

#[tokio::test]
async fn moves_at_once_are_made_one_after_the_other() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let id = scheduled(&jane, &jane.patient("Daniel").await, EARLIER).await;
    let starts: Vec<String> = (10..18).map(|day| format!("2026-03-{day}T12:00:00Z")).collect();
    let asked =
        starts.iter().map(|start| reschedule(&jane, json!({ "sessionId": id, "scheduledStart": start })));
    let moved = join_all(asked).await;
    assert!(moved.iter().all(|payload| payload["session"].is_object()), "{moved:?}");
    assert_eq!(versions(&app).await, (1..=9).collect::<Vec<_>>());
}
