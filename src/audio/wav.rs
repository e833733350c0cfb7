//! Samples as a WAV file.

use std::io::Cursor;

use super::SAMPLE_RATE;

/// Writes samples as a mono 16-bit WAV file at 16 kHz: what every speech provider takes. Values outside -1..1 are
/// clipped.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float to integer cast saturates: that is the clipping"
)]
pub fn to_wav(samples: &[f32]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Vec::with_capacity(44 + 2 * samples.len());
    let mut writer = hound::WavWriter::new(Cursor::new(&mut file), spec).expect("the format is a valid one");
    let count = u32::try_from(samples.len()).expect("a WAV file holds at most 4 GiB");
    let mut block = writer.get_i16_writer(count);
    for sample in samples {
        block.write_sample((sample * 32_767.0).round() as i16);
    }
    block.flush().expect("writing to memory cannot fail");
    writer.finalize().expect("writing to memory cannot fail");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_samples_clipped_to_16_bits() {
        let file = to_wav(&[0.0, 0.5, -1.0, 7.0, -7.0, f32::NAN]);
        let mut reader = hound::WavReader::new(file.as_slice()).unwrap();
        assert_eq!(reader.spec().sample_rate, 16_000);
        assert_eq!(reader.spec().channels, 1);
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [0, 16_384, -32_767, i16::MAX, i16::MIN, 0]);
    }

    #[test]
    fn no_samples_make_an_empty_file_not_a_broken_one() {
        assert_eq!(hound::WavReader::new(to_wav(&[]).as_slice()).unwrap().len(), 0);
    }
}
