//! The accepted containers.

/// How the sound is wrapped; told by the bytes, never by a name or a declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// A bare stream of MPEG Layer III frames.
    Mp3,
    /// ISO base media: m4a, mp4.
    Mp4,
    /// RIFF/WAVE.
    Wav,
    /// Native FLAC.
    Flac,
    /// Ogg with Vorbis or Opus.
    Ogg,
    /// `WebM` (or plain Matroska) with Opus or Vorbis.
    WebM,
}

impl Container {
    /// The usual file name extension, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Mp4 => "m4a",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::WebM => "webm",
        }
    }

    /// The media type to serve the recording with.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Mp4 => "audio/mp4",
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Ogg => "audio/ogg",
            Self::WebM => "audio/webm",
        }
    }
}
