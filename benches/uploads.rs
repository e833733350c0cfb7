//! What uploads cost: memory of the server while eight of 100 MB arrive at once, and how soon one that comes from nobody
//! is refused. The first is the peak over what the server held before (after one upload, so that its pools are filled);
//! the second counts from the first byte of the request to the first byte of the answer, over `/graphql` (multipart) and
//! `/uploads` (tus).
//!
//! `cargo bench --bench uploads`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{Program, Provider, Therapist};

const UPLOADS: usize = 8;
/// 100 MB of a 16-bit mono recording at 16 kHz: 52 minutes.
const BYTES: u32 = 99 << 20;
const REFUSALS: usize = 50;

#[tokio::main]
async fn main() {
    let provider = Provider::start(Duration::from_millis(1)).await;
    let program = Program::start(
        &["serve", "--no-worker"],
        &[("OPENAI_BASE_URL", &provider.url), ("OPENAI_API_KEY", "sk-bench"), ("MAX_UPLOAD_MB", "100")],
    );
    let recording = recording();
    let mut therapists = Vec::new();
    for number in 0..UPLOADS {
        therapists.push(Therapist::sign_up(program.address, &format!("therapist{number}")).await);
    }
    therapists[0].upload(recording.path()).await;

    program.forget_peak();
    let (_, before) = program.memory_kib();
    let started = Instant::now();
    futures::future::join_all(therapists.iter().map(|therapist| therapist.upload(recording.path()))).await;
    let (peak, _) = program.memory_kib();
    println!(
        "{UPLOADS} uploads of {} MiB at once in {:?}: {:.1} MiB over the {:.1} MiB held before",
        BYTES >> 20,
        started.elapsed(),
        f64::from(u32::try_from(peak.saturating_sub(before)).unwrap()) / 1024.0,
        f64::from(u32::try_from(before).unwrap()) / 1024.0,
    );
    for path in ["/graphql", "/uploads"] {
        let mut times: Vec<Duration> = (0..REFUSALS).map(|_| refused(&program, path)).collect();
        times.sort_unstable();
        println!(
            "an upload by nobody to {path}: refused after {:?} in the middle, {:?} at most",
            times[REFUSALS / 2],
            times[REFUSALS - 1]
        );
    }
}

/// A recording with a tone in it, so that it is not silent.
fn recording() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    header.extend(16_000_u32.to_le_bytes());
    header.extend(32_000_u32.to_le_bytes());
    header.extend(*b"\x02\0\x10\0data");
    header.extend(BYTES.to_le_bytes());
    file.write_all(&header).unwrap();
    let second: Vec<u8> =
        (0..16_000_i32).flat_map(|at| (if at % 80 < 40 { 9000_i16 } else { -9000 }).to_le_bytes()).collect();
    for _ in 0..=BYTES / 32_000 {
        file.write_all(&second).unwrap();
    }
    file.as_file().set_len(u64::from(BYTES) + 44).unwrap();
    file
}

/// Sends the head of an upload and its first bytes, and waits for the answer, of which the status is looked at.
fn refused(program: &Program, path: &str) -> Duration {
    let head = match path {
        "/graphql" => format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\napollo-require-preflight: 1\r\n\
             content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000000\r\n\r\n--b\r\n"
        ),
        _ => format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ntus-resumable: 1.0.0\r\nupload-length: 100000000\r\n\
             content-type: application/offset+octet-stream\r\ncontent-length: 100000000\r\n\r\nbytes"
        ),
    };
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let started = Instant::now();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let taken = started.elapsed();
    assert_eq!(&answer[9..], b"401", "{}", String::from_utf8_lossy(&answer));
    taken
}
