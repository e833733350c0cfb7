//! The parts of an upload as one stream of bytes.

use async_stream::try_stream;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio_util::io::ReaderStream;

use crate::error::{Error, Result};
use crate::storage::Storage;

/// What is read at a time.
const CHUNK: usize = 128 << 10;

/// Reads the files under these keys, one after the other; each must have as many bytes as are told.
pub(super) fn of(
    storage: Storage,
    parts: Vec<(String, i64)>,
) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    try_stream! {
        for (key, bytes) in parts {
            let part = storage.fetch(&key).await?;
            let file = tokio::fs::File::open(part.path()).await?;
            let mut chunks = ReaderStream::with_capacity(file, CHUNK);
            let mut left = bytes;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk?;
                left -= i64::try_from(chunk.len()).unwrap_or(i64::MAX);
                yield chunk;
            }
            if left != 0 {
                Err(Error::Internal(anyhow::anyhow!("a part of an upload has not the length it had: {key}")))?;
            }
        }
    }
}
