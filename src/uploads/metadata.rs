//! What a client says of the file: `Upload-Metadata`, pairs of a key and a value in base64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest header that is kept.
const MAX_BYTES: usize = 4096;
/// Keys under which clients send the name of the file.
const FILE_NAME: [&str; 2] = ["filename", "name"];

/// Whether this is metadata by the protocol, and not too much of it.
#[must_use]
pub fn is_sound(metadata: &str) -> bool {
    metadata.len() <= MAX_BYTES && parse(metadata).is_some()
}

/// The name of the file, if the metadata has one that is text.
pub(super) fn file_name(metadata: &str) -> Option<String> {
    let mut pairs = parse(metadata)?;
    let value = FILE_NAME.iter().find_map(|key| pairs.remove(*key))?;
    String::from_utf8(value).ok()
}

fn parse(metadata: &str) -> Option<BTreeMap<&str, Vec<u8>>> {
    let mut pairs = BTreeMap::new();
    for pair in metadata.split(',') {
        let pair = pair.trim();
        // The space may be left out where the value is empty.
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let value = STANDARD.decode(value).ok().filter(|_| is_key)?;
        if pairs.insert(key, value).is_some() {
            return None;
        }
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_under_either_key_and_must_be_text() {
        assert_eq!(
            file_name("filetype YXVkaW8vbXAz,filename w4RyenRpbi5tcDM=").as_deref(),
            Some("Ärztin.mp3")
        );
        assert_eq!(file_name("name YS5tcDM=, is_private").as_deref(), Some("a.mp3"));
        assert_eq!(file_name("filename //8="), None, "not UTF-8");
        assert_eq!(file_name("filetype YXVkaW8vbXAz"), None);
    }

    #[test]
    fn what_is_not_by_the_protocol_is_not_sound() {
        for bad in ["", ",", "a YQ==,", "a !", "a YQ==,a Yg==", "a b c", "ä YQ==", "a YQ"] {
            assert!(!is_sound(bad), "{bad:?}");
        }
        assert!(is_sound("a YQ==,b,c "));
        assert!(!is_sound(&format!("a {}", "YWFh".repeat(2000))), "too long");
    }
}
