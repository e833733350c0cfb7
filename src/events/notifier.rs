//! Tells every process that there is something new: jobs to claim, events to deliver, log-ins that have ended.
//!
//! A NOTIFY inside a transaction takes a lock over the whole database at commit, so it is sent by itself, after
//! the commit, and once for everything that came up within a few milliseconds.
//!
//! A process listens with one connection, whatever the channels. Over it, too, it asks every few seconds whether anybody has
//! written anything: that shows a dead connection, and finds what nobody gave a hint of (who was to give it died after the
//! commit). While nothing is written that is all the SQL there is; those who wait need no clock of their own.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// What comes up within this time is told with one notification.
const COALESCE: Duration = Duration::from_millis(5);
/// Time between two tries to send, or to listen again, after a lost connection.
const RETRY: Duration = Duration::from_millis(500);
/// Time between two questions whether anything was written.
const PROBE: Duration = Duration::from_secs(3);
/// A connection that does not answer for so long is no connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// The listening connection, as `pg_stat_activity` shows it.
const NAME: &str = "therapybridge listener";

/// Sends and hears hints on a channel of the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier {
    channel: &'static str,
    nudged: Arc<Notify>,
    heard: watch::Sender<u64>,
}

/// Receives hints; a hint may stand for many changes or for none.
pub type WakeUps = watch::Receiver<u64>;

impl Notifier {
    /// Hints on this channel; they come and go once it is connected with others: see [`connect`].
    #[must_use]
    pub fn on(channel: &'static str) -> Self {
        Self { channel, nudged: Arc::default(), heard: watch::Sender::new(0) }
    }

    /// Says that a transaction with something new has committed.
    pub fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// What is heard from now on.
    #[must_use]
    pub fn wake_ups(&self) -> WakeUps {
        self.heard.subscribe()
    }

    fn wake(&self) {
        self.heard.send_modify(|count| *count += 1);
    }

    async fn send(&self, pool: &PgPool) {
        loop {
            self.nudged.notified().await;
            let sent = sqlx::query("SELECT pg_notify($1, '')").bind(self.channel).execute(pool).await;
            let pause = match sent {
                Ok(_) => COALESCE,
                Err(error) => {
                    tracing::warn!(%error, "a wake-up was not sent; trying again");
                    self.nudge();
                    RETRY
                }
            };
            sleep(pause).await;
        }
    }
}

/// Starts sending and listening for these, until `stop`. A process does so once: it listens with one connection, beside
/// those of the pool, for what is held for ever would be missing there.
pub fn connect(notifiers: Vec<Notifier>, pool: &PgPool, stop: &CancellationToken) {
    for notifier in notifiers.clone() {
        let (pool, stop) = (pool.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(notifier.send(&pool)).await });
    }
    let options = pool.connect_options().as_ref().clone().application_name(NAME);
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(Box::pin(listen(&notifiers, options))).await });
}

async fn listen(notifiers: &[Notifier], options: PgConnectOptions) {
    loop {
        if let Err(error) = listen_once(notifiers, options.clone()).await {
            tracing::warn!(%error, "listening for wake-ups was interrupted; looking without hints");
        }
        // Whoever can look meanwhile shall.
        notifiers.iter().for_each(Notifier::wake);
        sleep(RETRY).await;
    }
}

async fn listen_once(notifiers: &[Notifier], options: PgConnectOptions) -> Result<(), sqlx::Error> {
    // Of its own each time: one that hangs is left behind, and nobody waits for its place.
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    in_time(listener.listen_all(notifiers.iter().map(|notifier| notifier.channel))).await?;
    // What was written before this is found by looking now; what is written after it shows in the next.
    let mut written = snapshot(&mut listener).await?;
    notifiers.iter().for_each(Notifier::wake);
    let mut due = Instant::now() + PROBE;
    loop {
        match timeout_at(due, listener.try_recv()).await {
            Ok(Ok(Some(hint))) => {
                let heard = notifiers.iter().find(|notifier| notifier.channel == hint.channel());
                heard.into_iter().for_each(Notifier::wake);
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let now = snapshot(&mut listener).await?;
                if std::mem::replace(&mut written, now) != written {
                    notifiers.iter().for_each(Notifier::wake);
                }
                due = Instant::now() + PROBE;
            }
        }
    }
}

/// Which transactions have written, and which are about to: the same as before only if nobody has written anything.
async fn snapshot(listener: &mut PgListener) -> Result<String, sqlx::Error> {
    in_time(sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(listener)).await
}

async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(PATIENCE, answer).await.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?
}
