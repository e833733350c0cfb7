//! Tells every process that there is something new: jobs to claim, events to deliver.
//!
//! A NOTIFY inside a transaction takes a lock over the whole database at commit, so it is sent by itself, after
//! the commit, and once for everything that came up within a few milliseconds.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "therapybridge";
/// What comes up within this time is told with one notification.
const COALESCE: Duration = Duration::from_millis(5);
/// Time between two tries to listen again after a lost connection.
const RECONNECT: Duration = Duration::from_millis(250);

/// Sends hints; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Arc<Notify>);

/// Receives hints; a hint may stand for many changes or for none.
pub type WakeUps = watch::Receiver<u64>;

impl Notifier {
    /// Says that a transaction with jobs or events has committed.
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Starts sending and listening until `stop`; each process listens with one connection.
    #[must_use]
    pub fn start(&self, pool: &PgPool, stop: &CancellationToken) -> WakeUps {
        let (wake, wake_ups) = watch::channel(0);
        let sender = self.clone();
        tokio::spawn({
            let (pool, stop) = (pool.clone(), stop.clone());
            async move { stop.run_until_cancelled(sender.send(&pool)).await }
        });
        tokio::spawn({
            let (pool, stop) = (pool.clone(), stop.clone());
            async move { stop.run_until_cancelled(listen(&pool, &wake)).await }
        });
        wake_ups
    }

    async fn send(&self, pool: &PgPool) {
        loop {
            self.0.notified().await;
            let sent = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(pool).await;
            if let Err(error) = sent {
                // Readers poll anyway: a lost hint costs time, nothing else.
                tracing::warn!(%error, "a wake-up was not sent");
            }
            tokio::time::sleep(COALESCE).await;
        }
    }
}

async fn listen(pool: &PgPool, wake: &watch::Sender<u64>) {
    loop {
        if let Err(error) = listen_once(pool, wake).await {
            tracing::warn!(%error, "listening for wake-ups was interrupted; polling goes on");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(pool: &PgPool, wake: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Whatever happened while nobody listened is found by looking.
        wake.send_modify(|count| *count += 1);
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
    }
}
