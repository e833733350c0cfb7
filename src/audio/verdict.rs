//! From decoding to a verdict.

use super::inspect::{AudioInfo, Limits};
use super::layout::Layout;
use super::level::Level;
use super::pcm::{Pcm, milliseconds};
use super::{AudioError, Container};

/// How much of a recording may be unreadable: one thousandth (3.6 s of an hour), but always a few packets, for the
/// first ones of a stream cut out of a longer one lean on packets that are not there.
const TOLERATED_LOSS: u64 = 1000;
const TOLERATED_LOSS_MS: i64 = 150;

/// Where not everything is decoded: this much of each stretch.
const STRETCH_SECONDS: u64 = 10;
const WINDOW_SECONDS: u64 = 1;

/// How much to decode.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Extent {
    /// All packets.
    Everything,
    /// A second out of every ten; the other packets are only read.
    Samples,
}

/// What decoding found out.
pub(super) struct Heard {
    pcm: Pcm,
    level: Level,
    lost: u64,
    gaps: u64,
    is_last_lost: bool,
}

impl Heard {
    /// Decodes up to the end.
    pub(super) fn all_of(mut pcm: Pcm, limits: Limits, extent: Extent) -> Result<Self, AudioError> {
        let longest = i64::try_from(limits.max_duration.as_millis()).unwrap_or(i64::MAX);
        let (mut level, mut lost, mut gaps, mut is_last_lost) = (None, 0, 0, false);
        loop {
            let second = pcm.position() / u64::from(pcm.rate().max(1));
            let decode = extent == Extent::Everything || second % STRETCH_SECONDS < WINDOW_SECONDS;
            let Some(block) = pcm.next(decode)? else { break };
            if !block.samples.is_empty() {
                level.get_or_insert_with(|| Level::new(block.rate)).add(block.samples);
            }
            is_last_lost = block.is_lost;
            gaps += block.gap;
            lost += if is_last_lost { block.length } else { 0 };
            // Before the first sound the rate, and so the limit, means nothing: nothing is counted yet either.
            if pcm.position_ms() > longest {
                return Err(AudioError::TooLong { max: limits.max_duration });
            }
        }
        let level = level.unwrap_or_else(|| Level::new(1));
        Ok(Self { pcm, level, lost, gaps, is_last_lost })
    }

    /// Whether the file ended in the middle of something.
    pub(super) fn ended_early(&self) -> bool {
        self.pcm.ended_early()
    }

    /// The verdict on a file whose layout was judged before.
    pub(super) fn judge_file(self) -> Result<AudioInfo, AudioError> {
        self.judge(&Layout::default())
    }

    /// The verdict on a stream with this layout.
    pub(super) fn judge(self, layout: &Layout) -> Result<AudioInfo, AudioError> {
        let heard = self.pcm.position() - self.lost - self.gaps;
        let fault = match heard {
            0 => Some("no sound in it can be decoded"),
            _ => layout.missing().or_else(|| self.shortfall()).or_else(|| self.loss(layout)),
        };
        match fault {
            Some(detail) => Err(AudioError::damaged(milliseconds(heard, self.pcm.rate()), detail)),
            None if self.level.is_silent() => Err(AudioError::Silent),
            None => Ok(self.info()),
        }
    }

    /// Says if the sound is shorter than the container promises.
    fn shortfall(&self) -> Option<&'static str> {
        const SHORT: &str = "it is shorter than it says";
        let missing = self.pcm.promised().unwrap_or(0).saturating_sub(self.pcm.position());
        let is_short = match self.pcm.container() {
            Container::Flac => missing > 0 || self.is_last_lost,
            // Players and cutters leave stale counts behind: only a clear difference counts.
            Container::Mp3 => {
                missing > u64::from(self.pcm.rate()) && missing * 50 > self.pcm.promised().unwrap_or(0)
            }
            Container::Mp4 => self.pcm.ended_early(),
            // Their layout tells.
            Container::Wav | Container::Ogg | Container::WebM => false,
        };
        is_short.then_some(SHORT)
    }

    /// Says if too much got lost on the way. In `WebM` and MP4 a hole in the time stamps is a pause of the
    /// recorder, in the others a part that the demuxer had to skip.
    fn loss(&self, layout: &Layout) -> Option<&'static str> {
        let position = self.pcm.position();
        let skipped = match self.pcm.container() {
            Container::Ogg | Container::Flac => self.gaps,
            _ => 0,
        };
        let sound_bytes = (layout.len() - layout.junk()).max(1);
        let junk = u128::from(layout.junk()) * u128::from(position) / u128::from(sound_bytes);
        let lost = (self.lost + skipped).saturating_add(u64::try_from(junk).unwrap_or(u64::MAX));
        let is_much =
            lost > position / TOLERATED_LOSS && milliseconds(lost, self.pcm.rate()) > TOLERATED_LOSS_MS;
        is_much.then_some("parts of it are unreadable")
    }

    fn info(&self) -> AudioInfo {
        AudioInfo {
            container: self.pcm.container(),
            codec: self.pcm.codec().to_owned(),
            channels: self.pcm.channels(),
            sample_rate: self.pcm.rate(),
            duration_ms: self.pcm.position_ms(),
            peak_dbfs: self.level.peak_dbfs(),
            rms_dbfs: self.level.rms_dbfs(),
        }
    }
}
