//! Keeps what this process holds: gives signs of life, takes over from the dead, and stops attempts whose job is no
//! longer ours. One look at the database for all of them, at every beat and at every hint that there is news.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::events::WakeUps;
use crate::queue::lease::{self, Attempt, Lease};

/// Signs of life in the time of a lease: one that is late costs nothing.
const BEATS: u32 = 6;
/// Time between two signs of life, at most.
const SLOWEST_BEAT: Duration = Duration::from_secs(1);
/// Time between two looks, at least, however many hints come.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// A look that takes no longer is waited for, also when the lease has run out meanwhile.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(250);
/// How long a worker waits for the answer to a claim.
pub(super) const CLAIM_PATIENCE: Duration = Duration::from_secs(2);
/// A job that is ours and unknown for so long was claimed, and the answer was lost.
const LOST_AFTER: Duration = Duration::from_secs(3);

/// What this process works on.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    attempts: HashMap<Attempt, Entry>,
    /// Claims whose answers are awaited, and since when.
    claims: HashMap<u64, Instant>,
    claims_made: u64,
    /// Jobs that are ours and that nobody here knows, and since when.
    strangers: HashMap<Attempt, Instant>,
    /// Cut off from the database for longer than a lease: whatever is claimed would be lost at once.
    cut_off: bool,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    gone: CancellationToken,
}

/// A claim whose answer is awaited.
pub(super) struct Claiming<'a> {
    held: &'a Held,
    number: u64,
}

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        self.held.lock().claims.remove(&self.number);
    }
}

impl Held {
    /// Says that a job is about to be claimed; `None` while nothing may be.
    pub(super) fn claiming(&self) -> Option<Claiming<'_>> {
        let mut inner = self.lock();
        if inner.cut_off {
            return None;
        }
        inner.claims_made += 1;
        let number = inner.claims_made;
        inner.claims.insert(number, Instant::now());
        Some(Claiming { held: self, number })
    }

    /// Takes a claimed job in.
    pub(super) fn add(&self, lease: &Lease) {
        let entry = Entry { since: Instant::now(), gone: CancellationToken::new() };
        self.lock().attempts.insert(key(lease), entry);
    }

    /// Cancelled when the job is no longer ours.
    pub(super) fn gone(&self, lease: &Lease) -> CancellationToken {
        self.lock().attempts.get(&key(lease)).map(|entry| entry.gone.clone()).unwrap_or_default()
    }

    /// Lets go of a job that is done.
    pub(super) fn remove(&self, lease: &Lease) {
        self.lock().attempts.remove(&key(lease));
    }

    fn is_empty(&self) -> bool {
        self.lock().attempts.is_empty()
    }

    /// Holds what we believe against what the database said at `seen`: stops attempts whose jobs are not ours any more.
    /// Gives the jobs that are ours although their claims were never answered.
    fn compare(&self, seen: Instant, listed: &[Attempt]) -> Vec<Attempt> {
        let inner = &mut *self.lock();
        inner.cut_off = false;
        for (attempt, entry) in &inner.attempts {
            if entry.since < seen && !listed.contains(attempt) {
                entry.gone.cancel();
            }
        }
        inner.strangers.retain(|attempt, _| listed.contains(attempt));
        for attempt in listed {
            if inner.attempts.contains_key(attempt) {
                inner.strangers.remove(attempt);
            } else {
                inner.strangers.entry(attempt.clone()).or_insert(seen);
            }
        }
        // Whose answer may still come is not lost.
        let oldest_claim = inner.claims.values().min().copied();
        let lost = inner.strangers.iter().filter(|(_, since)| {
            seen.saturating_duration_since(**since) >= LOST_AFTER
                && oldest_claim.is_none_or(|claim| claim > **since)
        });
        lost.map(|(attempt, _)| attempt.clone()).collect()
    }

    /// Stops everything: nobody knows any more whose it is. Says whether there was anything to stop.
    fn abandon(&self) -> bool {
        let mut inner = self.lock();
        inner.cut_off = true;
        let mut running = false;
        for entry in inner.attempts.values().filter(|entry| !entry.gone.is_cancelled()) {
            entry.gone.cancel();
            running = true;
        }
        running
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(lease: &Lease) -> Attempt {
    (lease.id.clone(), lease.attempts)
}

/// Looks after the lease of a worker that has just registered.
pub(super) struct Keeper {
    app: Arc<App>,
    held: Arc<Held>,
    worker: String,
    /// A connection of its own: signs of life do not wait for those who work.
    pool: PgPool,
    /// When the last sign of life that arrived was sent.
    confirmed: Instant,
    next_beat: Instant,
    silent: bool,
    wake_ups: WakeUps,
}

impl Keeper {
    pub(super) fn new(app: Arc<App>, held: Arc<Held>, worker: String, registered: Instant) -> Self {
        let pool = connection(app.pool());
        let wake_ups = app.wake_ups.clone();
        Self {
            app,
            held,
            worker,
            pool,
            confirmed: registered,
            next_beat: registered,
            silent: false,
            wake_ups,
        }
    }

    /// Does so for ever. The first look comes at once: somebody may have died before we started.
    pub(super) async fn run(mut self) {
        loop {
            self.look().await;
            self.rest().await;
        }
    }

    async fn look(&mut self) {
        let (begun, lease) = (Instant::now(), self.app.config.worker.lease);
        let beats = begun >= self.next_beat;
        let left = (self.confirmed + lease).saturating_duration_since(begun);
        let looked = timeout(left.min(lease / 2).max(SHORTEST_PATIENCE), self.ask(beats)).await;
        match looked {
            Ok(Ok(listed)) => {
                if beats {
                    self.confirmed = begun;
                    self.next_beat = begun + (lease / BEATS).min(SLOWEST_BEAT);
                }
                self.silent = false;
                self.give_back(self.held.compare(begun, &listed)).await;
            }
            Ok(Err(error)) => self.miss(&error.to_string()),
            Err(_) => {
                // Whatever that connection waits for, the next try does not.
                self.pool = connection(self.app.pool());
                self.miss("no answer in time");
            }
        }
        if self.confirmed.elapsed() >= lease && self.held.abandon() {
            tracing::warn!(
                worker = self.worker,
                "cut off from the database for longer than the lease; what was being worked on is stopped"
            );
        }
    }

    async fn ask(&self, beats: bool) -> Result<Vec<Attempt>, sqlx::Error> {
        if beats {
            let orphans = lease::heartbeat(&self.pool, &self.worker, self.app.config.worker.lease).await?;
            if orphans > 0 {
                tracing::warn!(orphans, "jobs of a dead worker went back to the queue");
                metrics::counter!("jobs_taken_over_total").increment(orphans);
                self.app.pipeline.committed();
            }
        }
        lease::held(&self.pool, &self.worker).await
    }

    fn miss(&mut self, error: &str) {
        if !self.silent {
            tracing::warn!(worker = self.worker, error, "no sign of life could be given; trying on");
        }
        self.silent = true;
        self.next_beat = Instant::now() + SHORTEST_PATIENCE;
    }

    async fn give_back(&self, lost: Vec<Attempt>) {
        for attempt in lost {
            match lease::give_back(&self.pool, &self.worker, &attempt).await {
                Ok(true) => {
                    tracing::warn!(job = attempt.0, "the answer to a claim was lost; the job is given back");
                    self.app.pipeline.committed();
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a job was not given back; trying again"),
            }
        }
    }

    /// Until the next beat, or until there is news and something that it may be about.
    async fn rest(&mut self) {
        sleep(SHORTEST_PAUSE).await;
        if self.silent || self.held.is_empty() {
            tokio::time::sleep_until(self.next_beat).await;
        } else {
            // Too early is fine, and so is a dropped sender at shutdown.
            let _ = timeout_at(self.next_beat, self.wake_ups.changed()).await;
        }
    }
}

/// One connection, made when it is needed.
fn connection(like: &PgPool) -> PgPool {
    PgPoolOptions::new().max_connections(1).connect_lazy_with(like.connect_options().as_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(id: &str) -> Lease {
        Lease { id: id.into(), lock_by: "w".into(), attempts: 1, max_attempts: 5, job: Vec::new() }
    }

    #[test]
    fn an_attempt_stops_when_a_look_that_began_after_its_claim_does_not_find_it() {
        let (held, lease, before) = (Held::default(), lease("a"), Instant::now());
        held.add(&lease);
        held.compare(before, &[]);
        assert!(!held.gone(&lease).is_cancelled(), "that look was too early to tell");
        let after = Instant::now() + Duration::from_millis(1);
        held.compare(after, &[("a".into(), 1)]);
        assert!(!held.gone(&lease).is_cancelled(), "it is ours");
        held.compare(after, &[("a".into(), 2)]);
        assert!(held.gone(&lease).is_cancelled(), "that is another attempt");
    }

    #[test]
    fn a_job_is_given_back_once_no_claim_can_be_answered_with_it_any_more() {
        let (held, job) = (Held::default(), vec![("a".to_owned(), 1)]);
        let claiming = held.claiming();
        let seen = Instant::now();
        assert!(held.compare(seen, &job).is_empty());
        assert!(held.compare(seen + LOST_AFTER, &job).is_empty(), "the answer may still come");
        drop(claiming);
        let _later = held.claiming();
        assert_eq!(held.compare(seen + LOST_AFTER, &job), job);
        held.compare(seen + LOST_AFTER, &[]);
        assert!(held.compare(seen + LOST_AFTER, &job).is_empty(), "gone in between: this is another claim");
    }

    #[test]
    fn nothing_is_claimed_while_cut_off() {
        let held = Held::default();
        held.add(&lease("a"));
        assert!(held.abandon() && held.gone(&lease("a")).is_cancelled());
        assert!(!held.abandon(), "told once");
        assert!(held.claiming().is_none());
        held.compare(Instant::now(), &[]);
        assert!(held.claiming().is_some(), "the database is back");
    }
}
