//! Cutting a recording into pieces that a speech provider takes in one request.

use std::collections::VecDeque;
use std::ops::Range;
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

/// How a recording is cut.
#[derive(Clone, Copy, Debug)]
pub struct PieceLengths {
    /// The longest piece, with its lead; at least 2 s.
    pub longest: Duration,
    /// A piece is cut at the quietest moment within so much of its end.
    pub search: Duration,
    /// How much sound from before its start a piece carries along.
    pub overlap: Duration,
}

impl Default for PieceLengths {
    /// At most 5 minutes, cut within their last 30 seconds, with a lead of 2 seconds.
    fn default() -> Self {
        let (longest, search) = (Duration::from_mins(5), Duration::from_secs(30));
        Self { longest, search, overlap: Duration::from_secs(2) }
    }
}

/// A stretch of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Where it begins in the recording, in milliseconds.
    pub start_ms: i64,
    /// Where it ends; the next piece begins exactly there.
    pub end_ms: i64,
    /// How much sound from before its start `samples` begin with.
    pub lead_ms: i64,
    /// Mono sound at 16 kHz.
    pub samples: Arc<[f32]>,
}

/// Cuts decoded sound at the quietest moments. The same sound always gives the same pieces, whatever the sizes of
/// the chunks it comes in, and what comes after a cut depends on nothing before it. What is recognised already is left
/// out: a retry pays for the stretches in between only.
#[derive(Debug)]
pub struct Pieces<I> {
    chunks: Option<I>,
    longest: usize,
    search: usize,
    overlap: usize,
    /// What is recognised already, in samples, in order.
    kept: VecDeque<Range<usize>>,
    /// Sound from before `taken` that the next piece carries along, and what comes after.
    pending: Vec<f32>,
    /// Where `pending` begins.
    base: usize,
    /// Where the next piece begins.
    taken: usize,
}

impl<I: Iterator<Item = Result<Vec<f32>, AudioError>>> Pieces<I> {
    /// Cuts what `kept` (in milliseconds; in order, apart from each other) leaves out.
    pub fn new(chunks: I, lengths: PieceLengths, kept: Vec<Range<i64>>) -> Self {
        let longest = samples_in(lengths.longest).max(2 * SHORTEST);
        let overlap = samples_in(lengths.overlap).min(longest / 4 / MS * MS);
        let search = samples_in(lengths.search).clamp(SHORTEST, longest - overlap - SHORTEST / 2);
        let sample = |ms: i64| usize::try_from(ms).unwrap_or(0).saturating_mul(MS);
        let kept = kept.into_iter().map(|span| sample(span.start)..sample(span.end)).collect();
        Self { chunks: Some(chunks), longest, search, overlap, kept, pending: Vec::new(), base: 0, taken: 0 }
    }

    /// Goes past what is kept.
    fn pass_kept(&mut self) {
        while let Some(kept) = self.kept.front().filter(|kept| kept.start <= self.taken).cloned() {
            self.taken = self.taken.max(kept.end);
            self.kept.pop_front();
        }
    }

    /// How long the next piece may be, without its lead.
    fn room(&self) -> usize {
        self.longest - self.overlap.min(self.taken)
    }

    /// Where the stretch that is not kept ends, as far as that is known.
    fn until(&self) -> usize {
        self.kept.front().map_or(usize::MAX, |kept| kept.start)
    }

    /// Reads up to one sample more than a piece may have, or as much as there is before what is kept; lets go of what no
    /// piece needs any more.
    fn fill(&mut self) -> Result<(), AudioError> {
        let wanted = self.until().min(self.taken + self.room() + 1);
        // At once, for a buffer that grows by doubling may become twice as large as it has to.
        self.pending.reserve_exact((self.longest + 2 * SHORTEST).saturating_sub(self.pending.len()));
        loop {
            let needed = self.taken.saturating_sub(self.overlap);
            let needless = needed.saturating_sub(self.base).min(self.pending.len());
            self.pending.drain(..needless);
            self.base += needless;
            if self.base + self.pending.len() >= wanted {
                return Ok(());
            }
            match self.chunks.as_mut().and_then(Iterator::next) {
                Some(chunk) => self.pending.extend_from_slice(&chunk?),
                None => return Ok(()),
            }
        }
    }

    fn cut(&mut self) -> Option<Piece> {
        let lead = self.taken.checked_sub(self.base)?;
        let there = self.pending.len().saturating_sub(lead).min(self.until() - self.taken);
        let room = self.room();
        let length = match there {
            0 => return None,
            // Less than half a millisecond is what rounding leaves behind what is kept up to the end.
            length if length < MS / 2 => return None,
            length if length <= room => length,
            _ => {
                let from = lead + room - self.search;
                from - lead + quietest(&self.pending[from..lead + room - SHORTEST + FRAME])
            }
        };
        let samples = Arc::from(&self.pending[..lead + length]);
        let start = self.taken;
        self.taken += length;
        Some(Piece {
            start_ms: milliseconds(start),
            end_ms: milliseconds(self.taken),
            lead_ms: milliseconds(lead),
            samples,
        })
    }
}

impl<I: Iterator<Item = Result<Vec<f32>, AudioError>>> Iterator for Pieces<I> {
    type Item = Result<Piece, AudioError>;

    /// The next piece. After an error there are no more: what was read since the last cut is not a piece, for its
    /// end would depend on where the reading failed.
    fn next(&mut self) -> Option<Self::Item> {
        self.pass_kept();
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
        Pieces::new(chunked(samples, chunk), lengths(longest_ms, search_ms, 0), Vec::new())
            .map(Result::unwrap)
            .collect()
    }

    fn lengths(longest_ms: u64, search_ms: u64, overlap_ms: u64) -> PieceLengths {
        PieceLengths {
            longest: Duration::from_millis(longest_ms),
            search: Duration::from_millis(search_ms),
            overlap: Duration::from_millis(overlap_ms),
        }
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
        let mut pieces = Pieces::new(chunks.into_iter(), lengths(5000, 2000, 0), Vec::new());
        assert!(pieces.next().unwrap().is_ok());
        assert!(pieces.next().unwrap().is_err());
        assert!(pieces.next().is_none());
    }

    #[test]
    fn what_is_kept_is_left_out_wherever_it_lies_and_the_rest_stays_the_same() {
        let samples = noise(16_000 * 30, 7);
        let cut = |kept: Vec<Range<i64>>| -> Vec<Piece> {
            Pieces::new(chunked(&samples, 4096), lengths(4000, 1000, 500), kept).map(Result::unwrap).collect()
        };
        let all = cut(Vec::new());
        for skipped in 0..1_usize << all.len().min(9) {
            let (kept, wanted): (Vec<_>, Vec<_>) =
                all.iter().cloned().enumerate().partition(|(at, _)| skipped >> at & 1 == 1);
            let kept = kept.into_iter().map(|(_, piece)| piece.start_ms..piece.end_ms).collect();
            assert_eq!(cut(kept), wanted.into_iter().map(|(_, piece)| piece).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_lead_is_the_end_of_what_came_before_also_of_what_is_kept() {
        let samples = noise(16_000 * 20, 6);
        let cut = |kept: Range<i64>| -> Vec<Piece> {
            let pieces = Pieces::new(chunked(&samples, 1024), lengths(6000, 2000, 1500), vec![kept]);
            pieces.map(Result::unwrap).collect()
        };
        let pieces = cut(1000..9000);
        assert_eq!((pieces[0].start_ms, pieces[0].end_ms, pieces[0].lead_ms), (0, 1000, 0));
        assert_eq!((pieces[1].start_ms, pieces[1].lead_ms), (9000, 1500));
        assert_eq!(pieces[1].samples[..1500 * MS], samples[7500 * MS..9000 * MS]);
        let early = cut(0..700);
        assert_eq!((early[0].start_ms, early[0].lead_ms), (700, 700));
    }

    #[test]
    fn what_is_kept_up_to_the_end_leaves_nothing() {
        let samples = noise(16_009, 1);
        let count = |len: usize, kept: &[(i64, i64)]| {
            let kept = kept.iter().map(|(start, end)| *start..*end).collect();
            Pieces::new(chunked(&samples[..len], 77), lengths(5000, 2000, 500), kept).count()
        };
        assert_eq!(count(16_009, &[(0, 400), (400, 1001)]), 0);
        assert_eq!(count(16_007, &[(0, 1000)]), 0);
        assert_eq!(count(16_009, &[(0, 99_000)]), 0);
        assert_eq!(count(16_009, &[(0, 1000)]), 1);
    }

    #[test]
    fn no_more_than_a_piece_and_a_chunk_is_held() {
        let chunks = std::iter::repeat_with(|| Ok(noise(16_000, 7))).take(600);
        let kept = std::iter::once(60_000..550_000).collect();
        let mut pieces = Pieces::new(chunks, lengths(20_000, 5000, 2000), kept);
        while pieces.next().is_some() {
            assert!(pieces.pending.capacity() <= 22_000 * MS, "{}", pieces.pending.capacity());
        }
        assert_eq!(pieces.taken, 600_000 * MS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn kept_and_new_pieces_partition_the_samples_exactly(
            len in 0_usize..400_000, chunk in 1_usize..50_000, other in 1_usize..50_000, seed: u32,
            longest_ms in 2000_u64..9000, search_ms in 0_u64..9000, overlap_ms in 0_u64..3000,
            edges in proptest::collection::btree_set(0_i64..24_000, 0..6),
        ) {
            let samples = noise(len, seed);
            let edges: Vec<i64> = edges.into_iter().filter(|edge| edge * 16 <= i64::try_from(len).unwrap()).collect();
            let kept: Vec<Range<i64>> = edges.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
            let cut = |chunk| -> Vec<Piece> {
                let lengths = lengths(longest_ms, search_ms, overlap_ms);
                Pieces::new(chunked(&samples, chunk), lengths, kept.clone()).map(Result::unwrap).collect()
            };
            let pieces = cut(chunk);
            let mut spans: Vec<Range<i64>> = pieces.iter().map(|p| p.start_ms..p.end_ms).chain(kept.clone()).collect();
            spans.sort_by_key(|span| span.start);
            let mut at = 0;
            for span in &spans {
                prop_assert_eq!(span.start, at);
                at = span.end;
            }
            prop_assert_eq!(at, milliseconds(len));
            for piece in &pieces {
                prop_assert!(piece.samples.len() as u64 <= longest_ms * 16);
                let from = usize::try_from(piece.start_ms - piece.lead_ms).unwrap() * MS;
                prop_assert_eq!(&piece.samples[..], &samples[from..from + piece.samples.len()]);
            }
            prop_assert_eq!(pieces, cut(other));
        }
    }
}
