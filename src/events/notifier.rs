//! Tells every process that there is something new: jobs to claim, events to deliver, log-ins that have ended.
//!
//! A NOTIFY inside a transaction takes a lock over the whole database at commit, so it is sent by itself, after
//! the commit, and once for everything that came up within a few milliseconds.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What comes up within this time is told with one notification.
const COALESCE: Duration = Duration::from_millis(5);
/// Time between two tries to listen again after a lost connection.
const RECONNECT: Duration = Duration::from_millis(250);

/// Sends hints on a channel of the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier {
    channel: &'static str,
    nudged: Arc<Notify>,
}

/// Receives hints; a hint may stand for many changes or for none.
pub type WakeUps = watch::Receiver<u64>;

impl Notifier {
    /// Hints on this channel.
    #[must_use]
    pub fn on(channel: &'static str) -> Self {
        Self { channel, nudged: Arc::default() }
    }

    /// Says that a transaction with something new has committed.
    pub fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Starts sending and listening until `stop`. Each process listens with one connection, beside those of the pool: what
    /// is held for ever would be missing there.
    #[must_use]
    pub fn start(&self, pool: &PgPool, stop: &CancellationToken) -> WakeUps {
        let (wake, wake_ups) = watch::channel(0);
        let sender = self.clone();
        tokio::spawn({
            let (pool, stop) = (pool.clone(), stop.clone());
            async move { stop.run_until_cancelled(sender.send(&pool)).await }
        });
        tokio::spawn({
            let (channel, stop) = (self.channel, stop.clone());
            let listener = PgPoolOptions::new().max_connections(1);
            let own = listener.connect_lazy_with(pool.connect_options().as_ref().clone());
            async move { stop.run_until_cancelled(listen(&own, channel, &wake)).await }
        });
        wake_ups
    }

    async fn send(&self, pool: &PgPool) {
        loop {
            self.nudged.notified().await;
            let sent = sqlx::query("SELECT pg_notify($1, '')").bind(self.channel).execute(pool).await;
            if let Err(error) = sent {
                // Readers poll anyway: a lost hint costs time, nothing else.
                tracing::warn!(%error, "a wake-up was not sent");
            }
            tokio::time::sleep(COALESCE).await;
        }
    }
}

async fn listen(pool: &PgPool, channel: &str, wake: &watch::Sender<u64>) {
    loop {
        if let Err(error) = listen_once(pool, channel, wake).await {
            tracing::warn!(%error, "listening for wake-ups was interrupted; polling goes on");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(pool: &PgPool, channel: &str, wake: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    loop {
        // Whatever happened while nobody listened is found by looking.
        wake.send_modify(|count| *count += 1);
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
    }
}
