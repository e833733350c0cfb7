//! Clean-ups beside everything that needs files: nothing that is needed is lost, and nothing that is not stays.

use futures::future::join_all;
use tokio::sync::Barrier;

use super::*;

/// A server whose every file is old, and whose FAILED sessions are due after a second: nothing is saved by its age.
async fn ageless() -> TestApp {
    let app = TestApp::configured(&LONG, |config| {
        config.cleanup.orphaned_files = Duration::ZERO;
        config.cleanup.failed_sessions = Duration::ZERO;
    })
    .await;
    app.clock.advance(TimeDelta::days(365 * 50));
    app
}

/// The keys that rows name.
async fn needed(app: &TestApp) -> BTreeSet<String> {
    let query = "SELECT audio_key FROM sessions WHERE audio_key IS NOT NULL";
    sqlx::query_scalar(query).fetch_all(app.app.pool()).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn an_exported_file_stays_while_it_can_be_had_and_goes_with_its_job() {
    let app = ageless().await;
    let jane = app.therapist("jane").await;
    let session = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let ask = "mutation ($ids: [ID!]!) { exportSessionNotes(input: { sessionIds: $ids, format: DOCX }) {
        exportJob { id } userErrors { code } } }";
    let job =
        jane.call(ask, json!({ "ids": [session] })).await["exportSessionNotes"]["exportJob"]["id"].clone();
    app.run_jobs().await;
    let before = keys(&app);
    assert_eq!((before.len(), before.iter().filter(|key| key.contains("/exports/")).count()), (2, 1));
    assert_eq!(sums(&clean(&jane, "cleanUpAll", false).await), [0; 3]);
    assert_eq!(keys(&app), before);
    let delete = "mutation ($id: ID!) { deleteExportJob(id: $id) { userErrors { code } } }";
    jane.call(delete, json!({ "id": job })).await;
    assert_eq!(keys(&app), needed(&app).await);
    assert_eq!(sums(&clean(&jane, "cleanUpAll", false).await), [0; 3]);
}

/// What a worker does every minute.
async fn sweep(app: &TestApp) {
    app.app.storage.intake(&app.app.db).sweep().await.unwrap();
    app.app.unfinished.sweep().await.unwrap();
}

#[tokio::test]
async fn uploads_retries_and_clean_ups_at_once_lose_nothing_and_leave_nothing() {
    let app = ageless().await;
    let (jane, admin) = (app.therapist("jane").await, app.admin("root").await);
    let (owner, patient) = (id(&jane).await, jane.patient("Daniel").await);
    for round in 0..3 {
        let lost = join_all((0..8).map(|_| failed(&jane, &patient))).await;
        for n in 0..40 {
            plant(
                &app,
                &format!("{owner}/{}/audio.mp3", Uuid::now_v7()),
                b"orphan",
                today() - TimeDelta::hours(n),
            );
        }
        app.clock.advance(TimeDelta::seconds(1));
        let start = Barrier::new(8 + 4 + 4 + 4);
        let retries = lost.iter().map(|session| {
            let (start, jane) = (&start, &jane);
            async move {
                start.wait().await;
                retry(jane, session).await
            }
        });
        let uploads = (0..4).map(|_| async {
            start.wait().await;
            for _ in 0..3 {
                jane.session(&patient, recording("cbr.mp3")).await;
            }
        });
        let in_parts = (0..4).map(|_| async {
            start.wait().await;
            let bytes = recording("vbr.mp3");
            let path = jane.begun(bytes.len()).await;
            let third = bytes.len() / 3;
            for (from, to) in [(0, third), (third, 2 * third), (2 * third, bytes.len())] {
                assert_eq!(jane.send(&path, from, &bytes[from..to]).await, 204);
            }
            let payload = jane.finish(&path, json!({ "patientId": patient })).await;
            assert_eq!(payload["userErrors"], json!([]), "{payload}");
        });
        let clean_ups = (0..4).map(|n| {
            let (start, client, app) = (&start, if n == 0 { &jane } else { &admin }, &app);
            async move {
                start.wait().await;
                for _ in 0..6 {
                    clean(client, "cleanUpAll", false).await;
                    sweep(app).await;
                }
            }
        });
        let (answers, ..) =
            tokio::join!(join_all(retries), join_all(uploads), join_all(in_parts), join_all(clean_ups));
        for (session, answer) in lost.iter().zip(answers) {
            match audio_key(&app, session).await {
                Some(_) => assert_eq!(answer["userErrors"], json!([]), "round {round}: {answer}"),
                None => assert_eq!(code(&answer), "INVALID_STATE", "round {round}"),
            }
        }
        clean(&admin, "cleanUpAll", false).await;
        assert_eq!(keys(&app), needed(&app).await, "round {round}");
        assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0, "round {round}");
    }
    // Whoever was to be processed finds the recording.
    app.run_jobs().await;
    let broken = "SELECT count(*) FROM sessions WHERE status <> 'PROCESSED' AND audio_removed_at IS NULL";
    assert_eq!(app.count(broken).await, 0);
    assert!(app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await >= 3 * (12 + 4));
}

/// The order that luck does not choose: both wait for the session's lock, and get it in the order in which they came.
#[tokio::test]
async fn whoever_has_the_session_first_decides_and_the_other_learns_of_it() {
    for clean_up_first in [true, false] {
        let app = ageless().await;
        let jane = app.therapist("jane").await;
        let session = failed(&jane, &jane.patient("Daniel").await).await;
        app.clock.advance(TimeDelta::seconds(1));
        let mut block = app.begin().await;
        sqlx::query("SELECT 1 FROM sessions FOR UPDATE").execute(&mut *block).await.unwrap();
        let clean_up = async { clean(&jane, "cleanUpFailedSessions", false).await };
        let again = async { retry(&jane, &session).await };
        let second = async {
            waiting(&app, 1).await;
        };
        let release = async {
            waiting(&app, 2).await;
            block.commit().await.unwrap();
        };
        let (report, retried, ()) = if clean_up_first {
            tokio::join!(
                clean_up,
                async {
                    second.await;
                    again.await
                },
                release
            )
        } else {
            tokio::join!(
                async {
                    second.await;
                    clean_up.await
                },
                again,
                release
            )
        };
        if clean_up_first {
            assert_eq!((sums(&report)[1], code(&retried)), (1, "INVALID_STATE"));
            assert_eq!(keys(&app), BTreeSet::new());
        } else {
            assert_eq!((sums(&report)[1], &retried["session"]["status"]), (0, &json!("UPLOADING")));
            app.run_jobs().await;
            assert_eq!(app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await, 1);
        }
    }
}

/// Waits until so many wait for locks.
async fn waiting(app: &TestApp, number: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let wait = async {
        while app.count(waiting).await < number {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("they wait");
}

#[tokio::test]
async fn a_file_whose_row_is_being_written_is_not_taken_for_an_orphan() {
    let app = ageless().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    // The file is put, and its transaction, which has taken the intent away, cannot end.
    let mut block = app.begin().await;
    sqlx::query("LOCK TABLE outbox_events IN EXCLUSIVE MODE").execute(&mut *block).await.unwrap();
    let upload = jane.session(&patient, recording("cbr.mp3"));
    let clean_up = async {
        waiting(&app, 1).await;
        assert_eq!(keys(&app).len(), 1, "it is put");
        assert_eq!(sums(&clean(&jane, "cleanUpAll", false).await), [0; 3]);
        sweep(&app).await;
        block.commit().await.unwrap();
    };
    tokio::join!(upload, clean_up);
    assert_eq!(sums(&clean(&jane, "cleanUpAll", false).await), [0; 3]);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE status = 'PROCESSED'").await, 1);
}

#[tokio::test]
async fn two_clean_ups_at_once_remove_everything_and_are_not_in_each_others_way() {
    let app = ageless().await;
    let (jane, admin) = (app.therapist("jane").await, app.admin("root").await);
    let owner = id(&jane).await;
    for _ in 0..300 {
        plant(&app, &format!("{owner}/{}/audio.mp3", Uuid::now_v7()), b"1", today());
    }
    let (one, other) = tokio::join!(clean(&jane, "cleanUpAll", false), clean(&admin, "cleanUpAll", false));
    assert_eq!(keys(&app), BTreeSet::new());
    assert!(sums(&one)[0] + sums(&other)[0] >= 300);
    assert_eq!(app.count("SELECT count(*) FROM stored_files").await, 0);
}
