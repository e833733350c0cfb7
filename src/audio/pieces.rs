//! Cutting a recording into pieces that a speech provider takes in one request.

use std::sync::Arc;
use std::time::Duration;

use super::AudioError;

/// Samples in a millisecond. Every cut falls on a whole millisecond, so offsets are exact, not rounded.
const MS: usize = super::SAMPLE_RATE as usize / 1000;
/// The grain in which loudness is looked at.
const FRAME: usize = 20 * MS;
/// How many frames must be quiet together: a pause between words, not the closure of a "t".
const PAUSE: usize = 15;
/// No cut falls later than this before the longest length, so that the last piece never is a splinter: recognisers
/// invent words for those.
const SHORTEST: usize = 1000 * MS;

/// A stretch of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Its place in the recording, from 0.
    pub index: i32,
    /// Where it begins in the recording, in milliseconds.
    pub start_ms: i64,
    /// Where it ends; the next piece begins exactly there.
    pub end_ms: i64,
    /// Mono sound at 16 kHz.
    pub samples: Arc<[f32]>,
}

/// Cuts decoded sound at the quietest moments. The same sound always gives the same pieces, whatever the sizes of
/// the chunks it comes in, and what comes after a cut depends on nothing before it: a retry goes on after the pieces it
/// has already paid for ([`Pieces::resume`]).
#[derive(Debug)]
pub struct Pieces<I> {
    chunks: Option<I>,
    longest: usize,
    search: usize,
    pending: Vec<f32>,
    taken: usize,
    /// Samples still to be dropped before the first piece.
    skip: usize,
    index: i32,
}

impl<I: Iterator<Item = Result<Vec<f32>, AudioError>>> Pieces<I> {
    /// Pieces of at most 5 minutes, cut within their last 30 seconds.
    pub fn new(chunks: I) -> Self {
        Self::with_lengths(chunks, Duration::from_mins(5), Duration::from_secs(30))
    }

    /// Pieces of at most `longest` (at least 2 s), cut at the quietest moment within their last `search`.
    pub fn with_lengths(chunks: I, longest: Duration, search: Duration) -> Self {
        let longest = samples_in(longest).max(2 * SHORTEST);
        let search = samples_in(search).clamp(SHORTEST, longest - SHORTEST);
        Self { chunks: Some(chunks), longest, search, pending: Vec::new(), taken: 0, skip: 0, index: 0 }
    }

    /// Goes on after a stored piece: the next one has this `index` and starts at `from_ms`. By time and not by count,
    /// for the stored pieces may have been cut to other lengths.
    #[must_use]
    pub fn resume(mut self, index: i32, from_ms: i64) -> Self {
        self.index = index;
        self.taken = usize::try_from(from_ms).unwrap_or(0).saturating_mul(MS);
        self.skip = self.taken;
        self
    }

    /// Reads until there is more than one piece's worth, or no more to read.
    fn fill(&mut self) -> Result<(), AudioError> {
        while self.pending.len() <= self.longest {
            match self.chunks.as_mut().and_then(Iterator::next) {
                Some(chunk) => {
                    let chunk = chunk?;
                    let skipped = self.skip.min(chunk.len());
                    self.skip -= skipped;
                    self.pending.extend_from_slice(&chunk[skipped..]);
                }
                None => break,
            }
        }
        Ok(())
    }

    fn cut(&mut self) -> Option<Piece> {
        let length = match self.pending.len() {
            0 => return None,
            // What rounding to milliseconds leaves behind the last stored piece.
            len if len < MS && self.index > 0 => return None,
            len if len <= self.longest => len,
            _ => {
                let from = self.longest - self.search;
                from + quietest(&self.pending[from..self.longest - SHORTEST + FRAME])
            }
        };
        let samples = Arc::from(&self.pending[..length]);
        self.pending.drain(..length);
        let (start, index) = (self.taken, self.index);
        self.taken += length;
        self.index += 1;
        Some(Piece { index, start_ms: milliseconds(start), end_ms: milliseconds(self.taken), samples })
    }
}

impl<I: Iterator<Item = Result<Vec<f32>, AudioError>>> Iterator for Pieces<I> {
    type Item = Result<Piece, AudioError>;

    /// The next piece. After an error there are no more: what was read since the last cut is not a piece, for its
    /// end would depend on where the reading failed.
    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            self.chunks = None;
            self.pending.clear();
            return Some(Err(error));
        }
        self.cut().map(Ok)
    }
}

/// The middle of the quietest pause, as an offset into `samples`; the latest, where several are equally quiet.
fn quietest(samples: &[f32]) -> usize {
    let energies: Vec<f32> = samples.chunks_exact(FRAME).map(|f| f.iter().map(|s| s * s).sum()).collect();
    let pause = PAUSE.min(energies.len());
    let sums = energies.windows(pause).map(|pause| pause.iter().sum::<f32>());
    let best = sums.enumerate().min_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)));
    best.map_or(0, |(first, _)| first * FRAME + pause * FRAME / 2)
}

fn samples_in(duration: Duration) -> usize {
    usize::try_from(duration.as_millis()).unwrap_or(usize::MAX / MS).saturating_mul(MS)
}

/// Rounded to the nearest, which only ever concerns the end of the recording.
fn milliseconds(samples: usize) -> i64 {
    i64::try_from((samples + MS / 2) / MS).expect("a recording is shorter than the age of the universe")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunked(samples: &[f32], size: usize) -> impl Iterator<Item = Result<Vec<f32>, AudioError>> {
        samples.chunks(size).map(|chunk| Ok(chunk.to_vec())).collect::<Vec<_>>().into_iter()
    }

    fn pieces_of(samples: &[f32], chunk: usize, longest_ms: u64, search_ms: u64) -> Vec<Piece> {
        let (longest, search) = (Duration::from_millis(longest_ms), Duration::from_millis(search_ms));
        Pieces::with_lengths(chunked(samples, chunk), longest, search).map(Result::unwrap).collect()
    }

    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let step = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(f32::from(i16::try_from(*state >> 17).unwrap()) / 32_768.0)
        };
        std::iter::successors(Some(seed), |s| Some(*s)).scan(seed, |state, _| step(state)).take(len).collect()
    }

    #[test]
    fn a_short_recording_is_one_piece() {
        let pieces = pieces_of(&noise(16_000, 1), 999, 5000, 2000);
        assert_eq!(pieces.len(), 1);
        assert_eq!((pieces[0].start_ms, pieces[0].end_ms), (0, 1000));
    }

    #[test]
    fn no_sound_gives_no_piece() {
        assert!(pieces_of(&[], 1, 5000, 2000).is_empty());
    }

    #[test]
    fn the_cut_falls_into_the_pause() {
        let mut samples = noise(16_000 * 9, 2);
        samples[16_000 * 33 / 10..16_000 * 37 / 10].fill(0.0);
        let pieces = pieces_of(&samples, 4096, 5000, 3000);
        assert!((3400..=3600).contains(&pieces[0].end_ms), "cut at {}", pieces[0].end_ms);
    }

    #[test]
    fn the_last_piece_is_never_a_splinter() {
        let pieces = pieces_of(&noise(16_000 * 5 + 1, 3), 4096, 5000, 3000);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[1].samples.len() >= SHORTEST / 2);
    }

    #[test]
    fn an_error_ends_the_pieces_without_a_partial_one() {
        let chunks = vec![Ok(noise(16_000 * 6, 4)), Err(AudioError::Silent), Ok(noise(16_000, 5))];
        let mut pieces =
            Pieces::with_lengths(chunks.into_iter(), Duration::from_secs(5), Duration::from_secs(2));
        assert!(pieces.next().unwrap().is_ok());
        assert!(pieces.next().unwrap().is_err());
        assert!(pieces.next().is_none());
    }

    #[test]
    fn what_follows_a_stored_piece_is_the_same_whether_it_was_stored_or_not() {
        let samples: Vec<f32> =
            (0..200_000_u32).map(|n| f32::from(u16::try_from(n % 977).unwrap()) / 977.0 - 0.5).collect();
        let cut =
            || Pieces::with_lengths(chunked(&samples, 4096), Duration::from_secs(4), Duration::from_secs(1));
        let all: Vec<Piece> = cut().map(Result::unwrap).collect();
        for stored in &all {
            let rest: Vec<Piece> =
                cut().resume(stored.index + 1, stored.end_ms).map(Result::unwrap).collect();
            let expected = &all[usize::try_from(stored.index).unwrap() + 1..];
            assert_eq!(rest.len(), expected.len());
            for (found, wanted) in rest.iter().zip(expected) {
                assert_eq!(
                    (found.index, found.start_ms, found.end_ms),
                    (wanted.index, wanted.start_ms, wanted.end_ms)
                );
                assert_eq!(found.samples, wanted.samples);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn pieces_partition_the_samples_exactly(
            len in 0_usize..400_000, chunk in 1_usize..50_000, other in 1_usize..50_000, seed: u32,
            longest_ms in 2000_u64..9000, search_ms in 0_u64..9000,
        ) {
            let samples = noise(len, seed);
            let pieces = pieces_of(&samples, chunk, longest_ms, search_ms);
            let joined: Vec<f32> = pieces.iter().flat_map(|p| p.samples.iter().copied()).collect();
            prop_assert_eq!(&joined, &samples);
            prop_assert!(pieces.iter().all(|p| p.samples.len() as u64 <= longest_ms * 16));
            prop_assert!(pieces.windows(2).all(|w| w[0].end_ms == w[1].start_ms && w[0].index + 1 == w[1].index));
            prop_assert!(pieces.iter().rev().skip(1).all(|p| p.samples.len() % MS == 0));
            prop_assert_eq!(pieces, pieces_of(&samples, other, longest_ms, search_ms));
        }
    }
}
