//! Copies of a file that is for several variables. Whoever comes first reads it while it arrives, and what they read is kept
//! in a file without a name for those who come later.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::{Chunks, IncomingFile, Source, UploadError};

/// What is read at a time of what is kept.
const SLICE: usize = 64 << 10;

/// So many copies of one file.
pub(super) fn of(file: IncomingFile, count: usize, folder: &Path) -> Vec<IncomingFile> {
    let IncomingFile { filename, content_type, chunks } = file;
    let original = Original { arriving: chunks, folder: folder.to_owned(), kept: None, length: 0, end: None };
    let original = Arc::new(Mutex::new(original));
    let copy = || IncomingFile {
        filename: filename.clone(),
        content_type: content_type.clone(),
        chunks: Chunks(Source::Copy(read(original.clone()).boxed())),
    };
    std::iter::repeat_with(copy).take(count).collect()
}

/// All of the file, from its beginning.
fn read(original: Arc<Mutex<Original>>) -> impl Stream<Item = Result<Bytes, UploadError>> {
    async_stream::stream! {
        let mut offset = 0;
        loop {
            let chunk = original.lock().await.at(offset).await;
            match chunk {
                Ok(Some(chunk)) => {
                    offset += chunk.len() as u64;
                    yield Ok(chunk);
                }
                Ok(None) => return,
                Err(error) => return yield Err(error),
            }
        }
    }
}

struct Original {
    arriving: Chunks,
    folder: PathBuf,
    /// What has arrived.
    kept: Option<tokio::fs::File>,
    length: u64,
    /// How it ended.
    end: Option<Result<(), UploadError>>,
}

impl Original {
    /// What is there from here on, or comes next; `None` at the end.
    async fn at(&mut self, offset: u64) -> Result<Option<Bytes>, UploadError> {
        if offset < self.length {
            return self.again(offset).await.map(Some).map_err(|_| UploadError::NotKept);
        }
        if let Some(end) = self.end {
            return end.map(|()| None);
        }
        match self.arriving.next().await {
            Some(Ok(chunk)) => {
                self.keep(&chunk).await.map_err(|_| UploadError::NotKept)?;
                Ok(Some(chunk))
            }
            Some(Err(error)) => {
                self.end = Some(Err(error));
                Err(error)
            }
            None => {
                self.end = Some(Ok(()));
                Ok(None)
            }
        }
    }

    async fn keep(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.kept {
            Some(file) => file,
            // It has no name, so that nothing is left of it whatever happens.
            none => none.insert(tempfile::tempfile_in(&self.folder)?.into()),
        };
        file.seek(SeekFrom::Start(self.length)).await?;
        file.write_all(chunk).await?;
        file.flush().await?;
        self.length += chunk.len() as u64;
        Ok(())
    }

    async fn again(&mut self, offset: u64) -> std::io::Result<Bytes> {
        let file = self.kept.as_mut().ok_or(std::io::ErrorKind::NotFound)?;
        file.seek(SeekFrom::Start(offset)).await?;
        let left = usize::try_from(self.length - offset).unwrap_or(SLICE);
        let mut slice = vec![0; left.min(SLICE)];
        file.read_exact(&mut slice).await?;
        Ok(slice.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel;
    use super::*;

    async fn all(file: IncomingFile) -> Result<Vec<u8>, UploadError> {
        let chunks: Vec<_> = file.chunks.collect().await;
        chunks.into_iter().try_fold(Vec::new(), |all, chunk| Ok([all, chunk?.to_vec()].concat()))
    }

    fn recording() -> Vec<u8> {
        (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    async fn send(sender: super::super::UploadSender, end: Result<(), UploadError>) {
        for chunk in recording().chunks(50_000) {
            sender.chunk(Bytes::copy_from_slice(chunk)).await;
        }
        sender.end(end).await;
    }

    #[tokio::test]
    async fn each_copy_is_the_whole_file_also_one_that_is_read_later_or_by_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, file) = channel(Some("a.wav".into()), None);
        let mut copies = of(file, 3, folder.path());
        let mut broken_off = copies.pop().unwrap();
        let ((), first) = tokio::join!(send(sender, Ok(())), async {
            assert!(broken_off.chunks.next().await.unwrap().is_ok());
            drop(broken_off);
            all(copies.pop().unwrap()).await
        });
        let second = copies.pop().unwrap();
        assert_eq!(second.filename.as_deref(), Some("a.wav"));
        assert!(first == Ok(recording()) && all(second).await == Ok(recording()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "what is kept has no name");
    }

    #[tokio::test]
    async fn a_broken_upload_is_broken_for_each_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, file) = channel(None, None);
        let mut copies = of(file, 2, folder.path());
        let ((), first) = tokio::join!(send(sender, Err(UploadError::Stalled)), all(copies.pop().unwrap()));
        assert_eq!(first, Err(UploadError::Stalled));
        assert_eq!(all(copies.pop().unwrap()).await, Err(UploadError::Stalled));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_said() {
        let (sender, file) = channel(None, None);
        let mut copies = of(file, 2, Path::new("/nowhere"));
        let reading = async move {
            let first = all(copies.pop().unwrap()).await;
            // Nobody reads any more.
            drop(copies);
            first
        };
        let ((), first) = tokio::join!(send(sender, Ok(())), reading);
        assert_eq!(first, Err(UploadError::NotKept));
    }
}
