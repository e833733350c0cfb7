//! Validating and measuring a recording while it arrives.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::arrangement::Arrangement;
use super::layout::Layout;
use super::pcm::Pcm;
use super::verdict::{Extent, Heard};
use super::{AudioError, Container, Track, decode, source};

/// Chunks on their way to the decoder. Few, for each may be large: whoever writes faster has to wait.
const CHUNKS_IN_FLIGHT: usize = 4;

/// A recording of this length is decoded in well under a second.
const SHORT_MS: i64 = 5 * 60 * 1000;

/// What a recording may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest duration, as decoded.
    pub max_duration: Duration,
    /// Whether a recording that is damaged or cut off is taken for what can be read of it, if that is a second at
    /// least.
    pub allow_partial: bool,
}

/// What there is of a recording that is damaged or cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// How much of it could be read, in milliseconds, without the silence in the place of what could not.
    pub readable_ms: i64,
    /// What is wrong with it; completes "because …".
    pub detail: String,
}

/// What a recording is, measured by decoding it.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioInfo {
    /// How the sound is wrapped.
    pub container: Container,
    /// The short name of the codec, such as `mp3`, `aac`, `opus`.
    pub codec: String,
    /// Channels in the file.
    pub channels: u16,
    /// Samples a second and channel.
    pub sample_rate: u32,
    /// Length in milliseconds, decoded, with holes in the time stamps; never what the header says.
    pub duration_ms: i64,
    /// The highest sample of the channels mixed to one, in dBFS.
    pub peak_dbfs: f32,
    /// The mean level of the channels mixed to one, in dBFS; of an MP4 with its index at the end, of samples.
    pub rms_dbfs: f32,
    /// Whether each of two channels holds one side of the conversation.
    pub arrangement: Arrangement,
    /// Set if this is not all of the recording. Decoding then gives what can be read, and silence for holes in it.
    pub partial: Option<Partial>,
}

impl AudioInfo {
    /// How many tracks are to be recognised apart.
    #[must_use]
    pub fn tracks(&self) -> i16 {
        match self.arrangement {
            Arrangement::Mixed => 1,
            Arrangement::SeparateChannels => 2,
        }
    }
}

/// Decodes a recording on a thread of its own while its bytes are written. Dropping it stops the thread.
#[derive(Debug)]
pub struct Inspector {
    chunks: mpsc::Sender<Bytes>,
    task: Option<JoinHandle<Result<Seen, AudioError>>>,
    limits: Limits,
}

/// What came out of the stream.
#[derive(Debug)]
enum Seen {
    All(AudioInfo),
    /// An MP4 that cannot be played before it is complete; its layout was in order.
    OnlyLayout,
}

impl Inspector {
    /// Starts the thread. Must be called within a Tokio runtime.
    pub fn start(limits: Limits) -> Self {
        let (chunks, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let upload = Upload::new(receiver);
        let task = Some(spawn_blocking(move || inspect(upload, limits)));
        Self { chunks, task, limits }
    }

    /// Takes the next bytes, once the decoder has room for them.
    ///
    /// # Errors
    /// As soon as it is known that the recording cannot be used; see [`AudioError`]. [`AudioError::Io`] when an
    /// error was returned before.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), AudioError> {
        // An empty chunk is the mark of the end.
        if chunk.is_empty() || self.chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        Err(self.outcome().await.err().unwrap_or_else(over))
    }

    /// Ends the stream and gives the verdict. `file` must be a complete copy of what was written; it is only
    /// opened for an MP4 with its index at the end.
    ///
    /// # Errors
    /// When the recording cannot be used; see [`AudioError`].
    pub async fn finish(mut self, file: &Path) -> Result<AudioInfo, AudioError> {
        // Nobody listens any more when the verdict is out.
        let _ = self.chunks.send(Bytes::new()).await;
        match self.outcome().await? {
            Seen::All(info) => Ok(info),
            Seen::OnlyLayout => {
                let (file, limits): (PathBuf, _) = (file.into(), self.limits);
                joined(spawn_blocking(move || inspect_mp4(&file, limits)).await)
            }
        }
    }

    async fn outcome(&mut self) -> Result<Seen, AudioError> {
        match self.task.take() {
            Some(task) => joined(task.await),
            None => Err(over()),
        }
    }
}

fn over() -> AudioError {
    AudioError::Io(io::Error::other("the inspection is over"))
}

/// A decoder that panics on a file has met a broken file.
fn joined<T>(task: Result<Result<T, AudioError>, tokio::task::JoinError>) -> Result<T, AudioError> {
    task.unwrap_or_else(|error| {
        let fault = AudioError::damaged(0, "its contents contradict each other");
        Err(if error.is_panic() { fault } else { AudioError::Io(io::Error::other(error)) })
    })
}

/// The bytes of an upload: read once, by the demuxer, and walked for their layout on the way.
#[derive(Clone)]
struct Upload(Arc<Mutex<Arriving>>);

struct Arriving {
    chunks: mpsc::Receiver<Bytes>,
    present: Bytes,
    is_complete: bool,
    layout: Layout,
}

impl Upload {
    fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        let (present, layout) = (Bytes::new(), Layout::default());
        Self(Arc::new(Mutex::new(Arriving { chunks, present, is_complete: false, layout })))
    }

    /// Reads what the demuxer left, and returns the layout of the whole.
    fn into_layout(mut self) -> io::Result<Layout> {
        io::copy(&mut self, &mut io::sink())?;
        let mut arriving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut arriving.layout))
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.layout.is_excessive() {
            return Ok(0);
        }
        if self.present.is_empty() && !self.is_complete {
            let next = self.chunks.blocking_recv();
            self.present = next.ok_or_else(|| io::Error::other("the upload was given up"))?;
            self.is_complete = self.present.is_empty();
        }
        let count = self.present.len().min(buffer.len());
        self.layout.feed(&self.present[..count]);
        self.present.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

fn inspect(upload: Upload, limits: Limits) -> Result<Seen, AudioError> {
    let (container, input) = source::open(Box::new(upload.clone()))?;
    let heard = Pcm::stream(container, input, Track::Mix)
        .and_then(|pcm| Heard::all_of(pcm, limits, Extent::Everything));
    if container == Container::Mp4 {
        return inspect_mp4_stream(heard, &upload.into_layout()?);
    }
    heard?.judge(&upload.into_layout()?).map(Seen::All)
}

/// Most MP4s cannot be played before they are complete. Only when nothing is missing is it worth looking again.
fn inspect_mp4_stream(heard: Result<Heard, AudioError>, layout: &Layout) -> Result<Seen, AudioError> {
    match (heard, layout.missing()) {
        (Ok(heard), None) if heard.ended_early() => Ok(Seen::OnlyLayout),
        (Ok(heard), _) => heard.judge(layout).map(Seen::All),
        (Err(AudioError::Damaged { .. }), None) => Ok(Seen::OnlyLayout),
        (Err(AudioError::Damaged { readable_ms, .. }), Some(detail)) => {
            Err(AudioError::damaged(readable_ms, detail))
        }
        (Err(error), _) => Err(error),
    }
}

/// Checks an MP4 whose index stands behind the sound (most recorders write it so) when the file is complete. All
/// packets are read, which shows whether all bytes that the index names are there and takes a fraction of a second;
/// but to decode an hour takes longer than an uploader should wait, so a second out of every ten is, which finds
/// stretches that were overwritten. A file that seems silent, is accepted in part, or is short and has two channels is
/// decoded in full.
fn inspect_mp4(file: &Path, limits: Limits) -> Result<AudioInfo, AudioError> {
    let check = |extent| Heard::all_of(decode::open(file, Track::Mix)?, limits, extent)?.judge_file();
    match check(Extent::Samples) {
        Err(AudioError::Silent) => check(Extent::Everything),
        Err(AudioError::Damaged { .. }) if limits.allow_partial => check(Extent::Everything),
        // A side of a short conversation may have been silent in every second that was looked at.
        Ok(info) if info.channels == 2 && info.duration_ms < SHORT_MS => check(Extent::Everything),
        verdict => verdict,
    }
}
