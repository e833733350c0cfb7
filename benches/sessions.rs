//! What the server adds to the time of its provider: an hour's recording, a provider that takes a fixed time for a piece,
//! four pieces at a time. Prints the wall time from the upload's answer to the notes beside (pieces ÷ 4, rounded up) × that time,
//! and the processor time that the server spends on the session, from the first byte to the notes.
//!
//! `cargo bench --bench sessions [seconds a piece]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Program, Provider, Therapist};

const AT_A_TIME: usize = 4;

#[tokio::main]
async fn main() {
    let latency = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let latency = Duration::from_secs(latency);
    let provider = Provider::start(latency).await;
    let program = Program::start(
        &["serve"],
        &[("OPENAI_BASE_URL", &provider.url), ("OPENAI_CONCURRENCY", "4"), ("OPENAI_API_KEY", "sk-bench")],
    );
    let jane = Therapist::sign_up(program.address, "jane").await;
    let recording = support::an_hour_of_mp3();

    let before = program.processor_time();
    let sent = Instant::now();
    let id = jane.upload(recording.path()).await;
    let answered = Instant::now();
    wait_for_notes(&jane, &id).await;
    let taken = answered.elapsed();
    let calls = provider.calls.load(Ordering::Relaxed);
    let ideal = latency * u32::try_from(calls.div_ceil(AT_A_TIME)).unwrap();
    println!("upload of an hour (mp3), decoded while it arrives: answered after {:?}", answered - sent);
    println!(
        "{calls} pieces, {AT_A_TIME} at a time, {latency:?} each: {ideal:?} of waiting for the provider"
    );
    let ratio = taken.as_secs_f64() / ideal.as_secs_f64();
    println!("wall time to the notes {taken:?}, ratio {ratio:.3} ({:+.1} %)", (ratio - 1.0) * 100.0);
    println!(
        "the server's processor time for the session: {:?}",
        program.processor_time().saturating_sub(before)
    );
}

async fn wait_for_notes(jane: &Therapist, id: &str) {
    loop {
        let session = jane
            .call("query ($id: ID!) { session(id: $id) { status errorMessage } }", json!({ "id": id }))
            .await;
        match session["session"]["status"].as_str().unwrap() {
            "PROCESSED" => return,
            "FAILED" => panic!("{session}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
