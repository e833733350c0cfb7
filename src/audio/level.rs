//! How loud a recording is.

/// A recording is silent when no window reaches this level. Quiet speech on a distant phone lies at about -40 dBFS
/// RMS; a muted or dead input with its noise floor stays below -60. Between the two there is room for both.
const AUDIBLE_DBFS: f32 = -50.0;

/// Long enough for a syllable or two, so that a click of the record button does not count as sound, and short
/// enough that one spoken word in an hour does.
const WINDOW_MS: usize = 400;

/// Peak, RMS and the loudest window of a mono signal, in constant memory.
#[derive(Debug)]
pub(super) struct Level {
    window: usize,
    in_window: usize,
    window_energy: f32,
    loudest: f32,
    peak: f32,
    energy: f64,
    samples: u64,
}

impl Level {
    pub(super) fn new(sample_rate: u32) -> Self {
        let window = sample_rate as usize * WINDOW_MS / 1000;
        Self { window, in_window: 0, window_energy: 0.0, loudest: 0.0, peak: 0.0, energy: 0.0, samples: 0 }
    }

    pub(super) fn add(&mut self, mut samples: &[f32]) {
        self.samples += samples.len() as u64;
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(self.window - self.in_window));
            let (energy, peak) =
                now.iter().fold((0.0, self.peak), |(energy, peak), s| (energy + s * s, s.abs().max(peak)));
            self.window_energy += energy;
            self.peak = peak;
            self.in_window += now.len();
            if self.in_window == self.window {
                self.close_window();
            }
            samples = later;
        }
    }

    /// The highest sample in dBFS.
    pub(super) fn peak_dbfs(&self) -> f32 {
        20.0 * self.peak.max(f32::MIN_POSITIVE).log10()
    }

    /// The mean level in dBFS.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a level needs no more")]
    pub(super) fn rms_dbfs(&self) -> f32 {
        let energy = self.energy + f64::from(self.window_energy);
        decibels((energy / self.samples.max(1) as f64) as f32)
    }

    /// Whether there was ever something to hear.
    #[expect(clippy::cast_precision_loss, reason = "a level needs no more")]
    pub(super) fn is_silent(&self) -> bool {
        let unfinished = self.window_energy / self.in_window.max(1) as f32;
        decibels(self.loudest.max(unfinished)) < AUDIBLE_DBFS
    }

    #[expect(clippy::cast_precision_loss, reason = "a window is far shorter than 2^23 samples")]
    fn close_window(&mut self) {
        self.loudest = self.loudest.max(self.window_energy / self.window as f32);
        self.energy += f64::from(self.window_energy);
        self.window_energy = 0.0;
        self.in_window = 0;
    }
}

/// The mean level (RMS) of some sound in dBFS; far below any sound, -379, when there is none.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a level needs no more")]
pub fn level_dbfs(samples: &[f32]) -> f32 {
    let energy: f64 = samples.iter().map(|sample| f64::from(sample * sample)).sum();
    decibels((energy / samples.len().max(1) as f64) as f32)
}

fn decibels(mean_square: f32) -> f32 {
    10.0 * mean_square.max(f32::MIN_POSITIVE).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level_of(samples: &[f32]) -> Level {
        let mut level = Level::new(16_000);
        samples.chunks(331).for_each(|chunk| level.add(chunk));
        level
    }

    #[test]
    fn a_square_wave_at_half_scale_is_6_db_below_full_scale() {
        let level = level_of(&[0.5, -0.5].repeat(16_000));
        assert!((level.peak_dbfs() + 6.02).abs() < 0.01);
        assert!((level.rms_dbfs() + 6.02).abs() < 0.01);
        assert!(!level.is_silent());
    }

    #[test]
    fn the_level_of_a_slice_is_that_of_its_samples() {
        assert!((level_dbfs(&[0.1, -0.1].repeat(1000)) + 20.0).abs() < 0.01);
        assert!((level_dbfs(&[1.0; 7]) - 0.0).abs() < 0.01);
        assert!(level_dbfs(&[]) < -300.0 && level_dbfs(&[0.0; 100]) < -300.0);
    }

    #[test]
    fn hiss_and_a_click_are_silence() {
        let mut samples = [0.001, -0.001].repeat(32_000);
        assert!(level_of(&samples).is_silent());
        samples[30_000] = 0.2;
        assert!(level_of(&samples).is_silent());
    }

    #[test]
    fn one_word_in_a_silent_recording_is_sound() {
        let mut samples = vec![0.0; 160_000];
        samples[80_000..88_000].fill(0.02);
        assert!(!level_of(&samples).is_silent());
    }
}
