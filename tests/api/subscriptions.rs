//! Sessions, watched live over real sockets.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::provider::Endpoint;
use crate::support::socket::{News, Watch, statuses};
use crate::support::{PASSWORD, TestApp, recording};

const HISTORY: [&str; 5] = ["UPLOADING", "TRANSCRIBING", "TRANSCRIBED", "EXTRACTING_NOTES", "PROCESSED"];

#[tokio::test]
async fn a_session_is_followed_from_upload_to_notes_each_status_once_and_in_order() {
    let app = TestApp::new().await.with_worker();
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let hold = app.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let early = Followed::new(&jane, &id).await;
    hold.reached(1).await;
    let late = Followed::new(&jane, &id).await;
    drop(hold);
    let history = early.statuses_until_end().await;
    assert!(HISTORY.ends_with(&history.iter().map(String::as_str).collect::<Vec<_>>()), "{history:?}");
    assert!(history.len() >= 4, "{history:?}");
    assert_eq!(late.statuses_until_end().await, HISTORY[1..], "a late one begins with the present state");
}

/// A session that somebody is seen to follow: only its first value says that the server has begun to tell.
struct Followed {
    first: Value,
    rest: Watch,
}

impl Followed {
    async fn new(client: &Client, id: &str) -> Self {
        let mut rest = Watch::session(client, id).await;
        Self { first: rest.value().await, rest }
    }

    async fn statuses_until_end(self) -> Vec<String> {
        statuses(&[vec![self.first], self.rest.until_end().await].concat())
    }
}

#[tokio::test]
async fn the_first_value_is_the_present_state() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    let first = watch.value().await;
    assert_eq!(first, json!({ "id": id, "version": 1, "status": "UPLOADING", "progress": 100 }));
    app.run_jobs().await;
    assert_eq!(statuses(&watch.until_end().await), HISTORY[1..]);
}

#[tokio::test]
async fn a_finished_session_is_sent_once_and_ends() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let history = Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(statuses(&history), ["PROCESSED"]);
}

#[tokio::test]
async fn a_patients_sessions_are_followed_together_and_others_are_not() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let (daniel, maria) = (jane.patient("Daniel").await, jane.patient("Maria").await);
    let finished = jane.session(&daniel, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let waiting = jane.session(&daniel, recording("cbr.mp3")).await;
    let mut watch = Watch::patient(&jane, &daniel).await;
    let first = watch.value().await;
    assert_eq!(
        (&first["id"], &first["status"]),
        (&json!(waiting), &json!("UPLOADING")),
        "those in progress come first"
    );
    jane.session(&maria, recording("cbr.mp3")).await;
    let fresh = jane.session(&daniel, recording("cbr.mp3")).await;
    let uploaded = watch.value().await;
    assert_eq!((&uploaded["id"], &uploaded["version"]), (&json!(fresh), &json!(1)));
    app.run_jobs().await;
    let mut seen = vec![first, uploaded];
    while seen.iter().filter(|value| value["status"] == "PROCESSED").count() < 2 {
        seen.push(watch.value().await);
    }
    for id in [&waiting, &fresh] {
        let history: Vec<_> = seen.iter().filter(|value| value["id"] == json!(id)).cloned().collect();
        assert_eq!(statuses(&history), HISTORY, "{id}");
    }
    assert!(
        seen.iter().all(|value| value["id"] != json!(finished)),
        "what had ended before is not told again"
    );
}

#[tokio::test]
async fn nobody_follows_what_is_not_theirs() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    for mut watch in [
        Watch::session(&eve, &id).await,
        Watch::patient(&eve, &patient).await,
        Watch::session(&jane, "nothing").await,
    ] {
        match watch.next().await {
            News::Refused(errors) => assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors}"),
            other => panic!("expected a refusal, heard {other:?}"),
        }
    }
    match Watch::session(&app.anonymous(), &id).await.next().await {
        News::Refused(errors) => assert_eq!(errors[0]["extensions"]["code"], "UNAUTHENTICATED", "{errors}"),
        News::Closed(code) => assert!(code.is_some_and(|code| [4401, 4403].contains(&code)), "{code:?}"),
        other => panic!("expected a refusal, heard {other:?}"),
    }
}

#[tokio::test]
async fn losing_access_ends_the_stream_before_the_next_event() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    watch.value().await;
    // The record changes hands.
    app.therapist("eve").await;
    let hand_over = "WITH eve AS (SELECT id FROM users WHERE email = 'eve@example.com'),
                          moved AS (UPDATE sessions SET therapist_id = eve.id FROM eve RETURNING 1)
                     UPDATE patients SET therapist_id = eve.id FROM eve";
    let mut connection = app.app.pool().acquire().await.unwrap();
    sqlx::query("ALTER TABLE sessions ALTER CONSTRAINT sessions_patient_id_therapist_id_fkey DEFERRABLE INITIALLY DEFERRED")
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(hand_over).execute(&mut *connection).await.unwrap();
    app.run_jobs().await;
    match watch.next().await {
        News::Refused(errors) => assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND"),
        other => panic!("expected a refusal, heard {other:?}"),
    }
}

#[tokio::test]
async fn logging_out_ends_the_stream_before_the_next_event() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    watch.value().await;
    sqlx::query("UPDATE auth_sessions SET is_revoked = true").execute(app.app.pool()).await.unwrap();
    app.run_jobs().await;
    match watch.next().await {
        News::Refused(errors) => assert_eq!(errors[0]["extensions"]["code"], "UNAUTHENTICATED"),
        other => panic!("expected a refusal, heard {other:?}"),
    }
}

#[tokio::test]
async fn a_socket_answers_nothing_more_once_its_log_in_has_ended() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    watch.value().await;
    watch.ask("{ viewer { id } }").await;
    assert!(watch.value().await["id"].is_string());
    sqlx::query("UPDATE auth_sessions SET is_revoked = true").execute(app.app.pool()).await.unwrap();
    assert_eq!(watch.next().await, News::Complete, "of the first question");
    watch.ask("{ viewer { id } }").await;
    assert_eq!(watch.next().await, News::Closed(Some(4403)));
}

#[tokio::test]
async fn an_expired_token_follows_nothing() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.clock.advance(TimeDelta::minutes(31));
    assert_eq!(Watch::session(&jane, &id).await.next().await, News::Closed(Some(4403)));
}

#[tokio::test]
async fn events_are_delivered_also_when_the_feeds_connection_is_cut() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    watch.value().await;
    let cut = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'therapybridge listener') AS cut";
    assert_eq!(app.count(cut).await, 1, "one listener a process");
    app.run_jobs().await;
    assert_eq!(statuses(&watch.until_end().await), HISTORY[1..]);
}

#[tokio::test]
async fn a_transaction_that_commits_late_loses_no_event() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let (first, second) = (
        jane.session(&patient, recording("cbr.mp3")).await,
        jane.session(&patient, recording("cbr.mp3")).await,
    );
    let mut watch = Watch::patient(&jane, &patient).await;
    watch.value().await;
    watch.value().await;
    // The first transaction takes its sequence number first, and commits last.
    let event = |id: &str, version: i64| {
        let insert = format!(
            "INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
             VALUES ('{id}', '{patient}', {version}, 'TRANSCRIBING', 1, now())"
        );
        sqlx::AssertSqlSafe(insert)
    };
    let mut slow = app.begin().await;
    sqlx::query(event(&first, 2)).execute(&mut *slow).await.unwrap();
    sqlx::query(event(&second, 2)).execute(app.app.pool()).await.unwrap();
    assert_eq!(watch.value().await["id"], json!(second));
    slow.commit().await.unwrap();
    assert_eq!(watch.value().await["id"], json!(first));
}

/// More news at once than the feed holds for anybody: whoever reads slowly, or not at all for a while, falls behind.
#[tokio::test]
async fn a_stream_that_fell_behind_catches_up_from_the_outbox_without_a_gap() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let (mut one, mut all) = (Watch::session(&jane, &id).await, Watch::patient(&jane, &patient).await);
    assert_eq!(
        (one.value().await["version"].clone(), all.value().await["version"].clone()),
        (json!(1), json!(1))
    );
    let versions = 2..=601;
    let insert = format!(
        "INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
         SELECT '{id}', '{patient}', n, CASE WHEN n = 601 THEN 'PROCESSED' WHEN n % 2 = 0 THEN 'TRANSCRIBING' ELSE 'TRANSCRIBED' END, 1, now()
         FROM generate_series({}, {}) AS n",
        versions.start(),
        versions.end()
    );
    app.run(&insert).await;
    for value in
        one.until_end().await.iter().map(|value| value["version"].as_i64().unwrap()).zip(versions.clone())
    {
        assert_eq!(value.0, value.1, "each once and in order");
    }
    for version in versions {
        assert_eq!(all.value().await["version"], version);
    }
}

/// Whoever was to give a hint may have died after the commit.
#[tokio::test]
async fn an_event_that_nobody_gave_a_hint_of_arrives_all_the_same() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    watch.value().await;
    for version in 2..=3 {
        app.record(&id, version).await;
        assert_eq!(watch.value().await["version"], version);
    }
}

/// An answer is worked out once for all who ask the same with the same rights, and for nobody else.
#[tokio::test]
async fn everybody_is_told_of_an_event_what_they_asked_and_may_see() {
    let app = TestApp::new().await;
    let (jane, eve, root) =
        (app.therapist("jane").await, app.therapist("eve").await, app.admin("root").await);
    let (daniel, patient) = app.patient_user(&jane, "daniel").await;
    let again = jane.log_in("jane@example.com", PASSWORD).await;
    let again = jane.with_token(again["accessToken"].as_str().unwrap());
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let others = eve.session(&eve.patient("Maria").await, recording("cbr.mp3")).await;

    // The same document and variables: to those who treat, with the name of the file; to others without.
    let same = "subscription ($id: ID!, $all: Boolean!) {
        sessionUpdated(id: $id) { id version audioFilename @include(if: $all) } }";
    let of = |id: &str| json!({ "id": id });
    let all_of = |id: &str| json!({ "id": id, "all": true });
    let own = json!({ "id": id, "version": 2, "audioFilename": "session.mp3" });
    let withheld = json!({ "id": id, "version": 2, "audioFilename": null });
    let mut expected = Vec::new();
    for client in [&jane, &jane, &again, &again] {
        expected.push((Watch::start(client, same, all_of(&id)).await, own.clone()));
    }
    for client in [&root, &daniel] {
        expected.push((Watch::start(client, same, all_of(&id)).await, withheld.clone()));
    }
    // Other variables, names, fragments and directives; the same event.
    let less = json!({ "id": id, "all": false });
    expected.push((Watch::start(&jane, same, less).await, json!({ "id": id, "version": 2 })));
    for (document, value) in [
        ("subscription ($id: ID!) { sessionUpdated(id: $id) { number: version } }", json!({ "number": 2 })),
        (
            "subscription ($id: ID!) { sessionUpdated(id: $id) { id ...F } } fragment F on Session { version }",
            json!({ "id": id, "version": 2 }),
        ),
        (
            "subscription ($id: ID!) { sessionUpdated(id: $id) { id ...F } } fragment F on Session { progress }",
            json!({ "id": id, "progress": 1 }),
        ),
        ("subscription ($id: ID!) { other: sessionUpdated(id: $id) { version } }", json!({ "version": 2 })),
        ("subscription A($id: ID!) { sessionUpdated(id: $id) { version } }", json!({ "version": 2 })),
    ] {
        expected.push((Watch::start(&jane, document, of(&id)).await, value));
    }
    let two = "subscription A($id: ID!) { sessionUpdated(id: $id) { version } }
               subscription B($id: ID!) { sessionUpdated(id: $id) { progress } }";
    for (name, value) in [("A", json!({ "version": 2 })), ("B", json!({ "progress": 1 }))] {
        let payload = json!({ "query": two, "operationName": name, "variables": of(&id) });
        expected.push((Watch::ask_for(&jane, payload).await, value));
    }
    let mut apart = Watch::start(&eve, same, all_of(&others)).await;
    for (watch, _) in &mut expected {
        watch.value().await;
    }
    apart.value().await;

    app.record(&id, 2).await;
    for (number, (watch, value)) in expected.iter_mut().enumerate() {
        assert_eq!(watch.value().await, *value, "number {number}");
    }
    // Whoever has logged out is told of the next one no more; whoever asks the same with another log-in is.
    let revoke = "UPDATE auth_sessions SET is_revoked = true WHERE family_id = (
        SELECT family_id FROM auth_sessions JOIN users ON users.id = user_id WHERE email = 'jane@example.com'
        ORDER BY auth_sessions.id DESC LIMIT 1)";
    app.run(revoke).await;
    app.record(&id, 3).await;
    for (number, (watch, _)) in expected.iter_mut().enumerate().take(4) {
        match watch.next().await {
            News::Data(data) => {
                assert!(number < 2, "number {number} hears {data}");
                assert_eq!(data["sessionUpdated"]["version"], 3);
            }
            News::Refused(errors) => {
                assert!(number >= 2, "number {number} hears {errors}");
                assert_eq!(errors[0]["extensions"]["code"], "UNAUTHENTICATED");
            }
            News::Closed(code) => assert!(number >= 2 && code == Some(4403), "number {number}: {code:?}"),
            News::Complete => panic!("number {number} hears the end"),
        }
    }
    // Of somebody else's session nothing was told.
    app.record(&others, 7).await;
    assert_eq!(apart.value().await, json!({ "id": others, "version": 7, "audioFilename": "session.mp3" }));
}

#[tokio::test]
async fn a_process_listens_with_one_connection_however_many_follow() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut watch = Watch::session(&jane, &id).await;
        watch.value().await;
        watches.push(watch);
    }
    let listeners = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR application_name = 'therapybridge listener')";
    assert_eq!(app.count(listeners).await, 1);
}
