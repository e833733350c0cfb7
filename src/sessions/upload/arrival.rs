//! A recording while it arrives: spooled, counted, hashed and decoded, chunk by chunk.

use bytes::Bytes;
use futures::{Stream, StreamExt, pin_mut};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::Uploads;
use crate::audio::{AudioError, AudioInfo, Inspector, Limits};
use crate::error::{Code, Error, Result, UserError};

/// A recording that has arrived, is complete and can be decoded.
pub(super) struct Received {
    pub(super) file: NamedTempFile,
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) info: AudioInfo,
}

impl Uploads {
    pub(super) async fn receive(
        &self,
        chunks: impl Stream<Item = Result<Bytes>> + Send,
        allow_partial: bool,
    ) -> Result<Received> {
        let file = self.storage.spool()?;
        let mut out = tokio::fs::File::from_std(file.reopen()?);
        let mut inspector =
            Inspector::start(Limits { max_duration: self.limits.max_duration, allow_partial });
        let mut meter = Meter::new(self.limits.max_bytes);
        pin_mut!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = meter.take(chunk)?;
            out.write_all(&chunk).await.map_err(full)?;
            inspector.write(chunk).await.map_err(refuse)?;
        }
        out.flush().await.map_err(full)?;
        let info = inspector.finish(file.path()).await.map_err(refuse)?;
        Ok(Received { file, bytes: meter.bytes, sha256: meter.sha256(), info })
    }

    /// Only what tells whether it is the same file: for a request that was done before.
    pub(super) async fn hash_only(&self, chunks: impl Stream<Item = Result<Bytes>> + Send) -> Result<String> {
        let mut meter = Meter::new(self.limits.max_bytes);
        pin_mut!(chunks);
        while let Some(chunk) = chunks.next().await {
            meter.take(chunk)?;
        }
        Ok(meter.sha256())
    }
}

/// Counts and hashes bytes as they pass.
struct Meter {
    hash: Sha256,
    bytes: u64,
    max_bytes: u64,
}

impl Meter {
    fn new(max_bytes: u64) -> Self {
        Self { hash: Sha256::new(), bytes: 0, max_bytes }
    }

    fn take(&mut self, chunk: Result<Bytes>) -> Result<Bytes> {
        let chunk = chunk?;
        self.bytes += chunk.len() as u64;
        if self.bytes > self.max_bytes {
            let message = format!("The file is larger than {} MB.", self.max_bytes / 1024 / 1024);
            return Err(UserError::new(Code::FileTooLarge, message).on("audio").into());
        }
        self.hash.update(&chunk);
        Ok(chunk)
    }

    fn sha256(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

/// What is on its way cannot be written down.
fn full(error: std::io::Error) -> Error {
    Error::Storage(error.into())
}

fn refuse(error: AudioError) -> Error {
    let code = match &error {
        AudioError::Empty | AudioError::Unsupported { .. } => Code::UnsupportedMedia,
        AudioError::Damaged { .. } => Code::DamagedMedia,
        AudioError::Silent => Code::SilentMedia,
        AudioError::TooLong { .. } => Code::FileTooLarge,
        AudioError::Io(_) => return Error::Internal(anyhow::Error::new(error)),
    };
    UserError::new(code, error.to_string()).on("audio").into()
}
