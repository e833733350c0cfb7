//! Where files lie, keyed `{therapist_id}/{session_id}/…`: a folder of this machine, or an object store (`STORAGE_URL`).
//!
//! Bytes on their way in are spooled to a file of this machine first; [`Storage::put`] brings a complete one under its
//! key in one step, so that a key never names half a file. A file whose row is still to come is put by an [`Intake`],
//! so that none of the two is ever without the other.

mod intake;
mod local;
mod reading;
mod remote;
mod spool;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
use object_store::path::Path as Key;
use sea_orm::DatabaseConnection;
use tempfile::NamedTempFile;

pub use self::intake::{Condemned, Intake, Swept};
use self::local::Local;
pub use self::reading::Bytestream;
use self::remote::Remote;
use self::spool::Spool;
use crate::config::StorageConfig;
use crate::error::{Error, Result};
use crate::secret_file;

/// Files of a page of [`Storage::list`].
const PAGE: usize = 1000;

/// The store.
#[derive(Clone, Debug)]
pub struct Storage {
    shelf: Shelf,
    spool: Spool,
    commit_window: Duration,
}

#[derive(Clone, Debug)]
enum Shelf {
    Local(Local),
    Remote(Remote),
}

/// A file in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What names it.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was put there, by the store's clock.
    pub modified: chrono::DateTime<chrono::Utc>,
}

impl Storage {
    /// Opens the store, makes the folders it needs on this machine, and removes what killed processes have left there.
    /// An object store is not asked before it is needed: it may be away for the moment.
    ///
    /// # Errors
    /// When a folder cannot be made or read, or the store's settings cannot be used.
    pub fn open(config: &StorageConfig) -> anyhow::Result<Self> {
        make_dir("DATA_DIR", &config.spool_dir)?;
        let (shelf, spool) = match &config.remote {
            Some(remote) => {
                let remote = Remote::open(remote).context("STORAGE_URL: the store cannot be opened")?;
                (Shelf::Remote(remote), Spool::new(config.spool_dir.clone()))
            }
            None => {
                let is_beside = config.files_dir.parent() == config.spool_dir.parent();
                make_dir(if is_beside { "DATA_DIR" } else { "STORAGE_URL" }, &config.files_dir)?;
                let local = Local::open(&config.files_dir)?;
                let spool = Spool::new(local.spool_dir(&config.spool_dir)?);
                (Shelf::Local(local), spool)
            }
        };
        let storage = Self { shelf, spool, commit_window: config.commit_window };
        storage.sweep_spool();
        Ok(storage)
    }

    /// A new spool file; it vanishes when dropped, or when this process has died.
    ///
    /// # Errors
    /// [`Error::Storage`] when the disk is full or not writable.
    pub fn spool(&self) -> Result<NamedTempFile> {
        self.spool.file().map_err(unavailable)
    }

    /// Removes the spool files of processes that do not live any more.
    pub fn sweep_spool(&self) {
        match self.spool.sweep() {
            Ok(0) => {}
            Ok(folders) => tracing::info!(folders, "spool files of killed processes were removed"),
            Err(error) => tracing::warn!(%error, "the spool folder cannot be swept"),
        }
    }

    /// Files whose rows are still to come.
    pub fn intake<'a>(&'a self, db: &'a DatabaseConnection) -> Intake<'a> {
        Intake::new(db, self)
    }

    /// Brings a spool file under `key`, whole and durably, or not at all.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store is full, not writable or does not answer. Nothing stands under `key` then, as far
    /// as the store could still be told.
    pub async fn put(&self, key: &str, spooled: NamedTempFile) -> Result<()> {
        let id = OnceLock::new();
        let note = |started| future::ready(id.set(started).map_err(|_| Error::Unavailable));
        let put = self.put_noting(key, spooled, note).await;
        if put.is_err()
            && let Err(error) = self.clear(key, id.get().map(String::as_str)).await
        {
            tracing::warn!(?error, key, "what was put halfway cannot be cleared up");
        }
        put
    }

    /// As [`Self::put`], but leaves it to the caller to clear up after a failure. An upload in parts, which an object store
    /// would keep for ever, is noted before its first part.
    async fn put_noting<F: Future<Output = Result<()>>>(
        &self,
        key: &str,
        spooled: NamedTempFile,
        note: impl FnOnce(String) -> F,
    ) -> Result<()> {
        let key = parse(key)?;
        match &self.shelf {
            Shelf::Local(local) => local.put(&key, spooled).await.map_err(unavailable),
            Shelf::Remote(remote) => remote.put(&key, &spooled, note).await,
        }
    }

    /// The file under `key`, for reading, as long as the result is held.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::Storage`] when the store does not answer.
    pub async fn fetch(&self, key: &str) -> Result<Fetched> {
        let key = parse(key)?;
        match &self.shelf {
            Shelf::Local(local) => Ok(Fetched { path: local.existing(&key).await?, _spooled: None }),
            Shelf::Remote(remote) => {
                let spooled = self.spool()?;
                remote.fetch(&key, &spooled).await?;
                Ok(Fetched { path: spooled.path().to_owned(), _spooled: Some(spooled) })
            }
        }
    }

    /// A range of the file under `key`, in pieces, each read when it is wanted.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such file, [`Error::Storage`] when the store does not answer; the stream ends with
    /// an error when it stops answering.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytestream> {
        let key = parse(key)?;
        match &self.shelf {
            Shelf::Local(local) => reading::local(&local.existing(&key).await?, range).await,
            Shelf::Remote(remote) => reading::remote(remote.clone(), key, range).await,
        }
    }

    /// The size of the file under `key`; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store does not answer.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        let key = parse(key)?;
        match &self.shelf {
            Shelf::Local(local) => local.size(&key).await.map_err(unavailable),
            Shelf::Remote(remote) => remote.size(&key).await.map_err(unavailable),
        }
    }

    /// Removes the file under `key`; one that is not there is fine.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store does not answer or does not let go.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let key = parse(key)?;
        match &self.shelf {
            Shelf::Local(local) => local.delete(&key).await.map_err(unavailable),
            Shelf::Remote(remote) => remote.delete(&key).await.map_err(unavailable),
        }
    }

    /// Removes every file whose key begins with the folder `prefix`.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store does not answer or does not let go; some may be gone then.
    pub async fn delete_all(&self, prefix: &str) -> Result<()> {
        let mut pages = self.list(Some(prefix))?;
        while let Some(page) = pages.try_next().await? {
            for file in page {
                self.delete(&file.key).await?;
            }
        }
        Ok(())
    }

    /// The files of a folder, or all, page by page, each page asked for when it is wanted.
    ///
    /// # Errors
    /// When `prefix` is no key; the pages give [`Error::Storage`] when the store does not answer.
    pub fn list(&self, prefix: Option<&str>) -> Result<BoxStream<'static, Result<Vec<Stored>>>> {
        let prefix = prefix.map(parse).transpose()?;
        let files = match &self.shelf {
            Shelf::Local(local) => local.list(prefix.as_ref()),
            Shelf::Remote(remote) => remote.list(prefix.as_ref()),
        };
        let pages = files.map_err(unavailable).try_chunks(PAGE).map_err(|broken| broken.1);
        Ok(pages.boxed())
    }

    /// Whether files can be stored: for `/health`.
    ///
    /// # Errors
    /// When they cannot.
    pub async fn check(&self) -> Result<()> {
        let spool = self.spool.clone();
        let checked = tokio::task::spawn_blocking(move || spool.file().map(drop));
        checked.await.map_err(unavailable)?.map_err(unavailable)?;
        match &self.shelf {
            Shelf::Local(local) => local.check().await.map_err(unavailable),
            Shelf::Remote(remote) => remote.check().await.map_err(unavailable),
        }
    }

    /// Removes whatever of a file may have reached the store: itself, and an upload in parts that never ended.
    async fn clear(&self, key: &str, multipart_id: Option<&str>) -> Result<()> {
        if let (Shelf::Remote(remote), Some(id)) = (&self.shelf, multipart_id) {
            remote.abort(&parse(key)?, id).await.map_err(unavailable)?;
        }
        self.delete(key).await
    }
}

/// A file of the store that can be read on this machine, while this value lives.
#[derive(Debug)]
pub struct Fetched {
    path: PathBuf,
    /// The copy, where the store is elsewhere.
    _spooled: Option<NamedTempFile>,
}

impl Fetched {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make_dir(variable: &'static str, dir: &Path) -> anyhow::Result<()> {
    secret_file::private_dir(dir)
        .with_context(|| format!("{variable}: cannot use the folder {}", dir.display()))
}

fn parse(key: &str) -> Result<Key> {
    Ok(Key::parse(key).map_err(anyhow::Error::new)?)
}

fn unavailable(error: impl Into<anyhow::Error>) -> Error {
    Error::Storage(error.into())
}
