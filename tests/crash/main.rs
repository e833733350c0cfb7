//! The crash test: real processes on a real database, killed, stopped, cut off and started again, by a plan that a seed
//! decides; and after every run what must be true in spite of it (`invariants`).
//!
//! `make crash-test` does 200 runs, `make crash-test SEED=17 RUNS=1` one of them again. The seed decides the plan, not
//! what the operating system makes of it: a failure that shows once in a while may need the same seed several times.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod client;
mod fleet;
mod invariants;
mod journal;
mod plan;
mod provider;
mod proxy;
mod recording;
mod rng;
mod run;
mod site;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::FutureExt;
use therapybridge::clock::{Clock, SystemClock};

use self::plan::Plan;
use self::run::Outcome;
use self::site::Site;

/// Lines of a failed run that are shown; all of them are kept.
const SHOWN: usize = 60;

/// Seconds since 1970.
fn now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit")]
    let seconds = SystemClock.now().timestamp_micros() as f64 / 1e6;
    seconds
}

/// Does something, and says how late this machine was at most meanwhile, in seconds: a busy one may take longer.
async fn lateness<T>(work: impl Future<Output = T>) -> (T, f64) {
    const NAP: Duration = Duration::from_millis(50);
    let mut latest = Duration::ZERO;
    tokio::pin!(work);
    loop {
        let slept = Instant::now();
        tokio::select! {
            done = &mut work => return (done, latest.as_secs_f64()),
            () = tokio::time::sleep(NAP) => latest = latest.max(slept.elapsed().saturating_sub(NAP)),
        }
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test, which has no configuration")]
    let value = std::env::var(name).unwrap_or_default();
    if value.is_empty() { otherwise } else { value.parse().unwrap_or_else(|_| panic!("{name}: a number")) }
}

/// Takes seeds from the list until it is empty, on a database server of its own.
async fn lane(seeds: &Mutex<Vec<u64>>, results: &Mutex<Results>) {
    let site = Site::open().await;
    loop {
        let Some(seed) = seeds.lock().unwrap().pop() else { return };
        let ended = AssertUnwindSafe(run::run(&site, Plan::new(seed))).catch_unwind().await;
        results.lock().unwrap().add(seed, ended.ok());
    }
}

#[derive(Default)]
struct Results {
    passed: u32,
    failed: BTreeMap<u64, String>,
    slowest_recovery: f64,
}

impl Results {
    fn add(&mut self, seed: u64, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else {
            say(&format!("test seed_{seed} ... FAILED: the test itself panicked; {}", Plan::new(seed)));
            self.failed.insert(seed, "panicked".into());
            return;
        };
        let Outcome { plan, violations, notes, seconds, recovery, folder } = outcome;
        self.slowest_recovery = self.slowest_recovery.max(recovery);
        let verdict = if violations.is_empty() { "ok" } else { "FAILED" };
        say(&format!("test seed_{seed} ... {verdict} ({seconds:.1} s, recovery {recovery:.1} s): {plan}"));
        if violations.is_empty() {
            self.passed += 1;
            let _ = std::fs::remove_dir_all(folder);
            return;
        }
        let kept = keep(seed, &folder, &notes);
        notes[notes.len().saturating_sub(SHOWN)..].iter().for_each(|note| say(&format!("    {note}")));
        say(&format!("    logs: {}; again: make crash-test SEED={seed} RUNS=1", kept.display()));
        self.failed.insert(seed, violations.join("\n"));
    }
}

/// Puts a failed run's history and logs where they stay.
fn keep(seed: u64, folder: &Path, notes: &[String]) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-test/seed-{seed}"));
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("history"), notes.join("\n")).unwrap();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_file() {
            let _ = std::fs::copy(entry.path(), kept.join(entry.file_name()));
        }
    }
    let _ = std::fs::remove_dir_all(folder);
    kept
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[tokio::main]
async fn main() -> ExitCode {
    let (first, runs, lanes) = (setting("SEED", 1), setting("RUNS", 0), setting("LANES", 2));
    if runs == 0 {
        say("running 0 tests: `make crash-test` runs these");
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    say(&format!("running {runs} tests"));
    let seeds = Mutex::new((first..first + runs).rev().collect());
    let results = Mutex::new(Results::default());
    futures::future::join_all((0..lanes.min(runs)).map(|_| lane(&seeds, &results))).await;
    let Results { passed, failed, slowest_recovery } = results.into_inner().unwrap();
    if !failed.is_empty() {
        say("\nfailures:");
        for (seed, what) in &failed {
            say(&format!("    seed_{seed}: {what}"));
        }
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    say(&format!(
        "\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored; slowest recovery {slowest_recovery:.1} s; \
         finished in {:.0} s",
        failed.len(),
        started.elapsed().as_secs_f64()
    ));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
