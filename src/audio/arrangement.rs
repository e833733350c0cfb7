//! Whether the two channels of a recording hold one speaker each, as telephones and interview recorders write them.

/// How the voices lie in the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// All voices are in all channels, or there is only one channel, or this is not sure.
    #[default]
    Mixed,
    /// Two channels, and in each the voice of one side of the conversation.
    SeparateChannels,
}

/// About a phoneme: long enough for a level, and short enough that taking turns does not fall into one frame.
const FRAME_MS: usize = 30;
/// Levels are counted in steps of a decibel, from 0 dBFS down; whatever lies below is silence of the same kind.
const LEVELS: usize = 81;
/// A frame in which neither channel reaches this holds no speech; as for a silent recording.
const AUDIBLE: usize = 50;
/// The noise of a channel is as loud as its quietest tenth: nobody talks nine tenths of the time without a breath.
const QUIETEST_PER_CENT: u64 = 10;
/// Speech must stand out so far from the noise of its channel: more than the dominance, or the noise in the other
/// channel alone would hide it.
const ABOVE_NOISE: usize = 18;
/// A channel dominates a frame when it is louder by so much. Two microphones in one room differ by less than 10 dB,
/// even when they point away from each other; telephone lines and headsets leak less than -20 dB. In between, the
/// words of one side can be made out in the other channel, and a recogniser would write them down twice.
const DOMINANT: usize = 15;
/// Both talk at the same time for about a tenth of a conversation; twice that is no conversation in two channels.
const CONTESTED_PER_CENT: u64 = 20;
/// Either side must be heard for at least a second, and for this share of all speech: less may be handling noise.
const SHORTEST_VOICE_MS: u64 = 1000;
const SMALLEST_VOICE_PER_CENT: u64 = 2;

/// Counts how loud the two channels are at the same time, in constant memory.
#[derive(Debug)]
pub(super) struct Channels {
    frame: usize,
    in_frame: usize,
    energies: [f32; 2],
    /// How many frames had each pair of levels.
    frames: Vec<u64>,
}

impl Channels {
    pub(super) fn new(sample_rate: u32) -> Self {
        let frame = (sample_rate as usize * FRAME_MS / 1000).max(1);
        Self { frame, in_frame: 0, energies: [0.0; 2], frames: vec![0; LEVELS * LEVELS] }
    }

    /// Takes the next sound of both channels.
    pub(super) fn add(&mut self, left: &[f32], right: &[f32]) {
        let mut rest = [left, right].map(|channel| &channel[..left.len().min(right.len())]);
        while !rest[0].is_empty() {
            let now = rest[0].len().min(self.frame - self.in_frame);
            for (energy, channel) in self.energies.iter_mut().zip(&mut rest) {
                *energy += channel[..now].iter().map(|sample| sample * sample).sum::<f32>();
                *channel = &channel[now..];
            }
            self.in_frame += now;
            if self.in_frame == self.frame {
                self.close_frame();
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a frame is far shorter than 2^23 samples")]
    fn close_frame(&mut self) {
        let [left, right] = self.energies.map(|energy| decibels_down(energy / self.frame as f32));
        self.frames[left * LEVELS + right] += 1;
        self.energies = [0.0; 2];
        self.in_frame = 0;
    }

    /// The verdict on what was heard.
    pub(super) fn arrangement(&self) -> Arrangement {
        let (mut left_only, mut right_only, mut contested) = (0, 0, 0);
        let gates = [self.gate(|left, _| left), self.gate(|_, right| right)];
        for (left, right, count) in self.pairs() {
            if left > gates[0] && right > gates[1] {
                continue;
            }
            match (left + DOMINANT <= right, right + DOMINANT <= left) {
                (true, _) => left_only += count,
                (_, true) => right_only += count,
                _ => contested += count,
            }
        }
        let speech = left_only + right_only + contested;
        let quieter = left_only.min(right_only);
        let both_are_heard = quieter * FRAME_MS as u64 >= SHORTEST_VOICE_MS
            && quieter * 100 >= speech * SMALLEST_VOICE_PER_CENT;
        if both_are_heard && contested * 100 <= speech * CONTESTED_PER_CENT {
            Arrangement::SeparateChannels
        } else {
            Arrangement::Mixed
        }
    }

    /// How far below full scale speech in a channel may lie: the quietest level that counts.
    fn gate(&self, of: impl Fn(usize, usize) -> usize) -> usize {
        let mut counts = [0_u64; LEVELS];
        self.pairs().for_each(|(left, right, count)| counts[of(left, right)] += count);
        let tenth = counts.iter().sum::<u64>() * QUIETEST_PER_CENT / 100;
        let mut quieter = 0;
        let noise = (0..LEVELS).rev().find(|level| {
            quieter += counts[*level];
            quieter > tenth
        });
        noise.unwrap_or(LEVELS).saturating_sub(ABOVE_NOISE).min(AUDIBLE)
    }

    /// Levels of the left and right channel in decibels below full scale, and how many frames had them.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        self.frames.iter().enumerate().map(|(pair, count)| (pair / LEVELS, pair % LEVELS, *count))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, and the levels are small"
)]
fn decibels_down(mean_square: f32) -> usize {
    ((-10.0 * mean_square.log10()).round() as usize).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrangement_of(left: &[f32], right: &[f32]) -> Arrangement {
        let mut channels = Channels::new(16_000);
        left.chunks(1023).zip(right.chunks(1023)).for_each(|(left, right)| channels.add(left, right));
        channels.arrangement()
    }

    /// Noise of a level, like an unvoiced sound, which differs for every seed.
    fn hiss(len: usize, level: f32, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f32::from(i16::try_from(state >> 17).unwrap()) / 16_384.0 - 1.0) * level * 3_f32.sqrt()
        };
        (0..len).map(|_| next()).collect()
    }

    /// Turns of a second with a breath after each: of both sides, in turn.
    fn turns() -> [Vec<f32>; 2] {
        let mut sides = [vec![0.0; 16_000 * 20], vec![0.0; 16_000 * 20]];
        for turn in 0..20 {
            let side = &mut sides[turn % 2][turn * 16_000..];
            side[..13_000].copy_from_slice(&hiss(13_000, 0.1, u32::try_from(turn).unwrap()));
        }
        sides
    }

    fn plus(sound: &[f32], other: &[f32], gain: f32) -> Vec<f32> {
        sound.iter().zip(other).map(|(sound, other)| sound + other * gain).collect()
    }

    #[test]
    fn one_voice_a_channel_is_separate() {
        let [left, right] = turns();
        assert_eq!(arrangement_of(&left, &right), Arrangement::SeparateChannels);
    }

    #[test]
    fn what_both_channels_hold_is_mixed() {
        let [left, right] = turns();
        let mix = plus(&left, &right, 1.0);
        assert_eq!(arrangement_of(&mix, &mix), Arrangement::Mixed);
        let quieter: Vec<f32> = mix.iter().map(|sample| sample * 0.05).collect();
        assert_eq!(arrangement_of(&mix, &quieter), Arrangement::Mixed);
        let inverted: Vec<f32> = mix.iter().map(|sample| -sample).collect();
        assert_eq!(arrangement_of(&mix, &inverted), Arrangement::Mixed);
    }

    #[test]
    fn one_side_alone_is_mixed_also_with_a_click_on_the_other() {
        let [left, mut right] = turns();
        let silence = vec![0.0; left.len()];
        assert_eq!(arrangement_of(&left, &silence), Arrangement::Mixed);
        right.fill(0.0);
        right[30_000..33_000].fill(0.3);
        assert_eq!(arrangement_of(&left, &right), Arrangement::Mixed);
        assert_eq!(arrangement_of(&silence, &silence), Arrangement::Mixed);
        assert_eq!(arrangement_of(&[], &[]), Arrangement::Mixed);
    }

    #[test]
    fn a_leak_of_20_db_is_separate_and_one_of_12_is_not() {
        let [left, right] = turns();
        for (decibels, wanted) in [
            (-6.0, Arrangement::Mixed),
            (-12.0, Arrangement::Mixed),
            (-20.0, Arrangement::SeparateChannels),
            (-30.0, Arrangement::SeparateChannels),
        ] {
            let gain = 10_f32.powf(decibels / 20.0);
            let found = arrangement_of(&plus(&left, &right, gain), &plus(&right, &left, gain));
            assert_eq!(found, wanted, "{decibels} dB");
        }
    }

    #[test]
    fn talking_at_once_now_and_then_is_separate_and_all_the_time_is_not() {
        let [mut left, right] = turns();
        left[16_000..16_000 + 13_000].copy_from_slice(&hiss(13_000, 0.1, 99));
        assert_eq!(arrangement_of(&left, &right), Arrangement::SeparateChannels);
        let left = hiss(right.len(), 0.1, 98);
        assert_eq!(arrangement_of(&left, &right), Arrangement::Mixed);
    }

    #[test]
    fn noise_in_both_channels_is_not_speech() {
        let [left, right] = turns();
        for (level, wanted) in [(0.003, Arrangement::SeparateChannels), (0.05, Arrangement::Mixed)] {
            let (one, other) = (hiss(left.len(), level, 5), hiss(left.len(), level, 6));
            assert_eq!(
                arrangement_of(&plus(&left, &one, 1.0), &plus(&right, &other, 1.0)),
                wanted,
                "{level}"
            );
        }
        let (one, other) = (hiss(left.len(), 0.1, 7), hiss(left.len(), 0.1, 8));
        assert_eq!(arrangement_of(&one, &other), Arrangement::Mixed);
    }
}
