//! A recording as samples for speech recognition.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use super::layout::Layout;
use super::pcm::Pcm;
use super::resample::Resampler;
use super::{AudioError, Container, SAMPLE_RATE, source};

/// The sound of a recording, mono at 16 kHz, in chunks of about a second; see [`decode`].
pub struct Samples16k {
    pcm: Pcm,
    resampler: Option<Resampler>,
    /// Silence that comes next, and the sound after it.
    gap: u64,
    held: Vec<f32>,
    is_done: bool,
}

/// Which sound of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Track {
    /// All channels, mixed to one.
    #[default]
    Mix,
    /// One channel, counted from 0; silence where the recording has no such channel.
    Channel(u16),
}

/// Opens a recording for recognition. Memory is bounded whatever the file says. Sound keeps its place on the time
/// line: packets that cannot be decoded and holes in the time stamps become silence, and the resampler's delay is
/// taken out. It ends where no more can be read.
///
/// # Errors
/// As for [`Inspector`](super::Inspector), of what shows at the beginning. What is inspected has no other errors;
/// the duration is not limited here.
pub fn decode(path: &Path, track: Track) -> Result<Samples16k, AudioError> {
    let pcm = open(path, track)?;
    Ok(Samples16k { pcm, resampler: None, gap: 0, held: Vec::new(), is_done: false })
}

/// Opens a recording as a file. An MP4 that breaks off can only be read as the stream that it was.
pub(super) fn open(path: &Path, track: Track) -> Result<Pcm, AudioError> {
    let (container, input) = source::open(Box::new(File::open(path)?))?;
    match container {
        Container::Mp4 if !breaks_off(path)? => Pcm::mp4_file(File::open(path)?, track),
        _ => Pcm::stream(container, input, track),
    }
}

fn breaks_off(path: &Path) -> io::Result<bool> {
    let mut input = BufReader::with_capacity(64 * 1024, File::open(path)?);
    let mut layout = Layout::default();
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(layout.missing().is_some());
        }
        layout.feed(bytes);
        let count = bytes.len();
        input.consume(count);
    }
}

impl Samples16k {
    /// Adds some sound to `chunk`; false at the end.
    fn read(&mut self, chunk: &mut Vec<f32>) -> Result<bool, AudioError> {
        if self.gap > 0 {
            self.pass_silence(chunk);
        } else if !self.held.is_empty() {
            let sound = std::mem::take(&mut self.held);
            self.pass(&sound, chunk);
        } else {
            let Some(block) = self.pcm.next(true)? else {
                return Ok(false);
            };
            self.gap = block.gap;
            self.held.extend_from_slice(block.samples);
        }
        Ok(true)
    }

    /// Passes on at most a second, for time stamps may claim hours.
    fn pass_silence(&mut self, chunk: &mut Vec<f32>) {
        let now = self.gap.min(u64::from(self.pcm.rate()));
        self.gap -= now;
        self.pass(&vec![0.0; usize::try_from(now).unwrap_or(0)], chunk);
    }

    fn pass(&mut self, sound: &[f32], chunk: &mut Vec<f32>) {
        self.resampler.get_or_insert_with(|| Resampler::new(self.pcm.rate())).push(sound, chunk);
    }

    fn next_chunk(&mut self) -> Result<Vec<f32>, AudioError> {
        let mut chunk = Vec::new();
        while chunk.len() < SAMPLE_RATE as usize {
            if !self.read(&mut chunk)? {
                self.is_done = true;
                self.resampler.iter_mut().for_each(|resampler| resampler.finish(&mut chunk));
                break;
            }
        }
        Ok(chunk)
    }
}

impl Iterator for Samples16k {
    type Item = Result<Vec<f32>, AudioError>;

    /// The next chunk. An error is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let chunk = self.next_chunk();
        self.is_done |= chunk.is_err();
        Some(chunk).filter(|chunk| !matches!(chunk, Ok(samples) if samples.is_empty()))
    }
}
