//! An object store: S3 and what speaks like it, Google's and Microsoft's. Files go up and come down in parts, so that
//! memory stays small; every request and its repetitions end in bounded time, so that a store that is away is an error
//! and not a wait.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, ObjectStoreScheme,
    RetryConfig,
};
use secrecy::ExposeSecret;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::{Stored, unavailable};
use crate::config::RemoteConfig;
use crate::error::{Error, Result};

/// What goes up or comes down in one request: the least that S3 takes, and the same for each, as R2 wants it.
const PART: u64 = 5 << 20;
/// Parts of one file on their way at a time.
const PARTS_OF_A_FILE: usize = 2;
/// Parts in the memory of this process, however many files are on their way.
const PARTS_AT_A_TIME: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Files are removed one by one, which all that speak like S3 know.
const DEFAULTS: [(&str, &str); 1] = [("aws_disable_bulk_delete", "true")];

/// What the stores of all kinds can do.
trait Objects: ObjectStore + MultipartStore + PaginatedListStore {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore> Objects for T {}

/// The store.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn Objects>,
    prefix: Key,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store itself may print what opens it.
        f.debug_struct("Remote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The builders are of three types with the same methods. Options meant for others are passed over.
macro_rules! build {
    ($builder:ty, $config:expr) => {{
        let options =
            ClientOptions::new().with_timeout($config.timeout).with_connect_timeout(CONNECT_TIMEOUT);
        let builder = <$builder>::new()
            .with_url($config.url.to_string())
            .with_retry(retries($config.timeout))
            .with_client_options(options);
        let options = $config.options.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        let options = DEFAULTS.into_iter().chain(options);
        let builder = options.fold(builder, |builder, (name, value)| match name.parse() {
            Ok(option) => builder.with_config(option, value),
            Err(_) => builder,
        });
        Arc::new(builder.build()?) as Arc<dyn Objects>
    }};
}

/// Short enough for somebody who waits for the answer to their upload.
fn retries(timeout: Duration) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 4, retry_timeout: timeout }
}

impl Remote {
    pub(super) fn open(config: &RemoteConfig) -> anyhow::Result<Self> {
        let (scheme, prefix) = ObjectStoreScheme::parse(&config.url)?;
        let store = match scheme {
            ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder, config),
            ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder, config),
            ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder, config),
            other => anyhow::bail!("{other:?} is no object store"),
        };
        Ok(Self { store, prefix, places: Arc::new(Semaphore::new(PARTS_AT_A_TIME)) })
    }

    fn at(&self, key: &Key) -> Key {
        self.prefix.parts().chain(key.parts()).collect()
    }

    /// A file of one part goes up in one request, which is whole or nothing; a larger one as an upload in parts, whose id
    /// is noted first.
    pub(super) async fn put<F: Future<Output = Result<()>>>(
        &self,
        key: &Key,
        spooled: &NamedTempFile,
        note: impl FnOnce(String) -> F,
    ) -> Result<()> {
        let (at, file) = (self.at(key), Arc::new(spooled.reopen().map_err(unavailable)?));
        let bytes = file.metadata().map_err(unavailable)?.len();
        if bytes <= PART {
            return self.put_whole(&at, file, bytes).await.map_err(unavailable);
        }
        let id = self.store.create_multipart(&at).await.map_err(unavailable)?;
        note(id.clone()).await?;
        self.put_parts(&at, &id, (file, bytes)).await.map_err(unavailable)
    }

    async fn put_whole(&self, at: &Key, file: Arc<File>, bytes: u64) -> anyhow::Result<()> {
        let _place = self.places.acquire().await?;
        self.store.put(at, read(file, 0, bytes).await?.into()).await?;
        Ok(())
    }

    async fn put_parts(&self, at: &Key, id: &String, (file, bytes): (Arc<File>, u64)) -> anyhow::Result<()> {
        let parts: Vec<PartId> = stream::iter((0..bytes).step_by(usize::try_from(PART)?).enumerate())
            .map(|(index, start)| {
                let (file, length) = (file.clone(), PART.min(bytes - start));
                async move {
                    let _place = self.places.acquire().await?;
                    let part = read(file, start, length).await?;
                    anyhow::Ok(self.store.put_part(at, id, index, part.into()).await?)
                }
            })
            .buffered(PARTS_OF_A_FILE)
            .try_collect()
            .await?;
        self.store.complete_multipart(at, id, parts).await?;
        Ok(())
    }

    /// Ends an upload in parts for good; one that ended already is fine.
    pub(super) async fn abort(&self, key: &Key, id: &str) -> anyhow::Result<()> {
        missing_is_fine(self.store.abort_multipart(&self.at(key), &id.to_owned()).await)
    }

    /// Copies the file under `key` into `spooled`. Asks for it part by part, so that each may take its time, but none
    /// for ever.
    pub(super) async fn fetch(&self, key: &Key, spooled: &NamedTempFile) -> Result<()> {
        match self.copy(&self.at(key), spooled).await {
            Err(error) if is_missing(&error) => Err(Error::NotFound("file")),
            copied => copied.map_err(unavailable),
        }
    }

    /// A few bytes of the file under `key`, at once.
    pub(super) async fn piece(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        match self.get(&self.at(key), range).await {
            Err(error) if is_missing(&error) => Err(Error::NotFound("file")),
            piece => piece.map_err(unavailable),
        }
    }

    async fn get(&self, at: &Key, range: Range<u64>) -> anyhow::Result<Bytes> {
        let _place = self.places.acquire().await?;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        Ok(self.store.get_opts(at, options).await?.bytes().await?)
    }

    async fn copy(&self, at: &Key, spooled: &NamedTempFile) -> anyhow::Result<()> {
        let mut out = tokio::fs::File::from_std(spooled.reopen()?);
        let mut copied = 0;
        loop {
            let range = Some(GetRange::Bounded(copied..copied + PART));
            let part = self.store.get_opts(at, GetOptions { range, ..GetOptions::default() }).await?;
            let (size, before) = (part.meta.size, copied);
            let mut bytes = part.into_stream();
            while let Some(bytes) = bytes.try_next().await? {
                copied += bytes.len() as u64;
                out.write_all(&bytes).await?;
            }
            if copied >= size {
                return Ok(out.flush().await?);
            }
            anyhow::ensure!(copied > before, "the store answers with nothing");
        }
    }

    /// The size of the file under `key`, if there is one.
    pub(super) async fn size(&self, key: &Key) -> anyhow::Result<Option<u64>> {
        match self.store.head(&self.at(key)).await {
            Ok(file) => Ok(Some(file.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn delete(&self, key: &Key) -> anyhow::Result<()> {
        missing_is_fine(self.store.delete(&self.at(key)).await)
    }

    pub(super) fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<Stored>> {
        let prefix = prefix.map_or_else(|| self.prefix.clone(), |prefix| self.at(prefix));
        let own = self.prefix.clone();
        let stored = move |file: object_store::ObjectMeta| {
            let key = file.location.prefix_match(&own).map(Iterator::collect::<Key>);
            Stored {
                key: key.unwrap_or(file.location).to_string(),
                bytes: file.size,
                modified: file.last_modified,
            }
        };
        self.store.list(Some(&prefix)).map_ok(stored).boxed()
    }

    /// Whether the store answers, and lets us in.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let prefix = Some(self.prefix.as_ref()).filter(|prefix| !prefix.is_empty());
        self.store.list_paginated(prefix, options).await?;
        Ok(())
    }
}

async fn read(file: Arc<File>, start: u64, length: u64) -> anyhow::Result<Bytes> {
    let mut part = vec![0; usize::try_from(length)?];
    let read = move || file.read_exact_at(&mut part, start).map(|()| part);
    Ok(tokio::task::spawn_blocking(read).await??.into())
}

fn is_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. }))
}

fn missing_is_fine(done: object_store::Result<()>) -> anyhow::Result<()> {
    match done {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        done => Ok(done?),
    }
}
