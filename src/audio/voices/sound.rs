//! Sound as the voice encoder hears it: the strength of 40 bands, a hundred times a second.

use std::f32::consts::PI;
use std::sync::LazyLock;

use ndarray::{Array2, Axis, s};

/// Bands of a frame.
pub(super) const BANDS: usize = 40;
/// A frame is 25 ms long.
const FRAME: usize = 400;
/// A new one begins every 10 ms.
const HOP: usize = 160;
const BINS: usize = FRAME / 2 + 1;

/// The encoder was trained on sound about this loud (-30 dB).
const LOUDNESS: f32 = 1e-3;
/// What is this much weaker than the loudest of an utterance is a pause (25 dB).
const PAUSE: f32 = 0.003;
/// This many frames around speech belong to it: beginnings and ends of words are quiet.
const MARGIN: usize = 6;

static SPECTRUM: LazyLock<Spectrum> = LazyLock::new(Spectrum::new);

/// The speech in `samples`, its pauses left out, a row a frame.
pub(super) fn speech(samples: &[f32]) -> Array2<f32> {
    let powers = SPECTRUM.powers(samples);
    let energies: Vec<f32> = powers.axis_iter(Axis(0)).map(|frame| frame.sum()).collect();
    let spoken: Vec<usize> = spoken(&energies);
    let mean = spoken.iter().map(|frame| energies[*frame]).sum::<f32>() / real(spoken.len().max(1));
    let gain = if mean > 0.0 { LOUDNESS * ENERGY_PER_POWER / mean } else { 0.0 };
    powers.select(Axis(0), &spoken).dot(&SPECTRUM.bands) * gain
}

/// The summed spectrum of a windowed frame, for sound of a power of 1: the window keeps 3/8 of it, and the
/// sum is over half of the bins of an unscaled transform.
const ENERGY_PER_POWER: f32 = 400.0 * 400.0 * 3.0 / 16.0;

/// The frames with speech in or near them.
fn spoken(energies: &[f32]) -> Vec<usize> {
    let mut sorted = energies.to_vec();
    sorted.sort_by(f32::total_cmp);
    let loud = sorted.get(sorted.len() * 19 / 20).copied().unwrap_or_default();
    let is_loud = |frame: usize| energies[frame] > loud * PAUSE;
    let near = |frame: usize| frame.saturating_sub(MARGIN)..(frame + MARGIN + 1).min(energies.len());
    (0..energies.len()).filter(|frame| loud > 0.0 && near(*frame).any(is_loud)).collect()
}

/// The Fourier transform as a matrix: frames are few, and a product of matrices is fast also where this crate
/// is not optimised.
struct Spectrum {
    waves: Array2<f32>,
    bands: Array2<f32>,
}

impl Spectrum {
    fn new() -> Self {
        let window = |n: usize| 0.5 - 0.5 * (2.0 * PI * real(n) / real(FRAME)).cos();
        let angle = |n: usize, bin: usize| 2.0 * PI * real((n * bin) % FRAME) / real(FRAME);
        let waves = Array2::from_shape_fn((FRAME, 2 * BINS), |(n, column)| {
            let angle = angle(n, column % BINS);
            window(n) * if column < BINS { angle.cos() } else { angle.sin() }
        });
        Self { waves, bands: bands() }
    }

    /// The power of every frequency in every frame.
    fn powers(&self, samples: &[f32]) -> Array2<f32> {
        let frames = (samples.len() + HOP).saturating_sub(FRAME) / HOP;
        let cut = Array2::from_shape_fn((frames, FRAME), |(frame, n)| samples[frame * HOP + n]);
        let parts = cut.dot(&self.waves);
        let (real, imaginary) = (parts.slice(s![.., ..BINS]), parts.slice(s![.., BINS..]));
        &real * &real + &imaginary * &imaginary
    }
}

/// Overlapping triangles over the frequencies, as Slaney's auditory toolbox has them.
fn bands() -> Array2<f32> {
    let top = mel(8000.0);
    let edges: Vec<f32> = (0..BANDS + 2).map(|edge| hertz(top * real(edge) / real(BANDS + 1))).collect();
    Array2::from_shape_fn((BINS, BANDS), |(bin, band)| {
        let frequency = 16_000.0 * real(bin) / real(FRAME);
        let [low, middle, high] = [0, 1, 2].map(|edge| edges[band + edge]);
        let (up, down) = ((frequency - low) / (middle - low), (high - frequency) / (high - middle));
        up.min(down).max(0.0) * 2.0 / (high - low)
    })
}

/// Linear below 1 kHz, logarithmic above.
fn mel(hertz: f32) -> f32 {
    if hertz < 1000.0 { hertz * 0.015 } else { 15.0 + 27.0 * (hertz / 1000.0).ln() / 6.4_f32.ln() }
}

fn hertz(mel: f32) -> f32 {
    if mel < 15.0 { mel / 0.015 } else { 1000.0 * ((mel - 15.0) * 6.4_f32.ln() / 27.0).exp() }
}

#[expect(clippy::cast_precision_loss, reason = "frames and bins are few")]
fn real(n: usize) -> f32 {
    n as f32
}
