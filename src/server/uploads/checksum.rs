//! The checksum a client asks its bytes to be held against.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use super::headers;

/// What [`Checksum`] knows, as `Tus-Checksum-Algorithm` tells it.
pub(super) const ALGORITHMS: &str = "sha1,sha256";

/// A checksum that was asked for, and what has come by so far.
#[derive(Debug)]
pub(super) struct Checksum {
    expected: Vec<u8>,
    hash: Hash,
}

#[derive(Debug)]
enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// What `Upload-Checksum` asks for.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers::text(headers, &headers::UPLOAD_CHECKSUM)? else { return Ok(None) };
        let malformed = || Refusal::bad("Upload-Checksum must be an algorithm and a checksum in base64.");
        let (algorithm, expected) = value.split_once(' ').ok_or_else(malformed)?;
        let (hash, length) = match algorithm {
            "sha1" => (Hash::Sha1(Sha1::new()), Sha1::output_size()),
            "sha256" => (Hash::Sha256(Sha256::new()), Sha256::output_size()),
            _ => return Err(Refusal::bad(format!("Checksums are known of {ALGORITHMS}, and no others."))),
        };
        let expected = STANDARD.decode(expected).ok().filter(|expected| expected.len() == length);
        Ok(Some(Self { expected: expected.ok_or_else(malformed)?, hash }))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn matches(self) -> bool {
        match self.hash {
            Hash::Sha1(hash) => *hash.finalize() == *self.expected,
            Hash::Sha256(hash) => *hash.finalize() == *self.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(value: &str) -> Result<Option<Checksum>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(headers::UPLOAD_CHECKSUM, value.parse().unwrap());
        Checksum::of(&headers)
    }

    #[test]
    fn checksums_match_their_bytes_and_no_others() {
        for value in
            ["sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="]
        {
            for (bytes, is_match) in [("hello world", true), ("hello there", false)] {
                let mut checksum = checksum(value).unwrap().unwrap();
                checksum.update(&bytes.as_bytes()[..5]);
                checksum.update(&bytes.as_bytes()[5..]);
                assert_eq!(checksum.matches(), is_match, "{value}");
            }
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for bad in ["md5 XrY7u+Ae7tCTyyK7j1rNww==", "sha1", "sha1 ", "sha1 YQ==", "sha1 !!", "SHA1 YQ=="] {
            assert!(checksum(bad).is_err(), "{bad}");
        }
        assert!(Checksum::of(&HeaderMap::new()).unwrap().is_none());
    }
}
