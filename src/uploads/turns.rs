//! Who may write to an upload, within one process: one at a time, and whoever comes later. A connection that has died
//! without a word is noticed only after a while; its client is back before that, and must not wait for it. Between
//! processes the row decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The turns of all uploads; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<Uuid, Running>>>);

#[derive(Clone, Debug, Default)]
struct Running {
    give_way: CancellationToken,
    over: CancellationToken,
}

/// The right to write to an upload, while it is held.
#[derive(Debug)]
pub struct Turn {
    upload: Uuid,
    running: Running,
    turns: Turns,
}

impl Turns {
    /// Asks whoever writes to the upload to keep what they have and stop, and waits until they did.
    pub async fn settle(&self, upload: Uuid) {
        let running = self.lock().get(&upload).cloned();
        if let Some(running) = running {
            running.give_way.cancel();
            running.over.cancelled().await;
        }
    }

    /// Takes the turn, as soon as whoever has it has stopped.
    pub async fn take(&self, upload: Uuid) -> Turn {
        loop {
            if let Some(turn) = self.try_take(upload) {
                return turn;
            }
            self.settle(upload).await;
        }
    }

    fn try_take(&self, upload: Uuid) -> Option<Turn> {
        let mut turns = self.lock();
        if turns.contains_key(&upload) {
            return None;
        }
        let running = Running::default();
        turns.insert(upload, running.clone());
        Some(Turn { upload, running, turns: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until somebody else wants the turn.
    pub async fn wanted(&self) {
        self.running.give_way.cancelled().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.upload);
        self.running.over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_later_gets_the_turn_once_the_other_has_stopped() {
        let (turns, upload) = (Turns::default(), Uuid::now_v7());
        let first = turns.take(upload).await;
        assert!(first.wanted().now_or_never().is_none(), "nobody else wants it");
        let later = turns.clone();
        let second = tokio::spawn(async move { later.take(upload).await });
        first.wanted().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.expect("it got its turn");
    }

    #[tokio::test]
    async fn uploads_do_not_wait_for_each_other_and_leave_nothing_behind() {
        let turns = Turns::default();
        let (one, other) = (turns.take(Uuid::now_v7()).await, turns.take(Uuid::now_v7()).await);
        turns.settle(Uuid::now_v7()).await;
        drop((one, other));
        assert!(turns.lock().is_empty());
    }
}
