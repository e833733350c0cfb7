//! The `Upload` scalar: a file that is still on its way while its resolver reads it.

mod copies;

use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use async_graphql::{Context, Description, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::error::{Code, Error, UserError};

/// Chunks between the network and the resolver: enough to overlap the two, few enough to stay small.
const CHUNKS_IN_FLIGHT: usize = 4;

/// A file of a [multipart request](https://github.com/jaydenseric/graphql-multipart-request-spec), at most
/// one a request.
#[derive(Clone, Copy, Debug, Description)]
pub struct Upload(());

#[Scalar(name = "Upload", use_type_description)]
impl ScalarType for Upload {
    fn parse(value: Value) -> InputValueResult<Self> {
        if Self::is_valid(&value) {
            return Ok(Self(()));
        }
        Err(InputValueError::custom("send the file as a part of a multipart request"))
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Binary(_))
    }

    fn to_value(&self) -> Value {
        Value::Null
    }
}

impl Upload {
    /// What stands in a variable for the file. No JSON and no document can spell it.
    pub fn placeholder() -> Value {
        Value::Binary(Bytes::new())
    }

    /// The file, to be read while it arrives. It can be taken once for each variable that it is for.
    ///
    /// # Errors
    /// When other fields of the same request took it.
    pub fn value(self, ctx: &Context<'_>) -> Result<IncomingFile, UploadError> {
        let slot = ctx.data_opt::<UploadSlot>().ok_or(UploadError::Taken)?;
        slot.0.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(UploadError::Taken)
    }
}

/// Carries the file from the transport to the resolvers, in the request's data.
pub struct UploadSlot(Mutex<Vec<IncomingFile>>);

impl UploadSlot {
    /// A slot with the request's file, for so many variables. More than one each get a copy; what the first of them has read
    /// is kept in `folder` for the others, as long as the request lasts.
    pub fn new(file: IncomingFile, variables: usize, folder: &Path) -> Self {
        let files = if variables == 1 { vec![file] } else { copies::of(file, variables, folder) };
        Self(Mutex::new(files))
    }
}

/// A file on its way.
pub struct IncomingFile {
    /// Its name on the client's machine, as sent: never a path to use.
    pub filename: Option<String>,
    /// Its media type as the client claims.
    pub content_type: Option<String>,
    /// Its bytes. The stream ends after the last byte only; anything else is an error.
    pub chunks: Chunks,
}

/// Why a file did not arrive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The client went away, or its body ended early.
    #[error("The upload was broken off.")]
    Aborted,
    /// The client sent nothing for too long.
    #[error("The upload stalled.")]
    Stalled,
    /// The file is larger than any request may be.
    #[error("The file is larger than allowed.")]
    TooLarge,
    /// The request holds more than the one file.
    #[error("Send one file a request.")]
    MoreThanOne,
    /// The file was taken by another field.
    #[error("The file of this request was used more often than `map` gives it to variables.")]
    Taken,
    /// What one variable had read could not be kept for the next one.
    #[error("The file cannot be kept at the moment. Try again, or send it in a request of its own.")]
    NotKept,
}

impl From<UploadError> for Error {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge => UserError::new(Code::FileTooLarge, error.to_string()).into(),
            UploadError::NotKept => Self::Unavailable,
            other => Self::BadRequest(other.to_string()),
        }
    }
}

/// `Some` is a chunk, `None` the proper end.
type Piece = Result<Option<Bytes>, UploadError>;

/// The bytes of an [`IncomingFile`].
pub struct Chunks(Source);

enum Source {
    /// As they arrive; nothing after the end.
    Arriving(Option<mpsc::Receiver<Piece>>),
    /// One of several copies.
    Copy(BoxStream<'static, Result<Bytes, UploadError>>),
}

impl Stream for Chunks {
    type Item = Result<Bytes, UploadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let arriving = match &mut self.0 {
            Source::Arriving(pieces) => pieces,
            Source::Copy(chunks) => return chunks.poll_next_unpin(cx),
        };
        let Some(pieces) = arriving else {
            return Poll::Ready(None);
        };
        let piece = match std::task::ready!(pieces.poll_recv(cx)) {
            Some(Ok(piece)) => piece.map(Ok),
            Some(Err(error)) => Some(Err(error)),
            // The sender was dropped without an end: so was the connection.
            None => Some(Err(UploadError::Aborted)),
        };
        if !matches!(piece, Some(Ok(_))) {
            *arriving = None;
        }
        Poll::Ready(piece)
    }
}

/// The transport's end of a file.
pub struct UploadSender(mpsc::Sender<Piece>);

impl UploadSender {
    /// Passes a chunk on, as soon as there is room for it; false when nobody reads any more.
    pub async fn chunk(&self, chunk: Bytes) -> bool {
        self.0.send(Ok(Some(chunk))).await.is_ok()
    }

    /// Ends the file, properly or not.
    pub async fn end(self, result: Result<(), UploadError>) {
        // Nobody needs the news when nobody reads.
        let _ = self.0.send(result.map(|()| None)).await;
    }

    /// Waits until nobody reads any more.
    pub async fn unread(&self) {
        self.0.closed().await;
    }
}

/// A file and the sender of its bytes. A sender dropped without [`UploadSender::end`] is a broken upload.
pub fn channel(filename: Option<String>, content_type: Option<String>) -> (UploadSender, IncomingFile) {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    (
        UploadSender(sender),
        IncomingFile { filename, content_type, chunks: Chunks(Source::Arriving(Some(receiver))) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_ends_after_its_last_byte() {
        let (sender, file) = channel(None, None);
        assert!(sender.chunk(Bytes::from_static(b"ab")).await);
        sender.end(Ok(())).await;
        let chunks: Vec<_> = file.chunks.collect().await;
        assert_eq!(chunks, [Ok(Bytes::from_static(b"ab"))]);
    }

    #[tokio::test]
    async fn a_dropped_sender_is_a_broken_upload() {
        let (sender, file) = channel(None, None);
        assert!(sender.chunk(Bytes::from_static(b"ab")).await);
        drop(sender);
        let chunks: Vec<_> = file.chunks.collect().await;
        assert_eq!(chunks, [Ok(Bytes::from_static(b"ab")), Err(UploadError::Aborted)]);
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_reads() {
        let (sender, file) = channel(None, None);
        drop(file);
        sender.unread().await;
        assert!(!sender.chunk(Bytes::from_static(b"ab")).await);
    }

    #[test]
    fn no_json_spells_a_file() {
        for json in [r#""x""#, "null", "[]", "{}", "0"] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert!(Upload::parse(value).is_err(), "{json}");
        }
        assert!(Upload::parse(Upload::placeholder()).is_ok());
    }
}
