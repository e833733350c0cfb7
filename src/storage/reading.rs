//! Bytes out of the store, piece by piece, as fast as they are taken: a slow reader costs a piece of memory, and no
//! request to an object store stays open for its sake.

use std::io::SeekFrom;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::remote::Remote;
use super::unavailable;
use crate::error::{Error, Result};

/// What is read from a folder at a time.
const PIECE: usize = 64 << 10;
/// What is asked of an object store at a time.
const REMOTE_PIECE: u64 = 1 << 20;

/// Bytes on their way out.
pub type Bytestream = BoxStream<'static, Result<Bytes>>;

/// A file that is open stays readable, whoever removes it.
pub(super) async fn local(path: &Path, range: Range<u64>) -> Result<Bytestream> {
    let mut file = tokio::fs::File::open(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound("file"),
        _ => unavailable(error),
    })?;
    file.seek(SeekFrom::Start(range.start)).await.map_err(unavailable)?;
    let part = file.take(range.end.saturating_sub(range.start));
    Ok(ReaderStream::with_capacity(part, PIECE).map_err(unavailable).boxed())
}

/// The first piece is there when this returns: what is missing is known before anything is said of it.
pub(super) async fn remote(remote: Remote, key: Key, range: Range<u64>) -> Result<Bytestream> {
    let mut pieces = pieces(range);
    let first = match pieces.next() {
        Some(piece) => Some(Ok(remote.piece(&key, piece).await?)),
        None => None,
    };
    let rest = stream::iter(pieces).then(move |piece| {
        let (remote, key) = (remote.clone(), key.clone());
        async move { remote.piece(&key, piece).await }
    });
    Ok(stream::iter(first).chain(rest).boxed())
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let (start, end) = (range.start, range.end);
    (0..).map_while(move |number| {
        let from = number * REMOTE_PIECE + start;
        (from < end).then(|| from..(from + REMOTE_PIECE).min(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_without_gap_or_overlap() {
        let mib = REMOTE_PIECE;
        assert_eq!(pieces(0..0).count(), 0);
        assert_eq!(pieces(5..6).collect::<Vec<_>>(), vec![5..6]);
        assert_eq!(pieces(0..mib).collect::<Vec<_>>(), vec![0..mib]);
        assert_eq!(pieces(7..mib + 8).collect::<Vec<_>>(), vec![7..mib + 7, mib + 7..mib + 8]);
    }

    #[tokio::test]
    async fn a_part_of_a_file_is_read_and_a_missing_one_is_told_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").expect("written");
        let bytes: Vec<Bytes> = local(&path, 2..5).await.expect("open").try_collect().await.expect("read");
        assert_eq!(bytes.concat(), b"234");
        assert!(matches!(local(&folder.path().join("none"), 0..1).await, Err(Error::NotFound(_))));
    }
}
