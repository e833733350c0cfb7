//! Compressed packets to mono samples on an unbroken time line.

use std::fs::File;
use std::io;
use std::sync::LazyLock;

use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::{Error, Result as SymphoniaResult};
use symphonia::core::formats::{self, FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;
use symphonia::default::formats::{FlacReader, IsoMp4Reader, MkvReader, MpaReader, OggReader, WavReader};

use super::source::Input;
use super::{AudioError, Container, Track};

/// What is decoded at all: outside of these ranges files are nonsense, and their buffers would be huge.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 4000..=192_000;
const MOST_CHANNELS: usize = 8;

/// Time stamps in `WebM` are rounded to milliseconds, encoders start with up to 80 ms that are not played: only a
/// longer hole is a hole.
const TOLERATED_GAPS_PER_SECOND: u64 = 10;

/// A packet of this size holds more than zeros.
const SHORTEST_BLANK: usize = 16;

/// What is wrong with a file that a demuxer cannot make sense of.
pub(super) const CONTRADICTION: &str = "its contents contradict each other";

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<symphonia_adapter_libopus::OpusDecoder>();
    codecs
});

/// The sound of one packet.
pub(super) struct Block<'a> {
    /// Samples of silence that the time stamps put before it.
    pub gap: u64,
    /// How long it is, in samples.
    pub length: u64,
    /// Mono samples; none if the packet was only passed over, zeros if it was unreadable.
    pub samples: &'a [f32],
    /// The channels that they are made of; none if it was passed over or unreadable.
    pub channels: &'a [Vec<f32>],
    /// Whether it could not be decoded.
    pub is_lost: bool,
    /// Samples a second; 0 until a packet was decoded, for headers may state another rate than the sound has.
    pub rate: u32,
}

/// A recording being decoded.
pub(super) struct Pcm {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    container: Container,
    /// What becomes the mono samples.
    wanted: Track,
    stream: u32,
    time_base: TimeBase,
    promised: Option<u64>,
    rate: u32,
    channels: u16,
    /// A time stamp, and the sample on the time line that it belongs to.
    anchor: Option<(i64, u64)>,
    position: u64,
    usual_length: usize,
    was_passed_over: bool,
    ended_early: bool,
    contradicts_itself: bool,
    planes: Vec<Vec<f32>>,
    mono: Vec<f32>,
}

impl Pcm {
    /// Reads a stream. It is never rewound, so that a file is read just as an upload is: given a seekable MP3,
    /// the demuxer guesses the length from the bit rate, and then trims sound that lies beyond its guess.
    pub(super) fn stream(container: Container, input: Input, wanted: Track) -> Result<Self, AudioError> {
        Self::open(
            container,
            MediaSourceStream::new(Box::new(ReadOnlySource::new(input)), MediaSourceStreamOptions::default()),
            wanted,
        )
    }

    /// Reads an MP4 file, whose index may stand behind the sound.
    pub(super) fn mp4_file(file: File, wanted: Track) -> Result<Self, AudioError> {
        Self::open(
            Container::Mp4,
            MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default()),
            wanted,
        )
    }

    fn open(
        container: Container,
        input: MediaSourceStream<'static>,
        wanted: Track,
    ) -> Result<Self, AudioError> {
        let reader = format_reader(container, input).map_err(unreadable)?;
        let (track, decoder) = start(reader.as_ref(), container)?;
        Ok(Self {
            wanted,
            stream: track.id,
            time_base: track.time_base.unwrap_or_default(),
            promised: track.num_frames.filter(|frames| *frames > 0),
            reader,
            decoder,
            container,
            rate: 0,
            channels: 0,
            anchor: None,
            position: 0,
            usual_length: 0,
            was_passed_over: false,
            ended_early: false,
            contradicts_itself: false,
            planes: Vec::new(),
            mono: Vec::new(),
        })
    }

    /// The next packet's sound; `None` at the end, or where no more can be read. A packet that is not decoded counts
    /// with the usual length.
    pub(super) fn next(&mut self, decode: bool) -> Result<Option<Block<'_>>, AudioError> {
        match self.next_packet()? {
            Some(packet) => Ok(Some(self.block(&packet, decode))),
            None => Ok(None),
        }
    }

    /// Samples a second; 0 until a packet was decoded.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// How the sound is wrapped.
    pub(super) fn container(&self) -> Container {
        self.container
    }

    /// Channels before they were mixed.
    pub(super) fn channels(&self) -> u16 {
        self.channels
    }

    /// Where on the time line the next sample belongs.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The same in milliseconds.
    pub(super) fn position_ms(&self) -> i64 {
        milliseconds(self.position, self.rate)
    }

    /// How many samples the header promises.
    pub(super) fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// Whether the file ended in the middle of something.
    pub(super) fn ended_early(&self) -> bool {
        self.ended_early
    }

    /// Whether the rest was given up, for the demuxer found no way through.
    pub(super) fn contradicts_itself(&self) -> bool {
        self.contradicts_itself
    }

    /// The short name of the codec.
    pub(super) fn codec(&self) -> &'static str {
        self.decoder.codec_info().short_name
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, AudioError> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.stream => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(Error::ResetRequired) => self.restart()?,
                Err(Error::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended_early = true;
                    return Ok(None);
                }
                Err(Error::IoError(error)) => return Err(AudioError::Io(error)),
                Err(error) => {
                    tracing::debug!(%error, "a recording cannot be demuxed to its end");
                    self.contradicts_itself = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Another recording follows in the same file (chained Ogg).
    fn restart(&mut self) -> Result<(), AudioError> {
        let (track, decoder) = start(self.reader.as_ref(), self.container)?;
        self.stream = track.id;
        self.time_base = track.time_base.unwrap_or_default();
        self.decoder = decoder;
        self.anchor = None;
        Ok(())
    }

    fn block(&mut self, packet: &Packet, decode: bool) -> Block<'_> {
        self.mono.clear();
        if decode && std::mem::take(&mut self.was_passed_over) {
            self.decoder.reset();
        }
        self.was_passed_over = !decode;
        let is_lost = self.is_blank(packet) || (decode && !self.decode(packet));
        if is_lost && decode {
            self.mono.resize(self.usual_length, 0.0);
        } else if !self.mono.is_empty() {
            self.usual_length = self.mono.len();
        }
        let gap = self.gap_before(packet.pts.get());
        let length = if decode { self.mono.len() } else { self.usual_length } as u64;
        self.position += gap + length;
        let channels = if decode && !is_lost { usize::from(self.channels) } else { 0 };
        let channels = &self.planes[..channels];
        Block { gap, length, samples: &self.mono, channels, is_lost, rate: self.rate }
    }

    /// Whether the packet was overwritten with zeros, which some decoders take for silence.
    fn is_blank(&self, packet: &Packet) -> bool {
        let is_compressed = self.container != Container::Wav;
        is_compressed && packet.data.len() >= SHORTEST_BLANK && packet.data.iter().all(|byte| *byte == 0)
    }

    /// Decodes a packet into `mono`; false if that fails.
    fn decode(&mut self, packet: &Packet) -> bool {
        let Ok(sound) = self.decoder.decode_ref(&packet.as_packet_ref()) else {
            return false;
        };
        let (rate, channels) = (sound.spec().rate(), sound.num_planes());
        if !SAMPLE_RATES.contains(&rate) || (self.rate != 0 && self.rate != rate) {
            return false;
        }
        self.rate = rate;
        self.channels = u16::try_from(channels).unwrap_or(u16::MAX);
        sound.copy_to_vecs_planar(&mut self.planes);
        let planes = &mut self.planes[..channels];
        if self.container == Container::Mp3 {
            let delay = usize::try_from(packet.trim_start.get()).unwrap_or(usize::MAX);
            for plane in planes.iter_mut() {
                plane.drain(..delay.min(plane.len()));
            }
        }
        match self.wanted {
            Track::Mix => mix(planes, &mut self.mono),
            Track::Channel(channel) => match planes.get(usize::from(channel)) {
                Some(plane) => self.mono.extend_from_slice(plane),
                None => self.mono.resize(planes.first().map_or(0, Vec::len), 0.0),
            },
        }
        true
    }

    /// Samples missing between where the time line stands and where `time_stamp` belongs. They become silence, so
    /// that what comes after keeps its place: a player shows it there too.
    fn gap_before(&mut self, time_stamp: i64) -> u64 {
        let (first, base) = *self.anchor.get_or_insert((time_stamp, self.position));
        let ticks = u128::try_from(i128::from(time_stamp) - i128::from(first)).unwrap_or(0);
        let scale = u128::from(self.time_base.numer.get()) * u128::from(self.rate);
        let since = ticks.saturating_mul(scale) / u128::from(self.time_base.denom.get());
        let expected = base.saturating_add(u64::try_from(since).unwrap_or(u64::MAX / 2));
        let gap = expected.saturating_sub(self.position);
        if gap * TOLERATED_GAPS_PER_SECOND > u64::from(self.rate) { gap } else { 0 }
    }
}

/// Samples as milliseconds, to the nearest.
pub(super) fn milliseconds(samples: u64, rate: u32) -> i64 {
    let rate = u128::from(rate.max(1));
    i64::try_from((u128::from(samples) * 1000 + rate / 2) / rate).unwrap_or(i64::MAX)
}

fn format_reader(
    container: Container,
    stream: MediaSourceStream<'static>,
) -> SymphoniaResult<Box<dyn FormatReader>> {
    let options = FormatOptions::default();
    Ok(match container {
        Container::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
        Container::Mp4 => Box::new(IsoMp4Reader::try_new(stream, options)?),
        Container::Wav => Box::new(WavReader::try_new(stream, options)?),
        Container::Flac => Box::new(FlacReader::try_new(stream, options)?),
        Container::Ogg => Box::new(OggReader::try_new(stream, options)?),
        Container::WebM => Box::new(MkvReader::try_new(stream, options)?),
    })
}

fn start(
    reader: &dyn FormatReader,
    container: Container,
) -> Result<(formats::Track, Box<dyn AudioDecoder>), AudioError> {
    let Some(track) = reader.default_track(TrackType::Audio) else {
        return Err(AudioError::unsupported("a video or other file without sound that we can read"));
    };
    let params = track.codec_params.as_ref().and_then(|params| params.audio());
    let params = params.ok_or_else(|| AudioError::unsupported("a file without a known sound format"))?;
    if params.channels.as_ref().is_some_and(|channels| channels.count() > MOST_CHANNELS) {
        return Err(AudioError::unsupported("a recording with more than 8 channels"));
    }
    let mut params = params.clone();
    if params.codec == CODEC_ID_OPUS {
        // Opus always runs at 48 kHz; browsers state the rate of the microphone.
        params.with_sample_rate(48_000);
    }
    if params.sample_rate.is_some_and(|rate| !SAMPLE_RATES.contains(&rate)) {
        return Err(AudioError::unsupported("a recording with an unusual sample rate"));
    }
    // An MP3's stated length may be that of an earlier cut; without this the decoder would mute all that lies
    // beyond it. The encoder's delay at the start is trimmed by us.
    let options = AudioDecoderOptions::default().gapless(container != Container::Mp3);
    let decoder = CODECS.make_audio_decoder(&params, &options);
    let decoder = decoder.map_err(|_| AudioError::unsupported("sound in a format that we cannot decode"))?;
    Ok((track.clone(), decoder))
}

fn unreadable(error: Error) -> AudioError {
    match error {
        Error::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            AudioError::damaged(0, "the file ends before the sound begins")
        }
        Error::IoError(error) => AudioError::Io(error),
        error => {
            // What exactly a demuxer stumbled over is for developers only.
            tracing::debug!(%error, "a recording cannot be demuxed");
            AudioError::damaged(0, CONTRADICTION)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are at most 8 channels")]
fn mix(planes: &[Vec<f32>], mono: &mut Vec<f32>) {
    match planes {
        [] => {}
        [only] => mono.extend_from_slice(only),
        [left, right] => mono.extend(left.iter().zip(right).map(|(l, r)| (l + r) * 0.5)),
        [first, others @ ..] => {
            mono.extend_from_slice(first);
            for plane in others {
                mono.iter_mut().zip(plane).for_each(|(sum, sample)| *sum += sample);
            }
            let scale = 1.0 / planes.len() as f32;
            for sum in mono.iter_mut() {
                *sum *= scale;
            }
        }
    }
}
