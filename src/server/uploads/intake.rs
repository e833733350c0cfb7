//! Takes the body of one request in: into a spool file, and from there, part by part, into the store.

use axum::Error as BodyError;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Refusal};
use super::checksum::Checksum;
use crate::auth::presence::Attendance;
use crate::entity::unfinished_upload::Model;
use crate::storage::Storage;
use crate::uploads::{self, Refused, Spooled, Turn, Unfinished};

/// A body on its way in.
pub(super) struct Intake {
    pub(super) unfinished: Unfinished,
    pub(super) upload: Model,
    pub(super) checksum: Option<Checksum>,
    /// The length of the body, if it was told.
    pub(super) promised: Option<u64>,
    pub(super) turn: Turn,
    pub(super) stop: CancellationToken,
    pub(super) log_in: Option<Attendance>,
}

/// How a body ended, and the upload after it. Whatever came is kept, but where the end says otherwise.
pub(super) enum Ended {
    /// With its last byte.
    Whole(Model),
    /// The connection broke.
    Broken,
    /// Nothing came for too long.
    Stalled(Model),
    /// There was more than fits. What fits is kept.
    TooLong,
    /// Another request wants to write to the upload.
    Replaced,
    /// The server stops.
    Stopping(Model),
    /// The log-in has ended; what had not been kept by then is not.
    LoggedOut,
    /// The checksum does not match; nothing is kept.
    Mismatch,
}

impl Ended {
    /// What the client is told.
    pub(super) fn answer(self) -> Result<axum::response::Response, Refusal> {
        Err(match self {
            Self::Whole(upload) => return Ok(answer::moved(&upload)),
            Self::Broken => Refusal::bad("The body broke off. What had come is kept."),
            Self::Stalled(_) => Refusal::stalled(),
            Self::TooLong => Refusal::too_long(),
            Self::Replaced => Refused::Moved.into(),
            Self::Stopping(_) => Refusal::stopping(),
            Self::LoggedOut => Refusal::unauthenticated(),
            Self::Mismatch => Refusal::checksum_mismatch(),
        })
    }
}

/// Why nothing more is read.
enum Why {
    Whole,
    Broken,
    Stalled,
    TooLong,
    Replaced,
    Stopping,
    LoggedOut,
}

impl Intake {
    /// Reads to the end, whichever it is; gives the rest of the body back, so that it can be read off the connection.
    pub(super) async fn run<S>(mut self, mut chunks: S) -> (Result<Ended, Refused>, S)
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin + Send,
    {
        let ended = self.take(&mut chunks).await;
        (ended, chunks)
    }

    async fn take<S>(&mut self, chunks: &mut S) -> Result<Ended, Refused>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin + Send,
    {
        let mut part = Part::new(&self.unfinished.storage)?;
        let mut read = 0;
        let why = loop {
            let chunk = match self.next(chunks).await {
                Ok(chunk) => chunk,
                Err(why) => break why,
            };
            let room = uploads::reserved(&self.upload) - uploads::received(&self.upload) - part.bytes;
            read += chunk.len() as u64;
            if chunk.len() as u64 > room {
                break Why::TooLong;
            }
            if let Some(checksum) = &mut self.checksum {
                checksum.update(&chunk);
            }
            part.write(&chunk).await?;
            // What has a checksum is kept as a whole, or not at all.
            if self.checksum.is_none() && part.bytes >= self.unfinished.limits.part_bytes {
                let full = std::mem::replace(&mut part, Part::new(&self.unfinished.storage)?);
                self.keep(full).await?;
            }
        };
        let is_short = self.promised.is_some_and(|promised| read < promised);
        let why = if matches!(why, Why::Whole) && is_short { Why::Broken } else { why };
        self.end(part, why).await
    }

    /// The next bytes, or why there are none.
    async fn next<S>(&self, chunks: &mut S) -> Result<Bytes, Why>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin + Send,
    {
        tokio::select! {
            // Nothing more is taken from somebody who was let out meanwhile.
            biased;
            () = ended(self.log_in.as_ref()) => Err(Why::LoggedOut),
            () = self.stop.cancelled() => Err(Why::Stopping),
            () = self.turn.wanted() => Err(Why::Replaced),
            chunk = tokio::time::timeout(self.unfinished.limits.idle, chunks.next()) => match chunk {
                Ok(Some(chunk)) => chunk.map_err(|_| Why::Broken),
                Ok(None) => Err(Why::Whole),
                Err(_) => Err(Why::Stalled),
            },
        }
    }

    async fn end(&mut self, part: Part, why: Why) -> Result<Ended, Refused> {
        let is_kept = match (self.checksum.take(), &why) {
            (_, Why::LoggedOut) => false,
            (None, _) => true,
            (Some(checksum), Why::Whole) => {
                if !checksum.matches() {
                    return Ok(Ended::Mismatch);
                }
                true
            }
            (Some(_), _) => false,
        };
        if is_kept {
            self.keep(part).await?;
        }
        let upload = self.upload.clone();
        Ok(match why {
            Why::Whole => Ended::Whole(upload),
            Why::Broken => Ended::Broken,
            Why::Stalled => Ended::Stalled(upload),
            Why::TooLong => Ended::TooLong,
            Why::Replaced => Ended::Replaced,
            Why::Stopping => Ended::Stopping(upload),
            Why::LoggedOut => Ended::LoggedOut,
        })
    }

    async fn keep(&mut self, part: Part) -> Result<(), Refused> {
        if part.bytes > 0 {
            self.upload = self.unfinished.append(&self.upload, part.finish().await?).await?;
        }
        Ok(())
    }
}

/// Waits until the log-in has ended.
async fn ended(log_in: Option<&Attendance>) {
    match log_in {
        Some(log_in) => log_in.ended().cancelled_owned().await,
        None => std::future::pending().await,
    }
}

/// A part on its way in.
struct Part {
    file: tempfile::NamedTempFile,
    out: tokio::fs::File,
    bytes: u64,
}

impl Part {
    fn new(storage: &Storage) -> crate::error::Result<Self> {
        let file = storage.spool()?;
        let out = tokio::fs::File::from_std(file.reopen()?);
        Ok(Self { file, out, bytes: 0 })
    }

    async fn write(&mut self, chunk: &[u8]) -> crate::error::Result<()> {
        self.bytes += chunk.len() as u64;
        Ok(self.out.write_all(chunk).await?)
    }

    async fn finish(mut self) -> crate::error::Result<Spooled> {
        self.out.flush().await?;
        Ok(Spooled { file: self.file, bytes: self.bytes })
    }
}
