//! A clean-up that is killed between two steps: what was decided is finished by whoever comes next, and what was not is as before.

use super::*;

async fn sweep(app: &TestApp) {
    app.app.storage.intake(&app.app.db).sweep().await.unwrap();
}

/// A practice with an orphan, and a recording of a session that FAILED; by the machine's clock, which the program goes by.
async fn practice() -> (Site, Client, String) {
    let site = Site::in_a_folder(&[]).await;
    let jane = site.app.therapist("jane").await;
    let session = failed(&jane, &jane.patient("Daniel").await).await;
    site.app.run("UPDATE sessions SET updated_at = now() - interval '8 days'").await;
    let long_ago = SystemClock.now() - TimeDelta::hours(30);
    let orphan = format!("{}/exports/1.pdf", id(&jane).await);
    plant(&site.app, &orphan, b"12345", long_ago);
    (site, jane, session)
}

#[tokio::test]
async fn what_was_condemned_is_removed_by_the_sweep_and_nothing_else_is() {
    // Where it dies, whether the orphan is there after that, whether the session has let go, and the files that a sweep leaves.
    for (place, orphan, let_go, left) in [
        ("orphans.condemned", true, false, 1),
        ("recording.commit", false, false, 1),
        ("recording.committed", false, true, 0),
    ] {
        let (site, jane, session) = practice().await;
        let (done, _) = command(&site.app, &[], &[("FAILPOINT", place)]).await;
        assert!(!done, "{place}: it dies");
        let keys = site.keys();
        assert_eq!(keys.iter().any(|key| key.contains("exports")), orphan, "{place}: {keys:?}");
        assert!(keys.iter().any(|key| key.contains("/audio.")), "{place}: {keys:?}");
        assert_eq!(super::session(&jane, &session).await["audioRemovedAt"].is_string(), let_go, "{place}");
        sweep(&site.app).await;
        assert_eq!(site.keys().len(), left, "{place}");
        assert_eq!(site.app.count("SELECT count(*) FROM stored_files").await, 0, "{place}");
        // The next one does what is left.
        let (done, said) = command(&site.app, &[], &[]).await;
        assert!(done, "{place}: {said}");
        assert_eq!((site.keys(), retry(&jane, &session).await["session"].is_null()), (BTreeSet::new(), true));
    }
}

#[tokio::test]
async fn a_clean_up_finishes_what_one_before_it_left() {
    let (site, jane, _) = practice().await;
    command(&site.app, &[], &[("FAILPOINT", "recording.committed")]).await;
    // No sweep in between: the recording that is nobody's any more is found in the store.
    assert_eq!(sums(&clean(&jane, "cleanUpAll", true).await), [1, 0, size_of("cbr.mp3")]);
    assert_eq!(clean_twice(&site, &jane, "cleanUpAll").await, [1, 0, size_of("cbr.mp3")]);
    assert_eq!(site.keys(), BTreeSet::new());
}
