//! Files made to deceive: what they say costs nothing, whatever it is; only what is in them does.

use std::process::Command;
use std::time::Instant;

use super::*;

const TEN_MINUTES: Limits = Limits { max_duration: Duration::from_mins(10), allow_partial: false };

/// Uploads chunks that never end, until they are refused; how many bytes that took.
async fn refused_after(
    limits: Limits,
    head: &[u8],
    mut next: impl FnMut() -> Vec<u8>,
) -> (AudioError, usize) {
    let mut inspector = Inspector::start(limits);
    let mut bytes = Bytes::copy_from_slice(head);
    let mut written = 0;
    loop {
        written += bytes.len();
        assert!(written < 200_000_000, "it is never refused");
        match inspector.write(bytes).await {
            Ok(()) => bytes = Bytes::from(next()),
            Err(error) => return (error, written),
        }
    }
}

fn wav(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = (bits / 8).wrapping_mul(channels);
    let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00".to_vec();
    file.extend([format.to_le_bytes(), channels.to_le_bytes()].concat());
    file.extend([rate.to_le_bytes(), rate.wrapping_mul(block.into()).to_le_bytes()].concat());
    file.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
    file.extend(b"data");
    file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    file.extend(data);
    file
}

/// A frame of MPEG 2.5 Layer III at 8 kHz and 8 kbit/s with nothing in it: 72 ms of silence in 72 bytes.
fn silent_frame() -> Vec<u8> {
    [vec![0xff, 0xe3, 0x18, 0xc0], vec![0; 68]].concat()
}

/// A `WebM` cluster of 30 s of silence: Opus packets of one byte, 60 ms each.
fn silent_cluster(start_ms: u32) -> Vec<u8> {
    let mut cluster = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x84".to_vec();
    cluster.extend(start_ms.to_be_bytes());
    for packet in 0..500_u16 {
        cluster.extend([0xa3, 0x85, 0x81]);
        cluster.extend((packet * 60).to_be_bytes());
        cluster.extend([0x80, 3 << 3]);
    }
    cluster
}

fn webm_head() -> Vec<u8> {
    let bytes = bytes_of("browser.webm");
    bytes[..position_of(&bytes, b"\x1f\x43\xb6\x75")].to_vec()
}

/// An MP4 box around others, or around anything.
fn mp4_box(kind: &[u8], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat()
}

#[tokio::test]
async fn hours_of_silence_meet_the_limit_before_they_are_all_there() {
    let flac = bytes_of("five_hours_of_silence.flac");
    assert!(flac.len() < 40_000);
    let verdict = inspect_within(TEN_MINUTES, &flac, 4096).await;
    assert!(matches!(verdict, Err(AudioError::TooLong { .. })), "{verdict:?}");

    let frames = silent_frame().repeat(100);
    let (error, bytes) = refused_after(TEN_MINUTES, &frames, || frames.clone()).await;
    assert!(matches!(error, AudioError::TooLong { .. }), "{error:?}");
    assert!(bytes < 1_000_000, "{bytes} bytes of MP3");

    let mut start = 0;
    let (error, bytes) = refused_after(TEN_MINUTES, &webm_head(), || {
        start += 30_000;
        silent_cluster(start - 30_000)
    })
    .await;
    assert!(matches!(error, AudioError::TooLong { .. }), "{error:?}");
    assert!(bytes < 200_000, "{bytes} bytes of WebM");
}

#[tokio::test]
async fn an_ogg_page_that_claims_years_is_bounded() {
    let bytes = bytes_of("opus.ogg");
    let pages: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"OggS")).collect();
    for page in &pages[2..] {
        let mut bytes = bytes.clone();
        bytes[page + 6..page + 14].copy_from_slice(&(1_u64 << 60).to_le_bytes());
        let segments = usize::from(bytes[page + 26]);
        let body: usize = bytes[page + 27..page + 27 + segments].iter().map(|lace| usize::from(*lace)).sum();
        bytes[page + 22..page + 26].fill(0);
        let sum = ogg_checksum(&bytes[*page..page + 27 + segments + body]);
        bytes[page + 22..page + 26].copy_from_slice(&sum.to_le_bytes());
        match inspect(&bytes).await {
            Ok(info) => assert!(info.duration_ms < 7000, "{info:?}"),
            Err(AudioError::TooLong { .. } | AudioError::Damaged { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn ogg_checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 }
        })
    })
}

#[tokio::test]
async fn absurd_channels_rates_and_depths_are_refused() {
    let data = random_bytes(40_000, 3);
    for (format, channels, rate, bits) in [
        (1, 0, 16_000, 16),
        (1, 9, 16_000, 16),
        (1, 65_535, 16_000, 16),
        (1, 1, 0, 16),
        (1, 1, 100, 16),
        (1, 1, 400_000, 16),
        (1, 1, u32::MAX, 16),
        (1, 1, 16_000, 0),
        (1, 1, 16_000, 1),
        (1, 1, 16_000, 65_535),
        (3, 1, 16_000, 16),
        (9999, 1, 16_000, 16),
    ] {
        let what = format!("format {format}, {channels} channels, {rate} Hz, {bits} bits");
        let verdict = inspect(&wav(format, channels, rate, bits, &data)).await;
        let is_refused = matches!(
            verdict,
            Err(AudioError::Unsupported { .. } | AudioError::Damaged { readable_ms: 0, .. })
        );
        assert!(is_refused, "{what}: {verdict:?}");
    }
}

#[tokio::test]
async fn every_depth_of_wav_is_read_at_every_rate() {
    let tone =
        |rate: u32, at: u32| (f64::from(at) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * 0.5;
    for (rate, channels) in [(8000, 1), (16_000, 1), (44_100, 1), (96_000, 2), (192_000, 1)] {
        for (format, bits) in [(1, 8), (1, 24), (1, 32), (3, 32), (3, 64)] {
            let mut data = Vec::new();
            for sample in (0..rate * 2).map(|at| tone(rate, at)) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test signal")]
                let bytes = match (format, bits) {
                    (3, 32) => (sample as f32).to_le_bytes().to_vec(),
                    (3, _) => sample.to_le_bytes().to_vec(),
                    (_, 8) => vec![(sample * 127.0 + 128.0) as u8],
                    _ => ((sample * 2_147_483_647.0) as i32).to_le_bytes()[4 - bits / 8..].to_vec(),
                };
                data.extend(bytes.repeat(channels));
            }
            let file =
                wav(format, u16::try_from(channels).unwrap(), rate, u16::try_from(bits).unwrap(), &data);
            let what = format!("format {format}, {channels} channels, {rate} Hz, {bits} bits");
            let info = inspect(&file).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(info.duration_ms, 2000, "{what}");
            assert!((info.rms_dbfs + 9.03).abs() < 0.2, "{what}: {}", info.rms_dbfs);
            assert_eq!(all_samples(spooled(&file).path()).len(), 32_000, "{what}");
        }
    }
}

/// Sizes that nothing stands behind, and one part that is really there and far too large.
fn lying_files() -> Vec<(&'static str, Vec<u8>)> {
    let id3 = |size: [u8; 4]| [b"ID3\x03\x00\x00".to_vec(), size.to_vec(), bytes_of("cbr.mp3")].concat();
    let ftyp = mp4_box(b"ftyp", b"M4A \x00\x00\x02\x00M4A isom");
    let table = |kind| mp4_box(kind, &[vec![0; 4], vec![0xff; 12]].concat());
    let huge_table = |kind| {
        let mut bytes = bytes_of("index_first.m4a");
        let at = position_of(&bytes, kind) + 8;
        bytes[at..at + 4].fill(0xff);
        if kind == b"stsz" {
            bytes[at..at + 4].fill(0);
            bytes[at + 4..at + 8].fill(0xff);
        }
        bytes
    };
    let chunk_of_wav = |kind: &[u8]| {
        [b"RIFF\xff\xff\xff\xffWAVE", kind, &[0xfe, 0xff, 0xff, 0xff], &random_bytes(50_000, 1)].concat()
    };
    let mut block = bytes_of("speech.flac");
    block[5..8].fill(0xff);
    vec![
        ("an ID3 tag of 256 MB", id3([0x7f; 4])),
        ("a RIFF chunk of 4 GB before the sound", chunk_of_wav(b"LIST")),
        ("a format of 4 GB", chunk_of_wav(b"fmt ")),
        ("a FLAC header of 16 MB", block),
        (
            "an MP4 index of 8 EB",
            [&ftyp[..], b"\x00\x00\x00\x01moov\x7f\xff\xff\xff\xff\xff\xff\xff"].concat(),
        ),
        ("an MP4 index of 4 GB", [&ftyp[..], b"\xff\xff\xff\xffmoov", &table(b"stsz")[..]].concat()),
        ("2^32 - 1 sizes in an MP4", huge_table(b"stsz")),
        ("2^32 - 1 times in an MP4", huge_table(b"stts")),
        ("2^32 - 1 places in an MP4", huge_table(b"stco")),
        ("a WebM codec header of a TB", [webm_head(), b"\x63\xa2\x05\x00\x00\x00\x00\x00".to_vec()].concat()),
        (
            "a WebM block of a TB",
            [&webm_head()[..], &silent_cluster(0)[..18], b"\xa3\x02\x00\x00\x00\x00\x00\x00\x81"].concat(),
        ),
        (
            "a WebM block of 80 MB",
            [
                webm_head(),
                silent_cluster(0)[..18].to_vec(),
                b"\xa3\x15\x00\x00\x00\x81".to_vec(),
                vec![7; 80 << 20],
            ]
            .concat(),
        ),
        ("an MP4 index of 80 MB", [ftyp, mp4_box(b"moov", &mp4_box(b"udta", &vec![7; 80 << 20]))].concat()),
    ]
}

#[tokio::test]
async fn sizes_that_nothing_stands_behind_are_refused() {
    for (what, bytes) in lying_files() {
        for limits in [HOURS, IN_PART] {
            let verdict = inspect_within(limits, &bytes, 64 * 1024).await;
            let is_refused = matches!(
                verdict,
                Err(AudioError::Damaged { readable_ms: 0, .. } | AudioError::Unsupported { .. })
            );
            assert!(is_refused, "{what}: {verdict:?}");
        }
    }
}

/// What a process grows by at most while it inspects.
const MOST_MEMORY_MB: u64 = 40;

#[test]
fn deceiving_files_take_little_memory_and_time() {
    let started = Instant::now();
    let test = "audio::tests::hostile::a_process_of_its_own_inspects_deceiving_files";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    let grown =
        output.lines().find_map(|line| line.split_once("grew by ")?.1.split_once(" MB")?.0.parse().ok());
    let grown: u64 = grown.unwrap_or_else(|| panic!("no figure: {output}"));
    assert!(grown <= MOST_MEMORY_MB, "{grown} MB");
    assert!(started.elapsed() < Duration::from_mins(2), "{:?}", started.elapsed());
}

#[tokio::test]
#[ignore = "measures its own process; started by `deceiving_files_take_little_memory_and_time`"]
#[expect(clippy::print_stdout, reason = "this is how it answers")]
async fn a_process_of_its_own_inspects_deceiving_files() {
    // Written and let go one by one, so that the files themselves are not what is measured.
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = lying_files()
        .iter()
        .enumerate()
        .map(|(index, (_, bytes))| {
            let path = folder.path().join(index.to_string());
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    forget_peak();
    let before = memory_mb("VmRSS:");
    for path in paths.iter().chain([&fixture("five_hours_of_silence.flac")]) {
        upload_file(path).await;
    }
    let silence = decode(&fixture("five_hours_of_silence.flac"), Track::Mix).unwrap();
    silence.take(60).for_each(drop);
    println!("grew by {} MB", memory_mb("VmHWM:").saturating_sub(before));
}

async fn upload_file(path: &Path) {
    use std::io::Read as _;
    let mut inspector = Inspector::start(TEN_MINUTES);
    let mut file = std::fs::File::open(path).unwrap();
    loop {
        let mut chunk = vec![0; 64 * 1024];
        let count = file.read(&mut chunk).unwrap();
        chunk.truncate(count);
        if count == 0 {
            assert!(inspector.finish(path).await.is_err());
            return;
        }
        if inspector.write(Bytes::from(chunk)).await.is_err() {
            return;
        }
    }
}

/// Has the kernel measure the peak from now on.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn memory_mb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
