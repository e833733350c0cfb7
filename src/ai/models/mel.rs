//! The mel filter bank that Whisper listens through.
//!
//! Triangular filters, evenly spaced on Slaney's mel scale (linear up to 1 kHz, logarithmic above) and scaled to equal
//! area: M. Slaney, "Auditory Toolbox", version 2, Interval Research technical report 1998-010; Whisper's own were made
//! by `librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)`, whose order of rounding is kept here, so that they agree
//! to the last bit.

/// Frequency bins of a Fourier transform of 400 samples.
pub(super) const BINS: usize = 201;

/// Hertz between two bins: 16 kHz over 400 samples.
const BIN_WIDTH: f64 = 40.0;
/// Upper end of the highest filter in hertz: half of the sample rate.
const TOP: f64 = 8000.0;
/// Hertz a mel in the linear part.
const LINEAR: f64 = 200.0 / 3.0;
/// Where the logarithmic part begins, in hertz and in mels.
const KNEE_HERTZ: f64 = 1000.0;
const KNEE_MELS: f64 = 15.0;

/// Weight of each bin in each of the bands, band by band.
pub(super) fn filter_bank(bands: usize) -> Vec<f32> {
    let edges = edges(bands + 2);
    edges.windows(3).flat_map(|edge| (0..BINS).map(|bin| weight(edge, index(bin) * BIN_WIDTH))).collect()
}

/// Frequencies in hertz, evenly spaced in mels from 0 to [`TOP`].
fn edges(count: usize) -> Vec<f64> {
    let top = KNEE_MELS + (TOP / KNEE_HERTZ).ln() / log_step();
    let step = top / index(count - 1);
    (0..count).map(|i| if i == count - 1 { hertz(top) } else { hertz(index(i) * step) }).collect()
}

fn hertz(mels: f64) -> f64 {
    if mels < KNEE_MELS { LINEAR * mels } else { KNEE_HERTZ * (log_step() * (mels - KNEE_MELS)).exp() }
}

/// Logarithm of the ratio of two frequencies one mel apart: 27 mels from 1 to 6.4 kHz.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

/// Height at a frequency of the triangle over three edges, times what makes its area that of all others.
#[expect(clippy::cast_possible_truncation, reason = "rounding twice to 32 bits is what librosa does")]
fn weight(edge: &[f64], hertz: f64) -> f32 {
    let rising = (hertz - edge[0]) / (edge[1] - edge[0]);
    let falling = (edge[2] - hertz) / (edge[2] - edge[1]);
    let height = rising.min(falling).max(0.0) as f32;
    (f64::from(height) * (2.0 / (edge[2] - edge[0]))) as f32
}

fn index(i: usize) -> f64 {
    f64::from(u32::try_from(i).expect("there are hundreds of bins and bands, not billions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_band_peaks_higher_than_the_one_before() {
        let bank = filter_bank(80);
        let center = |band: usize| {
            let row = &bank[band * BINS..(band + 1) * BINS];
            let weighted: f32 = row.iter().zip(0_u16..).map(|(weight, bin)| weight * f32::from(bin)).sum();
            weighted / row.iter().sum::<f32>()
        };
        assert_eq!(bank.len(), 80 * BINS);
        assert!((1..80).all(|band| center(band) > center(band - 1)));
    }

    #[test]
    fn wide_bands_have_unit_area() {
        let bank = filter_bank(80);
        let area = bank[79 * BINS..].iter().sum::<f32>() * 40.0;
        assert!((area - 1.0).abs() < 0.01, "{area}");
    }
}
