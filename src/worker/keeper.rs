//! Keeps what this process holds: gives signs of life, takes over from the dead, and stops attempts whose job is no
//! longer ours. One look at the database for all of them, at every beat and at every hint that there is news.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
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
#[derive(Debug)]
pub(super) struct Held {
    lease: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// When the last sign of life that arrived was sent.
    confirmed: Instant,
    attempts: HashMap<Attempt, Entry>,
    /// Claims whose answers are awaited, and since when.
    claims: HashMap<u64, Instant>,
    claims_made: u64,
    /// Jobs that are ours and that nobody here knows, and since when.
    strangers: HashMap<Attempt, Instant>,
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
    /// Nothing yet, of a worker that registered at that time.
    pub(super) fn new(lease: Duration, registered: Instant) -> Self {
        let inner = Inner {
            confirmed: registered,
            attempts: HashMap::new(),
            claims: HashMap::new(),
            claims_made: 0,
            strangers: HashMap::new(),
        };
        Self { lease, inner: Mutex::new(inner) }
    }

    /// Says that a job is about to be claimed; `None` while it would be lost at once.
    pub(super) fn claiming(&self) -> Option<Claiming<'_>> {
        if self.is_cut_off() {
            return None;
        }
        let mut inner = self.lock();
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

    /// Works on a job as long as it is ours; `None` when it no longer is. That is asked before every step: a process that was
    /// stopped and wakes up must not take the one that it had come to, before it knows how long it slept.
    pub(super) async fn while_ours<T>(&self, lease: &Lease, work: impl Future<Output = T>) -> Option<T> {
        let gone = self.lock().attempts.get(&key(lease)).map(|entry| entry.gone.clone()).unwrap_or_default();
        let mut work = std::pin::pin!(gone.run_until_cancelled(work));
        poll_fn(|context| if self.is_cut_off() { Poll::Ready(None) } else { work.as_mut().poll(context) })
            .await
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

    /// A sign of life that was sent then has arrived. What was lost before is stopped before this is said.
    fn confirm(&self, sent: Instant) {
        self.lock().confirmed = sent;
    }

    fn confirmed(&self) -> Instant {
        self.lock().confirmed
    }

    /// Whether no sign of life has arrived for the time of a lease: by now the jobs may be somebody else's.
    fn is_cut_off(&self) -> bool {
        self.confirmed().elapsed() >= self.lease
    }

    /// Stops everything: nobody knows any more whose it is. Says whether there was anything to stop.
    fn abandon(&self) -> bool {
        let inner = self.lock();
        let mut running = false;
        for entry in inner.attempts.values().filter(|entry| !entry.gone.is_cancelled()) {
            entry.gone.cancel();
            running = true;
        }
        running
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
    next_beat: Instant,
    silent: bool,
    wake_ups: WakeUps,
}

impl Keeper {
    pub(super) fn new(app: Arc<App>, held: Arc<Held>, worker: String) -> Self {
        let (pool, next_beat) = (connection(app.pool()), held.confirmed());
        let wake_ups = app.wake_ups.clone();
        Self { app, held, worker, pool, next_beat, silent: false, wake_ups }
    }

    /// Does so for ever. The first look comes at once: somebody may have died before we started.
    pub(super) async fn run(mut self) {
        loop {
            self.look().await;
            self.rest().await;
        }
    }

    async fn look(&mut self) {
        let (begun, lease) = (Instant::now(), self.held.lease);
        let beats = begun >= self.next_beat;
        let left = (self.held.confirmed() + lease).saturating_duration_since(begun);
        let looked = timeout(left.min(lease / 2).max(SHORTEST_PATIENCE), self.ask(beats)).await;
        match looked {
            Ok(Ok(listed)) => {
                let lost = self.held.compare(begun, &listed);
                if beats {
                    self.held.confirm(begun);
                    self.next_beat = begun + (lease / BEATS).min(SLOWEST_BEAT);
                }
                self.silent = false;
                self.give_back(lost).await;
            }
            Ok(Err(error)) => self.miss(&error.to_string()),
            Err(_) => {
                // Whatever that connection waits for, the next try does not.
                self.pool = connection(self.app.pool());
                self.miss("no answer in time");
            }
        }
        if self.held.is_cut_off() && self.held.abandon() {
            tracing::warn!(
                worker = self.worker,
                "cut off from the database for longer than the lease; what was being worked on is stopped"
            );
        }
    }

    async fn ask(&self, beats: bool) -> Result<Vec<Attempt>, sqlx::Error> {
        if beats {
            let orphans = lease::heartbeat(&self.pool, &self.worker, self.held.lease).await?;
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

    const LEASE: Duration = Duration::from_secs(5);

    fn held() -> Held {
        Held::new(LEASE, Instant::now())
    }

    fn is_gone(held: &Held, lease: &Lease) -> bool {
        held.lock().attempts[&key(lease)].gone.is_cancelled()
    }

    #[test]
    fn an_attempt_stops_when_a_look_that_began_after_its_claim_does_not_find_it() {
        let (held, lease, before) = (held(), lease("a"), Instant::now());
        held.add(&lease);
        held.compare(before, &[]);
        assert!(!is_gone(&held, &lease), "that look was too early to tell");
        let after = Instant::now() + Duration::from_millis(1);
        held.compare(after, &[("a".into(), 1)]);
        assert!(!is_gone(&held, &lease), "it is ours");
        held.compare(after, &[("a".into(), 2)]);
        assert!(is_gone(&held, &lease), "that is another attempt");
    }

    #[test]
    fn a_job_is_given_back_once_no_claim_can_be_answered_with_it_any_more() {
        let (held, job) = (held(), vec![("a".to_owned(), 1)]);
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
        let (held, lease) = (held(), lease("a"));
        held.add(&lease);
        held.confirm(Instant::now() - LEASE);
        assert!(held.abandon() && is_gone(&held, &lease));
        assert!(!held.abandon(), "told once");
        assert!(held.claiming().is_none());
        held.confirm(Instant::now());
        assert!(held.claiming().is_some(), "the database is back");
    }

    #[tokio::test]
    async fn who_wakes_up_after_a_lease_takes_no_further_step() {
        let (held, lease) = (held(), lease("a"));
        held.add(&lease);
        let (wake, steps) = (tokio::sync::Notify::new(), std::cell::Cell::new(0));
        let work = async {
            loop {
                wake.notified().await;
                steps.set(steps.get() + 1);
            }
        };
        let mut work = std::pin::pin!(held.while_ours(&lease, work));
        let mut step = async || {
            wake.notify_one();
            futures::poll!(work.as_mut())
        };
        assert!(step().await.is_pending());
        assert!(step().await.is_pending());
        held.confirm(Instant::now() - LEASE);
        assert_eq!(step().await, Poll::Ready(None::<()>));
        assert_eq!(steps.get(), 2);
    }
}
