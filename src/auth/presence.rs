//! Who is here: the log-ins of the requests, sockets and streams that are open in this process, and how these hear that
//! their log-in has ended, in whatever process that happened.
//!
//! Whoever ends log-ins nudges after the commit. Every process is then told by a NOTIFY, asks the database in one query
//! which of its open log-ins are dead, and cancels those. It asks every few seconds anyway: a lost hint costs time,
//! nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events::{Notifier, WakeUps};

const CHANNEL: &str = "therapybridge_log_ins";
/// Time between two looks when nobody gave a hint.
const POLL: Duration = Duration::from_secs(5);
/// Those of the given log-ins that are no more.
const DEAD: &str =
    "SELECT user_id, family_id FROM unnest($1::uuid[], $2::uuid[]) AS open (user_id, family_id)
    WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = open.user_id AND is_active)
    OR NOT EXISTS (SELECT 1 FROM auth_sessions WHERE auth_sessions.family_id = open.family_id
        AND auth_sessions.user_id = open.user_id AND NOT is_revoked)";

/// User and log-in.
type Key = (Uuid, Uuid);
type Registry = Mutex<HashMap<Key, Weak<Open>>>;

/// The log-ins that are in use in this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    registry: Arc<Registry>,
    notifier: Notifier,
}

/// Keeps a log-in in the registry; it leaves with the last clone.
#[derive(Clone, Debug)]
pub struct Attendance(Arc<Open>);

#[derive(Debug)]
struct Open {
    key: Key,
    ended: CancellationToken,
    registry: Arc<Registry>,
}

impl Attendance {
    /// Cancelled when the log-in has ended.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.0.ended.clone()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut registry = lock(&self.registry);
        // Somebody else may have come in the meantime.
        if registry.get(&self.key).is_some_and(|open| open.strong_count() == 0) {
            registry.remove(&self.key);
        }
    }
}

impl Presence {
    /// Nobody is here yet.
    #[must_use]
    pub fn new() -> Self {
        Self { registry: Arc::default(), notifier: Notifier::on(CHANNEL) }
    }

    /// Starts listening and looking, until `stop`.
    pub fn start(&self, pool: &PgPool, stop: &CancellationToken) {
        let wake_ups = self.notifier.start(pool, stop);
        let (presence, pool, stop) = (self.clone(), pool.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(presence.watch(&pool, wake_ups)).await });
    }

    /// Says that a transaction which ended log-ins has committed.
    pub fn nudge(&self) {
        self.notifier.nudge();
    }

    /// Comes in. Come in first, then see whether the log-in is alive: then no end of it is missed. Every request does, the
    /// short ones too: it costs a lock and a map's entry, and sockets need no second look at the database.
    #[must_use]
    pub fn attend(&self, user_id: Uuid, family_id: Uuid) -> Attendance {
        let (key, mut registry) = ((user_id, family_id), lock(&self.registry));
        if let Some(open) = registry.get(&key).and_then(Weak::upgrade) {
            return Attendance(open);
        }
        let open = Arc::new(Open { key, ended: CancellationToken::new(), registry: self.registry.clone() });
        registry.insert(key, Arc::downgrade(&open));
        Attendance(open)
    }

    /// How many log-ins are in use.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.registry).len()
    }

    async fn watch(self, pool: &PgPool, mut wake_ups: WakeUps) {
        loop {
            // Too early is fine, and so is a dropped sender at shutdown.
            let _ = tokio::time::timeout(POLL, wake_ups.changed()).await;
            if let Err(error) = self.end_the_dead(pool).await {
                tracing::warn!(%error, "whose log-in has ended cannot be asked; trying again");
            }
        }
    }

    async fn end_the_dead(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let (users, families): (Vec<Uuid>, Vec<Uuid>) = lock(&self.registry).keys().copied().unzip();
        if users.is_empty() {
            return Ok(());
        }
        let dead: Vec<Key> = sqlx::query_as(DEAD).bind(&users).bind(&families).fetch_all(pool).await?;
        for open in self.take(&dead) {
            open.ended.cancel();
        }
        Ok(())
    }

    /// Takes log-ins out of the registry. They are let go when it is free again, for that locks it too.
    fn take(&self, keys: &[Key]) -> Vec<Arc<Open>> {
        let mut registry = lock(&self.registry);
        keys.iter().filter_map(|key| registry.remove(key)?.upgrade()).collect()
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::new()
    }
}

fn lock(registry: &Registry) -> MutexGuard<'_, HashMap<Key, Weak<Open>>> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_is_here_as_long_as_somebody_uses_it() {
        let (presence, user, family) = (Presence::new(), Uuid::now_v7(), Uuid::now_v7());
        let (one, other) = (presence.attend(user, family), presence.attend(user, family));
        let _elsewhere = presence.attend(user, Uuid::now_v7());
        assert_eq!(presence.count(), 2);
        drop(one);
        assert_eq!(presence.count(), 2);
        drop(other);
        assert_eq!(presence.count(), 1);
    }

    #[test]
    fn the_ended_and_those_who_come_after_do_not_disturb_each_other() {
        let (presence, user, family) = (Presence::new(), Uuid::now_v7(), Uuid::now_v7());
        let before = presence.attend(user, family);
        presence.take(&[(user, family)])[0].ended.cancel();
        let after = presence.attend(user, family);
        assert!(before.ended().is_cancelled() && !after.ended().is_cancelled());
        drop(before);
        assert_eq!(presence.count(), 1, "the later one is still here");
    }
}
