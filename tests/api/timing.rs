//! What the time of an answer gives away. Measured, so not among the ordinary tests: `make security` runs these.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::{TestApp, code};

/// Rounds of one try each; what disturbs the machine disturbs all kinds of tries alike.
const ROUNDS: usize = 40;
/// Log-ins at once.
const STORM: usize = 64;
/// How far medians may lie apart. Hashing is nearly all of the work: left out once, it would be a factor of ten.
const BOUND: f64 = 2.0;

#[tokio::test]
#[ignore = "measures time; `make security` runs it"]
async fn a_refused_log_in_takes_as_long_whether_or_not_there_is_such_an_account() {
    let app = TestApp::new().await;
    let jane = app.anonymous();
    for name in ["known", "deactivated"] {
        app.therapist(name).await;
    }
    let deactivate = "UPDATE users SET is_active = false WHERE email = 'deactivated@example.com'";
    sqlx::query(deactivate).execute(app.app.pool()).await.unwrap();

    let kinds = ["known", "unknown", "deactivated"].map(|name| format!("{name}@example.com"));
    let mut times = vec![Vec::with_capacity(ROUNDS); kinds.len()];
    for round in 0..ROUNDS {
        // Each begins a round as often as the others: what comes and goes with a rhythm hits all alike.
        for turn in 0..kinds.len() {
            let kind = (round + turn) % kinds.len();
            times[kind].push(time_of_refusal(&jane, &kinds[kind]).await);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(|times| median(times).as_secs_f64()).collect();
    for (kind, median) in medians.iter().enumerate() {
        let ratio = median / medians[0];
        eprintln!("{}: {ratio:.2} × a wrong password", kinds[kind]);
        assert!((1.0 / BOUND..BOUND).contains(&ratio), "{}: {ratio:.2} × a wrong password", kinds[kind]);
    }
}

#[tokio::test]
#[ignore = "measures time; `make security` runs it"]
async fn a_storm_of_log_ins_leaves_others_served() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let started = Instant::now();
    let mut storm: JoinSet<Duration> = JoinSet::new();
    for _ in 0..STORM {
        let client = app.anonymous();
        storm.spawn(async move { time_of_refusal(&client, "jane@example.com").await });
    }
    // Jane keeps asking for as long as the storm lasts.
    let (mut waits, mut refused) = (Vec::new(), 0);
    while refused < STORM {
        let asked = Instant::now();
        jane.call("{ viewer { id } }", json!({})).await;
        waits.push(asked.elapsed());
        while storm.try_join_next().is_some() {
            refused += 1;
        }
    }
    let ratio = median(waits).as_secs_f64() / started.elapsed().as_secs_f64();
    eprintln!("half of all questions waited for less than {ratio:.3} of the storm's time");
    assert!(ratio < 0.1, "half of all questions waited for {ratio:.2} of the storm's time");
}

async fn time_of_refusal(client: &Client, email: &str) -> Duration {
    let query = "mutation ($input: LogInInput!) { logIn(input: $input) { userErrors { code message } } }";
    let started = Instant::now();
    let answer: Value =
        client.call(query, json!({ "input": { "email": email, "password": "not the password" } })).await;
    let time = started.elapsed();
    assert_eq!(code(&answer["logIn"]), "INVALID_CREDENTIALS");
    time
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
