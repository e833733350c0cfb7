//! From raw bytes to something a demuxer takes: tells the container by its bytes, strips what comes before it and
//! repairs the one header that streaming recorders leave unfinished.

use std::io::{self, Cursor, Read};

use super::layout::{id3_length, is_streamed_size, mpeg_frame};
use super::{AudioError, Container};

/// A stream of bytes that is read once, from front to back.
pub(super) type Input = Box<dyn Read + Send + Sync>;

/// What is looked at to tell the container: room for some noise and three of the longest MP3 frames after it.
const HEAD: usize = 16 * 1024;
/// A stream cut out of a longer one begins with the rest of a frame; nothing longer is taken for MP3.
const MP3_NOISE: usize = 4096;
/// A format chunk is 40 bytes at most; a longer one is nonsense.
const LONGEST_FORMAT: u32 = 1024;

/// Tells what `input` holds, and returns a stream that starts where the container does.
pub(super) fn open(mut input: Input) -> Result<(Container, Input), AudioError> {
    let mut head = Vec::new();
    read_up_to(&mut input, &mut head)?;
    if head.is_empty() {
        return Err(AudioError::Empty);
    }
    // Tags are skipped, not parsed: they may hold megabytes of cover picture, and names that are nobody's business.
    while let Some(tag) = id3_length(&head) {
        skip(&mut input, &mut head, tag)?;
    }
    let container = identify(&mut head)?;
    let whole: Input = Box::new(Cursor::new(head).chain(input));
    let whole = if container == Container::Wav { finished_wav(whole)? } else { whole };
    Ok((container, whole))
}

fn read_up_to(input: &mut Input, head: &mut Vec<u8>) -> io::Result<()> {
    let missing = HEAD.saturating_sub(head.len());
    input.by_ref().take(missing as u64).read_to_end(head).map(drop)
}

fn skip(input: &mut Input, head: &mut Vec<u8>, count: u64) -> io::Result<()> {
    let buffered = usize::try_from(count).map_or(head.len(), |count| count.min(head.len()));
    head.drain(..buffered);
    io::copy(&mut input.by_ref().take(count - buffered as u64), &mut io::sink())?;
    read_up_to(input, head)
}

/// The container, with noise before an MP3 stream removed from the head.
fn identify(head: &mut Vec<u8>) -> Result<Container, AudioError> {
    match &**head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Ok(Container::Wav),
        [b'f', b'L', b'a', b'C', ..] => Ok(Container::Flac),
        [b'O', b'g', b'g', b'S', ..] => Ok(Container::Ogg),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Ok(Container::WebM),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if !is_picture(brand) => Ok(Container::Mp4),
        _ => match mp3_start(head) {
            Some(start) => {
                head.drain(..start);
                Ok(Container::Mp3)
            }
            None => Err(AudioError::unsupported(name_of(head))),
        },
    }
}

/// Where MPEG frames begin. Any bytes hold something like a frame header, so three that agree must follow each
/// other (two, where the file ends): by chance that happens once in some hundred thousand million files.
fn mp3_start(head: &[u8]) -> Option<usize> {
    (0..head.len().min(MP3_NOISE)).find(|&start| {
        let mut at = start;
        let mut kind = None;
        for found in 0..3 {
            let Some(bytes) = head.get(at..).and_then(<[u8]>::first_chunk) else {
                return found == 2;
            };
            match mpeg_frame(*bytes) {
                Some(frame) if *kind.get_or_insert(frame.kind) == frame.kind => at += frame.length,
                _ => return false,
            }
        }
        true
    })
}

fn is_picture(brand: &[u8]) -> bool {
    [&b"heic"[..], b"heix", b"mif1", b"msf1", b"avif"].iter().any(|picture| brand.starts_with(picture))
}

/// What a file that is no recording is, as far as a therapist can use the answer.
fn name_of(head: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 11] = [
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "an Office document or ZIP archive"),
        (b"\xff\xd8\xff", "a picture"),
        (b"\x89PNG", "a picture"),
        (b"#!AMR", "an AMR recording"),
        (b"\x30\x26\xb2\x75", "a Windows Media recording"),
        (b"FORM", "an AIFF recording"),
        (b"caff", "a CAF recording"),
        (b"RIFF", "an AVI video or another RIFF file"),
        (b"\xff\xf1", "a bare AAC stream"),
        (b"\xff\xf9", "a bare AAC stream"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name);
    let is_text = || head.iter().take(512).all(|byte| *byte >= 0x20 || byte.is_ascii_whitespace());
    known.unwrap_or_else(|| if is_text() { "a text file" } else { "not sound in a format we know" })
}

/// Rewrites a WAV file as header, format and data. Recorders that stream do not know the sizes in advance and leave
/// 0 or the largest number there (the demuxer takes 0 literally, and checks the outer size against the inner), and
/// chunks after the data must not be played.
fn finished_wav(mut input: Input) -> Result<Input, AudioError> {
    input.read_exact(&mut [0; 12]).map_err(no_data)?;
    let mut head = b"RIFF\xff\xff\xff\xffWAVE".to_vec();
    let length = loop {
        let mut chunk = [0; 8];
        input.read_exact(&mut chunk).map_err(no_data)?;
        let [.., a, b, c, d] = chunk;
        let size = u32::from_le_bytes([a, b, c, d]);
        let padded = u64::from(size) + u64::from(size % 2);
        match &chunk[..4] {
            b"data" => {
                break if is_streamed_size(size) { u64::MAX } else { u64::from(size) };
            }
            b"fmt " if size <= LONGEST_FORMAT => {
                head.extend(chunk);
                input.by_ref().take(padded).read_to_end(&mut head)?;
            }
            _ => drop(io::copy(&mut input.by_ref().take(padded), &mut io::sink())?),
        }
    };
    head.extend(b"data\xff\xff\xff\xff");
    Ok(Box::new(Cursor::new(head).chain(input.take(length))))
}

fn no_data(error: io::Error) -> AudioError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => AudioError::damaged(0, "the file ends before the sound begins"),
        _ => AudioError::Io(error),
    }
}
