//! Any sample rate to 16 kHz.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::SAMPLE_RATE;

/// How many input samples are resampled at a time.
const CHUNK: usize = 2048;
/// The length of the filter in input samples: long enough to keep, coming from 48 kHz, what speech has up to 7 kHz.
const TAPS: usize = 256;

/// Resamples a mono signal. What comes out is as long as what went in and not shifted against it.
pub(super) struct Resampler {
    filter: Option<Async<f32>>,
    rate: u32,
    input: Vec<f32>,
    output: Vec<f32>,
    /// What the filter puts before the signal and is still to be dropped.
    delay: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    pub(super) fn new(rate: u32) -> Self {
        let filter = (rate != SAMPLE_RATE).then(|| {
            let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
            // For fixed ratios rubato's FFT is faster when optimised; but that is generic code, compiled into this
            // crate, and in a debug build it crawls. The inner loop of this one is compiled into rubato.
            let shape = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2)
                .interpolation(SincInterpolationType::Nearest)
                .oversampling_factor(phases(rate));
            Async::new_sinc(ratio, 1.0, &shape, CHUNK, 1, FixedAsync::Input).expect("the ratio is above zero")
        });
        let delay = filter.as_ref().map_or(0, Async::output_delay);
        let output = vec![0.0; filter.as_ref().map_or(0, Async::output_frames_max)];
        Self { filter, rate, input: Vec::new(), output, delay, taken: 0, given: 0 }
    }

    /// Takes samples, and appends to `out` as many as can be told by now.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len() as u64;
        let Some(filter) = &mut self.filter else {
            return out.extend_from_slice(samples);
        };
        self.input.extend_from_slice(samples);
        let chunk = filter.input_frames_next();
        let mut used = 0;
        while self.input.len() - used >= chunk {
            let from =
                SequentialSlice::new(&self.input[used..used + chunk], 1, chunk).expect("the sizes agree");
            let size = self.output.len();
            let mut to = SequentialSlice::new_mut(&mut self.output, 1, size).expect("the sizes agree");
            let (_, made) =
                filter.process_into_buffer(&from, &mut to, None).expect("the buffers are large enough");
            let dropped = self.delay.min(made);
            self.delay -= dropped;
            self.given += (made - dropped) as u64;
            out.extend_from_slice(&self.output[dropped..made]);
            used += chunk;
        }
        self.input.drain(..used);
    }

    /// Appends the rest to `out`.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) {
        let Some(filter) = &self.filter else { return };
        let silence = vec![0.0; filter.input_frames_next()];
        let due = (self.taken * u64::from(SAMPLE_RATE) + u64::from(self.rate) / 2) / u64::from(self.rate);
        while self.given < due {
            self.push(&silence, out);
            self.taken -= silence.len() as u64;
        }
        let surplus = usize::try_from(self.given - due).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(surplus));
        self.given = due;
    }
}

/// Output samples fall on this many different places between two input samples: with a filter for each, none has to
/// be interpolated. All usual rates need 640 at most; at others, that many are close enough.
fn phases(rate: u32) -> usize {
    const MOST: u32 = 640;
    let shared = (1..=SAMPLE_RATE)
        .rev()
        .find(|divisor| rate.is_multiple_of(*divisor) && SAMPLE_RATE.is_multiple_of(*divisor));
    (SAMPLE_RATE / shared.unwrap_or(1)).clamp(2, MOST) as usize
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test signal"
)]
mod tests {
    use super::*;

    fn resampled(rate: u32, samples: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::new(rate);
        let mut out = Vec::new();
        samples.chunks(1000).for_each(|chunk| resampler.push(chunk, &mut out));
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn length_and_place_are_kept_at_every_rate() {
        for rate in [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 44_101, 48_000, 96_000] {
            let mut samples = vec![0.0; rate as usize * 3 + 17];
            let bump = (rate as f32 * 1.5) as usize;
            let width = (rate / 100) as usize;
            for (i, sample) in samples[bump - width..bump + width].iter_mut().enumerate() {
                *sample = (i as f32 / width as f32 * std::f32::consts::FRAC_PI_2).sin();
            }
            let out = resampled(rate, &samples);
            let seconds = samples.len() as f64 / f64::from(rate);
            assert!((out.len() as f64 / 16_000.0 - seconds).abs() < 0.0001, "{rate}: {} samples", out.len());
            let peak = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b])).unwrap();
            assert!((peak as f64 / 16_000.0 - 1.5).abs() < 0.0005, "{rate}: peak at {peak}");
            assert!((out[peak] - 1.0).abs() < 0.02, "{rate}: peak of {}", out[peak]);
        }
    }

    #[test]
    fn speech_passes_and_what_lies_above_8_khz_does_not() {
        for rate in [22_050, 24_000, 44_100, 44_101, 48_000, 96_000] {
            let level = |hertz: f32| {
                let tone = |i| (i as f32 / rate as f32 * hertz * std::f32::consts::TAU).sin();
                let out = resampled(rate, &(0..rate).map(tone).collect::<Vec<_>>());
                let middle = &out[4000..12_000];
                (middle.iter().map(|s| s * s).sum::<f32>() / middle.len() as f32).sqrt()
                    * std::f32::consts::SQRT_2
            };
            assert!((level(6000.0) - 1.0).abs() < 0.02, "{rate}: {}", level(6000.0));
            assert!(level(10_500.0) < 0.002, "{rate}: {}", level(10_500.0));
        }
    }

    #[test]
    fn less_than_a_chunk_is_resampled_too() {
        assert_eq!(resampled(48_000, &[0.1; 48]).len(), 16);
        assert!(resampled(48_000, &[]).is_empty());
    }
}
