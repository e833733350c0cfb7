//! Real recordings, whole and broken. Each fixture holds the same 6 s of speech (`stereo.wav`: the first 3).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::*;

mod hostile;

const HOURS: Limits = Limits { max_duration: Duration::from_hours(4), allow_partial: false };
const IN_PART: Limits = Limits { allow_partial: true, ..HOURS };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/audio").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn spooled(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

async fn inspect_within(limits: Limits, bytes: &[u8], chunk: usize) -> Result<AudioInfo, AudioError> {
    let file = spooled(bytes);
    let mut inspector = Inspector::start(limits);
    for part in bytes.chunks(chunk) {
        inspector.write(Bytes::copy_from_slice(part)).await?;
    }
    inspector.finish(file.path()).await
}

async fn inspect(bytes: &[u8]) -> Result<AudioInfo, AudioError> {
    inspect_within(HOURS, bytes, 4096).await
}

async fn assert_damaged(what: &str, bytes: &[u8], readable_ms: std::ops::RangeInclusive<i64>) {
    match inspect(bytes).await {
        Err(AudioError::Damaged { readable_ms: ms, .. }) if readable_ms.contains(&ms) => {}
        other => panic!("{what}: {other:?}"),
    }
}

async fn assert_unsupported(what: &str, bytes: &[u8]) {
    let verdict = inspect(bytes).await;
    assert!(matches!(verdict, Err(AudioError::Unsupported { .. })), "{what}: {verdict:?}");
}

fn all_samples(path: &Path) -> Vec<f32> {
    track_of(path, Track::Mix)
}

fn track_of(path: &Path, track: Track) -> Vec<f32> {
    decode(path, track).unwrap().flat_map(Result::unwrap).collect()
}

fn random_bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn position_of(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}

const WHOLE: [(&str, Container, &str, u32, u16, i64); 18] = [
    ("vbr.mp3", Container::Mp3, "mp3", 44_100, 1, 6000),
    ("cbr.mp3", Container::Mp3, "mp3", 24_000, 1, 6000),
    ("index_last.m4a", Container::Mp4, "aac", 24_000, 1, 6000),
    ("index_first.m4a", Container::Mp4, "aac", 24_000, 1, 6000),
    ("fragmented.mp4", Container::Mp4, "aac", 24_000, 1, 6000),
    ("phone.wav", Container::Wav, "pcm", 8000, 1, 6000),
    ("stereo.wav", Container::Wav, "pcm", 48_000, 2, 3000),
    ("speech.flac", Container::Flac, "flac", 24_000, 1, 6000),
    ("vorbis.ogg", Container::Ogg, "vorbis", 24_000, 1, 6000),
    ("opus.ogg", Container::Ogg, "opus", 48_000, 1, 6000),
    ("browser.webm", Container::WebM, "opus", 48_000, 1, 6000),
    ("finished.webm", Container::WebM, "opus", 48_000, 1, 6000),
    ("alaw.wav", Container::Wav, "alaw", 8000, 1, 6000),
    ("ulaw.wav", Container::Wav, "mulaw", 8000, 1, 6000),
    ("stereo.mp3", Container::Mp3, "mp3", 24_000, 2, 6000),
    ("stereo.m4a", Container::Mp4, "aac", 24_000, 2, 6000),
    ("stereo.flac", Container::Flac, "flac", 12_000, 2, 6000),
    ("stereo.webm", Container::WebM, "opus", 48_000, 2, 6000),
];

#[tokio::test]
async fn every_accepted_format_is_measured_by_decoding() {
    for (name, container, codec, rate, channels, duration) in WHOLE {
        let info = inspect(&bytes_of(name)).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((info.container, info.sample_rate, info.channels), (container, rate, channels), "{name}");
        assert!(info.codec.contains(codec), "{name}: {}", info.codec);
        assert!((info.duration_ms - duration).abs() <= 100, "{name}: {} ms", info.duration_ms);
        assert!((-40.0..-10.0).contains(&info.rms_dbfs), "{name}: rms {}", info.rms_dbfs);
        assert!((-20.0..=1.0).contains(&info.peak_dbfs), "{name}: peak {}", info.peak_dbfs);
    }
}

#[tokio::test]
async fn the_verdict_does_not_depend_on_how_the_bytes_come() {
    for name in ["vbr.mp3", "phone.wav", "opus.ogg", "browser.webm", "index_first.m4a"] {
        let bytes = bytes_of(name);
        let whole = inspect_within(HOURS, &bytes, bytes.len()).await.unwrap();
        assert_eq!(whole, inspect_within(HOURS, &bytes, 97).await.unwrap(), "{name}");
    }
}

#[tokio::test]
async fn decoding_gives_all_the_sound_at_16_khz_in_its_place() {
    let reference = all_samples(&fixture("speech.flac"));
    let loudness = |samples: &[f32]| -> Vec<f32> {
        samples.chunks(160).map(|chunk| chunk.iter().map(|s| s * s).sum::<f32>().sqrt()).collect()
    };
    let wanted = loudness(&reference);
    for (name, _, _, _, _, duration) in WHOLE {
        let samples = all_samples(&fixture(name));
        let info = inspect(&bytes_of(name)).await.unwrap();
        let milliseconds = i64::try_from(samples.len()).unwrap() / 16;
        assert!(
            (milliseconds - info.duration_ms).abs() <= 1,
            "{name}: {milliseconds} of {}",
            info.duration_ms
        );
        assert!((milliseconds - duration).abs() <= 100, "{name}: {milliseconds} ms");
        let found = loudness(&samples);
        let likeness = |lag: usize| -> f32 { wanted.iter().zip(&found[lag..]).map(|(a, b)| a * b).sum() };
        let lag = (0..20).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap();
        assert!(lag <= 5, "{name} comes {lag} centiseconds late");
    }
}

#[tokio::test]
async fn a_recording_at_16_khz_is_passed_on_as_it_is() {
    let samples: Vec<f32> =
        (0..40_000).map(|i| f32::from(i16::try_from(i % 200).unwrap() - 100) / 128.0).collect();
    let file = spooled(&to_wav(&samples));
    let decoded = all_samples(file.path());
    assert_eq!(decoded.len(), samples.len());
    assert!(decoded.iter().zip(&samples).all(|(a, b)| (a - b).abs() < 0.001));
}

/// A WAV file at 16 kHz, with the channels' samples clipped to 16 bits.
fn wav_of(channels: &[&[f32]]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: u16::try_from(channels.len()).unwrap(),
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for at in 0..channels[0].len() {
        for channel in channels {
            #[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
            writer.write_sample((channel[at] * 32_767.0).round() as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

#[tokio::test]
async fn a_track_is_the_mix_or_one_channel() {
    let left: Vec<f32> = (0..20_000_u16).map(|n| f32::from(n % 100) / 200.0).collect();
    let right: Vec<f32> = left.iter().map(|sample| 0.2 - sample).collect();
    let file = spooled(&wav_of(&[&left, &right]));
    let assert_like = |track: Track, wanted: &dyn Fn(usize) -> f32| {
        let found = track_of(file.path(), track);
        assert_eq!(found.len(), left.len());
        assert!((0..found.len()).all(|at| (found[at] - wanted(at)).abs() < 0.001), "{track:?}");
    };
    assert_like(Track::Channel(0), &|at| left[at]);
    assert_like(Track::Channel(1), &|at| right[at]);
    assert_like(Track::Mix, &|_| 0.1);
    assert_like(Track::Channel(2), &|_| 0.0);
    assert_eq!(track_of(&fixture("vbr.mp3"), Track::Channel(0)), all_samples(&fixture("vbr.mp3")));
}

#[tokio::test]
async fn the_same_file_always_gives_the_same_pieces() {
    let cut = || -> Vec<Piece> {
        let samples = decode(&fixture("vbr.mp3"), Track::Mix).unwrap();
        let [longest, search, overlap] = [4, 2, 1].map(Duration::from_secs);
        let pieces = Pieces::new(samples, PieceLengths { longest, search, overlap }, Vec::new());
        pieces.map(Result::unwrap).collect()
    };
    let pieces = cut();
    assert!(pieces.len() >= 2);
    assert_eq!(pieces, cut());
}

#[tokio::test]
async fn an_empty_file_is_told_from_a_broken_one() {
    assert!(matches!(inspect(&[]).await, Err(AudioError::Empty)));
}

#[tokio::test]
async fn what_is_no_recording_is_unsupported() {
    let text = "Session with a client. ".repeat(5000);
    assert_unsupported("text", text.as_bytes()).await;
    assert_unsupported("one byte", b"x").await;
    assert_unsupported("a PDF", &[b"%PDF-1.7\n".to_vec(), random_bytes(60_000, 9)].concat()).await;
    assert_unsupported("zeros", &vec![0; 100_000]).await;
    assert_unsupported("0xff", &vec![0xff; 100_000]).await;
    assert_unsupported("a video without sound", &bytes_of("video_only.mp4")).await;
    for seed in 0..50 {
        assert_unsupported("random bytes", &random_bytes(50_000, seed)).await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_recording_is_refused_before_its_end() {
    let mut inspector = Inspector::start(HOURS);
    let mut written = 0;
    let error = loop {
        match inspector.write(Bytes::from(vec![b'x'; 16 * 1024])).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AudioError::Unsupported { .. }));
    assert!(written < 10, "{written} chunks");
    assert!(matches!(inspector.write(Bytes::from_static(b"x")).await, Err(AudioError::Io(_))));
    assert!(matches!(inspector.finish(Path::new("/nowhere")).await, Err(AudioError::Io(_))));
}

#[tokio::test]
async fn a_recording_that_is_cut_off_is_damaged() {
    for (name, _, _, _, _, duration) in WHOLE {
        let bytes = bytes_of(name);
        let readable = match name {
            "index_last.m4a" | "stereo.m4a" => 0..=0,
            _ => duration / 4..=duration * 3 / 4,
        };
        assert_damaged(name, &bytes[..bytes.len() / 2 + 3], readable).await;
        assert_damaged(name, &bytes[..bytes.len() - 1], 0..=duration + 100).await;
    }
}

#[tokio::test]
async fn a_file_cut_down_to_its_header_is_damaged() {
    for (name, ..) in WHOLE {
        if !name.ends_with("mp3") {
            assert_damaged(name, &bytes_of(name)[..40], 0..=0).await;
        }
    }
}

#[tokio::test]
async fn a_stretch_of_zeros_in_compressed_sound_is_damage() {
    for (name, _, _, _, _, duration) in WHOLE {
        if name.ends_with("wav") {
            continue;
        }
        let mut bytes = bytes_of(name);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 8192].fill(0);
        let verdict = inspect(&bytes).await;
        let is_damaged =
            matches!(&verdict, Err(AudioError::Damaged { readable_ms, .. }) if *readable_ms <= duration);
        assert!(is_damaged, "{name}: {verdict:?}");
    }
}

#[tokio::test]
async fn garbage_in_the_middle_never_panics_or_hangs() {
    for (name, ..) in WHOLE {
        for seed in 0..8 {
            let mut bytes = bytes_of(name);
            let at = usize::from(random_bytes(1, seed)[0]) * bytes.len() / 256;
            let noise = random_bytes(400.min(bytes.len() - at), seed);
            bytes[at..at + noise.len()].copy_from_slice(&noise);
            let _ = inspect(&bytes).await;
        }
    }
}

#[tokio::test]
async fn a_wav_as_recorders_stream_it_is_read_to_its_end() {
    for size in [0_u32, u32::MAX, 0x7fff_ffff] {
        let mut bytes = bytes_of("phone.wav");
        let data = position_of(&bytes, b"data") + 4;
        bytes[4..8].copy_from_slice(&size.to_le_bytes());
        bytes[data..data + 4].copy_from_slice(&size.to_le_bytes());
        assert_eq!(inspect(&bytes).await.unwrap().duration_ms, 6000, "{size:x}");
        assert_eq!(all_samples(spooled(&bytes).path()).len(), 96_000);
    }
}

#[tokio::test]
async fn chunks_after_the_sound_of_a_wav_are_not_sound() {
    let mut bytes = bytes_of("phone.wav");
    bytes.extend(b"LIST\x08\x00\x00\x00INFOabcd");
    assert_eq!(inspect(&bytes).await.unwrap().duration_ms, 6000);
}

#[tokio::test]
async fn a_browser_may_stop_its_webm_at_any_block() {
    let bytes = bytes_of("browser.webm");
    let layout_ends = (bytes.len() / 2..bytes.len()).filter(|end| {
        let mut layout = layout::Layout::default();
        layout.feed(&bytes[..*end]);
        layout.missing().is_none()
    });
    let ends: Vec<usize> = layout_ends.take(3).collect();
    assert!(!ends.is_empty());
    for end in ends {
        let info = inspect(&bytes[..end]).await.unwrap();
        assert!((2000..5000).contains(&info.duration_ms), "{}", info.duration_ms);
    }
}

#[tokio::test]
async fn opus_runs_at_48_khz_whatever_the_browser_says() {
    let mut bytes = bytes_of("browser.webm");
    let rate = position_of(&bytes, b"\xb5\x88") + 2;
    bytes[rate..rate + 8].copy_from_slice(&44_100_f64.to_be_bytes());
    assert_eq!(inspect(&bytes).await.unwrap(), inspect(&bytes_of("browser.webm")).await.unwrap());
}

#[tokio::test]
async fn tags_around_an_mp3_are_neither_sound_nor_damage() {
    let picture = random_bytes(300_000, 1);
    let size = u32::try_from(picture.len()).unwrap();
    let sizes = [21, 14, 7, 0].map(|shift| (size >> shift & 0x7f) as u8);
    let id3 = [b"ID3\x03\x00\x00".to_vec(), sizes.to_vec(), picture].concat();
    let id3v1 = [b"TAG".to_vec(), vec![0; 125]].concat();
    let bytes = [id3, bytes_of("cbr.mp3"), id3v1].concat();
    let plain = inspect(&bytes_of("cbr.mp3")).await.unwrap();
    assert_eq!(inspect(&bytes).await.unwrap(), plain);
}

#[tokio::test]
async fn an_mp3_cut_out_of_a_longer_one_is_accepted() {
    let bytes = bytes_of("vbr.mp3");
    let info = inspect(&bytes[9000..]).await.unwrap();
    assert!((4000..6000).contains(&info.duration_ms), "{}", info.duration_ms);
}

#[tokio::test]
async fn an_mp3_longer_than_its_header_says_keeps_all_its_sound() {
    let mut bytes = bytes_of("vbr.mp3");
    let tag = position_of(&bytes, b"Xing") + 8;
    bytes[tag..tag + 4].copy_from_slice(&50_u32.to_be_bytes());
    assert!(inspect(&bytes).await.unwrap().duration_ms > 5900);
}

#[tokio::test]
async fn an_mp3_that_promises_clearly_more_is_damaged() {
    let mut bytes = bytes_of("vbr.mp3");
    let tag = position_of(&bytes, b"Xing") + 8;
    bytes[tag..tag + 4].copy_from_slice(&1000_u32.to_be_bytes());
    assert_damaged("a promise of 26 s", &bytes, 5900..=6100).await;
}

#[tokio::test]
async fn a_flac_that_promises_more_is_damaged() {
    let mut bytes = bytes_of("speech.flac");
    bytes[25] = bytes[25].wrapping_add(1);
    assert_damaged("256 samples more", &bytes, 5900..=6000).await;
}

#[tokio::test]
async fn silence_is_refused_and_one_word_is_not() {
    let mut samples = vec![0.0; 16_000 * 20];
    assert!(matches!(inspect(&to_wav(&samples)).await, Err(AudioError::Silent)));
    samples[160_000..170_000].iter_mut().step_by(2).for_each(|sample| *sample = 0.1);
    assert!(inspect(&to_wav(&samples)).await.is_ok());
}

#[tokio::test]
async fn the_limit_counts_decoded_sound_and_ends_the_upload() {
    let limits = Limits { max_duration: Duration::from_secs(2), ..HOURS };
    for (name, ..) in WHOLE {
        let verdict = inspect_within(limits, &bytes_of(name), 4096).await;
        assert!(matches!(verdict, Err(AudioError::TooLong { .. })), "{name}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_time_stamp_that_claims_hours_meets_the_limit() {
    let mut bytes = bytes_of("browser.webm");
    let clusters: Vec<usize> =
        (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"\x1f\x43\xb6\x75")).collect();
    let last = *clusters.last().unwrap();
    let stamp = last + bytes[last..].iter().position(|byte| *byte == 0xe7).unwrap();
    let length = usize::from(bytes[stamp + 1] & 0x7f);
    bytes[stamp + 2..stamp + 2 + length].fill(0x7f);
    let limits = Limits { max_duration: Duration::from_secs(30), ..HOURS };
    let verdict = inspect_within(limits, &bytes, 4096).await;
    assert!(matches!(verdict, Err(AudioError::TooLong { .. })), "{length} bytes of time stamp: {verdict:?}");
}

#[tokio::test]
async fn dropping_the_inspector_stops_its_thread() {
    let mut inspector = Inspector::start(HOURS);
    inspector.write(Bytes::from(bytes_of("stereo.wav"))).await.unwrap();
    drop(inspector);
    // The test's runtime waits for its blocking threads when it ends: a thread that goes on hangs the test.
}

#[tokio::test]
async fn the_sound_of_a_video_is_a_recording() {
    let info = inspect(&bytes_of("video.mp4")).await.unwrap();
    assert_eq!((info.container, info.codec.as_str()), (Container::Mp4, "aac"));
    assert!((2900..=3200).contains(&info.duration_ms), "{}", info.duration_ms);
}

#[tokio::test]
async fn an_ogg_without_its_last_page_is_damaged() {
    for name in ["vorbis.ogg", "opus.ogg"] {
        let bytes = bytes_of(name);
        let last = (0..bytes.len()).rev().find(|at| bytes[*at..].starts_with(b"OggS")).unwrap();
        assert_damaged(name, &bytes[..last], 4000..=6000).await;
    }
}

#[tokio::test]
async fn an_mp4_whose_index_names_bytes_beyond_the_end_is_damaged() {
    let mut bytes = bytes_of("index_first.m4a");
    bytes.truncate(bytes.len() - 5000);
    let box_start = position_of(&bytes, b"mdat") - 4;
    let size = u32::try_from(bytes.len() - box_start).unwrap();
    bytes[box_start..box_start + 4].copy_from_slice(&size.to_be_bytes());
    assert_damaged("a box that fits the file", &bytes, 4000..=6000).await;
}

/// Whether decoding gives as much sound as inspecting measured.
fn assert_decodes_as_measured(what: &str, bytes: &[u8], info: &AudioInfo) {
    let samples = all_samples(spooled(bytes).path());
    let decoded_ms = i64::try_from(samples.len()).unwrap() / 16;
    assert!((decoded_ms - info.duration_ms).abs() <= 1, "{what}: {decoded_ms} of {}", info.duration_ms);
}

#[tokio::test]
async fn what_is_cut_off_is_accepted_in_part_where_that_is_allowed() {
    for (name, _, _, _, _, duration) in WHOLE {
        let whole = bytes_of(name);
        for percent in [10, 50, 90, 99] {
            let what = format!("{name} at {percent} %");
            let bytes = &whole[..whole.len() * percent / 100];
            let refusal = inspect(bytes).await.expect_err(&what);
            assert!(matches!(refusal, AudioError::Damaged { .. }), "{what}: {refusal:?}");
            match inspect_within(IN_PART, bytes, 4096).await {
                Ok(info) => {
                    let partial = info.partial.clone().expect(&what);
                    let expected = duration * i64::try_from(percent).unwrap() / 100;
                    assert!((1000..=info.duration_ms).contains(&partial.readable_ms), "{what}: {info:?}");
                    assert!((info.duration_ms - expected).abs() < 1500, "{what}: {info:?}");
                    assert!(refusal.to_string().contains(&partial.detail), "{what}: {refusal}, {partial:?}");
                    assert_decodes_as_measured(&what, bytes, &info);
                }
                Err(AudioError::Damaged { readable_ms, .. }) => {
                    assert!(
                        readable_ms < 1000
                            && (percent == 10
                                || Path::new(name).extension().is_some_and(|kind| kind == "m4a")),
                        "{what}: {readable_ms}"
                    );
                }
                Err(other) => panic!("{what}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_mp4_with_its_index_at_the_end_says_that_nothing_can_be_read_without() {
    let bytes = bytes_of("index_last.m4a");
    let refusal = inspect_within(IN_PART, &bytes[..bytes.len() / 2], 4096).await.unwrap_err().to_string();
    assert!(refusal.contains("nothing in it can be read, because its index is missing"), "{refusal}");
}

#[tokio::test]
async fn a_hole_is_accepted_in_part() {
    for (name, container, ..) in WHOLE {
        if container == Container::Wav {
            continue;
        }
        let mut bytes = bytes_of(name);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0);
        let Ok(info) = inspect_within(IN_PART, &bytes, 4096).await else { continue };
        let partial = info.partial.clone().unwrap_or_else(|| panic!("{name}: {info:?}"));
        // The frames of an MP3 carry no time: what follows a hole moves up. In WebM there is no way past it.
        assert!(partial.readable_ms <= info.duration_ms.min(5900), "{name}: {info:?}");
        assert_decodes_as_measured(name, &bytes, &info);
    }
}

#[tokio::test]
async fn what_is_whole_is_never_partial() {
    for (name, ..) in WHOLE {
        let bytes = bytes_of(name);
        let whole = inspect(&bytes).await.unwrap();
        assert_eq!(whole.partial, None);
        assert_eq!(inspect_within(IN_PART, &bytes, 4096).await.unwrap(), whole, "{name}");
    }
}

#[tokio::test]
async fn less_than_a_second_or_silence_is_no_part_worth_having() {
    let bytes = bytes_of("phone.wav");
    let short = inspect_within(IN_PART, &bytes[..15_000], 4096).await;
    assert!(matches!(short, Err(AudioError::Damaged { readable_ms: 900..1000, .. })), "{short:?}");
    let silence = to_wav(&vec![0.0; 160_000]);
    let silent = inspect_within(IN_PART, &silence[..100_000], 4096).await;
    assert!(matches!(silent, Err(AudioError::Silent)), "{silent:?}");
    let text = inspect_within(IN_PART, "no sound at all ".repeat(9999).as_bytes(), 4096).await;
    assert!(matches!(text, Err(AudioError::Unsupported { .. })), "{text:?}");
}

/// Six seconds of speech on two channels that take turns of a second and a half.
fn conversation() -> [Vec<f32>; 2] {
    let speech = all_samples(&fixture("speech.flac"));
    let side = |own: usize| -> Vec<f32> {
        let in_turn = |at: usize| if at / 24_000 % 2 == own { speech[at] } else { 0.0 };
        (0..speech.len()).map(in_turn).collect()
    };
    [side(0), side(1)]
}

fn leaking(sound: &[f32], other: &[f32], decibels: f32) -> Vec<f32> {
    let gain = 10_f32.powf(decibels / 20.0);
    sound.iter().zip(other).map(|(sound, other)| sound + other * gain).collect()
}

#[tokio::test]
async fn a_channel_a_speaker_is_found_in_real_speech() {
    let [left, right] = conversation();
    let arrangement = async |channels: &[&[f32]]| inspect(&wav_of(channels)).await.unwrap().arrangement;
    let separate = Arrangement::SeparateChannels;
    assert_eq!(arrangement(&[&left, &right]).await, separate);
    for (decibels, wanted) in
        [(-6.0, Arrangement::Mixed), (-12.0, Arrangement::Mixed), (-20.0, separate), (-30.0, separate)]
    {
        let [one, other] = [leaking(&left, &right, decibels), leaking(&right, &left, decibels)];
        assert_eq!(arrangement(&[&one, &other]).await, wanted, "{decibels} dB");
    }
    let mix = leaking(&left, &right, 0.0);
    assert_eq!(arrangement(&[&mix, &mix]).await, Arrangement::Mixed);
    assert_eq!(arrangement(&[&mix, &vec![0.0; mix.len()]]).await, Arrangement::Mixed);
    assert_eq!(arrangement(&[&left, &right, &mix]).await, Arrangement::Mixed);
    assert_eq!(arrangement(&[&mix]).await, Arrangement::Mixed);
}

#[tokio::test]
async fn two_microphones_in_one_room_are_mixed() {
    let [left, right] = conversation();
    // Each voice reaches the far microphone 1 ms later and 6 dB quieter, and both with echoes from the walls.
    let heard = |near: &[f32], far: &[f32]| -> Vec<f32> {
        let at =
            |sound: &[f32], index: usize, delay: usize| index.checked_sub(delay).map_or(0.0, |at| sound[at]);
        let echoes = [(0_usize, 1.0_f32), (160, 0.4), (431, 0.3), (1013, 0.25), (2711, 0.15)];
        let reaches = |sound: &[f32], index: usize, extra: usize, gain: f32| -> f32 {
            echoes.iter().map(|(delay, echo)| at(sound, index, delay + extra) * echo * gain).sum()
        };
        (0..near.len()).map(|i| reaches(near, i, 0, 0.6) + reaches(far, i, 16, 0.3)).collect()
    };
    let file = wav_of(&[&heard(&left, &right), &heard(&right, &left)]);
    assert_eq!(inspect(&file).await.unwrap().arrangement, Arrangement::Mixed);
}

#[tokio::test]
async fn a_channel_a_speaker_survives_every_codec() {
    for (name, _, _, _, channels, _) in WHOLE {
        let info = inspect(&bytes_of(name)).await.unwrap();
        let is_conversation = channels == 2 && name != "stereo.wav";
        let wanted = if is_conversation { Arrangement::SeparateChannels } else { Arrangement::Mixed };
        assert_eq!((info.arrangement, info.tracks()), (wanted, 1 + i16::from(is_conversation)), "{name}");
    }
}
