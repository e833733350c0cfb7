//! The private Postgres cluster, used when no `DATABASE_URL` is set.
//!
//! It lives in `DATA_DIR/postgres`. Every process that uses it holds a shared lock on `postgres.lease`; whoever
//! creates, starts or stops it holds `postgres.lock` alone. So the first one in starts the server, and the last
//! one out stops it. A server whose processes all died is adopted by the next one.

mod binaries;
mod create;
mod endpoint;
mod error;
mod lock;
mod pid_file;
mod server;
mod site;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

pub use error::ClusterError;

use binaries::Binaries;
use endpoint::Endpoint;
use error::{Result, io_error};
use lock::FileLock;
use site::Site;

/// The superuser, as which everybody connects.
const USER: &str = "therapybridge";

/// Where the cluster lives if we are root and the `postgres` user cannot reach the data directory.
const REFUGE: &str = "/var/lib/therapybridge";

/// Longer than a start or a stop can take.
const LOCK_LIMIT: Duration = Duration::from_mins(4);

/// What to know to open a cluster.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The product's data directory (`DATA_DIR`); made if it is missing.
    pub data_dir: PathBuf,
    /// The folder of Postgres's server programs (`PG_BIN`); searched for if `None`.
    pub pg_bin: Option<PathBuf>,
    /// Whether a commit survives a crash of the machine. `false` is for throw-away clusters of tests only.
    pub durable: bool,
}

/// A cluster whose server runs as long as somebody has it open.
///
/// Call [`Cluster::close`] when done; dropping it asks the server to stop but does not wait.
#[derive(Debug)]
pub struct Cluster {
    settings: ClusterSettings,
    site: Site,
    password: SecretString,
    endpoint: Endpoint,
    lease: Option<FileLock>,
}

impl Cluster {
    /// Creates the cluster if there is none, starts its server if it does not run, and waits until it answers.
    ///
    /// # Errors
    /// Whatever keeps the database from being used; the message says what to do about it.
    pub async fn open(settings: ClusterSettings) -> Result<Self, ClusterError> {
        Self::open_with_refuge(settings, Path::new(REFUGE)).await
    }

    async fn open_with_refuge(mut settings: ClusterSettings, refuge: &Path) -> Result<Self> {
        settings.data_dir = make_data_dir(&settings.data_dir)?;
        let _gate = FileLock::exclusive(&gate(&settings), LOCK_LIMIT).await?;
        let lease = FileLock::shared(&lease(&settings))?;
        let site = Site::locate(&settings.data_dir, refuge).await?;
        if site.major()?.is_none() {
            let binaries = Binaries::find(settings.pg_bin.as_deref(), None)?;
            create::create(&site, &binaries, settings.durable).await?;
        }
        site.leave_link()?;
        let password = create::read_password(&site)?;
        let endpoint = server::ensure_running(&site, &password, &settings, None).await?;
        Ok(Self { settings, site, password, endpoint, lease: Some(lease) })
    }

    /// How to connect to the database `name`, as the superuser.
    pub fn connect_options(&self, name: &str) -> PgConnectOptions {
        self.endpoint.options(name, &self.password)
    }

    /// Starts the server again if it died, where open pools look for it; does nothing if it runs.
    ///
    /// # Errors
    /// Whatever keeps the server from starting; the message says what to do about it.
    pub async fn ensure_running(&self) -> Result<(), ClusterError> {
        let _gate = FileLock::exclusive(&gate(&self.settings), LOCK_LIMIT).await?;
        server::ensure_running(&self.site, &self.password, &self.settings, Some(&self.endpoint)).await?;
        Ok(())
    }

    /// Leaves the cluster. The last one out stops the server and waits until it has ended.
    ///
    /// # Errors
    /// [`ClusterError::StopTimeout`] or [`ClusterError::LockTimeout`] if somebody takes too long.
    pub async fn close(mut self) -> Result<(), ClusterError> {
        let _gate = FileLock::exclusive(&gate(&self.settings), LOCK_LIMIT).await?;
        drop(self.lease.take());
        if let Some(_alone) = FileLock::try_exclusive(&lease(&self.settings))? {
            server::stop(&self.site).await?;
        }
        Ok(())
    }

    /// Leaves without waiting for anybody.
    fn abandon(&self, lease_held: FileLock) -> Result<()> {
        let gate = FileLock::try_exclusive(&gate(&self.settings))?;
        drop(lease_held);
        if gate.is_some() && FileLock::try_exclusive(&lease(&self.settings))?.is_some() {
            server::interrupt(&self.site)?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        if let Err(error) = self.abandon(lease) {
            tracing::warn!(%error, "the private PostgreSQL server may still run");
        }
    }
}

/// Locked alone by whoever creates, starts or stops the server.
fn gate(settings: &ClusterSettings) -> PathBuf {
    settings.data_dir.join("postgres.lock")
}

/// Locked together by everybody who uses the server.
fn lease(settings: &ClusterSettings) -> PathBuf {
    settings.data_dir.join("postgres.lease")
}

/// Nobody may list it; root's may be passed through, or the `postgres` user could not reach its cluster.
fn make_data_dir(path: &Path) -> Result<PathBuf> {
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    let created = DirBuilder::new().recursive(true).mode(mode).create(path);
    created.and_then(|()| fs::canonicalize(path)).map_err(io_error("create", path))
}
