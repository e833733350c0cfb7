//! The transcript, watched while it grows.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::socket::Watch;
use crate::support::{TestApp, recording, root};

const QUERY: &str =
    "subscription ($id: ID!) { transcriptSegmentAdded(sessionId: $id) { id index startMs endMs text } }";

async fn watch(client: &Client, id: &str) -> Watch {
    Watch::start(client, QUERY, json!({ "id": id })).await
}

async fn transcript(client: &Client, id: &str) -> Value {
    let query = "query ($id: ID!) { session(id: $id) { transcriptSegments(first: 100) { nodes {
        id index startMs endMs text } } } }";
    client.call(query, json!({ "id": id })).await["session"]["transcriptSegments"]["nodes"].clone()
}

fn assert_each_once_and_in_order(heard: &[Value]) {
    let indexes: Vec<_> = heard.iter().map(|segment| segment["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..heard.len() as u64).collect::<Vec<_>>());
}

async fn reads(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM audit_events WHERE action = 'session.read_transcript'").await
}

#[tokio::test]
async fn every_utterance_comes_once_and_in_order_to_early_and_late_readers() {
    let app = TestApp::with(&[("PIECE_SECONDS", "40"), ("OPENAI_CONCURRENCY", "2")]).await.with_worker();
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let hold = app.provider.hold(Endpoint::Speech);
    let sample = std::fs::read(root().join("assets/samples/session_anxiety.mp3")).unwrap();
    let id = jane.session(&patient, sample).await;
    let mut early = watch(&jane, &id).await;
    hold.reached(1).await;
    drop(hold);
    let first = early.value().await;
    let late = watch(&jane, &id).await;
    let early = [vec![first], early.until_end().await].concat();
    let late = late.until_end().await;
    assert_each_once_and_in_order(&early);
    assert_eq!(early, late);
    assert_eq!(reads(&app).await, 2, "once a stream");
    assert_eq!(json!(early), transcript(&jane, &id).await);
}

#[tokio::test]
async fn a_finished_transcript_is_sent_whole_however_long_and_ends() {
    let app = TestApp::new().await;
    let lines: Vec<_> = (0..230).map(|line| format!("This is line {line} of a talk.")).collect();
    app.provider.set_transcript(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let heard = watch(&jane, &id).await.until_end().await;
    assert_each_once_and_in_order(&heard);
    let written = app.count("SELECT count(*) FROM transcript_segments").await;
    assert_eq!(i64::try_from(heard.len()).unwrap(), written);
    assert!(heard.len() > 100, "more than one page: {}", heard.len());
    assert_eq!(reads(&app).await, 1);
}

#[tokio::test]
async fn a_transcript_that_fails_ends_the_stream_and_one_without_words_is_not_read() {
    let app = TestApp::new().await;
    app.provider.script(Endpoint::Speech, [Behaviour::coded(401, "invalid_api_key")]);
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let (heard, _) = tokio::join!(async { watch(&jane, &id).await.until_end().await }, app.run_jobs());
    assert_eq!(heard, Vec::<Value>::new());
    assert_eq!(reads(&app).await, 0);
}

#[tokio::test]
async fn the_same_over_server_sent_events() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let request = jane
        .post("/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": QUERY, "variables": { "id": id } }));
    let answer = async { request.send().await.unwrap().text().await.unwrap() };
    let (events, _) = tokio::join!(answer, app.run_jobs());
    let heard: Vec<Value> = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok())
        .map(|event| event["data"]["transcriptSegmentAdded"].clone())
        .collect();
    assert_eq!(json!(heard), transcript(&jane, &id).await, "{events}");
    assert!(events.contains("event: complete"), "{events}");
}

#[tokio::test]
async fn more_news_than_a_stream_holds_loses_no_utterance_and_no_end() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = watch(&jane, &id).await;
    for part in 0..3 {
        // All versions of a part appear at once: the stream is told that it has fallen behind.
        let (first, last, lines) = (part * 300 + 2, part * 300 + 301, part * 10..part * 10 + 10);
        app.run(&format!(
            "BEGIN;
             UPDATE sessions SET status = 'TRANSCRIBING', version = {last};
             INSERT INTO transcript_segments (id, session_id, segment_index, start_ms, end_ms, text, created_at, updated_at)
             SELECT gen_random_uuid(), '{id}', line, line * 100, line * 100 + 90, 'Line ' || line, now(), now()
             FROM generate_series({}, {}) AS line;
             INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
             SELECT '{id}', '{patient}', version, 'TRANSCRIBING', 1, now() FROM generate_series({first}, {last}) AS version;
             COMMIT",
            lines.start,
            lines.end - 1,
        ))
        .await;
        for line in lines {
            assert_eq!(watch.value().await["text"], format!("Line {line}"));
        }
    }
    app.run(&format!(
        "BEGIN;
         UPDATE sessions SET status = 'FAILED', error_message = 'It failed.', version = 1202;
         INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
         SELECT '{id}', '{patient}', version, CASE version WHEN 1202 THEN 'FAILED' ELSE 'TRANSCRIBING' END, 1, now()
         FROM generate_series(902, 1202) AS version;
         COMMIT"
    ))
    .await;
    assert_eq!(watch.until_end().await, Vec::<Value>::new());
}
