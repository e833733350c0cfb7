//! Who is here: the log-ins and API keys of the requests, sockets and streams that are open in this process, and how these
//! hear that their pass has ended, in whatever process that happened.
//!
//! Whoever ends passes nudges after the commit. Every process is then told by a NOTIFY, asks the database which of the open
//! ones are dead, in one query a kind, and cancels those. A lost hint costs a few seconds, nothing else (see
//! [`crate::events::connect`]). That a pass has run out everybody can tell by the clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events::{Notifier, WakeUps};

const CHANNEL: &str = "therapybridge_log_ins";
/// Time between two looks when the database does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Those of the given log-ins that are no more.
const DEAD_LOG_INS: &str =
    "SELECT user_id, family_id FROM unnest($1::uuid[], $2::uuid[]) AS open (user_id, family_id)
    WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = open.user_id AND is_active)
    OR NOT EXISTS (SELECT 1 FROM auth_sessions WHERE auth_sessions.family_id = open.family_id
        AND auth_sessions.user_id = open.user_id AND NOT is_revoked)";

/// The hashes of those of the given keys that are no more.
const DEAD_API_KEYS: &str = "SELECT hash FROM unnest($1::text[]) AS open (hash) WHERE NOT EXISTS (
    SELECT 1 FROM api_keys JOIN users ON users.id = owner_id
    WHERE secret_hash = open.hash AND revoked_at IS NULL AND is_active AND role = 'THERAPIST')";

/// What somebody comes in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// A log-in.
    LogIn {
        /// Whose.
        user_id: Uuid,
        /// Which.
        family_id: Uuid,
    },
    /// An API key, by the hash of its secret: that is known before anybody has looked for the key.
    ApiKey([u8; 32]),
}

type Registry = Mutex<HashMap<Pass, Weak<Open>>>;

/// The passes that are in use in this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    registry: Arc<Registry>,
    notifier: Notifier,
}

/// Keeps a pass in the registry; it leaves with the last clone.
#[derive(Clone, Debug)]
pub struct Attendance(Arc<Open>);

#[derive(Debug)]
struct Open {
    pass: Pass,
    ended: CancellationToken,
    registry: Arc<Registry>,
}

impl Attendance {
    /// Cancelled when the log-in, or the key, has ended.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.0.ended.clone()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut registry = lock(&self.registry);
        // Somebody else may have come in the meantime.
        if registry.get(&self.pass).is_some_and(|open| open.strong_count() == 0) {
            registry.remove(&self.pass);
        }
    }
}

impl Presence {
    /// Nobody is here yet.
    #[must_use]
    pub fn new() -> Self {
        Self { registry: Arc::default(), notifier: Notifier::on(CHANNEL) }
    }

    /// Gives and hears the hints; to be connected.
    #[must_use]
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Starts looking at every hint, until `stop`.
    pub fn start(&self, pool: &PgPool, stop: &CancellationToken) {
        let wake_ups = self.notifier.wake_ups();
        let (presence, pool, stop) = (self.clone(), pool.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(presence.watch(&pool, wake_ups)).await });
    }

    /// Says that a transaction which ended log-ins or keys has committed.
    pub fn nudge(&self) {
        self.notifier.nudge();
    }

    /// Comes in. Come in first, then see whether the pass is good: then no end of it is missed. Every request does, the
    /// short ones too: it costs a lock and a map's entry, and sockets need no second look at the database.
    #[must_use]
    pub fn attend(&self, pass: Pass) -> Attendance {
        let mut registry = lock(&self.registry);
        if let Some(open) = registry.get(&pass).and_then(Weak::upgrade) {
            return Attendance(open);
        }
        let open = Arc::new(Open { pass, ended: CancellationToken::new(), registry: self.registry.clone() });
        registry.insert(pass, Arc::downgrade(&open));
        Attendance(open)
    }

    /// How many passes are in use.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.registry).len()
    }

    async fn watch(self, pool: &PgPool, mut wake_ups: WakeUps) {
        loop {
            if wake_ups.changed().await.is_err() {
                return;
            }
            while let Err(error) = self.end_the_dead(pool).await {
                tracing::warn!(%error, "whose pass has ended cannot be asked; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn end_the_dead(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let (mut users, mut families, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for pass in lock(&self.registry).keys() {
            match pass {
                Pass::LogIn { user_id, family_id } => {
                    users.push(*user_id);
                    families.push(*family_id);
                }
                Pass::ApiKey(hash) => keys.push(hex::encode(hash)),
            }
        }
        if !users.is_empty() {
            let query = sqlx::query_as(DEAD_LOG_INS).bind(&users).bind(&families);
            let dead: Vec<(Uuid, Uuid)> = query.fetch_all(pool).await?;
            self.end(dead.into_iter().map(|(user_id, family_id)| Pass::LogIn { user_id, family_id }));
        }
        if !keys.is_empty() {
            let dead: Vec<String> = sqlx::query_scalar(DEAD_API_KEYS).bind(&keys).fetch_all(pool).await?;
            self.end(dead.iter().filter_map(|hash| api_key_pass(hash)));
        }
        Ok(())
    }

    fn end(&self, dead: impl Iterator<Item = Pass>) {
        for open in self.take(&dead.collect::<Vec<_>>()) {
            open.ended.cancel();
        }
    }

    /// Takes passes out of the registry. They are let go when it is free again, for that locks it too.
    fn take(&self, passes: &[Pass]) -> Vec<Arc<Open>> {
        let mut registry = lock(&self.registry);
        passes.iter().filter_map(|pass| registry.remove(pass)?.upgrade()).collect()
    }
}

/// The pass of the key with this hash in hex.
fn api_key_pass(hash: &str) -> Option<Pass> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes).ok()?;
    Some(Pass::ApiKey(bytes))
}

impl Default for Presence {
    fn default() -> Self {
        Self::new()
    }
}

fn lock(registry: &Registry) -> MutexGuard<'_, HashMap<Pass, Weak<Open>>> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(user_id: Uuid) -> Pass {
        Pass::LogIn { user_id, family_id: Uuid::now_v7() }
    }

    #[test]
    fn a_pass_is_here_as_long_as_somebody_uses_it() {
        let (presence, user) = (Presence::new(), Uuid::now_v7());
        for pass in [log_in(user), api_key_pass(&"0a".repeat(32)).expect("a hash")] {
            let (one, other) = (presence.attend(pass), presence.attend(pass));
            let _elsewhere = presence.attend(log_in(user));
            assert_eq!(presence.count(), 2);
            drop(one);
            assert_eq!(presence.count(), 2);
            drop(other);
            assert_eq!(presence.count(), 1);
        }
    }

    #[test]
    fn the_ended_and_those_who_come_after_do_not_disturb_each_other() {
        let (presence, pass) = (Presence::new(), log_in(Uuid::now_v7()));
        let before = presence.attend(pass);
        presence.take(&[pass])[0].ended.cancel();
        let after = presence.attend(pass);
        assert!(before.ended().is_cancelled() && !after.ended().is_cancelled());
        drop(before);
        assert_eq!(presence.count(), 1, "the later one is still here");
    }
}
