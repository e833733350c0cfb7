//! One process of the cluster links the events; the others wait for its place.
//!
//! Whoever holds an advisory lock leads, and links over the very connection that holds it: when that connection ends, the
//! office and what was half done end with it, and another process takes over within seconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::chain::{self, Chain};
use super::head::{Head, Kept};
use super::link::Key;
use super::verify;
use crate::clock::Clock;

/// Key of the advisory lock.
const LOCK: i64 = 0x7468_6572_6170_7902;
/// Time between two passes.
const PASS: Duration = Duration::from_secs(1);
/// Time between two tries to take the office.
const CANDIDACY: Duration = Duration::from_secs(2);
/// Time between two heads.
const HEAD: Duration = Duration::from_secs(60);

/// What a leader needs.
#[derive(Clone)]
pub struct Office {
    /// Connections; one of them is taken out for as long as the process leads.
    pub pool: PgPool,
    /// The key of the chain.
    pub key: Key,
    /// Where the head is kept.
    pub head_file: PathBuf,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// A process that leads, or waits to. Stops when dropped; [`stop`](Self::stop) lets it link the rest first.
#[derive(Debug)]
pub struct Leader {
    task: TaskTracker,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
}

impl Leader {
    /// Starts to run for the office.
    #[must_use]
    pub fn start(office: Office) -> Self {
        let (task, stop) = (TaskTracker::new(), CancellationToken::new());
        task.spawn(office.run(stop.clone()));
        task.close();
        Self { task, _stops_when_dropped: stop.clone().drop_guard(), stop }
    }

    /// Links what is left, writes the head, and leaves the office.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

impl Office {
    async fn run(self, stop: CancellationToken) {
        // Once more when stopped, too: whoever led may have left before the last events of this process.
        loop {
            let last = stop.is_cancelled();
            match self.take().await {
                Ok(Some(connection)) => {
                    if let Err(error) = self.lead(connection, &stop).await {
                        tracing::warn!(%error, "the audit chain has lost its leader; trying again");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "nobody can be asked who leads the audit chain; trying again");
                }
            }
            if last {
                return;
            }
            stop.run_until_cancelled(tokio::time::sleep(CANDIDACY)).await;
        }
    }

    /// Takes the office, if it is free and the key is the chain's.
    async fn take(&self) -> sqlx::Result<Option<PgConnection>> {
        let mut connection = self.pool.acquire().await?;
        let free = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        if !free.fetch_one(&mut *connection).await? {
            return Ok(None);
        }
        let mut connection = connection.detach();
        if !chain::is_of(&self.key, &mut connection).await? {
            tracing::error!(
                "AUDIT_KEY is not the one the audit chain was made with: this process does not lead it"
            );
            connection.close().await?;
            return Ok(None);
        }
        // The server shall notice within seconds that this machine is gone; and compiling a pass costs more than running it.
        let settings = "SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
            set_config('tcp_keepalives_count', '3', false), set_config('jit', 'off', false)";
        sqlx::query(settings).execute(&mut connection).await?;
        Ok(Some(connection))
    }

    async fn lead(&self, mut connection: PgConnection, stop: &CancellationToken) -> sqlx::Result<()> {
        let mut chain = Chain::new(self.key.clone());
        let mut head_due = Instant::now();
        loop {
            // Asked before the pass: what was committed until the stop is linked by the last one.
            let last = stop.is_cancelled();
            chain.run_once(&mut connection).await?;
            if last || head_due <= Instant::now() {
                match self.keep_head(&mut connection).await {
                    // Of an empty chain there is none: the first link gets one at once.
                    Ok(false) => {}
                    Ok(true) => head_due = Instant::now() + HEAD,
                    Err(error) => {
                        head_due = Instant::now() + HEAD;
                        tracing::error!(%error, "the head of the audit chain was not written");
                    }
                }
            }
            if last {
                return connection.close().await;
            }
            stop.run_until_cancelled(tokio::time::sleep(PASS)).await;
        }
    }

    /// Writes the head, unless the one there is says that somebody has cut or forged something: that is evidence. Says
    /// whether there is a chain.
    async fn keep_head(&self, db: &mut PgConnection) -> anyhow::Result<bool> {
        let tail = chain::tail(&mut *db).await?;
        let kept = Head::read(&self.key, &self.head_file).await?;
        if let Some(finding) = verify::contradiction(&kept, &mut *db).await? {
            anyhow::bail!("{}", finding.message);
        }
        if tail.position == 0 {
            return Ok(false);
        }
        let is_new = !matches!(&kept, Kept::Head(head) if head.position == tail.position);
        if is_new {
            Head::new(&self.key, tail.position, &tail.hmac, self.clock.now()).write(&self.head_file).await?;
        }
        Ok(true)
    }
}
