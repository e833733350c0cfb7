//! Recordings as sound: validate and measure one while it is uploaded, decode it for recognition, cut it into
//! pieces. Pure: nothing here knows of sessions, stores or providers, and the only input and output is the stream
//! or file that a caller hands in. Decoding is CPU work: [`decode()`] and [`Pieces`] belong on a blocking thread
//! (the [`Inspector`] takes its own).

mod arrangement;
mod container;
mod decode;
mod error;
mod inspect;
mod layout;
mod level;
mod pcm;
mod pieces;
mod resample;
mod source;
#[cfg(test)]
mod tests;
mod verdict;
pub mod voices;
mod wav;

pub use arrangement::Arrangement;
pub use container::Container;
pub use decode::{Samples16k, Track, decode};
pub use error::AudioError;
pub use inspect::{AudioInfo, Inspector, Limits, Partial};
pub use level::level_dbfs;
pub use pieces::{Piece, PieceLengths, Pieces};
pub use wav::to_wav;

/// Samples a second of all sound that leaves this module; what speech recognition works with.
pub const SAMPLE_RATE: u32 = 16_000;
