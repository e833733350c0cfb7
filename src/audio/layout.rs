//! Whether all of a file is there. Demuxers are lenient: they skip what they cannot read and take any end for the
//! end. So the bytes are also walked here, from one header of the container to the next, while they pass by.

use std::ops::Range;

/// Walks a file as its bytes arrive, in constant memory.
#[derive(Debug, Default)]
pub(super) struct Layout {
    kind: Option<Kind>,
    /// The header being collected, and how long it will be.
    head: Vec<u8>,
    wanted: usize,
    /// How much of the present body is still to come.
    body_left: u64,
    /// Whether the rest of the file may be anything.
    is_free: bool,
    is_excessive: bool,
    position: u64,
    junk: u64,
}

#[derive(Debug)]
enum Kind {
    /// With version and rate of the stream, once there was a frame.
    Mp3 {
        stream: Option<u32>,
    },
    Wav {
        has_data: bool,
    },
    /// With the serial numbers of the streams that have begun and not ended.
    Ogg {
        open: Vec<u32>,
    },
    /// With the ends of the segment and cluster, where they are known.
    WebM {
        ends: Vec<u64>,
    },
    Mp4 {
        has_index: bool,
    },
    /// FLAC counts its samples, and its frames have no length to walk by.
    Flac,
}

/// What a header says about the bytes that come next.
enum Next {
    /// More header, up to so many bytes in all.
    Header(usize),
    /// A body of so many bytes, and then another header.
    Body(u64),
    /// This is no header: try a byte later.
    Junk,
    /// Anything, up to the end of the file.
    Free,
}

/// What the kind of file is told by.
const MAGIC: usize = 8;

/// Parts that a demuxer holds in memory as a whole are not larger than this: the index of a video of hours has a few
/// megabytes, a cover picture as well.
const LARGEST_HELD: u64 = 16 << 20;

impl Layout {
    /// Takes the next bytes of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.kind.is_some() {
            return self.walk(bytes);
        }
        let (magic, rest) = bytes.split_at(bytes.len().min(MAGIC - self.head.len()));
        self.head.extend_from_slice(magic);
        if self.head.len() == MAGIC {
            let magic = std::mem::take(&mut self.head);
            let kind = self.kind.insert(Kind::of(&magic));
            self.wanted = kind.shortest_header();
            self.walk(&magic);
            self.walk(rest);
        }
    }

    /// Bytes within the stream that belong to no part of the container.
    pub(super) fn junk(&self) -> u64 {
        self.junk
    }

    /// The length of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.position
    }

    /// Whether a part has begun that is too large to be held in memory: the rest is not worth reading.
    pub(super) fn is_excessive(&self) -> bool {
        self.is_excessive
    }

    /// Says what is missing at the end of the file, if something is. Stray bytes after the last frame, page or box
    /// are not a missing end.
    pub(super) fn missing(&self) -> Option<&'static str> {
        const CUT: Option<&str> = Some("it breaks off in the middle");
        if self.is_excessive {
            return Some("a part of it is far larger than a recording has them");
        }
        match self.kind.as_ref()? {
            Kind::Mp4 { has_index: false } => Some("its index is missing, as after a broken transfer"),
            Kind::Wav { has_data: false } => Some("it ends before the sound begins"),
            Kind::Ogg { open } if !open.is_empty() => Some("its end is missing"),
            Kind::WebM { ends } if ends.iter().any(|end| *end > self.position) => Some("its end is missing"),
            Kind::WebM { .. } if !self.head.is_empty() => CUT,
            _ if self.body_left > 0 => CUT,
            _ => None,
        }
    }

    fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.is_free {
                self.position += bytes.len() as u64;
                return;
            }
            let body = usize::try_from(self.body_left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.body_left -= body as u64;
            let header = (self.wanted - self.head.len()).min(bytes.len() - body);
            self.head.extend_from_slice(&bytes[body..body + header]);
            self.position += (body + header) as u64;
            bytes = &bytes[body + header..];
            if self.head.len() == self.wanted {
                self.step();
            }
        }
    }

    fn step(&mut self) {
        let Some(kind) = &mut self.kind else { return };
        match kind.next(&self.head, self.position) {
            Next::Header(length) => self.wanted = length,
            Next::Junk => self.reject(),
            Next::Body(length) => {
                self.is_excessive |= length > LARGEST_HELD && kind.is_held(&self.head);
                self.body_left = length;
                self.wanted = kind.shortest_header();
                self.head.clear();
            }
            Next::Free => {
                self.is_free = true;
                self.head.clear();
            }
        }
    }

    /// Drops the first byte of what was taken for a header, and looks at the others again.
    fn reject(&mut self) {
        let Some(kind) = &self.kind else { return };
        // Noise before the first MP3 frame is where a stream was cut out of a longer one: nothing got lost.
        self.junk += u64::from(!matches!(kind, Kind::Mp3 { stream: None }));
        self.wanted = kind.shortest_header();
        let again = self.head.split_off(1);
        self.head.clear();
        self.position -= again.len() as u64;
        self.walk(&again);
    }
}

impl Kind {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [b'R', b'I', b'F', b'F', ..] => Self::Wav { has_data: false },
            [b'O', b'g', b'g', b'S', ..] => Self::Ogg { open: Vec::new() },
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::WebM { ends: Vec::new() },
            [b'f', b'L', b'a', b'C', ..] => Self::Flac,
            [_, _, _, _, b'f', b't', b'y', b'p'] => Self::Mp4 { has_index: false },
            _ => Self::Mp3 { stream: None },
        }
    }

    fn shortest_header(&self) -> usize {
        match self {
            Self::Mp3 { .. } => 4,
            Self::WebM { .. } => 2,
            Self::Wav { .. } | Self::Mp4 { .. } => 8,
            Self::Ogg { .. } => 27,
            Self::Flac => 1,
        }
    }

    /// Whether demuxers hold what comes after this header in memory.
    fn is_held(&self, head: &[u8]) -> bool {
        match self {
            Self::WebM { .. } => true,
            Self::Mp4 { .. } => [b"moov", b"moof", b"meta", b"sidx"].iter().any(|kind| head[4..8] == **kind),
            Self::Mp3 { .. } | Self::Wav { .. } | Self::Ogg { .. } | Self::Flac => false,
        }
    }

    fn next(&mut self, head: &[u8], position: u64) -> Next {
        match self {
            Self::Mp3 { stream } => next_mpeg(head, stream),
            Self::Wav { has_data } => next_riff(head, has_data),
            Self::Ogg { open } => next_page(head, open),
            Self::WebM { ends } => next_element(head, position, ends),
            Self::Mp4 { has_index } => next_box(head, has_index),
            Self::Flac => Next::Free,
        }
    }
}

/// An MPEG audio frame.
pub(super) struct MpegFrame {
    /// With its header, in bytes.
    pub length: usize,
    /// Version and sample rate, which all frames of a stream share.
    pub kind: u32,
}

/// Reads the header of a Layer III frame of known bit rate; anything else is none.
pub(super) fn mpeg_frame(bytes: [u8; 4]) -> Option<MpegFrame> {
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    const KILOBITS_1: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const KILOBITS_2: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let header = u32::from_be_bytes(bytes);
    let field = |range: Range<u32>| (header >> range.start) & ((1 << range.len()) - 1);
    let (version, layer) = (field(19..21), field(17..19));
    if field(21..32) != 0x7ff || layer != 1 || version == 1 {
        return None;
    }
    let (divisor, table, scale) = match version {
        3 => (1, KILOBITS_1, 144),
        2 => (2, KILOBITS_2, 72),
        _ => (4, KILOBITS_2, 72),
    };
    let rate = RATES.get(field(10..12) as usize)? / divisor;
    let kilobits = table.get((field(12..16) as usize).checked_sub(1)?)?;
    let length = (scale * kilobits * 1000 / rate + field(9..10)) as usize;
    Some(MpegFrame { length, kind: version << 20 | rate })
}

fn next_mpeg(head: &[u8], stream: &mut Option<u32>) -> Next {
    match head {
        [b'I', b'D', b'3', ..] => id3_length(head).map_or(Next::Header(10), |length| Next::Body(length - 10)),
        [b'T', b'A', b'G', _] => Next::Body(124),
        [b'A', b'P', b'E', b'T', ..] => next_ape(head),
        _ => match head.first_chunk().and_then(|bytes| mpeg_frame(*bytes)) {
            Some(frame) if *stream.get_or_insert(frame.kind) == frame.kind => {
                Next::Body(frame.length as u64 - 4)
            }
            _ => Next::Junk,
        },
    }
}

/// The length of an ID3 tag (version 2) with its header, once ten bytes of it are there.
pub(super) fn id3_length(head: &[u8]) -> Option<u64> {
    let (tag, _) = head.split_first_chunk::<10>()?;
    let footer = if tag[5] & 0x10 == 0 { 0 } else { 10 };
    let size = tag[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    tag.starts_with(b"ID3").then_some(10 + size + footer)
}

/// An APE tag has a header like its footer, one of which may be absent; the size leaves out the header.
fn next_ape(head: &[u8]) -> Next {
    let Some(tag) = head.first_chunk::<32>() else {
        return Next::Header(32);
    };
    let is_header = tag[23] & 0x20 != 0;
    let size = u32::from_le_bytes([tag[12], tag[13], tag[14], tag[15]]);
    Next::Body(if is_header { size.into() } else { 0 })
}

/// Whether a recorder left the size of a WAV file's data open: 0, or (nearly) the largest number, signed or not.
pub(super) fn is_streamed_size(size: u32) -> bool {
    size == 0 || size >= 0x7fff_0000
}

fn next_riff(head: &[u8], has_data: &mut bool) -> Next {
    if *has_data {
        return Next::Free;
    }
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    match &head[..4] {
        b"RIFF" => Next::Body(4),
        b"data" => {
            *has_data = true;
            if is_streamed_size(size) { Next::Free } else { Next::Body(size.into()) }
        }
        _ => Next::Body(u64::from(size) + u64::from(size % 2)),
    }
}

fn next_page(head: &[u8], open: &mut Vec<u32>) -> Next {
    const MOST_STREAMS: usize = 64;
    if !head.starts_with(b"OggS") {
        return Next::Junk;
    }
    let segments = usize::from(head[26]);
    if head.len() < 27 + segments {
        return Next::Header(27 + segments);
    }
    let serial = u32::from_le_bytes([head[14], head[15], head[16], head[17]]);
    let (is_first, is_last) = (head[5] & 2 != 0, head[5] & 4 != 0);
    if is_first && open.len() < MOST_STREAMS {
        open.push(serial);
    }
    if is_last {
        open.retain(|other| *other != serial);
    }
    Next::Body(head[27..].iter().map(|lace| u64::from(*lace)).sum())
}

fn next_element(head: &[u8], position: u64, ends: &mut Vec<u64>) -> Next {
    const SEGMENT: u64 = 0x1853_8067;
    const CLUSTER: u64 = 0x1f43_b675;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let id = head[0].leading_zeros() as usize + 1;
    if id > 4 {
        return Next::Junk;
    }
    let Some(first) = head.get(id) else {
        return Next::Header(id + 1);
    };
    let size = first.leading_zeros() as usize + 1;
    if size > 8 {
        return Next::Junk;
    }
    if head.len() < id + size {
        return Next::Header(id + size);
    }
    let unknown = (1 << (7 * size)) - 1;
    let length = Some(number(&head[id..]) & unknown).filter(|length| *length != unknown);
    ends.retain(|end| *end > position);
    match (number(&head[..id]), length) {
        (SEGMENT | CLUSTER, length) => {
            ends.extend(length.map(|length| position.saturating_add(length)));
            Next::Body(0)
        }
        (_, Some(length)) => Next::Body(length),
        (_, None) => Next::Junk,
    }
}

fn next_box(head: &[u8], has_index: &mut bool) -> Next {
    let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let kind = &head[4..8];
    *has_index |= kind == b"moov";
    match size {
        0 => Next::Free,
        1 => match head.get(8..).and_then(<[u8]>::first_chunk) {
            Some(long) => Next::Body(u64::from_be_bytes(*long).saturating_sub(16)),
            None => Next::Header(16),
        },
        2..8 => Next::Junk,
        _ => Next::Body(u64::from(size) - 8),
    }
}
