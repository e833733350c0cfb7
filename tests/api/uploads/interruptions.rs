//! Connections that break, servers that stop, and clients that come back.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;

use super::{kept, numbered};
use crate::support::TestApp;

/// Other settings of an upload than the server's own.
async fn with_parts_of(bytes: u64) -> TestApp {
    TestApp::configured(&[], |config| config.upload.part_bytes = bytes).await
}

/// Another process on the same database and the same files.
async fn another_process(app: &TestApp) -> TestApp {
    let data = app.app.config.database.data_dir.display().to_string();
    app.sibling(&[("DATA_DIR", &data)]).await
}

/// Waits until so many bytes are kept.
async fn until_kept(app: &TestApp, bytes: usize) {
    let wait = async {
        while app.count("SELECT received FROM unfinished_uploads").await < i64::try_from(bytes).unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("they are kept");
}

#[tokio::test]
async fn what_came_before_a_connection_broke_is_kept_and_the_upload_goes_on_there() {
    let app = with_parts_of(300).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let path = jane.begun(1000).await;
    let raw = jane.start_patch(&path, 0, 1000, &bytes[..700]).await;
    until_kept(&app, 300).await;
    drop(raw);
    until_kept(&app, 700).await;
    assert_eq!(jane.offset(&path).await, 700);
    assert_eq!(jane.send(&path, 700, &bytes[700..]).await, 204);
    assert_eq!(kept(&app, &path).await, bytes);
}

#[tokio::test]
async fn of_a_broken_body_with_a_checksum_nothing_is_kept() {
    let app = with_parts_of(300).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let path = jane.begun(1000).await;
    let checksum = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\nExpect: 100-continue";
    let length = format!("1000\r\n{checksum}");
    let mut raw = jane.start_patch_with(&path, 0, &length, b"").await;
    assert!(raw.answer().await.starts_with("http/1.1 100"), "it has its turn");
    raw.write(&bytes[..700]).await;
    drop(raw);
    // The next one has its turn only after the broken one has ended.
    assert_eq!(jane.send(&path, 0, &bytes[..400]).await, 204);
    assert_eq!(kept(&app, &path).await, bytes[..400]);
}

#[tokio::test]
async fn a_client_that_comes_back_does_not_wait_for_a_connection_that_died_silently() {
    let app = with_parts_of(300).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let path = jane.begun(1000).await;
    let mut silent = jane.start_patch(&path, 0, 1000, &bytes[..600]).await;
    until_kept(&app, 300).await;
    // Whatever has arrived by now is kept when somebody asks.
    let offset = jane.offset(&path).await;
    assert!(silent.answer().await.starts_with("http/1.1 409"), "it was asked to stop");
    assert!((300..=600).contains(&offset), "{offset}");
    assert_eq!(jane.send(&path, offset, &bytes[offset..]).await, 204);
    assert_eq!(kept(&app, &path).await, bytes);
}

#[tokio::test]
async fn an_upload_outlives_its_server() {
    let app = with_parts_of(300).await;
    let next = another_process(&app).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let path = jane.begun(1000).await;
    let mut raw = jane.start_patch(&path, 0, 1000, &bytes[..700]).await;
    until_kept(&app, 300).await;
    app.app.stop.cancel();
    let answer = raw.answer().await;
    assert!(answer.starts_with("http/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    let jane = next.anonymous().with_token(jane.token.as_ref().unwrap());
    let offset = jane.offset(&path).await;
    assert!((300..=700).contains(&offset), "{offset}");
    assert_eq!(jane.send(&path, offset, &bytes[offset..]).await, 204);
    assert_eq!(kept(&next, &path).await, bytes);
}

#[tokio::test]
async fn an_upload_can_go_over_any_process_in_turn() {
    let app = TestApp::new().await;
    let other = another_process(&app).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let there = other.anonymous().with_token(jane.token.as_ref().unwrap());
    let path = jane.begun(1000).await;
    for (n, part) in bytes.chunks(100).enumerate() {
        let client = if n % 2 == 0 { &jane } else { &there };
        assert_eq!(client.offset(&path).await, n * 100);
        assert_eq!(client.send(&path, n * 100, part).await, 204);
    }
    assert_eq!(kept(&app, &path).await, bytes);
}

#[tokio::test]
async fn of_those_who_write_at_one_place_one_wins_over_all_processes() {
    let app = TestApp::new().await;
    let other = another_process(&app).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(10_000));
    let there = other.anonymous().with_token(jane.token.as_ref().unwrap());
    for round in 0..5 {
        let path = jane.begun(bytes.len()).await;
        let writers = [&jane, &there, &jane, &there, &there, &jane];
        let sent = join_all(writers.iter().map(|client| client.send(&path, 0, &bytes))).await;
        assert!(sent.iter().all(|status| [204, 409].contains(&status.as_u16())), "{sent:?}");
        let offset = jane.offset(&path).await;
        // One that had to give way kept what it had: the rest is sent as any client would.
        assert_eq!(jane.send(&path, offset, &bytes[offset..]).await, 204);
        assert_eq!(kept(&app, &path).await, bytes, "round {round}");
        let parts = app.count("SELECT count(*) FROM unfinished_parts").await;
        assert_eq!(i64::try_from(app.files().len()).unwrap(), parts, "those who lost leave nothing");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_and_kept() {
    let app = TestApp::configured(&[], |config| config.upload.idle = Duration::from_millis(200)).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let path = jane.begun(1000).await;
    let mut raw = jane.start_patch(&path, 0, 1000, &bytes[..600]).await;
    assert!(raw.answer().await.starts_with("http/1.1 408"));
    assert_eq!(jane.offset(&path).await, 600);
}

#[tokio::test]
async fn a_long_body_is_kept_while_it_arrives() {
    let app = with_parts_of(1 << 16).await;
    let other = another_process(&app).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1 << 20));
    let there = other.anonymous().with_token(jane.token.as_ref().unwrap());
    let path = jane.begun(bytes.len()).await;
    let raw = jane.start_patch(&path, 0, bytes.len(), &bytes[..600_000]).await;
    // Seen from another process, which cannot ask this one to stop: it might have died.
    until_kept(&other, 500_000).await;
    let offset = there.offset(&path).await;
    assert!((500_000..=600_000).contains(&offset), "{offset}");
    assert_eq!(there.send(&path, offset, &bytes[offset..]).await, 204);
    drop(raw);
    assert_eq!(kept(&app, &path).await, bytes);
}

#[tokio::test]
async fn an_upload_that_was_interrupted_again_and_again_becomes_notes() {
    let app = with_parts_of(4096).await;
    let recording = crate::support::recording("cbr.mp3");
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let path = jane.begun(recording.len()).await;
    let mut offset = 0;
    for _ in 0..5 {
        let some = &recording[offset..(offset + recording.len() / 7).min(recording.len())];
        drop(jane.start_patch(&path, offset, recording.len() - offset, some).await);
        offset = jane.offset(&path).await;
    }
    // What was sent last may be read only now, after we asked: the offset is asked for again then, as clients do.
    let mut answer = jane.send(&path, offset, &recording[offset..]).await;
    while answer == 409 {
        offset = jane.offset(&path).await;
        answer = jane.send(&path, offset, &recording[offset..]).await;
    }
    assert_eq!(answer, 204);
    app.clock.advance(TimeDelta::minutes(1));
    let payload = jane.finish(&path, json!({ "patientId": patient })).await;
    let id = payload["session"]["id"].as_str().unwrap_or_else(|| panic!("{payload}"));
    app.run_jobs().await;
    let query = "query ($id: ID!) { session(id: $id) { status notes { topicSummary } } }";
    let session = jane.call(query, json!({ "id": id })).await["session"].clone();
    assert_eq!(session["status"], "PROCESSED");
    assert!(session["notes"]["topicSummary"].is_string());
    assert_eq!(app.files().len(), 1, "the recording, and no parts");
}
