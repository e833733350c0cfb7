//! The file that carries samples to a provider.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::ai::SAMPLE_RATE;

/// The samples as a 16-bit mono WAV file: what every server reads, and at 32 KB a second five minutes stay under
/// 10 MB.
pub(super) fn to_wav(samples: &[f32]) -> Result<Vec<u8>, hound::Error> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::with_capacity(44 + 2 * samples.len()));
    let mut writer = WavWriter::new(&mut file, spec)?;
    for &sample in samples {
        writer.write_sample(to_i16(sample))?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn to_i16(sample: f32) -> i16 {
    (sample * f32::from(i16::MAX)).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_the_way_through_the_wav_file() {
        let samples = [0.0, 0.5, -0.5, 1.0, -1.0, 3.0, f32::NAN];
        let wav = to_wav(&samples).unwrap();
        let mut reader = hound::WavReader::new(Cursor::new(wav)).unwrap();
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (SAMPLE_RATE, 1));
        let read: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(read, [0, 16_384, -16_384, 32_767, -32_767, 32_767, 0]);
    }
}
