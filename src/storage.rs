//! Where files lie: a store keyed `{therapist_id}/{session_id}/…`, over `object_store`, a local directory.
//!
//! Bytes on their way in are spooled to a file of their own first; [`Storage::put`] moves a complete, fsynced
//! spool file under its key in one step, so that a key never names half a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::NamedTempFile;

use crate::config::StorageConfig;
use crate::error::{Error, Result};
use crate::secret_file;

/// The store.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<LocalFileSystem>,
    spool: PathBuf,
}

impl Storage {
    /// Opens the store, and makes its folders.
    ///
    /// # Errors
    /// When a folder cannot be made or read.
    pub fn open(config: &StorageConfig) -> anyhow::Result<Self> {
        for dir in [&config.files_dir, &config.spool_dir] {
            secret_file::private_dir(dir)
                .with_context(|| format!("DATA_DIR: cannot use the folder {}", dir.display()))?;
        }
        let store = LocalFileSystem::new_with_prefix(&config.files_dir)?.with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), spool: config.spool_dir.clone() })
    }

    /// A new spool file; it vanishes when dropped.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn spool(&self) -> Result<NamedTempFile> {
        Ok(tempfile::Builder::new().prefix("upload-").tempfile_in(&self.spool)?)
    }

    /// Moves a spool file under `key`: contents fsynced before the rename, the folder after it.
    ///
    /// # Errors
    /// When the disk is full or not writable; the spool file is gone then, and nothing stands under `key`.
    pub async fn put(&self, key: &str, spooled: NamedTempFile) -> Result<()> {
        let target = self.local_path(key)?;
        tokio::task::spawn_blocking(move || persist(spooled, &target))
            .await
            .map_err(anyhow::Error::new)??;
        Ok(())
    }

    /// The file under `key`, for reading, as long as the result is held.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn fetch(&self, key: &str) -> Result<Fetched> {
        let path = self.local_path(key)?;
        match tokio::fs::metadata(&path).await {
            Ok(_) => Ok(Fetched { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound("file")),
            Err(error) => Err(error.into()),
        }
    }

    fn local_path(&self, key: &str) -> Result<PathBuf> {
        let key = Key::parse(key).map_err(anyhow::Error::new)?;
        Ok(self.store.path_to_filesystem(&key).map_err(anyhow::Error::new)?)
    }

    /// Removes the file under `key`; one that is not there is fine.
    ///
    /// # Errors
    /// When the store does not answer or does not let go.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let key = Key::parse(key).map_err(anyhow::Error::new)?;
        match self.store.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::Internal(error.into())),
        }
    }

    /// Removes every file in the folder `prefix`.
    ///
    /// # Errors
    /// When the store does not answer or does not let go; some may be gone then.
    pub async fn delete_all(&self, prefix: &str) -> Result<()> {
        let prefix = Key::parse(prefix).map_err(anyhow::Error::new)?;
        let mut files = self.store.list(Some(&prefix));
        while let Some(file) = files.next().await {
            self.delete(file.map_err(anyhow::Error::new)?.location.as_ref()).await?;
        }
        Ok(())
    }

    /// Whether the store can be written to: for `/health`.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self) -> Result<()> {
        self.spool().map(drop)
    }
}

/// A file of the store that can be read on this machine, while this value lives.
#[derive(Debug)]
pub struct Fetched {
    path: PathBuf,
}

impl Fetched {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn persist(spooled: NamedTempFile, target: &Path) -> std::io::Result<()> {
    let folder = target.parent().ok_or_else(|| std::io::Error::other("a key names a file in a folder"))?;
    spooled.as_file().sync_all()?;
    std::fs::create_dir_all(folder)?;
    spooled.persist(target)?;
    // A rename is lost with the folder's entry unless the folder is synced, and so is a new folder with its parent's.
    for dir in folder.ancestors().take(3) {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
