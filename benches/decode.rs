//! What it takes to get from a recording to pieces: an hour of MP3 is decoded, resampled and cut on one thread, in turns
//! with what symphonia alone needs to decode the same file. Prints how many times faster than real time both are, and the
//! most memory the process ever held while it cut.
//!
//! `cargo bench --bench decode [rounds] [minutes]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures, and may panic"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::default::formats::MpaReader;
use therapybridge::audio::{PieceLengths, Pieces, SAMPLE_RATE, Track, decode};

const SAMPLE: &[u8] = include_bytes!("../assets/samples/session_anxiety.mp3");

fn main() {
    // Cargo puts `--bench` among the arguments.
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let (rounds, minutes) = (numbers.next().unwrap_or(5), numbers.next().unwrap_or(60));
    let file = recording(Duration::from_secs(minutes * 60));
    let megabytes = file.path().metadata().unwrap().len() as f64 / 1e6;
    let before = peak_memory_mb();
    for round in 1..=rounds {
        let (pieces, cut) = timed(|| cut(file.path()));
        let memory = peak_memory_mb();
        let (seconds, plain) = timed(|| decode_only(file.path()));
        let of = |spent: Spent| (seconds / spent.cpu.as_secs_f64(), seconds / spent.wall.as_secs_f64());
        let ((cut_cpu, cut_wall), (plain_cpu, plain_wall)) = (of(cut), of(plain));
        println!(
            "round {round}: {seconds:.0} s of sound in {megabytes:.1} MB become {pieces} pieces at {cut_cpu:.0} x \
             real time ({cut_wall:.0} x by the clock on the wall); symphonia alone decodes at {plain_cpu:.0} x \
             ({plain_wall:.0} x); ratio {:.2}",
            cut_cpu / plain_cpu
        );
        if round == 1 {
            println!("peak memory {memory:.1} MB, {before:.1} MB of it before");
        }
    }
}

/// An MP3 of at least this length: the frames of the sample, over and over.
fn recording(length: Duration) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".mp3").tempfile().unwrap();
    let tag = match SAMPLE {
        [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] => {
            10 + [a, b, c, d].iter().fold(0, |size, byte| size << 7 | usize::from(**byte))
        }
        _ => 0,
    };
    file.write_all(&SAMPLE[tag..]).unwrap();
    let once = decode_only(file.path());
    let mut seconds = once;
    while seconds < length.as_secs_f64() {
        seconds += once;
        file.write_all(&SAMPLE[tag..]).unwrap();
    }
    file.flush().unwrap();
    file
}

/// Decodes and cuts as the pipeline does; the number of pieces.
fn cut(path: &Path) -> usize {
    Pieces::new(decode(path, Track::Mix).unwrap(), PieceLengths::default(), Vec::new())
        .map(|piece| assert!(piece.unwrap().samples.len() > SAMPLE_RATE as usize))
        .count()
}

/// Decodes and drops the sound; its length in seconds.
fn decode_only(path: &Path) -> f64 {
    let input =
        MediaSourceStream::new(Box::new(File::open(path).unwrap()), MediaSourceStreamOptions::default());
    let mut reader = MpaReader::try_new(input, FormatOptions::default()).unwrap();
    let track = reader.default_track(TrackType::Audio).unwrap();
    let params = track.codec_params.as_ref().unwrap().audio().unwrap();
    let options = AudioDecoderOptions::default().gapless(false);
    let mut decoder = symphonia::default::get_codecs().make_audio_decoder(params, &options).unwrap();
    let mut seconds = 0.0;
    while let Some(packet) = reader.next_packet().unwrap() {
        if let Ok(sound) = decoder.decode_ref(&packet.as_packet_ref()) {
            seconds += sound.frames() as f64 / f64::from(sound.spec().rate());
        }
    }
    seconds
}

#[derive(Clone, Copy)]
struct Spent {
    cpu: Duration,
    wall: Duration,
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let result = work();
    (result, Spent { cpu: cpu_time().saturating_sub(cpu), wall: wall.elapsed() })
}

/// What this thread has had of a processor: other work on the machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
}
