//! Locks on files: released by the system when their process dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{ClusterError, Result, io_error};

const POLL: Duration = Duration::from_millis(20);

/// A lock, held until dropped.
#[derive(Debug)]
pub(super) struct FileLock(File);

impl FileLock {
    /// Holds the file together with other sharers; at once, or it is an error.
    pub(super) fn shared(path: &Path) -> Result<Self> {
        let file = open(path)?;
        file.try_lock_shared().map_err(|error| io_error("lock", path)(error.into()))?;
        Ok(Self(file))
    }

    /// Holds the file alone, or `None` if somebody else holds it.
    pub(super) fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io_error("lock", path)(error)),
        }
    }

    /// Holds the file alone, as soon as everybody else lets go.
    pub(super) async fn exclusive(path: &Path, limit: Duration) -> Result<Self> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(lock) = Self::try_exclusive(path)? {
                return Ok(lock);
            }
            if Instant::now() > deadline {
                return Err(ClusterError::LockTimeout { path: path.to_owned(), seconds: limit.as_secs() });
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec shares the open file for a moment.
        let _ = self.0.unlock();
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    // Nobody else may open it: who can open a file can lock it.
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(io_error("open", path))
}
