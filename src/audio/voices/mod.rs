//! Who speaks in a recording of one channel: the first voice or the second, or nothing where that is not
//! sure.
//!
//! Every utterance is heard through windows of 1.6 s, each a point that `encoder` puts near to other speech
//! of the same person. `cluster` parts the points in two and says whether these are two people at all. It
//! would rather say nothing: utterances with both voices in them, too short ones, and whole recordings of
//! one, three or hardly different voices stay without a voice. What that gives is measured
//! (`tests/data/voices`, figures in docs/pipeline.md).

mod cluster;
mod encoder;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers, of our own making"
)]
mod measured;
mod sound;

use ndarray::{Array2, s};

use super::SAMPLE_RATE;

/// Frames of 10 ms that the encoder hears at once; the length it was trained with.
const WINDOW: usize = 160;
/// In less speech than this (0.4 s) nobody is known again.
const SHORTEST: usize = 40;
/// Windows an utterance is heard through at most; they are spread over its length.
const MOST_WINDOWS: usize = 4;
/// Windows that are encoded together: more are hardly faster, and take memory.
const BATCH: usize = 32;
/// A longer utterance is heard up to here (half a minute): no recogniser gives longer ones.
const LONGEST_MS: i64 = 30_000;

/// Which voice speaks in each utterance.
#[derive(Clone, Debug, PartialEq)]
pub struct Speakers {
    /// In the order in which the utterances were added: 0 for the voice that was heard first, 1 for the other
    /// one, nothing where it is not sure.
    pub voices: Vec<Option<u8>>,
    /// How different the two voices are, from 0 (none were told apart) to 1 (as a woman's and a man's); no
    /// probability.
    pub confidence: f32,
}

/// Listens to one utterance after the other, and keeps a few hundred numbers of each, not its sound.
#[derive(Default)]
pub struct Voices {
    utterances: usize,
    waiting: Vec<(usize, Array2<f32>)>,
    heard: Vec<Heard>,
}

/// A window of an utterance.
struct Heard {
    utterance: usize,
    point: Vec<f32>,
}

impl Voices {
    /// Hears the next utterance: its samples, mono at 16 kHz. Takes a few hundredths of a second of
    /// computing.
    pub fn add(&mut self, samples: &[f32]) {
        let utterance = self.utterances;
        self.utterances += 1;
        self.waiting.extend(windows(&sound::speech(samples)).map(|window| (utterance, window)));
        while self.waiting.len() >= BATCH {
            self.encode(BATCH);
        }
    }

    /// Says who spoke in each utterance.
    pub fn decide(mut self) -> Speakers {
        self.encode(self.waiting.len());
        cluster::tell_apart(self.utterances, &self.heard)
    }

    fn encode(&mut self, count: usize) {
        let (utterances, windows): (Vec<usize>, Vec<_>) = self.waiting.drain(..count).unzip();
        let points = encoder::encode(&windows);
        let heard = utterances.into_iter().zip(points);
        self.heard.extend(heard.map(|(utterance, point)| Heard { utterance, point }));
    }
}

/// Listens through a recording once, from its start: `spans` are its utterances, from and to in milliseconds, by their
/// start; they may still be on their way. Holds no more of the sound than the utterances that are being heard, half a minute
/// each at most.
///
/// # Errors
/// The first that `chunks` gives.
pub fn tell_apart<E>(
    chunks: impl Iterator<Item = Result<Vec<f32>, E>>,
    spans: impl IntoIterator<Item = (i64, i64)>,
) -> Result<Speakers, E> {
    let mut tape = Tape { chunks, first: 0, held: Vec::new() };
    let mut voices = Voices::default();
    for (from, to) in spans {
        voices.add(tape.between(from, to.min(from + LONGEST_MS))?);
    }
    Ok(voices.decide())
}

/// A recording passing by.
struct Tape<I> {
    chunks: I,
    /// Where in the recording `held` begins, in samples.
    first: usize,
    held: Vec<f32>,
}

impl<E, I: Iterator<Item = Result<Vec<f32>, E>>> Tape<I> {
    /// The sound between two times, of which the first is never before that of the call before.
    fn between(&mut self, from_ms: i64, to_ms: i64) -> Result<&[f32], E> {
        let (from, to) = (samples(from_ms), samples(to_ms));
        while self.first + self.held.len() < to {
            let passed = from.saturating_sub(self.first).min(self.held.len());
            self.held.drain(..passed);
            self.first += passed;
            match self.chunks.next() {
                Some(chunk) => self.held.extend(chunk?),
                None => break,
            }
        }
        let place = |at: usize| at.saturating_sub(self.first).min(self.held.len());
        Ok(&self.held[place(from)..place(to).max(place(from))])
    }
}

fn samples(ms: i64) -> usize {
    usize::try_from(ms).unwrap_or(0) * (SAMPLE_RATE as usize / 1000)
}

/// As many windows as cover the speech, up to the most, from its start to its end.
fn windows(speech: &Array2<f32>) -> impl Iterator<Item = Array2<f32>> {
    let frames = speech.nrows();
    let count = if frames < SHORTEST { 0 } else { frames.div_ceil(WINDOW).min(MOST_WINDOWS) };
    let length = frames.min(WINDOW);
    let spare = frames - length;
    (0..count).map(move |n| {
        let from = n * spare / (count - 1).max(1);
        speech.slice(s![from..from + length, ..]).to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(length: usize, chunk: usize) -> impl Iterator<Item = Result<Vec<f32>, ()>> {
        let samples: Vec<f32> = (0..length).map(|n| f32::from(u16::try_from(n % 60_000).unwrap())).collect();
        samples.chunks(chunk).map(|chunk| Ok(chunk.to_vec())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn a_tape_gives_the_samples_of_spans_that_overlap_leave_gaps_or_reach_beyond_the_end() {
        for chunk in [1, 999, 16_000, 100_000] {
            let mut tape = Tape { chunks: tape(48_000, chunk), first: 0, held: Vec::new() };
            for (from, to) in [(0, 1000), (500, 700), (600, 1500), (2000, 2100), (2900, 9000), (5000, 6000)] {
                let heard = tape.between(from, to).unwrap();
                let end = samples(to).min(48_000);
                assert_eq!(heard.len(), end.saturating_sub(samples(from)), "{from} to {to} by {chunk}");
                let first = f32::from(u16::try_from(samples(from)).unwrap_or_default());
                assert!(
                    heard.first().is_none_or(|sample| sample.to_bits() == first.to_bits()),
                    "{from} to {to} by {chunk}"
                );
            }
        }
    }

    #[test]
    fn an_error_of_the_recording_is_passed_on() {
        let chunks = vec![Ok(vec![0.0; 100]), Err("torn")];
        assert_eq!(tell_apart(chunks.into_iter(), [(0, 1000)]), Err("torn"));
    }

    #[test]
    fn silence_splinters_and_nothing_have_no_voice() {
        let mut voices = Voices::default();
        for length in [0, 1, 399, 400, 4000, 80_000] {
            voices.add(&vec![0.0; length]);
        }
        assert_eq!(voices.decide(), Speakers { voices: vec![None; 6], confidence: 0.0 });
        assert_eq!(Voices::default().decide(), Speakers { voices: Vec::new(), confidence: 0.0 });
    }

    #[test]
    fn windows_reach_from_the_first_frame_to_the_last() {
        for frames in [40, 159, 160, 161, 320, 321, 700, 3000] {
            let speech =
                Array2::from_shape_fn((frames, 1), |(frame, _)| f32::from(u16::try_from(frame).unwrap()));
            let windows: Vec<_> = windows(&speech).collect();
            assert!(windows.len() <= MOST_WINDOWS && windows.iter().all(|window| window.nrows() <= WINDOW));
            assert_eq!(windows[0][[0, 0]].to_bits(), 0.0_f32.to_bits());
            let last = windows.last().unwrap();
            if frames <= WINDOW || windows.len() > 1 {
                assert_eq!(last[[last.nrows() - 1, 0]].to_bits(), speech[[frames - 1, 0]].to_bits());
            }
        }
    }
}
