//! What can be wrong with a recording, in words for the person who uploaded it.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// Why a recording cannot be used. The texts are shown to therapists as they stand.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There are no bytes at all.
    #[error("The file is empty. Check the recording on your device and upload it again.")]
    Empty,
    /// Not a recording in one of the accepted formats; `what` completes "it is …".
    #[error(
        "This file cannot be used as a recording: it is {what}. \
         Upload an MP3, M4A or MP4 (AAC), WAV, FLAC, Ogg or WebM file."
    )]
    Unsupported {
        /// What the file is instead.
        what: String,
    },
    /// Broken or cut off.
    #[error("{}", damaged(*.readable_ms, .detail))]
    Damaged {
        /// How much of the recording could be read, in milliseconds.
        readable_ms: i64,
        /// What is wrong with it; completes "because …".
        detail: String,
    },
    /// Never as loud as quiet speech.
    #[error(
        "There is no audible sound in this recording. \
         Check that the microphone was switched on and the right file was chosen."
    )]
    Silent,
    /// Longer than allowed.
    #[error("The recording is longer than {}. Split it and upload the parts one by one.", spoken(*.max))]
    TooLong {
        /// The longest recording allowed.
        max: Duration,
    },
    /// The stream or file could not be read: nothing is known about the recording itself.
    #[error("The recording could not be read just now. Try again.")]
    Io(#[from] io::Error),
}

impl AudioError {
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(super) fn damaged(readable_ms: i64, detail: impl Into<String>) -> Self {
        Self::Damaged { readable_ms, detail: detail.into() }
    }
}

fn damaged(readable_ms: i64, detail: &str) -> String {
    let readable = match u64::try_from(readable_ms / 1000) {
        Ok(seconds) if seconds > 0 => {
            format!("only {} of it can be read", spoken(Duration::from_secs(seconds)))
        }
        _ => "nothing in it can be read".to_owned(),
    };
    format!(
        "The recording is damaged or cut off: {readable}, because {detail}. Upload the original file again."
    )
}

/// "1 h 5 min 3 s", without the parts that are zero.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    for (value, unit) in [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")] {
        if value > 0 {
            write!(text, "{value} {unit} ").expect("writing to a string cannot fail");
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_says_how_much_can_be_read() {
        let text = AudioError::damaged(3_723_900, "the end is missing").to_string();
        assert!(text.contains("only 1 h 2 min 3 s of it can be read, because the end is missing"), "{text}");
        assert!(AudioError::damaged(0, "x").to_string().contains("nothing in it can be read"));
    }

    #[test]
    fn the_limit_is_named() {
        let text = AudioError::TooLong { max: Duration::from_hours(4) }.to_string();
        assert!(text.contains("longer than 4 h."), "{text}");
    }
}
