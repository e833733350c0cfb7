//! From decoding to a verdict.

use super::arrangement::{Arrangement, Channels};
use super::inspect::{AudioInfo, Limits, Partial};
use super::layout::Layout;
use super::level::Level;
use super::pcm::{Block, CONTRADICTION, Pcm, milliseconds};
use super::{AudioError, Container};

/// How much of a recording may be unreadable: one thousandth (3.6 s of an hour), but always a few packets, for the
/// first ones of a stream cut out of a longer one lean on packets that are not there.
const TOLERATED_LOSS: u64 = 1000;
const TOLERATED_LOSS_MS: i64 = 150;

/// A recording in parts is worth having from here on: recognisers invent words for less.
const SHORTEST_PART_MS: i64 = 1000;

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
    may_be_partial: bool,
    level: Level,
    channels: Option<Channels>,
    is_stereo: bool,
    lost: u64,
    gaps: u64,
    is_last_lost: bool,
}

impl Heard {
    /// Decodes up to the end, or up to where no more can be read.
    pub(super) fn all_of(pcm: Pcm, limits: Limits, extent: Extent) -> Result<Self, AudioError> {
        let longest = i64::try_from(limits.max_duration.as_millis()).unwrap_or(i64::MAX);
        let mut heard = Self {
            pcm,
            // Only what was decoded can be told to be readable.
            may_be_partial: limits.allow_partial && extent == Extent::Everything,
            level: Level::new(1),
            channels: None,
            is_stereo: true,
            lost: 0,
            gaps: 0,
            is_last_lost: false,
        };
        loop {
            let second = heard.pcm.position() / u64::from(heard.pcm.rate().max(1));
            let decode = extent == Extent::Everything || second % STRETCH_SECONDS < WINDOW_SECONDS;
            if !heard.listen(decode)? {
                break;
            }
            // Before the first sound the rate, and so the limit, means nothing: nothing is counted yet either.
            if heard.pcm.position_ms() > longest {
                return Err(AudioError::TooLong { max: limits.max_duration });
            }
        }
        if heard.pcm.contradicts_itself() && !limits.allow_partial {
            return Err(AudioError::damaged(heard.pcm.position_ms(), CONTRADICTION));
        }
        Ok(heard)
    }

    /// Takes the next packet; false at the end.
    fn listen(&mut self, decode: bool) -> Result<bool, AudioError> {
        let Some(block) = self.pcm.next(decode)? else { return Ok(false) };
        if !block.samples.is_empty() {
            if self.channels.is_none() {
                self.level = Level::new(block.rate);
            }
            self.level.add(block.samples);
            let channels = self.channels.get_or_insert_with(|| Channels::new(block.rate));
            match block.channels {
                [] => {}
                [left, right] => channels.add(left, right),
                _ => self.is_stereo = false,
            }
        }
        let Block { gap, length, is_lost, .. } = block;
        self.is_last_lost = is_lost;
        self.gaps += gap;
        self.lost += if is_lost { length } else { 0 };
        Ok(true)
    }

    /// Whether the file ended in the middle of something, or could not be followed to its end.
    pub(super) fn ended_early(&self) -> bool {
        self.pcm.ended_early() || self.pcm.contradicts_itself()
    }

    /// The verdict on a file whose layout was judged before.
    pub(super) fn judge_file(self) -> Result<AudioInfo, AudioError> {
        self.judge(&Layout::default())
    }

    /// The verdict on a stream with this layout.
    pub(super) fn judge(self, layout: &Layout) -> Result<AudioInfo, AudioError> {
        let heard = self.pcm.position() - self.lost - self.gaps;
        let readable_ms = milliseconds(heard, self.pcm.rate());
        let is_enough = self.may_be_partial && readable_ms >= SHORTEST_PART_MS;
        let partial = match self.fault(layout) {
            Some(detail) if !is_enough => return Err(AudioError::damaged(readable_ms, detail)),
            fault => fault.map(|detail| Partial { readable_ms, detail: detail.to_owned() }),
        };
        if self.level.is_silent() { Err(AudioError::Silent) } else { Ok(self.info(partial)) }
    }

    /// Says what is wrong with the recording, if something is.
    fn fault(&self, layout: &Layout) -> Option<&'static str> {
        if self.pcm.position() == self.lost + self.gaps {
            return Some("no sound in it can be decoded");
        }
        let contradiction = self.pcm.contradicts_itself().then_some(CONTRADICTION);
        let missing = layout.missing().or(contradiction);
        missing.or_else(|| self.shortfall()).or_else(|| self.loss(layout))
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

    fn arrangement(&self) -> Arrangement {
        match &self.channels {
            Some(channels) if self.is_stereo => channels.arrangement(),
            _ => Arrangement::Mixed,
        }
    }

    fn info(&self, partial: Option<Partial>) -> AudioInfo {
        AudioInfo {
            container: self.pcm.container(),
            codec: self.pcm.codec().to_owned(),
            channels: self.pcm.channels(),
            sample_rate: self.pcm.rate(),
            duration_ms: self.pcm.position_ms(),
            peak_dbfs: self.level.peak_dbfs(),
            rms_dbfs: self.level.rms_dbfs(),
            arrangement: self.arrangement(),
            partial,
        }
    }
}
